"""A map is what the stacks say of each land pixel and day; it goes on after a kill, and is made once."""

from __future__ import annotations

import datetime as dt
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray

from models import store
from models.partitioned import WP, PartitionedStack
from pipeline.errors import ConfigError, DataError
from pipeline.learning.train import STUDY_FILE, train
from pipeline.maps.blending import shares
from pipeline.maps.day_images import image_path
from pipeline.maps.mapped import Mapped
from pipeline.maps.mapping import predict_cube
from pipeline.maps.prediction_store import blocks
from tests.pipeline.small_cubes import PARTITIONS, Bands, bands_of, write_cube
from tests.simulated_samples import simulate

HEIGHT, WIDTH, DAYS = 70, 80, 35  # two chunks of days, two by two of pixels, none of them whole
BLOCKS = 8
START = dt.date(2019, 4, 1)
DYNAMIC = ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh")
TOLERANCE = 1e-6  # m³/m³, between compiled trees and the libraries'
RUN = """
import sys
from pathlib import Path
from pipeline.maps.mapping import predict_cube
predict_cube(*map(Path, sys.argv[1:]), lambda what, share: print(what, flush=True))
"""


def cropped(bands: Bands, days: int, height: int, width: int) -> Bands:
    return {name: values[..., :height, :width][-days:] if values.ndim == 3 else values[:height, :width]
            for name, values in bands.items()}  # fmt: skip


@pytest.fixture(scope="module")
def everywhere() -> Bands:
    """80 x 80 pixels on 35 days."""
    return bands_of(simulate(side=80, days=DAYS).samples, 80)


@pytest.fixture(scope="module")
def bands(everywhere: Bands) -> Bands:
    """With gaps, water, land beyond the region, and land in no partition."""
    made = {name: values.copy() for name, values in cropped(everywhere, DAYS, HEIGHT, WIDTH).items()}
    for name in DYNAMIC:
        made[name][10, 5:9, 5:9] = np.nan
    made["sand"][30, 40:50] = np.nan
    made["land"][60:, 70:] = 0
    made["region"][:, :3] = 0
    made["partition"][20:30, 20:30] = 0
    return made


@pytest.fixture(scope="module")
def cube(bands: Bands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("cube") / "cube.zarr", bands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mapped")


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def mapped(trained, cube: Path, folder: Path, told: list[tuple[str, float]]) -> Mapped:
    return predict_cube(
        trained.model, cube, folder / "prediction.zarr", folder / "images", lambda *what: told.append(what)
    )


def sm_of(path: Path) -> NDArray[np.float32]:
    with xr.open_zarr(path, chunks=None, consolidated=False) as found:
        return found["sm"].to_numpy()


def rows_of(bands: Bands, names: tuple[str, ...]) -> NDArray[np.float32]:
    """The predictors of every pixel and day, (days, y, x, features)."""
    shape = bands["ndvi"].shape
    columns = {"doy": np.arange(91, 91 + shape[0])[:, None, None], **bands}  # the first of April is day 91
    return np.stack([np.broadcast_to(columns[name], shape) for name in names], axis=-1).astype(np.float32)


def by_libraries(model: PartitionedStack, name: str, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a stack says by the libraries' own predictors."""
    return model.stacks[name].predict(X.reshape(-1, X.shape[-1])).reshape(X.shape[:-1])


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and time."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def with_study(trained, folder: Path, more: str) -> Path:
    """The model of the tests with more in its study."""
    model, card = store.load(trained.model)
    text = (trained.model / STUDY_FILE).read_text(encoding="utf-8")
    counts = {one.name: one.samples for one in card.stacks}
    store.save(folder, model, card, counts, {STUDY_FILE: text.replace("blend_km = 0\n", f"{more}\n")})
    return folder


@pytest.fixture(scope="module")
def expected(trained, bands: Bands) -> NDArray[np.float64]:
    """By the libraries, on predictors put together here."""
    model, card = store.load(trained.model)
    X = rows_of(bands, card.features)
    sm = np.full(X.shape[:-1], np.nan)
    for code, name in enumerate((WP, *PARTITIONS)):
        rows = bands["partition"] == code
        sm[:, rows] = by_libraries(model, name, X[:, rows])
    sm[:, (bands["land"] == 0) | (bands["region"] == 0)] = np.nan
    sm[10, 5:9, 5:9] = np.nan
    return sm


# --- values


def test_each_pixel_and_day_is_what_the_stack_of_its_partition_says(mapped, expected):
    found = sm_of(mapped.path)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_classes_and_formulas_are_those_the_model_was_trained_with(everywhere, tmp_path):
    samples = simulate(side=6, days=12).samples
    shares = samples[["LC_1", "LC_2", "LC_3", "LC_4"]].to_numpy()
    looks = np.random.default_rng(2).integers(0, 9, len(samples))
    samples = samples.assign(
        lc=shares.argmax(axis=1) + 1, lst=samples["lst"] + 273.15, count=looks, simulated=True,
        sm=samples["sm"] + looks / 100,
    )  # fmt: skip
    samples.drop(columns=["partition", "LC_1", "LC_2", "LC_3", "LC_4"]).to_parquet(tmp_path / "s.parquet")
    (tmp_path / "study.toml").write_text(
        'name = "classes"\n[predictors]\nuse = ["lst", "lc", "ratio", "doy", "count"]\n'
        'land_cover = "one-hot"\n'
        '[samples.columns]\nlst = {column = "lst", unit = "K"}\nratio = {formula = "vv - vh"}\n'
        'count = {column = "count", scale = 0.1}\n'
        '[model]\nn_folds = 2\n[splits]\nnames = ["random"]\n',
        encoding="utf-8",
    )
    train(tmp_path / "s.parquet", tmp_path / "study.toml", tmp_path / "model")
    bands = {name: values.copy() for name, values in cropped(everywhere, 3, 12, 12).items()}
    bands["lc"][0, :5] = [-1, 0, 1, 2, 4]
    bands["count"] = np.random.default_rng(4).integers(0, 9, bands["count"].shape).astype(np.int16)
    cube = write_cube(tmp_path / "cube.zarr", bands)
    done = predict_cube(tmp_path / "model", cube, tmp_path / "p.zarr", tmp_path / "images")

    model, card = store.load(tmp_path / "model")
    assert card.features == ("lst", "LC_1", "LC_2", "LC_3", "LC_4", "ratio", "doy", "count")
    lc = bands["lc"].astype(np.float32)
    lc[0, 0] = np.nan
    classes = {f"LC_{code}": np.where(np.isnan(lc), np.nan, lc == code) for code in (1, 2, 3, 4)}
    X = rows_of(
        bands | classes | {"ratio": bands["vv"] - bands["vh"], "count": bands["count"] * 0.1}, card.features
    )
    expected = by_libraries(model, WP, X)
    np.testing.assert_allclose(sm_of(done.path), expected, rtol=0, atol=TOLERANCE)


def test_a_partition_without_a_stack_is_predicted_without_partition(trained, everywhere, tmp_path):
    bands = cropped(everywhere, 2, 20, 20) | {"partition": np.full((20, 20), 2, np.int8)}
    cube = write_cube(tmp_path / "cube.zarr", bands, partition_names=["plain", "marsh"])
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    model, card = store.load(trained.model)
    expected = by_libraries(model, WP, rows_of(bands, card.features))
    np.testing.assert_allclose(sm_of(done.path), expected, rtol=0, atol=TOLERANCE)
    assert any(note.startswith("marsh: no stack") for note in done.notes())
    assert not xr.open_zarr(done.path, consolidated=False)["partitioned"].any()


# --- blending


def brute_shares(codes, region, stacks, blend_km: float) -> dict[str, NDArray[np.float64]]:
    """The rule, pixel by pixel: 2 km pixels, partitions a and b have a stack, c has none."""
    names = np.array([WP, "a", "b", WP])[codes]
    places = np.argwhere(region)
    found = {name: np.zeros(codes.shape) for name in stacks}
    for y, x in places:
        weights = {}
        for name in stacks:
            mine = names[y, x] == name
            others = [place for place in places if (names[tuple(place)] == name) != mine]
            nearest = min(np.hypot(*(place - (y, x))) for place in others)
            signed_km = 2 * (nearest - 0.5) * (1 if mine else -1)
            weights[name] = min(max(0.5 + signed_km / (2 * blend_km), 0.0), 1.0)
        for name in stacks:
            found[name][y, x] = weights[name] / sum(weights.values())
    return found


@pytest.mark.parametrize("blend_km", [0.5, 3.0, 9.0])
def test_shares_change_linearly_with_the_distance_to_the_border(blend_km):
    rng = np.random.default_rng(1)
    codes = np.repeat(np.repeat(rng.integers(0, 4, (3, 4)), 5, axis=0), 4, axis=1)
    region = rng.random(codes.shape) > 0.1
    found = shares(codes, region, ["a", "b", "c"], {"a", "b", WP}, pixel_km=2.0, blend_km=blend_km)
    assert set(found) == {"a", "b", WP}
    for name, expected in brute_shares(codes, region, ["a", "b", WP], blend_km).items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sum(found.values()), region.astype(float), rtol=0, atol=1e-12)


def test_without_blending_each_pixel_has_one_stack():
    codes = np.array([[0, 1, 2, 3]])
    found = shares(codes, np.array([[True, True, True, False]]), ["a", "b", "c"], {"a", WP}, pixel_km=1.0)
    assert {name: share.tolist() for name, share in found.items()} == {
        "a": [[0, 1, 0, 0]],
        WP: [[1, 0, 1, 0]],
    }


def test_a_map_is_blended_across_the_borders_of_partitions_and_of_blocks(trained, everywhere, tmp_path):
    bands = cropped(everywhere, 2, HEIGHT, WIDTH)
    bands["partition"] = np.where(np.arange(WIDTH) < 66, 1, 2) * np.ones((HEIGHT, 1), np.int8)
    cube = write_cube(tmp_path / "cube.zarr", bands)
    model = with_study(trained, tmp_path / "model", "blend_km = 4")
    done = predict_cube(model, cube, tmp_path / "p.zarr", tmp_path / "images")

    fitted, card = store.load(model)
    X = rows_of(bands, card.features)
    beyond_km = (
        np.arange(WIDTH) + 0.5 - 66
    )  # of the pixels' centres, from the border between columns 65 and 66
    share = np.clip(0.5 + beyond_km / 8, 0, 1)
    assert 0 < share[63] < 0.5  # the first block ends there and has no pixel of the hills
    expected = (1 - share) * by_libraries(fitted, "plain", X) + share * by_libraries(fitted, "hills", X)
    np.testing.assert_allclose(sm_of(done.path), expected, rtol=0, atol=TOLERANCE)


# --- what is written


def test_the_store_says_what_it_is(trained, mapped, cube, bands):
    with xr.open_zarr(mapped.path, chunks=None, consolidated=False, decode_coords="all") as found:
        assert found["sm"].dims == ("time", "y", "x")
        assert found["sm"].dtype == np.float32
        assert found["sm"].attrs["units"] == "m3 m-3"
        assert found.odc.geobox == xr.open_zarr(cube, consolidated=False, decode_coords="all").odc.geobox
        assert found["time"].to_numpy()[[0, -1]].tolist() == [
            np.datetime64("2019-04-01", "ns").astype(int), np.datetime64("2019-05-05", "ns").astype(int)
        ]  # fmt: skip
        own = (bands["partition"] > 0) & (bands["region"] == 1)
        np.testing.assert_array_equal(found["partitioned"], own)
        assert found.attrs["simulated"] == found.attrs["complete"] == 1
        assert found.attrs["study_hash"] == "5" * 64
        assert found.attrs["model_hash"] == trained.training.card.sha256
    assert not list(mapped.path.parent.glob(".*"))


def test_each_day_is_a_cloud_optimised_image_of_the_same_values(trained, mapped):
    sm = sm_of(mapped.path)
    names = [f"sm_{START + dt.timedelta(days=number):%Y%m%d}.tif" for number in range(DAYS)]
    assert sorted(path.name for path in mapped.images.glob("*.tif")) == names
    for number in (0, 10, DAYS - 1):
        with rasterio.open(mapped.images / names[number]) as file:
            values = file.read(1)
            assert file.nodata == -9999
            assert int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1)) == 8  # before the pixels
            assert file.compression.value == "DEFLATE"
            assert file.crs.to_epsg() == 32650
            assert tuple(file.transform)[:6] == (1000, 0, 500_000, 0, -1000, 3_600_000)
            assert file.descriptions == ("sm", "sm_lower", "sm_upper", "di", "aoa")  # there are no samples
            assert file.tags() | {
                "units": "m3/m3", "date": str(START + dt.timedelta(days=number)), "simulated": "1",
                "model_hash": trained.training.card.sha256, "study_hash": "5" * 64,
            } == file.tags()  # fmt: skip
        np.testing.assert_array_equal(np.where(values == -9999, np.nan, values), sm[number])


def test_a_large_image_has_overviews(trained, everywhere, tmp_path):
    wide = {
        name: np.tile(values[-1:] if values.ndim == 3 else values, (1,) * (values.ndim - 2) + (1, 13))
        for name, values in everywhere.items()
    }
    cube = write_cube(tmp_path / "cube.zarr", wide)
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    with rasterio.open(image_path(done.images, START)) as file:
        assert file.shape == (80, 1040)
        assert file.overviews(1) == [2, 4, 8]
        assert int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1)) < 10_000  # before the pixels
        assert set(file.block_shapes) == {(256, 256)}


def test_what_was_done_is_told(mapped, told, bands):
    land = int(((bands["land"] == 1) & (bands["region"] == 1)).sum())
    assert (mapped.pixels, mapped.predicted) == (land, land * DAYS - 16)
    assert (mapped.blocks, mapped.computed, len(mapped.written)) == (BLOCKS, BLOCKS, DAYS)
    assert mapped.as_dict()["predicted"] == mapped.predicted
    notes = list(mapped.notes())
    assert any(
        note.startswith("Less than 0.1% of the land pixels and days have no predictor") for note in notes
    )
    assert notes[-1].startswith("The sources are simulated")
    assert told[0] == ("prediction: 0 of 8 blocks", 0.0)
    assert ("prediction: 8 of 8 blocks", 0.9) in told
    assert told[-1] == ("images: 35 of 35 days", 1.0)
    assert [share for _, share in told] == sorted(share for _, share in told)


def test_predictors_beyond_what_training_saw_are_told(trained, everywhere, tmp_path):
    bands = cropped(everywhere, 2, 20, 20)
    _, card = store.load(trained.model)
    saw = {one.name: one for one in card.predictors}
    width = saw["dem"].greatest - saw["dem"].least
    across = np.arange(20)
    # A quarter far beyond, a quarter by less than a hundredth of the range; a tenth by a little more.
    dem = np.select(
        [across < 5, across < 10],
        [saw["dem"].greatest + 0.5 * width, saw["dem"].greatest + 0.009 * width],
        40,
    )
    bands["dem"] = np.broadcast_to(dem, (20, 20)).astype(np.float32)
    clay = saw["clay"].least - 0.011 * (saw["clay"].greatest - saw["clay"].least)
    bands["clay"] = np.where(across[:, None] < 2, clay, np.full((20, 20), 20)).astype(np.float32)
    cube = write_cube(tmp_path / "cube.zarr", bands)
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    [note] = [note for note in done.notes() if "range of training" in note]
    spans = {name: f"training saw {one.least:.4g} to {one.greatest:.4g}" for name, one in saw.items()}
    assert f"dem ({spans['dem']} m) in 25%" in note
    assert f"clay ({spans['clay']} %) in 10%" in note
    assert "of the land pixels and days" in note


# --- once, and again


def test_a_second_call_does_nothing_and_says_so(trained, mapped, cube, folder):
    before = states(folder)
    told: list[str] = []
    again = predict_cube(
        trained.model, cube, mapped.path, mapped.images, lambda what, share: told.append(what)
    )
    assert states(folder) == before
    assert (again.computed, again.written, again.predicted) == (0, (), mapped.predicted)
    assert next(again.notes()).endswith("nothing was done.")
    assert told == []


def test_days_whose_values_stay_keep_their_image(trained, everywhere, tmp_path):
    bands = {name: values.copy() for name, values in cropped(everywhere, 6, 20, 20).items()}
    cube, out, images = tmp_path / "cube.zarr", tmp_path / "p.zarr", tmp_path / "images"
    predict_cube(trained.model, write_cube(cube, bands), out, images)
    first, old = sm_of(out), states(images)
    bands["lst"][3] += 8
    done = predict_cube(trained.model, write_cube(cube, bands), out, images)
    changed = [number for number in range(6) if not np.array_equal(sm_of(out)[number], first[number])]
    assert changed == [3]
    assert done.written == (dt.date(2019, 4, 4),)
    new = states(images)
    assert {name for name in old if old[name] != new[name]} == {"sm_20190404.tif", "images.json"}

    image_path(images, START).write_bytes(image_path(images, START).read_bytes()[:900])  # cut off
    image_path(images, dt.date(2019, 4, 2)).unlink()
    done = predict_cube(trained.model, cube, out, images)
    assert (done.computed, done.written, done.removed) == (0, (START, dt.date(2019, 4, 2)), ())
    image_path(images, dt.date(2018, 4, 2)).write_bytes(b"")  # of a day that the map does not have
    done = predict_cube(trained.model, cube, out, images)
    assert (done.computed, done.written, done.removed) == (0, (), (dt.date(2018, 4, 2),))
    assert sorted(path.name for path in images.glob("*.tif")) == sorted(name for name in old if "tif" in name)
    with rasterio.open(image_path(images, START)) as file:
        np.testing.assert_array_equal(file.read(1), sm_of(out)[0])


def test_only_the_days_wanted_are_predicted(trained, mapped, cube, tmp_path):
    days = [dt.date(2019, 5, 4), dt.date(2019, 4, 11), dt.date(2019, 4, 12)]
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images", days=days)
    assert done.days == tuple(sorted(days))
    np.testing.assert_array_equal(sm_of(done.path), sm_of(mapped.path)[[10, 11, 33]])
    assert len(list(done.images.glob("sm_*.tif"))) == 3


@pytest.fixture
def halted(trained, cube, tmp_path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, stopped after some blocks."""
    paths = [trained.model, cube, tmp_path / "p.zarr", tmp_path / "images"]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, paths)], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("prediction: 2 of"):
                break
        run.send_signal(signal.SIGSTOP)
        try:
            yield run
        finally:
            run.kill()


def test_a_killed_run_goes_on_where_it_was(trained, mapped, cube, tmp_path, halted):
    earlier = tmp_path / "p.zarr"
    shutil.copytree(mapped.path, earlier)
    xr.open_zarr(earlier, consolidated=False)
    metadata = earlier / "zarr.json"
    metadata.write_text(
        re.sub(r'"fingerprint": "\w+"', '"fingerprint": "of another model"', metadata.read_text())
    )

    with pytest.raises(DataError, match=rf"process {halted.pid} on .* is at it"):
        predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    halted.kill()
    halted.wait()
    assert "of another model" in metadata.read_text()  # whole until the new one is

    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    assert 0 < done.computed <= BLOCKS - 2
    assert done.predicted == mapped.predicted
    np.testing.assert_array_equal(sm_of(done.path), sm_of(mapped.path))
    for path in mapped.images.glob("*.tif"):
        assert (done.images / path.name).read_bytes() == path.read_bytes()
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name or path.name.startswith(".sm")]


def test_another_model_begins_anew(trained, cube, tmp_path):
    def interrupt(what: str, share: float) -> None:
        if what.startswith("prediction: 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images", interrupt)
    other = with_study(trained, tmp_path / "model", "")
    done = predict_cube(other, cube, tmp_path / "p.zarr", tmp_path / "images")
    assert done.computed == BLOCKS


def test_a_full_disk_is_told_and_what_is_finished_stays(trained, mapped, cube, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(what: str, share: float) -> None:
        if what.startswith("prediction: 1"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # less than a chunk needs

    try:
        with pytest.raises(DataError, match=r"cannot be written: File too large.*stays for the next run"):
            predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images", fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")
    assert done.computed < BLOCKS
    np.testing.assert_array_equal(sm_of(done.path), sm_of(mapped.path))


def test_blocks_cover_everything_once():
    seen = np.zeros((70, 600, 500), np.uint8)
    found = blocks(*seen.shape)
    for block in found:
        seen[block.time, block.y, block.x] += 1
    assert (seen == 1).all()
    assert [block.number for block in found] == list(range(len(found)))


# --- what cannot be done


def test_a_cube_that_does_not_fit_is_refused_before_anything_is_written(trained, cube, everywhere, tmp_path):
    out, images = tmp_path / "p.zarr", tmp_path / "images"
    with pytest.raises(DataError, match=r"holds 2019-04-01 to 2019-05-05, not 2019-03-31, 2019-06-01"):
        days = [dt.date(2019, 6, 1), START, dt.date(2019, 3, 31)]
        predict_cube(trained.model, cube, out, images, days=days)
    with pytest.raises(ConfigError, match="0 workers"):
        predict_cube(trained.model, cube, out, images, workers=0)
    with pytest.raises(ConfigError, match="either a scheduler"):
        predict_cube(trained.model, cube, out, images, workers=2, scheduler="tcp://127.0.0.1:1")
    unfinished = write_cube(tmp_path / "cube.zarr", cropped(everywhere, 1, 9, 9), complete=0)
    with pytest.raises(DataError, match="not whole"):
        predict_cube(trained.model, unfinished, out, images)
    poor = write_cube(tmp_path / "poor.zarr", cropped(everywhere, 1, 9, 9))
    shutil.rmtree(poor / "evi")
    with pytest.raises(DataError, match="the cube has nothing for evi, which the model was trained with"):
        predict_cube(trained.model, poor, out, images)
    assert not out.exists()
    assert not images.exists()


def test_what_is_no_prediction_is_not_replaced(trained, cube, tmp_path):
    mine = tmp_path / "notes"
    mine.mkdir()
    (mine / "a.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(DataError, match="exists and is no prediction"):
        predict_cube(trained.model, cube, mine, tmp_path / "images")
    assert (mine / "a.txt").read_text(encoding="utf-8") == "keep"


def test_a_damaged_cube_is_told(trained, everywhere, tmp_path):
    cube = write_cube(tmp_path / "cube.zarr", cropped(everywhere, 1, 9, 9))
    [chunk] = [path for path in (cube / "lst").rglob("*") if path.is_file() and path.name != "zarr.json"]
    chunk.write_bytes(chunk.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"lst cannot be read .*gee-smap export"):
        predict_cube(trained.model, cube, tmp_path / "p.zarr", tmp_path / "images")


def test_a_real_cube_and_model_make_a_map_that_is_not_called_simulated(trained, everywhere, tmp_path):
    model, card = store.load(trained.model)
    text = (trained.model / STUDY_FILE).read_text(encoding="utf-8")
    counts = {one.name: one.samples for one in card.stacks}
    store.save(
        tmp_path / "model", model, card.model_copy(update={"simulated": False}), counts, {STUDY_FILE: text}
    )
    cube = write_cube(tmp_path / "cube.zarr", cropped(everywhere, 1, 9, 9), simulated=0)
    done = predict_cube(tmp_path / "model", cube, tmp_path / "p.zarr", tmp_path / "images")
    assert not done.simulated
    assert not any("simulated" in note for note in done.notes() if "for simulated-small" not in note)
    with rasterio.open(image_path(done.images, START)) as file:
        assert file.tags()["simulated"] == "0"
    assert pd.Timestamp(xr.open_zarr(done.path, consolidated=False)["time"].item()).date() == START
