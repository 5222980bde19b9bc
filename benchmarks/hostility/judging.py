"""What a command may do with input that no one means well with."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from hostility.mutations import SECRET
from hostility.running import MEMORY, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostility.running import Case, Outcome

LONGEST = 1000
"""Characters of a line on stderr."""
_EACH = ("check", "lock", "verify")
"""Commands that answer for each of their targets, the bad ones too."""
_KEPT_BY_OTHERS = re.compile(r"environment\.json$|search\.db(-\w+)?$")
"""Files that may change although nothing comes of it: who went on with a training last, and SQLite's own."""
_USAGE = re.compile(r"Usage: .*\n(Try .*\n)?\n?Error: ")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_COMMAND = re.compile(r"^(::error file=a::|::error::x|::add-mask::|##\[error)", re.MULTILINE)
"""What the hostile texts would have a CI obey; annotations of its own `check` may write."""
_EXCEPTION = re.compile(r"^scalenet: \w*(Error|Exception|Warning|Interrupt|Iteration)\b", re.MULTILINE)
_TEMPORARY = re.compile(r"(^|/)\.[^/]+\.\w{6,10}$|\.(tmp|part)$|~$")


def complaints(case: Case, outcome: Outcome, folder: Path) -> Iterator[str]:
    """Yield what is wrong with what a case did; nothing where all is well."""
    yield from _limits(case, outcome)
    yield from _code(case, outcome)
    yield from _text("stdout", outcome.stdout)
    yield from _text("stderr", outcome.stderr)
    yield from _message(case, outcome)
    yield from _left(case, outcome, folder)
    if "--json" in case.words and outcome.code in (0, 1) and case.streams[0] == "file":
        yield from _json("stdout", outcome.stdout)


def _limits(case: Case, outcome: Outcome) -> Iterator[str]:
    if outcome.waited and not case.works:
        yield "waits"
    elif outcome.seconds > SECONDS and not case.works:
        yield f"takes more than {SECONDS} s"
    if outcome.memory > MEMORY:
        yield f"takes more than {MEMORY >> 20} MiB"


def _code(case: Case, outcome: Outcome) -> Iterator[str]:
    if outcome.code < 0 and not outcome.waited and not case.works:
        yield f"dies of signal {-outcome.code}"
    elif outcome.code >= 0 and outcome.code not in case.codes:
        yield f"ends with {outcome.code}"
    elif case.wrong and outcome.code in (0, 1):
        yield f"takes what is wrong, and ends with {outcome.code}"


def _text(name: str, content: bytes) -> Iterator[str]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield f"{name} is not UTF-8"
        return
    if SECRET in text:
        yield f"{name} tells the password"
    if found := _CONTROL.search(text):
        yield f"{name} has the control character {found[0]!a}"
    if _COMMAND.search(text):
        yield f"{name} has a line that commands a CI"
    if "Traceback (most recent call last)" in text:
        yield f"{name} has a traceback"


def _message(case: Case, outcome: Outcome) -> Iterator[str]:
    """Hold the message of a failure to one line, and one for the next step."""
    text = _USAGE.sub("scalenet: ", outcome.stderr.decode(errors="replace"))
    if found := _EXCEPTION.search(text):
        yield f"a bare exception: {text[found.start() :].splitlines()[0][:120]}"
    lines = text.splitlines()
    if any(len(line) > LONGEST for line in lines):
        yield f"stderr has a line of more than {LONGEST} characters"
    if "Warning: " in text:
        yield "stderr has a raw warning"
    if outcome.code in (2, 3) and case.streams[1] == "file":
        errors = [number for number, line in enumerate(lines) if line.startswith("scalenet: ")]
        if len(errors) != 1 and case.words[0] not in _EACH:
            yield f"{len(errors)} lines of error"
        elif errors and len(lines) - errors[0] > 2:
            yield "more than a line of error and one of hint"


def _left(case: Case, outcome: Outcome, folder: Path) -> Iterator[str]:
    """Look for files that are half-written, or changed by a command that was asked wrongly."""
    changed = [name for name, what in outcome.after.items() if outcome.before.get(name) != what]
    changed = [name for name in changed if not _KEPT_BY_OTHERS.search(name)]
    gone = [name for name in outcome.before if name not in outcome.after]
    if halves := [name for name in changed if _TEMPORARY.search(name)]:
        yield f"leaves the half-written {halves[0]}"
    if outcome.code == 2 and (changed or gone) and case.words[0] not in _EACH:
        yield f"was asked wrongly, and changes {(changed + gone)[0]}"
    for name in changed:
        if name.endswith(".json") and (folder / name).is_file():
            yield from _json(name, (folder / name).read_bytes())


def _json(name: str, content: bytes) -> Iterator[str]:
    try:
        json.loads(content, parse_constant=_refuse)
    except ValueError:
        yield f"{name} is not JSON"


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)
