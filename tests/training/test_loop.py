"""Training: it learns, it repeats itself bit for bit, and all candidates see the same data."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalenet.training.augmentation import draw, flip_and_shift
from scalenet.training.data import ImageSet, Splits, embedded_splits
from scalenet.training.loop import Training
from scalenet.training.progress import DivergedError, Listener, Outcome, Progress
from scalenet.training.recipe import Augmentation, Recipe, change, load_recipe
from scalenet.training.statistics import channel_statistics

if TYPE_CHECKING:
    from collections.abc import Callable


def changed(recipe: Recipe, **changes: Any) -> Recipe:
    return change(recipe, [(key.replace("__", "."), value) for key, value in changes.items()])


def recipe_of(**changes: Any) -> Recipe:
    return changed(load_recipe("search"), **changes)


def train(
    module: nn.Module,
    splits: Splits,
    *,
    recipe: Recipe,
    resolution: tuple[int, int],
    seed: int,
    listener: Listener | None = None,
) -> Outcome:
    return Training(module, splits, recipe=recipe, resolution=resolution, seed=seed).run(listener)


def network(width: int = 8, *, classes: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


def easy(count: int, *, seed: int) -> ImageSet:
    """Make images whose colour is their class, under noise."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    palette = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [160, 160, 160]])
    images = palette[labels][:, :, None, None] + generator.normal(0, 40, (count, 3, 12, 12))
    return ImageSet(torch.from_numpy(images.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels.astype(np.int64)))


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(easy(320, seed=0), easy(100, seed=1), ("r", "g", "b", "w"), "easy", "sha256:0")


RECIPE = recipe_of(epochs=2, batch_size=16, optimizer__lr=0.02, optimizer__momentum=0.0, statistics_images=64)


def run(splits: Splits, *, recipe: Recipe = RECIPE, resolution: tuple[int, int] = (12, 12), seed: int = 0) -> Outcome:
    return train(network(), splits, recipe=recipe, resolution=resolution, seed=seed)


def test_an_easy_task_is_learned(splits: Splits) -> None:
    outcome = run(splits)
    assert outcome.scores.top1 > 0.8
    assert outcome.scores.loss < 1.0
    assert outcome.scores.correct.dtype == torch.bool
    assert outcome.scores.correct.shape == (100,)
    assert outcome.scores.top1 == pytest.approx(outcome.scores.correct.double().mean().item())
    assert outcome.images == 640
    assert outcome.seconds > 0
    assert [record["epoch"] for record in outcome.curve] == [1, 2]
    assert outcome.curve[1]["loss"] < outcome.curve[0]["loss"]


@pytest.mark.parametrize("optimizer", ["rmsprop", "rmsprop_tf", "sgd", "adamw"])
def test_training_twice_gives_the_same_bits(splits: Splits, optimizer: str) -> None:
    recipe = changed(RECIPE, optimizer__kind=optimizer, augmentation__flip=True, augmentation__shift=0.125)
    modules = [network(), network()]
    outcomes = [train(m, splits, recipe=recipe, resolution=(10, 14), seed=3) for m in modules]
    assert outcomes[0].scores.loss == outcomes[1].scores.loss
    assert torch.equal(outcomes[0].scores.correct, outcomes[1].scores.correct)
    for one, two in zip(modules[0].state_dict().values(), modules[1].state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_another_seed_trains_otherwise(splits: Splits) -> None:
    assert run(splits, seed=0).scores.loss != run(splits, seed=1).scores.loss


def test_the_callers_random_numbers_are_left_alone(splits: Splits) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    module = network()
    torch.manual_seed(7)
    train(module, splits, recipe=RECIPE, resolution=(12, 12), seed=0)
    assert torch.equal(torch.rand(3), expected)


class Recorder(nn.Module):
    """Note the mean brightness of each training batch before passing it on."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.seen: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen.append(images.mean().item())
        logits: Tensor = self.module(images)
        return logits


@pytest.mark.parametrize("flip", [False, True])
def test_all_candidates_see_the_same_images_in_the_same_order(splits: Splits, flip: bool) -> None:
    recipe = changed(RECIPE, augmentation__flip=flip)
    narrow, wide = Recorder(network(4, seed=0)), Recorder(network(12, seed=9))
    for recorder in (narrow, wide):
        train(recorder, splits, recipe=recipe, resolution=(12, 12), seed=5)
    assert len(narrow.seen) == 40
    assert narrow.seen == wide.seen


def test_the_order_does_not_depend_on_the_resolution(splits: Splits) -> None:
    small, large = Recorder(network()), Recorder(network())
    train(small, splits, recipe=RECIPE, resolution=(6, 6), seed=5)
    train(large, splits, recipe=RECIPE, resolution=(12, 12), seed=5)
    assert small.seen == pytest.approx(large.seen, abs=0.02)


def test_a_loss_that_is_not_finite_stops_the_training(splits: Splits) -> None:
    recipe = recipe_of(
        optimizer__kind="sgd", optimizer__lr=1e38, schedule__warmup=0.0, batch_size=16, optimizer__momentum=0.0
    )
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 4))
    with pytest.raises(
        DivergedError, match=r"step \d+ of \d+: the loss is (nan|inf); try a learning rate below 1e\+38"
    ):
        train(module, splits, recipe=recipe, resolution=(12, 12), seed=0)


class Ear(Listener):
    """Pass each step on."""

    def __init__(self, hear: Callable[[Progress], None]) -> None:
        self.hear = hear

    def step(self, training: Training, progress: Progress) -> None:  # noqa: ARG002 - as a listener hears
        self.hear(progress)


def test_interruption_passes_through(splits: Splits) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network(), splits, recipe=RECIPE, resolution=(12, 12), seed=0, listener=Ear(interrupt))


def test_progress_ends_with_the_last_step(splits: Splits) -> None:
    seen: list[Progress] = []
    train(network(), splits, recipe=RECIPE, resolution=(12, 12), seed=0, listener=Ear(seen.append))
    assert (seen[-1].step, seen[-1].steps) == (40, 40)
    assert (seen[-1].epoch, seen[-1].epochs) == (2, 2)
    assert all(one.step < two.step for one, two in itertools.pairwise(seen))


def test_the_result_does_not_depend_on_the_batch_norm_momentum(splits: Splits) -> None:
    outcomes = []
    for momentum in (0.1, 0.01):
        module = network()
        module[1].momentum = momentum  # type: ignore[index]
        outcomes.append(train(module, splits, recipe=RECIPE, resolution=(12, 12), seed=0))
        assert module[1].momentum == momentum  # type: ignore[index]
    assert outcomes[0].scores.loss == outcomes[1].scores.loss


def test_a_mean_of_weights_gets_statistics_of_its_own(splits: Splits) -> None:
    recipe = changed(RECIPE, statistics_images=0, average__share=0.2)
    outcome = run(splits, recipe=recipe)
    assert outcome.scores.top1 > 0.8
    assert outcome.statistics_images == 256


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    few = Splits(easy(8, seed=0), easy(8, seed=1), ("r", "g", "b", "w"), "few", "sha256:0")
    outcome = train(network(), few, recipe=recipe_of(epochs=2), resolution=(12, 12), seed=0)
    assert outcome.images == 16


def test_the_embedded_task_trains() -> None:
    tiny = embedded_splits(train=64, validation=32, size=16, seed=0)
    outcome = train(network(classes=16), tiny, recipe=recipe_of(epochs=1), resolution=(16, 16), seed=0)
    assert np.isfinite(outcome.scores.loss)


def test_channel_statistics_are_those_of_the_pixels() -> None:
    images = torch.randint(0, 256, (50, 3, 6, 6), dtype=torch.uint8)
    mean, deviation = channel_statistics(images)
    pixels = images.double().transpose(0, 1).flatten(1)
    assert torch.allclose(mean.flatten().double(), pixels.mean(1), atol=1e-3)
    assert torch.allclose(deviation.flatten().double(), pixels.std(1, correction=0), atol=1e-3)


@pytest.mark.parametrize("wanted", [{"flip": True}, {"shift": 0.125}, {"flip": True, "shift": 0.125}])
def test_augmentation_follows_its_draws(wanted: dict[str, Any]) -> None:
    images, augmentation = torch.randn(16, 3, 16, 24), Augmentation(**wanted)
    draws = [draw(augmentation, 16, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    one, two, other = (flip_and_shift(images, augmentation, numbers) for numbers in draws)
    assert one.shape == images.shape
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_shifted_images_are_their_own_parts() -> None:
    image = torch.arange(1.0, 16 * 16 + 1).view(1, 1, 16, 16).expand(8, 3, 16, 16)
    augmentation = Augmentation(shift=0.125)
    shifted = flip_and_shift(image, augmentation, draw(augmentation, 8, torch.Generator().manual_seed(0)))
    centre = shifted[:, 0, 8, 8] - image[0, 0, 8, 8]
    rows, columns = (centre / 16).round(), centre - 16 * (centre / 16).round()
    assert rows.abs().max() <= 2
    assert columns.abs().max() <= 2


def test_the_rate_rises_and_falls_to_zero() -> None:
    for schedule in ("cosine", "linear"):
        recipe = recipe_of(optimizer__lr=1.0, schedule__kind=schedule)
        rates = [recipe.rate(step, steps=100, epoch_steps=20, batch=32) for step in range(100)]
        assert rates[0] < rates[5] < rates[10] == 1.0
        assert sorted(rates[10:], reverse=True) == rates[10:]
        assert 0 < rates[-1] < 0.02


def test_a_small_rest_neither_weighs_too_much_nor_breaks_batch_norm() -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(100, 156, (257, 3, 4, 4), dtype=torch.uint8, generator=draw)
    images[256] = 255
    some = ImageSet(images, torch.arange(257) % 4)
    splits = Splits(some, some, ("a", "b", "c", "d"), "rest", "sha256:0")
    module = nn.Sequential(nn.Conv2d(3, 3, 4), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4))
    recipe = recipe_of(epochs=1, batch_size=64, optimizer__lr=1e-12, average=None, optimizer__momentum=0.0)
    train(module, splits, recipe=recipe, resolution=(4, 4), seed=0)
    mean, deviation = channel_statistics(images)
    inputs = module[0]((images - mean) / deviation)
    running = module[1].running_mean
    assert running is not None
    assert torch.allclose(running, inputs.mean((0, 2, 3)).detach(), atol=0.05)


def test_parts_of_a_batch_have_the_gradient_of_the_whole(splits: Splits) -> None:
    modules = [nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 4)) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    for module, parts in zip(modules, (1, 3), strict=True):
        recipe = changed(RECIPE, epochs=1, optimizer__kind="sgd", accumulate=parts, clip=0.5, average=None)
        train(module, splits, recipe=recipe, resolution=(12, 12), seed=0)
    assert torch.allclose(modules[0][1].weight, modules[1][1].weight, atol=1e-5)  # type: ignore[arg-type]


def test_clipping_bounds_the_step(splits: Splits) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 4))
    before = module[1].weight.clone()
    recipe = changed(
        RECIPE, epochs=1, batch_size=320, optimizer__kind="sgd", optimizer__lr=1.0, clip=0.01, average=None
    )
    train(module, splits, recipe=changed(recipe, schedule__warmup=0.0), resolution=(12, 12), seed=0)
    assert (module[1].weight - before).norm() <= 0.0101


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_short_numbers_learn_too(splits: Splits, precision: str) -> None:
    assert run(splits, recipe=changed(RECIPE, precision=precision, epochs=3)).scores.top1 > 0.7


def test_a_moving_average_keeps_what_tensorflows_does(splits: Splits) -> None:
    recipe = changed(RECIPE, average={"kind": "ema", "decay": 0.5}, statistics_images=0, epochs=1)
    seen: list[Tensor] = []

    class Watch(Listener):
        def step(self, training: Training, progress: Progress) -> None:  # noqa: ARG002 - as a listener hears
            seen.append(training.module[6].weight.detach().clone())  # type: ignore[index]

    module = network()
    train(module, splits, recipe=recipe, resolution=(12, 12), seed=0, listener=Watch())
    average = seen[0]
    for count, weights in enumerate(seen[1:], start=1):
        kept = min(0.5, (1 + count) / (10 + count))
        average = kept * average + (1 - kept) * weights
    assert torch.allclose(module[6].weight, average, atol=1e-6)  # type: ignore[arg-type]


def test_five_answers_count_where_there_are_more_than_five_classes(splits: Splits) -> None:
    scores = run(splits).scores
    assert scores.top5 is None, "there are four classes"
    confusion = scores.confusion()
    assert confusion.sum() == 100
    assert confusion.diagonal().sum() == round(100 * scores.top1)
