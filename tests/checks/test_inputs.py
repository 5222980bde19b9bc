"""What a module is called with: by position, by name, in lists and dictionaries; and its callable's arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scalenet.arch.errors import ScalenetError
from scalenet.checks.inputs import DTYPES, Argument, Group, Input, parse_input, written, zeros

if TYPE_CHECKING:
    from conftest import Folder

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)


def grouped(inner: st.SearchStrategy[Argument]) -> st.SearchStrategy[Argument]:
    plain = st.lists(inner, max_size=3).map(lambda items: Group(tuple(items), is_dictionary=False))
    by_name = st.dictionaries(names, st.builds(Input, shapes, st.sampled_from(DTYPES)), max_size=3)
    return plain | by_name.map(
        lambda items: Group(
            tuple(Input(item.shape, item.dtype, name) for name, item in items.items()), is_dictionary=True
        )
    )


@given(st.recursive(st.builds(Input, shapes, st.sampled_from(DTYPES)), grouped, max_leaves=4))
def test_an_input_reads_as_it_is_written(argument: Argument) -> None:
    assert parse_input(str(argument)) == argument


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("1x3x8x8", ("1x3x8x8",)),
        (["1x3", "1x4:int64"], ("1x3", "1x4:int64")),
        ({"image": "1x3x8x8", "ids": "1x7:int64"}, ("image=1x3x8x8", "ids=1x7:int64")),
        ([["3x8x8", "3x9x9"]], ("[3x8x8, 3x9x9]",)),
        ([{"image": "1x3x8x8"}], ("{image=1x3x8x8}",)),
        ({"images": ["3x8x8"]}, ("images=[3x8x8]",)),
    ],
)
def test_a_project_file_says_inputs_as_toml_does(value: object, texts: tuple[str, ...]) -> None:
    assert written(value) == texts


class Both(nn.Module):
    def forward(self, x: Tensor, y: Tensor, *, mask: Tensor) -> Tensor:
        return x + y + mask


def test_tensors_are_made_by_position_by_name_and_both() -> None:
    both = zeros(Both(), [parse_input("2x3"), parse_input("3"), parse_input("mask=1:bool")])
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in both.items()} == {
        "x": ((2, 3), torch.float32),
        "y": ((3,), torch.float32),
        "mask": ((1,), torch.bool),
    }
    (batch,) = zeros(Both(), [parse_input("{image=1x2, sizes=[3, 4]}")])
    assert [tuple(size.shape) for size in batch["sizes"]] == [(3,), (4,)]


@pytest.mark.parametrize("text", ["", "0x3", "1x3x", "[1x3, a=1x4]", "{1x3}", "{a=1x3, a=1x4}", "1x3:float", "[[1x3]"])
def test_an_input_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ScalenetError, match="input"):
        parse_input(text)


NETS = """
from torch import nn

class Pair(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(4, width)
    def forward(self, x, *, scale=None):
        return self.layer(x) * scale

class Batch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)
    def forward(self, batch):
        return {"out": self.layer(batch["image"])}

def make(width, depth=1):
    return nn.Sequential(*[nn.Conv2d(3, 3, width) for _ in range(depth)])
"""


def test_inputs_and_arguments_are_named_in_the_project_file(folder: Folder) -> None:
    folder.write("nets.py", NETS)
    folder.write(
        "pyproject.toml",
        """
[tool.scalenet]
targets = [
  {module = "nets:Pair", args = [5], input = {x = "2x4", scale = "1"}},
  {module = "nets:Batch", input = [{image = "1x3x4x4"}]},
  {module = "nets:make", args = [1], kwargs = {depth = 2}, input = "1x3x4x4"},
  {module = "nets:make", args = [3], input = "1x3x4x4", name = "wide"},
  {module = "nets:make", kwargs = {widht = 3}, input = "1x3x4x4"},
]
gates = [
  {target = "nets:Batch", metric = "memory", max = "1kB"},
  {target = "wide", metric = "latency", max = "9s", tolerance = {percent = 10}},
  {target = "wide", metric = "latency", max = "1us", tolerance = {percent = 10}},
]
""",
    )
    report = json.loads(folder.run("check", "--json").stdout)
    wrong = {one["name"]: one["message"] for one in report["problems"] if one["name"]}
    assert list(wrong) == ["nets:make(widht=3)"]
    assert "cannot be made: TypeError: make() got an unexpected keyword argument 'widht'" in wrong["nets:make(widht=3)"]
    limits = {(one["target"], one["metric"], one["ok"]) for one in report["limits"]}
    assert limits == {("nets:Batch", "memory", True), ("wide", "latency", True), ("wide", "latency", False)}
    (memory,) = [one["value"] for one in report["limits"] if one["metric"] == "memory"]
    assert memory == 4 * (2 * 3 + 2 + 3 * 16 + 2 * 16)
    folder.edit("pyproject.toml", '  {module = "nets:make", kwargs = {widht = 3}, input = "1x3x4x4"},\n', "")
    assert folder.run("lock").exit_code == 0
    lock = json.loads((folder.path / "scalenet.lock.json").read_text())["targets"]
    assert {name: (target["input"], target["flops"]) for name, target in lock.items()} == {
        "nets:Pair(5)": (["x=2x4", "scale=1"], 2 * 4 * 5),
        "nets:Batch": (["{image=1x3x4x4}"], 16 * 3 * 2),
        "nets:make(1, depth=2)": (["1x3x4x4"], 2 * 16 * 9),
        "wide": (["1x3x4x4"], 4 * 81),
    }
    assert lock["nets:Batch"]["memory"] == memory
    assert "memory" not in lock["wide"]
