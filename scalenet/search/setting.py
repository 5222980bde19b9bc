"""What trains the networks of a search or a study, read and checked: a baseline, images and a recipe, or a judge."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from scalenet.arch.errors import ScalenetError
from scalenet.arch.quantities import parse_seconds, parse_size
from scalenet.scaling.scaler import load
from scalenet.search.evaluators import Given, Kept
from scalenet.search.request import TRAIN
from scalenet.search.rungs.pilot import Pilot, around, epochs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.arch.spec import Architecture, Buildable
    from scalenet.search.evaluators import Evaluator
    from scalenet.search.plan import Images
    from scalenet.search.request import Request
    from scalenet.training.recipe import Recipe
    from scalenet.training.selection import Selection
    from scalenet.training.sources import Source

    Bar = Callable[[str, int, int | None], None]
    """Hears what takes a while, how much of it is done, and of how much, where that is known."""

EMBEDDED_IMAGES, EMBEDDED_HELD_OUT = 5000, 4000
"""Images that are rendered to train on, unless there are to be fewer, and to be held out."""

_RECIPE = "search"
_FEWEST_A_CLASS = 10


@dataclass(frozen=True)
class Setting(ABC):
    """What trains networks; `evaluator` is None for scalenet's own training, which has a `recipe`."""

    command: ClassVar[str]
    """The command that asks for it."""

    request: Request
    base: Architecture
    source: Source | None
    recipe: Recipe | None
    evaluator: Evaluator | None
    fitted: int | None = field(default=None, kw_only=True)
    """How many images to train on a time limit holds, where all of them are too many and nobody said how many."""

    @property
    @abstractmethod
    def models(self) -> Sequence[Buildable]:
        """The networks that are trained."""

    @property
    def pilot_cost(self) -> float:
        """What a training of the pilot costs, in one of these networks that is as long."""
        return 1.0

    @property
    def keeps_answers(self) -> bool:
        """Whether each training's folder keeps which held-out images were right."""
        return False

    @property
    def kept(self) -> Kept | None:
        """Which trained networks are kept; None where none are."""
        if not self.request.keep_models:
            return None
        assert self.recipe is not None
        pilots = frozenset() if self.pilot is None else frozenset(self.pilot.names)
        return Kept(self.recipe.epochs, pilots, self.request.seed, self.command)

    @property
    def judge(self) -> str:
        """What judges candidates, in words."""
        asked = self.request.evaluate
        return asked if isinstance(asked, str) else str(self.evaluator)

    @property
    def budget(self) -> int | None:
        """How long a whole training is."""
        return self.request.epochs if self.recipe is None else self.recipe.epochs

    @cached_property
    def pilot(self) -> Pilot | None:
        """The pilot that finds the learning rate; None where it is given, or others know it."""
        request, recipe = self.request, self.recipe
        rates = request.pilot_rates
        if rates is None and recipe is not None and not request.fixes_rate:
            rates = around(recipe.optimizer.lr)
        if rates is None:
            return None
        pilot = Pilot(rates=tuple(sorted(rates)), seeds=(request.seed,), cost=self.pilot_cost)
        if recipe is None:
            return pilot.changed(budget=epochs_of(self.budget))
        budget = epochs_of(self.budget, self.train_images() / recipe.batch_size)
        return pilot.changed(budget=budget, by="loss", classes=self.base.network.classes)

    def device(self) -> str:
        """Return where trainings run: other evaluators than scalenet's own see every GPU unless it is said which."""
        if self.request.device is None and self.evaluator is None:
            from scalenet.training.devices import usable_device  # noqa: PLC0415 - brings torch

            return usable_device(None)
        return self.request.device or "cpu"

    def workers(self) -> list[str]:
        """Return the device of each worker here."""
        from scalenet.search.queue.placement import devices  # noqa: PLC0415

        device, most = self.device(), len(self.models) * self.request.seeds
        if isinstance(self.evaluator, Given):
            return devices(device, self.request.workers or 1)
        if self.request.workers is None and device != "cpu":
            return list(dict.fromkeys(devices(device, most)))
        return devices(device, min(most, self.request.workers or os.cpu_count() or 1))

    @property
    def limit(self) -> int | None:
        """At most how many images are trained on: as many as were asked for, or as a time limit holds."""
        return self.fitted if self.request.images is None else self.request.images

    def with_fewer(self, share: float, epochs: int, say: Callable[[str], None]) -> Self | None:
        """Return this with so large a share of the images to train on, for so many epochs.

        None where their number was asked for, and where they would be less than ten a class, or so few that judging
        all that are held out takes as long as learning.
        """
        images = self.train_images()
        fitted = _rounded(share * images)
        classes = self.base.network.classes or 1
        if self.limit is not None or fitted < max(self.held_out() / (2 * epochs), _FEWEST_A_CLASS * classes):
            return None
        say(f"{fitted:,} of {images:,} images to train on, which is what the time holds: --images takes another number")
        return replace(self, fitted=fitted)

    def as_begun(self, images: Images | None) -> Self:
        """Return this with as many images as a run has that was begun and left them to its time limit, or rendered as
        many as was usual then.
        """
        if images is None or self.request.images not in (None, images.fitted):
            return self
        if self.source is None and images.fitted is None:
            return replace(self, request=replace(self.request, images=images.train))
        return replace(self, fitted=images.fitted)

    @cached_property
    def selection(self) -> Selection:
        """Which images of the folder are for what."""
        from scalenet.training.selection import HELD_OUT, select  # noqa: PLC0415 - brings torch

        assert self.source is not None
        if self.request.folds is not None:
            from scalenet.training.folds import first_fold  # noqa: PLC0415

            request = self.request
            return first_fold(self.source, folds=self.request.folds, seed=request.seed, limit=self.limit)
        held_out = self.request.held_out
        fraction = HELD_OUT if held_out is None else held_out
        return select(self.source, seed=self.request.seed, limit=self.limit, fraction=fraction)

    def stakes(self) -> Iterator[str]:
        """Yield how many images of the folder are for what, and what one of them is worth."""
        from scalenet.training.data import stakes  # noqa: PLC0415 - brings torch

        if self.source is not None:
            yield stakes(self.selection)

    def held_out(self) -> int:
        """Return how many images are held out from a training."""
        if self.source is None:
            return EMBEDDED_HELD_OUT
        return sum(map(len, self.selection.validation.values()))

    def train_images(self) -> int:
        """Return how many images there are to train on."""
        if self.source is None:
            return self.limit or EMBEDDED_IMAGES
        return sum(map(len, self.selection.train.values()))

    def seconds_an_epoch(self, images: int | None = None) -> float | None:
        """Return about how long an epoch takes here, of so many images; None where only the evaluator knows."""
        if self.recipe is None:
            return None
        from scalenet.search.speed import seconds_an_image  # noqa: PLC0415 - brings torch

        batch, device, threads = self.recipe.batch_size, self.workers()[0], self.request.threads
        count = self.train_images() if images is None else images
        return count * seconds_an_image(self.models, batch=batch, device=device, threads=threads)


def _rounded(number: float) -> int:
    """Return two digits of a number, not more than it."""
    digits = str(int(number))
    return int(digits[:2].ljust(len(digits), "0"))


def the_source(request: Request) -> Source | None:
    """Return the images of the request's folder; None where images are rendered, or others have them."""
    from scalenet.training.sources import find_source  # noqa: PLC0415 - takes a while

    if request.data is None:
        return None
    source = find_source(request.data, request.layout or "auto")
    if request.strict:
        source.check_whole()
    return source


def the_base(request: Request, source: Source | None) -> Architecture:
    """Return the baseline for these images, at the size asked for."""
    base = load(request.base)
    if (colours := base.network.channels) != 3:
        raise ScalenetError(f"{base.name} takes images of {colours} colours; searches have images of 3")
    classes = _classes(source) if request.evaluate == TRAIN else request.classes
    base = base if classes is None else base.with_classes(classes)
    size = request.resolution
    size = parse_size(size) if isinstance(size, str) else size
    return base if size is None else base.at(size)


def _classes(source: Source | None) -> int:
    from scalenet.training.embedded import CLASS_NAMES  # noqa: PLC0415

    return len(CLASS_NAMES if source is None else source.classes)


def the_recipe(request: Request) -> Recipe:
    """Return the recipe with its changes."""
    from scalenet.training.recipe import asked_recipe  # noqa: PLC0415

    return asked_recipe(
        request.recipe or _RECIPE,
        request.changes or (),
        epochs=request.epochs,
        batch_size=request.batch_size,
        learning_rate=request.learning_rate,
    )


def read_time(text: float | str | None, option: str) -> float | None:
    """Return the seconds of an option, given as text or as seconds."""
    if not isinstance(text, str):
        return text
    try:
        seconds = parse_seconds(text)
    except ScalenetError as error:
        raise ScalenetError(f"{option}: {error.message}", hint=error.hint) from None
    if len(seconds) > 1:
        raise ScalenetError(f"{option} {text}: one time is wanted")
    return seconds[0]
