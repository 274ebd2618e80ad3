"""How often the truth of a simulation, or a station, lies within the intervals of a map.

What intervals promise they promise of the mean of a SMAP cell as SMAP would see it. A square kilometre and a
probe depart from that, each in its own way, so their share within says how far the promise carries and not
whether it is kept; it stands by partition and month, since that is where it breaks.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.blocks import MIN_BLOCKS
from models.coverage import SUMS, Coverage, sums_by
from pipeline.learning.calibration import PERIOD_DAYS
from pipeline.tables.titles import LOWER, UPPER
from pipeline.work.staging import read_back, staged, with_nan, write_json

Fields = NDArray[np.floating[Any]]
Labels = NDArray[np.intp]

ALL, PARTITION, MONTH = "all", "partition", "month"
RECORD = "coverage.json"
FILES = (RECORD,)


@dataclass(frozen=True, eq=False)
class Covered:
    """What the intervals of a map contain.

    Attributes:
        table: one row for all pixel-days or station-days (``by`` is ``all``), for each partition and for each
            month, ``name`` of it, and the columns of ``models.coverage.Coverage``.
        reference: what should lie within, for people.
        drawn: what counts as independent where intervals of a coverage are drawn.
    """

    table: pd.DataFrame
    reference: str
    drawn: str

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "reference": self.reference, "drawn": self.drawn, "rows": self.table.to_dict(orient="records"),
        }  # fmt: skip

    def rows(self) -> list[dict[str, str]]:
        """For people."""
        return [
            {
                "of": row["name"] or ALL, "rows": f"{row['n']:,}", "within": f"{row['coverage']:.1%}",
                "mean width": f"{row['width']:.4f}",
            }
            for row in self.table.to_dict(orient="records")
        ]  # fmt: skip


def of_fields(
    truth: Fields,
    lower: Fields,
    upper: Fields,
    days: Sequence[dt.date],
    cells: Labels,
    partitions: Mapping[str, NDArray[np.bool_]],
) -> Covered:
    """Of a map, against the truth that simulated sources were made from.

    Args:
        truth: (days, rows, columns) m³/m³, NaN where there is none.
        lower: ``sm_lower`` of the map, same shape, NaN where there is no interval.
        upper: ``sm_upper``.
        days: of the first axis.
        cells: (rows, columns) number of the SMAP cell of each pixel, -1 outside of all.
        partitions: name -> (rows, columns) its pixels, none in two partitions.

    Returns:
        Periods of 30 days count as independent where there are 5 or more, else cells; within a month cells.
    """
    kept = cells.ravel() >= 0
    unit = np.zeros(kept.sum(), np.intp)  # 0 is no partition
    for number, inside in enumerate(partitions.values(), 1):
        unit[inside.ravel()[kept]] = number
    names, label = np.unique(np.stack([cells.ravel()[kept], unit]), axis=1, return_inverse=True)
    size = names.shape[1]
    sums = np.zeros((len(days), size, SUMS))
    for day, total in enumerate(sums):
        values, low, high = (field[day].ravel()[kept] for field in (truth, lower, upper))
        total[:] = sums_by(values, low, high, label.ravel(), size)
    return _covered(sums, days, names[0], names[1], list(partitions), "the simulated truth at 1 km", "cells")


def of_stations(rows: pd.DataFrame) -> Covered:
    """Of a map, or of rows of a table, against stations.

    Args:
        rows: ``station``, ``date``, ``insitu``, ``sm_lower`` and ``sm_upper`` in m³/m³, and ``partition``
            where there are any.

    Returns:
        As :func:`of_fields`, with stations in the place of cells.
    """
    dates = pd.to_datetime(rows["date"]).dt.date
    days, day = np.unique(dates.to_numpy(), return_inverse=True)
    stations, station = np.unique(rows["station"].to_numpy(np.str_), return_inverse=True)
    part = rows["partition"] if "partition" in rows else pd.Series("", index=rows.index)
    names, unit = np.unique(part.fillna("").to_numpy(np.str_), return_inverse=True)
    known = [str(name) for name in names if name]
    number = np.array([known.index(str(name)) + 1 if name else 0 for name in names], np.intp)
    pairs, label = np.unique(np.stack([station, number[unit]]), axis=1, return_inverse=True)
    size = pairs.shape[1]
    values, low, high = (rows[name].to_numpy(np.float64) for name in ("insitu", LOWER, UPPER))
    flat = sums_by(values, low, high, day * size + label.ravel(), len(days) * size)
    return _covered(
        flat.reshape(len(days), size, SUMS), list(days), pairs[0], pairs[1], known,
        f"{len(stations)} station{'s' if len(stations) != 1 else ''}", "stations",
    )  # fmt: skip


def _covered(
    sums: NDArray[np.float64],
    days: Sequence[dt.date],
    place: Labels,
    unit: Labels,
    partitions: Sequence[str],
    reference: str,
    places: str,
) -> Covered:
    """From the sums of each day (days, k, 4) of k parts of a place; its place and its partition, or 0."""
    period = np.array([day.toordinal() // PERIOD_DAYS for day in days], np.intp)
    known = sums[..., 0].any(axis=1)
    by_period = len(np.unique(period[known])) >= MIN_BLOCKS
    month = np.array([f"{day:%Y-%m}" for day in days], np.str_)

    def line(by: str, name: str, some: NDArray[np.float64], at: Labels) -> dict[str, Any]:
        _, label = np.unique(at, return_inverse=True)
        blocks = np.zeros((label.max(initial=-1) + 1, SUMS))
        np.add.at(blocks, label, some)
        return {"by": by, "name": name, **Coverage.of(blocks).as_dict()}

    def lines() -> Iterator[dict[str, Any]]:
        groups = [(ALL, "", np.ones(len(unit), np.bool_))]
        groups += [(PARTITION, name, unit == number) for number, name in enumerate(partitions, 1)]
        for by, name, inside in groups:
            axis, at = (1, period) if by_period else (0, place[inside])
            yield line(by, name, sums[:, inside].sum(axis=axis), at)
        for name in np.unique(month):
            yield line(MONTH, str(name), sums[month == name].sum(axis=0), place)

    return Covered(
        pd.DataFrame(list(lines())), reference, f"{PERIOD_DAYS}-day periods" if by_period else places
    )


def write(found: Covered, out: Path) -> None:
    """Write ``coverage.json`` into a folder.

    Raises:
        DataError: it cannot be written.
    """
    with staged(out, RECORD, FILES) as folder:
        write_json(folder / RECORD, found.as_dict())


def read(folder: Path) -> Covered | None:
    """What :func:`write` left in a folder; None where it left nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "score the maps again")


def _load(folder: Path) -> Covered:
    body = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    table = pd.DataFrame(with_nan(body["rows"]))
    if not {"by", "name", "n", "coverage", "width"} <= {*table}:
        raise ValueError(f"{RECORD} lacks columns")
    return Covered(table, str(body["reference"]), str(body["drawn"]))
