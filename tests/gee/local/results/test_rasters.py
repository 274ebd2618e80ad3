"""Files of computed bands, read back by other programs' readers."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import rasterio
from PIL import Image as Picture

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.pixels import Raster
from gee.local.results import rasters
from gee.local.results.rasters import Sheet, check_size, write

GRID = Grid(Projection("EPSG:32650", (1000.0, 0.0, 500_000.0, 0.0, -1000.0, 3_500_000.0)), 3, 2)
VALUES = np.array([[1, 2, 3], [4, 5, 6]])
MASK = np.array([[1, 1, 0], [1, 0, 1]], bool)


def sheet(*dtypes: str, grid: Grid = GRID, masked: bool = True) -> Sheet:
    bands = [Raster(VALUES.astype(dtype), MASK if masked else None) for dtype in dtypes]
    return Sheet(tuple(f"b{number}" for number in range(len(dtypes))), bands, grid)


def test_npy_has_a_field_of_its_own_type_for_every_band() -> None:
    array = np.load(io.BytesIO(write("NPY", [sheet("uint8", "float32", "int16")]).body))
    assert array.dtype == np.dtype([("b0", "u1"), ("b1", "<f4"), ("b2", "<i2")])
    np.testing.assert_array_equal(array["b2"], np.where(MASK, VALUES, 0))


@pytest.mark.parametrize(
    ("dtypes", "written", "hidden"),
    [(("uint8", "int16"), "int16", 0), (("uint16", "float32"), "float32", np.nan), (("int32",), "int32", 0)],
)
def test_bands_of_a_geotiff_share_the_type_that_holds_them_all(
    dtypes: tuple[str, ...], written: str, hidden: float
) -> None:
    with rasterio.open(io.BytesIO(write("GEO_TIFF", [sheet(*dtypes)]).body)) as opened:
        assert set(opened.dtypes) == {written}
        assert opened.crs.to_epsg() == 32650
        assert opened.transform[:6] == (1000, 0, 500_000, 0, -1000, 3_500_000)
        for band in opened.indexes:
            np.testing.assert_array_equal(opened.read(band), np.where(MASK, VALUES, hidden))


def test_the_sinusoidal_grid_of_modis_keeps_its_coordinate_system() -> None:
    size = 926.625433055833
    grid = Grid(Projection("SR-ORG:6974", (size, 0.0, 9_000_000.0, 0.0, -size, 3_500_000.0)), 3, 2)
    with rasterio.open(io.BytesIO(write("GEO_TIFF", [sheet("int16", grid=grid)]).body)) as opened:
        terms = opened.crs.to_dict()
        assert (terms["proj"], terms["lon_0"]) == ("sinu", 0)
        assert terms.get("R") == 6371007.181
        assert opened.transform[:6] == (size, 0, 9_000_000, 0, -size, 3_500_000)


def test_zipped_geotiffs_are_one_file_or_one_a_band() -> None:
    one = write("ZIPPED_GEO_TIFF", [Sheet(("a", "b"), sheet("uint8", "uint8").rasters, GRID, "name")])
    assert zipfile.ZipFile(io.BytesIO(one.body)).namelist() == ["name.tif"]
    parts = [Sheet((name,), sheet("uint8").rasters, GRID, f"name.{name}") for name in ("a", "b")]
    several = write(rasters.PER_BAND, parts)
    archive = zipfile.ZipFile(io.BytesIO(several.body))
    assert archive.namelist() == ["name.a.tif", "name.b.tif"]
    assert several.name == "name.zip"
    with rasterio.open(io.BytesIO(archive.read("name.b.tif"))) as opened:
        assert opened.count == 1


def test_masked_pixels_of_a_png_are_transparent() -> None:
    opened = Picture.open(io.BytesIO(write("PNG", [sheet("uint8", "uint8", "uint8")]).body))
    assert opened.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(opened)[..., 3], np.where(MASK, 255, 0))
    np.testing.assert_array_equal(np.asarray(opened)[..., 0][MASK], VALUES[MASK])


def test_a_fractional_mask_is_an_opacity() -> None:
    half = Raster(VALUES.astype("uint8"), np.full((2, 3), 0.5, np.float32))
    opened = Picture.open(io.BytesIO(write("PNG", [Sheet(("grey",), [half], GRID)]).body))
    assert set(np.asarray(opened)[..., -1].ravel()) == {128}


def test_a_picture_is_jpeg_only_when_nothing_of_it_is_transparent() -> None:
    assert write("AUTO_JPEG_PNG", [sheet("uint8", masked=False)]).media_type == "image/jpeg"
    assert write("AUTO_JPEG_PNG", [sheet("uint8")]).media_type == "image/png"


def test_only_colours_are_displayed() -> None:
    with pytest.raises(EngineError, match="visualize"):
        write("PNG", [sheet("float32")])


@pytest.mark.parametrize("name", ["TF_RECORD_IMAGE", "MULTI_BAND_IMAGE_TILE", "ZIPPED_GEO_TIFF", "nonsense"])
def test_other_formats_are_refused_by_name(name: str) -> None:
    with pytest.raises(EngineError, match=f"'{name}' is not supported"):
        rasters.check_format(name)


def grid(width: int, height: int) -> Grid:
    return Grid(GRID.projection, width, height)


@pytest.mark.parametrize(
    ("bands", "size", "download", "message"),
    [
        # Google counts a byte of mask for each band (google/Xee#209): 9 x 24 bands x 512 x 512 is its example
        (
            ["float64"] * 24,
            (512, 512),
            False,
            "Total request size (56623104 bytes) must be less than or equal to",
        ),
        (
            ["uint8"],
            (32_769, 1),
            False,
            "Pixel grid dimensions (32769x1) must be less than or equal to 32768.",
        ),
        (
            ["uint8"],
            (1, 10_001),
            True,
            "Pixel grid dimensions (1x10001) must be less than or equal to 10000.",
        ),
        (["float32"], (2900, 2900), True, "(33640000 bytes) must be less than or equal to 33554432 bytes."),
        (["uint8"] * 1025, (1, 1), False, "Number of bands (1025)"),
        ([], (1, 1), False, "Image has no bands."),
    ],
)
def test_requests_beyond_a_documented_limit_are_refused(
    bands: list[str], size: tuple[int, int], download: bool, message: str
) -> None:
    side = 10_000 if download else 32_768
    with pytest.raises(EngineError) as caught:
        check_size([np.dtype(name) for name in bands], grid(*size), side=side, download=download)
    assert message in str(caught.value)


def test_what_xee_takes_for_the_largest_request_passes() -> None:
    check_size([np.dtype("float32")] * 48, grid(256, 256))
