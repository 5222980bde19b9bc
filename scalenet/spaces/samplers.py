"""Samplers of Optuna as methods: each proposal is brought to the nearest member that meets the limits.

A sampler hears all results anew for each round and keeps nothing of its own, so that a round follows from the rounds
before it alone. Those that learn from trials of their own making alone, as evolution and CMA-ES do there, begin anew
in each round; TPESampler and GPSampler learn from all trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.arch.errors import ScalenetError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from scalenet.spaces.costs import Members
    from scalenet.spaces.members import Membership

PREFIX = "optuna:"

MOST_ASKED = 500
"""Proposals in a round; of some no member is near that meets the limits."""

_OPTIONS: dict[str, dict[str, Any]] = {"TPESampler": {"multivariate": True, "constant_liar": True}}
"""Each other parameter is the sampler's default. Proposals of a round do not know each other's results."""


def check_sampler(method: str) -> str:
    """Return Optuna's version; raise ScalenetError where it is missing, or has no such sampler."""
    optuna = _optuna()
    known = [name for name in dir(optuna.samplers) if name.endswith("Sampler") and not name.startswith("Base")]
    name = method.removeprefix(PREFIX)
    if name not in known:
        hint = nearest(name, known) or f"there are {', '.join(known)}"
        raise ScalenetError(f"--method {method}: Optuna has no such sampler", hint=hint)
    _sampler(name, seed=0)
    return str(optuna.__version__)


def sampled(
    members: Membership, known: Members, scores: NDArray[np.float64], random: Generator, method: str
) -> Iterator[NDArray[np.int64]]:
    """Yield what a sampler proposes after the known members with finite scores, made to meet the limits."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = _sampler(method.removeprefix(PREFIX), seed=int(random.integers(2**31)))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for member, score in zip(known, scores.tolist(), strict=True):
        if np.isfinite(score):
            study.add_trial(optuna.trial.create_trial(value=score, **_told(optuna, members, member)))
    seen = {members.network(member) for member in known}
    for _ in range(MOST_ASKED):
        trial = study.ask()
        asked = [_asked(trial, place, genes) for place, genes in enumerate(members.genes)]
        found = members.nearest(np.array(asked, dtype=np.int64), seen)
        if found is not None:
            seen.add(members.network(found))
            yield found


def _told(optuna: Any, members: Membership, member: NDArray[np.int64]) -> dict[str, Any]:
    """Return the choices of a member as a trial has them."""
    params, distributions = {}, {}
    for place, genes in enumerate(members.genes):
        for gene, value in enumerate(genes[member[place]].tolist()):
            if value >= 0:
                params[f"{place}.{gene}"] = value
                distributions[f"{place}.{gene}"] = optuna.distributions.CategoricalDistribution(_choices(genes, gene))
    return {"params": params, "distributions": distributions}


def _asked(trial: Any, place: int, genes: NDArray[np.int64]) -> int:
    """Return the variant of a stage that a trial suggests: the block first, then the choices that it has."""
    left = np.arange(len(genes))
    for gene in range(genes.shape[1]):
        if genes[left[0], gene] >= 0:
            value = trial.suggest_categorical(f"{place}.{gene}", _choices(genes, gene))
            left = left[genes[left, gene] == value]
    return int(left[0])


def _choices(genes: NDArray[np.int64], gene: int) -> list[int]:
    return list(range(int(genes[:, gene].max()) + 1))


def _sampler(name: str, *, seed: int) -> Any:
    try:
        return getattr(_optuna().samplers, name)(seed=seed, **_OPTIONS.get(name, {}))
    except (TypeError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise ScalenetError(f"--method {PREFIX}{name}: cannot be made of a seed alone: {reason}") from None


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415 - an extra
    except ImportError:
        hint = "pip install 'scalenet-torch[optuna]'"
        raise ScalenetError("--method optuna:… needs Optuna, which is not installed", hint=hint) from None
    return optuna
