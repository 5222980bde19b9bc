"""The request of a search: what was asked for, with all defaults; a command and a call of the library fill it in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.scaling.scaler import Network
    from scalenet.search.plan import Plan
    from scalenet.search.space.grids import Grid
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Layout

FOLDER = Path("runs/grid-search")
"""Where a search is unless its folder is named."""

EMBEDDED_BASE = "small_resnet"
"""The baseline that was made for the rendered images."""

TRAIN = "train"
"""The evaluator that is scalenet's own training."""

_OWN = ("data", "layout", "strict", "images", "held_out", "folds", "batch_size", "recipe", "changes", "keep_models")
_RACES = ("spend", "within", "time_limit")
_LEAST = {"images": 2, "folds": 2, "batch_size": 2, "seed": 0} | dict.fromkeys(
    ("classes", "epochs", "seeds", "halving", "workers", "threads", "grace"), 1
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a search is asked for: see `scalenet.grid_search` for each of them."""

    base: Network = EMBEDDED_BASE
    data: str | Path | None = None
    grid: str | Path | Grid | None = None
    resolution: int | tuple[int, int] | str | None = None
    classes: int | None = None
    evaluate: str | Callable[..., Any] = TRAIN
    images: int | None = None
    held_out: float | None = None
    folds: int | None = None
    layout: Layout | None = None
    strict: bool = False
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    rates: Sequence[float] | str | None = None
    recipe: str | Path | Recipe | None = None
    changes: Sequence[str] | Mapping[str, Any] | None = None
    objective: str = "accuracy"
    max_params: int | str | None = None
    max_activations: int | str | None = None
    max_latency: float | str | None = None
    seed: int = 0
    seeds: int = 4
    halving: int | None = None
    spend: float | None = None
    within: float | None = None
    time_limit: float | str | None = None
    workers: int | None = None
    threads: int = 1
    device: str | None = None
    proxies: bool = False
    keep_models: bool = False
    grace: int = 60

    def __post_init__(self) -> None:
        """Refuse numbers that are too small, and what the evaluator does not use."""
        for name, least in _LEAST.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value >= least):
                raise ScalenetError(f"{_option(name)}: {value!r} is not a whole number from {least} on")
        for name in ("learning_rate", *_RACES):
            value = getattr(self, name)
            written = name == "time_limit" and isinstance(value, str)
            if not (value is None or written or _is_above_zero(value)):
                raise ScalenetError(f"{_option(name)}: {value!r} is not a number above 0")
        if self.halving is not None and self.races:
            raise ScalenetError(f"--halving and {self.races[0]} are two ways to search: give one of them")
        if self.evaluate == TRAIN and self.classes:
            raise ScalenetError("--classes is for other evaluators: classes are those of the images")
        unused = [name for name in _OWN if self.evaluate != TRAIN and getattr(self, name)]
        if unused:
            hint = "it may keep its models in the folder that it is told" if unused == ["keep_models"] else None
            message = f"{_option(unused[0])} is for scalenet's own training, and --evaluate has its own"
            raise ScalenetError(message, hint=hint)
        if self.layout is not None and self.data is None:
            raise ScalenetError("--layout is for the images of --data")
        self._check_folds()
        self._check_rates()

    def _check_folds(self) -> None:
        """Refuse folds that do not go with what else is asked for."""
        if self.folds is None:
            return
        if self.data is None:
            raise ScalenetError("--folds is for the images of --data: of rendered ones there are as many as are wanted")
        if self.held_out is not None:
            raise ScalenetError("--folds and --held-out are two ways to hold images out: give one of them")
        if self.keep_models:
            raise ScalenetError(
                "--keep-models with --folds: nothing could tell later which images a network was trained on",
                hint="leave --folds out, or train the winner with `scalenet train`",
            )
        if self.folds > self.seeds:
            raise ScalenetError(
                f"--folds {self.folds} with {self.seeds} seeds: a fold is held out by a seed of its own",
                hint=f"give --seeds {self.folds} or more, or --folds {self.seeds}",
            )

    def _check_rates(self) -> None:
        """Refuse rates that are none, too few for a pilot, or given beside the one that is to be taken."""
        rates = self.pilot_rates
        if rates is None:
            return
        from scalenet.search.rungs.pilot import LEAST_RATES  # noqa: PLC0415 - a command reads this file to show its help

        if self.fixes_rate:
            given = "--learning-rate" if self.learning_rate is not None else "--set optimizer.lr"
            raise ScalenetError(f"--rates and {given}: give one of them", hint="a pilot finds the rate, or it is given")
        if wrong := [rate for rate in rates if not _is_above_zero(rate)]:
            raise ScalenetError(f"--rates: {wrong[0]!r} is not a number above 0")
        if len(set(rates)) < max(LEAST_RATES, len(rates)):
            raise ScalenetError(
                f"--rates: {LEAST_RATES} or more different ones are wanted", hint="such as 0.01,0.03,0.1"
            )

    @property
    def pilot_rates(self) -> tuple[Any, ...] | None:
        """The rates that the pilot is to try first; None where they are not given."""
        rates = self.rates
        if isinstance(rates, str):
            return tuple(_number(text) for text in rates.split(","))
        return None if rates is None else tuple(rates)

    @property
    def fixes_rate(self) -> bool:
        """Whether the learning rate is given, by itself or among the changes of the recipe."""
        changes = self.changes or ()
        keys = changes if isinstance(changes, Mapping) else [str(text).partition("=")[0].strip() for text in changes]
        return self.learning_rate is not None or "optimizer.lr" in keys

    @property
    def races(self) -> list[str]:
        """The options given that ask for a race."""
        return [_option(name) for name in _RACES if getattr(self, name) is not None]

    def recorded(self) -> dict[str, Any]:
        """Return it as a storage keeps it; what the plan has in full is named only."""
        return recorded(self)

    @classmethod
    def again(cls, recorded: Mapping[str, Any], plan: Plan) -> Request:
        """Return the request of a search that was begun: baseline, grid, recipe and evaluator are those of its plan.

        Raise ScalenetError where another version of scalenet recorded what this one does not know.
        """
        check_recorded(recorded, cls)
        own: dict[str, Any] = {
            "base": plan.baseline,
            "grid": plan.grid,
            "evaluate": plan.evaluate,
            "resolution": None,
            "rates": None if plan.pilot is None else plan.pilot.rates,
        }
        if plan.recipe is not None:
            own |= {"recipe": plan.recipe} | dict.fromkeys(("changes", "epochs", "batch_size"))
            own["learning_rate"] = plan.recipe.optimizer.lr if plan.pilot is None else None
        return cls(**{**recorded, **own})


def recorded(request: Any) -> dict[str, Any]:
    """Return a request as a storage keeps it; what the plan has in full is named only."""
    found = {field.name: _named(getattr(request, field.name)) for field in fields(request)}
    return found | ({} if request.data is None else {"data": str(Path(request.data).absolute())})


def check_recorded(recorded: Mapping[str, Any], kind: Any) -> None:
    """Raise ScalenetError where another version of scalenet recorded what this one does not know, or lacks it."""
    unknown = sorted(recorded.keys() - {field.name for field in fields(kind)})
    if unknown or not recorded:
        told = f": {', '.join(unknown)} not known here" if unknown else ""
        raise ScalenetError(
            f"the search was begun by another version of scalenet{told}",
            hint="that version goes on with it, and `search results` reads it",
        )


def _is_above_zero(value: Any) -> bool:
    """Return whether a value is a finite number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf


def _number(text: str) -> float | str:
    """Return the number that a text is, or else the text."""
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _option(name: str) -> str:
    """Return what the command calls an option."""
    return f"--{'set' if name == 'changes' else name.replace('_', '-')}"


def _named(value: Any) -> Any:
    """Return a value as JSON has it: a path as other processes find it, a record or a function by its name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple):
        return list(value)
    return str(getattr(value, "name", value))
