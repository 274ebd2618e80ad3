"""Bands selected, named, added and cast, by their documented meaning."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest

from gee.local.context import Context
from gee.local.errors import EngineError
from gee.local.geometry.projections import Projection
from gee.local.raster.images import Image
from gee.local.values import Date, PixelType


@pytest.fixture
def image(offline_client: None) -> Any:
    """Five constant bands, each of its position's value."""
    return ee.Image([0, 1, 2, 3, 4]).rename(["B1", "B2", "B10", "QA", "b"])


def names(compute: Any, image: Any) -> list[str]:
    return compute(image).names  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["B2"], ["B2"]),
        (["QA", "B1"], ["QA", "B1"]),
        ([1, 0], ["B2", "B1"]),
        (["B.*"], ["B1", "B2", "B10"]),
        (["B[12]"], ["B1", "B2"]),
        (["B1"], ["B1"]),  # a whole name is no beginning of another
        (["QA|b", 2], ["QA", "b", "B10"]),
        (["b", "b"], ["b", "b_1"]),
        ([], []),
    ],
)
def test_bands_are_selected_by_name_expression_or_index(
    compute: Any, image: Any, selectors: list[Any], expected: list[str]
) -> None:
    assert names(compute, image.select(selectors)) == expected


def test_selected_bands_are_renamed(compute: Any, pixels: Any, image: Any) -> None:
    chosen = image.select(["QA", "B1"], ["x", "y"])
    assert names(compute, chosen) == ["x", "y"]
    assert [int(band[0, 0]) for band in pixels(chosen)] == [3, 0]
    with pytest.raises(EngineError, match=r"Image\.select: .*number of names \(1\)"):
        compute(image.select(["QA", "B1"], ["x"]))


@pytest.mark.parametrize("selector", ["C.*", 7])
def test_a_selector_without_bands_tells_which_there_are(compute: Any, image: Any, selector: Any) -> None:
    with pytest.raises(
        EngineError,
        match=rf"'{selector}' did not match any bands.*\[B1, B2, B10, QA, b\]".replace("C.*", r"C\.\*"),
    ):
        compute(image.select([selector]))


def test_a_bad_expression_is_refused(compute: Any, image: Any) -> None:
    with pytest.raises(EngineError, match=r"Image\.select"):
        compute(image.select(["B[("]))


def test_every_band_gets_a_new_name(compute: Any, image: Any) -> None:
    assert names(compute, image.rename(["a", "b", "c", "d", "e"])) == ["a", "b", "c", "d", "e"]
    with pytest.raises(EngineError, match=r"Image\.rename: .*names \(1\).*bands \(5\)"):
        compute(image.rename(["a"]))
    with pytest.raises(EngineError, match="multiple bands named 'a'"):
        compute(image.rename(["a", "b", "c", "d", "a"]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("^B", "band"), ["band1", "band2", "band10", "QA", "b"]),
        (("[0-9]", "x"), ["Bx", "Bx", "Bxx", "QA", "b"]),
        (("[0-9]", "x", False), ["Bx", "Bx", "Bx0", "QA", "b"]),
        (("B([0-9]+)", "n$1"), ["n1", "n2", "n10", "QA", "b"]),
    ],
)
def test_names_are_replaced_by_a_regular_expression(
    compute: Any, image: Any, arguments: tuple[Any, ...], expected: list[str]
) -> None:
    if len(set(expected)) < len(expected):
        with pytest.raises(EngineError, match="multiple bands named"):
            compute(image.regexpRename(*arguments))
    else:
        assert names(compute, image.regexpRename(*arguments)) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [((1, 3), ["B2", "B10"]), ((2,), ["B10", "QA", "b"]), ((-2,), ["QA", "b"]), ((0, -3), ["B1", "B2"])],
)
def test_a_slice_is_by_position(compute: Any, image: Any, span: tuple[int, ...], expected: list[str]) -> None:
    assert names(compute, image.slice(*span)) == expected


def test_added_bands_are_renamed_or_replace(compute: Any, pixels: Any, image: Any) -> None:
    more = ee.Image([10, 11]).rename(["b", "new"]).set("from", 2)
    both = image.set("from", 1).addBands(more)
    assert names(compute, both) == ["B1", "B2", "B10", "QA", "b", "b_1", "new"]
    assert compute(both).properties["from"] == 1
    assert names(compute, image.addBands(more, ["new"])) == ["B1", "B2", "B10", "QA", "b", "new"]
    replaced = image.addBands(more, None, True)
    assert names(compute, replaced) == ["B1", "B2", "B10", "QA", "b", "new"]
    assert [int(band[0, 0]) for band in pixels(replaced)] == [0, 1, 2, 3, 10, 11]
    with pytest.raises(EngineError, match=r"Image\.addBands: .*'none'"):
        compute(image.addBands(more, ["none"]))


def test_a_list_of_images_and_numbers_is_joined(compute: Any, pixels: Any, image: Any) -> None:
    listed = [image.select("b").set("p", 1), image.select("b").add(5), 7, ee.Image(8).set("p", 2)]
    joined = ee.Image(ee.ApiFunction.apply_("Image.cat", {"images": listed}))
    assert names(compute, joined) == ["b", "b_1", "constant", "constant_1"]
    assert [int(band[0, 0]) for band in pixels(joined)] == [4, 9, 7, 8]
    assert compute(joined).properties["p"] == 1
    assert names(compute, ee.Image.cat(*listed[:2])) == ["b", "b_1"]


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("int8", PixelType("int", -128, 127), 127),
        ("byte", PixelType("int", 0, 255), 255),
        ("float", PixelType("float"), 300.5),
    ],
)
def test_bands_are_cast_by_name(compute: Any, pixels: Any, name: str, kind: PixelType, value: float) -> None:
    image = ee.Image([300.5, 300.5]).rename(["a", "b"]).set("p", 1)
    cast = image.cast({"a": name})
    assert compute(cast).bands[0].type == kind
    assert compute(cast).bands[1].type == PixelType("double")
    assert compute(cast).properties["p"] == 1
    assert [float(band[0, 0]) for band in pixels(cast)] == [value, 300.5]


def test_a_cast_takes_pixel_types_and_orders_and_adds_bands(compute: Any, pixels: Any) -> None:
    image = ee.Image([1.5, 2.5]).rename(["a", "b"])
    cast = image.cast({"z": "int8", "y": "float", "a": ee.PixelType.int16()})
    assert names(compute, cast) == ["a", "b", "y", "z"]
    assert compute(cast).bands[3].type == PixelType("int", -128, 127)
    first, second, third, fourth = pixels(cast)
    assert (first == 1).all()
    assert (second == 2.5).all()
    assert third.mask.all()
    assert fourth.mask.all()
    assert names(compute, image.cast({"a": "float"}, ["b", "a"])) == ["b", "a"]
    with pytest.raises(EngineError, match=r"Image\.cast: The band order"):
        compute(image.cast({"a": "float"}, ["b"]))


def test_constants_of_numbers_lists_and_dictionaries(compute: Any, pixels: Any) -> None:
    assert names(compute, ee.Image.constant(4)) == ["constant"]
    assert names(compute, ee.Image.constant([4, 5])) == ["constant_0", "constant_1"]
    image = ee.Dictionary({"z": 1, "a": 2.5}).toImage()
    assert names(compute, image) == ["a", "z"]
    assert [float(band[0, 0]) for band in pixels(image)] == [2.5, 1]
    assert names(compute, ee.Dictionary({"z": 1, "a": 2}).toImage(["z"])) == ["z"]
    with pytest.raises(EngineError, match="does not contain key: 'q'"):
        compute(ee.Dictionary({"z": 1}).toImage(["q"]))


def test_names_types_and_id(compute: Any, image: Any) -> None:
    assert compute(image.bandNames()) == ["B1", "B2", "B10", "QA", "b"]
    types = compute(image.select(["B1", "QA"]).float().bandTypes())
    assert types == {"B1": PixelType("float"), "QA": PixelType("float")}
    assert compute(image.set("system:index", "x").id()) == "x"
    assert compute(image.id()) is None


def test_all_bands_must_share_the_projection_that_is_asked(compute: Any, image: Any) -> None:
    utm = image.setDefaultProjection("EPSG:32650", None, 30)
    assert compute(utm.projection()) == Projection("EPSG:32650", (30, 0, 0, 0, 30, 0))
    with pytest.raises(EngineError, match="different projections"):
        compute(utm.addBands(image).projection())


def test_the_footprint_may_be_asked_in_a_projection(compute: Any, image: Any) -> None:
    box = ee.Geometry.Rectangle([116, 31, 117, 32], "EPSG:4326", False)
    clipped = image.clip(box)
    assert compute(image.geometry()).unbounded
    assert compute(clipped.geometry()).shape.bounds == (116, 31, 117, 32)
    transformed = compute(clipped.geometry(1, "EPSG:32650"))
    assert transformed.crs == "EPSG:32650"
    assert transformed.shape.bounds[0] == pytest.approx(
        404_520, abs=300
    )  # half a degree of 95 km west of 117


def test_the_date_is_that_of_the_start(compute: Any, image: Any) -> None:
    assert compute(image.set("system:time_start", 86_400_000).date()) == Date(86_400_000)
    with pytest.raises(EngineError, match="may not be null"):
        compute(image.date())


def test_a_property_is_a_constant_band(compute: Any, pixels: Any, image: Any) -> None:
    band = image.set("cloud", 12).metadata("cloud")
    assert names(compute, band) == ["cloud"]
    assert compute(band).bands[0].type == PixelType("double")
    assert (pixels(band)[0] == 12).all()
    assert names(compute, image.set("cloud", 12).metadata("cloud", "c")) == ["c"]
    with pytest.raises(EngineError, match="no numeric property 'none'"):
        compute(image.metadata("none"))


def test_an_asset_is_loaded_by_id_and_version(compute: Any, context: Context) -> None:
    asset = Image({"p": 1}, (), None, "a/b", 7)
    context.library.image = lambda asset_id: asset  # type: ignore[method-assign]
    assert compute(ee.Image("a/b")) is asset
    assert compute(ee.Image("a/b", 7)) is asset
    with pytest.raises(EngineError, match=r"Image\.load: .*no version 8"):
        compute(ee.Image("a/b", 8))


def test_every_band_keeps_its_pixels_under_another_name(pixels: Any, noise: Any) -> None:
    image = noise(1).addBands(noise(2, gaps=True).rename("w"))
    first, second = pixels(image)
    renamed = pixels(image.rename(["x", "y"]).select(["y", "x"]))
    assert np.array_equal(renamed[1], first)
    assert np.ma.allequal(renamed[0], second)
