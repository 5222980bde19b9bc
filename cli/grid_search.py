"""`scalenet grid-search`: STEP 1, which α, β, γ are best for this network on these images?"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import plain_errors
from .options import Json, checked, parse_size
from .output import CONVENTION, count, emit, emit_json, note, times

if TYPE_CHECKING:
    from scalenet.arch.spec import Architecture
    from scalenet.search.candidates import Enumeration
    from scalenet.search.coefficients import Coefficients
    from scalenet.search.grids import Grid
    from scalenet.search.study import Plan, Study
    from scalenet.training.data import Splits
    from scalenet.training.recipe import Recipe

EMBEDDED_BASE, EMBEDDED_GRID, DEFAULT_GRID = "small_resnet", "small", "shares"


@plain_errors
def grid_search(
    base: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The baseline whose α, β, γ are wanted.")
    ] = EMBEDDED_BASE,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of class folders, or of train/ and val/ with them.  [default: embedded]"
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Grid of α, β, γ: see `scalenet grids`.  [default: small or shares]"),
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Input size of the baseline, instead of its own: 32.")
    ] = None,
    images: Annotated[int | None, typer.Option(min=2, help="Train on this many images only, drawn by --seed.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each training.  [default: the recipe's]")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a step.  [default: the recipe's]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.  [default: the recipe's]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="First seed; also draws the held-out images.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each candidate, with this many seeds.")] = 2,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings at a time.  [default: one a core]")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the search.")] = Path(
        "runs/grid-search"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the candidates and their costs; train nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Discard another search in the folder.")] = False,
    json: Json = False,
) -> None:
    """Find α, β, γ for a baseline by training every candidate of a grid (STEP 1).

    Without arguments: a small network on rendered images, a few minutes. The same command goes on where it stopped.
    """
    from scalenet.search.candidates import enumerate_candidates
    from scalenet.search.grids import load_grid

    architecture = _base(base, data, resolution)
    chosen = load_grid(grid or (EMBEDDED_GRID if base == EMBEDDED_BASE else DEFAULT_GRID))
    found = enumerate_candidates(architecture, chosen)
    note(
        f"{chosen.name}: {found.points} points, {found.duplicates} round to a network already there, "
        f"{found.off_target} off the target cost; {len(found.candidates)} candidates"
    )
    if dry_run:
        _list(found, json=json)
        return
    _check_device(device)
    recipe = _recipe(epochs, batch_size, learning_rate)
    splits = _images(data, found, images, seed)
    plan = _plan(architecture, chosen, recipe, splits, range(seed, seed + seeds), device=device, threads=threads)
    study = _study(output, plan, found, force=force)
    left = len(study.pending())
    note(f"{left} trainings left of {len(found.candidates) * seeds}, in {output}")
    _run(study, splits, workers or min(os.cpu_count() or 1, left or 1))
    answer = study.write_answer()
    _answer(study, answer, json=json)


def _base(base: str, data: Path | None, resolution: str | None) -> Architecture:
    from dataclasses import replace

    from scalenet.scaling.scaler import load
    from scalenet.training.data import class_names
    from scalenet.training.embedded import CLASS_NAMES

    architecture = load(base)
    classes = len(CLASS_NAMES if data is None else class_names(data))
    model = architecture.model.with_classes(classes)
    return replace(architecture, model=model.at(parse_size(resolution)) if resolution else model)


def _check_device(name: str) -> None:
    import torch

    from scalenet.arch.errors import ScalenetError

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError):
        raise ScalenetError(f"device {name!r} cannot be used here", hint="--device cpu works everywhere") from None


def _recipe(epochs: int | None, batch_size: int | None, learning_rate: float | None) -> Recipe:
    from scalenet.training.recipe import Recipe

    given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    return checked(Recipe, **{name: value for name, value in given.items() if value is not None})


def _images(data: Path | None, found: Enumeration, limit: int | None, seed: int) -> Splits:
    """Read or render the images once, at the largest candidate's size, or their own where that is smaller."""
    from scalenet.training.data import embedded_splits, folder_splits, native_size

    largest = max(max(candidate.config.model.size) for candidate in found.candidates)
    if data is None:
        return embedded_splits() if limit is None else embedded_splits(train=limit)
    with _progress() as bar:
        task = bar.add_task("reading images", total=None)
        splits = folder_splits(
            data,
            size=min(largest, native_size(data)),
            seed=seed,
            limit=limit,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in splits.skipped:
        note(f"skipped {line}")
    return splits


def _plan(
    base: Architecture, grid: Grid, recipe: Recipe, splits: Splits, seeds: range, *, device: str, threads: int
) -> Plan:
    from scalenet.search.study import Images, Plan

    images = Images(
        name=splits.name,
        digest=splits.digest,
        train=len(splits.train),
        validation=len(splits.validation),
        classes=len(splits.classes),
    )
    return Plan(
        schema="scalenet-search/1",
        base=base.name,
        model=base.model,
        grid=grid,
        recipe=recipe,
        images=images,
        seeds=tuple(seeds),
        device=device,
        threads=threads,
    )


def _study(output: Path, plan: Plan, found: Enumeration, *, force: bool) -> Study:
    from scalenet.search.study import Study

    if force and (output / "search.yaml").exists():
        shutil.rmtree(output)
    return Study(output, plan, found.candidates)


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _run(study: Study, splits: Splits, workers: int) -> None:
    """Run what is left, with a bar on a terminal and a line a finished training."""
    from scalenet.search.study import Event

    jobs, finished = study.pending(), 0
    shares = {(job.candidate, job.seed): 0.0 for job in jobs}
    with _progress() as bar:
        task = bar.add_task("training", total=len(jobs))

        def tell(event: Event) -> None:
            nonlocal finished
            shares[event.candidate, event.seed] = event.fraction
            bar.update(task, completed=round(sum(shares.values()), 2))
            if event.result is not None:
                finished += 1
                accuracy = "diverged" if event.result.diverged else f"{100 * event.result.accuracy:.2f} %"
                line = f"{event.candidate} seed {event.seed}: {accuracy}, {event.result.seconds:.1f} s"
                bar.console.print(f"[{finished}/{len(jobs)}] {line}", markup=False, highlight=False)

        try:
            study.run(splits, workers=workers, tell=tell)
        except KeyboardInterrupt:
            note(f"stopped; what is finished is kept in {study.folder}, and the same command goes on from there")
            raise
    study.write_table()


def _list(found: Enumeration, *, json: bool) -> None:
    rows = [
        {
            "name": candidate.name,
            "alpha": candidate.alpha,
            "beta": candidate.beta,
            "gamma": candidate.gamma,
            "nominal": round(candidate.nominal, 6),
            "flops_ratio": candidate.flops_ratio,
            "flops": candidate.flops,
            "params": candidate.params,
        }
        for candidate in found.candidates
    ]
    emit_json(rows) if json else emit(rows, caption=CONVENTION, formats=_FORMATS)


def _answer(study: Study, answer: Coefficients, *, json: bool) -> None:
    from scalenet.arch.config import as_data

    frame = study.table()
    rows: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    if json:
        emit_json({**as_data(answer), "candidates": rows})
    else:
        columns = ("rank", "alpha", "beta", "gamma", "flops_ratio", "accuracy", "interval", "tied", "seconds")
        emit(
            [{column: row[column] for column in columns} for row in rows],
            title=f"{study.plan.base} on {study.plan.images.name}: held-out top-1 over {len(study.plan.seeds)} seeds",
            formats=_FORMATS,
        )
    _summary(study, answer)


def _summary(study: Study, answer: Coefficients) -> None:
    evidence = answer.evidence
    assert evidence is not None
    note(
        f"best: α = {answer.alpha:.4g}, β = {answer.beta:.4g}, γ = {answer.gamma:.4g}: "
        f"{100 * evidence.accuracy:.2f} ± {100 * evidence.interval:.2f} %"
    )
    others = len(evidence.ties)
    note(
        f"{others} of the other {evidence.candidates - 1} candidates are not distinguishable from it "
        f"(within {100 * evidence.margin:.2f} points, 95 %)"
    )
    if evidence.seed_correlation is None:
        note("with one seed the noise between seeds is not known: the margin is too small; --seeds 2 or more tells")
    else:
        note(f"rank correlation between seeds: {evidence.seed_correlation:.2f}")
        if evidence.seed_correlation < _NOISE:
            note("the ranking is mostly noise: train longer, on more images, or with more seeds before you use it")
    note(evidence.note)
    note(
        f"next: scalenet scale --base {study.plan.base} --coefficients {study.folder / 'coefficients.yaml'} --phi 1..3"
    )


_NOISE = 0.5
_FORMATS = {
    "flops": count,
    "params": count,
    "flops_ratio": times,
    "nominal": times,
    "accuracy": lambda value: f"{100 * value:.2f} %",
    "interval": lambda value: f"±{100 * value:.2f}",
    "tied": lambda value: "yes" if value else "",
}
