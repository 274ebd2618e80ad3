"""How a study maps the columns of somebody else's table onto gee-smap's own, with their units.

Exports differ in names, scale factors, units and no-data codes, and a conversion script per table hides
such choices where nobody reviews them; here they are declared in the study. Units and ranges are those of
the products (SMAP L4, MODIS, Sentinel-1, SoilGrids, CHIRPS, MERIT Hydro), the index formulas those of Xu et
al. 2024 eqs 1-4.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Variable:
    """Unit of a known column and the range outside which its values cannot be in that unit."""

    unit: str
    low: float
    high: float


# Ranges are generous: they catch a wrong unit, scale factor or no-data code, not a noisy pixel.
VARIABLES: dict[str, Variable] = {
    "lon": Variable("degrees", -180, 180),
    "lat": Variable("degrees", -90, 90),
    "sm": Variable("m3/m3", 0, 1),
    "ndvi": Variable("1", -2, 2),
    "ndwi": Variable("1", -2, 2),
    "nsdsi": Variable("1", -10, 10),  # unclamped: 1 - swir2/swir1, far below -1 over dark water
    "evi": Variable("1", -10, 10),  # unclamped: the denominator nears zero over cloud and snow
    "vv": Variable("dB", -60, 30),
    "vh": Variable("dB", -60, 30),
    "lai": Variable("m2/m2", 0, 20),
    "lst": Variable("degC", -100, 100),
    "albedo": Variable("1", -0.1, 1.5),
    "sand": Variable("%", 0, 100),
    "silt": Variable("%", 0, 100),
    "clay": Variable("%", 0, 100),
    "dem": Variable("m", -500, 9000),
    "lc": Variable("class", 0, 4),
    "LC_1": Variable("1", 0, 1),
    "LC_2": Variable("1", 0, 1),
    "LC_3": Variable("1", 0, 1),
    "LC_4": Variable("1", 0, 1),
    "doy": Variable("d", 1, 366),
    "dlst": Variable("K", -50, 100),
    "rain_3": Variable("mm", 0, 3000),
    "rain_7": Variable("mm", 0, 5000),
    "rain_15": Variable("mm", 0, 7000),
    "rain_30": Variable("mm", 0, 10_000),  # 9,300 mm fell in the wettest month known, Cherrapunji 1861
    "slope": Variable("degree", 0, 90),
    "twi": Variable("1", -10, 40),
    "doy_sin": Variable("1", -1, 1),
    "doy_cos": Variable("1", -1, 1),
}
PREDICTORS = (
    "ndvi", "ndwi", "nsdsi", "evi", "vv", "vh", "lai", "lst", "albedo",
    "sand", "silt", "clay", "dem", "lc", "doy",
)  # fmt: skip
"""The fifteen of Xu et al. 2024 section 3.3."""
EXPORTED = ("dlst", "rain_3", "rain_7", "rain_15", "rain_30", "slope", "twi")
"""What gee-smap prepares beyond them: the day-night difference of LST, antecedent rain, slope, wetness."""
SEASON = ("doy_sin", "doy_cos")
"""The day of the year on a circle, so that December lies beside January; made of ``doy``."""
KNOWN = (*PREDICTORS, *EXPORTED, *SEASON)
SETS: dict[str, tuple[str, ...]] = {
    "paper": PREDICTORS,
    "recommended": (*(name for name in PREDICTORS if name != "doy"), *EXPORTED),
}
"""Predictors by the name of their set."""
LAND_COVER = ("LC_1", "LC_2", "LC_3", "LC_4")
"""Forest, grassland, cropland, urban: Xu et al. 2024 table 2 without water."""
IDS = ("cell", "station", "partition")

# Unit wanted -> unit declared -> (factor, offset): wanted = declared * factor + offset.
CONVERSIONS: dict[str, dict[str, tuple[float, float]]] = {
    "m3/m3": {"m3/m3": (1, 0), "%": (0.01, 0)},  # and mm of a layer, whose factor is 1 / layer_mm
    "degC": {"degC": (1, 0), "K": (1, -273.15)},
    "%": {"%": (1, 0), "fraction": (100, 0), "g/kg": (0.1, 0)},  # soil texture by mass
    "1": {"1": (1, 0), "%": (0.01, 0)},
    "K": {"K": (1, 0), "degC": (1, 0)},  # of differences, which know no zero
    "mm": {"mm": (1, 0), "m": (1000, 0)},
}
# What a column that gee-smap does not know (an extra predictor, a carried column) is turned into.
FREE_UNITS = {
    "m3/m3": "m3/m3",
    "mm": "mm",
    "%": "1",
    "K": "degC",
    "degC": "degC",
    "dB": "dB",
    "m": "m",
    "1": "1",
}


@dataclass(frozen=True)
class Conversion:
    """From the declared unit to gee-smap's: ``value * factor + offset``, in ``unit``."""

    factor: float
    offset: float
    unit: str


def conversion(name: str, unit: str | None, layer_mm: float | None = None) -> Conversion:
    """How values of column ``name``, declared in ``unit``, become gee-smap's unit of that column.

    Args:
        name: gee-smap's name; one it does not know is turned into the unit of ``FREE_UNITS``.
        unit: the unit declared, None where the column already has gee-smap's.
        layer_mm: thickness of the soil layer whose water ``mm`` counts.

    Raises:
        ValueError: the unit cannot become that of the column, or the layer's thickness is missing.
    """
    wanted = VARIABLES[name].unit if name in VARIABLES else None
    if layer_mm is not None and unit != "mm":
        raise ValueError('layer_mm belongs to unit = "mm"')
    if unit == "mm" and (wanted == "m3/m3" or (wanted is None and layer_mm is not None)):
        if layer_mm is None:
            raise ValueError(
                'unit = "mm" needs layer_mm, the thickness of the soil layer, such as layer_mm = 50'
            )
        return Conversion(1 / layer_mm, 0, "m3/m3")
    if unit is None:
        return Conversion(1, 0, wanted or "")
    if wanted is None:
        if unit not in FREE_UNITS:
            raise ValueError(f"unit {unit!r} is not known; allowed: {', '.join(FREE_UNITS)}")
        wanted = FREE_UNITS[unit]
    allowed = CONVERSIONS.get(wanted, {}) | {wanted: (1.0, 0.0)}
    if unit not in allowed:
        known = [*allowed, "mm"] if wanted == "m3/m3" else list(allowed)
        raise ValueError(
            f"unit {unit!r} cannot become {wanted}, the unit of {name}; allowed: {', '.join(known)}"
        )
    return Conversion(*allowed[unit], wanted)


FORMULA_LENGTH = 300  # characters; keeps the nesting of an expression within Python's own limits
OPERATORS: dict[type[ast.operator | ast.unaryop], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {  # name -> (function, number of arguments)
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "log": (np.log, 1),
    "log10": (np.log10, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
}
ALLOWED = f"column names, numbers, + - * / **, brackets and {', '.join(f'{name}()' for name in FUNCTIONS)}"


@dataclass(frozen=True)
class Formula:
    """Arithmetic on columns, read once and never handed to Python's own ``eval``.

    ``names`` are the columns it needs. A result that is not finite (a division by zero, the root of a
    negative number) is missing, and so is any result of a missing value.
    """

    text: str
    names: frozenset[str]
    tree: ast.expr

    def __call__(self, lookup: Callable[[str], Values]) -> Values:
        """Evaluate with the columns ``lookup`` gives, all of one length."""
        with np.errstate(all="ignore"):
            result = np.asarray(self._value(self.tree, lookup), dtype=np.float64)
        return np.where(np.isfinite(result), result, np.nan)

    def _value(self, node: ast.expr, lookup: Callable[[str], Values]) -> Any:
        match node:
            case ast.Constant(int() | float() as number):
                return np.float64(number)  # never a Python integer: 9**9**9 would not end
            case ast.Name(name):
                return lookup(name)
            case ast.BinOp(left, sign, right):
                return OPERATORS[type(sign)](self._value(left, lookup), self._value(right, lookup))
            case ast.UnaryOp(sign, operand):
                return OPERATORS[type(sign)](self._value(operand, lookup))
            case ast.Call(ast.Name(name), arguments):
                return FUNCTIONS[name][0](*(self._value(argument, lookup) for argument in arguments))
        raise TypeError(f"{type(node).__name__} passed parse_formula")


@cache
def parse_formula(text: str) -> Formula:
    """Read a formula such as ``(B8 - B4) / (B8 + B4)``.

    Raises:
        ValueError: it is not arithmetic, holds anything but ``ALLOWED``, or names no column.
    """
    if len(text) > FORMULA_LENGTH:
        raise ValueError(
            f"the formula has {len(text)} characters; allowed: {FORMULA_LENGTH}, name its parts instead"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        names = frozenset(_names(tree))
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"{text!r} cannot be read as arithmetic; allowed: {ALLOWED}") from error
    if not names:
        raise ValueError(f"{text!r} names no column; allowed: {ALLOWED}")
    return Formula(text, names, tree)


def _names(node: ast.expr) -> Iterator[str]:
    """The columns under a node; refuses every node that is not arithmetic."""
    match node:
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            float(number)
        case ast.Name(name) if name not in FUNCTIONS:
            yield name
        case ast.BinOp(left, sign, right) if type(sign) in OPERATORS:
            yield from _names(left)
            yield from _names(right)
        case ast.UnaryOp(sign, operand) if type(sign) in OPERATORS:
            yield from _names(operand)
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            if len(arguments) != FUNCTIONS[name][1]:
                raise ValueError(f"{name}() takes {FUNCTIONS[name][1]} argument(s), got {len(arguments)}")
            for argument in arguments:
                yield from _names(argument)
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed in a formula; allowed: {ALLOWED}")


class Column(BaseModel):
    """Where the values of one of our columns stand in a foreign table, and in which unit.

    ``value = (raw * scale + offset)`` once the no-data codes of ``raw`` are missing, then the unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str | None = Field(default=None, description="the name of a column of the table")
    columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description='a list of columns that make an id together, joined with "-"'
    )
    formula: str | None = Field(default=None, description=ALLOWED)
    unit: str | None = Field(default=None, description="the table's unit, such as mm, %, K")
    layer_mm: float | None = Field(
        default=None,
        gt=0,
        description='a number above 0, the thickness of the soil layer of unit = "mm"',
    )
    scale: float = Field(
        default=1.0, allow_inf_nan=False, description="a number, which the raw value is multiplied by"
    )
    offset: float = Field(default=0.0, allow_inf_nan=False, description="a number, added after scale")
    nodata: tuple[float, ...] = Field(
        default=(), description="a list of raw values that mean missing, such as [-9999]"
    )

    @field_validator("formula")
    @classmethod
    def _readable(cls, formula: str | None) -> str | None:
        if formula is not None:
            parse_formula(formula)
        return formula

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("scale = 0 would erase the column")
        return scale

    @model_validator(mode="after")
    def _one_source(self) -> Column:
        given = [key for key in ("column", "columns", "formula") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of column, columns, formula (got {', '.join(given) or 'none'})"
            )
        if self.nodata and not self.column:
            raise ValueError(
                "nodata belongs to a column; map the columns a formula uses under names of their own"
            )
        return self

    @property
    def plain(self) -> bool:
        """Whether the raw values are taken as they are."""
        return self == Column(column=self.column, columns=self.columns, formula=self.formula)

    def numbers(self, name: str, lookup: Callable[[str], Values]) -> Values:
        """The values of our column ``name`` in our unit, from the raw numbers that ``lookup`` gives."""
        raw = parse_formula(self.formula)(lookup) if self.formula else lookup(self.column or "")
        if self.nodata:
            codes = np.array(self.nodata)
            with np.errstate(over="ignore"):  # a code also matches as a float32 column stores it
                raw = np.where(np.isin(raw, [*codes, *codes.astype(np.float32)]), np.nan, raw)
        if self.plain:
            return raw
        unit = conversion(name, self.unit, self.layer_mm)
        with np.errstate(over="ignore"):
            return (raw * self.scale + self.offset) * unit.factor + unit.offset


YEAR_DAYS = 365.25
DERIVED = {
    name: Column(formula=f"{wave}(2 * {math.pi} * doy / {YEAR_DAYS})")
    for name, wave in zip(SEASON, ("sin", "cos"), strict=True)
}
"""What can be computed of another known column where a table or a cube does not have it."""

ColumnMap = Mapping[str, tuple[Column, ...]]
"""Our name -> where to find it: the first entry whose columns are all in the table is used."""


def mistakes(columns: ColumnMap) -> Iterator[tuple[str, str]]:
    """What is wrong between a name and its entries, or among the names, as (name, mistake)."""
    if "cell" in columns and "station" in columns:
        yield "station", "cell and station are one and the same id; map only one of them"
    for name, entries in columns.items():
        if not name.isidentifier():
            yield name, "a name is made of letters, digits and _, and does not begin with a digit"
        for entry in entries:
            if name in IDS or name == "date":
                if not entry.plain or entry.formula is not None or (name == "date" and entry.columns):
                    allowed = "column" if name == "date" else "column or columns"
                    yield (
                        name,
                        f"{name} is no number; allowed: {allowed}, without unit, scale, offset, nodata",
                    )
            elif entry.columns:
                yield name, "columns joins the parts of an id; for a number give column or formula"
            else:
                try:
                    conversion(name, entry.unit, entry.layer_mm)
                except ValueError as error:
                    yield name, str(error)
                used = parse_formula(entry.formula).names if entry.formula else frozenset()
                for text in sorted(used & {*IDS, "date"} & columns.keys()):
                    yield (
                        name,
                        f"the formula uses {text}, which is mapped as text; name the table's own column",
                    )
        circle = _circle(name, columns)
        if circle:
            yield name, f"the formulas go in a circle: {' -> '.join(circle)}"


def _circle(name: str, columns: ColumnMap) -> tuple[str, ...]:
    """The way from ``name`` back to itself through formulas, empty where there is none."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen = {name}
    while ways:
        way = ways.pop()
        for entry in columns.get(way[-1], ()):
            for used in parse_formula(entry.formula).names if entry.formula else ():
                if used == name and len(way) > 1:
                    return (*way, used)
                if used in columns and used not in seen:
                    seen.add(used)
                    ways.append((*way, used))
    return ()


@dataclass(frozen=True)
class Resolver:
    """Finds our names in one table.

    A name in a formula is looked up among the mapped names first, then among the table's columns; a
    name's own formula sees the table's column of that name. A name that is not mapped is expected in the
    table under its own name, or computed as ``DERIVED`` says.
    """

    columns: ColumnMap
    present: frozenset[str]

    def entry(self, name: str) -> Column | None:
        """The first entry of a name whose columns are all in the table, None where there is none."""
        usable = (entry for entry in self._entries(name) if self._foreign(name, entry) <= self.present)
        return next(usable, None)

    def missing(self, name: str) -> list[str]:
        """The columns of the table that the entry nearest to being usable lacks."""
        lacking = [sorted(self._foreign(name, entry) - self.present) for entry in self._entries(name)]
        return min(lacking, key=len)

    def foreign(self, name: str) -> frozenset[str]:
        """The columns of the table that a name is read from, none where it cannot be."""
        entry = self.entry(name)
        return frozenset() if entry is None else self._foreign(name, entry)

    def numbers(self, name: str, raw: Callable[[str], Values]) -> Values:
        """The values of a name in our unit; ``raw`` gives the table's columns as numbers.

        Raises:
            KeyError: the table does not have what the name needs.
        """
        entry = self.entry(name)
        if entry is None:
            raise KeyError(name)

        def lookup(used: str) -> Values:
            own = entry.formula is None or used == name or used not in self.columns
            return raw(used) if own else self.numbers(used, raw)

        return entry.numbers(name, lookup)

    def unit(self, name: str) -> str:
        """The unit of a name's values, empty where neither gee-smap nor the study says."""
        entry = self.columns.get(name, (Column(column=name),))[0]
        return conversion(name, entry.unit, entry.layer_mm).unit

    def _entries(self, name: str) -> tuple[Column, ...]:
        if given := self.columns.get(name):
            return given
        return (Column(column=name), *([DERIVED[name]] if name in DERIVED else []))

    def _foreign(self, name: str, entry: Column) -> frozenset[str]:
        if entry.formula is None:
            return frozenset(entry.columns or (entry.column or "",))
        needed: set[str] = set()
        for used in parse_formula(entry.formula).names:
            if used == name or used not in self.columns:
                needed.add(used)
            else:
                chosen = self.entry(used) or self._entries(used)[0]
                needed |= self._foreign(used, chosen)
        return frozenset(needed)
