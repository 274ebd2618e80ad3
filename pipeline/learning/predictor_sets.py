"""The sets of predictors that are held against each other, as far as a table has what they need.

Rain, the day-night difference of temperature, slope and wetness say what the soil goes through; a day of the
year says which date it is. Whether the first are better without the second, with it, or with its place on the
circle of the year, blocked splits have to tell of each table: one region's answer need not be another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.columns import SEASON, SETS, Resolver
from pipeline.errors import DataError
from pipeline.study import Study
from pipeline.tables.reading import Table
from pipeline.tables.samples import SampleTable, feature_names, read_samples

PAPER = "paper"  # the set that the others are compared with
_BARE = tuple(name for name in SETS["recommended"] if name not in ("doy", *SEASON))
USED: Mapping[str, tuple[str, ...]] = {
    PAPER: SETS["paper"],
    "recommended-bare": _BARE,
    "recommended-season": (*_BARE, *SEASON),
    "recommended-doy": (*_BARE, "doy"),
}
COMPARED: Mapping[str, str] = {
    PAPER: "The paper's fifteen",
    "recommended-bare": "Recommended without day of year",
    "recommended-season": "Recommended with sine and cosine of day of year",
    "recommended-doy": "Recommended with day of year",
}
"""Titles of the sets."""


@dataclass(frozen=True, eq=False)
class Comparable:
    """What can be compared on a table.

    Attributes:
        frame: the rows of the table that models are trained on, with the features of all sets.
        sets: the features of each set; empty where they cannot be compared.
        reason: why not.
    """

    frame: pd.DataFrame
    sets: Mapping[str, list[str]]
    reason: str


def comparable(samples: Path, study: Study, table: SampleTable) -> Comparable:
    """Read what the sets need beside what the study uses.

    Args:
        samples: the table.
        study: maps its columns.
        table: as it is read for training.
    """
    header = frozenset(Table.open(samples).header)
    if lacking := [name for name in _BARE if not _has(name, study, header)]:
        return Comparable(table.frame, {}, f"the table has no {', '.join(lacking)}")
    mine = study.predictors.use
    wide = _using(study, tuple(dict.fromkeys((*mine, *(name for used in USED.values() for name in used)))))
    try:
        read = read_samples(samples, wide, target=True)
    except DataError as error:
        return Comparable(table.frame, {}, str(error).splitlines()[-1])
    if len(read.frame) != len(table.frame):
        return Comparable(table.frame, {}, "with land cover among the predictors other rows would be left")
    return Comparable(
        read.frame, {name: feature_names(_using(study, used)) for name, used in USED.items()}, ""
    )


def _using(study: Study, names: tuple[str, ...]) -> Study:
    return study.model_copy(update={"predictors": study.predictors.model_copy(update={"use": names})})


def _has(name: str, study: Study, header: frozenset[str]) -> bool:
    """Whether a table has a predictor, land cover in the form that the study takes it in."""
    if name == "lc" and study.predictors.land_cover == "fractions":
        return all(_has(feature, study, header) for feature in feature_names(_using(study, ("lc",))))
    return Resolver(study.samples.columns, header).entry(name) is not None
