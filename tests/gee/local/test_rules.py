"""The numerical rules Earth Engine documents, one test each, named after the rule.

Inputs are made from ``pixelCoordinates`` and constants, so that every expectation is worked out by hand
or by NumPy from the rule itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.images import Image

UTM = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
GRID = Grid(UTM, 4, 3)
Masked = np.ma.MaskedArray[Any, Any]


@pytest.fixture
def pixels(compute: Callable[[Any], Any]) -> Callable[..., list[Masked]]:
    """From an ee image to its bands on a grid, masked where invalid."""

    def read(image: Any, grid: Grid = GRID) -> list[Masked]:
        value = compute(image)
        assert isinstance(value, Image)
        return [np.ma.MaskedArray(raster.values, ~raster.valid(grid.shape)) for raster in value.read(grid)]

    return read


def columns() -> Any:
    """An image of the column number on GRID, 0 to 3."""
    crs = ee.Projection(UTM.crs, list(UTM.transform))
    return ee.Image.pixelCoordinates(crs).select("x").floor().int().rename("c")


def rows() -> Any:
    """An image of the row number on GRID, 0 to 2."""
    crs = ee.Projection(UTM.crs, list(UTM.transform))
    return ee.Image.pixelCoordinates(crs).select("y").floor().int().rename("r")


C, R = np.meshgrid(np.arange(4), np.arange(3))


def test_only_pixels_valid_in_both_operands_are_valid(pixels: Any) -> None:
    left, right = columns().updateMask(columns().gt(0)), rows().updateMask(rows().gt(0))
    [total] = pixels(left.add(right))
    assert np.array_equal(~total.mask, (C > 0) & (R > 0))
    assert np.array_equal(total.compressed(), (C + R)[(C > 0) & (R > 0)])


def test_a_single_band_meets_every_band_and_names_are_the_longer_images(compute: Any, pixels: Any) -> None:
    image = ee.Image.constant(10).add(columns().addBands(rows()))
    assert compute(image).names == ["c", "r"]
    first, second = pixels(image)
    assert np.array_equal(first, 10 + C)
    assert np.array_equal(second, 10 + R)


def test_equally_many_bands_of_other_names_pair_in_order(compute: Any, pixels: Any) -> None:
    image = columns().addBands(rows()).subtract(ee.Image.constant([1, 2]).rename(["p", "q"]))
    assert compute(image).names == ["c", "r"]
    first, second = pixels(image)
    assert np.array_equal(first, C - 1)
    assert np.array_equal(second, R - 2)


def test_unequal_numbers_of_bands_are_refused(compute: Any) -> None:
    with pytest.raises(EngineError, match=r"Image\.add: .*same number of bands"):
        compute(ee.Image.constant([1, 2, 3]).add(ee.Image.constant([1, 2])))


def test_division_by_zero_gives_zero(pixels: Any) -> None:
    [quotient] = pixels(ee.Image(12).divide(columns()))
    assert not quotient.mask.any()
    assert np.array_equal(quotient[0], np.array([0, 12, 6, 4], np.float32))


@pytest.mark.parametrize(
    ("value", "cast", "expected"),
    [
        (300.7, "toUint8", 255),
        (-4.9, "toUint8", 0),
        (-1.9, "toInt8", -1),
        (1e9, "toInt16", 32767),
        (-1e12, "toInt32", -(2**31)),
        (1e30, "toInt64", 2**63 - 1),
        (-5, "toUint16", 0),
        (5e9, "toUint32", 2**32 - 1),
    ],
)
def test_casts_saturate_and_drop_the_fraction(pixels: Any, value: float, cast: str, expected: int) -> None:
    [band] = pixels(getattr(ee.Image.constant(value), cast)())
    assert band.dtype.kind in "iu"
    assert (band == expected).all()


@pytest.mark.parametrize(
    ("left", "right", "precision"),
    [("int8", "int16", "int"), ("int16", "float", "float"), ("float", "double", "double")],
)
def test_the_output_type_is_the_union_of_the_input_types(
    compute: Any, left: str, right: str, precision: str
) -> None:
    one, other = getattr(columns(), left)(), getattr(rows(), right)()
    kind = compute(one.max(other)).bands[0].type
    assert kind.precision == precision
    if precision == "int":
        assert (kind.minimum, kind.maximum) == (-32768, 32767)


def test_a_normalized_difference_masks_negative_inputs(pixels: Any, compute: Any) -> None:
    image = columns().subtract(1).rename("a").addBands(rows().add(1).rename("b"))
    result = image.normalizedDifference(["a", "b"])
    assert compute(result).names == ["nd"]
    [nd] = pixels(result)
    a, b = C - 1.0, R + 1.0
    assert np.array_equal(nd.mask, a < 0)
    valid = a >= 0
    assert np.allclose(nd.compressed(), (a[valid] - b[valid]) / (a[valid] + b[valid]), rtol=1e-6)


def test_update_mask_acts_only_where_the_mask_is_not_zero(pixels: Any) -> None:
    image = rows().updateMask(columns().gt(0)).updateMask(ee.Image(0.5))
    [fraction] = pixels(image.mask())
    assert np.array_equal(fraction, np.where(C > 0, 0.5, 0))


def test_setting_a_mask_replaces_it_and_new_pixels_are_zero(pixels: Any) -> None:
    image = rows().add(7).updateMask(columns().gt(0)).mask(ee.Image(1))
    [band] = pixels(image)
    assert not band.mask.any()
    assert np.array_equal(band, np.where(C > 0, R + 7, 0))


def test_unmask_replaces_where_the_mask_is_zero(pixels: Any) -> None:
    [band] = pixels(rows().updateMask(columns().gt(1)).unmask(-9))
    assert np.array_equal(band, np.where(C > 1, R, -9))


def test_unmask_keeps_the_footprint_unless_told_otherwise(pixels: Any) -> None:
    west = ee.Geometry.Rectangle([400_000, 3_597_000, 402_000, 3_600_000], UTM.crs, False)
    clipped = rows().clip(west)
    [inside] = pixels(clipped.unmask(-9))
    [everywhere] = pixels(clipped.unmask(-9, False))
    assert np.array_equal(inside.mask, C >= 2)
    assert np.array_equal(everywhere, np.where(C >= 2, -9, R))


def test_where_needs_test_and_value_valid(pixels: Any) -> None:
    test = columns().gt(1).updateMask(rows().neq(0))
    value = ee.Image(50).updateMask(rows().neq(1))
    [band] = pixels(columns().where(test, value))
    assert np.array_equal(band, np.where((C > 1) & (R == 2), 50, C))


def test_a_mosaic_shows_the_last_valid_image(pixels: Any) -> None:
    images = [ee.Image(1), ee.Image(2).updateMask(columns().gt(0)), ee.Image(3).updateMask(columns().gt(2))]
    [top] = pixels(ee.ImageCollection(images).mosaic())
    assert np.array_equal(top, np.array([1, 2, 2, 3])[C])


def test_a_quality_mosaic_takes_all_bands_where_quality_is_highest(pixels: Any) -> None:
    first = columns().rename("q").addBands(ee.Image(1).rename("v"))
    second = rows().multiply(2).rename("q").addBands(ee.Image(2).rename("v"))
    quality, value = pixels(ee.ImageCollection([first, second]).qualityMosaic("q"))
    assert np.array_equal(quality, np.maximum(C, 2 * R))
    assert np.array_equal(value[2 * R != C], np.where(2 * R > C, 2, 1)[2 * R != C])


def test_a_composite_has_the_default_projection_of_one_degree(compute: Any) -> None:
    image = columns().setDefaultProjection(UTM.crs, list(UTM.transform))
    composite = ee.ImageCollection([image, image]).mean()
    assert compute(composite.projection()) == Projection("EPSG:4326", (1, 0, 0, 0, 1, 0))


def test_aggregating_a_composite_without_a_scale_is_refused(compute: Any) -> None:
    composite = ee.ImageCollection([columns(), columns()]).mean()
    with pytest.raises(EngineError, match="The default WGS84 projection is invalid for aggregations"):
        compute(composite.reduceResolution(ee.Reducer.mean()))
    with pytest.raises(EngineError, match="The default WGS84 projection is invalid for aggregations"):
        compute(composite.reduceRegion(ee.Reducer.mean(), ee.Geometry.Rectangle([117, 31, 118, 32])))


def test_masked_pixels_are_no_inputs_of_a_collection_reducer(pixels: Any, compute: Any) -> None:
    images = [columns().updateMask(columns().neq(1)), columns().add(10).updateMask(columns().neq(3))]
    collection = ee.ImageCollection(images)
    [mean] = pixels(collection.mean())
    assert np.array_equal(mean, np.array([5, 11, 7, 3])[C])
    assert compute(collection.mean()).names == ["c"]
    assert compute(collection.reduce(ee.Reducer.mean())).names == ["c_mean"]
    [count] = pixels(collection.count())
    assert np.array_equal(count, np.array([2, 1, 2, 1])[C])


def test_to_array_leaves_out_images_that_are_masked_in_any_band(pixels: Any) -> None:
    first = columns().addBands(rows())
    second = columns().add(10).addBands(rows().updateMask(columns().gt(1)))
    [lengths] = pixels(ee.ImageCollection([first, second]).toArray().arrayLength(0))
    assert np.array_equal(lengths, np.where(C > 1, 2, 1))


def test_to_array_per_band_is_masked_where_any_image_is(pixels: Any) -> None:
    images = [rows(), rows().updateMask(columns().gt(1))]
    [lengths] = pixels(ee.ImageCollection(images).toArrayPerBand().arrayLength(0))
    assert np.array_equal(lengths.mask, C <= 1)
    assert (lengths.compressed() == 2).all()


def test_an_image_array_is_masked_where_any_band_is(pixels: Any) -> None:
    [lengths] = pixels(columns().addBands(rows().updateMask(columns().gt(1))).toArray().arrayLength(0))
    assert np.array_equal(lengths.mask, C <= 1)


def test_added_bands_of_the_same_name_are_renamed(compute: Any) -> None:
    image = columns().addBands(columns()).addBands(columns())
    assert compute(image).names == ["c", "c_1", "c_2"]
    assert compute(columns().addBands(rows().rename("c"), None, True)).names == ["c"]


def test_to_bands_prefixes_the_index(compute: Any) -> None:
    images = [columns().set("system:index", "a"), columns().set("system:index", "b")]
    assert compute(ee.ImageCollection(images).toBands()).names == ["a_c", "b_c"]


def test_pixels_are_the_nearest_by_default(pixels: Any) -> None:
    """A pixel of a finer grid takes the pixel its centre lies in."""
    coarse = columns().reproject(UTM.crs, list(UTM.transform))
    fine = Grid(Projection(UTM.crs, (400.0, 0.0, 400_000.0, 0.0, -400.0, 3_600_000.0)), 10, 1)
    [band] = pixels(coarse, fine)
    assert np.array_equal(band[0], (np.arange(10) * 400 + 200) // 1000)


def test_bilinear_interpolates_between_pixel_centres(pixels: Any) -> None:
    smooth = columns().reproject(UTM.crs, list(UTM.transform)).resample("bilinear")
    fine = Grid(Projection(UTM.crs, (250.0, 0.0, 401_000.0, 0.0, -250.0, 3_599_000.0)), 8, 1)
    [band] = pixels(smooth, fine)
    # A linear field is reproduced: column number at a centre is (x - 500) / 1000 from the left edge.
    expected = (1000 + 125 + 250 * np.arange(8) - 500) / 1000
    assert np.allclose(band[0], expected, atol=1e-6)


def test_reduce_resolution_weighs_by_mask_times_covered_fraction(pixels: Any) -> None:
    """Three fine pixels over two coarse ones: the middle one counts half in each."""
    fine = Projection(UTM.crs, (1000.0, 0.0, 400_000.0, 0.0, -1500.0, 3_600_000.0))
    image = (
        columns()
        .setDefaultProjection(fine.crs, list(fine.transform))
        .updateMask(columns().eq(1).multiply(0.5).add(columns().neq(1)))
    )
    coarse = Grid(Projection(UTM.crs, (1500.0, 0.0, 400_000.0, 0.0, -1500.0, 3_600_000.0)), 2, 1)
    [mean] = pixels(image.reduceResolution(ee.Reducer.mean()), coarse)
    # weights: column 0 -> 1000/1500, column 1 -> 0.5 * 500/1500; column 1 again, column 2 -> 1000/1500
    first = (0 * 2 / 3 + 1 * 0.5 / 3) / (2 / 3 + 0.5 / 3)
    second = (1 * 0.5 / 3 + 2 * 2 / 3) / (2 / 3 + 0.5 / 3)
    assert np.allclose(mean[0], [first, second])


def test_reduce_resolution_refuses_more_than_max_pixels(pixels: Any) -> None:
    image = columns().setDefaultProjection(UTM.crs, list(UTM.transform))
    coarse = Grid(Projection(UTM.crs, (9000.0, 0.0, 400_000.0, 0.0, -9000.0, 3_600_000.0)), 1, 1)
    with pytest.raises(EngineError, match="Too many input pixels per output pixel"):
        pixels(image.reduceResolution(ee.Reducer.mean()), coarse)
    [mean] = pixels(image.reduceResolution(ee.Reducer.mean(), False, 81), coarse)
    assert mean[0, 0] == pytest.approx(4.0)


def test_reduce_region_weighs_by_the_smaller_of_mask_and_coverage(compute: Any) -> None:
    """Half of column 0 and all of column 1: unlike reduceResolution the mask does not multiply."""
    image = columns().add(1).updateMask(columns().eq(1).multiply(0.25).add(columns().neq(1).multiply(0.75)))
    region = ee.Geometry.Rectangle([400_500, 3_599_000, 402_000, 3_600_000], UTM.crs, False)
    found = compute(
        image.reduceRegion(ee.Reducer.mean(), region, crs=UTM.crs, crsTransform=list(UTM.transform))
    )
    weights = np.array([min(0.75, 0.5), min(0.25, 1.0)])
    assert found["c"] == pytest.approx((weights * [1, 2]).sum() / weights.sum())


def test_unweighted_reducers_take_pixels_whose_centre_is_inside(compute: Any) -> None:
    region = ee.Geometry.Rectangle([400_400, 3_599_000, 402_600, 3_600_000], UTM.crs, False)
    found = compute(
        columns().reduceRegion(ee.Reducer.count(), region, crs=UTM.crs, crsTransform=list(UTM.transform))
    )
    assert found == {"c": 3}


def test_reduce_region_refuses_more_than_max_pixels(compute: Any) -> None:
    region = ee.Geometry.Rectangle([400_000, 3_500_000, 500_000, 3_600_000], UTM.crs, False)
    with pytest.raises(
        EngineError, match=r"Too many pixels in the region\. Found 10000, but maxPixels allows only 5000"
    ):
        compute(
            columns().reduceRegion(
                ee.Reducer.mean(), region, crs=UTM.crs, crsTransform=list(UTM.transform), maxPixels=5000
            )
        )


def test_a_sample_drops_rows_with_masked_bands_unless_told_otherwise(compute: Any) -> None:
    image = columns().addBands(rows().updateMask(columns().gt(1)))
    region = ee.Geometry.Rectangle([400_000, 3_597_000, 404_000, 3_600_000], UTM.crs, False)
    projection = ee.Projection(UTM.crs, list(UTM.transform))
    kept = list(compute(image.sample(region, projection=projection)))
    assert sorted(feature.properties["c"] for feature in kept) == [2, 2, 2, 3, 3, 3]
    whole = list(compute(image.sample(region, projection=projection, dropNulls=False)))
    assert len(whole) == 12
    assert all(("r" in feature.properties) == (feature.properties["c"] > 1) for feature in whole)


def test_a_point_samples_the_pixel_that_contains_it(compute: Any) -> None:
    point = ee.Geometry.Point([402_999, 3_598_001], UTM.crs)
    projection = ee.Projection(UTM.crs, list(UTM.transform))
    [feature] = list(compute(columns().addBands(rows()).sample(point, projection=projection)))
    assert (feature.properties["c"], feature.properties["r"]) == (3 - 1, 1)


def test_the_end_of_a_date_filter_is_exclusive(compute: Any) -> None:
    days = ee.List.sequence(0, 3).map(
        lambda d: ee.Image(ee.Number(d)).set(
            "system:time_start", ee.Date("2019-04-01").advance(d, "day").millis()
        )
    )
    collection = ee.ImageCollection.fromImages(days)
    assert compute(collection.filterDate("2019-04-02", "2019-04-04").size()) == 2


def test_pixel_area_is_that_of_the_ellipsoid(pixels: Any) -> None:
    from pyproj import Geod

    grid = Grid(Projection("EPSG:4326", (0.5, 0.0, 117.0, 0.0, -0.5, 32.0)), 1, 2)
    [area] = pixels(ee.Image.pixelArea(), grid)
    for row, north in enumerate((32.0, 31.5)):
        # The cell's parallels, not great circles, bound the pixel: many vertices along them.
        lon = np.linspace(117, 117.5, 2000)
        ring = np.concatenate([lon, lon[::-1]]), np.repeat([north - 0.5, north], 2000)
        expected = abs(Geod(ellps="WGS84").polygon_area_perimeter(*ring)[0])
        assert area[row, 0] == pytest.approx(expected, rel=1e-7)


def test_two_thousand_steps_of_iterate_are_computed(pixels: Any) -> None:
    total = ee.List.sequence(1, 2000).iterate(
        lambda step, image: ee.Image(image).add(ee.Number(step)), ee.Image(0).addBands(rows()).select("r")
    )
    [band] = pixels(ee.Image(total))
    assert np.array_equal(band, R + 2000 * 2001 // 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b('c') * 2 + r", 2 * C + R),
        ("(c - b(1)) / (i.r + 1)", (C - R) / (R + 1)),
        ("i[0] > 1 ? 10 : -r", np.where(C > 1, 10, -R)),
        ("max(i['c', 'r'][0], 2) ** 2", np.maximum(C, 2) ** 2),
        ("c % 2 == 0 && !(r >= 1)", (C % 2 == 0) & ~(R >= 1)),
    ],
)
def test_an_expression_on_images_follows_its_arithmetic(pixels: Any, text: str, expected: Any) -> None:
    image = columns().addBands(rows())
    [band] = pixels(image.expression(text, {"i": image, "r": rows(), "c": columns()}))
    assert np.allclose(band, expected)


def test_an_image_tells_its_bands_like_properties(compute: Any) -> None:
    image = columns().addBands(rows()).set("a", 1)
    assert compute(image.get("system:band_names")) == ["c", "r"]
    assert set(compute(image.propertyNames())) == {"a", "system:bands", "system:band_names"}


def test_a_sample_remembers_the_order_of_the_bands(compute: Any) -> None:
    image = columns().addBands(rows())
    assert compute(image.sample(ee.Geometry.Point([402_999, 3_598_001], UTM.crs), 1000)).get(
        "band_order"
    ) == ["c", "r"]
