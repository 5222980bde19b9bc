"""Records that are made or changed in Python: as sound as those that were read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import one_stage

import scalenet
from scalenet.arch import blocks, layers, registry
from scalenet.arch.config import CompoundRule, loads
from scalenet.arch.ends import Stem
from scalenet.arch.errors import ConfigError, ScalenetError
from scalenet.arch.layers import (
    IDENTITY,
    Attention,
    Branches,
    Conv,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    Part,
    Run,
    Scale,
    Sequence,
    Shuffle,
)
from scalenet.arch.slots import Slot, residual
from scalenet.arch.spec import dimensions, layer_tree, with_dimensions
from scalenet.arch.style import Norm
from scalenet.costs.formula import walk
from scalenet.model.builder import ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.records import Record

B0, RESNET = scalenet.load("efficientnet_b0").model, scalenet.load("resnet18").model

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: B0.at(-5), "Model.resolution: expected greater than or equal to 1, found -5"),
    (lambda: B0.at((224, 0)), "Model.resolution[1]: expected greater than or equal to 1, found 0"),
    (lambda: B0.at(10.5), "Model.resolution: expected one number of pixels or [height, width], found 10.5"),  # type: ignore[arg-type]
    (lambda: B0.with_classes(10.5), "ConvHead.classes: expected a valid integer, found 10.5"),  # type: ignore[arg-type]
    (lambda: B0.with_classes(0), "ConvHead.classes: expected greater than or equal to 1, found 0"),
    (lambda: RESNET.with_classes(True), "LinearHead.classes: expected a valid integer, found True"),
    (lambda: B0.with_channels(0), "Model.channels: expected greater than or equal to 1, found 0"),
    (lambda: B0.stem.changed(width=0), "Stem.width: expected greater than or equal to 1, found 0"),
    (lambda: B0.stages[1].changed(width=-3), "mbconv_stage.width: expected greater than or equal to 1, found -3"),
    (lambda: B0.stages[1].changed(kernel=4), "mbconv_stage.kernel: a kernel size must be odd, found 4"),
    (lambda: B0.changed(width=3), "Model.width: unknown key"),
    (lambda: B0.changed(stages=()), "Model.stages: expected Value should have at least 1 item after validation, not 0"),
    (
        lambda: B0.model_copy(update={"resolution": -5}),
        "Model.resolution: expected greater than or equal to 1, found -5",
    ),
    (lambda: Stem(width=np.int64(-1)), "Stem.width: expected greater than or equal to 1, found -1"),
    (Stem, "Stem.width: missing"),
    (lambda: Norm(eps=float("nan")), "Norm.eps: expected a finite number, found nan"),
    (
        lambda: CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=float("inf")),
        "CompoundRule.phi: expected a finite number, found inf",
    ),
]


@pytest.mark.parametrize(("make", "said"), WRONG, ids=[said for _, said in WRONG])
def test_wrong_values_are_refused_in_one_plain_line(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ScalenetError) as error:
        make()
    assert str(error.value) == said


@pytest.mark.parametrize("name", registry.names())
def test_widths_that_no_network_has_are_refused(name: str) -> None:
    model = scalenet.load(name).model
    numbers = dimensions(model)
    for wrong in (0, -3, 1.5, float("nan")):
        with pytest.raises(ScalenetError):
            with_dimensions(model, numbers._replace(widths=(wrong, *numbers.widths[1:])))


NUMBERS: list[Callable[[int], Any]] = [np.int64, np.int8, np.uint16, np.array, torch.tensor]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.__name__)
def test_numbers_of_numpy_and_pytorch_are_taken_as_pythons(number: Callable[[int], Any]) -> None:
    same: list[tuple[Record, Record]] = [
        (B0.at(number(96)), B0.at(96)),
        (B0.at((number(96), 64)), B0.at((96, 64))),
        (B0.with_classes(number(10)), B0.with_classes(10)),
        (B0.with_channels(number(1)), B0.with_channels(1)),
        (Stem(width=number(16)), Stem(width=16)),
        (B0.stages[0].changed(se=np.float32(0.5), expand=number(2)), B0.stages[0].changed(se=0.5, expand=2)),
    ]
    for one, other in same:
        assert one == other
        assert one.model_dump_json() == other.model_dump_json()
    assert type(B0.at(number(96)).resolution) is int


def test_numbers_of_numpy_do_not_come_from_files() -> None:
    text = "schema: scalenet/1\nname: a\nmodel: {resolution: np.int64(96)}"
    with pytest.raises(ConfigError, match=r"model\.resolution"):
        loads(text)


@given(
    sides=st.tuples(st.integers(1, 400), st.integers(1, 400)), classes=st.integers(1, 99), channels=st.integers(1, 9)
)
def test_what_was_changed_equals_what_is_read(sides: tuple[int, int], classes: int, channels: int) -> None:
    changed = B0.at(sides).with_classes(classes).with_channels(channels)
    assert type(B0).model_validate_json(changed.model_dump_json()) == changed
    assert scalenet.cost(changed).params - scalenet.cost(B0).params == 1281 * (classes - 1000) + 9 * 32 * (channels - 3)


def test_a_change_leaves_the_record_as_it_was_and_copies_are_copies() -> None:
    before = B0.model_dump_json()
    assert B0.changed(channels=1) != B0
    assert B0.model_dump_json() == before
    assert B0.changed() == B0 == B0.model_copy() == B0.model_copy(deep=True)
    assert scalenet.load("resnet18").model.changed(channels=1).channels == 1


def test_other_colours_are_built_scaled_and_counted() -> None:
    grey = scalenet.scale(scalenet.Architecture("grey", RESNET.at(32).with_channels(1)), width=0.25)
    module = scalenet.build(grey).eval()
    images = torch.zeros(1, 1, 32, 32)
    assert module(images).shape == (1, 1000)
    assert scalenet.measure(module, images).flops == scalenet.cost(grey).flops


@dataclass(frozen=True, slots=True)
class Strange:
    """A layer that no interpreter knows."""


def linear(slot: Slot) -> Sequence:
    return Sequence((("linear", Linear(slot.in_channels, slot.width)),))


def is_strange(slot: Slot) -> Sequence:
    return Sequence((("conv", slot.style.conv(slot.in_channels, slot.width)), ("strange", Strange())))  # type: ignore[arg-type]


def shrinks(slot: Slot) -> Sequence:
    return Sequence((("conv", slot.style.conv(slot.in_channels, slot.width, stride=2)),))


def forgets(slot: Slot) -> Sequence:
    return Sequence((("conv", slot.style.conv(slot.width, slot.width)),))


def adds_other_shapes(slot: Slot) -> Layer:
    return residual(slot.style.conv(slot.in_channels, 2 * slot.width))


def adds_other_sizes(slot: Slot) -> Layer:
    return residual(slot.style.conv(slot.in_channels, slot.in_channels, stride=2))


def groups(slot: Slot) -> Sequence:
    return Sequence((("conv", Conv(slot.in_channels, slot.width, 3, 1, 12)),))


def groups_of_odd_outputs(slot: Slot) -> Sequence:
    return Sequence((("conv", Conv(slot.in_channels, slot.width - 1, 3, 1, 16)),))


def flattens(slot: Slot) -> Sequence:
    return Sequence((("flatten", Flatten()), ("linear", Linear(slot.in_channels, slot.width))))


def takes_more_features(slot: Slot) -> Sequence:
    layers = (
        ("pool", GlobalPool("mean")),
        ("flatten", Flatten()),
        ("linear", Linear(slot.in_channels + 1, slot.width)),
    )
    return Sequence(layers)


def normalises_more(slot: Slot) -> Sequence:
    return Sequence((("norm", slot.style.normalize(slot.in_channels + 1)),))


def gates_more(slot: Slot) -> Sequence:
    more = Conv(slot.in_channels, slot.in_channels + 1, 1, 1, slot.in_channels)
    gate = Sequence((("pool", GlobalPool("mean")), ("expand", more)))
    return Branches((("input", IDENTITY), ("gate", gate)), "multiply")


def grows_flat(slot: Slot) -> Sequence:
    return Sequence((("pool", GlobalPool("mean")), ("flatten", Flatten()), ("conv", slot.style.conv(slot.width, 8))))


def splits_thrice(slot: Slot) -> Layer:
    return Branches((("a", IDENTITY), ("b", IDENTITY), ("c", IDENTITY)), "concat", "split")


def scales_more(slot: Slot) -> Sequence:
    return Sequence((("scale", Scale(slot.in_channels + 1, 1.0)),))


def asks_for_more_heads(slot: Slot) -> Sequence:
    return Sequence((("attend", Attention(3)),))


def shuffles_thrice(slot: Slot) -> Sequence:
    return Sequence((("shuffle", Shuffle(3)),))


def normalises_thirds(slot: Slot) -> Sequence:
    return Sequence((("norm", layers.Norm(slot.in_channels, 1e-5, kind="groupnorm", groups=3)),))


def reads_beyond(slot: Slot) -> Sequence:
    return Sequence((("conv", Conv(slot.in_channels, slot.width, 33, 1, slot.in_channels, padding="valid")),))


MISFITS: dict[Callable[[Slot], Any], str] = {
    linear: "linear: a linear layer takes what is flat, and 32×16×16 come in",
    is_strange: "strange: a layer of an unknown kind, Strange",
    shrinks: "a block that is repeated makes 64×4×4 of 64×8×8",
    forgets: "conv.conv: a convolution takes 64 channels, and 32×16×16 come in",
    adds_other_shapes: "maps that meet are not alike, 128×16×16 and 32×16×16",
    adds_other_sizes: "maps that meet are not alike, 32×8×8 and 32×16×16",
    flattens: "linear: a linear layer takes 32 features, and 8192 features come in",
    takes_more_features: "linear: a linear layer takes 33 features, and 32 features come in",
    normalises_more: "norm: 33 channels are normalised, and 32×16×16 come in",
    gates_more: "maps that meet are not alike, 32×16×16 and 33×1×1",
    groups: "conv: groups of 12 channels do not divide a convolution from 32 to 64 channels",
    groups_of_odd_outputs: "conv: groups of 16 channels do not divide a convolution from 32 to 63 channels",
    grows_flat: "conv.conv: a convolution takes a map, and 32 features come in",
    splits_thrice: "3 equal parts of channels are wanted, and 32×16×16 come in",
    scales_more: "scale: 33 channels are scaled, and 32×16×16 come in",
    asks_for_more_heads: "attend: 9 equal parts of channels are wanted",
    shuffles_thrice: "shuffle: 3 equal parts of channels are wanted",
    normalises_thirds: "norm: 3 equal parts of channels are wanted",
    reads_beyond: "conv: a kernel of 33 is larger than a map of 16 pixels a side",
}

NET = one_stage("{block: ABC, depth: 2, width: 64}")


@pytest.mark.parametrize("block", MISFITS, ids=lambda block: block.__name__)
def test_layers_that_do_not_fit_are_refused(block: Callable[[Slot], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BUILT_IN", {**blocks.BUILT_IN, block.__name__: block})
    with pytest.raises(ConfigError, match=rf"model: stages\[0\] \({block.__name__}\): .*{MISFITS[block]}"):
        loads(NET.replace("ABC", block.__name__), place="net.yaml")


def test_no_interpreter_takes_a_layer_that_it_does_not_know_for_nothing() -> None:
    network = layer_tree(RESNET)
    strange = Part("stem", (Run(Sequence((("strange", Strange()),)), 1),))  # type: ignore[arg-type]
    network = replace(network, parts=(strange, *network.parts[1:]))
    with pytest.raises(ScalenetError, match="Strange"):
        list(walk(network))
    with pytest.raises(ScalenetError, match="Strange"):
        ConvNet(network, drop_path=0.0)
