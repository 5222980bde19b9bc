"""Verification: whatever is changed in a config is told."""

from __future__ import annotations

import re

import pytest
from networks import VARIED

from scalenet.arch.config import CompoundRule, MultipliersRule, PresetRule, SharesRule, dumps, load_config, loads, save
from scalenet.arch.registry import registered
from scalenet.checks.verification import verify
from scalenet.scaling.scaler import load, scale_by


@pytest.fixture(scope="module")
def text():
    base = load("mobilenet_v2")
    return dumps(scale_by(base, CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=-2.0)))


@pytest.mark.parametrize("name", [*VARIED, "small_resnet"])
def test_baselines_hold(name):
    assert verify(registered(name)) == []


@pytest.mark.parametrize(
    "rule",
    [
        SharesRule(depth=0.1, width=0.8, resolution=0.1, phi=-1.5),
        MultipliersRule(depth=1.3, width=0.7, resolution=0.5),
        PresetRule(name="efficientnet_b0"),
    ],
)
def test_what_was_just_scaled_holds(rule, tmp_path):
    save(scale_by(load("efficientnet_b0"), rule), tmp_path / "c.yaml")
    assert verify(load_config(tmp_path / "c.yaml")) == []


def numbers_in_model(text):
    model = text[text.index("model:") : text.index("scaling:")]
    start = text.index("model:")
    return [(start + match.start(), match[0]) for match in re.finditer(r"(?<=: )\d+(\.\d+)?(e-\d+)?", model)]


def test_any_changed_number_in_the_model_is_told(text):
    found = numbers_in_model(text)
    assert len(found) > 50
    missed = []
    for place, number in found[:: max(1, len(found) // 24)] + found[-6:]:
        value = float(number)
        other = f"{value / 2 + 0.01:g}" if "." in number else str(int(value) + 2)
        changed = text[:place] + other + text[place + len(number) :]
        if not verify(loads(changed)):
            missed.append((text[place - 30 : place], number, other))
    assert missed == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("activation: relu6", "activation: relu", "model.activation"),
        ("phi: -2.0", "phi: -1.0", "model."),
        ("rounding: {name: mobilenet, version: 1}", "rounding: {name: mobilenet, version: 0}", "scaling.rounding"),
        ("rounding: {name: mobilenet", "rounding: {name: mobilnet", "did you mean 'mobilenet'"),
        ("base: {name: mobilenet_v2", "base: {name: resnet18", "scaling.base.digest"),
        ("base: {name: mobilenet_v2", "base: {name: gone", "cannot be redone"),
        ("params: ", "params: 1", "cost.params"),
    ],
)
def test_other_changes_are_told_with_their_place(text, old, new, told):
    assert old in text
    assert any(told in line for line in verify(loads(text.replace(old, new, 1))))


def test_a_base_that_no_registry_has_travels_in_the_config(tmp_path):
    own = loads(dumps(load("resnet18")).replace("name: resnet18", "name: own").replace("depth: 2", "depth: 1"))
    config = scale_by(own.architecture(), MultipliersRule(depth=2.0, width=0.5, resolution=0.25))
    assert config.scaling.base.model == own.model
    assert verify(loads(dumps(config))) == []
