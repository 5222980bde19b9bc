"""`scalenet inherit`: trained weights as those of the same network at another scale."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scalenet.arch.words import percentage

from .errors import plain_errors
from .options import IMAGES, KEPT, Device, Force, Json, Layout, the_source
from .output import emit, emit_json, note


@plain_errors
def inherit(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS", help="A file of weights, or the folder of a training, import or inheritance."
        ),
    ],
    config: Annotated[
        str, typer.Option("--config", metavar="NAME|FILE", help="Their network at another scale: see `scalenet scale`.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="SCALENET_DATA",
            help="Images as for `train`, to estimate statistics from and to count right answers.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    layout: Layout = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="Seed of the shares of copied channels, and of new blocks.")
    ] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.", rich_help_panel=KEPT)
    ] = Path("runs/inherited"),
    device: Device = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write trained weights as those of their network at another scale, which `train --init` and `evaluate` take.

    A larger network begins with the outputs of the small one, compared before anything is written. A smaller one keeps
    the channels and blocks that do most.

    \b
    scalenet scale runs/base/config.yaml --phi 1 -o bigger.yaml
    scalenet inherit runs/base --config bigger.yaml -o runs/bigger
    """
    import scalenet

    found = scalenet.inherit(
        weights,
        config,
        output,
        data=the_source(data, layout, note),
        seed=seed,
        device=device,
        force=force,
        say=note,
    )
    row = {**asdict(found), "folder": str(found.folder)}
    if json:
        emit_json(row)
        return
    shown = ("folder", "network", "params", "added", "dropped", "channels_dropped", "difference", "before", "after")
    hidden = tuple(key for key in shown if row[key] is None)
    formats = {"params": "{:,}".format, "before": percentage, "after": percentage, "difference": "{:.1g}".format}
    emit([{key: row[key] for key in shown}], formats=formats, hidden=hidden)
