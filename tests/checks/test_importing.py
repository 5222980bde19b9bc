"""What lies in the working directory is run only where a target names it, and stands in for nothing installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torch import nn

from scalenet.arch.errors import ScalenetError
from scalenet.model.importing import found, made, place_of

if TYPE_CHECKING:
    from conftest import Folder

_LIBRARIES = ("torch", "numpy", "yaml", "fvcore", "iopath", "pydantic", "scipy", "PIL", "rich", "typer", "sympy")
_STANDARD = ("multiprocessing", "json", "pickle", "struct", "queue", "random", "sitecustomize", "usercustomize")
TRAPS = (*_LIBRARIES, *_STANDARD, "scalenet", "scalenet_cli")
COMMANDS = {
    "script": [str(Path(sys.executable).parent / "scalenet")],
    "module": [sys.executable, "-m", "scalenet_cli"],
}


@pytest.fixture
def trapped(folder: Folder) -> Folder:
    """Return a project in whose folder each file says that it was run."""
    for name in TRAPS:
        folder.write(f"{name}.py", f"open('ran_{name}', 'w')\n")
    folder.write("nets.py", "import random\nfrom torch import nn\n\ndef make():\n    return nn.Conv2d(3, 8, 3)\n")
    return folder


def ran(folder: Folder) -> list[str]:
    return [file.name for file in folder.path.glob("ran_*")]


@pytest.mark.parametrize("words", [["check", "resnet18"], ["check", "nets:make", "--input=1x3x8x8"], ["lock"]])
def test_nothing_in_the_working_directory_stands_in_for_a_library(trapped: Folder, words: list[str]) -> None:
    done = subprocess.run([*COMMANDS["script"], *words], cwd=trapped.path, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if words == ["lock"] else 1), done.stderr
    assert ran(trapped) == []


def test_nor_does_it_for_python_m(trapped: Folder) -> None:
    for name in ("scalenet_cli", "scalenet"):  # Python itself starts these from the working directory
        (trapped.path / f"{name}.py").unlink()
    command = [*COMMANDS["module"], "check", "--fast"]
    done = subprocess.run(command, cwd=trapped.path, capture_output=True, text=True, check=False)
    assert (done.returncode, ran(trapped)) == (1, []), done.stderr


NET = "from torch import nn\nfrom mine.parts import width\n\ndef make():\n    return nn.Conv2d(3, width, 1)\n"


def test_a_project_with_a_src_folder_is_imported_from_there_before_an_installed_copy(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, width in (("src", 8), ("site-packages", 9)):
        (folder.path / place / "mine").mkdir(parents=True)
        folder.write(f"{place}/mine/__init__.py", "")
        folder.write(f"{place}/mine/nets.py", NET)
        folder.write(f"{place}/mine/parts.py", f"width = {width}\n")
    monkeypatch.syspath_prepend(folder.path / "site-packages")
    assert folder.run("lock", "mine.nets:make", "--input", "1x3x2x2").exit_code == 0
    targets = json.loads((folder.path / "scalenet.lock.json").read_text())["targets"]
    assert targets["mine.nets:make"]["params"] == 8 * 4


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").write_text("")
    (tmp_path / "zoo" / "mammals.py").write_text("import nowhere_at_all\n")
    (tmp_path / "zoo" / "birds.py").write_text("class Parrot:\n    def small(self): ...\n\nlimit = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("zoo.birds:Parot", r"zoo\.birds has no 'Parot' \(did you mean 'Parrot'\?\)"),
        ("zoo.birds:Parrot.smal", r"zoo\.birds\.Parrot has no 'smal' \(did you mean 'small'\?\)"),
        ("zoo.bird:Parrot", r"no module 'zoo\.bird' \(did you mean 'birds'\?\)"),
        ("zo.birds:Parrot", r"no module 'zo' \(did you mean 'zoo'\?\)"),
        ("whale:Blue", r"no module 'whale' \(looked in .*, and in the environment\)"),
        ("zoo.mammals:Cat", "cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(package: Path, path: str, said: str) -> None:
    with pytest.raises(ScalenetError, match=said):
        found(path, package)


class Net(nn.Module):
    """A module."""


def make(width: int, *, scale: float = 1) -> nn.Module:
    return nn.Linear(width, int(width * scale))


def test_the_line_of_a_callable_or_of_a_modules_class_is_told() -> None:
    lines = Path(__file__).read_text().splitlines()
    for factory, text in ((Net, "class Net"), (Net(), "class Net"), (make, "def make")):
        file, line = place_of(factory)
        assert file == __file__
        assert lines[line - 1].startswith(text)
    assert place_of(3) == (None, 1)


def test_arguments_are_handed_on() -> None:
    layer = made(make, [4], {"scale": 2.0})
    assert isinstance(layer, nn.Linear)
    assert (layer.in_features, layer.out_features) == (4, 8)
    with pytest.raises(ScalenetError, match="cannot be made: TypeError"):
        made(make, [])
