"""What is exported: a network in evaluation mode, whose weights it has, and which images it takes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scalenet._version import __version__
from scalenet.arch.config import digest
from scalenet.exchange.sanity import IMAGES, embedded_images
from scalenet.model.builder import build
from scalenet.scaling.scaler import load
from scalenet.training.checkpoint import Trained, read_trained
from scalenet.training.preprocessing import Preprocessing
from scalenet.training.statistics import batch_norms, estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from scalenet.arch.spec import Model
    from scalenet.scaling.scaler import Network

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin")
"""What files of weights are called; those of other libraries are told to be imported."""

_SEED = 0

_SEEN, _BATCH = 64, 16
"""Images that statistics are estimated from, and how many at once."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to export; `trained` is None where its weights are drawn, for a description alone has none."""

    name: str
    model: Model
    network: nn.Module
    trained: Trained | None

    @property
    def weights(self) -> str:
        """Whose weights these are, as files say it: the digest of theirs, or the seed that they are drawn by."""
        return f"drawn by seed {_SEED}" if self.trained is None else self.trained.digest

    def images(self, size: tuple[int, int], count: int = IMAGES) -> Tensor:
        """Return images as the network takes them, the same ones each time: [count, channels, height, width]."""
        if self.model.channels != 3:
            draws = torch.Generator().manual_seed(_SEED)
            return torch.randn(count, self.model.channels, *size, generator=draws)
        return embedded_images(self._preprocessing, size, count)

    def record(self) -> dict[str, str]:
        """Return what an exported file says of itself, by key: texts, none of which names a time or a place."""
        texts = {
            "scalenet.version": __version__,
            "scalenet.network": self.name,
            "scalenet.config": digest(self.model),
            "scalenet.weights": self.weights,
        }
        if self.trained is not None:
            about = self.trained.about
            texts["scalenet.preprocessing"] = json.dumps(about.preprocessing.data())
            texts["scalenet.classes"] = json.dumps(about.plan.classes, ensure_ascii=False)
        return texts

    @contextmanager
    def stirred(self) -> Iterator[None]:
        """Have drawn weights as training would leave them for a while, so that outputs depend on each of them.

        As they are drawn, factors are one or next to nothing, offsets zero and running statistics those of no image:
        logits hardly differ between images, and an error in a path that adds nothing would not be seen.
        """
        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        try:
            with torch.no_grad():
                _stir(self.network)
                seen = torch.split(self.images(self.model.size, _SEEN), _BATCH)
                estimate(self.network, list(batch_norms(self.network).values()), seen)
            yield
        finally:
            self.network.load_state_dict(before)

    @property
    def _preprocessing(self) -> Preprocessing:
        if self.trained is not None:
            return self.trained.about.preprocessing
        half = (0.5, 0.5, 0.5)
        return Preprocessing(size=self.model.resolution, mean=half, std=half, classes=1, source="nothing")


def find_subject(target: Network | Trained) -> Subject:
    """Return what is exported for weights, a file or folder of them, or a description, whose weights are drawn."""
    if isinstance(target, str | Path) and _holds_weights(Path(target)):
        target = read_trained(target)
    if isinstance(target, Trained):
        config = target.about.plan.config
        return Subject(config.name, config.model, target.module().eval(), target)
    architecture = load(target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = build(architecture.model)
    return Subject(architecture.name, architecture.model, network.eval(), None)


def _holds_weights(path: Path) -> bool:
    return path.is_dir() or path.suffix in WEIGHTS


def _stir(network: nn.Module) -> None:
    """Draw anew what is drawn constant: factors and offsets, a number a channel."""
    draws = torch.Generator().manual_seed(_SEED)
    for name, value in network.named_parameters():
        if value.numel() == max(value.shape):
            drawn = torch.rand(value.shape, generator=draws)
            value.copy_(drawn - 0.5 if name.endswith("bias") else drawn + 0.5)
