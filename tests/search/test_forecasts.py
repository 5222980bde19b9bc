"""Searches say before they train what will be told apart, and where the images cannot tell."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import commands
import pytest
from commands import SCALENET

import scalenet

if TYPE_CHECKING:
    from pathlib import Path

SEEN = r"differences above about ([\d.]+) points will be seen \(95 %\)"


def asked(tiny: Path, folder: Path, **options: Any) -> scalenet.Search:
    own = {"grid": tiny / "grid.yaml", "data": tiny / "images", "epochs": 2, "seeds": 2, "batch_size": 30, "say": None}
    return scalenet.grid_search(tiny / "net.yaml", folder=folder, **own | options)


def points(lines: list[str]) -> list[float]:
    return [float(found.group(1)) for line in lines if (found := re.search(SEEN, line))]


def test_a_search_says_what_will_be_seen_before_it_trains_and_keeps_it(tiny, tmp_path):
    search, said = asked(tiny, tmp_path / "run"), list[str]()
    (before,) = points(search.expected())
    search.run(workers=1, say=said.append)
    (after,) = points(said)
    assert after <= before, "the pilot's accuracy has less noise than 50 %"
    (rate,) = (place for place, line in enumerate(said) if line.startswith("learning rate: "))
    assert points(said[rate:]) == [after], "it waits for the pilot"
    assert f"{100 * search.answer.evidence.forecast:.2g}" == f"{after:.2g}"
    assert search.status().forecast is None, "it is over"
    again = list[str]()
    scalenet.open_search(tmp_path / "run").run(workers=1, say=again.append)
    assert points(again) == []


def test_more_held_out_images_tell_more(tiny, tmp_path):
    few, many = (points(asked(tiny, tmp_path, held_out=share).expected())[0] for share in (0.1, 0.5))
    assert many < few


@pytest.mark.parametrize(("options", "folds"), [({}, 2), ({"seeds": 5}, 5), ({"folds": 2}, None)])
def test_images_that_cannot_tell_are_named_with_the_folds_that_tell_more(tiny, tmp_path, options, folds):
    sentence = asked(tiny, tmp_path, **options).expected()[-1]
    assert "will hardly tell candidates apart" in sentence
    if folds is None:
        assert sentence.endswith("; more images would tell more")
    else:
        assert f"--folds {folds} holds out 120 images in turn, which makes it about " in sentence


def test_the_command_says_it_first_and_status_has_it_while_it_runs(tiny, tmp_path):
    command = [*SCALENET, "grid-search", "--base", tiny / "net.yaml", "--grid", tiny / "grid.yaml", "--epochs", 2]
    command += ["--data", tiny / "images", "--learning-rate", 0.01, "--halving", 1, "-o", tmp_path / "run"]
    dry = commands.run([*map(str, command), "--dry-run"])
    assert points(dry.stderr.splitlines())
    assert "12 held-out images will hardly tell candidates apart" in dry.stderr
    begun = commands.run([*map(str, command), "--begin", "--json"])
    assert 0.1 < json.loads(begun.stdout)["forecast"] < 1


def test_other_evaluators_promise_nothing_before_noise_is_measured(tiny, tmp_path):
    def judge(architecture: Any, *, budget: int, seed: int, **_: Any) -> float:
        return 0.5 + 0.01 * (7 * seed * len(architecture.name) % 5)

    search = asked(tiny, tmp_path / "run", data=None, batch_size=None, evaluate=judge, seeds=4, spend=0.6)
    assert search.status().forecast is None
    assert not points(search.expected())
    said = list[str]()
    search.run(say=said.append)
    assert not points(said)
    assert search.answer.evidence.forecast is None
