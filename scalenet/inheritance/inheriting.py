"""Weights of a trained network as those of the same network at another scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.config import Config
from scalenet.arch.validation import at_least
from scalenet.arch.words import hush, percentage, tell
from scalenet.costs.formula import cost
from scalenet.exchange.importing import check_free, write_folder
from scalenet.inheritance.carrying import carry, changes_outputs
from scalenet.inheritance.images import pixels, sample
from scalenet.inheritance.kinship import check_kin
from scalenet.scaling.scaler import find_config
from scalenet.training import runs
from scalenet.training.calls import decoders
from scalenet.training.checkpoint import About, Inherited, Trained, read_trained
from scalenet.training.devices import usable_device
from scalenet.training.sources import Source, told_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from scalenet.scaling.scaler import Network
    from scalenet.training.sources import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedWeights:
    """What came of an inheritance: the network, and what became of its outputs.

    `difference` and `training_difference` are those of outputs for embedded images before and after, in their
    deviations, in evaluation and in training mode; None where outputs are not kept, or not in that mode. `added` and
    `dropped` are numbers of blocks, `statistics_images` those that statistics were estimated from. `before` and
    `after` are shares of right answers, where there were images to ask for.
    """

    folder: Path
    source: str
    network: str
    params: int
    classes: int
    added: int
    dropped: int
    channels_dropped: int
    difference: float | None
    training_difference: float | None
    statistics_images: int
    before: float | None
    after: float | None

    def module(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode."""
        return read_trained(self.folder).module().eval()


def inherit(
    weights: str | Path | Trained,
    config: Network,
    folder: str | Path = "runs/inherited",
    *,
    data: str | Path | Source | None = None,
    layout: Layout | None = None,
    seed: int = 0,
    device: str | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> InheritedWeights:
    """Write trained weights as those of their network at another scale, a folder that `train` and `evaluate` take.

    `weights` are a file, or the folder of a training, import or inheritance; `config` is their network with other
    widths, depths or another size of images. Where it grows, outputs for images of the old size stay what they are,
    and are compared before anything is written; where it shrinks, the channels and blocks that do most stay, and
    statistics are estimated anew on the images of `data`. Shares of copied channels are drawn by `seed`.

    `say` hears what was kept and what was not. Raise ScalenetError for a network that is no scaling, or that cannot
    keep its outputs, with the place, and RunError where outputs differ although they should not.
    """
    hear, place = say or hush, Path(folder)
    at_least(0, seed=seed)
    check_free(place, force=force)
    trained = weights if isinstance(weights, Trained) else read_trained(weights)
    wanted = find_config(config)
    about = about_heir(trained, wanted, seed=seed)
    source = None if data is None else told_source(data, layout, hear)
    images = None
    if changes_outputs(trained.about, about):
        images = sample(trained.about, source, size=pixels(about.preprocessing), note=hear)
    carried = carry(trained, about, images, seed=seed)
    for line in [*_classes(about, wanted), *carried.lines()]:
        hear(line)
    if changes_outputs(trained.about, about):
        hear(carried.estimated(images, about.preprocessing))
    heir = Trained(carried.network.state_dict(), about, trained.digest, str(place))
    before, after = None, None
    if source is not None or images is not None:
        before, after = _scores(trained, heir, source, device=usable_device(device), hear=hear)
    write_folder(place, heir.weights, about, _config(wanted, about))
    return InheritedWeights(
        folder=place,
        source=about.plan.source,
        network=wanted.name,
        params=cost(about.plan.config.model).params,
        classes=len(about.plan.classes),
        added=len(carried.walked.added),
        dropped=len(carried.walked.dropped),
        channels_dropped=sum(carried.sources.lost.values()),
        difference=carried.difference,
        training_difference=carried.training_difference,
        statistics_images=0 if images is None else len(images.labels),
        before=before,
        after=after,
    )


def about_heir(trained: Trained, wanted: Config, *, seed: int) -> About:
    """Return what the weights will be of; the classes are those that they know."""
    about, plan = trained.about, trained.about.plan
    model = wanted.model.with_classes(len(plan.classes))
    check_kin(plan.config.model, model, name=f"{trained.place}'s {plan.config.name}", other=wanted.name)
    earlier = plan.inherited if isinstance(plan, Inherited) else ()
    heir = Inherited(
        schema="scalenet-inheritance/1",
        config=Config(schema="scalenet/1", name=wanted.name, model=model),
        inherited=(*earlier, plan.config.name),
        file=trained.digest,
        seed=seed,
        origin=plan.origin if isinstance(plan, Inherited) else plan,
    )
    return about.changed(plan=heir, scores=None)


def _classes(about: About, wanted: Config) -> list[str]:
    """Say so where a config has other classes than the weights."""
    own, other = len(about.plan.classes), wanted.model.head.classes
    return [] if own == other else [f"{own:,} classes as before; {wanted.name} has {other:,}"]


def _scores(
    trained: Trained, heir: Trained, source: Source | None, *, device: str, hear: Callable[[str], None]
) -> tuple[float | None, float | None]:
    """Return the share of right answers before and after, where there are images of these classes."""
    if source is not None and not {*source.classes} <= {*trained.about.plan.classes}:
        hear(f"{source.root}: has other classes than the weights, so that no answers are counted")
        return None, None
    scores = [
        runs.evaluate(one, source, device=device, workers=decoders(None), note=say)
        for one, say in ((trained, hear), (heir, hush))
    ]
    hear(f"{percentage(scores[0].top1)} of answers were right before, {percentage(scores[1].top1)} are now")
    return scores[0].top1, scores[1].top1


def _config(wanted: Config, about: About) -> Config:
    """Return the config as it was given, or without what does not hold for the classes of the weights."""
    model = about.plan.config.model
    return wanted if wanted.model == model else wanted.changed(model=model, scaling=None, cost=None, provenance=None)
