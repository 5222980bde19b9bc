"""The library's own calls: each takes a network by name, by path, as a config, an architecture or a model alike.

Here is what runs without torch; `scalenet.running` has the rest.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar, Unpack

from scalenet.arch import config, registry
from scalenet.arch.config import BudgetRule, Config, loads
from scalenet.arch.errors import ScalenetError, nearest
from scalenet.arch.words import hush, seconds_text, tell
from scalenet.checks import verification
from scalenet.costs import memory as memories
from scalenet.scaling import elasticity, explanation, many, scaler
from scalenet.scaling.presets import presets
from scalenet.scaling.request import Request
from scalenet.scaling.rules import PAPER_COEFFICIENTS
from scalenet.scaling.scaler import find_config, load
from scalenet.scaling.timing import scale_within
from scalenet.search.answer.coefficients import load_coefficients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalenet.arch.config import Rule
    from scalenet.arch.spec import Architecture
    from scalenet.scaling.explanation import Explanation
    from scalenet.scaling.request import How
    from scalenet.scaling.scaler import Network

P = ParamSpec("P")
R = TypeVar("R")


def of_any(function: Callable[Concatenate[Architecture, P], R], home: str) -> Callable[Concatenate[Network, P], R]:
    """Return a function of architectures as one of module `home` that `load`s its first argument."""

    @wraps(function)
    def call(network: Network, /, *args: P.args, **options: P.kwargs) -> R:
        return function(load(network), *args, **options)

    own = inspect.signature(function)
    first = inspect.Parameter("network", inspect.Parameter.POSITIONAL_ONLY, annotation="Network")
    call.__signature__ = own.replace(parameters=[first, *list(own.parameters.values())[1:]])  # type: ignore[attr-defined]
    call.__module__ = home
    del call.__wrapped__  # else help shows the other one
    return call


cost = of_any(many.cost, __name__)
memory = of_any(memories.memory, __name__)
largest_batch = of_any(memories.largest_batch, __name__)
scale = of_any(scaler.scale, __name__)
exponents = of_any(elasticity.exponents, __name__)
growth = of_any(elasticity.growth, __name__)


class Scaled(NamedTuple):
    """A scaled network; for a budget of time the seconds `asked` for and `measured`."""

    config: Config
    asked: float | None = None
    measured: float | None = None


def scale_by(
    network: Network,
    rule: Rule | str | None = None,
    *,
    rounding: str | None = None,
    name: str | None = None,
    say: Callable[[str], None] | None = tell,
    **how: Unpack[How],
) -> Config:
    """Return the config of a network scaled as `scalenet scale` does it: `scale_by("resnet50", phi=3)`, `flops="8G"`.

    `How` says what the options are; a rule of one's own (`CompoundRule(…)`) takes none. The config has the cost and the
    record of how it came about. Regularisation scales too: dropout grows by 0.3 over φ = 0 … 7, and stays 0 where the
    base has none. `say` hears why a budget is not met, and each latency measured. Raise ScalenetError for what is asked
    wrongly, or is several networks.
    """
    if rule is not None and not isinstance(rule, str):
        if how:
            raise ScalenetError(f"a rule and {', '.join(how)} exclude each other", hint="give one of them")
        return scaler.scale_by(load(network), rule, rounding=rounding, name=name)
    found = family(network, rule, rounding=rounding, say=say, **how)
    if len(found) > 1:
        raise ScalenetError(f"{len(found)} networks are asked for", hint="scalenet.family gives several")
    return found[0] if name is None else found[0].changed(name=name)


def family(
    network: Network,
    rule: str | None = None,
    *,
    rounding: str | None = None,
    say: Callable[[str], None] | None = tell,
    **how: Unpack[How],
) -> list[Config]:
    """Return the configs of several scaled networks: `family("resnet50", phi=range(1, 5))`, `flops=["1G", "2G"]`.

    The options are those of `scale_by`, of which one has several values.
    """
    base, hear = load(network), say or hush
    found = [scaled.config for scaled in scalings(base, rule, rounding=rounding, say=hear, **how)]
    for one in found:
        for line in scaler.shortfall(base, one):
            hear(line)
    return found


def scalings(
    network: Network,
    rule: str | None = None,
    *,
    rounding: str | None = None,
    say: Callable[[str], None] = tell,
    **how: Unpack[How],
) -> Iterator[Scaled]:
    """Yield what `family` returns, with what was measured."""
    base = load(network)
    asked = _request(base, {**how, **({} if rule is None else {"rule": rule})}, say)
    for one in asked.rules(base, rounding):
        if asked.latency is None:
            yield Scaled(scaler.scale_by(base, one, rounding=rounding))
            continue
        assert isinstance(one, BudgetRule)
        for seconds in asked.seconds():
            measure = partial(_median, device=asked.device, batch=asked.batch, say=say)
            config, taken = scale_within(base, one, seconds, measure, rounding=rounding, capped=asked.capped())
            yield Scaled(config, seconds, taken)


def _request(base: Architecture, how: Mapping[str, Any], say: Callable[[str], None]) -> Request:
    known = [one.name for one in fields(Request)]
    for name in how:
        if name not in known:
            raise ScalenetError(f"unknown option {name!r}", hint=nearest(name, known) or f"known: {', '.join(known)}")
    asked = Request(**how)
    if asked.coefficients is None:
        return asked
    return replace(asked, coefficients=_coefficients(asked.coefficients, base, say))


def _coefficients(given: Any, base: Architecture, say: Callable[[str], None]) -> Mapping[str, float]:
    """Return α, β, γ of a file or of a search's answer, and say so where they were found for another baseline."""
    if isinstance(given, str | Path):
        found = load_coefficients(Path(given))
        if found.evidence is not None and found.evidence.base != base.name:
            say(f"{given} was found for {found.evidence.base}, not for {base.name}")
        return found.multipliers()
    values: Any = (
        given if isinstance(given, Mapping) else {name: getattr(given, name, None) for name in PAPER_COEFFICIENTS}
    )
    if set(values) != set(PAPER_COEFFICIENTS) or None in values.values():
        raise ScalenetError("no coefficients", hint="give a file, the answer of a search, or alpha, beta and gamma")
    return dict(values)


def _median(architecture: Architecture, *, device: str, batch: int, say: Callable[[str], None]) -> float:
    """Return the median of 20 runs, which other work on the machine moves least."""
    from scalenet.costs.latency import latency  # noqa: PLC0415 - runs the network

    taken = latency(architecture, device=device, batch=batch).median
    say(f"{architecture.name}: {seconds_text(taken)}")
    return taken


def explain(network: Network, base: Network | None = None) -> Explanation:
    """Explain a scaled network: the φ that it really has, and what each cause adds to the FLOPs of each part.

    A network that was never scaled is explained beside a `base` of as many stages; ScalenetError says where one is due.
    """
    return explanation.explain(find_config(network), None if base is None else load(base))


def verify(network: Network) -> list[str]:
    """Rebuild, count again and scale again what a config says; return a line for each difference, none if all holds.

    What records no cost is built and measured with fvcore.
    """
    return verification.verify(find_config(network))


def save(network: Network, path: str | Path) -> None:
    """Write a network's config file; an existing file is replaced at once or not at all."""
    config.save(find_config(network), path)


def register_baseline(network: Network, *, name: str | None = None, replace: bool = False) -> Config:
    """Register a network while the program runs, by its own name unless another is given; return its config.

    It is taken by that name wherever a network is, in this process; files that come from it hold all of its model. Text
    of several lines is the YAML of a config. The same network may be registered again, as when a notebook's cell is run
    twice; a name that has another one raises ScalenetError unless `replace`, installed names always.
    """
    is_text = isinstance(network, str) and "\n" in network
    found = loads(str(network), place="YAML text") if is_text else find_config(network)
    found = found.changed(name=(name or found.name).replace("-", "_"))
    if found.name in presets():
        raise ScalenetError(f"preset {found.name!r} is registered already", hint="give yours another name")
    registry.register(found, replace=replace)
    return found
