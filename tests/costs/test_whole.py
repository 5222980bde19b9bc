"""A count is whole, or it is refused with the operator, the module and a next step."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import register_flop_formula

import scalenet

if TYPE_CHECKING:
    from collections.abc import Callable

X = torch.ones(4, 8)
IMAGE = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    """Has a layer (64 weights), a matrix, a vector, and a forward that is given."""

    def __init__(self, run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.matrix, self.vector = nn.Parameter(torch.ones(8, 8)), nn.Parameter(torch.ones(8))
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


class Product(torch.autograd.Function):
    """A product with a gradient of its own: the tracer does not see into it."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:  # noqa: ARG004 - torch calls it so
        return left @ right

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def attention(x: Tensor, *, is_causal: bool = False) -> Tensor:
    return functional.scaled_dot_product_attention(x, x, x, is_causal=is_causal)


PRODUCTS: dict[str, tuple[Callable[[Any, Tensor], Any], int]] = {
    "addmm_": (lambda net, x: torch.zeros(4, 8).addmm_(x, net.matrix), 4 * 8 * 8),
    "addmv_": (lambda net, x: torch.zeros(4).addmv_(x, net.vector), 4 * 8),
    "addbmm_": (lambda net, x: torch.zeros(4, 8).addbmm_(x[None], net.matrix[None]), 4 * 8 * 8),
    "baddbmm_": (lambda net, x: torch.zeros(1, 4, 8).baddbmm_(x[None], net.matrix[None]), 4 * 8 * 8),
    "out=": (lambda net, x: torch.mm(x, net.matrix, out=torch.empty(4, 8)), 4 * 8 * 8),
    "a vector": (lambda net, x: x @ net.vector, 4 * 8),
    "two vectors": (lambda net, x: x[0] @ net.vector, 8),
    "a broadcast": (lambda net, x: net.matrix @ x.T.expand(3, 8, 4), 3 * 8 * 8 * 4),
    "linear with a vector": (lambda net, x: functional.linear(x, net.vector), 4 * 8),
    "tensordot": (lambda net, x: torch.tensordot(x, net.matrix, 1), 4 * 8 * 8),
    "multi_dot": (lambda net, x: torch.linalg.multi_dot([x, net.matrix, net.matrix]), 2 * 4 * 8 * 8),
    "matrix_power": (lambda net, x: torch.linalg.matrix_power(net.matrix, 2) + x[0], 8 * 8 * 8),
    "attention": (lambda _, x: attention(x[None, None]), 2 * 4 * 4 * 8),
    "masked attention": (lambda _, x: attention(x[None, None], is_causal=True), 2 * 4 * 4 * 8),
    "a function with a gradient": (lambda net, x: Product.apply(x, net.matrix), 4 * 8 * 8),
    "reentrant checkpoint": (lambda net, x: checkpoint(net.layer, x, use_reentrant=True), 4 * 8 * 8),
    "functional_call": (lambda net, x: functional_call(net.layer, {"weight": net.matrix}, (x,)), 4 * 8 * 8),
    "inference mode": (torch.inference_mode()(lambda net, x: net.layer(x)), 4 * 8 * 8),
    "vmap": (lambda net, x: torch.vmap(net.layer)(x), 4 * 8 * 8),
    "noise": (lambda net, x: net.layer(x + torch.randn_like(x)), 4 * 8 * 8),
    "a value that decides nothing": (lambda net, x: net.layer(x) * x.sum().item(), 4 * 8 * 8),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_counted_however_they_are_written(name: str) -> None:
    run, expected = PRODUCTS[name]
    assert scalenet.measure(Net(run), X).flops == expected


MODULES: list[tuple[nn.Module, Any, int]] = [
    (nn.Conv2d(3, 4, 3, padding="same"), IMAGE, 64 * 4 * 27),
    (nn.LSTM(8, 4, num_layers=2, bidirectional=True), torch.zeros(5, 2, 8), 10 * 2 * 16 * (8 + 4 + 8 + 4)),
    (nn.GRU(8, 4), torch.zeros(5, 2, 8), 10 * 12 * (8 + 4)),
    (nn.RNN(8, 4), torch.zeros(5, 2, 8), 10 * 4 * (8 + 4)),
    (nn.MultiheadAttention(8, 2), (X, X, X), 4 * 4 * 64 + 2 * 4 * 4 * 8),
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), X[None], 4 * 4 * 64 + 2 * 4 * 4 * 8 + 2 * 4 * 8 * 16),
    (nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)), X, 4 * 64 + 64 + 8),
    (nn.utils.spectral_norm(nn.Linear(8, 8)), X, 4 * 64 + 64 + 8),
    (nn.Linear(8, 8).bfloat16(), X.bfloat16(), 4 * 64),
]


@pytest.mark.parametrize(("module", "input", "expected"), MODULES, ids=lambda value: type(value).__name__)
def test_modules_are_counted_from_their_shapes(module: nn.Module, input: Any, expected: int) -> None:
    assert scalenet.measure(module, input).flops == expected


def test_an_exported_module_is_counted() -> None:
    exported = torch.export.export(nn.Sequential(nn.Linear(8, 3), nn.ReLU()), (X,)).module()
    assert scalenet.measure(exported, X).flops == 4 * 8 * 3


@pytest.mark.parametrize("shape", [(8,), (4, 8), (1, 2, 1, 2, 1, 8)])
@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8), nn.LayerNorm(8, elementwise_affine=False)])
def test_norms_count_five_an_element_or_four_without_weights(norm: nn.Module, shape: tuple[int, ...]) -> None:
    each = 5 if list(norm.parameters()) else 4
    counted = scalenet.measure(norm, torch.zeros(shape)).flops_by_operator
    assert sum(counted.values()) == each * torch.zeros(shape).numel()


sizes = st.integers(1, 5)


@given(st.lists(sizes, max_size=2), st.lists(st.booleans(), min_size=4, max_size=4), sizes, sizes, sizes)
def test_any_matmul_counts_its_products(
    batch: list[int], ones: list[bool], rows: int, inner: int, columns: int
) -> None:
    left = [1 if one else size for size, one in zip(batch, ones, strict=False)]
    right = [1 if one else size for size, one in zip(batch, ones[2:], strict=False)]
    results = torch.broadcast_shapes(tuple(left), tuple(right))
    weight = nn.Parameter(torch.zeros(*right, inner, columns))
    net = Net(lambda net, x: x @ net.weight)
    net.weight = weight
    counted = scalenet.measure(net, torch.zeros(*left, rows, inner)).flops
    assert counted == torch.zeros(results).numel() * rows * inner * columns


@settings(max_examples=12)
@given(st.dictionaries(st.sampled_from("abcde"), sizes, min_size=5, max_size=5), st.data())
def test_any_einsum_of_two_counts_its_products(size: dict[str, int], data: st.DataObject) -> None:
    first = "".join(data.draw(st.permutations("abc")))
    second = "".join(data.draw(st.permutations("bcd")))
    kept = "".join(data.draw(st.permutations("acd")))
    net = Net(lambda net, x: torch.einsum(f"...{first},{second}->...{kept}", x, net.weight))
    net.weight = nn.Parameter(torch.zeros([size[letter] for letter in second]))
    counted = scalenet.measure(net, torch.zeros([size["e"], *(size[letter] for letter in first)])).flops
    summed = size["b"] > 1  # over a size of one, torch multiplies elements: no matrix product
    assert counted == summed * np.prod([size[letter] for letter in "abcde"])


@given(st.tuples(sizes, sizes, sizes, sizes, sizes, sizes))
def test_fused_attention_counts_what_matmul_does(shape: tuple[int, ...]) -> None:
    batch, heads, queries, keys, width, values = shape
    tensors = (
        torch.zeros(batch, heads, queries, width),
        torch.zeros(batch, heads, keys, width),
        torch.zeros(batch, heads, keys, values),
    )

    class Fused(nn.Module):
        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return functional.scaled_dot_product_attention(query, key, value)

    class Written(nn.Module):
        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return (query @ key.mT).softmax(-1) @ value

    fused, written = (scalenet.measure(module, tensors).flops for module in (Fused(), Written()))
    assert fused == written == batch * heads * queries * keys * (width + values)


def test_what_a_bilinear_layer_does_is_what_einsum_does() -> None:
    layer = nn.Bilinear(8, 8, 3)
    net = Net(lambda net, x: torch.einsum("bi,oij,bj->bo", x, net.weight, x))
    net.weight = layer.weight
    assert scalenet.measure(layer, (X, X)).flops == scalenet.measure(net, X).flops == 4 * 3 * 64 + 4 * 3 * 8


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "stft": (lambda _, x: torch.stft(x.flatten(), 16, return_complex=True).abs(), "aten::_fft_r2c"),
    "fft": (lambda _, x: torch.fft.fft2(x).real, "aten::_fft_c2c"),
    "qr": (lambda net, x: torch.linalg.qr(net.matrix)[0] + x[0], "aten::linalg_qr"),
    "svd": (lambda net, x: torch.svd(net.matrix)[1] + x, "aten::_linalg_svd"),
    "pinverse": (lambda net, x: torch.pinverse(net.matrix) @ x.T, "aten::linalg_pinv"),
    "cholesky": (lambda net, x: torch.cholesky(net.matrix + torch.eye(8)) @ x.T, "aten::cholesky"),
    "logdet": (lambda net, x: torch.logdet(net.matrix) + x, "aten::_linalg_slogdet"),
    "pdist": (lambda _, x: functional.pdist(x), "aten::_pdist_forward"),
    "cdist": (lambda _, x: torch.cdist(x, x), "aten::_cdist_forward"),
    "sparse": (lambda net, x: torch.sparse.mm(net.matrix.detach().to_sparse(), x.T), "aten::_sparse_addmm"),
    "NumPy": (lambda net, x: torch.from_numpy(x.numpy() @ net.matrix.detach().numpy()), "Tensor.numpy"),
    "asarray": (lambda _, x: torch.as_tensor(np.asarray(x)), "Tensor.__array__"),
    "DLPack": (lambda _, x: torch.as_tensor(np.from_dlpack(x)), "Tensor.__dlpack__"),
    "a pointer": (lambda _, x: x + x.data_ptr() % 2, "Tensor.data_ptr"),
    "no result depends on it": (lambda net, x: (net.layer(x), x + 1)[1], "aten::addmm in module|module 'layer'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_can_count_is_refused_by_name(name: str) -> None:
    run, said = REFUSED[name]
    with pytest.raises(scalenet.ScalenetError, match=f"(?s)({said}).*accept = ") as refused:
        scalenet.measure(Net(run), X)
    assert refused.value.hint


UNSTEADY: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "a branch": (lambda net, x: x if x.softmax(-1).max() > 0.2 else net.layer(x), "the input's values"),
    "rows that are picked": (lambda net, x: net.layer(x[x[:, 0] > 0]), "the input's values"),
    "equal": (lambda net, x: net.layer(x) if torch.equal(x, x * 0 + 1) else x, "the input's values"),
    "tolist": (lambda net, x: net.layer(x) if x.tolist()[0][0] else x, "the input's values"),
    "torch": (lambda net, x: net.layer(x) if torch.rand(1) > 0.5 else x, "chance"),
    "Python": (lambda net, x: net.layer(x) if random.random() > 0.5 else x, "chance"),
    "NumPy": (lambda net, x: net.layer(x) if np.random.rand() > 0.5 else x, "chance"),
}


@pytest.mark.parametrize("name", UNSTEADY)
def test_what_depends_on_values_or_chance_is_refused_with_the_layer(name: str) -> None:
    run, said = UNSTEADY[name]
    with pytest.raises(
        scalenet.ScalenetError, match=f"depends on {said}: aten::addmm in module 'layer' has"
    ) as refused:
        scalenet.measure(Net(run), X)
    assert f'accept = ["{"chance" if said == "chance" else "values"}"]' in str(refused.value)


def test_the_operator_and_its_module_are_named() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.Sequential(Net(lambda _, x: torch.cdist(x, x))))
    with pytest.raises(scalenet.ScalenetError, match=r"aten::_cdist_forward in module '1\.0' has no rule"):
        scalenet.measure(module, X)


def test_a_partial_count_is_had_by_asking_for_it() -> None:
    module = nn.Sequential(nn.Linear(8, 8), Net(lambda _, x: torch.cdist(x, x)))
    counted = scalenet.measure(module, X, partial=True)
    assert counted.flops == 4 * 8 * 8
    assert [(doubt.operators, doubt.module) for doubt in counted.doubts] == [(("aten::_cdist_forward",), "1")]


@pytest.mark.parametrize("name", ["aten::_cdist_forward", "_cdist_forward"])
def test_an_operator_can_be_accepted(name: str) -> None:
    net = Net(lambda _, x: torch.cdist(x, x))
    assert scalenet.measure(net, X, accept=[name]).flops == 0


def test_a_count_that_chance_decides_is_the_same_each_time_once_it_is_accepted() -> None:
    net = Net(lambda net, x: net.layer(x) if torch.rand(1) > 0.5 else x)
    assert len({scalenet.measure(net, X, accept=["chance"]).flops for _ in range(6)}) == 1


def test_what_is_accepted_and_does_not_run_is_refused() -> None:
    with pytest.raises(scalenet.ScalenetError, match="accepts aten::linalg_qr, where there is nothing to accept"):
        scalenet.measure(nn.Linear(8, 8), X, accept=["linalg_qr"])


def test_an_operator_of_another_library_is_refused_until_its_products_are_registered() -> None:
    @torch.library.custom_op("scalenet_tests::product", mutates_args=())
    def product(left: Tensor, right: Tensor) -> Tensor:
        return left @ right

    net = Net(lambda net, x: product(x, net.matrix))
    with pytest.raises(scalenet.ScalenetError, match=r"scalenet_tests::product.*register_flop_formula"):
        scalenet.measure(net, X)
    register_flop_formula(torch.ops.scalenet_tests.product)(
        lambda left, right, *_, **__: 2 * left[0] * left[1] * right[1]
    )
    counted = scalenet.measure(net, X)
    assert (counted.flops, counted.flops_by_operator) == (256, {"scalenet_tests::product": 256})


def test_a_lazy_module_is_refused_in_a_clear_line() -> None:
    with pytest.raises(scalenet.ScalenetError, match="module '0' is lazy and has no shapes yet"):
        scalenet.measure(nn.Sequential(nn.LazyLinear(3)), X)


def test_a_traced_count_is_the_same_where_nothing_is_doubted() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.GELU())
    assert scalenet.measure(module, X, partial=True) == replace(scalenet.measure(module, X), doubts=())
