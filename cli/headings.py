"""Help under headings, in plain text as wide as the terminal: options of one `rich_help_panel` stand together."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

WIDEST = 240
"""Characters of a line of help, however wide the terminal is."""


class Command(TyperCommand):
    """A command whose help lists arguments, then options without a heading, then those of each heading."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options; headings stand in the order in which they first come."""
        found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                found.setdefault(_heading(parameter), []).append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _heading(parameter: Any) -> str:
    usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
    return getattr(parameter, "rich_help_panel", None) or usual
