"""The device that a network is trained or run on."""

from __future__ import annotations

import torch

from scalenet.arch.errors import ScalenetError


def usable_device(name: str | None) -> str:
    """Return a device, or the best there is; raise ScalenetError for one that torch cannot use here."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError):
        raise ScalenetError(f"device {name!r} cannot be used here", hint="--device cpu works everywhere") from None
    return name
