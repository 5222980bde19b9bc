"""Folders of results: which files a run writes there, whose a folder is, and what goes when it is begun anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import sweep

if TYPE_CHECKING:
    from pathlib import Path


def check_folder(folder: Path) -> None:
    """Refuse a folder of results that cannot be one, before anything takes time."""
    if folder.exists() and not folder.is_dir():
        raise ScalenetError(f"{folder}: is a file", hint="name another folder for the results")


@dataclass(frozen=True, slots=True)
class Results:
    """The folders of one `kind` of run: `record` is the file that says what was run, `own` are patterns of them all."""

    kind: str
    record: str
    own: tuple[str, ...]

    def recorded(self, folder: Path) -> Path | None:
        """Return the file that says what was run in a folder, or None for a folder that is free.

        Raise ScalenetError where files lie there that a run would write over.
        """
        record = folder / self.record
        if record.is_file():
            return record
        for other in self.files(folder):
            hint = "give another folder with -o, or write over it with --force"
            raise ScalenetError(f"{other}: is no {self.kind}'s", hint=hint)
        return None

    def files(self, folder: Path) -> list[Path]:
        """Return the files of a run that lie in a folder."""
        return [file for pattern in self.own for file in folder.glob(pattern)]

    def discard(self, folder: Path) -> None:
        """Remove the files of a run, and nothing else that lies there."""
        for file in self.files(folder):
            if not file.is_dir():
                file.unlink(missing_ok=True)

    def sweep(self, folder: Path) -> None:
        """Remove what killed processes left half-written, as `files.sweep` does."""
        for pattern in self.own:
            sweep(folder, pattern)
