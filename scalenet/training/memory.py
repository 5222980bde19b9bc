"""Whether images fit into the memory that is free."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.training.decoding import DataError

if TYPE_CHECKING:
    from scalenet.training.selection import Selection


def fits(count: int, *, size: int, copies: int, memory: int | None = None) -> bool:
    """Return whether the free memory (or `memory` bytes) holds `count` images of `size` pixels `copies` times."""
    free = _free_memory() if memory is None else memory
    return free is None or _needed(count, size, copies) <= free


def check_memory(selection: Selection, *, size: int, copies: int, memory: int | None) -> None:
    """Raise DataError where the free memory, or `memory` bytes, does not hold the images `copies` times."""
    count, free = len(selection), _free_memory() if memory is None else memory
    if free is not None and not fits(count, size=size, copies=copies, memory=free):
        raise DataError(
            f"{selection.source.root}: {count} images of {size} px, held {copies} times, need "
            f"{_needed(count, size, copies) / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free",
            hint="take fewer with --images",
        )


def _needed(count: int, size: int, copies: int) -> int:
    return copies * count * 3 * size * size


def _free_memory() -> int | None:
    """Return the free memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") + _reclaimable()
    except (ValueError, OSError, AttributeError):
        return None


def _reclaimable() -> int:
    """Return the bytes that Linux keeps as file cache and gives back when asked."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return max(0, sizes.get("MemAvailable", 0) - sizes.get("MemFree", 0))
