"""`scalenet grid-search`: STEP 1, which α, β, γ are best for this network on these images?"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet._version import __version__
from scalenet.arch.convention import CONVENTION
from scalenet.arch.quantities import parse_amounts, parse_seconds, parse_size
from scalenet.arch.words import number, seconds_text

from .errors import INTERRUPTED, plain_errors
from .options import (
    FOLDER,
    Changes,
    Json,
    Layout,
    RecipeName,
    SearchName,
    Storage,
    check_folder,
    checked,
    place,
    search_command,
    the_device,
    the_recipe,
    the_source,
)
from .output import emit, emit_json, note, progress, text
from .search_report import FORMATS, answer, progress_line, watch, write_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.arch.spec import Architecture
    from scalenet.search.evaluators import Evaluator
    from scalenet.search.plan import Plan
    from scalenet.search.queue.board import Place
    from scalenet.search.space.candidates import Candidate, Enumeration
    from scalenet.search.space.grids import Grid
    from scalenet.search.space.objective import Objective
    from scalenet.search.study import Study
    from scalenet.training.data import Splits
    from scalenet.training.selection import Selection
    from scalenet.training.sources import Source

EMBEDDED_BASE, EMBEDDED_GRID, DEFAULT_GRID = "small_resnet", "small", "shares"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a search was asked for, as its storage keeps it."""

    base: str
    data: str | None
    grid: str | None
    resolution: str | None
    classes: int | None
    evaluate: str
    images: int | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    recipe: str | None
    changes: list[str] | None
    objective: str
    max_params: str | None
    max_activations: str | None
    max_latency: str | None
    seed: int
    seeds: int
    halving: int | None
    workers: int | None
    threads: int
    device: str | None
    proxies: bool
    grace: int
    held_out: float | None = None
    layout: str | None = None


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
            metavar="DIR",
            envvar="SCALENET_DATA",
            help="Folder of class folders, of train/ and val/, of shards.  [default: embedded]",
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
    held_out: Annotated[
        float | None,
        typer.Option(help="Share to hold out where the data have no held-out images.  [default: 0.1]"),
    ] = None,
    layout: Layout = None,
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
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="Drop candidates that are slower here at batch 1: 30ms.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="First seed; also draws the held-out images of a folder.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each candidate in the last rung.")] = 4,
    halving: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train so many times fewer candidates in each rung, for so many times longer; 1: all to the end.  "
            "[default: 5]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, envvar="SCALENET_WORKERS", help="Trainings at a time here.  [default: one a core or GPU]"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training.")] = 1,
    device: Annotated[
        str | None,
        typer.Option(
            envvar="SCALENET_DEVICE",
            help="cpu, cuda (each worker another GPU), cuda:1, or cuda:0,cuda:2.  [default: cuda where there is one]",
        ),
    ] = None,
    storage: Storage = None,
    name: SearchName = None,
    grace: Annotated[
        int, typer.Option(min=1, help="Seconds without a sign of life after which a worker counts as dead.")
    ] = 60,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the search.")] = FOLDER,
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
    """Find α, β, γ for a baseline by training the candidates of a grid (STEP 1).

    Without arguments: a small network on rendered images, a few minutes. The same command goes on where it stopped;
    with one --storage for all, each machine that starts it takes part.
    """
    given = locals()
    for option in ("recipe", "data"):  # those of the environment are meant for all trainings of scalenet's own
        if evaluate != "train" and str(given[option]) == os.environ.get(f"SCALENET_{option.upper()}"):
            given[option] = None
    options = Options(**{field.name: _plain(given[field.name]) for field in fields(Options)})
    _check_name(name, storage)
    if dry_run:
        _list(options, json=json)
        return
    search(options, output, place(output, storage, name, grace), force=force, json=json)


def _plain(value: Any) -> Any:
    """Return an option as JSON has it; a folder as other processes find it."""
    if isinstance(value, Path):
        return str(value.absolute())
    return value.value if isinstance(value, GoalName) else value


def search(options: Options, folder: Path, where: Place, *, more: int = 0, force: bool = False, json: bool) -> None:
    """Begin a search, go on with it or join it, and write its answer; winner and ties get `more` seeds."""
    from scalenet.search.folder import recorded_plan
    from scalenet.search.queue.database import PATIENCE
    from scalenet.search.queue.placement import environments
    from scalenet.search.study import check, new_study

    check_folder(folder)
    asked = _fast_enough(_asked(options), None if force else recorded_plan(folder))
    candidates = asked.found.candidates
    workers = _workers(options, len(candidates) * options.seeds)
    if asked.evaluator is None:
        evaluators, trained = _trainer(asked, workers)
        plan, shown = _plan(asked, trained["recipe"].epochs, **trained), [dict[str, str]() for _ in workers]
    else:
        evaluators, plan = [asked.evaluator] * len(workers), _plan(asked, options.epochs)
        shown = environments(_device(options), len(workers))
    ready = partial(check, evaluators[0], folder, candidates)
    ready(plan)
    plan = plan.changed(sources=evaluators[0].sources())
    with _made(folder):
        study = new_study(folder, plan, candidates, where, where.board(patience=PATIENCE, say=note))
        request = {"options": asdict(options), "directory": str(Path.cwd())}
        study.begin(candidates, more=more, force=force, ready=ready, say=note, request=request)
    if options.proxies:
        study.score(candidates, _scorer(evaluators[0], options))
    note(f"{progress_line(study.board.view(), len(workers))}, in {folder}")
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(options.threads)}
    try:
        with watch(study, len(workers)) as look:
            study.run(evaluators, [threads | one for one in shown], look=look, say=note)
    except KeyboardInterrupt:
        note(_stopped(study))
        raise
    finish(study, json=json)


def _stopped(study: Study) -> str:
    """Return what is left of a search that was stopped, in words."""
    if not study.board.there():
        return f"stopped; {study.board.database.place} was removed meanwhile, and what was finished with it"
    where = study.folder if study.folder.is_dir() else study.board.database.place
    return f"stopped; what is finished is kept in {where}, and the same command goes on from there"


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again if nothing came to lie in it."""
    from scalenet.arch.errors import ScalenetError

    ours = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScalenetError(f"{folder}: cannot be made: {error.strerror}") from None
    try:
        yield
    finally:
        if ours and not any(folder.iterdir()):
            folder.rmdir()


def finish(study: Study, *, write: bool = True, json: bool) -> None:
    """Write what a search found, and say it."""
    from scalenet.arch.errors import RunError
    from scalenet.search.answer.coefficients import save_coefficients
    from scalenet.search.folder import sweep

    outcome = study.outcome(study.board.view(curves=True))
    if write:
        study.write(outcome)
    if not outcome.view.finished:
        note(f"the search was asked to stop; {search_command('resume', study)} goes on")
        raise typer.Exit(INTERRUPTED)
    if write:
        sweep(study.folder)
    found = outcome.answer()
    if write:
        save_coefficients(found, study.folder / "coefficients.yaml")
        note(f"report: {write_page(study, outcome, found)}")
    answer(study, outcome, found, json=json)
    if rungs := outcome.failed_rungs():
        raise RunError(
            f"rung {rungs[0]}: a training of every candidate failed: {outcome.view.failed()[-1].why()}",
            hint="the answer is that of the rungs before; the same command tries the others again",
        )


@dataclass(frozen=True)
class _Asked:
    """What was asked for, read and checked; `evaluator` is None for scalenet's own training."""

    options: Options
    base: Architecture
    grid: Grid
    objective: Objective
    found: Enumeration
    source: Source | None
    evaluator: Evaluator | None


def _asked(options: Options) -> _Asked:
    """Check what was asked for, and list the candidates."""
    from scalenet.search.evaluators import find_evaluator
    from scalenet.search.space.candidates import enumerate_candidates
    from scalenet.search.space.grids import load_grid

    _check_options(options)
    evaluator = None if options.evaluate == "train" else find_evaluator(options.evaluate)
    source = the_source(None if options.data is None else Path(options.data), options.layout, note)
    base = _base(options, source)
    grid = load_grid(options.grid or (EMBEDDED_GRID if options.base == EMBEDDED_BASE else DEFAULT_GRID))
    objective = _objective(base, options)
    found = enumerate_candidates(base, grid, ceilings=objective.ceilings)
    _counts(found, grid, objective)
    return _Asked(options, base, grid, objective, found, source, evaluator)


def _trainer(asked: _Asked, workers: Sequence[str]) -> tuple[list[Evaluator], dict[str, Any]]:
    """Return scalenet's own training on each worker's device, and what of the plan follows from it."""
    import torch

    from scalenet.search.evaluators.train import Train
    from scalenet.search.plan import Images
    from scalenet.training.data import chance, stakes

    for device in dict.fromkeys(workers):
        the_device(device)
    options = asked.options
    recipe = the_recipe(
        options.recipe or "search",
        options.changes,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    splits = _images(asked, len(workers))
    note(stakes(splits))
    images = Images(
        name=splits.name,
        digest=splits.digest,
        train=len(splits.train),
        validation=len(splits.validation),
        classes=len(splits.classes),
        drawn=splits.drawn,
        chance=round(chance(splits), 6),
    )
    versions = {"scalenet": __version__, "torch": torch.__version__}
    trainers: list[Evaluator] = [Train(splits, recipe, device, options.threads) for device in workers]
    return trainers, {"recipe": recipe, "images": images, "versions": versions}


def _workers(options: Options, most: int) -> list[str]:
    """Return the device of each worker here."""
    from scalenet.search.queue.placement import devices

    device = _device(options)
    if options.workers is None and device != "cpu":
        return list(dict.fromkeys(devices(device, most)))
    return devices(device, min(most, options.workers or os.cpu_count() or 1))


def _device(options: Options) -> str:
    """Return where trainings run: other evaluators than scalenet's own see every GPU unless it is said which."""
    if options.device is None and options.evaluate == "train":
        return the_device(None)
    return options.device or "cpu"


def _plan(asked: _Asked, budget: int | None, **trained: Any) -> Plan:
    from scalenet.arch.config import digest
    from scalenet.search.plan import Plan
    from scalenet.search.rungs.schedule import FACTOR, halving

    options, candidates = asked.options, asked.found.candidates
    seeds = range(options.seed, options.seed + options.seeds)
    return Plan(
        schema="scalenet-search/1",
        base=asked.base.name,
        model=asked.base.model,
        rounding=asked.base.rounding,
        grid=asked.grid,
        objective=asked.objective,
        schedule=halving(len(candidates), seeds=seeds, budget=budget, factor=options.halving or FACTOR),
        evaluate=options.evaluate,
        device=_device(options).partition(":")[0],
        threads=options.threads,
        candidates={candidate.name: digest(candidate.config.model) for candidate in candidates},
        **{"versions": {"scalenet": __version__}, **trained},
    )


def _check_options(options: Options) -> None:
    """Refuse options that the evaluator does not use."""
    from scalenet.arch.errors import ScalenetError

    if options.evaluate == "train" and options.classes:
        raise ScalenetError("--classes is for other evaluators: classes are those of the images")
    ours = ("data", "layout", "images", "held_out", "batch_size", "learning_rate", "recipe", "changes")
    unused = [name for name in ours if options.evaluate != "train" and getattr(options, name)]
    if unused:
        name = "set" if unused[0] == "changes" else unused[0].replace("_", "-")
        raise ScalenetError(f"--{name} is for scalenet's own training, and --evaluate has its own")


def _check_name(name: str | None, storage: str | None) -> None:
    """Refuse a second search in a folder, whose files would be those of the first."""
    from scalenet.arch.errors import ScalenetError

    if name is not None and storage is None:
        raise ScalenetError("--name is the search's name in a --storage", hint="-o names another folder")


def _base(options: Options, source: Source | None) -> Architecture:
    from scalenet.arch.errors import ScalenetError
    from scalenet.scaling.scaler import load
    from scalenet.training.embedded import CLASS_NAMES

    architecture = load(options.base)
    model = architecture.model
    if model.channels != 3:
        raise ScalenetError(f"{options.base} takes images of {model.channels} colours; searches have images of 3")
    classes = options.classes
    if options.evaluate == "train":
        classes = len(CLASS_NAMES if source is None else source.classes)
    model = model if classes is None else model.with_classes(classes)
    return replace(architecture, model=model.at(parse_size(options.resolution)) if options.resolution else model)


def _objective(base: Architecture, options: Options) -> Objective:
    from scalenet.arch.errors import ScalenetError
    from scalenet.costs.formula import cost
    from scalenet.search.space.objective import Objective

    own, limits = cost(base), {}
    for name, most in {"params": options.max_params, "activations": options.max_activations}.items():
        if most is None:
            continue
        limits[name], *others = parse_amounts(most, int(getattr(own, name)))
        if others:
            raise ScalenetError(f"--max-{name} {most}: one amount is wanted")
    latency = None if options.max_latency is None else parse_seconds(options.max_latency)
    if latency is not None and len(latency) > 1:
        raise ScalenetError(f"--max-latency {options.max_latency}: one time is wanted")
    return checked(Objective, goal=options.objective, ceilings=limits, latency=latency and latency[0])


def _fast_enough(asked: _Asked, begun: Plan | None) -> _Asked:
    """Drop candidates that are too slow: those that were when the search was begun, or else are by measurement."""
    from scalenet.arch.errors import ScalenetError

    limit, candidates = asked.objective.latency, asked.found.candidates
    if limit is None:
        return asked
    if begun is not None:
        kept = [candidate for candidate in candidates if candidate.name in begun.candidates]
    else:
        seconds = _latencies(asked)
        kept = [candidate for candidate in candidates if seconds[candidate.name] <= limit]
        slower = f"{len(candidates) - len(kept)} are slower than {asked.options.max_latency} here"
        note(f"{slower}; {number(len(kept), 'candidate')}")
        if not kept:
            raise ScalenetError(
                f"every candidate is slower than {asked.options.max_latency} here",
                hint=f"the fastest takes {seconds_text(min(seconds.values()))}",
            )
    return replace(asked, found=replace(asked.found, candidates=tuple(kept)))


def _latencies(asked: _Asked) -> dict[str, float]:
    """Return the median seconds of each candidate at batch 1."""
    from scalenet.costs.latency import Setup, latencies

    setup = Setup(device=_workers(asked.options, 1)[0], threads=asked.options.threads)
    candidates = asked.found.candidates
    with progress(auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=setup.runs)
        bar.refresh()
        networks = [candidate.config.architecture() for candidate in candidates]
        found = latencies(networks, setup, progress=lambda: bar.update(task, advance=1, refresh=True))
    return {candidate.name: one.median for candidate, one in zip(candidates, found, strict=True)}


def _counts(found: Enumeration, grid: Grid, objective: Objective) -> None:
    """Say how many candidates there are, and where the other points went."""
    from scalenet.search.answer.sentences import unequal
    from scalenet.search.answer.trainings import cost_spread
    from scalenet.search.space.grids import label

    limits = " and ".join(f"{most:,} {name}" for name, most in objective.ceilings.items())
    above = f"{found.over_ceilings} above {limits}, " if limits else ""
    note(
        f"{grid.name}: {number(found.points, 'point')}, {found.duplicates} round to a network already there, {above}"
        f"{found.off_target} off the target cost; {number(len(found.candidates), 'candidate')}"
    )
    if said := unequal(cost_spread([candidate.facts() for candidate in found.candidates])):
        note(said)
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


def _images(asked: _Asked, workers: int) -> Splits:
    """Read or render the images once, at the largest candidate's size, or their own where that is smaller."""
    from scalenet.training.data import embedded_splits, read
    from scalenet.training.embedded import rendered_size
    from scalenet.training.sources import native_size

    limit, source = asked.options.images, asked.source
    largest = max(max(candidate.config.model.size) for candidate in asked.found.candidates)
    if source is None:
        size = rendered_size(largest)
        return embedded_splits(size=size) if limit is None else embedded_splits(size=size, train=limit)
    with progress() as bar:
        task = bar.add_task("reading images", total=None)
        splits = read(
            _selection(asked.options, source),
            size=min(largest, native_size(source)),
            copies=1 + workers,  # each worker has them at its candidate's resolution
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in splits.skipped:
        note(f"skipped {line}")
    return splits


def _selection(options: Options, source: Source) -> Selection:
    from scalenet.training.selection import HELD_OUT, select

    fraction = HELD_OUT if options.held_out is None else options.held_out
    return select(source, seed=options.seed, limit=options.images, fraction=fraction)


def _scorer(evaluator: Evaluator | None, options: Options) -> Callable[[Candidate], dict[str, float | None]]:
    """Return what computes a candidate's training-free scores, on training images where they are known, and says so."""
    import torch

    from scalenet.search.evaluators.train import Train
    from scalenet.search.space.proxies import sample, scores

    torch.set_num_threads(options.threads)
    splits = evaluator.splits if isinstance(evaluator, Train) else None

    def score(candidate: Candidate) -> dict[str, float | None]:
        model = candidate.config.model
        images = None if splits is None else sample(splits.train, model.size, seed=options.seed)
        found = scores(model, seed=options.seed, images=images)
        note(f"{candidate.name}: " + ", ".join(f"{name} {text(value)}" for name, value in found.items()))
        return found

    return score


def _list(options: Options, *, json: bool) -> None:
    """List the candidates; nothing is trained."""
    from scalenet.training.data import stakes

    asked = _fast_enough(_asked(options), None)
    if asked.source is not None:
        note(stakes(_selection(options, asked.source)))
    score = None
    if options.proxies:
        score = _scorer(asked.evaluator or _trainer(asked, _workers(options, 1))[0][0], options)
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
        for candidate in asked.found.candidates
    ]
    hidden = ["name", "activations", "merged", *([] if any(row["distance"] for row in rows) else ["distance"])]
    if score is not None:
        hidden += ["nominal", "distance", "flops"]
        note("nothing was trained: these scores are unproven on this network and these images")
    emit_json(rows) if json else emit(rows, caption=f"FLOPs: {CONVENTION}", formats=FORMATS, hidden=hidden)
