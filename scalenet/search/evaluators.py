"""Evaluators: what says how accurate a candidate is.

`train` is scalenet's own training (`evaluation.Train`). A command runs the user's own trainer, a function is called,
and a table has known results. All take a job and give a result, and report how far they are in between.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeAlias

from scalenet.arch.errors import PlainError, RunError, ScalenetError, UnknownNameError, nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from scalenet.arch.config import Config
    from scalenet.search.schedule import Key


@dataclass(frozen=True, slots=True)
class Job:
    """A candidate to be evaluated once.

    `config` is the candidate's, `file` where it lies. `seed` is that of all random numbers, `budget` how long to train,
    in the evaluator's units (epochs; None where it knows by itself), and `folder` the job's own, for checkpoints and
    logs; it may not exist yet. A job of the same folder with a larger budget may go on from what lies there.
    """

    candidate: str
    config: Config
    file: Path
    seed: int
    budget: int | None
    folder: Path

    def __str__(self) -> str:
        return f"{self.candidate} seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Report:
    """How far an evaluation is: `done` of its budget, and the accuracy then, where it is known."""

    done: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What an evaluation gave.

    `accuracy` is a fraction, held-out top-1 in scalenet's own trainings, and None where the training diverged; `loss`,
    the number of `images` trained on and whether all held-out images were taken for `one_class` are None where they are
    not known, `seconds` are wall time.
    """

    candidate: str
    seed: int
    accuracy: float | None
    loss: float | None
    seconds: float
    images: int | None
    one_class: bool | None = None


Tell: TypeAlias = "Callable[[Report], None]"


class Evaluator(Protocol):
    """Evaluates jobs, in a process of its own that another one may start and kill; it must survive pickling."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise ScalenetError where jobs cannot be evaluated, before the first one is."""

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Evaluate a job, and tell how far it is; raise RunError where it fails."""


def find_evaluator(text: str) -> Evaluator:
    """Return the evaluator of `table:FILE`, `package.module:function`, or a command with placeholders."""
    if text.startswith("table:"):
        return Table(Path(text.removeprefix("table:")).absolute())
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return Function(text, str(Path.cwd()))
    if not re.search(r"[\s{]", text):
        raise ScalenetError(
            f"{text!r} is no evaluator",
            hint=nearest(text, ["train", "table:"]) or "write train, table:FILE, package.module:function, or a command",
        )
    return Command(text)


@dataclass(frozen=True, slots=True)
class Command:
    """The user's own trainer, run without a shell.

    Placeholders are {config}, {budget}, {seed}, {folder} and {name}. On stdout each line that is a JSON object with
    `accuracy` is a report, with `epoch` beside it, and the last of them the result. All else of stdout and stderr goes
    to `log.txt` in the job's folder.
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
        program = self._words()[0]
        if shutil.which(program) is None:
            raise ScalenetError(f"--evaluate: {program}: no such program")

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Run the command; its processes end with it."""
        job.folder.mkdir(parents=True, exist_ok=True)
        log, started = job.folder / "log.txt", time.perf_counter()
        last: Mapping[str, Any] = {}
        with (
            log.open("w", encoding="utf-8") as file,
            contextlib.closing(_run(self._filled(job), file, job, log)) as lines,
        ):
            for line in lines:
                found = _reported(line)
                if "accuracy" in found:
                    last = found
                if "epoch" in found:
                    tell(Report(_number(found["epoch"]) or 0.0, fraction(found.get("accuracy"), f"{job}, {log}")))
                if not found:
                    file.write(line)
                    file.flush()
        if not last:
            raise RunError(f'{job}: no line like {{"accuracy": 0.51}} on stdout, see {log}')
        accuracy = fraction(last["accuracy"], str(job))
        seconds = round(time.perf_counter() - started, 2)
        return Result(job.candidate, job.seed, accuracy, _number(last.get("loss")), seconds, None)

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
            "folder": str(job.folder.absolute()),
            "name": job.candidate,
        }
        return [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in self._words()]


_PLACEHOLDERS = ("config", "budget", "seed", "folder", "name")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Function:
    """A function, as `package.module:function`, found in `folder` or where Python looks.

    It is called as `function(architecture, budget=, seed=, folder=, report=)` with the candidate's
    `scalenet.Architecture` and returns its accuracy, a fraction, or None where the training diverged. It may call
    `report(epochs, accuracy)` meanwhile. What it prints goes to stderr.
    """

    path: str
    folder: str

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse a function that cannot be imported, and jobs without a budget."""
        self._found()
        if any(job.budget is None for job in jobs):
            raise ScalenetError(f"--evaluate {self.path} wants a budget", hint="--epochs says how much it is")

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Call the function; the traceback of what it raises goes to `log.txt` in the job's folder."""
        function, started = self._found(), time.perf_counter()
        job.folder.mkdir(parents=True, exist_ok=True)
        try:
            accuracy = function(
                job.config.architecture(),
                budget=job.budget,
                seed=job.seed,
                folder=job.folder,
                report=lambda done, accuracy=None: tell(Report(float(done), fraction(accuracy, f"report({done})"))),
            )
        except (Exception, SystemExit) as error:
            log = job.folder / "log.txt"
            log.write_text(traceback.format_exc(), encoding="utf-8")
            raise RunError(f"{job}: {_said(error)}, see {log}") from None
        seconds = round(time.perf_counter() - started, 2)
        return Result(job.candidate, job.seed, fraction(accuracy, str(job)), None, seconds, None)

    def _found(self) -> Callable[..., Any]:
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        place, _, name = self.path.partition(":")
        try:
            found: Callable[..., Any] = attrgetter(name)(import_module(place))
        except (Exception, SystemExit) as error:
            raise ScalenetError(f"--evaluate {self.path}: cannot be imported: {_said(error)}") from None
        if not callable(found):
            raise ScalenetError(f"--evaluate {self.path}: is {type(found).__name__}, not a function")
        return found


@dataclass(frozen=True)
class Table:
    """Known results: a CSV file with the columns name, seed, accuracy, or the `candidates.csv` of a search.

    With a column `budget` each row speaks for that budget only; where all have the same, also for jobs without one. An
    empty accuracy is a training that diverged.
    """

    file: Path
    rows: dict[Key, float | None] = field(init=False)

    def __post_init__(self) -> None:
        """Read the file."""
        try:
            with self.file.open(encoding="utf-8-sig", newline="") as lines:  # Excel writes a byte-order mark
                rows = self._read(csv.DictReader(lines))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ScalenetError(f"{self.file}: {reason}") from None
        except csv.Error as error:  # a cell without end, a null character
            raise ScalenetError(f"{self.file}: no table: {error}") from None
        object.__setattr__(self, "rows", rows)

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse jobs that the table has no results of."""
        missing = [job for job in jobs if self._key(job) not in self.rows]
        if missing:
            first, (*_, budget) = missing[0], self._key(missing[0])
            names = {name for name, _, _ in self.rows}
            same = [(seed, known) for name, seed, known in self.rows if name == first.candidate]
            seeds = sorted({seed for seed, known in same if known == budget})
            others = sorted({known for seed, known in same if seed == first.seed and known is not None})
            hint = nearest(first.candidate, names)
            if seeds or others:
                hint = f"it has {'seeds' if seeds else 'budgets'} {', '.join(map(str, seeds or others))}"
                hint += "" if seeds or budget is not None else "; --epochs asks for one"
            wanted = f"{first}" if budget is None else f"{first} with budget {budget}"
            raise ScalenetError(
                f"{self.file}: no {wanted}; {len(missing)} of {len(jobs)} results are missing", hint=hint
            )

    def evaluate(self, job: Job, tell: Tell) -> Result:  # noqa: ARG002 - as the others
        """Return the known result."""
        return Result(job.candidate, job.seed, self.rows[self._key(job)], None, 0.0, None)

    @cached_property
    def _budgets(self) -> set[int | None]:
        return {budget for _, _, budget in self.rows}

    def _key(self, job: Job) -> Key:
        alike = len(self._budgets) == 1 and None in (job.budget, *self._budgets)
        return job.candidate, job.seed, next(iter(self._budgets)) if alike else job.budget

    def _read(self, reader: csv.DictReader[str]) -> dict[Key, float | None]:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        if twice := [name for name in filter(None, columns) if columns.count(name) > 1]:
            raise ScalenetError(f"{self.file}:1: several columns {twice[0]}")
        wide = {name: int(match[1]) for name in columns if (match := re.fullmatch(r"accuracy_seed(\d+)", name))}
        if "name" not in columns or not (wide or {"seed", "accuracy"} <= set(columns)):
            raise ScalenetError(
                f"{self.file}: expected the columns name, seed, accuracy; found {', '.join(columns) or 'none'}"
            )
        rows: dict[Key, float | None] = {}
        for row in reader:
            place = f"{self.file}:{reader.line_num}"
            for key, accuracy in _results(row, wide, place):
                if rows.setdefault(key, accuracy) != accuracy:
                    same = f"{key[0]} seed {key[1]}" + ("" if key[2] is None else f" with budget {key[2]}")
                    raise ScalenetError(f"{place}: another accuracy of {same}", hint="leave one row of it")
        return rows


def _results(row: Mapping[str, Any], wide: Mapping[str, int], place: str) -> Iterator[tuple[Key, float | None]]:
    """Yield the results of a table's row, by name, seed and budget; `wide` are its columns with an accuracy a seed."""
    if None in row:
        hint = "decimals have a point, and text with commas stands in quotes"
        raise ScalenetError(f"{place}: more cells than columns", hint=hint)
    if None in row.values():
        hint = "is it cut off? a training that diverged has an empty accuracy"
        raise ScalenetError(f"{place}: fewer cells than columns", hint=hint)
    budget = _whole(row["budget"], f"{place}: budget") if row.get("budget") else None
    for column, seed in (wide or {"accuracy": _whole(row["seed"], f"{place}: seed")}).items():
        if row[column] or not wide or row.get("diverged", "0") != "0":  # else this seed is yet to be trained
            yield (row["name"], seed, budget), _cell(row[column], place)


def fraction(value: Any, place: str) -> float | None:
    """Return an accuracy; None and NaN are trainings that diverged; raise RunError for what is not a fraction."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise RunError(f"{place}: accuracy {value!r} is not a fraction between 0 and 1")
    return number


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        return None


def _cell(text: str, place: str) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        number = -1.0
    try:
        return fraction(number, place)
    except RunError:
        raise ScalenetError(f"{place}: accuracy {text!r} is not a fraction between 0 and 1") from None


def _whole(text: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ScalenetError(f"{place} {text!r} is not a whole number") from None


def _run(words: list[str], stderr: TextIO, job: Job, log: Path) -> Generator[str]:
    """Yield the lines of a program's stdout; it and its children end with this, and with this process."""
    with subprocess.Popen(
        _following(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield from process.stdout
            code = process.wait()
        finally:
            _end(process)
    if code:
        *_, last = log.read_text(encoding="utf-8", errors="replace").split("\n")[-2:-1] or [""]
        raise RunError(f"{job}: exit code {code}, see {log}", hint=last.strip()[:_LONGEST] or None)


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and its children; `torchrun` needs a moment to end what it has started in other sessions."""
    running = process.poll() is None
    with contextlib.suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
        if running:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _following(words: list[str]) -> list[str]:
    """Return a command that is also told to end when this process is killed, which only Linux can do."""
    if sys.platform != "linux":
        return words
    return [sys.executable, "-I", "-S", "-c", _FOLLOWER, str(os.getpid()), *words]


# Not a preexec_fn: what a signal's handler raises while Python forks is lost.
_FOLLOWER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and not to be by the program
    signal.signal(ignored, signal.SIG_DFL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
_GRACE = 10.0
_LONGEST = 200


def _reported(line: str) -> Mapping[str, Any]:
    """Return what a line reports, or nothing where it is no report."""
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict) and found.keys() & {"accuracy", "epoch"}:
            return found
    return {}


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, PlainError) else one_line(error)
