"""Tables of latencies: what they add up, which members meet a limit, how they are measured; no clock is looked at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scalenet_cli.main import app
from tiny_space import SMALL, every, tiny
from typer.testing import CliRunner

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.costs.latency import Latency, Setup, part_latencies
from scalenet.model.builder import build
from scalenet.search.baseline.calls import baseline_search
from scalenet.spaces import timing
from scalenet.spaces.latencies import Latencies, StageLatencies, load_latencies
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.space import Space, load_space

if TYPE_CHECKING:
    from scalenet.arch.spec import Architecture

MILLISECOND = 1_000_000


def even(space: Space) -> Latencies:
    """Return a table in which stem and head take a millisecond, and so does each block."""
    shapes = [space.shape(place) for place in range(len(space.stages))]
    before = [1, *(shape[1] for shape in shapes)]
    stages = [
        StageLatencies(first=(MILLISECOND,) * (wide * kinds * widths), further=(MILLISECOND,) * (kinds * widths))
        for wide, (kinds, widths, _) in zip(before, shapes, strict=False)
    ]
    return Latencies(
        schema="scalenet-latencies/1",
        space=space,
        device="cpu",
        machine="none",
        torch="2",
        threads=1,
        batch=1,
        dtype="float32",
        channels_last=False,
        members=1,
        ratio=1.0,
        error=0.0,
        ends=(MILLISECOND,) * before[-1],
        stages=tuple(stages),
    )


@pytest.mark.parametrize("whole", [1.0, 1.5])
def test_a_member_takes_the_sum_of_its_blocks_times_what_whole_networks_take_of_it(monkeypatch, whole):
    """Where each part takes a nanosecond a parameter, a network takes as many as it has parameters."""

    def parameters(model: Any, _: Setup) -> tuple[float, ...]:
        with torch.device("meta"):
            network = build(model)
        return tuple(1e-9 * sum(each.numel() for each in part.parameters()) for part in network.parts())

    monkeypatch.setattr(timing, "part_latencies", parameters)
    monkeypatch.setattr(
        timing, "latencies", lambda models, _: [Latency((whole * sum(parameters(one, _)),)) for one in models]
    )
    space, heard = tiny(), []
    table = timing.time_space(space, progress=lambda *step: heard.append(step))
    counts = Membership(space, read_limits(flops="1k..1G"), latencies=table).counts(every(space))
    assert np.abs(counts["latency"] - whole * counts["params"]).max() <= len(space.stages)  # rounded to nanoseconds
    assert (table.ratio, table.error) == (whole, pytest.approx(0))
    assert heard[-1][0] == heard[-1][1] == len(heard)


def test_parts_are_run_in_turn_and_make_the_network():
    model = tiny().network([7, 3])
    network, image = build(model).eval(), torch.randn(1, 3, 16, 16)
    values = image
    for part in network.parts():
        values = part(values)
    assert torch.equal(values, network(image))
    seconds = part_latencies(model, Setup(runs=2, warmup=1))
    assert len(seconds) == 2 + sum(stage.depth for stage in model.stages)
    assert min(seconds) > 0


def test_members_keep_a_limit_of_latency():
    space = tiny()
    limits = read_limits(flops="1k..1G", latency="3ms..4ms")
    members = Membership(space, limits, latencies=even(space))
    drawn = members.draw(10_000, np.random.default_rng(0)).members
    depths = members.space.stages[0].depths, members.space.stages[1].depths
    found = [sum(depths[place][variant % len(depths[place])] for place, variant in enumerate(one)) for one in drawn]
    assert set(found) == {2, 3}  # blocks, beside stem and head
    assert {cost["latency"] for cost in members.costs(drawn)} == {0.003, 0.004}
    assert str(limits) == "1 k to 1 G flops and 3 ms to 4 ms of latency"
    with pytest.raises(ScalenetError, match=r"costs .* at most 2 ms of latency: the nearest has 3 ms of latency"):
        Membership(space, read_limits(flops="1k..1G", latency="2ms"), latencies=even(space)).draw(
            1, np.random.default_rng(0)
        )


@pytest.mark.parametrize("text", ["4x", "", "12", "12ms,13ms", "12ms±200%", "13ms..12ms", "0ms"])
def test_what_is_no_limit_of_latency_is_refused(text):
    with pytest.raises(ScalenetError, match=r"--latency|13"):
        read_limits(flops="1M", latency=text)


def judge(architecture: Architecture, *, budget: int, seed: int, **_: Any) -> float:
    return 0.3 + 0.001 * budget + random.Random(f"{architecture.name} {seed}").gauss(0, 0.01)


def test_a_search_is_held_to_its_table_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr("scalenet.search.baseline.asked.FINALS", 4)
    space = load_space("small_images").changed_to(classes=10)
    file = tmp_path / "latencies.yaml"
    even(space).save(file)
    assert load_latencies(file, space) == even(space)
    options: dict[str, Any] = {"flops": "5M±5%", "classes": 10, "epochs": 5, "trials": 5, "seeds": 1, "workers": 1}
    asked = {**options, "evaluate": judge, "folder": tmp_path / "search", "say": None, "latency": "5ms"}
    search = baseline_search(**asked, latencies=file).run(say=None)
    rows = search.results()
    assert (rows["latency"] <= 0.005).all()
    assert search.outcome().data()["limits"]["latency"] == [0, 0.005]
    assert any("5 ms by the table" in one or "4 ms by the table" in one for one in search.outcome().sentences())
    assert ">latency<" in (tmp_path / "search/report.html").read_text()
    file.unlink()
    again = scalenet.open_baseline_search(tmp_path / "search")
    assert again.asked.hunt.latencies == even(space)
    assert again.results().equals(rows)
    with pytest.raises(ScalenetError, match="holds another search: latencies differ"):
        baseline_search(**asked, latencies=even(space).changed(ratio=1.01)).run(say=None)


def test_a_limit_needs_the_table_of_its_space(tmp_path):
    options: dict[str, Any] = {"flops": "5M", "classes": 10, "epochs": 5, "evaluate": judge, "folder": tmp_path / "no"}
    with pytest.raises(ScalenetError) as refused:
        baseline_search(**options, latency="5ms")
    assert "--latencies FILE" in str(refused.value)
    assert "`scalenet latency --space small_images --resolution 32 --classes 10 -o latencies.yaml`" in str(
        refused.value
    )
    with pytest.raises(ScalenetError, match="with 32×32 px and 1000 classes, and small_images with 32×32 px and 10"):
        baseline_search(**options, latency="5ms", latencies=even(load_space("small_images").changed_to(classes=1000)))


def test_a_table_that_lacks_a_block_is_refused():
    with pytest.raises(ScalenetError, match="stages: not those of the space tiny"):
        even(tiny()).changed(ends=(1,))


def test_the_command_writes_a_table(tmp_path):
    space, file = tmp_path / "tiny.yaml", tmp_path / "latencies.yaml"
    space.write_text(SMALL)
    words = ["latency", "--space", space, "--resolution", 8, "--runs", 1, "-o", file]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.stdout == ""
    assert "whole networks none is more than" in result.stderr
    found = load_latencies(file, tiny().changed_to(resolution=8))
    assert (found.device, found.threads, found.dtype) == ("cpu", 1, "float32")
