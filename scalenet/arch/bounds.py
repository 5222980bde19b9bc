"""How large what is read may be: generous for networks, and small enough that every answer comes in seconds.

A number is at most a billion, a file of ours 16 MiB of a million values, a network 4,096 stages; a count that a file
holds, which may be a product of several numbers, has at most 100 digits.
"""

from __future__ import annotations

LARGEST = 10**9
LARGEST_FILE = 16 * 2**20
MOST_STAGES = 4096
MOST_DIGITS = 100
MOST_VALUES = 10**6
