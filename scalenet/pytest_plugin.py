"""The pytest plugin: the fixtures `assert_cost` and `assert_cost_unchanged`.

pytest finds it by itself, in every project that has scalenet installed; it loads nothing before a test asks for it.
Where an assertion fails, or a module does, the test's own lines and the module's are shown and none of ours.
"""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

P = ParamSpec("P")

__tracebackhide__ = True


@pytest.fixture
def assert_cost() -> Callable[..., None]:
    """Assert limits on a module's counts: `assert_cost(module, input, flops="<= 4.1G")`."""
    from scalenet.checks import assertions  # noqa: PLC0415

    return _without_our_frames(assertions.assert_cost)


@pytest.fixture
def assert_cost_unchanged(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Assert that a module costs what a lock file says; its path starts from pytest's root folder."""
    from scalenet.checks import assertions  # noqa: PLC0415

    @_without_our_frames
    def unchanged(module: nn.Module, lock: str | Path = "scalenet.lock.json", target: str | None = None) -> None:
        assertions.assert_cost_unchanged(module, lock=pytestconfig.rootpath / lock, target=target)

    return unchanged


def _without_our_frames(assertion: Callable[P, None]) -> Callable[P, None]:
    @wraps(assertion)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            assertion(*args, **kwargs)
        except Exception as error:
            raise error.with_traceback(_of_others(error.__traceback__))  # noqa: B904 - it is the same error

    return wrapped


def _of_others(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of scalenet."""
    if trace is None:
        return None
    rest = _of_others(trace.tb_next)
    if Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent):
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
