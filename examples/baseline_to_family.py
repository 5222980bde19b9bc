# %% [markdown]
# # From a baseline to a family
#
# A small network of one's own, what it costs, which α, β, γ suit it on one's own images, and networks of several
# budgets that follow from them. Run the cells in an editor that knows `# %%`, or all of them with `python
# baseline_to_family.py`.

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import scalenet

folder = Path("runs/baseline_to_family")

# %% [markdown]
# ## Images
#
# A folder that holds one folder of images a class is all that is needed. These four classes are drawn here: bars that
# lie, stand, rise and fall, in noise.


# %%
def bars(kind: str, count: int, size: int = 20) -> None:
    """Write images of one class."""
    random = np.random.default_rng(len(kind))
    rows, columns = np.mgrid[:size, :size]
    lines = {"lying": rows, "standing": columns, "rising": rows + columns, "falling": rows - columns + size}
    place = folder / "images" / kind
    place.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        bright = (lines[kind] + random.integers(8)) // 4 % 2
        colour = random.uniform(0.3, 1, 3)
        pixels = bright[:, :, None] * colour * 120 + random.uniform(0, 110, (size, size, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:03}.png")


for name in ("lying", "standing", "rising", "falling"):
    bars(name, 60)

# %% [markdown]
# ## A baseline
#
# A network is data: a YAML text as good as a file. Registered under its name, it is taken wherever a network is.

# %%
baseline = scalenet.register_baseline(
    """
schema: scalenet/1
name: tiny_net
baseline: {rounding: fine}
model:
  resolution: 16
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 8, kernel: 3, stride: 1}
  stages:
  - {block: basic, depth: 1, width: 8}
  - {block: basic, depth: 1, width: 16, stride: 2}
  head: {kind: linear, classes: 4}
"""
)
cost = scalenet.cost("tiny_net")
print(f"{cost.flops:,} multiply-adds, {cost.params:,} parameters")
print(cost.frame("stage").to_string(index=False))

# %% [markdown]
# ## What scaling costs
#
# The rule says d · w² · r². A network says otherwise: depths, widths and sizes are whole numbers, and stem and head
# scale in their own way. A hundred thousand candidates are one call, with the cost that each of them really has.

# %%
random = np.random.default_rng(0)
depth, width, resolution = random.uniform(1, 2, (3, 100_000))
many = scalenet.cost("tiny_net", depth=depth, width=width, resolution=resolution)
real, nominal = many.flops / cost.flops, depth * width**2 * resolution**2
ratios = pd.Series(real / nominal, name="real cost / d·w²·r²")
print(ratios.describe(percentiles=[0.05, 0.5, 0.95]).round(3).to_string())
print(pd.DataFrame(scalenet.exponents("tiny_net")).query("cost == 'flops'").round(3).to_string(index=False))

# %% [markdown]
# ## Which coefficients?
#
# STEP 1 trains candidates that cost about twice the baseline, and says which it cannot tell from the best. A few
# seconds of training tell little apart, and the answer says so: more images, epochs and seeds tell more.

# %%
search = scalenet.grid_search(
    "tiny_net",
    data=folder / "images",
    held_out=0.25,
    grid="small",
    recipe="small_images",
    epochs=3,
    seeds=2,
    batch_size=32,
    workers=1,
    folder=folder / "search",
)
print(search.candidates()[["name", "alpha", "beta", "gamma", "flops_ratio"]].to_string(index=False))

# %%
search.run()
print(search.results().head(5).to_string(index=False))
print(*search.answer.sentences, sep="\n")

# %% [markdown]
# The extra FLOPs of each candidate are shares of depth, width and resolution: a point of a triangle.

# %%
triangle = search.plot("shares")
accuracy = search.plot("cost")
for plot in (triangle, accuracy):
    plot.figure.savefig(folder / f"{plot.name}.png")

# %% [markdown]
# ## A family
#
# STEP 2 scales the baseline along α^φ, β^φ, γ^φ: by φ, or to budgets, which are met within a percent.

# %%
answer = search.answer
family = scalenet.family("tiny_net", coefficients=answer, flops=["2x", "4x", "8x"])
members = pd.DataFrame(
    {
        "name": config.name,
        "resolution": config.model.resolution,
        "flops": config.cost.flops,
        "times": round(config.cost.flops / cost.flops, 3),
        "params": config.cost.params,
    }
    for config in family
    if config.cost is not None
)
print(members.to_string(index=False))

# %% [markdown]
# Each file is complete: the network is rebuilt from it without this program, and `verify` counts and scales it again.

# %%
for config in family:
    scalenet.save(config, folder / f"{config.name}.yaml")
largest = folder / f"{family[-1].name}.yaml"
print(largest.read_text(encoding="utf-8"))
assert scalenet.verify(largest) == []

# %% [markdown]
# And it trains.

# %%
module = scalenet.build(largest)
print(sum(parameter.numel() for parameter in module.parameters()), "parameters")
result = scalenet.train(
    largest,
    folder / "images",
    recipe="small_images",
    epochs=10,
    batch_size=32,
    folder=folder / "trained",
)
print(result)
print(scalenet.evaluate(folder / "trained", folder / "images").frame().to_string(index=False))
