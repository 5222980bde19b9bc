"""Config files: one YAML file describes one architecture completely, and says how it came about.

`load_config` is strict: unknown, missing, doubled and mistyped keys are errors that name file, line and key, and the
nearest good key. `save` writes the same bytes for the same config, to a temporary name first.
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, cast, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator

from scalenet.arch import blocks, strict_yaml
from scalenet.arch.amounts import Whole
from scalenet.arch.convention import OF_CONVNETS
from scalenet.arch.errors import ConfigError, ScalenetError, nearest
from scalenet.arch.factory import Factory, check_one_network
from scalenet.arch.files import read_text, write_text
from scalenet.arch.options import Positive
from scalenet.arch.records import Record
from scalenet.arch.spec import Architecture, Model, StageSpec, described, stage_record, usual_rounding
from scalenet.arch.validation import key_text, path_in, plainest, reason

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic_core import ErrorDetails

    from scalenet.arch.spec import Buildable
    from scalenet.arch.strict_yaml import Node


R = TypeVar("R", bound=Record)


_LONGEST_NAME = 200
"""Bytes of a name: of the 255 that a file's may have, the rest is for what is added to it."""


def path_safe(name: str) -> str:
    """Return a name that can be a file's; refuse one that cannot, or that is not printable."""
    if not name.isprintable() or not name or name.startswith(".") or any(mark in name for mark in "/\\:"):
        raise ValueError("a name must be usable as a file name")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"a name is at most {_LONGEST_NAME} bytes long")
    return name


Name: TypeAlias = Annotated[str, AfterValidator(path_safe)]
Multiplier: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SomeShare: TypeAlias = Annotated[float, Field(ge=-100, le=100)]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class Baseline(Record):
    """What an architecture says of itself: title, source, and the rounding set that its family uses."""

    title: str | None = None
    source: str | None = None
    rounding: str


class CompoundRay(Record):
    """depth = alpha^phi, width = beta^phi, resolution = gamma^phi for every phi (Tan & Le 2019, equation 3)."""

    kind: Literal["compound"] = "compound"
    alpha: Multiplier
    beta: Multiplier
    gamma: Multiplier


class SharesRay(Record):
    """Shares of the extra FLOPs: depth = 2^(phi · d), width = 2^(phi · w / 2), resolution = 2^(phi · r / 2).

    The shares add up to 1. (1, 0, 0), (0, 1, 0) and (0, 0, 1) scale one dimension only; (0.1, 0.8, 0.1) is dWr
    (Dollár, Singh & Girshick 2021, "Fast and Accurate Model Scaling").
    """

    kind: Literal["shares"] = "shares"
    depth: SomeShare
    width: SomeShare
    resolution: SomeShare

    @model_validator(mode="after")
    def _add_up_to_one(self) -> SharesRay:
        total = self.depth + self.width + self.resolution
        if abs(total - 1) > 1e-9:
            raise ValueError(f"shares of depth, width and resolution add up to {total:g}, not to 1")
        return self


class TinyRay(Record):
    """Depth and resolution from curves through the TinyNets, width from the budget (Han et al. 2020, "Model Rubik's
    Cube: Twisting Resolution, Depth and Width for TinyNets"): for networks smaller than their base.
    """

    kind: Literal["tiny"] = "tiny"


class CompoundRule(CompoundRay):
    """A point of a compound ray."""

    phi: Finite


class SharesRule(SharesRay):
    """A point of a ray of shares."""

    phi: Finite


class MultipliersRule(Record):
    """The three multipliers as they are given."""

    kind: Literal["multipliers"] = "multipliers"
    depth: Multiplier
    width: Multiplier
    resolution: Multiplier


class PresetRule(Record):
    """A published member of a family, by its published multipliers, resolution and dropout."""

    kind: Literal["preset"] = "preset"
    name: str


Ray: TypeAlias = Annotated[CompoundRay | SharesRay | TinyRay, Field(discriminator="kind")]
Metric: TypeAlias = Literal["flops", "params", "activations", "memory"]


class BudgetRule(Record):
    """The network nearest to a ray among those that cost `value`, within `tolerance` (Tan & Le 2019, equation 2).

    `memory` is peak bytes at `batch`, of `training` or inference; it is never above `value`. `ceilings` are limits of
    the other costs. `sizes` are the admissible input sizes: multiples of a number of pixels, or `tight`, those that
    every stride divides. With `per_stage` one stage's width may be a step of the divisor off the uniform multiple.
    """

    kind: Literal["budget"] = "budget"
    ray: Ray
    metric: Metric
    value: Whole
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    ceilings: dict[Metric, Whole] = Field(default_factory=dict)
    sizes: Literal["tight"] | Positive = 1
    per_stage: bool = False
    batch: Positive = 1
    training: bool = False


Rule: TypeAlias = Annotated[
    CompoundRule | SharesRule | MultipliersRule | PresetRule | BudgetRule, Field(discriminator="kind")
]


class BaseReference(Record):
    """The architecture that was scaled: its name, its digest, and its model, where no registry has it, or factory."""

    name: str
    digest: str
    model: Model | None = None
    factory: Factory | None = None

    @property
    def network(self) -> Buildable | None:
        """The base itself, where no registry has it."""
        return self.model or self.factory


class RoundingReference(Record):
    """The rounding set that was used, and its version."""

    name: str
    version: int


class Factors(Record):
    """Factors of the three dimensions."""

    depth: float
    width: float
    resolution: float


class Ratios(Factors):
    """Multipliers of the three dimensions, and the FLOPs as a multiple of the base's.

    As asked: the rule's multipliers and target. As applied, after rounding: blocks, root-mean-square width of the
    stages and side of the input (of a square of the same area), relative to the base, and the FLOPs ratio achieved.
    """

    flops_ratio: float


class Solution(Record):
    """What a budget was met with: the metric's value, and how far the network lies from the ray.

    `phi` is that of the nearest point of the ray, and `off_ray` each dimension relative to it, as the mean over the
    base's blocks. `distance` is in doublings of nominal FLOPs, of which `spread` is what rounding makes of some stages
    more than of others. Without `met` no network near the ray costs what was asked, and this one comes closest.
    """

    achieved: int
    met: bool
    phi: float
    distance: float
    spread: float
    off_ray: Factors


class Scaling(Record):
    """How `model` came from its base, so that it can be redone and compared."""

    base: BaseReference
    rule: Rule
    rounding: RoundingReference
    regularization: Literal["linear", "preset", "none"]
    asked: Ratios
    nominal: float
    applied: Ratios
    solution: Solution | None = None


class CostRecord(Record):
    """Counts of the model for a batch of one; `convention` says what `flops` are."""

    flops: int
    flops_by_operator: dict[str, int]
    params: int
    activations: int
    convention: str = OF_CONVNETS


class Provenance(Record):
    """Which version wrote the file, the command that writes it again, and what counted."""

    scalenet: str
    command: str
    counter: str


class Config(Record):
    """A whole config file. `schema`, `name` and `model` suffice; a `factory` may stand in the model's place."""

    schema_: Literal["scalenet/1"] = Field(alias="schema")
    name: Name
    baseline: Baseline | None = None
    described: Model | None = Field(None, alias="model")
    factory: Factory | None = None
    scaling: Scaling | None = None
    cost: CostRecord | None = None
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _one_network(self) -> Config:
        check_one_network(self.described, self.factory)
        return self

    @property
    def network(self) -> Buildable:
        """What the network is made from: a description of its layers, or a call of a factory."""
        return cast("Buildable", self.described or self.factory)

    @property
    def model(self) -> Model:
        """The description of the network's layers; raise ScalenetError where a factory makes it."""
        return described(self.network)

    def architecture(self) -> Architecture:
        """Return the network that the file describes."""
        if self.baseline is not None:
            return Architecture(self.name, self.network, self.baseline.rounding)
        if self.scaling is not None:
            return Architecture(self.name, self.network, self.scaling.rounding.name)
        return Architecture(self.name, self.network, usual_rounding(self.network))


_FIRST_KEYS = {
    "Model": "resolution channels activation norm squeeze_excite stem stages head regularization initialization",
    "Norm": "kind eps momentum",
    "LayerNorm": "kind eps",
    "GroupNorm": "kind groups eps",
    "NoNorm": "kind",
    "SqueezeExcite": "pool gate",
    "Stem": "kind width kernel stride pool",
    "DeepStem": "kind width kernel stride pool",
    "StemPool": "kind kernel stride",
    "PatchStem": "kind width stride then",
    "RepvggStem": "kind width kernel stride",
    "InceptionStem": "kind width",
    "ConvHead": "kind width classes",
    "LinearHead": "kind classes",
    "MlpHead": "kind width expand multiple_of classes",
    "VggHead": "kind width classes",
    "MapsHead": "kind classes",
    "Regularization": "dropout drop_path",
    "Factory": "callable width depth resolution channels classes takes arguments",
    "mbconv_stage": "block depth width stride kernel expand se",
    "separable_stage": "block depth width stride kernel",
    "basic_stage": "block depth width stride kernel",
    "bottleneck_stage": "block depth width stride kernel expansion groups",
    "fused_mbconv_stage": "block depth width stride kernel expand",
    "regnet_stage": "block depth width stride kernel group_width se",
    "dense_stage": "block depth width stride kernel bottleneck",
    "convnext_stage": "block depth width stride kernel expand scale",
    "shuffle_stage": "block depth width stride kernel parts",
    "fire_stage": "block depth width stride kernel squeeze three",
    "vgg_stage": "block depth width stride kernel bias",
    "repvgg_stage": "block depth width stride kernel",
    "xception_stage": "block depth width stride kernel convs widened",
    "separated_stage": "block depth width stride kernel",
    "inception_resnet_a_stage": "block depth width stride factor",
    "inception_resnet_b_stage": "block depth width stride factor",
    "inception_resnet_c_stage": "block depth width stride factor activated",
    "inception_a_stage": "block depth width stride pool",
    "inception_c_stage": "block depth width stride inner",
    "inception_e_stage": "block depth width stride",
    "transformer_stage": "block depth width stride head_width expand",
    "mnas_conv_stage": "block depth width stride kernel se skip",
    "mnas_separable_stage": "block depth width stride kernel se skip",
    "mnas_mbconv_stage": "block depth width stride kernel expand se skip",
}
"""What a digest holds, whatever its value. A key that a record gains later is left out where it has its default, so
that digests stay as they were; such a default can never change. A new default of these keys changes digests."""


def digest(network: Buildable) -> str:
    """Return the SHA-256 of a network's numbers and names; equal networks have equal digests, in every version.

    Of a factory that is what it is called with, not its code.
    """
    return _sha256(_digested(network))


def is_digest_of(mark: str, model: Buildable) -> bool:
    """Return whether a recorded digest is a network's, or was, before others' blocks gained options with defaults."""
    if isinstance(model, Factory):
        return mark == digest(model)
    gained = sorted(_defaulted(model))[:_MOST_GAINED]
    without = chain.from_iterable(combinations(gained, count) for count in range(len(gained) + 1))
    return any(_sha256(_digested(model, left_out=set(pairs))) == mark for pairs in without)


_MOST_GAINED = 10
"""Options of which every subset is tried: a thousand digests of 0.1 ms."""


def _sha256(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _digested(record: Record, *, left_out: Collection[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return what a digest is of; `left_out` are further keys, by the name of their record."""
    kind, data = type(record), as_data(record)
    for name, field in kind.model_fields.items():
        value = getattr(record, name)
        later = kind.__name__ in _FIRST_KEYS and name not in _FIRST_KEYS[kind.__name__].split()
        if (later and value == field.get_default()) or (kind.__name__, name) in left_out:
            data.pop(name, None)
        elif isinstance(value, Record):
            data[name] = _digested(value, left_out=left_out)
        elif isinstance(value, tuple):
            data[name] = [_digested(one, left_out=left_out) if isinstance(one, Record) else one for one in value]
    return data


def _defaulted(model: Model) -> set[tuple[str, str]]:
    """Return the options of others' blocks that have their default in every stage, by the name of their record."""
    defaulted: set[tuple[str, str]] = set()
    others: set[tuple[str, str]] = set()
    for stage in model.stages:
        kind = type(stage)
        for name, value in stage.options().items():
            (defaulted if value == kind.model_fields[name].get_default() else others).add((kind.__name__, name))
    return {(kind, name) for kind, name in defaulted - others if kind not in _FIRST_KEYS}


def as_data(record: Record) -> dict[str, Any]:
    """Return a record as plain mappings, lists, numbers and names, in the order of its fields."""
    return record.model_dump(mode="json", by_alias=True, exclude_none=True)


def config_of(architecture: Architecture) -> Config:
    """Return the config that describes an architecture, and nothing more."""
    rounding, network = architecture.rounding, architecture.network
    baseline = None if rounding == usual_rounding(network) else Baseline(rounding=rounding)
    return config_with(network, name=architecture.name, baseline=baseline)


def config_with(network: Buildable, *, name: str, **others: Any) -> Config:
    """Return a config of a description or a factory, with `others` of its keys."""
    key = "factory" if isinstance(network, Factory) else "model"
    return Config(**{"schema": "scalenet/1", "name": name, key: network, **others})


def dumps(config: Architecture | Config) -> str:
    """Return the text of a config file, the same bytes for the same config."""
    return strict_yaml.dump(as_data(config_of(config) if isinstance(config, Architecture) else config))


def save(config: Architecture | Config, path: str | Path) -> None:
    """Write a config file; an existing file is replaced at once or not at all."""
    write_text(Path(path), dumps(config))


def load_config(path: str | Path, *, place: str | None = None) -> Config:
    """Read a config file, or that of a folder of results, `config.yaml`.

    `place` names the file in errors, where its path does not. Raise ConfigError with the file, line and key of the
    first thing wrong, ScalenetError where there is no such file.
    """
    file = Path(path)
    if file.is_dir():
        file /= "config.yaml"
        if not file.is_file():
            hint = "folders that `scalenet train` or `--keep-models` wrote have one; or give a YAML file"
            raise ScalenetError(f"{place or path}: this folder has no {file.name}", hint=hint)
    place = place or str(file)
    return loads(read_text(file, place), place=place)


def loads(text: str, *, place: str = "config") -> Config:
    """Read the text of a config file; `place` names it in errors."""
    return read_record(Config, text, place)


def read_record(kind: type[R], text: str, place: str) -> R:
    """Read YAML text as a record of `kind`, or raise ConfigError with line, key and the nearest good key."""
    data, node = strict_yaml.parse(text, place)
    return as_record(kind, data, place, node)


def as_record(kind: type[R], data: Any, place: str, node: Node | None = None) -> R:
    """Return plain data as a record of `kind`, or raise ConfigError with the key and the nearest good key."""
    if not isinstance(data, dict):
        raise ConfigError(f"{place}: expected keys and values, found {type(data).__name__}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _explained(plainest(error.errors()), kind, data, node, place) from None


def _explained(error: ErrorDetails, kind: type[Record], data: Any, node: Node | None, place: str) -> ConfigError:
    path = path_in(data, error["loc"])
    line = strict_yaml.line_of(node, path)
    where = f"{place}:{line}" if line else place
    key = key_text(path)
    known = _keys(kind, data, path[:-1])
    if error["type"] == "extra_forbidden":
        return ConfigError(
            f"{where}: {key}: unknown key", hint=nearest(str(path[-1]), known) or f"known: {', '.join(known)}"
        )
    if error["type"] == "union_tag_not_found":
        return ConfigError(f"{where}: {key}.kind: missing")
    if error["type"] == "union_tag_invalid":
        return ConfigError(
            f"{where}: {key}.kind: expected {error['ctx']['expected_tags']}, found {error['ctx']['tag']!r}"
        )
    return ConfigError(f"{where}: {key + ': ' if key else ''}{reason(error)}")


def _keys(kind: type[Record], data: Any, path: list[str | int]) -> list[str]:
    """Return the keys that the record at `path` takes."""
    for step in path:
        data = data[step]
        if isinstance(step, str):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            records = records_in(fields[step].annotation) if step in fields else []
        kind = next((record for record in records if _takes(record, data)), kind)
        if issubclass(kind, StageSpec) and isinstance(data, dict) and str(data.get("block")) in blocks.names():
            kind = stage_record(data["block"])
    return [field.alias or name for name, field in kind.model_fields.items()]


def records_in(annotation: Any) -> list[type[Record]]:
    """Return the records that the annotation of a field names."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return [annotation]
    return [record for inner in get_args(annotation) for record in records_in(inner)]


def _takes(record: type[Record], data: Any) -> bool:
    if "kind" not in record.model_fields or not isinstance(data, dict):
        return isinstance(data, dict)
    return data.get("kind", "") in (*get_args(record.model_fields["kind"].annotation), "")
