"""The files of one's own that results follow from: Python modules by import, and what a command runs and reads."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CODE = (".py", ".sh", ".bash", ".pl", ".r", ".R", ".jl", ".lua")
_SETTINGS = (".yaml", ".yml", ".toml", ".json", ".ini", ".cfg")
_SHELL = ("", ".sh", ".bash")
_LONGEST = 1 << 20  # a longer file is no script
_PROGRAMS = (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")  # how a file begins that can be run
_RUNS = re.compile(r"(ba|da|k|z)?sh|source|\.|python[\d.]*|perl|ruby|Rscript|julia|lua|node|java")
_MODULE = re.compile(r"-\w*m|--module(=.*)?")
_FOLDER = ("cd", "-C", "--chdir", "--directory")
_BETWEEN = re.compile(r"(>+\s*[^\s;&|()]+|[\s;&|()<>\"'`])+")  # what a command writes is none of its words


def modules(names: Iterable[str], folders: Sequence[Path]) -> list[Path]:
    """Return the files of modules below folders, and of those that they import, however far, also within functions.

    A module is looked for in the first folder first. Names of what is no module there are left out.
    """
    wanted, found = [*names], set[Path]()
    while wanted:
        steps = wanted.pop().split(".")
        for count in range(1, len(steps) + 1) if all(steps) else ():
            places = (folder.joinpath(*steps[:count]) for folder in folders)
            there = (files for place in places if (files := _files(place)))
            for file in set(next(there, ())) - found:
                found.add(file)
                wanted += imports(_text(file), package_of(file, steps[:count]))
    return sorted(found)


def _files(place: Path) -> list[Path]:
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if _is_file(file)]


def package_of(file: Path, steps: Sequence[str]) -> Sequence[str]:
    """Return the package of a module whose name has these steps."""
    return steps if file.name == "__init__.py" else steps[:-1]


def imports(source: str, package: Sequence[str] = ()) -> set[str]:
    """Return the names of what Python's text may import; those it has from a package may be modules or not."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            place = [*above, *(node.module or "").split(".")] if node.module else above
            names.update(".".join([*place, alias.name]) for alias in node.names)
    return names


def of_command(words: Sequence[str]) -> list[Path]:
    """Return the files of one's own that a command reads and runs: settings, scripts, modules and programs.

    What a script of the shell runs and a script of Python imports is among them, however far. Programs are one's own
    where they lie in the working directory, or are named relative to it; those of the system are not.
    """
    told = list(_apart(words))
    settings = {file for file in _named(told, [Path()]) if file.suffix in _SETTINGS}
    found, wanted = set[Path](), [(told, _folders(told, [Path(), Path("src")]))]
    while wanted:
        told, folders = wanted.pop()
        found.update(modules(_modules(told), folders))
        for file in set(_code(told, folders)) - found:
            found.add(file)
            text, below = _text(file), [file.parent, *folders]
            found.update(modules(imports(text), below))
            if file.suffix in _SHELL:
                inner = _inner(text)
                wanted.append((inner, _folders(inner, below)))
    return sorted(settings | found)


def _apart(words: Iterable[str]) -> Iterator[str]:
    """Yield words, what follows `=` in them, and the words of those that are commands themselves: sh -c '…'."""
    for word in words:
        yield word
        if _BETWEEN.search(word):
            yield from _apart(_inner(word))
        elif "=" in word:
            yield word.partition("=")[2]


def _inner(text: str) -> list[str]:
    """Return the words of a text of the shell's, roughly."""
    return [word for word in _BETWEEN.sub(" ", text).split(" ") if word]


def _folders(words: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """Return folders and those that a command moves to: what it names lies there."""
    moved = [Path(word) for before, word in pairwise(words) if before in _FOLDER]
    return list(dict.fromkeys([*folders, *moved]))


def _modules(words: Sequence[str]) -> Iterator[str]:
    """Yield the names of Python's modules that words run or import, as far as it can be told; some may be none."""
    for before, word in pairwise(["", *words]):
        if _MODULE.fullmatch(before):
            yield from (word, f"{word}.__main__")
        if re.fullmatch(r"-m\w.*", word):
            yield from (word[2:], f"{word[2:]}.__main__")
        if _BETWEEN.search(word):  # python -c '…'
            yield from imports(word)
        elif "/" not in word and (program := which(word)) is not None:  # pip writes a script that imports the project
            yield from imports(_text(Path(program)))


def _code(words: Sequence[str], folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the scripts and programs of one's own that words name."""
    plain = [word for word in words if not word.startswith("-")]
    for before, word in pairwise(["", *plain]):
        run = _RUNS.fullmatch(Path(before).name)
        for file in _named([word], folders):
            if file.suffix in _CODE or (_is_own(file) and (run or _begins(file, _PROGRAMS))):
                yield file


def _named(words: Iterable[str], folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that words name, each in the first folder that has it; a folder may be run by Python as well."""
    for word in words:
        places = (place for folder in folders for place in (folder / word, folder / word / "__main__.py"))
        file = next((place for place in places if _is_file(place)), None)
        if file is not None:
            yield file


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # too long for a name
        return False


def _is_own(file: Path) -> bool:
    return file.resolve().is_relative_to(Path.cwd().resolve()) or not (file.is_absolute() or file.is_symlink())


def _begins(file: Path, ways: tuple[bytes, ...]) -> bool:
    try:
        with file.open("rb") as content:
            return content.read(4).startswith(ways)
    except OSError:  # it may be run but not read
        return False


def _text(file: Path) -> str:
    """Return the text of a script; none of what is no text, or cannot be read."""
    try:
        if file.stat().st_size > _LONGEST or _begins(file, _PROGRAMS[1:]):
            return ""
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
