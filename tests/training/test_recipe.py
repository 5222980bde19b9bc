"""Recipes: the shipped ones are canonical, changes are typed and checked, and rates are the paper's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data
from scalenet.arch.errors import ConfigError, UnknownNameError
from scalenet.arch.registry import load
from scalenet.training.recipe import Recipe, change, files, load_recipe, read_changes


@pytest.mark.parametrize("name", files())
def test_shipped_recipes_are_written_as_scalenet_writes_them(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert strict_yaml.dump(as_data(recipe)) == files()[name].read_text(encoding="utf-8")


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = load_recipe("efficientnet")
    assert as_data(recipe.optimizer) == {
        "kind": "rmsprop_tf",
        "lr": 0.016,
        "per": 256,
        "body": 1.0,
        "weight_decay": 1e-5,
        "decay": 0.9,
        "momentum": 0.9,
        "eps": 0.001,
    }
    assert (recipe.epochs, recipe.label_smoothing, recipe.minival) == (350, 0.1, 25_000)
    # 4,096 images a step have 0.256, five epochs of rising, and × 0.97 every 2.4 epochs counted from the first step.
    rates = [recipe.rate(step, steps=35_000, epoch_steps=100, batch=4096) for step in range(2000)]
    assert rates[0] == pytest.approx(0.256 / 500)
    assert rates[249] == pytest.approx(0.128)
    assert rates[500] == pytest.approx(0.256 * 0.97**2)
    assert rates[1999] == pytest.approx(0.256 * 0.97**8)


def test_changes_are_typed() -> None:
    changes = read_changes(
        ["optimizer.lr=1e-1", "compile=true", "augmentation.area=[0.5, 1]", "average=null", "epochs=3"]
    )
    recipe = change(load_recipe("efficientnet"), changes)
    assert (recipe.optimizer.lr, recipe.compile, recipe.augmentation.area) == (0.1, True, (0.5, 1))
    assert (recipe.average, recipe.epochs) == (None, 3)


def test_another_kind_keeps_what_it_has_too() -> None:
    recipe = change(load_recipe("efficientnet"), [("optimizer.kind", "sgd"), ("optimizer.momentum", 0.8)])
    assert as_data(recipe.optimizer) == {
        "kind": "sgd",
        "lr": 0.016,
        "per": 256,
        "body": 1.0,
        "weight_decay": 1e-5,
        "momentum": 0.8,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimizer.lrr=1", "optimizer.lrr: unknown key .*did you mean 'lr'"),
        ("optimiser.lr=1", "optimiser: unknown key .*did you mean 'optimizer'"),
        ("optimizer.lr=fast", "optimizer.lr: expected a valid number, found 'fast'"),
        ("optimizer.kind=sdg", "optimizer.kind: expected 'rmsprop'"),
        ("average.kind=tail", "average.share: missing"),
        ("foo.kind=tail", "foo: unknown key"),
        ("epochs=0", "epochs: expected greater than or equal to 1, found 0"),
        ("epochs=1.5", "epochs: expected a valid integer"),
        ("epochs.x=1", "epochs has no keys"),
        ("epochs", "write key=value"),
        ("augmentation.area=[1, 0.5]", "area goes from 1 down to 0.5"),
        ("augmentation.area=[1, 2]", "no crop is larger than its image"),
        ("minival=0", "patience needs a minival"),
    ],
)
def test_wrong_changes_say_what_is_right(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        change(load_recipe("efficientnet"), read_changes([text]))


def test_unknown_recipes_and_files(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'finetune'"):
        load_recipe("fine-tune")
    with pytest.raises(ValueError, match="`scalenet recipes` lists"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "own.yaml").write_text(files()["search"].read_text().replace("epochs:", "epoch:"))
    with pytest.raises(ConfigError, match=r"own.yaml:4: epoch: unknown key"):
        load_recipe(tmp_path / "own.yaml")


def test_dropout_and_stochastic_depth_are_the_networks_unless_given() -> None:
    model, recipe = load("efficientnet_b0").model, load_recipe("efficientnet")
    assert recipe.applied(model) == model
    changed = change(recipe, [("dropout", 0.5), ("drop_path", 0.0)]).applied(model).regularization
    assert (changed.dropout, changed.drop_path) == (0.5, 0.0)


def constant(**changes: Any) -> Recipe:
    schedule = {"kind": "constant", "cooldown": 0.2, "warmup": 0.5} | changes
    return change(load_recipe("small_images"), [("schedule", schedule), ("optimizer.lr", 1.0), ("average", None)])


def test_a_constant_rate_stays_until_it_cools_down() -> None:
    rates = [constant().rate(step, steps=50, epoch_steps=10, batch=128) for step in range(50)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4:40] == [1.0] * 36
    assert sorted(rates[39:], reverse=True) == rates[39:]
    assert len(set(rates[39:])) == 11
    assert 0 < rates[-1] < 0.05


@given(cooldown=st.floats(0, 1), epochs=st.integers(1, 8), more=st.integers(1, 20), batches=st.integers(1, 30))
def test_longer_trainings_have_the_same_rates_for_as_long_as_is_said(
    cooldown: float, epochs: int, more: int, batches: int
) -> None:
    tail = change(constant(cooldown=cooldown), [("average", {"kind": "tail", "share": 0.3})])
    for recipe in (constant(cooldown=cooldown), tail, load_recipe("efficientnet"), load_recipe("small_images")):
        short, long = epochs * batches, (epochs + more) * batches
        alike = recipe.alike(short)
        assert alike <= recipe.alike(long)
        rates = [
            [recipe.rate(step, steps=steps, epoch_steps=batches, batch=32) for step in range(alike)]
            for steps in (short, long)
        ]
        assert rates[0] == rates[1]
    assert tail.alike(short) == min(short - round(cooldown * short), short - round(0.3 * short))
    assert load_recipe("efficientnet").alike(short) == short
    assert load_recipe("small_images").alike(short) == 0
