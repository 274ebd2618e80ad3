"""Counts and lists of names as they stand in the sentences that a user reads.

A note that names two hundred stations is not read, and "1 files" is not trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

NAMED = 8  # names in a sentence before the rest is only counted


def plural(count: int, noun: str) -> str:
    """A count and its noun, such as ``1 station`` or ``1,200 stations``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str] | NDArray[Any], most: int = NAMED) -> str:
    """Names in a sentence: the first of many, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more
