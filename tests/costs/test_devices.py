"""The meta device counts as the CPU does, to the last integer; modules of every kind come back as they were."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from collections import UserDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import VARIED
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import scalenet

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = torch.zeros(2, 4, 12, 12)


def witness(module: nn.Module, images: Tensor) -> int:
    """Return the multiply-adds by torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        module(images.to(next(module.parameters()).device))
    return int(counter.get_total_flops()) // 2


class Through(nn.Module):
    """Calls its child through `.forward()`, which runs no hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(3, 5)
        self.called = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.called(self.child.forward(x))


class Shared(nn.Module):
    """Has one layer under two names, and one that it calls twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.first(x))


class Named(nn.Module):
    """Takes tensors by name and returns a dictionary with something else in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, *, left: Tensor, right: Tensor) -> dict[str, Any]:
        return {"sum": self.layer(left) + right, "steps": 3}


class Careless(nn.Module):
    """Changes a buffer, keeps what it saw, and draws random numbers, even in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("runs", torch.zeros(()))
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        self.last = self.cache["x"] = x
        return self.layer(x + torch.rand_like(x))


class Curious(nn.Module):
    """Reads a value, which the meta device has not, though nothing comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(10_000, 100)

    def forward(self, x: Tensor) -> Tensor:
        assert x[0].isfinite()
        return self.wide(x.reshape(-1, 10_000)[:2])


class Functional(nn.Module):
    """Calls convolutions with every form of their parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.weight, None, 1, 1)
        x = functional.conv2d(x, self.weight, stride=(2, 1), padding=[2], dilation=2)
        x = functional.conv2d(input=x, weight=self.weight[:, :1], groups=4)
        return functional.conv_transpose2d(x, self.weight, stride=2, padding=1, output_padding=1)


class Batched(nn.Module):
    """Multiplies matrices in a way that fvcore does not know, and normalises in one that is no work."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(torch.baddbmm(x, x, x))


MODULES = [
    (nn.Conv1d(4, 6, 3, stride=2, dilation=2), torch.zeros(2, 4, 12)),
    (nn.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1)), torch.zeros(2, 4, 3, 6, 6)),
    (nn.ConvTranspose1d(4, 6, 3, stride=2), torch.zeros(2, 4, 12)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), IMAGE),
    (nn.ConvTranspose3d(4, 2, 2), torch.zeros(1, 4, 3, 3, 3)),
    (nn.Conv2d(4, 6, 3, padding="same"), IMAGE),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), IMAGE),
    (nn.Conv2d(4, 6, 3, groups=2), torch.zeros(4, 12, 12)),
    (nn.MultiheadAttention(4, 2), (torch.zeros(3, 1, 4),) * 3),
    (nn.TransformerEncoderLayer(4, 2, batch_first=True), torch.zeros(1, 3, 4)),
    (nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.Upsample(scale_factor=2)), IMAGE),
    (nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), torch.zeros(1, 3)),
    (nn.LSTM(3, 4), torch.zeros(5, 1, 3)),
    (Functional(), IMAGE),
    (Shared(), IMAGE),
    (Through(), torch.zeros(2, 3)),
    (Named(), {"left": torch.zeros(2, 3), "right": torch.zeros(5)}),
]


@pytest.mark.parametrize(("module", "input"), MODULES, ids=lambda value: type(value).__name__)
def test_the_meta_device_counts_as_the_cpu_does(module: nn.Module, input: Any) -> None:
    assert scalenet.measure(copy.deepcopy(module).to("meta"), input) == scalenet.measure(module, input)


@pytest.mark.parametrize("name", VARIED)
def test_the_meta_device_counts_baselines_as_plain_fvcore_does(name: str) -> None:
    module = scalenet.build(scalenet.load(name)).eval()
    small = name not in ("inception_v3", "vit_small")  # which take no other size, or no smaller one
    images = torch.zeros(1, 3, *((64, 64) if small else scalenet.load(name).model.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        plain = FlopCountAnalysis(module, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_module = {name: dict(counts) for name, counts in plain.by_module_and_operator().items()}
    measured = scalenet.measure(module.to("meta"), images)
    assert measured.flops_by_module == by_module
    assert measured.unsupported == dict(plain.unsupported_ops())
    assert witness(module, images) == measured.flops
    assert measured.doubts == ()


@given(st.data())
def test_any_convolution_is_counted_alike(data: st.DataObject) -> None:
    numbers = st.integers(1, 3)
    groups, kernel, stride, padding, dilation = (data.draw(numbers) for _ in range(5))
    layer = data.draw(st.sampled_from([nn.Conv2d, nn.ConvTranspose2d]))(
        2 * groups, 3 * groups, kernel, stride, padding=padding - 1, dilation=dilation, groups=groups, bias=kernel > 1
    )
    images = torch.zeros(data.draw(numbers), 2 * groups, 11, data.draw(st.integers(7, 12)))
    measured = scalenet.measure(layer, images)
    assert measured.flops == witness(layer, images)
    assert scalenet.measure(layer.to("meta"), images) == measured


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory where Linux has it")
def test_what_is_large_is_counted_without_its_memory() -> None:
    code = """
import pathlib, torch, scalenet
with torch.device("meta"):
    module = scalenet.build(scalenet.load("efficientnet_b7"))
print(scalenet.measure(module, torch.zeros(1, 3, 600, 600)).flops)
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    flops, kilobytes = map(int, done.stdout.split())
    assert flops == 37745884192
    assert kilobytes < 450_000
    assert done.stderr == ""


def test_a_large_module_keeps_its_parameters() -> None:
    module = nn.Sequential(nn.Linear(2_000, 2_000), nn.BatchNorm1d(2_000)).train()
    before = {name: (id(tensor), tensor.clone()) for name, tensor in module.state_dict(keep_vars=True).items()}
    counted = scalenet.measure(module, torch.zeros(2_000, 2_000))
    assert counted.flops == 2_000**3
    after = module.state_dict(keep_vars=True)
    assert all(id(after[name]) == place and torch.equal(after[name], value) for name, (place, value) in before.items())
    assert module[1].training


def test_a_large_module_that_reads_values_is_counted_on_its_own_device() -> None:
    assert scalenet.measure(Curious(), torch.ones(1).expand(10**7)).flops == 2 * 10_000 * 100


def test_what_a_module_keeps_or_draws_while_it_runs_is_undone() -> None:
    module, state = Careless(), torch.get_rng_state()
    attributes = set(vars(module))
    scalenet.measure(module, torch.ones(2, 3))
    assert (module.runs, set(vars(module)), module.cache) == (0, attributes, {})
    assert torch.equal(torch.get_rng_state(), state)


def test_no_hook_stays_after_a_failure() -> None:
    module = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        scalenet.measure(module, torch.zeros(1, 4))
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of loading torch's compiler
def test_compiled_modules_are_counted_as_what_they_were_made_from() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    plain = scalenet.measure(network, IMAGE)
    assert scalenet.measure(torch.compile(network), IMAGE) == plain  # type: ignore[arg-type]
    network[0] = torch.compile(network[0])
    network[1].compile()
    kept, call = network[0], network[1]._compiled_call_impl
    assert scalenet.measure(network, IMAGE) == plain
    assert network[0] is kept
    assert network[1]._compiled_call_impl is call


def test_scripted_modules_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Linear(3, 3))
    with pytest.raises(scalenet.ScalenetError, match="scripted"):
        scalenet.measure(nn.Sequential(scripted), torch.zeros(1, 3))


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(scalenet.ScalenetError, match="an input is int, not a tensor"):
        scalenet.measure(nn.Linear(3, 3), (torch.zeros(1, 3), 4))


class Answer(nn.Module):
    """Returns what `wrap` makes of its result."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.wrap = nn.Linear(3, 5), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.layer(x))


@dataclass
class Output:
    """A result as some libraries return it."""

    logits: Tensor
    loss: Tensor | None = None


@pytest.mark.parametrize("wrap", [Output, lambda x: {"out": [x, 3]}, lambda x: UserDict(out=(x,))])
def test_results_of_any_form_are_counted(wrap: Callable[[Tensor], Any]) -> None:
    assert scalenet.measure(Answer(wrap), torch.zeros(2, 3)).flops == 2 * 3 * 5


@pytest.mark.parametrize("wrap", [lambda _: None, Tensor.tolist])
def test_a_module_without_a_tensor_to_return_is_refused(wrap: Callable[[Tensor], Any]) -> None:
    with pytest.raises(scalenet.ScalenetError, match="returns no tensor"):
        scalenet.measure(Answer(wrap), torch.zeros(2, 3))


def test_a_child_called_through_forward_is_counted_for_its_caller() -> None:
    counted = scalenet.measure(Through(), torch.zeros(2, 3))
    assert counted.flops == 2 * 3 * 5 + 2 * 5 * 2
    assert counted.flops_by_module == {"": {"linear": 50}, "child": {}, "called": {"linear": 20}}
    assert counted.uncalled == ("child",)
