"""How values become the documented types of arguments, for numbers, text, containers, arrays and dates.

Earth Engine promotes only where nothing is lost: a whole float is an integer, a number is a 0-D array or
a date in milliseconds, a string is a date; a string is never a number nor the reverse. The other types
are promoted where they are defined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gee.local import limits
from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.registry import promotion
from gee.local.scalars.calendar import parse_iso
from gee.local.scalars.elementwise import saturating_cast
from gee.local.values import Date, DateRange, ErrorMargin, PixelType, type_of

MAX_DIMENSIONS = 16  # of an array; NumPy's own limit depends on its version

PIXEL_TYPES: dict[str, PixelType] = {
    name: type_of(np.dtype(dtype))
    for name, dtype in {
        "int8": "int8",
        "int16": "int16",
        "int32": "int32",
        "int64": "int64",
        "uint8": "uint8",
        "uint16": "uint16",
        "uint32": "uint32",
        "byte": "uint8",
        "short": "int16",
        "int": "int32",
        "long": "int64",
        "float": "float32",
        "double": "float64",
    }.items()
}
"""Pixel types by the names Earth Engine gives them."""


@promotion("Number")
def as_number(value: Any) -> int | float:
    """A number; true is 1 and false is 0."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 1024):
        return value
    raise TypeError


@promotion("Float")
def as_float(value: Any) -> float:
    """A number as a float."""
    return float(as_number(value))


@promotion("Integer", "Long")
def as_integer(value: Any) -> int:
    """A whole number."""
    number = as_number(value)
    if isinstance(number, float) and not number.is_integer():
        raise TypeError
    return int(number)


@promotion("Boolean")
def as_boolean(value: Any) -> bool:
    """A boolean; of numbers all but 0 are true."""
    number: float = as_number(value)
    return number != 0


@promotion("String")
def as_string(value: Any) -> str:
    """A string."""
    if isinstance(value, str):
        return value
    raise TypeError


@promotion("List")
def as_list(value: Any) -> list[Any]:
    """A list."""
    if isinstance(value, (list, tuple)):
        charge(len(value))
        return list(value)
    raise TypeError


@promotion("Dictionary")
def as_dictionary(value: Any) -> dict[str, Any]:
    """A dictionary."""
    if isinstance(value, Mapping):
        charge(len(value))
        return dict(value)
    raise TypeError


@promotion("Algorithm")
def as_algorithm(value: Any) -> Any:
    """A function."""
    if callable(value):
        return value
    raise TypeError


@promotion("Array")
def as_array(value: Any) -> np.ndarray[Any, Any]:
    """An array: itself, a number as a 0-D array, or what nested lists of numbers make.

    Integers make 32-bit elements, or 64-bit ones where they are too large; any float makes 64-bit floats.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple, bool, int, float)):
        return array_of(value, None)
    raise TypeError


def array_of(values: Any, kind: PixelType | None) -> np.ndarray[Any, Any]:
    """An array of nested lists of numbers, with elements of a type or the type they need.

    Raises:
        EngineError: the lists are uneven or hold something else than numbers, or nothing and no type.
    """
    _check_size(values)
    try:
        array = np.asarray(values)
    except (OverflowError, ValueError) as error:
        raise EngineError("Array values must be numbers in lists of equal lengths.") from error
    if array.dtype.kind == "b":
        array = array.astype(np.int32)
    elif array.dtype.kind == "u":
        array = array.astype(np.float64)
    if array.size == 0 and array.dtype.kind not in "OUS":
        if kind is None:
            raise EngineError("Array of no numbers needs a pixelType.")
    elif array.dtype.kind not in "if":
        array = _of_objects(array)
    if kind is not None:
        with np.errstate(all="ignore"):
            return saturating_cast(kind.dtype, array)
    if array.dtype.kind == "i":
        int32 = np.iinfo(np.int32)
        small = int32.min <= array.min() and array.max() <= int32.max
        return array.astype(np.int32 if small else np.int64, copy=False)
    return array.astype(np.float64, copy=False) if array.dtype == np.float16 else array


def _check_size(values: Any) -> None:
    """Refuse nested lists that would make too large an array, before NumPy looks into them."""
    size, depth = 1, 0
    while isinstance(values, (list, tuple)) and values:
        size, depth, values = size * len(values), depth + 1, values[0]
        if size > limits.MAX_SEQUENCE:
            raise EngineError(f"Array of {size} elements is too large: at most {limits.MAX_SEQUENCE}.")
        if depth > MAX_DIMENSIONS:
            raise EngineError(f"Array has too many dimensions: at most {MAX_DIMENSIONS}.")


def _of_objects(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Whole numbers beyond 64 bits as floats."""
    if array.dtype.kind != "O" or not all(isinstance(item, (int, float)) for item in array.flat):
        raise EngineError("Array values must be numbers in lists of equal lengths.")
    return array.astype(np.float64)


@promotion("Date")
def as_date(value: Any) -> Date:
    """A date: itself, milliseconds since 1970, or a text such as '1996-01-01T08:00' in UTC."""
    if isinstance(value, Date):
        return value
    if isinstance(value, str):
        return Date(parse_iso(value, None))
    number = as_number(value)
    if math.isfinite(number):
        return Date(number)
    raise TypeError


@promotion("DateRange")
def as_date_range(value: Any) -> DateRange:
    """A range of dates; a date is the millisecond from it on."""
    if isinstance(value, DateRange):
        return value
    start = as_date(value).millis
    return DateRange(start, start + 1)


@promotion("PixelType")
def as_pixel_type(value: Any) -> PixelType:
    """A pixel type, also by name, or as it is printed."""
    if isinstance(value, PixelType):
        return value
    if isinstance(value, str) and value in PIXEL_TYPES:
        return PIXEL_TYPES[value]
    if isinstance(value, Mapping) and value.get("precision") in ("int", "float", "double"):
        return PixelType(
            value["precision"], value.get("min"), value.get("max"), int(value.get("dimensions", 0))
        )
    raise TypeError


@promotion("ErrorMargin")
def as_error_margin(value: Any) -> ErrorMargin:
    """An error margin; a number is metres."""
    if isinstance(value, ErrorMargin):
        return value
    if isinstance(value, Mapping):
        margin = value.get("value")
        return ErrorMargin(None if margin is None else float(margin), str(value.get("unit", "meters")))
    return ErrorMargin(as_float(value))


@promotion("Blob")
def as_blob(value: Any) -> Any:
    """Nothing: no algorithm of the local engine makes one."""
    raise TypeError
