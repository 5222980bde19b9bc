"""Runs commands in this process; stdout and stderr apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scalenet_cli.main import app
from typer.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result


@pytest.fixture
def scalenet() -> Callable[..., Result]:
    """Run a command; the words are its arguments."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])
