"""Batch-norm statistics are those of the weights that are judged, however short the training."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import torch
from test_loop import RECIPE, changed, easy, network
from torch import Tensor, nn

from scalenet import load
from scalenet.training import runs
from scalenet.training.checkpoint import checkpoints, read_trained
from scalenet.training.data import Splits
from scalenet.training.loop import Training
from scalenet.training.progress import Listener
from scalenet.training.scoring import Scores
from scalenet.training.statistics import ARRIVAL, LEAST, MOST, NormStatistics, estimate, sample_size

if TYPE_CHECKING:
    from pathlib import Path

SLOW = 0.001
"""A momentum with which no training here comes to its statistics."""

EMA = {"kind": "ema", "decay": 0.9}
PLAIN = changed(RECIPE, statistics_images=0, evaluate_every=1, average=None)
CLASSES = ("r", "g", "b", "w")


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(easy(320, seed=0), easy(100, seed=1), CLASSES, "easy", "sha256:0")


def slow(momentum: float | None = SLOW) -> nn.Module:
    """Return a network whose maps are far from what running statistics start with: a small spread around 3."""
    module: Any = network()
    module[0].weight.data.mul_(0.02)
    module[0].bias = nn.Parameter(torch.full((8,), 3.0))
    module[1].momentum = momentum
    return module


def training(module: nn.Module, splits: Splits, **changes: Any) -> Training:
    return Training(module, splits, recipe=changed(PLAIN, **changes), resolution=(12, 12), seed=0)


def exact_accuracy(module: Any, run: Training, splits: Splits) -> float:
    """Return the held-out accuracy with the exact statistics of all training images, worked out by hand."""
    with torch.no_grad():
        seen = module[0](run.inputs.ready(splits.train.images)).double()  # type: ignore[union-attr]
        mean, variance = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
        maps = module[0](run.inputs.ready(splits.validation.images)).double()  # type: ignore[union-attr]
        scale, shift = (module[1].weight / (variance + module[1].eps).sqrt()), module[1].bias
        normal = (maps - mean[:, None, None]) * scale[:, None, None] + shift[:, None, None]
        logits = module[6](normal.relu().mean((2, 3)).float())
    return (logits.argmax(1) == splits.validation.labels).double().mean().item()


@pytest.mark.parametrize(
    "changes",
    [{}, {"average": EMA}, {"average": {"kind": "tail", "share": 0.3}}, {"accumulate": 2}, {"precision": "bfloat16"}],
    ids=["last", "ema", "tail", "parts", "bfloat16"],
)
def test_a_short_training_is_judged_as_with_the_exact_statistics(splits: Splits, changes: dict[str, Any]) -> None:
    module = slow()
    run = training(module, splits, epochs=3, **changes)
    outcome = run.run()
    assert outcome.statistics_images == LEAST
    assert outcome.scores.top1 > 0.8
    assert outcome.scores.top1 == pytest.approx(exact_accuracy(module, run, splits), abs=0.03)
    top1 = [record["held_out_top1"] for record in outcome.curve]
    assert top1[-1] > 0.7
    assert [record["statistics_images"] for record in outcome.curve] == [LEAST] * 3
    if changes.get("average", EMA) == EMA:
        assert top1[-1] == outcome.scores.top1


def test_without_them_it_would_be_at_chance(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalenet.training.statistics.ARRIVAL", 0.0)
    outcome = training(slow(), splits, epochs=3).run()
    assert outcome.statistics_images == 0
    assert outcome.scores.top1 < 0.6


def test_the_learning_curve_of_a_search_rises(splits: Splits) -> None:
    glimpses: list[float] = []

    class Ear(Listener):
        def epoch(self, training: Training) -> None:
            glimpses.append(training.glimpse())

    run = Training(slow(), splits, recipe=changed(RECIPE, epochs=4, optimizer__lr=3e-5), resolution=(12, 12), seed=0)
    outcome = run.run(Ear())
    assert glimpses[0] > 0.5, "chance is 0.25"
    assert glimpses[-1] > glimpses[0] + 0.1
    assert glimpses[-1] == pytest.approx(outcome.scores.top1, abs=0.1), "no jump at the end"


def test_running_statistics_count_once_they_have_arrived(splits: Splits) -> None:
    outcome = training(slow(2 * ARRIVAL / 60), splits, epochs=3).run()
    assert [record["statistics_images"] for record in outcome.curve] == [LEAST, 0, 0]
    assert outcome.statistics_images == 0
    assert outcome.scores.top1 > 0.8


def test_judging_does_not_change_the_training(splits: Splits) -> None:
    outcomes = []
    modules = [slow(), slow()]
    for module, every in zip(modules, (1, 0), strict=True):
        outcomes.append(training(module, splits, epochs=3, evaluate_every=every).run())
    losses = [[record["loss"] for record in outcome.curve] for outcome in outcomes]
    assert losses[0] == losses[1]
    for one, two in zip(modules[0].state_dict().values(), modules[1].state_dict().values(), strict=True):
        assert torch.equal(one, two)


class Frozen(nn.BatchNorm2d):
    """Stays in evaluation mode, as fine-tuning code often has it."""

    def train(self, mode: bool = True) -> Frozen:  # noqa: ARG002 - as torch calls it
        return super().train(False)


@pytest.mark.parametrize("own", [True, False])
def test_frozen_norms_stay(splits: Splits, own: bool) -> None:
    module = slow()
    if own:
        norm = Frozen(8).train()
        module[1] = norm  # type: ignore[index]
    else:
        norm = module[1].eval()  # type: ignore[index]
    norm.running_mean.fill_(0.5)
    outcome = training(module, splits, epochs=2).run()
    assert torch.equal(norm.running_mean, torch.full((8,), 0.5))
    assert norm.num_batches_tracked == 0
    assert outcome.statistics_images == 0


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 8), nn.BatchNorm2d(8, track_running_stats=False), nn.Identity()])
def test_norms_without_running_statistics_need_none(splits: Splits, norm: nn.Module) -> None:
    module = network()
    module[1] = norm  # type: ignore[index]
    run = training(module, splits, epochs=2)
    assert run.judge.norms.remark(run.steps) is None
    assert run.run().statistics_images == 0


def test_a_mean_over_the_whole_training_never_counts(splits: Splits) -> None:
    module = slow(None)
    run = training(module, splits, epochs=3)
    assert "the running ones are of the whole training" in (run.judge.norms.remark(10**9) or "")
    assert run.run().statistics_images == LEAST
    assert module[1].momentum is None  # type: ignore[index]


def test_each_norm_has_its_own_momentum(splits: Splits) -> None:
    module = nn.Sequential(nn.BatchNorm2d(3, momentum=1.0), nn.BatchNorm2d(3, momentum=SLOW), *list(network())[:])
    run = training(module, splits)
    assert run.judge.norms.late(module, 1) == [module[0], module[1], module[3]]
    assert run.judge.norms.late(module, 200) == [module[1]]
    assert run.judge.norms.remark(200) == (
        f"batch-norm statistics are estimated from {LEAST} training images before each evaluation: "
        "the running ones need 10,000 batches at momentum 0.001, and there are 200"
    )


def test_an_interrupted_estimate_leaves_the_running_statistics(splits: Splits) -> None:
    module = slow()
    run = training(module, splits)
    before = {name: value.clone() for name, value in module.state_dict().items()}

    def interrupt(images: Tensor) -> Tensor:
        raise KeyboardInterrupt

    run.judge.norms.prepare = interrupt
    with pytest.raises(KeyboardInterrupt), run.judge.judged(module, 0):
        pass
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module[1].momentum == SLOW  # type: ignore[index]
    assert module[1].training  # type: ignore[index]


def test_a_batch_of_one_image_is_passed_over() -> None:
    norm = nn.BatchNorm2d(3)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), norm)
    images = torch.randn(5, 3, 4, 4)
    estimate(module, [norm], iter([images[:4], images[4:]]))
    assert torch.allclose(norm.running_mean, images[:4].mean((0, 2, 3)))  # type: ignore[arg-type]
    kept = norm.running_mean.clone()  # type: ignore[union-attr]
    estimate(module, [norm], iter([images[4:]]))
    assert torch.equal(norm.running_mean, kept)  # type: ignore[arg-type]


def test_samples_are_bounded() -> None:
    assert [sample_size(n) for n in (10, LEAST, 5000, 10**7)] == [10, LEAST, 500, MOST]


def test_broken_images_are_no_part_of_an_estimate(splits: Splits) -> None:
    module = slow()
    run = training(module, splits)
    images = splits.train.images[:8]  # type: ignore[union-attr]

    class Broken:
        labels = torch.zeros(8)

        def plain(self, chosen: Tensor) -> Any:  # noqa: ARG002 - as a feed has it
            yield images, torch.tensor([0, -1, 0, 0, -1, 0, 0, 0])

    run.judge.norms = NormStatistics(module, Broken(), prepare=run.inputs.ready, seed=0)  # type: ignore[arg-type]
    sizes: list[int] = []
    module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    run.judge.norms.estimate(module, run.judge.norms.free(module))
    assert sizes == [6]


def test_a_checkpoint_is_evaluated_with_statistics_of_its_weights(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        (tiny / "net.yaml").read_text().replace("batchnorm}", "batchnorm, momentum: 0.001}")
    )
    recipe = changed(PLAIN, epochs=12, average=EMA, optimizer__lr=0.01)
    reading = runs.Reading(seed=0)
    splits = runs.read_images(tiny / "images", recipe=recipe, resolution=(8, 8), reading=reading)

    def stop(progress: Any) -> None:
        if progress.step == progress.steps - 2:
            raise KeyboardInterrupt

    notes: list[str] = []
    with contextlib.suppress(KeyboardInterrupt):
        runs.train(
            load(tmp_path / "net.yaml"), splits, tmp_path / "run", recipe=recipe, reading=reading, every=4, tell=stop
        )
    for file in checkpoints(tmp_path / "run" / "checkpoints"):
        assert runs.evaluate(read_trained(file), tiny / "images", part="all").top1 > 0.8
    row = runs.train(
        load(tmp_path / "net.yaml"), splits, tmp_path / "run", recipe=recipe, reading=reading, note=notes.append
    )
    assert row["top1"] > 0.8
    assert "need 10,000 batches at momentum 0.001" in "".join(notes)
    assert runs.evaluate(read_trained(tmp_path / "run"), tiny / "images").top1 == pytest.approx(row["top1"], abs=1e-6)
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert log[-1].split(",")[log[0].split(",").index("statistics_images")] == "108"
    assert "estimated at the end, from 108 training images" in (tmp_path / "run" / "MODEL_CARD.md").read_text()


def scores_of(labels: list[int], predictions: list[int], loss: float, classes: int = 4) -> Scores:
    count = len(labels)
    tensors = torch.tensor(labels), torch.tensor(predictions), torch.ones(count) > 0, torch.full((count,), loss)
    return Scores(classes, *tensors)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (scores_of([0, 1, 2], [1, 1, 1], 0.5), ["all 3 images were taken for one class, 'g'"]),
        (
            scores_of([0, 1, 2], [1, 1, 0], 1.3863),
            ["the loss, 1.386, is no better than a guess's, 1.386 for 4 classes"],
        ),
        (scores_of([1, 1, 1], [1, 1, 1], 0.1), []),
        (scores_of([0, 1], [0, 1], 0.1), []),
        (scores_of([], [], 0.1), ["the loss, nan, is no better than a guess's, 1.386 for 4 classes"]),
    ],
)
def test_what_speaks_against_a_network_is_said(scores: Scores, said: list[str]) -> None:
    assert scores.doubts(CLASSES) == said


def test_a_loss_that_is_not_finite_is_no_figure() -> None:
    assert scores_of([0, 1], [0, 1], float("inf"), classes=6).figures() == {"top1": 1.0, "top5": 1.0, "loss": None}
