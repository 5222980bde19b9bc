"""Which members are trained next: new ones of the band, and better ones than chance finds."""

from __future__ import annotations

import numpy as np
import pytest

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.methods import METHODS, PENALTIES, fitted, propose
from scalenet.spaces.samplers import check_sampler
from scalenet.spaces.space import load_space

FEW = """\
schema: scalenet-space/1
name: few
model:
  resolution: 32
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 8, kernel: 3, stride: 2}
  stages:
  - {block: mnas_conv, depth: [1, 2], width: [12, 16], stride: 2, skip: [pool, identity, none]}
  head: {kind: linear, classes: 3}
"""
"""Where a stage has one block, its skips are none: 12 members, 8 networks."""


@pytest.fixture(scope="module")
def members() -> Membership:
    return Membership(load_space("small_images"), read_limits(flops="5M±5%"))


def truth(members: Membership, chosen: np.ndarray) -> np.ndarray:
    """Return what each choice adds to, without noise."""
    weights = np.random.default_rng(7).normal(size=members.features(chosen).shape[1])
    return members.features(chosen) @ weights


def searched(members: Membership, method: str, trials: int = 40) -> np.ndarray:
    random = np.random.default_rng(0)
    known = members.draw(10, random).members
    while len(known) < trials:
        new = propose(members, known, truth(members, known), 10, random, method)
        known = np.concatenate([known, np.array([one.member for one in new])])
    return known


@pytest.mark.parametrize("method", METHODS)
def test_each_method_proposes_new_members_inside_the_band(members, method):
    known = searched(members, method, 30)
    assert len(np.unique(known, axis=0)) == 30
    assert (members.limits.violations(members.tables.costs(known)) <= 0).all()


def test_members_of_one_network_are_proposed_once(tmp_path):
    (tmp_path / "few.yaml").write_text(FEW)
    few = load_space(tmp_path / "few.yaml")
    alike = Membership(few, read_limits(flops="0.01M..100M"))
    drawn = alike.draw(few.size, np.random.default_rng(0)).members
    modules = {repr(scalenet.build(few.network(member.tolist()))) for member in drawn}
    assert (few.size, len(drawn), len(modules)) == (12, 8, 8)
    assert propose(alike, drawn, truth(alike, drawn), 5, np.random.default_rng(1), "mixture") == []


def test_methods_find_better_members_than_chance(members):
    best = {method: truth(members, searched(members, method)).max() for method in METHODS}
    assert best["predictor"] > best["random"]
    assert best["mixture"] > best["random"]
    assert best["evolution"] > best["random"]


def test_a_mixture_asks_evolution_and_the_predictor_in_turn(members):
    random = np.random.default_rng(0)
    known = members.draw(10, random).members
    found = propose(members, known, truth(members, known), 6, random, "mixture")
    assert [one.by for one in found] == ["evolution", "predictor"] * 3


def test_a_sampler_of_optuna_proposes_inside_the_band_and_the_same_again(members):
    pytest.importorskip("optuna")
    known = members.draw(12, np.random.default_rng(0)).members
    scores = truth(members, known)
    scores[3] = np.nan
    found, again = (propose(members, known, scores, 6, np.random.default_rng(1), "optuna:TPESampler") for _ in "ab")
    new = np.array([one.member for one in found])
    assert {one.by for one in found} == {"optuna:TPESampler"}
    assert np.array_equal(new, [one.member for one in again])
    assert (members.limits.violations(members.tables.costs(new)) <= 0).all()
    assert len(np.unique(np.concatenate([known, new]), axis=0)) == 18


@pytest.mark.parametrize(
    ("method", "said"),
    [("optuna:TPESamplr", "did you mean 'TPESampler'"), ("optuna:GridSampler", "cannot be made of a seed alone")],
)
def test_a_sampler_that_cannot_be_had_is_refused(method, said):
    pytest.importorskip("optuna")
    with pytest.raises(ScalenetError) as found:
        check_sampler(method)
    assert said in f"{found.value.message} {found.value.hint}"


def test_the_nearest_member_meets_the_limits_and_is_the_member_itself_where_that_does(members):
    random = np.random.default_rng(3)
    inside = members.draw(1, random).members[0]
    assert np.array_equal(members.nearest(inside), inside)
    other = members.nearest(inside, {members.network(inside)})
    assert members.meets(other)
    assert (other != inside).sum() == 1
    for member in random.integers(members.space.variants, size=(20, 3)):
        found = members.nearest(member)
        assert found is None or members.meets(found)


def test_members_are_random_where_nothing_is_known(members):
    known = members.draw(3, np.random.default_rng(0)).members
    found = propose(members, known, np.full(3, np.nan), 4, np.random.default_rng(1), "mixture")
    assert {one.by for one in found} == {"random"}


def test_the_predictor_has_the_penalty_of_the_least_leave_one_out_error():
    random = np.random.default_rng(0)
    features, scores = random.normal(size=(12, 5)), random.normal(size=12)
    own, left = features - features.mean(axis=0), scores - scores.mean()

    def weights(rows: np.ndarray, penalty: float) -> np.ndarray:
        return np.linalg.solve(own[rows].T @ own[rows] + penalty * np.eye(5), own[rows].T @ left[rows])

    def error(penalty: float) -> float:
        others = [np.delete(np.arange(12), one) for one in range(12)]
        return sum((left[one] - own[one] @ weights(rows, penalty)) ** 2 for one, rows in enumerate(others))

    best = min(PENALTIES, key=error)
    assert np.allclose(fitted(features, scores).weights, weights(np.arange(12), best))
