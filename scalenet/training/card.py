"""The model card: what a network is, what it was trained on and how, what it reaches, and what that does not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data
from scalenet.arch.convention import CONVENTION
from scalenet.arch.plain import plain
from scalenet.costs.network import cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalenet.training.checkpoint import About, Plan

_SHOWN = 20
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$@<>&:.=-])")

_CARD = """\
# {name}, trained on {data}

| | |
|---|---|
| input | {height} × {width} px, RGB |
| parameters | {params:,} |
| FLOPs | {flops:,} ({convention}) |
| classes | {classes} |
| training images | {train:,}{minival} |
| epochs | {epochs} |
{figures}

## Use

    scalenet evaluate model.safetensors --data DIR

Pixels from 0 to 255 are normalised channel by channel with the means {mean} and standard deviations {deviation}; the
central {crop:g} of the image is evaluated. `config.yaml` describes the network, `model.safetensors` holds its weights.

## Training

```yaml
{recipe}```

{init}Seed {seed}. {statistics} `environment.json` says with which versions and which command, `log.csv` how it went.

## Limits

{doubts}{seen}The figures hold for these held-out images and one seed. {chosen} Nothing was done to find out how the
network treats images of other sources, or groups of people that the images show.

## Classes

{names}
"""


def model_card(about: About, plan: Plan, row: dict[str, Any], doubts: Sequence[str] = ()) -> str:
    """Return the Markdown text of a model card.

    `row` is the training's row of results, and `doubts` are what speaks against them.
    """
    model = plan.config.network
    counts = cost(model)
    return _CARD.format(
        name=literal(plan.config.name),
        data=literal(row["data"]),
        height=model.size[0],
        width=model.size[1],
        params=counts.params,
        flops=counts.flops,
        convention=CONVENTION,
        classes=row["classes"],
        train=row["train"],
        minival=f", and {plan.images.minival:,} that chose the epoch" if plan.images.minival else "",
        epochs=row["epochs"],
        figures=_figures(row),
        mean=_numbers(about.mean),
        deviation=_numbers(about.deviation),
        crop=plan.recipe.test_crop,
        recipe=strict_yaml.dump(as_data(plan.recipe)).replace("```", "'''"),
        init="" if plan.init is None else f"Started from the weights with {plan.init}. ",
        seed=plan.seed,
        statistics=_statistics(row["statistics_images"]),
        doubts="".join(f"**{literal(line[0].upper() + line[1:])}.** " for line in doubts),
        seen=_seen(row),
        chosen=(
            f"Epoch {row['best_epoch']} was chosen on other images."
            if row["best_epoch"]
            else "They were looked at after each epoch, but chose nothing."
        ),
        names=_names(plan),
    )


def literal(text: str) -> str:
    """Return Markdown that shows a text as it is: on one line, and neither markup nor HTML nor a link."""
    return _SPECIAL.sub(r"\\\1", plain(text)).replace(r"\<", "&lt;").replace(r"\>", "&gt;").replace(r"\&", "&amp;")


def _figures(row: dict[str, Any]) -> str:
    lines = [f"| top-1 | {100 * row['top1']:.2f} % of {row['held_out']:,} held-out images |"]
    if row["top5"] is not None:
        lines.append(f"| top-5 | {100 * row['top5']:.2f} % |")
    return "\n".join(lines)


def _seen(row: dict[str, Any]) -> str:
    if not row["seen"]:
        return ""
    share = f"{row['seen']:,} of the {row['held_out']:,} held-out images"
    return f"**{share} were training images of the weights that it started from.** "


def _statistics(images: int) -> str:
    if images:
        return f"The batch-norm statistics were estimated at the end, from {images:,} training images."
    return "The batch-norm statistics are the running ones of the training."


def _names(plan: Plan) -> str:
    rest = len(plan.classes) - _SHOWN
    return ", ".join(map(literal, plan.classes[:_SHOWN])) + (f" and {rest} more." if rest > 0 else ".")


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
