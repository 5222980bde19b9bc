"""The trained networks of searches: which are kept, when, and who is told of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.search.baseline import asked as asking
from scalenet.search.folder import called, discard
from scalenet.training import folder as trained

if TYPE_CHECKING:
    from pathlib import Path

RACE = {"epochs": 2, "seeds": 2, "spend": 1, "batch_size": 30, "learning_rate": 0.004}


def asked(tiny: Path, folder: Path, **options: Any) -> scalenet.Search:
    own = {"grid": tiny / "grid.yaml", "data": tiny / "images", "workers": 1, "say": None} | RACE | options
    return scalenet.grid_search(tiny / "net.yaml", folder=folder / "run", **own)


def test_a_race_keeps_the_networks_of_trainings_to_the_end_and_goes_on_doing_so(tiny, tmp_path):
    said: list[str] = []

    def until(line: str) -> None:
        said.append(line)
        if line.startswith("[5/"):  # of three short trainings and six to the end
            raise KeyboardInterrupt

    search = asked(tiny, tmp_path, keep_models=True, say=said.append)
    with pytest.raises(KeyboardInterrupt):
        search.run(say=until)
    size = re.compile(r"trained networks are kept in models/: about 0\.0\d+ MB of weights each$")
    assert any(map(size.match, said))
    some = search.models()
    assert len(some) == len(search.jobs().query("budget == 2")) > 0
    (next(iter(some.values())) / "model.safetensors").unlink()

    said.clear()
    search = scalenet.open_search(tmp_path / "run").run(say=said.append)
    assert any(line.startswith(f"no network is kept here of 1 training ({next(iter(some))}), ") for line in said)
    losses = search.jobs().query("budget == 2").set_index(["name", "seed"]).loss
    models = search.models()
    assert models.keys() == {called(*key) for key in losses.index} - {next(iter(some))}
    for seed in (0, 1):
        key = losses.xs(seed, level="seed", drop_level=False).index[-1]
        judged = scalenet.evaluate(models[called(*key)], tiny / "images", workers=0, say=None)
        assert judged.loss == pytest.approx(losses[key], abs=1e-5)
    winner = search.results()["name"][0]
    (line,) = (line for line in search.answer.sentences if "trained networks kept in" in line)
    assert f"the winner's is {next(place for name, place in models.items() if name.startswith(winner))}" in line
    discard(search.folder, [])
    assert not (search.folder / "models").exists()


def test_weights_of_a_shorter_training_are_gone_before_those_of_a_longer_one_are_there(tiny, tmp_path, monkeypatch):
    one = {"epochs": 1, "spend": None, "seeds": 1, "halving": 1, "keep_models": True}
    (place, *_) = asked(tiny, tmp_path, **one).run(say=None).models().values()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trained, "write_weights", killed)
    with pytest.raises(KeyboardInterrupt):
        asked(tiny, tmp_path, **one | {"epochs": 2}).run(say=None)
    assert place.is_dir()
    assert not (place / "model.safetensors").exists()


def test_a_search_for_a_baseline_keeps_them_too(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "FINALS", 2)
    options = {"flops": "1M..4M", "resolution": 8, "epochs": 2, "trials": 5, "seeds": 1, "batch_size": 60}
    search = scalenet.baseline_search(
        data=tiny / "images", workers=1, keep_models=True, folder=tmp_path / "run", say=None, **options
    ).run(say=None)
    full = search.jobs().query("budget == 2")
    assert sorted(search.models()) == sorted(called(*key) for key in zip(full.name, full.seed, strict=True))
    place = tmp_path / "run" / "models" / f"{search.outcome().winner}_seed0"
    assert f"the winner's is {place}" in search.sentences()[-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"evaluate": "table:known.csv", "data": None, "batch_size": None},
            "--keep-models is for scalenet's own training",
        ),
        ({"folds": 2}, "--keep-models with --folds: nothing could tell later which images"),
    ],
)
def test_networks_that_cannot_be_kept_are_refused_in_one_line(tiny, tmp_path, options, said):
    with pytest.raises(ScalenetError, match=said) as refused:
        asked(tiny, tmp_path, keep_models=True, **options)
    assert "\n" not in str(refused.value)
