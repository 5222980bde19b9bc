"""Text of others shown on one line: names, keys, values and paths end no line, move no cursor, tell no password."""

from __future__ import annotations

import re

LONGEST = 1000
"""Characters of a line; what is longer is cut in its middle."""

_USER = re.compile(r"(:/{1,3})([^\s'\"]*)@")
_QUERY = re.compile(
    r"((?:[?&\s'\"]|^)[^\s'\"=&]*(?:pass|pwd|secret|token)[^\s'\"=&]*=)(?!\*\*\*)[^\s'\"&]*", re.IGNORECASE
)


def plain(text: object, longest: int = LONGEST) -> str:
    r"""Return text as it can be shown on one line: what is not printable is escaped as `\n` or `\u202e`.

    Line and paragraph separators, escape sequences and marks that turn the direction of writing count as not
    printable. A password in a URL is hidden. Text that is plain stays as it is.
    """
    line = _cut(str(text), 4 * longest)
    line = _QUERY.sub(r"\1***", _USER.sub(_without_password, line))
    if not line.isprintable():
        line = "".join(character if character.isprintable() else _escaped(character) for character in line)
    return _cut(line, longest)


def _cut(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    tail = longest // 3
    return f"{line[: longest - tail - 3]} … {line[-tail:]}"


def _without_password(found: re.Match[str]) -> str:
    told = ":" in found[2] and not found[2].endswith(":***")
    return f"{found[1]}***@" if told else found[0]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
