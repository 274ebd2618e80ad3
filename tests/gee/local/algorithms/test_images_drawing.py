"""Drawn vectors against shapely's own answers at the pixel centres."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
import shapely

from gee.local.errors import EngineError

LEFT, TOP = 400_000, 3_600_000


def _feature(shape: Any, grid: Any, **properties: Any) -> Any:
    """A feature from coordinates in columns and rows of the grid."""
    placed = shapely.transform(
        shape, lambda p: np.stack([LEFT + 1000 * p[:, 0], TOP - 1000 * p[:, 1]], axis=1)
    )
    geojson = shapely.geometry.mapping(placed)
    crs = ee.Projection(grid.crs)
    kind = getattr(ee.Geometry, geojson["type"])
    extra = {} if geojson["type"] == "Point" else {"geodesic": False}
    return ee.Feature(kind(geojson["coordinates"], crs, **extra), properties)


def _centres(grid: Any) -> tuple[Any, Any]:
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return columns, rows


def _holds(shape: Any, grid: Any) -> Any:
    return shapely.contains_xy(shape, *_centres(grid))


def _within(shape: Any, distance: float, grid: Any) -> Any:
    return shapely.distance(shapely.points(*_centres(grid)), shape) <= distance


POLYGON = shapely.Polygon(
    [(2.17, 1.32), (15.2, 3.1), (18.7, 12.2), (6.37, 14.83)],
    [[(8, 5.2), (12, 6.1), (10, 9.3)]],
)
SECOND = shapely.Polygon([(10.2, 8.1), (22.4, 8.3), (20.1, 16.2)])
LINE = shapely.LineString([(1.2, 15.1), (9.7, 2.3), (21.4, 11.8)])


def test_painting_fills_polygons_and_the_last_is_on_top(pixels: Any, noise: Any, grid: Any) -> None:
    table = ee.FeatureCollection([_feature(POLYGON, grid, n=5), _feature(SECOND, grid, n=-8)])
    [band] = pixels(noise().paint(table, "n"))
    expected = np.where(_holds(POLYGON, grid), 5, pixels(noise())[0].data)
    expected = np.where(_holds(SECOND, grid), -8, expected)
    assert np.array_equal(band, expected)


def test_painted_pixels_are_valid_and_of_the_bands_type(pixels: Any, grid: Any) -> None:
    table = ee.FeatureCollection([_feature(POLYGON, grid), _feature(SECOND, grid, n=3)])
    [band] = pixels(ee.Image().byte().paint(table, 300))
    inside = _holds(POLYGON, grid) | _holds(SECOND, grid)
    assert np.array_equal(~np.ma.getmaskarray(band), inside)
    assert (band.compressed() == 255).all()
    [partly] = pixels(ee.Image().byte().paint(table, "n"))
    assert np.array_equal(~np.ma.getmaskarray(partly), _holds(SECOND, grid))


@pytest.mark.parametrize("width", [1, 2, 3.5])
def test_a_width_paints_what_is_within_half_of_it(pixels: Any, grid: Any, width: float) -> None:
    table = ee.FeatureCollection([_feature(POLYGON, grid, w=width), _feature(LINE, grid, w=width)])
    lines = shapely.union(POLYGON.boundary, LINE)
    for image in (
        ee.Image().byte().paint(table, 1, width),
        ee.Image().byte().paint(table, 1, "w"),
    ):
        assert np.array_equal(~np.ma.getmaskarray(pixels(image)[0]), _within(lines, width / 2, grid))


def test_a_point_fills_its_pixel(pixels: Any, grid: Any) -> None:
    table = ee.FeatureCollection([_feature(shapely.Point(4.9, 3.1), grid)])
    [band] = pixels(ee.Image().byte().paint(table, 1))
    assert np.argwhere(~np.ma.getmaskarray(band)).tolist() == [[3, 4]]


def test_a_style_fills_and_outlines_with_opacity_in_the_mask(compute: Any, pixels: Any, grid: Any) -> None:
    table = ee.FeatureCollection([_feature(POLYGON, grid)])
    image = table.style(color="FF0000", width=2, fillColor="0000FF80")
    assert compute(image).names == ["vis-red", "vis-green", "vis-blue"]
    outline, fill = _within(POLYGON.boundary, 1, grid), _holds(POLYGON, grid)
    red, green, blue = pixels(image)
    opacity = pixels(image.mask())[0]
    assert np.allclose(opacity, np.where(outline, 1, np.where(fill, 128 / 255, 0)))
    assert np.array_equal(red.filled(0), np.where(outline, 255, 0))
    assert np.array_equal(blue.filled(0), np.where(fill & ~outline, 255, 0))
    assert not green.filled(0).any()


def test_a_property_changes_a_features_style(pixels: Any, grid: Any) -> None:
    own = {"color": "lime", "width": 0, "fillColor": "lime"}
    table = ee.FeatureCollection([_feature(POLYGON, grid, style=own), _feature(SECOND, grid)])
    _, green, _ = pixels(table.style(color="black", width=0, fillColor="white", styleProperty="style"))
    red, _, _ = pixels(table.style(color="black", width=0, fillColor="white", styleProperty="style"))
    assert (green.filled(0)[_holds(POLYGON, grid)] == 255).all()
    assert np.array_equal(red.filled(0) == 255, _holds(SECOND, grid))
    with pytest.raises(EngineError, match="Unknown style option 'colour'"):
        pixels(ee.FeatureCollection([_feature(SECOND, grid, s={"colour": "red"})]).style(styleProperty="s"))


@pytest.mark.parametrize(
    ("shape", "holds"),
    [
        ("circle", lambda x, y: np.hypot(x, y) <= 4),
        ("square", lambda x, y: np.maximum(abs(x), abs(y)) <= 4),
        ("d", lambda x, y: abs(x) + abs(y) <= 4),
        ("^", lambda x, y: (y <= 2) & (y >= -4 + np.sqrt(3) * abs(x))),
    ],
)
def test_markers_have_their_size_as_radius(pixels: Any, grid: Any, shape: str, holds: Any) -> None:
    table = ee.FeatureCollection([_feature(shapely.Point(10.1, 8.2), grid)])
    [red, _, _] = pixels(table.style(color="red", pointSize=4, pointShape=shape, width=0, fillColor="red"))
    x, y = _centres(grid)
    # The circle is drawn as a polygon of 32 corners, up to 0.02 pixels inside.
    near = np.abs(np.hypot(x - 10.1, y - 8.2) - 4) < 0.05
    assert np.array_equal(~np.ma.getmaskarray(red)[~near], holds(x - 10.1, y - 8.2)[~near])


def test_strokes_of_plus_and_cross(pixels: Any, grid: Any) -> None:
    table = ee.FeatureCollection([_feature(shapely.Point(10.1, 8.2), grid)])
    for shape, reach, ends in (("plus", 4, ((0, 1), (1, 0))), ("x", 4 / np.sqrt(2), ((1, 1), (1, -1)))):
        strokes = shapely.MultiLineString(
            [[(10.1 - reach * i, 8.2 - reach * j), (10.1 + reach * i, 8.2 + reach * j)] for i, j in ends]
        )
        [red, _, _] = pixels(table.style(color="red", pointSize=4, pointShape=shape, width=2))
        assert np.array_equal(~np.ma.getmaskarray(red), _within(strokes, 1, grid))


def test_draw_is_one_colour_with_a_fainter_fill(pixels: Any, grid: Any) -> None:
    table = ee.FeatureCollection([_feature(POLYGON, grid)])
    image = table.draw("00FF00", 3, 2)
    outline, fill = _within(POLYGON.boundary, 1, grid), _holds(POLYGON, grid)
    assert np.allclose(pixels(image.mask())[1], np.where(outline, 1, np.where(fill, 0.66, 0)))
    assert (pixels(image)[1].compressed() == 255).all()


def test_a_tile_has_the_pixels_of_the_whole(noise: Any, grid: Any, agrees_in_tiles: Any) -> None:
    table = ee.FeatureCollection(
        [
            _feature(POLYGON, grid, n=3),
            _feature(LINE, grid, n=4),
            _feature(shapely.Point(6.6, 4.4), grid, n=9),
        ]
    )
    for image in (
        noise().paint(table, "n"),
        noise().paint(table, "n", 2.5),
        table.style(color="red", pointSize=5, pointShape="star5", width=1.5),
        table.draw("blue"),
    ):
        agrees_in_tiles(image)
