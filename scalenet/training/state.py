"""All that a training goes on from: taken from a training, checked, and given back to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scalenet.arch.errors import ScalenetError
from scalenet.model.names import names_of_today
from scalenet.training.judging import Best
from scalenet.training.tensors import below, mismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalenet.training.loop import Training

_NUMBERS = {"epoch", "batch", "sums", "curve", "best", "scaler", "seconds"}


@dataclass
class State:
    """Tensors by name, and numbers as JSON has them; `place` names the state in errors."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]
    place: str = "the state"

    @property
    def sound(self) -> bool:
        """Whether all weights are finite, and all statistics; after a step too large some are not."""
        parts = ("weights/", "average/", "best/", "judged/")
        return all(bool(value.isfinite().all()) for name, value in self.tensors.items() if name.startswith(parts))

    def step(self, batches: int) -> int:
        """Return the number of steps taken, of epochs of so many."""
        self.check_numbers()
        return int(self.numbers["epoch"] * batches + self.numbers["batch"])

    def check_numbers(self) -> None:
        """Raise ScalenetError unless the numbers are whole."""
        if missing := _NUMBERS - self.numbers.keys():
            raise ScalenetError(f"{self.place}: damaged: no {min(missing)}")

    def check(self, module: nn.Module) -> None:
        """Raise ScalenetError unless the state is whole, and of this network."""
        self.check_numbers()
        parts = ["weights/"] if self.numbers["best"] is None else ["weights/", "best/"]
        if below(self.tensors, "average/"):
            parts.append("average/module.")
        wanted = module.state_dict()
        for part in parts:
            if (wrong := mismatch(below(self.tensors, part), wanted)) is not None:
                raise ScalenetError(f"{self.place}: {part.rstrip('./')} that cannot be used: {wrong}")


@dataclass
class Sums:
    """What is summed over an epoch."""

    loss: float = 0.0
    right: float = 0.0
    seen: int = 0


def take(training: Training) -> State:
    """Return the state of a training; all processes take part."""
    best = training.judge.best
    parts = {
        "weights": training.module.state_dict(),
        "average": training.averages.state(),
        "optimizer": _optimizer_state(training),
        "random": _random_state(training),
    }
    if best is None:
        parts["judged"] = training.judge.statistics(training.step)
    else:
        parts["best"] = best.weights
    tensors = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    numbers = {
        "epoch": training.epoch,
        "batch": training.batch,
        "sums": vars(training.sums),
        "curve": training.curve,
        "best": None if best is None else {"epoch": best.epoch, "top1": best.top1},
        "scaler": training.scaler.state_dict(),
        "seconds": training.seconds,
    }
    return State(tensors, numbers)


def give(training: Training, state: State) -> None:
    """Set a training back to a state; raise ScalenetError, and change nothing, where it is another's or damaged."""
    tensors, numbers = names_of_today(state.tensors, training.module), state.numbers
    State(tensors, numbers, state.place).check(training.module)
    training.module.load_state_dict(below(tensors, "weights/"))
    training.averages.restore(below(tensors, "average/"))
    best = numbers["best"]
    training.judge.best = None if best is None else Best(**best, weights=below(tensors, "best/"))
    for name, parameter in training.module.named_parameters():
        for key, value in below(tensors, f"optimizer/{name}/").items():
            training.optimizer.state[parameter][key] = _like(value, parameter)
    training.scaler.load_state_dict(numbers["scaler"])
    training.epoch, training.batch, training.sums = numbers["epoch"], numbers["batch"], Sums(**numbers["sums"])
    training.curve, training.earlier = numbers["curve"], numbers["seconds"]
    training.random = below(tensors, f"random/{training.world.rank}/")


def restore_random(training: Training) -> None:
    """Set torch's random states to those that the training goes on from, if it does."""
    if "cpu" in training.random:
        torch.set_rng_state(training.random["cpu"])
    if "cuda" in training.random and training.device.type == "cuda":
        torch.cuda.set_rng_state(training.random["cuda"], training.device)


def _optimizer_state(training: Training) -> dict[str, Tensor]:
    """Return the optimiser's tensors by their parameters' names."""
    found = {}
    for name, parameter in training.module.named_parameters():
        for key, value in training.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{name}/{key}"] = value
    return found


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return an optimiser's tensor where and as the optimiser would have made it."""
    if value.shape != parameter.shape:
        return value.clone()  # the count of steps, which stays on the CPU
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _random_state(training: Training) -> dict[str, Tensor]:
    """Return torch's random states, of all processes."""
    states: Mapping[str, Tensor] = {"cpu": torch.get_rng_state()}
    if training.device.type == "cuda":
        states = {**states, "cuda": torch.cuda.get_rng_state(training.device)}
    found = {}
    for kind, value in states.items():
        for rank, one in enumerate(training.world.gathered(value)):
            found[f"{rank}/{kind}"] = one
    return found
