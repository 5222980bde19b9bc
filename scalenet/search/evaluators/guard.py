"""Run a program, and end all that it has started with it (Linux).

Run as a script: `guard.py PROGRAM …`. Whoever asked for it holds the other end of stdin; once that closes, because it
was killed for example, the program, its children and theirs are killed at once, in whatever session they are. They are
also killed when the program ends by itself. The exit code is the program's own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time

_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36  # of prctl(2)
_PAUSE = 0.005


def main(words: list[str]) -> None:
    """Run a program, and end as it ends."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_SUBREAPER, 1)  # whose parent dies becomes a child of this process, and is found
    signal.signal(signal.SIGTERM, lambda *_: None)  # it is for the program, and comes to the whole group
    program = os.fork()
    if not program:
        prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        _become(words)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    status = _wait_for(program)
    _end_children()
    _end_as(status)


def _become(words: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and not to be by the program
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        print(f"{words[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    while True:
        _kill_children()
        time.sleep(_PAUSE)


def _wait_for(program: int) -> int:
    while True:
        number, status = os.waitpid(-1, 0)
        if number == program:
            return status


def _end_children() -> None:
    """Kill all children, and those that become ours when their parents are gone."""
    while True:
        _kill_children()
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            time.sleep(_PAUSE)


def _kill_children() -> None:
    for number in _children():
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _children() -> list[int]:
    """Return the children of this process."""
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes a while to import
        try:
            with open(f"/proc/{name}/stat", errors="replace") as file:  # noqa: PTH123
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == own:
            found.append(int(name))
    return found


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
