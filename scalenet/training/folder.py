"""A training in a folder, which goes on where it stopped.

The folder holds `config.yaml` (the network as it is trained), `recipe.yaml`, `environment.json` (the plan that the
weights follow from, and what they were trained with), `checkpoints/`, `log.csv` (a line an epoch), `curves.png`, with
TensorBoard installed `tensorboard/`, and at the end `model.safetensors`, `preprocessing.json` and `MODEL_CARD.md`.
"""

from __future__ import annotations

import csv
import io
import platform
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from scalenet._version import __version__
from scalenet.arch import strict_json, strict_yaml
from scalenet.arch.config import as_data, as_record, dumps
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import read_text, write_bytes, write_text
from scalenet.arch.results import Results
from scalenet.training.card import model_card
from scalenet.training.checkpoint import (
    About,
    Plan,
    checkpoints,
    read_checkpoint,
    write_checkpoint,
    write_weights,
)
from scalenet.training.decoding import some
from scalenet.training.progress import Listener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scalenet.training.loop import Training
    from scalenet.training.progress import Outcome, Progress

RESULTS = Results(
    "training",
    "environment.json",
    (
        "environment.json",
        "config.yaml",
        "recipe.yaml",
        "log.csv",
        "curves.png",
        "model.safetensors",
        "preprocessing.json",
        "MODEL_CARD.md",
        "checkpoints/step-*.safetensors",
        "tensorboard/events.out.tfevents.*",
    ),
)
"""The files of a training."""

_ELSEWHERE = "give another folder with -o, or start afresh with --force"

_DRAW_EVERY = 10.0
"""Seconds between pictures of the curves, which take a few tenths of one; the end has one too."""

_COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "loss",
    "accuracy",
    "held_out_loss",
    "held_out_top1",
    "held_out_top5",
    "statistics_images",
    "images_per_second",
    "seconds",
)


def discard(folder: Path) -> None:
    """Remove a training's files from a folder, and nothing else that lies there."""
    RESULTS.discard(folder)


def recorded_plan(folder: Path) -> Plan | None:
    """Return the plan of the training that a folder holds, if it holds one."""
    file = RESULTS.recorded(folder)
    if file is None:
        return None
    try:
        data = strict_json.loads(read_text(file, str(file)))["plan"]
    except (ValueError, KeyError, TypeError):
        raise ScalenetError(f"{file}: is no training's, or damaged", hint="give another folder with -o") from None
    return as_record(Plan, data, str(file))


class Folder(Listener):
    """Keeps a training in a folder: checkpoints every so many steps and each epoch, logs each epoch."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        *,
        seen: int | None,
        every: int,
        force: bool,
        tell: Callable[[Progress], None],
        report: Callable[[dict[str, float]], None],
    ) -> None:
        """Open a folder for a plan, or raise ScalenetError where it holds another one, unless `force` discards that."""
        self.folder, self.plan, self.every, self.tell, self.report = folder, plan, every, tell, report
        self.seen, self.force, self.drawn = seen, force, time.monotonic()
        before = None if force else recorded_plan(folder)
        if before is not None and (changed := plan.differences(before)) and not plan.extends(before):
            raise ScalenetError(f"{folder} holds another training: {some(changed)} differ", hint=_ELSEWHERE)

    def begin(
        self,
        training: Training,
        *,
        command: str,
        found: dict[str, Any] | None = None,
        note: Callable[[str], None],
    ) -> None:
        """Go back to the newest sound checkpoint, and write what the training is, if this process leads.

        Raise ScalenetError, and write nothing, where there are checkpoints and none is of use.
        """
        if not self.force:
            self._restore(training, note)
        if training.world.leads:
            if self.force:
                discard(self.folder)
            _write_plan(self.folder, training, self.plan, command=command, found=found)

    def _restore(self, training: Training, note: Callable[[str], None]) -> None:
        damaged: list[ScalenetError] = []
        for file in checkpoints(self.folder / "checkpoints"):
            try:
                training.restore(read_checkpoint(file, self.plan))
            except ScalenetError as error:
                damaged.append(error)
                continue
            for skipped in damaged:
                note(f"{skipped.message}; it is left out")
            note(f"going on after step {training.step} of {training.steps}")
            return
        if damaged:
            raise ScalenetError(damaged[0].message, hint=_ELSEWHERE)

    def step(self, training: Training, progress: Progress) -> None:
        """Write a checkpoint now and then, and where a longer training would part; an epoch's last step has its own."""
        self.tell(progress)
        wanted = training.step % self.every == 0 or training.step == training.alike
        if wanted and training.batch < training.batches:
            self._keep(training)

    def epoch(self, training: Training) -> None:
        """Write a checkpoint, the log and the curves, and report the epoch's record."""
        self._keep(training)
        if training.world.leads:
            self._log(training)
            self.report(training.curve[-1])

    def finish(self, training: Training, outcome: Outcome) -> dict[str, Any]:
        """Write the weights and the model card; return the training's row of results."""
        if training.world.leads:
            self._draw(training)
            _write_outcome(self.folder, training, self.plan, outcome, self.seen)
        return _row(self.plan, outcome, self.seen)

    def newest(self) -> str:
        """Say which checkpoint there is to go back to."""
        found = checkpoints(self.folder / "checkpoints")
        return f"the newest checkpoint, {found[0].name}, is from before it" if found else "no checkpoint is older"

    def _keep(self, training: Training) -> None:
        state = training.state()
        if training.world.leads and state.sound:  # else an older checkpoint is worth more
            about = _about(training, self.plan)
            write_checkpoint(self.folder / "checkpoints", training.step, state, about, alike=self.plan.alike)

    def _log(self, training: Training) -> None:
        _write_log(self.folder, training)
        if time.monotonic() - self.drawn > _DRAW_EVERY:
            self._draw(training)
        if find_spec("tensorboard") is not None:
            _log_tensorboard(self.folder / "tensorboard", training.curve[-1])

    def _draw(self, training: Training) -> None:
        from scalenet.training.curves import curves_png  # noqa: PLC0415 - matplotlib is slow to import

        write_bytes(self.folder / "curves.png", curves_png(training.curve))
        self.drawn = time.monotonic()


def write_model(
    folder: Path, training: Training, plan: Plan, outcome: Outcome, *, command: str, found: dict[str, Any] | None
) -> None:
    """Write a training that ended elsewhere as one in a folder, without checkpoints and pictures; the weights last.

    Those of another training that lie there are removed first.
    """
    (folder / "model.safetensors").unlink(missing_ok=True)
    _write_plan(folder, training, plan, command=command, found=found)
    _write_log(folder, training)
    _write_outcome(folder, training, plan, outcome)


def _write_plan(folder: Path, training: Training, plan: Plan, *, command: str, found: dict[str, Any] | None) -> None:
    RESULTS.sweep(folder)
    # First what says that the folder is a training's: the other processes look for it.
    about = {"plan": as_data(plan), **_environment(training, command), "found": found}
    write_text(folder / "environment.json", strict_json.dumps(about, indent=2) + "\n")
    write_text(folder / "config.yaml", dumps(plan.config))
    write_text(folder / "recipe.yaml", strict_yaml.dump(as_data(plan.recipe)))


def _write_log(folder: Path, training: Training) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(training.curve)
    write_text(folder / "log.csv", text.getvalue())


def _write_outcome(folder: Path, training: Training, plan: Plan, outcome: Outcome, seen: int | None = None) -> None:
    scores = {name: value for name, value in outcome.scores.figures().items() if value is not None}
    about = _about(training, plan).changed(scores=scores)
    doubts = outcome.scores.doubts(plan.classes)
    write_text(folder / "preprocessing.json", about.preprocessing.text())
    write_text(folder / "MODEL_CARD.md", model_card(about, plan, _row(plan, outcome, seen), doubts))
    write_weights(folder / "model.safetensors", training.module.state_dict(), about)


def _about(training: Training, plan: Plan) -> About:
    mean, deviation = training.inputs.normalization
    return About(
        schema="scalenet-weights/1",
        plan=plan,
        mean=mean,
        deviation=deviation,
        interpolation=training.inputs.interpolation,
    )


def _log_tensorboard(folder: Path, record: dict[str, float]) -> None:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and slow to import

    with SummaryWriter(folder) as writer:
        for name, value in record.items():
            if name not in ("epoch", "step"):
                writer.add_scalar(name, value, int(record["step"]))


def _environment(training: Training, command: str) -> dict[str, Any]:
    device = training.device
    return {
        "command": command,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": training.world.size,
        "threads": torch.get_num_threads(),
        "versions": {"scalenet": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _row(plan: Plan, outcome: Outcome, seen: int | None) -> dict[str, Any]:
    scores = outcome.scores
    return {
        "data": plan.images.name,
        "classes": len(plan.classes),
        "train": plan.images.train,
        "held_out": len(scores),
        "seen": seen,
        **scores.figures(),
        "epochs": len(outcome.curve),
        "best_epoch": outcome.best_epoch,
        "statistics_images": outcome.statistics_images,
        "seconds": round(outcome.seconds, 1),
    }
