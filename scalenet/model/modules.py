"""The modules that PyTorch lacks: paths side by side, and leaves of the layer tree."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from scalenet.arch import shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class Branches(nn.Module):
    """Named paths side by side whose maps are joined; a path that is left out is the identity."""

    def __init__(
        self, paths: Mapping[str, nn.Module | None], *, join: str, split: bool = False, act: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.join, self.split, self.names = join, split, tuple(paths)
        for name, path in paths.items():
            setattr(self, name, path)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Return what the paths leave, joined: added and multiplied one after another."""
        entering = x.chunk(len(self.names), dim=1) if self.split else [x] * len(self.names)
        if self.join == "concat":
            out = torch.cat([self._path(number, part) for number, part in enumerate(entering)], dim=1)
        else:
            combine = operator.add if self.join == "add" else operator.mul
            out = self._path(0, entering[0])
            for number, part in enumerate(entering[1:], start=1):
                out = combine(out, self._path(number, part))
        return out if self.act is None else cast("Tensor", self.act(out))

    def _path(self, number: int, x: Tensor) -> Tensor:
        path: nn.Module | None = getattr(self, self.names[number])
        return x if path is None else cast("Tensor", path(x))

    def extra_repr(self) -> str:
        """Return what is not in the children, for printing."""
        return f"{self.join}{' of equal parts' if self.split else ''}: {', '.join(self.names)}"


class GlobalMean(nn.Module):
    """The mean over height and width, kept as a 1×1 map."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, channels, 1, 1]."""
        return x.mean((2, 3), keepdim=True)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's `SAME`: by the map's size, and by one more below and to the right."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of ⌈side / stride⌉ pixels a side."""
        sides = zip(x.shape[-2:], self.kernel_size, self.stride, strict=True)
        tall, wide = (padded(size, kernel, stride, "same") for size, kernel, stride in sides)
        if isinstance(tall, torch.SymInt) or isinstance(wide, torch.SymInt) or tall or wide:
            x = functional.pad(x, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        return super().forward(x)


def padded(size: int, kernel: int, stride: int, padding: Literal["same"]) -> int:
    """Return by how many pixels a side is padded; of a side that an export leaves free the expression of it."""
    if isinstance(size, torch.SymInt):
        if kernel == 1:
            return 0
        missing = ((size + stride - 1) // stride - 1) * stride + kernel - size  # ONNX rounds quotients towards zero
        return cast("int", missing if kernel >= stride else torch.sym_max(missing, 0))
    return int(shapes.padded(size, kernel, stride, padding))


class LayerNorm2d(nn.LayerNorm):
    """Normalisation over the channels of each place."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Scale(nn.Module):
    """A factor a channel."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        return x * self.weight


class Times(nn.Module):
    """A constant factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        return x * self.factor

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"{self.factor:g}"


class Shuffle(nn.Module):
    """Channels of equal groups take turns."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        count, channels, height, width = x.shape
        apart = x.reshape(count, self.groups, channels // self.groups, height, width)
        return apart.transpose(1, 2).reshape(x.shape)


class Position(nn.Module):
    """A number a channel and place that is added; it starts near 0."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, height, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        return x + self.weight


class Attention(nn.Module):
    """Scaled dot-product attention over all places (Vaswani et al. 2017), of queries, keys and values side by side.

    It multiplies matrices itself: fused attention is a kernel of which fvcore counts nothing.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of a third of the input's channels."""
        count, channels, height, width = x.shape
        parts = x.reshape(count, 3, self.heads, channels // 3 // self.heads, height * width)
        queries, keys, values = parts.unbind(1)
        scores = (queries.transpose(-2, -1) @ keys) * queries.shape[-2] ** -0.5
        out: Tensor = values @ scores.softmax(dim=-1).transpose(-2, -1)
        return out.reshape(count, channels // 3, height, width)

    def extra_repr(self) -> str:
        """Return the number of heads, for printing."""
        return f"heads={self.heads}"


class DropPath(nn.Module):
    """Stochastic depth: in training a whole image's path is zero with probability `rate`, else scaled by 1/(1 - rate).

    Huang et al. 2016; official EfficientNet code, `utils.drop_connect`.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        if not self.training:
            return x
        kept = torch.rand((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)

    def extra_repr(self) -> str:
        """Return the rate, for printing."""
        return f"rate={self.rate:.4g}"
