"""From images to batches: cut from memory, or decoded by worker processes; both give uint8 or float values 0 to 255."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scalenet.arch.interpreters import off_the_path
from scalenet.training.augmentation import Draws, crop, crop_box
from scalenet.training.data import FileSet, Images, ImageSet, central, resample
from scalenet.training.decoding import DataError, quiet, read_centre, read_crop, reason, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scalenet.training.decoding import Box, Pixels, Size
    from scalenet.training.preprocessing import Interpolation
    from scalenet.training.recipe import Augmentation

Key: TypeAlias = tuple[Tensor, Draws]
"""The places of a batch's images, and the random numbers of their augmentation."""

Normalization: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of values from 0 to 255."""

EVALUATION_BATCH = 256
UNKNOWN = -1
"""The label of an image that could not be decoded."""

_AHEAD = 4


class Feed(Protocol):
    """Batches of one set of images; `broken` names the images that could not be decoded."""

    labels: Tensor
    broken: dict[str, None]

    def augmented(self, keys: Iterable[Key]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images [n, 3, height, width] of each key, cropped as its draws say, and their labels [n]."""

    def plain(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the central parts of the chosen images in batches, and their labels: UNKNOWN for broken ones."""


def normalizer(
    normalization: Normalization, device: torch.device, layout: torch.memory_format
) -> Callable[[Tensor], Tensor]:
    """Return what makes a batch of values from 0 to 255 the input of a network."""
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in normalization)
    scale, offset = (1.0 / deviation).to(device), (-mean / deviation).to(device)
    return lambda images: images.to(torch.float32).mul_(scale).add_(offset).contiguous(memory_format=layout)


def feed(
    images: Images,
    *,
    size: Size,
    augmentation: Augmentation | None,
    test_crop: float,
    device: torch.device,
    layout: torch.memory_format,
    workers: int,
    interpolation: Interpolation = "bilinear",
) -> Feed:
    """Return the batches of a set of images at a size; `augmentation` is that of images to train on."""
    if isinstance(images, FileSet):
        decoded = _Decoded(images, size, augmentation, test_crop, interpolation)
        return FileFeed(decoded, device=device, workers=workers)
    return MemoryFeed(images, size, augmentation, test_crop, interpolation, device=device, layout=layout)


class MemoryFeed:
    """Images in memory, on the device that trains if it has room; resampled once where no random crops are taken."""

    def __init__(
        self,
        images: ImageSet,
        size: Size,
        augmentation: Augmentation | None,
        test_crop: float,
        interpolation: Interpolation,
        *,
        device: torch.device,
        layout: torch.memory_format,
    ) -> None:
        self.size, self.test_crop, self.interpolation = size, test_crop, interpolation
        pixels = images.images
        if augmentation is None:
            pixels, self.test_crop = resample(central(pixels, test_crop), *size, interpolation), 1.0
        elif augmentation.area is None:
            pixels = resample(pixels, *size, interpolation)
        self.pixels = pixels.to(_home(pixels, device)).contiguous(memory_format=layout)
        self.labels, self.device = images.labels.to(device), device
        self.augmentation = augmentation
        self.broken: dict[str, None] = {}

    def augmented(self, keys: Iterable[Key]) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen, draws in keys:
            images = self.pixels[chosen].to(self.device)
            if "crop" in draws and self.augmentation is not None:
                aspect = images.shape[3] / images.shape[2]
                boxes = [crop_box(one, self.augmentation, aspect=aspect) for one in draws["crop"].tolist()]
                images = crop(images, boxes, self.size)
            yield images, self.labels[chosen]

    def plain(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts(chosen):
            pixels = self.pixels[part].to(self.device)
            yield resample(central(pixels, self.test_crop), *self.size, self.interpolation), self.labels[part]


def _home(pixels: Tensor, device: torch.device) -> torch.device:
    """Return where pixels lie: on a GPU where they take less than half of what is free."""
    if device.type != "cuda" or 2 * pixels.nbytes < torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")


class FileFeed:
    """Encoded images, decoded by worker processes no larger than their crop needs."""

    def __init__(self, decoded: _Decoded, *, device: torch.device, workers: int) -> None:
        self.decoded, self.device, self.workers = decoded, device, workers
        self.labels, self.strict = decoded.images.labels, decoded.images.strict
        self.broken: dict[str, None] = {}

    def augmented(self, keys: Iterable[Key]) -> Iterator[tuple[Tensor, Tensor]]:
        for images, places in self._loaded(keys):
            yield self._whole(images, places)

    def plain(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for images, places in self._loaded((part, {}) for part in parts(chosen)):
            labels = torch.where(places >= 0, self.labels[places.clamp_min(0)], UNKNOWN)
            yield images, labels.to(self.device)

    def _loaded(self, keys: Iterable[Key]) -> Iterator[tuple[Tensor, Tensor]]:
        loader: DataLoader[Any] = DataLoader(
            self.decoded,
            sampler=map(_order, keys),  # a batch an order: the loader forms none
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=_AHEAD if self.workers else None,
            pin_memory=self.device.type == "cuda",
        )
        with off_the_path():
            batches = iter(loader)  # starts the workers
        for images, found, broken in batches:
            places = torch.tensor(found)
            self.broken.update(dict.fromkeys(broken))
            if broken and self.strict:
                raise DataError(f"{self.decoded.images.root}: {len(broken)} broken files: {some(broken)}")
            yield images.to(self.device, non_blocking=True), places

    def _whole(self, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Put a sound image of the batch in the place of each broken one."""
        sound = (places >= 0).nonzero().flatten()
        if not len(sound):
            raise DataError(
                f"{self.decoded.images.root}: none of {len(places)} images of a batch can be decoded: "
                f"{some(list(self.broken))}"
            )
        filled = torch.where(places >= 0, torch.arange(len(places)), sound[0])
        if len(sound) < len(places):
            images, places = images[filled.to(images.device)], places[filled]
        return images, self.labels[places].to(self.device)


_Order: TypeAlias = list[tuple[int, list[float] | None]]
"""The place of each image of a batch, and the numbers of its crop.

Plain numbers, since each tensor would go to a worker, or come from it, by a file of its own.
"""


def _order(key: Key) -> _Order:
    chosen, draws = key
    crops = draws["crop"].tolist() if "crop" in draws else [None] * len(chosen)
    return list(zip(chosen.tolist(), crops, strict=True))


class _Decoded(Dataset[Any]):
    """Decodes the images of an order in a worker process."""

    def __init__(
        self,
        images: FileSet,
        size: Size,
        augmentation: Augmentation | None,
        test_crop: float,
        interpolation: Interpolation,
    ) -> None:
        self.images, self.size, self.augmentation, self.test_crop = images, size, augmentation, test_crop
        self.interpolation = interpolation

    def __getitem__(self, order: _Order) -> tuple[Tensor, list[int], list[str]]:
        """Return images, their places (-1 for a broken one), and why which could not be decoded."""
        places, broken = [place for place, _ in order], []
        pixels = np.zeros((len(order), 3, *self.size), dtype=np.uint8)
        with quiet():
            for number, (place, numbers) in enumerate(order):
                try:
                    pixels[number] = self._read(place, numbers)
                except Exception as error:  # as in decoding.decode
                    places[number] = UNKNOWN
                    broken.append(f"{self.images.files[place].label(self.images.root)}: {reason(error)}")
        return torch.from_numpy(pixels), places, broken

    def _read(self, place: int, numbers: list[float] | None) -> Pixels:
        file, augmentation = self.images.files[place], self.augmentation
        if numbers is None or augmentation is None:
            share = self.test_crop if augmentation is None or augmentation.area is not None else 1.0
            return read_centre(file, self.size, share, self.interpolation)

        def boxes(aspect: float) -> Box:
            return crop_box(numbers, augmentation, aspect=aspect)

        return read_crop(file, boxes, self.size, self.interpolation)


def parts(chosen: Tensor) -> tuple[Tensor, ...]:
    """Divide places into parts of equal size: a small last one would weigh too much in batch-norm statistics."""
    return torch.tensor_split(chosen, max(1, -(-len(chosen) // EVALUATION_BATCH))) if len(chosen) else ()
