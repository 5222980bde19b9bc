"""The kinds of hostile input: a function each, which fills a folder and returns the command to be run there.

To add one, write a function of a `Random` and a folder, and register it: its cases are then made, run and judged.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from hostility import mutations
from hostility.mutations import cut, damaged, flipped, placed, word
from hostility.running import Case, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

Kind: TypeAlias = "Callable[[Random, Path], Case]"
KINDS: dict[str, tuple[float, Kind]] = {}
"""Kinds by name, with the share of cases that each has."""


def kind(share: float = 1.0) -> Callable[[Kind], Kind]:
    """Register a kind under its function's name."""

    def register(function: Kind) -> Kind:
        KINDS[function.__name__.replace("_", "-")] = share, function
        return function

    return register


STOCK = Path()
"""A folder with one good file of each kind, which `prepare` makes."""

NETWORK = """\
schema: scalenet/1
name: net
baseline: {title: A net, source: nowhere, rounding: efficientnet}
model:
  resolution: 8
  activation: relu
  norm: {kind: batchnorm, eps: 0.001, momentum: 0.1}
  squeeze_excite: {pool: mean, gate: sigmoid}
  stem: {kind: conv, width: 4, kernel: 3, stride: 1}
  stages:
  - {block: mbconv, depth: 1, width: 4, stride: 2, kernel: 3, expand: 2, se: 0.25}
  - {block: basic, depth: 1, width: 8, stride: 1}
  head: {kind: conv, width: 8, classes: 2}
  regularization: {dropout: 0.1, drop_path: 0.1}
"""
PROJECT = """\
[build-system]
requires = ["setuptools"]

[tool.scalenet]
targets = ["net.yaml", "resnet18", {module = "models:make", input = "1x3x8x8", name = "mine"}]
lock = "scalenet.lock.json"
time_limit = 300

[[tool.scalenet.gates]]
target = "*"
metric = "flops"
max = "4G"
max_increase = {percent = 5, absolute = "1M"}

[[tool.scalenet.gates]]
target = "net.yaml"
stage = "stages.0"
metric = "params"
max = 100000
"""
MODELS = """\
import torch
def make(): return torch.nn.Conv2d(3, 4, 3)
def nothing(): return None
def fails(): raise ValueError("\\x1b[31mno\\n::error::x")
def ends(): raise SystemExit(5)
def interrupts(): raise KeyboardInterrupt
def wants(size): return torch.nn.Conv2d(3, size, 3)
def endless(): return endless()
def prints(): print("making"); return make()
class Odd(torch.nn.Module):
    def forward(self, x): raise RuntimeError("y" * 100000)
class Deep(torch.nn.Module):
    def forward(self, x): return self.forward(x)
number = 5
"""
GRID = """\
schema: scalenet-grid/1
name: three
points: {kind: list, values: [[2, 1, 1], [1, 1.5, 1], [1, 1, 1.5]]}
product: 2.0
include: [corners, paper]
constraint: nominal
achieved: 0.9
rounding: fine
"""
STEPS = """\
schema: scalenet-grid/1
name: steps
description: steps
points:
  kind: steps
  alpha: {low: 1.0, high: 2.0, step: 0.25}
  beta: {low: 1.0, high: 1.5, step: 0.25}
  gamma: {low: 1.0, high: 1.5, step: 0.25}
  tolerance: 0.2
product: 2.0
include: []
constraint: nominal
"""
TRAIN = ("--data", "images", "--epochs", "1", "--workers", "0", "--device", "cpu", "-o", "out")
LABELS = ("dark", "light")


def prepare(folder: Path) -> None:
    """Make one good file of each kind, by the commands themselves where they write them."""
    global STOCK  # noqa: PLW0603 - where all cases find them
    STOCK = folder
    (folder / "net.yaml").write_text(NETWORK, encoding="utf-8")
    (folder / "grid.yaml").write_text(GRID, encoding="utf-8")
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "models.py").write_text(MODELS, encoding="utf-8")
    _write_images(folder / "images", 6)
    _command(folder, "scale", "--base", "net.yaml", "--phi", "1", "-o", "scaled.yaml")
    _command(folder, "lock")
    names = [row["name"] for row in json.loads(_command(folder, "grid-search", *_SEARCH, "--dry-run", "--json"))]
    rows = (f"{name},{seed},{0.5 + number / 100 + seed / 1000}" for number, name in enumerate(names) for seed in (0, 1))
    (folder / "results.csv").write_text("\n".join(("name,seed,accuracy", *rows)) + "\n", encoding="utf-8")
    _command(folder, "grid-search", *_SEARCH, "--evaluate", "table:results.csv", *_FEW, "-o", "search")
    _command(folder, "train", "net.yaml", "--recipe", "small_images", *TRAIN)
    (folder / "out").rename(folder / "trained")
    recipe = _command(folder, "recipes", "small_images")
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")


_SEARCH = ("--base", "net.yaml", "--grid", "grid.yaml")
_FEW = ("--seeds", "2", "--workers", "1")


def _command(folder: Path, *words: str) -> str:
    done = run(Case(list(words)), folder)
    if done.code:
        raise RuntimeError(f"scalenet {' '.join(words)}: {done.stderr.decode()}")
    return done.stdout.decode()


def _write_images(folder: Path, count: int) -> None:
    draw = np.random.default_rng(0)
    for level, name in enumerate(LABELS):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.png").write_bytes(_image(draw.integers(0, 128, (8, 8, 3)) + 100 * level))


def _image(pixels: Any, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(content, form, **options)
    return content.getvalue()


def _stock(folder: Path, *names: str) -> None:
    """Copy good files into a case's folder."""
    for name in names:
        source = STOCK / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)


@cache
def _good(name: str) -> str:
    return (STOCK / name).read_text(encoding="utf-8")


def _hostile(chance: Random, path: Path, text: str) -> bool:
    """Write a damaged text, or something that is no file; return whether it must be refused."""
    content, unreadable = damaged(chance, text)
    return placed(chance, path, content) or unreadable


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


# Files of text.


@kind(3)
def configs(chance: Random, folder: Path) -> Case:
    """A config that a person wrote, in each command that reads one."""
    wrong = _hostile(chance, folder / "net.yaml", NETWORK)
    commands = (
        *(["cost", "net.yaml"], ["cost", "net.yaml", "--by", "stage", "--json"], ["show", "net.yaml"]),
        *(["cost", "net.yaml", "--fit", "1GiB"], ["show", "net.yaml", "--json"], ["exponents", "--base", "net.yaml"]),
        ["scale", "--base", "net.yaml", "--phi", "1", "-o", "out.yaml"],
        *(["diff", "net.yaml", "resnet18"], ["explain", "net.yaml", "--base", "resnet18"]),
        ["scale", "--base", "net.yaml", "--flops", "2x", "-o", "out"],
        *(["cost", "net.yaml", "--counter", "fvcore"], ["grid-search", "--base", "net.yaml", "--dry-run"]),
    )
    words = chance.choice(commands)
    return Case(words, _codes(0, 1, 2) if "--flops" in words else _codes(0, 2), wrong)


@kind(2)
def scaled_configs(chance: Random, folder: Path) -> Case:
    """A config that a command wrote, with what it came from."""
    wrong = _hostile(chance, folder / "scaled.yaml", _good("scaled.yaml"))
    words = chance.choice((["verify", "scaled.yaml"], ["explain", "scaled.yaml"], ["verify", "scaled.yaml", "--json"]))
    return Case(words, _codes(0, 1, 2) if words[0] == "verify" else _codes(0, 2), wrong and words[0] != "verify")


@kind(2)
def locks(chance: Random, folder: Path) -> Case:
    """A lock file."""
    _stock(folder, "net.yaml", "models.py", "pyproject.toml")
    wrong = _hostile(chance, folder / "scalenet.lock.json", _good("scalenet.lock.json"))
    wrong = wrong and (folder / "scalenet.lock.json").exists()
    words = ["check", "net.yaml", "resnet18", "--fast", *chance.choice(([], ["--json"], ["--report", "json=out.json"]))]
    return Case(words, _codes(0, 1, 2), wrong)


@kind(2)
def projects(chance: Random, folder: Path) -> Case:
    """A project file."""
    _stock(folder, "net.yaml", "models.py", "scalenet.lock.json")
    _hostile(chance, folder / "pyproject.toml", PROJECT)
    words = chance.choice((["check", "--fast"], ["check", "--fast", "--json"], ["lock", "net.yaml"]))
    return Case(words, _codes(0, 1, 2, 3))


@kind(0.2)
def modules(chance: Random, folder: Path) -> Case:
    """Callables that are no good, for inputs that are no good."""
    _stock(folder, "models.py")
    name = chance.choice(
        ("make", "nothing", "fails", "ends", "interrupts", "wants", "endless", "prints", "Odd", "Deep")
    )
    name = name if chance.random() < 0.7 else chance.choice(("number", "missing", "make.x", word(chance)))
    shape = "1x3x8x8" if chance.random() < 0.6 else word(chance, mutations.SHAPES)
    return Case([chance.choice(("lock", "check")), f"models:{name}", "--input", shape], _codes(0, 1, 2, 3, 130))


@kind()
def coefficients(chance: Random, folder: Path) -> Case:
    """The answer of a search."""
    _stock(folder, "net.yaml")
    wrong = _hostile(chance, folder / "c.yaml", _good("search/coefficients.yaml"))
    words = ["scale", "--base", "net.yaml", "--coefficients", "c.yaml", "--phi", "1..2", "-o", "out"]
    return Case(words, _codes(0, 2), wrong)


@kind()
def grids(chance: Random, folder: Path) -> Case:
    """A search grid."""
    _stock(folder, "net.yaml")
    wrong = _hostile(chance, folder / "grid.yaml", chance.choice((GRID, STEPS)))
    words = ["grid-search", "--base", "net.yaml", "--grid", "grid.yaml", "--dry-run"]
    return Case(words + ["--json"] * chance.randrange(2), _codes(0, 2), wrong)


@kind(0.5)
def plans(chance: Random, folder: Path) -> Case:
    """A file of a search's folder, the plan most of all."""
    _stock(folder, "search")
    names = ("search.yaml", "search.yaml", "search.yaml", "base.yaml", "candidates.csv", "proxies.csv", "search.db")
    name = chance.choice((*names, "coefficients.yaml", "jobs.csv", "plots"))
    path = folder / "search" / name
    content = path.read_bytes().decode("utf-8", "replace") if path.is_file() else "name,synflow,naswot,zen\na,1,2,3\n"
    if path.is_dir():
        shutil.rmtree(path)
    _hostile(chance, path, content)
    words = chance.choice((["status"], ["results"], ["resume"], ["status", "--json"], ["results", "--json"], ["stop"]))
    codes = _codes(0, 2, 3) if name == "search.db" else _codes(0, 2)
    return Case(["search", words[0], "search", *words[1:]], codes)


@kind(0.5)
def results(chance: Random, folder: Path) -> Case:
    """A table of known results."""
    _stock(folder, "net.yaml", "grid.yaml")
    text = _good(chance.choice(("results.csv", "results.csv", "search/candidates.csv")))
    wrong = _hostile(chance, folder / "r.csv", text)
    words = ["grid-search", *_SEARCH, "--evaluate", "table:r.csv", *_FEW, "-o", "out", "--json"]
    return Case(words, _codes(0, 2), wrong and not (folder / "r.csv").is_file())


@kind(0.5)
def recipes(chance: Random, folder: Path) -> Case:
    """A training recipe."""
    _stock(folder, "net.yaml", "images")
    text = _good("recipe.yaml").replace("batch_size: 128", "batch_size: 4")
    wrong = _hostile(chance, folder / "recipe.yaml", text)
    words = ["train", "net.yaml", "--recipe", "recipe.yaml", *TRAIN]
    if chance.random() < 0.3:
        words = ["train", "net.yaml", "--recipe", "small_images", *TRAIN, "--set", word(chance, mutations.SETTINGS)]
        wrong = False
    return Case(words, _codes(0, 2, 3), wrong)


# Files of bytes.


@kind()
def checkpoints(chance: Random, folder: Path) -> Case:
    """A file of weights: its header, the record in it, its tensors."""
    _stock(folder, "net.yaml", "images", "trained")
    path = folder / "trained" / "model.safetensors"
    if chance.random() < 0.3:
        path = next((folder / "trained" / "checkpoints").glob("*.safetensors"), path)
    placed(chance, path, _checkpoint(chance, path.read_bytes()))
    words = chance.choice(
        (
            [
                "evaluate",
                str(path.relative_to(folder)),
                "--data",
                "images",
                "--workers",
                "0",
                "--part",
                "all",
                "--json",
            ],
            ["train", "net.yaml", "--init", "trained", *TRAIN],
            ["train", "net.yaml", "--recipe", "small_images", *TRAIN[:-1], "trained"],
        )
    )
    return Case(words, _codes(0, 2, 3))


def _checkpoint(chance: Random, content: bytes) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + size]), content[8 + size :]
    how = chance.randrange(6)
    if how == 0:
        return flipped(chance, content) if chance.random() < 0.5 else cut(chance, content)
    if how == 1:
        length = chance.choice((0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1))
        return struct.pack("<Q", length) + content[8:]
    if how == 2:
        text, _ = damaged(chance, content[8 : 8 + size].decode())
    elif how == 3:
        about, _ = damaged(chance, header["__metadata__"]["about"])
        header["__metadata__"]["about"] = about.decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        name = chance.choice([name for name in header if name != "__metadata__"])
        _change_tensor(chance, header, name)
        text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def _change_tensor(chance: Random, header: dict[str, Any], name: str) -> None:
    how = chance.randrange(4)
    if how == 0:
        header[chance.choice(mutations.TEXTS).replace("\ud800", "")] = header.pop(name)
    elif how == 1:
        header[name]["shape"] = chance.choice(([], [0], [2**62], [-1], header[name]["shape"][::-1], "x"))
    elif how == 2:
        header[name]["dtype"] = chance.choice(("F16", "BF16", "I64", "BOOL", "X9", 5))
    else:
        header[name]["data_offsets"] = chance.choice(([0, 0], [0, 2**63], [8, 4], [], None))


@kind()
def class_lists(chance: Random, folder: Path) -> Case:
    """The names of classes beside shards or CIFAR's files."""
    _stock(folder, "net.yaml")
    if chance.random() < 0.5:
        _write_shard(folder / "data" / "train-0.tar", chance, number=True)
        _hostile(chance, folder / "data" / "classes.txt", "dark\nlight\n")
    else:
        _write_cifar(folder / "data")
        _hostile(chance, folder / "data" / "batches.meta.txt", "dark\nlight\n")
    return _trains(chance)


@kind()
def shards(chance: Random, folder: Path) -> Case:
    """Tar files of images."""
    _stock(folder, "net.yaml")
    path = folder / "data" / "train-0.tar"
    _write_shard(path, chance, number=False, odd=chance.random() < 0.6)
    if chance.random() < 0.6:
        content = path.read_bytes()
        placed(chance, path, chance.choice((flipped, cut, _header_flipped))(chance, content))
    return _trains(chance)


def _header_flipped(chance: Random, content: bytes) -> bytes:
    """Damage numbers of a member's header: its mode, owner, size, time or checksum."""
    start = chance.randrange(max(1, len(content) // 1024)) * 1024
    at = start + chance.choice((100, 108, 124, 136, 148, 156))
    return (
        content[:at]
        + chance.choice((b"zzzzzzz", b"\xff" * 8, b"7" * 11, b"-1", b"\x80" + b"\xff" * 11))
        + content[at + 8 :]
    )


def _write_shard(path: Path, chance: Random, *, number: bool, odd: bool = False) -> None:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, errors="surrogatepass") as tar:
        for count in range(12):
            label = str(count % 2) if number else LABELS[count % 2]
            name, image = f"{count:03}", _image(np.full((8, 8, 3), 100 * (count % 2) + count))
            if odd and chance.random() < 0.15:
                label = chance.choice(mutations.TEXTS)
            if odd and chance.random() < 0.15:
                image = _hostile_image(chance)
            if odd and chance.random() < 0.1:
                name = chance.choice(mutations.TEXTS)
            for suffix, content in (("png", image), ("cls", label.encode("utf-8", "surrogatepass"))):
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(content)
                if odd and chance.random() < 0.1:
                    member.type = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE))
                    member.linkname, member.size = "../../x", 0
                tar.addfile(member, io.BytesIO(content))


@kind()
def images(chance: Random, folder: Path) -> Case:
    """Folders of images, of which some are none."""
    _stock(folder, "net.yaml")
    _write_images(folder / "data", 6)
    for _ in range(chance.choice((1, 2, 8))):
        label = chance.choice(LABELS)
        suffix = chance.choice((".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".ppm", ".JPG", ".avif", ".txt", ""))
        name = chance.choice(("a", "b", *filter(_is_name, mutations.TEXTS)))
        placed(chance, folder / "data" / label / f"{name}{suffix}", _hostile_image(chance))
    if chance.random() < 0.2:
        (folder / "data" / chance.choice([text for text in mutations.TEXTS if _is_name(text)])).mkdir(exist_ok=True)
    return _trains(chance)


def _is_name(text: str) -> bool:
    return 0 < len(text) < 100 and not set(text) & set("/\0\ud800") and text not in ("..", ".")


def _hostile_image(chance: Random) -> bytes:
    form = chance.choice(("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"))
    content = _image(np.full((8, 8, 3), 99), form)
    how = chance.randrange(5)
    if how == 0:
        return flipped(chance, content)
    if how == 1:
        return cut(chance, content)
    if how == 2:
        return _claimed(chance)
    if how == 3:
        deep = chance.choice(("I;16", "I", "F", "1", "L", "LA", "P", "RGBA"))
        file = io.BytesIO()
        Image.new(deep, chance.choice(((8, 8), (1, 1), (1, 5000), (5000, 1)))).save(file, "TIFF")
        return file.getvalue()
    return chance.choice((b"", b"\0" * 100, chance.randbytes(500), b"<svg/>", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe"))


def _claimed(chance: Random) -> bytes:
    """Return an image of some hundred bytes whose header claims a great size."""
    sides = chance.choice(((1, 100_000_000), (65_535, 65_535), (2**31 - 1, 2**31 - 1), (0, 0), (20_000, 20_000)))
    content = bytearray(_image(np.full((8, 8, 3), 9)))
    content[16:24] = struct.pack(">II", *sides)
    import zlib  # noqa: PLC0415

    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    if chance.random() < 0.5:
        return bytes(content)
    return b"P6 %d %d 255\n" % sides + b"\0" * 100


@kind(0.5)
def cifar(chance: Random, folder: Path) -> Case:
    """CIFAR's binary files."""
    _stock(folder, "net.yaml")
    _write_cifar(folder / "data")
    name = chance.choice(("data_batch_1.bin", "test_batch.bin", "batches.meta.txt"))
    content = (folder / "data" / name).read_bytes()
    change = chance.choice(
        (flipped, cut, lambda *_: b"", lambda _, given: given + b"x", lambda _, given: b"\xff" + given[1:])
    )
    placed(chance, folder / "data" / name, change(chance, content))
    return _trains(chance)


def _write_cifar(folder: Path) -> None:
    folder.mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (folder / name).write_bytes(b"".join(bytes([number % 2]) + bytes([number]) * 3072 for number in range(8)))
    (folder / "batches.meta.txt").write_text("dark\nlight\n", encoding="utf-8")


def _trains(chance: Random) -> Case:
    words = ["train", "net.yaml", "--recipe", "small_images", "--data", "data", *TRAIN[2:], "--batch-size", "4"]
    if chance.random() < 0.2:
        words.append("--strict")
    return Case(words, _codes(0, 2, 3))


# Options.

_GOOD: dict[str, list[str]] = {
    "scale": ["--base", "net.yaml", "--phi", "1"],
    "cost": ["net.yaml"],
    "show": ["net.yaml"],
    "explain": ["scaled.yaml"],
    "diff": ["net.yaml", "scaled.yaml"],
    "exponents": ["--base", "net.yaml"],
    "verify": ["scaled.yaml"],
    "lock": ["net.yaml"],
    "check": ["net.yaml", "--fast"],
    "latency": ["net.yaml", "--runs", "1", "--warmup", "1"],
    "train": ["net.yaml", "--recipe", "small_images", *TRAIN],
    "evaluate": ["trained", "--data", "images", "--workers", "0"],
    "grid-search": [*_SEARCH, "--evaluate", "table:results.csv", *_FEW, "-o", "new"],
    "search status": ["search"],
    "search results": ["search"],
    "search stop": ["search"],
    "search resume": ["search"],
    "search workers": ["search"],
    "search list": ["."],
}


@cache
def _options() -> list[tuple[str, Any]]:
    """Return each option and argument of each command, as the program itself knows them."""
    from scalenet_cli.main import app  # noqa: PLC0415
    from typer.main import get_command  # noqa: PLC0415

    program: Any = get_command(app)
    commands = {name: command for name, command in program.commands.items() if name != "search"}
    commands |= {f"search {name}": command for name, command in program.commands["search"].commands.items()}
    return [(name, option) for name, command in sorted(commands.items()) for option in command.params]


@kind(4)
def options(chance: Random, folder: Path) -> Case:
    """Each option of each command with a hostile value."""
    mutations.surroundings(folder)
    _stock(folder, "net.yaml", "scaled.yaml", "scalenet.lock.json", "pyproject.toml", "models.py", "grid.yaml")
    name, option = chance.choice(_options())
    if name in ("train", "evaluate", *_SEARCHES):
        _stock(folder, "images", "trained", "results.csv", "search")
    words = [*name.split(), *_GOOD.get(name, [])]
    others = [other for command, other in _options() if command == name]
    chosen = [option, *chance.sample(others, k=chance.choice((0, 0, 1)))]
    for one in chosen:
        words += _given(chance, one)
    codes = _codes(0, 1, 2, 3) if name in _RUNS else _codes(0, 1, 2) if name in _ASKS else _codes(0, 2)
    return Case(words, codes, works=any(one.opts[0] in _WORK for one in chosen))


_SEARCHES = ("grid-search", *(f"search {name}" for name in ("status", "results", "stop", "resume", "workers", "list")))
_WORK = ("--epochs", "--runs", "--warmup", "--seeds", "--compile", "--workers", "--storage")  # a database may come back
_ASKS = ("scale", "verify")
_RUNS = ("lock", "check", "latency", "train", "evaluate", *_SEARCHES)


_POOLS = {
    "SIZE": mutations.SIZES + mutations.AMOUNTS,
    "AMOUNT": mutations.AMOUNTS,
    "BYTES": mutations.AMOUNTS,
    "TIME": mutations.AMOUNTS,
    "PHI": mutations.RANGES,
    "D,W,R": mutations.SHARES,
    "URL": mutations.STORAGES,
    "SHAPE": mutations.SHAPES,
    "KEY=VALUE": mutations.SETTINGS,
    "SHARE": mutations.NUMBERS,
    "POINTS": mutations.NUMBERS,
    None: mutations.NUMBERS,
}
"""What is near to a value of an option, by its metavar; paths and names else."""


def _given(chance: Random, option: Any) -> list[str]:
    value = word(chance, _POOLS.get(option.metavar, mutations.PATHS) if chance.random() < 0.6 else None)
    if option.param_type_name == "argument":
        return [value]
    if option.is_flag:
        return [option.opts[0]]
    return chance.choice(([option.opts[0], value], [f"{max(option.opts, key=len)}={value}"]))


@kind(0.5)
def environments(chance: Random, folder: Path) -> Case:
    """Each variable of the environment with a hostile value."""
    _stock(folder, "net.yaml", "images")
    names = (
        "SCALENET_RECIPE",
        "SCALENET_DATA",
        "SCALENET_DEVICE",
        "SCALENET_WORKERS",
        "SCALENET_SET",
        "SCALENET_STORAGE",
    )
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": word(chance, mutations.PATHS),
        "GITHUB_WORKSPACE": word(chance),
    }
    if chance.random() < 0.3:
        mutations.surroundings(folder)
        (folder / "pyproject.toml").write_text('[tool.scalenet]\ntargets = ["net.yaml"]\n', encoding="utf-8")
        case = Case(["check", "--fast"], _codes(0, 1, 2), environment=github)
        return replace(case, codes=case.codes | {3})
    name = chance.choice(names)
    words = ["search", "status"] if name == "SCALENET_STORAGE" else ["train", "net.yaml", "--epochs", "1", "-o", "out"]
    pool = mutations.STORAGES if name == "SCALENET_STORAGE" else None
    works = name == "SCALENET_STORAGE"
    return Case(words, _codes(0, 2, 3), environment={name: word(chance, pool)}, works=works)


@kind(0.1)
def streams(chance: Random, folder: Path) -> Case:
    """The installed program with stdout or stderr closed, full, or gone."""
    _stock(folder, "net.yaml")
    (folder / "broken.yaml").write_text("schema: 5\n", encoding="utf-8")
    words, code = chance.choice(
        (
            (["cost", "net.yaml"], 0),
            (["cost", "net.yaml", "--json"], 0),
            (["baselines"], 0),
            (["--help"], 0),
            (["scale", "--base", "net.yaml", "--phi", "1..3"], 0),
            (["cost", "broken.yaml"], 2),
            (["verify", "broken.yaml"], 1),
            (["scale", "--phi", "x"], 2),
            (["scale", "--nope"], 2),
            (["scale", "--base", "net.yaml", "-o", "-"], 0),
        )
    )
    choice = ("file", "closed", "full", "gone")
    streams = chance.choice([(out, err) for out in choice for err in choice])
    codes = _codes(3) if code == 0 and streams[0] in ("full", "closed") else _codes(code)  # its data are lost
    return Case(words, codes, streams=streams, installed=True)
