"""Built networks work with PyTorch's own tools: tracing, export, compilation, memory formats and mixed precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import scalenet

NAMES = ["efficientnet_b0", "mobilenet_v1", "resnet18"]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 40, 32)


def small(name: str) -> nn.Module:
    """Return a narrow and shallow network of a family."""
    return scalenet.build(scalenet.scale(scalenet.load(name), depth=0.3, width=0.25), classes=6).eval()


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_traced_network_gives_the_same(name: str, images: torch.Tensor) -> None:
    network = small(name)
    traced = torch.jit.trace(network, images)
    other = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(traced(images), network(images), atol=1e-6)
        assert torch.allclose(traced(other), network(other), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_network_gives_the_same(name: str, images: torch.Tensor) -> None:
    network = small(name)
    exported = torch.export.export(network, (images,)).module()
    with torch.no_grad():
        assert torch.allclose(exported(images), network(images), atol=1e-6)


def test_a_network_is_exported_for_any_batch_and_size() -> None:
    network = small("efficientnet_b0")
    sizes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(network, (torch.randn(2, 3, 96, 80),), dynamic_shapes=(sizes,)).module()
    other = torch.randn(5, 3, 160, 224)
    with torch.no_grad():
        assert torch.allclose(exported(other), network(other), atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_network_is_one_graph_and_gives_the_same(name: str, training: bool, images: torch.Tensor) -> None:
    network = small(name).train(training)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        results = [torch.manual_seed(3) and one(images) for one in (network, compiled)]
    assert torch.allclose(*results, atol=1e-6)
    torch.compiler.reset()


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_gives_the_same(name: str, images: torch.Tensor) -> None:
    network = small(name)
    with torch.no_grad():
        expected = network(images)
        last = network.to(memory_format=torch.channels_last)
        out = last(images.to(memory_format=torch.channels_last))
    assert torch.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bf16_autocast_runs_in_training_and_is_near(name: str, images: torch.Tensor) -> None:
    network = small(name)
    with torch.no_grad():
        expected = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(images)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.train()(images).float().square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_weights_are_saved_and_loaded_without_pickled_code(tmp_path: object) -> None:
    first, second = small("resnet18"), small("resnet18")
    path = f"{tmp_path}/weights.pt"
    torch.save(first.state_dict(), path)
    second.load_state_dict(torch.load(path, weights_only=True))
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(first(images), second(images))


def test_a_double_precision_network_runs() -> None:
    assert small("efficientnet_b0").double()(torch.zeros(1, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64
