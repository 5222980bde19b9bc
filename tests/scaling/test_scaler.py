"""Scaling an architecture, and the config that records how it came about."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import scalenet
from scalenet.arch import registry
from scalenet.arch.config import (
    CompoundRule,
    Config,
    MultipliersRule,
    PresetRule,
    Rule,
    SharesRule,
    digest,
    dumps,
    loads,
)
from scalenet.arch.ends import ConvHead
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.spec import Architecture
from scalenet.scaling.causes import deviations
from scalenet.scaling.presets import preset, presets
from scalenet.scaling.scaler import applied, find_config, rescale, scale_by, scaled_dropout

GOLDEN = Path(__file__).parents[1] / "golden"
B0 = scalenet.load("efficientnet_b0")
RESNET50 = scalenet.load("resnet50")


def official() -> list[dict[str, Any]]:
    return list(yaml.safe_load((GOLDEN / "official_models.yaml").read_text(encoding="utf-8")))


def lite() -> list[dict[str, Any]]:
    return list(yaml.safe_load((GOLDEN / "lite.yaml").read_text(encoding="utf-8")))


def tinynet() -> list[dict[str, Any]]:
    return list(yaml.safe_load((GOLDEN / "tinynet.yaml").read_text(encoding="utf-8")))


def phi(value: float) -> CompoundRule:
    return CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=float(value))


RULES: list[Rule] = [
    phi(1),
    phi(-2),
    phi(0.5),
    SharesRule(depth=0.1, width=0.8, resolution=0.1, phi=2.0),
    SharesRule(depth=1.0, width=0.0, resolution=0.0, phi=1.0),
    MultipliersRule(depth=1.4, width=1.2, resolution=1.3),
]


def kind(rule: Rule) -> str:
    return repr(rule)


@pytest.mark.parametrize(("value", "achieved"), [(1, 2.573), (7, 102.8), (-1, 0.78), (0, 1)])
def test_the_rule_misses_its_target_on_b0_by_a_known_amount(value: float, achieved: float) -> None:
    scaling = scale_by(B0, phi(value)).scaling
    assert scaling is not None
    assert scaling.asked.flops_ratio == 2**value
    assert scaling.applied.flops_ratio == pytest.approx(achieved, rel=6e-3)


def test_resnet50_at_the_paper_s_multipliers_is_asked_3_41_and_achieves_3_90() -> None:
    config = scale_by(RESNET50, MultipliersRule(depth=1.4, width=1.2, resolution=1.3))
    assert config.scaling is not None
    assert round(config.scaling.asked.flops_ratio, 2) == 3.41
    assert round(config.scaling.nominal, 2) == 3.41
    assert round(config.scaling.applied.flops_ratio, 2) == 3.90


def test_a_bottleneck_rounds_its_inner_width_and_derives_its_output() -> None:
    scaled = scalenet.scale(RESNET50, depth=1.4, width=1.2)
    assert [stage.width for stage in scaled.model.stages] == [80, 152, 304, 616]
    assert [stage.depth for stage in scaled.model.stages] == [5, 6, 9, 5]
    assert scalenet.cost(scaled).params == 54_804_824


@pytest.mark.parametrize("row", official(), ids=lambda row: row["name"])
def test_a_preset_has_the_published_widths_depths_resolution_and_dropout(row: dict[str, Any]) -> None:
    model = scalenet.load(row["name"]).model
    assert isinstance(model.head, ConvHead)
    assert model.resolution == row["resolution"]
    assert model.stem.width == row["stem"]
    assert [stage.width for stage in model.stages] == row["channels"]
    assert [stage.depth for stage in model.stages] == row["repeats"]
    assert model.head.width == row["head"]
    assert model.regularization.dropout == row["dropout"]
    assert model.regularization.drop_path == 0.2


@pytest.mark.parametrize("row", [*official(), *lite(), *tinynet()], ids=lambda row: row["name"])
def test_a_preset_has_the_published_multipliers(row: dict[str, Any]) -> None:
    own = preset(row["name"].replace("_", "-"))
    assert (own.width, own.depth, own.resolution, own.dropout) == (
        row["width"],
        row["depth"],
        row["resolution"],
        row["dropout"],
    )


def test_there_are_no_presets_but_the_published() -> None:
    assert set(presets()) == {row["name"] for row in [*official(), *lite(), *tinynet()]}


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'efficientnet_b8'"):
        preset("efficientnet_b88")


def test_a_preset_of_another_base_is_refused() -> None:
    with pytest.raises(ScalenetError, match="preset efficientnet_b1 belongs to efficientnet_b0, not to resnet50"):
        scale_by(RESNET50, PresetRule(name="efficientnet_b1"))


@pytest.mark.parametrize("name", registry.names())
def test_scaling_by_one_gives_the_same_network(name: str) -> None:
    base = scalenet.load(name)
    assert scalenet.scale(base).model == base.model
    assert scale_by(base, phi(0)).model == base.model


def test_scale_takes_a_rounding_set_and_remembers_it() -> None:
    scaled = scalenet.scale(B0, width=1.3, rounding="fine")
    assert scaled.rounding == "fine"
    assert scaled.model.stages[0].width == 21
    assert scalenet.scale(B0, width=1.3).rounding == B0.rounding


def test_scale_leaves_the_base_and_its_regularisation_alone() -> None:
    before = digest(B0.model)
    assert scalenet.scale(B0, depth=3.1).model.regularization == B0.model.regularization
    assert digest(B0.model) == before


@pytest.mark.parametrize(
    ("base", "value", "dropout"),
    [
        (0.2, 0, 0.2),
        (0.2, 7, 0.5),
        (0.2, 3.5, 0.35),
        (0.2, -2, 0.1143),
        (0.2, -7, 0),
        (0.2, 20, 0.5),
        (0, 7, 0),
        (0.8, 3, 0.8),
    ],
)
def test_dropout_grows_in_a_straight_line_from_b0_to_b7(base: float, value: float, dropout: float) -> None:
    assert scaled_dropout(base, value) == dropout


@pytest.mark.parametrize("rule", RULES, ids=kind)
def test_scaling_by_a_rule_scales_dropout_and_leaves_drop_path(rule: Rule) -> None:
    config = scale_by(B0, rule)
    assert config.scaling is not None
    power = math.log2(config.scaling.asked.flops_ratio)
    assert config.model.regularization.dropout == pytest.approx(scaled_dropout(0.2, power), abs=1e-4)
    assert config.model.regularization.drop_path == 0.2
    assert config.scaling.regularization == "linear"


@pytest.mark.parametrize("rule", RULES, ids=kind)
@pytest.mark.parametrize("name", registry.names())
def test_the_factors_of_the_deviations_multiply_to_achieved_over_asked(name: str, rule: Rule) -> None:
    base = scalenet.load(name)
    config = scale_by(base, rule)
    assert config.scaling is not None
    product = math.prod(deviation.factor for deviation in deviations(base, config))
    assert product == pytest.approx(config.scaling.applied.flops_ratio / config.scaling.asked.flops_ratio, rel=1e-5)


def test_a_deviation_that_is_not_there_has_the_factor_one() -> None:
    config = scale_by(B0, MultipliersRule(depth=2.0, width=1.0, resolution=1.0))
    factors = {deviation.cause: deviation.factor for deviation in deviations(B0, config)}
    assert {cause for cause, factor in factors.items() if abs(factor - 1) > 1e-12} == {"stem_head", "first_blocks"}
    assert factors["stem_head"] * factors["first_blocks"] == pytest.approx(1.0138, abs=1e-3)


def test_rounding_258_pixels_to_maps_of_whole_size_is_the_main_reason_at_phi_1() -> None:
    reasons = {one.reason: one.factor for one in deviations(B0, scale_by(B0, phi(1)))}
    assert reasons["depths rounded"] == pytest.approx(1.225, abs=1e-3)
    assert reasons["input and feature-map sizes rounded"] == pytest.approx(1.14, abs=1e-3)


def test_an_unscaled_config_has_no_deviations() -> None:
    with pytest.raises(ScalenetError, match="efficientnet_b0 was not scaled"):
        deviations(B0, registry.registered("efficientnet_b0"))


def assert_reproducible(base: Architecture, config: Config, rule: Rule, rounding: str | None = None) -> None:
    assert dumps(scale_by(base, rule, rounding=rounding)) == dumps(config)
    assert loads(dumps(config)) == config
    assert config.scaling is not None
    assert rescale(config.scaling, name=config.name) == config


@pytest.mark.parametrize("rule", RULES, ids=kind)
@pytest.mark.parametrize("name", registry.names())
def test_a_scaled_config_is_read_back_equal_and_can_be_redone(name: str, rule: Rule) -> None:
    base = scalenet.load(name)
    assert_reproducible(base, scale_by(base, rule), rule)


@settings(max_examples=25)
@given(
    factors=st.tuples(*[st.floats(0.2, 3)] * 3),
    rounding=st.sampled_from(["efficientnet", "efficientnet_v2", "lite", "mobilenet", "nearest", "fine"]),
)
def test_any_multipliers_can_be_redone_from_the_file(factors: tuple[float, float, float], rounding: str) -> None:
    rule = MultipliersRule(depth=factors[0], width=factors[1], resolution=factors[2])
    config = scale_by(B0, rule, rounding=rounding)
    assert config.scaling is not None
    assert config.scaling.rounding.name == rounding
    assert_reproducible(B0, config, rule, rounding)


@pytest.mark.parametrize("name", presets())
def test_a_preset_s_config_is_read_back_equal_and_can_be_redone(name: str) -> None:
    config = find_config(name)
    if config.scaling is not None:
        assert config.scaling.regularization == "preset"
        assert loads(dumps(config)) == config
        assert rescale(config.scaling, name=name) == config
    assert config.name == name


def test_a_base_in_the_registry_is_recorded_by_name_and_digest() -> None:
    scaling = scale_by(B0, phi(1)).scaling
    assert scaling is not None
    assert scaling.base.name == "efficientnet_b0"
    assert scaling.base.digest == digest(B0.model)
    assert scaling.base.model is None


@pytest.mark.parametrize("name", ["mine", "efficientnet_b0"])
def test_a_base_that_no_registry_has_is_recorded_as_a_whole(name: str) -> None:
    base = Architecture(name, scalenet.scale(B0, width=0.5).model, "nearest")
    config = scale_by(base, phi(1))
    assert config.scaling is not None
    assert config.scaling.base.model == base.model
    assert config.scaling.base.digest == digest(base.model)
    assert_reproducible(base, config, phi(1))


def test_a_scaled_network_can_be_scaled_again_from_its_file(tmp_path: Path) -> None:
    scalenet.save(scale_by(B0, phi(-2), name="small"), tmp_path / "small.yaml")
    small = scalenet.load(tmp_path / "small.yaml")
    again = scale_by(small, phi(1))
    assert again.name == "small_phi1"
    assert scalenet.cost(again.model).flops > scalenet.cost(small).flops


def test_the_recorded_cost_is_the_network_s() -> None:
    config, cost = scale_by(RESNET50, phi(1)), scalenet.cost(scale_by(RESNET50, phi(1)).model)
    assert config.cost is not None
    assert config.cost.flops == cost.flops
    assert config.cost.flops_by_operator == cost.flops_by_operator
    assert config.cost.params == cost.params
    assert config.cost.activations == cost.activations
    assert config.cost.convention == "multiply-adds of conv and linear, batch 1"
    attending = scalenet.scale_by(scalenet.load("vit_small"), phi=-1)
    assert attending.cost.convention == "multiply-adds of conv, linear and matmul, batch 1"


def test_the_applied_multipliers_are_those_of_the_rounded_network() -> None:
    scaling = scale_by(B0, phi(1)).scaling
    assert scaling is not None
    assert scaling.applied.depth == 23 / 16
    assert scaling.applied.resolution == pytest.approx(258 / 224, rel=1e-5)
    widths = zip([16, 24, 48, 88, 120, 208, 352], [16, 24, 40, 80, 112, 192, 320], strict=True)
    assert scaling.applied.width == pytest.approx(math.sqrt(sum((new / old) ** 2 for new, old in widths) / 7), rel=1e-5)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (phi(2), "resnet50_phi2"),
        (phi(-0.5), "resnet50_phi-0.5"),
        (SharesRule(depth=0.1, width=0.8, resolution=0.1, phi=1.0), "resnet50_dwr_phi1"),
        (SharesRule(depth=0.2, width=0.7, resolution=0.1, phi=1.0), "resnet50_shares_phi1"),
        (MultipliersRule(depth=1.4, width=1.2, resolution=1.3), "resnet50_d1.4_w1.2_r1.3"),
    ],
)
def test_a_scaled_network_is_named_after_its_base_and_rule(rule: Rule, name: str) -> None:
    assert scale_by(RESNET50, rule).name == name
    assert scale_by(RESNET50, rule, name="mine").name == "mine"


def test_the_file_has_no_dates_and_no_paths() -> None:
    provenance = scale_by(B0, phi(2)).provenance
    assert provenance is not None
    assert provenance.scalenet == scalenet.__version__
    assert provenance.counter == "formula"
    assert provenance.command == (
        "scalenet scale --base efficientnet_b0 --phi 2 --alpha 1.2 --beta 1.1 --gamma 1.15 --rounding efficientnet"
    )


@pytest.mark.parametrize("phi", [1100.0, 2000.0, -1100.0, -5000.0])
def test_a_phi_too_large_or_too_small_is_a_plain_error(phi: float) -> None:
    with pytest.raises(ScalenetError, match="too large"):
        scale_by(B0, CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=phi))


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": math.nan},
        {"resolution": math.nan},
        {"depth": 1e300},
        {"depth": 0},
        {"width": -1},
        {"resolution": math.inf},
    ],
)
def test_multipliers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ScalenetError, match="between 1e-6 and 1e6"):
        scalenet.scale(B0, **wrong)


def test_the_recorded_command_has_phi_in_full() -> None:
    config = scale_by(B0, CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=1.23456789))
    assert config.provenance is not None
    assert "--phi 1.23456789 " in config.provenance.command


def test_a_base_of_another_digest_is_refused() -> None:
    scaling = scale_by(B0, CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=1.0)).scaling
    assert scaling is not None
    changed = scaling.model_copy(update={"base": scaling.base.model_copy(update={"digest": "sha256:0"})})
    with pytest.raises(ScalenetError, match=r"scaling\.base\.digest"):
        rescale(changed, name="x")


def test_a_preset_is_refused_for_a_network_that_only_has_its_bases_name() -> None:
    other = Architecture("efficientnet_b0", scalenet.scale(B0, width=0.5).model)
    with pytest.raises(ScalenetError, match="is of efficientnet_b0 as it is published"):
        scale_by(other, PresetRule(name="efficientnet_b1"))


def test_a_preset_takes_another_number_of_classes() -> None:
    other = Architecture("efficientnet_b0", B0.model.with_classes(10))
    config = scale_by(other, PresetRule(name="efficientnet_b1"))
    assert config.model.head.classes == 10


def test_both_sides_of_an_input_count_in_the_applied_resolution() -> None:
    base = B0.model.at((100, 201))
    scaled = scalenet.scale(base, resolution=1.1, rounding="efficientnet").model
    assert scaled.size == (110, 221)
    assert applied(base, scaled).resolution == pytest.approx((110 * 221 / (100 * 201)) ** 0.5)
