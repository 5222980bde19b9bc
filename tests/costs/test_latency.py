"""Latency: what is run, how often, and what is as before afterwards; no test looks at the clock."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.costs import latency as module
from scalenet.costs.latency import Latency, Setup, latencies, latency

TINY = scalenet.load("small_resnet").model.at(16)


def test_figures_are_those_of_the_counted_runs() -> None:
    found = Latency((4.0, 1.0, 2.0, 1.0))
    assert (found.runs, found.mean, found.median, found.minimum) == (4, 2.0, 1.5, 1.0)
    assert found.std == pytest.approx(2**0.5)
    assert Latency((3.0,)).std == 0


def test_the_defaults_are_the_papers() -> None:
    assert Setup() == Setup(device="cpu", batch=1, dtype="float32", threads=1, runs=20)
    assert latency(TINY).runs == 20


def ran(monkeypatch: pytest.MonkeyPatch, count: int, **options: Any) -> list[tuple[int, torch.Tensor]]:
    """Return which of `count` networks ran, and on what, in order."""
    calls: list[tuple[int, torch.Tensor]] = []

    def fake(model: Any) -> torch.nn.Module:
        network, number = torch.nn.Identity(), len(fakes)
        fakes.append(network)

        def note(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
            assert torch.is_inference_mode_enabled()
            assert not network.training
            calls.append((number, inputs[0]))

        network.register_forward_pre_hook(note)
        return network

    fakes: list[torch.nn.Module] = []
    monkeypatch.setattr(module, "build", fake)
    latencies([TINY] * count, Setup(**options))
    return calls


def test_one_network_runs_as_often_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ran(monkeypatch, 1, runs=4, warmup=2)) == 6


def test_several_are_measured_in_turns_of_an_uncounted_and_a_counted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    order = [number for number, _ in ran(monkeypatch, 2, runs=2, warmup=1)]
    assert order == [0, 1, *[0, 0, 1, 1] * 2]


def test_images_are_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, images), *_) = ran(monkeypatch, 1, batch=2, dtype="bfloat16", channels_last=True, runs=1)
    assert (images.shape, images.dtype) == ((2, 3, 16, 16), torch.bfloat16)
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_random_state_threads_and_gradients_are_as_before(dtype: str) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    latency(TINY, dtype=dtype, threads=threads + 1, runs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, True)


def test_progress_is_called_after_each_turn() -> None:
    told: list[None] = []
    latencies([TINY, TINY], Setup(runs=3), progress=lambda: told.append(None))
    assert len(told) == 3


@pytest.mark.parametrize("name", ["batch", "threads", "runs", "warmup"])
def test_less_than_one_of_anything_is_refused(name: str) -> None:
    with pytest.raises(ScalenetError, match="at least 1"):
        Setup(**{name: 0})


def test_an_unknown_type_is_told_with_its_neighbour() -> None:
    with pytest.raises(ScalenetError, match="did you mean 'bfloat16'"):
        latency(TINY, dtype="bfloat1")


def test_a_device_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ScalenetError, match=r"^cannot run float32 on nowhere: .*nowhere$"):
        latency(TINY, device="nowhere")


def test_a_compiler_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("No compiler\n\nmore of it")

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(ScalenetError, match=r"^cannot run float32 on cpu, compiled: No compiler$"):
        latency(TINY, compiled=True)


def test_more_networks_than_the_compiler_holds_are_refused() -> None:
    with pytest.raises(ScalenetError, match="at most 8"):
        latencies([TINY] * 9, Setup(compiled=True))


def test_modules_are_timed_beside_networks_with_inputs_by_place_or_name() -> None:
    seen: list[tuple[torch.dtype, bool]] = []

    class Masked(nn.Module):
        def forward(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            seen.append((images.dtype, images.is_contiguous(memory_format=torch.channels_last)))
            assert mask.dtype == torch.bool
            return images.sum(1)[mask]

    images, mask = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.bool)
    setup = Setup(dtype="float64", channels_last=True, runs=2, warmup=1)
    networks = [scalenet.load("small_resnet"), (Masked(), (images, mask)), (Masked(), {"images": images, "mask": mask})]
    assert [found.runs for found in latencies(networks, setup)] == [2, 2, 2]
    assert set(seen) == {(torch.float64, True)}
