"""The model card: what a network is, what it was trained on and how, what it reaches, and what that does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data
from scalenet.arch.convention import CONVENTION
from scalenet.costs.formula import cost

if TYPE_CHECKING:
    from scalenet.training.checkpoint import About

_SHOWN = 20

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
| top-1 | {top1:.2f} % of {held_out:,} held-out images |
| top-5 | {top5:.2f} % |

## Use

    scalenet evaluate model.safetensors --data DIR

Pixels from 0 to 255 are normalised channel by channel with the means {mean} and standard deviations {deviation}; the
central {crop:g} of the image is evaluated. `config.yaml` describes the network, `model.safetensors` holds its weights.

## Training

```yaml
{recipe}```

{init}Seed {seed}. `environment.json` says with which versions and which command, `log.csv` how it went.

## Limits

The figures hold for these held-out images and one seed. {chosen} Nothing was done to find out how the network treats
images of other sources, or groups of people that the images show.

## Classes

{names}
"""


def model_card(about: About, row: dict[str, Any]) -> str:
    """Return the Markdown text of a model card; `row` is the training's row of results."""
    plan = about.plan
    model = plan.config.model
    counts = cost(model)
    rest = len(plan.classes) - _SHOWN
    return _CARD.format(
        name=plan.config.name,
        height=model.size[0],
        width=model.size[1],
        params=counts.params,
        flops=counts.flops,
        convention=CONVENTION,
        minival=f", and {plan.images.minival:,} that chose the epoch" if plan.images.minival else "",
        mean=_numbers(about.mean),
        deviation=_numbers(about.deviation),
        crop=plan.recipe.test_crop,
        recipe=strict_yaml.dump(as_data(plan.recipe)),
        init="" if plan.init is None else f"Started from the weights with {plan.init}. ",
        seed=plan.seed,
        chosen=(
            f"Epoch {row['best_epoch']} was chosen on other images."
            if row["best_epoch"]
            else "They were looked at after each epoch, but chose nothing."
        ),
        names=", ".join(plan.classes[:_SHOWN]) + (f" and {rest} more." if rest > 0 else "."),
        **row | {"top1": 100 * row["top1"], "top5": 100 * row["top5"]},
    )


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
