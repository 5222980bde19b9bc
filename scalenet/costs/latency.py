"""Latency by measurement, after table 4 of the EfficientNet paper: batch 1, one core, the mean of 20 runs.

Networks are built with fresh weights and run in evaluation mode without gradients, on random images, after warm-up
runs that are not counted. Several are measured in turns, so that a busy machine hurts all alike; a turn is then two
runs, of which the second counts, for the first one finds the caches full of another network.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch.utils._pytree import tree_map_only

from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.spec import Architecture
from scalenet.costs.running import arguments
from scalenet.model.builder import build
from scalenet.model.threads import on_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

    from scalenet.arch.spec import Buildable, Model
    from scalenet.costs.running import Input
    from scalenet.model.builder import ConvNet

DTYPES = ("float32", "float16", "bfloat16", "float64")
_MAPS = 4
"""Dimensions of a batch of images."""
_COMPILED = 8
"""How often torch.compile compiles one `forward` before it gives up (its `recompile_limit`)."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of each counted run, in order; a run takes a whole batch."""

    seconds: tuple[float, ...]

    @property
    def runs(self) -> int:
        """How many runs were counted."""
        return len(self.seconds)

    @property
    def mean(self) -> float:
        """The mean, which the paper gives."""
        return mean(self.seconds)

    @property
    def std(self) -> float:
        """The standard deviation of single runs; 0 for one."""
        return stdev(self.seconds) if self.runs > 1 else 0.0

    @property
    def median(self) -> float:
        """The median, which other work on the machine moves less."""
        return median(self.seconds)

    @property
    def minimum(self) -> float:
        """The fastest run: what other work on the machine moves least."""
        return min(self.seconds)


@dataclass(frozen=True, slots=True)
class Setup:
    """How networks are run; the defaults are the paper's.

    `threads` are those of one operator on the CPU. `compiled` runs through `torch.compile`, whose earlier results in
    this process are forgotten. `warmup` runs come before the `runs` that are counted.
    """

    device: str = "cpu"
    batch: int = 1
    dtype: str = "float32"
    threads: int = 1
    runs: int = 20
    warmup: int = 3
    channels_last: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if min(self.batch, self.threads, self.runs, self.warmup) < 1:
            raise ScalenetError("batch, threads, runs and warmup are at least 1")
        if self.dtype not in DTYPES:
            raise UnknownNameError("dtype", self.dtype, DTYPES, listing=f"known: {', '.join(DTYPES)}")


Timed: TypeAlias = "Architecture | Buildable | tuple[nn.Module, Input]"
"""What is timed: a network, which is built, or a module with an input as `scalenet.measure` takes it."""


def latency(
    architecture: Architecture | Buildable,
    *,
    device: str = "cpu",
    batch: int = 1,
    dtype: str = "float32",
    threads: int = 1,
    runs: int = 20,
    warmup: int = 3,
    channels_last: bool = False,
    compiled: bool = False,
) -> Latency:
    """Measure how long a network takes, after table 4 of the paper: batch 1, one core, 20 runs that count.

    It is built with fresh weights and run in evaluation mode on random images. `threads` are those of one operator on
    the CPU, `warmup` runs come before those that count, and `compiled` runs through `torch.compile`.
    """
    setup = Setup(device, batch, dtype, threads, runs, warmup, channels_last, compiled)
    return latencies([architecture], setup)[0]


def module_latency(module: nn.Module, input: Input, *, runs: int = 20, warmup: int = 3) -> Latency:
    """Measure any module on one thread of the CPU; `input` is what `scalenet.measure` takes.

    Its mode, the random state and the threads are as before afterwards.
    """
    positional, named = arguments(input)
    was_training = module.training
    try:
        with torch.random.fork_rng(devices=[]), on_threads(1), torch.inference_mode():
            module.eval()
            seconds = [_timed(lambda: module(*positional, **named)) for _ in range(warmup + runs)]
    finally:
        module.train(was_training)
    return Latency(tuple(seconds[warmup:]))


def latencies(
    networks: Sequence[Timed], setup: Setup, *, progress: Callable[[], object] | None = None
) -> list[Latency]:
    """Measure networks in turns; random state and threads are as before afterwards.

    Modules are moved to the setup's device, element type and layout, and stay there; their input's batch is its own.
    `progress` is called after each turn. Raise ScalenetError where the device, the element type or the compiler does
    not do it.
    """
    if setup.compiled:
        if len(networks) > _COMPILED:
            raise ScalenetError(f"torch.compile holds at most {_COMPILED} networks at once", hint="measure fewer")
        torch.compiler.reset()
    seconds: list[list[float]] = [[] for _ in networks]
    with torch.random.fork_rng(devices=[]), on_threads(setup.threads), torch.inference_mode(), _told(setup):
        calls = [_runnable(network, setup) for network in networks]
        for call in calls * setup.warmup:
            call()
        for _ in range(setup.runs):
            for call, taken in zip(calls, seconds, strict=True):
                if len(calls) > 1:
                    call()
                taken.append(_timed(call))
            if progress is not None:
                progress()
    return [Latency(tuple(taken)) for taken in seconds]


def part_latencies(model: Model, setup: Setup) -> tuple[float, ...]:
    """Return the seconds of a network's parts in order: stem, each block, head; of each the fastest run.

    Each is run to its end before the next one begins. Raise ScalenetError where the device or the element type does
    not do it.
    """
    with torch.random.fork_rng(devices=[]), on_threads(setup.threads), torch.inference_mode(), _told(setup):
        network, (image,), _ = _placed(model, setup)
        parts = cast("ConvNet", network).parts()
        runs = [_in_turn(parts, image, setup) for _ in range(setup.warmup + setup.runs)]
    return tuple(map(min, zip(*runs[setup.warmup :], strict=True)))


def _in_turn(parts: Sequence[nn.Module], image: torch.Tensor, setup: Setup) -> list[float]:
    """Return the seconds of parts, each of which takes what the one before it gave."""
    seconds, values = [], image
    for part in parts:
        start = time.perf_counter()
        values = part(values)
        _finish(setup)
        seconds.append(time.perf_counter() - start)
    return seconds


def _runnable(network: Timed, setup: Setup) -> Callable[[], object]:
    """Return what runs the network once, to the end."""
    module, positional, named = _placed(network, setup)
    forward = torch.compile(module, fullgraph=True) if setup.compiled else module

    def run() -> None:
        forward(*positional, **named)
        _finish(setup)

    return run


def _placed(network: Timed, setup: Setup) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """Return a module and its arguments, on the setup's device."""
    place = {"device": torch.device(setup.device), "dtype": getattr(torch, setup.dtype)}
    layout = torch.channels_last if setup.channels_last else torch.contiguous_format
    if isinstance(network, tuple):
        module, input = network
    else:
        model = network.network if isinstance(network, Architecture) else network
        module, input = build(model), torch.randn(setup.batch, model.channels, *model.size)
    module = module.eval().to(**place, memory_format=layout)  # type: ignore[call-overload]
    positional, named = tree_map_only(torch.Tensor, lambda one: _moved(one, place, layout), arguments(input))
    return module, positional, named


def _finish(setup: Setup) -> None:
    """Wait until the device has done what it was given."""
    if torch.device(setup.device).type != "cpu":
        torch.accelerator.synchronize(torch.device(setup.device))


def _moved(tensor: torch.Tensor, place: dict[str, Any], layout: torch.memory_format) -> torch.Tensor:
    """Return a tensor on a device, one of floats as an element type, and one of images in a layout."""
    moved = tensor.to(**place) if tensor.is_floating_point() else tensor.to(place["device"])
    return moved.contiguous(memory_format=layout) if moved.ndim == _MAPS else moved


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@contextmanager
def _told(setup: Setup) -> Iterator[None]:
    """Say in one line what torch cannot do; its compiler's messages go on for pages."""
    try:
        yield
    except (RuntimeError, AssertionError, TypeError) as error:
        how = f"{setup.dtype} on {setup.device}{', compiled' * setup.compiled}"
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ScalenetError(f"cannot run {how}: {reason}") from error
