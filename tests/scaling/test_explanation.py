"""What φ a network really has, and where its FLOPs come from."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import PADDED

import scalenet
from scalenet.arch import registry
from scalenet.arch.config import CompoundRule, Config, MultipliersRule, SharesRule
from scalenet.arch.errors import ScalenetError
from scalenet.scaling.explanation import Explanation, explain
from scalenet.scaling.rounding import SETS
from scalenet.scaling.scaler import find_config, scale_by

if TYPE_CHECKING:
    from scalenet.arch.spec import Architecture

B0 = scalenet.load("efficientnet_b0")


def phi(value: float) -> CompoundRule:
    return CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=float(value))


def real_phis(explanation: Explanation) -> dict[str, float | None]:
    return {axis.name: axis.phi for axis in explanation.axes}


@pytest.mark.parametrize(
    ("number", "real"), [(1, 0.83), (2, 1.36), (3, 2.24), (4, 3.51), (5, 4.73), (6, 5.63), (7, 6.61)]
)
def test_the_flops_of_b1_to_b7_have_these_phis(number: int, real: float) -> None:
    flops = real_phis(explain(find_config(f"efficientnet_b{number}")))["flops"]
    assert flops == pytest.approx(real, abs=0.0051)


def test_each_axis_has_a_phi_of_its_own() -> None:
    real = real_phis(explain(find_config("efficientnet_b7")))
    assert real["depth"] == pytest.approx(math.log(55 / 16, 1.2))
    assert real["width"] == pytest.approx(math.log(2, 1.1))
    assert real["resolution"] == pytest.approx(math.log(600 / 224, 1.15))


@pytest.mark.parametrize("value", [-2, 0.5, 1, 3])
def test_the_phi_asked_for_is_the_rule_s_on_every_axis(value: float) -> None:
    explanation = explain(scale_by(B0, phi(value)))
    assert [axis.asked_phi for axis in explanation.axes] == pytest.approx([value] * 4)


def test_an_axis_without_a_share_has_no_phi() -> None:
    real = real_phis(explain(scale_by(B0, SharesRule(depth=1.0, width=0.0, resolution=0.0, phi=2.0))))
    assert real["width"] is None
    assert real["resolution"] is None
    assert real["depth"] == pytest.approx(2)


def assert_adds_up(explanation: Explanation, base: Architecture, config: Config) -> None:
    flops = scalenet.cost(config.model).flops
    asked = explanation.axes[-1].asked * scalenet.cost(base).flops
    factors = [one.factor for one in explanation.deviations]
    assert math.prod(factors) == pytest.approx(flops / asked, rel=1e-9)
    assert min(factors) > 0
    assert sum(sum(one.flops) for one in explanation.deviations) == pytest.approx(flops - asked, abs=1e-9 * flops)
    for part, before in zip(explanation.parts, scalenet.cost(base).parts, strict=True):
        assert part.asked == pytest.approx(explanation.axes[-1].asked * part.base, abs=1e-9 * max(flops, asked))
        assert part.asked + sum(part.added.values()) == pytest.approx(part.achieved, abs=1e-9 * max(flops, asked))
        assert (part.name, part.base) == (before.name, before.cost.flops)


RULES = st.one_of(
    st.builds(MultipliersRule, depth=st.floats(0.05, 4), width=st.floats(0.05, 4), resolution=st.floats(0.05, 3)),
    st.builds(phi, st.floats(-4, 7)),
    st.builds(
        lambda depth, width, value: SharesRule(depth=depth, width=width, resolution=1 - depth - width, phi=value),
        st.floats(0, 0.5),
        st.floats(0, 0.5),
        st.floats(-4, 5),
    ),
)


@settings(max_examples=150)
@given(name=st.sampled_from(PADDED), rule=RULES, rounding=st.sampled_from(sorted(SETS)))
def test_factors_multiply_and_flops_add_up_to_the_difference(name, rule, rounding) -> None:
    base = scalenet.load(name)
    config = scale_by(base, rule, rounding=rounding)
    assert_adds_up(explain(config), base, config)


@settings(max_examples=60)
@given(
    name=st.sampled_from(PADDED),
    first=st.tuples(*[st.floats(0.3, 2)] * 3),
    second=st.tuples(*[st.floats(0.3, 2)] * 3),
    size=st.integers(33, 400),
)
def test_they_do_so_for_a_base_that_is_ragged_itself(name, first, second, size) -> None:
    base = scalenet.scale(scalenet.load(name), depth=first[0], width=first[1])
    base = replace(base.at((size, size + 7)), name="mine")
    config = scale_by(base, MultipliersRule(depth=second[0], width=second[1], resolution=second[2]))
    assert_adds_up(explain(config), base, config)


def test_what_the_base_has_lost_to_rounding_is_no_deviation() -> None:
    base = replace(B0.at(257), name="mine")
    found = {one.cause: one.factor for one in explain(scale_by(base, phi(0))).deviations}
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def added(explanation: Explanation, cause: str) -> list[str]:
    """Return the parts to which a cause adds FLOPs or from which it takes some."""
    return [part.name for part in explanation.parts if part.added[cause]]


def test_each_cause_is_told_where_it_works() -> None:
    explanation = explain(scale_by(B0, phi(3)))
    assert added(explanation, "stem_head") == ["stem", "head"]
    stages = [f"stages.{number}" for number in range(7)]
    for cause in ("first_blocks", "squeeze_excite", "depthwise", "depths"):
        assert added(explanation, cause) == stages
    assert added(explanation, "coefficients") == ["stem", *stages, "head"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_network_of_dense_convolutions_owes_nothing_to_squeeze_excite_or_depthwise(name: str) -> None:
    config = scale_by(scalenet.load(name), MultipliersRule(depth=2.0, width=1.5, resolution=2.0))
    found = {one.cause: one.factor for one in explain(config).deviations}
    assert found["squeeze_excite"] == found["depthwise"] == pytest.approx(1)
    assert found["first_blocks"] != pytest.approx(1, abs=1e-3)


def test_mobilenet_has_depthwise_convolutions_and_no_squeeze_excite() -> None:
    config = scale_by(scalenet.load("mobilenet_v2"), MultipliersRule(depth=1.0, width=2.0, resolution=1.0))
    found = {one.cause: one.factor for one in explain(config).deviations}
    assert found["squeeze_excite"] == 1
    assert found["depthwise"] == pytest.approx(0.95, abs=0.02)


def test_squeeze_excite_does_not_grow_with_resolution() -> None:
    config = scale_by(B0, MultipliersRule(depth=1.0, width=1.0, resolution=2.0))
    gates = sum(part.runs[0].tally.flops * part.depth for part in scalenet.cost(B0).parts[1:-1])
    found = {one.cause: sum(one.flops) for one in explain(config).deviations}
    assert -0.02 * gates < found["squeeze_excite"] < 0
    assert found["depthwise"] == pytest.approx(0, abs=1)


def test_the_cliff_near_258_pixels_is_told() -> None:
    (cliff,) = explain(scale_by(B0, phi(1))).cliffs
    assert (cliff.size, cliff.below) == (258, 256)


def test_two_unscaled_networks_are_compared_by_the_multipliers_between_them() -> None:
    explanation = explain(find_config("resnet101"), scalenet.load("resnet50"))
    assert [axis.achieved for axis in explanation.axes[:3]] == [33 / 16, 1, 1]
    assert_adds_up(explanation, scalenet.load("resnet50"), find_config("resnet101"))
    assert "description" not in {one.cause for one in explanation.deviations}


@pytest.mark.parametrize(("name", "base"), [("mobilenet_v2", "efficientnet_b0"), ("resnet50", "resnet18")])
def test_other_blocks_are_a_cause_of_their_own(name: str, base: str) -> None:
    explanation = explain(find_config(name), scalenet.load(base))
    assert explanation.deviations[-1].cause == "description"
    assert_adds_up(explanation, scalenet.load(base), find_config(name))


def test_another_kind_of_head_is_a_difference_of_description() -> None:
    data = B0.model.model_dump(mode="json")
    data["head"] = {"kind": "linear", "classes": 1000}
    other = Config.model_validate({"schema": "scalenet/1", "name": "other", "model": data})
    for config, base in ((other, B0), (registry.registered("efficientnet_b0"), other.architecture())):
        explanation = explain(config, base)
        assert [one.cause for one in explanation.deviations if one.factor != 1] == ["description"]
        assert_adds_up(explanation, base, config)


def test_a_base_can_be_given_for_a_scaled_network_too() -> None:
    twice = scale_by(scale_by(B0, phi(1), name="mine").architecture(), phi(1))
    assert explain(twice).base.name == "mine"
    assert real_phis(explain(twice, B0))["flops"] == pytest.approx(math.log2(twice.cost.flops / 385814752))


def test_an_unscaled_network_cannot_be_explained_alone() -> None:
    with pytest.raises(ScalenetError, match="resnet50 was not scaled"):
        explain(find_config("resnet50"))


def test_networks_of_other_stages_are_refused() -> None:
    with pytest.raises(ScalenetError, match="resnet50 has 4 stages, and efficientnet_b0 has 7"):
        explain(find_config("resnet50"), B0)
