"""Shared weights are those that members are made of, and are trained as a member's own are."""

from __future__ import annotations

import torch
from supernet import SPACE, Supernet, network, trained
from torch.func import functional_call

from scalenet.spaces.space import load_space
from scalenet.training.data import ImageSet, Splits
from scalenet.training.loop import Training
from scalenet.training.recipe import change, load_recipe

NETWORKS = [load_space(SPACE).network(member) for member in ([96, 100, 96], [100, 96, 101])]


def test_a_member_of_shared_weights_computes_what_it_does_with_them_as_its_own():
    small, large = networks = [network(model, 10) for model in NETWORKS]
    shared, batch = Supernet(networks), torch.rand(8, 3, 32, 32)
    for member in (small, large):
        from_slices = functional_call(member[1], shared.weights(member), batch)
        assert torch.allclose(from_slices, shared.given_to(member)(batch), atol=1e-5)
    common = set(small[0].values()) & set(large[0].values())
    sizes = [{own[0][name]: part.shape for name, part in own[1].named_parameters()} for own in networks]
    assert any(sizes[0][key] != sizes[1][key] for key in common)


def test_a_supernet_of_one_member_trains_as_that_member_does():
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8, generator=draws)
    images = ImageSet(pixels, torch.arange(64) % 10)
    recipe = change(load_recipe("search"), [("epochs", 1)])
    own = network(NETWORKS[0], 10)
    shared = Supernet([own])
    splits = Splits(train=images, validation=images, classes=tuple("abcdefghij"), name="noise", digest="")
    training = Training(own[1], splits, recipe=recipe, resolution=(32, 32), seed=0)
    before = [part.detach().clone() for part in shared.values()]
    trained(shared, lambda: [network(NETWORKS[0], 10)], training.inputs, recipe)
    training.run()
    for name, part in own[1].named_parameters():
        assert (shared.weights(own)[name] - part).abs().mean() < 1e-4, name
    assert any((part - one).abs().mean() > 1e-3 for part, one in zip(shared.values(), before, strict=True))
