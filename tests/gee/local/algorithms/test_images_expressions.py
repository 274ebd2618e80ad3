"""Functions of one pixel: expressions, polynomials, piecewise linear functions, colours."""

from __future__ import annotations

import colorsys
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError

CRS = "EPSG:32650"
TRANSFORM = [1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0]
C, R = np.meshgrid(np.arange(23), np.arange(17))


@pytest.fixture(autouse=True)
def offline(offline_client: None) -> None:
    """Client objects are made in these tests."""


def columns() -> Any:
    return ee.Image.pixelCoordinates(ee.Projection(CRS, TRANSFORM)).select("x").floor().int().rename("c")


def rows() -> Any:
    return ee.Image.pixelCoordinates(ee.Projection(CRS, TRANSFORM)).select("y").floor().int().rename("r")


def both() -> Any:
    return columns().addBands(rows())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b(0) + b('r')", C + R),
        ("i.c * 2", 2 * C),
        ("i[1] - 1", R - 1),
        ("sqrt(b('c')) + abs(-r)", np.sqrt(C) + R),
        ("b('c') > 3 && r < 5 || b('c') == 0", (C > 3) & (R < 5) | (C == 0)),
        ("b('c') > 3 ? r : 100", np.where(C > 3, R, 100)),
        ("2 ** 3 ** 2 + 0 * r", np.full(C.shape, 512.0)),  # powers bind to the right
        ("-b('c') ** 2", -(C**2)),
        ("b('c') / (r + 1) % 2", np.fmod(C / (R + 1), 2)),
        ("(b('c') & 3) | 8", C & 3 | 8),
        ("b('c') << 2", C << 2),
        ("!b('c')", C == 0),
        ("1e-1 * r + .5", 0.1 * R + 0.5),
        ("Math.PI * r", np.pi * R),
    ],
)
def test_an_expression_is_what_it_says(pixels: Any, text: str, expected: Any) -> None:
    [band] = pixels(both().expression(text, {"i": both(), "r": rows()}))
    np.testing.assert_allclose(band.astype(float), expected, rtol=1e-6)


def test_all_bands_are_taken_where_none_is_named(compute: Any, pixels: Any) -> None:
    image = both().expression("b() + 1")
    assert compute(image).names == ["c", "r"]
    first, second = pixels(image)
    assert np.array_equal(first, C + 1)
    assert np.array_equal(second, R + 1)
    assert compute(both().expression("b('r', 0)")).names == ["r", "c"]


def test_a_result_may_be_given_a_name(compute: Any) -> None:
    assert compute(both().expression("total = b(0) + b(1)")).names == ["total"]


def test_what_is_masked_in_any_operand_is_masked(pixels: Any) -> None:
    [band] = pixels(both().expression("a + r", {"a": columns().updateMask(columns().gt(3)), "r": rows()}))
    assert np.array_equal(band.mask, C <= 3)


def test_a_choice_is_masked_as_the_chosen_side_is(pixels: Any) -> None:
    image = both().expression(
        "r > 5 ? a : b", {"r": rows(), "a": columns().updateMask(columns().gt(3)), "b": ee.Image(7)}
    )
    [band] = pixels(image)
    assert np.array_equal(band.mask, (R > 5) & (C <= 3))
    assert np.array_equal(band.compressed(), np.where(R > 5, C, 7)[~band.mask])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b(0) +", r"Image\.parseExpression"),
        ("nowhere + 1", "nowhere"),
        ("noSuch(b(0))", "noSuch"),
        ("b('z')", "'z'"),
    ],
)
def test_a_wrong_expression_is_refused(compute: Any, text: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        compute(both().expression(text))


def test_a_polynomial_has_its_lowest_coefficient_first(compute: Any, pixels: Any) -> None:
    first, second = pixels(both().polynomial([1, -2, 0.5]))
    np.testing.assert_allclose(first, 1 - 2 * C + 0.5 * C**2)
    np.testing.assert_allclose(second, 1 - 2 * R + 0.5 * R**2)
    assert compute(both().polynomial([1])).names == ["c", "r"]


@pytest.mark.parametrize("behavior", ["extrapolate", "clamp", "mask", "input"])
def test_piecewise_linear_functions(pixels: Any, behavior: str) -> None:
    x, y = [3.0, 7.0, 12.0], [10.0, 30.0, 0.0]
    [band] = pixels(both().interpolate(x, y, behavior))
    within = np.interp(C, x, y)
    outside = {
        "extrapolate": np.where(C < 3, 10 + (C - 3) * 5.0, (C - 12) * -6.0),
        "clamp": within,
        "mask": within,
        "input": C,
    }[behavior]
    beyond = (C < 3) | (C > 12)
    assert np.array_equal(np.ma.getmaskarray(band), beyond & (behavior == "mask"))
    np.testing.assert_allclose(
        band.compressed(), np.where(beyond, outside, within)[~np.ma.getmaskarray(band)]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1]), "same length"),
        (([2, 1], [1, 2]), "strictly increasing"),
        (([1, 1], [1, 2]), "strictly increasing"),
        (([1, 2], [1, 2], "guess"), "Unknown behavior 'guess'"),
    ],
)
def test_wrong_functions_are_refused(compute: Any, arguments: Any, message: str) -> None:
    with pytest.raises(EngineError, match=rf"Image\.interpolate: .*{message}"):
        compute(columns().interpolate(*arguments))


def test_colours_turn_as_in_the_standard_library(compute: Any, pixels: Any) -> None:
    random = [ee.Image.random(seed).rename(name) for seed, name in enumerate("abc")]
    colours = ee.Image.cat(
        *random,
    ).where(columns().eq(0), 0.25)  # greys in the first column
    red, green, blue = pixels(colours)
    turned = colours.rgbToHsv()
    assert compute(turned).names == ["hue", "saturation", "value"]
    hsv, rgb = pixels(turned), pixels(colours.hsvToRgb())
    for place in np.ndindex(17, 23):
        given = float(red[place]), float(green[place]), float(blue[place])
        assert [float(band[place]) for band in hsv] == pytest.approx(colorsys.rgb_to_hsv(*given), abs=1e-6)
        assert [float(band[place]) for band in rgb] == pytest.approx(colorsys.hsv_to_rgb(*given), abs=1e-6)
    with pytest.raises(EngineError, match="three bands"):
        compute(both().rgbToHsv())
