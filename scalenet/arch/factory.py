"""Networks that others' code makes: a callable, `package.module:name`, and what it is called with.

Such a network has no layers here that could be counted by formula: it is made and run to learn what it costs. The
record is plain data all the same; nothing is imported before the network is made.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scalenet.arch.errors import ScalenetError
from scalenet.arch.options import Positive, Resolution, both_sides
from scalenet.arch.records import Record, as_tuple

WIDTH, DEPTH, OTHERS = "width", "depth", ("resolution", "channels", "classes")
"""Arguments that a factory must take, and those that it may take."""


def names_callable(text: str) -> bool:
    """Return whether a text is of the form `package.module:name`."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", text) is not None


def _callable(text: str) -> str:
    if not names_callable(text):
        raise ValueError("expected package.module:name")
    return text


Size: TypeAlias = Positive | Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A width or a depth: a whole number stays one when it is scaled, any other is handed over as it is."""


def check_one_network(model: Record | None, factory: Factory | None) -> None:
    """Raise ValueError unless a network is given once: as a description of layers, or as the call of a factory."""
    if model is None and factory is None:
        raise ValueError("model: missing")
    if model is not None and factory is not None:
        raise ValueError("model and factory exclude each other")


class Factory(Record):
    """A call that makes a network: width and depth, which scaling moves, and what else the callable takes.

    `takes` are those of resolution, channels and classes that it takes as arguments too; `arguments` are all others,
    which stay as they are. `classes` is None where the network does not map images to logits [images, classes]. With
    `rewrite` the callable knows no width and depth: the layers of what it makes are given other sizes.
    """

    callable: Annotated[str, AfterValidator(_callable)]
    width: Size
    depth: Size
    resolution: Resolution
    channels: Positive = 3
    classes: Positive | None = None
    takes: Annotated[tuple[Literal["resolution", "channels", "classes"], ...], BeforeValidator(as_tuple)] = ()
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    rewrite: Literal[True] | None = None

    @model_validator(mode="after")
    def _given_once(self) -> Factory:
        twice = [name for name in self.arguments if name in (WIDTH, DEPTH, *OTHERS)]
        if twice:
            raise ValueError(f"arguments.{twice[0]}: {twice[0]} has a key of its own")
        return self

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.keywords().items())
        rewritten = f" at width {self.width:g} and depth {self.depth:g}" if self.rewrite else ""
        return f"{self.callable}({given}){rewritten}"

    @property
    def name(self) -> str:
        """What the callable is called in its module."""
        return self.callable.partition(":")[2]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, pixels."""
        return both_sides(self.resolution)

    def keywords(self) -> dict[str, Any]:
        """Return what the callable is called with."""
        return {
            **({} if self.rewrite else {WIDTH: self.width, DEPTH: self.depth}),
            **{name: getattr(self, name) for name in self.takes},
            **self.arguments,
        }

    def at(self, resolution: int | tuple[int, int]) -> Factory:
        """Return this factory for another input size, in pixels."""
        return self.changed(resolution=resolution)

    def with_classes(self, classes: int) -> Factory:
        """Return this factory for another number of classes, where it takes one."""
        return self._with("classes", classes)

    def with_channels(self, channels: int) -> Factory:
        """Return this factory for images of another number of colours, where it takes one."""
        return self._with("channels", channels)

    def _with(self, name: str, value: int) -> Factory:
        own = getattr(self, name)
        if own != value and name not in self.takes:
            has = "no logits [images, classes]" if own is None else f"{own} {name}"
            raise ScalenetError(
                f"{self.callable} gives a network of {has}, not of {value}, and takes no argument {name!r}",
                hint=f"let it take {name}=",
            )
        return self.changed(**{name: value})

    def no_description(self) -> ScalenetError:
        """Return what to raise where only a description of layers will do."""
        return ScalenetError(
            f"{self.callable} is a factory: this needs a description of layers",
            hint="scale, cost, show, diff, latency, train, grid-search, study, cam, lock and check take factories",
        )
