"""Try the commands with thousands of inputs that no one means well with, and count what goes wrong.

    python benchmarks/hostile.py [--cases 20000] [--seed N] [--only KIND]
    python benchmarks/hostile.py --case KIND:NUMBER --seed N

Each case runs in a process of its own with limits. It fails unless it ends with an exit code that is meant, with one
plain line where it was asked wrongly, within 10 s of CPU time and 1 GiB, and with no file half-written. `--case` runs
one case again and shows all of it; `hostility/kinds.py` says how a kind is added.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from hostility import kinds, running
from hostility.judging import complaints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostility.running import Case, Outcome


def main() -> int:
    """Run the cases, and return 1 where one failed."""
    wanted = _wanted()
    with tempfile.TemporaryDirectory(prefix="hostile-") as stock:
        running.warm()
        kinds.prepare(Path(stock))
        if wanted.case:
            return _show(*wanted.case.split(":"), seed=wanted.seed)
        jobs = _jobs(wanted.cases, wanted.only)
        print(f"{len(jobs)} cases, seed {wanted.seed}", flush=True)
        start = time.monotonic()
        with ProcessPoolExecutor(wanted.jobs, get_context("fork")) as pool:
            failed = _report(pool.map(partial(_tried, seed=wanted.seed), jobs, chunksize=8), jobs)
        print(f"{time.monotonic() - start:.0f} s")
    return 1 if failed else 0


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(kinds.KINDS))
    parser.add_argument("--case", metavar="KIND:NUMBER")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


def _jobs(cases: int, only: str | None) -> list[tuple[str, int]]:
    """Return kinds and numbers, each kind as often as its share says, all kinds in turns."""
    chosen = {name: share for name, (share, _) in kinds.KINDS.items() if only in (None, name)}
    each = {name: max(1, round(cases * share / sum(chosen.values()))) for name, share in chosen.items()}
    jobs = [(name, number) for name, count in each.items() for number in range(count)]
    return sorted(jobs, key=lambda job: job[1] / each[job[0]])


def _tried(job: tuple[str, int], *, seed: int) -> tuple[list[str], str, float, int]:
    """Run a case; return what is wrong, its command, its seconds and its memory."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        case, outcome = _run(*job, seed, Path(folder))
        found = list(complaints(case, outcome, Path(folder)))
    return found, shlex.join(case.words), outcome.seconds, outcome.memory


def _run(name: str, number: int, seed: int, folder: Path) -> tuple[Case, Outcome]:
    _, make = kinds.KINDS[name]
    case = make(random.Random(f"{seed}/{name}/{number}"), folder)
    return case, running.run(case, folder)


def _report(results: Iterator[tuple[list[str], str, float, int]], jobs: list[tuple[str, int]]) -> int:
    """Print each case that failed, the same complaint three times at most, and a row a kind; return how many did."""
    failed, same = Counter[str](), Counter[str]()
    slowest, largest = defaultdict[str, float](float), defaultdict[str, int](int)
    for done, ((name, number), (found, command, seconds, memory)) in enumerate(zip(jobs, results, strict=True)):
        if done and done % 1000 == 0:
            print(f"{done} of {len(jobs)}, {failed.total()} failed", flush=True)
        slowest[name], largest[name] = max(slowest[name], seconds), max(largest[name], memory)
        failed[name] += bool(found)
        for complaint in found:
            key = f"{name} {re.sub(r'[0-9]+', '0', complaint)}"
            same[key] += 1
            if same[key] <= 3:
                print(f"{name}:{number}  {complaint}\n    scalenet {ascii(command)[1:-1][:300]}", flush=True)
    print(f"\n{'kind':<16}{'cases':>8}{'failed':>8}{'slowest':>10}{'largest':>10}")
    for name, cases in Counter(name for name, _ in jobs).items():
        print(f"{name:<16}{cases:>8}{failed[name]:>8}{slowest[name]:>8.1f} s{largest[name] >> 20:>6} MiB")
    for key, count in same.most_common():
        print(f"{count:>6} × {key}")
    print(f"{failed.total()} of {len(jobs)} cases failed")
    return failed.total()


def _show(name: str, number: str, *, seed: int) -> int:
    """Run one case again, and print all of it."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    case, outcome = _run(name, int(number), seed, folder)
    found = list(complaints(case, outcome, folder))
    print(f"in {folder}\n{case}\n")
    print(f"exit {outcome.code}, {outcome.seconds:.1f} s, {outcome.memory >> 20} MiB")
    for title, content in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        print(f"{title}:", *map(ascii, content.decode(errors="replace").splitlines()[:50]), sep="\n    ")
    print("wrong:", *found or ["nothing"], sep="\n    ")
    if not found:
        shutil.rmtree(folder)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
