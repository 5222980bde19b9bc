"""Child processes that measure: others' code runs only there, each target with a time limit.

A child starts without the working directory on its import path, finds what this process would find, and gets the
project's folders only where a target names a module (`importing`).
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, cast

from scalenet.arch.spec import uses_blocks_of_this_program
from scalenet.checks.lock import TargetCost
from scalenet.checks.targets import NOT_MEASURED, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.checks.targets import Target

_START = "import sys; sys.path[:] = sys.argv[1:]; from scalenet.checks.child import serve; serve()"


def measured_in_children(
    targets: list[Target], folder: Path, time_limit: float
) -> Iterator[tuple[Target, TargetCost | Problem]]:
    """Measure targets one after another in a child process, in a new one after each that was the end of its own.

    A module's target comes back with the file and line of its callable. What no other process knows, models of blocks
    that this program registered, is measured here.
    """
    from scalenet.checks.child import told  # noqa: PLC0415 - it measures, and measuring starts children

    for target in filter(_known_here_alone, targets):
        yield _read(target, told(target, folder))
    targets = [target for target in targets if not _known_here_alone(target)]
    while targets:
        with _child(targets, folder) as (process, answers):
            lost = False
            while targets and not lost:
                target, answer = targets.pop(0), _answer(process, answers, time_limit)
                lost = isinstance(answer, _Lost)
                yield _read(target, {"problem": str(answer)} if lost else json.loads(answer))


def _known_here_alone(target: Target) -> bool:
    return target.model is not None and uses_blocks_of_this_program(target.model)


class _Lost(str):
    """Why a child answers no more."""


def _answer(process: subprocess.Popen[bytes], answers: SimpleQueue[bytes], time_limit: float) -> bytes | _Lost:
    try:
        answer = answers.get(timeout=time_limit)
    except Empty:
        return _Lost(f"took more than {time_limit:g} s (time_limit in [tool.scalenet] allows more)")
    return answer or _Lost(f"its process ended with code {process.wait()}")


def _read(target: Target, said: dict[str, Any]) -> tuple[Target, TargetCost | Problem]:
    if said.get("file"):
        target = replace(target, file=Path(said["file"]), line=said["line"])
    if "latency" in said:
        target = replace(target, latency=tuple(said["latency"]))
    if "problem" in said:
        return target, Problem(target.name, said["problem"], NOT_MEASURED)
    return target, TargetCost.model_validate(said["cost"])


@contextmanager
def _child(targets: list[Target], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], SimpleQueue[bytes]]]:
    path = [entry for entry in sys.path if entry]
    command = [sys.executable, "-P", "-c", _START, *path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answers: SimpleQueue[bytes] = SimpleQueue()
    try:
        Thread(target=_listen, args=(process.stdout, answers), daemon=True).start()
        with suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as pipe:
            pipe.write(pickle.dumps((targets, folder)))
        yield process, answers
    finally:
        process.kill()
        process.wait()


def _listen(pipe: IO[bytes], answers: SimpleQueue[bytes]) -> None:
    """Hand on each line, and at the end of all an empty one."""
    with pipe:
        for line in pipe:
            answers.put(line)
    answers.put(b"")
