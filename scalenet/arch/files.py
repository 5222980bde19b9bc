"""How files are read and written: bounded, whole or not at all, through links, and into devices as they are."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, TextIO

from scalenet.arch.bounds import LARGEST_FILE
from scalenet.arch.errors import PlainError, RunError, ScalenetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_KEPT = "what stood there is unchanged"
_PATIENCE = 3.0
"""Seconds in which the reader of a pipe must come."""

ABANDONED = 600.0
"""Seconds after which nobody writes a half-written file any more."""


def read_text(path: Path, place: str, *, hint: str | None = None) -> str:
    """Read a file of UTF-8 text, or raise ScalenetError that says why not: none is larger than 16 MiB.

    A pipe is read to its end; one that nobody writes to is empty, and waits for nobody.
    """
    try:
        with os.fdopen(_opened(path, os.O_RDONLY), "rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ScalenetError(f"{place}: larger than {LARGEST_FILE // 2**20} MiB", hint=hint)
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except ScalenetError:
        raise
    except (OSError, ValueError) as error:
        raise ScalenetError(f"{place}: {_reason(error)}", hint=hint) from None


def write_text(path: Path, text: str, *, within: Path | None = None) -> None:
    """Write a text file as `write_bytes` does."""
    write_bytes(path, _encoded(text), within=within)


def write_bytes(path: Path, content: bytes, *, within: Path | None = None) -> None:
    """Write a file under a temporary name, then rename it, so that none is ever half-written.

    A link stays, and what it leads to is replaced; a device, a pipe and this process's own output are written into. A
    file of a folder, `within`, is not written out of it, wherever links lead. An older file survives what goes wrong:
    RunError says that the disk is full or broken, ScalenetError that the place cannot be written to.
    """
    with _said_plainly(path):
        if within is not None:
            _check_inside(path, within)
        stream = _stream(path)
        if stream is not None:
            with suppress(BrokenPipeError), stream:  # a reader that has enough
                stream.write(content)
            return
        target = path.resolve() if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, content)


def check_place(path: Path, *, force: bool = False) -> None:
    """Refuse a file's place before anything takes time: one that is taken, unless `force`, or cannot be written to."""
    if path.is_dir():
        raise ScalenetError(f"{path}: is a folder", hint="name a file")
    if path.exists() and not force:
        raise ScalenetError(f"{path}: exists already", hint="--force replaces it")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ScalenetError(f"{path}: cannot be written: {above} is a file")
    if not os.access(above, os.W_OK):
        raise ScalenetError(f"{path}: cannot be written: {above} is not yours to write to")


def sweep(folder: Path, pattern: str) -> None:
    """Remove what killed processes left half-written of the files of a pattern: others may be writing what is young."""
    below, _, name = pattern.rpartition("/")
    for half in (folder / below).glob(f".{name}.????????"):
        with suppress(FileNotFoundError):
            if time.time() - half.stat().st_mtime >= ABANDONED:
                half.unlink()


def append_text(path: Path, text: str) -> None:
    """Add text to a file's end, or raise ScalenetError or RunError as `write_bytes` does."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with _said_plainly(path), os.fdopen(_opened(path, flags), "wb") as file:
        file.write(_encoded(text))


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")  # a name that is not UTF-8 is still a name


def _check_inside(path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ScalenetError(f"{path}: a link leads out of {folder}", hint="remove the link, or name another folder")


def _stream(path: Path) -> BinaryIO | None:
    """Return what is written into as it is: a device, a pipe, or the output of this process; None for a file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    for own in (sys.stdout, sys.stderr):
        if _is(own, found):
            own.flush()
            return os.fdopen(os.dup(own.fileno()), "wb")
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(found.st_mode):
        return None
    return os.fdopen(_opened(path, os.O_WRONLY), "wb")


def _opened(path: Path, flags: int) -> int:
    """Return an open file as the system knows it; who reads a pipe is waited for, but not for ever."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            os.set_blocking(handle, True)
            return handle


def _is(stream: TextIO, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), found)
    except (AttributeError, OSError, ValueError):  # it is closed, or none
        return False


def _replace(target: Path, content: bytes) -> None:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{target}: cannot be written: {_reason(error)}", hint=_KEPT) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except PlainError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle are a RuntimeError, \0 a ValueError
        full = isinstance(error, OSError) and error.errno in _FULL
        message = f"{path}: cannot be written: {_reason(error)}"
        raise RunError(message) if full else ScalenetError(message) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        return "a pipe that nobody reads, or a socket"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
