"""The page of a search: complete in itself, valid, safe, and the same each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

from scalenet.arch.convention import CONVENTION
from scalenet.arch.errors import ScalenetError
from scalenet.report.page import UNFOLDED, write_report
from scalenet.report.plots import MOST_CURVES

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "wbr", "link", "br", "hr", "img", "input"}


class Strict(HTMLParser):
    """Reads a page, and fails where a tag is not closed, an id is there twice, or something would be loaded."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.figures: list[dict[str, str | None]] = []
        self.cells: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.handle_startendtag(tag, attrs)
        if tag == "svg":
            self.figures.append(values)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [value] if name == "id" else []
            self.targets += [value] if name in ("href", "xlink:href", "src", "data", "action") else []
            self.targets += re.findall(r"url\((.*?)\)", value or "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


@pytest.fixture(scope="module")
def written(invent, tmp_path_factory):
    """Return the folder of a report."""
    return write_report(invent(rungs=2, curves=True), tmp_path_factory.mktemp("written")).parent


@pytest.mark.parametrize("curves", [True, False])
def test_the_page_is_valid_and_holds_all_in_itself(tmp_path, invent, written, curves):
    file = written / "report.html" if curves else write_report(invent(rungs=2), tmp_path)
    page = Strict(file)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "iframe", "object", "foreignobject"} & set(page.tags)
    inside = {f"#{name}" for name in page.ids}
    assert all(target in inside or target.startswith("data:image/png;base64,") for target in page.targets)
    assert len(page.figures) == page.tags.count("figcaption") == 4
    assert all(figure["role"] == "img" and figure["aria-label"] for figure in page.figures)
    assert "@import" not in file.read_text()


def test_the_answer_comes_first_and_the_convention_is_named(tmp_path, invent):
    text = write_report(invent(), tmp_path).read_text().replace("\N{NO-BREAK SPACE}", " ")
    answer, tied, figure = (text.index(words) for words in ("best: α = 1.2", "2 of the others tie", "<svg"))
    facts, convention = text.index("squares</td>"), text.index(CONVENTION)
    assert answer < tied < figure < facts < convention


def test_the_table_has_the_best_first_and_says_what_became_of_the_others(tmp_path, invent):
    findings = invent(9, rungs=2, diverged=(0,))
    page = Strict(write_report(findings, tmp_path))
    width = page.cells.index("name") + 1
    head, *rows = (page.cells[start : start + width] for start in range(0, 10 * width, width))
    assert head[:4] == ["rank", "standing", "accuracy, %", "±"]
    assert [row[0] for row in rows] == ["1", "2", "3", *6 * [""]]
    assert [row[1] for row in rows] == ["best", "tied", "", *5 * ["dropped"], "not ranked"]
    assert rows[-1][-1] == "net0"
    best = findings.candidates.set_index("name").loc[rows[0][-1]]
    assert rows[0][2] == f"{100 * best['accuracy']:.2f}"
    assert best["rank"] == 1


def test_merged_points_stand_beside_the_name(tmp_path, invent):
    findings = invent(3)
    findings.candidates["merged"] = ["a1_b1_g1.41", float("nan"), ""]
    cells = Strict(write_report(findings, tmp_path)).cells
    assert "net0 (also a1_b1_g1.41)" in cells
    assert "net1" in cells


def test_a_score_that_is_not_the_accuracy_has_a_column_of_its_own(tmp_path, invent):
    findings = invent()
    assert "score, %" not in Strict(write_report(findings, tmp_path)).cells
    findings.candidates["score"] *= (findings.candidates["flops_ratio"] / 2) ** -0.07
    assert "score, %" in Strict(write_report(findings, tmp_path)).cells
    assert "accuracy weighed by FLOPs" in (tmp_path / "plots" / "ties.svg").read_text()


def test_text_of_others_is_no_markup(tmp_path, invent):
    bad = '<script>alert("&")</script><b id="patch_1"> $title '
    page = Strict(
        write_report(invent(curves=True, name=bad, title=bad, summary=(bad, bad), facts={bad: bad}), tmp_path)
    )
    assert not {"script", "b"} & set(page.tags)
    assert f"{bad}0" in page.cells
    assert bad in page.cells


def test_the_plots_are_files_as_well_with_their_text_as_text(written):
    names = ("cost", "curves", "shares", "ties")
    assert sorted(path.name for path in (written / "plots").iterdir()) == [
        f"{n}.{end}" for n in names for end in ("png", "svg")
    ]
    for name in names:
        with Image.open(written / "plots" / f"{name}.png") as image:
            image.verify()
        drawn = ElementTree.parse(written / "plots" / f"{name}.svg")
        texts = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert "best" in texts
        if name == "shares":
            assert {"depth", "width", "resolution", "25 %", "the paper's 1.2, 1.1, 1.15"} <= set(texts)


def test_the_same_findings_give_the_same_bytes(tmp_path, invent, written):
    write_report(invent(rungs=2, curves=True), tmp_path)
    files = [sorted(folder.rglob("*.*")) for folder in (written, tmp_path)]
    assert len(files[0]) == len(files[1]) == 9
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, invent):
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(ScalenetError, match="plots"):
        write_report(invent(2), tmp_path)


def test_a_users_settings_change_nothing_and_stay(tmp_path, invent):
    own = {"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "black"}
    with matplotlib.rc_context(own):
        write_report(invent(3), tmp_path / "own")
        assert {name: matplotlib.rcParams[name] for name in own} == own
    write_report(invent(3), tmp_path / "plain")
    for name in ("report.html", "plots/ties.png"):
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_the_first_use_prints_nothing_to_stdout_and_starts_no_pyplot(tmp_path, invent):
    findings = invent(2)
    findings.candidates.to_csv(tmp_path / "candidates.csv")
    findings.jobs.to_csv(tmp_path / "jobs.csv")
    code = """
import sys, pandas
from pathlib import Path
from scalenet.report.page import Findings, write_report
candidates, jobs = (pandas.read_csv(f"{name}.csv") for name in ("candidates", "jobs"))
findings = Findings(title="", summary=("best",), candidates=candidates, jobs=jobs,
                    curves=pandas.DataFrame(), target=2.0, facts={})
write_report(findings, Path())
assert "matplotlib.pyplot" not in sys.modules
"""
    new = {"MPLCONFIGDIR": str(tmp_path / "fonts")}  # no cache of fonts yet
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | new, cwd=tmp_path)
    assert result.stdout == ""
    assert (tmp_path / "report.html").exists()


def test_of_many_candidates_the_best_are_seen_at_once_and_all_are_there(tmp_path, invent):
    findings = invent(UNFOLDED + 40, rungs=2, curves=True)
    page = Strict(write_report(findings, tmp_path))
    assert page.open == []
    assert page.tags.count("details") == 1
    text = (tmp_path / "report.html").read_text()
    seen, _, folded = text.partition("<summary>The other 40</summary>")
    assert (seen.count('<tr class="'), folded.count('<tr class="')) == (UNFOLDED, 40)
    assert set(findings.candidates["name"]) <= set(page.cells)
    assert f"The best {MOST_CURVES} of {UNFOLDED + 40} are shown." in seen
