"""The trained networks that a search or a study keeps: each in a folder `models/NAME_seedN`, as `train` writes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.words import number
from scalenet.search.folder import MODELS, WEIGHTS, called

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scalenet.search.queue.jobs import View
    from scalenet.search.setting import Setting

_BYTES = 4


def models_of(folder: Path, view: View) -> dict[str, Path]:
    """Return the folders of the networks of finished trainings to the end that lie here, by name: `width_4x_seed0`."""
    found = {name: folder / MODELS / name for name in _to_the_end(view)}
    return {name: place for name, place in found.items() if (place / WEIGHTS).is_file()}


def missing(setting: Setting, folder: Path, view: View) -> Iterator[str]:
    """Say of which trainings no network lies here though they are to be kept, and what to do."""
    from scalenet.training.decoding import some  # noqa: PLC0415 - slow to import

    here = models_of(folder, view)
    gone = [name for name in _to_the_end(view) if name not in here] if setting.request.keep_models else []
    if gone:
        yield (
            f"no network is kept here of {number(len(gone), 'training')} ({some(gone)}), which ended without "
            "--keep-models or on another machine; --force trains all anew"
        )


def size_of(params: Sequence[int], trainings: int | None = None) -> str:
    """Return how large the weights are that are kept of networks with so many parameters, and of all trainings."""
    one = _BYTES * sum(params) / len(params) / 1e6
    whole = "" if trainings is None else f", {trainings * one:.2g} MB in all"
    return f"trained networks are kept in {MODELS}/: about {one:.2g} MB of weights each{whole}"


def winners(models: Mapping[str, Path], folder: Path, name: str) -> Iterator[str]:
    """Say how many networks are kept, if any are, and where those of the winner lie."""
    if not models:
        return
    own = [place for training, place in models.items() if training.rpartition("_seed")[0] == name]
    where = "none of them the winner's: it lies where it was trained"
    if own:
        more = "" if len(own) == 1 else f" (and {number(len(own) - 1, 'more seed')})"
        where = f"the winner's is {own[0]}{more}, which `scalenet evaluate` and others take"
    yield f"{number(len(models), 'trained network')} kept in {folder / MODELS}; {where}"


def _to_the_end(view: View) -> list[str]:
    """Return the trainings to the end whose networks did not diverge, as their folders are called."""
    whole = view.aim.schedule.budgets[-1]
    full = [one for one in view.done() if one.key[2] == whole and not view.is_pilots(one.key)]
    return [called(*one.key[:2]) for one in full if one.result is not None and one.result.accuracy is not None]
