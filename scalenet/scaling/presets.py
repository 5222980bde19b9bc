"""Presets: published members of a family, by name."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from scalenet.arch import strict_yaml
from scalenet.arch.errors import UnknownNameError
from scalenet.arch.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


class Preset(Record):
    """A published member: its base's name, multipliers of width and depth, resolution in pixels, and dropout.

    `rounding` is its own rounding set where it does not use its base's.
    """

    base: str
    width: float
    depth: float
    resolution: int
    dropout: float
    rounding: str | None = None


@cache
def presets() -> Mapping[str, Preset]:
    """Return every preset by name."""
    text = (resources.files("scalenet.scaling") / "presets.yaml").read_text(encoding="utf-8")
    data, _ = strict_yaml.parse(text, "presets.yaml")
    return {name: Preset.model_validate(row) for name, row in data.items()}


def preset(name: str) -> Preset:
    """Return the preset called `name` (a hyphen is as good as an underscore), or raise UnknownNameError."""
    try:
        return presets()[name.replace("-", "_")]
    except KeyError:
        raise UnknownNameError("preset", name, presets(), listing=f"known: {', '.join(presets())}") from None
