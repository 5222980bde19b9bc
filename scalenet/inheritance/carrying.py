"""Carry weights to another scale, and see what becomes of the outputs."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.shapes import MisfitError
from scalenet.arch.spec import layer_tree
from scalenet.arch.words import number
from scalenet.exchange.sanity import embedded_inputs
from scalenet.inheritance.channels import NoWayError, Sources
from scalenet.inheritance.images import inputs
from scalenet.inheritance.kinship import is_smaller
from scalenet.inheritance.trial import difference, worth_of_blocks
from scalenet.inheritance.values import check_even, inherited, worth
from scalenet.inheritance.walk import Walked, walk
from scalenet.model.builder import build
from scalenet.model.modules import Position
from scalenet.training.statistics import batch_norms, estimate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scalenet.arch.spec import Model
    from scalenet.training.checkpoint import About, Trained
    from scalenet.training.data import ImageSet
    from scalenet.training.preprocessing import Preprocessing

_CLOSE, _NEAR = 1e-9, 1e-5
"""The largest difference of outputs, in their deviations; where single precision has a say in what is the identity."""

_IMAGES = 4


@dataclass(frozen=True, slots=True)
class Carried:
    """The network of another scale with its weights, and how its outputs compare."""

    network: nn.Module
    walked: Walked
    sources: Sources
    size: int | tuple[int, int] | None
    difference: float | None = None
    training_difference: float | None = None

    @property
    def smaller(self) -> bool:
        """Whether something was left out."""
        return bool(self.sources.lost or self.walked.dropped)

    def lines(self) -> list[str]:
        """Return what became of blocks, channels and outputs."""
        lines = []
        if self.walked.dropped:
            lines.append(f"left out: {', '.join(self.walked.dropped)}")
        if self.walked.added:
            lines.append(f"{number(len(self.walked.added), 'block')} more, which begin as the identity")
        if self.smaller:
            return [*lines, "outputs are not kept by a smaller network: train it on"]
        if self.difference is None:
            return [*lines, "outputs are not kept: numbers of places are resampled to the new size of images"]
        size = self.size if isinstance(self.size, int) or self.size is None else "×".join(map(str, self.size))
        at = "" if size is None else f" of {size} px, the size before,"
        mode = "" if self.training_difference is None else " and training"
        kept = f"outputs for {_IMAGES} embedded images{at} are kept in evaluation{mode} mode: they differ by"
        lines.append(f"{kept} {max(self.difference, self.training_difference or 0):.1g} of their deviation")
        if self.training_difference is None:
            lines.append(
                "in training mode they are not: blocks without a shortcut are the identity with running statistics"
            )
        return lines

    def estimated(self, images: ImageSet | None, preprocessing: Preprocessing) -> str:
        """Estimate the statistics of normalisations anew, and say from what; those of an identity stay."""
        norms = batch_norms(self.network)
        free = [norm for name, norm in norms.items() if f"{name}.running_mean" not in self.walked.beginnings]
        if not free:
            return "no running statistics: nothing is estimated anew"
        if images is None:
            return "running statistics are the old network's; with --data they are estimated anew"
        estimate(self.network, free, inputs(images, preprocessing))
        return f"running statistics are estimated anew from {number(len(images.labels), 'training image')}"


def changes_outputs(before: About, after: About) -> bool:
    """Return whether a network is smaller than before, or takes images of another size."""
    old, new = before.plan.config.model, after.plan.config.model
    return is_smaller(old, new) or new.size != old.size


def carry(trained: Trained, about: About, images: ImageSet | None, *, seed: int) -> Carried:
    """Return the network of another scale with the weights, its outputs compared where they can be kept."""
    before, model = trained.about.plan.config.model, about.plan.config.model
    network, name = trained.module(), about.plan.config.name
    shown = trained.about.preprocessing
    some = embedded_inputs(network, shown, _IMAGES)
    blocks: dict[str, float] = {}
    if is_smaller(before, model):
        batches = [some] if images is None else inputs(images, shown)
        blocks = worth_of_blocks(network, batches)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heir = build(model)
    walked, sources = _sources(trained, model, blocks, name)
    try:
        heir.load_state_dict(inherited(walked, sources, trained.weights, heir.state_dict(), seed=seed))
    except MisfitError as misfit:
        raise _refused(name, misfit) from None
    resized = model.size != before.size
    found = Carried(heir, walked, sources, shown.size if resized else None)
    places = any(isinstance(layer, Position) for layer in heir.modules())
    if found.smaller or (resized and places):
        return found
    return _compared(found, network, some)


def _compared(carried: Carried, network: nn.Module, images: Tensor) -> Carried:
    """Return what was carried with the differences of outputs; raise RunError where they should be equal."""
    modes = (False,) if carried.walked.running else (False, True)
    limit = _NEAR if carried.walked.running else _CLOSE
    found = [difference(network, deepcopy(carried.network), images, training=mode) for mode in modes]
    if not max(found) < limit:
        raise RunError(f"outputs differ by {max(found):.2g} of their deviation, and nothing is written")
    return replace(carried, difference=found[0], training_difference=found[1] if len(found) > 1 else None)


def _sources(trained: Trained, model: Model, blocks: dict[str, float], name: str) -> tuple[Walked, Sources]:
    """Return what is walked, and where channels come from; refuse what a larger network cannot keep."""
    before = trained.about.plan.config.model
    walked = Walked()
    try:
        walked = walk(layer_tree(before), layer_tree(model), blocks)
        old = walked.old.units()
        sources = Sources(old, walked.new.units(), worth(walked, old, trained.weights))
        if not is_smaller(before, model):
            _check_whole(walked, sources)
            check_even(walked, sources)
    except NoWayError as error:
        raise _refused(name, f"{walked.place_of(error.way)}: {error}") from None
    except MisfitError as misfit:
        raise _refused(name, misfit) from None
    return walked, sources


def _check_whole(walked: Walked, sources: Sources) -> None:
    if sources.lost:
        way, count = next(iter(sources.lost.items()))
        raise MisfitError(f"{walked.place_of(way)}: {count} fewer channels take one way through the blocks than before")


def _refused(name: str, misfit: MisfitError | str) -> ScalenetError:
    return ScalenetError(f"{name} cannot inherit: {misfit}", hint="give it other widths or depths, or train it anew")
