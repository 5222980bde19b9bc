"""`train` and `evaluate` as one call each, with the defaults that the commands have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.results import check_folder
from scalenet.arch.validation import at_least
from scalenet.arch.words import hush, tell
from scalenet.model.threads import on_threads
from scalenet.scaling.scaler import load
from scalenet.training import runs
from scalenet.training.checkpoint import Trained, read_trained
from scalenet.training.data import stakes
from scalenet.training.devices import usable_device
from scalenet.training.distributed import world
from scalenet.training.folder import recorded_plan
from scalenet.training.recipe import Recipe, asked_recipe
from scalenet.training.redrawing import seen_of, told_seen
from scalenet.training.runs import PARTS, Reading
from scalenet.training.scoring import Evaluation
from scalenet.training.selection import HELD_OUT
from scalenet.training.sources import Source, told_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from torch import nn

    from scalenet.scaling.scaler import Network
    from scalenet.training.progress import Progress
    from scalenet.training.runs import Cache, Part
    from scalenet.training.sources import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What came of a training, on its held-out images; `folder` has the weights, curves and the model card.

    `train` and `held_out` are numbers of images; `seen` is how many of the held-out ones the weights that it started
    from were trained on, None where they had other images. `top1` and `top5` are shares, the last one None where there
    are five classes or fewer; `loss` is the mean cross-entropy in nats. `found` is what lay in the folder of images.
    """

    folder: Path
    data: str
    classes: int
    train: int
    held_out: int
    seen: int | None
    top1: float | None
    top5: float | None
    loss: float | None
    epochs: int
    best_epoch: int | None
    statistics_images: int
    seconds: float
    found: dict[str, Any] | None

    def module(self) -> nn.Module:
        """Return the trained network, in evaluation mode; its input is normalised as the model card says."""
        return read_trained(self.folder).module().eval()

    def curve(self) -> pd.DataFrame:
        """Return a row an epoch: rates, losses, shares of right answers, and seconds."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.read_csv(self.folder / "log.csv")


def train(
    network: Network,
    data: str | Path | Source | None = None,
    *,
    folder: str | Path = "runs/train",
    recipe: str | Path | Recipe | None = None,
    changes: Mapping[str, Any] | Sequence[str] = (),
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    resolution: int | tuple[int, int] | None = None,
    init: str | Path | Trained | None = None,
    images: int | None = None,
    held_out: float = HELD_OUT,
    layout: Layout | None = None,
    cache: Cache = "auto",
    strict: bool = False,
    seed: int = 0,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    checkpoint_every: int = 1000,
    force: bool = False,
    command: str = "",
    say: Callable[[str], None] | None = tell,
    read: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    epoch: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a network in a folder; the same call goes on where it stopped, from the newest checkpoint there.

    `data` is a folder of images (class folders, `train/` and `val/` with them, tar shards, CIFAR's binary files), or
    None for rendered ones. `recipe` is a name or a file, by default the paper's, or `finetune` with `init`, which are
    weights to start from: a file, or a training's folder. `changes` of the recipe are keys and values, as
    `{"optimizer.lr": 0.1}` or `["optimizer.lr=0.1"]`; `epochs`, `batch_size` and `learning_rate` come after them.

    `images` keeps that many training images, drawn by `seed`; `held_out` is the share that is held out where the data
    have no held-out images. `layout` says how they lie, where it is not clear; `cache` whether they are decoded once
    (`memory`), each time (`none`), or as memory allows; `strict` refuses data with images that cannot be used.

    `device` is the GPU where there is one, `workers` decode images, by default one a core and eight at most. `force`
    discards another training in the folder. Processes that `torchrun` started train together.

    `say` hears what is found, left out and doubted, in lines, by default on stderr. `read` hears how many images are
    read, of how many, `progress` each step, `epoch` each epoch's record, on the process that leads.

    Raise ScalenetError for what is asked wrongly, before anything is discarded, and RunError where a training diverges.
    """
    architecture = load(network) if resolution is None else load(network).at(resolution)
    usual = "efficientnet" if init is None else "finetune"
    chosen = asked_recipe(recipe or usual, changes, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    reading = Reading(seed=seed, images=images, held_out=held_out, cache=cache, strict=strict)
    every = at_least(1, checkpoint_every=checkpoint_every)
    decoding = decoders(workers)
    place = _path(folder, "folder")
    check_folder(place)
    weights = init if init is None or isinstance(init, Trained) else read_trained(init)
    own_threads = torch.get_num_threads() if threads is None else at_least(1, threads=threads)
    with on_threads(own_threads), world(usable_device(device)) as here:
        hear = say if say is not None and here.leads else hush
        source = _source(data, layout, hear)
        before = None if force else recorded_plan(place)
        splits = runs.read_images(
            source,
            recipe=chosen,
            resolution=architecture.network.size,
            reading=reading,
            cached=None if before is None else before.images.cached,
            interpolation="bilinear" if weights is None else weights.about.interpolation,
            progress=read,
        )
        for line in splits.skipped:
            hear(f"skipped {line}")
        hear(f"{stakes(splits)}; in {place}")
        seen = None
        if weights is not None and source is not None:
            selection = runs.drawn(source, chosen, reading)
            seen = seen_of(selection, weights.about.training)
            for line in told_seen(seen, selection, weights):
                hear(line)
        row = runs.train(
            architecture,
            splits,
            place,
            recipe=chosen,
            reading=reading,
            world=here,
            workers=decoding,
            init=weights,
            seen=seen,
            every=every,
            force=force,
            command=command,
            tell=progress or hush,
            report=epoch or hush,
            note=hear,
        )
    return TrainingResult(folder=place, found=splits.found, **row)


def evaluate(
    checkpoint: str | Path | Trained,
    data: str | Path | Source | None = None,
    *,
    part: Part | None = None,
    resolution: int | tuple[int, int] | None = None,
    crop: float | None = None,
    layout: Layout | None = None,
    strict: bool = False,
    device: str | None = None,
    workers: int | None = None,
    say: Callable[[str], None] | None = tell,
) -> Evaluation:
    """Evaluate trained weights, a file or the folder of a training, on images as `train` takes them.

    `part` is `held-out` or `all` images, by default those held out, where there are some: the data's own, or those that
    the training drew, where these are the images that it drew from. `resolution` and `crop`, the central share of the
    side, are the training's unless given.
    """
    hear = say or hush
    if part not in (None, *PARTS):
        raise UnknownNameError("part", str(part), PARTS, listing=f"known: {', '.join(PARTS)}")
    if crop is not None and not 0 < crop <= 1:
        raise ScalenetError(f"crop {crop:g} is no share of the side", hint="give a number above 0, up to 1")
    trained = checkpoint if isinstance(checkpoint, Trained) else read_trained(_path(checkpoint, "weights"))
    source = _source(data, layout, hear)
    remarks: list[str] = []

    def note(line: str) -> None:
        remarks.append(line)
        hear(line)

    scores = runs.evaluate(
        trained,
        source,
        part=part,
        resolution=None if resolution is None else trained.about.plan.config.network.at(resolution).size,
        test_crop=crop,
        strict=strict,
        device=usable_device(device),
        workers=decoders(workers),
        note=note,
    )
    listing = None if source is None else source.data()
    found = Evaluation(scores, trained.about.plan.classes, listing, tuple(remarks))
    for line in found.doubts():
        hear(line)
    return found


def _source(data: str | Path | Source | None, layout: Layout | None, hear: Callable[[str], None]) -> Source | None:
    """Return the images of a folder, and say what was found there; a source was found before."""
    if data is None:
        if layout is not None:
            raise ScalenetError("layout is for the images of a folder", hint="give data too")
        return None
    return told_source(data if isinstance(data, Source) else _path(data, "folder of images"), layout, hear)


def _path(value: Any, what: str) -> Path:
    if not isinstance(value, str | Path):
        raise ScalenetError(f"no {what}: {type(value).__name__}", hint="give a path")
    return Path(value)


def decoders(workers: int | None) -> int:
    """Return the number of processes that decode images."""
    return min(8, os.cpu_count() or 1) if workers is None else at_least(0, workers=workers)
