"""Weights out: a folder of scalenet's becomes one that another library loads, or a file that needs PyTorch alone."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scalenet.arch.errors import RunError, ScalenetError, UnknownNameError
from scalenet.arch.files import write_bytes
from scalenet.arch.results import check_folder
from scalenet.arch.words import hush, tell
from scalenet.costs.formula import cost
from scalenet.exchange.sanity import embedded_inputs
from scalenet.exchange.source import source_of
from scalenet.training.checkpoint import Trained, read_trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

TARGETS = ("torch",)
"""What weights are written for."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an export by name, and what gives the network back that they describe, if it can be had here.

    `missing` says what is lacking where it cannot.
    """

    files: dict[str, bytes]
    network: Callable[[], nn.Module] | None
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedWeights:
    """What came of an export: its files, and how far outputs of what they describe are from ours, in deviations.

    `difference` is None where the library that loads them is not installed, so that nothing was compared.
    """

    folder: Path
    target: str
    network: str
    params: int
    files: tuple[str, ...]
    difference: float | None


def export_weights(
    weights: str | Path | Trained,
    folder: str | Path,
    *,
    to: str = "torch",
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> ExportedWeights:
    """Write weights, a file or the folder of a training or import, as another library has them.

    `to` is `torch`: `network.py`, a module that needs PyTorch alone, and `weights.pt` beside it. What was written is
    read again, and its outputs for embedded images are compared with ours before any file is in its place.

    Raise ScalenetError for a target that cannot express the network, and RunError where the outputs differ.
    """
    if to not in TARGETS:
        raise UnknownNameError("target", to, TARGETS, listing=f"known: {', '.join(TARGETS)}")
    hear, place = say or hush, Path(folder)
    check_folder(place)
    trained = weights if isinstance(weights, Trained) else read_trained(weights)
    made = _WRITERS[to](trained)
    there = [place / name for name in made.files if (place / name).exists()]
    if there and not force:
        raise ScalenetError(f"{there[0]}: exists already", hint="--force replaces it")
    difference = None if made.network is None else _difference(trained, made.network())
    hear(made.missing if difference is None else _compared(difference))
    for name, content in made.files.items():
        write_bytes(place / name, content)
    return ExportedWeights(
        folder=place,
        target=to,
        network=trained.about.plan.config.name,
        params=cost(trained.about.plan.config.model).params,
        files=tuple(made.files),
        difference=difference,
    )


@torch.no_grad()
def _difference(trained: Trained, other: nn.Module) -> float:
    """Return the largest difference of outputs in double precision, in deviations of ours; refuse a large one."""
    own = trained.module().double().eval()
    inputs = embedded_inputs(trained.about.preprocessing, 2).double()
    expected, found = own(inputs), other.double().eval()(inputs)
    counts = [sum(one.numel() for one in network.parameters()) for network in (own, other)]
    if counts[0] != counts[1]:
        raise RunError(f"the network that was written has {counts[1]:,} parameters, not {counts[0]:,}")
    difference = float((found - expected).abs().max() / expected.std().clamp_min(1e-30))
    if not difference < _CLOSE:
        raise RunError(f"the network that was written gives other outputs: {difference:.2g} of their deviation")
    return difference


_CLOSE = 1e-6


def _compared(difference: float) -> str:
    what = "are equal" if difference == 0 else f"differ by {difference:.1g} of their deviation"
    return f"outputs of what was written {what}, in double precision"


def _to_torch(trained: Trained) -> Written:
    about = trained.about
    text = source_of(about.plan.config, about.preprocessing, weights="weights.pt")
    weights = io.BytesIO()
    torch.save(dict(trained.weights), weights)
    files = {"network.py": text.encode(), "weights.pt": weights.getvalue()}
    classes = "".join(f"{name}\n" for name in about.plan.classes)
    return Written({**files, "classes.txt": classes.encode()}, lambda: _run(text, files["weights.pt"]))


def _run(text: str, weights: bytes) -> nn.Module:
    """Return the network of a file that was written here, with its weights."""
    names: dict[str, Any] = {"__name__": "network", "__file__": "network.py"}
    exec(compile(text, "network.py", "exec"), names)
    network: nn.Module = names["Network"]()
    network.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True))
    return network


_WRITERS: dict[str, Callable[[Trained], Written]] = {"torch": _to_torch}
