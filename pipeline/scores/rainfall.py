"""Daily rain at stations, fetched from CHIRPS of the engine that is connected.

Stations of soil moisture seldom measure rain, and Xu et al. 2024 (section 2.2.7) take it from CHIRPS. Earth
Engine ends a collection after 5,000 elements and a page after 1,000, so a long period at many stations is
asked in parts.
"""

from __future__ import annotations

import ee
import pandas as pd

from gee import comparisons, limits
from gee.catalog import RAIN
from gee.comparisons import RAINFALL
from gee.timeseries import Calendar
from pipeline.cloud.asking import asked
from pipeline.errors import DataError
from pipeline.progress import Report

PLACES = 250  # in one request, whose text holds the coordinates of each
ROWS = limits.FEATURES_PER_PAGE


def rain_at(places: pd.DataFrame, days: Calendar, report: Report = lambda what, share: None) -> pd.DataFrame:
    """CHIRPS's rain at stations, of the 0.05 degree pixel that holds each.

    Args:
        places: ``station``, ``lon``, ``lat`` (degrees), a row each or more; one without coordinates is left
            out.
        days: wanted.
        report: told about progress.

    Returns:
        A row for each station and day: ``station``, ``date``, ``rain`` (mm/day, NaN over the sea, poleward of
        50 degrees and on days that CHIRPS does not have), ``simulated``, sorted by station and day.

    Raises:
        DataError: no station has coordinates.
        ConfigError: CHIRPS is missing on the engine.
        EngineError: the engine refuses or does not answer.
    """
    known = places.dropna(subset=["lon", "lat"]).drop_duplicates("station")
    if known.empty:
        raise DataError("no station has lon and lat, so its rain cannot be looked up: add them to the table")
    simulated = bool(asked(RAIN.collection().first().get("simulated")))
    groups = [known.iloc[first : first + PLACES] for first in range(0, len(known), PLACES)]
    rows: list[dict[str, object]] = []
    done, wanted = 0, len(known) * len(days)
    for group in groups:
        points = ee.FeatureCollection(
            [
                ee.Feature(ee.Geometry.Point([float(lon), float(lat)]), {"station": str(station)})
                for station, lon, lat in group[["station", "lon", "lat"]].itertuples(index=False)
            ]
        )
        step = max(1, ROWS // len(group))
        for first in range(0, len(days), step):
            part = Calendar(days.days[first], days.days[min(first + step, len(days)) - 1])
            table = comparisons.at_places(comparisons.rain(part), points, [RAINFALL], ["station"])
            rows += [feature["properties"] for feature in asked(table)["features"]]
            done += len(group) * len(part)
            report(f"rain: {part.end}", done / wanted)
    found = pd.DataFrame(rows, columns=["station", "date", RAINFALL]).astype({RAINFALL: "float64"})
    found["date"] = pd.to_datetime(found["date"]).astype("datetime64[s]")
    return found.sort_values(["station", "date"], ignore_index=True).assign(simulated=simulated)
