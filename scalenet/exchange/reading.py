"""What is in a file of weights? Tensors by name, whoever wrote it; nothing in a file is ever run."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from scalenet.arch import strict_json
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import read_text

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("model_ema", "state_dict_ema", "state_dict", "model", "model_state_dict", "net", "module")
"""Keys that weights stand behind: averages first, for they are what is evaluated."""
_PREFIXES = ("module.", "_orig_mod.", "model.")
_AUXILIARY = re.compile(r"(AuxLogits|aux1|aux2)\.")
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names that torchvision renames too when it loads its first files of DenseNets."""

_IN_FOLDERS = ("model.safetensors", "pytorch_model.bin", "model.bin", "model.pth")
_HINT = "give a file of weights (.pth, .pt, .bin, .safetensors), or a folder with config.json"


@dataclass(frozen=True)
class Found:
    """What a file holds: tensors in single precision, a digest, what was left out, and the configs beside it."""

    place: str
    tensors: dict[str, Tensor]
    digest: str
    left_out: list[str]
    config: dict[str, Any] = field(default_factory=dict)
    processor: dict[str, Any] = field(default_factory=dict)


def read_found(place: str | Path) -> Found:
    """Return the tensors of a file, or of a folder with `config.json`; raise ScalenetError where there are none."""
    path = Path(place)
    folder = path if path.is_dir() else None
    if folder is not None:
        path = _in_folder(folder)
    tensors, digest = _read(path)
    kept, left_out = _without_heads(_unprefixed(tensors))
    if not kept:
        raise ScalenetError(f"{place}: holds no tensors", hint=_HINT)
    return Found(
        str(place),
        {name: _single(value, name, path) for name, value in kept.items()},
        digest,
        left_out,
        _data(folder, "config.json"),
        _data(folder, "preprocessor_config.json"),
    )


def _in_folder(folder: Path) -> Path:
    for name in _IN_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    if any(folder.glob("*.index.json")):
        raise ScalenetError(f"{folder}: weights in several files are not read", hint="save them as one file")
    raise ScalenetError(f"{folder}: none of {', '.join(_IN_FOLDERS)} lies there", hint=_HINT)


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    if path.exists() and not path.is_file():
        raise ScalenetError(f"{path}: no file", hint=_HINT)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ScalenetError(f"{path}: {error.strerror or error}", hint=_HINT) from None
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, digest  # noqa: SIM118
    except SafetensorError:
        return _unwrapped(_loaded(path), path), digest


def _loaded(path: Path) -> Any:
    """Return what torch.save wrote, tensors and plain values alone."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x89HDF"):
        raise ScalenetError(f"{path}: an HDF5 file, as Keras writes", hint="give the weights of a PyTorch library")
    if not start.startswith((b"PK", b"\x80")):
        raise ScalenetError(f"{path}: half-written, damaged, or no file of weights", hint=_HINT)
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        hint = "load it where it was written, and save its state_dict() alone"
        raise ScalenetError(f"{path}: holds more than tensors, which could run any code", hint=hint) from None
    except Exception as error:  # whatever a damaged archive makes torch raise
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise ScalenetError(f"{path}: damaged, or no file of torch.save: {reason}", hint=_HINT) from None


def _unwrapped(found: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors of what was saved, behind whatever keys they stand."""
    while isinstance(found, dict):
        tensors = {str(name): value for name, value in found.items() if torch.is_tensor(value)}
        behind = next((found[key] for key in WRAPPERS if isinstance(found.get(key), dict)), None)
        if behind is None:
            return tensors
        found = behind
    kind = type(found).__name__
    raise ScalenetError(f"{path}: holds a {kind}, no tensors by name", hint="save state_dict()")


def _unprefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without what wrappers of modules put before all of their names."""
    tensors = {name: value for name, value in tensors.items() if name != "n_averaged"}
    for prefix in _PREFIXES * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _without_heads(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors that a network for classification has, and the heads that are left out."""
    heads = {found[1] for name in tensors if (found := _AUXILIARY.match(name))}
    kept = {_OLD_DENSENET.sub(r"\1\2.", name): value for name, value in tensors.items() if not _AUXILIARY.match(name)}
    return {name: value for name, value in kept.items() if not name.endswith("num_batches_tracked")}, sorted(heads)


def _single(value: Tensor, name: str, path: Path) -> Tensor:
    if value.is_quantized or value.is_sparse or value.is_meta or not value.is_floating_point():
        kind = "no values" if value.is_meta else str(value.dtype).removeprefix("torch.")
        raise ScalenetError(f"{path}: {name} is of {kind}", hint="give weights of a network that is not quantised")
    return value.detach().to(torch.float32)


def _data(folder: Path | None, name: str) -> dict[str, Any]:
    """Return the data of a JSON file of a folder, nothing where there is none."""
    if folder is None or not (folder / name).is_file():
        return {}
    path = folder / name
    try:
        data = strict_json.loads(read_text(path, str(path)))
    except ValueError as error:
        raise ScalenetError(f"{path}: no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ScalenetError(f"{path}: has no keys")
    return data
