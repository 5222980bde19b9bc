"""Weights in: a file of another library becomes a folder that `train`, `evaluate` and the rest take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch import strict_json
from scalenet.arch.config import Config, as_record, dumps
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.files import check_place, read_text, write_text
from scalenet.arch.layers import both
from scalenet.arch.results import Results, check_folder
from scalenet.arch.words import hush, tell
from scalenet.costs.formula import cost
from scalenet.exchange.expected import Expected
from scalenet.exchange.known import imagenet_classes
from scalenet.exchange.matching import matched
from scalenet.exchange.reading import read_found
from scalenet.exchange.recognising import AUTO, recognise
from scalenet.exchange.sanity import look
from scalenet.training.checkpoint import About, Imported, Trained, read_trained, write_weights
from scalenet.training.names import class_names
from scalenet.training.preprocessing import INTERPOLATIONS, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from scalenet.exchange.reading import Found
    from scalenet.exchange.recognising import Recognised

RESULTS = Results("import", "preprocessing.json", ("preprocessing.json", "config.yaml", "model.safetensors"))
"""The files of an import."""

_TRAINING = "environment.json"
_COLOURS = 3
_RECORD = "preprocessing.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedWeights:
    """What came of an import: the network, whose weights they are, and the images that it expects.

    `left_out` are heads that a network for classification has not; `spread` is that of the logits of embedded images,
    and `doubts` are lines of what could not be told for sure.
    """

    folder: Path
    network: str
    library: str
    source: str
    tensors: int
    params: int
    classes: int
    preprocessing: Preprocessing
    left_out: tuple[str, ...]
    spread: float
    doubts: tuple[str, ...]

    def module(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode; its input is as `preprocessing` says."""
        return read_trained(self.folder).module().eval()


def import_weights(
    file: str | Path,
    folder: str | Path,
    *,
    library: str = AUTO,
    name: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    size: int | tuple[int, int] | None = None,
    crop: float | None = None,
    interpolation: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> ImportedWeights:
    """Write weights of another library as a folder that `train`, `evaluate` and `export_weights` take.

    `file` is one of torch.save or safetensors, or a Hugging Face folder with `config.json`. Where tensors do not tell,
    `library` is `torchvision`, `timm` or `huggingface`, and `name` the network's there, its weights behind a dot
    (`resnet50.IMAGENET1K_V2`), or a config file. `classes` names them: a file of a line each, or the names. `size`,
    `crop`, `interpolation`, `mean` and `std` (of values between 0 and 1) replace what is known of the images: by
    `preprocessing.json` and `classes.txt` beside the file, which `export_weights` writes, or by the weights' name.

    `say` hears what was recognised, left out and doubted. Raise ScalenetError where the weights are no known network's,
    naming the first tensor that does not fit, or where there is a choice, naming it.
    """
    hear, place = say or hush, Path(folder)
    check_free(place, force=force)
    found = read_found(file)
    known = recognise(found, library, None if name is None else str(name))
    record = _record_beside(Path(file))
    if record is not None:
        known = replace(known, images=record, doubts=())
        classes = _classes_beside(Path(file)) if classes is None else classes
        hear(f"images are prepared as {_RECORD} beside the weights says")
    if (colours := known.architecture.model.channels) != _COLOURS:
        raise ScalenetError(f"{found.place}: takes images of {colours} colours; images here have {_COLOURS}")
    images = _images(known, size=size, crop=crop, interpolation=interpolation, mean=mean, std=std, place=found.place)
    weights = matched(found.tensors, known.library, known.architecture, found.place)
    about = _about(found, known, images, _classes(classes, known, _number_of_classes(weights)))
    trained = Trained(weights, about, f"sha256:{found.digest}", found.place)
    sanity = look(trained.module(), about.preprocessing, found.place)
    doubts = (*known.doubts, *([] if sanity.doubt is None else [sanity.doubt]))
    for line in (_summary(about), *_left_out(found), str(sanity), *doubts):
        hear(line)
    write_folder(place, weights, about, about.plan.config)
    return ImportedWeights(
        folder=place,
        network=about.plan.config.name,
        library=known.library,
        source=known.source,
        tensors=len(found.tensors),
        params=cost(about.plan.config.model).params,
        classes=len(about.plan.classes),
        preprocessing=about.preprocessing,
        left_out=tuple(found.left_out),
        spread=sanity.spread,
        doubts=doubts,
    )


def _record_beside(file: Path) -> Expected | None:
    """Return the images that `export_weights` wrote down beside a file of weights, if it did."""
    path = file.with_name(_RECORD)
    if file.is_dir() or not path.is_file():
        return None
    try:
        data = strict_json.loads(read_text(path, str(path)))
        record = as_record(Preprocessing, {name: data[name] for name in Preprocessing.model_fields}, str(path))
    except (KeyError, TypeError, ValueError):  # another program's
        return None
    return Expected(record.size, record.resize, record.interpolation, record.mean, record.std)


def _classes_beside(file: Path) -> Path | None:
    path = file.with_name("classes.txt")
    return path if path.is_file() else None


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder in which something would be lost, or that cannot be written to."""
    check_folder(folder)
    check_place(folder / "model.safetensors", force=True)
    if (folder / _TRAINING).exists():
        raise ScalenetError(f"{folder}: holds a training", hint="give another folder with -o")
    there = RESULTS.files(folder)
    if there and not force:
        raise ScalenetError(f"{there[0]}: exists already", hint="--force replaces it")


def write_folder(folder: Path, weights: dict[str, Tensor], about: About, config: Config) -> None:
    """Write weights, the config of their network, and the images that it expects."""
    write_weights(folder / "model.safetensors", weights, about)
    write_text(folder / "config.yaml", dumps(config))
    write_text(folder / "preprocessing.json", about.preprocessing.text())


def _images(
    known: Recognised,
    *,
    size: int | tuple[int, int] | None,
    crop: float | None,
    interpolation: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    place: str,
) -> Expected:
    """Return the images that weights expect: as they are known, or as they are given."""
    if interpolation is not None and interpolation not in INTERPOLATIONS:
        listing = f"known: {', '.join(INTERPOLATIONS)}"
        raise UnknownNameError("interpolation", interpolation, INTERPOLATIONS, listing=listing)
    images = known.images
    if images is None:
        if mean is None or std is None:
            raise ScalenetError(f"{place}: which images {known.source} expects is not known", hint=known.ask)
        own = known.architecture.model.resolution
        images = Expected(own, max(both(own)), "bilinear", (0, 0, 0), (1, 1, 1))
    given = {"interpolation": interpolation, "mean": _colours(mean, "mean"), "std": _colours(std, "std"), "size": size}
    chosen = replace(images, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    if crop is None and size is None:
        return chosen
    share = images.crop if crop is None else crop
    if not 0 < share <= 1:
        raise ScalenetError(f"crop {share:g} is no share of the side", hint="give a number above 0, up to 1")
    side = max(both(chosen.size))
    return replace(chosen, resize=round(side / share))


def _colours(values: Sequence[float] | None, what: str) -> tuple[float, ...] | None:
    if values is not None and len(values) != 3:
        raise ScalenetError(f"{what}: {len(values)} numbers", hint=f"give three: {what} 0.485,0.456,0.406")
    if values is None:
        return None
    for one in values:
        if not math.isfinite(one) or (what == "std" and one <= 0):
            raise ScalenetError(f"{what}: {one:g} is none", hint="values lie between 0 and 1, and deviations above 0")
    return tuple(float(one) for one in values)


def _about(found: Found, known: Recognised, images: Expected, classes: tuple[str, ...]) -> About:
    model = known.architecture.model.at(images.size).with_classes(len(classes))
    config = Config(schema="scalenet/1", name=known.architecture.name, model=model)
    return About(
        schema="scalenet-weights/1",
        plan=Imported(
            schema="scalenet-import/1",
            config=config,
            classes=classes,
            source=known.source,
            file=f"sha256:{found.digest}",
            crop=images.crop,
        ),
        mean=tuple(255 * one for one in images.mean),
        deviation=tuple(255 * one for one in images.std),
        interpolation=images.interpolation,
    )


def _classes(given: str | Path | Sequence[str] | None, known: Recognised, count: int) -> tuple[str, ...]:
    """Return the names of the classes: those given, those of ImageNet's folders, those of the config, or numbers."""
    if given is not None:
        names = class_names(Path(given)) if isinstance(given, str | Path) else tuple(map(str, given))
        if len(names) != count:
            raise ScalenetError(f"{len(names)} names of classes for {count} classes", hint="name each class once")
        return names
    if count == 1:
        raise ScalenetError("weights of one class", hint="a classifier needs two or more")
    thousand = imagenet_classes()
    if count == len(thousand) and known.labels[:1] in ((), ("tench, Tinca tinca",), ("tench",), thousand[:1]):
        return thousand
    if count == len(thousand) + 1 and known.library == "huggingface":
        return ("background", *thousand)
    if len(set(known.labels)) == count:
        return known.labels
    return tuple(f"class_{number:0{len(str(count - 1))}}" for number in range(count))


def _number_of_classes(weights: dict[str, Tensor]) -> int:
    return weights["head.classifier.weight"].shape[0]


def _summary(about: About) -> str:
    images = about.preprocessing
    size = images.size if isinstance(images.size, int) else "×".join(map(str, images.size))
    return (
        f"{about.plan.source}: {images.classes:,} classes; the centre of {size} px of images of {images.resize} px, "
        f"{images.interpolation}, mean {_shown(images.mean)}, std {_shown(images.std)}"
    )


def _left_out(found: Found) -> list[str]:
    return [f"left out: {', '.join(found.left_out)}, which only training uses"] if found.left_out else []


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
