"""The pytest plugin: the fixtures `assert_cost` and `assert_cost_unchanged`.

pytest finds it by itself, in every project that has scalenet installed; it loads nothing before a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

__tracebackhide__ = True  # pytest shows the test's line, not ours


@pytest.fixture
def assert_cost() -> Callable[..., None]:
    """Assert limits on a module's counts: `assert_cost(module, input, flops="<= 4.1G")`."""
    from scalenet.checks import assertions  # noqa: PLC0415

    return assertions.assert_cost


@pytest.fixture
def assert_cost_unchanged(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Assert that a module costs what a lock file says; its path starts from pytest's root folder."""
    from scalenet.checks import assertions  # noqa: PLC0415

    def unchanged(module: nn.Module, lock: str | Path = "scalenet.lock.json", target: str | None = None) -> None:
        assertions.assert_cost_unchanged(module, lock=pytestconfig.rootpath / lock, target=target)

    return unchanged
