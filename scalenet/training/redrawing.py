"""Which images a training had for what, drawn once more for the weights that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.training.data import names_of
from scalenet.training.decoding import DataError
from scalenet.training.selection import select

if TYPE_CHECKING:
    from scalenet.training.checkpoint import Plan, Trained
    from scalenet.training.selection import Selection
    from scalenet.training.sources import Source


def drawn_again(source: Source, plan: Plan | None) -> Selection | None:
    """Return which images of a source a training had for what, where it drew that from these very images, else None.

    What is drawn follows from all names and numbers of the files, so that of a folder that was changed since then
    nothing is known. The images are known by the digest that the plan has of them, wherever they lie.
    """
    if plan is None or plan.images.drawn is None or source.held_out is not None or source.classes != plan.classes:
        return None
    images = plan.images
    seed, fraction, minival = plan.drawn_by, plan.images.drawn, plan.recipe.minival if images.minival else 0
    used = images.train + images.minival
    left = sum(map(len, source.train.values())) - used - images.validation
    if left < 0:
        return None
    # What is left was beyond the limit, which plans do not hold, or could not be decoded.
    for limit in (used, None) if left else (None,):
        try:
            chosen = select(source, seed=seed, limit=limit, fraction=fraction, minival=minival)
        except DataError:
            continue
        if names_of(chosen, images.digest.split("-", 1)[0]) == images.digest:
            return chosen
    return None


def seen_of(chosen: Selection, plan: Plan | None) -> int | None:
    """Return how many of the held-out images a training was trained on, or None where it had other images."""
    before = drawn_again(chosen.source, plan)
    if before is None:
        return None
    used = {file for part in (before.train, before.minival or {}) for found in part.values() for file in found}
    return sum(file in used for found in chosen.validation.values() for file in found)


def told_seen(count: int | None, chosen: Selection, trained: Trained) -> list[str]:
    """Say how many of the held-out images weights were trained on, if any were."""
    if not count:
        return []
    held_out = sum(map(len, chosen.validation.values()))
    share = f"{count:,} of the {held_out:,} held-out images of {chosen.name}"
    return [f"{share} were training images of {trained.place}, so that accuracies are too good"]


def doubts(source: Source, trained: Trained) -> list[str]:
    """Say that weights may have been trained on a source's images, of which nothing can be drawn again.

    Nothing is said of other data: where what the training drew from had another name, or it drew nothing.
    """
    plan = trained.about.training
    if plan is None or plan.images.drawn is None or plan.images.name != source.name:
        return []
    return [
        f"{trained.place} may have been trained on some of these: {source.name} is not what it was then (images.digest "
        "differ), so that the images that it held out cannot be drawn again"
    ]
