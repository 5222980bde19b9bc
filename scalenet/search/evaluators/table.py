"""Known results, in a table."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import RunError, ScalenetError, nearest
from scalenet.arch.files import read_text
from scalenet.costs.network import cost
from scalenet.search.evaluators.base import Result, check_rates, fingerprint, fraction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scalenet.search.evaluators.base import Job, Tell
    from scalenet.search.rungs.schedule import Key


@dataclass(frozen=True)
class Table:
    """Known results: a CSV file with the columns name, seed, accuracy, or the `candidates.csv` of a search.

    With a column `budget` each row speaks for that budget only; where all have the same, also for jobs without one. An
    empty accuracy is a training that diverged. Columns `flops` and `params` say whose results they are, where a cell is
    a whole number: `costs` has them by name, with the place of each.
    """

    file: Path
    rows: dict[Key, float | None] = field(init=False)
    costs: dict[str, list[tuple[str, str, int]]] = field(init=False)

    def __post_init__(self) -> None:
        """Read the file."""
        lines = io.StringIO(read_text(self.file, str(self.file)), newline="")
        object.__setattr__(self, "costs", {})
        try:
            rows = self._read(csv.DictReader(lines))
        except csv.Error as error:  # a cell without end, a null character
            raise ScalenetError(f"{self.file}: no table: {error}") from None
        object.__setattr__(self, "rows", rows)

    def sources(self) -> dict[str, str]:
        """Return a digest of the results, however they are written."""
        known = sorted(self.rows.items(), key=str)
        return {self.file.name: fingerprint(json.dumps(known).encode())}

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse jobs that the table has no results of or those of another network, and those at a learning rate."""
        check_rates(jobs, takes=False, needs=False, what=f"{self.file}")
        missing = [job for job in jobs if self._key(job) not in self.rows]
        if missing:
            first, (*_, budget) = missing[0], self._key(missing[0])
            names = {name for name, _, _ in self.rows}
            same = [(seed, known) for name, seed, known in self.rows if name == first.candidate]
            seeds = sorted({seed for seed, known in same if known == budget})
            others = sorted({known for seed, known in same if seed == first.seed and known is not None})
            hint = nearest(first.candidate, names)
            if seeds or others:
                hint = f"it has {'seeds' if seeds else 'budgets'} {', '.join(map(str, seeds or others))}"
                hint += "" if seeds or budget is not None else "; --epochs asks for one"
            wanted = f"{first}" if budget is None else f"{first} with budget {budget}"
            raise ScalenetError(
                f"{self.file}: no {wanted}; {len(missing)} of {len(jobs)} results are missing", hint=hint
            )
        for job in {job.candidate: job for job in jobs}.values():
            self._check_costs(job)

    def _check_costs(self, job: Job) -> None:
        """Refuse results of another network by the same name."""
        known = self.costs.get(job.candidate, [])
        own = (job.config.cost or cost(job.config.architecture())) if known else None
        for place, column, there in known:
            here = getattr(own, column)
            if here != there:
                hint = f"take a table of this network; without its column {column} it is taken as it is"
                raise ScalenetError(
                    f"{place}: results of another {job.candidate}: {there:,} {column}, this one has {here:,}", hint=hint
                )

    def evaluate(self, job: Job, tell: Tell) -> Result:  # noqa: ARG002 - as the others
        """Return the known result."""
        return Result(job.candidate, job.seed, self.rows[self._key(job)], None, 0.0, None)

    @cached_property
    def _budgets(self) -> set[int | None]:
        return {budget for _, _, budget in self.rows}

    def _key(self, job: Job) -> Key:
        alike = len(self._budgets) == 1 and None in (job.budget, *self._budgets)
        return job.candidate, job.seed, next(iter(self._budgets)) if alike else job.budget

    def _read(self, reader: csv.DictReader[str]) -> dict[Key, float | None]:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        often = Counter(filter(None, columns)).most_common(1)
        if often and often[0][1] > 1:
            raise ScalenetError(f"{self.file}:1: several columns {often[0][0]}")
        wide = {name: int(match[1]) for name in columns if (match := re.fullmatch(r"accuracy_seed([0-9]{1,9})", name))}
        if "name" not in columns or not (wide or {"seed", "accuracy"} <= set(columns)):
            raise ScalenetError(
                f"{self.file}: expected the columns name, seed, accuracy; found {', '.join(columns) or 'none'}"
            )
        rows: dict[Key, float | None] = {}
        for row in reader:
            if row.get("rung") == _PILOT:
                continue
            place = f"{self.file}:{reader.line_num}"
            figures = ((column, re.fullmatch(r"([0-9]{1,18})(\.0*)?", row.get(column) or "")) for column in _COSTS)
            self.costs.setdefault(row["name"], []).extend((place, name, int(one[1])) for name, one in figures if one)
            for key, accuracy in _results(row, wide, place):
                if rows.setdefault(key, accuracy) != accuracy:
                    same = f"{key[0]} seed {key[1]}" + ("" if key[2] is None else f" with budget {key[2]}")
                    raise ScalenetError(f"{place}: another accuracy of {same}", hint="leave one row of it")
        return rows


_COSTS = ("flops", "params")
_PILOT = "0"
"""The rung of a search's trainings that are no candidate's."""


def _results(row: Mapping[str, Any], wide: Mapping[str, int], place: str) -> Iterator[tuple[Key, float | None]]:
    """Yield the results of a table's row, by name, seed and budget; `wide` are its columns with an accuracy a seed."""
    if None in row:
        hint = "decimals have a point, and text with commas stands in quotes"
        raise ScalenetError(f"{place}: more cells than columns", hint=hint)
    if None in row.values():
        hint = "is it cut off? a training that diverged has an empty accuracy"
        raise ScalenetError(f"{place}: fewer cells than columns", hint=hint)
    budget = _whole(row["budget"], f"{place}: budget") if row.get("budget") else None
    for column, seed in (wide or {"accuracy": _whole(row["seed"], f"{place}: seed")}).items():
        if row[column] or not wide or row.get("diverged", "0") != "0":  # else this seed is yet to be trained
            yield (row["name"], seed, budget), _cell(row[column], place)


def _cell(text: str, place: str) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        number = -1.0
    try:
        return fraction(number, place)
    except RunError:
        raise ScalenetError(f"{place}: accuracy {text!r} is not a fraction between 0 and 1") from None


def _whole(text: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ScalenetError(f"{place} {text!r} is not a whole number") from None
