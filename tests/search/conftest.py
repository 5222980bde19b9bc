"""A network and images so small that a search over them takes seconds; databases for searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import commands
import plain_figures
import pytest
from noisy_images import write_images
from postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postgres import Server

NETWORK = """\
schema: scalenet/1
name: tiny
model:
  resolution: 8
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 4, kernel: 3, stride: 1}
  stages:
  - {block: basic, depth: 1, width: 4, stride: 2}
  head: {kind: linear, classes: 2}
"""

GRID = """\
schema: scalenet-grid/1
name: three
points: {kind: list, values: [[2, 1, 1], [1, 1.5, 1], [1, 1, 1.5]]}
include: []
rounding: fine
"""


SHARES = """\
schema: scalenet-grid/1
name: nominal
points: {kind: shares, divisions: 4}
rounding: fine
"""


@pytest.fixture(scope="session", autouse=True)
def _server() -> None:
    commands.warm()


@pytest.fixture(autouse=True)
def _plain_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures, here and in programs that are started, unless the test is marked `drawn`."""
    if request.node.get_closest_marker("drawn") is None:
        plain_figures.draw_none(monkeypatch.setattr)
        monkeypatch.setenv(plain_figures.PLAIN, "1")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `net.yaml`, `grid.yaml`, `shares.yaml` and `images/`: dark and light squares with noise."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "net.yaml").write_text(NETWORK)
    (folder / "grid.yaml").write_text(GRID)
    (folder / "shares.yaml").write_text(SHARES)
    write_images(folder / "images", {"dark": 90, "light": 160}, 60, size=8)
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Run a PostgreSQL server."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/search.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.database()
