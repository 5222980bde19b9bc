"""What lies in a folder that another library loads: its weights, and how the network is made."""

from __future__ import annotations

import io
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from safetensors.torch import load, save
from torch import nn

from scalenet._version import __version__
from scalenet.arch import strict_json
from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import both
from scalenet.costs.formula import cost
from scalenet.exchange.constructors import huggingface, timm, torchvision
from scalenet.exchange.constructors.candidate import expressed
from scalenet.exchange.matching import on_meta
from scalenet.exchange.naming import TITLES
from scalenet.exchange.packages import imported
from scalenet.exchange.shaping import state_in
from scalenet.exchange.source import harmless, source_of
from scalenet.exchange.writing import Call, lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from scalenet.exchange.constructors.candidate import Candidate
    from scalenet.exchange.naming import Library
    from scalenet.training.checkpoint import About, Trained
    from scalenet.training.preprocessing import Preprocessing

_PACKAGES = {"torchvision": "torchvision", "timm": "timm", "huggingface": "transformers"}
CANDIDATES = {
    "torchvision": torchvision.candidates,
    "timm": timm.candidates,
    "huggingface": huggingface.candidates,
}

_FILE = '''"""{name} as {title} has it: {params:,} parameters, images of {height} × {width} px.

    network = load()  # with the weights that lie beside this file

`preprocessing.json` says which images it expects. Whose weights: {source}. Written by scalenet {version}.
"""

from pathlib import Path

{imports}


def build() -> nn.Module:
{call}


def load(weights: str | Path = Path(__file__).with_name("{weights}")) -> nn.Module:
    """Return the network with its weights, in evaluation mode."""
    network = build()
    network.load_state_dict({read})
    return network.eval()
'''

_PTH, _SAFETENSORS = "weights.pth", "model.safetensors"
_READ = {
    _PTH: ("import torch", 'torch.load(weights, map_location="cpu", weights_only=True)'),
    _SAFETENSORS: ("from safetensors.torch import load_file", "load_file(weights)"),
}
"""How files of weights are read, and what that needs imported."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an export by name, and what gives the network back that they describe.

    `network` raises ImportError where its library is not installed, or cannot be imported.
    """

    files: dict[str, bytes]
    network: Callable[[], nn.Module]
    library: str


def for_torch(trained: Trained) -> Written:
    """Return a file of Python that needs PyTorch alone, weights by our names, and the names of the classes."""
    about = trained.about
    text = source_of(about.plan.config, about.preprocessing, weights="weights.pt")
    weights = _saved(dict(trained.weights))
    files = {"network.py": text.encode(), "weights.pt": weights, "classes.txt": _classes(about)}
    return Written(files, lambda: _run(text, "Network", weights), "torch")


def for_library(trained: Trained, library: Library) -> Written:
    """Return the files that a library loads; raise ScalenetError where it cannot express the network."""
    about = trained.about
    model = about.plan.config.model
    chosen = expressed(model, CANDIDATES[library](model), library)
    state = state_in(library, trained.weights, on_meta(model), model, chosen.name)
    if library == "huggingface":
        return _of_transformers(about, chosen, state)
    kind = _SAFETENSORS if library == "timm" else _PTH
    text = _text(about, chosen, library, kind)
    files = {"network.py": text.encode(), kind: save(state) if library == "timm" else _saved(state)}
    files |= {"classes.txt": _classes(about), "preprocessing.json": about.preprocessing.text().encode()}
    if chosen.config:
        files["config.json"] = _json(chosen.config | _timm_config(about))
    return Written(files, lambda: _run(text, "build", files[kind], library), _PACKAGES[library])


def _of_transformers(about: About, chosen: Candidate, state: dict[str, Tensor]) -> Written:
    labels = {str(number): name for number, name in enumerate(about.plan.classes)}
    names = {"id2label": labels, "label2id": {name: int(number) for number, name in labels.items()}}
    files = {
        "config.json": _json(chosen.config | names),
        "model.safetensors": save(state, {"format": "pt"}),
        "preprocessor_config.json": _json(_processor(about.preprocessing)),
    }
    return Written(files, lambda: _Logits(_transformer(chosen, len(labels), state)), _PACKAGES["huggingface"])


def _transformer(chosen: Candidate, classes: int, state: dict[str, Tensor]) -> nn.Module:
    library: Any = imported("transformers")
    title = chosen.config["architectures"][0].removesuffix("ForImageClassification")
    config = getattr(library, f"{title}Config")(**chosen.config, num_labels=classes)
    network: nn.Module = getattr(library, f"{title}ForImageClassification")(config)
    network.load_state_dict(state)
    return network


class _Logits(nn.Module):
    """A network of transformers, without what it returns beside its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images).logits
        return logits


def _text(about: About, chosen: Candidate, library: Library, weights: str) -> str:
    model = about.plan.config.model
    imported, read = _READ[weights]
    others = ("from torch import nn", *chosen.imported, imported)
    return _FILE.format(
        name=harmless(about.plan.config.name),
        title=TITLES[library],
        params=cost(model).params,
        height=model.size[0],
        width=model.size[1],
        source=harmless(about.plan.source),
        version=__version__,
        imports="\n".join(sorted(others, key=lambda line: (not line.startswith("import"), line))),
        weights=weights,
        read=read,
        call="\n".join(lines(_call(chosen.call), depth=1, before="return ")),
    )


def _call(text: str) -> Call | str:
    """Return a call whose arguments can stand a line each."""
    name, _, rest = text.partition("(")
    arguments, depth, start = [], 0, 0
    for place, letter in enumerate(rest[:-1] + ","):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            arguments.append(("", rest[start:place].strip()))
            start = place + 1
    return Call(name, tuple(arguments))


def _run(text: str, function: str, weights: bytes, library: str = "torch") -> nn.Module:
    """Return the network of a file that was written here, with its weights."""
    if library != "torch":
        imported(_PACKAGES[library])
    names: dict[str, Any] = {"__name__": "network", "__file__": "network.py"}
    exec(compile(text, "network.py", "exec"), names)
    network: nn.Module = names[function]()
    state = load(weights) if library == "timm" else torch.load(io.BytesIO(weights), weights_only=True)
    network.load_state_dict(state)
    return network


def _side(record: Preprocessing, library: str) -> int:
    """Return the pixels of a square network's side; others' images are squeezed, which no other library's file says."""
    tall, wide = both(record.size)
    if tall != wide:
        hint = "--to torch prepares its images itself"
        said = f"images of {tall} × {wide} px are squeezed squares, which a folder of {library} cannot say"
        raise ScalenetError(said, hint=hint)
    return tall


def _processor(record: Preprocessing) -> dict[str, Any]:
    side = _side(record, "huggingface")
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": record.resize},
        "resample": int(Image.Resampling[record.interpolation.upper()]),
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(record.mean),
        "image_std": list(record.std),
    }


def _timm_config(about: About) -> dict[str, Any]:
    record = about.preprocessing
    side = _side(record, "timm")
    pretrained = {
        "num_classes": record.classes,
        "input_size": [3, side, side],
        "crop_pct": math.floor(1e6 * side / record.resize) / 1e6,  # it rounds down what it resizes to
        "crop_mode": "center",
        "interpolation": record.interpolation,
        "mean": list(record.mean),
        "std": list(record.std),
    }
    return {"pretrained_cfg": pretrained, "label_names": list(about.plan.classes)}


def _classes(about: About) -> bytes:
    return "".join(f"{name}\n" for name in about.plan.classes).encode()


def _json(data: Any) -> bytes:
    return (strict_json.dumps(json.loads(json.dumps(data)), indent=2) + "\n").encode()


def _saved(state: dict[str, Tensor]) -> bytes:
    file = io.BytesIO()
    kept = OrderedDict(state)
    kept._metadata = OrderedDict({"": {"version": 2}})  # type: ignore[attr-defined]  # torchvision's MNASNet asks for it
    torch.save(kept, file)
    return file.getvalue()
