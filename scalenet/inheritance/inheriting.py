"""Weights of a trained network as those of the same network at another scale."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scalenet.arch.config import Config, dumps
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.files import write_text
from scalenet.arch.results import Results, check_folder
from scalenet.arch.shapes import MisfitError
from scalenet.arch.spec import layer_tree
from scalenet.arch.validation import at_least
from scalenet.arch.words import hush, number, percentage, tell
from scalenet.costs.formula import cost
from scalenet.exchange.sanity import embedded_inputs
from scalenet.inheritance.channels import NoWayError, Sources
from scalenet.inheritance.images import inputs, pixels, sample
from scalenet.inheritance.kinship import check_kin, is_smaller
from scalenet.inheritance.trial import difference, worth_of_blocks
from scalenet.inheritance.values import check_even, inherited, worth
from scalenet.inheritance.walk import Walked, walk
from scalenet.model.builder import build
from scalenet.model.modules import Position
from scalenet.scaling.scaler import find_config
from scalenet.training import runs
from scalenet.training.calls import decoders
from scalenet.training.checkpoint import About, Inherited, Trained, read_trained, write_weights
from scalenet.training.devices import usable_device
from scalenet.training.sources import Source, find_source
from scalenet.training.statistics import batch_norms, estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from scalenet.arch.spec import Model
    from scalenet.scaling.scaler import Network
    from scalenet.training.data import ImageSet
    from scalenet.training.preprocessing import Preprocessing
    from scalenet.training.sources import Layout

RESULTS = Results("inheritance", "preprocessing.json", ("preprocessing.json", "config.yaml", "model.safetensors"))
"""The files of an inheritance."""

_TRAINING = "environment.json"
_CLOSE, _NEAR = 1e-9, 1e-5
"""The largest difference of outputs, in their deviations; where single precision has a say in what is the identity."""

_IMAGES = 4


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
    _check(place, force=force)
    trained = weights if isinstance(weights, Trained) else read_trained(weights)
    wanted = find_config(config)
    about = _about(trained, wanted, seed=seed)
    source = _source(data, layout, hear)
    images = sample(trained.about, source, size=pixels(about.preprocessing), note=hear)
    carried = _carry(trained, about, images, seed=seed)
    for line in carried.lines():
        hear(line)
    resized = about.preprocessing.size != trained.about.preprocessing.size
    if carried.smaller or resized:
        hear(_estimated(carried.network, images, about.preprocessing))
    else:
        images = None
    heir = Trained(carried.network.float().state_dict(), about, trained.digest, str(place))
    before, after = _scores(trained, heir, source, device=usable_device(device), hear=hear)
    _write(place, heir, wanted)
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


@dataclass(frozen=True, slots=True)
class _Carried:
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
        at = "" if size is None else f" of {size} px, the size before"
        mode = "" if self.training_difference is None else " and training"
        kept = f"outputs for {_IMAGES} embedded images{at} are kept in evaluation{mode} mode: they differ by"
        lines.append(f"{kept} {max(self.difference, self.training_difference or 0):.1g} of their deviation")
        if self.training_difference is None:
            lines.append(
                "in training mode they are not: blocks without a shortcut are the identity with running statistics"
            )
        return lines


def _carry(trained: Trained, about: About, images: ImageSet | None, *, seed: int) -> _Carried:
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
    found = _Carried(heir, walked, sources, shown.size if resized else None)
    places = any(isinstance(layer, Position) for layer in heir.modules())
    if found.smaller or (resized and places):
        return found
    return _compared(found, network, some)


def _compared(carried: _Carried, network: nn.Module, images: Tensor) -> _Carried:
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
    return ScalenetError(f"{name}: cannot keep outputs: {misfit}", hint="other widths or depths may, or train it anew")


def _about(trained: Trained, wanted: Config, *, seed: int) -> About:
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


def _estimated(network: nn.Module, images: ImageSet | None, preprocessing: Preprocessing) -> str:
    """Estimate the statistics of normalisations anew, and say from what."""
    norms = list(batch_norms(network).values())
    if not norms:
        return "no statistics to estimate"
    if images is None:
        return "running statistics are the old network's; with --data they are estimated anew"
    estimate(network, norms, inputs(images, preprocessing))
    return f"running statistics are estimated anew from {number(len(images.labels), 'training image')}"


def _scores(
    trained: Trained, heir: Trained, source: Source | None, *, device: str, hear: Callable[[str], None]
) -> tuple[float | None, float | None]:
    """Return the share of right answers before and after, where there are images of these classes."""
    training = trained.about.training
    if source is None and (training is None or training.images.name != runs.EMBEDDED):
        return None, None
    if source is not None and not {*source.classes} <= {*trained.about.plan.classes}:
        hear(f"{source.root}: has other classes than the weights, so that no answers are counted")
        return None, None
    scores = [
        runs.evaluate(one, source, device=device, workers=decoders(None), note=say)
        for one, say in ((trained, hear), (heir, hush))
    ]
    hear(f"{percentage(scores[0].top1)} of answers were right before, {percentage(scores[1].top1)} are now")
    return scores[0].top1, scores[1].top1


def _source(data: str | Path | Source | None, layout: Layout | None, hear: Callable[[str], None]) -> Source | None:
    if data is None or isinstance(data, Source):
        return data
    source = find_source(Path(data), layout or "auto")
    for line in source.lines():
        hear(line)
    return source


def _check(folder: Path, *, force: bool) -> None:
    """Refuse a folder in which something would be lost."""
    check_folder(folder)
    if (folder / _TRAINING).exists():
        raise ScalenetError(f"{folder}: holds a training", hint="give another folder with -o")
    there = RESULTS.files(folder)
    if there and not force:
        raise ScalenetError(f"{there[0]}: exists already", hint="--force replaces it")


def _write(folder: Path, heir: Trained, wanted: Config) -> None:
    """Write the files; the config keeps how it was scaled where its classes are the weights'."""
    own = heir.about.plan.config
    write_weights(folder / "model.safetensors", heir.weights, heir.about)
    write_text(folder / "config.yaml", dumps(wanted if wanted.model == own.model else own))
    write_text(folder / "preprocessing.json", heir.about.preprocessing.text())
