"""What a search for a baseline was asked for, read and checked: its members, and what judges them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scalenet._version import __version__
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Architecture
from scalenet.arch.words import count, duration, number, time_given
from scalenet.costs.network import cost
from scalenet.search.baseline.plan import BaselinePlan
from scalenet.search.evaluators import the_evaluator
from scalenet.search.keeping import size_of
from scalenet.search.rungs.hunt import BATCH, FINALS, FIRST, Hunt
from scalenet.search.rungs.race import SHORTER, Race
from scalenet.search.setting import Setting, read_time, the_base, the_recipe, the_source
from scalenet.spaces.latencies import Latencies, check_space, load_latencies, measured_by
from scalenet.spaces.limits import read_limits
from scalenet.spaces.samplers import PREFIX, check_sampler
from scalenet.spaces.space import Space, load_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.arch.spec import Model
    from scalenet.search.baseline.request import BaselineRequest
    from scalenet.search.judges import Judges
    from scalenet.spaces.members import Drawn

TRIALS = 50
"""Members that get a short training, unless it is said how many or how long."""

MOST_TRIALS = 1000
FEWEST_TRIALS, FEWEST_FINALS = 10, 8
"""The fewest that a time limit leaves of each before it is refused."""

SAMPLED = 4
"""Members that stand for all others where it is asked how long a training takes."""

_MOST_SEEDS = 4  # times the seeds that were asked for, of one member


@dataclass(frozen=True)
class BaselineAsked(Setting):
    """What was asked for, read and checked."""

    command: ClassVar[str] = "scalenet baseline-search"

    own: BaselineRequest
    hunt: Hunt

    @cached_property
    def sample(self) -> Drawn:
        """The first random members of the band, which stand for all; raise ScalenetError where none meets it."""
        return self.hunt.members().draw(SAMPLED, np.random.default_rng([self.hunt.seed, 0]))

    @property
    def models(self) -> Sequence[Model]:
        """Members that stand for all: all have the same input size, and about the same cost."""
        return [self.hunt.space.network(member) for member in self.sample.members.tolist()]

    def lines(self) -> Iterator[str]:
        """Yield what lies in the folder of images, and how many members there are."""
        if self.source is not None:
            yield from self.source.lines()
        hunt, drawn = self.hunt, self.sample
        if hunt.latencies is not None:
            yield f"latencies: {hunt.latencies}"
        yield (
            f"{hunt.space.name}: {_large(hunt.space.size)} members, {100 * drawn.share:.3g} % of them cost "
            f"{hunt.limits}; the first {number(min(hunt.first, hunt.trials), 'member')} are random, "
            f"at most {hunt.trials} get a short training"
        )
        if self.request.keep_models:
            yield size_of([int(cost(model).params) for model in self.models])

    def plan(self, judges: Judges) -> BaselinePlan:
        """Return all that results follow from."""
        images = judges.images(self)
        held_out = None if images is None else images.validation
        race = self.hunt.race.changed(at_a_time=len(judges.evaluators), held_out=held_out)
        hunt = self.hunt.changed(race=race)
        return BaselinePlan(
            schema="scalenet-baseline-search/1",
            hunt=hunt,
            evaluate=self.judge,
            learning_rate=None if self.evaluator is None else self.request.learning_rate,
            recipe=self.recipe,
            images=images,
            device=self.device().partition(":")[0],
            threads=self.request.threads,
            versions={"scalenet": __version__} | judges.versions() | self._sampler(),
        )

    def _sampler(self) -> dict[str, str]:
        """Return the version of Optuna where one of its samplers proposes: another one may propose others."""
        method = self.hunt.method
        return {"optuna": check_sampler(method)} if method.startswith(PREFIX) else {}

    def in_time(self, begun: BaselinePlan | None, *, say: Callable[[str], None]) -> BaselineAsked:
        """Train as many members for as many epochs as a time limit holds, or as when the search was begun.

        Epochs and members that were asked for stay. Where the time does not hold an answer, it is one of fewer images;
        raise ScalenetError where their number was asked for, or too few would be left.
        """
        limit = self.hunt.time_limit
        same = self if begun is None else self.as_begun(begun.images)
        if limit is None or self.recipe is None:
            return same
        if begun is not None and begun.recipe is not None:
            own = begun.hunt
            trials = self.own.trials or own.trials
            return same._with(epochs=own.race.budget, trials=trials, finals=own.finals, begun=True)
        unit = self.seconds_an_epoch()
        assert unit is not None
        units = 0.9 * limit * len(self.workers()) / unit  # rounds end with workers that wait
        found = self._fitting(units)
        asked = self
        if found is None:
            found = self.own.epochs or SHORTER, self.own.trials or FIRST, float(FEWEST_FINALS)
            fewer = self.with_fewer(units / self._units(*found), found[0], say)
            if fewer is None:
                least = duration(self._units(2, FEWEST_TRIALS, FEWEST_FINALS) * unit / len(self.workers()))
                raise ScalenetError(
                    f"--time-limit {time_given(limit)}: the trainings that an answer needs take about {least} here",
                    hint="give more time, fewer --images, or fewer --flops",
                )
            asked = fewer
        epochs, trials, finals = found
        say(
            f"{time_given(limit)}: {number(epochs, 'epoch')} a training to the end, {number(trials, 'member')} "
            "for a short one, going by one timed step"
        )
        return asked._with(epochs=epochs, trials=trials, finals=finals)

    def _fitting(self, units: float) -> tuple[int, int, float] | None:
        """Return epochs, trials and trainings to the end that so many epochs of training hold."""
        own, most = self.own, self.budget or 2
        fixed = [own.epochs] if own.epochs is not None else range(most, 1, -1)
        for finals in (float(FINALS), float(FEWEST_FINALS)):
            wanted = [own.trials] if own.trials is not None else [TRIALS, FIRST, FEWEST_TRIALS]
            for least in wanted:
                for epochs in fixed:
                    if self._units(epochs, least, finals) <= units:
                        more = int((units - self._units(epochs, least, finals)) / max(1, epochs // SHORTER))
                        trials = least if own.trials is not None else min(MOST_TRIALS, least + more)
                        return epochs, trials, finals
        return None

    def _units(self, epochs: int, trials: int, finals: float) -> float:
        """Return the epochs of training that a hunt takes."""
        to_the_end = self.hunt.changed(finals=finals).to_the_end
        return (trials + _first(trials)) * max(1, epochs // SHORTER) + to_the_end * epochs

    def _with(self, *, epochs: int, trials: int, finals: float, begun: bool = False) -> BaselineAsked:
        from scalenet.training.recipe import change  # noqa: PLC0415 - brings torch

        assert self.recipe is not None
        race = self.hunt.race.changed(short=max(1, epochs // SHORTER), budget=epochs)
        first = self.hunt.first if begun else _first(trials)
        hunt = self.hunt.changed(trials=trials, first=first, finals=finals, race=race)
        return replace(self, recipe=change(self.recipe, [("epochs", epochs)]), hunt=hunt)


def _large(size: int) -> str:
    return f"{size:,}" if size < 10**6 else count(size) if size < 10**12 else f"{size:.2g}"


def ask_baseline(own: BaselineRequest) -> BaselineAsked:
    """Read and check what was asked for; nothing is trained, and no image is read."""
    space = own.space if isinstance(own.space, Space) else load_space(own.space)
    limits = read_limits(flops=own.flops, params=own.params, memory=own.memory, latency=own.latency)
    first = Architecture(space.name, space.network([0] * len(space.stages)), space.rounding)
    request = own.trained(first)
    evaluator = the_evaluator(request.evaluate)
    source = the_source(request)
    base = the_base(request, source)
    space = space.changed_to(classes=base.model.head.classes, resolution=base.model.resolution)
    latencies = _latencies(own, space)
    recipe = the_recipe(request) if evaluator is None else None
    epochs = (own.epochs if recipe is None else recipe.epochs) or 2
    if epochs < 2:
        raise ScalenetError("short trainings come first: the recipe has one epoch", hint="--epochs 2 or more")
    hunt = Hunt(
        space=space,
        limits=limits,
        latencies=latencies,
        trials=own.trials or TRIALS,
        seed=own.seed,
        race=_race(own, epochs),
        **_chosen(own),
    )
    asked = BaselineAsked(request, base, source, recipe, evaluator, own, hunt)
    _ = asked.sample
    return asked


def _latencies(own: BaselineRequest, space: Space) -> Latencies | None:
    """Return the table of latencies; raise ScalenetError where a limit has none, or it is of another space."""
    given = own.latencies
    if given is None:
        if own.latency is not None:
            raise ScalenetError(
                "--latency needs a table of what the space's blocks take: --latencies FILE", hint=measured_by(space)
            )
        return None
    if not isinstance(given, Latencies):
        return load_latencies(Path(given), space)
    check_space(given, space, "the table of latencies")
    return given


def _chosen(own: BaselineRequest) -> dict[str, Any]:
    trials = own.trials or TRIALS
    return {
        "method": own.method,
        "objective": own.objective,
        "first": _first(trials),
        "batch": BATCH,
        "finals": float(FINALS),
        "finalist_seeds": own.seeds,
    }


def _first(trials: int) -> int:
    """Return how many of so many members are random."""
    return min(FIRST, max(2, (2 * trials) // 5))


def _race(own: BaselineRequest, epochs: int) -> Race:
    """Return how long trainings are, and with which seeds; the hunt has a cap of its own."""
    return Race(
        short=max(1, epochs // SHORTER),
        budget=epochs,
        cap=0.0,
        exhaustive=1,
        first_seed=own.seed,
        most=_MOST_SEEDS * own.seeds if own.seeds > 1 else 1,
        time_limit=read_time(own.time_limit, "--time-limit"),
    )
