"""`scalenet cam`: where do networks look?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalenet.arch.words import percentage

from .errors import plain_errors
from .options import IMAGES, KEPT, Device, Force, Json
from .output import emit, emit_json, note, points

if TYPE_CHECKING:
    from scalenet.studies.maps import ActivationMaps

_EMBEDDED = 200


@plain_errors
def cam(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER… IMAGE…", help="Trainings, imports or files of weights, and the images to look at."
        ),
    ],
    of: Annotated[
        str,
        typer.Option("--class", metavar="top|true|NAME", help="Map each model's own answer, the true class, or this."),
    ] = "top",
    objects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the objects are, as CSV: image,left,top,right,bottom or image,mask; class if known.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"Held-out images of the embedded task.  [default: {_EMBEDDED} where no image is given]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Images of the figure, the first ones.", rich_help_panel=KEPT)] = 4,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for figure, table and maps.", rich_help_panel=KEPT),
    ] = Path("runs/cam"),
    device: Device = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw class activation maps of trained models side by side (paper, Fig. 7), and say how much is on the object.

    \b
    scalenet cam runs/small runs/scaled cat.jpg dog.jpg
    scalenet cam runs/small runs/scaled --class true --images 500
    """
    import scalenet
    from scalenet.arch.errors import ScalenetError
    from scalenet.studies.maps import check_free, parted

    check_free(output, force=force)
    models, files = parted(places)
    if images is not None and (files or objects):
        raise ScalenetError("--images are embedded ones", hint="leave it out, or the files and --objects")
    embedded = None if files or objects else images or _EMBEDDED
    found = scalenet.cam(models, embedded or files, of=of, objects=objects, rows=rows, device=device, say=note)
    written = found.save(output, force=force)
    note(f"{', '.join(file.name for file in written)} in {output}")
    _answer(found, json=json)


def _answer(found: ActivationMaps, *, json: bool) -> None:
    rows = found.summary()
    if json:
        emit_json({"models": rows, "images": found.frame().to_dict("records")})
        return
    known = rows[0]["on_object"] is not None
    hidden = () if known else ("on_object", "interval", "gain", "gain_interval", "area")
    formats = dict.fromkeys(("top1", "on_object", "interval", "gain_interval", "area"), percentage) | {"gain": points}
    emit(rows, formats=formats, hidden=hidden, caption=_CAPTION if known else None)


_CAPTION = (
    "on object: the share of a map's positive values there, ± its 95 % interval over images; a uniform map has `area`. "
    "gain: the difference to the first model, paired. Other trainings of the same networks differ besides."
)
