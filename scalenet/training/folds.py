"""Folds: every image is held out once, by one training or another (cross-validation).

The images are dealt into so many folds, class by class, so that each has its share of every class. What is drawn first
(`first_fold`) holds out fold 0 and trains on the others; `fold_of` gives the same images with another fold held out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from scalenet.training.data import ImageSet
from scalenet.training.decoding import DataError, Files
from scalenet.training.selection import Selection, divide, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from scalenet.training.data import Splits
    from scalenet.training.sources import Source


def first_fold(source: Source, *, folds: int, seed: int, limit: int | None = None) -> Selection:
    """Draw by the seed the images of fold 0, which are held out, and those of the other folds, to train on.

    With a `limit` about so many are trained on. Raise `DataError` where the source has held-out images of its own, or a
    class has fewer images than there are folds.
    """
    if source.held_out is not None:
        alone = f", or give the training images alone: --data {source.root / source.places[0]}"
        raise DataError(
            f"{source.root}: has held-out images of its own, and --folds is for data without",
            hint=f"leave --folds out{alone if source.places[0] else ''}",
        )
    files, rest = source.train, Files()
    if limit is not None:
        files, rest = divide(files, round(limit * folds / (folds - 1)), seed=seed, stream=1, root=source.root)
    sizes = {name: len(found) for name, found in files.items()}
    _check(sizes, folds, source.name)

    dealt = np.cumsum([0, *sizes.values()])
    counts = np.diff(-(-dealt // folds))  # fold 0 gets each image whose number, class after class, divides by it
    held_out, train = draw(files, counts.tolist(), seed=seed, stream=0)
    return Selection(source, train, held_out, None, 1 / folds, sum(map(len, rest.values())))


def fold_of(splits: Splits, number: int, *, folds: int, seed: int) -> Splits:
    """Return the images with another fold held out; those of fold 0 are the held-out ones of what is given."""
    if number == 0:
        return splits
    train, first = splits.train, splits.validation
    assert isinstance(train, ImageSet)
    assert isinstance(first, ImageSet)
    inside = torch.from_numpy(_dealt(train.labels, folds - 1, seed) == number - 1)
    images = torch.cat([train.images[~inside], first.images])
    labels = torch.cat([train.labels[~inside], first.labels])
    held_out = ImageSet(train.images[inside], train.labels[inside])
    return replace(splits, train=ImageSet(images, labels), validation=held_out)


def check_folds(splits: Splits, folds: int) -> None:
    """Raise `DataError` where files that could not be decoded leave a fold without an image of a class."""
    counts = torch.bincount(splits.train.labels, minlength=len(splits.classes)).tolist()
    _check({name: count + 1 for name, count in zip(splits.classes, counts, strict=True)}, folds, splits.name)


def _check(sizes: dict[str, int], folds: int, name: str) -> None:
    scarce = min(sizes, key=sizes.__getitem__)
    if sizes[scarce] < folds:
        raise DataError(
            f"{name}: {sizes[scarce]} images of class {scarce} are too few for {folds} folds: each holds one out",
            hint="give fewer --folds, or more images",
        )


def _dealt(labels: Tensor, folds: int, seed: int) -> NDArray[np.int64]:
    """Return which of so many folds each image is in: dealt out in turns, class after class, each in a drawn order."""
    own = labels.numpy()
    order = np.random.default_rng(np.random.SeedSequence(abs(seed), spawn_key=(3,))).permutation(len(own))
    order = order[np.argsort(own[order], kind="stable")]
    found = np.empty(len(own), dtype=np.int64)
    found[order] = np.arange(len(own)) % folds
    return found
