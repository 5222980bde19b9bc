"""Commands run as a shell runs them, in forks of a server that has imported them: a tenth of a second each."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["commands", "scalenet_cli.main", "scalenet.search.evaluators.train", "pandas"])
SCALENET = (sys.executable, "-m", "scalenet_cli")


def run(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `SCALENET` with words as `subprocess.run` does, stdout and stderr captured as text.

    Its own workers are forked from the same server, so that they are no children of it.
    """
    assert tuple(command[:3]) == SCALENET
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        environment = dict(os.environ if env is None else env)
        words = (list(command[3:]), str(cwd or Path.cwd()), environment, *map(str, outputs))
        process = _CONTEXT.Process(target=_be_command, args=words)
        process.start()
        process.join()
        stdout, stderr = (path.read_text(encoding="utf-8") for path in outputs)
    assert process.exitcode is not None
    done = subprocess.CompletedProcess(list(command), process.exitcode, stdout, stderr)
    if check:
        done.check_returncode()
    return done


def _be_command(words: list[str], folder: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["scalenet", *words]
    from scalenet_cli.main import main

    main()
