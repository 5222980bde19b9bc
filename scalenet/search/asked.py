"""What a search was asked for, read and checked: its baseline, its candidates, and what judges them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from scalenet._version import __version__
from scalenet.arch.config import digest
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.arch.quantities import parse_amounts
from scalenet.arch.words import duration, number, seconds_text, time_given
from scalenet.costs.network import cost
from scalenet.search.answer.sentences import fold_sentence, pilot_sentence, unequal
from scalenet.search.answer.trainings import cost_spread
from scalenet.search.evaluators import Table, the_evaluator
from scalenet.search.keeping import size_of
from scalenet.search.plan import Images, Plan
from scalenet.search.request import EMBEDDED_BASE
from scalenet.search.rungs.race import SHORTER, Race, fewest, fitting, race, sufficient
from scalenet.search.rungs.schedule import FACTOR, Schedule, halving, spent
from scalenet.search.setting import Setting, read_time, the_base, the_recipe, the_source
from scalenet.search.space.candidates import enumerate_candidates
from scalenet.search.space.grids import Grid, label, load_grid
from scalenet.search.space.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.arch.spec import Architecture, Buildable
    from scalenet.search.request import Request
    from scalenet.search.setting import Bar
    from scalenet.search.space.candidates import Candidate, Enumeration

_EMBEDDED_GRID, _GRID = "small", "shares"


@dataclass(frozen=True)
class Asked(Setting):
    """What was asked for: which candidates compete, and what trains them."""

    command: ClassVar[str] = "scalenet grid-search"

    grid: Grid
    objective: Objective
    found: Enumeration

    @property
    def models(self) -> Sequence[Buildable]:
        """The networks of the candidates."""
        return [candidate.config.network for candidate in self.candidates]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The candidates in the order of the grid."""
        return self.found.candidates

    def schedule(self) -> Schedule | Race:
        """Return who is trained with how many seeds for how long: unless asked for, a race where that saves anything.

        Where no training can be shorter than another there is no race, and candidates are halved where that saves half.
        """
        candidates, asked = len(self.candidates), self.request.halving
        seeds = range(self.request.seed, self.request.seed + self.request.seeds)
        raced = None if asked else self._race()
        exhaustive, halved = (
            halving(candidates, seeds=seeds, budget=self.budget, factor=factor) for factor in (1, asked or FACTOR)
        )
        if raced is not None:
            return raced if self.request.races or raced.cap < raced.exhaustive else exhaustive
        saves = spent(halved, candidates) <= spent(exhaustive, candidates) / 2
        return halved if asked or saves else exhaustive

    @property
    def pilot_cost(self) -> float:
        """What a training of the pilot costs: it trains the baseline."""
        return 1 / self.grid.product

    def _race(self) -> Race | None:
        """Return the race that is asked for or usual, None where there is none."""
        request, budget = self.request, self.budget
        if budget is None or budget < 2 or len(self.candidates) < 2:
            if request.races:
                what = "one candidate" if len(self.candidates) < 2 else "trainings of one length"
                hint = "give another --grid" if len(self.candidates) < 2 else "give --epochs, two or more"
                raise ScalenetError(f"{request.races[0]} is for a race, and there is none of {what}", hint=hint)
            return None
        return race(
            len(self.candidates),
            budget=budget,
            seeds=request.seeds,
            first_seed=request.seed,
            share=request.spend,
            within=None if request.within is None else request.within / 100,
            time_limit=read_time(request.time_limit, "--time-limit"),
            at_a_time=len(self.workers()),
            most=request.seeds if isinstance(self.evaluator, Table) else None,
        )

    def plan(self, images: Images | None = None, versions: dict[str, str] | None = None) -> Plan:
        """Return all that results follow from; `images` and their `versions` are those of scalenet's own training."""
        return Plan(
            schema="scalenet-search/1",
            base=self.base.name,
            **{"factory" if isinstance(self.base.network, Factory) else "model": self.base.network},
            rounding=self.base.rounding,
            grid=self.grid,
            objective=self.objective,
            schedule=self._schedule_of(images),
            pilot=self.pilot,
            learning_rate=None if self.evaluator is None else self.request.learning_rate,
            evaluate=self.judge,
            recipe=self.recipe,
            images=images,
            device=self.device().partition(":")[0],
            threads=self.request.threads,
            candidates={candidate.name: digest(candidate.config.network) for candidate in self.candidates},
            versions={"scalenet": __version__} | (versions or {}),
        )

    def _schedule_of(self, images: Images | None) -> Schedule | Race:
        """Return the schedule on these images, which say how noisy the trainings of a race are."""
        schedule = self.schedule()
        if images is None or isinstance(schedule, Schedule):
            return schedule
        return schedule.changed(held_out=images.validation)

    def lines(self) -> Iterator[str]:
        """Yield what lies in the folder of images, how many candidates there are, and where the other points went."""
        if self.source is not None:
            yield from self.source.lines()
        if self.request.folds is not None:
            yield fold_sentence(self.request.folds)
        found, ceilings = self.found, self.objective.ceilings
        limits = " and ".join(f"{most:,} {name}" for name, most in ceilings.items())
        above = f"{found.over_ceilings} above {limits}, " if limits else ""
        yield (
            f"{self.grid.name}: {number(found.points, 'point')}, {found.duplicates} round to a network already there, "
            f"{above}{found.off_target} off the target cost; {number(len(self.candidates), 'candidate')}"
        )
        if said := unequal(cost_spread([candidate.facts() for candidate in self.candidates])):
            yield said
        for point in self.grid.included():
            same = next((candidate for candidate in self.candidates if label(point) in candidate.merged), None)
            if same is not None:
                yield f"{label(point)} gives the same network as {same.name}"
        brought = [candidate.distance for candidate in self.candidates if candidate.distance is not None]
        if brought:
            yield (
                f"{len(brought)} were brought to {self.grid.product:g}× the FLOPs within "
                f"{100 * (self.grid.tolerance or 0):g} %, up to {max(brought):.2g} doublings off their ray"
            )
        if said := self._blown_up():
            yield said
        if self.pilot is not None:
            yield pilot_sentence(self.pilot)
        if (spend := self.request.spend) is not None:
            schedule = self.schedule()
            if isinstance(schedule, Race) and schedule.share_of_all > spend + 0.005:
                yield f"--spend {spend:g} is too little for an answer: the race takes {schedule.share_of_all:.2f}"
        if self.request.keep_models:
            yield size_of([candidate.cost.params for candidate in self.candidates])

    def _blown_up(self) -> str | None:
        """Return that candidates see more pixels than the images have, None where none does or nobody knows."""
        if self.source is None or self.evaluator is not None:
            return None
        from scalenet.training.sources import native_size  # noqa: PLC0415 - brings torch

        native, sizes = native_size(self.source), [max(candidate.config.network.size) for candidate in self.candidates]
        larger = sum(size > native for size in sizes)
        if not larger:
            return None
        return (
            f"{larger} of {number(len(sizes), 'candidate')} see up to {max(sizes)} px, and the images have {native}: "
            f"blown up they show nothing more, and γ may come out otherwise on larger images"
        )

    def fast_enough(self, begun: Plan | None, *, say: Callable[[str], None], bar: Bar) -> Asked:
        """Drop candidates that are too slow: those that were when the search was begun, or else are by measurement."""
        limit = self.objective.latency
        if limit is None:
            return self
        if begun is not None:
            return self._with([one for one in self.candidates if one.name in begun.candidates])
        seconds = self._latencies(bar)
        kept = [candidate for candidate in self.candidates if seconds[candidate.name] <= limit]
        slower = len(self.candidates) - len(kept)
        say(f"{slower} are slower than {seconds_text(limit)} here; {number(len(kept), 'candidate')}")
        if not kept:
            raise ScalenetError(
                f"every candidate is slower than {seconds_text(limit)} here",
                hint=f"the fastest takes {seconds_text(min(seconds.values()))}",
            )
        return self._with(kept)

    def in_time(self, begun: Plan | None, *, say: Callable[[str], None]) -> Asked:
        """Train for so many epochs as a time limit holds enough trainings of, or as when the search was begun.

        Nothing changes where the epochs were asked for, or only the evaluator knows how long they take. Where not even
        the trainings fit that an answer needs, they have five epochs of fewer images; raise ScalenetError where their
        number was asked for, or too few would be left.
        """
        limit = read_time(self.request.time_limit, "--time-limit")
        same = self if begun is None else self.as_begun(begun.images)
        if limit is None or self.recipe is None or self.request.epochs is not None:
            return same
        if begun is not None and begun.recipe is not None:
            return same._for(begun.recipe.epochs)
        unit = self.seconds_an_epoch()
        assert unit is not None
        workers, candidates = len(self.workers()), len(self.candidates)
        epochs = fitting(limit * workers / unit, candidates, self.request.seeds)
        asked = self
        if epochs is None:
            enough = SHORTER * sufficient(candidates, self.request.seeds)
            fewer = self.with_fewer(limit * workers / unit / enough, SHORTER, say)
            if fewer is None:
                least = duration(fewest(candidates) * unit / workers)
                raise ScalenetError(
                    f"--time-limit {time_given(limit)}: the trainings that an answer needs take about {least} here",
                    hint="give more time, fewer --images, or a coarser --grid",
                )
            asked, epochs = fewer, SHORTER
        chosen = asked._for(min(epochs, self.recipe.epochs))
        more = f" of the recipe's {self.recipe.epochs}" if chosen.budget != self.recipe.epochs else ""
        say(f"{time_given(limit)}: {number(chosen.budget or 0, 'epoch')} a training{more}, going by one timed step")
        return chosen

    def _for(self, epochs: int) -> Asked:
        from scalenet.training.recipe import change  # noqa: PLC0415

        assert self.recipe is not None
        return replace(self, recipe=change(self.recipe, [("epochs", epochs)]))

    def _with(self, candidates: Sequence[Candidate]) -> Asked:
        return replace(self, found=replace(self.found, candidates=tuple(candidates)))

    def _latencies(self, bar: Bar) -> dict[str, float]:
        """Return the median seconds of each candidate at batch 1."""
        from scalenet.costs.latency import Setup, latencies  # noqa: PLC0415 - brings torch

        setup = Setup(device=self.workers()[0], threads=self.request.threads)
        turns = iter(range(1, setup.runs + 1))
        networks = [candidate.config.architecture() for candidate in self.candidates]
        measured = latencies(networks, setup, progress=lambda: bar("measuring", next(turns), setup.runs))
        names = [candidate.name for candidate in self.candidates]
        return {name: one.median for name, one in zip(names, measured, strict=True)}


def ask(request: Request) -> Asked:
    """Read and check what was asked for, and list the candidates; nothing is trained, and no image is read."""
    evaluator = the_evaluator(request.evaluate)
    source = the_source(request)
    base = the_base(request, source)
    grid = request.grid or (_EMBEDDED_GRID if base.name == EMBEDDED_BASE else _GRID)
    grid = grid if isinstance(grid, Grid) else load_grid(grid)
    objective = _objective(base, request)
    found = enumerate_candidates(base, grid, ceilings=objective.ceilings)
    recipe = the_recipe(request) if evaluator is None else None
    if recipe is not None:
        recipe.applied(base.network)  # which a factory's may refuse
    return Asked(request, base, source, recipe, evaluator, grid, objective, found)


def _objective(base: Architecture, request: Request) -> Objective:
    from pydantic import ValidationError  # noqa: PLC0415

    own = cost(base)
    asked = {"params": request.max_params, "activations": request.max_activations}
    limits = {name: _limit(name, most, getattr(own, name)) for name, most in asked.items() if most is not None}
    try:
        return Objective.model_validate(
            {"goal": request.objective, "ceilings": limits, "latency": read_time(request.max_latency, "--max-latency")}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ScalenetError(f"{first['loc'][0]}: {first['msg'].replace('Input should be', 'should be')}") from None


def _limit(name: str, most: int | str, own: float) -> int:
    amounts = parse_amounts(str(most), int(own))
    if len(amounts) > 1:
        raise ScalenetError(f"--max-{name} {most}: one amount is wanted")
    return amounts[0]
