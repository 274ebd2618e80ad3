"""Types, saturation and domains of element-wise operations, against Python, SciPy and the documentation."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from scipy import special

from gee.local.errors import EngineError
from gee.local.registry import signatures
from gee.local.scalars.elementwise import OPERATIONS
from gee.local.values import DOUBLE, FLOAT, PixelType, type_of

BYTE, SHORT, LONG = (type_of(np.dtype(name)) for name in ("uint8", "int16", "int64"))
HIGH, LOW = 2**63 - 1, -(2**63)


def test_every_operation_is_documented_for_numbers_arrays_and_images() -> None:
    names = [name for operation in OPERATIONS.values() for name in operation.names]
    assert len(names) == len(set(names)) == 89
    for kind in ("Number", "Array", "Image"):
        assert {f"{kind}.{name}" for name in names} <= signatures().keys()


@pytest.mark.parametrize(
    ("name", "operands", "expected"),
    [
        ("add", (BYTE, BYTE), PixelType("int", 0, 510)),
        ("subtract", (BYTE, BYTE), PixelType("int", -255, 255)),
        ("multiply", (BYTE, SHORT), PixelType("int", -(2**15) * 255, (2**15 - 1) * 255)),
        ("add", (LONG, BYTE), LONG),
        ("add", (BYTE, FLOAT), FLOAT),
        ("add", (FLOAT, DOUBLE), DOUBLE),
        ("divide", (BYTE, BYTE), FLOAT),
        ("divide", (BYTE, DOUBLE), DOUBLE),
        ("sqrt", (LONG,), FLOAT),
        ("pow", (BYTE, BYTE), FLOAT),
        ("max", (BYTE, SHORT), SHORT),
        ("abs", (SHORT,), PixelType("int", 0, 2**15)),
        ("mod", (SHORT, BYTE), SHORT),
        ("lt", (DOUBLE, BYTE), PixelType("int", 0, 1)),
        ("not", (FLOAT,), PixelType("int", 0, 1)),
        ("bitwiseNot", (BYTE,), PixelType("int", -256, -1)),
        ("bitwiseAnd", (BYTE, SHORT), SHORT),
        ("leftShift", (BYTE, PixelType("int", 0, 2)), PixelType("int", 0, 1020)),
        ("leftShift", (BYTE, BYTE), LONG),
        ("rightShift", (SHORT, BYTE), SHORT),
        ("bitCount", (BYTE,), PixelType("int", 0, 64)),
        ("toByte", (DOUBLE,), BYTE),
        ("floor", (FLOAT,), FLOAT),
        ("add", (PixelType("int", 0, 1, 1), PixelType("int", 0, 1)), PixelType("int", 0, 2, 1)),
    ],
)
def test_result_type_holds_what_the_operation_can_give(
    name: str, operands: tuple[PixelType, ...], expected: PixelType
) -> None:
    assert OPERATIONS[name].result_type(*operands) == expected


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "max", "mod", "bitwiseXor", "first"])
@pytest.mark.parametrize("left", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("right", ["uint8", "int8", "int16", "uint32", "int32"])
def test_integers_of_all_types_are_computed_without_overflow(name: str, left: str, right: str) -> None:
    """Python's own integers are the oracle."""
    oracle = {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: max(min(a * b, HIGH), LOW),
        "max": max,
        "mod": lambda a, b: 0 if b == 0 else (abs(a) % abs(b)) * (-1 if a < 0 else 1),
        "bitwiseXor": lambda a, b: a ^ b,
        "first": lambda a, b: a,
    }[name]
    limits = [np.iinfo(left), np.iinfo(right)]
    a, b = ([each.min, each.min // 2, 0, 1, 7, each.max] for each in limits)
    first, second = np.meshgrid(np.array(a, left), np.array(b, right))
    found = OPERATIONS[name].compute(first, second).tolist()
    assert found == [[oracle(x, y) for x in a] for y in b]


def test_64_bit_integers_saturate() -> None:
    values, one = np.array([HIGH, LOW, HIGH, LOW, 5]), np.array([1, -1, -1, 1, 5])
    assert OPERATIONS["add"].compute(values, one).tolist() == [HIGH, LOW, HIGH - 1, LOW + 1, 10]
    assert OPERATIONS["subtract"].compute(values, -one).tolist() == [HIGH, LOW, HIGH - 1, LOW + 1, 10]
    assert OPERATIONS["multiply"].compute(values, 3 * one).tolist() == [HIGH, HIGH, LOW, LOW, 75]
    assert OPERATIONS["abs"].compute(values).tolist() == [HIGH, HIGH, HIGH, HIGH, 5]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("toByte", [-1.0, 255.0, 256.0, 1.7, np.nan], [0, 255, 255, 1, 0]),
        ("toInt8", [-129, 127, 128], [-128, 127, 127]),
        ("toInt", [2.0**31, -(2.0**31) - 1, -1.9], [2**31 - 1, -(2**31), -1]),
        ("toUint32", [-1.0, 2.0**32, 2.0**32 - 1], [0, 2**32 - 1, 2**32 - 1]),
        ("toLong", [1e19, -1e19, -2.5, np.inf], [HIGH, LOW, -2, HIGH]),
        ("toFloat", [0.1], [float(np.float32(0.1))]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_casts_saturate_and_lose_the_fraction(name: str, values: list[float], expected: list[float]) -> None:
    assert OPERATIONS[name].compute(np.array(values)).tolist() == expected


def test_casts_of_32_bit_floats_saturate_at_the_exact_limit() -> None:
    values = np.array([2147483648.0, 3e9, -3e9], np.float32)
    assert OPERATIONS["toInt"].compute(values).tolist() == [2**31 - 1, 2**31 - 1, -(2**31)]


@pytest.mark.filterwarnings("error")
def test_division_by_zero_is_zero() -> None:
    for dtype in ("int16", "float32", "float64"):
        left, right = np.array([5, 0, -3, 6], dtype), np.array([0, 0, 2, 3], dtype)
        assert OPERATIONS["divide"].compute(left, right).tolist() == [0, 0, -1.5, 2]
    scalar = OPERATIONS["divide"].compute(np.ones((2, 2), np.float32), np.array(0, np.float32))
    assert scalar.tolist() == [[0, 0], [0, 0]]


def test_remainder_has_the_sign_of_the_dividend() -> None:
    found = OPERATIONS["mod"].compute(np.array([-7, 7, -9, 5]), np.array([8, -8, 8, 0]))
    assert found.tolist() == [-7, 7, -1, 0]
    assert OPERATIONS["mod"].compute(np.array(-5.5), np.array(2.0)) == -1.5


def test_integers_give_32_bit_floats_and_doubles_give_doubles() -> None:
    third = OPERATIONS["divide"].compute(np.array([1], np.int32), np.array([3], np.int32))
    assert third.dtype == np.float32
    assert third[0] == np.float32(1 / 3)
    assert OPERATIONS["divide"].compute(np.array([1.0]), np.array([3], np.int32))[0] == 1 / 3
    # Array.pow in the API documentation
    tenth = OPERATIONS["pow"].compute(np.array([10], np.int32), np.array([-1], np.int32))
    assert tenth.item() == 0.10000000149011612


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        # Values that the examples of Number.<name> in the API documentation print
        ("lanczos", [-1, -0.9, 0, 10, 1e10], [np.inf, 524.955196990, 32.946318679, 2.281783181, 1.000000001]),
        ("digamma", [-1.5, -1, 0, 0.5, 100], [0.703156637, -np.inf, -np.inf, -1.963510028, 4.600161852]),
        ("trigamma", [-100, 0.001, 0.5, 200], [np.inf, 1000001.642533195, 4.934802200, 0.005012520]),
        ("gamma", [0, 0.001, 100, 200], [np.nan, 999.423772484, 9.332621544e155, np.inf]),
        ("erfInv", [-1, 0.001, 1], [-np.inf, 0.000886227, np.inf]),
        ("round", [10.4, 10.5, 10.9, -2.5], [10, 11, 11, -2]),
        ("signum", [-5, 0, 0.5], [-1, 0, 1]),
        ("bitCount", [-1, -2, 65535], [64, 63, 16]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_documented_values(name: str, values: list[float], expected: list[float]) -> None:
    operand = np.array(values, np.int64 if name == "bitCount" else np.float64)
    np.testing.assert_allclose(OPERATIONS[name].compute(operand), expected, rtol=2e-6)


def test_trigamma_of_negative_numbers_follows_from_its_recurrence() -> None:
    x = np.array([-0.3, -1.5, -7.25])
    recurrence = special.polygamma(1, x + 10) + sum(1 / (x + step) ** 2 for step in range(10))
    np.testing.assert_allclose(OPERATIONS["trigamma"].compute(x), recurrence, rtol=1e-10)


def test_lower_incomplete_gamma_takes_x_first() -> None:
    found = OPERATIONS["gammainc"].compute(np.array([0.0, 1, 10, -1, 10]), np.array([1.0, 1, 1, 1, -1]))
    np.testing.assert_allclose(found, [0, 0.632120558, 0.999954600, np.nan, np.nan], rtol=1e-8)


def test_angle_is_that_of_the_vector_x_y() -> None:
    assert OPERATIONS["atan2"].compute(np.array(0.0), np.array(2.0)) == pytest.approx(np.pi / 2)


def test_shifts_are_those_of_64_bit_words() -> None:
    left, right = OPERATIONS["leftShift"], OPERATIONS["rightShift"]
    assert left.compute(np.array([20, 1]), np.array([2, 63])).tolist() == [80, LOW]
    assert right.compute(np.array([20, -20]), np.array([2, 2])).tolist() == [5, -5]


def test_bitwise_operations_refuse_floats() -> None:
    with pytest.raises(EngineError, match="integer"):
        OPERATIONS["bitwiseAnd"].result_type(BYTE, FLOAT)


def test_comparisons_and_logic_give_bytes_of_0_and_1() -> None:
    found = OPERATIONS["and"].compute(np.array([1.5, 0.0]), np.array([-2, 3]))
    assert found.dtype == np.uint8
    assert found.tolist() == [1, 0]
    assert OPERATIONS["add"].compute(np.array([True]), np.array([True])).tolist() == [2]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_operation_warns_or_changes_its_operands(name: str) -> None:
    operation = OPERATIONS[name]
    integers = name.startswith("bit") or name.endswith("Shift")
    sample = (
        np.array([-3, -1, 0, 1, 5], np.int32) if integers else np.array([-3, -1, 0, 1, np.nan], np.float32)
    )
    operands = [sample.copy() for _ in range(operation.operands)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = operation.compute(*operands)
    assert result.shape == sample.shape
    assert result.dtype == operation.result_type(*[type_of(sample.dtype)] * operation.operands).dtype
    for operand in operands:
        np.testing.assert_array_equal(operand, sample)


def test_a_chain_over_float_tiles_costs_little_more_than_numpy() -> None:
    tile = np.random.default_rng(1).random((256, 256), np.float32)
    add, multiply = OPERATIONS["add"], OPERATIONS["multiply"]

    def table() -> np.ndarray:
        result = tile
        for _ in range(50):
            result = multiply.compute(add.compute(result, tile, dtype=tile.dtype), tile, dtype=tile.dtype)
        return result

    def plain() -> np.ndarray:
        result = tile
        for _ in range(50):
            result = (result + tile) * tile
        return result

    def seconds(run) -> float:
        best = np.inf
        for _ in range(9):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
        return best

    np.testing.assert_array_equal(table(), plain())
    assert seconds(table) < 2 * seconds(plain)
