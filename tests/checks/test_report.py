"""The reports: Markdown for a pull request, JUnit, JSON, GitHub's commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

import pytest

from scalenet.checks.machine import as_junit, github_commands
from scalenet.checks.outcome import Report, Result
from scalenet.checks.report import markdown, marker
from scalenet.checks.targets import Problem

if TYPE_CHECKING:
    from conftest import Folder

B0, R18 = "nets/efficientnet_b0.yaml", "nets/resnet18.yaml"


@pytest.fixture
def changed(locked: Folder) -> Folder:
    """Return a project with one changed target and one limit that does not hold."""
    locked.write("pyproject.toml", '[tool.scalenet]\ntargets = ["nets/*.yaml"]\ngates = [{max = "1G"}]\n')
    locked.edit(R18, "classes: 1000", "classes: 10")
    return locked


def test_several_reports_are_written_at_once_beside_the_table(changed: Folder) -> None:
    kinds = {"markdown": "out/report.md", "junit": "out/report.xml", "json": "out/report.json"}
    result = changed.check(*(word for kind, file in kinds.items() for word in ("--report", f"{kind}={file}")))
    assert result.exit_code == 1
    assert "accept with: scalenet lock" in result.stdout
    assert json.loads(Path("out/report.json").read_text()) == json.loads(changed.check("--json").stdout)
    assert Path("out/report.md").read_text().startswith(marker("."))
    assert Xml.parse("out/report.xml").getroot().get("failures") == "2"


def test_the_markdown_is_a_comment_with_the_verdict_and_changed_rows_only(changed: Folder) -> None:
    changed.check("--report", "markdown=report.md")
    text = Path("report.md").read_text()
    assert text.splitlines()[:4] == [
        "<!-- scalenet check -->",
        "## scalenet check failed: 1 not as locked, 1 over a limit",
        "",
        "Accept with `scalenet lock`, and commit the lock file.",
    ]
    open_part, folded = text.split("<details>", 1)
    row = "1,814,073,344 | 1,813,566,464 | −0.03 % | 1,000,000,000 | **−813,566,464 OVER**"
    assert f"| `{R18}` | FLOPs | {row} |" in open_part
    assert f"| `{R18}` | params | 11,689,512 | 11,181,642 | −4.3 % |  |  |" in open_part
    assert B0 not in open_part
    assert B0 in folded
    assert "  - `head.classes 1000 → 10`" in open_part
    assert folded.count("<details>") + 1 == folded.count("</details>") == 2


def result(name: str, **more: object) -> Result:
    return Result(name, "gone", accepted=False, **more)  # type: ignore[arg-type]


def report(*results: Result, problems: tuple[Problem, ...] = ()) -> Report:
    return Report((), Path("scalenet.lock.json"), None, results, (), problems, ())


def test_a_long_comment_is_cut_and_says_how_much_of_it() -> None:
    text = markdown(report(*(result(f"a_rather_long_name_of_a_network_{number}") for number in range(2_000))))
    assert len(text) < 60_000
    cut = [int(number) for number in re.findall(r"… (\d+) lines cut", text)]
    assert len(re.findall("^[|-] `a_rather", text, flags=re.MULTILINE)) + sum(cut) == 2 * 2_000
    assert text.count("<details>") == text.count("</details>")


def test_what_others_wrote_is_no_markup() -> None:
    hostile = "a`|b</details>\n@somebody ![x](http://x)"
    text = markdown(report(result(hostile), problems=(Problem(hostile, "m`\n# title", 3),)))
    for line in text.splitlines():
        assert not line.startswith(("@", "#", "</details>@", "!")) or line.startswith("## scalenet check")
        assert line.count("`") % 2 == 0


def test_the_junit_holds_a_test_a_target_a_limit_and_a_problem(changed: Folder) -> None:
    changed.write("nets/broken.yaml", "schema: scalenet/1\nname: \x1b\n")
    changed.check("--report", "junit=report.xml")
    suite = Xml.parse("report.xml").getroot()
    assert [suite.get(key) for key in ("tests", "failures", "errors")] == ["5", "2", "1"]
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == [R18, f"1: {R18} flops max"]


def test_the_junit_takes_any_text() -> None:
    Xml.fromstring(as_junit([report(result("\x00\x1b<&"), problems=(Problem("x", "\ud800 \ufffe", 2),))]))


def test_the_json_has_exact_numbers(changed: Folder) -> None:
    data = json.loads(changed.check("--json").stdout)
    assert {key: data[key] for key in ("schema", "code", "lock", "base", "problems", "skipped")} == {
        "schema": "scalenet-check/2",
        "code": 1,
        "lock": "scalenet.lock.json",
        "base": None,
        "problems": [],
        "skipped": [],
    }
    (target,) = [target for target in data["targets"] if target["status"] == "changed"]
    assert (target["name"], target["accepted"], target["only_convention"]) == (R18, False, False)
    assert target["changes"]["flops"] == [1814073344, 1813566464]
    assert target["moves"] == [{"stage": "head", "operator": "linear", "before": 512000, "after": 5120}]
    assert target["fields"] == [{"field": "head.classes", "before": 1000, "after": 10}]
    assert [(limit["target"], limit["headroom"]) for limit in data["limits"]] == [(B0, 614185248), (R18, -813566464)]


@pytest.mark.parametrize("words", [[], ["--github"]])
def test_github_gets_annotations_at_the_configs_line_and_the_summary(
    changed: Folder, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    summary = changed.path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    if not words:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    said = changed.check(*words).stderr.splitlines()
    line = 1 + next(
        number for number, text in enumerate(Path(R18).read_text().splitlines()) if text.startswith("  head:")
    )
    assert said[0].startswith(f"::error file={R18},line={line},title=scalenet check::{R18}: FLOPs 1,814,073,344")
    assert said[0].endswith("%0Ahead.classes 1000 → 10")
    assert "(−0.03 %25)" in said[0]
    assert said[1].startswith(f"::error file={R18},line={line},title=scalenet check::OVER {R18}: FLOPs 1.81 G, max 1")
    assert summary.read_text().startswith(f"before\n{marker('.')}\n")


def test_github_is_left_alone_elsewhere(changed: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed.check().stderr == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert changed.check("--no-github").stderr == ""


def test_there_are_at_most_ten_annotations() -> None:
    said = github_commands([report(*(result(f"net{number}") for number in range(30)))], Path.cwd())
    assert len(said) == 10


@pytest.mark.parametrize("words", [["--report", "markdwn=x"], ["--report", "markdown"], ["--report", "="]])
def test_a_report_of_no_kind_is_asked_wrongly(locked: Folder, words: list[str]) -> None:
    refused = locked.check(*words)
    assert refused.exit_code == 2
    assert "not KIND=FILE" in refused.stderr


def test_nobodys_name_is_a_command_to_githubs_runner(folder: Folder) -> None:
    folder.write("pyproject.toml", '[tool.scalenet]\ntargets = ["*.yaml"]\n')
    for name in ("::error::a.yaml", "##[error]b.yaml", "c\n::error::c.yaml"):
        folder.write(name, "schema: scalenet/1\n")
    said = folder.run("check", "--fast", "--github")
    assert said.exit_code == 2
    assert [line for line in said.stdout.splitlines() if line.lstrip().startswith("::") or "##[" in line] == []
    assert all(line.startswith("::error file=scalenet.lock.json,line=1,") for line in said.stderr.splitlines())


def test_several_projects_are_one_comment_a_list_and_suites(changed: Folder) -> None:
    for team in ("one", "two"):
        (changed.path / team / "nets").mkdir(parents=True)
        changed.write(f"{team}/pyproject.toml", (changed.path / "pyproject.toml").read_text())
        changed.write(f"{team}/nets/net.yaml", (changed.path / R18).read_text())
    (changed.path / ".hidden").mkdir()
    changed.write(".hidden/pyproject.toml", "nothing")
    changed.write(".gitignore", ".hidden\n")
    said = changed.check("--all", "--json", "--report", "markdown=r.md", "--report", "junit=r.xml")
    assert (said.exit_code, [one["project"] for one in json.loads(said.stdout)]) == (1, [".", "one", "two"])
    text = Path("r.md").read_text()
    assert text.startswith(marker("."))
    assert text.count("<!--") == 1
    assert "\n## scalenet check of `one` failed" in text
    assert len(Xml.parse("r.xml").getroot().findall("testsuite")) == 3
    assert changed.check("--all", R18).exit_code == 2
    (changed.path / "pyproject.toml").unlink()
    assert "projects below: one, two; -C one, or --all" in changed.check().stderr
