"""Class activation maps of several networks side by side, and how much of them lies on the object (paper, Fig. 7)."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch.nn import functional

from scalenet.arch.errors import ScalenetError, nearest
from scalenet.arch.files import write_bytes, write_text
from scalenet.arch.results import Results, check_folder
from scalenet.arch.validation import at_least
from scalenet.arch.words import hush, number, tell
from scalenet.studies.activation import mapper_of
from scalenet.studies.pictures import Embedded, is_image, photographs
from scalenet.training.checkpoint import Plan, Trained, read_trained
from scalenet.training.devices import usable_device
from scalenet.training.feed import normalizer
from scalenet.training.runs import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor

    from scalenet.studies.pictures import Pictures

Floats = NDArray[np.float32]

RESULTS = Results("class activation map", "maps.npz", ("maps.npz", "cam.*"))
LEVEL = 0.95
ROWS = 4
_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class ModelMaps:
    """The maps of one model, of the images in their order.

    `maps` are signed, [images, height, width] as the network's last map has it; `exact` says that the mean of a map and
    the classifier's `bias` of its class add up to that class's logit. `chosen` are the mapped classes, `logits`
    [images, classes]; `inputs` are the first images as the network sees them, uint8 [rows, 3, height, width].
    `on_object` is the share of each map's positive values that lies on the object, `area` the object's share of the
    image, both NaN where the object is not known or no value is positive.
    """

    name: str
    place: str
    classes: tuple[str, ...]
    exact: bool
    maps: Floats
    chosen: NDArray[np.int64]
    bias: Floats
    logits: Floats
    inputs: NDArray[np.uint8]
    on_object: Floats
    area: Floats

    @property
    def probabilities(self) -> Floats:
        """The softmax of the logits."""
        return torch.from_numpy(self.logits).softmax(dim=1).numpy()

    @property
    def top(self) -> NDArray[np.int64]:
        """The class that each image is taken for."""
        best: NDArray[np.int64] = np.argmax(self.logits, axis=1)
        return best

    def enlarged(self, image: int) -> Floats:
        """Return the map of an image at the size of the network's input."""
        return _enlarged(torch.from_numpy(self.maps[image : image + 1]), self.inputs.shape[2:])[0].numpy()


@dataclass(frozen=True, slots=True, eq=False)
class ActivationMaps:
    """Maps of some models (columns of Fig. 7) and images (its rows), with the names of images and of their classes."""

    models: tuple[ModelMaps, ...]
    images: tuple[str, ...]
    labels: tuple[str | None, ...]
    rows: int

    def frame(self) -> pd.DataFrame:
        """Return a row an image and model: the mapped class, its probability, the answer, and the map's share."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame([row for model in self.models for row in self._rows(model)])

    def _rows(self, model: ModelMaps) -> Iterable[dict[str, Any]]:
        likely = model.probabilities
        for place, image in enumerate(self.images):
            mapped, top = int(model.chosen[place]), int(model.top[place])
            yield {
                "model": model.name,
                "image": image,
                "class": model.classes[mapped],
                "probability": float(likely[place, mapped]),
                "predicted": model.classes[top],
                "true": self.labels[place],
                "on_object": _known(model.on_object[place]),
                "object_area": _known(model.area[place]),
            }

    def summary(self) -> list[dict[str, Any]]:
        """Return a row a model: its images, how many it gets right, and the map's mean share on the object.

        `interval` is half the 95 % interval of that mean over images (Student's t); `gain` is the mean difference to
        the first model on the same images, `gain_interval` half of its interval. A uniform map has the share `area`.
        """
        first = self.models[0]
        return [self._line(model, None if model is first else first) for model in self.models]

    def _line(self, model: ModelMaps, first: ModelMaps | None) -> dict[str, Any]:
        known = [place for place, label in enumerate(self.labels) if label in model.classes]
        right = sum(model.classes[model.top[place]] == self.labels[place] for place in known)
        mean, half = interval(model.on_object)
        gain, gain_half = (None, None) if first is None else interval(model.on_object - first.on_object)
        return {
            "model": model.name,
            "input": "x".join(map(str, model.inputs.shape[2:])),
            "map": "x".join(map(str, model.maps.shape[1:])),
            "method": "cam" if model.exact else "gradient",
            "images": len(self.images),
            "top1": right / len(known) if known else None,
            "on_object": mean,
            "interval": half,
            "gain": gain,
            "gain_interval": gain_half,
            "area": interval(model.area)[0],
        }

    def figure(self) -> Figure:
        """Return the first images and their maps, a column a model."""
        from scalenet.studies.overlay import draw  # noqa: PLC0415 - matplotlib is slow to import

        return draw(self)

    def save(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write `cam.csv`, `cam.png`, `cam.svg`, `cam.pdf` and the signed maps, `maps.npz`; return their paths."""
        from scalenet.report.figures import style, written  # noqa: PLC0415 - matplotlib is slow to import

        place = Path(folder)
        check_free(place, force=force)
        with style():
            drawn = self.figure()
            files = {f"cam.{form}": written(drawn, form) for form in ("png", "svg", "pdf")}
        write_text(place / "cam.csv", self.frame().to_csv(index=False, lineterminator="\n"))
        for name, content in (files | {RESULTS.record: self._arrays()}).items():
            write_bytes(place / name, content)
        return [place / name for name in ("cam.csv", *files, RESULTS.record)]

    def _arrays(self) -> bytes:
        """Return the arrays of `maps.npz`: `images`, and of each model by its place `0_maps`, `0_chosen` and so on."""
        arrays: dict[str, Any] = {
            "images": np.array(self.images),
            "models": np.array([one.name for one in self.models]),
        }
        for place, model in enumerate(self.models):
            arrays[f"{place}_classes"] = np.array(model.classes)
            for kind in ("maps", "chosen", "bias", "logits", "on_object", "area"):
                arrays[f"{place}_{kind}"] = getattr(model, kind)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def interval(values: Floats) -> tuple[float | None, float | None]:
    """Return the mean of the values that are known, and half of its 95 % interval (Student's t)."""
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        return None, None
    if len(known) == 1:
        return float(known[0]), None
    half = stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), float(half)


def cam(
    models: Sequence[str | Path | Trained],
    images: Sequence[str | Path] | int | None = None,
    *,
    of: str = "top",
    objects: str | Path | None = None,
    rows: int = ROWS,
    device: str | None = None,
    say: Callable[[str], None] | None = tell,
) -> ActivationMaps:
    """Return class activation maps of trained models, files of weights or folders of trainings, side by side.

    `images` are files; a number takes so many held-out images of the embedded task. The class that is mapped is `of`
    each model's `top` answer, the `true` one (the class in `objects`, or an image's folder), or one by its name.
    `objects` is a table of boxes or masks (CSV: image, left, top, right, bottom; or image, mask; a class if known), of
    which maps are said to lie on the object so far; embedded images have their own. Without images all of the table are
    taken. `rows` images are kept for the figure.

    The maps are of the image as each model's preprocessing has it. Raise ScalenetError for what is asked wrongly.
    """
    hear = say or hush
    at_least(1, rows=rows)
    trained = [one if isinstance(one, Trained) else read_trained(one) for one in models]
    if not trained:
        raise ScalenetError("no model is given", hint="give a file of weights, or the folder of a training")
    pictures = _pictures(trained, images, None if objects is None else Path(objects))
    used = usable_device(device)
    names = names_apart(trained)
    for one in trained:
        _check_class(one, of, pictures)
    found = []
    for one, name in zip(trained, names, strict=True):
        found.append(_maps(one, name, pictures, of, rows, torch.device(used), hear))
        if found[-1].maps.shape[1:] == (1, 1):
            hear(f"{name}: its last map is one place, so that its maps say nothing of places")
    return ActivationMaps(tuple(found), pictures.names, pictures.labels, min(rows, len(pictures.names)))


def _pictures(trained: list[Trained], images: Sequence[str | Path] | int | None, objects: Path | None) -> Pictures:
    if isinstance(images, int):
        others = [one.place for one in trained if not _is_embedded(one)]
        if others:
            raise ScalenetError(f"{others[0]}: not trained on the embedded images", hint="give images")
        if objects is not None:
            raise ScalenetError("the embedded images have objects of their own", hint="leave the table out")
        return Embedded(at_least(1, images=images))
    files = [Path(file) for file in images or ()]
    if not files and objects is None:
        raise ScalenetError("no image is given", hint="give files, or a table of objects")
    return photographs(files, objects)


def _is_embedded(trained: Trained) -> bool:
    plan = trained.about.plan
    return isinstance(plan, Plan) and plan.images.name == EMBEDDED


def names_apart(trained: list[Trained]) -> list[str]:
    """Return a name a model that tells it from the others: its config's, its folder's, or its path."""
    configs = [one.about.plan.config.name for one in trained]
    folders = [Path(one.place).resolve().name for one in trained]
    places = [one.place for one in trained]
    for names in (configs, folders):
        if max(Counter(names).values()) == 1:
            return names
    return places


def _check_class(trained: Trained, of: str, pictures: Pictures) -> None:
    """Refuse a class that a model does not know."""
    classes = trained.about.plan.classes
    if of == "top":
        return
    if of != "true" and of not in classes:
        close = nearest(of, classes) or f"top, true, or one of {number(len(classes), 'class')}, {classes[0]!r} first"
        raise ScalenetError(f"{trained.place}: no class {of!r}", hint=close)
    for name, label in zip(pictures.names, pictures.labels, strict=True):
        if of == "true" and label not in classes:
            hint = "name its class in the table of objects, or put it into a folder of that name"
            raise ScalenetError(f"{name}: its class is not known to {trained.place}", hint=hint)


def _maps(
    trained: Trained,
    name: str,
    pictures: Pictures,
    of: str,
    rows: int,
    device: torch.device,
    hear: Callable[[str], None],
) -> ModelMaps:
    about, network = trained.about, trained.about.plan.config.network
    classes = about.plan.classes
    mapper = mapper_of(trained.module().to(device).eval(), network)
    if mapper.how is not None:
        hear(f"{name}: {mapper.how}")
    ready = normalizer(about.normalization, device, torch.contiguous_format)
    wanted = [_wanted(of, label, classes) for label in pictures.labels]
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(wanted), _BATCH):
        part = slice(start, min(start + _BATCH, len(wanted)))
        inputs = pictures.read(part, network.size, about.plan.crop, about.interpolation)
        features, logits = mapper(ready(inputs.to(device)))
        numbers = torch.tensor(wanted[part], device=device)
        chosen = torch.where(numbers < 0, logits.argmax(dim=1), numbers)
        maps = mapper.maps(features, chosen).cpu()
        masks = pictures.masks(part, network.size, about.plan.crop)
        on_object, area = _shares(maps, masks, network.size)
        for kind, values in {
            "maps": maps,
            "chosen": chosen,
            "bias": mapper.bias(chosen),
            "logits": logits,
            "inputs": inputs[: max(0, rows - start)],
            "on_object": on_object,
            "area": area,
        }.items():
            parts.setdefault(kind, []).append(values.cpu())
    arrays: dict[str, Any] = {kind: torch.cat(values).numpy() for kind, values in parts.items()}
    return ModelMaps(name, trained.place, classes, mapper.exact, **arrays)


def _wanted(of: str, label: str | None, classes: tuple[str, ...]) -> int:
    """Return the number of the class to map, -1 for the one that the model answers."""
    name = label if of == "true" else of
    return -1 if of == "top" or name is None else classes.index(name)


def _shares(maps: Tensor, masks: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the share of each map's positive values that lies on the object, and the object's share of the image."""
    if masks is None:
        unknown = torch.full((len(maps),), torch.nan)
        return unknown, unknown
    for_it = _enlarged(maps, size).clamp_min(0)
    on_object = (for_it * masks).sum(dim=(1, 2)) / for_it.sum(dim=(1, 2))
    return on_object, masks.mean(dim=(1, 2))


def _enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps [N, height, width] at the size of the image."""
    return functional.interpolate(maps[:, None].float(), tuple(size), mode="bilinear", align_corners=False)[:, 0]


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds results already, unless they shall be replaced."""
    check_folder(folder)
    if force:
        return
    if RESULTS.recorded(folder) is not None:
        raise ScalenetError(f"{folder}: has maps already", hint="--force replaces them, -o writes elsewhere")


def parted(places: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return which paths are models, and which are images."""
    return [place for place in places if not is_image(place)], [place for place in places if is_image(place)]
