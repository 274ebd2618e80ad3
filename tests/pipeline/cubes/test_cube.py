"""A cube holds what the images hold, or there is none. Images are written here, with random values."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.shutil
import rioxarray  # noqa: F401 - the accessor .rio
import xarray as xr
import zarr
from rasterio.transform import Affine

from pipeline.cubes.cube import build, open_cube
from pipeline.errors import DataError
from pipeline.work.manifest import Manifest, Task

DYNAMIC = ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh", "count")
FRACTIONS = ("LC_0", "LC_1", "LC_2", "LC_3", "LC_4")
STATIC = ("sand", "silt", "clay", "dem", *FRACTIONS, "lc", "land", "partition", "region")
CODES = {"lc": (np.int8, -1), "land": (np.uint8, 0), "partition": (np.int8, 0), "region": (np.uint8, 0)}
LEFT, TOP, CRS = 459_000, 3_483_000, "EPSG:32650"
START = dt.date(2019, 4, 3)


@dataclass(frozen=True)
class Study:
    """Images in a folder, and what they hold: NaN where a file has -9999."""

    manifest: Manifest
    folder: Path
    daily: dict[str, np.ndarray]
    still: dict[str, np.ndarray]

    def file(self, product: str) -> Path:
        return next(self.folder.glob(f"{product}-*.tif"))

    def build(self, out: Path, manifest: Manifest | None = None):
        return build(manifest or self.manifest, self.folder, out, lambda what, share: None)


def write_image(path: Path, bands: dict[str, np.ndarray], row: int = 0, column: int = 0, **other) -> None:
    """A GeoTIFF as Earth Engine writes it; ``row`` and ``column`` say where it begins in a larger one."""
    height, width = next(iter(bands.values())).shape
    corner = Affine(1000, 0, LEFT + 1000 * column, 0, -1000, TOP - 1000 * row)
    settings = {"crs": CRS, "transform": corner, "nodata": -9999, "interleave": "pixel", **other}
    if min(height, width) >= 128:
        settings |= {"tiled": True, "blockxsize": 128, "blockysize": 128}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=len(bands), dtype="float32", **settings
    ) as file:
        file.write(np.where(np.isnan(stack := np.stack(list(bands.values()))), -9999, stack).astype("f4"))
        file.descriptions = tuple(bands)


def write_parts(folder: Path, task: str, bands: dict[str, np.ndarray], side: int, dash: str) -> None:
    """The same image in files of that many pixels, named by where each begins."""
    height, width = next(iter(bands.values())).shape
    for row in range(0, height, side):
        for column in range(0, width, side):
            part = {name: band[row : row + side, column : column + side] for name, band in bands.items()}
            write_image(folder / f"{task}{dash}{row:010}-{column:010}.tif", part, row, column)


def make(
    folder: Path, height: int, width: int, days: int, stretches: dict[str, int] | None = None, parts: int = 0
) -> Study:
    """Random images.

    Args:
        stretches: days by label of a dynamic image; the last one is written in files of ``parts`` pixels.
    """
    folder.mkdir()
    rng = np.random.default_rng(len(str(folder)))
    shape = (days, height, width)
    daily = {name: rng.random(shape, np.float32) * 9 - 3 for name in DYNAMIC}
    for name in DYNAMIC[:-1]:
        daily[name][rng.random(shape, np.float32) < 0.1] = np.nan
    daily["count"] = rng.integers(0, 12, shape).astype("f4")
    still = {name: rng.random((height, width), np.float32) * 50 for name in STATIC}
    still["lc"] = rng.integers(0, 5, (height, width)).astype("f4")
    still["partition"] = rng.integers(0, 3, (height, width)).astype("f4")
    still["land"] = rng.integers(0, 2, (height, width)).astype("f4")
    still["region"] = np.ones((height, width), np.float32)
    for name in ("sand", "dem", "lc", "land"):
        still[name][0, :2] = np.nan
    write_image(folder / "static-0123456789.tif", still)
    tasks = [Task(task="static-0123456789", name="static", kind="image", columns=STATIC)]
    first = 0
    stretches = stretches or {"2019-04": days}
    for number, (label, length) in enumerate(stretches.items()):
        stack = {
            f"{name.upper()}_{START + dt.timedelta(day):%Y%m%d}": daily[name][day]
            for day in range(first, first + length)
            for name in DYNAMIC
        }
        name = f"dynamic-{label}"
        task = f"{name}-{number:09}a"
        tasks.append(Task(task=task, name=name, kind="image", columns=tuple(stack)))
        if parts and number == len(stretches) - 1:
            write_parts(folder, task, stack, parts, "-")
        else:
            write_image(folder / f"{task}.tif", stack)
        first += length
    manifest = Manifest(
        study="plain and hills", study_hash="0a" * 32, preset="recommended", simulated=True, start=START,
        end=START + dt.timedelta(days=days - 1), places=("Anhui",), area_km2=height * width, crs=CRS,
        width=width, height=height, crs_transform=(1000, 0, LEFT, 0, -1000, TOP), cells=9,
        partitions=("HB", "lower hills"), partition_rule="drawn", sources={"lst": "MODIS/061/MOD11A1"},
        checkpoints=None, eecu_seconds_per_megapixel=0.1, tasks=tuple(tasks),
    )  # fmt: skip
    return Study(manifest, folder, daily, still)


def assert_holds(cube: xr.Dataset, study: Study) -> None:
    for name, values in study.daily.items():
        if name == "count":
            assert cube[name].dtype == np.int16
        else:
            assert cube[name].dtype == np.float32
        np.testing.assert_array_equal(cube[name].to_numpy(), values, name)
    for name, values in study.still.items():
        dtype, missing = CODES.get(name, (np.float32, np.nan))
        assert cube[name].dtype == dtype
        np.testing.assert_array_equal(
            cube[name].to_numpy(), np.where(np.isnan(values), missing, values), name
        )


def contents(path: Path) -> dict[str, tuple[int, int]]:
    """Every file of a store with its size and time."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Several windows of pixels and runs of days: a month in one file, another cut, the last in parts."""
    stretches = {"2019-04": 28, "2019-05-01": 4, "2019-05-05": 6}
    return make(tmp_path_factory.mktemp("large") / "exports", 259, 300, 38, stretches, parts=128)


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two windows of pixels and two stretches of days, so four blocks."""
    return make(tmp_path_factory.mktemp("tall") / "exports", 300, 40, 38, {"2019-04": 28, "2019-05": 10})


@pytest.fixture
def small(tmp_path: Path) -> Study:
    return make(tmp_path / "exports", 20, 30, 3)


@pytest.fixture
def halves(tmp_path: Path) -> Study:
    """Two stretches, the second in six parts of 12 pixels."""
    return make(tmp_path / "exports", 20, 30, 4, {"2019-04": 2, "2019-04-05": 2}, parts=12)


def test_a_cube_holds_the_pixels_of_whole_cut_and_parted_images(large: Study, tmp_path: Path) -> None:
    reported: list[tuple[str, float]] = []
    built = build(
        large.manifest,
        large.folder,
        tmp_path / "cube.zarr",
        lambda what, share: reported.append((what, share)),
    )
    assert built.made
    assert built.days == 38
    assert built.notes == ()
    shares = [share for _, share in reported]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    cube = open_cube(built.path)
    assert_holds(cube, large)
    assert cube["time"].dtype == "datetime64[ns]"
    np.testing.assert_array_equal(cube["time"], pd.date_range("2019-04-03", "2019-05-10"))
    np.testing.assert_array_equal(cube["x"], LEFT + 500 + 1000 * np.arange(300))
    np.testing.assert_array_equal(cube["y"], TOP - 500 - 1000 * np.arange(259))
    assert list(tmp_path.iterdir()) == [built.path]


def test_a_cube_says_what_it_holds_in_the_words_of_cf(small: Study, tmp_path: Path) -> None:
    cube = open_cube(small.build(tmp_path / "cube.zarr").path)
    assert set(cube.data_vars) == {*DYNAMIC, *STATIC}
    assert all(variable.attrs["long_name"] for variable in cube.data_vars.values())
    assert {name: cube[name].attrs.get("units") for name in ("lst", "vv", "lai", "dem", "sand", "ndvi")} == {
        "lst": "degC", "vv": "dB", "lai": "m2 m-2", "dem": "m", "sand": "%", "ndvi": "1",
    }  # fmt: skip
    named = {name: cube[name].attrs["standard_name"] for name in ("lst", "ndvi", "albedo", "dem", "x", "y")}
    assert named == {
        "lst": "surface_temperature", "ndvi": "normalized_difference_vegetation_index",
        "albedo": "surface_albedo", "dem": "surface_altitude",
        "x": "projection_x_coordinate", "y": "projection_y_coordinate",
    }  # fmt: skip
    assert cube["partition"].attrs["flag_values"] == [0, 1, 2]
    assert cube["partition"].attrs["flag_meanings"] == "none HB lower_hills"
    assert cube.rio.crs.to_epsg() == 32650
    assert cube.rio.transform() == Affine(1000, 0, LEFT, 0, -1000, TOP)
    told = cube.attrs
    assert told["Conventions"] == "CF-1.11"
    assert (told["study"], told["study_hash"], told["simulated"]) == ("plain and hills", "0a" * 32, 1)
    assert "simulated" in told["title"]
    assert json.loads(told["sources"]) == {"lst": "MODIS/061/MOD11A1"}
    assert told["partition_names"] == ["HB", "lower hills"]
    assert told["complete"] == 1


def test_a_cube_opens_without_reading_it(large: Study, tmp_path: Path) -> None:
    cube = open_cube(large.build(tmp_path / "cube.zarr").path)
    assert cube["lst"].chunks == ((32, 6), (256, 3), (256, 44))
    for shard in (tmp_path / "cube.zarr" / "lst" / "c").rglob("*"):
        if shard.is_file() and shard.parts[-3:] != ("1", "0", "0"):
            shard.unlink()
    here = cube["lst"].isel(time=slice(32, 38), y=slice(10, 20), x=5).to_numpy()
    np.testing.assert_array_equal(here, large.daily["lst"][32:38, 10:20, 5])


def test_a_second_build_of_the_same_does_nothing(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    assert small.build(out).made
    before = contents(out)
    again = small.build(out)
    assert not again.made
    assert "already" in again.notes[0]
    assert contents(out) == before


def test_a_build_killed_while_it_changed_names_ends_with_the_new_cube(small: Study, tmp_path: Path) -> None:
    out, beside = tmp_path / "cube.zarr", tmp_path / ".cube.zarr.partial"
    small.build(out)
    before = shards(out)
    out.rename(beside)
    (tmp_path / ".cube.zarr.before").mkdir()
    assert small.build(out).made
    assert shards(out) == before
    assert_holds(open_cube(out), small)
    beside.mkdir()
    assert not small.build(out).made
    assert {item.name for item in tmp_path.iterdir()} == {"exports", "cube.zarr"}


def test_what_a_study_says_beyond_its_images_is_taken_over(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    small.build(out)
    before = contents(out)
    assert not small.build(out, small.manifest.model_copy(update={"study_hash": "0b" * 32})).made
    changed = {name for name, state in contents(out).items() if before[name] != state}
    assert "zarr.json" in changed
    assert changed <= {"zarr.json", "partition/zarr.json"}
    assert open_cube(out).attrs["study_hash"] == "0b" * 32
    assert open_cube(out).attrs["complete"] == 1


def test_partitions_that_were_given_other_names_have_them_everywhere(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    small.build(out)
    assert not small.build(out, small.manifest.model_copy(update={"partitions": ("HB", "the hills")})).made
    cube = open_cube(out)
    assert cube.attrs["partition_names"] == ["HB", "the hills"]
    assert cube["partition"].attrs["flag_meanings"] == "none HB the_hills"


def test_a_cube_that_may_not_be_changed_is_told(
    small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cube.zarr"
    small.build(out)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(zarr.core.attributes.Attributes, "update", refused)
    with pytest.raises(DataError, match=r"cube\.zarr cannot be written: Permission denied"):
        small.build(out, small.manifest.model_copy(update={"study_hash": "0b" * 32}))


def test_another_download_makes_another_cube(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    small.build(out)
    path = small.file("dynamic-2019-04")
    small.daily["lst"][1] = 7
    bands = {
        f"{name.upper()}_{START + dt.timedelta(day):%Y%m%d}": small.daily[name][day]
        for day in range(3)
        for name in DYNAMIC
    }
    write_image(path, bands)
    assert small.build(out).made
    assert_holds(open_cube(out), small)
    assert {item.name for item in tmp_path.iterdir()} == {"exports", "cube.zarr"}


def test_the_parts_of_an_image_are_named_with_or_without_a_dash(halves: Study, tmp_path: Path) -> None:
    for path in halves.folder.glob("dynamic-2019-04-05-*.tif"):
        path.rename(path.with_name(re.sub(r"-(\d{10}-\d{10}\.tif)$", r"\1", path.name)))
    assert len(list(halves.folder.glob("dynamic-2019-04-05-000000001a00000000*.tif"))) == 6
    assert_holds(open_cube(halves.build(tmp_path / "cube.zarr").path), halves)


def test_bands_may_stand_in_any_order(small: Study, tmp_path: Path) -> None:
    write_image(small.file("static"), dict(reversed(small.still.items())))
    assert_holds(open_cube(small.build(tmp_path / "cube.zarr").path), small)


WHOLE, PART = "dynamic-2019-04-000000000a", "dynamic-2019-04-05-000000001a"


def without_band(study: Study) -> None:
    bands = {name: band for name, band in study.still.items() if name not in ("dem", "land")}
    write_image(study.file("static"), bands)


def cut_off(study: Study) -> None:
    """What a broken download leaves of a file whose index stands first."""
    path = study.folder / f"{WHOLE}.tif"
    path.rename(path.with_suffix(".whole"))
    rasterio.shutil.copy(path.with_suffix(".whole"), path, driver="COG", blocksize=128)
    os.truncate(path, path.stat().st_size - 3000)


def moved(path: Path, row: int, column: int) -> None:
    """The same part, named as if it began elsewhere."""
    path.rename(path.with_name(re.sub(r"\d{10}-\d{10}", f"{row:010}-{column:010}", path.name)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: (s.folder / f"{WHOLE}.tif").unlink(), rf"no {WHOLE}\.tif"),
        (without_band, r"static-0123456789\.tif has no band dem, land; download it again"),
        (cut_off, rf"{WHOLE}\.tif: the file is cut off"),
        (lambda s: s.file("static").write_bytes(b"II*\0 no image"), r"static.*cannot be read as an image"),
        (lambda s: os.truncate(s.file("static"), 30_000), r"static.*cannot be read as an image"),
        (lambda s: s.file("static").write_bytes(b""), r"static.*cannot be read as an image"),
        (
            lambda s: write_image(s.file("static"), s.still, column=1),
            r"static.* does not lie on the study's grid, 30 x 20 pixels of 1000 m from 459000, 3483000 of "
            r"EPSG:32650, but on 30 x 20 pixels of 1000 m from 460000, 3483000",
        ),
        (
            lambda s: write_image(s.file("static"), s.still, crs="EPSG:32649"),
            r"does not lie on .* of EPSG:32649",
        ),
        (
            lambda s: write_image(s.file("static"), {n: b[:19] for n, b in s.still.items()}),
            r"does not lie on .* 30 x 19 pixels",
        ),
        (lambda s: write_image(s.file("static"), s.still, nodata=0), r"its nodata is 0\.0, not -9999"),
        (
            lambda s: (s.folder / f"{PART}-0000000000-0000000000.tif").unlink(),
            rf"{PART}: the part at row 0, column 0 is missing",
        ),
        (
            lambda s: (s.folder / f"{PART}-0000000000-0000000012.tif").unlink(),
            r"the part at row 0, column 12 is missing",
        ),
        (
            lambda s: [path.unlink() for path in s.folder.glob(f"{PART}-0000000012-*.tif")],
            r"does not lie on the study's grid.*30 x 12 pixels",
        ),
        (
            lambda s: moved(s.folder / f"{PART}-0000000000-0000000012.tif", 0, 8),
            r"begins at row 0, column 12, not where its name says",
        ),
        (
            lambda s: write_image(
                s.folder / f"{PART}-0000000012-0000000006.tif",
                {n: np.zeros((8, 12)) for n in s.manifest.tasks[2].columns}, 12, 6,
            ),
            rf"{PART}: its parts overlap",
        ),
        (
            lambda s: write_image(
                s.folder / f"{PART}-0000000000-0000000012.tif", {"B": np.zeros((12, 12))}, column=12
            ),
            r"has other bands than",
        ),
        (
            lambda s: write_image(s.folder / f"{PART}.tif", {"B": np.zeros((20, 30))}),
            r"lies there more than once",
        ),
    ],
    ids=[
        "no file", "no band", "cut off", "no image", "index cut off", "empty file", "place", "crs", "shape",
        "nodata", "first part", "inner part", "last parts", "name", "overlap", "bands of a part",
        "whole and in parts",
    ],
)  # fmt: skip
def test_images_that_are_not_the_studys_make_no_cube(
    halves: Study, tmp_path: Path, spoil, message: str
) -> None:
    spoil(halves)
    with pytest.raises(DataError, match=message):
        halves.build(tmp_path / "cube.zarr")
    assert [item.name for item in tmp_path.iterdir()] == ["exports"]


def test_all_mistakes_are_told_together(halves: Study, tmp_path: Path) -> None:
    cut_off(halves)
    without_band(halves)
    (halves.folder / f"{PART}-0000000000-0000000012.tif").unlink()
    with pytest.raises(DataError) as raised:
        halves.build(tmp_path / "cube.zarr")
    told = str(raised.value)
    assert [found in told for found in ("cut off", "no band dem, land", "column 12")] == [True] * 3


def test_a_damaged_block_is_told_and_the_build_goes_on_with_another_download(
    small: Study, tmp_path: Path
) -> None:
    path = small.file("static")
    write_image(path, small.still, compress="lzw")
    content = bytearray(path.read_bytes())
    content[3000:4000] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"static.*cannot be read as an image.*download it again"):
        small.build(tmp_path / "cube.zarr")
    write_image(path, small.still)
    assert_holds(open_cube(small.build(tmp_path / "cube.zarr").path), small)


def columns(days: range) -> tuple[str, ...]:
    return tuple(f"{name.upper()}_201904{day:02}" for day in days for name in DYNAMIC)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (columns(range(3, 5)), r"no image of: NDVI_20190405, NDWI_20190405, NSDSI_20190405 and 7 more"),
        (columns(range(3, 7)), r"what is not the study's: NDVI_20190406"),
        ((*columns(range(3, 6)), "LST_20190404"), r"more than one image of: LST_20190404"),
        (columns(range(3, 6))[:-1], r"no image of: COUNT_20190405"),
    ],
    ids=["day missing", "day too many", "band twice", "band missing"],
)  # fmt: skip
def test_a_plan_that_does_not_have_each_day_once_makes_no_cube(
    small: Study, tmp_path: Path, held: tuple[str, ...], message: str
) -> None:
    static, dynamic = small.manifest.tasks
    tasks = (static, dynamic.model_copy(update={"columns": held}))
    with pytest.raises(DataError, match=message):
        small.build(tmp_path / "cube.zarr", small.manifest.model_copy(update={"tasks": tasks}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dem", np.inf, "dem holds infinite values"),
        ("partition", 3, "partition holds codes beyond 2"),
        ("lc", 5, "lc holds codes beyond 4"),
        ("region", 0, "no pixel lies in the region"),
    ],
)
def test_values_that_no_predictor_has_make_no_cube(
    small: Study, tmp_path: Path, name: str, value: float, message: str
) -> None:
    small.still[name][...] = value
    write_image(small.file("static"), small.still)
    with pytest.raises(DataError, match=message):
        small.build(tmp_path / "cube.zarr")
    assert [item.name for item in tmp_path.iterdir()] == ["exports"]


def test_an_earlier_cube_stays_while_another_fails(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    small.build(out)
    write_image(small.file("static"), {**small.still, "dem": np.full((20, 30), np.inf)})
    with pytest.raises(DataError, match="infinite"):
        small.build(out)
    assert_holds(open_cube(out), small)


def test_what_is_empty_is_said(tmp_path: Path) -> None:
    study = make(tmp_path / "exports", 20, 30, 3)
    study.still["region"][:10] = 0
    study.still["silt"][10:] = np.nan  # there are values outside of the region
    study.daily["lst"][1, 10:] = np.nan
    study.daily["vv"][...] = np.nan
    write_image(study.file("static"), study.still)
    bands = {
        f"{name.upper()}_{START + dt.timedelta(day):%Y%m%d}": study.daily[name][day]
        for day in range(3)
        for name in DYNAMIC
    }
    write_image(study.file("dynamic-2019-04"), bands)
    built = study.build(tmp_path / "cube.zarr")
    assert sorted(built.notes) == [
        "lst has no value in the region on 1 of 3 days (2019-04-04).",
        "silt has no value anywhere in the region.",
        "vv has no value anywhere in the region.",
    ]
    assert json.loads(open_cube(built.path).attrs["without_values"]) == {
        "silt": [], "lst": ["2019-04-04"], "vv": ["2019-04-03", "2019-04-04", "2019-04-05"],
    }  # fmt: skip


BUILD = """
import resource, sys
from pathlib import Path
from pipeline.cubes.cube import build
from pipeline.errors import DataError
from pipeline.work.manifest import Manifest
plan, exports, out, tallst = sys.argv[1:]
if int(tallst):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(tallst), int(tallst)))
try:
    build(Manifest.read(Path(plan)), Path(exports), Path(out), lambda what, share: print(what, flush=True))
except DataError as error:
    print("DataError", error, flush=True)
"""


def building(study: Study, out: Path, tallst: int = 0) -> subprocess.Popen[str]:
    """Another process that builds; it can write no file of more than ``tallst`` bytes."""
    plan = out.with_name("plan.json")
    study.manifest.write(plan)
    arguments = [str(plan), str(study.folder), str(out), str(tallst)]
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, *arguments], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def shards(folder: Path) -> dict[str, tuple[int, int]]:
    return {name: state for name, state in contents(folder).items() if re.search(r"/c/\d+/\d+/\d+$", name)}


@pytest.mark.parametrize(
    "line", ["cube: 1 of 4 blocks", "cube: 3 of 4 blocks", "cube: looking at 2 of 4 blocks"]
)
def test_a_killed_build_is_never_whole_and_goes_on(tall: Study, tmp_path: Path, line: str) -> None:
    out = tmp_path / "cube.zarr"
    with building(tall, out) as child:
        assert any(told.strip() == line for told in child.stdout)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(DataError, match="no cube here"):
        open_cube(out)
    beside = tmp_path / ".cube.zarr.partial"
    with pytest.raises(DataError, match="not whole"):
        open_cube(beside)
    stray = beside / "lst" / "c" / "0" / "0" / "9.0123.partial"
    stray.write_bytes(b"what a write that was killed leaves")
    before = shards(beside)
    assert before
    tall.build(out)
    assert_holds(open_cube(out), tall)
    after = shards(out)
    assert {name: after[name] for name in before} == before
    assert not list(out.rglob("*.partial"))
    assert {item.name for item in tmp_path.iterdir()} == {"plan.json", "cube.zarr"}


def test_a_build_that_was_killed_starts_over_with_other_images(tall: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    with building(tall, out) as child:
        assert any("2 of 4" in told for told in child.stdout)
        child.kill()
    small = make(tmp_path / "exports", 20, 30, 3)
    assert small.build(out).made
    assert_holds(open_cube(out), small)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_ends_with_a_message_and_the_build_goes_on(tall: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    with building(tall, out, 1_000_000) as child:
        told = child.stdout.read()
    assert child.returncode == 0
    assert re.search(r"DataError .*cube\.zarr cannot be written: File too large; make room", told)
    assert not out.exists()
    assert tall.build(out).made
    assert_holds(open_cube(out), tall)


def test_a_shard_that_was_damaged_before_the_end_is_found(tall: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    with building(tall, out) as child:
        assert any("3 of 4" in told for told in child.stdout)
        child.kill()
    shard = tmp_path / ".cube.zarr.partial" / "evi" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[1000:60_000] = bytes(59_000)
    shard.write_bytes(content)
    with pytest.raises(DataError, match="evi cannot be read back"):
        tall.build(out)
    assert tall.build(out).made
    assert_holds(open_cube(out), tall)


def written(path: Path, change) -> None:
    content = json.loads((path / "zarr.json").read_text())
    change(content["attributes"])
    (path / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: written(path, lambda told: told.update(complete=0)), "is not whole"),
        (lambda path: written(path, lambda told: told.update(gee_smap_cube=2)), "version 2.*install a newer"),
        (lambda path: written(path, lambda told: told.pop("gee_smap_cube")), "is no cube of gee-smap"),
        (lambda path: (path / "zarr.json").write_text("{"), "is no cube of gee-smap"),
        (lambda path: (path / "zarr.json").unlink(), "is no cube of gee-smap"),
        (lambda path: (path / "lst" / "zarr.json").write_text("{"), "is damaged"),
    ],
    ids=["unfinished", "newer", "foreign", "broken", "another folder", "variable"],
)
def test_what_is_no_whole_cube_of_ours_is_refused(small: Study, tmp_path: Path, spoil, message: str) -> None:
    path = small.build(tmp_path / "cube.zarr").path
    spoil(path)
    with pytest.raises(DataError, match=message):
        open_cube(path)


def test_a_folder_that_is_no_cube_is_not_overwritten(small: Study, tmp_path: Path) -> None:
    out = tmp_path / "cube.zarr"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no cube of gee-smap"):
        small.build(out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_study_without_partitions_has_a_cube(small: Study, tmp_path: Path) -> None:
    small.still["partition"][...] = 0
    write_image(small.file("static"), small.still)
    plain = replace(small, manifest=small.manifest.model_copy(update={"partitions": ()}))
    built = plain.build(tmp_path / "cube.zarr")
    assert built.notes == ()
    assert open_cube(built.path).attrs["partition_names"] == []
