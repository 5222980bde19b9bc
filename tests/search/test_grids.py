"""Grids: the points that a search tries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data
from scalenet.arch.errors import ScalenetError
from scalenet.scaling.scaler import load
from scalenet.search.candidates import enumerate_candidates
from scalenet.search.grids import Shares, files, load_grid

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
    grid = load_grid(write(tmp_path, "{kind: list, values: [[3, 1, 1]]}", "achieved: 0.01\n"))
    with pytest.raises(ScalenetError, match=r"the nearest is 3\.06×"):
        enumerate_candidates(load("efficientnet_b0"), grid)
    steps = "{kind: steps, tolerance: 0, " + ", ".join(f"{name}: {{high: 1.1, step: 0.1}}" for name in GREEK) + "}"
    with pytest.raises(ScalenetError, match="widen its tolerance"):
        enumerate_candidates(load("efficientnet_b0"), load_grid(write(tmp_path, steps)))
