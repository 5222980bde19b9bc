"""What tests of costs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from many_networks import THIRD_PARTY

from scalenet.arch import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def third_party_blocks() -> Iterator[None]:
    """Blocks that a program has registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_registered", THIRD_PARTY)
        yield
