"""Many trainings at once: a queue that long-lived processes take from, and a line a finished training in a file.

Whoever is killed loses what runs and nothing else: the next run skips what has a line.
"""

from __future__ import annotations

import json
import math
import queue
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import multiprocessing

from scalenet.model.builder import build
from scalenet.training.loop import Training
from scalenet.training.numerics import memory_format
from scalenet.training.progress import DivergedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scalenet.arch.config import Config
    from scalenet.arch.spec import Architecture
    from scalenet.training.data import Splits
    from scalenet.training.recipe import Recipe

PATIENCE = 0.2
"""Seconds to wait for a result before the processes are looked at."""


@dataclass(frozen=True)
class Wanted:
    """A training that is wanted: a network, the name of its images, a recipe and a seed; `kind` is what it is for."""

    task: str
    images: str
    kind: str
    network: str
    config: Config | Architecture
    recipe: Recipe
    seed: int

    @property
    def facts(self) -> dict[str, Any]:
        """What tells this training from others, as JSON has it."""
        return {
            "task": self.task,
            "kind": self.kind,
            "network": self.network,
            "seed": self.seed,
            "epochs": self.recipe.epochs,
            "optimizer": self.recipe.optimizer.kind,
            "rate": self.recipe.optimizer.lr,
        }

    @property
    def key(self) -> str:
        """The facts as one text."""
        return json.dumps(self.facts)


def finished(log: Path) -> list[dict[str, Any]]:
    """Return the trainings of a log; a last line that was cut off is not one."""
    if not log.exists():
        return []
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def done(wanted: Sequence[Wanted], log: Path) -> list[dict[str, Any]]:
    """Return those of the wanted trainings that the log has."""
    keys = {one.key for one in wanted}
    return [record for record in finished(log) if _key(record) in keys]


def train_all(
    wanted: Sequence[Wanted],
    images: Mapping[str, Splits],
    log: Path,
    *,
    device: str,
    processes: int,
    seconds: float | None = None,
) -> list[dict[str, Any]]:
    """Train in the given order what the log does not have yet, and return the log's records of all that is wanted.

    After so many `seconds` none is begun any more; with 0, none at all.
    """
    known = {_key(record) for record in finished(log)}
    left = [one for one in wanted if one.key not in known]
    if left and seconds != 0:
        _mend(log)
        began = time.monotonic()
        with log.open("a", encoding="utf-8") as file:
            for count, record in enumerate(_trained(left, images, device, min(processes, len(left)), seconds), start=1):
                file.write(json.dumps(record) + "\n")
                file.flush()
                if count % max(1, len(left) // 100) == 0 or record["accuracy"] is None:
                    print(f"{time.monotonic() - began:6.0f} s  {count} of {len(left)}  {_line(record)}", flush=True)
    return done(wanted, log)


def _key(record: Mapping[str, Any]) -> str:
    return json.dumps(
        {name: record[name] for name in ("task", "kind", "network", "seed", "epochs", "optimizer", "rate")}
    )


def _line(record: Mapping[str, Any]) -> str:
    accuracy = "diverged" if record["accuracy"] is None else f"{100 * record['accuracy']:.1f} %"
    return f"{record['task']} {record['kind']} {record['network']} seed {record['seed']}: {accuracy}"


def _mend(log: Path) -> None:
    """Cut off a last line that is not whole."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        text = log.read_bytes()
        log.write_bytes(text[: text.rfind(b"\n") + 1])


def _trained(
    left: Sequence[Wanted], images: Mapping[str, Splits], device: str, processes: int, seconds: float | None
) -> Iterator[dict[str, Any]]:
    """Yield a record for each training, in the order in which they end."""
    context = multiprocessing.get_context("spawn")
    jobs, results, late = context.Queue(), context.Queue(), context.Event()
    for one in [*left, *[None] * processes]:
        jobs.put(one)
    crew = [context.Process(target=_work, args=(jobs, results, late, dict(images), device)) for _ in range(processes)]
    for process in crew:
        process.start()
    end = math.inf if seconds is None else time.monotonic() + seconds
    at_work = True
    try:
        while at_work:
            at_work = any(process.is_alive() for process in crew)  # looked at before what they left is taken
            if time.monotonic() > end:
                late.set()
            while (record := _next(results)) is not None:
                if "error" in record:
                    print(record["error"], file=sys.stderr, flush=True)
                else:
                    yield record
    finally:
        jobs.cancel_join_thread()
        for process in crew:
            process.kill()


def _next(results: Any) -> dict[str, Any] | None:
    """Return the next record, or None where there is none for a while."""
    try:
        record: dict[str, Any] = results.get(timeout=PATIENCE)
    except queue.Empty:
        return None
    return record


def _work(jobs: Any, results: Any, late: Any, images: Mapping[str, Splits], device: str) -> None:
    """Train what the queue holds until it says None, or it is late."""
    torch.set_num_threads(1)
    while (one := jobs.get()) is not None and not late.is_set():
        try:
            results.put(one.facts | train(one, images[one.images], device))
        except Exception as error:  # one training that fails is no reason to lose the others
            results.put({"error": f"{one.key}: {type(error).__name__}: {error}"})


def train(one: Wanted, splits: Splits, device: str) -> dict[str, Any]:
    """Train once, as `scalenet grid-search` does, judged on all held-out images after every epoch."""
    began = time.monotonic()
    torch.manual_seed(one.seed)
    model, recipe = one.config.model, one.recipe
    module = build(recipe.applied(model), classes=len(splits.classes)).to(device)
    layout = memory_format(recipe, model, module)
    training = Training(module, splits, recipe=recipe, resolution=model.size, seed=one.seed, layout=layout)
    accuracy = loss = None
    try:
        found = training.run().scores
        accuracy, loss = found.top1, found.loss
    except DivergedError:
        pass
    scores = ("loss", "held_out_top1", "held_out_loss")
    curve = [[round(epoch[name], 6) for name in scores if name in epoch] for epoch in training.curve]
    return {
        "accuracy": accuracy,
        "loss": loss,
        "curve": curve,
        "images": training.images,
        "seconds": round(time.monotonic() - began, 2),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "CPU",
        "torch": torch.__version__,
    }
