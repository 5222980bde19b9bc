"""Running one case in a process of its own, with limits, and watching what it does."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NoReturn

SECONDS = 10
"""CPU time of a case; one that waits, using and wanting next to none, is ended after as long."""
MEMORY = 1 << 30
"""Resident bytes of a case at their peak, the interpreter and torch included."""
_ADDRESSES = 2 << 30
_INSTALLED = Path(sys.executable).with_name("scalenet")


@dataclass(frozen=True, slots=True)
class Case:
    """A command line and what may come of it.

    `codes` are the exit codes that may come, `wrong` says that it must be 2. `streams` say what stdout and stderr are:
    `file`, `closed`, `full` or `gone` (a pipe that nobody reads). `installed` runs the installed program, not its entry
    in a fork of this process. `works` says that it may be asked to work or to wait for hours.
    """

    words: list[str]
    codes: frozenset[int] = frozenset({0, 2})
    wrong: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    streams: tuple[str, str] = ("file", "file")
    installed: bool = False
    works: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case did: `code` is negative for a signal; seconds are of CPUs, `memory` is in bytes.

    `before` and `after` are digests of the files in the folder.
    """

    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    waited: bool
    memory: int
    before: dict[str, str]
    after: dict[str, str]


def warm() -> None:
    """Import what commands import, so that forks need not."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", COLUMNS="100")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "SCALENET_DEBUG", "FORCE_COLOR"):
        os.environ.pop(name, None)
    import fvcore.nn  # noqa: F401, PLC0415
    import scalenet_cli.main  # noqa: F401, PLC0415
    import torch  # noqa: PLC0415
    import torch._dynamo  # noqa: PLC0415 - optimisers import it, which takes longer than a case

    import scalenet.checks.checking  # noqa: PLC0415
    import scalenet.search.study  # noqa: PLC0415
    import scalenet.training.runs  # noqa: F401, PLC0415

    torch.set_num_threads(1)
    gc.freeze()


def run(case: Case, folder: Path) -> Outcome:
    """Run a case in a folder, where its files lie."""
    before = files(folder)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(case, folder, out.fileno(), err.fileno())
        status, usage, waited = _watch(child, start)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it left running
        out.seek(0)
        err.seek(0)
        return Outcome(
            code=os.waitstatus_to_exitcode(status),
            stdout=out.read(),
            stderr=err.read(),
            seconds=usage.ru_utime + usage.ru_stime,
            waited=waited,
            memory=usage.ru_maxrss * 1024,
            before=before,
            after=files(folder),
        )


def _watch(child: int, start: float) -> tuple[int, resource.struct_rusage, bool]:
    """Wait for a process; the kernel ends one that computes too long, and this one that waits too long."""
    waited = False
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage, waited
        elapsed = time.monotonic() - start
        if not waited and elapsed > SECONDS and (_at_work(child) < elapsed / 20 or elapsed > 30 * SECONDS):
            waited = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(min(0.05, max(0.001, elapsed / 20)))


def _at_work(process: int) -> float:
    """Return how many seconds a process and all that descend from it had a CPU, or stood in line for one."""
    family, seconds = {process}, 0.0
    for number in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()):
        with contextlib.suppress(OSError):  # gone meanwhile
            fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if number in family or int(fields[1]) in family:
                family.add(number)
                seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
                for thread in Path(f"/proc/{number}/task").iterdir():
                    seconds += int((thread / "schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return seconds


def _become(case: Case, folder: Path, out: int, err: int) -> NoReturn:
    """Become the command: with its streams, its limits, its words and its environment."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(case.environment)
        _redirect(0, "null", 0)
        _redirect(1, case.streams[0], out)
        _redirect(2, case.streams[1], err)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 2, SECONDS + 4))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        if case.installed:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as a shell starts programs
            os.execv(_INSTALLED, ["scalenet", *case.words])
        code = _called(case.words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _redirect(number: int, what: str, file: int) -> None:
    if what == "file":
        os.dup2(file, number)
    elif what == "closed":
        os.close(number)
    elif what == "gone":
        reader, writer = os.pipe()
        os.dup2(writer, number)
        os.close(reader)
        os.close(writer)
    else:
        os.dup2(os.open(f"/dev/{what}", os.O_RDWR), number)


def _called(words: list[str]) -> int:
    from scalenet_cli.main import main  # noqa: PLC0415

    sys.argv = ["scalenet", *words]
    sys.modules["__main__"] = ModuleType("__main__")  # the processes that it starts shall not run this script again
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    try:
        main()
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1


def files(folder: Path) -> dict[str, str]:
    """Return what lies below a folder: a digest of each file, and what else is there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = oct(path.lstat().st_mode)
    return found
