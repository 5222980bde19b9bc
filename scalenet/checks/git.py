"""A file as it was where the present branch left another one: read with git, without a checkout, token or network."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from pathlib import Path


def merge_base(branch: str, folder: Path) -> str:
    """Return the commit that HEAD and `branch` have in common; raise ScalenetError where there is none."""
    commit = _git(folder, "rev-parse", "--verify", "--end-of-options", f"{branch}^{{commit}}")
    common = commit if commit.returncode else _git(folder, "merge-base", commit.stdout.strip(), "HEAD")
    if common.returncode:
        reason = " ".join(common.stderr.split()) or "it has nothing in common with HEAD"
        reason = "git knows no such commit" if "single revision" in reason else reason
        raise ScalenetError(f"--base {branch}: {reason}", hint="in CI, check out with fetch-depth: 0")
    return common.stdout.strip()


def file_at(commit: str, path: Path) -> str | None:
    """Return the text of a file as it is in a commit, or None where the commit has no such file."""
    found = _git(path.parent, "show", f"{commit}:./{path.name}")
    return None if found.returncode else found.stdout


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        command, environment = ["git", "-C", str(folder), *words], {**os.environ, "LC_ALL": "C"}
        return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise ScalenetError("git is not installed", hint="--base reads the lock file with it") from None
