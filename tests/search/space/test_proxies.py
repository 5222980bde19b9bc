"""Training-free scores, against small calculations of their own, and what a search says of them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import commands
import numpy as np
import pandas as pd
import pytest
import torch
from commands import SCALENET
from scipy import stats
from torch import nn
from torch.nn import functional

from scalenet.scaling.scaler import load, scale
from scalenet.search.answer.ranking import agreement
from scalenet.search.space.proxies import naswot, perturbed, sample, scores, synflow
from scalenet.training.data import ImageSet

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute small things with one thread, which is faster where others work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_synflow_is_the_sum_of_all_paths_once_a_layer():
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(2, 3, 3, bias=False), nn.Linear(12, 4, bias=False)
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    norm.running_var.fill_(7)
    first, second = (layer.weight.detach().double().abs().numpy() for layer in (conv, linear))
    middle = np.repeat(first.sum(axis=(1, 2, 3)), 4)  # inputs of ones: 4 places of a 4×4 image
    flow = (second @ middle).sum()
    module = nn.Sequential(conv, norm, nn.ReLU6(), nn.Flatten(), linear)
    assert synflow(module, (2, 4, 4)) == pytest.approx(math.log(2 * flow), rel=1e-12)


def test_synflow_holds_numbers_that_float32_does_not():
    module = nn.Sequential(*(nn.Conv2d(1, 1, 1, bias=False) for _ in range(50)))
    for layer in module:
        nn.init.constant_(layer.weight, -10.0)
    assert synflow(module, (1, 1, 1)) == pytest.approx(50 * math.log(10) + math.log(50))


def test_naswot_is_the_logarithm_of_the_determinant_of_agreeing_units():
    torch.manual_seed(0)
    conv, norm, other = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)
    images = torch.randn(6, 3, 8, 8)
    with torch.no_grad():
        before = functional.batch_norm(conv(images), None, None, training=True)
        after = other(functional.relu(before))
    codes = np.concatenate([(part > 0).flatten(1).numpy() for part in (before, after)], axis=1)
    units = codes.shape[1]
    kernel = np.array([[units - (one != two).sum() for two in codes] for one in codes])
    module = nn.Sequential(conv, norm, nn.ReLU(inplace=True), nn.Dropout(0.9), other, nn.SiLU())
    assert naswot(module, images) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-9)


def test_naswot_of_equal_images_is_no_number():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert naswot(module, torch.ones(4, 3, 5, 5)) == -math.inf


class Plain(nn.Module):
    """Two convolutions, as `perturbed` takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU()
        )
        self.head = nn.Sequential()
        self.head.add_module("pool", nn.AdaptiveAvgPool2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def test_zen_is_the_change_of_the_map_with_the_variances_made_up_for():
    torch.manual_seed(0)
    module, (inputs, noise) = Plain().train(), torch.randn(2, 6, 3, 9, 9)

    def run(x: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
        deviations = []
        for layer in (module.body[0], module.body[3]):
            x = functional.conv2d(x, layer.weight, layer.bias)
            variance = x.var((0, 2, 3), correction=0)
            deviations.append(math.sqrt(float(variance.mean())))
            x = (x - x.mean((0, 2, 3), keepdim=True)) / (variance[:, None, None] + 1e-5).sqrt()
            x = x.clamp_min(0)
        return x, deviations

    with torch.no_grad():
        (one, deviations), (two, _) = run(inputs), run(inputs + 0.01 * noise)
    change = np.mean([float((before - after).norm()) for before, after in zip(one, two, strict=True)])
    expected = math.log(change) + sum(map(math.log, deviations))
    assert perturbed(module, inputs, noise) == pytest.approx(expected, rel=1e-4)


def test_zen_sees_the_scale_that_batch_norm_hides():
    torch.manual_seed(0)
    module, (inputs, noise) = Plain().train(), torch.randn(2, 6, 3, 9, 9)
    before = perturbed(module, inputs, noise)
    with torch.no_grad():
        module.body[3].weight.mul_(100)
        module.body[3].bias.mul_(100)
    assert perturbed(module, inputs, noise) == pytest.approx(before + math.log(100), abs=0.01)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v2", "resnet18"])
def test_networks_of_all_kinds_have_scores_that_repeat_and_leave_random_numbers_alone(name):
    model, state = scale(load(name), depth=0.5, width=0.25).model.at(32), torch.get_rng_state()
    found = scores(model, seed=3)
    assert all(math.isfinite(value) for value in found.values())
    assert torch.equal(torch.get_rng_state(), state)
    assert scores(model, seed=3) == found


def test_images_are_sampled_at_the_networks_size_and_normalised():
    pixels = torch.randint(0, 255, (200, 3, 12, 12), dtype=torch.uint8)
    images = sample(ImageSet(pixels, torch.zeros(200, dtype=torch.int64)), (8, 10), seed=1)
    assert images.shape == (128, 3, 8, 10)
    assert images.mean((0, 2, 3)).abs().max() < 1e-4
    assert images.std((0, 2, 3)).sub(1).abs().max() < 1e-2


def test_agreement_is_spearmans():
    one, two = [1.0, 2.0, 3.0, 3.0, 5.0], [0.2, 0.1, 0.4, 0.3, 0.9]
    assert agreement(one, two) == pytest.approx(stats.spearmanr(one, two).statistic)
    assert agreement(one[:2], two[:2]) is None
    assert agreement([1.0, 1.0, 1.0], two[:3]) is None


ACCURACIES = {"tiny_a2_b1_g1": 0.6, "tiny_a1_b1.5_g1": 0.9, "tiny_a1_b1_g1.5": 0.7}


def search(tiny: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    rows = [f"{name},{value},{value + 0.01}" for name, value in ACCURACIES.items()]
    (folder / "known.csv").write_text("\n".join(["name,accuracy_seed0,accuracy_seed1", *rows]) + "\n")
    fixed = ["--base", str(tiny / "net.yaml"), "--grid", str(tiny / "grid.yaml"), "--evaluate", "table:known.csv"]
    fixed += ["--seeds", "2"]
    asked = [*SCALENET, "grid-search", *fixed, "-o", "run", "--proxies", *words]
    return commands.run(asked, cwd=folder, check=True)


def test_a_search_shows_how_its_proxies_rank_and_computes_them_once(tiny, tmp_path):
    first = search(tiny, tmp_path, "--json")
    answer = json.loads(first.stdout)
    table = pd.read_csv(tmp_path / "run" / "candidates.csv")
    for name in ("synflow", "naswot", "zen"):
        expected = stats.spearmanr(table[name], table["accuracy"]).statistic
        assert answer["evidence"]["proxies"][name] == pytest.approx(expected)
    assert "rank correlation with accuracy over 3 trained candidates: synflow" in first.stderr
    assert "so few candidates prove nothing" in first.stderr
    assert "tiny_a2_b1_g1: synflow" in first.stderr
    again = search(tiny, tmp_path, "--json")
    assert again.stdout == first.stdout
    assert "tiny_a2_b1_g1: synflow" not in again.stderr


def test_proxies_alone_say_that_they_are_unproven(tiny, tmp_path):
    done = search(tiny, tmp_path, "--dry-run", "--json")
    assert {"synflow", "naswot", "zen"} <= json.loads(done.stdout)[0].keys()
    assert "nothing was trained: these scores are unproven" in done.stderr
    assert not (tmp_path / "run").exists()
