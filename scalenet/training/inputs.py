"""The images of a training as its network takes them: in the seed's order, augmented, normalised, in batches."""

from __future__ import annotations

from itertools import tee
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scalenet.arch.errors import ScalenetError
from scalenet.training.augmentation import Draws, draw, flip_and_shift, follow_policy, load_policy
from scalenet.training.data import ImageSet
from scalenet.training.feed import feed, normalizer
from scalenet.training.statistics import channel_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.training.data import Images, Splits
    from scalenet.training.distributed import World
    from scalenet.training.feed import Feed, Key, Normalization
    from scalenet.training.preprocessing import Interpolation
    from scalenet.training.recipe import Recipe

EPOCH_STRIDE = 1_000_003
"""How far apart the random streams of two seeds begin: each epoch of a seed has one of its own."""

_STATISTICS_SAMPLE = 1024


class Inputs:
    """The batches of a training's images; all follow from the seed, whatever network takes them.

    `batches` of `batch_size` images are an epoch; `ready` makes values from 0 to 255 the input of a network.
    """

    def __init__(
        self,
        splits: Splits,
        recipe: Recipe,
        *,
        size: tuple[int, int],
        seed: int,
        world: World,
        device: torch.device,
        layout: torch.memory_format,
        workers: int = 0,
        normalization: Normalization | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        """Open the images; the normalization is that of the training images unless given."""
        self.interpolation: Interpolation = interpolation
        self.recipe, self.seed, self.world, self.layout = recipe, seed, world, layout

        def opened(images: Images, *, training: bool = False) -> Feed:
            return feed(
                images,
                size=size,
                augmentation=recipe.augmentation if training else None,
                test_crop=recipe.test_crop,
                device=device,
                layout=layout,
                workers=workers,
                interpolation=interpolation,
            )

        self.train = opened(splits.train, training=True)
        self.validation = opened(splits.validation)
        self.minival = None if splits.minival is None else opened(splits.minival)
        self.batch_size = min(recipe.batch_size, len(splits.train))
        self.batches = max(1, len(splits.train) // recipe.batch_size)
        self._check_parts()
        self.normalization = normalization or self._normalization(splits.train)
        self.ready = normalizer(self.normalization, device, layout)

    @property
    def broken(self) -> tuple[str, ...]:
        """The images that could not be decoded, once each."""
        feeds = [self.train, self.validation, *([] if self.minival is None else [self.minival])]
        return tuple(dict.fromkeys(name for one in feeds for name in one.broken))

    def epoch(self, number: int, *, done: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's inputs and labels of an epoch's batches but for the first `done`, part by part.

        Each batch has as many parts as the recipe accumulates.
        """
        keys, again = tee(self._keys(number, done))
        for (images, labels), (_, draws) in zip(self.train.augmented(keys), again, strict=True):
            yield self._augmented(images, draws), labels

    def _keys(self, epoch: int, done: int) -> Iterator[Key]:
        """Yield the places of each part's images, and their random numbers, which are drawn for whole batches."""
        draws = torch.Generator().manual_seed(self.seed * EPOCH_STRIDE + epoch)
        order = torch.randperm(len(self.train.labels), generator=draws)
        for batch in range(self.batches):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            numbers = draw(self.recipe.augmentation, len(chosen), draws)
            if batch < done:
                continue
            mine = self.world.part(torch.arange(len(chosen)))
            for part in torch.tensor_split(mine, self.recipe.accumulate):
                yield chosen[part], {name: values[part] for name, values in numbers.items()}

    def _augmented(self, images: Tensor, draws: Draws) -> Tensor:
        augmentation = self.recipe.augmentation
        if augmentation.policy is not None:
            images = follow_policy(images, load_policy(augmentation.policy), draws["policy"])
        images = flip_and_shift(self.ready(images), augmentation, draws)
        return images.contiguous(memory_format=self.layout)  # shifts leave a pixel's channels together

    def _normalization(self, images: Images) -> Normalization:
        """Return the normalization of the training images, of a sample of them where they are not in memory."""
        if isinstance(images, ImageSet):
            pixels = images.images
        else:
            sample = torch.arange(0, len(images), max(1, len(images) // _STATISTICS_SAMPLE))
            pixels = torch.cat([batch[labels >= 0] for batch, labels in self.train.plain(sample)]).cpu()
        mean, deviation = channel_statistics(pixels)
        return tuple(mean.flatten().tolist()), tuple(deviation.flatten().tolist())

    def _check_parts(self) -> None:
        parts = self.world.size * self.recipe.accumulate
        if self.batch_size < parts:
            raise ScalenetError(
                f"a batch of {self.batch_size} images cannot be divided into {parts} parts",
                hint="take a larger --batch-size, or a smaller --set accumulate=",
            )
