"""How long work tells how far it is, to whoever shows it: a terminal, a log, or nobody.

Nothing prints but the command line, so a function is handed what it is to tell; one name for that, below
everything else of the pipeline, keeps its meaning the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, float], None]
"""Told what is being done and the share of the whole that is done, 0 to 1."""


def within(report: Report, first: float, last: float) -> Report:
    """A step's report as a part of the whole's: its share from ``first`` to ``last``."""
    return lambda what, share: report(what, first + (last - first) * min(share, 1.0))
