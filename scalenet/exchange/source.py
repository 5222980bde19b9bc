"""How does a network read as a file of Python that needs PyTorch alone?

The layer tree becomes calls. Blocks that differ in numbers alone are made by one function, which has those numbers as
parameters. Tensors have the names that they have here.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, cast

from scalenet._version import __version__
from scalenet.arch import blocks, layers
from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import both
from scalenet.arch.plain import plain
from scalenet.arch.shapes import padded
from scalenet.costs.formula import cost
from scalenet.exchange.writing import Call, Code, Number, inline, lines, parameters, structure, written
from scalenet.model import modules

if TYPE_CHECKING:
    from scalenet.arch.config import Config
    from scalenet.arch.layers import Layer
    from scalenet.arch.spec import Model
    from scalenet.exchange.writing import Expression
    from scalenet.training.preprocessing import Preprocessing

_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "silu": "SiLU",
    "hardswish": "Hardswish",
    "gelu": "GELU",
    "sigmoid": "Sigmoid",
    "hardsigmoid": "Hardsigmoid",
}

_TYPES = {"drop_path": "float", "factor": "float", "act": "type[nn.Module] | None", "padding": "int | tuple[int, int]"}
"""Types of parameters that are not plain numbers."""

_OWN = (
    *("Branches", "GlobalMean", "SameConv2d", "LayerNorm2d", "Scale", "Times", "Shuffle", "Position", "Attention"),
    "DropPath",
)
"""The modules that PyTorch lacks, in the order in which they are written."""

_IMPORTS = (
    ("OrderedDict", "from collections import OrderedDict"),
    ("Path", "from pathlib import Path"),
    ("operator", "import operator"),
    ("cast", "from typing import cast"),
    ("Mapping", "from collections.abc import Mapping"),
    ("functional", "from torch.nn import functional"),
)

_NAMED = '''
def named(**layers: nn.Module) -> nn.Sequential:
    """Return layers one after another, by name."""
    return nn.Sequential(OrderedDict(layers))
'''

_CONV = '''
def conv(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None = {act},
) -> nn.Sequential:
    """Return a convolution, normalised and, unless `act` is None, activated."""
    layers = named(
        conv={conv},
        norm={norm},
    )
    if act is not None:
        layers.add_module("act", act())
    return layers
'''

_PADDED = '''
def padded(size: int, kernel: int, stride: int, _: str) -> int:
    """Return how many pixels TensorFlow's padding adds to a side."""
    return max(0, (-(-size // stride) - 1) * stride + kernel - size)
'''

_NETWORK = '''
class Network(nn.Module):
    """{name}: images [N, {channels}, {height}, {width}], normalised, to logits [N, {classes}]."""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(images)))
'''

_USE = '''
def prepare(images: Tensor) -> Tensor:
    """Return images [N, 3, height, width] of values between 0 and 1 as the network takes them."""
    short, (tall, wide) = min(images.shape[-2:]), SIZE
    top, left = (images.shape[-2] - short) // 2, (images.shape[-1] - short) // 2
    square = images[..., top : top + short, left : left + short]
    large = functional.interpolate(square, RESIZE, mode="{interpolation}", antialias=True)
    central = large[..., (RESIZE[0] - tall) // 2 :, (RESIZE[1] - wide) // 2 :][..., :tall, :wide]
    return (central - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)


def load(weights: str | Path = Path(__file__).with_name("{weights}")) -> Network:
    """Return the network with its weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


if __name__ == "__main__":
    network = load()
    print(network)
    print(sum(parameter.numel() for parameter in network.parameters()), "parameters")
'''

_HEAD = '''"""{name}, a network of {params:,} parameters for images of {height} × {width} px.

    network = load()                   # with the weights that lie beside this file
    logits = network(prepare(images))  # images [N, 3, height, width] of values between 0 and 1

Whose weights: {source}. Written by scalenet {version}; it needs PyTorch alone.
"""
'''


class _Own(NamedTuple):
    """What is a block's own, or its network's: the rate of its stochastic depth, and the usual activation."""

    drop_path: float
    activation: str


@dataclass(frozen=True, slots=True)
class _Block:
    """A function that makes blocks: its name, docstring, expression with parameters, and their names."""

    name: str
    about: str
    expression: Expression
    parameters: list[str]


def source_of(config: Config, preprocessing: Preprocessing, *, weights: str) -> str:
    """Return the text of a file with a network, how images become its input, and how it is loaded from `weights`.

    Raise ScalenetError for a layer that cannot be written.
    """
    model = config.model
    height, width = model.size
    made = _Blocks(model)
    network = _NETWORK.format(
        name=harmless(config.name),
        channels=model.channels,
        height=height,
        width=width,
        classes=model.head.classes,
        layers="\n".join(made.attributes()),
    )
    functions = [_function(one) for one in made.functions]
    numbers = (
        f"MEAN = {preprocessing.mean}\nSTD = {preprocessing.std}\nSIZE, RESIZE = {model.size}, {preprocessing.squeezed}"
    )
    use = _USE.format(interpolation=preprocessing.interpolation, weights=weights)
    body = "\n\n".join(part.strip("\n") + "\n" for part in (*functions, network, use))
    tools = _tools(body, model)
    code = "\n\n".join([*(part.strip("\n") + "\n" for part in tools), body])
    head = _HEAD.format(
        name=harmless(config.name),
        params=cost(model).params,
        height=height,
        width=width,
        source=harmless(preprocessing.source),
        version=__version__,
    )
    return f"{head}\nfrom __future__ import annotations\n\n{_imports(code)}\n\n{numbers}\n\n\n{code}"


def harmless(text: str) -> str:
    """Return text that ends no docstring, whatever a name holds."""
    return plain(text).replace("\\", "/").replace('"', "'")


def _imports(code: str) -> str:
    used = [line for name, line in _IMPORTS if re.search(rf"\b{name}\b", code)]
    used.sort(key=lambda line: (not line.startswith("import"), line))
    plain = [line for line in used if "torch" not in line]
    return "\n".join(
        [*plain, "", "import torch", "from torch import Tensor, nn", *(one for one in used if "torch" in one)]
    )


def _tools(body: str, model: Model) -> list[str]:
    """Return the source of what the network is made of and PyTorch lacks."""
    usual = [_usual(model)] if re.search(r"\bconv\(", body) else []
    whole = "".join((*usual, body))
    own = [inspect.getsource(getattr(modules, name)) for name in _OWN if re.search(rf"\b{name}\(", whole)]
    return [_NAMED, *([_PADDED] if any("padded(" in one for one in own) else []), *own, *usual]


def _usual(model: Model) -> str:
    """Return the function that makes the network's usual convolutions."""
    same = model.padding == "same"
    around = "" if same else "padding=kernel // 2, "
    kind = "SameConv2d" if same else "nn.Conv2d"
    return _CONV.format(
        act=f"nn.{_ACTIVATIONS[model.activation]}",
        conv=f"{kind}(inputs, outputs, kernel, stride=stride, {around}groups=groups, bias=False)",
        norm=inline(written(_norm(model.style.normalize(1), ""), ["outputs"])),
    )


def _function(block: _Block) -> str:
    signature = ", ".join(f"{name}: {_TYPES.get(name.rstrip('0123456789'), 'int')}" for name in block.parameters)
    head = f"def {block.name}({signature}) -> nn.Module:"
    if len(head) > 100:
        arguments = "".join(f"    {one},\n" for one in signature.split(", "))
        head = f"def {block.name}(\n{arguments}) -> nn.Module:"
    body = lines(block.expression, depth=1, before="return ")
    return "\n".join([head, f'    """{harmless(block.about)}"""', *body])


class _Blocks:
    """The parts of a network as calls of functions, a function for all blocks that differ in numbers alone."""

    def __init__(self, model: Model) -> None:
        network, activation, drop_path = model.layers, model.activation, model.regularization.drop_path
        names = [stage.block for stage in model.stages]
        count = sum(len(stage.blocks()) for stage in network.stages)
        rates = iter([drop_path * number / count for number in range(count)])
        self.ends = [_expression(network.parts[place].runs[0].block, "", _Own(0.0, activation)) for place in (0, -1)]
        self.stages = [
            [_expression(block, "", _Own(next(rates), activation)) for block in stage.blocks()]
            for stage in network.stages
        ]
        self.functions: list[_Block] = []
        self.calls: dict[int, Expression] = {}
        for name in dict.fromkeys(names):
            self._add(
                name, [one for stage, own in zip(self.stages, names, strict=True) if own == name for one in stage]
            )

    def _add(self, name: str, expressions: list[Expression]) -> None:
        groups: dict[Expression, list[Expression]] = {}
        for one in expressions:
            groups.setdefault(structure(one), []).append(one)
        about = (inspect.getdoc(blocks.block(name)) or name).split("\n")[0]
        for number, members in enumerate(groups.values()):
            own = name if len(groups) == 1 else f"{name}_{'abcdefghijklmnopqrstuvwxyz'[number]}"
            positions, values = parameters(members)
            self.functions.append(_Block(own, about, written(members[0], positions), list(values)))
            for place, one in enumerate(members):
                arguments = tuple((key, repr(column[place])) for key, column in values.items())
                self.calls[id(one)] = Call(own, arguments)

    def attributes(self) -> list[str]:
        """Return the lines that make stem, stages and head."""
        stem, head = map(written, self.ends)
        stages = Call("nn.Sequential", tuple(("", self._stage(stage)) for stage in self.stages))
        named = (("stem", stem), ("stages", stages), ("head", head))
        return [line for name, one in named for line in lines(one, depth=2, before=f"self.{name} = ")]

    def _stage(self, stage: list[Expression]) -> Expression:
        calls = [self.calls[id(one)] for one in stage]
        runs = [(call, len(list(alike))) for call, alike in groupby(calls)]
        return Call("nn.Sequential", tuple(("", _repeated(call, times)) for call, times in runs))


def _repeated(call: Expression, times: int) -> Expression:
    return call if times == 1 else f"*({inline(call)} for _ in range({times}))"


def _expression(layer: Layer, name: str, own: _Own) -> Expression:
    match layer:
        case layers.Sequence():
            if (usual := _usual_conv(layer, name, own)) is not None:
                return usual
            inner = [(key, one) for key, one in layer.layers if own.drop_path or not isinstance(one, layers.DropPath)]
            return Call("named", tuple((key, _expression(one, _called(key, name), own)) for key, one in inner))
        case layers.Branches():
            return _branches(layer, name, own)
        case layers.Choice():
            return _expression(layer.chosen, name, own)
        case layers.DropPath():
            return Call("DropPath", (("", Number(round(own.drop_path, 6), "drop_path")),))
    return _leaf(layer, name)


def _usual_conv(layer: layers.Sequence, name: str, own: _Own) -> Expression | None:
    """Return the call that makes a convolution, normalisation and activation, None where that is not what it is."""
    keys, inner = zip(*layer.layers, strict=True) if layer.layers else ((), ())
    if keys not in (("conv", "norm"), ("conv", "norm", "act")):
        return None
    conv, *_, last = inner
    if not (isinstance(conv, layers.Conv) and conv.padding in ("symmetric", "same") and isinstance(conv.kernel, int)):
        return None
    if conv.bias:
        return None
    act = Code(f"nn.{_ACTIVATIONS[last.kind]}" if isinstance(last, layers.Activation) else "None")
    width = f"{name}_width" if name else "width"
    arguments: tuple[tuple[str, Expression], ...] = (
        ("", Number(conv.in_channels, "inputs")),
        ("", Number(conv.out_channels, width)),
        ("", Number(conv.kernel, "kernel", 1)),
        ("stride", Number(conv.stride, "stride", 1)),
        ("groups", Number(_groups(conv), "groups", 1)),
        ("act", Number(act, "act", Code(f"nn.{_ACTIVATIONS[own.activation]}"))),
    )
    return Call("conv", arguments)


def _groups(layer: layers.Conv) -> int:
    return cast("int", layer.in_channels) // cast("int", layer.group_width)


def _called(key: str, name: str) -> str:
    """Return what a layer's numbers are called after: the layer, and for its convolution or norm what it stands in."""
    return name if key in ("conv", "norm", "act", "main", "branch", "block") else key


def _branches(layer: layers.Branches, name: str, own: _Own) -> Expression:
    paths = []
    for key, path in layer.paths:
        chosen = path.chosen if isinstance(path, layers.Choice) else path
        identity = isinstance(chosen, layers.Sequence) and not chosen.layers
        paths.append((key, "None" if identity else _expression(chosen, _called(key, name), own)))
    arguments: list[tuple[str, Expression]] = [("", Call("dict", tuple(paths))), ("join", f'"{layer.join}"')]
    if layer.take == "split":
        arguments.append(("split", "True"))
    if layer.activation is not None:
        arguments.append(("act", _activation(layer.activation)))
    return Call("Branches", tuple(arguments))


def _leaf(layer: Layer, name: str) -> Expression:  # noqa: PLR0911 - one return a kind of layer
    match layer:
        case layers.Conv():
            return _conv(layer, name)
        case layers.Norm():
            return _norm(layer, name)
        case layers.Activation():
            return _activation(layer)
        case layers.Pool():
            return _pool(layer)
        case layers.GlobalPool():
            return (
                Call("nn.AdaptiveAvgPool2d", (("", str(layer.side)),)) if layer.kind == "adaptive" else "GlobalMean()"
            )
        case layers.Flatten():
            return "nn.Flatten()"
        case layers.Dropout():
            return f"nn.Dropout({layer.rate!r})"
        case layers.Linear():
            return Call(
                "nn.Linear", (("", Number(layer.in_features, "inputs")), ("", Number(layer.out_features, "outputs")))
            )
        case layers.Scale():
            return _scale(layer)
        case layers.Shuffle():
            return f"Shuffle({layer.groups})"
        case layers.Attention():
            return Call("Attention", (("", Number(layer.heads, "heads")),))
        case layers.Position():
            sides = (layer.channels, layer.height, layer.width)
            return Call("Position", tuple(("", str(one)) for one in sides))
    raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind cannot be written")


def _scale(layer: layers.Scale) -> Call:
    if not layer.learned:
        return Call("Times", (("", Number(layer.start, "factor")),))
    return Call("Scale", (("", Number(layer.channels, "width")), ("", repr(layer.start))))


def _conv(layer: layers.Conv, name: str) -> Call:
    arguments: list[tuple[str, Expression]] = [
        ("", Number(layer.in_channels, "inputs")),
        ("", Number(layer.out_channels, f"{name}_width" if name else "width")),
        ("", Number(layer.kernel, "kernel")),
        ("stride", Number(layer.stride, "stride", 1)),
    ]
    if layer.padding != "same":
        arguments.append(("padding", Number(_padding(layer), "padding", 0)))
    arguments.append(("groups", Number(_groups(layer), "groups", 1)))
    if not layer.bias:
        arguments.append(("bias", "False"))
    return Call("SameConv2d" if layer.padding == "same" else "nn.Conv2d", tuple(arguments))


def _padding(layer: layers.Conv | layers.Pool) -> int | tuple[int, int]:
    """Return the pixels above and beside a map that a window reads, where it does not depend on the map."""
    tall, wide = both(layer.kernel)
    above, beside = layer.padding if isinstance(layer.padding, tuple) else (layer.padding, layer.padding)
    pixels = int(padded(0, tall, 1, above)) // 2, int(padded(0, wide, 1, beside)) // 2
    return pixels[0] if pixels[0] == pixels[1] else pixels


def _norm(layer: layers.Norm, name: str) -> Call:
    channels = ("", Number(layer.channels, f"{name}_width" if name else "width"))
    eps, momentum = ("eps", Number(layer.eps, "eps", 1e-5)), ("momentum", Number(layer.momentum, "momentum", 0.1))
    match layer.kind:
        case "batchnorm":
            return Call("nn.BatchNorm2d", (channels, eps, momentum))
        case "layernorm":
            return Call("LayerNorm2d", (channels, eps))
        case "groupnorm":
            return Call("nn.GroupNorm", (("", str(layer.groups)), channels, eps))
    raise ScalenetError(f"{layer.kind}: a normalisation of an unknown kind cannot be written")


def _pool(layer: layers.Pool) -> Call:
    if layer.padding == "same":
        raise ScalenetError("pooling with `same` padding cannot be written")
    arguments: list[tuple[str, Expression]] = [("", str(layer.kernel)), ("", str(layer.stride))]
    arguments.append(("padding", Number(_padding(layer), "padding", 0)))
    arguments.append(("ceil_mode", Number(layer.ceil, "ceil_mode", False)))
    if layer.kind == "avg":
        arguments.append(("count_include_pad", Number(layer.counts_padding, "count_include_pad", True)))
    return Call("nn.MaxPool2d" if layer.kind == "max" else "nn.AvgPool2d", tuple(arguments))


def _activation(layer: layers.Activation) -> str:
    if layer.kind not in _ACTIVATIONS:
        raise ScalenetError(f"{layer.kind}: an activation of an unknown kind cannot be written")
    return f"nn.{_ACTIVATIONS[layer.kind]}()"
