"""How large what is read may be: generous for networks, and small enough that every answer comes in seconds.

A number is at most a billion, a file of ours 16 MiB of a million values, and a network 4,096 stages; one that is built
has at most 100,000 layers, and its weights fit into the memory. A count that a file holds, which may be a product of
several numbers, has at most 100 digits.
"""

from __future__ import annotations

LARGEST = 10**9
LARGEST_FILE = 16 * 2**20
MOST_STAGES = 4096
MOST_LAYERS = 100_000
MOST_DIGITS = 100
MOST_VALUES = 10**6

MOST_GROWING = 4_096
"""Blocks of a stage in which each is another, because it grows with its place."""
