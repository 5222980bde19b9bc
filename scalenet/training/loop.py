"""Train a network and say how good it is on held-out images.

All trainings share this code: a search's candidates, a whole training and a fine-tuning differ by their recipe. The
order of the images, the augmentation and the dropout stream follow from the seed alone, so that two candidates differ
by their architecture and nothing else, and a training that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice, tee
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.model.names import names_of_today
from scalenet.training.augmentation import Draws, draw, flip_and_shift, follow_policy, load_policy
from scalenet.training.averages import average_model
from scalenet.training.data import ImageSet
from scalenet.training.distributed import SINGLE, World, synchronise
from scalenet.training.feed import feed, normalizer
from scalenet.training.optimizers import optimizer
from scalenet.training.recipe import Ema, Tail
from scalenet.training.scoring import Scores, score
from scalenet.training.statistics import NormStatistics, batch_norms, channel_statistics
from scalenet.training.tensors import below, mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.optim.swa_utils import AveragedModel

    from scalenet.training.data import Images, Splits
    from scalenet.training.feed import Feed, Key, Normalization
    from scalenet.training.recipe import Recipe

_EPOCH_STRIDE = 1_000_003
_STATISTICS_STREAM = 999_983
_STATISTICS_SAMPLE = 1024
_NUMBERS = {"epoch", "batch", "sums", "curve", "best", "scaler", "seconds"}
_RUNNING = ("running_mean", "running_var")


class DivergedError(RunError):
    """Report a training whose loss is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Say after each step how far a training is.

    `step` of `steps` are done; epochs count from 1; `loss` is the mean of the epoch so far, `seconds` the wall time,
    `images` the number of training images seen since the training was started or went on.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    seconds: float
    images: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what a training came to.

    `scores` are those of the held-out images, `seconds` the wall time of training and evaluation, `images` the number
    of training images seen (repetitions counted), `curve` one record an epoch, `best_epoch` the one whose weights were
    chosen (None: the last). The batch-norm statistics come from `statistics_images` training images (0: they are the
    running ones). `broken` names the images that could not be decoded.
    """

    scores: Scores
    seconds: float
    images: int
    curve: list[dict[str, float]]
    best_epoch: int | None
    statistics_images: int
    broken: tuple[str, ...]


@dataclass
class State:
    """All that a training goes on from: tensors by name, and numbers as JSON has them; `place` names it in errors."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]
    place: str = "the state"


@dataclass
class _Sums:
    """What is summed over an epoch."""

    loss: float = 0.0
    right: float = 0.0
    seen: int = 0


@dataclass
class _Best:
    """The best epoch on the minival, and its weights."""

    epoch: int
    top1: float
    weights: dict[str, Tensor] = field(repr=False)


class Listener:
    """Hears of a training; this one ignores it."""

    def step(self, training: Training, progress: Progress) -> None:
        """Hear of a finished step."""

    def epoch(self, training: Training) -> None:
        """Hear of a finished epoch, the last of `training.curve`."""


class Training:
    """One training: a module that is trained in place, images, recipe and seed, and how far it is."""

    def __init__(
        self,
        module: nn.Module,
        splits: Splits,
        *,
        recipe: Recipe,
        resolution: tuple[int, int],
        seed: int,
        world: World = SINGLE,
        workers: int = 0,
        normalization: Normalization | None = None,
    ) -> None:
        """Prepare a training on the device of the module's parameters.

        `resolution` is (height, width) in pixels; `workers` processes decode images that are not in memory. The
        normalization is that of the training images unless given.
        """
        self.device = next(module.parameters()).device
        self.recipe, self.seed, self.world, self.classes = recipe, seed, world, len(splits.classes)
        if recipe.sync_batchnorm and world.size > 1:
            synchronise(module)
        # Channels last is a quarter faster on CPUs, and the same numbers for every candidate.
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.module: nn.Module = module.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.resolution, self.workers = resolution, workers
        self.data = self._feed(splits.train, training=True)
        self.validation = self._feed(splits.validation)
        self.minival = None if splits.minival is None else self._feed(splits.minival)
        self.normalization = normalization or self._normalization(splits.train)
        self.ready = normalizer(self.normalization, self.device, self.layout)
        stream = seed * _EPOCH_STRIDE + _STATISTICS_STREAM
        self.norms = NormStatistics(self.module, self.data, prepare=self.ready, seed=stream)
        self.batch_size = min(recipe.batch_size, len(splits.train))
        self.batches = max(1, len(splits.train) // recipe.batch_size)
        self.steps = recipe.epochs * self.batches
        self._check_parts()
        self.optimizer = optimizer(module, recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "float16")
        self.model = self._parallel()
        self.averaged: AveragedModel | None = None
        self.epoch = self.batch = 0
        self.sums = _Sums()
        self.curve: list[dict[str, float]] = []
        self.best: _Best | None = None
        self.random: Mapping[str, Tensor] = {}
        self.earlier, self.seen_before, self.started = 0.0, 0, time.perf_counter()

    def run(self, listener: Listener | None = None) -> Outcome:
        """Train what is left and evaluate; the caller's random numbers are left alone.

        On the CPU the result is the same bit for bit for one seed, thread count and library version, stopped in
        between or not. Raise `DivergedError` when the loss is not finite.
        """
        listener = listener or Listener()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.seed + _EPOCH_STRIDE * self.world.rank)
            self._restore_random()
            self.seen_before = self.images
            while self.epoch < self.recipe.epochs and not self._stale():
                self._epoch(listener)
            statistics_images = self._finish()
            scores = self._score(self.module, self.validation)
        return Outcome(
            scores=scores,
            seconds=self.seconds,
            images=self.images,
            curve=self.curve,
            best_epoch=None if self.best is None else self.best.epoch,
            statistics_images=statistics_images,
            broken=tuple(dict.fromkeys(name for part in self._feeds() for name in part.broken)),
        )

    @property
    def seconds(self) -> float:
        """The wall time of the training, earlier parts of it included."""
        return self.earlier + time.perf_counter() - self.started

    @property
    def step(self) -> int:
        """The number of steps taken."""
        return self.epoch * self.batches + self.batch

    @property
    def images(self) -> int:
        """The number of training images seen, repetitions counted."""
        return self.step * self.batch_size

    @property
    def sound(self) -> bool:
        """Whether all weights are finite; after a step too large they are not, before the next loss says so."""
        return all(bool(parameter.isfinite().all()) for parameter in self.module.parameters())

    def evaluated(self) -> nn.Module:
        """Return the network whose accuracy counts: the moving average, if there is one."""
        if isinstance(self.recipe.average, Ema) and self.averaged is not None:
            averaged: nn.Module = self.averaged.module
            return averaged
        return self.module

    @contextmanager
    def judged(self, module: nn.Module) -> Iterator[int]:
        """Have a network with the last weights, or their moving average, ready to be judged with statistics of its own.

        Yield how many training images they are estimated from, 0 where they are the running ones. In the end they are
        as before.
        """
        late = self._late(module, self.step)
        with self._autocast(), self.norms.judged(module, late, step=self.step):
            yield self.norms.sample if late else 0

    def glimpse(self) -> float:
        """Return the top-1 of the weights as they are on held-out images, a tenth as many as there are to train on.

        It costs some 2 % of an epoch, and changes nothing.
        """
        count, wanted = len(self.validation.labels), max(1, len(self.data.labels) // 10)
        # Drawn: of classes that lie in turns, every so manieth image may be of one.
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))[:wanted]
        self.module.eval()
        with torch.random.fork_rng(devices=[]), torch.no_grad(), self.judged(self.module):
            right = [
                self.module(self.ready(images)).argmax(1) == labels for images, labels in self.validation.plain(chosen)
            ]
        return torch.cat(right).double().mean().item()

    def state(self) -> State:
        """Return all that the training goes on from; all processes take part."""
        tensors = {f"weights/{name}": value for name, value in self.module.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"average/{name}": value for name, value in self.averaged.state_dict().items()}
        if self.best is not None:
            tensors |= {f"best/{name}": value for name, value in self.best.weights.items()}
        else:
            tensors |= {f"judged/{name}": value for name, value in self._statistics().items()}
        for name, parameter in self.module.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{name}/{key}"] = value
        for kind, value in self._random().items():
            for rank, one in enumerate(self.world.gathered(value)):
                tensors[f"random/{rank}/{kind}"] = one
        numbers = {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": vars(self.sums),
            "curve": self.curve,
            "best": None if self.best is None else {"epoch": self.best.epoch, "top1": self.best.top1},
            "scaler": self.scaler.state_dict(),
            "seconds": self.seconds,
        }
        return State(tensors, numbers)

    def restore(self, state: State) -> None:
        """Go back to a state; raise ScalenetError, and change nothing, where it is of another network or damaged."""
        tensors, numbers = names_of_today(state.tensors, self.module), state.numbers
        self._check(tensors, numbers, state.place)
        self.module.load_state_dict(below(tensors, "weights/"))
        if average := below(tensors, "average/"):
            self.averaged = average_model(self.module, self.recipe.average)
            self.averaged.load_state_dict(average)
        if numbers["best"] is not None:
            self.best = _Best(**numbers["best"], weights=below(tensors, "best/"))
        for name, parameter in self.module.named_parameters():
            for key, value in below(tensors, f"optimizer/{name}/").items():
                self.optimizer.state[parameter][key] = _like(value, parameter)
        self.random = below(tensors, f"random/{self.world.rank}/")
        self.epoch, self.batch, self.sums = numbers["epoch"], numbers["batch"], _Sums(**numbers["sums"])
        self.curve, self.earlier = numbers["curve"], numbers["seconds"]
        self.scaler.load_state_dict(numbers["scaler"])

    def _check(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], place: str) -> None:
        """Raise ScalenetError unless a state is whole, and of this network."""
        if missing := _NUMBERS - numbers.keys():
            raise ScalenetError(f"{place}: damaged: no {min(missing)}")
        parts = ["weights/"] if numbers["best"] is None else ["weights/", "best/"]
        if any(name.startswith("average/") for name in tensors):
            parts.append("average/module.")
        wanted = self.module.state_dict()
        for part in parts:
            if (wrong := mismatch(below(tensors, part), wanted)) is not None:
                raise ScalenetError(f"{place}: {part.rstrip('./')} of another network: {wrong}")

    def _statistics(self) -> dict[str, Tensor]:
        """Return the statistics that the network would be judged with now, where they are not its running ones."""
        network = self.module if self.averaged is None else self.averaged.module
        norms = self.norms.free(network) if self._mean else self._late(network, self.step)
        names = {f"{name}.{kind}" for name, norm in batch_norms(network).items() if norm in norms for kind in _RUNNING}
        with self._autocast(), self.norms.judged(network, norms, step=self.step):
            return {name: value.clone() for name, value in network.state_dict().items() if name in names}

    def _epoch(self, listener: Listener) -> None:
        self.norms.train()
        before, began = self.sums.seen, time.perf_counter()
        keys, again = tee(self._keys())
        loaded = ((*batch, key[1]) for batch, key in zip(self.data.augmented(keys), again, strict=True))
        while self.batch < self.batches:
            self._step(list(islice(loaded, self.recipe.accumulate)))
            self.batch += 1
            listener.step(self, self._progress())
        speed = (self.sums.seen - before) / (time.perf_counter() - began)
        record = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "learning_rate": self._rate(self.step - 1),
            "loss": self.sums.loss / self.sums.seen,
            "accuracy": self.sums.right / self.sums.seen,
            "images_per_second": speed,
            "seconds": self.seconds,
        }
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, _Sums()
        self.curve.append(record | self._held_out())
        listener.epoch(self)

    def _keys(self) -> Iterator[Key]:
        """Yield this process's parts of the batches that are left of an epoch, with their random numbers."""
        draws = torch.Generator().manual_seed(self.seed * _EPOCH_STRIDE + self.epoch)
        order, done = torch.randperm(len(self.data.labels), generator=draws), self.batch
        for batch in range(self.batches):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            numbers = draw(self.recipe.augmentation, len(chosen), draws)
            if batch < done:  # before the training was stopped
                continue
            mine = self.world.part(torch.arange(len(chosen)))
            for part in torch.tensor_split(mine, self.recipe.accumulate):
                yield chosen[part], {name: values[part] for name, values in numbers.items()}

    def _step(self, parts: list[tuple[Tensor, Tensor, Draws]]) -> None:
        """Take one step on a batch, given in parts."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.step) * group["factor"]
        self.optimizer.zero_grad()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, part in enumerate(parts, start=1):
            with self._apart(number < len(parts)):
                totals += self._backward(*part)
        loss, right = self.world.total(totals).tolist()
        self._check_finite(loss)
        self._descend()
        self._average()
        self.sums.loss += loss * self.batch_size
        self.sums.right += right
        self.sums.seen += self.batch_size

    def _backward(self, images: Tensor, labels: Tensor, draws: Draws) -> Tensor:
        """Add a part's gradients; return its share of the batch's loss, and how many images it had right."""
        inputs = self._augmented(images, draws)
        with self._autocast():
            logits = self.model(inputs)
            loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        share = len(labels) / self.batch_size
        # Processes average their gradients, and the batch's is their sum.
        self.scaler.scale(loss * (share * self.world.size)).backward()  # type: ignore[no-untyped-call]
        right = (logits.detach().argmax(1) == labels).sum()
        return torch.stack((loss.detach().to(torch.float64) * share, right.to(torch.float64)))

    def _descend(self) -> None:
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _augmented(self, images: Tensor, draws: Draws) -> Tensor:
        augmentation = self.recipe.augmentation
        if augmentation.policy is not None:
            images = follow_policy(images, load_policy(augmentation.policy), draws["policy"])
        return flip_and_shift(self.ready(images), augmentation, draws)

    def _autocast(self) -> AbstractContextManager[None]:
        if self.recipe.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.recipe.precision))

    def _apart(self, wanted: bool) -> AbstractContextManager[None]:
        """Keep gradients in this process until the last part of a batch."""
        if wanted and isinstance(self.parallel, DistributedDataParallel):
            return self.parallel.no_sync()
        return nullcontext()

    def _rate(self, step: int) -> float:
        return self.recipe.rate(step, steps=self.steps, epoch_steps=self.batches, batch=self.batch_size)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"training diverged at step {self.step + 1} of {self.steps}: the loss is {loss}; "
                f"try a learning rate below {self.recipe.optimizer.lr:g}"
            )

    def _average(self) -> None:
        match self.recipe.average:
            case Tail(share=share) if self.steps - self.step > round(share * self.steps):
                return
            case None:
                return
        if self.averaged is None:
            self.averaged = average_model(self.module, self.recipe.average)
        self.averaged.update_parameters(self.module)

    def _held_out(self) -> dict[str, float]:
        """Evaluate where the recipe wants it, and remember the best epoch."""
        if not self.recipe.evaluate_every or self.epoch % self.recipe.evaluate_every:
            return {}
        evaluated = self.evaluated()
        with self.judged(evaluated) as used:
            scores = self._score(evaluated, self.minival or self.validation)
            if self.minival is not None and (self.best is None or scores.top1 > self.best.top1):
                weights = {name: value.detach().clone() for name, value in evaluated.state_dict().items()}
                self.best = _Best(self.epoch, scores.top1, weights)
        found = {"held_out_loss": scores.loss, "held_out_top1": scores.top1, "statistics_images": used}
        if scores.top5 is not None:
            found["held_out_top5"] = scores.top5
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _stale(self) -> bool:
        """Return whether no epoch was better for as long as the recipe waits."""
        if self.recipe.patience is None or self.best is None:
            return False
        return self.epoch - self.best.epoch >= self.recipe.patience

    def _finish(self) -> int:
        """Put the weights that count into the module, with statistics of theirs.

        Return how many images these are estimated from, 0 where they are the running ones.
        """
        step, wanted = self.step, self.recipe.statistics_images
        if self.best is not None:
            self.module.load_state_dict(self.best.weights)
            step = self.best.epoch * self.batches  # with its statistics, or with the same ones estimated again
        elif self.averaged is not None:
            self.module.load_state_dict(self.averaged.module.state_dict())
        norms = self.norms.free(self.module) if wanted or self._mean else self._late(self.module, step)
        images = min(wanted or self.norms.sample, len(self.data.labels))
        with self._autocast():
            self.norms.estimate(self.module, norms, images)
        return images if norms else 0

    @property
    def _mean(self) -> bool:
        """Whether the average is a plain mean of weights, which no running statistics are of."""
        return self.averaged is not None and not isinstance(self.recipe.average, Ema)

    def _late(self, module: nn.Module, step: int) -> list[_BatchNorm]:
        """Return the norms whose running statistics do not count yet after a step."""
        return self.norms.late(module, step * self.recipe.accumulate)

    def _score(self, module: nn.Module, images: Feed) -> Scores:
        self.world.agree(module)
        with self._autocast():
            return score(module, images, prepare=self.ready, classes=self.classes, world=self.world)

    def _feed(self, images: Images, *, training: bool = False) -> Feed:
        return feed(
            images,
            size=self.resolution,
            augmentation=self.recipe.augmentation if training else None,
            test_crop=self.recipe.test_crop,
            device=self.device,
            layout=self.layout,
            workers=self.workers,
        )

    def _feeds(self) -> list[Feed]:
        return [part for part in (self.data, self.validation, self.minival) if part is not None]

    def _normalization(self, images: Images) -> Normalization:
        """Return the normalization of the training images, of a sample of them where they are not in memory."""
        if isinstance(images, ImageSet):
            pixels = images.images
        else:
            sample = torch.arange(0, len(images), max(1, len(images) // _STATISTICS_SAMPLE))
            pixels = torch.cat([batch[labels >= 0] for batch, labels in self.data.plain(sample)]).cpu()
        mean, deviation = channel_statistics(pixels)
        return tuple(mean.flatten().tolist()), tuple(deviation.flatten().tolist())

    def _check_parts(self) -> None:
        parts = self.world.size * self.recipe.accumulate
        if self.batch_size < parts:
            raise ScalenetError(
                f"a batch of {self.batch_size} images cannot be divided into {parts} parts",
                hint="take a larger --batch-size, or a smaller --set accumulate=",
            )

    def _parallel(self) -> nn.Module:
        devices = [self.device] if self.device.type == "cuda" else None
        self.parallel = self.module if self.world.size == 1 else DistributedDataParallel(self.module, devices)
        return cast("nn.Module", torch.compile(self.parallel)) if self.recipe.compile else self.parallel

    def _random(self) -> dict[str, Tensor]:
        found = {"cpu": torch.get_rng_state()}
        return found if self.device.type != "cuda" else found | {"cuda": torch.cuda.get_rng_state(self.device)}

    def _restore_random(self) -> None:
        if "cpu" in self.random:
            torch.set_rng_state(self.random["cpu"])
        if "cuda" in self.random and self.device.type == "cuda":
            torch.cuda.set_rng_state(self.random["cuda"], self.device)

    def _progress(self) -> Progress:
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=self.epoch + 1,
            epochs=self.recipe.epochs,
            loss=self.sums.loss / self.sums.seen,
            seconds=time.perf_counter() - self.started,
            images=self.images - self.seen_before,
        )


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return an optimiser's tensor where and as the optimiser would have made it."""
    if value.shape != parameter.shape:
        return value.clone()  # the count of steps, which stays on the CPU
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
