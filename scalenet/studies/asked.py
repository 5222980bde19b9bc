"""What a study was asked for, read and checked: its networks, and what trains them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scalenet._version import __version__
from scalenet.arch.config import BudgetRule, CompoundRay
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.arch.words import count, duration, number, time_given
from scalenet.costs.network import cost
from scalenet.scaling.factories import UnusedArgumentError
from scalenet.scaling.rules import PAPER_COEFFICIENTS
from scalenet.scaling.scaler import scale_by
from scalenet.search.answer.coefficients import load_coefficients
from scalenet.search.evaluators import the_evaluator
from scalenet.search.keeping import size_of
from scalenet.search.setting import Setting, read_time, the_base, the_recipe, the_source
from scalenet.studies.definition import Definition, load_study
from scalenet.studies.plan import Placed, Plan, facts_of
from scalenet.studies.points import Points, find_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.arch.config import Config
    from scalenet.arch.spec import Architecture, Buildable
    from scalenet.search.plan import Images
    from scalenet.search.request import Request

PILOTED = "pilot"
"""What the network of the pilot is called."""

_TRIED = 5
"""How many smaller sizes are looked at for one to begin at: the nearest network to a ray may leap over a few."""

_ROOM = 0.85
"""The share of a time limit that timed steps may fill: reading and judging images take the rest."""


@dataclass(frozen=True)
class Asked(Setting):
    """What was asked for: which networks are compared, and what trains them."""

    command: ClassVar[str] = "scalenet study"

    definition: Definition
    found: Points
    coefficients: Mapping[str, float] | None
    time_limit: float | None = None
    upsample: bool = False

    @property
    def models(self) -> Sequence[Buildable]:
        """Each network of the study once."""
        return [config.network for config in self.found.networks.values()]

    @property
    def keeps_answers(self) -> bool:
        """Whether each training's folder keeps which held-out images were right: that is what pairs them."""
        return True

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every network."""
        return tuple(range(self.request.seed, self.request.seed + self.request.seeds))

    @cached_property
    def piloted(self) -> Config:
        """The network that the pilot trains: the baseline grown by the paper's coefficients to the middle cost.

        The rate of the baseline itself is too high for networks of several times its cost.
        """
        flops = sorted(int(cost(model).flops) for model in self.models)
        budget = BudgetRule(
            ray=CompoundRay(**PAPER_COEFFICIENTS), metric="flops", value=flops[len(flops) // 2], tolerance=0.2
        )
        try:
            return scale_by(self.base, budget, name=PILOTED)
        except UnusedArgumentError as error:
            hint = "the pilot's network grows in all dimensions: give a --learning-rate instead"
            raise ScalenetError(error.message, hint=hint) from None

    def plan(
        self,
        images: Images | None = None,
        versions: Mapping[str, str] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> Plan:
        """Return all that results follow from; images, their versions and sources are those of what judges."""
        coefficients = None if self.coefficients is None else dict(self.coefficients)
        return Plan(
            schema="scalenet-study-plan/1",
            study=self.definition,
            base=self.base.name,
            **{"factory" if isinstance(self.base.network, Factory) else "model": self.base.network},
            rounding=self.base.rounding,
            coefficients=coefficients,
            points=tuple(
                Placed(series=point.series, network=point.network, asked=point.asked, met=point.met)
                for point in self.found.points
            ),
            networks={name: facts_of(self.base, config.network) for name, config in self.found.networks.items()},
            seeds=self.seeds,
            budget=self.budget,
            pilot=self.pilot,
            piloted=None if self.pilot is None else facts_of(self.base, self.piloted.network).digest,
            learning_rate=None if self.evaluator is None else self.request.learning_rate,
            evaluate=self.judge,
            recipe=self.recipe,
            images=images,
            device=self.device().partition(":")[0],
            threads=self.request.threads,
            versions={"scalenet": __version__, **(versions or {})},
            sources=dict(sources or {}),
        )

    def lines(self) -> Iterator[str]:
        """Yield what lies in the folder of images, how many networks there are, and which cost another amount."""
        if self.source is not None:
            yield from self.source.lines()
        points, networks = self.found.points, self.found.networks
        flops = [int(cost(model).flops) for model in self.models]
        yield (
            f"{self.definition.name}: {number(len(networks), 'network')} of {number(len(points), 'point')}, "
            f"{count(min(flops))} to {count(max(flops))} FLOPs"
        )
        for point in points:
            if not point.met:
                ratio = cost(point.config.network).flops / cost(self.base).flops
                yield f"{point.network}: {ratio:.3g}× the FLOPs, for {point.asked:g}×: no network costs that exactly"
        if self.pilot is not None:
            rates = ", ".join(f"{rate:g}" for rate in self.pilot.rates)
            ratio = cost(self.piloted.network).flops / cost(self.base).flops
            yield f"a pilot first: a network of {ratio:.2g}× the FLOPs at learning rates of {rates}"
        if self.request.keep_models:
            params = [int(cost(model).params) for model in self.models]
            yield size_of(params, trainings=len(params) * len(self.seeds))

    def stakes_and_time(self) -> Iterator[str]:
        """Yield how many images there are, how many trainings, and about how long they take here."""
        yield from self.stakes()
        trainings = len(self.models) * len(self.seeds)
        seconds, workers = self.seconds(), len(self.workers())
        if seconds is None:
            yield f"{number(trainings, 'training')}; how long they take is unknown before the first one"
        else:
            yield (
                f"{number(trainings, 'training')}, about {duration(seconds)} with {number(workers, 'worker')} here, "
                "going by one timed step"
            )

    def in_time(self, begun: Plan | None, *, say: Callable[[str], None]) -> Asked:
        """Train for so many epochs as a time limit holds, or as when the study was begun.

        Where it holds not one, it is one of fewer images. Raise ScalenetError where their number was asked for, or too
        few would be left.
        """
        limit = self.time_limit
        same = self if begun is None else self.as_begun(begun.images)
        if limit is None or self.request.epochs is not None:
            return same
        if self.recipe is None:
            raise ScalenetError("--time-limit is for scalenet's own training", hint="give --epochs")
        if begun is not None and begun.recipe is not None:
            return same._for(begun.recipe.epochs)
        unit = self._unit()
        own = self.recipe.epochs
        fitting = (epochs for epochs in range(own, 0, -1) if self._for(epochs)._seconds(unit) <= _ROOM * limit)
        asked, epochs = self, next(fitting, None)
        if epochs is None:
            one = self._for(1)._seconds(unit) / _ROOM
            fewer = self.with_fewer(limit / one, 1, say)
            if fewer is None:
                raise ScalenetError(
                    f"--time-limit {time_given(limit)}: one epoch of each network takes about {duration(one)} here",
                    hint="give more time, fewer --images, or fewer --seeds",
                )
            asked, epochs = fewer, 1
        more = "" if epochs == own else f" of the recipe's {own}"
        say(f"{time_given(limit)}: {number(epochs, 'epoch')} a training{more}, going by one timed step")
        return asked._for(epochs)

    def seconds(self) -> float | None:
        """Return about how long all trainings take here; None where only the evaluator knows."""
        return None if self.recipe is None else self._seconds(self._unit())

    def _unit(self) -> float:
        """Return about how many seconds a FLOP of a network takes in an epoch."""
        epoch = self.seconds_an_epoch()
        assert epoch is not None
        return epoch * len(self.models) / sum(int(cost(model).flops) for model in self.models)

    def _seconds(self, unit: float) -> float:
        flops = self.flops()
        whole = sum(flops[name] for name in self.found.networks) * len(self.seeds) * (self.budget or 1)
        pilot = self.pilot
        if pilot is not None:
            whole += sum(flops[name] for name in list(pilot.names)[: len(pilot.rates)]) * (pilot.budget or 1)
        return whole * unit / len(self.workers())

    def flops(self) -> dict[str, int]:
        """Return the FLOPs of what is trained by name, the pilot's trainings among it."""
        found = {name: int(cost(config.network).flops) for name, config in self.found.networks.items()}
        if self.pilot is not None:
            found |= dict.fromkeys(self.pilot.names, int(cost(self.piloted.network).flops))
        return found

    def _for(self, epochs: int) -> Asked:
        from scalenet.training.recipe import change  # noqa: PLC0415

        assert self.recipe is not None
        return replace(self, recipe=change(self.recipe, [("epochs", epochs)]))


def ask(
    study: str | Path | Definition,
    request: Request,
    *,
    time_limit: float | str | None = None,
    coefficients: str | Path | Mapping[str, float] | None = None,
    upsample: bool = False,
    say: Callable[[str], None],
) -> Asked:
    """Read and check what was asked for, and find the networks; nothing is trained, and no image is read."""
    definition = study if isinstance(study, Definition) else load_study(study)
    limit = read_time(time_limit, "--time-limit")
    evaluator = the_evaluator(request.evaluate)
    source = the_source(request)
    base = the_base(request, source)
    given = _coefficients(coefficients, base, say)
    definition = _with_found(definition, given, say)
    found = find_points(definition, base, given)
    recipe = the_recipe(request) if evaluator is None else None
    if recipe is not None:
        recipe.applied(base.network)  # which a factory's may refuse
    asked = Asked(request, base, source, recipe, evaluator, definition, found, given, limit, upsample)
    _check_sizes(asked)
    return asked


def _coefficients(
    given: str | Path | Mapping[str, float] | None, base: Architecture, say: Callable[[str], None]
) -> Mapping[str, float] | None:
    """Return α, β, γ of a file or a mapping."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        found = load_coefficients(Path(given))
        if found.evidence is not None and found.evidence.base != base.name:
            say(f"{given} was found for {found.evidence.base}, not for {base.name}")
        return found.multipliers()
    if set(given) != set(PAPER_COEFFICIENTS):
        raise ScalenetError("no coefficients", hint="give alpha, beta and gamma, or the file of a search")
    return dict(given)


def _with_found(definition: Definition, given: Mapping[str, float] | None, say: Callable[[str], None]) -> Definition:
    """Return the study without the series of found coefficients where there are none."""
    wanting = [name for name, one in definition.series.items() if getattr(one, "ray", None) == "found"]
    if given is not None:
        if not wanting:
            raise ScalenetError(f"--coefficients: the study {definition.name} has no series that takes them")
        return definition
    for name in wanting if len(wanting) < len(definition.series) else ():
        say(f"{name} is left out: --coefficients runs/SEARCH/coefficients.yaml has it compared too")
        definition = definition.without(name)
    return definition


def _check_sizes(asked: Asked) -> None:
    """Refuse networks that want larger images than there are, unless they are to be made larger."""
    largest = asked.found.largest
    wanted = max(largest.network.size)
    if asked.evaluator is not None:
        return
    if asked.source is None:
        from scalenet.training.embedded import rendered_size  # noqa: PLC0415

        rendered_size(wanted)
        return
    from scalenet.training.sources import native_size  # noqa: PLC0415

    native = native_size(asked.source)
    if wanted > native and not asked.upsample:
        raise ScalenetError(
            f"{largest.name} sees {wanted} px, and the images of {asked.request.data} have {native}",
            hint=f"{_smaller(asked, native)}, or --upsample blows the images up",
        )


def _smaller(asked: Asked, native: int) -> str:
    """Return how to ask for networks that see no more pixels than there are."""
    if asked.found.largest.scaling is None:
        return "leave it out of the study"
    copy = "leave the highest costs out of a copy (`scalenet studies NAME`)"
    side = max(asked.base.network.size)
    first = side * native // max(asked.found.largest.network.size)
    for lower in range(first, max(0, first - _TRIED), -1):
        with suppress(ScalenetError):  # none costs what is asked there
            found = find_points(asked.definition, asked.base.at(lower), asked.coefficients)
            if max(found.largest.network.size) <= native:
                return f"begin at --resolution {lower}, {copy}"
    return copy
