"""What a check says: lines for people, Markdown for a pull request."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from scalenet.arch.plain import plain
from scalenet.checks.amounts import METRICS, percent, shown_as
from scalenet.checks.comparison import COUNTS, field_text
from scalenet.checks.limits import exempts
from scalenet.checks.targets import ASKED_WRONGLY, NOT_LOCKED, NOT_MEASURED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Sized

    from scalenet.checks.limits import Budget
    from scalenet.checks.outcome import Report, Result
    from scalenet.checks.targets import Problem

_FIELDS = 3


def lines(report: Report, folder: str = ".") -> Iterator[str]:
    """Yield the report for a terminal or a log: what changed, the limits, the verdict, the command that accepts.

    `folder` is the project's, as it is written from where the command is run.
    """
    yield from changes(report)
    if report.skipped:
        yield f"{counted(report.skipped, 'module')} left out by --fast"
    if report.untimed:
        yield f"latency of {counted(report.untimed, 'target')} left out by --fast"
    yield from limits(report)
    yield from exemptions(report)
    yield from map(problem_text, report.problems)
    yield verdict(report)
    if command := report.accepting(folder):
        yield f"accept with: {command}"
    if said := without_base(report):
        yield said


def limits(report: Report) -> Iterator[str]:
    """Yield a line for each limit; where the base has no lock file at all, one for all that have no base."""
    missing = [budget for budget in report.budgets if report.bare and budget.limit is None and not budget.ok]
    yield from (f"{budget.state}  {budget.summary}" for budget in report.budgets if budget not in missing)
    if missing:
        yield f"NO BASE  {counted(missing, 'limit')} by max_increase: no {report.lock.name} at {report.base}"


def exemptions(report: Report) -> Iterator[str]:
    """Yield how many targets each entry of `new` exempts, and that one had better go which exempts none of all."""
    whole = report.base and not (report.words or report.skipped or report.problems)
    bare = [budget for budget in report.budgets if budget.limit is None]
    for pattern in report.new:
        names = {budget.target for budget in bare if exempts(pattern, budget.target, budget.stage)}
        if names:
            yield f"new = [{quoted(pattern)}] exempts {counted(names, 'target')} without a base from max_increase"
        elif whole:
            yield f"new = [{quoted(pattern)}] exempts nothing: take it out, for it would exempt later targets"


def without_base(report: Report) -> str:
    """Return how a limit without a base is settled, or nothing where there is none."""
    names = sorted({budget.target for budget in report.budgets if budget.state == "NO BASE"})
    if not names:
        return ""
    said = f"new = [{', '.join(map(quoted, names))}]" if not report.bare else 'new = ["*"]'
    was = (f"{quoted(name)} = {quoted(old)}" for name in names for old in report.unclear.get(name, ()))
    other = f" (or, if one was another: was = {{{' or '.join(was)}}})" if report.unclear else ""
    return f"accept in [tool.scalenet]: {said}{other}"


def quoted(text: str) -> str:
    """Return text as TOML takes it."""
    return json.dumps(text, ensure_ascii=False)


def changes(report: Report) -> Iterator[str]:
    """Yield a line for each target that changed, the fields that moved, and how many did not change."""
    for result in report.results:
        if result.status != "unchanged":
            yield f"{result.name}: {summary(result)}"
            yield from (f"  {text}" for text in fields(result))
    if unchanged := report.of("unchanged"):
        yield f"{counted(unchanged, 'target')} unchanged"


def summary(result: Result) -> str:
    """Return what became of a target in one line."""
    accepted = " (accepted in the lock file)" if result.accepted else ""
    if result.status == "gone":
        return f"gone: no target any more{accepted}"
    if result.status == "new" and result.cost:
        totals = ", ".join(f"{METRICS[metric]} {shown_as(metric, getattr(result.cost, metric))}" for metric in COUNTS)
        return f"new{accepted}: {totals}"
    if result.was is not None:
        return f"renamed from {result.was}{accepted}: {result.change.summary if result.change else 'costs as before'}"
    return f"{result.change.summary}{accepted}" if result.change else "unchanged"


def fields(result: Result) -> list[str]:
    """Return the fields of the description that moved."""
    moved = [field_text(*field) for field in result.change.fields] if result.change else []
    return moved[:_FIELDS] + ([f"and {len(moved) - _FIELDS} fields more"] if len(moved) > _FIELDS else [])


def problem_text(problem: Problem) -> str:
    """Return a problem in one line that begins with its place."""
    named = not problem.name or problem.message.startswith(f"{problem.name}:")
    return problem.message if named else f"{problem.name}: {problem.message}"


def verdict(report: Report) -> str:
    """Return the outcome in one line."""
    if report.code == 0:
        compared = f"{report.lock.name}, base {report.base}" if report.base else report.lock.name
        return f"passed: {counted(report.results, 'target')} checked against {compared}"
    said: dict[str, Sequence[object]] = {
        "not as locked": report.drifted,
        "over a limit": [budget for budget in report.budgets if budget.state == "OVER"],
        "without a base": [budget for budget in report.budgets if budget.state == "NO BASE"],
        "without a lock": [problem for problem in report.problems if problem.code == NOT_LOCKED],
        "asked wrongly": [problem for problem in report.problems if problem.code == ASKED_WRONGLY],
        "not measured or not to be trusted": [problem for problem in report.problems if problem.code == NOT_MEASURED],
    }
    return f"failed: {', '.join(f'{len(items)} {words}' for words, items in said.items() if items)}"


def counted(items: Sized, noun: str) -> str:
    """Return how many there are: 1 target, 2 targets."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def marker(name: str) -> str:
    """Return the first line of a comment, by which the next run finds it: one for each name, or project's folder."""
    of = "" if name == "." else f" {re.sub(r'[^A-Za-z0-9._/-]+', '-', name)}"
    return f"<!-- scalenet check{of} -->"


def markdown(report: Report, name: str | None = None, *, longest: int = 60_000) -> str:
    """Return the report as a comment on a pull request, which `marker` finds again, so that it is edited in place.

    `name` tells several checks of one workflow apart; the project's folder does so by itself.
    """
    of = name or ("" if report.place == "." else report.place)
    head = [marker(name or report.place), f"## scalenet check {f'of {_code(of)} ' if of else ''}{verdict(report)}", ""]
    if command := report.accepting(report.place):
        head += [f"Accept with {_code(command)}, and commit the lock file.", ""]
    if said := without_base(report):
        head += [_code(said), ""]
    changed = [result for result in report.results if result.status != "unchanged"]
    rows = ["| target | count | before | after | change | limit | headroom |", "|---|---|---:|---:|---:|---:|---:|"]
    held = [budget.summary for budget in report.budgets if budget.ok]
    sections = [
        ("", rows, [*_changed_rows(changed, report), *_limit_rows(changed, report)]),
        ("", [], [f"- {_code(text)}" for text in (*exemptions(report), *map(problem_text, report.problems))]),
        ("", ["What moved:", ""], [line for result in changed for line in _moves(result)]),
        ("Limits that hold", [], [f"- {_code(text)}" for text in held]),
        ("Unchanged", [], [f"- {_code(result.name)}" for result in report.of("unchanged")]),
    ]
    return "\n".join([*head, *_fitted(sections, longest - sum(map(len, head)) - 1000)]) + "\n"


def comment(reports: Sequence[Report], name: str | None = None) -> str:
    """Return the reports of several projects as one comment."""
    if len(reports) == 1:
        return markdown(reports[0], name)
    texts = [markdown(report, name, longest=60_000 // len(reports)) for report in reports]
    return "\n".join([marker(name or "."), *(text.partition("\n")[2] for text in texts)])


def _changed_rows(changed: Iterable[Result], report: Report) -> Iterator[str]:
    for result in changed:
        name = _code(result.name) if result.was is None else f"{_code(result.was)} → {_code(result.name)}"
        if result.status in ("new", "gone") or result.change is None or not result.change.metrics:
            yield f"| {name} | {_code(summary(result))} | | | | | |"
            continue
        for metric, (before, after) in result.change.metrics.items():
            change = percent(before, after) if before else ""
            limit = _limit_cells(_tightest(result.name, metric, report))
            yield f"| {name} | {METRICS[metric]} | {before:,} | {after:,} | {change} | {limit} |"


def _limit_rows(changed: Iterable[Result], report: Report) -> Iterator[str]:
    """Yield a row for each limit that does not hold and stands in no row of a target that changed."""
    names = {result.name for result in changed if result.change and result.status not in ("new", "gone")}
    for budget in report.budgets:
        moved = budget.target in names and _tightest(budget.target, budget.metric, report) is budget
        if not budget.ok and not moved:
            name = _code(budget.place)
            yield f"| {name} | {METRICS[budget.metric]} | | {budget.value:,} | | {_limit_cells(budget)} |"


def _tightest(name: str, metric: str, report: Report) -> Budget | None:
    """Return the limit on a whole target's metric that leaves the least; before all others one without a base."""
    limits = [one for one in report.budgets if (one.target, one.stage, one.metric) == (name, "", metric)]
    return min(limits, key=lambda one: (one.ok, one.headroom is not None, one.headroom or 0), default=None)


def _limit_cells(budget: Budget | None) -> str:
    """Return the cells of limit and headroom."""
    if budget is None:
        return " | "
    if budget.limit is None:
        return f"{budget.rule} without a base | {'' if budget.ok else '**NO BASE**'}"
    room = f"{budget.limit - budget.value:,}".replace("-", "−")
    return f"{budget.limit:,} | {room if budget.ok else f'**{room} OVER**'}"


def _moves(result: Result) -> Iterator[str]:
    yield f"- {_code(f'{result.name}: {summary(result)}')}"
    yield from (f"  - {_code(text)}" for text in fields(result))


def _fitted(sections: Iterable[tuple[str, list[str], list[str]]], room: int) -> Iterator[str]:
    """Yield sections, those with a title folded; what is too long for the room is cut, and how much of it is said."""
    for title, head, body in sections:
        if not body:
            continue
        yield from [f"<details><summary>{title}: {len(body)}</summary>", ""] if title else []
        yield from head
        kept = 0
        for line in body:
            room -= len(line) + 1
            if room < 0:
                break
            kept += 1
            yield line
        yield from ["", f"… {len(body) - kept} lines cut"] if kept < len(body) else []
        yield from ["", "</details>", ""] if title else [""]


def _code(text: str) -> str:
    """Return text of others as code, in which nothing is markup, on one line of a table."""
    escaped = plain(text, 500).replace("`", "'").replace("|", "\\|").strip()
    return f"`{escaped or '–'}`"
