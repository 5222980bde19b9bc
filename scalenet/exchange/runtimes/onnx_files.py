"""A network as an ONNX file, and onnxruntime as a module that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.words import count
from scalenet.exchange.packages import imported
from scalenet.exchange.runtimes.programs import first_line, quietly

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from scalenet.exchange.runtimes.programs import Axes

INPUT, OUTPUT = "images", "logits"

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_MOST = 2**31 - 2**20
"""Bytes of a message of protocol buffers, with room for the graph beside the weights."""


def check_packages() -> None:
    """Raise ScalenetError where a package that ONNX needs is missing."""
    for package in _PACKAGES:
        try:
            with quietly():
                imported(package)
        except ImportError as error:
            hint = "pip install 'scalenet-torch[onnx]'"
            raise ScalenetError(f"ONNX needs another package: {error}", hint=hint) from None


def check_size(network: nn.Module) -> None:
    """Refuse a network whose weights are more than one ONNX file holds."""
    size = sum(value.nbytes for value in network.state_dict().values())
    if size > _MOST:
        raise ScalenetError(
            f"{count(size)}B of weights, and an ONNX file holds 2 GB", hint="--to torch-export writes a larger file"
        )


def converted(program: ExportedProgram, axes: Axes, record: dict[str, str], opset: int | None) -> bytes:
    """Return the content of an ONNX file; `record` lies in its metadata as texts of these names.

    `opset` is the exporter's own where it is None. Raise ScalenetError where the exporter gives another one than is
    asked for, which it does in silence, or cannot do it at all.
    """
    names = dict(axes.names)
    with quietly(), torch.no_grad():
        try:
            made = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(names,) if names else None,
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
        except Exception as error:
            reason = first_line(error)
            raise ScalenetError(f"the ONNX exporter cannot do this: {reason}", hint="--to torch-export may") from None
    assert made is not None
    model: Any = made.model_proto
    given = opset_of(model)
    if opset is not None and given != opset:
        raise ScalenetError(f"the exporter writes opset {given} where {opset} is asked for", hint="ask for 18 to 23")
    _tidy(model, record)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def opset_of(model: Any) -> int:
    """Return the version of ONNX's operators that a model uses."""
    return next(int(one.version) for one in model.opset_import if one.domain == "")


def versions(content: bytes) -> dict[str, int]:
    """Return the versions that a file's content is of: `opset`, of the operators, and `ir`, of the format."""
    model = parsed(content)
    return {"opset": opset_of(model), "ir": int(model.ir_version)}


def parsed(content: bytes) -> Any:
    """Return the model of a file's content."""
    return imported("onnx").load_model_from_string(content)


def _tidy(model: Any, record: dict[str, str]) -> None:
    """Leave out where the exporter found things, which names places of this machine, and say whose network it is.

    The version of the format is the lowest that the operators allow: what an older runtime refuses first.
    """
    graph, tools = model.graph, imported("onnx").helper
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info, graph):
        del part.metadata_props[:]
    graph.name = record["scalenet.network"]
    model.ir_version = tools.find_min_ir_version_for(model.opset_import)
    tools.set_model_props(model, record)


class Session(nn.Module):
    """An ONNX file run by onnxruntime on threads of this CPU, called as the network is."""

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        """Open a file; raise RunError where onnxruntime refuses it."""
        super().__init__()
        runtime = imported("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            hint = "a lower --opset may be what it knows"
            raise RunError(f"onnxruntime {runtime.__version__} refuses it: {first_line(error)}", hint=hint) from None

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images [N, channels, height, width]; a file of a fixed batch runs as often as needed."""
        fixed = self.session.get_inputs()[0].shape[0]
        parts = torch.split(images, fixed) if isinstance(fixed, int) else [images]
        found = [self.session.run([OUTPUT], {INPUT: part.contiguous().numpy()})[0] for part in parts]
        return torch.cat([torch.from_numpy(logits) for logits in found])
