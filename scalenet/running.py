"""The library's own calls that build or run a network: see `scalenet.library`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from scalenet.arch.errors import ScalenetError
from scalenet.checks.verification import measured
from scalenet.costs import counter
from scalenet.costs import latency as latencies
from scalenet.library import of_any
from scalenet.model import builder
from scalenet.scaling.scaler import load

if TYPE_CHECKING:
    from collections.abc import Collection

    from scalenet.costs.counter import Input, Measurement
    from scalenet.scaling.scaler import Network

build = of_any(builder.build, __name__)
latency = of_any(latencies.latency, __name__)


def measure(
    network: nn.Module | Network, input: Input | None = None, *, partial: bool = False, accept: Collection[str] = ()
) -> Measurement:
    """Count a module with fvcore in evaluation mode; the module and torch's state are as before afterwards.

    `input` is a tensor, or a tuple of the tensors that `forward` takes, or a dictionary of those that it takes by name;
    for images [N, channels, height, width]. A network in place of a module is built; without an input it is counted for
    one image of its own size. A count that is not whole raises ScalenetError with the operator, its module and the next
    step, unless `partial`; `accept` names operators that may count as nothing (`aten::fft_rfft`).
    """
    if isinstance(network, nn.Module):
        if input is None:
            raise ScalenetError("a module is measured for an input", hint="give a tensor of images")
        return counter.measure(network, input, partial=partial, accept=accept)
    if input is None:
        return measured(load(network).network)
    return counter.measure(build(network), input, partial=partial, accept=accept)
