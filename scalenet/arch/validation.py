"""What pydantic says of data that are wrong, as one plain line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails


def as_python(value: Any) -> Any:
    """Return numbers of NumPy and PyTorch as Python's, also within lists, tuples and mappings."""
    if isinstance(value, dict):
        return {key: as_python(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(as_python, value))
    return value.item() if getattr(value, "ndim", None) == 0 else value


@contextmanager
def plainly(name: str, values: dict[str, Any]) -> Iterator[None]:
    """Raise ScalenetError in place of pydantic's ValidationError; `name` is that of the record of these values."""
    try:
        yield
    except ValidationError as error:
        worst = plainest(error.errors())
        path = path_in(values, worst["loc"])
        raise ScalenetError(f"{key_text([name, *path])}: {reason(worst)}") from None


if TYPE_CHECKING:
    PlainModel = BaseModel
else:

    class _FromPython(type(BaseModel)):
        def __call__(cls, **values: Any) -> Any:
            values = as_python(values)
            with plainly(cls.__name__, values):
                return super().__call__(**values)

    class PlainModel(BaseModel, metaclass=_FromPython):
        """A model of pydantic's whose making takes NumPy's numbers and raises ScalenetError, not ValidationError.

        A metaclass does so, for an `__init__` would be called for every record within a record, and lose the place.
        """


def plainest(errors: list[ErrorDetails]) -> ErrorDetails:
    """Return the error to show: an unknown key before what is missing for it, else the one that lies deepest."""
    return max(errors, key=lambda error: (error["type"] == "extra_forbidden", len(error["loc"])))


def reason(error: ErrorDetails) -> str:
    """Return what is wrong with the value, without its place."""
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = "" if error["type"] == "value_error" else "expected "
    return f"{expected}{message}{_found(error)}"


def _found(error: ErrorDetails) -> str:
    value = error["input"]
    return f", found {value!r}" if isinstance(value, str | int | float) or value is None else ""


def key_text(path: Sequence[str | int]) -> str:
    """Return a path of keys as it is written: `stages[4].kernel`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def path_in(data: Any, location: tuple[str | int, ...]) -> list[str | int]:
    """Return the steps of an error's location that are keys of the data: pydantic puts names of types among them."""
    path: list[str | int] = []
    for number, step in enumerate(location):
        here = (isinstance(data, dict) and step in data) or (
            isinstance(data, list | tuple) and step in range(len(data))
        )
        if here:
            data = data[step]
        last = number == len(location) - 1 and " " not in str(step)  # what an option may be is no key
        if here or (last and isinstance(data, dict if isinstance(step, str) else list)):
            path.append(step)
    return path


def at_least(least: int, **named: Any) -> int:
    """Return the one number that is named, or raise ScalenetError where it is no whole number from `least` on."""
    ((name, value),) = named.items()
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ScalenetError(f"{name}: {value!r} is not a whole number from {least} on")
    return value
