"""Recipes: how a network is trained, as YAML files.

A recipe holds numbers and names. Batch sizes are of whole steps, over all processes and accumulated parts, so that the
same recipe means the same training on one machine and on many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field, model_validator

from scalenet.arch import strict_yaml
from scalenet.arch.config import Multiplier, Name, as_data, as_record, records_in
from scalenet.arch.errors import ConfigError, ScalenetError
from scalenet.arch.factory import Factory
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.shipped import load_shipped, shipped_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from scalenet.arch.spec import Buildable

Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
BelowOne: TypeAlias = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
AtLeastOne: TypeAlias = Annotated[int, Field(ge=1)]
Span: TypeAlias = Annotated[tuple[Multiplier, Multiplier], BeforeValidator(as_tuple)]


class _Optimizer(Record):
    """What all optimisers have in common.

    `lr` is the peak learning rate of a batch of `per` images, scaled linearly to the batch; without `per` it holds for
    every batch. `body` multiplies it for all but the classifier, as a fine-tuning may want. `weight_decay` acts on all
    that is not a normalisation.
    """

    kind: str
    lr: Multiplier
    per: AtLeastOne | None = None
    body: NotNegative = 1.0
    weight_decay: NotNegative = 0.0


class Rmsprop(_Optimizer):
    """PyTorch's RMSProp: `eps` is added to the root, and the momentum is multiplied by the current rate."""

    kind: Literal["rmsprop"]
    decay: BelowOne = 0.9
    momentum: BelowOne = 0.9
    eps: Multiplier = 1e-8


class RmspropTensorflow(_Optimizer):
    """TensorFlow's RMSProp: `eps` lies inside the root, the squares start at 1, the momentum holds past rates."""

    kind: Literal["rmsprop_tf"]
    decay: BelowOne = 0.9
    momentum: BelowOne = 0.9
    eps: Multiplier = 1e-3


class Sgd(_Optimizer):
    """Stochastic gradient descent with Nesterov's momentum."""

    kind: Literal["sgd"]
    momentum: BelowOne = 0.9


class AdamW(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"]
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.999
    eps: Multiplier = 1e-8


Optimizer: TypeAlias = Annotated[Rmsprop | RmspropTensorflow | Sgd | AdamW, Field(discriminator="kind")]


class Falling(Record):
    """A rate that rises over the share `warmup` of all steps and falls to zero, as a cosine or in a line."""

    kind: Literal["cosine", "linear"]
    warmup: Fraction = 0.0

    def factor(self, step: int, *, steps: int, epoch_steps: int) -> float:  # noqa: ARG002 - as the others
        """Return the rate of a step, counted from 0, as a factor of the peak."""
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        done = (step - rising) / max(1, steps - rising)
        return 1.0 - done if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))

    def alike(self, steps: int) -> int:  # noqa: ARG002 - as the others
        """Return how many first steps a longer training takes with the same rates."""
        return 0


class Staircase(Record):
    """A rate times `factor` every `every` epochs, counted from the first step, after `warmup` epochs of rising.

    The official EfficientNet code, `build_learning_rate`.
    """

    kind: Literal["staircase"]
    gamma: Fraction
    every: Multiplier
    warmup: NotNegative = 0.0

    def factor(self, step: int, *, steps: int, epoch_steps: int) -> float:  # noqa: ARG002 - as the others
        """Return the rate of a step, counted from 0, as a factor of the peak."""
        rising = self.warmup * epoch_steps
        if step < rising:
            return float((step + 1) / rising) if step + 1 < rising else 1.0
        return float(self.gamma ** math.floor(step / (self.every * epoch_steps)))

    def alike(self, steps: int) -> int:
        """Return how many first steps a longer training takes with the same rates."""
        return steps


class Constant(Record):
    """A rate that stays, after `warmup` epochs of rising, until it falls over the last share of all steps, `cooldown`.

    It falls as 1 − √x (Hägele et al. 2024). Up to there a longer training is the same, so that it can go on from there.
    """

    kind: Literal["constant"]
    cooldown: Fraction = 0.2
    warmup: NotNegative = 0.0

    def factor(self, step: int, *, steps: int, epoch_steps: int) -> float:
        """Return the rate of a step, counted from 0, as a factor of the peak."""
        rising, first = self.warmup * epoch_steps, self.alike(steps)
        risen = min(1.0, (step + 1) / rising) if rising else 1.0
        if step < first:
            return risen
        return risen * (1.0 - math.sqrt((step + 1 - first) / (steps + 1 - first)))

    def alike(self, steps: int) -> int:
        """Return how many first steps a longer training takes with the same rates."""
        return steps - round(self.cooldown * steps)


Schedule: TypeAlias = Annotated[Falling | Staircase | Constant, Field(discriminator="kind")]


class Ema(Record):
    """A moving average of weights and batch-norm statistics, evaluated in their place.

    After n steps the average keeps min(`decay`, (1 + n) / (10 + n)) of itself, as TensorFlow's does with its
    `num_updates`.
    """

    kind: Literal["ema"]
    decay: BelowOne


class Tail(Record):
    """The mean of the weights after each step of the last `share` of all steps, evaluated at the end."""

    kind: Literal["tail"]
    share: Fraction

    def first(self, steps: int) -> int:
        """Return the first step, counted from 0, whose weights are averaged."""
        return steps - round(self.share * steps)


Average: TypeAlias = Annotated[Ema | Tail, Field(discriminator="kind")]


class Augmentation(Record):
    """What is done to training images at random.

    `area` and `aspect` bound the crops of an image, as shares of its area and as width by height; without `area` the
    whole image is taken. `flip` mirrors half of the images. `shift` is the largest shift as a share of the side.
    `policy` names published colour and shape changes (`scalenet/training/policies`).
    """

    area: Span | None = None
    aspect: Span = (0.75, 4 / 3)
    flip: bool = False
    shift: BelowOne = 0.0
    policy: Literal["autoaugment", "randaugment"] | None = None

    @model_validator(mode="after")
    def _spans_rise(self) -> Augmentation:
        for name, span in (("area", self.area), ("aspect", self.aspect)):
            if span is not None and span[0] > span[1]:
                raise ValueError(f"{name} goes from {span[0]:g} down to {span[1]:g}")
        if self.area is not None and self.area[1] > 1:
            raise ValueError(f"area ends at {self.area[1]:g}, and no crop is larger than its image")
        return self


class Recipe(Record):
    """Hold one recipe.

    `statistics_images` training images set the batch-norm statistics anew at the end (0: the running ones stay), which
    makes them fit averaged weights and a short training independent of the batch-norm momentum. `minival` training
    images, at most a tenth of all, choose the best epoch, and after `patience` epochs without a better one the training
    ends; the final figure then comes from images that chose nothing. `evaluate_every` counts epochs (0: at the end
    only). `dropout` and `drop_path` replace the config's. `test_crop` is the central share of the side that is
    evaluated. `accumulate` divides a batch into parts that are run one after the other. `clip` bounds the norm of all
    gradients together. `channels_last` says how maps lie in memory (None: as is faster). `sync_batchnorm` takes the
    statistics of a step over all processes.
    """

    schema_: Literal["scalenet-recipe/1"] = Field(alias="schema")
    name: Name
    description: str = ""
    epochs: AtLeastOne
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: BelowOne = 0.0
    average: Average | None = None
    statistics_images: Count = 0
    augmentation: Augmentation = Augmentation()
    dropout: BelowOne | None = None
    drop_path: BelowOne | None = None
    minival: Count = 0
    patience: AtLeastOne | None = None
    evaluate_every: Count = 1
    test_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    accumulate: AtLeastOne = 1
    clip: Multiplier | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool | None = None
    compile: bool = False
    sync_batchnorm: bool = False

    @model_validator(mode="after")
    def _best_epochs_need_images_of_their_own(self) -> Recipe:
        if self.patience is not None and not (self.minival and self.evaluate_every):
            raise ValueError("patience needs a minival, and evaluate_every above 0")
        if isinstance(self.average, Tail) and self.minival:
            raise ValueError("a tail average is known at the end only, and a minival chooses between epochs")
        return self

    def applied(self, model: Buildable) -> Buildable:
        """Return a network with the recipe's dropout and stochastic depth, where it has any.

        A factory's are its own: raise ScalenetError where the recipe has others.
        """
        given = {"dropout": self.dropout, "drop_path": self.drop_path}
        changes = {name: value for name, value in given.items() if value is not None}
        if isinstance(model, Factory):
            if changes:
                raise ScalenetError(
                    f"{model.callable} is a factory: the recipe's {' and '.join(changes)} would not reach its network",
                    hint=f"--set {next(iter(changes))}=null, and have the factory set it",
                )
            return model
        return model.changed(regularization=model.regularization.changed(**changes))

    def rate(self, step: int, *, steps: int, epoch_steps: int, batch: int) -> float:
        """Return the learning rate of one step, counted from 0, of `steps`; `batch` is the number of its images."""
        peak = self.optimizer.lr * (batch / self.optimizer.per if self.optimizer.per else 1.0)
        return peak * self.schedule.factor(step, steps=steps, epoch_steps=epoch_steps)

    def alike(self, steps: int) -> int:
        """Return how many first steps of a training of so many are the same, to the bit, in a longer one."""
        alike = self.schedule.alike(steps)
        return min(alike, self.average.first(steps)) if isinstance(self.average, Tail) else alike


@cache
def files() -> dict[str, Traversable]:
    """Return the file of every shipped recipe by name."""
    return shipped_files(resources.files("scalenet.training") / "recipes")


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Return a shipped recipe, or the recipe in a YAML file."""
    return load_shipped(Recipe, name_or_path, files(), kind="recipe")


def change(recipe: Recipe, changes: Iterable[tuple[str, Any]]) -> Recipe:
    """Return a recipe with some keys changed, written with dots: `optimizer.lr`.

    Where a `kind` changes, keys that the new kind does not have are left out. Raise ConfigError for unknown keys and
    wrong values.
    """
    data = as_data(recipe)
    for key, value in changes:
        *parents, last = key.split(".")
        place: Any = data
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ConfigError(f"recipe {recipe.name}: {key}: {'.'.join(parents)} has no keys")
        place[last] = value
        if last == "kind" and parents and parents[0] in Recipe.model_fields:
            data[parents[0]] = _fitting(parents[0], place)
    return as_record(Recipe, data, f"recipe {recipe.name}")


def asked_recipe(
    recipe: str | Path | Recipe,
    changes: Mapping[str, Any] | Sequence[str],
    *,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
) -> Recipe:
    """Return a recipe with changes, then with what stands for a key of its own."""
    base = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if isinstance(changes, str) or not isinstance(changes, Mapping | Sequence):
        raise ScalenetError(f"no changes: {type(changes).__name__}", hint='give {"optimizer.lr": 0.1}')
    pairs = list(changes.items()) if isinstance(changes, Mapping) else read_changes(changes)
    options = {"epochs": epochs, "batch_size": batch_size, "optimizer.lr": learning_rate}
    return change(base, [*pairs, *((key, value) for key, value in options.items() if value is not None)])


def read_changes(texts: Iterable[str]) -> list[tuple[str, Any]]:
    """Return the keys and typed values of texts such as `optimizer.lr=0.1`."""
    changes = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ConfigError(f"{text!r} is not a change of the recipe", hint="write key=value: optimizer.lr=0.1")
        changes.append((key.strip(), strict_yaml.parse(value, key)[0]))
    return changes


def _fitting(field: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that the kind named in `data` takes."""
    for record in records_in(Recipe.model_fields[field].annotation):
        if data["kind"] in get_args(record.model_fields["kind"].annotation):
            return {key: value for key, value in data.items() if key in record.model_fields}
    return data
