"""Speed of the training step and of the input pipeline, as ratios to plain PyTorch in the same run.

    python benchmarks/training.py [FOLDER]
    python benchmarks/training.py --device cuda

The reference is what one writes by hand: a loop with SGD in the default layout, and a `DataLoader` over JPEG files that
decodes each with Pillow, crops it at random, flips it and stacks. FOLDER has class folders of JPEG files; without it,
noisy ones are written. Where timm and torchvision can be imported, timm's loader reads the same files, and torchvision
makes the changes of AutoAugment and RandAugment. Figures are images a CPU second (of this process and its workers, one
thread each), which the load of the machine changes less than the clock's; rounds alternate, and the ratio is the median
of the rounds'. On a GPU they are those of the clock, of the step alone, in float32 and in bfloat16.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from scalenet import build, load
from scalenet.training.augmentation import draw, follow_policy, load_policy
from scalenet.training.data import ImageSet, Splits, read, stream
from scalenet.training.loop import Training
from scalenet.training.numerics import memory_format
from scalenet.training.optimizers import optimizer
from scalenet.training.progress import Listener, Progress
from scalenet.training.recipe import Augmentation, change, load_recipe
from scalenet.training.selection import select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BATCH, STEPS, ROUNDS, WORKERS = 32, 6, 7, 2
GPU_BATCH, GPU_STEPS, GPU_ROUNDS = 64, 20, 3
IMAGES = 1024
"""Images of a folder that are read at most."""
OPERATORS = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the workers that have ended; `os.times` counts in hundredths."""
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass(frozen=True)
class Where:
    """What a step is taken on; on a GPU, which each step waits for, the clock counts."""

    device: str = "cpu"
    precision: str = "float32"
    batch: int = BATCH
    steps: int = STEPS
    rounds: int = ROUNDS

    def now(self) -> float:
        """Return seconds."""
        return cpu_seconds() if self.device == "cpu" else time.perf_counter()

    def speed(self, ends: list[float]) -> float:
        """Return images a second by when each step ended; the first half of a GPU's steps tune its kernels."""
        ends = ends if self.device == "cpu" else ends[len(ends) // 2 :]
        return self.batch * (len(ends) - 1) / (ends[-1] - ends[0])


class Clock(Listener):
    """Notes when each step ends."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.ends: list[float] = []

    def step(self, training: Training, progress: Progress) -> None:  # noqa: ARG002 - as a listener hears
        self.ends.append(self.where.now())


def ratios(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS
) -> tuple[float, float, list[float]]:
    """Return the median images a second of both, and the ratio of each round, after one that does not count."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    one, two = (median(column) for column in zip(*pairs, strict=True))
    return one, two, sorted(first / second for first, second in pairs)


def report(name: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS) -> None:
    """Print a line."""
    one, two, found = ratios(ours, theirs, rounds)
    print(f"{name:42} {one:7.0f} {two:10.0f} {median(found):7.2f}   {found[0]:.2f} to {found[-1]:.2f}", flush=True)


def our_step(name: str, size: int, where: Where) -> Callable[[], float]:
    """Return what measures our whole step on images in memory: batches, augmentation, network, SGD."""
    given = {"batch_size": where.batch, "epochs": 1, "evaluate_every": 0, "average": None, "precision": where.precision}
    recipe = change(load_recipe("small_images"), given.items())
    count = where.batch * where.steps
    images = ImageSet(torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8), torch.arange(count) % 10)
    few = ImageSet(images.images[:10], images.labels[:10])
    splits = Splits(images, few, tuple(map(str, range(10))), "noise", "")

    def measure() -> float:
        network, clock = build(load(name), classes=10).to(where.device), Clock(where)
        layout = memory_format(recipe, load(name).at(size).model, network)
        Training(network, splits, recipe=recipe, resolution=(size, size), seed=0, layout=layout).run(clock)
        return where.speed(clock.ends)

    return measure


def plain_step(name: str, size: int, where: Where) -> Callable[[], float]:
    """Return what measures a hand-written step on a batch that is ready."""
    images, labels = torch.randn(where.batch, 3, size, size), torch.arange(where.batch) % 10
    images, labels = images.to(where.device), labels.to(where.device)
    lower = where.precision != "float32"

    def measure() -> float:
        network = build(load(name), classes=10).to(where.device)
        sgd = plain_sgd(network)
        ends = []
        for _ in range(where.steps):
            sgd.zero_grad()
            with torch.autocast(where.device, torch.bfloat16, enabled=lower):
                loss = functional.cross_entropy(network(images), labels, label_smoothing=0.1)
            loss.backward()  # type: ignore[no-untyped-call]
            sgd.step()
            loss.item()
            ends.append(where.now())
        return where.speed(ends)

    return measure


def descent(make: Callable[[nn.Module], torch.optim.Optimizer]) -> Callable[[], float]:
    """Return what measures the optimiser's steps alone, over the weights of ResNet-18."""
    network = build(load("resnet18"), classes=10)
    chosen = make(network)
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)

    def measure() -> float:
        start = cpu_seconds()
        for _ in range(STEPS):
            chosen.step()
        return STEPS / (cpu_seconds() - start)

    return measure


def plain_sgd(network: nn.Module) -> torch.optim.Optimizer:
    """Return SGD as a hand-written loop has it."""
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)


class Plain(Dataset[Any]):
    """Decodes, crops at random, flips and normalises one JPEG file, as is usual."""

    def __init__(self, files: list[str], size: int) -> None:
        self.files, self.size = files, size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Return a float image [3, size, size]."""
        with Image.open(self.files[index]) as opened:
            image = opened.convert("RGB")
        area, shape, down, across, flip = torch.rand(5).tolist()
        ratio, area = (3 / 4) ** (1 - 2 * shape), 0.08 + 0.92 * area
        width, height = min(1, (area * ratio) ** 0.5) * image.width, min(1, (area / ratio) ** 0.5) * image.height
        left, top = across * (image.width - width), down * (image.height - height)
        box = (left, top, left + width, top + height)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        if flip < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - 0.45) / 0.22


def plain_pipeline(files: list[str], size: int) -> Callable[[], float]:
    """Return what measures the usual DataLoader."""

    def measure() -> float:
        start = cpu_seconds()
        for _ in DataLoader(Plain(files, size), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True):
            pass
        return len(files) / (cpu_seconds() - start)

    return measure


def our_pipeline(splits: Splits, size: int) -> Callable[[], float]:
    """Return what measures our batches, augmented and normalised as the network takes them."""
    crops = {"augmentation.area": [0.08, 1.0], "augmentation.shift": 0.0, "batch_size": BATCH}
    recipe = change(load_recipe("small_images"), crops.items())
    training = Training(nn.Linear(1, 1), splits, recipe=recipe, resolution=(size, size), seed=0, workers=WORKERS)

    def measure() -> float:
        start = cpu_seconds()
        for _ in training.inputs.epoch(0):
            pass
        return len(splits.train) / (cpu_seconds() - start)

    return measure


def timm_pipeline(folder: Path, size: int) -> Callable[[], float]:
    """Return what measures timm's loader, with its usual crops and flips alone."""
    data: Any = import_module("timm.data")
    files: Any = import_module("timm.data.dataset").ImageDataset(str(folder))
    files.reader.samples = files.reader.samples[:: -(-len(files) // IMAGES)]
    changes = {"scale": (0.08, 1.0), "hflip": 0.5, "color_jitter": 0.0, "interpolation": "bilinear"}
    workers = {"num_workers": WORKERS, "persistent_workers": False, "use_prefetcher": False}

    def measure() -> float:
        start = cpu_seconds()
        loader = data.create_loader(files, (3, size, size), BATCH, is_training=True, **workers, **changes)
        seen = sum(len(images) for images, _ in loader)
        return seen / (cpu_seconds() - start)

    return measure


def our_policy(name: Literal["autoaugment", "randaugment"], images: Tensor) -> Callable[[], float]:
    """Return what measures the changes of a policy on batches."""
    seeds = itertools.count()

    def measure() -> float:
        start, seed = cpu_seconds(), torch.Generator().manual_seed(next(seeds))
        for _ in range(STEPS):
            numbers = draw(Augmentation(policy=name), len(images), seed)["policy"]
            follow_policy(images, load_policy(name), numbers)
        return STEPS * len(images) / (cpu_seconds() - start)

    return measure


def torchvision_policy(name: Literal["autoaugment", "randaugment"], images: Tensor) -> Callable[[], float]:
    """Return what measures torchvision's changes, image after image, as bytes and bilinear too."""
    v2: Any = import_module("torchvision.transforms.v2")
    kind = {"autoaugment": v2.AutoAugment, "randaugment": v2.RandAugment}[name]
    change_one = kind(interpolation=v2.InterpolationMode.BILINEAR)

    def measure() -> float:
        start = cpu_seconds()
        for _ in range(STEPS):
            for image in images:
                change_one(image)
        return STEPS * len(images) / (cpu_seconds() - start)

    return measure


def find_references() -> bool:
    """Return whether timm and torchvision are here; without its operators the latter wants two of them declared."""
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    if find_spec("timm") is None or find_spec("torchvision") is None:
        print("timm and torchvision are not here: their rows are left out", file=sys.stderr)
        return False
    return True


def photographs(folder: Path) -> None:
    """Write JPEG files of photographs' size: smooth noise of 500 by 375 pixels."""
    draw = np.random.default_rng(0)
    for name, number in itertools.product(("a", "b"), range(128)):
        (folder / name).mkdir(exist_ok=True)
        small = Image.fromarray(draw.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(folder / name / f"{number}.jpg", quality=90)


def pipelines(folder: Path, size: int, title: str, *, references: bool) -> None:
    """Compare the pipelines on the files of a folder."""
    selection = select(find_source(folder), seed=0, limit=IMAGES, fraction=0.02)
    files = [file.path for found in selection.train.values() for file in found]
    cached = read(selection, size=round(size / 0.875))
    report(f"input, {title}, from files", our_pipeline(stream(selection), size), plain_pipeline(files, size))
    report(f"input, {title}, cached", our_pipeline(cached, size), plain_pipeline(files, size))
    if references:
        report(
            "the same, from files, timm's loader", our_pipeline(stream(selection), size), timm_pipeline(folder, size)
        )


def policies() -> None:
    """Compare the changes of policies with torchvision's."""
    images = torch.randint(0, 256, (BATCH, 3, 224, 224), dtype=torch.uint8)
    for name in ("autoaugment", "randaugment"):
        report(f"{name} at 224 px, torchvision", our_policy(name, images), torchvision_policy(name, images))


def steps(networks: Iterable[tuple[str, int]], where: Where) -> None:
    """Compare whole steps."""
    for name, size in networks:
        title = f"step, {name} at {size} px" + ("" if where.device == "cpu" else f", {where.precision}")
        report(title, our_step(name, size, where), plain_step(name, size, where), where.rounds)


def main() -> None:
    """Print images a second and ratios."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path, nargs="?", help="class folders of JPEG files, small ones")
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    torch.set_num_threads(1)
    print(f"{'':42} {'scalenet':>7} {'plain':>9} {'ratio':>7}   rounds")
    if given.device != "cpu":
        for precision in ("float32", "bfloat16"):
            where = Where(given.device, precision, GPU_BATCH, GPU_STEPS, GPU_ROUNDS)
            steps((("small_resnet", 32), ("resnet50", 224), ("efficientnet_b0", 224)), where)
        return
    references = find_references()
    steps((("resnet18", 64), ("mobilenet_v2", 96), ("efficientnet_b0", 96)), Where())
    recipe = load_recipe("small_images")
    report("SGD alone, steps a second", descent(lambda network: optimizer(network, recipe)), descent(plain_sgd))
    with tempfile.TemporaryDirectory() as folder:
        photographs(Path(folder))
        pipelines(Path(folder), 128, "500 × 375 px at 128 px", references=references)
    if given.folder:
        pipelines(given.folder, 32, f"{given.folder.name} at 32 px", references=references)
    if references:
        policies()


if __name__ == "__main__":
    main()
