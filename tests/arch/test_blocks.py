"""Blocks that are registered while the program runs."""

from __future__ import annotations

import pytest
from networks import one_stage

import scalenet
from scalenet.arch import blocks
from scalenet.arch.config import loads
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.families.mobile import separable
from scalenet.arch.families.resnet import basic
from scalenet.arch.layers import Layer, Sequence
from scalenet.arch.options import Kernel  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.slots import Slot  # noqa: TC001 - annotations of blocks are read

NET = one_stage("{block: mine, depth: 2, width: 64}")


@pytest.fixture(autouse=True)
def no_others_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_registered", {})


def cell(number: int):  # type: ignore[no-untyped-def]
    """Return the block of a notebook's cell: two runs of it define two functions of one name."""

    def mine(slot: Slot, *, kernel: Kernel = number) -> Layer:
        return basic(slot, kernel=kernel)

    return mine


def test_a_block_is_known_from_its_registration_on() -> None:
    with pytest.raises(ScalenetError, match="mine"):
        loads(NET)
    assert scalenet.register_block(cell(3)) is blocks.block("mine")
    net = loads(NET).architecture()
    assert "mine" in blocks.names()
    assert scalenet.build(net)
    same = loads(NET.replace("mine", "basic"))
    assert scalenet.cost(net) == scalenet.cost(same.architecture())
    assert scalenet.scale(net, width=2.0).model.stages[0].width == 128


def test_a_cell_that_runs_again_takes_effect() -> None:
    scalenet.register_block(cell(3))
    before = scalenet.cost(loads(NET).architecture()).flops
    scalenet.register_block(cell(5))
    assert scalenet.cost(loads(NET).architecture()).flops > before


def test_a_name_is_given_once() -> None:
    scalenet.register_block(cell(3))
    with pytest.raises(ScalenetError, match=r"block 'mine' is .*cell.*mine already"):
        scalenet.register_block(separable, name="mine")
    with pytest.raises(ScalenetError, match="block 'basic' is registered already"):
        scalenet.register_block(cell(3), name="basic")
    with pytest.raises(UnknownNameError):
        blocks.block("yours")


def test_a_built_in_block_that_is_replaced_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    text = NET.replace("mine", "basic")
    before = scalenet.cost(loads(text).architecture()).flops

    def slim(slot: Slot) -> Sequence:
        return separable(slot)

    monkeypatch.setitem(blocks.BUILT_IN, "basic", slim)
    assert scalenet.cost(loads(text).architecture()).flops < before
    with pytest.raises(ScalenetError, match="kernel: unknown key"):
        loads(text.replace("width: 64", "width: 64, kernel: 3"))


def test_a_block_that_leaves_its_stride_aside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(slot: Slot) -> Layer:
        return slot.style.conv(slot.in_channels, slot.width)

    monkeypatch.setattr(blocks, "_registered", {"deaf": deaf})
    with pytest.raises(ScalenetError, match=r"stages\[0\] \(deaf\): a stride of 2 leaves 64×56×56 as 8×56×56"):
        scalenet.load("resnet18").model.changed(stages=[{"block": "deaf", "depth": 1, "width": 8, "stride": 2}])


def test_a_depthwise_convolution_that_strides_pads_as_its_network() -> None:
    text = one_stage("{block: separated, depth: 1, width: 32, stride: 2}").replace(
        "  norm:", "  padding: same\n  norm:"
    )
    stage = loads(text).model.layers.stages[0].blocks()[0]
    assert isinstance(stage, Sequence)
    assert dict(stage.layers)["depthwise"].padding == "same"  # type: ignore[union-attr]
