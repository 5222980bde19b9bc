"""Input that no one means well with ends in one plain line; `benchmarks/hostile.py` tries very much more of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostility import judging, kinds, mutations
from hostility.running import Case, Outcome
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.config import Config, read_record
from scalenet.arch.errors import PlainError
from scalenet.checks.lock import Lock, TargetCost, dumps, parse_lock
from scalenet.search.space.grids import Grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "hostile.py"
COST = TargetCost(input=("1x3",), flops=1, params=2, activations=3, stages={}, uncounted=())
LOCK = dumps(Lock(targets={"net.yaml": COST}))
READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "config": (kinds.NETWORK, lambda text: read_record(Config, text, "net.yaml").architecture()),
    "grid": (kinds.GRID, lambda text: read_record(Grid, text, "grid.yaml").coefficients()),
    "lock": (LOCK, lambda text: parse_lock(text, "scalenet.lock.json")),
}


def test_a_sample_of_all_kinds_ends_as_it_should() -> None:
    """It prints the seed and the numbers of what failed: `benchmarks/hostile.py --case KIND:NUMBER` shows it."""
    words = [sys.executable, SCRIPT, "--cases", "40", "--seed", "1", "--jobs", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", READERS)
@given(chance=st.randoms(use_true_random=False))
def test_a_reader_takes_a_damaged_text_or_refuses_it_plainly(kind: str, chance: Random) -> None:
    text, read = READERS[kind]
    assert read(text)
    content, _ = mutations.damaged(chance, text)
    with contextlib.suppress(PlainError):
        read(content.decode(errors="replace"))


GOOD = Outcome(2, b"", b"scalenet: x: no such file\n  look there\n", 0.1, False, 1 << 20, {}, {})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, None),
        ({"code": 3}, "ends with 3"),
        ({"code": -9}, "dies of signal 9"),
        ({"code": 0}, "takes what is wrong"),
        ({"stderr": b"scalenet: KeyError: 'x'\n"}, "a bare exception"),
        ({"stderr": b"Traceback (most recent call last):\nscalenet: x\n"}, "has a traceback"),
        ({"stderr": b"scalenet: a\x1b[31m\n"}, "control character"),
        ({"stderr": b"scalenet: a\n  b\n  c\n"}, "more than a line"),
        ({"stderr": b""}, "0 lines of error"),
        ({"stdout": b"\xff"}, "is not UTF-8"),
        ({"stdout": mutations.SECRET.encode()}, "tells the password"),
        ({"seconds": 11.0}, "more than 10 s"),
        ({"waited": True}, "waits"),
        ({"memory": 2 << 30}, "more than 1024 MiB"),
        ({"after": {"out.yaml": "1"}}, "changes out.yaml"),
        ({"before": {"out.yaml": "1"}}, "changes out.yaml"),
        ({"after": {".net.yaml.ab12cd34": "1"}}, "half-written"),
    ],
)
def test_what_a_case_may_not_do_is_found(changes: dict[str, object], complaint: str | None, tmp_path: Path) -> None:
    outcome = Outcome(**{name: changes.get(name, getattr(GOOD, name)) for name in Outcome.__slots__})
    found = list(judging.complaints(Case(["cost", "x"], wrong=True), outcome, tmp_path))
    assert any(complaint in one for one in found) if complaint else not found
