"""Numbers as text and text by regular expression, as Earth Engine's Java server writes and reads them.

Number.format is documented by java.util.Formatter, whose rounding (half up) and exponents differ from
Python's; regular expressions are RE2's, which also cannot be made to run for ever.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import re2

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.registry import type_name

_SPECIFIER = re.compile(r"([^%]*)%([#\-+ 0,(]*)(\d*)(?:\.(\d+))?([sdoxXeEfgGaA])([^%]*)", re.DOTALL)
_MAX_WIDTH = 10_000  # characters of one formatted number
_MAX_PATTERN = 10_000  # characters of a regular expression; groups within groups take memory by their square
_EXACT = Context(prec=800, rounding=ROUND_HALF_UP)


def number_text(value: float) -> str:
    """A number as Java's ``String.valueOf`` writes it: 5, 5.0, 1.0E7, Infinity."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else text + ".0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    figures = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) + int(exponent) - 1
    return f"{'-' if sign else ''}{figures[0]}.{figures[1:] or '0'}E{power}"


def text_of(value: Any) -> str:
    """Any value as a string: strings as they are, lists and dictionaries as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    return encode_json(value)


def encode_json(value: Any) -> str:
    """Primitives, lists, dictionaries and arrays as JSON.

    Raises:
        EngineError: the value holds something else, or nests too deeply.
    """

    def other(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return item.tolist()
        if isinstance(item, Mapping):
            return dict(item)
        raise EngineError(f"Cannot encode a {type_name(item)} as JSON.")

    _check_length(value)
    try:
        return json.dumps(value, default=other, separators=(",", ":"), ensure_ascii=False)
    except RecursionError as error:
        raise EngineError("Value is nested too deeply.") from error


def _check_length(value: Any) -> None:
    """Refuse a value whose text would be too long, as a list that holds another many times over."""
    length, pending = 0, [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            pending.extend(item.values())
            length += sum(map(len, item))
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        length += len(item) if isinstance(item, str) else 2
        if length > limits.MAX_TEXT:
            raise EngineError(f"Text of the value is too long: at most {limits.MAX_TEXT} characters.")


def _rounded(value: Decimal, exponent: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(exponent), context=_EXACT)


def _scientific(value: Decimal, precision: int) -> str:
    if value == 0:
        return f"{_rounded(value, -precision)}e+00"
    power = value.adjusted()
    mantissa = _rounded(value.scaleb(-power, _EXACT), -precision)
    if mantissa.adjusted() > 0:
        power, mantissa = power + 1, _rounded(mantissa.scaleb(-1, _EXACT), -precision)
    return f"{mantissa:f}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _magnitude(value: float, conversion: str, precision: int | None, flags: str) -> str:
    """The digits of a number's absolute value."""
    kind = conversion.lower()
    if kind in "dox":
        if isinstance(value, float) and not value.is_integer():
            raise EngineError(f"Number {number_text(value)} cannot be formatted with '%{conversion}'.")
        whole = abs(int(value)) if kind == "d" else int(value) & 0xFFFFFFFFFFFFFFFF
        prefix = {"o": "0", "x": "0x"}.get(kind, "") if "#" in flags else ""
        return prefix + (f"{whole:,d}" if "," in flags and kind == "d" else format(whole, kind))
    if kind == "a":
        mantissa, _, power = float(abs(value)).hex().partition("p")
        trimmed = mantissa.rstrip("0")
        return f"{trimmed}{'0' if trimmed.endswith('.') else ''}p{int(power)}"
    exact = Decimal(repr(float(abs(value))))
    digits = 6 if precision is None else precision
    if kind == "e":
        return _scientific(exact, digits)
    if kind == "g":
        digits = max(digits, 1)
        if exact and not Decimal("0.0001") <= exact < Decimal(1).scaleb(digits):
            return _scientific(exact, digits - 1)
        digits = max(digits - 1 - (exact.adjusted() if exact else 0), 0)
    return format(_rounded(exact, -digits), ",f" if "," in flags else "f")


def format_number(value: float, pattern: str) -> str:
    """A number after a printf-style pattern with exactly one conversion.

    Raises:
        EngineError: the pattern is no such pattern, or does not fit the number.
    """
    found = _SPECIFIER.fullmatch(pattern)
    if found is None:
        raise EngineError(f"Invalid number format pattern '{pattern}'.")
    before, flags, width_text, precision_text, conversion, after = found.groups()
    width = int(width_text or 0)
    precision = None if precision_text is None else int(precision_text)
    if max(width, precision or 0) > _MAX_WIDTH:
        raise EngineError(f"Invalid number format pattern '{pattern}'.")
    sign = ""
    if conversion == "s" or not math.isfinite(value):
        body = number_text(value)[: precision if conversion == "s" else None]
        flags = flags.replace("0", "")
    else:
        body = _magnitude(value, conversion, precision, flags)
        if math.copysign(1, value) < 0 and conversion.lower() not in "ox":
            sign = "-"
        elif "+" in flags or " " in flags:
            sign = "+" if "+" in flags else " "
    if conversion.isupper():
        body = body.upper()
    if sign == "-" and "(" in flags:
        sign, body = "", f"({body})"
    if "-" in flags:
        return before + (sign + body).ljust(width) + after
    if "0" in flags:
        return before + sign + body.rjust(width - len(sign), "0") + after
    return before + (sign + body).rjust(width) + after


@lru_cache(maxsize=512)
def expression(pattern: str, flags: str = "") -> Any:
    """A compiled RE2 regular expression; of the flags 'i' ignores case.

    Raises:
        EngineError: it is not valid.
    """
    if len(pattern) > _MAX_PATTERN:
        raise EngineError(f"Regular expression is too long: at most {_MAX_PATTERN} characters.")
    options = re2.Options()
    options.case_sensitive = "i" not in flags
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        detail = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise EngineError(f"Invalid regular expression '{pattern}': {detail}") from error
