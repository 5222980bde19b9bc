"""What a search for a baseline has found: every member's standing, and the answer in sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import RunError
from scalenet.arch.words import count, number, percentage, seconds_text
from scalenet.search.answer.finding import DISAGREEING, row_means
from scalenet.search.answer.sentences import about, left_out, unit_of
from scalenet.search.rungs.hunt import Standing, reward_factor, standing
from scalenet.search.rungs.race import finding_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from scalenet.arch.config import Config
    from scalenet.search.answer.finding import Finding
    from scalenet.search.baseline.plan import BaselinePlan
    from scalenet.search.queue.jobs import View
    from scalenet.search.rungs.hunt import Hunt

NAME = "baseline"
_SHOWN = 5


@dataclass(frozen=True)
class BaselineOutcome:
    """What is known at one moment; `by` says by name which method proposed a member."""

    plan: BaselinePlan
    view: View
    by: Mapping[str, str]

    @property
    def hunt(self) -> Hunt:
        """The hunt as it is now."""
        return self.plan.hunt

    @cached_property
    def standing(self) -> Standing:
        """The trainings as a table."""
        begun = sorted(self.view.entries.values(), key=lambda entry: entry.place)
        return standing(self.hunt, self.view.scores, [entry.key for entry in begun])

    @cached_property
    def finding(self) -> Finding | None:
        """What the trainings to the end say; None before the first of them."""
        trained = self.standing.trained
        if not len(self.standing.names) or not (trained.seeds[~trained.out] > 0).any():
            return None
        return finding_of(trained)

    @property
    def winner(self) -> str | None:
        """The name of the best member so far, by trainings to the end."""
        return None if self.finding is None else self.standing.names[self.finding.winner]

    def baseline(self) -> Config:
        """Return the answer's config; raise RunError where no training to the end succeeded."""
        if self.winner is None:
            raise RunError(self.view.hopeless() or "no training to the end succeeded")
        return self.hunt.members().config(self.winner)

    @property
    def scored(self) -> bool:
        """Whether members are ranked by something else than accuracy."""
        return self.hunt.objective != "accuracy"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a member in the order of trainings: costs, accuracies, the paper's reward, its standing."""
        names, trained, finding = self.standing.names, self.standing.trained, self.finding
        if not names:
            return []
        members = self.hunt.members()
        costs = members.costs(members.array(names))
        short = row_means(trained.short)
        full = row_means(trained.sound)
        rows = []
        for place, name in enumerate(names):
            own = costs[place]
            factor = self.hunt.factor(own["flops"])
            best = full[place] if trained.seeds[place] else short[place]
            accuracy = best / factor
            rows.append(
                {
                    "name": name,
                    "training": place + 1,
                    "by": self.by.get(name, "random"),
                    **own,
                    "short": _known(short[place] / factor),
                    "accuracy": _known(full[place] / factor),
                    "seeds": int(trained.seeds[place]),
                    "reward": _known(accuracy * reward_factor(own["flops"], self.hunt.limits.target)),
                    "expected": None if finding is None else _known(finding.expected[place] / factor),
                    "over": None if finding is None else _known(finding.over[place]),
                    "tied": finding is not None and bool(finding.tied[place]),
                    "failed": bool(trained.out[place]),
                }
            )
        return rows

    def table(self) -> pd.DataFrame:
        """Return a row a member, those trained to the end first, the best first."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.ranked())

    def ranked(self) -> list[dict[str, Any]]:
        """Return the rows, those trained to the end first, the best first."""

        def order(row: Mapping[str, Any]) -> tuple[bool, bool, float]:
            value = row["accuracy"] if row["accuracy"] is not None else row["short"]
            score = -math.inf if value is None else value * self.hunt.factor(row["flops"])
            return row["name"] != self.winner, row["accuracy"] is None, -score

        return sorted(self.rows(), key=order)

    def jobs(self) -> pd.DataFrame:
        """Return a row a finished training."""
        import pandas as pd  # noqa: PLC0415

        entries = sorted(self.view.entries.values(), key=lambda entry: entry.place)
        done = [(entry.key, entry.result) for entry in entries if entry.result is not None]
        rows = [
            {"name": key[0], "seed": key[1], "budget": key[2], "accuracy": result.accuracy, "seconds": result.seconds}
            for key, result in done
        ]
        return pd.DataFrame(rows, columns=["name", "seed", "budget", "accuracy", "seconds"])

    def curves(self) -> pd.DataFrame:
        """Return the accuracies on the way."""
        import pandas as pd  # noqa: PLC0415

        rows = [
            {"name": entry.key[0], "seed": entry.key[1], "budget": entry.key[2], "epoch": epoch, "accuracy": accuracy}
            for entry in self.view.entries.values()
            for epoch, accuracy in sorted(entry.curve.items())
        ]
        return pd.DataFrame(rows, columns=["name", "seed", "budget", "epoch", "accuracy"])

    def data(self) -> dict[str, Any]:
        """Return the answer as JSON has it."""
        finding, rows = self.finding, self.ranked()
        noise = self.standing.noise
        control = self.standing.control
        return {
            "finished": self.view.finished,
            "space": self.hunt.space.name,
            "limits": {name: None if wanted is None else wanted.ends(name) for name, wanted in self.hunt.limits},
            "baseline": self.winner,
            "control": None if control is None else self.standing.names[control],
            "bound": None if finding is None else _known(finding.bound),
            "agreement": None if finding is None else finding.agreement,
            "noise": None if noise is None else {"training": noise[0] ** 0.5, "members": noise[1] ** 0.5},
            "trainings": len(self.view.done()),
            "failed": len(self.view.failed()),
            "members": rows,
        }

    def sentences(self) -> tuple[str, ...]:
        """Return the answer: the winner, the control, ties and the bound, and what noise allows to say."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        finding = self.finding
        if finding is None:
            yield "no training to the end is finished"
            yield from self._noise()
            return
        rows = {row["name"]: row for row in self.rows()}
        names = self.standing.names
        own = rows[names[finding.winner]]
        costs = f"{count(own['flops'])} FLOPs, {count(own['params'])} parameters"
        costs += f", {seconds_text(own['latency'])} by the table of latencies" if "latency" in own else ""
        found = f"proposed by {_method(own['by'])}, member {own['training']} of {len(names)}"
        yield f"{own['name']}: {percentage(own['accuracy'])}, {number(own['seeds'], 'seed')}, {costs}; {found}"
        yield from self._against_random(finding, rows)
        ties = [rows[name] for place, name in enumerate(names) if finding.tied[place] and place != finding.winner]
        judged = [row["name"] for row in ties if row["seeds"]]
        if ties:
            more = f", {', '.join(judged[:_SHOWN])} among them" if judged else ""
            yield f"{number(len(ties), 'member')} cannot be told from it{more}"
        yield from self._bound(finding)
        yield from self._noise()

    def _against_random(self, finding: Finding, rows: Mapping[str, Any]) -> Iterator[str]:
        """Say what the search has over the best of its first random members."""
        place = self.standing.control
        if place is None:
            return
        name = self.standing.names[place]
        row, winner = rows[name], rows[self.standing.names[finding.winner]]
        first = min(self.hunt.first, len(rows))
        if place == finding.winner:
            yield f"it is the best of the first {number(first, 'random member')}: no method found a better one"
            return
        if not row["seeds"]:
            yield f"the best of the first {number(first, 'random member')}, {name}, was not trained to the end"
            return
        told = "which is not told from it" if finding.tied[place] else "which is told from it"
        ahead = 100 * (winner["accuracy"] - row["accuracy"])
        yield (
            f"the best of the first {number(first, 'random member')} reached {percentage(row['accuracy'])} "
            f"({number(row['seeds'], 'seed')}): {ahead:+.2f} points, {told}"
        )

    def _bound(self, finding: Finding) -> Iterator[str]:
        out, unjudged = int(finding.out.sum()), int(finding.unjudged.sum())
        bound = finding.bound
        if math.isfinite(bound):
            by = f" by more than {100 * bound:.2f} {unit_of(scored=self.scored)}" if bound > 0 else ""
            if_so = f", if short trainings tell of the {unjudged} never trained to the end" if unjudged else ""
            yield f"none of the {number(len(finding.over) - out, 'member')} trained is better{by} (95 %){if_so}"
        else:
            yield "by how much a trained member may be better is not known: more --seeds, or more time, tell"
        yield "of members that were never trained nothing is promised"
        if collapsed := int(finding.verdict.collapsed.sum()):
            yield left_out(collapsed)
        if out:
            yield f"of the {number(out, 'member')} that failed or diverged nothing is said"
        if finding.agreement is not None and finding.agreement < DISAGREEING:
            yield f"short trainings say little of long ones here (correlation {finding.agreement:z.2f}): more --epochs"

    def _noise(self) -> Iterator[str]:
        """Say what noise is beside what members differ by."""
        found = self.standing.noise
        if found is None:
            return
        noise, spread = (math.sqrt(one) for one in found)
        differ = f"by {about(spread, scored=self.scored)}" if spread else "by less than that lets see"
        said = f"one short training varies by {about(noise, scored=self.scored)}, random members differ {differ}"
        if self.standing.noisy:
            said += ": noise hides the members, so that no more were proposed and the best were trained again instead"
        elif noise >= spread:
            said += ": noise is as large as what is looked for"
        yield said


def _method(by: str) -> str:
    return {"random": "chance", "predictor": "the predictor"}.get(by, by)


def _known(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
