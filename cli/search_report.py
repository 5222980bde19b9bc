"""What a search shows: a live table or a line an event, and at the end the ranking and what it is worth."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count, duration, number, percentage, quoted, seconds_text, times

from .options import search_command
from .output import emit, emit_json, note, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd
    from rich.console import RenderableType

    from scalenet.search.answer.coefficients import Coefficients, Evidence
    from scalenet.search.answer.outcome import Outcome
    from scalenet.search.evaluators import Result
    from scalenet.search.plan import Plan
    from scalenet.search.queue.jobs import Entry, View
    from scalenet.search.space.objective import Objective
    from scalenet.search.study import Study

GREEK = ("alpha", "beta", "gamma")
FORMATS: dict[str, Callable[[Any], str]] = {
    "flops": count,
    "params": count,
    "flops_ratio": times,
    "nominal": times,
    "accuracy": percentage,
    "score": lambda value: f"{value:.4f}",
    "interval": lambda value: f"±{100 * value:.2f}",
    "tied": lambda value: "yes" if value else "",
    "done": lambda value: f"{100 * value:.0f} %",
}
_ROWS, _FEW = 12, 8
_NOISE = 0.5
_SHARE = 0.05


@contextmanager
def watch(study: Study, workers: int) -> Iterator[Callable[[View], None]]:
    """Yield what looks at a search as it goes: a table on a terminal, and a line for each thing that happens."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield _Watch(study, workers, say=note, show=None)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield _Watch(study, workers, say=console.print, show=lambda table: live.update(table, refresh=True))


class _Watch:
    """Sees what is new on a board, and keeps the tables of the folder up to date."""

    def __init__(
        self, study: Study, workers: int, *, say: Callable[[str], None], show: Callable[[RenderableType], None] | None
    ) -> None:
        self.study, self.workers, self.say, self.show = study, workers, say, show
        self.known: set[Any] | None = None
        self.rungs, self.again = 0, 0.0

    def __call__(self, view: View) -> None:
        outcome = self.study.outcome(view)
        ended = {entry.key: entry for entry in (*view.done(), *view.failed())}
        if self.known is None:
            self.known, self.rungs = set(ended), len(outcome.rungs)
        new = [entry for key, entry in ended.items() if key not in self.known]
        for place, entry in enumerate(new, start=len(ended) - len(new) + 1):
            self.say(f"[{place}/{view.planned()}] {_line(entry)}")
        for place, (rung, names) in list(enumerate(outcome.rungs, start=1))[self.rungs :]:
            parts = [number(len(names), "candidate"), number(len(rung.seeds), "seed"), *_epochs(rung.budget)]
            self.say(f"rung {place}: {', '.join(parts)}")
        self.rungs = len(outcome.rungs)
        self.known |= set(ended)
        if new and time.monotonic() >= self.again:
            self._write()
        if self.show is not None:
            self.show(_live(outcome, self.workers))

    def _write(self) -> None:
        """Write the tables, so rarely that it takes a twentieth of the time."""
        began = time.monotonic()
        self.study.write()
        ended = time.monotonic()
        self.again = ended + (ended - began) / _SHARE


def _line(entry: Entry) -> str:
    if entry.result is None:
        return f"failed: {entry.why()}"
    accuracy = "diverged" if entry.result.accuracy is None else percentage(entry.result.accuracy)
    return f"{entry.job}: {accuracy}, {entry.result.seconds:.1f} s"


def _epochs(budget: int | None) -> list[str]:
    return [] if budget is None else [number(budget, "epoch")]


def _live(outcome: Outcome, workers: int) -> RenderableType:
    """Return the state of a search: how far it is, the best candidates so far, and what runs."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = standing_rows(outcome)
    table = Table(title=Text(progress_line(outcome.view, workers)), title_justify="left", box=SIMPLE_HEAD)
    table.pad_edge = False
    for row in rows:
        del row["name"]
    for column in rows[0]:
        table.add_column(Text(column.replace("_", " ")), justify="right", no_wrap=True)
    for row in rows[:_ROWS]:
        table.add_row(
            *(Text(FORMATS.get(name, text)(value) if value is not None else "") for name, value in row.items())
        )
    if len(rows) > _ROWS:
        table.caption = Text(f"and {len(rows) - _ROWS} more")
    return table


def progress_line(view: View, workers: int) -> str:
    """Return how far a search is, in words."""
    entrants, rungs = view.entrants, view.aim.schedule.rungs
    failed = len(view.failed())
    ended, lost = len(view.done()) + failed, f", {failed} of them failed" if failed else ""
    running, left = len(view.running()), view.seconds_left(workers)
    parts = [f"rung {len(entrants)} of {len(rungs)}, {number(len(entrants[-1]), 'candidate')}"]
    parts += [f"{ended} of {view.planned()} trainings done{lost}, {running} running"]
    parts += [] if left is None or view.finished else [f"about {duration(left)} left"]
    return " · ".join(parts)


def records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the rows of a table, None where nothing is known."""
    found: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return found


def standing_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return a row a candidate, the best so far first: those of later rungs before others."""
    rows = outcome.rows()
    running = {entry.key[0]: entry for entry in outcome.view.running()}
    rows.sort(key=lambda row: (row["diverged"] > 0, -row["rung"], -(row["accuracy"] or 0)))
    columns = ("name", *GREEK, "flops_ratio", "rung", "seeds", "accuracy")
    intervals = _intervals(outcome)
    return [
        {column: row[column] for column in columns}
        | {"interval": intervals.get((row["name"], row["rung"], row["seeds"]))}
        | {"done": running[row["name"]].share if row["name"] in running else None}
        for row in rows
    ]


def _intervals(outcome: Outcome) -> dict[tuple[str, int, int], float]:
    """Return the intervals of what is finished, by candidate, rung and seeds."""
    from scalenet.arch.errors import RunError

    with suppress(RunError):
        ranked = outcome.ranking.standings
        return {(one.name, one.rung + 1, one.seeds): round(one.interval, 5) for one in ranked if isfinite(one.interval)}
    return {}


def answer(study: Study, outcome: Outcome, found: Coefficients, *, json: bool) -> None:
    """Write the ranking, and say what it is worth."""
    from scalenet.arch.config import as_data

    rows = records(outcome.table())
    if json:
        images = {} if study.plan.images is None else {"images": as_data(study.plan.images)}
        emit_json({**as_data(found), **images, "candidates": rows})
    else:
        score = () if study.plan.objective.goal == "accuracy" else ("score",)
        proxies = tuple(next(iter(study.proxies.values()), {}))
        middle = ("flops_ratio", "rung", "seeds", "accuracy", *score, "interval", "tied", "seconds")
        emit(
            [{column: row[column] for column in ("rank", *GREEK, *middle, *proxies)} for row in rows],
            title=title(study.plan),
            caption=f"FLOPs: {CONVENTION}" + ("; score: accuracy × (FLOPs / target)^-0.07" if score else ""),
            formats=FORMATS,
            hidden=("seconds", *(("rung",) if len(outcome.rungs) == 1 else ()), *(("interval",) if proxies else ())),
        )
    for line in summary(study, outcome, found):
        note(line)


def title(plan: Plan) -> str:
    """Return what a search's accuracies are, in words."""
    what = "accuracy by --evaluate" if plan.images is None else f"held-out top-1 on {plan.images.name}"
    return f"{plan.base}: {what}, mean over seeds"


def summary(study: Study, outcome: Outcome, found: Coefficients) -> list[str]:
    """Return what a finished search says, a sentence a line, the answer first."""
    from scalenet.search.answer.sentences import bound_sentences, cost_sentences

    evidence = found.evidence
    assert evidence is not None
    lines = [_best(found, evidence), *cost_sentences(evidence), *bound_sentences(evidence), *_ties(study, evidence)]
    lines += [_spent(evidence), *_doubts(outcome, evidence)]
    return [*lines, *_agreements(outcome), evidence.note, _next(study, evidence)]


def _best(found: Coefficients, evidence: Evidence) -> str:
    scored = "" if evidence.score is None else f", score {evidence.score:.4f}"
    interval = "" if evidence.interval is None else f" ± {100 * evidence.interval:.2f}"
    return (
        f"best: α = {found.alpha:.4g}, β = {found.beta:.4g}, γ = {found.gamma:.4g}: "
        f"{100 * evidence.accuracy:.2f}{interval} %{scored}, {evidence.flops_ratio:.4g}× the FLOPs"
    )


def _ties(study: Study, evidence: Evidence) -> list[str]:
    dropped = sum(tie.rung < len(evidence.rungs) for tie in evidence.ties)
    lines = [_others(evidence)]
    if dropped:
        how = "without evidence: --more-seeds trains them to the end"
        lines.append(f"{dropped} of them {'was' if dropped == 1 else 'were'} dropped in an earlier rung, {how}")
    if evidence.separation is not None:
        parted = evidence.separation
        which = "them" if parted.ties == len(evidence.ties) else f"{parted.ties} of them"
        lines.append(
            f"{number(parted.seeds, 'more seed')} each would separate {which} at 95 % if the differences stay, about "
            f"{duration(parted.seconds)} of training: "
            f"{search_command('resume', study, '--more-seeds', str(parted.seeds))}"
        )
    if evidence.diverged:
        lines.append(f"{number(evidence.diverged, 'candidate')} diverged: not ranked")
    if evidence.failed:
        lines.append(
            f"{number(evidence.failed, 'candidate')} failed: ranked by the rungs before, or else a tie without evidence"
        )
    return lines


def _others(evidence: Evidence) -> str:
    others = evidence.candidates - 1
    if not others:
        off = "" if evidence.interval is None else ", and ± is how far its mean over seeds may lie off, 95 %"
        return f"there was no other candidate{off}"
    where = " in the last rung" if len(evidence.rungs) > 1 else ""
    within = "" if evidence.margin is None else f" (within {100 * evidence.margin:.2f} points{where}, 95 %)"
    ties = len(evidence.ties)
    if others == 1:
        return f"the other candidate is {'not ' * ties}distinguishable from it{within}"
    return f"{ties} of the other {others} candidates {'is' if ties == 1 else 'are'} not distinguishable from it{within}"


def _spent(evidence: Evidence) -> str:
    rungs = ", then ".join(
        " × ".join([number(one.candidates, "candidate"), number(one.seeds, "seed"), *_epochs(one.budget)])
        for one in evidence.rungs
    )
    assert evidence.spent is not None
    assert evidence.exhaustive
    share = f"{100 * evidence.spent / evidence.exhaustive:.0f} % of the training of all candidates to the end"
    return f"trained: {rungs}: {share}"


def _doubts(outcome: Outcome, evidence: Evidence) -> Iterator[str]:
    if evidence.interval is None and evidence.seeds > 1:
        yield "so few accuracies agree exactly, which may be chance: nothing is known of the noise; take more --seeds"
    elif evidence.interval is None:
        yield "with one seed nothing is known of the noise: every candidate may be as good; take more --seeds"
    elif evidence.seeds == 1:
        yield "with one seed the noise of training is not known: ± and margin are only those of the number of images"
    elif outcome.ranking.noise == 0 and evidence.candidates > 1:
        yield "seeds make no difference between candidates: does the evaluator use them?"
    images = outcome.plan.images
    if images is not None and evidence.accuracy < _better_than(images.chance):
        yield "the winner is hardly better than chance: train longer or on more images before you use it"
    if images is not None:
        yield from _guesses([entry.result for entry in outcome.view.done() if entry.result is not None], images.classes)
    if len({standing.score for standing in outcome.ranking.standings}) == 1 < evidence.candidates:
        yield "all candidates score alike: harder images, or less training, would tell more"
    elif evidence.seed_correlation is not None:
        yield from _agreement(evidence.seed_correlation, halved=len(evidence.rungs) > 1)


def _better_than(chance: float) -> float:
    """Return the accuracy from which a network has learned something: half as much again, or half of the rest."""
    return min(1.5 * chance, (1 + chance) / 2)


def _guesses(results: list[Result], classes: int) -> Iterator[str]:
    """Say of how many trainings the network does not tell the classes apart."""
    from scalenet.training.guessing import is_guess

    one_class = sum(result.one_class is True for result in results)
    guesses = sum(result.loss is not None and is_guess(result.loss, classes) for result in results)
    if one_class:
        yield f"{one_class} of {number(len(results), 'training')} took all held-out images for one class"
    if guesses:
        yield f"{guesses} of {number(len(results), 'training')} ended with a loss no better than a guess's"


def _agreement(correlation: float, *, halved: bool) -> Iterator[str]:
    where, whose = (", in the first rung", "the first rung's") if halved else ("", "the")
    yield f"rank correlation between seeds: {correlation:z.2f}{where}"
    if correlation < _NOISE:
        yield f"{whose} ranking is mostly noise: train longer, on more images, or with more seeds before you use it"


def _next(study: Study, evidence: Evidence) -> str:
    base, coefficients = (quoted(study.folder / name) for name in ("base.yaml", "coefficients.yaml"))
    grown = "--phi 1..3"
    if evidence.tolerance is not None:
        factors = ",".join(f"{study.plan.grid.product**doubling:g}x" for doubling in (1, 2, 3))
        grown = f"--flops {factors} --tolerance {evidence.tolerance:g}"
    return f"next: scalenet scale --base {base} --coefficients {coefficients} {grown}"


def _agreements(outcome: Outcome) -> Iterator[str]:
    """Say what the training-free scores were worth here."""
    found = outcome.agreements()
    if not found:
        return
    trained = max(count for _, count in found.values())
    told = [
        f"{name} {value:z.2f}" if value is not None else f"{name} not defined" for name, (value, _) in found.items()
    ]
    yield f"rank correlation with accuracy over {trained} trained candidates: {', '.join(told)}"
    if trained < _FEW:
        yield "so few candidates prove nothing of the scores"


def write_page(study: Study, outcome: Outcome, found: Coefficients) -> Path:
    """Write `report.html` and the plots of a finished search, and return the page."""
    from scalenet.report.page import Findings, write_report

    findings = Findings(
        title=title(study.plan),
        summary=tuple(summary(study, outcome, found)),
        candidates=outcome.table(),
        jobs=outcome.jobs(),
        curves=outcome.curves(),
        target=study.plan.grid.product,
        margin=outcome.ranking.margin,
        facts=_facts(study.plan),
    )
    return write_report(findings, study.folder)


def _facts(plan: Plan) -> dict[str, str]:
    """Return what the results of a search rest on."""
    facts = {"baseline": f"{plan.base}, {'×'.join(map(str, plan.model.size))} px", "evaluated by": plan.evaluate}
    if plan.images is not None and plan.recipe is not None:
        images = plan.images
        parts = f"{images.train:,} to train, {images.validation:,} held out, {images.classes} classes"
        facts["images"] = f"{images.name}: {parts}, chance {100 * images.chance:.1f} %"
        facts["recipe"] = f"{plan.recipe.name}, {plan.recipe.epochs} epochs"
    facts["grid"] = f"{plan.grid.name}: {plan.grid.description}"
    facts["objective"] = _objective(plan.objective)
    facts["seeds"] = ", ".join(map(str, plan.schedule.rungs[-1].seeds))
    return facts | plan.versions


def _objective(objective: Objective) -> str:
    limits = [f"{what} of at most {most:,}" for what, most in objective.ceilings.items()]
    if objective.latency is not None:
        limits.append(f"latency of at most {seconds_text(objective.latency)}")
    return ", ".join([objective.goal, *limits])
