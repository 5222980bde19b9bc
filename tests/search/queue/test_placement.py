"""Which device each worker has, and what its programs see of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.errors import ScalenetError
from scalenet.search.queue.placement import devices, environments


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have three GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("device", "workers", "expected"),
    [
        ("cpu", 3, ["cpu", "cpu", "cpu"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),
        ("cuda", 1, ["cuda:0"]),
        ("cuda", 5, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]),
        ("cuda:0,cuda:2", 3, ["cuda:0", "cuda:2", "cuda:0"]),
        ("cuda:2, cpu", 2, ["cuda:2", "cpu"]),
    ],
)
def test_workers_take_the_devices_in_turns(device, workers, expected):
    assert devices(device, workers) == expected


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True), st.integers(1, 40))
def test_no_device_has_two_workers_more_than_another(numbers, workers):
    names = [f"cuda:{number}" for number in numbers]
    found = devices(",".join(names), workers)
    counts = [found.count(name) for name in names]
    assert len(found) == sum(counts) == workers
    assert max(counts) - min(counts) <= 1


@pytest.mark.usefixtures("three")
def test_a_workers_programs_see_its_gpu_only():
    assert environments("cuda", 4) == [{"CUDA_VISIBLE_DEVICES": number} for number in "0120"]
    assert environments("cpu", 2) == [{}, {}]


@pytest.mark.usefixtures("three")
def test_numbers_count_among_the_gpus_that_a_cluster_gave(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5ba3")
    found = [one["CUDA_VISIBLE_DEVICES"] for one in environments("cuda:1,cuda:0", 2)]
    assert found == ["GPU-5ba3", "4"]
    with pytest.raises(ScalenetError, match=r"'cuda:2' cannot be used here: CUDA_VISIBLE_DEVICES is '4,GPU-5ba3'"):
        environments("cuda:2", 1)


@pytest.mark.parametrize("device", ["", "gpu 1", "cuda:", "cuda:x", "cuda:0,", "CUDA"])
def test_what_is_no_device_is_said_in_one_line(device):
    with pytest.raises(ScalenetError, match=r"is no device .write cpu, cuda, "):
        devices(device, 1)


def test_all_gpus_of_a_machine_without_any_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ScalenetError, match="device 'cuda' cannot be used here"):
        devices("cuda", 2)


def test_devices_that_are_named_need_no_torch():
    code = "from scalenet.search.queue.placement import devices\ndevices('cpu', 2), devices('cuda:0,cuda:1', 2)\n"
    code += "import sys\nsys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
