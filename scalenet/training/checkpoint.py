"""Files of weights, alone or with all that a training goes on from: safetensors, with what they are of as JSON.

A file is written under another name and renamed, so that none is ever half-written, and nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import safetensors
import torch
from pydantic import BeforeValidator, Discriminator, Field, Tag
from safetensors.torch import save

from scalenet.arch import strict_json
from scalenet.arch.comparison import computed_differently
from scalenet.arch.config import Config, as_data, as_record
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import sweep, write_bytes
from scalenet.arch.records import Record, as_tuple
from scalenet.model.builder import build
from scalenet.model.names import names_of_today
from scalenet.training.data import FileSet
from scalenet.training.decoding import some
from scalenet.training.foreign import HINT, describe_file, describe_tensors
from scalenet.training.optimizers import CLASSIFIER
from scalenet.training.preprocessing import Deviations, Interpolation, Means, Preprocessing
from scalenet.training.recipe import Recipe
from scalenet.training.state import State
from scalenet.training.tensors import below, mismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from scalenet.arch.spec import Buildable
    from scalenet.training.data import Splits
    from scalenet.training.feed import Normalization

KEPT = 2
"""How many checkpoints of a training stay: the newest, and one before it should the disk damage it."""

_HINT = "give a file or folder that `scalenet train` wrote"

Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class Images(Record):
    """The images of a training, by a digest of their classes, names and contents (or sizes), and their numbers.

    `drawn` is the share that was drawn to be held out, where the data had no held-out images, and `drawn_by` the seed
    that drew it, where that is not the training's; `cached` says that they were decoded once.
    """

    name: str
    digest: str
    train: int
    validation: int
    minival: int
    cached: bool
    drawn: float | None = None
    drawn_by: int | None = None

    @classmethod
    def of(cls, splits: Splits, drawn_by: int | None = None) -> Images:
        """Return the record of a training's images."""
        return cls(
            name=splits.name,
            digest=splits.names,
            train=len(splits.train),
            validation=len(splits.validation),
            minival=0 if splits.minival is None else len(splits.minival),
            cached=not isinstance(splits.train, FileSet),
            drawn=splits.drawn,
            drawn_by=None if splits.drawn is None else drawn_by,
        )


class Plan(Record):
    """Everything that the weights follow from; a folder holds the training of one plan.

    `init` is the digest of the file of weights that the training started from.
    """

    schema_: Literal["scalenet-training/1"] = Field(alias="schema")
    config: Config
    recipe: Recipe
    images: Images
    classes: Texts
    seed: int
    init: str | None = None

    @property
    def crop(self) -> float:
        """The central share of the side that is evaluated."""
        return self.recipe.test_crop

    @property
    def source(self) -> str:
        """Whose weights these are."""
        return f"trained on {self.images.name}"

    @property
    def drawn_by(self) -> int:
        """The seed that draws which images are for what."""
        return self.seed if self.images.drawn_by is None else self.images.drawn_by

    def differences(self, other: Plan) -> list[str]:
        """Return the keys that differ, but for the name of the images, which may lie elsewhere now."""
        one, two = (_flat(as_data(plan)) for plan in (self, other))
        return [key for key in {**one, **two} if one.get(key) != two.get(key) and key != "images.name"]

    @property
    def batches(self) -> int:
        """The number of steps of an epoch."""
        return max(1, self.images.train // self.recipe.batch_size)

    @property
    def alike(self) -> int:
        """How many first steps are the same in a longer training."""
        return self.recipe.alike(self.recipe.epochs * self.batches)

    def extends(self, other: Plan) -> bool:
        """Return whether two trainings differ in their length alone, and begin with the same steps."""
        return self.differences(other) == ["recipe.epochs"] and min(self.alike, other.alike) > 0


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    """Return values by keys written with dots."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        found |= {f"{key}.{rest}": one for rest, one in inner.items()} or {key: value}
    return found


class Imported(Record):
    """What weights are that another library trained: of which network, `file` by digest, and from which `source`.

    `crop` is the central share of the side that is evaluated.
    """

    schema_: Literal["scalenet-import/1"] = Field(alias="schema")
    config: Config
    classes: Texts
    source: str
    file: str
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0


def _schema(value: Any) -> str:
    return str(value.get("schema", "") if isinstance(value, dict) else value.schema_)


class Inherited(Record):
    """What weights are that come from those of another scale: of which network, and from which `file`, by digest.

    `origin` says what those are that all began with, and `inherited` the networks that they went through, in order.
    `seed` is that of the shares of copies.
    """

    schema_: Literal["scalenet-inheritance/1"] = Field(alias="schema")
    config: Config
    inherited: Texts
    file: str
    seed: int
    origin: Annotated[
        Annotated[Plan, Tag("scalenet-training/1")] | Annotated[Imported, Tag("scalenet-import/1")],
        Discriminator(_schema),
    ]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.origin.classes

    @property
    def crop(self) -> float:
        """The central share of the side that is evaluated."""
        return self.origin.crop

    @property
    def source(self) -> str:
        """Whose weights these are."""
        return f"inherited from {self.inherited[-1]}, {self.origin.source}"


class About(Record):
    """What weights are of: the plan they were trained by, or where they are from, and the images they take.

    `mean` and `deviation` are of values from 0 to 255; `scores` are on the validation images, once trained.
    """

    schema_: Literal["scalenet-weights/1"] = Field(alias="schema")
    plan: Annotated[
        Annotated[Plan, Tag("scalenet-training/1")]
        | Annotated[Imported, Tag("scalenet-import/1")]
        | Annotated[Inherited, Tag("scalenet-inheritance/1")],
        Discriminator(_schema),
    ]
    mean: Means
    deviation: Deviations
    interpolation: Interpolation = "bilinear"
    scores: dict[str, float] | None = None

    @property
    def training(self) -> Plan | None:
        """The training that the weights are from, at this scale or at another, if it was one of ours."""
        origin = self.plan.origin if isinstance(self.plan, Inherited) else self.plan
        return origin if isinstance(origin, Plan) else None

    @property
    def normalization(self) -> Normalization:
        """Mean and standard deviation of each channel."""
        return self.mean, self.deviation

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of an image before the network sees it."""
        mean, std = (tuple(round(one / 255, 9) for one in values) for values in self.normalization)
        return Preprocessing(
            size=self.plan.config.network.resolution,
            crop=self.plan.crop,
            interpolation=self.interpolation,
            mean=mean,
            std=std,
            classes=len(self.plan.classes),
            source=self.plan.source,
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights by name, what they are of, and a digest of their file."""

    weights: dict[str, Tensor]
    about: About
    digest: str
    place: str

    def module(self) -> nn.Module:
        """Return the network with its weights."""
        network = build(self.about.plan.config.network)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ScalenetError(f"{self.place}: damaged, or not the weights that it says: {reason}") from None
        return network

    def check(self, model: Buildable) -> None:
        """Refuse a network that would compute something else with these weights, although they fit."""
        own = self.about.plan.config
        changed = computed_differently(own.network, model)
        if changed:
            path, before, after = changed[0]
            raise ScalenetError(
                f"{self.place}: weights of {own.name}, another network: {path} is {before}, not {after}",
                hint=f"--init takes weights of the same architecture: {self.place}'s config.yaml describes it",
            )

    def start(self, network: nn.Module, classes: tuple[str, ...]) -> None:
        """Put the weights into a network of this architecture; its classifier stays where its classes are others."""
        same = classes == self.about.plan.classes
        wanted = {
            name: value
            for name, value in network.state_dict().items()
            if same or not (name.startswith(CLASSIFIER) or self._differs_by_classes(name, value, len(classes)))
        }
        given = {name: value for name, value in self.weights.items() if name in wanted}
        other = [name for name, value in wanted.items() if name not in given or given[name].shape != value.shape]
        if other:
            raise ScalenetError(
                f"{self.place}: weights of {self.about.plan.config.name}, another network: {other[0]} differs",
                hint="--init takes weights of the same architecture; its resolution and classes may differ",
            )
        network.load_state_dict(given, strict=False)

    def _differs_by_classes(self, name: str, value: Tensor, classes: int) -> bool:
        """Return whether a factory's tensor has a row a class: nobody says what its classifier is called."""
        own, before = self.weights.get(name), len(self.about.plan.classes)
        if own is None or self.about.plan.config.factory is None or before == classes:
            return False
        return own.shape[:1] == (before,) and value.shape[:1] == (classes,) and own.shape[1:] == value.shape[1:]


def write_weights(path: Path, weights: dict[str, Tensor], about: About) -> None:
    """Write a file of weights alone."""
    _write(path, weights, {"about": json.dumps(as_data(about))})


def write_checkpoint(folder: Path, step: int, state: State, about: About, *, alike: int) -> None:
    """Write all that a training goes on from.

    Remove all checkpoints but the newest `KEPT`, and that of step `alike`, which a longer training would go on from.
    """
    write_state(folder / _name(step), state, json.dumps(as_data(about)))
    for old in checkpoints(folder)[KEPT:]:
        if old.name != _name(alike):
            old.unlink(missing_ok=True)
    sweep(folder, "step-*.safetensors")


def _name(step: int) -> str:
    return f"step-{step:09}.safetensors"


def write_state(path: Path, state: State, about: str) -> None:
    """Write one file of all that a training goes on from; `about` says what it is of."""
    texts = {"about": about, "state": json.dumps(state.numbers)}
    whole = _whole(state.tensors)
    write_bytes(path, save(whole, {**texts, "digest": _digest(whole, texts)}))


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest first."""
    return sorted(folder.glob("step-*.safetensors"), reverse=True)


def read_checkpoint(path: Path, plan: Plan) -> State:
    """Return the state of a checkpoint, or raise ScalenetError where it is damaged or of another plan."""
    state, texts = _state(path)
    other = _about(texts, state.tensors, path).plan
    if not isinstance(other, Plan):
        raise ScalenetError(f"{path}: damaged, or no checkpoint")
    if plan.extends(other):
        step, alike = state.step(plan.batches), min(plan.alike, other.alike)
        if step > alike:
            epochs = f"{other.recipe.epochs} and {plan.recipe.epochs} epochs"
            raise ScalenetError(f"{path}: is of step {step}; trainings of {epochs} are alike up to step {alike}")
    elif changed := plan.differences(other):
        raise ScalenetError(f"{path}: a checkpoint of another training: {some(changed)} differ")
    return state


def read_state(path: Path, about: str) -> State:
    """Return the state of a file, or raise ScalenetError where it is damaged or not `about` the same."""
    state, texts = _state(path)
    if texts["about"] != about:
        raise ScalenetError(f"{path}: a checkpoint of another training")
    return state


def read_trained(place: str | Path) -> Trained:
    """Return the weights of a file or of a training's folder; of a checkpoint, those that would be evaluated."""
    path = Path(place)
    if path.is_dir():
        found = [path / "model.safetensors", *checkpoints(path / "checkpoints")]
        path = next((file for file in found if file.is_file()), found[0])
    tensors, texts = _read(path)
    # Of a checkpoint: the best epoch's weights, else their moving average, else the last ones.
    for start in ("best/", "average/module.", "weights/", ""):
        chosen = below(tensors, start)
        if chosen:
            break
    chosen |= below(tensors, "judged/")  # where the running statistics do not count
    about = _about(texts, tensors, path)
    with torch.device("meta"):
        network = build(about.plan.config.network)
    chosen = names_of_today(chosen, network)
    if (wrong := mismatch(chosen, network.state_dict())) is not None:
        raise ScalenetError(f"{path}: no weights of {about.plan.config.name}: {wrong}", hint=_HINT)
    return Trained(chosen, about, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}", str(place))


def _write(path: Path, tensors: dict[str, Tensor], texts: dict[str, str]) -> None:
    write_bytes(path, save(_whole(tensors), texts))


def _whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _digest(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """Return a digest of all that a file holds, which safetensors itself has not."""
    found = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{found.hexdigest()}"


def _state(path: Path) -> tuple[State, dict[str, str]]:
    """Return the state of a checkpoint, and the texts beside it."""
    tensors, texts = _read(path)
    if texts.pop("digest", None) != _digest(tensors, texts):
        raise ScalenetError(f"{path}: damaged, or no checkpoint")
    numbers = _data(texts, "state", path)
    if not isinstance(numbers, dict):
        raise ScalenetError(f"{path}: damaged: its record 'state' has no keys")
    return State(tensors, numbers, str(path)), texts


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.exists() and not path.is_file():
        raise ScalenetError(f"{path}: no file", hint=_HINT)
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise ScalenetError(f"{path}: no such file", hint=_HINT) from None
    except OSError as error:
        raise ScalenetError(f"{path}: {error.strerror or error}", hint=_HINT) from None
    except safetensors.SafetensorError:
        what = describe_file(path)
        if what is None:
            raise ScalenetError(f"{path}: half-written, damaged, or no safetensors file", hint=_HINT) from None
        raise ScalenetError(f"{path}: {what}", hint=HINT) from None


def _about(texts: Mapping[str, str], tensors: Mapping[str, Tensor], path: Path) -> About:
    """Return the record of what tensors are of."""
    if "about" not in texts:
        raise ScalenetError(f"{path}: {describe_tensors(list(tensors))}", hint=HINT)
    about = as_record(About, _data(texts, "about", path), str(path))
    named, made = len(about.plan.classes), about.plan.config.network.classes
    if named != made:
        raise ScalenetError(f"{path}: names {named} classes of a network of {made}")
    return about


def _data(texts: Mapping[str, str], name: str, path: Path) -> Any:
    """Return the data of one of a file's texts."""
    try:
        return strict_json.loads(texts[name])
    except KeyError:
        raise ScalenetError(f"{path}: damaged: no record {name!r}", hint=_HINT) from None
    except ValueError as error:
        raise ScalenetError(f"{path}: damaged: its record {name!r} is no JSON: {error}", hint=_HINT) from None
