"""Records: frozen data with checked fields, as every file and request of scalenet is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict

from scalenet.arch.validation import PlainModel, as_python, plainly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Record(PlainModel):
    """A frozen record that takes no unknown keys and converts no types, but for numbers of NumPy and PyTorch.

    Made from Python, wrong values raise ScalenetError.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def changed(self, **changes: Any) -> Self:
        """Return this record with other values, as sound as one that was read; raise ScalenetError where it is not."""
        fields = type(self).model_fields
        own = {field.alias or name: getattr(self, name) for name, field in fields.items()}
        values = {**own, **as_python(changes)}
        with plainly(type(self).__name__, values):
            return self.model_validate(values)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, checked as `changed` does where it has other values: pydantic's own is not."""
        return self.changed(**update) if update else super().model_copy(deep=deep)


def kind_or(usual: str) -> Callable[[Any], str]:
    """Return what reads the `kind` of data or of a record, which is the usual one where none is given."""

    def kind(value: Any) -> str:
        return str(value.get("kind", usual) if isinstance(value, dict) else getattr(value, "kind", usual))

    return kind


def as_tuple(value: Any) -> Any:
    """Return a list (as YAML and JSON have it) as a tuple, and anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value
