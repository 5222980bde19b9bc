"""Workers on other machines: jobs of an engine that exists for starting processes elsewhere, by way of submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scalenet.arch.errors import RunError, ScalenetError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scalenet.search.queue.board import Place

Engine: TypeAlias = Literal["slurm", "local"]
"""Who starts jobs: SLURM, or this machine."""

MINUTES, TIMES = 240, 1000
"""Minutes that a job may take unless it is said, and how often it comes again where they were not enough."""

_FAREWELL = 60.0
_ENDED = (0, 130)


@dataclass(frozen=True, slots=True)
class Part:
    """A command that takes part in a search, as a job.

    When its time is up the engine sends SIGUSR2, which is for this process alone: the command is stopped by Ctrl-C, so
    that it gives back what it is at, and the job comes again.
    """

    words: tuple[str, ...]

    def __call__(self) -> None:
        """Run the command to its end; raise RuntimeError where it fails."""
        with subprocess.Popen(self.words, preexec_fn=_hear) as process:  # noqa: PLW1509 - no threads here
            try:
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.wait(_FAREWELL)
        if code not in _ENDED:
            raise RuntimeError(f"exit code {code}")

    def checkpoint(self) -> Any:
        """Return what is to run once the job comes again: the same."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - an extra

        return DelayedSubmission(self)


def launch(
    folder: Path,
    where: Place,
    engine: Engine,
    count: int,
    *,
    words: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> list[str]:
    """Start jobs that take part in a search that was begun, and return their numbers.

    Each runs `scalenet search resume` with those further `words`. `options` are submitit's: `timeout_min`, `mem_gb`,
    `cpus_per_task`, `gpus_per_node`, `slurm_partition`. Logs lie in the folder's `workers/`. Raise ScalenetError for
    options that submitit does not know, and for a search in a file that jobs of several machines would share, and
    RunError where the engine does not take the jobs.
    """
    if engine == "slurm" and where.url.startswith("sqlite"):
        raise ScalenetError(
            "the search is in a file, which jobs on several machines must not share",
            hint="begin it with --storage postgresql://USER@HOST/DATABASE, or use --launch local",
        )
    resume = ["search", "resume", str(folder.absolute()), "--name", where.name, *words]
    part = Part((sys.executable, "-P", "-m", "scalenet_cli", *resume))
    executor = _executor(engine, folder, options or {})
    with _storage(where.url):
        try:
            with executor.batch():
                jobs = [executor.submit(part) for _ in range(count)]
        except Exception as error:
            raise RunError(f"{engine} takes no jobs: {one_line(error)}") from None
    return [str(job.job_id) for job in jobs]


def resume_words(*, workers: int, device: str | None, data: str | Path | None) -> list[str]:
    """Return the words of `scalenet search resume` that say what a job trains with."""
    own = {"--workers": workers, "--device": device, "--data": data}
    return [str(word) for option in own.items() if option[1] is not None for word in option]


def _executor(engine: Engine, folder: Path, options: Mapping[str, Any]) -> Any:
    try:
        from submitit import AutoExecutor  # noqa: PLC0415 - an extra
    except ImportError:
        raise ScalenetError("jobs are started by submitit", hint="pip install 'scalenet-torch[slurm]'") from None
    try:
        executor = AutoExecutor(folder / "workers", cluster=engine, **{f"{engine}_max_num_timeout": TIMES})
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an option that is called otherwise now
            executor.update_parameters(**{"name": "scalenet", "timeout_min": MINUTES} | dict(options))
    except (AssertionError, NameError, TypeError, UserWarning, ValueError) as error:
        raise ScalenetError(f"{engine}: {str(error).partition(chr(10))[0]}") from None
    return executor


@contextmanager
def _storage(url: str) -> Iterator[None]:
    """Let jobs that are started in here find the storage: in their environment, which only their owner can read."""
    before = os.environ.get("SCALENET_STORAGE")
    os.environ["SCALENET_STORAGE"] = url
    try:
        yield
    finally:
        os.environ.pop("SCALENET_STORAGE")
        if before is not None:
            os.environ["SCALENET_STORAGE"] = before


def _hear() -> None:
    """Let Ctrl-C reach a command, though this process may ignore it, and not what the engine says to this process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
