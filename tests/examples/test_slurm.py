"""The batch script of the SLURM example, with a search and a SLURM that only note what they are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm" / "search.sbatch"

SEARCH = """\
#!{python}
import json, pathlib, sys, time
pathlib.Path("told").write_text(json.dumps(sys.argv[1:]))
try:
    time.sleep({seconds})
except KeyboardInterrupt:
    time.sleep(0.2)
    sys.exit(130)
sys.exit({code})
"""


def begin(folder: Path, *, seconds: float, code: int = 0, **changes: str) -> subprocess.Popen[str]:
    """Start the script in a folder with a search that takes so long."""
    for name, text in {
        "scalenet": SEARCH.format(python=sys.executable, seconds=seconds, code=code),
        "scontrol": '#!/bin/sh\necho "$@" > requeued\n',
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "41", **changes}
    # Where the tests run in the background SIGINT is ignored, which a shell cannot change.
    default, pipe = partial(signal.signal, signal.SIGINT, signal.SIG_DFL), subprocess.PIPE
    words = ["bash", str(SCRIPT)]
    return subprocess.Popen(words, cwd=folder, env=environment, stderr=pipe, text=True, preexec_fn=default)  # noqa: PLW1509 - no threads here


URL = {"SCALENET_STORAGE": "postgresql://me@host/search", "SCALENET_DATA": "/a b"}


def test_a_signal_is_ctrl_c_and_the_task_comes_again(tmp_path):
    process, deadline = begin(tmp_path, seconds=60, **URL), time.monotonic() + 30
    while not (tmp_path / "told").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / "requeued").read_text() == "requeue 41\n"


@pytest.mark.parametrize("code", [0, 2, 3])
def test_a_search_that_ends_by_itself_says_how_and_does_not_come_again(tmp_path, code):
    process = begin(tmp_path, seconds=0, code=code, **URL)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (code, "")
    assert not (tmp_path / "requeued").exists()
    told = (tmp_path / "told").read_text()
    assert '"--storage", "postgresql://me@host/search"' in told
    assert '"--data", "/a b"' in told


def test_without_a_storage_it_says_so(tmp_path):
    process = begin(tmp_path, seconds=0, SCALENET_STORAGE="")
    _, stderr = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "where is the search kept" in stderr
    assert not (tmp_path / "told").exists()
