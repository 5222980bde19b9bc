"""The documentation: every public name has its place, every page too, links lead somewhere, and examples run."""

from __future__ import annotations

import contextlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import scalenet

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PAGES += sorted((ROOT / "examples").glob("*/README.md"))
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_every_public_name_has_a_place_in_the_reference():
    listed = re.findall(r"^::: scalenet\.(\w+)$", REFERENCE, flags=re.MULTILINE)
    assert sorted(listed) == sorted(set(scalenet.__all__) - {"__version__"})


@pytest.mark.parametrize("name", sorted(set(scalenet.__all__) - {"__version__"}))
def test_every_public_name_says_what_it_is(name):
    value = getattr(scalenet, name)
    assert len((value.__doc__ or "").split("\n")[0]) > 10
    if isinstance(value, type) and not issubclass(value, Exception):
        own = {key: one for key, one in vars(value).items() if not key.startswith("_") and key != "model_config"}
        calls = {
            key: getattr(one, "fget", one) for key, one in own.items() if callable(one) or isinstance(one, property)
        }
        assert [key for key, one in calls.items() if not one.__doc__] == []


def anchors(page):
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    names = re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


class _Yaml(yaml.SafeLoader):
    """Reads what names functions too."""


_Yaml.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def test_every_page_is_on_the_site():
    found = re.findall(r"[\w/-]+\.md", str(yaml.load((ROOT / "mkdocs.yml").read_text(), _Yaml)["nav"]))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("**/*.md")}
    assert sorted(found) == sorted({*pages, "README.md", "CHANGELOG.md"})


@pytest.mark.parametrize(("name", "file"), [("library", "budget.yaml"), ("architectures", "twin_net_phi1.yaml")])
def test_the_library_does_what_its_pages_say(name, file, tmp_path, monkeypatch):
    from scalenet.arch import blocks, registry

    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(blocks, "_registered", {})
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)).replace("1_000_000", "1_000")
    with contextlib.chdir(tmp_path):
        exec(code, {"__name__": "__main__"})
    assert (tmp_path / file).is_file()


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="make docs installs mkdocs")
def test_what_the_site_lacks_is_told(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    assert hooks.missing_names(REFERENCE) == []
    assert hooks.missing_names(REFERENCE.replace("::: scalenet.load\n", "")) == ["load"]
