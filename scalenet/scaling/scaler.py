"""Scaling: from an architecture and a rule to a scaled architecture, and to the config that records how.

Each result shows what was *asked* (the rule's target), the *nominal* cost d · w² · r² of its multipliers, and what was
*achieved* by the rounded network; `causes.deviations` says why they differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from scalenet._version import __version__
from scalenet.arch import registry
from scalenet.arch.config import (
    BaseReference,
    BudgetRule,
    CompoundRay,
    CompoundRule,
    Config,
    MultipliersRule,
    PresetRule,
    Provenance,
    Ratios,
    RoundingReference,
    Scaling,
    SharesRay,
    SharesRule,
    TinyRay,
    config_of,
    config_with,
    digest,
    is_digest_of,
)
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.factory import Factory, names_callable
from scalenet.arch.spec import Architecture, Model, described, dimensions, usual_rounding, with_dimensions
from scalenet.costs.network import cost, cost_record
from scalenet.scaling import factories
from scalenet.scaling.budgets import Solved, shortfalls, solve
from scalenet.scaling.multiply import scale_dimensions
from scalenet.scaling.presets import preset, presets
from scalenet.scaling.rounding import rounding_set
from scalenet.scaling.rules import SHARES, Multipliers, checked, multipliers, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.arch.config import Ray, Rule, Solution
    from scalenet.arch.spec import Buildable
    from scalenet.scaling.rounding import Rounding


Network: TypeAlias = "str | Path | Config | Architecture | Model"
"""What stands for a network: a name, a YAML file, `package.module:factory`, or a description."""


def load(network: Network) -> Architecture:
    """Return the architecture of a registered baseline, a preset, a YAML file or a factory; of a description, its own.

    A model alone is called `network`, and scales with the default rounding set. `package.module:factory` is imported
    and made, a YAML file is not.
    """
    return network if isinstance(network, Architecture) else find_config(network).architecture()


def find_config(network: Network) -> Config:
    """Return the config of a baseline, a preset, a YAML file or a factory; of a description, one that holds it."""
    match network:
        case Config():
            return network
        case Architecture():
            return config_of(network)
        case Model():
            return config_of(Architecture("network", network))
        case str() if names_callable(network):
            return config_of(from_factory(network))
        case str() | Path():
            return _named(network)
    raise ScalenetError(
        f"no network: {type(network).__name__}", hint="give a name, a path, a config, an architecture or a model"
    )


def from_factory(path: str, *, rewrite: bool = False) -> Architecture:
    """Return the baseline that `package.module:factory` is, with its own defaults; its code is imported and run.

    With `rewrite` it is any callable that makes a module, or a module, whose layers are given other sizes.
    """
    from scalenet.model.factories import factory_of  # noqa: PLC0415 - runs others' code

    factory = factory_of(path, rewrite=rewrite)
    return Architecture(factory.name, factory, usual_rounding(factory))


def _named(name_or_path: str | Path) -> Config:
    name, known = str(name_or_path).replace("-", "_"), registry.names()
    if registry.is_path(name_or_path) or name in known:
        return registry.find_config(name_or_path)
    if name not in presets():
        raise UnknownNameError("baseline", name, [*known, *presets()], listing="`scalenet baselines` lists them")
    return scale_by(registry.load(preset(name).base), PresetRule(name=name))


def scale(
    architecture: Architecture,
    *,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: float = 1.0,
    rounding: str | None = None,
) -> Architecture:
    """Return the architecture with its dimensions multiplied and rounded.

    Regularisation is left as it is; `scale_by` scales it too, as the command does.
    `rounding` names a rounding set, by default the architecture's own. Raises ScalenetError for multipliers
    outside 1e-6 … 1e6.
    """
    factors = checked(Multipliers(depth, width, resolution))
    chosen = rounding_set(rounding or architecture.rounding)
    name = f"{architecture.name}_d{depth:.4g}_w{width:.4g}_r{resolution:.4g}"
    return Architecture(name, _multiplied(architecture.network, chosen, factors), chosen.name)


def _multiplied(network: Buildable, rounding: Rounding, factors: Multipliers) -> Buildable:
    if isinstance(network, Factory):
        factories.check_used(network, factors)
        return factories.multiplied(network, rounding, factors)
    return with_dimensions(network, scale_dimensions(network, rounding, **factors._asdict()))


def scale_by(base: Architecture, rule: Rule, *, rounding: str | None = None, name: str | None = None) -> Config:
    """Return the config of `base` scaled by a rule, with its cost and the record of how it came about.

    Regularisation scales too: dropout grows by 0.3 over φ = 0 … 7, as from B0's 0.2 to B7's 0.5 (Tan & Le 2019,
    section 5.2), and stays 0 where the base has none; drop-path stays. A preset has its published dropout.
    """
    own = preset(rule.name).rounding if isinstance(rule, PresetRule) else None
    chosen = rounding_set(rounding or own or base.rounding)
    scaled = _scaled(base, rule, chosen)
    counts = cost_record(scaled.network)
    scaling = Scaling(
        base=reference(base),
        rule=rule,
        rounding=RoundingReference(name=chosen.name, version=chosen.version),
        regularization=_regularization(base, rule),
        asked=_ratios(scaled.asked, scaled.target),
        nominal=tidy(scaled.asked.flops_ratio),
        applied=_ratios(applied(base.network, scaled.network), counts.flops / cost(base).flops),
        solution=scaled.solution,
    )
    counter = "fvcore" if isinstance(scaled.network, Factory) else "formula"
    return config_with(
        scaled.network,
        name=name or _name(base, rule),
        scaling=scaling,
        cost=counts,
        provenance=Provenance(scalenet=__version__, command=_command(scaling), counter=counter),
    )


def _regularization(base: Architecture, rule: Rule) -> Literal["linear", "preset", "none"]:
    if isinstance(base.network, Factory):
        return "none"
    return "preset" if isinstance(rule, PresetRule) else "linear"


def shortfall(base: Architecture, config: Config) -> list[str]:
    """Return why a scaling does not meet its budget, in a line; nothing where it does."""
    scaling = config.scaling
    if scaling is None or not isinstance(scaling.rule, BudgetRule) or scaling.solution is None or scaling.solution.met:
        return []
    return [f"{config.name}: no network meets the budget, this is the nearest: {'; '.join(why_missed(base, config))}"]


def why_missed(base: Architecture, config: Config) -> list[str]:
    """Return why no network meets a budget that this one comes nearest to."""
    assert config.scaling is not None
    rule, rounding = config.scaling.rule, rounding_set(config.scaling.rounding.name)
    assert isinstance(rule, BudgetRule)
    if isinstance(config.network, Factory):
        steps = [] if rule.sizes == 1 else [f"input sizes are multiples of {rule.sizes} px"]
        return [f"{config.network.callable} rounds its width and depth, or makes nothing so small or large", *steps]
    return shortfalls(base.model, rule, rounding, dimensions(config.network))


def rescale(scaling: Scaling, *, name: str) -> Config:
    """Return the config that the record of a scaling gives today; raise ScalenetError where its base is not known."""
    return scale_by(base_of(scaling), scaling.rule, rounding=scaling.rounding.name, name=name)


def base_of(scaling: Scaling) -> Architecture:
    """Return the base that a record of a scaling names; raise ScalenetError where it is not known."""
    base = scaling.base
    own = base.network
    architecture = registry.load(base.name) if own is None else Architecture(base.name, own, usual_rounding(own))
    if not is_digest_of(base.digest, architecture.network):
        raise ScalenetError(f"scaling.base.digest: {base.name} is not the model that was scaled")
    return architecture


def reference(base: Architecture) -> BaseReference:
    """Return the record of a base: by name where a registry has just this model, with the whole model elsewhere."""
    mark = digest(base.network)
    if isinstance(base.network, Factory):
        return BaseReference(name=base.name, digest=mark, factory=base.network)
    known = base.name in registry.installed_names() and registry.load(base.name).network == base.network
    return BaseReference(name=base.name, digest=mark, model=None if known else base.network)


def asked_of(base: Architecture, scaling: Scaling) -> tuple[Multipliers, float]:
    """Return the multipliers and the FLOPs ratio that were asked for: a budget's as recorded, in six digits."""
    if isinstance(scaling.rule, BudgetRule):
        asked = scaling.asked
        return Multipliers(asked.depth, asked.width, asked.resolution), asked.flops_ratio
    scaled = _scaled(base, scaling.rule, rounding_set(scaling.rounding.name))
    return scaled.asked, scaled.target


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A scaled network, the multipliers and the FLOPs ratio asked for, and how a budget was met."""

    network: Buildable
    asked: Multipliers
    target: float
    solution: Solution | None = None


def _scaled(base: Architecture, rule: Rule, rounding: Rounding) -> _Scaled:
    match rule:
        case PresetRule():
            return _preset(base, rule, rounding)
        case BudgetRule():
            return _solved(base, rule, rounding)
    asked = multipliers(rule)
    phi = math.log2(asked.flops_ratio) if isinstance(rule, MultipliersRule) else rule.phi
    target = asked.flops_ratio if isinstance(rule, MultipliersRule) else 2.0**phi
    return _Scaled(_regularized(base.network, _multiplied(base.network, rounding, asked), phi), asked, target)


def _solved(base: Architecture, rule: BudgetRule, rounding: Rounding) -> _Scaled:
    solved: factories.Solved | Solved
    if isinstance(base.network, Factory):
        solved = factories.solve(base.network, rule, rounding)
        network: Buildable = solved.network
    else:
        solved = solve(base.network, rule, rounding)
        network = _regularized(base.network, with_dimensions(base.network, solved.numbers), solved.solution.phi)
    target = rule.value / cost(base).flops if rule.metric == "flops" else solved.nearest.flops_ratio
    return _Scaled(network, solved.nearest, target, solved.solution)


def _regularized(base: Buildable, scaled: Buildable, phi: float) -> Buildable:
    """Return a scaled network with the dropout of φ; a factory's is its own."""
    if isinstance(base, Factory) or isinstance(scaled, Factory):
        return scaled
    return _with_dropout(scaled, scaled_dropout(base.regularization.dropout, phi))


def _preset(base: Architecture, rule: PresetRule, rounding: Rounding) -> _Scaled:
    published = preset(rule.name)
    own = registry.load(published.base).model
    if base.model.with_classes(own.head.classes) != own:
        if base.name == published.base:
            raise ScalenetError(
                f"preset {rule.name} is of {base.name} as it is published",
                hint="leave out what changes it, such as an input size",
            )
        raise ScalenetError(f"preset {rule.name} belongs to {published.base}, not to {base.name}")
    resolution = published.resolution / base.model.size[0]
    asked = Multipliers(published.depth, published.width, resolution)
    numbers = scale_dimensions(base.model, rounding, **asked._asdict())
    numbers = numbers._replace(size=(published.resolution, published.resolution))
    return _Scaled(_with_dropout(with_dimensions(base.model, numbers), published.dropout), asked, asked.flops_ratio)


def scaled_dropout(base: float, phi: float) -> float:
    """Return dropout at φ: 0.2 at B0 to 0.5 at B7 in a straight line, never negative, never above 0.5 or the base."""
    return round(min(max(base + 0.3 * phi / 7, 0.0), max(base, 0.5)), 4) if base else 0.0


def _with_dropout(model: Model, dropout: float) -> Model:
    return model.changed(regularization=model.regularization.changed(dropout=dropout))


def applied(base: Buildable, scaled: Buildable) -> Multipliers:
    """Return what a scaling made of the multipliers: the ratios that `Ratios` defines."""
    if isinstance(base, Factory) and isinstance(scaled, Factory):
        return factories.applied(base, scaled)
    before, after = described(base), described(scaled)
    squares = [(new.width / old.width) ** 2 for new, old in zip(after.stages, before.stages, strict=True)]
    return Multipliers(
        depth=sum(stage.depth for stage in after.stages) / sum(stage.depth for stage in before.stages),
        width=math.sqrt(sum(squares) / len(squares)),
        resolution=math.sqrt(math.prod(after.size) / math.prod(before.size)),
    )


def _ratios(factors: Multipliers, flops_ratio: float) -> Ratios:
    return Ratios(
        depth=tidy(factors.depth),
        width=tidy(factors.width),
        resolution=tidy(factors.resolution),
        flops_ratio=tidy(flops_ratio),
    )


def _name(base: Architecture, rule: Rule) -> str:
    match rule:
        case PresetRule():
            return rule.name
        case BudgetRule():
            return f"{base.name}{_ray_name(rule.ray)}_{rule.metric}{_short(rule.value)}"
        case CompoundRule() | SharesRule():
            return f"{base.name}{_ray_name(rule)}_phi{rule.phi:g}"
        case _:
            return f"{base.name}_d{rule.depth:.4g}_w{rule.width:.4g}_r{rule.resolution:.4g}"


def _ray_name(ray: Ray) -> str:
    match ray:
        case CompoundRay():
            return ""
        case SharesRay():
            return f"_{_shares_name(ray) or 'shares'}"
        case TinyRay():
            return "_tiny"


def _short(value: int) -> str:
    """Return a count for a name: 4000000000 is 4G."""
    unit, size = next(((unit, size) for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if value >= size), ("", 1))
    return f"{value / size:.4g}{unit}"


def _shares_name(ray: SharesRay) -> str | None:
    own = (ray.depth, ray.width, ray.resolution)
    return next((name for name, named in SHARES.items() if named == own), None)


def _base_words(base: BaseReference) -> list[str]:
    network = base.network
    if network is None:
        return [base.name]
    classes, (height, width) = network.classes, network.size
    word, own = _as_registered(base)
    if own is None or _with_classes(own, classes).at(network.resolution) != network:
        return [f"{base.name}.yaml"]
    words = [word]
    if own.classes != classes:
        words.append(f"--classes {classes}")
    if own.size != (height, width):
        words.append(f"--input-size {height}x{width}")
    return words


def _as_registered(base: BaseReference) -> tuple[str, Buildable | None]:
    """Return the word by which commands know a base, and what it stands for: nothing where only a file has it."""
    if (own := base.factory) is not None:
        word = f"{own.callable} --rewrite" if own.rewrite else own.callable
        return word, from_factory(own.callable, rewrite=bool(own.rewrite)).network
    known = base.name in registry.installed_names()
    return base.name, registry.load(base.name).network if known else None


def _with_classes(network: Buildable, classes: int | None) -> Buildable:
    return network if classes in (None, network.classes) else network.with_classes(classes)


def _number(value: float) -> str:
    """Return a number in full, without a trailing `.0`."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _command(scaling: Scaling) -> str:
    """Return the command that writes the config again; a base that no registry has stands as NAME.yaml."""
    rule, words = scaling.rule, ["scalenet scale --base", *_base_words(scaling.base)]
    match rule:
        case PresetRule():
            words += [f"--preset {rule.name}"]
        case MultipliersRule():
            words += [f"--depth {rule.depth!r} --width {rule.width!r} --resolution {rule.resolution!r}"]
        case BudgetRule():
            words += _budget_words(rule)
        case _:
            words += [f"--phi {_number(rule.phi)} {_ray_words(rule)}"]
    return " ".join([*words, f"--rounding {scaling.rounding.name}"])


def _ray_words(ray: Ray) -> str:
    match ray:
        case CompoundRay():
            return f"--alpha {ray.alpha!r} --beta {ray.beta!r} --gamma {ray.gamma!r}"
        case SharesRay():
            named = _shares_name(ray)
            return f"--rule {named}" if named else f"--shares {ray.depth!r},{ray.width!r},{ray.resolution!r}"
        case TinyRay():
            return "--rule tiny"


def _budget_words(rule: BudgetRule) -> Iterator[str]:
    for metric, value in {rule.metric: rule.value, **rule.ceilings}.items():
        yield f"--{metric} {value}"
    if "memory" in {rule.metric, *rule.ceilings}:
        yield f"--batch {rule.batch}{' --training' if rule.training else ''}"
    yield _ray_words(rule.ray)
    yield f"--tolerance {_number(rule.tolerance)} --sizes {rule.sizes}{' --per-stage' if rule.per_stage else ''}"
