"""Files of weights that scalenet did not write: what they are, as far as can be told without running them."""

from __future__ import annotations

import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HINT = "`scalenet weights import FILE -o FOLDER` makes a folder of weights of other libraries that is taken here"

_LIBRARIES = {
    "features.0.0.": "torchvision",
    "conv_stem.": "timm",
    "conv1.": "torchvision or timm",
    "features.": "torchvision or timm",
}
_TRANSFORMERS = (".embeddings.", ".embedder.", ".conv_stem.")
_WRAPPERS = ("state_dict", "model", "model_ema")
_PREFIXES = ("module.", "_orig_mod.")
_PICKLE, _HDF5 = b"\x80", b"\x89HDF"


def describe_tensors(names: Sequence[str]) -> str:
    """Return what tensors of these names are likely to be."""
    first = names[0] if names else ""
    for prefix in _PREFIXES:
        first = first.removeprefix(prefix)
    if any(part in first for part in _TRANSFORMERS):
        library = "transformers"
    else:
        library = next((library for start, library in _LIBRARIES.items() if first.startswith(start)), "")
    whose = f", named as in {library}" if library else ""
    count = "1 tensor" if len(names) == 1 else f"{len(names):,} tensors"
    return f"{count} that scalenet did not write{whose}" if names else "no tensors"


def describe_file(path: Path) -> str | None:
    """Return what a file is that is no safetensors file; None where nothing is known of it."""
    with path.open("rb") as file:
        start = file.read(4)
    if zipfile.is_zipfile(path):
        return _describe_archive(path)
    if start.startswith(_PICKLE):
        return "a pickle, as torch.save wrote long ago, which can run any code and is not read here"
    return "an HDF5 file, as Keras writes" if start == _HDF5 else None


def _describe_archive(path: Path) -> str | None:
    """Return what a ZIP archive is, if torch.save wrote it; only names, shapes and types are read of it."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not any(name.endswith("data.pkl") for name in names):
        return "a ZIP archive"
    try:
        with warnings.catch_warnings(action="ignore"):
            found: Any = torch.load(path, map_location="meta", mmap=True, weights_only=True)
    except Exception:  # whatever an unpickler may meet
        return "a file of torch.save that holds more than tensors, and is not read"
    for wrapper in _WRAPPERS:
        found = found.get(wrapper, found) if isinstance(found, dict) else found
    tensors = [str(name) for name, value in found.items() if torch.is_tensor(value)] if isinstance(found, dict) else []
    return f"a file of torch.save with {describe_tensors(tensors)}"
