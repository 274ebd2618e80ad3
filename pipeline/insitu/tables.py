"""Readings in a table of one's own, CSV or Parquet: sub-daily, daily, or samples taken by hand.

Columns: ``station`` (or ``cell``), ``time`` or ``date``, ``value`` or ``insitu``, and where known ``lon``,
``lat`` (degrees), ``depth`` or ``depth_from`` and ``depth_to`` (m), ``unit``, ``timezone``, ``network``,
``sensor``, ``instrument``, ``bulk_density`` (g/cm3), ``simulated``. Water by mass becomes water by volume
with the dry soil's bulk density, theta = w * rho_b / rho_w with rho_w = 1 g/cm3 (ISO 11272, ISO 11461).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import ConfigError, DataError
from pipeline.insitu.series import KEYS, Codes, Depth, Insitu, Period, checked
from pipeline.insitu.times import Clock, check_zones
from pipeline.tables.reading import Mask, Table, Values, as_text
from pipeline.wording import listed, plural

VOLUME = {"m3/m3": 1.0, "m3m-3": 1.0, "cm3/cm3": 1.0, "cm3cm-3": 1.0, "%": 0.01, "vol%": 0.01, "%vol": 0.01}
MASS = {"g/g": 1.0, "kg/kg": 1.0, "mass%": 0.01, "%mass": 0.01, "wt%": 0.01, "g/100g": 0.01}
UNITS = "m3/m3, vol%, or by mass g/g, mass%"
BULK_DENSITY = (0.03, 2.65)  # g/cm3: from peat to solid mineral
STANDS_FOR = {"station": ("station", "cell"), "time": ("time", "date"), "value": ("value", "insitu")}
TEXTS = ("network", "sensor", "instrument", "unit", "timezone")
NUMBERS = ("lon", "lat", "depth", "depth_from", "depth_to", "bulk_density")
APART = 0.01  # degrees, about a pixel of 1 km


def read_table(
    path: Path,
    depth: Depth,
    *,
    timezone: str | None = None,
    bulk_density: float | None = None,
    unit: str | None = None,
    period: Period | None = None,
) -> Insitu:
    """Read a table of readings.

    Args:
        path: CSV or Parquet with the columns named above.
        depth: range within which a sensor's depths lie, m; a table without depths is taken as within.
        timezone: IANA name of the zone of times without offset, where the column ``timezone`` has none;
            None = UTC.
        bulk_density: of the dry soil, g/cm3, where the column has none; of use for water by mass alone.
        unit: of the values, where the column ``unit`` has none: one of ``VOLUME`` and ``MASS``; None = m3/m3.
        period: first and last day of use; None = all.

    Returns:
        The readings. A station whose times all show 00:00, or whose column is ``date`` and has one a day,
        has daily ones, which keep their dates whatever the zone.

    Raises:
        ConfigError: an argument is unknown or out of range.
        DataError: the table cannot be read, lacks a column, or nothing in it can be used; all faults of its
            columns are told together.
    """
    _check_arguments(timezone, bulk_density, unit)
    table = Table.open(path)
    names = {name: _column(table, choices) for name, choices in STANDS_FOR.items()}
    if lacking := [" or ".join(STANDS_FOR[name]) for name, column in names.items() if not column]:
        raise DataError(f"{path}: no column {', no column '.join(lacking)}; it has {', '.join(table.header)}")
    wanted = {*names.values(), *TEXTS, *NUMBERS, "simulated"}
    table.fetch(wanted, {names["station"], names["time"], *TEXTS})
    stations = table.texts("station", [names["station"]])
    clock = Clock.read(table, names["time"])
    values = table.numbers(names["value"])
    optional = {name: _text(table, name) for name in TEXTS}
    numbers = {name: _number(table, name) for name in NUMBERS}
    zones = optional["timezone"].mask(optional["timezone"] == "", timezone or "")
    if wrong := check_zones(set(zones.unique()) - {""}):
        table.problems.append(
            f"timezone: {listed(wrong)} is no time zone; use IANA names such as Asia/Shanghai"
        )
    units = optional["unit"].mask(optional["unit"] == "", unit or "m3/m3")
    factors, by_mass = _factors(table, units, numbers["bulk_density"], bulk_density)
    if table.problems:
        raise DataError("\n".join(f"{path}: {problem}" for problem in table.problems))

    frame = pd.DataFrame({"network": optional["network"], "station": stations})
    frame["instrument"] = optional["instrument"].where(
        optional["sensor"] == "", (optional["sensor"] + " " + optional["instrument"]).str.strip()
    )
    frame["depth_from"], frame["depth_to"] = _depths(numbers)
    code, sensors = _sensors(frame, numbers)
    notes = list(_moved(sensors, code, numbers))
    density = _densities(numbers["bulk_density"], bulk_density)
    sensors["reason"] = _without_density(code, len(sensors), by_mass, density)
    days = _daily(clock, code, len(sensors), dated=names["time"] == "date")
    sensors["daily"] = days
    if names["time"] == "time" and (whole := sensors.loc[days, "station"].unique()).size:
        notes.append(f"Times are all 00:00 and read as days at {plural(len(whole), 'station')}.")
    times, told = clock.moments(days[code], zones)
    notes += told
    sm = values * factors * np.where(by_mass, density, 1.0)
    rows = pd.DataFrame({"code": code, "time": times, "sm": sm})
    notes += _remarks(by_mass, density, bulk_density, sensors, depth)
    simulated = "simulated" in table.raw and bool(table.marks("simulated").any())
    return checked(path, sensors, rows, depth, notes, simulated, period)


def _check_arguments(timezone: str | None, bulk_density: float | None, unit: str | None) -> None:
    mistakes = []
    if timezone is not None and check_zones([timezone]):
        mistakes.append(f"time zone {timezone!r}: use an IANA name such as Asia/Shanghai")
    low, high = BULK_DENSITY
    if bulk_density is not None and not low <= bulk_density <= high:
        mistakes.append(f"bulk density {bulk_density:g}: it is {low:g} to {high:g} g/cm3 (kg/m3 / 1000)")
    if unit is not None and _plain(unit) not in VOLUME | MASS:
        mistakes.append(f"unit {unit!r}: use {UNITS}; divide mm by the layer's thickness in mm")
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _column(table: Table, choices: tuple[str, ...]) -> str:
    return next((name for name in choices if name in table.header), "")


def _text(table: Table, name: str) -> pd.Series[str]:
    """A column of text, empty where there is none."""
    if name not in table.raw:
        return pd.Series("", table.raw.index)
    return as_text(table.raw[name]).fillna("").astype(str)


def _number(table: Table, name: str) -> Values:
    """A column of numbers, NaN where there is none."""
    return table.numbers(name) if name in table.raw else np.full(len(table.raw), np.nan)


def _plain(unit: str) -> str:
    """A unit without the ways to write it: ``% (by volume)`` and ``%vol`` are one."""
    plain = unit.lower().replace("³", "3").translate(str.maketrans("", "", " ()^*."))
    for long, short in (("by", ""), ("volume", "vol"), ("weight", "mass")):
        plain = plain.replace(long, short)
    return plain


def _factors(
    table: Table, units: pd.Series[str], densities: Values, bulk_density: float | None
) -> tuple[Values, Mask]:
    """What makes the values fractions, and which are fractions of mass; unknown units become problems."""
    factors, by_mass = np.ones(len(units)), np.zeros(len(units), np.bool_)
    for written in units.unique():
        unit, own = _plain(written), units.eq(written).to_numpy(np.bool_)
        known = VOLUME | MASS
        if unit == "%" and (bulk_density is not None or np.isfinite(densities[own]).any()):
            table.problems.append(
                "unit: % beside a bulk density may be of volume or of mass; write vol% or mass%"
            )
        elif unit not in known:
            table.problems.append(
                f"unit: {written!r} is not known; use {UNITS}; divide mm by the layer's thickness in mm"
            )
        else:
            factors[own], by_mass[own] = known[unit], unit in MASS
    return factors, by_mass


def _depths(numbers: dict[str, Values]) -> tuple[Values, Values]:
    """Upper and lower end of each row's depth, NaN where it is not told."""
    one = numbers["depth"]
    upper = np.where(np.isnan(numbers["depth_from"]), one, numbers["depth_from"])
    lower = np.where(np.isnan(numbers["depth_to"]), one, numbers["depth_to"])
    upper, lower = np.where(np.isnan(upper), lower, upper), np.where(np.isnan(lower), upper, lower)
    return np.fmin(upper, lower), np.fmax(upper, lower)


def _sensors(frame: pd.DataFrame, numbers: dict[str, Values]) -> tuple[Codes, pd.DataFrame]:
    """Number the sensors by what tells them apart; each is where its first row with a place is."""
    varied = [name for name in KEYS if len(frame[name].unique()) > 1] or ["station"]
    code = frame.groupby(varied, sort=False, dropna=False).ngroup().to_numpy().astype(np.intp)
    rows = pd.DataFrame({"lon": numbers["lon"], "lat": numbers["lat"]})
    sensors = frame[~pd.Series(code).duplicated().to_numpy()].reset_index(drop=True)
    placed = rows.notna().all(axis=1).to_numpy()
    where = rows[placed].groupby(code[placed]).first()
    return code, sensors.join(where)


def _moved(sensors: pd.DataFrame, code: Codes, numbers: dict[str, Values]) -> Iterator[str]:
    far = np.zeros(len(code), np.bool_)
    for name in ("lon", "lat"):
        far |= np.abs(numbers[name] - sensors[name].to_numpy()[code]) > APART
    if far.any():
        stations = sensors["station"].iloc[np.unique(code[far])].unique()
        yield (
            f"{plural(len(stations), 'station')} given at several places more than {APART:g} degrees apart "
            f"({listed(stations)}): the first counts; if they are several stations, give each its name."
        )


def _densities(column: Values, argument: float | None) -> Values:
    """The bulk density of each row, NaN where it is missing or none."""
    filled = column if argument is None else np.where(np.isnan(column), argument, column)
    return np.where((filled >= BULK_DENSITY[0]) & (filled <= BULK_DENSITY[1]), filled, np.nan)


def _without_density(code: Codes, sensors: int, by_mass: Mask, density: Values) -> list[str]:
    """Sensors whose water by mass cannot become one by volume."""
    lacks = np.bincount(code[by_mass & np.isnan(density)], minlength=sensors)
    every = np.bincount(code, minlength=sensors)
    low, high = BULK_DENSITY
    reason = (
        "water by mass needs the dry soil's bulk density to become m3/m3; give it in g/cm3 "
        f"({low:g} to {high:g})"
    )
    return [reason if lack and lack == rows else "" for lack, rows in zip(lacks, every, strict=True)]


def _daily(clock: Clock, code: Codes, sensors: int, *, dated: bool) -> Mask:
    """Sensors none of whose rows says another time than 00:00; in a column of dates also one time a day."""
    timed = ~clock.shows_midnight()
    if dated:
        times = pd.DataFrame({"code": code, "day": clock.wall.dt.normalize().array, "time": clock.wall.array})
        times = times.drop_duplicates()
        several = times["code"][times.duplicated(["code", "day"])]
        timed &= np.isin(code, several)
    return np.asarray(np.bincount(code[timed], minlength=sensors) == 0)


def _remarks(
    by_mass: Mask, density: Values, argument: float | None, sensors: pd.DataFrame, depth: Depth
) -> Iterator[str]:
    if by_mass.any():
        used = density[by_mass & np.isfinite(density)]
        bounds = f"{used.min():g} to {used.max():g} g/cm3" if used.size else "none"
        yield f"{by_mass.sum():,} values are water by mass, times bulk density ({bounds})."
        if lost := int((by_mass & np.isnan(density)).sum()):
            yield f"{lost:,} values by mass without a bulk density in g/cm3 are left out."
    elif argument is not None:
        yield "The bulk density is not used: all values are by volume."
    unknown = sensors.loc[sensors["depth_from"].isna(), "station"].unique()
    if len(unknown):
        yield (
            f"The depth of {plural(len(unknown), 'station')} is not told and taken as within {depth[0]:g}-"
            f"{depth[1]:g} m."
        )
    if (sensors["depth_to"] > 10).any():
        yield "Depths above 10 are probably cm; the columns of depth are in m."
