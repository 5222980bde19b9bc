"""Python programs run as a shell runs them, in forks of a server that has imported what they need.

A fork is ready in a tenth of a second, where a new interpreter imports torch for two. `run` waits for a program as
`subprocess.run` does, `start` does not, and `Child` stands in for `subprocess.Popen` with pipes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from plain_figures import PLAIN, draw_none

from scalenet.checks import children

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = [
    *("commands", "scalenet_cli.main", "scalenet.checks.child", "scalenet.costs.counter", "scalenet.report.page"),
    *("scalenet.search.evaluators.train", "scalenet.search.study", "scalenet.training.runs"),
    *("fvcore.nn", "matplotlib.figure", "pandas", "scipy.stats"),
    "torch._dynamo",  # optimisers import it, for a second
]
SCALENET = (sys.executable, "-m", "scalenet_cli")
_started: list[Program] = []


def warm() -> None:
    """Start the server, before a search in this process starts one that has imported less."""
    _CONTEXT.set_forkserver_preload(_PRELOADED)
    forkserver.ensure_running()


def run(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `[*SCALENET, …]` or `[sys.executable, "-c", CODE, …]`, stdout and stderr captured as text.

    Its own workers are forked from the same server: they are no children of it, and what they print goes elsewhere.
    """
    process = Program(command, cwd=cwd, env=env, session=False)
    done = subprocess.CompletedProcess(list(command), process.wait(), *process.communicate())
    if check:
        done.check_returncode()
    return done


def run_on_terminal(command: Sequence[str], *, env: Mapping[str, str]) -> tuple[int, str]:
    """Run such a program with a terminal as its stdout; return its exit code and what was shown there."""
    master, slave = pty.openpty()
    process = _Fork(command, {1: os.ttyname(slave), 2: os.devnull}, cwd=None, env=env, session=False)
    shown = b""
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        if select.select([master], [], [], 0.02)[0]:
            shown += os.read(master, 65536)
    os.close(slave)
    os.close(master)
    return process.wait(), shown.decode()


def start(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Program:
    """Start such a program in a process group of its own, where it hears Ctrl-C also where pytest does not.

    Its workers are forked from a server that it starts for them, as always but in `run`. What still runs of it when the
    test is over is killed.
    """
    program = Program(command, cwd=cwd, env=env, session=True)
    _started.append(program)
    return program


def end() -> None:
    """Kill what was started and still runs, and all that it started in its group."""
    while _started:
        program = _started.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


class _Fork:
    """A process, with the names that `subprocess.Popen` has."""

    def __init__(
        self,
        command: Sequence[str],
        streams: Mapping[int, str | Connection],
        *,
        cwd: Path | None,
        env: Mapping[str, str] | None,
        session: bool,
    ) -> None:
        self.args = [str(word) for word in command]
        assert self.args[0] == sys.executable
        if multiprocessing.parent_process() is None:
            warm()
        environment = dict(os.environ if env is None else env)
        place = str(cwd or Path.cwd())
        self.process = _CONTEXT.Process(target=_become, args=(self.args[1:], place, environment, streams, session))
        self.process.start()
        assert self.process.pid is not None
        self.pid: int = self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Program(_Fork):
    """A program whose output is read once it has ended, or as far as it goes."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path | None, env: Mapping[str, str] | None, session: bool
    ) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.files = [self.folder / name for name in ("stdout", "stderr")]
        streams: dict[int, str | Connection] = {number: str(file) for number, file in enumerate(self.files, 1)}
        for file in self.files:
            file.touch()
        super().__init__(command, streams, cwd=cwd, env=env, session=session)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return its stdout and stderr."""
        if self.files:
            self.wait(timeout)
            self.output = tuple(file.read_text(encoding="utf-8") for file in self.files)
            self.files.clear()
            shutil.rmtree(self.folder)
        return self.output

    def says(self, words: str, timeout: float = 60.0) -> bool:
        """Wait until its stderr has these words; return whether it came to that."""
        deadline = time.monotonic() + timeout
        while words not in self.files[1].read_text(encoding="utf-8"):
            if time.monotonic() > deadline or self.poll() is not None:
                return False
            time.sleep(0.02)
        return True


class Child(_Fork):
    """A program that is written to and read from by pipes."""

    def __init__(self, command: Sequence[str], *, stdin: int, stdout: int) -> None:
        assert stdin == stdout == subprocess.PIPE
        (theirs, ours), (out, into) = _CONTEXT.Pipe(duplex=False), _CONTEXT.Pipe(duplex=False)
        self.stdin, self.stdout = os.fdopen(os.dup(ours.fileno()), "wb"), os.fdopen(os.dup(out.fileno()), "rb")
        super().__init__(command, {0: theirs, 1: into}, cwd=None, env=None, session=False)
        for end in (theirs, ours, out, into):
            end.close()


CHILDREN = SimpleNamespace(Popen=Child, PIPE=subprocess.PIPE)
"""Stands in for `subprocess` where targets are measured."""


def _become(
    words: list[str], folder: str, environment: dict[str, str], streams: Mapping[int, str | Connection], session: bool
) -> None:
    """Be a program, as Python is with these words."""
    for number, stream in streams.items():
        file = os.open(stream, os.O_WRONLY) if isinstance(stream, str) else stream.fileno()
        os.dup2(file, number)
        os.close(file) if isinstance(stream, str) else stream.close()
    if 0 in streams:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if PLAIN in os.environ:
        draw_none()
    if session:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    else:
        _share_the_server()
    how, what, *rest = [word for word in words if word != "-P"]
    if how == "-m":
        from scalenet_cli.entry import main

        assert what == "scalenet_cli"
        sys.argv = ["scalenet", *rest]
        main()
    else:
        assert how == "-c"
        sys.argv = ["-c", *rest]
        exec(what, {"__name__": "__main__"})


def _share_the_server() -> None:
    """Let what this process starts be forked from the server that it was forked from: Python would start another."""
    forkserver.ensure_running.__self__.ensure_running = lambda: None  # type: ignore[attr-defined]
    children.subprocess = CHILDREN  # type: ignore[attr-defined]
