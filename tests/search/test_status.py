"""What tells of a search as it goes: it writes tables by the time that this takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import scalenet
from scalenet.search.status import Watch

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_tables_are_written_for_a_twentieth_of_the_time_at_most(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = scalenet.grid_search(
        tiny / "net.yaml",
        grid=tiny / "grid.yaml",
        evaluate=lambda *_, **__: 0.5,
        epochs=1,
        seeds=4,
        folder=tmp_path / "run",
    )
    search.run(say=None)
    view = search.status().view
    now, written = 1000.0, 0.0
    ends = iter(range(10_000))

    def write() -> None:
        nonlocal now, written
        now, written = now + 1.5, written + 1.5

    monkeypatch.setattr("scalenet.search.queue.pace.time", SimpleNamespace(monotonic=lambda: now))
    outcome = search.status().outcome
    study = SimpleNamespace(write=write, outcome=lambda _: outcome, place=SimpleNamespace(name="search"))
    watch = Watch(study, workers=1, say=lambda _: None)  # type: ignore[arg-type]
    for _ in range(1000):
        now += 0.25
        watch.ended.known = {(f"x{next(ends)}", 0, None)}  # as if something were new at each look
        watch(view)
    assert 0 < written <= 0.05 * (now - 1000.0) + 1.5
