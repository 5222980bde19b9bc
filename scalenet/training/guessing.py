"""What a guess comes to, without looking at images."""

from __future__ import annotations

import math

_NEAR = 0.99


def guess_loss(classes: int) -> float:
    """Return the cross-entropy of taking all classes for equally probable, nats."""
    return math.log(classes)


def is_guess(loss: float, classes: int) -> bool:
    """Return whether a mean cross-entropy, nats, is as good as a guess's or worse; so is one that is not a number."""
    return classes > 1 and not loss < _NEAR * guess_loss(classes)
