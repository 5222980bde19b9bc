"""Weights as other libraries have them, of networks small enough for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

import scalenet
from scalenet.exchange.naming import names_in
from scalenet.training.checkpoint import About, Imported, write_weights

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from scalenet.arch.spec import Model
    from scalenet.exchange.naming import Library

CLASSES = ("n01440764", "n01443537", "n01484850")

TINY = """\
schema: scalenet/1
name: tiny_resnet
model:
  resolution: 32
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 8, kernel: 7, stride: 2, pool: {kind: max, kernel: 3, stride: 2}}
  stages:
  - {block: bottleneck, depth: 2, width: 4, stride: 1}
  - {block: bottleneck, depth: 1, width: 8, stride: 2}
  head: {kind: linear, classes: 3}
"""


def tiny(folder: Path, text: str = TINY) -> Path:
    """Return the config file of a small network."""
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return a network with weights and statistics drawn, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                values = torch.rand(tensor.shape, generator=generator)
                of_one = tensor[0].numel()
                tensor.copy_(values + 0.5 if tensor.ndim == 1 else (values - 0.5) * (12 / of_one) ** 0.5)
    return network.eval()


def trained_folder(folder: Path, text: str = TINY) -> Path:
    """Write weights and statistics that are not fresh as an import does, and return their folder."""
    config = scalenet.load_config(tiny(folder, text))
    plan = Imported(schema="scalenet-import/1", config=config, classes=CLASSES, source="a test", file="sha256:0")
    about = About(schema="scalenet-weights/1", plan=plan, mean=(128,) * 3, deviation=(64,) * 3)
    write_weights(folder / "model.safetensors", dict(drawn(scalenet.build(config)).state_dict()), about)
    return folder


def named(network: nn.Module, model: Model, library: Library) -> dict[str, Tensor]:
    """Return a network's tensors by the names of a library, with counts of batches as they are there."""
    names = names_in(library, network, model)
    found = {names[name]: value for name, value in network.state_dict().items() if name in names}
    means = [name for name in found if name.endswith("running_mean")]
    return found | {name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in means}


def hub_folder(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], processor: dict[str, Any]) -> Path:
    """Write a folder as those of Hugging Face are."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    return folder


def images(network: nn.Module, size: int = 32) -> tuple[Tensor, Tensor]:
    """Return images, and what a network says of them."""
    batch = torch.linspace(-2, 2, 2 * 3 * size * size).sin().reshape(2, 3, size, size)
    with torch.no_grad():
        return batch, network.eval()(batch)


def loaded(path: Path) -> tuple[nn.Module, Model]:
    """Return a network of a config with weights drawn, and its model."""
    model = scalenet.load(path).model
    return drawn(scalenet.build(model)), model
