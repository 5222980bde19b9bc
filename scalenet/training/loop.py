"""Train a network and say how good it is on held-out images.

All trainings share this code: a search's candidates, a whole training and a fine-tuning differ by their recipe. The
order of the images, the augmentation and the dropout stream follow from the seed alone, so that two candidates differ
by their architecture and nothing else, and a training that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from scalenet.training import state as states
from scalenet.training.averages import Averages
from scalenet.training.distributed import SINGLE, World, synchronise
from scalenet.training.inputs import EPOCH_STRIDE, Inputs
from scalenet.training.judging import Judge
from scalenet.training.numerics import autocast
from scalenet.training.optimizers import optimizer
from scalenet.training.progress import DivergedError, Listener, Outcome, Progress
from scalenet.training.state import State, Sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scalenet.training.data import Splits
    from scalenet.training.feed import Normalization
    from scalenet.training.preprocessing import Interpolation
    from scalenet.training.recipe import Recipe


class Training:
    """One training: a module that is trained in place, images, recipe and seed, and how far it is.

    Its first `alike` of `steps` steps are those of longer trainings too.
    """

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
        interpolation: Interpolation = "bilinear",
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        """Prepare a training on the device of the module's parameters.

        `resolution` is (height, width) in pixels; `workers` processes decode images that are not in memory. The
        normalization is that of the training images unless given; `layout` is how maps lie in memory.
        """
        self.device = next(module.parameters()).device
        self.recipe, self.seed, self.world = recipe, seed, world
        if recipe.sync_batchnorm and world.size > 1:
            synchronise(module)
        self.module: nn.Module = module.to(memory_format=layout)  # type: ignore[call-overload]
        self.inputs = Inputs(
            splits,
            recipe,
            size=resolution,
            seed=seed,
            world=world,
            device=self.device,
            layout=layout,
            workers=workers,
            normalization=normalization,
            interpolation=interpolation,
        )
        self.batches = self.inputs.batches
        self.steps = recipe.epochs * self.batches
        self.alike = recipe.alike(self.steps)
        self.averages = Averages(self.module, recipe.average, steps=self.steps)
        self.judge = Judge(self.averages, self.inputs, recipe, classes=len(splits.classes))
        self.optimizer = optimizer(module, recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "float16")
        self.parallel = self._parallel()
        self.model = cast("nn.Module", torch.compile(self.parallel)) if recipe.compile else self.parallel
        self.epoch = self.batch = 0
        self.sums = Sums()
        self.curve: list[dict[str, float]] = []
        self.random: Mapping[str, Tensor] = {}
        self.earlier, self.seen_before, self.started = 0.0, 0, time.perf_counter()

    def run(self, listener: Listener | None = None) -> Outcome:
        """Train what is left and evaluate; the caller's random numbers are left alone.

        On the CPU the result is the same bit for bit for one seed, thread count and library version, stopped in
        between or not. Raise `DivergedError` when the loss is not finite, or in the end a weight or statistic.
        """
        listener = listener or Listener()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.seed + EPOCH_STRIDE * self.world.rank)
            states.restore_random(self)
            self.seen_before = self.images
            while self.epoch < self.recipe.epochs and not self.judge.is_stale(self.epoch):
                self._epoch(listener)
            statistics_images = self.judge.finish(self.step)
            scores = self.judge.score(self.module, self.inputs.validation)
        for name, value in self.module.state_dict().items():
            if not bool(value.isfinite().all()):
                raise self._diverged(self.step, f"{name} has values that are not finite")
        best = self.judge.best
        return Outcome(
            scores=scores,
            seconds=self.seconds,
            images=self.images,
            curve=self.curve,
            best_epoch=None if best is None else best.epoch,
            statistics_images=statistics_images,
            broken=self.inputs.broken,
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
        return self.step * self.inputs.batch_size

    def glimpse(self) -> float:
        """Return the top-1 of the weights as they are on some held-out images; see `Judge.glimpse`."""
        return self.judge.glimpse(self.step)

    def state(self) -> State:
        """Return all that the training goes on from; all processes take part."""
        return states.take(self)

    def restore(self, state: State) -> None:
        """Go back to a state; raise ScalenetError, and change nothing, where it is of another network or damaged."""
        states.give(self, state)

    def _epoch(self, listener: Listener) -> None:
        self.judge.norms.train()
        before, began = self.sums.seen, time.perf_counter()
        parts = self.inputs.epoch(self.epoch, done=self.batch)
        while self.batch < self.batches:
            self._step(islice(parts, self.recipe.accumulate))
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
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, Sums()
        self.curve.append(record | self.judge.held_out(self.epoch, self.step))
        listener.epoch(self)

    def _step(self, parts: Iterator[tuple[Tensor, Tensor]]) -> None:
        """Take one step on a batch, given in parts."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.step) * group["factor"]
        self.optimizer.zero_grad()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, (inputs, labels) in enumerate(parts, start=1):
            with self._apart(number < self.recipe.accumulate):
                totals += self._backward(inputs, labels)
        loss, right = self.world.total(totals).tolist()
        self._check_finite(loss)
        self._descend()
        self.averages.update(self.step)
        batch = self.inputs.batch_size
        self.sums.loss += loss * batch
        self.sums.right += right
        self.sums.seen += batch

    def _backward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Add a part's gradients; return its share of the batch's loss, and how many images it had right."""
        with autocast(self.recipe, self.device):
            logits = self.model(inputs)
            loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        share = len(labels) / self.inputs.batch_size
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

    def _rate(self, step: int) -> float:
        batch = self.inputs.batch_size
        return self.recipe.rate(step, steps=self.steps, epoch_steps=self.batches, batch=batch)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise self._diverged(self.step + 1, f"the loss is {loss}")

    def _diverged(self, step: int, why: str) -> DivergedError:
        advice = f"try a learning rate below {self.recipe.optimizer.lr:g}"
        return DivergedError(f"training diverged at step {step} of {self.steps}: {why}; {advice}")

    def _parallel(self) -> nn.Module:
        if self.world.size == 1:
            return self.module
        return DistributedDataParallel(self.module, [self.device] if self.device.type == "cuda" else None)

    def _apart(self, wanted: bool) -> AbstractContextManager[None]:
        """Keep gradients in this process until the last part of a batch."""
        if wanted and isinstance(self.parallel, DistributedDataParallel):
            return self.parallel.no_sync()
        return nullcontext()

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
