"""How often something is done beside the work, such as looking at a board or writing tables: it takes little time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARE = 0.05


class Pace:
    """When to do something again: once it takes a twentieth of the time at most, and `least` seconds are over."""

    def __init__(self, least: float = 0.0) -> None:
        self.least, self.again = least, 0.0

    @property
    def is_due(self) -> bool:
        """Whether it may be done again."""
        return time.monotonic() >= self.again

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Do it in here."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self.again = ended + max(self.least, (ended - began) / _SHARE)
