"""`scalenet schema`: the JSON Schema of config files, for editors."""

from __future__ import annotations

from .errors import plain_errors
from .output import emit_json


@plain_errors
def schema() -> None:
    """Print the JSON Schema of config files, so that editors complete and check them."""
    from scalenet.arch.schema import json_schema

    emit_json(json_schema())
