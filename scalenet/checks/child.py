"""What runs in a child process: each target's answer is a line of JSON, its cost or the problem with it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import PlainError, one_line
from scalenet.checks.importing import found, let_in, made, place_of
from scalenet.checks.measuring import described_cost, module_cost

if TYPE_CHECKING:
    from pathlib import Path

    from scalenet.checks.targets import Target

_LONGEST = 300


def serve() -> None:
    """Read targets and the project's folder from stdin, and answer for each of them on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends this process
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a module prints is no data of ours
    targets, folder = _asked()
    if any(target.module for target in targets):
        let_in(folder)
    for target in targets:
        answers.write(json.dumps(_told(target, folder)) + "\n")
        answers.flush()


def _asked() -> tuple[list[Target], Path]:
    targets, folder = pickle.load(sys.stdin.buffer)  # our own parent's
    return targets, folder


def _told(target: Target, folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = {}
    try:
        if target.model is not None:
            said["cost"] = described_cost(target.model, target.inputs).model_dump(mode="json")
        else:
            factory = found(str(target.module), folder)
            said["file"], said["line"] = place_of(factory)
            said["cost"] = module_cost(made(factory), target.inputs, target.accept).model_dump(mode="json")
    except PlainError as error:
        said["problem"] = str(error)
    except BaseException as error:  # modules are others' code, and may even leave
        said["problem"] = one_line(error)[:_LONGEST]
    return said
