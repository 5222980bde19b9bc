"""Imports point one way, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import scalenet

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(scalenet.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
HEAVY = {"torch", "fvcore", "pandas", "matplotlib"}

RUNS_NETWORKS = (
    "costs/allocation.py",
    "costs/counter.py",
    "costs/doubts.py",
    "costs/latency.py",
    "costs/live.py",
    "costs/observing.py",
    "costs/operators.py",
    "costs/running.py",
    "costs/tracing.py",
    "exchange/",
    "inheritance/",
    "model/",
    "running.py",
    "studies/activation.py",
    "studies/maps.py",
    "studies/pictures.py",
    "studies/transfer.py",
    "training/",
    "search/evaluators/train.py",
    "search/speed.py",
    "spaces/timing.py",
    "search/space/proxies.py",
)

# What a folder, or a file in it, may import of scalenet; the first match counts.
FOUNDATIONS = {
    "costs/formula.py": ("arch", "costs.expression", "costs.program", "costs.tables"),
    "arch/": ("arch",),
    "scaling/": (
        *("arch", "costs.formula", "costs.memory", "costs.network", "costs.tables", "model.factories", "scaling"),
        "_version",
    ),
    "costs/allocation.py": ("arch", "model"),
    "costs/latency.py": ("arch", "costs.running", "model"),
    "costs/network.py": ("arch", "costs", "model.factories"),
    "costs/": ("arch", "costs"),
    "model/": ("arch", "costs.formula", "model"),
    "spaces/timing.py": ("costs.latency", "spaces"),
    "spaces/": ("arch", "costs.formula", "costs.memory", "scaling.rounding", "spaces", "_version"),
    "report/": ("arch", "costs", "report", "scaling", "search", "_version"),
    "search/": ("arch", "costs", "model", "report", "scaling", "search", "spaces", "training", "_version"),
}


def imports(tree: ast.AST, *, late: bool = True, types: bool = True) -> Iterator[str]:
    """Yield the full names of what is imported; `late` inside functions, `types` for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, "relative imports hide where they point"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not late:
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not types:
                pass
            case _:
                yield from imports(node, late=late, types=types)


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=place)
def test_imports_point_one_way(file: Path) -> None:
    allowed = next((own for start, own in FOUNDATIONS.items() if place(file).startswith(start)), None)
    own = [name.removeprefix("scalenet.") for name in imports(parsed(file)) if name.startswith("scalenet.")]
    if allowed is not None:
        assert [name for name in own if not f"{name}.".startswith(tuple(f"{one}." for one in allowed))] == []


@pytest.mark.parametrize("file", FILES, ids=place)
def test_the_library_never_imports_the_command_line(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(parsed(file))}
    assert roots & {"typer", "click", "rich", "cli", "scalenet_cli"} == set()


@cache
def names_at_import(file: Path) -> list[str]:
    return list(imports(parsed(file), late=False, types=False))


def loads_torch(file: Path) -> bool:
    """Return whether importing a file imports torch, by itself or through another file of scalenet."""
    reached = [file]
    for each in reached:  # which grows
        names = names_at_import(each)
        if any(name.split(".")[0] in {"torch", "fvcore"} for name in names):
            return True
        others = {other for name in names if name.startswith("scalenet.") for other in homes(name)}
        reached += sorted(others.difference(reached))
    return False


@cache
def homes(name: str) -> list[Path]:
    """Return the files that are run when a name of scalenet is imported."""
    path, found = ROOT, []
    for step in name.split(".")[1:]:
        path /= step
        found += [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()]
    return found


@pytest.mark.parametrize("file", FILES, ids=place)
def test_only_what_runs_networks_loads_torch(file: Path) -> None:
    assert not loads_torch(file) or place(file).startswith(RUNS_NETWORKS)


@pytest.mark.parametrize("file", [file for file in FILES if place(file).startswith("arch/")], ids=place)
def test_the_description_of_architectures_does_without_arrays(file: Path) -> None:
    assert "numpy" not in {name.split(".")[0] for name in imports(parsed(file), late=False, types=False)}


@pytest.mark.parametrize("file", FILES, ids=place)
def test_only_reports_draw_and_nothing_that_runs_imports_them(file: Path) -> None:
    names = {name.removeprefix("scalenet.").split(".")[0] for name in imports(parsed(file))}
    assert not names & {"matplotlib", "report"} or place(file).startswith(
        ("report/", "search/search.py", "search/baseline/hunting.py", "studies/", "training/curves.py")
    )


def test_the_syntax_tree_is_read_down_to_late_imports_and_those_for_types() -> None:
    tree = ast.parse("import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    from c import d\n")
    assert list(imports(tree)) == ["a", "b", "c.d"]
    assert list(imports(tree, late=False, types=False)) == ["a"]


def loaded_after(code: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_importing_scalenet_loads_nothing_heavy() -> None:
    assert loaded_after("import scalenet") & {*HEAVY, "numpy", "pydantic", "yaml"} == set()


def test_loading_costing_and_scaling_load_no_torch() -> None:
    code = """
import scalenet
network = scalenet.scale(scalenet.load("resnet50"), depth=1.2)
scalenet.cost(network), scalenet.load("efficientnet_b3"), scalenet.compound(1.2, 1.1, 1.15, 2)
"""
    assert loaded_after(code) & HEAVY == set()


def type_checked_names() -> list[ast.alias]:
    """Return what `scalenet/__init__.py` imports for type checkers."""
    (block,) = [node for node in parsed(ROOT / "__init__.py").body if isinstance(node, ast.If)]
    return [alias for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_every_package_is_in_the_wheel() -> None:
    packages = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("scalenet", *file.parent.relative_to(ROOT).parts)) for file in FILES if file.name == "__init__.py"
    }
    assert found == {name for name in packages if name.startswith("scalenet.") or name == "scalenet"}


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(scalenet, name) is not None for name in scalenet.__all__)
    assert {name for name in dir(scalenet) if not name.startswith("__")} == {*scalenet.__all__} - {"__version__"}
    shown = {alias.asname or alias.name for alias in type_checked_names()}
    assert shown == {*scalenet.__all__} - {"__version__"} == set(scalenet._HOME)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = scalenet.lod
