"""Names from outside stand in a model card as they are."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.training.card import literal


def shown(markdown: str) -> str:
    """Return what Markdown of escapes alone shows (CommonMark, 2.4 and 2.5)."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown))


@given(st.text(st.characters(exclude_categories=("C", "Z")), max_size=40))
def test_a_name_is_shown_as_it_is(name: str) -> None:
    assert shown(literal(name)) == name


@pytest.mark.parametrize(
    ("name", "never"),
    [
        ("<script>alert(1)</script>", "<"),
        ("a|b", r"(?<!\\)\|"),
        ("[x](http://evil)", r"(?<!\\)\["),
        ("two\nlines", "\n"),
        ("**bold** `code` $x$", r"(?<!\\)[*`$]"),
        ("---", r"(?<!\\)-"),
    ],
)
def test_nothing_of_it_is_markup(name: str, never: str) -> None:
    assert re.search(never, literal(name)) is None
