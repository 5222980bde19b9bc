"""The replay of strategies: what the oracle allots."""

from __future__ import annotations

import numpy as np
from search import allotted


def test_the_oracle_trains_everybody_and_more_those_that_keep_its_bound_wide():
    counts = allotted(np.array([3.0, 2.9, 2.8, 0.0, -2.0]), np.ones(5), 17)
    assert counts.sum() == 17
    assert counts[0] > counts[1] >= counts[2] > counts[3] == counts[4] == 1
    assert allotted(np.zeros(4), np.ones(4), 4).tolist() == [1, 1, 1, 1]
