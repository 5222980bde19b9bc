"""Help under headings, in plain text as wide as the terminal: options of one `rich_help_panel` stand together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

C = TypeVar("C", bound="Callable[..., Any]")

WIDEST = 240
"""Characters of a line of help, however wide the terminal is."""


def under(headings: Mapping[str, str]) -> Callable[[C], C]:
    """Let a command show options that it shares with others under headings of its own."""

    def mark(command: C) -> C:
        command.headings = headings  # type: ignore[attr-defined]
        return command

    return mark


class Command(TyperCommand):
    """A command whose help lists arguments, then options without a heading, then those of each heading."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options; headings stand in the order in which they first come."""
        renamed: Mapping[str, str] = getattr(self.callback, "headings", {})
        found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = _heading(parameter)
                found.setdefault(renamed.get(heading, heading), []).append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _heading(parameter: Any) -> str:
    usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
    return getattr(parameter, "rich_help_panel", None) or usual
