"""The recorded table of a space is whole, and a pick is worth what a training says that it was not chosen by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import yaml
from replay import HERE, replay_of
from spaces import replayed

ABOUT = yaml.safe_load((HERE / "small_images.yaml").read_text(encoding="utf-8"))
TABLE = pd.read_csv(HERE / "small_images.csv.xz")


def test_every_member_lies_in_the_band_and_has_two_short_trainings():
    replay = replay_of(ABOUT, TABLE, "short")
    members = replay.members
    assert len(members.names) == ABOUT["members"] == 300
    assert (members.limits.violations(members.tables.costs(members.listed)) <= 0).all()
    assert TABLE.accuracy.dropna().between(0, 1).all()
    assert not TABLE.duplicated(["member", "kind", "seed"]).any()


def test_a_pick_is_judged_by_the_training_that_did_not_choose_it():
    noise = TABLE[TABLE.kind == "short"].copy()
    noise["accuracy"] = np.random.default_rng(0).normal(0.3, 0.02, size=len(noise))  # members are all alike
    replay = replay_of(ABOUT, pd.concat([noise, noise.assign(kind="full")]), "short")
    places, seeds, scores = replayed(replay, "evolution", 0)
    assert len(set(places.tolist())) == len(places)
    assert np.array_equal(scores, replay.scores[places, 1 - seeds])
    mean, error = replay.judged(places, seeds)
    assert abs(mean) < 3 * error
    assert scores.max() > 5 * error  # the best of many is the best by luck


def test_a_table_without_noise_says_what_the_best_member_is_worth():
    sure = TABLE[TABLE.kind == "short"].copy()
    sure["accuracy"] = sure.groupby("member").accuracy.transform("mean")
    replay = replay_of(ABOUT, pd.concat([sure, sure.assign(kind="full")]), "short")
    assert np.isclose(replay.variances[0], 0)
    assert np.isclose(replay.best, replay.scores.max())
