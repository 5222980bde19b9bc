"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from scalenet.arch.quantities import parse_size
from scalenet.search.request import TRAIN

from .output import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.spec import Architecture
    from scalenet.checks.targets import Target as ModuleTarget
    from scalenet.training.sources import Source

IMAGES, TRAINING, MACHINE = "Images", "How it is trained", "This machine"
KEPT, OUTPUT = "Where it is kept", "Output"
"""Headings of help, in `rich_help_panel`: those that commands have in common."""

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON.", rich_help_panel=OUTPUT)]
FormatOption: TypeAlias = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How to write.  [default: table on a terminal, csv in a pipe]", rich_help_panel=OUTPUT
    ),
]
RecipeName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        envvar="SCALENET_RECIPE",
        metavar="NAME|FILE",
        help="How to train: see `scalenet recipes`.",
        rich_help_panel=TRAINING,
    ),
]
Changes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the recipe: optimizer.lr=0.1. Repeatable. [env: SCALENET_SET]",
        rich_help_panel=TRAINING,
    ),
]
Epochs: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Epochs.  [default: the recipe's]", rich_help_panel=TRAINING)
]
BatchSize: TypeAlias = Annotated[
    int | None, typer.Option(min=2, help="Images a step.  [default: the recipe's]", rich_help_panel=TRAINING)
]
LearningRate: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Peak learning rate (optimizer.lr).  [default: the recipe's]", rich_help_panel=TRAINING),
]
Device: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="SCALENET_DEVICE",
        help="cpu, cuda or cuda:1.  [default: cuda where there is one]",
        rich_help_panel=MACHINE,
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        envvar="SCALENET_WORKERS",
        help="Processes that decode images.  [default: one a core, at most 8]",
        rich_help_panel=MACHINE,
    ),
]
Storage: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="SCALENET_STORAGE",
        metavar="URL",
        help="Database of the search: postgresql://USER@HOST/DATABASE.  [default: search.db in its folder]",
        rich_help_panel=KEPT,
    ),
]
SearchName: TypeAlias = Annotated[
    str | None,
    typer.Option("--name", help="Name of the search in --storage.  [default: the folder's]", rich_help_panel=KEPT),
]
Strict: TypeAlias = Annotated[
    bool, typer.Option("--strict", help="Refuse data with images that cannot be used.", rich_help_panel=IMAGES)
]
Layout: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="auto|folders|classes|shards|cifar",
        help="How the images lie; `classes`: each folder is a class, also one called train or test.  [default: auto]",
        rich_help_panel=IMAGES,
    ),
]
Data: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="SCALENET_DATA",
        help="Folder of class folders, of train/ and val/, of shards.  [default: embedded]",
        rich_help_panel=IMAGES,
    ),
]
FewImages: TypeAlias = Annotated[
    int | None, typer.Option(min=2, help="Train on this many images only, drawn by --seed.", rich_help_panel=IMAGES)
]
HeldOut: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Share to hold out where the data have no held-out images.  [default: 0.1]", rich_help_panel=IMAGES
    ),
]
Rates: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATES",
        help="Learning rates that the pilot tries: 0.01,0.03,0.1.  [default: three around the recipe's]",
        rich_help_panel=TRAINING,
    ),
]
Trainings: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        envvar="SCALENET_WORKERS",
        help="Trainings at a time here.  [default: one a core or GPU]",
        rich_help_panel=MACHINE,
    ),
]
Threads: TypeAlias = Annotated[int, typer.Option(min=1, help="Threads of each training.", rich_help_panel=MACHINE)]
Devices: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--device",
        envvar="SCALENET_DEVICE",
        help="cpu, cuda (each worker another GPU), cuda:1, or cuda:0,cuda:2.  [default: cuda where there is one]",
        rich_help_panel=MACHINE,
    ),
]
Grace: TypeAlias = Annotated[
    int,
    typer.Option(
        min=1, help="Seconds without a sign of life after which a worker counts as dead.", rich_help_panel=KEPT
    ),
]
KeepModels: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep-models",
        help="Keep the network of each training to the end, for `evaluate`, `cam` and others.",
        rich_help_panel=KEPT,
    ),
]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Replace files that exist.", rich_help_panel=KEPT)]
ResolutionText: TypeAlias = Annotated[
    str | None, typer.Option("--resolution", metavar="SIZE", help="Input size instead of its own: 224 or 511x513.")
]
Inputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="SHAPE", help="An input of package.module:callable: 1x3x224x224, 1x77:int64, mask=1x77:bool."
    ),
]
Networks: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME|FILE|MODULE:CALLABLE…",
        help="Baselines, presets, YAML files, factories of width and depth, or any nn.Module.",
    ),
]
Target: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE|MODULE:FACTORY", help="A baseline, a preset, a YAML file or a factory."),
]


_LARGEST_PHI = 100
"""The largest φ: 2^100 times the FLOPs."""


def with_environment(given: dict[str, Any]) -> dict[str, Any]:
    """Return options as they are meant: what the environment says is for scalenet's own trainings."""
    own = given["evaluate"] == TRAIN
    meant = dict(given)
    for option in ("recipe", "data"):
        if not own and str(given[option]) == os.environ.get(f"SCALENET_{option.upper()}"):
            meant[option] = None
    if own:
        meant["changes"] = [*os.environ.get("SCALENET_SET", "").split(), *(given["changes"] or [])]
    return meant


def the_source(data: Path | None, layout: str | None, say: Callable[[str], None]) -> Source | None:
    """Return the images of a folder, if one is given, and say what was found there."""
    from scalenet.arch.errors import ScalenetError
    from scalenet.training.sources import told_source

    if data is None:
        if layout is not None:
            raise ScalenetError("--layout is for the images of --data")
        return None
    return told_source(data, layout, say)  # type: ignore[arg-type]


def load_at(target: str, resolution: str | None) -> Architecture:
    """Return the architecture of a name or file, at another input size if one is given."""
    from scalenet.scaling.scaler import load

    architecture = load(target)
    return architecture if resolution is None else architecture.at(parse_size(resolution))


def find_networks(
    targets: list[str], inputs: list[str] | None, resolution: str | None
) -> list[Architecture | ModuleTarget]:
    """Return architectures, and what stands for modules: callables with an input; without one they are factories.

    Raise ScalenetError for an option that is of none of them.
    """
    from scalenet.arch.errors import ScalenetError
    from scalenet.arch.factory import names_callable
    from scalenet.checks.inputs import check_names, parse_input
    from scalenet.checks.targets import Target as ModuleTarget

    modules = list(filter(names_callable, targets)) if inputs else []
    if inputs and not modules:
        raise ScalenetError("--input is of a module", hint="package.module:callable --input 1x3x224x224")
    if resolution and len(modules) == len(targets):
        raise ScalenetError("--resolution is of a description", hint="the --input of a module says its size")
    given = tuple(map(parse_input, inputs or ()))
    check_names(given, ", ".join(inputs or ()))
    return [
        ModuleTarget(target, given, module=target) if target in modules else load_at(target, resolution)
        for target in targets
    ]


def parse_sizes(text: str) -> int | Literal["tight"]:
    """Return the step of admissible sizes: `any` is 1."""
    from scalenet.arch.errors import ScalenetError

    if text == "tight":
        return "tight"
    if text == "any" or re.fullmatch(r"[1-9][0-9]{0,8}", text):
        return 1 if text == "any" else int(text)
    raise ScalenetError(f"sizes {text!r} are not known", hint="write any, 8, 16, 32 or tight")


def parse_phis(text: str) -> list[float]:
    """Return the values of `3`, `-1.5`, `1,2,3.5` or `1..7` (steps of 1)."""
    from scalenet.arch.errors import ScalenetError

    try:
        first, dots, last = text.partition("..")
        if not dots:
            phis = [float(word) for word in text.split(",")]
        else:
            steps = float(last) - float(first) + 1
            if not (steps.is_integer() and 1 <= steps <= 1000) or last.startswith("."):
                raise ValueError
            phis = [float(first) + step for step in range(int(steps))]
        if any(map(math.isnan, phis)):
            raise ValueError
    except (ValueError, OverflowError):
        raise ScalenetError(f"phi {text!r} is not a number or a range", hint="write 3, 1,2,3.5 or 1..7") from None
    if not all(abs(phi) <= _LARGEST_PHI for phi in phis):
        raise ScalenetError(f"phi {text!r} is too large to scale by", hint="each step doubles the FLOPs")
    return phis


def parse_shares(text: str) -> tuple[float, float, float]:
    """Return the three numbers of `0.1,0.8,0.1`."""
    from scalenet.arch.errors import ScalenetError

    try:
        depth, width, resolution = (float(word) for word in text.split(","))
    except ValueError:
        raise ScalenetError(f"shares {text!r} are not three numbers", hint="write depth,width,resolution") from None
    return depth, width, resolution


def check_folder(output: Path) -> None:
    """Refuse a folder that cannot be one before images are read."""
    from scalenet.arch.errors import ScalenetError

    if output.exists() and not output.is_dir():
        raise ScalenetError(f"{output}: is a file", hint="-o names the folder of the results")
