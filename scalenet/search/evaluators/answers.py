"""Which held-out images a training got right: a file in its job's folder, so that networks compare image by image."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

from scalenet.arch.files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def answers_file(folder: Path, epochs: int | None) -> Path:
    """Return the file in a job's folder that says which held-out images were right after so many epochs."""
    return folder / f"answers-{epochs}.npy"


def write_answers(file: Path, right: NDArray[np.bool_]) -> None:
    """Write which images were right, bool [N]."""
    import numpy as np  # noqa: PLC0415 - evaluators that have no images do without

    stream = io.BytesIO()
    np.save(stream, right)
    write_bytes(file, stream.getvalue())


def read_answers(file: Path) -> NDArray[np.bool_] | None:
    """Return which images were right, bool [N]; None where the file is not there, or broken."""
    import numpy as np  # noqa: PLC0415

    with suppress(OSError, ValueError, EOFError):
        found = np.load(file, allow_pickle=False)
        if found.dtype == bool and found.ndim == 1:
            return np.asarray(found, dtype=np.bool_)
    return None
