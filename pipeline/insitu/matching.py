"""From readings to one value a station and day, at the time for which a product's day holds.

Soil dries within hours after rain, so a probe's daily mean beside a satellite's morning is another quantity.
As QA4SM does, a day's value is the reading nearest to the product's time within a window (12 h, half on each
side); ties go to the later reading, as in pytesmo's ``temporal_collocation``. Several probes of a station
become one series by rule: the shallowest depth, and the mean of the probes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gee.target import SmapBin
from pipeline.errors import ConfigError
from pipeline.insitu.series import Insitu, span
from pipeline.wording import listed, plural

Method = Literal["nearest", "mean"]
HOURS = 12.0  # QA4SM's recommended window
DAY = 24.0
APART = 0.005  # degrees, half a pixel of 1 km
_HOUR = 3_600_000_000_000  # ns
_DAY = 24 * _HOUR


@dataclass(frozen=True)
class Window:
    """When a product's value of a day holds, and how far a reading may be from that.

    Attributes:
        centre: hours from 00:00 UTC of the day; negative on the day before.
        hours: length, half on each side, both ends included; with 24 a reading belongs to one day alone, at
            the limit to the later.
        method: the reading nearest to the centre, or the mean of all in the window.
    """

    centre: float
    hours: float = HOURS
    method: Method = "nearest"

    def __post_init__(self) -> None:
        if not 0 < self.hours <= DAY:
            raise ConfigError(f"a window of {self.hours:g} hours: more than 0 and up to 24 are allowed")
        if not -DAY <= self.centre <= 2 * DAY:
            raise ConfigError(f"a window around hour {self.centre:g}: from -24 to 48 is allowed")
        if self.method not in ("nearest", "mean"):
            raise ConfigError(f"a window's method is nearest or mean, not {self.method!r}")

    @classmethod
    def of_bin(cls, smap: SmapBin, hours: float = HOURS, method: Method = "nearest") -> Window:
        """Around the middle of the hours for which SMAP stands: 22:30 UTC of the day before for 21-24."""
        return cls(smap.day_offset * DAY + smap.start_hour + smap.hours / 2, hours, method)

    @classmethod
    def of_day(cls) -> Window:
        """The mean of 00:00 to 24:00 UTC, for products of whole days."""
        return cls(DAY / 2, DAY, "mean")

    def label(self) -> str:
        """In words, for people."""
        if self == Window.of_day():
            return "mean of the day, 00:00 to 24:00 UTC"
        what = "reading nearest to" if self.method == "nearest" else "mean of readings around"
        return f"{what} {self.time()}, within {self.hours / 2:g} hours"

    def time(self) -> str:
        """The centre in words, such as ``22:30 UTC of the day before``."""
        minutes = round((self.centre % DAY) * 60)
        day = {-1: " of the day before", 1: " of the next day"}.get(int(self.centre // DAY), "")
        return f"{minutes // 60:02d}:{minutes % 60:02d} UTC{day}"


@dataclass(frozen=True)
class Matched:
    """One value a station and day.

    Attributes:
        rows: ``station``, ``date`` (datetime64[s]), ``insitu`` (m³/m³), ``depth`` (m, its centre, NaN =
            unknown) and ``readings`` (how many the value is made of), sorted by station and date.
        places: by station, ``lon``, ``lat`` and ``network`` of the probes taken.
        notes: what a user should know.
    """

    rows: pd.DataFrame
    places: pd.DataFrame
    notes: tuple[str, ...]


def match(insitu: Insitu, stations: pd.Index[str], window: Window) -> Matched:
    """Bring the readings of stations to days.

    Args:
        insitu: the readings; those of days keep their date.
        stations: the ones wanted.
        window: of the product.

    Returns:
        The values; a station without a reading in any window is told in a note and has no row.
    """
    sensors = insitu.sensors
    wanted = (sensors["station"].isin(stations) & (sensors["reason"] == "")).to_numpy()
    code = insitu.readings["sensor"].cat.codes.to_numpy(np.intp)
    time = insitu.readings["time"].to_numpy().astype(np.int64)
    values = insitu.readings["sm"].to_numpy()
    if not wanted.all():
        ours = wanted[code]
        code, time, values = code[ours], time[ours], values[ours]
    whole = sensors["daily"].to_numpy(np.bool_)[code]
    parts = [
        pd.DataFrame({"code": code[whole], "day": time[whole] // _DAY, "sm": values[whole], "readings": 1}),
        _windowed(code[~whole], time[~whole], values[~whole], window),
    ]
    by_sensor = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    notes: list[str] = []
    missed = set(sensors.loc[wanted, "station"]) - set(sensors["station"].iloc[by_sensor["code"].unique()])
    if missed:
        notes.append(
            f"{plural(len(missed), 'station')} left out ({listed(sorted(missed))}): no {window.label()}."
        )
    chosen, told = _shallowest(sensors.iloc[np.sort(by_sensor["code"].unique())])
    rows = by_sensor[np.isin(by_sensor["code"], chosen.index)]
    rows, more = _probes(rows, chosen)
    first = chosen.groupby("station")
    more += [*_spread(chosen), *_remote(chosen, window)]
    return Matched(rows, first[["lon", "lat", "network"]].first(), (*notes, *told, *more))


def _windowed(
    code: NDArray[np.intp], time: NDArray[np.int64], values: NDArray[np.float64], window: Window
) -> pd.DataFrame:
    """One value a sensor and day: ``code``, ``day`` (since 1970), ``sm``, ``readings``; times in ns."""
    offset = time - round(window.centre * _HOUR)
    day = (offset + _DAY // 2) // _DAY
    off = offset - day * _DAY
    near = 2 * np.abs(off) <= round(window.hours * _HOUR)
    frame = pd.DataFrame({"code": code[near], "day": day[near], "sm": values[near]})
    if window.method == "mean":
        means = frame.groupby(["code", "day"])["sm"].agg(["mean", "count"]).reset_index()
        return means.rename(columns={"mean": "sm", "count": "readings"})
    order = np.lexsort((-off[near], np.abs(off[near]), frame["day"], frame["code"]))
    nearest: pd.DataFrame = frame.iloc[order].drop_duplicates(["code", "day"])
    return nearest.assign(readings=1)


def _shallowest(sensors: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The probes at each station's shallowest depth; one of unknown depth comes last."""
    sorting = sensors.assign(depth=(sensors["depth_from"] + sensors["depth_to"]) / 2)
    sorting = sorting.sort_values(["station", "depth", "depth_to"], kind="stable")
    depths = sorting[["depth_from", "depth_to"]]
    tops = sorting.drop_duplicates("station").set_index("station")[["depth_from", "depth_to"]]
    top = tops.loc[sorting["station"]].set_axis(sorting.index)
    same = (depths.eq(top) | (depths.isna() & top.isna())).all(axis=1)
    chosen = sorting[same]
    notes = []
    deeper = sorting.loc[~same, "station"].unique()
    if len(deeper):
        example = sorting[sorting["station"] == deeper[0]]
        pairs = list(dict.fromkeys(zip(example["depth_from"], example["depth_to"], strict=True)))
        notes.append(
            f"{plural(len(deeper), 'station')} with probes at several depths ({listed(deeper)}): the "
            f"shallowest is taken, at {deeper[0]} {span(pairs[0])} of "
            f"{', '.join('unknown' if np.isnan(pair[0]) else span(pair) for pair in pairs)}."
        )
    return chosen, notes


def _probes(rows: pd.DataFrame, chosen: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The mean of a station's probes on each day."""
    number, names = pd.factorize(chosen["station"], sort=True)
    station = pd.Series(number, chosen.index).loc[rows["code"]].to_numpy()
    counts = np.bincount(number)
    notes = []
    if (counts == 1).all():
        merged = rows.assign(station=station).sort_values(["station", "day"], kind="stable")
    else:
        groups = rows.assign(station=station, probes=1).groupby(["station", "day"], as_index=False)
        merged = groups.agg({"sm": "mean", "readings": "sum", "probes": "sum"})
        fewer = merged["probes"].to_numpy() < counts[merged["station"]]
        several = np.flatnonzero(counts > 1)
        notes.append(
            f"{plural(len(several), 'station')} with several probes at that depth "
            f"({listed([f'{names[one]} {counts[one]}' for one in several.tolist()])}): their mean is taken"
            + (f", on {fewer.sum():,} station-days of fewer than all." if fewer.any() else ".")
        )
    depths = chosen.groupby("station")["depth"].first().loc[names].to_numpy()
    at = merged["station"].to_numpy()
    found = pd.DataFrame(
        {
            "station": np.asarray(names, dtype=object)[at],
            "date": merged["day"].to_numpy().astype("datetime64[D]").astype("datetime64[s]"),
            "insitu": merged["sm"].to_numpy(),
            "depth": depths[at],
            "readings": merged["readings"].to_numpy(np.int64),
        }
    )
    return found.astype({"station": "str"}), notes


def _spread(chosen: pd.DataFrame) -> Iterator[str]:
    """Stations whose probes are too far apart to be one place."""
    places = chosen.groupby("station")[["lon", "lat"]]
    far = ((places.max() - places.min()) > APART).any(axis=1)
    if far.any():
        yield (
            f"The probes of {plural(int(far.sum()), 'station')} are more than {APART:g} degrees apart "
            f"({listed(list(far.index[far]))}): the first one's place counts."
        )


def _remote(chosen: pd.DataFrame, window: Window) -> Iterator[str]:
    """Stations whose daily values hold, by the sun, nearer to another day of the product."""
    noon = DAY / 2 - chosen["lon"] * DAY / 360
    away = (noon - window.centre).abs()
    far = chosen["daily"].astype(bool) & (away > DAY / 2)
    if far.any():
        stations = chosen.loc[far, "station"].unique()
        yield (
            f"The dates of {plural(len(stations), 'station')} ({listed(stations)}) are days whose noon is up "
            f"to {away[far].max():.0f} h from {window.time()}. Dates are kept, so where the product's day "
            "holds then, scores have a day's lag: bring readings with their times, or a product of another "
            "hour."
        )
