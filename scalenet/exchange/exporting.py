"""Weights out: a folder of scalenet's becomes one that another library loads, or a file that needs PyTorch alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scalenet.arch.errors import RunError, ScalenetError, UnknownNameError
from scalenet.arch.files import write_bytes
from scalenet.arch.results import check_folder
from scalenet.arch.words import hush, tell
from scalenet.costs.formula import cost
from scalenet.exchange.folders import for_library, for_torch
from scalenet.exchange.naming import LIBRARIES, TITLES
from scalenet.exchange.sanity import embedded_inputs
from scalenet.training.checkpoint import Trained, read_trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_CLOSE = 1e-6
"""The largest difference of outputs, in their deviations."""

TARGETS = ("torch", *LIBRARIES)
"""What weights are written for."""


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

    `to` is `torch` (`network.py`, a module that needs PyTorch alone, and `weights.pt`), `torchvision` or `timm` (the
    call that makes the network, and weights by their names), or `huggingface` (a folder for `from_pretrained`). What is
    written is read again where the library is installed, and its outputs for embedded images are compared with ours
    before any file is in its place.

    Raise ScalenetError for a library that cannot express the network, and RunError where the outputs differ.
    """
    if to not in TARGETS:
        raise UnknownNameError("target", to, TARGETS, listing=f"known: {', '.join(TARGETS)}")
    hear, place = say or hush, Path(folder)
    check_folder(place)
    trained = weights if isinstance(weights, Trained) else read_trained(weights)
    made = for_torch(trained) if to == "torch" else for_library(trained, to)  # type: ignore[arg-type]
    there = [place / name for name in made.files if (place / name).exists()]
    if there and not force:
        raise ScalenetError(f"{there[0]}: exists already", hint="--force replaces it")
    try:
        difference = _difference(trained, made.network())
        hear(_compared(difference))
    except ImportError as error:
        difference = None
        hear(f"nothing was compared, for {error}; names and shapes are {TITLES[to]}'s")
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
    inputs = embedded_inputs(own, trained.about.preprocessing, 2).double()
    expected, found = own(inputs), other.double().eval()(inputs)
    counts = [sum(one.numel() for one in network.parameters()) for network in (own, other)]
    if counts[0] != counts[1]:
        raise RunError(f"the network that was written has {counts[1]:,} parameters, not {counts[0]:,}")
    difference = float((found - expected).abs().max() / expected.std().clamp_min(1e-30))
    if not difference < _CLOSE:
        raise RunError(f"the network that was written gives other outputs: {difference:.2g} of their deviation")
    return difference


def _compared(difference: float) -> str:
    what = "are equal" if difference == 0 else f"differ by {difference:.1g} of their deviation"
    return f"outputs of what was written {what}, in double precision"
