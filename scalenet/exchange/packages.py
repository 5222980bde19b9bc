"""Packages that are not needed by scalenet itself, imported when they are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def imported(package: str) -> Any:
    """Import a package; whatever it raises, for it may be built for another torch, is an ImportError."""
    if find_spec(package.partition(".")[0]) is None:
        raise ImportError(f"{package} is not installed")
    try:
        return import_module(package)
    except Exception as error:
        raise ImportError(f"{package} cannot be imported: {error}") from error
