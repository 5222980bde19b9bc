"""LaTeX tables: whatever names there are, they are typeset as they are, and pdfLaTeX takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.studies.latex import table, text

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    *("under_score", "100% & more", "#1 $x$", "[a]", "*star", "{b", "c}", "\\relax", "~t^u", "a--b", "<x>|y", "?`!`"),
    *("café Ångström Źż ĳ ï Ç", "αβγ φ ς Λ", "日本語", "🙂", "x\ny\t\u202ez", "\"q\" 'r' ``s''", "½ ² ﬁ", "ęąđðþ", ""),
]
_COMMAND = re.compile(
    r"\\unicode\{.\}\{[0-9A-F]{4,6}\}|\\[a-zA-Z]+|\\[%_&#${}]|\\[`'^~=.\"]\{\\?[a-zA-Z]\}|[{}$]", re.DOTALL
)


@given(st.text() | st.sampled_from(HOSTILE))
def test_any_text_is_letters_and_commands(words):
    found = text(words)
    rest = _COMMAND.sub("", found)
    assert rest.isascii()
    assert rest.isprintable()
    assert not set(rest) & set('\\%_&#~^<>|"') - set("<>|"), "only in math"
    assert found.count("{") - found.count("\\{") == found.count("}") - found.count("\\}")
    assert not found.startswith(("[", "*")), "the end of the row before takes these"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("small_resnet, 5 %", r"small\_resnet, 5 \%"),
        ("e\u0301à", r"\'{e}\`{a}"),
        ("ïç", r"\"{\i}\c{c}"),
        ("αλ", r"$\alpha$$\lambda$"),
        ("a--b", "a-{}-b"),
        ("日", r"\unicode{日}{65E5}"),
    ],
)
def test_letters_stay_those_they_are(words, found):
    assert text(words) == found


def test_a_wide_table_is_set_small_and_defines_what_it_uses():
    wide = table("café", ["a"] * 8, [["日", *"1234567"]], words=1)
    assert "\\scriptsize" in wide
    assert wide.index("\\providecommand{\\unicode}") < wide.index("\\unicode{日}")
    assert "\\providecommand" not in table("café", ["a"], [["b"]], words=1)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdfLaTeX")
def test_pdflatex_takes_it(tmp_path: Path) -> None:
    rows = [[name, name, "1"] for name in HOSTILE]
    tables = [table(name, ["h_%", name, "±"], rows, words=2) for name in HOSTILE[:8]]
    document = ["\\documentclass{article}", "\\usepackage{booktabs}", "\\begin{document}", *tables, "\\end{document}"]
    (tmp_path / "all.tex").write_text("\n".join(document), encoding="utf-8")
    words = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "all.log").read_text(errors="replace")
