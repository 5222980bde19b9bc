"""Transfer: trained models fine-tuned on other images, each at rates chosen for it (paper, section 5.3, Table 5)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.arch import strict_json, strict_yaml
from scalenet.arch.config import as_data
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.files import append_text, read_text, write_bytes, write_text
from scalenet.arch.results import Results, check_folder
from scalenet.arch.validation import at_least
from scalenet.arch.words import count, duration, hush, number, tell, times
from scalenet.costs.network import cost
from scalenet.studies import latex
from scalenet.studies.maps import interval, names_apart
from scalenet.training.calls import decoders, train
from scalenet.training.checkpoint import Trained, read_trained
from scalenet.training.data import CONTENTS, names_of, stakes
from scalenet.training.progress import DivergedError
from scalenet.training.recipe import asked_recipe
from scalenet.training.redrawing import seen_of, told_seen
from scalenet.training.selection import HELD_OUT, select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from scalenet.arch.spec import Buildable
    from scalenet.training.recipe import Recipe
    from scalenet.training.selection import Selection
    from scalenet.training.sources import Source

RESULTS = Results("transfer", "transfer.yaml", ("transfer.*", "trainings.jsonl"))
RATES = (1 / 3, 1.0, 3.0)
"""Of the recipe's learning rate."""

DECAYS = (1.0, 10.0)
"""Of the recipe's weight decay."""

PART = 0.1
"""Of the training images choose between them: as much as a recipe's minival may have."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A learning rate and a weight decay."""

    learning_rate: float
    weight_decay: float

    @property
    def changes(self) -> dict[str, float]:
        """The keys of the recipe."""
        return {"optimizer.lr": self.learning_rate, "optimizer.weight_decay": self.weight_decay}

    def __str__(self) -> str:
        return f"learning rate {self.learning_rate:.3g}, weight decay {self.weight_decay:.3g}"


@dataclass(frozen=True, slots=True, eq=False)
class Transfers:
    """What came of fine-tuning: `trainings` has a row a training, `models` and `data` are names, the first a reference.

    A row has `data`, `model`, `learning_rate`, `weight_decay`, `seed` (None where it chose the other two), `accuracy`
    (top-1 on held-out images; None where it diverged), and for those that chose `loss` on the part of the training
    images that choose. `params` are those of each model without its classifier, as the paper counts them (footnote of
    Table 5), and `flops` those for one image. `seen` is how many of a data set's held-out images a model was trained on
    before, None where it had other images.
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    params: dict[str, int]
    flops: dict[str, int]
    trainings: tuple[dict[str, Any], ...]
    seen: dict[tuple[str, str], int | None] = field(default_factory=dict)

    def accuracies(self, data: str, model: str) -> dict[int, float]:
        """Return top-1 by seed; a training that diverged is right by chance alone, and counts as 0."""
        rows = [row for row in self.trainings if (row["data"], row["model"]) == (data, model)]
        return {row["seed"]: row["accuracy"] or 0.0 for row in rows if row["seed"] is not None}

    def table(self) -> list[dict[str, Any]]:
        """Return Table 5, a row a data set and model.

        `accuracy` is the mean over seeds, `interval` half of its 95 % interval (Student's t), `gain` the mean
        difference to the first model with the same seeds and `gain_interval` half of its interval. `params_ratio` and
        `flops_ratio` are the first model's over this one's.
        """
        return [self._row(data, model) for data in self.data for model in self.models]

    def _row(self, data: str, model: str) -> dict[str, Any]:
        first = self.models[0]
        found, reference = self.accuracies(data, model), self.accuracies(data, first)
        seeds = sorted(found.keys() & reference.keys())
        own = np.array([found[seed] for seed in seeds])
        mean, half = interval(own)
        gain, gain_half = interval(own - np.array([reference[seed] for seed in seeds]))
        last = [row for row in self.trainings if (row["data"], row["model"]) == (data, model)][-1]
        return {
            "data": data,
            "model": model,
            "accuracy": mean,
            "interval": half,
            "gain": None if model == first else gain,
            "gain_interval": None if model == first else gain_half,
            "seeds": len(seeds),
            "seen": self.seen.get((data, model)),
            "params": self.params[model],
            "params_ratio": self.params[first] / self.params[model],
            "flops": self.flops[model],
            "flops_ratio": self.flops[first] / self.flops[model],
            "learning_rate": last["learning_rate"],
            "weight_decay": last["weight_decay"],
        }

    def means(self) -> list[dict[str, Any]]:
        """Return a row a model over all data sets: the mean accuracy, and the geometric mean of its errors' ratios.

        `error_ratio` is this model's error over the first one's, `smaller` how many times fewer parameters it has.
        """
        first = self.models[0]
        rows = []
        for model in self.models:
            ratios = [self._error(data, model) / self._error(data, first) for data in self.data]
            rows.append(
                {
                    "model": model,
                    "accuracy": float(np.mean([1 - self._error(data, model) for data in self.data])),
                    "error_ratio": float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-12))))),
                    "params": self.params[model],
                    "smaller": self.params[first] / self.params[model],
                }
            )
        return rows

    def _error(self, data: str, model: str) -> float:
        """Return the mean error, half an image's worth at least."""
        return max(1e-6, 1 - float(np.mean([*self.accuracies(data, model).values()])))

    def save(self, folder: str | Path) -> list[Path]:
        """Write Table 5 as `transfer.csv` and `.tex`, and Figure 6 as `.svg`, `.pdf` and `.png`; return their paths."""
        from scalenet.report.columns import style  # noqa: PLC0415 - matplotlib is slow to import
        from scalenet.report.figures import written  # noqa: PLC0415
        from scalenet.studies.transfer_plot import figure_of  # noqa: PLC0415

        place = Path(folder)
        write_text(place / "transfer.csv", self.frame().to_csv(index=False, lineterminator="\n"))
        write_text(place / "transfer.tex", self._latex())
        with style():
            drawn = figure_of(self)
            for form in ("svg", "pdf", "png"):
                write_bytes(place / f"transfer.{form}", written(drawn, form))
        return [place / f"transfer.{form}" for form in ("csv", "tex", "svg", "pdf", "png")]

    def _latex(self) -> str:
        heads = ("Data", "Model", "Top-1, %", "±", "Parameters", "Ratio")
        rows = [
            (
                row["data"],
                row["model"],
                f"{100 * row['accuracy']:.1f}",
                "–" if row["interval"] is None else f"{100 * row['interval']:.1f}",
                count(row["params"]),
                times(row["params_ratio"]),
            )
            for row in self.table()
        ]
        return latex.table("Top-1 on other images; parameters without the classifier.", heads, rows, words=2)

    def frame(self) -> pd.DataFrame:
        """Return `table` as a table."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.table())


def transfer(
    models: Sequence[str | Path | Trained],
    data: Sequence[str | Path],
    *,
    folder: str | Path = "runs/transfer",
    recipe: str | Path | Recipe = "finetune",
    changes: Mapping[str, Any] | Sequence[str] = (),
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rates: Sequence[float] | None = None,
    weight_decays: Sequence[float] | None = None,
    seeds: int = 3,
    images: int | None = None,
    held_out: float = HELD_OUT,
    device: str | None = None,
    workers: int | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> Transfers:
    """Fine-tune models, folders of trainings or files of weights, on folders of images, and compare them.

    For each model and data set a learning rate and a weight decay are chosen by the loss on a tenth of the training
    images, one training each: `learning_rates` are by default a third, once and three times the recipe's,
    `weight_decays` once and ten times its. Then so many `seeds` train on all training images, and are judged on the
    held-out ones, which chose nothing: the data's own, or the share `held_out`, the same for all.

    Each training is kept in `folder`, and the same call goes on where it stopped. `changes` of the recipe are as
    `train` takes them; `images` keeps that many training images. `say` hears each training and the time left.

    Raise ScalenetError for what is asked wrongly, before anything is trained, and RunError where all of a model's
    trainings diverge.
    """
    hear, place = say or hush, Path(folder)
    base = asked_recipe(recipe, changes, epochs=epochs, batch_size=batch_size, learning_rate=None)
    trained = [one if isinstance(one, Trained) else read_trained(one) for one in models]
    if not trained:
        raise ScalenetError("no model is given", hint="give the folder of a training, or of an import")
    selections = _selections(data, held_out, hear)
    sources = [_with_held_out(one) for one in selections]
    names = names_apart(trained)
    known = {name: one.about.plan.config.network for name, one in zip(names, trained, strict=True)}
    params = {name: params_of_body(network) for name, network in known.items()}
    flops = {name: int(cost(network).flops) for name, network in known.items()}
    rates = learning_rates or [base.optimizer.lr * factor for factor in RATES]
    decays = weight_decays or [base.optimizer.weight_decay * factor for factor in DECAYS]
    settings = tuple(Setting(rate, decay) for rate in rates for decay in decays)
    plan = {
        "schema": "scalenet-transfer/1",
        "models": {name: one.digest for name, one in zip(names, trained, strict=True)},
        "data": [source.name for source in sources],
        "digests": {one.name: names_of(one, CONTENTS) for one in selections},
        "recipe": as_data(base),
        "learning_rates": [*rates],
        "weight_decays": [*decays],
        "images": images,
        "held_out": held_out,
    }
    _begin(place, plan, force=force)
    seen = dict[tuple[str, str], int | None]()
    for chosen in selections:
        for name, one in zip(names, trained, strict=True):
            seen[chosen.name, name] = seen_of(chosen, one.about.training)
            for line in told_seen(seen[chosen.name, name], chosen, one):
                hear(line)
    options = {"images": images, "device": device, "workers": decoders(workers)}
    work = _Work(
        place, base, options, hear, total=len(trained) * len(sources) * (len(settings) + at_least(1, seeds=seeds))
    )
    for source in sources:
        for name, one in zip(names, trained, strict=True):
            work.model(source, name, one, settings, seeds)
    return Transfers(
        models=tuple(names),
        data=tuple(source.name for source in sources),
        params=params,
        flops=flops,
        trainings=tuple(work.rows(names, sources, seeds)),
        seen=seen,
    )


def params_of_body(network: Buildable) -> int:
    """Return the parameters of a network without those that each class adds."""
    two, three = (cost(network.with_classes(classes)).params for classes in (2, 3))
    return int(3 * two - 2 * three)


def _selections(data: Sequence[str | Path], held_out: float, hear: Callable[[str], None]) -> list[Selection]:
    """Return the images of each folder, with held-out ones: its own, or a share that is drawn once."""
    if not data:
        raise ScalenetError("no images are given", hint="give a folder of images with --data")
    found = []
    for one in data:
        found.append(select(find_source(Path(one)), seed=0, fraction=held_out))
        hear(stakes(found[-1]))
    twice = [name for name, count in Counter(chosen.name for chosen in found).items() if count > 1]
    if twice:
        raise ScalenetError(
            f"two folders of images are called {twice[0]}", hint="rename one, or compare them one by one"
        )
    return found


def _with_held_out(chosen: Selection) -> Source:
    return replace(chosen.source, train=chosen.train, held_out=chosen.validation)


def _begin(folder: Path, plan: dict[str, Any], *, force: bool) -> None:
    """Write what is done in a folder, or refuse it where something else was."""
    check_folder(folder)
    if force:
        RESULTS.discard(folder)
    file, text = folder / RESULTS.record, strict_yaml.dump(plan)
    if RESULTS.recorded(folder) is None:
        write_text(file, text)
        return
    before = read_text(file, str(file))
    if "\ndigests:" not in before:  # of an earlier version, which knew images by their folder's name
        text = strict_yaml.dump({key: value for key, value in plan.items() if key != "digests"})
    if before != text:
        lines = zip(before.splitlines(), text.splitlines(), strict=False)
        old, new = next(((old.strip(), new.strip()) for old, new in lines if old != new), ("more", "less"))
        what = f"{old!r} there, {new!r} here"
        if old.startswith("digests:"):
            others = [name for name, digest in plan["digests"].items() if digest not in old]
            what = f"images.digest of {', '.join(others or plan['data'])} differ"
        hint = "give another folder with -o, or begin anew with --force"
        raise ScalenetError(f"{folder} holds another transfer: {what}", hint=hint)


class _Work:
    """Trains what a folder does not know yet, and remembers it."""

    def __init__(
        self, folder: Path, recipe: Recipe, options: dict[str, Any], hear: Callable[[str], None], *, total: int
    ) -> None:
        self.folder, self.recipe, self.options, self.hear, self.total = folder, recipe, options, hear, total
        self.log = folder / "trainings.jsonl"
        self.known = {_key(row): row for row in _logged(self.log)}
        self.done, self.trained, self.began = 0, 0, time.monotonic()

    def model(self, source: Source, name: str, init: Trained, settings: tuple[Setting, ...], seeds: int) -> None:
        """Choose a setting for a model and a data set, and train the seeds with it."""
        tried = [self.training(source, name, init, setting, None) for setting in settings]
        best = _best(tried, f"{name} on {source.name}")
        chosen = Setting(best["learning_rate"], best["weight_decay"])
        rates = sorted({setting.learning_rate for setting in settings})
        if len(rates) > 1 and chosen.learning_rate in (rates[0], rates[-1]):
            which = "lowest" if chosen.learning_rate == rates[0] else "highest"
            self.hear(f"{source.name}, {name}: the {which} learning rate is best; a better one may lie beyond")
        for seed in range(seeds):
            self.training(source, name, init, chosen, seed)

    def training(self, source: Source, name: str, init: Trained, setting: Setting, seed: int | None) -> dict[str, Any]:
        """Return the record of a training, which is run where it is not known."""
        row: dict[str, Any] = {
            "data": source.name,
            "model": name,
            "learning_rate": setting.learning_rate,
            "weight_decay": setting.weight_decay,
            "seed": seed,
        }
        self.done += 1
        if _key(row) in self.known:
            return self.known[_key(row)]
        row |= self._run(source, name, init, setting, seed)
        append_text(self.log, strict_json.dumps(row) + "\n")
        self.known[_key(row)] = row
        self._tell(row, setting)
        return row

    def _run(self, source: Source, name: str, init: Trained, setting: Setting, seed: int | None) -> dict[str, Any]:
        choosing = seed is None
        limit = self.options["images"] or sum(map(len, source.train.values()))
        changes: dict[str, Any] = {**setting.changes, "patience": None, "minival": 0}
        if choosing:
            changes |= {"minival": max(2, int(PART * limit)), "evaluate_every": 1}
        which = f"{setting.learning_rate:.3g}-{setting.weight_decay:.3g}" if choosing else f"seed{seed}"
        place = self.folder / source.name / name / which
        try:
            result = train(
                init.about.plan.config,
                source,
                folder=place,
                recipe=self.recipe,
                changes=changes,
                init=init,
                seed=seed or 0,
                say=None,
                **self.options,
            )
        except DivergedError:
            return {"accuracy": None, "loss": None}
        loss = float(result.curve().held_out_loss.iloc[-1]) if choosing else result.loss
        return {"accuracy": None if choosing else result.top1, "loss": loss}

    def _tell(self, row: dict[str, Any], setting: Setting) -> None:
        self.trained += 1
        left = (time.monotonic() - self.began) / self.trained * (self.total - self.done)
        if row["loss"] is None:
            what = "diverged"
        elif row["seed"] is None:
            what = f"loss {row['loss']:.3f} on a part of the training images"
        else:
            what = f"{100 * row['accuracy']:.2f} % held out"
        which = str(setting) if row["seed"] is None else f"seed {row['seed']}"
        time_left = f", about {duration(left)} left" if self.done < self.total else ""
        self.hear(f"{self.done} of {self.total}: {row['data']}, {row['model']}, {which}: {what}{time_left}")

    def rows(self, names: list[str], sources: list[Source], seeds: int) -> Iterator[dict[str, Any]]:
        """Yield the records of what was asked for, in order."""
        for source in sources:
            for name in names:
                for row in self.known.values():
                    wanted = row["seed"] is None or row["seed"] < seeds
                    if wanted and (row["data"], row["model"]) == (source.name, name):
                        yield row


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("data", "model", "learning_rate", "weight_decay", "seed"))


def _logged(file: Path) -> list[dict[str, Any]]:
    """Return the records of a log; a last line that a kill cut short is left out."""
    found = []
    for line in read_text(file, str(file)).splitlines() if file.is_file() else ():
        try:
            found.append(strict_json.loads(line))
        except ValueError:
            continue
    return found


def _best(tried: list[dict[str, Any]], what: str) -> dict[str, Any]:
    sound = [row for row in tried if row["loss"] is not None and np.isfinite(row["loss"])]
    if not sound:
        raise RunError(f"{what}: {number(len(tried), 'training')} diverged", hint="give lower --learning-rates")
    return min(sound, key=lambda row: row["loss"])
