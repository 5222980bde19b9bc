"""The worked example of a third party's package, installed for real and used from another interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party"

USE = """
import sys
import warnings

warnings.simplefilter("error")
import torch

import scalenet
from scalenet.arch import registry
from scalenet.arch.config import CompoundRule, dumps
from scalenet.scaling.scaler import rescale, scale_by

torch.set_num_threads(1)
base = scalenet.load("twin-mixnet")
assert base.rounding == "efficientnet_v2"
file = registry.file("twin_mixnet")
assert dumps(registry.registered("twin_mixnet")) == file.read_text(encoding="utf-8")

config = scale_by(base, CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=-2.0))
assert config.scaling.base.model is None
assert rescale(config.scaling, name=config.name) == config
scalenet.save(config, sys.argv[1])
scaled = scalenet.load(sys.argv[1])
assert scaled.model == config.model

for model in (base.model, scaled.model):
    model = model.model_copy(update={"resolution": (97, 131)})
    formula = scalenet.cost(model)
    counted = scalenet.measure(scalenet.build(model), torch.zeros(1, 3, 97, 131))
    assert formula.flops_by_operator == {name: flops for name, flops in counted.flops_by_operator.items() if flops}
    assert (formula.params, formula.activations) == (counted.params, counted.activations)

network = scalenet.build(scaled, classes=10).train()
assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 10)
try:
    scalenet.load("twin_mixnets")
except scalenet.ScalenetError as error:
    print(error.hint)
"""

MISTAKE = """
import scalenet
from scalenet.arch import registry
from scalenet.arch.config import loads

text = registry.file("twin_mixnet").read_text(encoding="utf-8")
try:
    loads(text.replace("expand: 4.0", "expnd: 4.0", 1), place="f.yaml")
except scalenet.ScalenetError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of the example, so that nothing is built in the repository, and return where it lies."""
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "third_party")
    target = tmp_path_factory.mktemp("installed")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


def run(code: str, installed: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_block_and_baseline_are_as_good_as_built_in_ones(installed: Path, tmp_path: Path) -> None:
    assert "did you mean 'twin_mixnet'" in run(USE, installed, str(tmp_path / "scaled.yaml"))


def test_a_mistake_in_the_options_of_an_installed_block_is_named(installed: Path) -> None:
    expected = "f.yaml:12: model.stages[1].expnd: unknown key (did you mean 'expand'?)"
    assert run(MISTAKE, installed).strip() == expected


def test_without_the_package_its_baseline_is_unknown() -> None:
    import scalenet

    with pytest.raises(scalenet.ScalenetError, match="unknown baseline 'twin_mixnet'"):
        scalenet.load("twin_mixnet")
