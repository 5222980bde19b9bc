"""Images that statistics are estimated from, as a network takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scalenet.arch.layers import both
from scalenet.training.data import embedded_splits, read_part
from scalenet.training.embedded import rendered_size
from scalenet.training.feed import feed, normalizer
from scalenet.training.preprocessing import before_crop
from scalenet.training.runs import EMBEDDED
from scalenet.training.selection import HELD_OUT, select
from scalenet.training.sources import native_size
from scalenet.training.statistics import sample_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from scalenet.training.checkpoint import About
    from scalenet.training.data import ImageSet
    from scalenet.training.preprocessing import Preprocessing
    from scalenet.training.sources import Source


def sample(about: About, source: Source | None, *, size: int, note: Callable[[str], None]) -> ImageSet | None:
    """Return training images that statistics are estimated from, of `size` pixels before the centre is taken.

    Those are of `source`, or the embedded ones where the network was trained on them; without either there are none.
    Images that the training held out are left out.
    """
    training = about.training
    if source is None:
        if training is None or training.images.name != EMBEDDED:
            return None
        count = sample_size(training.images.train)
        return embedded_splits(train=count, validation=1, size=rendered_size(size)).train  # type: ignore[return-value]
    total = sum(map(len, source.train.values()))
    seed = 0 if training is None else training.drawn_by
    fraction = HELD_OUT if training is None else training.images.drawn or HELD_OUT
    chosen = select(source, seed=seed, limit=sample_size(total), fraction=fraction)
    found, skipped = read_part(
        chosen.train, source, size=min(size, native_size(source)), interpolation=about.interpolation
    )
    for line in skipped:
        note(f"skipped {line}")
    return found


def inputs(images: ImageSet, preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Yield batches of images as a network takes them, [N, 3, height, width]."""
    device, layout = torch.device("cpu"), torch.contiguous_format
    batches = feed(
        images,
        size=both(preprocessing.size),
        augmentation=None,
        test_crop=preprocessing.crop,
        device=device,
        layout=layout,
        workers=0,
        interpolation=preprocessing.interpolation,
    )
    ready = normalizer(preprocessing.normalization, device, layout)
    for batch, _ in batches.plain(torch.arange(len(images.labels))):
        yield ready(batch)


def pixels(preprocessing: Preprocessing) -> int:
    """Return the side of images of which the centre is taken."""
    return before_crop(max(both(preprocessing.size)), preprocessing.crop)
