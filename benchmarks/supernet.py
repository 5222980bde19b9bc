"""What the weights of a supernet say of members trained from scratch: is sharing weights worth its cost?

    python benchmarks/supernet.py --data FOLDER [--trainings 20 48] [--seeds 0 1] [--rules random single]
    python benchmarks/supernet.py --recorded

A supernet has one tensor for each parameter of a block of one kind, kernel and squeeze-excite, and a member takes a
leading slice of it. A step adds up the gradients of four random members of the band on one batch: the sandwich rule has
the largest and the smallest network beside two random ones, but here all cost the same, and the largest of the space
costs 92 of them. By the rule `single` a step takes one member. A supernet is trained by the recipe `search` at a rate
of its own, for as many steps as cost what so many one-epoch `--trainings` of members do; then each member of the table
that `record_space.py` recorded is judged with its weights, after batch-norm statistics are estimated anew.

Supernets are kept in `runs/tables/supernet.jsonl`, and the same command goes on from there. Those of the usual rate
are written to `benchmarks/tables/spaces/supernet.csv`, a row a member and a column a supernet, and what they cost to
`supernet.yaml`. With `--recorded` these are printed, and nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from itertools import chain, count, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import yaml
from record_space import EPOCHS, FLOPS, HERE, SPACE, images
from replay import load_replay
from scipy import stats
from tables.trainings import Wanted, finished, train
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from scalenet.model.builder import build
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.methods import fitted
from scalenet.spaces.space import load_space
from scalenet.training.averages import Averages
from scalenet.training.distributed import SINGLE
from scalenet.training.inputs import Inputs
from scalenet.training.optimizers import optimizer
from scalenet.training.recipe import change, load_recipe
from scalenet.training.scoring import score
from scalenet.training.statistics import NormStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from replay import Replay

    from scalenet.arch.spec import Model
    from scalenet.training.data import Splits
    from scalenet.training.recipe import Recipe

    Scores = NDArray[np.float64]
    Network = tuple[dict[str, str], nn.Module]
    """What each parameter is a slice of, by name, and the module that has them."""

RULES = {"single": 1, "random": 4}
"""How many members a step is made by."""

POOL = 400
"""Random members of the band that a supernet is trained by."""

STATISTICS = 512
"""Training images that a member's batch-norm statistics are estimated from."""

RATE = 0.001
RESAMPLED, FITS, BEST, TIMED = 500, 10, 10, 8
LOG, FACTS = Path("runs/tables/supernet.jsonl"), ("rule", "rate", "trainings", "seed")


def network(model: Model, classes: int) -> Network:
    """Return a member's module in training mode, and which tensor each of its parameters is a slice of."""
    module = build(model, classes=classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    keys = {name: _key(model, name, tuple(part.shape)) for name, part in module.named_parameters()}
    return keys, module


def _key(model: Model, name: str, shape: tuple[int, ...]) -> str:
    words = name.split(".")
    own = ""
    if words[0] == "stages":
        stage = model.stages[int(words[1])]
        options = stage.options()
        own = f" of {stage.block}, kernel {options.get('kernel')}, se {bool(options.get('se'))}"
    return f"{'/'.join(words)} {'x'.join(map(str, shape[2:]))}{own}"


def _slice(whole: Tensor, shape: torch.Size) -> Tensor:
    return whole[tuple(map(slice, shape))]


class Supernet(nn.ParameterDict):
    """The weights that networks share, as large as the largest slice of each."""

    def __init__(self, networks: Sequence[Network]) -> None:
        """Take the values that the networks begin with; where several begin, those of the last one."""
        parts = [(keys[name], part) for keys, own in networks for name, part in own.named_parameters()]
        sizes: dict[str, list[int]] = {}
        for key, part in parts:
            sizes[key] = [max(pair) for pair in zip(part.shape, sizes.get(key, part.shape), strict=True)]
        super().__init__({key: torch.zeros(size) for key, size in sizes.items()})
        with torch.no_grad():
            for key, part in parts:
                _slice(self[key], part.shape).copy_(part)

    def weights(self, network: Network) -> dict[str, Tensor]:
        """Return the slices that are a network's parameters, by name."""
        keys, module = network
        return {name: _slice(self[keys[name]], part.shape) for name, part in module.named_parameters()}

    @torch.no_grad()
    def given_to(self, network: Network) -> nn.Module:
        """Return the module of a network with its slices as its own parameters."""
        network[1].load_state_dict(self.weights(network), strict=False)
        return network[1]


def trained(shared: Supernet, step_members: Callable[[], list[Network]], inputs: Inputs, recipe: Recipe) -> None:
    """Train shared weights for the recipe's epochs: each step adds up the gradients of its members on one batch."""
    steps = recipe.epochs * inputs.batches
    averages, descent = Averages(shared, recipe.average, steps=steps), optimizer(shared, recipe)
    batches = chain.from_iterable(map(inputs.epoch, count()))
    for step, (batch, labels) in zip(range(steps), batches, strict=False):
        rate = recipe.rate(step, steps=steps, epoch_steps=inputs.batches, batch=inputs.batch_size)
        for group in descent.param_groups:
            group["lr"] = rate * group["factor"]
        descent.zero_grad()
        for member in step_members():
            logits = functional_call(member[1], shared.weights(member), batch)
            cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing).backward()  # type: ignore[no-untyped-call]
        descent.step()
        averages.update(step)
    shared.load_state_dict(averages.network.state_dict())


def judged(shared: Supernet, member: Network, inputs: Inputs, classes: int) -> float:
    """Return a member's accuracy on the held-out images with shared weights and statistics of its own."""
    module = shared.given_to(member)
    norms = NormStatistics(module, inputs.train, prepare=inputs.ready, seed=inputs.seed)
    norms.estimate(module, norms.free(module), STATISTICS)
    return score(module, inputs.validation, prepare=inputs.ready, classes=classes).top1


def drawing(rule: str, pool: Sequence[Network], random: np.random.Generator) -> list[Network]:
    """Return the members of a step."""
    return [pool[place] for place in random.choice(len(pool), RULES[rule], replace=False)]


def measured(facts: Mapping[str, Any], names: Sequence[str], splits: Splits) -> dict[str, Any]:
    """Train a supernet and judge members with its weights."""
    rule, rate, trainings, seed = (facts[name] for name in FACTS)
    recipe = change(load_recipe("search"), [("epochs", trainings // RULES[rule]), ("optimizer.lr", rate)])
    torch.manual_seed(seed)
    random, classes = np.random.default_rng([1, seed]), len(splits.classes)
    members = Membership(load_space(SPACE), read_limits(flops=FLOPS))
    drawn = members.draw(POOL, random).members
    models = [members.space.network(one.tolist()) for one in [*drawn, *members.array(names)]]
    networks = [network(model, classes) for model in models]
    pool, table = networks[:POOL], networks[POOL:]
    size = models[0].size
    layout, device = torch.channels_last, torch.device("cpu")
    inputs = Inputs(splits, recipe, size=size, seed=seed, world=SINGLE, device=device, layout=layout)
    shared = Supernet(networks)
    began = time.process_time()
    trained(shared, partial(drawing, rule, pool, random), inputs, recipe)
    between = time.process_time()
    found = [judged(shared, member, inputs, classes) for member in table]
    seconds = {"training_seconds": between - began, "judging_seconds": time.process_time() - between}
    return {**facts, "members": len(names), **seconds, "accuracies": dict(zip(names, found, strict=True))}


def short_seconds(names: Sequence[str], splits: Splits) -> float:
    """Return the processor's seconds of a one-epoch training, judged at its end, on average over some members."""
    members = Membership(load_space(SPACE), read_limits(flops=FLOPS))
    recipe = change(load_recipe("search"), [("epochs", EPOCHS["short"]), ("evaluate_every", 0)])
    began = time.process_time()
    for name in names:
        train(Wanted(SPACE, "images", "short", name, members.config(name), recipe, 0), splits, "cpu")
    return (time.process_time() - began) / len(names)


def write(names: Sequence[str], splits: Splits) -> None:
    """Write the finished supernets that are trained at the usual rate, and what they cost."""
    records = [one for one in finished(LOG) if one["rate"] == RATE and one["members"] == len(names)]
    records = sorted(records, key=lambda one: [one[name] for name in FACTS])
    table = pd.DataFrame({"member": names})
    for one in records:
        table[f"{one['rule']}-{one['trainings']}-{one['seed']}"] = [one["accuracies"][name] for name in names]
    table.to_csv(HERE / "supernet.csv", index=False)
    costs = {name: [round(one[name], 1) for one in records] for name in ("training_seconds", "judging_seconds")}
    about = {
        "supernets": [*table.columns[1:]],
        **costs,
        "short_training_seconds": round(short_seconds(names[:TIMED], splits), 2),
    }
    (HERE / "supernet.yaml").write_text(yaml.safe_dump(about, sort_keys=False, width=120), encoding="utf-8")


def predicted(features: Scores, scores: Scores, trained: int, random: np.random.Generator) -> Scores:
    """Return what ridge regression on so many random members' scores says of the others, nan for these members."""
    places = random.choice(len(scores), trained, replace=False)
    found = fitted(features[places], scores[places])(features)
    found[places] = np.nan
    return found


def standard(scores: Scores) -> Scores:
    """Return scores as standard deviations from their mean, a column each."""
    found: Scores = (scores - np.nanmean(scores, axis=0)) / np.nanstd(scores, axis=0)
    return found


def agreement(scores: Scores, truth: Scores) -> float:
    """Return the rank correlation of columns of scores with the truth, on average; nan is left out."""
    found = []
    for column in scores.T:
        known = ~np.isnan(column)
        found.append(np.corrcoef(stats.rankdata(column[known]), stats.rankdata(truth[known]))[0, 1])
    return float(np.mean(found))


def rows(replay: Replay, table: pd.DataFrame, about: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row of Markdown about each way of judging members, with 95 % intervals over members."""
    full, short, random = replay.scores, replay.others, np.random.default_rng(0)
    truth, features = full.mean(axis=1), replay.members.features(replay.members.listed)
    both = stats.spearmanr(*full.T).statistic
    reliable = 2 * both / (1 + both)  # of the mean of two trainings (Spearman-Brown)
    resampled = [random.integers(len(truth), size=len(truth)) for _ in range(RESAMPLED)]
    once = np.array([agreement(short[drawn], truth[drawn]) for drawn in resampled])

    def row(name: str, cost: float, scores: Scores) -> str:
        own = np.array([agreement(scores[drawn], truth[drawn]) for drawn in resampled])
        (low, high), (least, most) = (np.quantile(one, (0.025, 0.975)) for one in (own, own - once))
        found = agreement(scores, truth)
        best = np.mean([truth[np.argsort(-np.nan_to_num(column, nan=-np.inf))[:BEST]].mean() for column in scores.T])
        less = f"{found - agreement(short, truth):+.2f} ({least:+.2f} to {most:+.2f})"
        cells = name, f"{cost:.0f}", f"{found:.2f} ({low:.2f} to {high:.2f})", f"{found / reliable**0.5:.2f}", less
        return f"| {' | '.join(cells)} | {best:+.2f} |"

    yield row("one epoch, one seed", len(truth), short)
    yield row("one epoch, both seeds", 2 * len(truth), short.mean(axis=1, keepdims=True))
    predictions = {}
    for trained in (50, 100, 200):
        columns = [predicted(features, short[:, fit % 2], trained, random) for fit in range(FITS)]
        predictions[trained] = np.column_stack(columns)
        yield row(f"predictor, of {trained} members' one epoch", trained, predictions[trained])
    yield row("parameters", 0, replay.members.counts(replay.members.listed)["params"][:, None].astype(float))
    seconds = np.add(about["training_seconds"], about["judging_seconds"]) / about["short_training_seconds"]
    costs = dict(zip(about["supernets"], seconds.tolist(), strict=True))
    kinds = dict.fromkeys(name.rsplit("-", 1)[0] for name in about["supernets"])
    for kind in kinds:
        names = [name for name in about["supernets"] if name.rsplit("-", 1)[0] == kind]
        rule, trainings = kind.split("-")
        cost, own = float(np.mean([costs[name] for name in names])), table[names].to_numpy()
        title = f"supernet, {rule}, {trainings} trainings"
        yield row(f"{title}, one seed", cost, own)
        if len(names) > 1:
            two = stats.spearmanr(*own.T).statistic
            yield row(f"{title}, mean of two (which agree by {two:.2f})", 2 * cost, own.mean(axis=1, keepdims=True))
        for what, trained, others in (
            ("one epoch", len(truth), short),
            ("the predictor of 100", 100, predictions[100]),
        ):
            joined = standard(own[:, np.arange(others.shape[1]) % len(names)]) + standard(others)
            yield row(f"{title}, and {what}", cost + trained, joined)


def main() -> None:
    """Train what is left and print the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, help="folder of class folders with CIFAR-10's images")
    options.add_argument("--trainings", type=int, nargs="+", default=[20, 48], help="multiples of four")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--rules", nargs="+", default=["random"])
    options.add_argument("--rates", type=float, nargs="+", default=[RATE])
    options.add_argument("--members", type=int, help="judge so many of the table's members only, to compare rates")
    options.add_argument("--recorded", action="store_true")
    given = options.parse_args()
    if given.data is None and not given.recorded:
        options.error("--data is needed, or --recorded")
    replay = load_replay(SPACE, "full")
    if not given.recorded:
        torch.set_num_threads(1)
        names, splits = replay.members.names[: given.members], images(given.data)
        known = {json.dumps([one[name] for name in (*FACTS, "members")]) for one in finished(LOG)}
        LOG.parent.mkdir(parents=True, exist_ok=True)
        for values in product(given.rules, given.rates, given.trainings, given.seeds):
            if json.dumps([*values, len(names)]) in known:
                continue
            record = measured(dict(zip(FACTS, values, strict=True)), names, splits)
            with LOG.open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
            print(*values, f"{100 * np.mean([*record['accuracies'].values()]):.2f} %", flush=True)
        if given.members is None:
            write(names, splits)
    table = pd.read_csv(HERE / "supernet.csv", index_col="member").loc[replay.members.names]
    about = yaml.safe_load((HERE / "supernet.yaml").read_text(encoding="utf-8"))
    titles = "judged by | cost | rank correlation | of members | less one epoch's | best ten"
    print(f"| {titles} |\n|{'---|' * 6}", *rows(replay, table, about), sep="\n")


if __name__ == "__main__":
    main()
