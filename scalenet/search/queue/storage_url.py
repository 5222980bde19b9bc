"""Storages' URLs, and how they are shown: never with a password."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from scalenet.arch.errors import ScalenetError

HINT = "write postgresql://USER@HOST/DATABASE, or sqlite:///FILE"

_HARMLESS = ("host", "port", "user", "dbname", "sslmode", "service", "application_name", "connect_timeout")
_PLAIN = re.compile(r"[\w.\-+ ,\[\]:/~]*")


def parsed(url: str) -> sqlalchemy.URL:
    """Return a storage's URL with its driver; raise ScalenetError where it is none, or of another database."""
    scheme, colon, rest = url.partition("://")
    known = scheme.lower() in ("postgresql", "postgres")
    found = _parsed(f"postgresql+psycopg{colon}{rest}" if known else url)
    if found is None:
        raise ScalenetError("--storage: not the URL of a database", hint=HINT)
    if "@" in (found.host or ""):
        raise ScalenetError(f"--storage {shown(url)}: more than one @", hint="write an @ in a password as %40")
    kind = found.get_backend_name()
    if kind != "postgresql" and (kind != "sqlite" or found.database in (None, "", ":memory:")):
        raise ScalenetError(f"--storage {shown(url)}: searches are kept in PostgreSQL or in a file", hint=HINT)
    return found


def shown(url: str) -> str:
    """Return a storage's URL for reading: the parts that a parser gave, without passwords; nothing where none parses.

    Of the query only values are shown that are known not to be secret. A part that holds what divides parts, as an @
    in a host's name, may be a piece of a password, and is not shown either.
    """
    found = _parsed(url)
    if found is None:
        return "the storage"
    database = found.database or ""
    if found.get_backend_name() == "sqlite" and database.startswith("/") and not found.query:
        return url
    if "@" in f"{found.host}{database}" or not (_PLAIN.fullmatch(found.host or "") and _PLAIN.fullmatch(database)):
        return f"{found.drivername}://***"
    query = {key: value if key in _HARMLESS else "***" for key, value in found.query.items()}
    return found.set(query=query).render_as_string().replace(quote("***"), "***")


def scrubbed(text: str, url: str) -> str:
    """Return what a database or a driver said without the secrets of the URL that it was opened with."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _parsed(url: str) -> sqlalchemy.URL | None:
    try:
        return sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        return None


def _secrets(url: str) -> set[str]:
    found = _parsed(url)
    if found is None:
        return {url}
    values = [value for key, value in found.query.items() if key not in _HARMLESS]
    words = {str(found.password or "")}
    for value in values:
        words.update([value] if isinstance(value, str) else value)
    pieces = re.split(r"[:/@?&=]", url.partition("://")[2])
    raw = {piece for piece in pieces if unquote(piece) in words}
    return {word for word in words | raw if word}
