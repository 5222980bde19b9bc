"""The lock file: the same bytes for the same counts, clean merges, and one clear line for each thing wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.checks.lock import Lock, StageCost, TargetCost, dumps, line_of, parse_lock

if TYPE_CHECKING:
    from conftest import Folder

counts = st.integers(0, 10**18)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
stages = st.builds(StageCost, params=counts, activations=counts, operators=st.dictionaries(names, counts))
descriptions = st.dictionaries(names, st.one_of(counts, names, st.lists(st.dictionaries(names, counts), max_size=3)))
targets = st.builds(
    TargetCost,
    input=st.lists(names, min_size=1).map(tuple),
    flops=counts,
    params=counts,
    activations=counts,
    stages=st.dictionaries(names, stages, max_size=3),
    uncounted=st.lists(names).map(tuple),
    model=st.none() | descriptions,
)


@given(st.dictionaries(names, targets, max_size=3))
def test_a_lock_read_and_written_again_has_the_same_bytes(costs: dict[str, TargetCost]) -> None:
    lock = Lock(targets=costs)
    assert parse_lock(dumps(lock), "lock") == lock
    assert dumps(parse_lock(dumps(lock), "lock")) == dumps(Lock(targets=dict(reversed(costs.items()))))


def test_it_is_json_with_sorted_targets_and_a_line_a_stage(folder: Folder) -> None:
    text = folder.lock()
    data = json.loads(text)
    assert list(data["targets"]) == sorted(data["targets"]) == ["nets/efficientnet_b0.yaml", "nets/resnet18.yaml"]
    stages = data["targets"]["nets/efficientnet_b0.yaml"]["stages"]
    lines = text.splitlines()
    assert sum(line.startswith('    "stages.') for line in lines) == 7 + 4
    assert sum(stage["operators"]["conv"] for stage in stages.values()) == 384534752
    assert lines[line_of(text, "nets/resnet18.yaml") - 1] == '"nets/resnet18.yaml": {'
    assert lines[line_of(text, "nets/resnet18.yaml") - 2] == ""


def test_nothing_in_it_changes_by_itself(folder: Folder) -> None:
    text = folder.lock()
    assert text == folder.lock()
    for word in ("torch", "time", "date", str(folder.path), scalenet.__version__):
        assert word not in text.replace("nets/", "")


def test_changes_of_different_targets_merge_without_a_conflict(locked: Folder) -> None:
    for branch, file in (("one", "efficientnet_b0"), ("two", "resnet18")):
        locked.git("checkout", "-q", "-b", branch, "main")
        locked.edit(f"nets/{file}.yaml", "classes: 1000", "classes: 10")
        locked.write(f"nets/{branch}.yaml", (locked.path / "nets" / f"{file}.yaml").read_text())
        locked.lock()
        locked.commit()
    locked.git("mv", "nets/two.yaml", "nets/a.yaml")  # else both are added in the same place
    locked.lock()
    locked.commit()
    locked.git("merge", "-q", "one")
    assert locked.check().exit_code == 0


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        (r'\n"nets/res', "\n<<<<<<< HEAD\n\"nets/res", r"scalenet\.lock\.json:\d+: holds a git conflict"),
        (r'lock/1"', 'lock/2"', "scalenet-lock/2 is of a newer scalenet"),
        (r'lock/1"', 'luck/1"', "schema: expected 'scalenet-lock/1', found 'scalenet-luck/1'"),
        (r'"flops": 385814752', '"flops": "many"', r"targets\.nets/efficientnet_b0\.yaml\.flops: expected a valid int"),
        (r'"params": 5288548', '"parms": 5288548', r"parms: unknown key"),
        (r'"params": 5288548,', "", r"params: missing"),
        (r'"params": 5288548', '"flops": 5288548', "'flops' stands twice"),
        (r"\}\s*$", "", "not a lock file: Expecting"),
        (r"(?s).*", "", "not a lock file"),
        (r"(?s).*", "[]", "expected keys and values"),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_trusted_is_one_line_and_the_limits_still_hold(
    locked: Folder, pattern: str, replacement: str, said: str
) -> None:
    locked.write("pyproject.toml", (locked.path / "pyproject.toml").read_text() + '[[tool.scalenet.gates]]\nmax="1G"\n')
    text = (locked.path / "scalenet.lock.json").read_text()
    locked.write("scalenet.lock.json", re.sub(pattern, replacement, text, count=1))
    result = locked.check()
    assert result.exit_code == 2
    assert len([line for line in result.stdout.splitlines() if re.search(said, line)]) == 1, result.stdout
    assert "ok  nets/efficientnet_b0.yaml: FLOPs 386 M, max 1.00 G, headroom 614 M" in result.stdout
    assert "OVER  nets/resnet18.yaml: FLOPs 1.81 G, max 1.00 G, 814 M too many" in result.stdout
