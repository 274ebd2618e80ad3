"""The one table of element-wise operations, which numbers, arrays and image bands share.

Each operation says how NumPy or SciPy computes it on plain arrays and which pixel type it gives, so that
Number.add, Array.add and Image.add cannot drift apart. Rules come from the descriptions shipped with
earthengine-api and the examples of Earth Engine's API documentation.

Types. Earth Engine documents the result as the union of the input types and leaves integer overflow
open; here the range of an integer result is widened to what the operation can give, up to 64 bits, where
it saturates. Comparisons and logic give 0 or 1. Division, powers and transcendental functions of
integers and 32-bit floats give 32-bit floats (Array.pow of integers is documented to print
0.009999999776482582), and 64-bit floats as soon as an operand is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gee.local.errors import EngineError
from gee.local.values import DOUBLE, FLOAT, PixelType, type_of

Array = NDArray[Any]
Kernel = Callable[..., Array]
"""From the NumPy type of the result and the operands to the result."""
Rule = Callable[..., PixelType]

INT64 = (-(2**63), 2**63 - 1)
# C. Lanczos' approximation with Godfrey's coefficients for g = 607/128, n = 15, as Commons Math tabulates.
_LANCZOS = (
    0.99999999999999709182,
    57.156235665862923517,
    -59.597960355475491248,
    14.136097974741747174,
    -0.49191381609762019978,
    0.33994649984811888699e-4,
    0.46523628927048575665e-4,
    -0.98374475304879564677e-4,
    0.15808870322491248884e-3,
    -0.21026444172410488319e-3,
    0.21743961811521264320e-3,
    -0.16431810653676389022e-3,
    0.84418223983852743293e-4,
    -0.26190838401581408670e-4,
    0.36899182659531622704e-5,
)


@dataclass(frozen=True, eq=False)
class Operation:
    """One element-wise operation.

    Args:
        name: as in ``Number.<name>``, ``Array.<name>``, ``Image.<name>``.
        operands: one or two.
        kernel: computes it, given the NumPy type wanted of the result.
        rule: pixel type of the result from those of the operands.
        boolean: whether it gives only 0 and 1.
        casts: whether it is a change of type.
        aliases: other documented names of it, deprecated ones included.
    """

    name: str
    operands: int
    kernel: Kernel
    rule: Rule
    boolean: bool = False
    casts: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)

    def result_type(self, *operands: PixelType) -> PixelType:
        """Pixel type of the result; array dimensions are the larger of the operands'.

        Raises:
            EngineError: a bitwise operation of a type that is not an integer.
        """
        kind: PixelType = self.rule(*operands)
        dimensions = max(operand.dimensions for operand in operands)
        return kind if kind.dimensions == dimensions else replace(kind, dimensions=dimensions)

    def compute(self, *arrays: Array, dtype: np.dtype[Any] | None = None) -> Array:
        """The operation on arrays that broadcast together; never warns, knows no masks.

        Args:
            arrays: integers, booleans or floats of any shapes that broadcast.
            dtype: NumPy type of the result, where the operands' ranges are known to be narrower than
                their NumPy types; otherwise it follows from these.

        Returns:
            Values of that type; possibly an operand itself, never changed in place.
        """
        if dtype is None:
            dtype = _result_dtype(self, tuple(array.dtype for array in arrays))
        with np.errstate(all="ignore"):
            return np.asarray(self.kernel(dtype, *arrays))


@lru_cache(maxsize=4096)
def _result_dtype(operation: Operation, dtypes: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    return operation.result_type(*map(type_of, dtypes)).dtype


# Rules of result types


def _bounds(kind: PixelType) -> tuple[int, int]:
    low = INT64[0] if kind.minimum is None else int(kind.minimum)
    high = INT64[1] if kind.maximum is None else int(kind.maximum)
    return low, high


def _integer(*values: int) -> PixelType:
    """The integer type from the smallest to the largest of these, within 64 bits."""
    low, high = min(values), max(values)
    return PixelType("int", min(max(low, INT64[0]), INT64[1]), min(max(high, INT64[0]), INT64[1]))


def _union(*operands: PixelType) -> PixelType:
    first, *others = operands
    for other in others:
        first = first.union(other)
    return first if first.precision == "int" else PixelType(first.precision)


def _widened(bounds: Callable[..., PixelType]) -> Rule:
    """The union for floats; for integers the type ``bounds`` gives from the operands' ranges."""

    def rule(*operands: PixelType) -> PixelType:
        union = _union(*operands)
        return union if union.precision != "int" else bounds(*map(_bounds, operands))

    return rule


def _floating(*operands: PixelType) -> PixelType:
    return DOUBLE if any(operand.precision == "double" for operand in operands) else FLOAT


def _truth(*operands: PixelType) -> PixelType:
    return PixelType("int", 0, 1)


def _integral(bounds: Callable[..., PixelType]) -> Rule:
    """Like `_widened`, for operations that only integers have."""

    def rule(*operands: PixelType) -> PixelType:
        if any(operand.precision != "int" for operand in operands):
            raise EngineError("Bitwise operations require integer inputs.")
        return bounds(*map(_bounds, operands))

    return rule


def _bits(*ranges: tuple[int, int]) -> PixelType:
    """The whole bits that hold every operand."""
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    width = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
    return PixelType("int", -(2**width) if low < 0 else 0, 2**width - 1)


def _shifted_left(value: tuple[int, int], count: tuple[int, int]) -> PixelType:
    if count[0] < 0 or count[1] > 63:
        return PixelType("int", *INT64)
    corners = [bound << shift for bound in value for shift in count]
    # Bits pushed out of 64 are lost, so a product beyond them may be anything.
    lost = min(corners) < INT64[0] or max(corners) > INT64[1]
    return PixelType("int", *INT64) if lost else _integer(*corners)


# Kernels


def _work(ufunc: Callable[..., Array], dtype: np.dtype[Any], *arrays: Array) -> Array:
    """A ufunc in the type that holds operands and result, so that the result is right before its cast."""
    for array in arrays:
        if array.dtype != dtype:
            work = np.result_type(dtype, *arrays)
            result = ufunc(*arrays, dtype=work, casting="unsafe")
            return result if work == dtype else result.astype(dtype)
    return ufunc(*arrays)


def _ufunc(ufunc: Callable[..., Array]) -> Kernel:
    return lambda dtype, *arrays: _work(ufunc, dtype, *arrays)


def _special(function: Callable[..., Array]) -> Kernel:
    """A function that is computed with 64 bits whatever the operands."""
    return lambda dtype, *arrays: np.asarray(
        function(*(array.astype(np.float64, copy=False) for array in arrays))
    ).astype(dtype, copy=False)


def _test(ufunc: Callable[..., Array]) -> Kernel:
    return lambda dtype, *arrays: np.asarray(ufunc(*arrays)).view(np.uint8)


def _whole(ufunc: Callable[..., Array]) -> Kernel:
    """A rounding, which leaves integers as they are."""

    def kernel(dtype: np.dtype[Any], array: Array) -> Array:
        return array.astype(dtype, copy=False) if dtype.kind in "iu" else _work(ufunc, dtype, array)

    return kernel


def _round_half_up(array: Array, **types: Any) -> Array:
    lifted: Array = np.asarray(np.add(array, array.dtype.type(0.5), **types))
    return np.floor(lifted, out=lifted)


def _long(array: Array) -> Array:
    return array.astype(np.int64, copy=False)


def _reach(array: Array) -> int:
    """The largest absolute value, so that the costly search for overflow is made only where there is any."""
    return max(-int(array.min()), int(array.max())) if array.size else 0


def _sum(ufunc: Callable[..., Array]) -> Kernel:
    """Addition or subtraction; 64-bit integers saturate."""

    def kernel(dtype: np.dtype[Any], left: Array, right: Array) -> Array:
        result = _work(ufunc, dtype, left, right)
        if dtype != np.int64 or max(left.dtype.itemsize, right.dtype.itemsize) < 8:
            return result
        if _reach(left) + _reach(right) <= INT64[1]:
            return result
        a, b = _long(left), _long(right)
        signs = b if ufunc is np.add else ~b
        overflow = ((a ^ result) & (signs ^ result)) < 0
        return np.where(overflow, np.where(a < 0, *INT64), result) if overflow.any() else result

    return kernel


def _multiply(dtype: np.dtype[Any], left: Array, right: Array) -> Array:
    result = _work(np.multiply, dtype, left, right)
    if dtype != np.int64 or left.dtype.itemsize + right.dtype.itemsize < 8:
        return result
    if _reach(left) * _reach(right) <= INT64[1]:
        return result
    product = np.multiply(left, right, dtype=np.float64)
    overflow = np.abs(product) >= 2.0**63
    return np.where(overflow, np.where(product < 0, *INT64), result) if overflow.any() else result


def _divide(dtype: np.dtype[Any], left: Array, right: Array) -> Array:
    result = np.asarray(_work(np.divide, dtype, left, right))
    zero = right == 0
    if np.any(zero):
        np.copyto(result, 0, where=zero)
    return result


def _absolute(dtype: np.dtype[Any], array: Array) -> Array:
    if dtype != np.int64:
        return _work(np.absolute, dtype, array)
    return np.absolute(np.maximum(_long(array), -INT64[1]))


def _first(dtype: np.dtype[Any], left: Array, right: Array) -> Array:
    shape = np.broadcast_shapes(left.shape, right.shape)
    return np.broadcast_to(left, shape).astype(dtype, copy=False)


def _first_non_zero(dtype: np.dtype[Any], left: Array, right: Array) -> Array:
    return np.where(left != 0, left, right).astype(dtype, copy=False)


def _bitwise(ufunc: Callable[..., Array]) -> Kernel:
    def kernel(dtype: np.dtype[Any], *arrays: Array) -> Array:
        if all(array.dtype == dtype for array in arrays):
            return ufunc(*arrays)
        return ufunc(*map(_long, arrays)).astype(dtype)

    return kernel


def _shift(ufunc: Callable[..., Array]) -> Kernel:
    """A shift of 64-bit words by the lowest six bits of the count, as Java shifts."""
    return lambda dtype, left, right: ufunc(_long(left), _long(right) & 63).astype(dtype, copy=False)


def _bit_count(dtype: np.dtype[Any], array: Array) -> Array:
    return np.bitwise_count(_long(array).view(np.uint64)).astype(dtype, copy=False)


def saturating_cast(dtype: np.dtype[Any], array: Array) -> Array:
    """Values in a NumPy type: what is out of its range becomes its smallest or largest value.

    Floats lose their fraction and NaN becomes 0 where the type is an integer.
    """
    if array.dtype == dtype or array.dtype.kind == "b" or dtype.kind == "f":
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    if array.dtype.kind in "iu":
        own = np.iinfo(array.dtype)
        if own.min >= limits.min and own.max <= limits.max:
            return array.astype(dtype)
        return np.clip(array, max(own.min, limits.min), min(own.max, limits.max)).astype(dtype)
    result = np.asarray(np.clip(array, limits.min, limits.max).astype(dtype))
    # The largest integers of 32 and 64 bits have no float of their own, and NaN has no integer.
    np.copyto(result, limits.max, where=array >= limits.max)
    np.copyto(result, 0, where=np.isnan(array))
    return result


# Special functions where SciPy's domain is not the documented one


def _gamma(x: Array) -> Array:
    return np.where(x > 0, special.gamma(x), math.nan)


def _pole(x: Array) -> Array:
    pole: Array = (x <= 0) & (x == np.floor(x))
    return pole


def _lower_gamma(x: Array, a: Array) -> Array:
    return np.asarray(special.gammainc(a, x))


def _digamma(x: Array) -> Array:
    return np.where(_pole(x), -math.inf, special.psi(x))


def _trigamma(x: Array) -> Array:
    positive = np.where(x > 0, x, 1 - x)
    known = special.zeta(2, positive)
    reflected = (math.pi / np.sin(math.pi * x)) ** 2 - known
    return np.where(x > 0, known, np.where(_pole(x), math.inf, reflected))


def _lanczos(x: Array) -> Array:
    total = np.zeros_like(x)
    for order in range(len(_LANCZOS) - 1, 0, -1):
        total = total + _LANCZOS[order] / (x + order)
    return total + _LANCZOS[0]


# The table

_REAL: dict[str, Callable[..., Array]] = {
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "cbrt": np.cbrt,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
_SPECIAL: dict[str, Callable[[Array], Array]] = {
    "digamma": _digamma,
    "erf": special.erf,
    "erfInv": special.erfinv,
    "erfc": special.erfc,
    "erfcInv": special.erfcinv,
    "gamma": _gamma,
    "lanczos": _lanczos,
    "trigamma": _trigamma,
}
_COMPARISONS: dict[str, Callable[..., Array]] = {
    "and": np.logical_and,
    "eq": np.equal,
    "gt": np.greater,
    "gte": np.greater_equal,
    "lt": np.less,
    "lte": np.less_equal,
    "neq": np.not_equal,
    "or": np.logical_or,
}
# Documented names of each cast; Array and Image have the same ones.
_CASTS: dict[str, tuple[str, ...]] = {
    "uint8": ("toByte", "byte", "toUint8", "uint8"),
    "int8": ("toInt8", "int8"),
    "int16": ("toShort", "short", "toInt16", "int16"),
    "uint16": ("toUint16", "uint16"),
    "int32": ("toInt", "int", "toInt32", "int32"),
    "uint32": ("toUint32", "uint32"),
    "int64": ("toLong", "long", "toInt64", "int64"),
    "float32": ("toFloat", "float"),
    "float64": ("toDouble", "double"),
}


def _cast_rule(kind: PixelType) -> Rule:
    return lambda operand: kind


def _operations() -> Iterator[Operation]:
    for name, ufunc in _REAL.items():
        yield Operation(name, 1, _ufunc(ufunc), _floating)
    for name, function in _SPECIAL.items():
        yield Operation(name, 1, _special(function), _floating)
    for name, test in _COMPARISONS.items():
        yield Operation(name, 2, _test(test), _truth, boolean=True)
    for dtype, names in _CASTS.items():
        rule = _cast_rule(type_of(np.dtype(dtype)))
        yield Operation(names[0], 1, saturating_cast, rule, casts=True, aliases=names[1:])

    # One operand
    yield Operation("not", 1, _test(np.logical_not), _truth, boolean=True)
    yield Operation("abs", 1, _absolute, _widened(lambda a: _integer(*_magnitude(a))))
    yield Operation("ceil", 1, _whole(np.ceil), _union)
    yield Operation("floor", 1, _whole(np.floor), _union)
    yield Operation("round", 1, _whole(_round_half_up), _union)
    yield Operation("signum", 1, _ufunc(np.sign), _widened(lambda a: PixelType("int", -1, 1)))
    yield Operation("bitCount", 1, _bit_count, _integral(lambda a: PixelType("int", 0, 64)))
    # "in the smallest signed integer type that can hold the input": its range mirrored
    yield Operation(
        "bitwiseNot",
        1,
        _bitwise(np.invert),
        _integral(lambda a: _integer(~a[1], ~a[0])),
        aliases=("bitwise_not",),
    )

    # Two operands
    yield Operation("add", 2, _sum(np.add), _widened(lambda a, b: _integer(a[0] + b[0], a[1] + b[1])))
    yield Operation(
        "subtract", 2, _sum(np.subtract), _widened(lambda a, b: _integer(a[0] - b[1], a[1] - b[0]))
    )
    yield Operation("multiply", 2, _multiply, _widened(lambda a, b: _integer(*(x * y for x in a for y in b))))
    yield Operation("divide", 2, _divide, _floating)
    # The remainder has the dividend's sign; of integers by 0 it is 0, of floats NaN.
    yield Operation("mod", 2, _ufunc(np.fmod), _widened(lambda a, b: _integer(0, *a)))
    yield Operation("pow", 2, _ufunc(np.power), _floating)
    yield Operation("hypot", 2, _ufunc(np.hypot), _floating)
    # The angle of the vector [x, y], so x is the first operand.
    yield Operation("atan2", 2, _ufunc(_angle), _floating)
    yield Operation("gammainc", 2, _special(_lower_gamma), _floating)
    yield Operation("max", 2, _ufunc(np.maximum), _union)
    yield Operation("min", 2, _ufunc(np.minimum), _union)
    yield Operation("first", 2, _first, _union)
    yield Operation("firstNonZero", 2, _first_non_zero, _union, aliases=("first_nonzero",))
    for name, ufunc in (("And", np.bitwise_and), ("Or", np.bitwise_or), ("Xor", np.bitwise_xor)):
        alias = f"bitwise_{name.lower()}"
        yield Operation(f"bitwise{name}", 2, _bitwise(ufunc), _integral(_bits), aliases=(alias,))
    yield Operation("leftShift", 2, _shift(np.left_shift), _integral(_shifted_left), aliases=("left_shift",))
    yield Operation(
        "rightShift",
        2,
        _shift(np.right_shift),
        _integral(lambda a, b: _integer(*a, *(bound >> 63 for bound in a))),
        aliases=("right_shift",),
    )


def _magnitude(bounds: tuple[int, int]) -> tuple[int, int]:
    low, high = bounds
    return (0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))


def _angle(x: Array, y: Array, **types: Any) -> Array:
    angle: Array = np.arctan2(y, x, **types)
    return angle


OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _operations()}
"""Every element-wise operation by its main name."""
