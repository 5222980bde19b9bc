"""`package.module:factory` wherever a baseline is named: scaled, counted, compared, trained, searched, locked."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from noisy_images import write_images
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import scalenet as library
from scalenet.arch.config import load_config
from scalenet.arch.errors import ScalenetError
from scalenet.checks.child import told
from scalenet.checks.targets import find_targets
from scalenet.studies.definition import Definition

CODE = """
import random
import torch
from noisy_images import write_images
from torch import nn

def plain(width=1.0, depth=1.0, classes=10, resolution=32):
    channels = round(48 * width)
    blocks = [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
              for _ in range(round(4 * depth))]
    body = nn.Sequential(*blocks)
    return nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), body, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(channels, classes))

def steps(width=1.0, depth=1.0, resolution=32):
    return nn.Sequential(*(nn.Conv2d(3 if k == 0 else 8 * round(2 * width), 8 * round(2 * width), 3, padding=1)
                           for k in range(round(2 * depth))))

def whole(width: int = 16, depth=2, resolution=32):
    return nn.Sequential(*(nn.Conv2d(3 if k == 0 else width, width, 3) for k in range(depth)))

class Reads(nn.Module):
    def __init__(self, width=1.0, depth=1.0, resolution=16):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.conv = nn.Conv2d(3, round(8 * width * depth), 3)

    def forward(self, images):
        return self.conv(images) if images.sum() >= 0 else self.conv(images) + 1

def smooth(width=1.0, depth=1.0, resolution=32): return nn.Conv2d(3, round(400 * width**2 * depth), 1)
def narrow(width=1.0, resolution=8): return nn.Conv2d(3, 3, 1)
def ignores(width=1.0, depth=1.0, resolution=8): return nn.Conv2d(3, round(8 * depth), 1)
def number(width=1.0, depth=1.0): return 3
def fails(width=1.0, depth=1.0): raise RuntimeError("no\\nsuch width")
def leaves(width=1.0, depth=1.0): raise SystemExit(3)
def shrinks(width=1.0, depth=1.0, resolution=32): return nn.Conv2d(3, round(600 / width**4 / depth), 3)
def draws(width=1.0, depth=1.0): return nn.Conv2d(3, random.randint(1, 10**6), 1)
def pair(width=1.0, depth=1.0, resolution=8): return nn.Bilinear(3, 3, 3)
def wide(width=1.0, depth=1.0, resolution=8): return nn.Sequential(nn.Flatten(), nn.Linear(5, 5))
def says(width=1.0, depth=1.0, classes=10, resolution=8):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes + 1))
module = nn.Conv2d(3, 3, 1)
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "ournets.py").write_text(CODE)
    return folder


@pytest.fixture
def here(code, monkeypatch):
    """Stand in a folder with the factories, whose import path is as before afterwards."""
    monkeypatch.chdir(code)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return code


@pytest.fixture
def scaled(here, scalenet, tmp_path):
    """Run `scalenet scale --base ournets:NAME …` and return the config that it writes."""

    def run(name, *words):
        file = tmp_path / f"{name}.yaml"
        result = scalenet("scale", "--base", f"ournets:{name}", *words, "-o", file, "--force")
        assert result.exit_code == 0, result.stderr
        return load_config(file)

    return run


def flops(module, size):
    """Return what torch's own counter says, which takes a multiply-add for two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2


def test_a_factory_is_scaled_to_a_call_that_costs_what_is_recorded(scaled):
    config = scaled("plain", "--depth", "2", "--width", "1.5", "--resolution", "1.25")
    assert config.factory.keywords() == {"width": 1.5, "depth": 2.0, "resolution": 40, "classes": 10}
    module = library.build(config)
    assert module[0].out_channels == 72
    assert len(module[1]) == 8
    assert config.cost.flops == flops(module, 40)
    assert config.cost.params == sum(parameter.numel() for parameter in module.parameters())
    assert library.verify(config) == []


@pytest.mark.parametrize("name", ["plain", "steps", "whole", "Reads"])
@pytest.mark.parametrize("target", ["2.5x", "0.6x"])
def test_a_budget_is_met_by_counting(scaled, name, target):
    config = scaled(name, "--flops", target, "--tolerance", "0.03")
    solution = config.scaling.solution
    assert solution.met
    assert abs(config.cost.flops / config.scaling.rule.value - 1) <= 0.03
    assert config.cost.flops == solution.achieved == flops(library.build(config), config.factory.size[0])
    assert library.verify(config) == []


def test_whole_numbers_stay_whole_and_others_are_handed_over(scaled):
    assert scaled("whole", "--width", "1.3", "--depth", "1.4").factory.keywords() == {
        **{"width": 21, "depth": 3},
        "resolution": 32,
    }
    assert scaled("steps", "--width", "1.3").factory.width == 1.3


def test_a_second_cost_is_a_ceiling(scaled):
    config = scaled("plain", "--flops", "4x", "--params", "2x", "--tolerance", "0.04")
    assert config.scaling.rule.metric == "params"
    assert config.cost.flops <= config.scaling.rule.ceilings["flops"]


def test_a_config_is_the_same_bytes_and_imports_nothing_when_it_is_read(scaled, tmp_path, monkeypatch):
    config = scaled("plain", "--phi", "1")
    text = (tmp_path / "plain.yaml").read_text()
    monkeypatch.delitem(sys.modules, "ournets")
    again = load_config(tmp_path / "plain.yaml")
    library.save(again, tmp_path / "again.yaml")
    assert (again, (tmp_path / "again.yaml").read_text()) == (config, text)
    assert "ournets" not in sys.modules
    assert str(tmp_path) not in text
    assert config.provenance.command.startswith("scalenet scale --base ournets:plain --phi 1 ")


def test_show_diff_cost_and_latency_take_it(here, scalenet, scaled, tmp_path):
    counted = scaled("plain", "--phi", "1").cost.flops
    file = tmp_path / "plain.yaml"
    rows = json.loads(scalenet("show", file, "--json").stdout)["stages"]
    assert sum(row["flops"] for row in rows) == counted
    assert json.loads(scalenet("cost", "ournets:plain", file, "--json").stdout)["networks"][1]["flops"] == counted
    costs = json.loads(scalenet("diff", "ournets:plain", file, "--json").stdout)["costs"]
    assert costs[0]["after"] == counted
    assert scalenet("latency", file, "--runs", "1", "--warmup", "1").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scale", "--base", "ournets:nope"], "ournets has no 'nope'"),
        (["scale", "--base", "ourmets:plain"], "no module 'ourmets'"),
        (["scale", "--base", "ournets:narrow"], "takes no argument 'depth'"),
        (["scale", "--base", "ournets:module"], "is Conv2d, not a factory"),
        (["scale", "--base", "ournets:number"], "gives int, not an nn.Module"),
        (["scale", "--base", "ournets:fails"], "cannot be made: RuntimeError: no such width"),
        (["scale", "--base", "ournets:leaves"], "cannot be made: SystemExit: 3"),
        (["scale", "--base", "ournets:draws"], "makes other tensors each time"),
        (["scale", "--base", "ournets:pair"], "cannot be run for 1x3x8x8"),
        (["scale", "--base", "ournets:wide"], "cannot be run for 1x3x8x8"),
        (["scale", "--base", "ournets:ignores", "--phi", "1"], "ignores width: 2 costs what 1 costs"),
        (["study", "table7", "--base", "ournets:ignores", "--evaluate", "true {config}"], "leave width out of a copy"),
        (["scale", "--base", "ournets:shrinks", "--flops", "2x"], "costs do not grow with its arguments"),
        (["scale", "--base", "ournets:says", "--classes", "5"], "gives logits of 11 classes"),
        (["scale", "--base", "ournets:steps", "--classes", "5"], "takes no argument 'classes'"),
        (["scale", "--base", "ournets:steps", "--flops", "2x", "--per-stage"], "--per-stage needs a description"),
        (["scale", "--base", "ournets:steps", "--memory", "2GiB"], "needs a description of layers"),
        (["scale", "--base", "ournets:steps", "--preset", "efficientnet_b1"], "needs a description of layers"),
        (["cost", "ournets:steps", "--batch", "4"], "needs a description of layers"),
        (["cost", "ournets:module"], "to count one module, give its --input"),
        (["diff", "resnet18", "ournets:steps"], "needs a description of layers"),
    ],
)
def test_what_is_wrong_is_one_line(here, scalenet, words, said):
    result = scalenet(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"  width: 1.0": "  widht: 1.0"}, "net.yaml:5: factory.widht: unknown key"),
        ({"ournets:plain": "ournets"}, "expected package.module:name, found 'ournets'"),
        ({"ournets:plain": "os.path:join/x"}, "expected package.module:name"),
        ({"arguments: {}": "arguments: {depth: 2}"}, "depth has a key of its own"),
        ({"  depth: 1.0": "  depth: 0"}, "factory.depth"),
    ],
)
def test_a_file_that_is_wrong_names_line_and_key(here, scalenet, tmp_path, changes, said):
    library.save("ournets:plain", tmp_path / "net.yaml")
    text = (tmp_path / "net.yaml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "net.yaml").write_text(text)
    result = scalenet("cost", tmp_path / "net.yaml")
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_file_may_hold_other_arguments(here, scalenet, tmp_path):
    library.save("ournets:plain", tmp_path / "net.yaml")
    text = (tmp_path / "net.yaml").read_text()
    (tmp_path / "net.yaml").write_text(text.replace("arguments: {}", "arguments: {bias: true}"))
    result = scalenet("cost", tmp_path / "net.yaml")
    assert "unexpected keyword argument 'bias'" in result.stderr


def test_check_and_lock_measure_it_as_any_module(here, tmp_path):
    """Its code is run where modules are measured, and not where targets are listed."""
    config = library.scale_by("ournets:plain", depth=2)
    library.save(config, tmp_path / "net.yaml")
    targets, problems = find_targets(["ournets:plain", "net.yaml", "ournets:module"], tmp_path)
    assert problems == []
    own, scaled, refused = (told(target, here) for target in targets)
    assert own["cost"]["input"] == ["1x3x32x32"]
    assert own["cost"]["flops"] == library.cost("ournets:plain").flops
    assert scaled["cost"]["flops"] == config.cost.flops
    assert "not a factory of networks" in refused["problem"]


def test_rewriting_without_its_package_says_how_to_get_it(here, scalenet, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    result = scalenet("scale", "--base", "ournets:module", "--rewrite", "--width", "2")
    assert (result.exit_code, "pip install 'scalenet-torch[rewrite]'" in result.stderr) == (3, True)
    assert scalenet("scale", "--base", "resnet18", "--rewrite").exit_code == 2


def test_it_is_trained_and_evaluated(here, tmp_path):
    write_images(tmp_path / "images", {"dark": 80, "light": 170}, 12, size=8)
    network = library.load("ournets:plain").at(8)
    how = {"recipe": "search", "changes": ["batch_size=8", "minival=0"], "epochs": 1, "say": None, "workers": 0}
    found = library.train(network, tmp_path / "images", folder=tmp_path / "run", **how)
    assert isinstance(found.module(), nn.Module)
    assert found.module()(torch.zeros(2, 3, 8, 8)).shape == (2, 2)
    assert load_config(tmp_path / "run" / "config.yaml").factory.classes == 2
    assert library.evaluate(tmp_path / "run", tmp_path / "images", workers=0, say=None).top1 == found.top1
    said: list[str] = []
    maps = library.cam([tmp_path / "run"], sorted(tmp_path.glob("images/*/*.png"))[:2], say=said.append)
    assert (maps.summary()[0]["map"], maps.summary()[0]["method"], said) == (
        "4x4",
        "gradient",
        ["plain: its maps are of what '1' gives, by gradient"],
    )
    write_images(tmp_path / "others", {"black": 20, "grey": 120, "white": 230}, 8, size=8)
    tuned = library.train(network, tmp_path / "others", folder=tmp_path / "tuned", init=tmp_path / "run", **how)
    assert tuned.module()[-1].out_features == 3
    with pytest.raises(library.ScalenetError, match="the recipe's dropout would not reach its network"):
        library.train(network, tmp_path / "images", folder=tmp_path / "other", **{**how, "changes": {"dropout": 0.2}})


def test_it_is_searched_with_candidates_of_equal_cost(here, tmp_path):
    search = library.grid_search(
        "ournets:smooth",
        folder=tmp_path / "search",
        grid="small",
        evaluate=lambda architecture, **_: 0.5 + architecture.network.width / 10,
        epochs=1,
        workers=1,
        seeds=1,
        say=None,
    )
    search.run(say=None)
    costs = [load_config(file).cost.flops for file in (tmp_path / "search" / "candidates").glob("*.yaml")]
    base = library.cost(tmp_path / "search" / "base.yaml").flops
    assert len(costs) == 7
    assert all(abs(cost / base - 2) <= 0.041 for cost in costs)
    assert "ournets.py" in (tmp_path / "search" / "search.yaml").read_text()


def test_a_study_of_one_dimension_needs_no_other_where_its_rate_is_given(here, tmp_path):
    series = {"depth": {"kind": "ray", "ray": "depth"}}
    deep = Definition(schema="scalenet-study/1", name="deep", costs=[2], series=series)
    rates: list[float] = []

    def judge(architecture, *, seed, learning_rate, **_):
        rates.append(learning_rate)
        raise KeyboardInterrupt

    options = {"evaluate": judge, "epochs": 1, "folder": tmp_path / "study", "say": None}
    with pytest.raises(ScalenetError, match=r"ignores width: .*the pilot's .* give a --learning-rate instead"):
        library.study(deep, "ournets:ignores", rates=(0.1, 0.2, 0.3), **options)
    with pytest.raises(KeyboardInterrupt):
        library.study(deep, "ournets:ignores", learning_rate=0.1, **options).run(say=None)
    assert rates == [0.1]


def test_it_is_studied_at_equal_costs(here, tmp_path):
    others = {"kind": "networks", "values": ["small_resnet", "ournets:whole"]}
    depth, width = ({"kind": "ray", "ray": name} for name in ("depth", "width"))
    study = library.study(
        Definition(schema="scalenet-study/1", name="ours", costs=[2], series={"d": depth, "w": width, "o": others}),
        "ournets:smooth",
        evaluate=lambda architecture, *, seed, **_: 0.5 + architecture.network.size[0] / 1000 + 0.01 * seed,
        folder=tmp_path / "study",
        epochs=1,
        seeds=2,
        say=None,
    )
    found = study.run(say=None).results().set_index("network")
    assert found.flops_ratio[["d_2x", "w_2x"]].between(1.98, 2.02).all()
    assert (found.depth["d_2x"], found.width["w_2x"]) == pytest.approx((2, 2**0.5), rel=0.02)
    assert found.depth[["small_resnet", "whole"]].isna().all(), "of another kind there are no multipliers"
    assert "ournets.py" in library.open_study(study.folder).plan.sources
