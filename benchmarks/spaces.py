"""How fast members of spaces are costed, and what finds good ones in how many trainings.

    python benchmarks/spaces.py --speed
    python benchmarks/spaces.py --regret [--searches 20] [--methods random mixture …] [--noise 0.3 1]
    python benchmarks/spaces.py --table small_images [--kind short] [--searches 400] [--methods …]

With `--speed` a row a space: seconds to count all stages, members costed a second on one core, the share inside the
band, and seconds to draw 50 members of it. With `--regret` a row a method and a noise: how far below the best member of
the band the pick lies, in points, after 20, 50, 100 and 150 trainings, on synthetic landscapes over `mnasnet` at
400M±2% (see `landscapes.py`), with the standard error, and the share of trainings inside the band. The pick is
the member with the best single score inside the band. `reward` is evolution on the paper's ACC × (FLOPs / T)^-0.07
without a band. Where Optuna is installed `optuna:TPESampler` proposes as `--method` has it, and `tpe` and `nsga2` are
its samplers with the band as a constraint. With `--table` the searches are replayed on a recorded table of trained
members (see `replay.py`).
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from landscapes import Landscape, landscape
from replay import Replay, load_replay

from scalenet.search.rungs.hunt import BATCH, FIRST, reward_factor
from scalenet.spaces.costs import tables_of
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.methods import METHODS, propose
from scalenet.spaces.samplers import PREFIX
from scalenet.spaces.space import load_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from scalenet.spaces.costs import Members

BANDS = {"mnasnet": "400M±2%", "small_images": "5M±2%"}
MEMBERS = 1_000_000
TRAININGS = (20, 50, 100, 150)
PROPOSED = 50
"""Up to this training members are looked at as a whole, beside the pick: that says less of luck."""

WIDE = "1M..100G"

Scores: TypeAlias = "NDArray[np.float64]"

Run: TypeAlias = "tuple[Members, Scores]"
"""Members in the order of their trainings, and their scores."""

Train: TypeAlias = "Callable[[Members], Scores]"
"""Gives one training's score of each member."""


def speed(name: str, band: str) -> str:
    """Return a row of Markdown about a space and a band."""
    space, random = load_space(name), np.random.default_rng(0)
    began = time.perf_counter()
    tables = tables_of(space)
    counted = time.perf_counter()
    drawn = np.column_stack([random.integers(number, size=MEMBERS) for number in space.variants])
    start = time.perf_counter()
    costs = tables.costs(drawn)
    seconds = time.perf_counter() - start
    members = Membership(space, read_limits(flops=band), tables)
    start = time.perf_counter()
    members.draw(50, random)
    took = time.perf_counter() - start
    share = float((members.limits.violations(costs) <= 0).mean())
    return f"| {name} | {counted - began:.2f} | {MEMBERS / seconds:,.0f} | {band} | {100 * share:.1f} % | {took:.4f} |"


def noisy(truth: Landscape, noise: float, random: Generator) -> Train:
    """Return what gives a landscape's scores with the noise of a training."""
    return lambda members: truth(members) + noise * random.normal(size=len(members))


def batches(
    members: Membership,
    train: Train,
    random: Generator,
    method: Any,
    score: Callable[[Members, Scores], Scores] = lambda _, scores: scores,
) -> Run:
    """Return a search as `baseline-search` does it: random members first, then batches that a method proposes."""
    known = members.draw(FIRST, random).members
    scores = train(known)
    while len(known) < TRAININGS[-1]:
        wanted = min(BATCH, TRAININGS[-1] - len(known))
        new = np.array([one.member for one in propose(members, known, score(known, scores), wanted, random, method)])
        known = np.concatenate([known, new])
        scores = np.concatenate([scores, train(new)])
    return known, scores


def by_reward(truth: Landscape, noise: float, random: Generator) -> Run:
    """Return a search by the paper's reward: evolution in the whole space."""
    own = truth.members
    whole = Membership(own.space, read_limits(flops=WIDE), own.tables)

    def reward(members: Members, scores: Scores) -> Scores:
        flops = own.counts(members)["flops"].tolist()
        found: Scores = scores * np.array([reward_factor(one, own.limits.target) for one in flops])
        return found

    return batches(whole, noisy(truth, noise, random), random, "evolution", reward)


def by_optuna(
    own: Membership,
    train: Train,
    random: Generator,
    name: str,
    meant: Callable[[NDArray[np.int64], list[list[int]]], NDArray[np.int64]] | None = None,
) -> Run:
    """Return a search by Optuna: with the band as a constraint, or with the members that are `meant` by proposals."""
    import optuna  # noqa: PLC0415 - is installed for this comparison only

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int(random.integers(2**31))

    def violation(trial: Any) -> tuple[float]:
        return (float(trial.user_attrs["violation"]),)

    more: dict[str, Any] = {"seed": seed} | ({} if meant else {"constraints_func": violation})
    samplers: dict[str, Callable[[], Any]] = {
        "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, **more),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=20, **more),
    }
    known: list[list[int]] = []
    scores: list[float] = []

    def objective(trial: Any) -> float:
        member = []
        for stage in range(len(own.space.stages)):
            kinds, widths, depths = own.space.shape(stage)
            parts = [
                trial.suggest_categorical(f"{what}{stage}", range(size))
                for what, size in (("k", kinds), ("w", widths), ("d", depths))
            ]
            member.append((parts[0] * widths + parts[1]) * depths + parts[2])
        array = np.array(member)
        trial.set_user_attr("violation", float(own.limits.violations(own.tables.costs(array[None]))[0]))
        if meant is not None:
            array = meant(array, known)
        known.append(array.tolist())
        scores.append(float(train(array[None])[0]))
        return scores[-1]

    study = optuna.create_study(direction="maximize", sampler=samplers[name]())
    study.optimize(objective, n_trials=TRAININGS[-1])
    return np.array(known), np.array(scores)


def found(truth: Landscape, run: Run) -> tuple[list[float], float]:
    """Return the true accuracy of the pick after so many trainings each, and the share of trainings inside the band."""
    members, scores = run
    inside = truth.members.limits.violations(truth.members.tables.costs(members)) <= 0
    true = truth(members)
    picks = []
    for count in TRAININGS:
        seen = np.where(inside[:count], scores[:count], -np.inf)
        picks.append(float(true[np.argmax(seen)]) if inside[:count].any() else np.nan)
    return picks, float(inside.mean())


def searched(truth: Landscape, method: str, noise: float, seed: int) -> Run:
    """Return a search by a method."""
    random = np.random.default_rng([1, seed])
    if method == "reward":
        return by_reward(truth, noise, random)
    train = noisy(truth, noise, random)
    if method in METHODS or method.startswith(PREFIX):
        return batches(truth.members, train, random, method)
    return by_optuna(truth.members, train, random, method)


def regrets(methods: Sequence[str], noises: Sequence[float], searches: int) -> Iterator[str]:
    """Yield a row of Markdown about each method and noise."""
    members = Membership(load_space("mnasnet"), read_limits(flops=BANDS["mnasnet"]))
    truths = [landscape(members, seed) for seed in range(searches)]
    best = [truth.best(np.random.default_rng([2, seed])) for seed, truth in enumerate(truths)]
    for noise, method in product(noises, methods):
        picks, inside = [], []
        for seed, truth in enumerate(truths):
            true, share = found(truth, searched(truth, method, noise, seed))
            picks.append(true)
            inside.append(share)
        table = np.array(best)[:, None] - np.array(picks)
        errors = np.nanstd(table, axis=0, ddof=1) / np.sqrt((~np.isnan(table)).sum(axis=0))
        means = np.nanmean(table, axis=0)
        cells = " | ".join(f"{mean:.2f} ± {error:.2f}" for mean, error in zip(means, errors, strict=True))
        yield f"| {method} | {noise:g} | {cells} | {100 * np.mean(inside):.0f} % |"


def replayed(table: Replay, method: str, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Scores]:
    """Return a search on a recorded table: members' rows in the order of their trainings, the seeds of their trainings
    that it has not seen, and the scores that it has.
    """
    random, members = np.random.default_rng([1, seed]), table.members
    seen = random.integers(2, size=len(table.scores))

    def train(new: Members) -> Scores:
        places = members.places_of(new)
        found: Scores = table.scores[places, seen[places]]
        return found

    def meant(member: NDArray[np.int64], known: list[list[int]]) -> NDArray[np.int64]:
        found = members.nearest(member, {members.network(np.array(one)) for one in known})
        assert found is not None, "all members of the table are trained"
        return found

    if method in METHODS or method.startswith(PREFIX):
        run = batches(members, train, random, method)
    else:
        run = by_optuna(members, train, random, method, meant)
    places = members.places_of(run[0])
    return places, 1 - seen[places], run[1]


def table_rows(table: Replay, methods: Sequence[str], searches: int) -> Iterator[str]:
    """Yield a row of Markdown about each method: how far its picks are below the best member, and how far the members
    that it proposes first are above the mean of all.
    """
    for method in methods:
        found = [replayed(table, method, seed) for seed in range(searches)]
        places, seeds, scores = (np.array(part) for part in zip(*found, strict=True))
        rows, cells = np.arange(searches), []
        for count in TRAININGS:
            picks = scores[:, :count].argmax(axis=1)
            mean, error = table.judged(places[rows, picks], seeds[rows, picks])
            cells.append(f"{table.best - mean:.2f} ± {error:.2f}")
        proposed = slice(FIRST, PROPOSED)
        mean, error = table.judged(places[:, proposed].ravel(), seeds[:, proposed].ravel())
        yield f"| {method} | {' | '.join(cells)} | {mean:+.2f} ± {error:.2f} |"


def main() -> None:
    """Print what was asked for."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--speed", action="store_true", help="how fast members are costed")
    options.add_argument("--regret", action="store_true", help="what finds good members in how many trainings")
    options.add_argument("--table", metavar="SPACE", help="the same on a recorded table of that space")
    options.add_argument("--kind", choices=["short", "full"], default="short", help="trainings of the table")
    options.add_argument("--searches", type=int, help="searches a row: 20, on a recorded table 400")
    options.add_argument("--methods", nargs="+")
    options.add_argument("--noise", nargs="+", type=float, default=[0.3, 1.0], help="of one training, in points")
    given = options.parse_args()
    if given.speed:
        for name, band in BANDS.items():
            print(speed(name, band), flush=True)
    if given.regret:
        for row in regrets(given.methods or [*METHODS, "reward"], given.noise, given.searches or 20):
            print(row, flush=True)
    if given.table:
        table = load_replay(given.table, given.kind)
        print(*table.facts(), sep="\n", flush=True)
        for row in table_rows(table, given.methods or METHODS, given.searches or 400):
            print(row, flush=True)


if __name__ == "__main__":
    main()
