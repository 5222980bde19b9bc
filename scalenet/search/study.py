"""A study: a search in a folder, which goes on where it stopped.

The folder holds `search.yaml` (everything that the results follow from), `base.yaml` (the baseline as it was searched),
`candidates/NAME.yaml` (each candidate's config), `results.jsonl` (a line a finished training, written as it finishes),
`curves.jsonl` (accuracies on the way, of evaluators that report some), `jobs/NAME_seedN/` (a job's logs and
checkpoints), `proxies.csv` (training-free scores, where they are wanted), `candidates.csv` (the table so far), and,
once all is trained, `coefficients.yaml`.
"""

from __future__ import annotations

import glob
import json
import math
import os
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data, digest, read_record, save, write_text
from scalenet.arch.convention import CONVENTION
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.spec import Architecture, Model, Record, as_tuple
from scalenet.search.coefficients import Coefficients, Evidence, Tie, save_coefficients
from scalenet.search.evaluators import Job, Result
from scalenet.search.grids import Grid
from scalenet.search.objective import Objective
from scalenet.search.ranking import agreement, rank
from scalenet.search.workers import evaluated
from scalenet.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from scalenet.search.candidates import Candidate
    from scalenet.search.evaluators import Evaluator, Report
    from scalenet.search.ranking import Ranking


PROXIES = ("synflow", "naswot", "zen")
"""Training-free scores (see `proxies`)."""


class Images(Record):
    """The images of a search, by name, digest and number."""

    name: str
    digest: str
    train: int
    validation: int
    classes: int


class Plan(Record):
    """Everything that the results of a search follow from; a folder holds the results of one plan.

    `evaluate` is the evaluator, as text. Images and recipe are those of scalenet's own trainings; another evaluator has
    a `budget`. `candidates` are the digests of the networks by name; `versions` those of scalenet and torch. A folder's
    plan may get other seeds, another objective and a grid of the same candidates later: each result belongs to one
    candidate and one seed.
    """

    schema_: Literal["scalenet-search/1"] = Field(alias="schema")
    base: str
    model: Model
    grid: Grid
    objective: Objective = Objective()
    evaluate: str = "train"
    budget: int | None = None
    recipe: Recipe | None = None
    images: Images | None = None
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple)]
    device: str = "cpu"
    threads: int = 1
    candidates: dict[str, str]
    versions: dict[str, str]

    def judged(self) -> str:
        """Return what the accuracies belong to, in words."""
        return "and this evaluator" if self.images is None else f"on {self.images.name} with this recipe"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened in a run: a job is `fraction` done, with an `accuracy` if known, or finished with `result`."""

    job: Job
    fraction: float
    accuracy: float | None = None
    result: Result | None = None


def discard(folder: Path) -> None:
    """Remove a study's files from a folder, and nothing else that lies there."""
    candidates = list((folder / "candidates").glob("*.yaml"))
    for candidate in candidates:
        for job in (folder / "jobs").glob(f"{glob.escape(candidate.stem)}_seed*"):
            shutil.rmtree(job)
    own = (
        "base.yaml",
        "results.jsonl",
        "curves.jsonl",
        "proxies.csv",
        "candidates.csv",
        "coefficients.yaml",
        "search.yaml",
    )
    for path in [*(folder / name for name in own), *candidates]:
        path.unlink(missing_ok=True)
    for below in (folder / "candidates", folder / "jobs"):
        if below.is_dir() and not any(below.iterdir()):
            below.rmdir()


class Study:
    """The candidates of a plan, their trainings, and what is known of them so far."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        candidates: Sequence[Candidate],
        evaluator: Evaluator,
        *,
        rounding: str,
        force: bool = False,
    ) -> None:
        """Open a folder for a plan, or raise ScalenetError where it holds another one, unless `force` discards that.

        `rounding` is the baseline's rounding set, recorded with it where the grid has none.
        """
        self.folder, self.plan, self.evaluator = folder, plan, evaluator
        self.candidates = {candidate.name: candidate for candidate in candidates}
        evaluator.check(self.jobs())
        if force:
            discard(folder)
        self._check_same()
        write_text(folder / "search.yaml", strict_yaml.dump(as_data(plan)))
        save(Architecture(plan.base, plan.model, plan.grid.rounding or rounding), folder / "base.yaml")
        for candidate in candidates:
            save(candidate.config, folder / "candidates" / f"{candidate.name}.yaml")
        self.results = {(result.candidate, result.seed): result for result in self._recorded()}
        self.proxies = self._scored()

    def pending(self) -> list[Job]:
        """Return the trainings that are left, seed by seed, so that an early stop leaves whole rankings."""
        return [job for job in self.jobs() if (job.candidate, job.seed) not in self.results]

    def jobs(self) -> list[Job]:
        """Return all trainings of the plan."""
        return [
            Job(
                candidate=name,
                config=candidate.config,
                file=self.folder / "candidates" / f"{name}.yaml",
                seed=seed,
                budget=self.plan.budget,
                folder=self.folder / "jobs" / f"{name}_seed{seed}",
            )
            for seed in self.plan.seeds
            for name, candidate in self.candidates.items()
        ]

    def run(self, *, workers: int, tell: Callable[[Event], None]) -> None:
        """Evaluate what is left in worker processes; a stop keeps what is finished."""
        pending = {(job.candidate, job.seed): job for job in self.pending()}
        if not pending:
            return

        def hear(job: Job, report: Report) -> None:
            self._note(job, report)
            tell(Event(job, min(1.0, report.done / self._budget()), report.accuracy))

        threads = self.plan.threads
        jobs = list(pending.values())
        with closing(evaluated(jobs, self.evaluator, workers=workers, threads=threads, tell=hear)) as results:
            for result in results:
                self._record(result)
                tell(Event(pending[result.candidate, result.seed], 1.0, result.accuracy, result))

    def score(self, scores: Callable[[Candidate], Mapping[str, float | None]]) -> None:
        """Compute the training-free scores of candidates that have none yet, and write `proxies.csv`."""
        import pandas as pd  # noqa: PLC0415

        for name, candidate in self.candidates.items():
            if name not in self.proxies:
                self.proxies[name] = dict(scores(candidate))
        rows = [{"name": name, **self.proxies[name]} for name in self.candidates]
        write_text(self.folder / "proxies.csv", pd.DataFrame(rows).to_csv(index=False))

    def agreements(self) -> dict[str, tuple[float | None, int]]:
        """Return each proxy's rank correlation with accuracy, and over how many trained candidates; FLOPs' and
        parameters' as well, for comparison. Empty without proxies.
        """
        rows = [self._row(candidate) for candidate in self.candidates.values()]
        names = next(iter(self.proxies.values()), {})
        found = {}
        for name in (*names, "params", "flops") if names else ():
            pairs = [(row[name], row["accuracy"]) for row in rows if None not in (row[name], row["accuracy"])]
            found[name] = agreement([score for score, _ in pairs], [accuracy for _, accuracy in pairs]), len(pairs)
        return found

    def finished(self) -> bool:
        """Return whether every training of the plan is done."""
        return not self.pending()

    def ranking(self) -> Ranking:
        """Return the ranking of a finished study, without the candidates of which a training diverged.

        Raise RunError where none is left.
        """
        accuracies = {name: [self.results[name, seed].accuracy for seed in self.plan.seeds] for name in self.candidates}
        sound = {
            name: [value for value in values if value is not None]
            for name, values in accuracies.items()
            if None not in values
        }
        if not sound:
            recipe = self.plan.recipe
            rate = "" if recipe is None else f"; try a --learning-rate below {recipe.optimizer.lr:g}"
            raise RunError(f"every candidate diverged{rate}")
        factors = {name: self._factor(candidate) for name, candidate in self.candidates.items()}
        images = self.plan.images
        return rank([sound], held_out=None if images is None else images.validation, factors=factors)

    def table(self) -> pd.DataFrame:
        """Return a row a candidate: coefficients, cost, and accuracy over the seeds done; best first when finished."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        frame = pd.DataFrame([self._row(candidate) for candidate in self.candidates.values()])
        if self.finished():
            standings = self.ranking().standings
            places = pd.DataFrame(
                {
                    "name": [standing.name for standing in standings],
                    "rank": pd.array([standing.rank for standing in standings], dtype="Int64"),
                    "score": [_tidy(standing.score) for standing in standings],
                    "interval": [_known(standing.interval) for standing in standings],
                    "tied": [standing.tied for standing in standings],
                }
            )
            frame = frame.merge(places, on="name", how="left").sort_values("rank", ignore_index=True)
        return frame.assign(convention=CONVENTION)

    def write_table(self) -> None:
        """Write `candidates.csv`."""
        write_text(self.folder / "candidates.csv", self.table().to_csv(index=False))

    def write_answer(self) -> Coefficients:
        """Write `coefficients.yaml` of a finished study, and return what it says."""
        ranking = self.ranking()
        best = self.candidates[ranking.winner.name]
        ties = [self.candidates[standing.name] for standing in ranking.ties]
        images, objective = self.plan.images, self.plan.objective
        scored = objective.goal != "accuracy"
        answer = Coefficients(
            schema="scalenet-coefficients/1",
            alpha=best.alpha,
            beta=best.beta,
            gamma=best.gamma,
            evidence=Evidence(
                base=self.plan.base,
                base_digest=digest(self.plan.model),
                evaluate=self.plan.evaluate,
                data=None if images is None else images.name,
                data_digest=None if images is None else images.digest,
                objective=objective.goal,
                ceilings=objective.ceilings,
                grid=self.plan.grid.name,
                rounding=best.rounding,
                candidates=len(ranking.standings),
                diverged=len(self.candidates) - len(ranking.standings),
                seeds=ranking.seeds,
                accuracy=_tidy(ranking.winner.accuracy),
                score=_tidy(ranking.winner.score) if scored else None,
                interval=_known(ranking.winner.interval),
                margin=_known(ranking.margin),
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
                ties=tuple(
                    Tie(
                        alpha=tie.alpha,
                        beta=tie.beta,
                        gamma=tie.gamma,
                        accuracy=_tidy(standing.accuracy),
                        score=_tidy(standing.score) if scored else None,
                    )
                    for tie, standing in zip(ties, ranking.ties, strict=True)
                ),
                note=f"These coefficients speak for {self.plan.base} {self.plan.judged()} alone.",
            ),
        )
        save_coefficients(answer, self.folder / "coefficients.yaml")
        return answer

    def _budget(self) -> float:
        return self.plan.budget or (1 if self.plan.recipe is None else self.plan.recipe.epochs)

    def _factor(self, candidate: Candidate) -> float:
        return self.plan.objective.factor(candidate.flops_ratio, target=self.plan.grid.product)

    def _row(self, candidate: Candidate) -> dict[str, Any]:
        done = [self.results[key] for seed in self.plan.seeds if (key := (candidate.name, seed)) in self.results]
        by_seed = {result.seed: result.accuracy for result in done if result.accuracy is not None}
        row: dict[str, Any] = {
            "name": candidate.name,
            "alpha": candidate.alpha,
            "beta": candidate.beta,
            "gamma": candidate.gamma,
            "nominal": round(candidate.nominal, 6),
            "flops": candidate.cost.flops,
            "flops_ratio": candidate.flops_ratio,
            "distance": candidate.distance,
            "params": candidate.cost.params,
            "activations": candidate.cost.activations,
            "depth": sum(stage.depth for stage in candidate.config.model.stages),
            "width": candidate.config.model.stages[-1].width,
            "resolution": "x".join(map(str, dict.fromkeys(candidate.config.model.size))),
            "seeds": len(done),
            "diverged": len(done) - len(by_seed),
            "accuracy": _tidy(sum(by_seed.values()) / len(by_seed)) if by_seed else None,
            "seconds": round(sum(result.seconds for result in done), 2),
        }
        accuracies = {
            f"accuracy_seed{seed}": _tidy(by_seed[seed]) if seed in by_seed else None for seed in self.plan.seeds
        }
        return row | accuracies | self.proxies.get(candidate.name, {}) | {"merged": " ".join(candidate.merged)}

    def _check_same(self) -> None:
        """Refuse a folder that holds the results of another plan."""
        file = self.folder / "search.yaml"
        hint = "give another folder with -o, or start afresh with --force"
        if not file.exists():
            if (self.folder / "results.jsonl").exists():
                raise ScalenetError(f"{self.folder} holds results but no search.yaml", hint=hint)
            return
        before = as_data(read_record(Plan, file.read_text(encoding="utf-8"), str(file)))
        after = as_data(self.plan)
        free = ("grid", "objective", "seeds")
        changed = [key for key in Plan.model_fields if before.get(key) != after.get(key) and key not in free]
        if changed:
            raise ScalenetError(f"{self.folder} holds another search: {', '.join(changed)} differ", hint=hint)

    def _scored(self) -> dict[str, dict[str, float | None]]:
        """Return the training-free scores on file."""
        import pandas as pd  # noqa: PLC0415

        file = self.folder / "proxies.csv"
        if not file.exists():
            return {}
        frame = pd.read_csv(file).astype(object)
        rows = frame.where(frame.notna(), None).to_dict("records")
        return {row["name"]: {name: row[name] for name in PROXIES} for row in rows}

    def _recorded(self) -> Iterator[Result]:
        """Yield the results on file; a last line cut short by a crash is a training that did not finish."""
        file = self.folder / "results.jsonl"
        if not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                yield Result(**json.loads(line))
            except (ValueError, TypeError):
                continue

    def _record(self, result: Result) -> None:
        _append(self.folder / "results.jsonl", asdict(result))
        self.results[result.candidate, result.seed] = result
        self.write_table()

    def _note(self, job: Job, report: Report) -> None:
        """Keep an accuracy on the way."""
        if report.accuracy is not None:
            line = {"candidate": job.candidate, "seed": job.seed, "epoch": report.done, "accuracy": report.accuracy}
            _append(self.folder / "curves.jsonl", line)


def _append(file: Path, data: dict[str, Any]) -> None:
    """Add a line of JSON to a file, whose last line may have been cut short."""
    cut_short = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8") as lines:
        lines.write(("\n" if cut_short else "") + json.dumps(data) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def _tidy(value: float) -> float:
    """Return an accuracy with the digits that a held-out set of some thousand images supports."""
    return round(value, 5)


def _known(value: float) -> float | None:
    """Return an interval or margin, or None for an infinite one."""
    return _tidy(value) if math.isfinite(value) else None
