"""The outcome of a search so far: tables, a ranking, and the answer."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.arch.config import digest
from scalenet.arch.convention import CONVENTION
from scalenet.arch.errors import RunError
from scalenet.search.answer.coefficients import Coefficients, Evidence, Piloted, Round, Separation, Tie, Tried
from scalenet.search.answer.finding import find, together
from scalenet.search.answer.forecast import better_forecast, forecast
from scalenet.search.answer.judged import rank_race, told
from scalenet.search.answer.noise import training_noise
from scalenet.search.answer.ranking import agreement, look_error, rank
from scalenet.search.answer.trainings import cost_spread, shares_of, tabled
from scalenet.search.queue.jobs import ENDED, State
from scalenet.search.rungs.hunt import Hunt
from scalenet.search.rungs.race import Race, finding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from scalenet.search.answer.finding import Finding, Trained
    from scalenet.search.answer.ranking import Ranking, Standing
    from scalenet.search.plan import Plan
    from scalenet.search.queue.jobs import Entry, View
    from scalenet.search.rungs.schedule import Key, Rung, Schedule
    from scalenet.search.space.candidates import Facts

PROXIES = ("synflow", "naswot", "zen")
"""Training-free scores (see `proxies`)."""


@dataclass(frozen=True)
class Outcome:
    """What a search has found: its plan and candidates, its jobs, and the candidates' training-free scores."""

    plan: Plan
    candidates: Mapping[str, Facts]
    view: View
    proxies: Mapping[str, dict[str, float | None]]

    @property
    def schedule(self) -> Schedule | Race:
        """Who is trained, as the search's workers go by it."""
        schedule = self.view.aim.schedule
        assert not isinstance(schedule, Hunt)  # that is a search for a baseline
        return schedule

    @cached_property
    def rungs(self) -> list[tuple[Rung, tuple[str, ...]]]:
        """The rungs that are known, and the candidates in each."""
        return self.view.course.rungs

    @cached_property
    def ranking(self) -> Ranking:
        """The ranking by the rungs that are finished; RunError where there is none.

        A candidate of which a training diverged is left out. One of which a training failed is ranked by the rungs
        before: that a machine was full, or a file missing, says nothing against a candidate.
        """
        self._need_a_rate()
        if isinstance(self.schedule, Race):
            return rank_race(self._found, self._trained, list(self.candidates), self.view.aim.factors)
        finding = self.finding
        if finding is None or len(self.candidates) == 1 or math.isinf(finding.bound):
            return self._by_rungs
        return told(self._by_rungs, finding, self._places, self._tie_rounds)

    def _need_a_rate(self) -> None:
        """Raise RunError where the pilot found no rate."""
        trial = self.view.trial
        if trial is not None and trial.over and trial.rate is None:
            tried = ", ".join(f"{rate:g}" for rate in trial.rates)
            why = "".join(f": {entry.why()}" for entry in self.view.failed()[:1])
            raise RunError(
                f"the pilot found no learning rate: at each of {tried} a training diverged or failed{why}",
                hint="give a --learning-rate, or other --rates",
            )

    @cached_property
    def _by_rungs(self) -> Ranking:
        """The ranking by means over the seeds of a rung, and the noise that all of its candidates have in common."""
        schedule = self.schedule
        assert not isinstance(schedule, Race)
        tables = self._finished()
        out = {name for table in tables for name, row in table.items() if None in row}
        sound = [{name: _known_all(row) for name, row in table.items() if name not in out} for table in tables]
        means = [
            {name: self._sound_mean((name, seed, rung.budget) for seed in rung.seeds) or 0.0 for name in table}
            for (rung, _), table in zip(self.rungs, sound, strict=False)
        ]
        gone = [number for number, table in enumerate(tables, start=1) if table and not sound[number - 1]]
        if gone or not (sound and sound[0]):
            raise RunError(self._why_none(gone))
        images = self.plan.images
        held_out = None if images is None else images.validation
        planned = sum(rung.names is None for rung in schedule.rungs)
        return rank(sound, means=means, held_out=held_out, factors=dict(self.view.aim.factors), planned=planned)

    @cached_property
    def finding(self) -> Finding | None:
        """What the trainings to the end say, of the ranking's winner; None where it had none.

        The rungs that a search begins with are one look, and each tie round is another one. Of candidates of which a
        training diverged or failed it says nothing.
        """
        if isinstance(self.schedule, Race):
            return self._found
        looks = [self._look(tie_rounds) for tie_rounds in range(self._tie_rounds + 1)]
        last, winner = looks[-1], self._places[self._by_rungs.winner.name]
        if last is None or last.winner != winner:
            return None
        return together([look for look in looks if look is not None])

    def _look(self, tie_rounds: int) -> Finding | None:
        """Return what was seen after so many tie rounds; None where nobody was trained to the end.

        It is of the ranking's winner of today, or where that one had no training to the end then, of the best then.
        """
        trained, winner = self._known_after(tie_rounds), self._places[self._by_rungs.winner.name]
        judged = ~trained.out & (trained.seeds > 0)
        if not judged.any():
            return None
        known = winner if judged[winner] else None
        return find(trained, error=look_error(tie_rounds), winner=known, doubted=True)

    @property
    def _tie_rounds(self) -> int:
        """How many rounds of more seeds for the ties there were."""
        schedule = self.schedule
        assert not isinstance(schedule, Race)
        return sum(rung.names is not None for rung in schedule.rungs)

    @property
    def bound(self) -> float | None:
        """By how much any candidate may be better than the best so far; None where that is not known."""
        with suppress(RunError):
            return None if self.finding is None else _known(self.finding.bound)
        return None

    @property
    def piloted_accuracy(self) -> float | None:
        """The baseline's best accuracy in the pilot, None where there is none."""
        pilot = self.piloted()
        known = [] if pilot is None else [tried.accuracy for tried in pilot.rates if tried.accuracy is not None]
        return max(known, default=None)

    def first_forecast(self, share: float = 1.0) -> float | None:
        """Return about what the bound will be in the end, as far as it is known before a candidate is trained, of a
        race that trains this share of its cap; None where it is not known how many images are held out.
        """
        noise = self._noise_beforehand
        return None if noise is None else forecast(self.schedule, len(self.candidates), noise, share)

    def forecast(self, share: float = 1.0) -> float | None:
        """Return about what the bound will be in the end by all that is known, as `first_forecast`; None where nothing
        is known of the noise.
        """
        schedule, noise, finding = self.schedule, self._noise_beforehand, None
        with suppress(RunError):
            finding = self.finding if isinstance(schedule, Race) else None
        if finding is None or not isinstance(schedule, Race):
            return self.first_forecast(share)
        return better_forecast(
            schedule,
            len(self.candidates),
            noise,
            verdict=finding.verdict,
            bound=finding.bound,
            trained=int(self._trained.seeds.sum()),
            share=share,
        )

    @property
    def _noise_beforehand(self) -> float | None:
        images = self.plan.images
        if images is None or len(self.candidates) == 1:
            return None
        return training_noise(images.validation, self.piloted_accuracy) * max(self.view.aim.factors.values())

    @property
    def _found(self) -> Finding:
        """What a race says so far; RunError where nobody was trained to the end."""
        trained = self._trained
        if not (trained.seeds[~trained.out] > 0).any():
            raise RunError(self._why_none([1] if trained.out.all() and not self.failed else []))
        return finding_of(trained)

    @cached_property
    def _trained(self) -> Trained:
        """The trainings that are finished."""
        return self._tabled(self.view.needed)

    def _known_after(self, tie_rounds: int) -> Trained:
        """Return the trainings that are finished, without those that later tie rounds asked for."""
        later = self._tie_rounds - tie_rounds
        rungs = self.rungs[: self.view.course.stages - later]
        return self._tabled((name, seed, rung.budget) for rung, names in rungs for seed in rung.seeds for name in names)

    def _tabled(self, keys: Iterable[Key]) -> Trained:
        """Return those of some trainings that are finished."""
        scores = {key: self.view.scores[key] for key in keys if key in self.view.scores}
        held_out = None if self.plan.images is None else self.plan.images.validation
        return tabled(shares_of(self.candidates), self.schedule, scores, held_out)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each candidate among them."""
        return {name: place for place, name in enumerate(self.candidates)}

    @property
    def learning_rate(self) -> float | None:
        """The rate of the candidates' trainings; None where it is not found yet, or is the evaluator's own."""
        recipe = self.plan.recipe
        own = recipe.optimizer.lr if recipe is not None and self.plan.pilot is None else None
        return own if self.view.rate is None else self.view.rate

    def piloted(self) -> Piloted | None:
        """Return what the pilot tried, and what became of it, as far as it is known; None where there is none."""
        return piloted(self.view)

    @property
    def done(self) -> list[Entry]:
        """The candidates' trainings that have a result."""
        return [entry for entry in self.view.done() if entry.key[0] in self.candidates]

    @property
    def failed(self) -> list[Entry]:
        """The candidates' trainings that failed."""
        return [entry for entry in self.view.failed() if entry.key[0] in self.candidates]

    def _finished(self) -> list[dict[str, list[float | None]]]:
        """Return the accuracies by candidate of each finished rung, None for what diverged, without what failed."""
        tables: list[dict[str, list[float | None]]] = []
        for rung, names in self.rungs:
            keys = {name: [(name, seed, rung.budget) for seed in rung.seeds] for name in names}
            if not all(self._ended(key) for own in keys.values() for key in own):
                break
            whole = {name: own for name, own in keys.items() if not any(map(self._failed, own))}
            tables.append({name: [self._accuracy(key) for key in own] for name, own in whole.items()})
        return tables

    def table(self) -> pd.DataFrame:
        """Return a row a candidate: coefficients, cost, and accuracy in its last rung; best first where known."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        frame = pd.DataFrame(self.rows())
        if "rank" in frame:
            frame["rank"] = frame["rank"].astype("Int64")
        return frame.assign(convention=CONVENTION)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table's rows as mappings, with None where nothing is known."""
        rows = [self._row(facts) for facts in self.candidates.values()]
        if not self.view.finished:
            return rows
        try:
            places = {standing.name: _place(standing) for standing in self.ranking.standings}
        except RunError:
            return rows
        for row in rows:
            name = row["name"]
            untold = {"rank": None, "score": None, "interval": None, "tied": name in self.untold or None}
            row.update(places.get(name, untold))
            row.update(over=self._over(name), expected=self._expected(name))
        return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0))

    def best_so_far(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return the rows of the best `most` candidates so far: those of later rungs first, what diverged last."""

        def place(name: str) -> tuple[bool, int, float]:
            number, rung = self._last(name)
            keys = [(name, seed, rung.budget) for seed in rung.seeds]
            entries = [self._entry(key) for key in keys]
            known = [entry.result.accuracy for entry in entries if entry is not None and entry.result is not None]
            return None in known, -number, -(self._sound_mean(keys) or 0.0)

        return [self._row(self.candidates[name]) for name in sorted(self.candidates, key=place)[:most]]

    @cached_property
    def untold(self) -> list[str]:
        """The candidates of which nothing is known because a training failed in the first rung: any may be the best."""
        ranked = {standing.name for standing in self.ranking.standings}
        diverged = {entry.key[0] for entry in self.done if entry.result and entry.result.accuracy is None}
        failed = dict.fromkeys(entry.key[0] for entry in self.failed)
        return [name for name in failed if name not in ranked and name not in diverged]

    def contenders(self) -> list[str]:
        """Return the winner, and the candidates that it cannot be told from."""
        ranking = self.ranking
        return [standing.name for standing in (ranking.winner, *ranking.ties)] + self.untold

    def jobs(self) -> pd.DataFrame:
        """Return a row a finished training; those of the pilot are of rung 0."""
        import pandas as pd  # noqa: PLC0415

        rows = [_job(0, entry) for entry in self.view.done() if self.view.is_pilots(entry.key)]
        for number, (rung, names) in enumerate(self.rungs, start=1):
            for seed in rung.seeds:
                entries = (self._entry((name, seed, rung.budget)) for name in names)
                rows += [_job(number, entry) for entry in entries if entry is not None and entry.result is not None]
        return pd.DataFrame(rows, columns=list(_JOB)).drop_duplicates(["name", "seed", "budget"], ignore_index=True)

    def curves(self) -> pd.DataFrame:
        """Return the candidates' accuracies on the way, those at the end among them, by epoch."""
        import pandas as pd  # noqa: PLC0415

        rows = []
        own = [key for key in self.view.needed if key[0] in self.candidates]
        for (name, seed, budget), entry in ((key, self._entry(key)) for key in own):
            curve = {} if entry is None else dict(entry.curve)
            if curve and entry is not None and budget is not None and entry.result is not None:
                curve[budget] = math.nan if entry.result.accuracy is None else entry.result.accuracy
            rows += [(name, seed, budget, epoch, accuracy) for epoch, accuracy in sorted(curve.items())]
        return pd.DataFrame(rows, columns=["name", "seed", "budget", "epoch", "accuracy"])

    def agreements(self) -> dict[str, tuple[float | None, int]]:
        """Return each proxy's rank correlation with the accuracies of the first rung, which all candidates share, and
        over how many of them; FLOPs' and parameters' as well, for comparison. Empty without proxies.
        """
        rung, names = self.rungs[0]
        means = {name: _mean(self._accuracy((name, seed, rung.budget)) for seed in rung.seeds) for name in names}
        found = {}
        for score in (*next(iter(self.proxies.values()), {}), "params", "flops") if self.proxies else ():
            values = {name: self._score(name, score) for name in names}
            pairs = [(values[name], means[name]) for name in names if None not in (values[name], means[name])]
            scores, accuracies = ([pair[at] or 0.0 for pair in pairs] for at in (0, 1))
            found[score] = agreement(scores, accuracies), len(pairs)
        return found

    def spent(self) -> tuple[float, float]:
        """Return the training done for these rungs, and that of every candidate with all seeds and the full budget.

        The pilot's is no candidate's.

        In units of the budget (epochs), or in trainings where the evaluator knows the budget.
        """
        schedule = self.schedule
        done = sum(entry.key[2] or 1 for entry in self.done)
        if isinstance(schedule, Race):
            return done, schedule.exhaustive * schedule.budget
        last = schedule.rungs[-1]
        return done, len(self.candidates) * len(last.seeds) * (last.budget or 1)

    def failed_rungs(self) -> list[int]:
        """Return the numbers (from 1) of the rungs after the winner's: of all that took part a training failed."""
        return [number for number, (_, names) in enumerate(self.rungs, 1) if names][self.ranking.winner.rung + 1 :]

    def answer(self) -> Coefficients:
        """Return the answer of a finished search."""
        ranking = self.ranking
        best = self.candidates[ranking.winner.name]
        images, objective = self.plan.images, self.plan.objective
        spent, exhaustive = self.spent()
        done = [entry.result for entry in self.done]
        return Coefficients(
            schema="scalenet-coefficients/1",
            alpha=best.alpha,
            beta=best.beta,
            gamma=best.gamma,
            evidence=Evidence(
                base=self.plan.base,
                base_digest=digest(self.plan.network),
                evaluate=self.plan.evaluate,
                data=None if images is None else images.name,
                data_digest=None if images is None else images.digest,
                objective=objective.goal,
                ceilings=objective.ceilings,
                latency=objective.latency,
                learning_rate=self.learning_rate,
                pilot=self.piloted(),
                grid=self.plan.grid.name,
                rounding=best.rounding,
                candidates=len(ranking.standings) + len(self.untold),
                diverged=len({result.candidate for result in done if result is not None and result.accuracy is None}),
                failed=len({entry.key[0] for entry in self.failed}),
                rungs=tuple(self._round(rung, names) for rung, names in self.rungs[: ranking.winner.rung + 1]),
                spent=spent,
                exhaustive=exhaustive,
                seeds=ranking.winner.seeds,
                accuracy=_tidy(ranking.winner.accuracy),
                score=_tidy(ranking.winner.score) if self.scored else None,
                interval=_known(ranking.winner.interval),
                margin=_known(ranking.margin),
                **self._bound(),
                cost_spread=_tidy(cost_spread(list(self.candidates.values()))),
                cost_correlation=self._cost_correlation(),
                flops_ratio=best.flops_ratio,
                target=self.plan.grid.product,
                tolerance=None if best.distance is None else self.plan.grid.tolerance,
                seed_correlation=None if ranking.seed_correlation is None else _tidy(ranking.seed_correlation),
                proxies={
                    name: _tidy(value)
                    for name, (value, _) in self.agreements().items()
                    if value is not None and name in PROXIES
                }
                or None,
                ties=(*map(self._tie, ranking.ties), *map(self._untold_tie, self.untold)),
                separation=self._separation(),
                note=f"These coefficients speak for {self.plan.base} {self.plan.judged()} alone.",
            ),
        )

    def _round(self, rung: Rung, names: Sequence[str]) -> Round:
        """Return a rung as it was; in a race candidates have seeds of their own number."""
        trainings = None
        if isinstance(self.schedule, Race):
            trainings = sum(key[2] == rung.budget for key in self.view.needed)
        return Round(candidates=len(names), seeds=len(rung.seeds), budget=rung.budget, trainings=trainings)

    def _bound(self) -> dict[str, Any]:
        """Return what the evidence says of the bound; nothing where it is not known."""
        finding = self.finding
        if finding is None or len(self.candidates) == 1:
            return {}
        foreseen = self.first_forecast()
        return {
            "bound": _known(finding.bound),
            "forecast": None if foreseen is None else _tidy(foreseen),
            "unjudged": int(finding.unjudged.sum()),
            "agreement": None if finding.agreement is None else _tidy(finding.agreement),
            "noisier": int(finding.verdict.noisier.sum()),
            "collapsed": int(finding.verdict.collapsed.sum()),
        }

    def _over(self, name: str) -> float | None:
        """Return by how much a candidate may be better than the winner."""
        finding = self.finding
        return None if finding is None else _known(float(finding.over[self._places[name]]))

    def _expected(self, name: str) -> float | None:
        """Return what a candidate is expected to score at the full budget."""
        finding = self.finding
        if finding is None or finding.out[self._places[name]]:
            return None
        expected = float(finding.expected[self._places[name]])
        return None if math.isnan(expected) else _tidy(expected)

    def _cost_correlation(self) -> float | None:
        """Return how much of the ranking cost alone explains; None where all score alike."""
        ranked = self.ranking.standings
        if len({one.score for one in ranked}) == 1:
            return None
        found = agreement(
            [float(self.candidates[one.name].flops) for one in ranked], [-float(one.rank) for one in ranked]
        )
        return None if found is None else _tidy(found)

    def _separation(self) -> Separation | None:
        """Return what would part the ties that can be parted; those dropped early need the seeds before as well."""
        ranking = self.ranking
        last, _ = self.rungs[ranking.winner.rung]
        parts = [standing.seeds_to_part for standing in ranking.ties if standing.seeds_to_part is not None]
        names = self.contenders()
        known = [self._entry((name, seed, last.budget)) for name in names for seed in last.seeds]
        seconds = [entry.result.seconds for entry in known if entry is not None and entry.result is not None]
        if not (parts and seconds):
            return None
        trainings = max(parts) * len(names) + len(known) - len(seconds)
        return Separation(ties=len(parts), seeds=max(parts), seconds=round(trainings * fmean(seconds)))

    def _tie(self, standing: Standing) -> Tie:
        tie = self.candidates[standing.name]
        return Tie(
            alpha=tie.alpha,
            beta=tie.beta,
            gamma=tie.gamma,
            accuracy=_tidy(standing.accuracy),
            score=_tidy(standing.score) if self.scored else None,
            over=self._over(standing.name),
            rung=standing.rung + 1,
            seeds=standing.seeds,
            seeds_to_part=standing.seeds_to_part,
        )

    def _untold_tie(self, name: str) -> Tie:
        tie = self.candidates[name]
        return Tie(alpha=tie.alpha, beta=tie.beta, gamma=tie.gamma)

    @property
    def scored(self) -> bool:
        """Whether what is ranked is not the accuracy itself."""
        return self.plan.objective.goal != "accuracy"

    def _entry(self, key: Key) -> Entry | None:
        return self.view.entries.get(key)

    def _ended(self, key: Key) -> bool:
        entry = self._entry(key)
        return entry is not None and entry.state in ENDED

    def _failed(self, key: Key) -> bool:
        entry = self._entry(key)
        return entry is not None and entry.state is State.failed

    def _accuracy(self, key: Key) -> float | None:
        entry = self._entry(key)
        return entry.result.accuracy if entry is not None and entry.result is not None else None

    def _score(self, name: str, score: str) -> float | None:
        value = self.proxies.get(name, {}).get(score) if score in PROXIES else getattr(self.candidates[name], score)
        return None if value is None else float(value)

    def _row(self, facts: Facts) -> dict[str, Any]:
        number, rung = self._last(facts.name)
        keys = {seed: (facts.name, seed, rung.budget) for seed in rung.seeds}
        done = {seed: self._accuracy(key) for seed, key in keys.items() if self._ended(key)}
        known = _known_all(done.values())
        failed = [entry.key for entry in self._own(facts.name) if entry.state is State.failed]
        every = self._seeds
        seconds = sum(entry.result.seconds for entry in self._own(facts.name) if entry.result)
        own = {name: getattr(facts, name) for name in _FACTS}
        found: dict[str, Any] = {
            "rung": number,
            "budget": rung.budget,
            "seeds": len(known),
            "diverged": len(done) - len(known) - len({*keys.values()} & {*failed}),
            "failed": len(failed),
            "collapsed": len(self._collapsed.intersection(keys.values())),
            "accuracy": _tidy(self._sound_mean(keys.values())),
            "seconds": round(seconds, 2),
        }
        accuracies = {f"accuracy_seed{seed}": _tidy(done.get(seed)) for seed in every}
        unscored = dict.fromkeys(PROXIES) if self.proxies else {}
        scores = self.proxies.get(facts.name, unscored)
        return own | found | accuracies | scores | {"merged": " ".join(facts.merged)}

    @cached_property
    def _collapsed(self) -> frozenset[Key]:
        """The trainings to the end that broke down: the means of their candidates leave them out."""
        trained, names, seeds = self._trained, list(self.candidates), self.schedule.seeds
        _, budget = self.schedule.budgets
        places = np.argwhere(trained.collapsed).tolist()
        return frozenset((names[place], seeds[column], budget) for place, column in places)

    def _sound_mean(self, keys: Iterable[Key]) -> float | None:
        """Return the mean accuracy of those trainings that are known and did not break down."""
        return _mean(self._accuracy(key) for key in keys if key not in self._collapsed)

    def _last(self, name: str) -> tuple[int, Rung]:
        """Return the last rung that a candidate has results of and did not fail in, or the first one."""
        for number, (rung, names) in reversed(list(enumerate(self._members, start=1))):
            keys = [(name, seed, rung.budget) for seed in rung.seeds]
            if name in names and any(map(self._ended, keys)) and not any(map(self._failed, keys)):
                return number, rung
        return 1, self.rungs[0][0]

    @cached_property
    def _seeds(self) -> tuple[int, ...]:
        """The seeds that tables have a column for."""
        schedule = self.schedule
        return self.rungs[-1][0].seeds if isinstance(schedule, Race) else schedule.seeds

    @cached_property
    def _members(self) -> list[tuple[Rung, frozenset[str]]]:
        return [(rung, frozenset(names)) for rung, names in self.rungs]

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.view.entries.values():
            found.setdefault(entry.key[0], []).append(entry)
        return found

    def _own(self, name: str) -> list[Entry]:
        """Return the jobs of a candidate."""
        return self._entries.get(name, [])

    def _why_none(self, gone: Sequence[int]) -> str:
        """Return why there is no ranking; in the rungs that are `gone` every candidate diverged."""
        if gone:
            which, rate = f" of rung {gone[0]}" if gone[0] > 1 else "", self.learning_rate
            advice = "" if rate is None else f"; try a --learning-rate below {rate:g}"
            return f"every candidate{which} diverged{advice}"
        if failed := self.failed:
            return f"every candidate failed or diverged: {failed[0].why()}"
        return "no candidate has all its trainings of the first rung yet"


_FACTS = (
    *("name", "alpha", "beta", "gamma", "nominal", "flops", "flops_ratio", "distance"),
    *("params", "activations", "depth", "width", "resolution"),
)
_JOB = ("name", "seed", "budget", "rung", "accuracy", "loss", "seconds", "images", "attempts")


def _job(rung: int, entry: Entry) -> dict[str, Any]:
    assert entry.result is not None
    name, seed, budget = entry.key
    result = entry.result
    own = {"accuracy": _tidy(result.accuracy), "loss": _tidy(result.loss), "seconds": round(result.seconds, 2)}
    known = {"name": name, "seed": seed, "budget": budget, "rung": rung}
    return {**known, **own, "images": result.images, "attempts": entry.attempt + 1}


def _place(standing: Standing) -> dict[str, Any]:
    return {
        "name": standing.name,
        "rank": standing.rank,
        "score": _tidy(standing.score),
        "interval": _known(standing.interval),
        "tied": standing.tied,
    }


def _known_all(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known."""
    known = _known_all(values)
    return sum(known) / len(known) if known else None


def _tidy(value: float | None) -> Any:
    """Return an accuracy with the digits that a held-out set of some thousand images supports."""
    return None if value is None else round(value, 5) + 0.0  # never -0.0


def _known(value: float) -> float | None:
    """Return an interval or margin, or None for an infinite one."""
    return round(value, 5) if math.isfinite(value) else None


def piloted(view: View) -> Piloted | None:
    """Return what the pilot of these jobs tried, and what became of it, as far as it is known; None without one."""
    trial = view.trial
    if trial is None:
        return None
    tried = []
    for rate in trial.rates:
        entries = [view.entries.get(key) for key in trial.pilot.keys(rate)]
        results = [entry.result for entry in entries if entry is not None and entry.result is not None]
        sound = len(results) == len(entries) and all(result.accuracy is not None for result in results)
        accuracy, loss = _mean(result.accuracy for result in results), _mean(result.loss for result in results)
        tried.append(Tried(rate=rate, accuracy=_tidy(accuracy), loss=_tidy(loss)) if sound else Tried(rate=rate))
    pilot = trial.pilot
    return Piloted(rates=tuple(tried), seeds=len(pilot.seeds), budget=pilot.budget, by=pilot.by, blind=trial.blind)
