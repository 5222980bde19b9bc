"""The command's stdout and stderr: what cannot be written ends no command, and is known at its end."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Descriptor(io.RawIOBase):
    """A file descriptor that takes everything: after the first error the rest is dropped, and `error` is kept."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.error: OSError | None = None

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def writable(self) -> bool:
        return True

    def write(self, content: Buffer) -> int:
        size = memoryview(content).nbytes
        if self.error is None:
            try:
                return os.write(self.descriptor, content)
            except BlockingIOError:
                os.set_blocking(self.descriptor, True)
                return 0
            except OSError as error:
                self.error = error
        return size


class Streams:
    """Stands in for stdout and stderr, closed ones too, while a command runs."""

    def __init__(self) -> None:
        """Take the place of both."""
        for descriptor in (1, 2):
            _open_if_closed(descriptor)
        self.output, self.notes = _Descriptor(1), _Descriptor(2)
        sys.stdout, sys.stderr = _text(self.output), _text(self.notes)

    def lost(self) -> str | None:
        """Write what is left; return why data were lost, None where all were written or the reader had enough."""
        sys.stdout.flush()
        error = self.output.error
        return None if error is None or isinstance(error, BrokenPipeError) else str(error.strerror)


def _open_if_closed(descriptor: int) -> None:
    """Let no other file get the number of a stream that is closed; what is written there fails, as it should."""
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, descriptor)
        if nothing != descriptor:
            os.close(nothing)


def _text(stream: _Descriptor) -> io.TextIOWrapper:
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    at_once = stream.descriptor == 2 or stream.isatty()
    return io.TextIOWrapper(io.BufferedWriter(stream), encoding, "backslashreplace", line_buffering=at_once)
