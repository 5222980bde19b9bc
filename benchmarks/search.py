"""Which strategy gives STEP 1 the most useful answer for the least training?

    python benchmarks/search.py [--searches 20] [--only NAME] [--processes N]

Replays searches, with the product's own judge, surface and race, on simulated truths and on recorded tables
(`benchmarks/tables`). Every row is so many searches in pairs: the two of a pair search one truth with other seeds.
Prints Markdown, and the seeds it drew from: a table of all rows, for docs/search_measured.md, and a short one of the
race that is shipped beside the whole grid, for docs/search.md.

- trained: the training spent, of that of all candidates to the end with four seeds, where short ones begin anew;
- regret: points by which the winner lies below the best in truth, in the mean and at the 95th percentile;
- bound: by how many points a candidate may be better than the winner, as the search says; held: how often none is by
  more (promised: 95 %);
- ties: other candidates that may be the best; best in: how often the best is the winner or one of them, in the mean of
  those that are equally good;
- forecast: how often the bound was forecast within a factor of two before a candidate was trained, and in brackets how
  often it was more than twice the forecast; halfway: the same, by the race's forecast after half of its trainings;
- again: rank correlation of the two searches of a pair; alike: how often each has the other's winner among its ties;
- misled: how often a race says that short trainings say little of long ones, and in brackets how often its bound held
  then.

Where noise is `unknown`, nothing is foreseen of it, as of evaluators that do not say how many images they hold out.

The oracle knows what candidates are worth and how noisy they are, and allots as many trainings to the end as the race
has, one at least to each candidate, so that the bound is least. Its row is that of somebody who knows the noise also
when he judges; the other one, `judged`, that of the judge, who measures it. It is no limit to those that leave out whom
short trainings and neighbours bound.
"""

from __future__ import annotations

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pandas as pd
import yaml

from scalenet.search.answer.finding import Finding, Trained, find, row_means
from scalenet.search.answer.forecast import better_forecast, forecast, trainings_of
from scalenet.search.answer.margins import reach
from scalenet.search.answer.noise import training_noise
from scalenet.search.answer.ranking import agreement, look_error, rank
from scalenet.search.answer.variances import shrink
from scalenet.search.rungs.pilot import epochs_of
from scalenet.search.rungs.race import ERROR as RACE_ERROR
from scalenet.search.rungs.race import SHARE, Training, finding_of, next_round, race, run, spent, with_result
from scalenet.search.rungs.schedule import halving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from scalenet.search.rungs.race import Race

TABLES = Path(__file__).parent / "tables"
COLUMNS = (
    *("world", "strategy", "trained", "regret / 95 %", "bound", "held", "ties", "best in", "again", "alike"),
    *("forecast", "halfway", "misled"),
)
BRIEFLY = (
    *("world", "trained", "bound", "the whole grid's", "of it", "held", "best in", "ties", "the whole grid's"),
    *("regret", "the whole grid's", "forecast"),
)
SHIPPED = "as shipped: "
SEEDS = 24  # of each candidate in a search, more than any strategy takes
EXHAUSTIVE = 4
OFF = 0.2  # deviation of the logarithm of what is known of a simulated truth's noise beforehand
CAPS = (0.2, 0.35, 0.5, 1.0)


class World(Protocol):
    """A truth to be searched: candidates' shares, what each is worth in points, and trainings of it.

    `noise` is the deviation of a full training in points, a row a candidate.
    """

    shares: NDArray[np.float64]
    truth: NDArray[np.float64]
    ratio: float
    noise: NDArray[np.float64]

    def noise_beforehand(self, random: np.random.Generator) -> float:
        """Return what is known of the noise of a full training, in points, after a pilot."""
        ...

    def foreseen(self, beforehand: float) -> float:
        """Return what the judge takes it to be before it is measured, which follows from it for simulated truths."""
        ...

    def draw(self, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return tables (candidates × SEEDS) of short and of full trainings."""
        ...


def triangle(divisions: int) -> NDArray[np.float64]:
    """Return all shares of depth, width and resolution that are multiples of 1 / divisions."""
    steps = range(divisions + 1)
    points = [(depth, width, divisions - depth - width) for depth in steps for width in steps[: divisions + 1 - depth]]
    return np.array(points) / divisions


@dataclass(frozen=True)
class Simulation:
    """What is simulated, in points: candidates' standard deviation at the full budget, one training's noise, and how
    their truths at a tenth of the budget correlate with those at the full one.

    The noise of the best is `best_noise` times that of the others, of the form of a t with `tail` degrees of freedom;
    a share `collapse` of the trainings loses 15 points on the way. Noise is `surprising` times what is foreseen.
    Candidates that are `equal` differ by nothing. They are on a triangle of so many `divisions`, or those of quarters
    that are in the grid `small`.
    """

    spread: float = 1.5
    noise: float = 1.0
    agreement: float = 0.8
    rough: bool = False
    best_noise: float = 1.0
    tail: float | None = None
    collapse: float = 0.0
    surprising: float = 1.0
    equal: bool = False
    seed_effect: float = 0.3
    divisions: int = 4
    ratio: float = 0.2
    small: bool = False


class Simulated:
    """A simulated truth: at smaller budgets candidates differ more (budget^-1/2), and so does noise (budget^-3/4)."""

    def __init__(self, how: Simulation, random: np.random.Generator) -> None:
        self.how, self.ratio, self.shares = how, how.ratio, triangle(how.divisions)
        if how.small:
            self.shares = self.shares[[_of_small(*shares) for shares in self.shares.tolist()]]
        count = len(self.shares)
        long, other = (_shape(self.shares, random, rough=how.rough) for _ in range(2))
        own = 0.13 * how.spread * random.normal(size=count)
        weight = 1 - (1 - how.agreement) * math.log(how.ratio) / math.log(0.1)
        short = how.ratio**-0.5 * (weight * long + math.sqrt(1 - weight**2) * other)
        spread = 0 if how.equal else how.spread
        self.truth = spread * long + (0 if how.equal else own)
        self.short = spread * short + (0 if how.equal else own)
        self.noise = how.noise * np.where(np.arange(count) == self.truth.argmax(), how.best_noise, 1.0)[:, None]

    def noise_beforehand(self, random: np.random.Generator) -> float:
        """Return the noise, off by about as much as what is foreseen on recorded tables."""
        return self.how.noise / self.how.surprising * math.exp(OFF * random.normal())

    def foreseen(self, beforehand: float) -> float:
        """Return what was known beforehand."""
        return beforehand

    def draw(self, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return accuracy = candidate + seed + noise; a long training's noise is a little like its short one's."""
        how, shape = self.how, (len(self.shares), SEEDS)
        size = np.sqrt(1 - 2 / how.tail) if how.tail else 1.0
        draws = random.standard_t(how.tail, size=(2, *shape)) * size if how.tail else random.normal(size=(2, *shape))
        first, second = draws[0], 0.2 * draws[0] + math.sqrt(0.96) * draws[1]
        seeds = how.seed_effect * random.normal(size=(2, 1, SEEDS))
        gone = random.random(shape) < how.collapse
        early = gone & (random.random(shape) < how.ratio)
        short = self.short[:, None] + how.ratio**-0.75 * self.noise * first + seeds[0] - 15 * early
        full = self.truth[:, None] + self.noise * second + seeds[1] - 15 * gone
        return short, full


def _shape(shares: NDArray[np.float64], random: np.random.Generator, *, rough: bool) -> NDArray[np.float64]:
    """Return a quadratic with its peak in the triangle, or a rough Gaussian surface; of mean 0 and deviation 1."""
    if rough:
        squares = ((shares[:, None] - shares) ** 2).sum(axis=-1) / 2
        covariance = np.exp(-squares / 2 / 0.35**2) + 1e-8 * np.eye(len(shares))
        heights = np.linalg.cholesky(covariance) @ random.normal(size=len(shares))
    else:
        root = random.normal(size=(2, 2))
        off = (shares - random.dirichlet((1.5, 1.5, 1.5)))[:, :2]
        heights = -np.einsum("ni,ij,nj->n", off, root @ root.T + 0.3 * np.eye(2), off)
    found: NDArray[np.float64] = (heights - heights.mean()) / heights.std()
    return found


class Recorded:
    """A recorded table: candidates' means over its seeds are the truth, its residuals the noise.

    Means of few seeds differ by their noise as well, so they are drawn together to the spread that is left without it.
    The residuals of a training's short and full run stay together, and keep the size that its candidate's have.
    """

    def __init__(self, rows: pd.DataFrame, held_out: int) -> None:
        self.held_out = held_out
        table = {kind: _pivot(rows[rows.kind == kind]) for kind in ("short", "full")}
        first = rows.drop_duplicates("candidate").set_index("candidate").loc[list(table["full"].index)]
        self.shares = np.array([[float(part) for part in text.split()] for text in first.shares])
        epochs = rows.groupby("kind").epochs.max()
        self.ratio = float(epochs["short"] / epochs["full"])
        found = {kind: _parts(own.to_numpy()) for kind, own in table.items()}
        self.truth, self.short = found["full"][0], found["short"][0]
        self.left = np.stack([found["short"][1], found["full"][1]])
        seeds = self.left.shape[2]
        self.sizes = np.stack(
            [np.sqrt(shrink(own.var(axis=1), np.full(len(own), seeds - 1.0)).variances) for own in self.left]
        )
        self.noise = self.sizes[1][:, None]
        pilot = epochs_of(int(epochs["full"]))
        self.early = rows[(rows.kind == "full") & (rows.epoch == pilot)].accuracy.to_numpy()

    def noise_beforehand(self, random: np.random.Generator) -> float:
        """Return it by the number of held-out images, at the accuracy of a training after as long as a pilot's."""
        return 100 * training_noise(self.held_out, float(random.choice(self.early)))

    def foreseen(self, beforehand: float) -> float:  # noqa: ARG002 - as simulated
        """Return it by the number of held-out images, at the accuracy of the trainings to the end."""
        return 100 * training_noise(self.held_out, float(self.truth.mean()) / 100)

    def draw(self, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return trainings made of candidates' means and residuals of any candidate, scaled to those of its own."""
        unit = (self.left / self.left.std(axis=2, keepdims=True)).reshape(2, -1)
        picks = random.integers(0, unit.shape[1], (len(self.shares), SEEDS))
        short, full = (self.sizes[level, :, None] * unit[level][picks] for level in (0, 1))
        return self.short[:, None] + short, self.truth[:, None] + full


def _pivot(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the last accuracies in points, candidates by seeds."""
    last = rows[rows.epoch == rows.epochs]
    table: pd.DataFrame = 100 * last.pivot_table(index="candidate", columns="seed", values="accuracy")
    return table.dropna(axis=0)


def _parts(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return candidates' worth and the residuals of trainings, both of the size that they have without each other."""
    means, (count, seeds) = table.mean(axis=1), table.shape
    left = table - means[:, None] - table.mean(axis=0) + table.mean()
    left = left * math.sqrt(count * seeds / ((count - 1) * (seeds - 1)))
    noise, observed = float(left.var()) / seeds, float(means.var(ddof=1))
    shrunk = math.sqrt(max(0.0, 1 - noise / observed))
    return means.mean() + shrunk * (means - means.mean()), left


class Row(NamedTuple):
    """What one search came to; `expected` is what its candidates are ranked by, `forecast` and `halfway` what its bound
    was expected to be, `misled` whether it says that short trainings mislead; nan where that was not asked.
    """

    trained: float
    winner: int
    bound: float
    tied: NDArray[np.bool_]
    expected: NDArray[np.float64]
    forecast: float
    halfway: float = math.nan
    misled: float = math.nan


def searches(world: World, random: np.random.Generator, at_a_time: int) -> Iterator[tuple[str, Row]]:
    """Search a truth with every strategy, all of them by the same trainings."""
    short, full = world.draw(random)
    noise = world.noise_beforehand(random)
    yield "halving", halved(world, short, full, noise)
    for seeds in (2, 3, EXHAUSTIVE, 8):
        yield f"exhaustive, {seeds} seeds", exhaustive(world, full, seeds, noise)
    yield from raced(world, short, full, noise, at_a_time)
    yield blind(world, short, full, noise, at_a_time)


def exhaustive(world: World, full: NDArray[np.float64], seeds: int, noise: float) -> Row:
    """Train all candidates to the end with so many seeds."""
    trained = _trained(world, noise)
    trained.full[:, :seeds] = full[:, :seeds]
    finding = find(trained, error=look_error(0))
    count = len(world.shares)
    expected = forecast(halving(count, seeds=range(seeds), budget=None, factor=1), count, noise)
    return Row(seeds / EXHAUSTIVE, finding.winner, finding.bound, finding.tied, finding.expected, expected)


def halved(world: World, short: NDArray[np.float64], full: NDArray[np.float64], noise: float) -> Row:
    """Halve as the product does; the bound is that of its trainings to the end."""
    budget, count = round(1 / world.ratio), len(world.shares)
    schedule = halving(count, seeds=range(EXHAUSTIVE), budget=budget, factor=budget)
    first, last = schedule.rungs
    trained = _trained(world, noise)
    few = len(first.seeds)
    trained.short[:, :few] = short[:, :few]
    kept = np.argsort(-short[:, :few].mean(axis=1), kind="stable")[: last.keep]
    trained.full[kept, :EXHAUSTIVE] = full[kept, :EXHAUSTIVE]
    tables = trained.short[:, :few], trained.sound[kept, :EXHAUSTIVE]
    rungs = [{str(place): short[place, :few].tolist() for place in range(count)}]
    rungs.append({str(place): full[place, :EXHAUSTIVE].tolist() for place in kept})
    means = [dict(zip(rung, row_means(table).tolist(), strict=True)) for rung, table in zip(rungs, tables, strict=True)]
    ranking = rank(rungs, means=means, held_out=None)
    winner, expected = int(ranking.winner.name), np.zeros(count)
    for standing in ranking.standings:
        expected[int(standing.name)] = -standing.rank
    finding = find(trained, error=look_error(0), winner=winner, doubted=True)
    share = (few * count * world.ratio + EXHAUSTIVE * len(kept)) / count / EXHAUSTIVE
    foreseen = forecast(schedule, count, noise)
    return Row(share, winner, finding.bound, finding.tied, expected, foreseen)


def raced(
    world: World, short: NDArray[np.float64], full: NDArray[np.float64], noise: float, at_a_time: int
) -> Iterator[tuple[str, Row]]:
    """Race to each cap; a race to a larger one goes on from there."""
    trained, count = _trained(world, noise), len(world.shares)
    whole, seen = EXHAUSTIVE * count, list[tuple[int, Finding]]()
    for cap in CAPS:
        asked = _race(world, cap, at_a_time)
        while wanted := next_round(asked, trained):
            for training in wanted:
                trained = with_result(trained, training, _score(training, short, full))
            if trained.seeds.any():
                known = finding_of(trained)
                seen.append((int(trained.seeds.sum()), known))
        ends, finding = seen[-1]
        early, then = next(one for one in seen if one[0] >= ends / 2)
        halfway = better_forecast(asked, count, noise, verdict=then.verdict, bound=then.bound, trained=early)
        expected = forecast(asked, count, noise), math.nan if halfway is None else halfway
        shipped = cap == SHARE and asked.cap < whole
        found = finding.winner, finding.bound, finding.tied, finding.expected
        row = Row(spent(trained) / whole, *found, *expected, finding.misled)
        yield f"{SHIPPED * shipped}race, {100 * cap:.0f} %", row
        if shipped:
            trainings = int(trainings_of(asked, count) + 1e-9)
            yield from omniscient(world, full, trainings, noise, f"oracle, {100 * cap:.0f} %")


def blind(
    world: World, short: NDArray[np.float64], full: NDArray[np.float64], noise: float, at_a_time: int
) -> tuple[str, Row]:
    """Race to the usual cap where nothing says beforehand how noisy trainings are."""
    asked = _race(world, SHARE, at_a_time)
    trained = run(asked, replace(_trained(world, noise), foreseen=None), lambda one: _score(one, short, full))
    finding = finding_of(trained)
    found = finding.winner, finding.bound, finding.tied, finding.expected
    share = spent(trained) / EXHAUSTIVE / len(world.shares)
    return f"race, {100 * SHARE:.0f} %, noise unknown", Row(share, *found, math.nan, math.nan, finding.misled)


def _race(world: World, cap: float, at_a_time: int) -> Race:
    """Return the product's race to a share of all trainings; to the usual one where it is that."""
    budget, share = round(10 / world.ratio), None if cap == SHARE else cap
    return race(len(world.shares), budget=budget, seeds=EXHAUSTIVE, share=share, at_a_time=at_a_time, most=SEEDS)


def omniscient(
    world: World, full: NDArray[np.float64], trainings: int, noise: float, name: str
) -> Iterator[tuple[str, Row]]:
    """Train each candidate to the end as often as somebody allots who knows truth and noise; judged knowing the noise,
    and by the judge.
    """
    counts = allotted(world.truth, world.noise[:, 0], trainings)
    trained = _trained(world, noise)
    for candidate, seeds in enumerate(counts):
        trained.full[candidate, :seeds] = full[candidate, :seeds]
    share = trainings / EXHAUSTIVE / len(counts)
    means, variances = row_means(trained.full), world.noise[:, 0] ** 2 / counts
    winner = int(means.argmax())
    margins = math.sqrt(0.5) * reach(len(counts), math.inf, RACE_ERROR) * np.sqrt(np.add.outer(variances, variances))
    above = means[:, None] - means
    tied = np.all(above <= margins, axis=0)
    over = np.where(tied, np.maximum(margins[winner] - above[winner], 0), 0)
    over[winner] = 0
    yield name, Row(share, winner, float(over.max()), tied, means, math.nan)
    finding = find(trained, error=RACE_ERROR)
    found = finding.winner, finding.bound, finding.tied, finding.expected
    yield f"{name}, judged", Row(share, *found, math.nan)


def allotted(truth: NDArray[np.float64], noise: NDArray[np.float64], trainings: int) -> NDArray[np.int64]:
    """Return how many trainings each candidate gets so that the best of them is bounded most closely, one at least."""
    best, distance = int(truth.argmax()), math.sqrt(0.5) * reach(len(truth), math.inf, RACE_ERROR)
    found, least = np.ones(len(truth), dtype=np.int64), math.inf
    for own in range(1, trainings - len(truth) + 2):
        counts = np.ones(len(truth), dtype=np.int64)
        counts[best] = own
        while True:
            over = distance * np.sqrt(noise[best] ** 2 / own + noise**2 / counts) - (truth[best] - truth)
            over[best] = 0
            if counts.sum() == trainings:
                break
            counts[over.argmax()] += 1
        if over.max() < least:
            found, least = counts, float(over.max())
    return found


def _score(training: Training, short: NDArray[np.float64], full: NDArray[np.float64]) -> float:
    return float((full if training.full else short)[training.candidate, training.seed])


def _trained(world: World, noise: float) -> Trained:
    nothing = np.full((len(world.shares), SEEDS), np.nan)
    out = np.zeros(len(nothing), dtype=bool)
    return Trained(world.shares, nothing.copy(), nothing, world.ratio, out, foreseen=world.foreseen(noise))


def pair(make: Callable[..., World], at_a_time: int, seed: int) -> list[tuple[str, NDArray[np.float64]]]:
    """Search one truth twice with every strategy; return what is shown, in order of the columns."""
    random = np.random.default_rng(seed)
    world = make(random=random)
    best, found = world.truth == world.truth.max(), []
    for (name, one), (_, other) in zip(*(list(searches(world, random, at_a_time)) for _ in range(2)), strict=True):
        again = agreement(one.expected.tolist(), other.expected.tolist())
        alike = bool(one.tied[other.winner] and other.tied[one.winner])
        for row in (one, other):
            regret = float(world.truth.max() - world.truth[row.winner])
            shown = [row.trained, regret, row.bound, regret <= row.bound + 1e-9]
            shown += [row.tied.sum() - 1, row.tied[best].mean()]
            shown += [np.nan if again is None else again, alike]
            shown += [part for one in (row.forecast, row.halfway) for part in _right(one, row.bound)]
            shown.append(row.misled)
            found.append((name, np.array(shown, dtype=np.float64)))
    return found


def _right(forecast: float, bound: float) -> tuple[float, float]:
    """Return whether a forecast is right within a factor of two, and whether it is too low by more."""
    if math.isnan(forecast):
        return math.nan, math.nan
    return forecast / 2 <= bound <= 2 * forecast, bound > 2 * forecast


def line(world: str, strategy: str, rows: Sequence[NDArray[np.float64]]) -> str:
    """Return a line of Markdown about the searches of one strategy in one world."""
    trained, regret, bound, held, ties, inside, again, alike, *expected, misled = np.array(rows).T
    right, low, later, later_low = (100 * one.mean() for one in expected)
    foreseen, halfway = (
        "" if math.isnan(one) else f"{one:.0f} ({too_low:.0f})" for one, too_low in ((right, low), (later, later_low))
    )
    correlation = math.nan if np.isnan(again).all() else np.nanmean(again)
    cells = (
        *(world, strategy, f"{100 * trained.mean():.0f} %"),
        f"{regret.mean():.2f} / {np.quantile(regret, 0.95):.2f}",
        *(f"{bound.mean():.2f}", f"{100 * held.mean():.1f}", f"{ties.mean():.1f}", f"{100 * inside.mean():.1f}"),
        *(f"{correlation:.2f}", f"{100 * alike.mean():.0f}", foreseen, halfway),
        _where(misled, held),
    )
    return _row(cells)


def brief(world: str, rows: Mapping[str, Sequence[NDArray[np.float64]]]) -> str:
    """Return a line of Markdown about the race that is shipped beside the whole grid."""
    (shipped,) = (np.array(own) for strategy, own in rows.items() if strategy.startswith(SHIPPED))
    trained, regret, bound, held, ties, inside, _, _, foreseen, *_ = shipped.mean(axis=0)
    _, whole_regret, whole_bound, _, whole_ties, *_ = np.mean(rows[f"exhaustive, {EXHAUSTIVE} seeds"], axis=0)
    cells = (
        *(world, f"{100 * trained:.0f} %", f"{bound:.2f}", f"{whole_bound:.2f}", f"{bound / whole_bound:.2f} ×"),
        *(f"{100 * held:.1f}", f"{100 * inside:.1f}", f"{ties:.1f}", f"{whole_ties:.1f}"),
        *(f"{regret:.2f}", f"{whole_regret:.2f}", f"{100 * foreseen:.0f}"),
    )
    return _row(cells)


def _header(columns: Sequence[str]) -> str:
    return f"{_row(columns)}\n|{'---|' * len(columns)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _where(misled: NDArray[np.float64], held: NDArray[np.float64]) -> str:
    """Return how often short trainings are said to mislead, and in how many of those searches the bound held."""
    if np.isnan(misled).any():
        return ""
    inside = held[misled > 0]
    return f"{100 * misled.mean():.0f} ({100 * inside.mean():.0f})" if len(inside) else "0"


def recorded(rows: pd.DataFrame, held_out: int, random: np.random.Generator) -> World:  # noqa: ARG001 - as simulated
    """Return the world of a table."""
    return Recorded(rows, held_out)


def _of_small(*shares: float) -> bool:
    """Return whether a candidate is in the grid `small`: halves, and of quarters the one next to the paper's shares."""
    return shares == (0.25, 0.25, 0.5) or all(part in {0, 0.5, 1} for part in shares)


def worlds() -> dict[str, Callable[..., World]]:
    """Return what makes each world, by name."""
    plain = Simulation()
    apart = replace(plain, rough=True, agreement=-0.4)  # 0.02 at a fifth of the budget
    simulated = {
        "smooth": plain,
        "rough": replace(plain, rough=True),
        "short and long disagree": replace(plain, agreement=0.2),
        "short and long have nothing in common": apart,
        "short and long have nothing in common, as in the grid `small`": replace(apart, small=True),
        "noise = spread": replace(plain, noise=1.5),
        "noise = 2 × spread": replace(plain, noise=3.0),
        "noise half of what is foreseen": replace(plain, surprising=0.5),
        "noise twice what is foreseen": replace(plain, surprising=2.0),
        "best 2 × noisier": replace(plain, best_noise=2.0),
        "best 4 × noisier": replace(plain, best_noise=4.0),
        "heavy tails": replace(plain, tail=3.0),
        "5 % collapse": replace(plain, collapse=0.05),
        "all equal": replace(plain, equal=True),
        "21 candidates": replace(plain, divisions=5),
    }
    found: dict[str, Callable[..., World]] = {name: partial(Simulated, how) for name, how in simulated.items()}
    for file in sorted(TABLES.glob("*.csv.xz")):
        about = yaml.safe_load(file.with_suffix("").with_suffix(".yaml").read_text(encoding="utf-8"))
        held_out = about["images"]["held_out"]
        for task, rows in pd.read_csv(file).groupby("task"):
            found[str(task)] = partial(recorded, rows, held_out)
            small = [_of_small(*map(float, shares.split())) for shares in rows.shares]
            found[f"{task}, as in the grid `small`"] = partial(recorded, rows[small], held_out)
    return found


def main() -> None:
    """Replay, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=20, help="searches a row")
    parser.add_argument("--first", type=int, default=0, help="seed of the first pair")
    parser.add_argument("--at-a-time", type=int, default=1, help="trainings in a round of the race")
    parser.add_argument("--only", metavar="WORDS", help="worlds whose names have one of these words: cifar10,smooth")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.searches // 2)
    print(f"{asked.searches} searches a row, seeds {seeds[0]} to {seeds[-1]}, {asked.at_a_time} at a time\n")
    print(_header(COLUMNS))
    briefly = [_header(BRIEFLY)]
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))  # for processes that begin now
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        for name, make in worlds().items():
            if asked.only and not any(word in name for word in asked.only.split(",")):
                continue
            rows: dict[str, list[NDArray[np.float64]]] = {}
            for found in pool.map(partial(pair, make, asked.at_a_time), seeds):
                for strategy, shown in found:
                    rows.setdefault(strategy, []).append(shown)
            for strategy, own in rows.items():
                print(line(name, strategy, own), flush=True)
            briefly.append(brief(name, rows))
    print("", *briefly, sep="\n")


if __name__ == "__main__":
    main()
