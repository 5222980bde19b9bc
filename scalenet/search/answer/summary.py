"""The answer of a search, and what is said of it: the same sentences on a terminal, in a notebook and in the report."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from operator import attrgetter
from typing import TYPE_CHECKING

from scalenet.arch.errors import RunError
from scalenet.arch.words import count, duration, number, quoted, seconds_text, time_given
from scalenet.search.answer.sentences import agreement_sentences, bound_sentences, cost_sentences, rate_sentence
from scalenet.search.keeping import models_of, winners
from scalenet.search.rungs.race import Race

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.search.answer.coefficients import Coefficients, Evidence, Round, Tie
    from scalenet.search.answer.outcome import Outcome
    from scalenet.search.evaluators import Result
    from scalenet.search.plan import Plan
    from scalenet.search.space.candidates import Facts
    from scalenet.search.space.objective import Objective
    from scalenet.search.study import Study

_FEW = 8

_LIGHTER = 1.05
"""How many times the least another cost of candidates of equal FLOPs is, that it is worth a word."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found: `coefficients` with their evidence, and `sentences` that say what they are worth.

    `error` says where trainings of a whole rung failed, so that the answer is that of the rungs before.
    """

    coefficients: Coefficients
    sentences: tuple[str, ...]
    error: RunError | None = None

    @property
    def alpha(self) -> float:
        """The base of the depth multiplier."""
        return self.coefficients.alpha

    @property
    def beta(self) -> float:
        """The base of the width multiplier."""
        return self.coefficients.beta

    @property
    def gamma(self) -> float:
        """The base of the resolution multiplier."""
        return self.coefficients.gamma

    @property
    def evidence(self) -> Evidence:
        """What the answer rests on."""
        assert self.coefficients.evidence is not None
        return self.coefficients.evidence

    @property
    def accuracy(self) -> float:
        """The winner's mean accuracy over seeds, a fraction."""
        return self.evidence.accuracy

    @property
    def interval(self) -> float | None:
        """Half the winner's interval at 95 %, None where nothing is known of the noise."""
        return self.evidence.interval

    @property
    def margin(self) -> float | None:
        """How far below the winner a candidate of the last rung may lie and not be told from it."""
        return self.evidence.margin

    @property
    def bound(self) -> float | None:
        """By how much any candidate may be better than the winner, at 95 %; None where nothing is known of that."""
        return self.evidence.bound

    @property
    def ties(self) -> tuple[Tie, ...]:
        """The candidates that cannot be told from the winner."""
        return self.evidence.ties

    def multipliers(self) -> dict[str, float]:
        """Return α, β, γ by name, as `scalenet.compound` and the rules of `scalenet.scale_by` take them."""
        return self.coefficients.multipliers()

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        first, *others = map(escape, self.sentences)
        return f"<p><b>{first}</b></p>\n<ul>{''.join(f'<li>{line}</li>' for line in others)}</ul>"


def answer_of(study: Study, outcome: Outcome) -> Answer:
    """Return the answer of a finished search; raise RunError where every candidate failed or diverged."""
    found = outcome.answer()
    error = None
    if rungs := outcome.failed_rungs():
        error = RunError(
            f"rung {rungs[0]}: a training of every candidate failed: {outcome.failed[-1].why()}",
            hint="the answer is that of the rungs before; the same command tries the others again",
        )
    return Answer(found, tuple(summary(study, outcome, found)), error)


def title(plan: Plan) -> str:
    """Return what a search's accuracies are, in words."""
    what = "accuracy by --evaluate" if plan.images is None else f"held-out top-1 on {plan.images.name}"
    return f"{plan.base}: {what}, mean over seeds"


def summary(study: Study, outcome: Outcome, found: Coefficients) -> list[str]:
    """Return what a finished search says, a sentence a line, the answer first."""
    evidence = found.evidence
    assert evidence is not None
    lines = [_best(found, evidence), *cost_sentences(evidence), *bound_sentences(evidence), *_ties(study, evidence)]
    lines += [*_lightest(study, outcome), _spent(evidence), *_rate(evidence), *_doubts(outcome, evidence)]
    kept = winners(models_of(study.folder, outcome.view), study.folder, outcome.ranking.winner.name)
    return [*lines, *_agreements(outcome), evidence.note, *kept, _next(study, evidence)]


def _point(one: Coefficients | Facts) -> str:
    return f"α = {one.alpha:.4g}, β = {one.beta:.4g}, γ = {one.gamma:.4g}"


def _best(found: Coefficients, evidence: Evidence) -> str:
    scored = "" if evidence.score is None else f", score {evidence.score:.4f}"
    interval = "" if evidence.interval is None else f" ± {100 * evidence.interval:.2f}"
    return (
        f"best: {_point(found)}: "
        f"{100 * evidence.accuracy:.2f}{interval} %{scored}, {evidence.flops_ratio:.4g}× the FLOPs"
    )


def _ties(study: Study, evidence: Evidence) -> list[str]:
    dropped = sum(tie.rung < len(evidence.rungs) for tie in evidence.ties)
    lines = [_others(evidence)]
    race = study.plan.schedule
    if isinstance(race, Race) and evidence.ties:
        lines.append(_further(study, race, evidence))
    elif dropped:
        how = "without evidence: --more-seeds trains them to the end"
        lines.append(f"{dropped} of them {'was' if dropped == 1 else 'were'} dropped in an earlier rung, {how}")
    if evidence.separation is not None:
        parted = evidence.separation
        which = "them" if parted.ties == len(evidence.ties) else f"{parted.ties} of them"
        lines.append(
            f"{number(parted.seeds, 'more seed')} each would separate {which} at 95 % if the differences stay, about "
            f"{duration(parted.seconds)} of training: "
            f"{study.command('resume', '--more-seeds', str(parted.seeds))}"
        )
    if evidence.diverged:
        lines.append(f"{number(evidence.diverged, 'candidate')} diverged: not ranked")
    if evidence.failed:
        lines.append(
            f"{number(evidence.failed, 'candidate')} failed: ranked by the rungs before, or else a tie without evidence"
        )
    return lines


def _lightest(study: Study, outcome: Outcome) -> Iterator[str]:
    """Yield who of several that may be the best has the fewest parameters and activations: equal FLOPs are not all."""
    facts = [study.facts[name] for name in outcome.contenders()]
    found = []
    for name, cost in (("parameters", attrgetter("params")), ("activations", attrgetter("activations"))):
        least, most = min(facts, key=cost), max(facts, key=cost)
        if cost(most) > _LIGHTER * cost(least):
            found.append(f"{_point(least)} has the fewest {name} ({count(cost(least))}; up to {count(cost(most))})")
    if found:
        yield f"of the {len(facts)} that may be the best, {', and '.join(found)}"


def _further(study: Study, race: Race, evidence: Evidence) -> str:
    """Return how a race goes on, in words."""
    if all(tie.seeds == race.most for tie in evidence.ties):  # no share of the training would give them another one
        return f"all {race.most} seeds of those that tie are trained: {study.command('resume', '--more-seeds', '2')}"
    longer: list[str] = []
    if race.time_limit is None or race.cap >= race.exhaustive:  # it ended by its cap
        longer += ["--spend", f"{2 * race.share_of_all:.2g}"]
    if race.time_limit is not None:
        longer += ["--time-limit", time_given(2 * race.time_limit).replace(" ", "")]
    return f"more training narrows this: {study.command('resume', *longer)}"


def _others(evidence: Evidence) -> str:
    others = evidence.candidates - 1
    if not others:
        off = "" if evidence.interval is None else ", and ± is how far its mean over seeds may lie off, 95 %"
        return f"there was no other candidate{off}"
    where = " in the last rung" if len(evidence.rungs) > 1 else ""
    within = "" if evidence.margin is None else f" (within {100 * evidence.margin:.2f} points{where}, 95 %)"
    ties = len(evidence.ties)
    if others == 1:
        return f"the other candidate {'cannot be' if ties else 'is'} told from it{within}"
    if not ties:
        return f"all other {others} candidates are told from it{within}"
    if ties == others:
        return f"none of the other {others} candidates can be told from it{within}: any may be the best"
    return f"{ties} of the other {others} candidates cannot be told from it{within}"


def _spent(evidence: Evidence) -> str:
    rungs = ", then ".join(_round(one) for one in evidence.rungs)
    assert evidence.spent is not None
    assert evidence.exhaustive
    share = f"{100 * evidence.spent / evidence.exhaustive:.0f} % of the training of all candidates to the end"
    return f"trained: {rungs}: {share}"


def _rate(evidence: Evidence) -> Iterator[str]:
    if evidence.pilot is not None and evidence.learning_rate is not None:
        yield rate_sentence(evidence.learning_rate, evidence.pilot)


def _round(one: Round) -> str:
    if one.trainings is None:
        return " × ".join([number(one.candidates, "candidate"), number(one.seeds, "seed"), *_epochs(one.budget)])
    of = f"{number(one.trainings, 'training')} of {number(one.candidates, 'candidate')}"
    return " × ".join([of, *_epochs(one.budget)])


def _epochs(budget: int | None) -> list[str]:
    return [] if budget is None else [number(budget, "epoch")]


def _doubts(outcome: Outcome, evidence: Evidence) -> Iterator[str]:
    if evidence.interval is None and evidence.seeds > 1:
        yield "so few accuracies agree exactly, which may be chance: nothing is known of the noise; take more --seeds"
    elif evidence.interval is None:
        yield "with one seed nothing is known of the noise: every candidate may be as good; take more --seeds"
    elif evidence.seeds == 1 and not isinstance(outcome.plan.schedule, Race):  # others' seeds tell it in a race
        yield "with one seed noise is not measured: ± and margin are foreseen from the number of images"
    elif outcome.ranking.noise == 0 and evidence.candidates > 1:
        yield "seeds make no difference between candidates: does the evaluator use them?"
    images = outcome.plan.images
    if images is not None and evidence.accuracy < _better_than(images.chance):
        yield "the winner is hardly better than chance: train longer or on more images before you use it"
    if images is not None:
        yield from _guesses([entry.result for entry in outcome.done if entry.result is not None], images.classes)
    if len({standing.score for standing in outcome.ranking.standings}) == 1 < evidence.candidates:
        yield "all candidates score alike: harder images, or less training, would tell more"
    else:
        yield from agreement_sentences(evidence)


def _better_than(chance: float) -> float:
    """Return the accuracy from which a network has learned something: half as much again, or half of the rest."""
    return min(1.5 * chance, (1 + chance) / 2)


def _guesses(results: list[Result], classes: int) -> Iterator[str]:
    """Say of how many trainings the network does not tell the classes apart."""
    from scalenet.training.guessing import is_guess  # noqa: PLC0415 - brings torch

    one_class = sum(result.one_class is True for result in results)
    guesses = sum(result.loss is not None and is_guess(result.loss, classes) for result in results)
    if one_class:
        yield f"{one_class} of {number(len(results), 'training')} took all held-out images for one class"
    if guesses:
        yield f"{guesses} of {number(len(results), 'training')} ended with a loss no better than a guess's"


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


def facts(outcome: Outcome) -> dict[str, str]:
    """Return what the results of a search rest on."""
    plan = outcome.plan
    found = {"baseline": f"{plan.base}, {'×'.join(map(str, plan.network.size))} px", "evaluated by": plan.evaluate}
    if plan.images is not None and plan.recipe is not None:
        images = plan.images
        parts = f"{images.train:,} to train, {images.validation:,} held out, {images.classes} classes"
        parts += "" if images.folds is None else f", {images.folds} folds"
        found["images"] = f"{images.name}: {parts}, chance {100 * images.chance:.1f} %"
        found["recipe"] = f"{plan.recipe.name}, {plan.recipe.epochs} epochs"
    if outcome.learning_rate is not None:
        how = "" if plan.pilot is None else ", found by a pilot of the baseline"
        found["learning rate"] = f"{outcome.learning_rate:g}{how}"
    found["grid"] = f"{plan.grid.name}: {plan.grid.description}"
    found["objective"] = _objective(plan.objective)
    seeds = plan.schedule.seeds
    found["seeds"] = f"from {seeds[0]} on" if isinstance(plan.schedule, Race) else ", ".join(map(str, seeds))
    return found | plan.versions


def _objective(objective: Objective) -> str:
    limits = [f"{what} of at most {most:,}" for what, most in objective.ceilings.items()]
    if objective.latency is not None:
        limits.append(f"latency of at most {seconds_text(objective.latency)}")
    return ", ".join([objective.goal, *limits])
