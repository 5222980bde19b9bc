"""Tables of a study as LaTeX, for the package booktabs: the same numbers as in its CSV files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPECIAL = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$", "±": r"$\pm$", "×": r"$\times$", "−": r"$-$"}
_SPECIAL |= {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """Return a table: the first so many `words` of each row lie left, numbers right; lines part the first words."""
    columns = "l" * words + "r" * (len(heads) - words)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
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
    return "\n".join(lines)


def text(plain: str) -> str:
    """Return plain text as LaTeX has it."""
    return re.sub(r"[%_&#$±×−\\{}~^]", lambda match: _SPECIAL[match[0]], plain)


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(text, cells)) + r" \\"
