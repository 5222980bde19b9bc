"""What a check says to machines: JSON, JUnit, and GitHub's annotations."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

from scalenet.arch import strict_yaml
from scalenet.arch.plain import plain
from scalenet.checks.lock import line_of
from scalenet.checks.report import fields, problem_text, summary

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scalenet.checks.outcome import Report, Result

_ANNOTATIONS = 10
_LONGEST = 300


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as data; docs/checks.md says what each key is."""
    return {
        "schema": "scalenet-check/2",
        "code": report.code,
        "project": report.place,
        "lock": report.lock.name,
        "base": report.base,
        "targets": [_target(result) for result in report.results],
        "limits": [
            {
                key: getattr(budget, key)
                for key in ("target", "stage", "metric", "rule", "value", "limit", "ok", "headroom", "was", "accepted")
            }
            for budget in report.budgets
        ],
        "problems": [
            {"name": plain(one.name), "message": plain(one.message), "code": one.code} for one in report.problems
        ],
        "skipped": list(report.skipped),
    }


def _target(result: Result) -> dict[str, Any]:
    change, cost = result.change, result.cost
    return {
        "name": result.name,
        "status": result.status,
        "was": result.was,
        "accepted": result.accepted,
        **{key: getattr(cost, key) if cost else None for key in ("flops", "params", "activations")},
        "changes": {metric: list(pair) for metric, pair in change.metrics.items()} if change else {},
        "moves": [
            {"stage": move.stage, "operator": move.operator, "before": move.before, "after": move.after}
            for move in (change.moves if change else ())
        ],
        "fields": [
            {"field": place, "before": before, "after": after}
            for place, before, after in (change.fields if change else ())
        ],
        "only_convention": bool(change and change.only_convention),
    }


def as_junit(reports: Iterable[Report]) -> str:
    """Return reports as JUnit XML: a suite a project, a test a target, a limit and a problem."""
    suites = list(map(_suite, reports))
    root = suites[0] if len(suites) == 1 else Xml.Element("testsuites")
    root.extend(suites if len(suites) > 1 else ())
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(report: Report) -> Xml.Element:
    of = "" if report.place == "." else f" of {report.place}"
    suite = Xml.Element("testsuite", name=_printable(f"scalenet check{of}"))
    for result in report.results:
        case = _case(suite, "targets", result.name)
        if not result.accepted:
            Xml.SubElement(case, "failure", message=_printable("; ".join([summary(result), *fields(result)])))
    for number, budget in enumerate(report.budgets):
        case = _case(suite, "limits", f"{number}: {budget.place} {budget.metric} {budget.rule}")
        if not budget.ok:
            Xml.SubElement(case, "failure", message=_printable(budget.summary))
    for problem in report.problems:
        kind = "failure" if problem.code == 1 else "error"
        case = _case(suite, "problems", problem.name or report.lock.name)
        Xml.SubElement(case, kind, message=_printable(problem_text(problem)))
    for name in report.skipped:
        Xml.SubElement(_case(suite, "targets", name), "skipped", message="left out by --fast")
    for kind, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"*/{kind}"))))
    suite.set("tests", str(len(suite)))
    return suite


def _case(suite: Xml.Element, group: str, name: str) -> Xml.Element:
    return Xml.SubElement(suite, "testcase", classname=f"scalenet.{group}", name=_printable(name))


def _printable(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def github_commands(reports: Iterable[Report], root: Path) -> list[str]:
    """Return at most ten of GitHub's workflow commands; files are named from `root`, the checked-out repository."""
    return [command for report in reports for command in _commands(report, root)][:_ANNOTATIONS]


def _commands(report: Report, root: Path) -> list[str]:
    results = {result.name: result for result in report.results}
    said = [
        _annotation(f"{result.name}: {summary(result)}", *_place(result, report, root), more=fields(result))
        for result in report.drifted
    ]
    said += [
        _annotation(f"{budget.state} {budget.summary}", *_place(results.get(budget.target), report, root))
        for budget in report.budgets
        if not budget.ok
    ]
    said += [_annotation(problem_text(problem), _file(report.lock, root), 1) for problem in report.problems]
    return said


def _place(result: Result | None, report: Report, root: Path) -> tuple[str, int]:
    """Return the line of the config's field that moved, of the module's callable, or of the target in the lock file."""
    if result and result.file and result.file.is_relative_to(root):
        return _file(result.file, root), _config_line(result) if _is_described(result) else result.line
    text = report.lock.read_text(encoding="utf-8") if report.lock.exists() else ""
    return _file(report.lock, root), line_of(text, result.name) if result else 1


def _is_described(result: Result) -> bool:
    return result.cost is not None and result.cost.model is not None


def _config_line(result: Result) -> int:
    assert result.file is not None
    _, node = strict_yaml.parse(result.file.read_text(encoding="utf-8"), result.file.name)
    moved = result.change.fields if result.change else []
    steps = re.findall(r"[^.\[\]]+", f"model.{moved[0][0]}") if moved else []
    return strict_yaml.line_of(node, [int(step) if step.isdecimal() else step for step in steps]) or 1


def _file(path: Path, root: Path) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def _annotation(text: str, file: str, line: int, *, more: Iterable[str] = ()) -> str:
    """Return one command; what ends a line, a property or a text is written as GitHub asks."""
    place = _escaped(file).replace(":", "%3A").replace(",", "%2C")
    said = "%0A".join(map(_escaped, (text, *more)))
    return f"::error file={place},line={line},title=scalenet check::{said}"


def _escaped(text: str) -> str:
    return plain(text, _LONGEST).replace("%", "%25")
