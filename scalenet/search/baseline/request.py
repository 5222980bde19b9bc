"""The request of a search for a baseline: what was asked for, with all defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError, nearest
from scalenet.search.request import TRAIN, Request, check_recorded, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalenet.arch.spec import Architecture
    from scalenet.search.baseline.plan import BaselinePlan
    from scalenet.spaces.latencies import Latencies
    from scalenet.spaces.space import Space
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Layout

FOLDER = Path("runs/baseline-search")
"""Where a search is unless its folder is named."""

LEAST_TRIALS = 5
OBJECTIVES = ("accuracy", "paper")

_OWN = ("space", "flops", "params", "memory", "latency", "latencies", "method", "trials", "objective")


@dataclass(frozen=True, kw_only=True)
class BaselineRequest:
    """What a search for a baseline is asked for: see `scalenet.baseline_search` for each of them."""

    space: str | Path | Space = "small_images"
    flops: int | str | None = None
    params: int | str | None = None
    memory: int | str | None = None
    latency: str | None = None
    latencies: str | Path | Latencies | None = None
    method: str = "mixture"
    trials: int | None = None
    objective: str = "accuracy"
    data: str | Path | None = None
    resolution: int | tuple[int, int] | str | None = None
    classes: int | None = None
    evaluate: str | Callable[..., Any] = TRAIN
    images: int | None = None
    held_out: float | None = None
    layout: Layout | None = None
    strict: bool = False
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    recipe: str | Path | Recipe | None = None
    changes: Sequence[str] | Mapping[str, Any] | None = None
    seed: int = 0
    seeds: int = 4
    time_limit: float | str | None = None
    workers: int | None = None
    threads: int = 1
    device: str | None = None
    keep_models: bool = False
    grace: int = 60

    def __post_init__(self) -> None:
        """Refuse what no search for a baseline can do."""
        if self.flops is None:
            hint = "--flops 400M±2% says how much; `scalenet spaces` lists what those of each space cost"
            raise ScalenetError("members must cost the same to compare", hint=hint)
        from scalenet.arch.validation import at_least  # noqa: PLC0415 - brings pydantic
        from scalenet.spaces.methods import METHODS  # noqa: PLC0415 - brings NumPy, and a command reads this for its help
        from scalenet.spaces.samplers import PREFIX, check_sampler  # noqa: PLC0415

        methods = [*METHODS, f"{PREFIX}TPESampler"]
        if self.method.startswith(PREFIX):
            check_sampler(self.method)
            methods = [self.method]
        for option, value, known in (("method", self.method, methods), ("objective", self.objective, [*OBJECTIVES])):
            if value not in known:
                raise ScalenetError(
                    f"--{option}: {value!r} is not known", hint=nearest(value, known) or f"known: {', '.join(known)}"
                )
        if self.trials is not None:
            at_least(LEAST_TRIALS, trials=self.trials)
        if self.epochs is not None:
            at_least(2, epochs=self.epochs)
        if self.evaluate != TRAIN and self.epochs is None:
            raise ScalenetError("short trainings come first, of a fifth of the epochs", hint="--epochs says how many")
        if isinstance(self.evaluate, str) and self.evaluate.startswith("table:"):
            raise ScalenetError("--evaluate table: no table knows all members", hint="give a command or a function")

    def recorded(self) -> dict[str, Any]:
        """Return it as a storage keeps it; what the plan has in full is named only."""
        return recorded(self)

    @classmethod
    def again(cls, recorded: Mapping[str, Any], plan: BaselinePlan) -> BaselineRequest:
        """Return the request of a search that was begun: space, recipe and evaluator are those of its plan.

        Raise ScalenetError where another version of scalenet recorded what this one does not know.
        """
        check_recorded(recorded, cls)
        own: dict[str, Any] = {
            "space": plan.hunt.space,
            "latencies": plan.hunt.latencies,
            "evaluate": plan.evaluate,
            "resolution": None,
        }
        if plan.recipe is not None:
            own |= {"recipe": plan.recipe} | dict.fromkeys(("changes", "epochs", "batch_size", "learning_rate"))
        return cls(**{**recorded, **own})

    def trained(self, base: Architecture) -> Request:
        """Return what the trainings need of it; `base` stands for all members."""
        shared = {one.name for one in fields(self)} & {one.name for one in fields(Request)} - {*_OWN, "time_limit"}
        return Request(base=base, **{name: getattr(self, name) for name in shared})
