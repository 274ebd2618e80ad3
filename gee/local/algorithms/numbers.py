"""Number.*: the element-wise table on single numbers, and what only numbers have.

Numbers are 64-bit: integers saturate there, and whatever is not an integer is a double.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from gee.local.errors import EngineError
from gee.local.registry import algorithm, apply, promote, signatures
from gee.local.scalars import expressions
from gee.local.scalars.elementwise import INT64, OPERATIONS, Operation
from gee.local.scalars.javatext import format_number
from gee.local.values import DOUBLE, PixelType

_LONG = PixelType("int", *INT64)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?Infinity|NaN")
CONSTANTS = {"Math.PI": math.pi, "Math.E": math.e}


def _operand(value: float) -> np.ndarray[Any, Any]:
    if isinstance(value, int) and INT64[0] <= value <= INT64[1]:
        return np.asarray(value, np.int64)
    return np.asarray(value, np.float64)


def apply_operation(operation: Operation, *numbers: float) -> int | float:
    """An element-wise operation on numbers.

    Raises:
        EngineError: a bitwise operation of a number that is not whole.
    """
    integral = not operation.casts and all(float(number).is_integer() for number in numbers)
    if integral and any(isinstance(number, float) for number in numbers) and _is_bitwise(operation):
        numbers = tuple(map(int, numbers))
    operands = [_operand(number) for number in numbers]
    kinds = [_LONG if operand.dtype.kind == "i" else DOUBLE for operand in operands]
    kind = operation.result_type(*kinds)
    if kind.precision == "float" and not operation.casts:
        kind = DOUBLE
    result: int | float = operation.compute(*operands, dtype=kind.dtype).item()
    return result


def _is_bitwise(operation: Operation) -> bool:
    return operation.name.startswith("bit") or operation.name.endswith("Shift")


for _operation in OPERATIONS.values():
    algorithm(*(f"Number.{name}" for name in _operation.names))(partial(apply_operation, _operation))


@algorithm("Number.parse")
def parse(text: str, radix: int) -> int | float:
    """The number that a text writes in a radix; only decimal ones may have a fraction."""
    try:
        if radix != 10:
            return int(text, radix)
        if re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text.replace("Infinity", "inf"))
    except ValueError:
        pass
    raise EngineError(f"Cannot parse '{text}' as a number.")


algorithm("Number.format")(format_number)


@algorithm("Number.clamp")
def clamp(number: float, low: float, high: float) -> float:
    """The nearest number between two."""
    nearest = min(max(number, low), high)
    whole = isinstance(number, int) and float(nearest).is_integer()
    return int(nearest) if whole else nearest


@algorithm("Number.unitScale")
def unit_scale(number: float, low: float, high: float) -> float:
    """Where a number lies between two, from 0 to 1 and beyond; 0 where they are the same."""
    return 0 if low == high else (number - low) / (high - low)


@algorithm("Number.expression")
def expression(text: str, variables: Mapping[str, Any] | None) -> Any:
    """The value of an arithmetic expression; functions are those of Number.

    Raises:
        EngineError: it cannot be read, or uses a name or function that does not exist.
    """

    def variable(name: str) -> Any:
        if name in CONSTANTS:
            return CONSTANTS[name]
        found: Any = {} if variables is None else variables
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise EngineError(f"Variable '{name}' of the expression is not defined.")
            found = found[part]
        return found

    def call(name: str, operands: list[Any]) -> Any:
        if name == expressions.CHOICE:
            condition, first, second = operands
            return first if promote(condition, "Number") != 0 else second
        signature = signatures().get(f"Number.{name}")
        if signature is None or len(operands) > len(signature.arguments):
            raise EngineError(
                f"The expression calls '{name}', which is no function of {len(operands)} numbers."
            )
        names = [argument.name for argument in signature.arguments]
        return apply(signature.name, dict(zip(names, operands, strict=False)))

    return expressions.run(expressions.compiled(text), variable, call)
