"""One line is one line, and a password is not in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.errors import ScalenetError, one_line
from scalenet.arch.plain import LONGEST, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("abc\u202edcba\u2066", r"abc\u202edcba\u2066"),
        ("file\udcff.yaml", r"file\udcff.yaml"),
        ("größe – 4×", "größe – 4×"),
        ("see postgresql://me:hunter2@host/db", "see postgresql://***@host/db"),
        ("postgresql:/me@srv:hunter2@host/db", "postgresql:/***@host/db"),
        ("postgresql://me:***@host/db", "postgresql://me:***@host/db"),
        ("x://host/db?PassWord=hunter2&a=b", "x://host/db?PassWord=***&a=b"),
        ("x://host/db?password=***: refused", "x://host/db?password=***: refused"),
        ("write postgresql://USER@HOST/DATABASE", "write postgresql://USER@HOST/DATABASE"),
    ],
)
def test_what_is_not_printable_is_escaped_and_a_password_hidden(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_any_text_is_one_printable_line_and_stays_as_it_is_then(text: str) -> None:
    line = plain(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    assert plain(line) == line


def test_a_long_line_is_cut_in_its_middle() -> None:
    line = plain("begin " + "x" * 100_000 + " end")
    assert len(line) == LONGEST
    assert line.startswith("begin ")
    assert line.endswith(" end")


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = ScalenetError("key 'a\n::error::b'", hint="see\x1b[2J")
    assert error.message == r"key 'a\n::error::b'"
    assert error.hint == r"see\x1b[2J"
    assert str(error).isprintable()
    assert one_line(OSError("a\u2028b")) == "OSError: a b"


def test_a_password_in_words_is_hidden() -> None:
    assert plain("device 'password=hunter2 host=x'") == "device 'password=*** host=x'"
