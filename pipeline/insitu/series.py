"""What probes and augers measured, whoever kept the file, and the checks that all of it goes through.

A percent column, a no-data code left among the values, a station in the wrong hemisphere or two stations of
one name give scores that look like scores. Each is settled here once for every format: what cannot be meant
is left out and told, with the station's name and the fix, and the rest is kept. Range of values: that of
``validate``'s tables, volumetric soil moisture as of the ISMN, m³/m³.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.columns import VARIABLES
from pipeline.errors import DataError
from pipeline.tables.pairs import MOISTURE
from pipeline.wording import listed, plural

Depth = tuple[float, float]
Period = tuple[dt.date, dt.date]
Codes = NDArray[np.intp]

KEYS = ("network", "station", "instrument", "depth_from", "depth_to")
SENSORS = ("sensor", *KEYS, "lon", "lat", "daily", "readings", "reason")
SPIKES = 0.1  # share of values above 1 up to which they are spikes; a percent column has nearly all there
ROUNDING = 0.0025  # m: probes of the SCAN lie at 2 in, 0.0508 m, and the ISMN's headers say 0.05


@dataclass(frozen=True)
class Insitu:
    """Readings of soil moisture and the sensors they are of.

    Attributes:
        sensors: a row each: ``sensor`` (id), ``station`` (with its network where two networks have one of
            that name), ``network`` (may be empty), ``lon``, ``lat`` (degrees, NaN = unknown),
            ``depth_from``, ``depth_to`` (m, NaN = unknown), ``instrument``, ``daily`` (its readings are of
            whole days, not of moments), ``readings`` (how many there are) and ``reason`` (why the sensor is
            not used, empty where it is).
        readings: ``sensor`` (categorical), ``time`` (UTC, datetime64[ns]; 00:00 of the date where the sensor
            is daily) and ``sm`` (m³/m³), sorted by both, no time twice at a sensor, nothing missing.
        depth: the range asked for, m.
        notes: what a user should know.
        simulated: whether the file says so.
    """

    sensors: pd.DataFrame
    readings: pd.DataFrame
    depth: Depth
    notes: tuple[str, ...]
    simulated: bool

    def as_dict(self) -> dict[str, Any]:
        """Its size and period, for a record."""
        times = self.readings["time"]
        return {
            "stations": int(self.sensors["station"].nunique()),
            "sensors": len(self.sensors),
            "networks": sorted({*self.sensors["network"]} - {""}),
            "depth_m": list(self.depth),
            "readings": len(self.readings),
            "first": times.min().isoformat(),
            "last": times.max().isoformat(),
            "simulated": self.simulated,
            "notes": list(self.notes),
        }


def checked(
    source: Path,
    sensors: pd.DataFrame,
    readings: pd.DataFrame,
    depth: Depth,
    notes: Iterable[str] = (),
    simulated: bool = False,
    period: Period | None = None,
) -> Insitu:
    """Put sensors and readings together, leaving out what cannot be meant.

    Args:
        source: the file or folder, for messages.
        sensors: the columns of `Insitu.sensors` but for ``sensor`` and ``readings``; ``reason`` where a
            reader has one already.
        readings: ``code`` (row of ``sensors``), ``time`` (UTC, datetime64[ns]) and ``sm`` (m³/m³, NaN where
            missing), in any order.
        depth: the range wanted, m.
        notes: what the reader has to say.
        simulated: whether the file says that it is.
        period: first and last day of use, None = all.

    Returns:
        What is left: readings within -0.1..1 m³/m³ of sensors within ``depth`` (to 2.5 mm) or of unknown
        depth. Equal readings of one time are one; different ones become their mean, as of replicate samples.

    Raises:
        DataError: nothing is left; the message has the reason for each station.
    """
    sensors, told = sensors.reset_index(drop=True), list(notes)
    _refuse(sensors, _misplaced(sensors))
    _refuse(sensors, _outside(sensors, depth))
    told += _names(sensors)
    rows = readings[sensors["reason"].eq("").to_numpy()[readings["code"]]]
    rows = within(rows[rows["sm"].notna() & rows["time"].notna()], period)
    rows = _plausible(sensors, rows, told)
    rows = _single(sensors, rows, told)
    counts = np.bincount(rows["code"], minlength=len(sensors))
    none = "no usable reading" if period is None else f"no usable reading from {period[0]} to {period[1]}"
    _refuse(sensors, pd.Series(none, sensors.index).where(counts == 0, ""))
    sensors["readings"] = counts
    sensors["sensor"] = _ids(sensors)
    told += _left_out(sensors)
    if rows.empty:
        raise DataError("\n".join([f"{source}: no soil moisture can be used", *told]))
    if len(lacking := sensors.loc[(counts > 0) & sensors["lon"].isna(), "station"].unique()):
        told.append(
            f"{plural(len(lacking), 'station')} without coordinates ({listed(lacking)}): maps are not read "
            "there, and pairs are made by the station's name alone"
        )
    kept = pd.DataFrame(
        {
            "sensor": pd.Categorical.from_codes(
                rows["code"].to_numpy(np.intp), categories=pd.Index(sensors["sensor"])
            ),
            "time": rows["time"].to_numpy(),
            "sm": rows["sm"].to_numpy(),
        }
    )
    return Insitu(sensors[list(SENSORS)], kept, depth, tuple(told), simulated)


def within(rows: pd.DataFrame, period: Period | None) -> pd.DataFrame:
    """The rows whose ``time`` is in a period or the day before or after, where windows reach."""
    if period is None:
        return rows
    start, end = (np.datetime64(day, "D") for day in period)
    time = rows["time"].to_numpy()
    kept: pd.DataFrame = rows[
        (time >= start - np.timedelta64(1, "D")) & (time < end + np.timedelta64(2, "D"))
    ]
    return kept


def span(depth: Depth) -> str:
    """A depth or a range of it in words."""
    return f"{depth[0]:g} m" if depth[0] == depth[1] else f"{depth[0]:g}-{depth[1]:g} m"


def is_within(one: Depth, wanted: Depth) -> bool:
    """Whether a depth, NaN = unknown, is within a range; two inches are within five centimetres."""
    return not (one[0] < wanted[0] - ROUNDING or one[1] > wanted[1] + ROUNDING)


def _refuse(sensors: pd.DataFrame, reasons: pd.Series[str]) -> None:
    """Give sensors that have no reason yet the one found now."""
    sensors["reason"] = sensors["reason"].where(sensors["reason"] != "", reasons)


def _misplaced(sensors: pd.DataFrame) -> pd.Series[str]:
    """Sensors that are nowhere on earth; half a position is none."""
    lon, lat = sensors["lon"], sensors["lat"]
    half = lon.isna() | lat.isna()
    sensors.loc[half, ["lon", "lat"]] = np.nan
    wrong = pd.Series(False, sensors.index)
    for name, values in (("lon", lon), ("lat", lat)):
        known = VARIABLES[name]
        wrong |= (values < known.low) | (values > known.high)
    texts = [
        f"lon {east:g}, lat {north:g} is no place on earth; give degrees, perhaps they are swapped"
        for east, north in zip(lon, lat, strict=True)
    ]
    return pd.Series(texts, sensors.index).where(wrong & ~half, "")


def _outside(sensors: pd.DataFrame, depth: Depth) -> pd.Series[str]:
    """Sensors that are not within a range of depth; an unknown depth is."""
    reasons = [
        f"measures at {span(pair)}, not within {span(depth)}" if not is_within(pair, depth) else ""
        for pair in zip(sensors["depth_from"], sensors["depth_to"], strict=True)
    ]
    return pd.Series(reasons, sensors.index)


def _names(sensors: pd.DataFrame) -> Iterator[str]:
    """Tell stations of one name in several networks apart."""
    networks = sensors.groupby("station")["network"].nunique()
    shared = networks.index[networks > 1]
    if len(shared):
        among = sensors["station"].isin(shared) & (sensors["network"] != "")
        both = sensors["network"] + "/" + sensors["station"]
        sensors["station"] = sensors["station"].where(~among, both)
        yield f"Several networks have a station {listed(list(shared))}: its name is written network/station."


def _plausible(sensors: pd.DataFrame, rows: pd.DataFrame, told: list[str]) -> pd.DataFrame:
    """Refuse sensors in another unit; drop single values that are no soil moisture."""
    code, values = rows["code"].to_numpy(), rows["sm"].to_numpy()
    high, low = values > MOISTURE.high, values < MOISTURE.low
    if not (high.any() or low.any()):
        return rows
    counts, wrong = (np.bincount(code[mask], minlength=len(sensors)) for mask in (~low, high))
    unit = wrong > SPIKES * np.maximum(counts, 1)
    reason = (
        "values above 1 are no m3/m3; give their unit, vol% or mass%, or divide mm by the layer's thickness "
        "in mm"
    )
    _refuse(sensors, pd.Series([reason if mistaken else "" for mistaken in unit], sensors.index))
    if unit.any():
        one = int(unit.argmax())
        station = sensors["station"].iloc[one]
        told.append(
            f"{wrong[one]:,} of {counts[one]:,} values of station {station} are above 1; "
            f"the median is {np.median(values[(code == one) & ~low]):.4g}."
        )
    for mask, what in ((high, "above 1 m3/m3 (spikes)"), (low, "below -0.1 m3/m3 (no-data codes?)")):
        drop = mask & ~unit[code]
        if drop.any():
            stations = sensors["station"].iloc[np.unique(code[drop])].unique()
            told.append(f"{plural(int(drop.sum()), 'value')} {what} left out: {listed(stations)}.")
    kept: pd.DataFrame = rows[~(high | low | unit[code])]
    return kept


def _single(sensors: pd.DataFrame, rows: pd.DataFrame, told: list[str]) -> pd.DataFrame:
    """One reading for each time of a sensor, in order."""
    code, time, value = (rows[name].to_numpy() for name in ("code", "time", "sm"))
    if len(rows) > 1 and not _ascending(code, time):
        order = np.lexsort((time, code))
        code, time, value = code[order], time[order], value[order]
    again = np.zeros(len(code), np.bool_)
    again[1:] = (code[1:] == code[:-1]) & (time[1:] == time[:-1])
    if not again.any():
        return pd.DataFrame({"code": code, "time": time, "sm": value})
    starts = np.flatnonzero(~again)
    sizes = np.diff([*starts, len(code)])
    low, high = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    differ = high > low
    mean = np.where(differ, np.add.reduceat(value, starts) / sizes, low)
    if equal := int((sizes[~differ] - 1).sum()):
        told.append(f"{plural(equal, 'reading')} repeated with the same time and value: one of each is kept.")
    if differ.any():
        worst = np.flatnonzero(differ)[(high - low)[differ].argmax()]
        stations = sensors["station"].iloc[np.unique(code[starts][differ])].unique()
        told.append(
            f"{plural(int(differ.sum()), 'time')} given more than once with different values: their mean is "
            f"taken, as of replicate samples ({listed(stations)}; they differ by up to "
            f"{(high - low)[worst]:.3g} m3/m3, at {sensors['station'].iloc[code[starts][worst]]}). If they "
            "are several probes, tell them apart in a column sensor."
        )
    return pd.DataFrame({"code": code[starts], "time": time[starts], "sm": mean})


def _ascending(code: Codes, time: NDArray[np.datetime64]) -> bool:
    """Whether readings are sorted by sensor and time, as most files are."""
    step = np.diff(code)
    return bool(((step > 0) | ((step == 0) & (time[1:] >= time[:-1]))).all())


def _ids(sensors: pd.DataFrame) -> pd.Series[str]:
    """An id for each sensor: network, station, depth and instrument, and a number where they do not do."""
    place = sensors["station"].where(
        (sensors["network"] == "") | sensors["station"].str.contains("/", regex=False),
        sensors["network"] + "/" + sensors["station"],
    )
    depths = [
        "" if np.isnan(pair[0]) else f" {span(pair)}"
        for pair in zip(sensors["depth_from"], sensors["depth_to"], strict=True)
    ]
    ids = place + depths + (" " + sensors["instrument"]).where(sensors["instrument"] != "", "")
    number = ids.groupby(ids).cumcount()
    return ids.where(number == 0, ids + " #" + (number + 1).astype(str))


def _left_out(sensors: pd.DataFrame) -> Iterator[str]:
    """Stations that are not used and why, and single sensors of the others that are in doubt.

    A deeper probe beside one that is used is nothing to tell.
    """
    used = sensors["station"].isin(sensors.loc[sensors["reason"] == "", "station"])
    reasons = sensors[~used].groupby("station", sort=False)["reason"].agg(lambda own: "; ".join(own.unique()))
    for reason, same in reasons.groupby(reasons, sort=False):
        yield f"{plural(len(same), 'station')} left out ({listed(list(same.index))}): {reason}."
    doubtful = sensors[used & (sensors["reason"] != "") & ~sensors["reason"].str.startswith("measures at")]
    for _, one in doubtful.iterrows():
        yield f"A sensor of station {one['station']} left out ({one['sensor']}): {one['reason']}."
