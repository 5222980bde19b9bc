"""`scalenet grid-search`: STEP 1, which α, β, γ are best for this network on these images?"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION

from .errors import plain_errors
from .options import (
    Changes,
    Json,
    RecipeName,
    check_folder,
    checked,
    parse_amounts,
    parse_size,
    the_device,
    the_recipe,
)
from .output import count, emit, emit_json, note, progress, text, times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scalenet.arch.spec import Architecture
    from scalenet.search.candidates import Candidate, Enumeration
    from scalenet.search.coefficients import Coefficients
    from scalenet.search.evaluators import Evaluator
    from scalenet.search.grids import Grid
    from scalenet.search.objective import Objective
    from scalenet.search.study import Plan, Study
    from scalenet.training.data import Splits
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Source

EMBEDDED_BASE, EMBEDDED_GRID, DEFAULT_GRID = "small_resnet", "small", "shares"
GREEK = ("alpha", "beta", "gamma")
_EMBEDDED_LARGEST = 128


class GoalName(StrEnum):
    """What candidates are ranked by."""

    accuracy = "accuracy"
    accuracy_flops = "accuracy-flops"


@plain_errors
def grid_search(
    base: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The baseline whose α, β, γ are wanted.")
    ] = EMBEDDED_BASE,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of class folders, of train/ and val/, of shards.  [default: embedded]"
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Grid of α, β, γ: see `scalenet grids`.  [default: small or shares]"),
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Input size of the baseline, instead of its own: 32.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Classes of the baseline, where --evaluate has the images.")
    ] = None,
    evaluate: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="What says how accurate a candidate is: train, table:FILE.csv, package.module:function, or a command: "
            "'python my_train.py --config {config} --epochs {budget} --seed {seed}'.",
        ),
    ] = "train",
    images: Annotated[int | None, typer.Option(min=2, help="Train on this many images only, drawn by --seed.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each training, or {budget}.  [default: the recipe's]")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a step.  [default: the recipe's]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.  [default: the recipe's]")] = None,
    recipe: RecipeName = None,
    changes: Changes = None,
    objective: Annotated[
        GoalName, typer.Option(help="What to rank by; accuracy-flops: accuracy × (FLOPs / target)^-0.07.")
    ] = GoalName.accuracy,
    max_params: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Drop candidates with more parameters: 5M, or 1.5x.")
    ] = None,
    max_activations: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Drop candidates with more activations: 10M, or 2x.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="First seed; also draws the held-out images of a folder.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each candidate, with this many seeds.")] = 2,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings at a time.  [default: one a core]")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the search.")] = Path(
        "runs/grid-search"
    ),
    proxies: Annotated[
        bool,
        typer.Option("--proxies", help="Training-free scores too (synflow, NASWOT, Zen), and how they rank."),
    ] = False,
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
    from scalenet.search.evaluators import find_evaluator
    from scalenet.search.grids import load_grid

    evaluator = None if evaluate == "train" else find_evaluator(evaluate)
    ours = {"data": data, "images": images, "batch-size": batch_size, "learning-rate": learning_rate, "set": changes}
    _check_options(evaluate, ours, {"classes": classes})
    source = _source(data)
    architecture = _base(base, resolution, _classes(source, classes, evaluate))
    chosen = load_grid(grid or (EMBEDDED_GRID if base == EMBEDDED_BASE else DEFAULT_GRID))
    goal = _objective(architecture, objective, params=max_params, activations=max_activations)
    found = enumerate_candidates(architecture, chosen, ceilings=goal.ceilings)
    _counts(found, chosen, goal)
    check_folder(output)
    at_a_time = min(workers or os.cpu_count() or 1, len(found.candidates) * seeds)
    splits = None
    if evaluator is None and (proxies or not dry_run):
        the_device(device)
        wanted = the_recipe(
            recipe or "search", changes, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate
        )
        splits = _images(source, found, images, seed, at_a_time)
    score = _scorer(splits, seed, threads) if proxies else None
    if dry_run:
        _list(found, score, json=json)
        return
    plan = _plan(architecture, chosen, goal, found, range(seed, seed + seeds), device=device, threads=threads)
    if evaluator is None:
        assert splits is not None
        evaluator, plan = _trainer(plan, splits, wanted)
    else:
        plan = plan.model_copy(update={"evaluate": evaluate, "budget": epochs})
    study = _study(output, plan, found, evaluator, rounding=architecture.rounding, force=force)
    if score is not None:
        study.score(score)
    left = len(study.pending())
    note(f"{left} trainings left of {len(found.candidates) * seeds}, in {output}")
    _run(study, at_a_time)
    answer = study.write_answer()
    _answer(study, answer, json=json)


def _check_options(evaluate: str, ours: Mapping[str, object], theirs: Mapping[str, object]) -> None:
    """Refuse options that the evaluator does not use."""
    from scalenet.arch.errors import ScalenetError

    unused = [name for name, value in (theirs if evaluate == "train" else ours).items() if value]
    if unused and evaluate == "train":
        raise ScalenetError(f"--{unused[0]} is for other evaluators: classes are those of the images")
    if unused:
        raise ScalenetError(f"--{unused[0]} is for scalenet's own training, and --evaluate has its own")


def _source(data: Path | None) -> Source | None:
    if data is None:
        return None
    from scalenet.training.sources import find_source

    return find_source(data)


def _classes(source: Source | None, classes: int | None, evaluate: str) -> int | None:
    from scalenet.training.embedded import CLASS_NAMES

    return classes if evaluate != "train" else len(CLASS_NAMES if source is None else source.classes)


def _base(base: str, resolution: str | None, classes: int | None) -> Architecture:
    from dataclasses import replace

    from scalenet.arch.errors import ScalenetError
    from scalenet.scaling.scaler import load

    architecture = load(base)
    model = architecture.model
    if model.channels != 3:
        raise ScalenetError(f"{base} takes images of {model.channels} colours; searches have images of 3")
    model = model if classes is None else model.with_classes(classes)
    return replace(architecture, model=model.at(parse_size(resolution)) if resolution else model)


def _objective(base: Architecture, goal: GoalName, **ceilings: str | None) -> Objective:
    from scalenet.arch.errors import ScalenetError
    from scalenet.costs.formula import cost
    from scalenet.search.objective import Objective

    own, limits = cost(base), {}
    for name, most in ceilings.items():
        if most is None:
            continue
        limits[name], *others = parse_amounts(most, int(getattr(own, name)))
        if others:
            raise ScalenetError(f"--max-{name} {most}: one amount is wanted")
    return checked(Objective, goal=goal.value, ceilings=limits)


def _counts(found: Enumeration, grid: Grid, objective: Objective) -> None:
    """Say how many candidates there are, and where the other points went."""
    from scalenet.search.grids import label

    limits = " and ".join(f"{most:,} {name}" for name, most in objective.ceilings.items())
    above = f"{found.over_ceilings} above {limits}, " if limits else ""
    note(
        f"{grid.name}: {found.points} points, {found.duplicates} round to a network already there, {above}"
        f"{found.off_target} off the target cost; {len(found.candidates)} candidates"
    )
    for point in grid.included():
        same = next((candidate for candidate in found.candidates if label(point) in candidate.merged), None)
        if same is not None:
            note(f"{label(point)} gives the same network as {same.name}")
    brought = [candidate.distance for candidate in found.candidates if candidate.distance is not None]
    if brought:
        note(
            f"{len(brought)} were brought to {grid.product:g}× the FLOPs within {100 * (grid.tolerance or 0):g} %, "
            f"up to {max(brought):.2g} doublings off their ray"
        )


def _images(source: Source | None, found: Enumeration, limit: int | None, seed: int, workers: int) -> Splits:
    """Read or render the images once, at the largest candidate's size, or their own where that is smaller."""
    from scalenet.arch.errors import ScalenetError
    from scalenet.training.data import embedded_splits, read, select
    from scalenet.training.sources import native_size

    largest = max(max(candidate.config.model.size) for candidate in found.candidates)
    if source is None:
        if largest > _EMBEDDED_LARGEST:
            raise ScalenetError(
                f"the embedded images are for small networks, and a candidate asks for {largest} px",
                hint="give images with --data, or another size with --resolution 32",
            )
        size = max(48, largest)
        return embedded_splits(size=size) if limit is None else embedded_splits(size=size, train=limit)
    with progress() as bar:
        task = bar.add_task("reading images", total=None)
        splits = read(
            select(source, seed=seed, limit=limit),
            size=min(largest, native_size(source)),
            copies=1 + workers,  # each worker has them at its candidate's resolution
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in splits.skipped:
        note(f"skipped {line}")
    return splits


def _plan(
    base: Architecture,
    grid: Grid,
    objective: Objective,
    found: Enumeration,
    seeds: range,
    *,
    device: str,
    threads: int,
) -> Plan:
    from scalenet._version import __version__
    from scalenet.arch.config import digest
    from scalenet.search.study import Plan

    return Plan(
        schema="scalenet-search/1",
        base=base.name,
        model=base.model,
        grid=grid,
        objective=objective,
        seeds=tuple(seeds),
        device=device,
        threads=threads,
        candidates={candidate.name: digest(candidate.config.model) for candidate in found.candidates},
        versions={"scalenet": __version__},
    )


def _trainer(plan: Plan, splits: Splits, recipe: Recipe) -> tuple[Evaluator, Plan]:
    """Return scalenet's own training as the evaluator, and the plan with what it follows from."""
    import torch

    from scalenet.search.evaluation import Train
    from scalenet.search.study import Images

    images = Images(
        name=splits.name,
        digest=splits.digest,
        train=len(splits.train),
        validation=len(splits.validation),
        classes=len(splits.classes),
    )
    versions = plan.versions | {"torch": torch.__version__}
    plan = plan.model_copy(update={"recipe": recipe, "images": images, "versions": versions})
    return Train(splits, recipe, plan.device, plan.threads), plan


def _scorer(splits: Splits | None, seed: int, threads: int) -> Callable[[Candidate], dict[str, float | None]]:
    """Return what computes a candidate's training-free scores, and says so."""
    import torch

    from scalenet.search.proxies import sample, scores

    torch.set_num_threads(threads)

    def score(candidate: Candidate) -> dict[str, float | None]:
        model = candidate.config.model
        images = None if splits is None else sample(splits.train, model.size, seed=seed)
        found = scores(model, seed=seed, images=images)
        note(f"{candidate.name}: " + ", ".join(f"{name} {text(value)}" for name, value in found.items()))
        return found

    return score


def _study(output: Path, plan: Plan, found: Enumeration, evaluator: Evaluator, *, rounding: str, force: bool) -> Study:
    from scalenet.search.study import Study

    return Study(output, plan, found.candidates, evaluator, rounding=rounding, force=force)


def _run(study: Study, workers: int) -> None:
    """Run what is left, with a bar on a terminal and a line a finished training."""
    from scalenet.search.study import Event

    jobs, finished = study.pending(), 0
    shares = {(job.candidate, job.seed): 0.0 for job in jobs}
    with progress() as bar:
        task = bar.add_task("training", total=len(jobs))

        def tell(event: Event) -> None:
            nonlocal finished
            shares[event.job.candidate, event.job.seed] = event.fraction
            bar.update(task, completed=round(sum(shares.values()), 2))
            if event.result is not None:
                finished += 1
                accuracy = "diverged" if event.result.accuracy is None else f"{100 * event.result.accuracy:.2f} %"
                line = f"{event.job}: {accuracy}, {event.result.seconds:.1f} s"
                bar.console.print(f"[{finished}/{len(jobs)}] {line}", markup=False, highlight=False)

        try:
            study.run(workers=workers, tell=tell)
        except KeyboardInterrupt:
            note(f"stopped; what is finished is kept in {study.folder}, and the same command goes on from there")
            raise
    study.write_table()


def _list(found: Enumeration, score: Callable[[Candidate], dict[str, float | None]] | None, *, json: bool) -> None:
    rows = [
        {
            "name": candidate.name,
            "alpha": candidate.alpha,
            "beta": candidate.beta,
            "gamma": candidate.gamma,
            "nominal": round(candidate.nominal, 6),
            "flops_ratio": candidate.flops_ratio,
            "distance": candidate.distance,
            "flops": candidate.cost.flops,
            "params": candidate.cost.params,
            "activations": candidate.cost.activations,
            **({} if score is None else score(candidate)),
            "merged": " ".join(candidate.merged),
        }
        for candidate in found.candidates
    ]
    hidden = ["name", "activations", "merged", *([] if any(row["distance"] for row in rows) else ["distance"])]
    if score is not None:
        hidden += ["nominal", "distance", "flops"]
        note("nothing was trained: these scores are unproven on this network and these images")
    emit_json(rows) if json else emit(rows, caption=f"FLOPs: {CONVENTION}", formats=_FORMATS, hidden=hidden)


def _answer(study: Study, answer: Coefficients, *, json: bool) -> None:
    from scalenet.arch.config import as_data

    frame = study.table()
    rows: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    if json:
        emit_json({**as_data(answer), "candidates": rows})
    else:
        score = () if study.plan.objective.goal == "accuracy" else ("score",)
        proxies = tuple(next(iter(study.proxies.values()), {}))
        columns = ("rank", *GREEK, "flops_ratio", "accuracy", *score, "interval", "tied", "seconds", *proxies)
        emit(
            [{column: row[column] for column in columns} for row in rows],
            title=_title(study.plan),
            caption=f"FLOPs: {CONVENTION}" + ("; score: accuracy × (FLOPs / target)^-0.07" if score else ""),
            formats=_FORMATS,
            hidden=("interval", "seconds") if proxies else (),
        )
    _summary(study, answer)


def _title(plan: Plan) -> str:
    what = "accuracy by --evaluate" if plan.images is None else f"held-out top-1 on {plan.images.name}"
    return f"{plan.base}: {what}, mean of {len(plan.seeds)} seeds"


def _summary(study: Study, answer: Coefficients) -> None:
    evidence = answer.evidence
    assert evidence is not None
    scored = "" if evidence.score is None else f", score {evidence.score:.4f}"
    interval = "" if evidence.interval is None else f" ± {100 * evidence.interval:.2f}"
    note(
        f"best: α = {answer.alpha:.4g}, β = {answer.beta:.4g}, γ = {answer.gamma:.4g}: "
        f"{100 * evidence.accuracy:.2f}{interval} %{scored}, {evidence.flops_ratio:.4g}× the FLOPs"
    )
    within = "" if evidence.margin is None else f" (within {100 * evidence.margin:.2f} points, 95 %)"
    others = evidence.candidates - 1
    note(f"{len(evidence.ties)} of the other {others} candidates are not distinguishable from it{within}")
    if evidence.diverged:
        note(f"{evidence.diverged} candidates diverged and are not ranked")
    if evidence.margin is None:
        note(
            "with one seed nothing is known of the noise of training: every candidate may be as good; take more --seeds"
        )
    elif evidence.seeds == 1:
        note("with one seed the noise of training is not known, and the margin is only that of the number of images")
    images = study.plan.images
    if images is not None and evidence.accuracy < _CHANCE / images.classes:
        note("the winner is hardly better than chance: train longer or on more images before you use it")
    if evidence.seed_correlation is not None:
        note(f"rank correlation between seeds: {evidence.seed_correlation:.2f}")
        if evidence.seed_correlation < _NOISE:
            note("the ranking is mostly noise: train longer, on more images, or with more seeds before you use it")
    _agreements(study)
    note(evidence.note)
    base, coefficients = study.folder / "base.yaml", study.folder / "coefficients.yaml"
    grown = "--phi 1..3"
    if evidence.tolerance is not None:
        factors = ",".join(f"{study.plan.grid.product**doubling:g}x" for doubling in (1, 2, 3))
        grown = f"--flops {factors} --tolerance {evidence.tolerance:g}"
    note(f"next: scalenet scale --base {base} --coefficients {coefficients} {grown}")


def _agreements(study: Study) -> None:
    """Say what the training-free scores were worth here."""
    found = study.agreements()
    if not found:
        return
    trained = max(count for _, count in found.values())
    told = [f"{name} {value:.2f}" if value is not None else f"{name} not defined" for name, (value, _) in found.items()]
    note(f"rank correlation with accuracy over {trained} trained candidates: {', '.join(told)}")
    if trained < _FEW:
        note("so few candidates prove nothing of the scores")


_FEW = 8
_NOISE, _CHANCE = 0.5, 1.5
_FORMATS = {
    "flops": count,
    "params": count,
    "flops_ratio": times,
    "nominal": times,
    "accuracy": lambda value: f"{100 * value:.2f} %",
    "score": lambda value: f"{value:.4f}",
    "interval": lambda value: f"±{100 * value:.2f}",
    "tied": lambda value: "yes" if value else "",
}
