"""Which network of which library do weights belong to? Where their tensors cannot tell, the user is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.config import as_record
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.registry import is_path
from scalenet.arch.spec import Architecture
from scalenet.exchange import hub
from scalenet.exchange.configs import images_of_processor, images_of_timm, labels_of, model_of
from scalenet.exchange.known import STRANGERS, counterparts, published
from scalenet.exchange.matching import agreeing, known_network, mismatch, on_meta, shapes
from scalenet.exchange.naming import LIBRARIES, TITLES, could_be, names_in
from scalenet.scaling.scaler import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from scalenet.exchange.expected import Expected
    from scalenet.exchange.known import Counterpart
    from scalenet.exchange.naming import Library
    from scalenet.exchange.reading import Found

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Recognised:
    """The network that weights are of, as it computes in its library, and the images that they expect, if known.

    `doubts` are lines of what could not be told for sure.
    """

    library: Library
    architecture: Architecture
    source: str
    images: Expected | None
    labels: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    ask: str = "give --mean and --std"
    """How the user may say which images they expect, where that is not known."""


def recognise(found: Found, library: str = AUTO, name: str | None = None) -> Recognised:
    """Return what weights are of; `library` and `name` say so where tensors and configs do not.

    `name` is one of the library's, with its weights behind a dot where they matter (`tf_efficientnet_b0.ns_jft_in1k`),
    or a config file. Raise ScalenetError that names the choices where there are several.
    """
    if library not in (AUTO, *LIBRARIES):
        listing = f"known: {', '.join((AUTO, *LIBRARIES))}"
        raise UnknownNameError("library", library, LIBRARIES, listing=listing)
    if "head.classifier.weight" in found.tensors:
        raise ScalenetError(
            f"{found.place}: weights that scalenet wrote", hint="`evaluate` and `train --init` take them as they are"
        )
    if name is not None:
        first, slash, rest = name.partition("/")
        if slash and first in LIBRARIES and library in (AUTO, first):
            library, name = first, rest
        if is_path(name):
            return _of_config_file(found, library, name)
    elif "model_type" in found.config and library in (AUTO, "huggingface"):
        return _of_transformers(found)
    elif "architecture" in found.config and library in (AUTO, "timm"):
        return _of_timm_hub(found)
    return _of_tensors(found, library, name)


def _of_config_file(found: Found, library: str, name: str) -> Recognised:
    architecture = load(name)
    for one in LIBRARIES if library == AUTO else (library,):
        if could_be(one, architecture.model, found.tensors):
            return Recognised(one, architecture, f"{one} {architecture.name}", *_by_files(found))
    raise ScalenetError(f"{found.place}: tensors are not named as those of {name}", hint="name the library with --from")


def _by_files(found: Found) -> tuple[Expected | None, tuple[str, ...], tuple[str, ...]]:
    """Return the images and the classes that the files beside weights say, and what of it is doubted."""
    place = f"{found.place}/config.json"
    if "model_type" in found.config:
        processor = as_record(hub.Processor, found.processor, f"{found.place}/preprocessor_config.json")
        images, doubt = images_of_processor(processor)
        return images, labels_of(as_record(hub.HubConfig, found.config, place)), () if doubt is None else (doubt,)
    if "architecture" in found.config:
        config = as_record(hub.TimmConfig, found.config, place)
        names = config.label_names or config.pretrained_cfg.label_names or ()
        return images_of_timm(config.pretrained_cfg), tuple(map(str, names)), ()
    return None, (), ()


def _of_transformers(found: Found) -> Recognised:
    place = f"{found.place}/config.json"
    config = as_record(hub.HubConfig, found.config, place)
    if config.quantization_config:
        raise ScalenetError(f"{place}: a quantised network", hint="give its weights in single precision")
    model = model_of(found.config, place)
    images, labels, told = _by_files(found)
    doubts = [*told]
    if config.model_type == "convnext":
        eps = as_record(hub.ConvNext, found.config, place).layer_norm_eps
        if eps != _EPS:
            doubts.append(f"the last normalisation has an eps of {eps:g} there, and of {_EPS:g} here")
    name = f"{config.model_type}_{model.stem.width}_{'_'.join(str(stage.depth) for stage in model.stages)}"
    source = f"huggingface {config.name_or_path or config.model_type}"
    if images is not None:
        model = model.at(images.size)
    return Recognised("huggingface", Architecture(name, model), source, images, labels, tuple(doubts))


_EPS = 1e-6
"""ConvNeXt's."""


def _of_timm_hub(found: Found) -> Recognised:
    place = f"{found.place}/config.json"
    config = as_record(hub.TimmConfig, found.config, place)
    name, pretrained = config.architecture, config.pretrained_cfg
    if config.model_args:
        raise ScalenetError(
            f"{place}: builds {name} with other arguments", hint="describe the network in a config: --as CONFIG.yaml"
        )
    row = next((row for row in counterparts() if (row.library, row.name) == ("timm", name)), None)
    if row is None:
        raise _unknown(name, "timm")
    images, labels, _ = _by_files(found)
    tag = f".{pretrained.tag}" if pretrained.tag else ""
    return Recognised("timm", _as_theirs(row, images), f"timm {name}{tag}", images, labels)


def _of_tensors(found: Found, library: str, name: str | None) -> Recognised:
    if library == "huggingface" or (library == AUTO and _is_of_transformers(found.tensors)):
        raise ScalenetError(
            f"{found.place}: tensors of Hugging Face, whose config.json says what they compute",
            hint="give the folder with config.json, or describe the network: --from huggingface --as CONFIG.yaml",
        )
    plain, _, weights = (name or "").partition(".")
    plain = plain.replace("-", "_")
    rows = [row for row in counterparts() if library in (AUTO, row.library) and plain in ("", row.name)]
    if not rows:
        raise _unknown(plain, library)
    fitting = _alike(found, _fitting(found, rows))
    recognised = _with_images(found, fitting, weights)
    doubts = () if name else _strangers(found, fitting)
    return replace(recognised, doubts=(*recognised.doubts, *doubts))


def _strangers(found: Found, fitting: Sequence[Counterpart]) -> tuple[str, ...]:
    """Return a doubt where networks that are not known here have the same tensors; refuse a file that is called so."""
    names = STRANGERS.get(fitting[0].network, ()) if any(row.library == "timm" for row in fitting) else ()
    if not names or any(one.is_file(found.digest) for one in published()):
        return ()
    for name in names:
        if Path(found.place).name.lower().startswith(name):
            said = f"{found.place}: timm's {name} computes something else than {fitting[0].name} with the same tensors"
            raise ScalenetError(said, hint=f"where it is the latter: --as timm/{fitting[0].name}")
    what = "has the same tensors, and computes" if len(names) == 1 else "have the same tensors, and compute"
    return (f"timm's {' and '.join(names)} {what} something else: say with --as that these are none of theirs",)


def _fitting(found: Found, rows: Sequence[Counterpart]) -> list[Counterpart]:
    """Return the networks whose tensors these are, or raise ScalenetError with what keeps the nearest from it."""
    fitting, nearest, said = [], -1, ""
    for row in rows:
        architecture = known_network(row.network)
        if len(rows) > 1 and not could_be(row.library, architecture.model, found.tensors):
            continue
        network = on_meta(architecture.model)
        names, wanted = names_in(row.library, network, architecture.model), shapes(network)
        wrong = mismatch(found.tensors, names, wanted, f"{row.library}'s {row.name}")
        alike = agreeing(found.tensors, names, wanted)
        if wrong is None:
            fitting.append(row)
        elif alike > nearest:
            nearest, said = alike, wrong
    if not fitting:
        first = next(iter(found.tensors))
        what = said or f"{len(found.tensors)} tensors, {first} first, are of no network that is known here"
        raise ScalenetError(f"{found.place}: {what}", hint="describe another network in a config: --as CONFIG.yaml")
    return fitting


def _alike(found: Found, fitting: list[Counterpart]) -> list[Counterpart]:
    """Return the networks that tensors fit where all compute alike, or the one that published this very file.

    Raise ScalenetError with the choice elsewhere.
    """
    theirs = {(one.library, one.name) for one in published() if one.is_file(found.digest)}
    publishers = [row for row in fitting if (row.library, row.name) in theirs]
    if publishers:
        return publishers
    if len({(row.network, row.eps, row.padding) for row in fitting}) == 1:
        return fitting
    choices = " or ".join(f"{row.library}/{row.name}" for row in fitting)
    raise ScalenetError(
        f"{found.place}: tensors that {choices} have, which compute different things", hint="say which with --as"
    )


def _with_images(found: Found, rows: list[Counterpart], weights: str) -> Recognised:
    """Return a network with the images that its weights expect: those of that name, or of that digest."""
    owners = {(row.library, row.name): row for row in rows}
    known = [one for one in published() if (one.library, one.name) in owners]
    named = [one for one in known if one.weights.lower() == weights.lower()]
    if weights and not named:
        names = [one.weights for one in known]
        raise UnknownNameError(f"weights of {rows[0].name}", weights, names, listing=f"known: {', '.join(names)}")
    certain = [one for one in known if one.is_file(found.digest)] or named
    if certain:
        return _recognised(owners[certain[0].library, certain[0].name], certain[0].images, str(certain[0]))
    if not known:
        return _recognised(rows[0], None, rows[0].name)
    by_colours: dict[object, str] = {}
    for one in known:
        by_colours.setdefault((one.images.mean, one.images.std), f"{one.library}/{one}")
    if len(by_colours) > 1:
        ask = f"name the weights with --as, such as {' or '.join(by_colours.values())}"
        return replace(_recognised(rows[0], None, rows[0].name), ask=ask)
    doubts = []
    if len({one.images for one in known}) > 1:
        doubts = [f"images are prepared as for {known[0]}; if these are other weights, name them with --as"]
    return replace(_recognised(rows[0], known[0].images, rows[0].name), doubts=tuple(doubts))


def _recognised(row: Counterpart, images: Expected | None, name: str) -> Recognised:
    return Recognised(row.library, _as_theirs(row, images), f"{row.library} {name}", images)


def _as_theirs(row: Counterpart, images: Expected | None) -> Architecture:
    own = known_network(row.network)
    model = row.applied(own.model)
    return Architecture(row.name, model if images is None else model.at(images.size), own.rounding)


def _is_of_transformers(tensors: Mapping[str, Tensor]) -> bool:
    parts = (".embedder.", ".embeddings.", "mobilenet_v1.", "mobilenet_v2.")
    return any(part in name for name in tensors for part in parts)


def _unknown(name: str, library: str) -> UnknownNameError:
    names = list(dict.fromkeys(row.name for row in counterparts() if library in (AUTO, row.library)))
    whose = "network" if library == AUTO else f"network of {TITLES[library]}"
    return UnknownNameError(whose, name, names, listing=f"known: {', '.join(names)}; or describe it: --as CONFIG.yaml")
