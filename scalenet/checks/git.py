"""A file as it was where the present branch left another one: read with git, without a checkout, token or network."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from pathlib import Path


_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What git tells a hook of the repository that it runs in: a folder's own repository is found from the folder."""


def merge_base(branch: str, folder: Path) -> str:
    """Return the commit that HEAD and `branch` have in common; raise ScalenetError where there is none."""
    commit = _git(folder, "rev-parse", "--verify", "--end-of-options", f"{branch}^{{commit}}")
    common = commit if commit.returncode else _git(folder, "merge-base", commit.stdout.strip(), "HEAD")
    if common.returncode:
        reason = " ".join(common.stderr.split()) or "it has nothing in common with HEAD"
        reason = "git knows no such commit" if "single revision" in reason else reason
        raise ScalenetError(f"--base {branch}: {reason}", hint="in CI, check out with fetch-depth: 0")
    return common.stdout.strip()


def file_at(commit: str, folder: Path, name: str) -> str | None:
    """Return the text of a file, `name` from `folder`, as it is in a commit; None where the commit has no such file.

    No filter of the repository's settings runs on it.
    """
    found = _git(folder, "cat-file", "blob", f"{commit}:./{name}")
    return None if found.returncode else found.stdout


def moved_file_at(commit: str, folder: Path, name: str) -> str | None:
    """Return the text in a commit of a file that git sees moved to `name` from `folder` since; None for any other."""
    prefix = _git(folder, "rev-parse", "--show-prefix").stdout.strip()
    moves = _git(folder, "diff", "--name-status", "--diff-filter=R", "--find-renames", "-z", commit)
    words = iter(moves.stdout.split("\0"))
    for _, old, new in zip(words, words, words, strict=False):
        if new == f"{prefix}{name}":
            return _git(folder, "cat-file", "blob", f"{commit}:{old}").stdout
    return None


def place_in_repository(folder: Path) -> str:
    """Return the path of a folder from the top of its repository, `.` for the top itself and where there is none."""
    try:
        found = _git(folder, "rev-parse", "--show-prefix")
    except ScalenetError:
        return "."
    return found.stdout.strip().rstrip("/") or "."


def project_files(folder: Path) -> list[Path] | None:
    """Return each `pyproject.toml` in a repository at or below a folder that is not ignored; None without one."""
    pattern = ":(glob)**/pyproject.toml"
    try:
        found = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern)
    except ScalenetError:
        return None
    names = dict.fromkeys(found.stdout.split("\0"))
    return None if found.returncode else [folder / name for name in names if name and (folder / name).is_file()]


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        command = ["git", "-C", str(folder), *words]
        own = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
        environment = {**own, "LC_ALL": "C"}
        return subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError:
        raise ScalenetError("git is not installed", hint="--base reads the lock file with it") from None
