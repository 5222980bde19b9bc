"""What the site has beyond docs/: README, CHANGELOG and the examples, with their links as they are from there."""

from __future__ import annotations

import logging
import posixpath
import re
from inspect import get_annotations
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md")
EXAMPLES = (".md", ".py", ".sh", ".yml", ".yaml", ".sbatch", ".toml", ".ipynb")

log = logging.getLogger("mkdocs.hooks.scalenet")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/, and the examples as they are; tell public names without a place."""
    outside = [ROOT / name for name in PAGES]
    outside += [path for path in sorted((ROOT / "examples").rglob("*")) if path.suffix in EXAMPLES]
    for path in outside:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for name in missing_names((ROOT / "docs" / "reference.md").read_text(encoding="utf-8")):
        log.warning("scalenet.%s has no place in docs/reference.md, or no docstring", name)
    return files


def missing_names(reference: str) -> list[str]:
    """Return the public names that a reference lacks, or that say nothing of themselves."""
    import scalenet

    listed = set(re.findall(r"^::: scalenet\.(\w+)$", reference, flags=re.MULTILINE))
    public = [name for name in scalenet.__all__ if name != "__version__"]
    return [name for name in public if name not in listed or not getattr(scalenet, name).__doc__]


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Let links that are right in the repository be right on the site."""
    here = page.file.src_uri
    if here == "reference.md":
        markdown = re.sub(r"^::: scalenet\.(\w+)$", _with_fields, markdown, flags=re.MULTILINE)
    folder = posixpath.dirname(here) if here in PAGES or here.startswith("examples/") else "docs"
    return re.sub(r"(?<=\]\()([^)#:\s]+)(?=[)#])", lambda link: _link(link[1], folder, here, files), markdown)


def _with_fields(directive: re.Match[str]) -> str:
    """Return the line that names a record with its fields below it, and any other as it is."""
    import scalenet

    fields = _fields(getattr(scalenet, directive[1]))
    if not fields:
        return directive[0]
    lines = "\n".join(f"    {name}: {kind}" for name, kind in fields.items())
    return f"{directive[0]}\n\n```python\nclass {directive[1]}:\n{lines}\n```\n"


def _fields(kind: Any) -> dict[str, str]:
    """Return what a record holds, as its class says it, with defaults."""
    if not isinstance(kind, type) or issubclass(kind, Exception):
        return {}
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("scalenet"):
            found |= {name: getattr(one, "__forward_arg__", one) for name, one in get_annotations(base).items()}
    models: Any = getattr(kind, "model_fields", {})
    for name, field in models.items():
        if name in found and not field.is_required():
            found[name] += f" = {field.get_default(call_default_factory=True)!r}"
    return {name.removesuffix("_"): text for name, text in found.items() if not name.startswith(("_", "model_config"))}


def _link(target: str, folder: str, here: str, files: Any) -> str:
    """Return a link from a page `here` of the site, which was written in a `folder` of the repository."""
    place = posixpath.normpath(posixpath.join(folder, target))
    if (ROOT / place).is_dir():
        place = f"{place}/README.md"
    place = place.removeprefix("docs/")
    if files.get_file_from_path(place) is None:
        return target  # which mkdocs tells
    return posixpath.relpath(place, posixpath.dirname(here) or ".")
