"""The JSON Schema of config files, with every registered block."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from scalenet.arch.blocks import names
from scalenet.arch.config import Config
from scalenet.arch.spec import stage_record


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file; a stage is one of the registered blocks."""
    records = [stage_record(name) for name in names()]
    _, stages = models_json_schema([(record, "validation") for record in records])
    schema = TypeAdapter(Config).json_schema()
    definitions = {**schema["$defs"], **stages["$defs"]}
    definitions["StageSpec"] = {
        "oneOf": [{"$ref": f"#/$defs/{record.__name__}"} for record in records],
        "discriminator": {"propertyName": "block"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "scalenet/1",
        **schema,
        "$defs": dict(sorted(definitions.items())),
    }
