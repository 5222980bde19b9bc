"""The images of a search, what trains on them, and what scores a network by them without training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.search.plan import Images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.search.asked import Asked
    from scalenet.search.evaluators import Evaluator
    from scalenet.search.setting import Bar, Setting
    from scalenet.search.space.candidates import Candidate
    from scalenet.training.data import Splits


def read_images(setting: Setting, copies: int, *, say: Callable[[str], None], bar: Bar) -> Splits:
    """Read or render the images once, at the largest network's size, or their own where that is smaller.

    They are held `copies` times: each worker has them at its network's resolution.
    """
    from scalenet.training.data import embedded_splits, read  # noqa: PLC0415
    from scalenet.training.embedded import rendered_size  # noqa: PLC0415
    from scalenet.training.folds import check_folds  # noqa: PLC0415
    from scalenet.training.sources import native_size  # noqa: PLC0415

    source = setting.source
    largest = max(max(model.size) for model in setting.models)
    if source is None:
        size = rendered_size(largest)
        return embedded_splits(size=size, train=setting.train_images(), validation=setting.held_out())
    splits = read(
        setting.selection,
        size=min(largest, native_size(source)),
        copies=copies,
        strict=setting.request.strict,
        progress=lambda done, total: bar("reading images", done, total),
    )
    if setting.request.folds is not None:
        check_folds(splits, setting.request.folds)
    for line in splits.skipped:
        say(f"skipped {line}")
    return splits


def images_of(setting: Setting, splits: Splits) -> Images:
    """Return what a plan says of images, and of their folds if they have such."""
    from scalenet.training.data import chance  # noqa: PLC0415

    return Images(
        name=splits.name,
        digest=splits.digest,
        train=len(splits.train),
        validation=len(splits.validation),
        classes=len(splits.classes),
        drawn=splits.drawn,
        folds=setting.request.folds,
        fitted=setting.fitted,
        chance=round(chance(splits), 6),
    )


def trainers(setting: Setting, devices: Sequence[str], splits: Splits) -> list[Evaluator]:
    """Return scalenet's own training on each worker's device."""
    from scalenet.search.evaluators.train import Folds, Train  # noqa: PLC0415 - brings torch

    assert setting.recipe is not None
    folds = None if setting.request.folds is None else Folds(setting.request.folds, setting.request.seed)
    threads, keeps, kept = setting.request.threads, setting.keeps_answers, setting.kept
    return [
        Train(splits, setting.recipe, device, threads, folds=folds, keeps_answers=keeps, kept=kept)
        for device in devices
    ]


def scorer(
    asked: Asked, splits: Splits | None, say: Callable[[str], None]
) -> Callable[[Candidate], dict[str, float | None]]:
    """Return what computes a candidate's training-free scores, on training images where they are known, and says so."""
    from scalenet.model.threads import on_threads  # noqa: PLC0415 - brings torch
    from scalenet.search.space.proxies import sample, scores  # noqa: PLC0415

    seed, threads = asked.request.seed, asked.request.threads

    def score(candidate: Candidate) -> dict[str, float | None]:
        model = candidate.config.model
        with on_threads(threads):
            images = None if splits is None else sample(splits.train, model.size, seed=seed)
            found = scores(model, seed=seed, images=images)
        told = (f"{name} {'–' if value is None else f'{value:.4g}'}" for name, value in found.items())
        say(f"{candidate.name}: {', '.join(told)}")
        return found

    return score
