"""Plots that are not drawn, for tests of what else a search writes: drawing them takes most of a small search's time.

There are all of them, with the bytes of an empty SVG or PNG. `tests/report` has what they look like.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, get_args

from matplotlib.figure import Figure

from scalenet.report import page
from scalenet.report.figures import Plot
from scalenet.search.folder import PlotName

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

PLAIN = "SCALENET_TESTS_PLAIN_FIGURES"
"""The environment variable with which programs of `commands` draw no figures."""

_EMPTY = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt" viewBox="0 0 1 1"/>',
    "pdf": b"%PDF-1.4",
    "png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    ),
}


def draw_none(replace: Callable[..., object] = setattr) -> None:
    """Draw no plots of a search from now on; `replace` may undo that, as pytest's `monkeypatch.setattr` does."""
    replace(Figure, "savefig", _save)
    replace(page, "plots", _plots)


def _plots(*_: object) -> list[Plot]:
    return [Plot(name, name, "", "", Figure()) for name in get_args(PlotName)]


def _save(_: object, file: io.BytesIO, *, format: str, **__: Any) -> None:
    file.write(_EMPTY[format])
