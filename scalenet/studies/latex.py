"""Tables of a study as LaTeX, for the package booktabs: the same numbers as in its CSV files."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from scalenet.arch.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMMANDS = {
    **{mark: f"\\{mark}" for mark in "%_&#${}"},
    **{mark: f"{{{mark}}}" for mark in "[]*"},  # which the end of a row before it takes for its own
    **{mark: f"${mark}$" for mark in "<>|"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''"},
    **{"±": r"$\pm$", "×": r"$\times$", "−": "$-$", "–": "--", "—": "---", "…": r"\ldots{}", "·": r"$\cdot$"},
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}"},
    **{"ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}"},
}
_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327", "`'^~=u.\"rHvc", strict=True)
)
"""Of combining characters, those of the oldest encoding of fonts."""

_MOST = 7
"""Columns that the width of an article's text holds at its own size."""

_LIGATURES = ("--", "''", "``", "?`", "!`")

_OTHERS = r"\providecommand{\unicode}[2]{\ifdefined\Umathcode #1\else\texttt{U+#2}\fi}"
"""Other characters: XeLaTeX and LuaLaTeX take them from the font, pdfLaTeX shows their number."""


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """Return a table: the first so many `words` of each row lie left, numbers right; lines part the first words."""
    columns = "l" * words + "r" * (len(heads) - words)
    narrow = ["\\scriptsize", "\\setlength{\\tabcolsep}{2pt}"] if len(heads) > _MOST else []
    lines = [
        "\\begin{table}",
        "\\centering",
        *narrow,
        f"\\caption{{{text(caption)}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _row(heads),
        "\\midrule",
    ]
    before = rows[0][0] if rows else ""
    for row in rows:
        if row[0] != before:
            lines.append("\\addlinespace")
        before = row[0]
        lines.append(_row(row))
    lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
    others = [_OTHERS] if any("\\unicode{" in line for line in lines) else []
    return "\n".join(["% needs \\usepackage{booktabs}", *others, *lines])


def text(words: str) -> str:
    """Return text as LaTeX has it: what it means something else by, or has no letter for, is a command."""
    return "".join(_letters(unicodedata.normalize("NFC", plain(words))))


def _letters(words: str) -> Iterator[str]:
    before = ""
    for letter in words:
        if before + letter in _LIGATURES:
            yield "{}"
        before = letter
        if letter in _COMMANDS:
            yield _COMMANDS[letter]
        elif letter.isascii():
            yield letter
        else:
            yield _accented(letter) or _greek(letter) or f"\\unicode{{{letter}}}{{{ord(letter):04X}}}"


def _accented(letter: str) -> str | None:
    split = unicodedata.normalize("NFD", letter)
    base, mark = split[0], split[1:]
    if not (base.isascii() and base.isalpha() and mark in _ACCENTS):
        return None
    dotless = f"\\{base}" if base in "ij" and mark != "\u0327" else base
    return f"\\{_ACCENTS[mark]}{{{dotless}}}"


def _greek(letter: str) -> str | None:
    if not "α" <= letter <= "ω" or letter in "ος":
        return None
    name = unicodedata.name(letter).rpartition(" ")[2].lower()
    return f"$\\{name.replace('lamda', 'lambda')}$"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(text, cells)) + r" \\"
