"""Grids: the points that a search tries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data
from scalenet.arch.errors import ScalenetError
from scalenet.costs.formula import cost
from scalenet.scaling.scaler import load
from scalenet.search.space.candidates import enumerate_candidates
from scalenet.search.space.grids import Shares, files, label, load_grid

GREEK = ("alpha", "beta", "gamma")


def points(name: str) -> list[tuple[float, float, float]]:
    grid = load_grid(name)
    return list(grid.points.coefficients(grid.product))


def write(tmp_path, points: str, extra: str = "") -> str:
    path = tmp_path / "grid.yaml"
    path.write_text(f"schema: scalenet-grid/1\nname: mine\npoints: {points}\n{extra}")
    return str(path)


def test_the_papers_coefficients_are_in_the_paper_grid():
    assert (1.2, 1.1, 1.15) in points("paper")


def test_every_point_of_the_paper_grid_is_within_its_tolerance():
    for alpha, beta, gamma in points("paper"):
        assert min(alpha, beta, gamma) >= 1
        assert abs(alpha * beta**2 * gamma**2 - 2) <= 0.1 + 1e-9


@given(st.integers(1, 30), st.floats(1.1, 8))
def test_shares_lie_on_the_surface_and_include_the_corners(divisions, target):
    found = list(Shares(kind="shares", divisions=divisions).coefficients(target))
    assert len(found) == (divisions + 1) * (divisions + 2) // 2
    for alpha, beta, gamma in found:
        assert alpha * beta**2 * gamma**2 == pytest.approx(target, rel=1e-6)
    root = pytest.approx(math.sqrt(target), abs=1e-8)
    assert [pytest.approx(target), 1, 1] in [list(point) for point in found]
    assert [1, root, 1] in [list(point) for point in found]
    assert [1, 1, root] in [list(point) for point in found]


@pytest.mark.parametrize("name", files())
def test_shipped_grids_load_under_their_own_name_and_are_written_again_byte_for_byte(name):
    assert load_grid(name).name == name
    assert strict_yaml.dump(as_data(load_grid(name))) == files()[name].read_text(encoding="utf-8")


def test_a_grid_can_be_a_list(tmp_path):
    grid = load_grid(write(tmp_path, "{kind: list, values: [[1.2, 1.1, 1.15], [2, 1, 1]]}"))
    assert list(grid.points.coefficients(2.0)) == [(1.2, 1.1, 1.15), (2.0, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{kind: list, values: []}", "points.values"),
        ("{kind: list, values: [[0.9, 1, 1]]}", "points.values[0][0]"),
        ("{kind: share, divisions: 5}", "points.kind"),
        ("{kind: shares, divsions: 5}", "did you mean 'divisions'"),
    ],
)
def test_a_bad_grid_is_refused_with_its_place(tmp_path, text, place):
    with pytest.raises(ScalenetError, match=r"grid\.yaml:3") as error:
        load_grid(write(tmp_path, text))
    assert place in str(error.value)


def test_an_unknown_grid_suggests_a_known_one():
    with pytest.raises(ScalenetError, match="did you mean 'paper'"):
        load_grid("papr")


def test_points_that_round_to_one_network_are_one_candidate():
    found = enumerate_candidates(load("efficientnet_b0"), load_grid("paper"))
    models = [candidate.config.model for candidate in found.candidates]
    assert len(set(map(repr, models))) == len(models)
    assert len(models) + found.duplicates + found.off_target == found.points
    assert found.duplicates > 0


def test_candidates_off_the_target_cost_are_dropped(tmp_path):
    grid = load_grid(write(tmp_path, "{kind: shares, divisions: 10}", "achieved: 0.05\nrounding: fine\n"))
    found = enumerate_candidates(load("resnet18"), grid)
    assert found.off_target > 0
    for candidate in found.candidates:
        assert candidate.flops_ratio == pytest.approx(2, rel=0.05)


def test_an_empty_grid_is_refused_with_the_nearest_cost(tmp_path):
    grid = load_grid(write(tmp_path, "{kind: list, values: [[3, 1, 1]]}", "include: []\nachieved: 0.01\n"))
    with pytest.raises(ScalenetError, match=r"the nearest is 3\.06×"):
        enumerate_candidates(load("efficientnet_b0"), grid)
    steps = "{kind: steps, tolerance: 0, " + ", ".join(f"{name}: {{high: 1.1, step: 0.1}}" for name in GREEK) + "}"
    with pytest.raises(ScalenetError, match="widen its tolerance"):
        enumerate_candidates(load("efficientnet_b0"), load_grid(write(tmp_path, steps, "include: []\n")))


CORNERS = [(2.0, 1.0, 1.0), (1.0, 1.414213562, 1.0), (1.0, 1.0, 1.414213562)]


@pytest.mark.parametrize(
    ("extra", "added"),
    [
        ("", [*CORNERS, (1.2, 1.1, 1.15)]),
        ("include: [paper]\n", [(1.2, 1.1, 1.15)]),
        ("include: [corners]\nproduct: 4.0\n", [(4.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 2.0)]),
        ("include: []\n", []),
    ],
)
def test_corners_and_the_papers_coefficients_are_among_the_points_unless_refused(tmp_path, extra, added):
    grid = load_grid(write(tmp_path, "{kind: list, values: [[1.5, 1.1, 1.05]]}", extra))
    assert grid.coefficients() == [(1.5, 1.1, 1.05), *added]


def test_a_grid_that_has_the_included_points_has_them_once():
    grid = load_grid("paper")
    assert grid.coefficients()[: len(points("paper"))] == points("paper")
    assert set(grid.coefficients()) - set(points("paper")) == {CORNERS[1], CORNERS[2]}


@pytest.mark.parametrize("base", ["efficientnet_b0", "resnet18", "small_resnet"])
def test_measured_candidates_cost_the_target_and_are_brought_there(tmp_path, base):
    grid = load_grid(write(tmp_path, "{kind: shares, divisions: 3}", "constraint: measured\nachieved: 0.02\n"))
    found = enumerate_candidates(load(base), grid)
    assert len(found.candidates) + found.duplicates + found.off_target == found.points == 11
    for candidate in found.candidates:
        assert candidate.flops_ratio == pytest.approx(2, rel=0.02)
        assert candidate.flops_ratio == pytest.approx(candidate.cost.flops / cost(load(base)).flops, rel=1e-5)
        assert candidate.distance is not None


def test_a_nominal_grid_costs_what_it_does_and_a_measured_one_the_target(tmp_path):
    shares, base = "{kind: shares, divisions: 5}", load("efficientnet_b0")
    nominal = enumerate_candidates(base, load_grid(write(tmp_path, shares)))
    measured = enumerate_candidates(base, load_grid(write(tmp_path, shares, "constraint: measured\n")))
    spreads = [np.ptp([one.flops_ratio for one in found.candidates]) for found in (nominal, measured)]
    assert spreads[0] > 0.5
    assert spreads[1] < 0.04


def test_an_included_point_that_misses_the_target_is_brought_to_it(tmp_path):
    grid = load_grid(write(tmp_path, "{kind: list, values: [[2, 1, 1]]}", "achieved: 0.02\nrounding: fine\n"))
    found = enumerate_candidates(load("small_resnet"), grid)
    by_label = {candidate.name.removeprefix("small_resnet_"): candidate for candidate in found.candidates}
    assert by_label["a2_b1_g1"].distance is None
    assert by_label["a1.2_b1.1_g1.15"].distance > 0
    assert by_label["a1.2_b1.1_g1.15"].flops_ratio == pytest.approx(2, rel=0.02)


def test_points_that_give_one_network_are_kept_by_name(tmp_path):
    values = "{kind: list, values: [[1.9, 1, 1], [2, 1, 1]]}"
    found = enumerate_candidates(load("resnet18"), load_grid(write(tmp_path, values, "include: []\n")))
    (only,) = found.candidates
    assert (only.name, only.merged, found.duplicates) == ("resnet18_a1.9_b1_g1", ("a2_b1_g1",), 1)
    assert label((2.0, 1.0, 1.0)) in (label((only.alpha, only.beta, only.gamma)), *only.merged)


def test_candidates_above_a_ceiling_are_dropped_and_counted():
    base, grid = load("efficientnet_b0"), load_grid("shares")
    every = enumerate_candidates(base, grid)
    limit = sorted(candidate.cost.params for candidate in every.candidates)[5]
    found = enumerate_candidates(base, grid, ceilings={"params": limit})
    assert (len(found.candidates), found.over_ceilings) == (6, len(every.candidates) - 6)
    with pytest.raises(ScalenetError, match=r"none of them keeps 10 params \(the least is [\d,]+\)"):
        enumerate_candidates(base, grid, ceilings={"params": 10})


def test_a_grid_of_more_than_a_million_combinations_is_refused(tmp_path):
    steps = "{kind: steps, tolerance: 1, " + ", ".join(f"{name}: {{high: 2.0, step: 0.009}}" for name in GREEK) + "}"
    with pytest.raises(ScalenetError, match="1,404,928 combinations are more than 1,000,000; take larger steps"):
        load_grid(write(tmp_path, steps))
