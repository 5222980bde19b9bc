"""The user's own trainer, as a command."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import RunError, ScalenetError, UnknownNameError
from scalenet.search.evaluators.base import Report, Result, check_rates, fraction, number
from scalenet.search.evaluators.files import of_command
from scalenet.search.evaluators.processes import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalenet.search.evaluators.base import Job, Tell


@dataclass(frozen=True, slots=True)
class Command:
    """The user's own trainer, run without a shell.

    Placeholders are {config}, {budget}, {seed}, {learning_rate}, {folder} and {name}. On stdout each line that is a
    JSON object with `accuracy` is a report, with `epoch` beside it, and the last of them the result. All else of stdout
    and stderr goes to `log.txt` in the job's folder.
    """

    text: str

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse unknown placeholders, a command that ignores what differs between jobs, and a missing program."""
        used = set(_PLACEHOLDER.findall(self.text))
        for name in sorted(used - set(_PLACEHOLDERS)):
            listing = f"known: {', '.join(f'{{{known}}}' for known in _PLACEHOLDERS)}"
            raise UnknownNameError("placeholder", name, _PLACEHOLDERS, listing=listing)
        if not used & {"config", "name"}:
            raise ScalenetError("--evaluate has no {config}: every candidate would get the same result")
        if "seed" not in used and len({job.seed for job in jobs}) > 1:
            raise ScalenetError("--evaluate has no {seed}, so that seeds would not differ", hint="add it, or --seeds 1")
        if "budget" in used and any(job.budget is None for job in jobs):
            raise ScalenetError("--evaluate has {budget}", hint="--epochs says how much it is")
        rated = "learning_rate" in used
        what = "--evaluate with {learning_rate}" if rated else "--evaluate without {learning_rate}"
        check_rates(jobs, takes=rated, needs=rated, what=what)
        program = self._words()[0]
        if shutil.which(program) is None:
            raise ScalenetError(f"--evaluate: {program}: no such program")

    def sources(self) -> dict[str, str]:
        """Return digests of the files of one's own that the command reads and runs."""
        return {str(file): _digest(file) for file in of_command(self._words())}

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Run the command; its processes end with it."""
        job.folder.mkdir(parents=True, exist_ok=True)
        log, started = job.folder / "log.txt", time.perf_counter()
        last: Mapping[str, Any] = {}
        with (
            log.open("w", encoding="utf-8") as file,
            contextlib.closing(run(self._filled(job), file, job, log)) as lines,
        ):
            for line in lines:
                found = _reported(line)
                if "accuracy" in found:
                    last = found
                if "epoch" in found:
                    tell(Report(number(found["epoch"]) or 0.0, fraction(found.get("accuracy"), f"{job}, {log}")))
                if not found:
                    file.write(line)
                    file.flush()
        if not last:
            raise RunError(f'{job}: no line like {{"accuracy": 0.51}} on stdout, see {log}')
        accuracy = fraction(last["accuracy"], str(job))
        seconds = round(time.perf_counter() - started, 2)
        return Result(job.candidate, job.seed, accuracy, number(last.get("loss")), seconds, None)

    def _words(self) -> list[str]:
        try:
            words = shlex.split(self.text)
        except ValueError as error:
            raise ScalenetError(f"--evaluate: {str(error).lower()}: {self.text}") from None
        return words or [""]

    def _filled(self, job: Job) -> list[str]:
        values = {
            "config": str(job.file.absolute()),
            "budget": "" if job.budget is None else str(job.budget),
            "seed": str(job.seed),
            "learning_rate": "" if job.learning_rate is None else str(job.learning_rate),
            "folder": str(job.folder.absolute()),
            "name": job.config.name,
        }
        return [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in self._words()]


_PLACEHOLDERS = ("config", "budget", "seed", "learning_rate", "folder", "name")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


def _reported(line: str) -> Mapping[str, Any]:
    """Return what a line reports, or nothing where it is no report."""
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict) and found.keys() & {"accuracy", "epoch"}:
            return found
    return {}


def _digest(file: Path) -> str:
    """Return the SHA-256 of a file, of whatever size."""
    with file.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
