"""Figures that are not drawn, for tests of what else a search writes: drawing them takes most of a small search's time.

They have the bytes of an empty SVG or PNG. `tests/report` has what figures look like.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import io

PLAIN = "SCALENET_TESTS_PLAIN_FIGURES"
"""The environment variable with which programs of `commands` draw no figures."""

_EMPTY = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt" viewBox="0 0 1 1"/>',
    "png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    ),
}


def save(_: object, file: io.BytesIO, *, format: str, **__: Any) -> None:
    """Stand in for `Figure.savefig`."""
    file.write(_EMPTY[format])
