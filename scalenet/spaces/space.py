"""Spaces: sets of networks as YAML files, a config's model whose stages list choices.

A list in a stage are choices: of blocks, of a block's options, of widths and of depths. `times` are factors of the
stage's width, and `plus` blocks more or fewer than its depth. An option counts for the blocks that have it.
"""

from __future__ import annotations

from functools import cache, cached_property
from importlib import resources
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

import numpy as np
from pydantic import BeforeValidator, Field, model_serializer, model_validator

from scalenet.arch.blocks import names as block_names
from scalenet.arch.config import Name
from scalenet.arch.errors import nearest
from scalenet.arch.options import Positive
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.shipped import load_shipped, shipped_files
from scalenet.arch.spec import Model, StageSpec, as_stage, stage_record
from scalenet.scaling.rounding import Rounding, rounding_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

MOST_KINDS = 5_000
"""Combinations of a block and its options in one stage; more are refused."""

_OWN = ("block", "depth", "plus", "width", "times", "stride")


class Choices(Record):
    """A stage of a space: its blocks, depths and widths, and the options that they choose from, as tuples.

    `depth` and `width` are choices themselves, or one number each with `plus` and `times` as choices.
    """

    block: Annotated[tuple[str, ...], Field(min_length=1)]
    depth: Annotated[tuple[Positive, ...], Field(min_length=1)]
    plus: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    width: Annotated[tuple[Positive, ...], Field(min_length=1)]
    times: Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1)] = (1.0,)
    stride: Positive = 1
    options: dict[str, tuple[Any, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> Choices:
        """Refuse what is listed twice, two ways to say one thing, and choices that a block does not take."""
        listed = {name: getattr(self, name) for name in _OWN if name != "stride"} | self.options
        for name, values in listed.items():
            if any(value in values[:place] for place, value in enumerate(values)):
                raise ValueError(f"{name} lists a choice twice")
        for one, more in (("depth", "plus"), ("width", "times")):
            if len(getattr(self, one)) > 1 and len(getattr(self, more)) > 1:
                raise ValueError(f"{one} lists choices, and so does {more}: give one of them")
        for block in self.block:
            self._check(block)
        if len(self.kinds) > MOST_KINDS:
            raise ValueError(f"{len(self.kinds):,} combinations of a block and its options are more than {MOST_KINDS}")
        return self

    def _check(self, block: str) -> None:
        """Raise ValidationError, or ValueError, where a block does not take one of its choices."""
        for name in self._options_of(block):
            for value in self.options[name]:
                as_stage({"block": block, "depth": 1, "width": 1, "stride": self.stride, name: value})

    def _options_of(self, block: str) -> list[str]:
        known = set(stage_record(block).model_fields)
        return [name for name in self.options if name in known]

    @cached_property
    def kinds(self) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
        """Each block with each combination of those of its options that are listed."""
        found = []
        for block in self.block:
            names = self._options_of(block)
            found += [
                (block, tuple(zip(names, values, strict=True)))
                for values in product(*(self.options[name] for name in names))
            ]
        return tuple(found)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The depths to choose from: at least one block each."""
        return tuple(dict.fromkeys(max(1, depth + more) for depth in self.depth for more in self.plus))

    def widths(self, divisor: int) -> tuple[int, ...]:
        """Return the widths to choose from; multiplied ones are multiples of the divisor."""
        own = Rounding("space", "a space's own", divisor=divisor, guard=None)
        found = [own.round_width(width, factor) for width in self.width for factor in self.times]
        return tuple(dict.fromkeys(cast("list[int]", found)))

    @property
    def choices(self) -> int:
        """How many combinations are listed, those that give the same stage included."""
        options = sum(prod(len(self.options[name]) for name in self._options_of(block)) for block in self.block)
        return options * len(self.depth) * len(self.plus) * len(self.width) * len(self.times)

    def stage(self, kind: int, width: int, depth: int) -> StageSpec:
        """Return the stage of a kind, by its place, with a width and a depth."""
        block, options = self.kinds[kind]
        given = {"block": block, "depth": depth, "width": width, "stride": self.stride, **dict(options)}
        found: StageSpec = as_stage(given)
        return found

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """Return the mapping of a file: one value by itself, several as a list."""
        usual = {"plus": (0,), "times": (1.0,)}
        listed = {name: getattr(self, name) for name in _OWN if name != "stride"}
        kept = {name: values for name, values in listed.items() if values != usual.get(name)}
        return {name: _plain(values) for name, values in kept.items()} | {
            "stride": self.stride,
            **{name: _plain(values) for name, values in self.options.items()},
        }


def _plain(values: tuple[Any, ...]) -> Any:
    return list(values) if len(values) > 1 else values[0]


def _as_choices(value: Any) -> Any:
    """Return the mapping of a file as the record takes it; refuse keys that none of its blocks has."""
    if not isinstance(value, dict) or "block" not in value or isinstance(value, Choices):
        return value
    own = {name: _listed(value[name]) if name != "stride" else value[name] for name in _OWN if name in value}
    options = {name: _listed(one) for name, one in value.items() if name not in _OWN}
    known = {name for block in own["block"] for name in _fields_of(block)}
    unknown = [name for name in options if name not in known]
    if unknown:
        hint = nearest(str(unknown[0]), sorted({*_OWN, *known}))
        raise ValueError(
            f"{unknown[0]}: no option of {' or '.join(map(str, own['block']))}{f'; {hint}' if hint else ''}"
        )
    return own | {"options": options}


def _fields_of(block: Any) -> Iterable[str]:
    """Return the keys of a block's stage; raise ValueError for a block that is not known."""
    known = block_names()
    if not isinstance(block, str) or block not in known:
        hint = nearest(str(block), known)
        raise ValueError(f"unknown block {block!r}; {hint or 'known: ' + ', '.join(known)}")
    return stage_record(block).model_fields


def _listed(value: Any) -> Any:
    return as_tuple(value) if isinstance(value, list | tuple) else (value,)


AnyChoices: TypeAlias = Annotated[Choices, BeforeValidator(_as_choices)]


class Skeleton(Model):
    """A model whose stages list choices: what `Model` says of layers is true of its members only."""

    stages: Annotated[tuple[AnyChoices, ...], BeforeValidator(as_tuple), Field(min_length=1)]  # type: ignore[assignment]

    @model_validator(mode="after")
    def _layers_must_fit(self) -> Skeleton:
        """Refuse nothing yet: `Space` looks at its members."""
        return self


class Space(Record):
    """A set of networks: a model whose stages list choices.

    `rounding` is the rounding set that its members are scaled with later, and `divisor` what widths that are multiplied
    by `times` are multiples of.
    """

    schema_: Literal["scalenet-space/1"] = Field(alias="schema")
    name: Name
    description: str = ""
    source: str | None = None
    rounding: str = "efficientnet"
    divisor: Positive = 8
    model: Skeleton

    @model_validator(mode="after")
    def _sound(self) -> Space:
        """Refuse an unknown rounding set, and stages that no network can have."""
        rounding_set(self.rounding)
        self.network([0] * len(self.stages))
        return self

    @property
    def stages(self) -> tuple[Choices, ...]:
        """The stages with their choices."""
        return self.model.stages

    @property
    def choices(self) -> int:
        """How many combinations of choices are listed."""
        return prod(stage.choices for stage in self.stages)

    @property
    def size(self) -> int:
        """How many different members there are: listed combinations that give the same numbers are one."""
        return prod(self.variants)

    @cached_property
    def variants(self) -> tuple[int, ...]:
        """How many different stages each stage may be."""
        return tuple(prod(self.shape(stage)) for stage in range(len(self.stages)))

    def shape(self, stage: int) -> tuple[int, int, int]:
        """Return of how many kinds, widths and depths a stage chooses: a variant is kind, width and depth in order."""
        own = self.stages[stage]
        return len(own.kinds), len(own.widths(self.divisor)), len(own.depths)

    def stage(self, stage: int, variant: int) -> StageSpec:
        """Return a variant of a stage."""
        own = self.stages[stage]
        kind, width, depth = (int(one) for one in np.unravel_index(variant, self.shape(stage)))
        return own.stage(kind, own.widths(self.divisor)[width], own.depths[depth])

    def network(self, member: Sequence[int]) -> Model:
        """Return the network of a member, which is a variant of each stage; raise ValueError where layers misfit."""
        given = {name: getattr(self.model, name) for name in Model.model_fields}
        stages = tuple(self.stage(stage, int(variant)) for stage, variant in enumerate(member))
        return Model.model_validate({**given, "stages": stages})

    def changed_to(self, *, classes: int | None = None, resolution: int | tuple[int, int] | None = None) -> Space:
        """Return this space for another number of classes, or another input size in pixels."""
        model: Model = self.model
        model = model if classes is None else model.with_classes(classes)
        return self.changed(model=model if resolution is None else model.at(resolution))


@cache
def files() -> dict[str, Traversable]:
    """Return the file of every shipped space by name."""
    return shipped_files(resources.files("scalenet.spaces"))


def load_space(name_or_path: str | Path) -> Space:
    """Return a shipped space, or the space in a YAML file."""
    return load_shipped(Space, name_or_path, files(), kind="space")
