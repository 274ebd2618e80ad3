"""Masks, replacement, remapping and clipping, by their documented meaning."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
import shapely

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid
from gee.local.values import PixelType

CRS = "EPSG:32650"
TRANSFORM = [1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0]
C, R = np.meshgrid(np.arange(23), np.arange(17))


@pytest.fixture(autouse=True)
def offline(offline_client: None) -> None:
    """Client objects are made in these tests."""


def columns() -> Any:
    crs = ee.Projection(CRS, TRANSFORM)
    return ee.Image.pixelCoordinates(crs).select("x").floor().int().rename("c")


def rows() -> Any:
    crs = ee.Projection(CRS, TRANSFORM)
    return ee.Image.pixelCoordinates(crs).select("y").floor().int().rename("r")


def faint() -> Any:
    """Masked in column 0, valid by a quarter in the others up to 10, whole beyond."""
    return rows().updateMask(columns().gt(10).add(columns().gt(0).And(columns().lte(10)).multiply(0.25)))


FAINT = np.where(C == 0, 0, np.where(C <= 10, 0.25, 1))


def test_the_mask_of_an_image_is_its_weights(compute: Any, pixels: Any) -> None:
    masks = faint().addBands(columns()).set("p", 1).mask()
    assert compute(masks).names == ["r", "c"]
    assert compute(masks).properties["p"] == 1
    first, second = pixels(masks)
    assert np.array_equal(first, FAINT)
    assert not first.mask.any()
    assert (second == 1).all()


def test_a_mask_band_for_each_band_or_one_for_all(pixels: Any) -> None:
    image = rows().addBands(columns())
    first, second = pixels(image.updateMask(columns().gt(3)))
    assert np.array_equal(first.mask, C <= 3)
    assert np.array_equal(second.mask, C <= 3)
    first, second = pixels(image.updateMask(columns().gt(3).addBands(rows().gt(5))))
    assert np.array_equal(first.mask, C <= 3)
    assert np.array_equal(second.mask, R <= 5)


@pytest.mark.parametrize("method", ["updateMask", "mask", "unmask"])
def test_a_wrong_number_of_masks_is_refused(compute: Any, method: str) -> None:
    image = rows().addBands(columns()).addBands(ee.Image(1))
    with pytest.raises(EngineError, match=rf"Image\.{method}: .*one band, or as many"):
        compute(getattr(image, method)(rows().addBands(columns())))


def test_a_masked_mask_masks(pixels: Any) -> None:
    hidden = columns().gt(3).updateMask(rows().neq(2))
    [band] = pixels(rows().updateMask(hidden))
    assert np.array_equal(band.mask, (C <= 3) | (R == 2))


@pytest.mark.parametrize("weight", [-3.0, float("nan"), 0.4, 7.5])
def test_mask_values_are_limited_to_a_fraction(pixels: Any, weight: float) -> None:
    image = ee.Image(1).updateMask(ee.Image(2).log().multiply(0).add(weight if weight == weight else 0))
    if weight != weight:
        image = ee.Image(1).updateMask(ee.Image(-1).sqrt())
    [band] = pixels(image.mask())
    assert band[0, 0] == pytest.approx(min(1, max(0, np.nan_to_num(weight))), abs=1e-6)


def test_an_image_masks_itself_where_it_is_zero(pixels: Any) -> None:
    [band] = pixels(columns().multiply(rows()).selfMask())
    assert np.array_equal(band.mask, C * R == 0)
    [half] = pixels(columns().lt(5).multiply(0.5).selfMask().mask())
    assert np.array_equal(half, np.where(C < 5, 0.5, 0))


@pytest.mark.parametrize(("kind", "closest"), [("int16", 0), ("float", 0.0), ("int8", 0)])
def test_new_pixels_under_a_set_mask_are_zero(pixels: Any, kind: str, closest: float) -> None:
    image = getattr(rows().add(5), kind)().updateMask(columns().gt(4))
    [band] = pixels(image.mask(ee.Image(1)))
    assert np.array_equal(band, np.where(C > 4, R + 5, closest))


def test_new_pixels_are_the_number_of_the_type_closest_to_zero(pixels: Any) -> None:
    positive = rows().add(5).cast({"r": ee.PixelType("int", 5, 100)}).updateMask(columns().gt(4))
    [band] = pixels(positive.mask(ee.Image(1)))
    assert np.array_equal(band, np.where(C > 4, R + 5, 5))


def test_one_band_under_several_masks_is_several(compute: Any) -> None:
    masks = ee.Image([1, 0]).rename(["x", "y"])
    assert compute(rows().mask(masks)).names == ["x", "y"]


def test_unmasked_pixels_take_the_value_and_mask_of_another_image(pixels: Any) -> None:
    [zero] = pixels(faint().unmask())
    assert np.array_equal(zero, np.where(C == 0, 0, R))
    [weights] = pixels(faint().unmask().mask())
    assert np.array_equal(weights, np.where(C == 0, 1, FAINT))
    other = columns().add(100).updateMask(rows().gt(3))
    [band] = pixels(rows().updateMask(columns().gt(5)).unmask(other))
    assert np.array_equal(band.mask, (C <= 5) & (R <= 3))
    assert np.array_equal(band.filled(-1), np.where(C > 5, R, np.where(R > 3, C + 100, -1)))


def test_the_fill_may_need_a_wider_type_on_some_tiles_only(pixels: Any, grid: Grid) -> None:
    wide = Grid(grid.projection, 300, 3)
    [band] = pixels(columns().int16().updateMask(columns().lt(270)).unmask(-9.5), wide)
    expected = np.arange(300.0)
    assert band.dtype == np.float64
    assert np.array_equal(band[0], np.where(expected < 270, expected, -9.5))


def test_conditional_replacement_goes_band_by_band(compute: Any, pixels: Any) -> None:
    image = rows().addBands(columns()).set("p", 1)
    result = image.where(columns().lt(5).addBands(rows().lt(3)), ee.Image([70, 80]))
    assert compute(result).names == ["r", "c"]
    assert compute(result).properties["p"] == 1
    first, second = pixels(result)
    assert np.array_equal(first, np.where(C < 5, 70, R))
    assert np.array_equal(second, np.where(R < 3, 80, C))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int8", 0.5, PixelType("double")),
        ("uint8", 300, PixelType("int", 0, 300)),
        ("double", 1, PixelType("double")),
    ],
)
def test_the_type_of_a_replacement_holds_both(
    compute: Any, kind: str, value: float, expected: PixelType
) -> None:
    image = getattr(rows(), kind)()
    assert compute(image.where(columns().gt(1), value)).bands[0].type == expected


def test_where_keeps_what_is_masked(pixels: Any) -> None:
    [band] = pixels(rows().updateMask(columns().gt(2)).where(ee.Image(1), 9))
    assert np.array_equal(band.mask, C <= 2)
    assert (band.compressed() == 9).all()


@pytest.mark.parametrize(("low", "high"), [(3, 9), (-5, 300), (2.5, 9.25)])
def test_values_are_clamped(compute: Any, pixels: Any, low: float, high: float) -> None:
    image = columns().toUint8().set("p", 1)
    result = image.clamp(low, high)
    assert compute(result).properties["p"] == 1
    np.testing.assert_allclose(pixels(result)[0], np.clip(C.astype(float), low, high))


def test_values_are_scaled_without_a_limit(compute: Any, pixels: Any) -> None:
    result = columns().toUint8().unitScale(5, 15)
    assert compute(result).bands[0].type.precision == "float"
    np.testing.assert_allclose(pixels(result)[0], (C - 5) / 10, rtol=1e-6)


@pytest.mark.parametrize("bands", [None, ["a", "b"], ["b", "a"]])
def test_the_normalized_difference_of_two_bands(pixels: Any, bands: list[str] | None) -> None:
    image = columns().rename("a").addBands(rows().rename("b"))
    [found] = pixels(image.normalizedDifference(bands))
    a, b = (R, C) if bands == ["b", "a"] else (C, R)
    with np.errstate(all="ignore"):
        expected = np.where(a + b == 0, 0, (a - b) / (a + b))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_normalized_difference_needs_two_bands(compute: Any) -> None:
    with pytest.raises(EngineError, match="exactly two bands"):
        compute(columns().normalizedDifference())


def test_remapped_values_others_masked_or_default(compute: Any, pixels: Any) -> None:
    image = columns().addBands(rows()).set("p", 1)
    result = image.remap([3, 1, 7], [30, 10, 70])
    assert compute(result).names == ["remapped"]
    [band] = pixels(result)
    known = np.isin(C, [1, 3, 7])
    assert np.array_equal(band.mask, ~known)
    assert np.array_equal(band.compressed(), (C * 10)[known])
    [band] = pixels(image.remap([3, 1, 7], [30, 10, 70], -1, "r"))
    assert np.array_equal(band, np.where(np.isin(R, [1, 3, 7]), R * 10, -1))
    [band] = pixels(image.remap([1], [0.5], columns()))
    assert np.array_equal(band, np.where(C == 1, 0.5, C))


def test_what_is_masked_stays_so_when_remapped(pixels: Any) -> None:
    [band] = pixels(columns().updateMask(rows().gt(4)).remap([1], [10], 0))
    assert np.array_equal(band.mask, R <= 4)
    [band] = pixels(columns().remap([1], [10], columns().updateMask(rows().gt(4))))
    assert np.array_equal(band.mask, (R <= 4) & (C != 1))


def test_both_lists_of_a_remap_are_of_one_length(compute: Any) -> None:
    with pytest.raises(EngineError, match=r"Image\.remap: .*same length\. Found 2 and 1"):
        compute(columns().remap([1, 2], [1]))


def test_remapping_an_empty_list_masks_everything(compute: Any, pixels: Any) -> None:
    [band] = pixels(columns().remap(ee.List([]), ee.List([])))
    assert band.mask.all()


# Clipping

HOLED = shapely.Polygon(
    [(402_250, 3_598_750), (420_300, 3_597_100), (418_700, 3_585_300), (404_400, 3_584_900)],
    [[(408_150, 3_594_900), (414_850, 3_594_200), (412_500, 3_588_450)]],
)
INSIDE = shapely.contains_xy(HOLED, 400_500 + 1000.0 * C, 3_599_500 - 1000.0 * R)


def client(shape: Any) -> Any:
    return ee.Geometry(shapely.geometry.mapping(shape), CRS, False)


@pytest.mark.parametrize("wrapped", [lambda shape: shape, ee.Feature])
def test_outside_a_geometry_or_feature_and_in_its_holes_all_is_masked(
    compute: Any, pixels: Any, wrapped: Any
) -> None:
    clipped = rows().set("p", 1).clip(wrapped(client(HOLED)))
    [band] = pixels(clipped)
    assert np.array_equal(~band.mask, INSIDE)
    assert np.array_equal(band.compressed(), R[INSIDE])
    assert compute(clipped).properties["p"] == 1
    assert compute(clipped).geometry.shape.equals(HOLED)


def test_clipping_twice_cuts_the_footprint_too(compute: Any, pixels: Any) -> None:
    west = shapely.box(400_000, 3_583_000, 410_000, 3_600_000)
    clipped = rows().clip(client(west)).clip(client(HOLED))
    [band] = pixels(clipped)
    assert np.array_equal(~band.mask, INSIDE & (C < 10))
    assert compute(clipped).geometry.shape.area == pytest.approx(HOLED.intersection(west).area, rel=1e-9)


def test_a_collection_clips_to_all_its_features(compute: Any, pixels: Any) -> None:
    boxes = [shapely.box(400_000 + 4000 * i, 3_590_000, 401_000 + 4000 * i, 3_599_000) for i in range(3)]
    features = ee.FeatureCollection([ee.Feature(client(box)) for box in boxes] + [ee.Feature(None)])
    [band] = pixels(rows().clipToCollection(features))
    assert np.array_equal(~band.mask, np.isin(C, [0, 4, 8]) & (R >= 1) & (R < 10))
    with pytest.raises(EngineError, match="no geometry"):
        compute(rows().clipToCollection(ee.FeatureCollection([ee.Feature(None)])))


def test_a_clip_to_everywhere_changes_nothing(compute: Any, pixels: Any) -> None:
    [band] = pixels(rows().clip(ee.Image(1).geometry()))
    assert not band.mask.any()


def test_clipping_keeps_weights(pixels: Any) -> None:
    [weights] = pixels(faint().clip(client(HOLED)).mask())
    assert np.array_equal(weights, np.where(INSIDE, FAINT, 0))
