"""A network that grows says what it said before, whatever it is made of; what cannot be kept is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scales import ENDS, EVEN, KINDS, NEVER, PLAIN, drawn, network, outputs, trained

import scalenet
from scalenet.arch.config import config_of
from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import Network, Part, Run
from scalenet.arch.spec import layer_tree
from scalenet.inheritance.carrying import carry
from scalenet.inheritance.inheriting import about_heir
from scalenet.inheritance.walk import walk

if TYPE_CHECKING:
    from torch import nn


def grown(small: scalenet.Architecture, large: scalenet.Architecture, module: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return a network at another scale with the weights of a module."""
    weights = trained(small, module)
    return carry(weights, about_heir(weights, config_of(large), seed=seed), None, seed=seed).network


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2)
@given(data=st.data())
def test_wider_networks_say_the_same_in_both_modes(kind: str, data: st.DataObject) -> None:
    step = 4 if kind in ("wider groups", "more groups", *EVEN) else 2
    small = network(kind)
    if kind in EVEN:
        factor = data.draw(st.sampled_from([2, 3]))
        large = network(kind, stem=8 * factor, widths=(8 * factor, 12 * data.draw(st.sampled_from([1, 2]))))
    else:
        one, other, stem = (step * data.draw(st.integers(low, low + 3)) for low in (8 // step, -(-12 // step), 4))
        large = network(kind, stem=stem if stem != one else stem + step, widths=(one, other))
    module = drawn(small)
    found = grown(small, large, module)
    for training in (False, True):
        before = outputs(module, small.model, training=training)
        torch.testing.assert_close(outputs(found, large.model, training=training), before, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ends", ENDS, ids=lambda ends: ends[1].split()[1])
def test_all_stems_and_heads_grow(ends: tuple[str, str]) -> None:
    small, large = network("repvgg", ends=ends), network("repvgg", ends=ends, stem=14, widths=(12, 20), hidden=16)
    module = drawn(small)
    found = grown(small, large, module)
    for training in (False, True):
        before = outputs(module, small.model, training=training)
        torch.testing.assert_close(outputs(found, large.model, training=training), before, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NEVER])
def test_deeper_networks_say_the_same(kind: str) -> None:
    small = network(kind)
    large = network(kind, stem=16, widths=(16, 24) if kind in EVEN else (12, 20), depths=(3, 3))
    module = drawn(small)
    found = grown(small, large, module)
    before = outputs(module, small.model)
    running = kind in PLAIN and kind != "vgg"
    torch.testing.assert_close(outputs(found, large.model), before, rtol=0, atol=1e-5 if running else 1e-9)
    if not running:
        before = outputs(module, small.model, training=True)
        torch.testing.assert_close(outputs(found, large.model, training=True), before, rtol=0, atol=1e-9)


def test_what_copies_say_adds_up_exactly_and_their_parts_are_uneven() -> None:
    small, large = network("vgg"), network("vgg", stem=16, widths=(20, 12))
    module = drawn(small)
    name = "stages.0.1.conv.weight"
    before, after = module.state_dict()[name], grown(small, large, module).state_dict()[name]
    parts = [after[:8, number::8].double() for number in range(8)]  # 20 copies of 8 channels, in turn
    assert [part.shape[1] for part in parts] == [3, 3, 3, 3, 2, 2, 2, 2]
    for number, part in enumerate(parts):
        assert torch.equal(part.sum(1), before[:, number].double())
        assert not torch.allclose(part[:, 0], part[:, 1], rtol=0.01)
    assert torch.equal(after[8:16], after[:8])


def test_another_seed_gives_other_parts_and_the_same_one_the_same() -> None:
    small, large = network("basic"), network("basic", widths=(12, 16))
    module = drawn(small)
    one, again, other = (grown(small, large, module, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["head.classifier.weight"], other["head.classifier.weight"])


def test_copies_part_in_training() -> None:
    small, large = network("mbconv"), network("mbconv", stem=16, widths=(16, 24))
    found = grown(small, large, drawn(small)).train()
    weight = found.get_parameter("stages.0.0.main.expand.conv.weight")
    assert torch.equal(weight[:16], weight[16:])
    steps = torch.optim.SGD(found.parameters(), lr=0.1)
    draws = torch.Generator().manual_seed(0)
    for _ in range(5):
        steps.zero_grad()
        logits = found(torch.randn(8, 3, 16, 16, generator=draws))
        torch.nn.functional.cross_entropy(logits, torch.arange(8) % 3).backward()
        steps.step()
    assert (weight[:16] - weight[16:]).norm() > 1e-3 * weight.norm()


def test_new_blocks_wake_in_training() -> None:
    small, large = network("basic"), network("basic", depths=(3, 2))
    found = grown(small, large, drawn(small)).train()
    norm, conv = (found.get_parameter(f"stages.0.2.main.{name}.weight") for name in ("conv2.norm", "conv1.conv"))
    assert not norm.any()
    first = conv.detach().clone()
    steps = torch.optim.SGD(found.parameters(), lr=0.1)
    for number in range(2):
        steps.zero_grad()
        found(torch.randn(4, 3, 16, 16)).square().sum().backward()
        steps.step()
        assert torch.equal(conv, first) == (number == 0)  # what is multiplied by zero hears nothing
    assert norm.any()


def refused(small: scalenet.Architecture, large: scalenet.Architecture) -> str:
    with pytest.raises(ScalenetError) as caught:
        grown(small, large, drawn(small))
    return caught.value.message


def test_a_shortcut_that_is_new_or_lost_is_refused() -> None:
    without = network("mbconv", widths=(12, 12), stride=1)
    having = network("mbconv", stem=12, widths=(12, 12), stride=1)
    wider = network("mbconv", stem=12, widths=(16, 16), stride=1)
    assert refused(without, having).endswith(
        "stages.0.0: 12 channels enter and leave, so that it has a shortcut; 8 enter a block without one"
    )
    assert refused(having, wider).endswith(
        "stages.0.0: 12 channels enter and others leave; 12 enter a block that has the identity as shortcut"
    )


@pytest.mark.parametrize("kind", EVEN[:2])
def test_normalisations_over_channels_grow_by_whole_factors(kind: str) -> None:
    message = refused(network(kind), network(kind, stem=12))
    assert message == (
        "net cannot inherit: stem.norm: layernorm over 8 channels, of which 12 cannot be equally many copies each: "
        "its means would be others; widths must be multiples"
    )


@pytest.mark.parametrize(("kind", "reason"), NEVER.items())
def test_blocks_that_can_never_be_the_identity_are_refused(kind: str, reason: str) -> None:
    assert refused(network(kind), network(kind, depths=(3, 1))) == f"net cannot inherit: stages.0.2{reason}"


def test_silu_without_a_shortcut_is_refused() -> None:
    small = network("separable")
    silent = scalenet.Architecture("net", small.model.changed(activation="silu"))
    deeper = scalenet.Architecture("net", network("separable", depths=(3, 1)).model.changed(activation="silu"))
    message = refused(silent, deeper)
    assert message.endswith("stages.0.2.depthwise.act: silu changes what enters a block without a shortcut")


def test_a_node_that_the_walk_does_not_know_is_an_error() -> None:
    class Unknown:
        pass

    known = layer_tree(network("basic").model)
    parts = (Part("stem", (Run(Unknown(), 1),)), *known.parts[1:])  # type: ignore[arg-type]
    strange = Network(known.height, known.width, known.channels, parts)
    with pytest.raises(ScalenetError, match="stem: a layer of an unknown kind, Unknown"):
        walk(strange, strange)
