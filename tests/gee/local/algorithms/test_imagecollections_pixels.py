"""Collections made into one image, by their documented meaning, against NumPy."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest

from gee import limits
from gee.local.errors import EngineError
from gee.local.geometry.projections import WGS84
from gee.local.values import PixelType

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


def stack(noise: Any, count: int = 7) -> Any:
    """Images of random whole numbers with gaps."""
    return ee.ImageCollection(
        [noise(seed, gaps=True).set("system:index", f"i{seed}") for seed in range(count)]
    )


def arrays(pixels: Any, noise: Any, count: int = 7) -> tuple[Any, Any]:
    """Values and validity of those images, one after another."""
    found = [pixels(noise(seed, gaps=True))[0] for seed in range(count)]
    return np.stack([f.data for f in found]), np.stack([~np.ma.getmaskarray(f) for f in found])


# Composites


def test_a_mosaic_takes_the_last_valid_pixel_band_by_band(compute: Any, pixels: Any, noise: Any) -> None:
    values, valid = arrays(pixels, noise)
    mosaic = stack(noise).mosaic()
    assert compute(mosaic).properties == {}
    [found] = pixels(mosaic)
    last = len(values) - 1 - valid[::-1].argmax(axis=0)
    assert np.array_equal(~np.ma.getmaskarray(found), valid.any(axis=0))
    expected = np.take_along_axis(values, last[None], axis=0)[0]
    assert np.array_equal(found.compressed(), expected[valid.any(axis=0)])


def test_a_mosaic_keeps_the_projection_that_all_share(compute: Any) -> None:
    utm = [
        columns().setDefaultProjection(CRS, TRANSFORM),
        rows().rename("c").setDefaultProjection(CRS, TRANSFORM),
    ]
    assert compute(ee.ImageCollection(utm).mosaic().projection()).crs == CRS
    other = [utm[0], utm[1].setDefaultProjection("EPSG:32651", TRANSFORM)]
    assert compute(ee.ImageCollection(other).mosaic().projection()) == WGS84


def test_a_mosaic_of_different_bands_and_types(compute: Any, pixels: Any) -> None:
    images = [columns().toInt8(), rows(), columns().add(0.5).toFloat().updateMask(columns().gt(9))]
    mosaic = compute(ee.ImageCollection(images).mosaic())
    assert mosaic.names == ["c", "r"]
    assert mosaic.bands[0].type == PixelType("float")
    first, second = pixels(ee.ImageCollection(images).mosaic())
    assert np.array_equal(first, np.where(C > 9, C + 0.5, C))
    assert np.array_equal(second, R)


def test_the_footprint_of_a_composite_is_that_of_all_its_images(compute: Any) -> None:
    boxes = [ee.Geometry.Rectangle([x, 0, x + 10, 10], CRS, False) for x in (0, 30)]
    for composite in (
        ee.ImageCollection([columns().clip(box) for box in boxes]).mosaic(),
        ee.ImageCollection([columns().clip(box) for box in boxes]).mean(),
        ee.ImageCollection([columns().clip(box) for box in boxes]).toBands(),
    ):
        assert compute(composite.geometry()).shape.area == 200
        assert compute(composite.geometry()).shape.bounds == (0, 0, 40, 10)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_best_pixel_is_that_of_the_highest_quality_that_is_valid(
    pixels: Any, order: tuple[int, ...]
) -> None:
    """Whatever the order of the images: a pixel that is masked in a band is no candidate for it."""
    qualities = [ee.Image(5), ee.Image(3), ee.Image(4).updateMask(columns().gt(10))]
    bands = [ee.Image(50).updateMask(rows().gt(8)), ee.Image(30), ee.Image(40)]
    images = [
        quality.rename("q").addBands(band.rename("v")) for quality, band in zip(qualities, bands, strict=True)
    ]
    quality, value = pixels(ee.ImageCollection([images[i] for i in order]).qualityMosaic("q"))
    assert np.array_equal(quality, np.full(C.shape, 5))
    assert np.array_equal(value, np.where(R > 8, 50, np.where(C > 10, 40, 30)))


def test_a_quality_band_must_exist(compute: Any) -> None:
    with pytest.raises(EngineError, match=r"ImageCollection\.qualityMosaic: .*'q'"):
        compute(ee.ImageCollection([columns()]).qualityMosaic("q"))


# Reducers


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        ("count", lambda v, w: w.sum(axis=0)),
        ("sum", lambda v, w: (v * w).sum(axis=0)),
        ("mean", lambda v, w: np.ma.masked_array(v, ~w).mean(axis=0)),
        ("min", lambda v, w: np.where(w, v, 10**6).min(axis=0)),
        ("max", lambda v, w: np.where(w, v, -1).max(axis=0)),
        ("median", lambda v, w: np.ma.median(np.ma.masked_array(v, ~w), axis=0)),
        ("product", lambda v, w: np.where(w, v.astype(float), 1).prod(axis=0)),
        ("and", lambda v, w: (np.where(w, v, 1) != 0).all(axis=0)),
        ("or", lambda v, w: (np.where(w, v, 0) != 0).any(axis=0)),
    ],
)
def test_the_shortcuts_reduce_valid_pixels_under_the_bands_own_names(
    compute: Any, pixels: Any, noise: Any, name: str, statistic: Any
) -> None:
    values, valid = arrays(pixels, noise)
    method = {"and": "And", "or": "Or"}.get(name, name)
    reduced = getattr(stack(noise), method)()
    assert compute(reduced).names == ["v"]
    assert compute(reduced.projection()) == WGS84
    [found] = pixels(reduced)
    any_valid = valid.any(axis=0)
    expected = np.ma.filled(statistic(values, valid), 0)
    np.testing.assert_allclose(found.data[any_valid], expected[any_valid], rtol=1e-6)
    if name != "count":
        assert np.array_equal(~np.ma.getmaskarray(found), any_valid)


def test_the_mode_is_the_most_frequent_value(pixels: Any, noise: Any) -> None:
    images = [noise(seed, 3, gaps=True) for seed in range(9)]
    found = [pixels(image)[0] for image in images]
    [mode] = pixels(ee.ImageCollection(images).mode())
    counts = np.stack([sum((f.filled(-1) == code).astype(int) for f in found) for code in range(3)])
    valid = counts.sum(axis=0) > 0
    chosen = np.take_along_axis(counts, mode.filled(0)[None].astype(int), axis=0)[0]
    assert np.array_equal(chosen[valid], counts.max(axis=0)[valid])


def test_bands_are_matched_by_name(compute: Any, pixels: Any) -> None:
    images = [columns().addBands(rows()), rows().addBands(columns()), rows().add(2)]
    mean = ee.ImageCollection(images).mean()
    assert compute(mean).names == ["c", "r"]
    first, second = pixels(mean)
    np.testing.assert_allclose(first, C)
    np.testing.assert_allclose(second, R + 2 / 3)


@pytest.mark.parametrize(
    ("reducer", "names"),
    [
        ("mean", ["c_mean", "r_mean"]),
        ("minMax", ["c_min", "c_max", "r_min", "r_max"]),
        ("linearFit", ["scale", "offset"]),
    ],
)
def test_outputs_are_named_after_bands_and_reducer(compute: Any, reducer: str, names: list[str]) -> None:
    collection = ee.ImageCollection([columns().addBands(rows())] * 3)
    assert compute(collection.reduce(getattr(ee.Reducer, reducer)())).names == names


def test_percentiles_carry_their_numbers(compute: Any) -> None:
    reduced = ee.ImageCollection([columns()] * 3).reduce(ee.Reducer.percentile([5, 95]))
    assert compute(reduced).names == ["c_p5", "c_p95"]


def test_a_line_is_fitted_at_every_pixel(pixels: Any) -> None:
    """y = c x + r at the days 0 to 3, of which day 2 is masked in the west."""
    images = []
    for day in range(4):
        image = ee.Image(day).rename("x").addBands(columns().multiply(day).add(rows()).rename("y"))
        images.append(image.updateMask(columns().gt(10)) if day == 2 else image)
    scale, offset = pixels(ee.ImageCollection(images).reduce(ee.Reducer.linearFit()))
    np.testing.assert_allclose(scale, C, atol=1e-9)
    np.testing.assert_allclose(offset, R, atol=1e-9)


def test_a_reducer_of_several_inputs_needs_as_many_bands(compute: Any) -> None:
    with pytest.raises(EngineError, match=r"ImageCollection\.reduce: Need 2 bands"):
        compute(ee.ImageCollection([columns()]).reduce(ee.Reducer.linearFit()))


def test_an_empty_collection_makes_an_image_without_bands(compute: Any) -> None:
    empty = ee.ImageCollection([])
    for image in (empty.mosaic(), empty.mean(), empty.toBands(), empty.reduce(ee.Reducer.max())):
        assert compute(image).names == []


# Stacks


def test_bands_of_all_images_are_named_after_their_images(compute: Any, pixels: Any) -> None:
    images = [columns().addBands(rows()).set("system:index", "a"), columns().add(1).set("system:index", "b")]
    stacked = ee.ImageCollection(images).toBands()
    assert compute(stacked).names == ["a_c", "a_r", "b_c"]
    assert np.array_equal(pixels(stacked)[2], C + 1)


def test_too_many_bands_are_refused(compute: Any) -> None:
    wide = ee.Image.constant(ee.List.repeat(1, 1000)).set("system:index", "a")
    images = ee.List.repeat(wide, limits.MAX_STACKED_BANDS // 1000 + 1)
    with pytest.raises(EngineError, match=r"Too many bands"):
        compute(ee.ImageCollection.fromImages(images).toBands())


def test_images_of_the_same_index_are_combined(compute: Any) -> None:
    first = ee.ImageCollection([columns().set("system:index", i, "p", i) for i in ("a", "b")])
    second = ee.ImageCollection([columns().addBands(rows()).set("system:index", i) for i in ("b", "z")])
    [combined] = list(compute(first.combine(second)))
    assert combined.names == ["c", "c_1", "r"]
    assert combined.properties == {"system:index": "b", "p": "b"}
    [combined] = list(compute(first.combine(second, True)))
    assert combined.names == ["c", "r"]


# Arrays


def test_a_stack_of_arrays_has_the_images_that_are_valid_in_all_bands(
    compute: Any, pixels: Any, noise: Any
) -> None:
    images = [noise(seed, gaps=True).addBands(columns()) for seed in range(4)]
    array = ee.ImageCollection(images).toArray()
    assert compute(array).names == ["array"]
    assert compute(array).bands[0].type.dimensions == 2
    values, valid = arrays(pixels, noise, 4)
    [found] = pixels(array)
    for r, c in np.ndindex(17, 23):
        expected = [[value, c] for value, ok in zip(values[:, r, c], valid[:, r, c], strict=True) if ok]
        assert np.asarray(found.data[r, c]).tolist() == expected


def test_a_stack_of_arrays_needs_as_many_bands_in_every_image(compute: Any) -> None:
    with pytest.raises(EngineError, match="same number of bands"):
        compute(ee.ImageCollection([columns(), columns().addBands(rows())]).toArray())
    with pytest.raises(EngineError, match="not arrays"):
        compute(ee.ImageCollection([columns().toArray()]).toArray())


@pytest.mark.parametrize("drop", [False, True])
def test_an_array_per_band_weighs_its_mask(compute: Any, pixels: Any, noise: Any, drop: bool) -> None:
    """The smallest mask of the images; or the largest, and only what is valid."""
    weights = [ee.Image(1), columns().gt(5).multiply(0.5).add(columns().gt(15).multiply(0.5)), rows().gt(3)]
    images = [
        noise(seed).addBands(columns()).updateMask(weight.updateMask(weight.gt(0)).unmask())
        for seed, weight in enumerate(weights)
    ]
    stacked = ee.ImageCollection(images).toArrayPerBand(0, drop)
    assert compute(stacked).names == ["v", "c"]
    values = [pixels(noise(seed))[0].data for seed in range(3)]
    masks = np.stack([np.ones(C.shape), 0.5 * (C > 5) + 0.5 * (C > 15), R > 3])
    expected = masks.max(axis=0) if drop else masks.min(axis=0)
    found = pixels(stacked.mask())[0]
    np.testing.assert_allclose(found, expected)
    array = pixels(stacked)[0]
    for r, c in np.argwhere(expected > 0):
        assert np.asarray(array.data[r, c]).tolist() == [
            values[i][r, c] for i in range(3) if masks[i, r, c] > 0
        ]


def test_where_nothing_is_valid_an_array_per_band_is_masked(pixels: Any) -> None:
    images = [columns().updateMask(columns().gt(5)), rows().rename("c").updateMask(columns().gt(9))]
    [lengths] = pixels(ee.ImageCollection(images).toArrayPerBand(0, True).arrayLength(0))
    assert np.array_equal(np.ma.getmaskarray(lengths), C <= 5)
    assert np.array_equal(lengths.compressed(), np.where(C > 9, 2, 1)[C > 5])


def test_arrays_of_images_are_joined_along_an_axis(compute: Any, pixels: Any) -> None:
    images = [columns().addBands(rows()).toArray(), rows().addBands(columns()).toArray()]
    [joined] = pixels(ee.ImageCollection(images).toArrayPerBand(0))
    assert joined[3, 2].tolist() == [2, 3, 3, 2]
    columns_of = [image.toArray(1) for image in images]
    [table] = pixels(ee.ImageCollection(columns_of).toArrayPerBand(1))
    assert table[3, 2].tolist() == [[2, 3], [3, 2]]
    with pytest.raises(EngineError, match="Axis must be between 0 and 0"):
        compute(ee.ImageCollection([columns()]).toArrayPerBand(1))
