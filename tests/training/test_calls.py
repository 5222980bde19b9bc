"""`scalenet.train` and `scalenet.evaluate` from Python: what the commands do, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import scalenet
from scalenet.arch.errors import RunError, ScalenetError

if TYPE_CHECKING:
    from pathlib import Path

QUICK = {"recipe": "small_images", "epochs": 2, "batch_size": 16, "device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def result(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[scalenet.TrainingResult, list[str], list[Any]]:
    folder, lines, epochs = tmp_path_factory.mktemp("calls"), list[str](), list[Any]()
    network = scalenet.load(tiny / "net.yaml")
    threads = torch.get_num_threads()
    found = scalenet.train(
        network, tiny / "images", folder=folder, threads=1, say=lines.append, epoch=epochs.append, **QUICK
    )
    assert torch.get_num_threads() == threads
    return found, lines, epochs


def test_a_training_is_one_call(result: Any, tiny: Path) -> None:
    found, lines, epochs = result
    assert (found.data, found.classes, found.epochs) == ("images", 2, 2)
    assert [record["epoch"] for record in epochs] == found.curve().epoch.tolist() == [1, 2]
    assert any("to train on" in line for line in lines)
    evaluated = scalenet.evaluate(found.folder, tiny / "images", workers=0, device="cpu", say=None)
    assert evaluated.figures()["top1"] == found.top1
    assert len(evaluated) == found.held_out == evaluated.confusion().to_numpy().sum() == evaluated.frame().images.sum()
    assert list(evaluated.confusion().columns) == list(evaluated.classes) == ["dark", "light"]
    assert found.module()(torch.zeros(1, 3, 8, 8)).shape == (1, 2)


def test_the_same_call_trains_nothing_again(result: Any, tiny: Path) -> None:
    lines: list[str] = []
    again = scalenet.train(tiny / "net.yaml", tiny / "images", folder=result[0].folder, say=lines.append, **QUICK)
    assert (again.top1, again.loss) == (result[0].top1, result[0].loss)
    assert any(line.startswith("going on after step") for line in lines)


def test_weights_to_start_from_and_changes_of_the_recipe(result: Any, tiny: Path, tmp_path: Path) -> None:
    options = {**QUICK, "recipe": None, "epochs": 1, "changes": {"optimizer.lr": 0.01, "minival": 0}}
    tuned = scalenet.train(
        tiny / "net.yaml", tiny / "others", folder=tmp_path, init=result[0].folder, say=None, **options
    )
    assert tuned.classes == 3
    assert "lr: 0.01" in (tmp_path / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"network": "resnt18"}, "did you mean 'resnet18'"),
        ({"data": "nowhere"}, "no such directory"),
        ({"data": 3}, "no folder of images: int"),
        ({"recipe": "small_image"}, "did you mean 'small_images'"),
        ({"recipe": 3}, "no recipe: int"),
        ({"epochs": "x"}, "epochs: expected a valid integer"),
        ({"changes": 3}, "no changes: int"),
        ({"changes": ["lr"]}, "write key=value"),
        ({"images": 1}, "images: 1 is not a whole number from 2 on"),
        ({"held_out": 1.5}, "held_out: 1.5 does not lie between 0 and 1"),
        ({"cache": "memry"}, "did you mean 'memory'"),
        ({"seed": "a"}, "seed: 'a' is not"),
        ({"workers": -1}, "workers: -1 is not a whole number from 0 on"),
        ({"threads": 0}, "threads: 0 is not"),
        ({"checkpoint_every": 0}, "checkpoint_every: 0 is not"),
        ({"device": "gpu"}, "cannot be used here"),
        ({"layout": "classes"}, "layout is for the images of a folder"),
        ({"folder": 3}, "no folder: int"),
        ({"init": "nowhere"}, "no such file"),
        ({"resolution": "a"}, "resolution: expected one number of pixels"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_anything_is_written(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    asked = {"network": "small_resnet", "folder": tmp_path / "run", **options}
    with pytest.raises(ScalenetError, match=said):
        scalenet.train(asked.pop("network"), asked.pop("data", None), say=None, **asked)
    assert not (tmp_path / "run").exists()


def test_a_training_that_diverges_is_no_fault_of_the_user(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="diverged"):
        scalenet.train(
            tiny / "net.yaml", tiny / "images", folder=tmp_path, say=None, **{**QUICK, "learning_rate": 1e30}
        )


@pytest.mark.parametrize(("epochs", "said"), [(1, "running_var has values that are not finite"), (2, "loss is nan")])
def test_statistics_that_are_not_finite_are_never_kept(tiny: Path, tmp_path: Path, epochs: int, said: str) -> None:
    options = {**QUICK, "batch_size": 36, "learning_rate": 1e6, "changes": {"average": None, "minival": 0}}
    with pytest.raises(RunError, match=rf"diverged at step .*{said}; try .*\(no checkpoint is older\)"):
        scalenet.train(tiny / "net.yaml", tiny / "images", folder=tmp_path, say=None, **{**options, "epochs": epochs})
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"part": "al"}, "did you mean 'all'"), ({"crop": 3}, "crop 3 is no share"), ({"resolution": 0}, "resolution")],
)
def test_evaluation_refuses_what_it_does_not_know(result: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ScalenetError, match=said):
        scalenet.evaluate(result[0].folder, **options)
    with pytest.raises(ScalenetError, match="no such file"):
        scalenet.evaluate(result[0].folder / "none")
