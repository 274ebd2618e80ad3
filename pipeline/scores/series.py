"""Daily series of all products, of the probe and of rain at each station, put together by station and day.

How soil moisture answers to rain, and triple collocation, look at whole series: a day without a probe's value
may still hold the rain, so both tables are kept whole here, where ``pipeline.tables.pairs`` keeps pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.columns import Variable
from pipeline.errors import DataError
from pipeline.tables.pairs import read_tables
from pipeline.tables.reading import Table, first, share

INSITU = "insitu"
RAIN = "rain"
RAINFALL = Variable("mm/day", 0, 2000)  # the most that was ever measured in a day is 1,825 mm


@dataclass(frozen=True, eq=False)
class Series:
    """Both tables in one.

    Attributes:
        rows: ``station, date``, each product and ``insitu`` (m³/m³) and ``rain`` (mm/day, as the in-situ
            table has it), sorted by station and day; missing is NaN.
        products: of the predictions, ``sm`` first, in the order of a report.
        left_out: column that looks like a product -> why it is none.
        simulated: whether a column of either table says so.
        inputs: where both files are and what they hold.
    """

    rows: pd.DataFrame
    products: tuple[str, ...]
    left_out: Mapping[str, str]
    simulated: bool
    inputs: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, predictions: Path, insitu: Path) -> Series:
        """Read and check both tables.

        Args:
            predictions: as ``pipeline.tables.pairs.read_tables`` takes it.
            insitu: the same with, where it was measured, ``rain`` (mm/day).

        Raises:
            DataError: every fault of both tables, or no station is in both.
        """
        faults: list[str] = []
        rain = tables = None
        try:
            tables = read_tables(predictions, insitu)
        except DataError as error:
            faults += str(error).splitlines()
        try:
            rain = _rain(insitu)
        except DataError as error:
            faults += str(error).splitlines()
        if faults or tables is None:
            raise DataError("\n".join(dict.fromkeys(faults)))
        predicted, measured = tables
        shared = set(predicted.rows["station"]) & set(measured.rows["station"])
        if not shared:
            raise DataError(
                f"no station is in both tables:\n{predictions}: {predicted.span()}\n{insitu}: "
                f"{measured.span()}\nuse the same station names"
            )
        place = ["station", "date"]
        both = predicted.rows[[*place, *predicted.products]].merge(
            measured.rows[[*place, INSITU]], how="outer", on=place, validate="1:1"
        )
        both = both.assign(**{RAIN: np.nan}) if rain is None else both.merge(rain, how="left", on=place)
        both = both[both["station"].isin(shared)].sort_values(place, ignore_index=True)
        inputs = {"predictions": predicted.describe(), INSITU: measured.describe()}
        simulated = predicted.simulated or measured.simulated
        return cls(both, predicted.products, predicted.left_out, simulated, inputs)


def _rain(path: Path) -> pd.DataFrame | None:
    """The rain that stations measured, a row a station and day; None where nobody did."""
    table = Table.open(path)
    station = "station" if "station" in table.header else "cell"
    if not {RAIN, station, "date"} <= set(table.header):
        return None
    table.fetch({RAIN, station, "date"}, {station, "date"})
    values = table.numbers(RAIN)
    outside = (values < RAINFALL.low) | (values > RAINFALL.high)
    if outside.any():
        table.problems.append(
            f"{RAIN}: {share(outside)} values outside {RAINFALL.low:g}..{RAINFALL.high:g} {RAINFALL.unit} "
            f"({np.nanmin(values):.4g} to {np.nanmax(values):.4g}, the first in row {first(outside) + 1}); "
            f"convert it to {RAINFALL.unit} and leave no-data codes empty"
        )
    rows = pd.DataFrame({"station": table.texts("station", [station]), "date": table.days("date", "date")})
    if table.problems:
        raise DataError("\n".join(f"{path}: {problem}" for problem in table.problems))
    return rows.assign(**{RAIN: values})
