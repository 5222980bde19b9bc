"""Which networks and weights do other libraries publish, and how do theirs differ from ours?"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from scalenet.exchange.expected import COLOURS, Expected

if TYPE_CHECKING:
    from scalenet.arch.spec import Model
    from scalenet.exchange.naming import Library


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A network of another library, the one of ours with its tensors, and what it computes otherwise."""

    library: Library
    name: str
    network: str
    eps: float | None
    momentum: float | None
    padding: str | None

    def applied(self, model: Model) -> Model:
        """Return our network as theirs computes."""
        changes: dict[str, Any] = {"eps": self.eps, "momentum": self.momentum}
        given = {name: value for name, value in changes.items() if value is not None}
        return model.changed(norm=model.norm.changed(**given), padding=self.padding)


@dataclass(frozen=True, slots=True)
class Published:
    """Weights of a network of another library, by their own name, and the images that they expect."""

    library: Library
    name: str
    weights: str
    sha256: str
    classes: int
    images: Expected

    def is_file(self, digest: str) -> bool:
        """Return whether a file of that SHA-256 is the published one, as far as that is known."""
        return bool(self.sha256) and digest.startswith(self.sha256)

    def __str__(self) -> str:
        return f"{self.name}.{self.weights}"


STRANGERS = {
    "efficientnet_b0": ("efficientnet_blur_b0",),
    "efficientnet_v2_s": ("efficientnetv2_s",),
    "resnet18": ("resnetblur18",),
    "resnet50": ("resnetaa50", "resnetblur50"),
    "resnet50d": ("resnetaa50d", "resnetblur50d"),
}
"""timm's networks (1.0.31) that have the tensors of one of ours, compute something else with them, and are none of
ours."""


@cache
def counterparts() -> tuple[Counterpart, ...]:
    """Return the networks of other libraries whose tensors one of ours has."""
    return tuple(
        Counterpart(
            cast("Library", row["library"]),
            row["name"],
            row["network"],
            float(row["eps"]) if row["eps"] else None,
            float(row["momentum"]) if row["momentum"] else None,
            row["padding"] or None,
        )
        for row in _rows("networks.csv")
    )


@cache
def published() -> tuple[Published, ...]:
    """Return the weights of those networks that can be evaluated as they are meant to be, in their libraries' order."""
    return tuple(
        Published(
            cast("Library", row["library"]),
            row["name"],
            row["weights"],
            row["sha256"],
            int(row["classes"]),
            _images(row),
        )
        for row in _rows("published.csv")
    )


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return ImageNet's thousand classes as its folders are called, in the order of their numbers."""
    return tuple((resources.files("scalenet.exchange") / "imagenet.txt").read_text(encoding="utf-8").split())


def _images(row: dict[str, str]) -> Expected:
    mean, std = COLOURS[row["colours"]]
    return Expected(int(row["size"]), int(row["resize"]), row["interpolation"], mean, std)


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("scalenet.exchange") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
