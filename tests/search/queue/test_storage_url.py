"""A storage's password is shown nowhere: not in URLs, not in what drivers say, not in hints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

import commands
import pytest
from commands import SCALENET
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.errors import ScalenetError
from scalenet.search.queue.storage_url import parsed, scrubbed, shown

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"postgresql://me:{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://user@srv:{SECRET}@host/db", "postgresql://user%40srv:***@host/db"),
        (f"postgresql://me:{SECRET}@/db", "postgresql://me:***@/db"),
        (f"postgresql://:{SECRET}@host/db", "postgresql://:***@host/db"),
        (f"postgresql://host/db?user=me&password={SECRET}", "postgresql://host/db?password=***&user=me"),
        (f"postgresql:///db?PassWord={SECRET}", "postgresql:///db?PassWord=***"),
        (f"postgresql:///db?pass%77ord={SECRET}", "postgresql:///db?password=***"),
        (f"postgresql://host/db?sslkey={SECRET}&sslmode=require", "postgresql://host/db?sslkey=***&sslmode=require"),
        (f"postgresql://me@host/db?host=/run&passfile={SECRET}", "postgresql://me@host/db?host=%2Frun&passfile=***"),
        (f"postgresql://me:p@{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://m/e:{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://host/db;password={SECRET}", "postgresql://***"),
        (f"me:{SECRET}@host/db", "the storage"),
        (f"host=h password={SECRET}", "the storage"),
        (f"postgresql:/me:{SECRET}@host/db", "the storage"),
        (f"postgresql://me:{SECRET}", "the storage"),
        (f"mysql://me:{SECRET}@host/db", "mysql://me:***@host/db"),
        ("sqlite:////a:b@c/search.db", "sqlite:////a:b@c/search.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets_and_not_at_all_where_it_is_none(url: str, expected: str) -> None:
    assert shown(url) == expected


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


@given(before=WORDS, after=WORDS, template=st.sampled_from(["u:{}@h/d", "u@v:{}@h/d", "h/d?{}", "h/d?a={}&host=x"]))
def test_no_text_around_a_password_brings_it_to_light(before: str, after: str, template: str) -> None:
    url = "postgresql://" + template.format(quote(before) + SECRET + quote(after))
    assert SECRET not in shown(url)
    try:
        parsed(url)
    except ScalenetError as error:
        assert SECRET not in str(error)  # noqa: PT017 - either outcome is good


def test_what_a_driver_repeats_of_a_url_is_hidden() -> None:
    url = "postgresql://me:a%2Fb@host/db?sslkey=k%20ey"
    said = 'invalid "a/b", "a%2Fb", "k ey" of me'
    assert scrubbed(said, url) == 'invalid "***", "***", "***" of me'


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user@srv:{SECRET}@localhost:1/db",
        f"postgresql://me:{SECRET}@localhost:1/db?sslcertmode={SECRET}",
        f"postgresql://localhost:1/db?PASSWORD={SECRET}",
        f"POSTGRESQL://me:{SECRET}@localhost:1/db",
        f"postgresql://me:{SECRET}",
        f"me:{SECRET}@localhost/db",
    ],
)
def test_a_command_that_fails_does_not_show_the_password(url: str, tmp_path: Path) -> None:
    asked = [*SCALENET, "search", "status", "runs/mine"]
    environment = {**os.environ, "SCALENET_STORAGE": url}
    done = commands.run(asked, cwd=tmp_path, env=environment)
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("scalenet: ")
    assert SECRET not in done.stderr + done.stdout
