"""Errors: one line each, and the same ones in another process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.arch.errors import ConfigError, PlainError, RunError, ScalenetError, UnknownNameError

for _module in pkgutil.walk_packages(scalenet.__path__, "scalenet."):
    import_module(_module.name)


def _below(kind: type[PlainError]) -> list[type[PlainError]]:
    return [kind, *(other for own in kind.__subclasses__() for other in _below(own))]


KINDS = _below(PlainError)


def made(kind: type[PlainError], message: str = "a.yaml: wrong", hint: str | None = None) -> PlainError:
    if kind is UnknownNameError:
        return UnknownNameError("block", message, ["mbconv"], listing=hint)
    return kind(message, hint=hint)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(message=st.text(), hint=st.none() | st.text())
def test_an_error_comes_back_from_a_pickle_as_it_was(kind: type[PlainError], message: str, hint: str | None) -> None:
    error = made(kind, message, hint)
    error.add_note("while loading")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (str(again), again.message, again.hint) == (str(error), error.message, error.hint)
        assert again.__notes__ == ["while loading"]


def test_an_unknown_name_comes_back_from_a_process_as_itself() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(UnknownNameError, match="did you mean 'resnet18'") as error:
            list(pool.map(scalenet.load, ["resnet19"]))
        assert error.value.hint == "did you mean 'resnet18' or 'resnet152'?"
        assert pool.submit(scalenet.load, "resnet18").result() == scalenet.load("resnet18")  # the pool is whole


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_only_what_a_user_got_wrong_is_a_value_error(kind: type[PlainError]) -> None:
    assert issubclass(kind, ValueError) is issubclass(kind, ScalenetError)
    assert not (issubclass(kind, RunError) and issubclass(kind, ScalenetError))
    assert issubclass(ConfigError, ValueError)
    assert not issubclass(RunError, ValueError)
