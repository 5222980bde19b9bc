"""A whole training, from images and a description to a folder of results; and the evaluation of what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import torch

from scalenet.arch.config import config_with
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.validation import at_least
from scalenet.arch.words import hush
from scalenet.model.builder import build
from scalenet.model.factories import checked
from scalenet.training.checkpoint import Images, Plan, Trained
from scalenet.training.data import embedded_splits, read, read_part, stream, stream_part
from scalenet.training.decoding import some
from scalenet.training.distributed import SINGLE, World
from scalenet.training.embedded import rendered_size
from scalenet.training.feed import feed, normalizer
from scalenet.training.folder import Folder
from scalenet.training.loop import Training
from scalenet.training.memory import fits
from scalenet.training.numerics import memory_format
from scalenet.training.preprocessing import before_crop
from scalenet.training.progress import DivergedError
from scalenet.training.redrawing import doubts, drawn_again
from scalenet.training.scoring import score
from scalenet.training.selection import HELD_OUT, select
from scalenet.training.sources import Source, find_source, native_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scalenet.arch.spec import Architecture
    from scalenet.training.data import Splits
    from scalenet.training.decoding import Files
    from scalenet.training.preprocessing import Interpolation
    from scalenet.training.progress import Progress
    from scalenet.training.recipe import Recipe
    from scalenet.training.scoring import Scores
    from scalenet.training.selection import Selection

Cache: TypeAlias = Literal["auto", "memory", "none"]
Part: TypeAlias = Literal["held-out", "all"]
CACHES, PARTS = get_args(Cache), get_args(Part)

EMBEDDED = "embedded"
"""The name of the images that are rendered."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a training's images are read.

    `images` keeps that many training images; `held_out` is the share that is held out where the data have no such
    images. With `cache` auto they are decoded once if the free memory holds them, and otherwise each time they are
    needed; `strict` refuses data with images that cannot be decoded.
    """

    seed: int
    images: int | None = None
    held_out: float = HELD_OUT
    cache: Cache = "auto"
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        at_least(0, seed=self.seed)
        if self.images is not None:
            at_least(2, images=self.images)
        if not (isinstance(self.held_out, int | float) and 0 < self.held_out < 1):
            raise ScalenetError(f"held_out: {self.held_out!r} does not lie between 0 and 1")
        if self.cache not in CACHES:
            raise UnknownNameError("cache", str(self.cache), CACHES, listing=f"known: {', '.join(CACHES)}")


def read_images(
    data: Path | Source | None,
    *,
    recipe: Recipe,
    resolution: tuple[int, int],
    reading: Reading,
    cached: bool | None = None,
    interpolation: Interpolation = "bilinear",
    progress: Callable[[int, int], None] | None = None,
) -> Splits:
    """Return the images of a folder, or the embedded ones, for a recipe and a resolution.

    `cached` says how an earlier part of this training had them, where `cache` leaves it open.
    """
    size = before_crop(max(resolution), recipe.test_crop)
    if data is None:
        limit = {} if reading.images is None else {"train": reading.images}
        return embedded_splits(size=rendered_size(size), minival=recipe.minival, **limit)
    source = data if isinstance(data, Source) else find_source(data)
    selection = drawn(source, recipe, reading)
    size = min(size, native_size(source))
    # As read, and once more at the network's resolution; each process of this machine has its own.
    copies = 2 * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if reading.cache == "auto":
        memory = cached if cached is not None else fits(len(selection), size=size, copies=copies)
    else:
        memory = reading.cache == "memory"
    if not memory:
        return stream(selection, strict=reading.strict)
    return read(
        selection, size=size, copies=copies, strict=reading.strict, interpolation=interpolation, progress=progress
    )


def drawn(source: Source, recipe: Recipe, reading: Reading) -> Selection:
    """Return which images of a source a training has for what."""
    return select(source, seed=reading.seed, limit=reading.images, fraction=reading.held_out, minival=recipe.minival)


def train(
    architecture: Architecture,
    splits: Splits,
    folder: Path,
    *,
    recipe: Recipe,
    reading: Reading,
    world: World = SINGLE,
    workers: int = 0,
    init: Trained | None = None,
    seen: int | None = None,
    every: int = 1000,
    force: bool = False,
    command: str = "",
    tell: Callable[[Progress], None] = hush,
    report: Callable[[dict[str, float]], None] = hush,
    note: Callable[[str], None] = hush,
) -> dict[str, Any]:
    """Train a network in a folder, from its newest checkpoint if it has one, and return the row of its results.

    `init` are weights to start from, and `seen` is how many held-out images they were trained on, where that is known.
    A checkpoint is written `every` so many steps and after each epoch. `force` discards another training in the folder,
    once nothing speaks against this one. The process that leads calls `report` with each epoch's record.
    """
    plan = training_plan(architecture, splits, recipe, seed=reading.seed, init=init)
    keeper = Folder(folder, plan, seen=seen, every=every, force=force, tell=tell, report=report)
    with torch.random.fork_rng():
        torch.manual_seed(reading.seed)
        network = build(plan.config.network)
    if init is not None:
        init.check(architecture.network)
        init.start(network, splits.classes)
    network = network.to(world.device)
    training = Training(
        network,
        splits,
        recipe=recipe,
        resolution=plan.config.network.size,
        seed=reading.seed,
        world=world,
        workers=workers,
        normalization=None if init is None else init.about.normalization,
        interpolation="bilinear" if init is None else init.about.interpolation,
        layout=memory_format(recipe, plan.config.network, network),
    )
    keeper.begin(training, command=command, found=splits.found, note=note)
    if (line := training.judge.norms.remark(training.steps * recipe.accumulate)) is not None:
        note(line)
    try:
        outcome = training.run(keeper)
    except DivergedError as error:
        raise DivergedError(error.message, hint=keeper.newest()) from None
    for line in (*(f"skipped {name}" for name in outcome.broken), *outcome.scores.doubts(splits.classes)):
        note(line)
    return keeper.finish(training, outcome)


def evaluate(
    trained: Trained,
    data: Path | Source | None,
    *,
    part: Part | None = None,
    resolution: tuple[int, int] | None = None,
    test_crop: float | None = None,
    strict: bool = False,
    device: str = "cpu",
    workers: int = 0,
    note: Callable[[str], None] = hush,
) -> Scores:
    """Evaluate trained weights on the images of a folder, or on the embedded held-out images.

    `part` is `held-out` or `all` images; unless given, the held-out ones where the data have some or where this
    training drew some from these very images, and else all. Resolution and crop are the training's unless given. The
    labels of the scores are those of the training's classes. `note` hears which images these are, and whether the
    network may have been trained on some.
    """
    about, plan = trained.about, trained.about.plan
    size, crop = resolution or plan.config.network.size, test_crop or plan.crop
    network = trained.module().to(device)
    training = about.training
    layout = memory_format(None if training is None else training.recipe, plan.config.network, network)
    images, broken = _evaluation_images(trained, data, part, before_crop(max(size), crop), strict, note)
    batches = feed(
        images,
        size=size,
        augmentation=None,
        test_crop=crop,
        device=torch.device(device),
        layout=layout,
        workers=workers,
        interpolation=about.interpolation,
    )
    scores = score(
        network.to(memory_format=layout),  # type: ignore[call-overload]
        batches,
        prepare=normalizer(about.normalization, torch.device(device), layout),
        classes=len(plan.classes),
    )
    for name in [*broken, *batches.broken]:
        note(f"skipped {name}")
    return scores


def training_plan(
    architecture: Architecture,
    splits: Splits,
    recipe: Recipe,
    *,
    seed: int,
    init: Trained | None = None,
    drawn_by: int | None = None,
) -> Plan:
    """Return everything that a training's weights follow from.

    `drawn_by` is the seed that drew its held-out images, where that is not its own.
    """
    network, classes = architecture.network, len(splits.classes)
    if network.channels != 3:
        raise ScalenetError(f"{architecture.name} takes images of {network.channels} colours; the images have 3")
    network = checked(recipe.applied(network.with_classes(classes)))
    return Plan(
        schema="scalenet-training/1",
        config=config_with(network, name=architecture.name),
        recipe=recipe,
        images=Images.of(splits, drawn_by),
        classes=splits.classes,
        seed=seed,
        init=None if init is None else init.digest,
    )


def _evaluation_images(
    trained: Trained,
    data: Path | Source | None,
    part: Part | None,
    size: int,
    strict: bool,
    note: Callable[[str], None],
) -> tuple[Any, list[str]]:
    """Return the images to evaluate, with the labels of the training's classes, and those that cannot be decoded."""
    plan, training = trained.about.plan, trained.about.training
    if data is None:
        if training is None or training.images.name != EMBEDDED:
            raise ScalenetError(f"{trained.place}: {plan.source}", hint="give its images with --data")
        return embedded_splits(train=1, size=rendered_size(size)).validation, []
    source = data if isinstance(data, Source) else find_source(data)
    if strict:
        source.check_whole()
    unknown = [name for name in source.classes if name not in plan.classes]
    if unknown:
        raise ScalenetError(f"{source.root}: classes that {trained.place} was not trained on: {some(unknown)}")
    found = _part(source, trained, part, note)
    files = {name: found.get(name, []) for name in plan.classes}
    size = min(size, native_size(source))
    cached = training is not None and training.images.cached
    if cached and fits(sum(map(len, files.values())), size=size, copies=2):
        return read_part(files, source, size=size, strict=strict, interpolation=trained.about.interpolation)
    return stream_part(files, source, strict=strict), []


def _part(source: Source, trained: Trained, part: str | None, note: Callable[[str], None]) -> Files:
    """Return the images that are asked for, and say which they are; raise ScalenetError where none were held out."""
    again = None if part == "all" else drawn_again(source, trained.about.training)
    if part != "all" and source.held_out is not None:
        chosen, which = source.held_out, "the held-out"
    elif again is not None:
        chosen, which = again.validation, "the held-out (drawn again)"
    elif part == "held-out":
        raise ScalenetError(
            f"{source.root}: has no held-out images, and is not what {trained.place} drew its own from",
            hint="--part all evaluates all of them",
        )
    else:
        parts = [source.train, source.held_out or {}]
        chosen, which = {name: [file for one in parts for file in one.get(name, [])] for name in source.classes}, "all"
    note(f"{sum(map(len, chosen.values()))} images: {which} ones of {source.name}")
    for line in [] if part == "all" or again is not None else doubts(source, trained):
        note(line)
    return chosen
