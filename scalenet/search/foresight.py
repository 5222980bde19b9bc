"""What a search will tell, by how many images are held out: said before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.search.answer.forecast import LIKELY, forecast
from scalenet.search.answer.noise import training_noise
from scalenet.search.answer.sentences import blunt_sentence, forecast_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.search.asked import Asked


def foresight(asked: Asked, share: float = 1.0) -> Iterator[str]:
    """Yield what differences will be seen, in words, if a race trains this share of its cap.

    Nothing where only the evaluator knows how many images are held out.
    """
    if asked.recipe is None or len(asked.candidates) < 2:
        return
    expected, scored = _forecast(asked, asked.held_out(), share), asked.objective.goal != "accuracy"
    yield f"{forecast_sentence(expected, scored=scored)} if networks get 50 % right, and smaller ones otherwise"
    yield from blunt(asked, share)


def blunt(asked: Asked, share: float = 1.0) -> Iterator[str]:
    """Yield that the held-out images are too few to tell candidates apart, where they are, and what folds would do."""
    if asked.recipe is None or asked.source is None or len(asked.candidates) < 2:
        return
    expected = _forecast(asked, asked.held_out(), share)
    if expected > LIKELY:
        yield blunt_sentence(asked.held_out(), expected, _better_folds(asked, expected, share))


def _better_folds(asked: Asked, expected: float, share: float) -> tuple[int, int, float] | None:
    """Return how many folds would tell more, of how many images, and the forecast then; None where none would."""
    chosen, request = asked.selection, asked.request
    if chosen.drawn is None or request.folds is not None:
        return None
    classes = zip(chosen.train.values(), chosen.validation.values(), strict=True)
    folds = min([request.seeds, *(len(train) + len(held_out) for train, held_out in classes)])
    if folds < 2:
        return None
    better = _forecast(asked, len(chosen) // folds, share)
    return (folds, len(chosen), better) if better < expected else None


def _forecast(asked: Asked, held_out: int, share: float) -> float:
    """Return the forecast at the accuracy with the most noise."""
    return forecast(asked.schedule(), len(asked.candidates), training_noise(held_out), share)
