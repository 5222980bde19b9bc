"""Searches with folds: seeds hold out different images, candidates of a seed the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.search.evaluators.train import Folds, Train
from scalenet.search.folder import recorded_plan
from scalenet.training.data import read
from scalenet.training.folds import first_fold
from scalenet.training.recipe import load_recipe
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from pathlib import Path


def asked(tiny: Path, folder: Path, **options: Any) -> scalenet.Search:
    own = {"grid": tiny / "grid.yaml", "data": tiny / "images", "epochs": 1, "seeds": 2, "halving": 1, "folds": 2}
    own |= {"learning_rate": 0.01, "batch_size": 30, "say": None, **options}
    return scalenet.grid_search(tiny / "net.yaml", folder=folder, **own)


def test_a_search_over_folds_is_run_and_says_so(tiny, tmp_path):
    said = list[str]()
    search = asked(tiny, tmp_path / "run", say=said.append)
    assert "2 folds: seed s holds out fold s mod 2, so that 2 seeds hold out every image once" in said
    assert "60 images to train on, 60 held out" in search.expected()[0]
    search.run(workers=1, say=None)
    images = search.plan.images
    assert (images.folds, images.train, images.validation, images.drawn) == (2, 60, 60, 0.5)
    assert "60 held out, 2 classes, 2 folds, chance 50.0 %" in (search.folder / "report.html").read_text()
    assert len(search.jobs()) == 6
    with pytest.raises(ScalenetError, match="holds another search: images differ"):
        asked(tiny, tmp_path / "run", folds=None).run(workers=1, say=None)
    again = scalenet.open_search(tmp_path / "run").run(workers=1, say=None)
    assert again.plan == recorded_plan(tmp_path / "run")


def test_a_training_holds_out_the_fold_of_its_seed(tiny):
    splits = read(first_fold(find_source(tiny / "images"), folds=3, seed=5), size=8)
    train = Train(splits, load_recipe("search"), folds=Folds(3, 5))
    held_out = [{image.numpy().tobytes() for image in train.images_of(seed).validation.images} for seed in range(4)]
    assert len(held_out[0] | held_out[1] | held_out[2]) == sum(map(len, held_out[:3])) == 120
    assert held_out[3] == held_out[0]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"folds": 1}, "--folds: 1 is not a whole number from 2 on"),
        ({"folds": 3}, "--folds 3 with 2 seeds: a fold is held out by a seed of its own"),
        ({"held_out": 0.2}, "--folds and --held-out are two ways to hold images out"),
        ({"data": None}, "--folds is for the images of --data"),
        ({"data": None, "evaluate": "python my.py {config}"}, "--folds is for scalenet's own training"),
        ({"folds": 99, "seeds": 99}, "images: 60 images of class dark are too few for 99 folds"),
    ],
)
def test_folds_that_cannot_be_are_refused_in_one_line(tiny, tmp_path, options, why):
    with pytest.raises(ScalenetError, match=why):
        asked(tiny, tmp_path / "run", **options).expected()
    assert not (tmp_path / "run").exists()
