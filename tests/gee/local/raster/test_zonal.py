"""Statistics and samples of regions over several tiles, against NumPy on the whole array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from gee.local.errors import EngineError
from gee.local.raster import zonal
from gee.local.values import Feature

CRS = "EPSG:32650"
TRANSFORM = [100.0, 0.0, 400_000.0, 0.0, -100.0, 3_600_000.0]
HEIGHT, WIDTH = 330, 580  # 2 x 3 tiles of 256
Compute = Callable[[Any], Any]

# A polygon over five of the six tiles, with its hole across the corner of four of them.
SHAPE = shapely.Polygon(
    [
        (402_130, 3_599_060),
        (455_470, 3_596_720),
        (457_010, 3_570_330),
        (431_240, 3_567_990),
        (404_410, 3_580_380),
    ],
    [[(420_330, 3_578_810), (429_190, 3_577_240), (426_480, 3_570_650)]],
)


@pytest.fixture(autouse=True)
def offline(offline_client: None) -> None:
    """Client objects are made in these tests."""


def projection() -> Any:
    return ee.Projection(CRS, TRANSFORM)


def columns() -> Any:
    return ee.Image.pixelCoordinates(projection()).select("x").floor().int().rename("c")


def rows() -> Any:
    return ee.Image.pixelCoordinates(projection()).select("y").floor().int().rename("r")


def image() -> Any:
    """Two bands of whole numbers that look random; of the first a fifth is masked, of the second none."""
    a = columns().multiply(7919).add(rows().multiply(104729)).mod(101).rename("a")
    b = columns().multiply(31).add(rows().multiply(17)).mod(13).rename("b")
    return a.updateMask(columns().add(rows().multiply(3)).mod(5).neq(0)).addBands(b)


R, C = np.mgrid[0:HEIGHT, 0:WIDTH]
A, B = (C * 7919 + R * 104729) % 101, (C * 31 + R * 17) % 13
VALID = (C + 3 * R) % 5 != 0
CELLS = shapely.box(
    400_000 + 100 * C, 3_600_000 - 100 * (R + 1), 400_000 + 100 * (C + 1), 3_600_000 - 100 * R
)


def share(shape: Any) -> NDArray[np.float64]:
    shapely.prepare(shape)
    found = shapely.contains(shape, CELLS).astype(float)
    edge = shapely.intersects(shape, CELLS) & (found == 0)
    found[edge] = shapely.area(shapely.intersection(CELLS[edge], shape)) / 10_000
    return np.where(found < 1 / 256, 0, found)


def centred(shape: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = shapely.contains_xy(shape, 400_050 + 100.0 * C, 3_599_950 - 100.0 * R)
    return found


WEIGHT, INSIDE = share(SHAPE), centred(SHAPE)


def client(shape: Any) -> Any:
    return ee.Geometry(shapely.geometry.mapping(shape), CRS, False)


def reduced(compute: Compute, reducer: Any, what: Any | None = None, **options: Any) -> dict[str, Any]:
    grid = {"crs": CRS, "crsTransform": TRANSFORM} if not options.keys() & {"scale", "crs"} else {}
    found: dict[str, Any] = compute(
        (what or image()).reduceRegion(reducer, client(SHAPE), **{**grid, **options})
    )
    return found


def average(values: NDArray[Any], weights: NDArray[np.float64]) -> float:
    return float(np.average(values[weights > 0], weights=weights[weights > 0]))


def test_the_region_spans_several_tiles() -> None:
    used = {(r // zonal.TILE, c // zonal.TILE) for r, c in np.argwhere(INSIDE)}
    assert len(used) == 6


def test_weighted_reducers_are_numpys_over_the_whole_region(compute: Compute) -> None:
    mean = reduced(compute, ee.Reducer.mean())
    assert list(mean) == ["a", "b"]
    assert mean["a"] == pytest.approx(average(A, WEIGHT * VALID), rel=1e-9)
    assert mean["b"] == pytest.approx(average(B, WEIGHT), rel=1e-9)
    total = reduced(compute, ee.Reducer.sum())
    assert total["a"] == pytest.approx((A * WEIGHT * VALID).sum(), rel=1e-9)
    spread = reduced(compute, ee.Reducer.variance())
    centre = average(B, WEIGHT)
    assert spread["b"] == pytest.approx(average((B - centre) ** 2, WEIGHT), rel=1e-9)


def test_unweighted_reducers_take_pixels_with_their_centre_inside(compute: Compute) -> None:
    assert reduced(compute, ee.Reducer.count()) == {"a": (INSIDE & VALID).sum(), "b": INSIDE.sum()}
    assert reduced(compute, ee.Reducer.minMax()) == {"a_min": 0, "a_max": 100, "b_min": 0, "b_max": 12}
    assert reduced(compute, ee.Reducer.countDistinct())["b"] == 13
    mean = reduced(compute, ee.Reducer.mean().unweighted())
    assert mean["a"] == pytest.approx(A[INSIDE & VALID].mean(), rel=1e-12)
    histogram = reduced(compute, ee.Reducer.frequencyHistogram().unweighted())["b"]
    codes, counts = np.unique(B[INSIDE], return_counts=True)
    assert {int(code): count for code, count in histogram.items()} == dict(zip(codes, counts, strict=True))
    histogram = reduced(compute, ee.Reducer.frequencyHistogram())["b"]  # documented as weighted
    assert all(histogram[str(code)] == pytest.approx(WEIGHT[code == B].sum()) for code in range(13))
    listed = reduced(compute, ee.Reducer.toList())["a"]
    assert sorted(listed) == sorted(A[INSIDE & VALID].tolist())


def test_percentiles_of_many_pixels_are_near_numpys(compute: Compute) -> None:
    """Beyond ``maxRaw`` values Earth Engine takes them from a histogram."""
    found = reduced(compute, ee.Reducer.percentile([10, 50, 90]).unweighted())
    for percent in (10, 50, 90):
        assert found[f"a_p{percent}"] == pytest.approx(np.percentile(A[INSIDE & VALID], percent), abs=1.5)


def test_combined_reducers_name_their_outputs_after_the_band(compute: Compute) -> None:
    reducer = ee.Reducer.mean().combine(ee.Reducer.stdDev(), None, True).combine(ee.Reducer.max(), None, True)
    found = reduced(compute, reducer)
    assert sorted(found) == ["a_max", "a_mean", "a_stdDev", "b_max", "b_mean", "b_stdDev"]
    assert found["b_mean"] == pytest.approx(average(B, WEIGHT))
    assert found["b_stdDev"] == pytest.approx(average((B - average(B, WEIGHT)) ** 2, WEIGHT) ** 0.5)
    assert found["b_max"] == 12


def test_a_reducer_of_several_inputs_takes_all_bands_where_all_are_valid(compute: Compute) -> None:
    found = reduced(compute, ee.Reducer.linearFit())
    weight = np.sqrt(WEIGHT * VALID)
    design = np.column_stack([(weight * A).ravel(), weight.ravel()])
    (scale, offset), *_ = np.linalg.lstsq(design, (weight * B).ravel(), rcond=None)
    assert found == {"scale": pytest.approx(scale, abs=1e-9), "offset": pytest.approx(offset, rel=1e-9)}
    pearson = reduced(compute, ee.Reducer.pearsonsCorrelation())
    assert {"correlation", "p-value"} <= set(pearson)
    with pytest.raises(EngineError, match=r"Image\.reduceRegion: Need 2 bands"):
        reduced(compute, ee.Reducer.linearFit(), image().select("a"))


def test_a_group_has_the_statistics_of_each_class(compute: Compute) -> None:
    found = reduced(compute, ee.Reducer.sum().group(1, "class"))["groups"]
    for group in found:
        there = (group["class"] == B) & VALID
        assert group["sum"] == pytest.approx((A * WEIGHT)[there].sum(), rel=1e-9)
    assert [group["class"] for group in found] == list(range(13))


def test_a_region_without_valid_pixels_gives_null(compute: Compute) -> None:
    nothing = image().updateMask(0)
    assert reduced(compute, ee.Reducer.mean(), nothing) == {"a": None, "b": None}
    assert reduced(compute, ee.Reducer.count(), nothing) == {"a": 0, "b": 0}
    empty = ee.Geometry.MultiPolygon([])
    options = {"scale": 100, "crs": CRS}
    assert compute(image().reduceRegion(ee.Reducer.mean(), empty, **options)) == {"a": None, "b": None}
    best = image().reduceRegion(ee.Reducer.mean(), empty, bestEffort=True, **options)
    assert compute(best) == {"a": None, "b": None}


def test_a_region_must_have_bounds(compute: Compute) -> None:
    with pytest.raises(EngineError, match="must not be unbounded"):
        compute(image().reduceRegion(ee.Reducer.mean(), None, 100, CRS))


def test_without_a_region_the_footprint_is_reduced(compute: Compute) -> None:
    found = compute(
        image().clip(client(SHAPE)).reduceRegion(ee.Reducer.count(), crs=CRS, crsTransform=TRANSFORM)
    )
    assert found["b"] == INSIDE.sum()


# Grids


@pytest.mark.parametrize(
    ("options", "side"),
    [
        ({"crs": CRS, "scale": 200}, 200),
        ({"scale": 300}, 300),
        ({}, 100),
        ({"crs": CRS, "crsTransform": [250, 0, 400_000, 0, -250, 3_600_000]}, 250),
        ({"crsTransform": [250, 0, 400_000, 0, -250, 3_600_000]}, 250),
    ],
)
def test_crs_scale_and_transform_say_which_pixels(compute: Compute, options: Any, side: int) -> None:
    """A region of 6 by 3 km is so many pixels; those of a scale begin at the origin of the projection."""
    block = ee.Geometry.Rectangle([402_000, 3_594_000, 408_000, 3_597_000], CRS, False)
    fixed = columns().setDefaultProjection(CRS, TRANSFORM)
    assert compute(fixed.reduceRegion(ee.Reducer.count(), block, **options)) == {"c": 6000 * 3000 // side**2}


def test_scale_and_transform_exclude_each_other(compute: Compute) -> None:
    with pytest.raises(EngineError, match=r"both 'scale' and 'crsTransform'"):
        compute(image().reduceRegion(ee.Reducer.mean(), client(SHAPE), 100, CRS, TRANSFORM))


@pytest.mark.parametrize("scale", [0, -100])
def test_a_scale_is_positive(compute: Compute, scale: float) -> None:
    with pytest.raises(EngineError, match="Scale must be positive"):
        compute(image().reduceRegion(ee.Reducer.mean(), client(SHAPE), scale, CRS))


def test_best_effort_doubles_the_pixels_until_they_are_few_enough(compute: Compute) -> None:
    """580 x 330 pixels of 100 m are 145 x 83 of 400 m, and the mean of a plane hardly moves."""
    options = {"maxPixels": 20_000, "bestEffort": True}
    with pytest.raises(EngineError, match="Too many pixels in the region"):
        reduced(compute, ee.Reducer.mean(), columns(), maxPixels=20_000)
    count = reduced(compute, ee.Reducer.count(), columns(), **options)["c"]
    assert count == pytest.approx(SHAPE.area / 400**2, rel=0.01)
    mean = reduced(compute, ee.Reducer.mean(), columns(), **options)["c"]
    assert mean == pytest.approx(average(C, WEIGHT), abs=2.5)


# Many regions


def squares() -> list[tuple[str, Any]]:
    """Forty squares strewn over the tiles, some of them overlapping."""
    rng = np.random.default_rng(3)
    corners = np.column_stack([rng.uniform(400_000, 452_000, 40), rng.uniform(3_567_500, 3_594_000, 40)])
    return [
        (str(index), shapely.box(x, y, x + 1500 + 90 * index, y + 1500 + 60 * index))
        for index, (x, y) in enumerate(corners.tolist())
    ]


def collection(shapes: list[tuple[str, Any]]) -> Any:
    return ee.FeatureCollection([ee.Feature(client(shape), {"name": name}) for name, shape in shapes])


def by_name(compute: Compute, features: Any) -> dict[str, Feature]:
    return {feature.properties["name"]: feature for feature in compute(features)}


def test_each_of_many_regions_is_reduced_as_if_alone(compute: Compute) -> None:
    found = by_name(
        compute,
        image().reduceRegions(collection(squares()), ee.Reducer.mean(), crs=CRS, crsTransform=TRANSFORM),
    )
    assert list(found) == [name for name, _ in squares()]
    for name, shape in squares():
        weight = share(shape)
        assert found[name].properties["a"] == pytest.approx(average(A, weight * VALID), rel=1e-9)
        assert found[name].properties["b"] == pytest.approx(average(B, weight), rel=1e-9)


@pytest.mark.parametrize(
    ("bands", "reducer", "names"),
    [
        (["b"], "mean", {"mean"}),
        (["a", "b"], "mean", {"a", "b"}),
        (["b"], "minMax", {"min", "max"}),
        (["a", "b"], "minMax", {"a_min", "a_max", "b_min", "b_max"}),
        (["a", "b"], "linearFit", {"scale", "offset"}),
    ],
)
def test_outputs_are_named_after_bands_unless_there_is_one(
    compute: Compute, bands: list[str], reducer: str, names: set[str]
) -> None:
    one = collection(squares()[:1])
    reduced_features = image().select(bands).reduceRegions(one, getattr(ee.Reducer, reducer)(), 100, CRS)
    [feature] = list(compute(reduced_features))
    assert set(feature.properties) - {"system:index"} == {"name", *names}


def test_features_without_pixels_stay_without_numbers(compute: Compute) -> None:
    features = ee.FeatureCollection(
        [
            ee.Feature(None, {"name": "nowhere"}),
            ee.Feature(client(SHAPE), {"name": "there"}),
            ee.Feature(client(shapely.box(800_000, 3_000_000, 800_900, 3_000_900)), {"name": "masked"}),
        ]
    )
    there = image().select("b").clip(client(SHAPE))
    found = by_name(compute, there.reduceRegions(features, ee.Reducer.mean(), 100, CRS))
    assert list(found) == ["nowhere", "there", "masked"]
    assert "mean" not in found["nowhere"].properties
    assert "mean" not in found["masked"].properties
    assert found["there"].properties["mean"] == pytest.approx(average(B, np.where(INSIDE, WEIGHT, 0)))


def test_a_region_may_have_at_most_so_many_pixels(compute: Compute) -> None:
    features = image().reduceRegions(collection(squares()[:2]), ee.Reducer.mean(), 100, CRS, None, 1, 100)
    with pytest.raises(EngineError, match="Too many pixels in the region"):
        list(compute(features))


# Samples


def test_a_sample_has_every_pixel_with_its_centre_inside(compute: Compute) -> None:
    found = list(compute(image().sample(client(SHAPE), projection=projection(), geometries=True)))
    wanted = INSIDE & VALID
    assert len(found) == wanted.sum()
    pairs = sorted((feature.properties["a"], feature.properties["b"]) for feature in found)
    assert pairs == sorted(zip(A[wanted].tolist(), B[wanted].tolist(), strict=True))
    points = np.array([feature.geometry.shape.coords[0] for feature in found[:50]])
    x, y = Transformer.from_crs(4326, CRS, always_xy=True).transform(points[:, 0], points[:, 1])
    np.testing.assert_allclose([x % 100, y % 100], 50, atol=1e-3)
    column, row = ((x - 400_000) // 100).astype(int), ((3_600_000 - y) // 100).astype(int)
    assert A[row, column].tolist() == [feature.properties["a"] for feature in found[:50]]


def test_a_share_or_number_of_pixels_is_drawn_by_the_seed(compute: Compute) -> None:
    whole = INSIDE.sum()

    def drawn(**options: Any) -> list[tuple[int, int]]:
        image = columns().addBands(rows())
        found = compute(image.sample(client(SHAPE), projection=projection(), **options))
        return [(feature.properties["c"], feature.properties["r"]) for feature in found]

    tenth = drawn(factor=0.1)
    assert len(tenth) == pytest.approx(0.1 * whole, abs=5 * (0.09 * whole) ** 0.5)  # five sigma
    assert drawn(factor=0.1) == tenth
    assert set(drawn(factor=0.1, seed=1)) != set(tenth)
    assert len(set(tenth)) == len(tenth)
    assert all(INSIDE[r, c] for c, r in tenth)
    number = drawn(numPixels=2000)
    assert len(number) == pytest.approx(2000, abs=5 * 2000**0.5)
    with pytest.raises(EngineError, match="Only one of"):
        drawn(factor=0.1, numPixels=10)


def test_the_draw_has_nothing_to_do_with_random_numbers_of_the_same_seed(compute: Compute) -> None:
    """Else a tenth of an image of random numbers would be the smallest tenth."""
    found = compute(ee.Image.random(0).sample(client(SHAPE), projection=projection(), factor=0.1, seed=0))
    values = [feature.properties["random"] for feature in found]
    assert np.mean(values) == pytest.approx(0.5, abs=5 * (1 / 12 / len(values)) ** 0.5)


def test_samples_of_regions_carry_their_properties(compute: Compute) -> None:
    shapes = squares()[:6]
    features = ee.FeatureCollection(
        [ee.Feature(client(shape), {"name": name, "other": 1}) for name, shape in shapes]
    )
    found = list(compute(image().sampleRegions(features, ["name"], projection=projection())))
    for name, shape in shapes:
        wanted = centred(shape) & VALID
        of_one = [feature for feature in found if feature.properties["name"] == name]
        assert sorted(f.properties["a"] for f in of_one) == sorted(A[wanted].tolist())
    assert all("other" not in feature.properties and feature.geometry is None for feature in found)
    assert len({feature.properties["system:index"] for feature in found}) == len(found)


def test_a_stratified_sample_has_so_many_pixels_of_each_class(compute: Compute) -> None:
    classes = rows().lt(3).add(columns().lt(100)).toByte().rename("k").addBands(columns()).addBands(rows())
    block = ee.Geometry.Rectangle([400_000, 3_570_000, 450_000, 3_600_000], CRS, False)

    def drawn(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        found = compute(
            classes.stratifiedSample(*arguments, region=block, projection=projection(), **options)
        )
        return [feature.properties for feature in found]

    found = drawn(40, "k")
    assert [sum(f["k"] == k for f in found) for k in (0, 1, 2)] == [40, 40, 40]
    assert len({(f["c"], f["r"]) for f in found}) == 120
    assert all(f["k"] == (f["r"] < 3) + (f["c"] < 100) for f in found)
    assert drawn(40) == found  # the first band by default
    assert drawn(40, seed=5) != found
    found = drawn(10, "k", classValues=[1, 2], classPoints=[25, 100_000])
    assert [sum(f["k"] == k for f in found) for k in (0, 1, 2)] == [
        10,
        25,
        300,
    ]  # there are 3 x 100 of the last
    with pytest.raises(EngineError, match="same length"):
        drawn(10, "k", classValues=[1, 2], classPoints=[25])


def test_a_stratified_sample_skips_pixels_with_masked_bands_unless_told(compute: Compute) -> None:
    classes = ee.Image(1).toByte().rename("k").addBands(columns().updateMask(columns().lt(10)))
    block = ee.Geometry.Rectangle([400_000, 3_598_000, 402_000, 3_600_000], CRS, False)
    options = {"region": block, "projection": projection(), "classBand": "k"}
    kept = list(compute(classes.stratifiedSample(1000, **options)))
    assert len(kept) == 200
    every = list(compute(classes.stratifiedSample(1000, dropNulls=False, geometries=True, **options)))
    assert len(every) == 400
    assert sum("c" in feature.properties for feature in every) == 200
    assert all(feature.geometry is not None for feature in every)


def test_classes_must_be_integers(compute: Compute) -> None:
    with pytest.raises(EngineError, match="integer"):
        list(compute(ee.Image.random().stratifiedSample(5, region=client(SHAPE), projection=projection())))


# Rectangles and tables


def rectangle() -> Any:
    return ee.Geometry.Rectangle([402_000, 3_597_700, 402_500, 3_598_000], CRS, False)


WINDOW = np.s_[20:23, 20:25]


def fixed() -> Any:
    return image().setDefaultProjection(CRS, TRANSFORM).set("p", 1).set("system:index", "x")


def test_a_rectangle_of_pixels_is_an_array_per_band(compute: Compute) -> None:
    found = compute(fixed().select("b").sampleRectangle(rectangle()))
    assert np.array_equal(found.properties["b"], B[WINDOW])
    assert set(found.properties) == {"b", "p"}  # all but the system's
    assert found.geometry.shape.area == 500 * 300
    chosen = compute(fixed().select("b").sampleRectangle(rectangle(), ["system:index"]))
    assert set(chosen.properties) == {"b", "system:index"}


@pytest.mark.parametrize("default", [-1, -0.5, 1000])
def test_masked_pixels_of_a_rectangle_take_the_default(compute: Compute, default: float) -> None:
    with pytest.raises(EngineError, match=r"masked band 'a' encountered, and no default"):
        compute(fixed().sampleRectangle(rectangle()))
    found = compute(fixed().sampleRectangle(rectangle(), None, default))
    assert np.array_equal(found.properties["a"], np.where(VALID, A, default)[WINDOW])
    assert np.array_equal(found.properties["b"], B[WINDOW])


def test_a_rectangle_of_array_pixels_has_their_axes_too(compute: Compute) -> None:
    pairs = columns().addBands(rows()).toArray().setDefaultProjection(CRS, TRANSFORM)
    [found] = [compute(pairs.sampleRectangle(rectangle())).properties["array"]]
    assert np.array_equal(found, np.stack([C[WINDOW], R[WINDOW]], axis=2))
    hidden = pairs.updateMask(columns().neq(22))
    filled = compute(hidden.sampleRectangle(rectangle(), None, None, ee.Array([-1, -2]))).properties["array"]
    assert filled[:, 2].tolist() == [[-1, -2]] * 3
    assert np.array_equal(filled[:, :2], found[:, :2])


def test_a_region_of_a_collection_is_a_table(compute: Compute) -> None:
    images = [
        fixed()
        .select(["a", "b"])
        .add(day)
        .set("system:index", f"i{day}", "system:time_start", day * 86_400_000)
        for day in (0, 1)
    ]
    header, *lines = compute(
        ee.ImageCollection(images).getRegion(rectangle(), crs=CRS, crsTransform=TRANSFORM)
    )
    assert header == ["id", "longitude", "latitude", "time", "a", "b"]
    assert len(lines) == 2 * 15
    turn = Transformer.from_crs(CRS, 4326, always_xy=True)
    for position, (name, lon, lat, moment, a, b) in enumerate(lines):
        day, place = divmod(position, 15)
        row, column = 20 + place // 5, 20 + place % 5
        assert (name, moment) == (f"i{day}", day * 86_400_000)
        expected = turn.transform(400_050 + 100 * column, 3_599_950 - 100 * row)
        assert (lon, lat) == pytest.approx(expected, abs=1e-9)
        assert a == (A[row, column] + day if VALID[row, column] else None)
        assert b == B[row, column] + day


def test_a_table_is_in_degrees_where_no_projection_is_named(compute: Compute) -> None:
    """As documented: EPSG:4326, at the scale asked for."""
    point = ee.Geometry.Point([117.0, 31.0])
    metres = 1113.1949079327358  # a hundredth of a degree
    header, line = compute(ee.ImageCollection([fixed()]).getRegion(point, metres))
    assert header[:4] == ["id", "longitude", "latitude", "time"]
    assert line[1:3] == pytest.approx([117.005, 31.005])


def test_a_table_of_too_many_values_is_refused(compute: Compute) -> None:
    wide = ee.Geometry.Rectangle([400_000, 3_500_000, 500_000, 3_600_000], CRS, False)
    images = [ee.Image(list(range(100))).set("system:index", "x")]
    with pytest.raises(EngineError, match=r"ImageCollection\.getRegion: .*1048576"):
        compute(ee.ImageCollection(images).getRegion(wide, 900, CRS))
