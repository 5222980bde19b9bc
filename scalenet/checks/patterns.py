"""Patterns of names: `*` and `?` stand for others, and a name stands for itself, whatever characters it has."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Return whether a pattern is this very name, or matches it."""
    return name == pattern or fnmatchcase(name, pattern)
