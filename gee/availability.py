"""Whether the sources have what a study reads: its days, with their margins, and its land.

A source that ends before a period, or north of which a region lies, masks what it lacks and says nothing; a
season without a predictor shows in the scores alone. So both are told before anything is asked of the engine,
by the rows of ``gee.catalog``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from gee.catalog import Source
from gee.errors import SettingError


def check_available(sources: Iterable[Source], start: dt.date, end: dt.date) -> None:
    """Refuse a period in which a source has no images.

    Args:
        sources: that a study reads; static and yearly ones limit no period.
        start: first day that is read, margins included.
        end: last day that is read.

    Raises:
        SettingError: names every source that falls short, and the period that all of them cover.
    """
    dated = [source for source in sources if source.dated]
    short = [source for source in dated if not source.covers(start, end)]
    if not short:
        return
    first = max(source.start for source in dated)
    last = min((source.end for source in dated if source.end), default=None)
    if last is None:
        advice = f"Start so late that {first} is the first day read."
    elif first <= last:
        advice = f"Keep what is read within {first} to {last}."
    else:
        advice = "No day has images of all of them: leave one out."
    lines = [f"  {source.name} ({source.id}): {source.span}" for source in short]
    raise SettingError(
        f"No images for all of {start} to {end} (the study's days and the margins around them) in\n"
        + "\n".join(lines)
        + f"\n{advice}"
    )


def check_latitudes(remedies: Mapping[Source, str], south: float, north: float) -> None:
    """Refuse a region that reaches beyond a source.

    Args:
        remedies: of each source that a study reads, how to do without it.
        south: of the region, degrees.
        north: of the region, degrees.

    Raises:
        SettingError: names every source that falls short, with its remedy.
    """
    lines = [
        f"  {source.name} ({source.id}): {source.latitudes[0]:g} to {source.latitudes[1]:g}; {remedy}"
        for source, remedy in remedies.items()
        if south < source.latitudes[0] or north > source.latitudes[1]
    ]
    if lines:
        raise SettingError(
            f"The region reaches from {south:.2f} to {north:.2f} degrees north, further than\n"
            + "\n".join(lines)
            + "\nDo so, or keep the region within."
        )
