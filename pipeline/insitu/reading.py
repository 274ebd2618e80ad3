"""In-situ soil moisture from whatever a user has: recognised by its path, read, and brought to days.

The two steps are apart because readings are the same for every product while a day's value is not: SMAP's
morning, an image at noon and a daily mean each need their own window.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from pipeline.errors import ConfigError, DataError
from pipeline.insitu.archive import GOOD, SUFFIX, read_archive
from pipeline.insitu.matching import Window, match
from pipeline.insitu.series import Depth, Insitu, Period
from pipeline.insitu.tables import read_table
from pipeline.progress import Report
from pipeline.wording import listed, plural

DEPTH: Depth = (0.0, 0.1)  # m: the layer of SMAP L4 (0-0.05) and the paper's stations at 0.1
COLUMNS = ("station", "date", "insitu", "lon", "lat", "network", "depth", "readings", "simulated")


def read_insitu(
    path: Path,
    report: Report,
    *,
    depth: Depth = DEPTH,
    flags: Collection[str] = GOOD,
    timezone: str | None = None,
    bulk_density: float | None = None,
    unit: str | None = None,
    period: Period | None = None,
) -> Insitu:
    """Read in-situ soil moisture.

    Args:
        path: a zip file or folder of the ISMN (`pipeline.insitu.archive`), or a CSV or Parquet table
            (`pipeline.insitu.tables`).
        report: told what is being read and the share of it that is done.
        depth: a sensor's depths lie within, m.
        flags: the ISMN's quality flags whose readings are taken.
        timezone: IANA name of the zone of a table's times without offset; None = UTC.
        bulk_density: of the dry soil, g/cm3, for a table's water by mass.
        unit: of a table's values, where it has no column ``unit``; None = m3/m3.
        period: first and last day of use: readings more than a day off are not kept; None = all.

    Returns:
        The readings of one or more sensors, in UTC and m³/m³.

    Raises:
        ConfigError: an argument is wrong or of no use to such a file, or the package for the ISMN is not
            installed.
        DataError: there is no such file, it is damaged, or nothing in it can be used.
    """
    if not 0 <= depth[0] <= depth[1]:
        raise ConfigError(
            f"depth {depth[0]:g} to {depth[1]:g}: from the surface down, in m, such as 0 to 0.1"
        )
    if not flags:
        raise ConfigError("no quality flag is named; G is the ISMN's for good readings")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in (".zip", SUFFIX) or zipfile.is_zipfile(path):
        given = {"time zone": timezone, "bulk density": bulk_density, "unit": unit}
        if useless := [name for name, value in given.items() if value is not None]:
            raise ConfigError(
                f"{path}: the ISMN's readings are in UTC and m3/m3; leave out the {' and the '.join(useless)}"
            )
        return read_archive(path, depth, report, flags=flags, period=period)
    if suffix not in (".csv", ".parquet"):
        raise DataError(
            f"{path}: readings are a .zip file or folder of the ISMN, or a .csv or .parquet table, not "
            f"{suffix or 'a file without suffix'}"
        )
    report(f"reading: {path.name}", 0.0)
    return read_table(path, depth, timezone=timezone, bulk_density=bulk_density, unit=unit, period=period)


def daily_table(
    insitu: Insitu, window: Window, *, region: BaseGeometry | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One value a station and day, as ``validate`` reads it.

    Args:
        insitu: the readings.
        window: when the product's value of a day holds.
        region: outline in degrees, such as ``shapely.box(west, south, east, north)``; stations outside are
            left out and told, those without coordinates are kept.

    Returns:
        Columns ``station``, ``date`` (datetime64[s]), ``insitu`` (m³/m³), ``lon``, ``lat`` (degrees, NaN =
        unknown), ``network``, ``depth`` (m, the centre, NaN = unknown), ``readings`` (how many the value is
        made of) and ``simulated``, sorted by station and date; and what a user should know, with the notes
        of the reading before its own.

    Raises:
        DataError: no station is left, with the reasons.
    """
    used = insitu.sensors[insitu.sensors["reason"] == ""]
    stations, notes = pd.Index(used["station"].unique()), list(insitu.notes)
    if region is not None:
        beyond = _beyond(used, region)
        stations = stations.difference(beyond)
        if len(beyond):
            notes.append(f"{plural(len(beyond), 'station')} outside the region left out ({listed(beyond)}).")
    if len(stations):
        matched = match(insitu, stations, window)
        notes += matched.notes
    if not len(stations) or matched.rows.empty:
        raise DataError("\n".join(["No station has a daily value of soil moisture:", *notes]))
    places = matched.places.loc[matched.rows["station"]]
    table = matched.rows.assign(
        lon=places["lon"].to_numpy(),
        lat=places["lat"].to_numpy(),
        network=places["network"].to_numpy(),
        simulated=insitu.simulated,
    )
    if not used.loc[used["station"].isin(stations), "daily"].all():
        notes.append(f"A day's value is the {window.label()}.")
    return table[list(COLUMNS)], tuple(notes)


def _beyond(sensors: pd.DataFrame, region: BaseGeometry) -> list[str]:
    """Stations none of whose probes lies in a region; one on its border does."""
    lon, lat = sensors["lon"].to_numpy(np.float64), sensors["lat"].to_numpy(np.float64)
    shapely.prepare(region)
    inside = shapely.intersects_xy(region, lon, lat) | np.isnan(lon)
    among = set(sensors.loc[inside, "station"])
    return [name for name in sensors["station"].unique() if name not in among]
