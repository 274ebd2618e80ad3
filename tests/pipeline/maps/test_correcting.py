"""Corrected maps keep SMAP's value in every cell, on any scheduler, after a kill, and whatever is missing."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from shapely import Polygon, box

from models import store
from models.conserving import AROUND, LEAST_SHARE, NONE, OWN
from pipeline.learning.applicability import read_areas
from pipeline.learning.train import STUDY_FILE
from pipeline.maps.bands import rounded
from pipeline.maps.correcting import CorrectionJob, correct_days
from pipeline.maps.day_images import image_path
from pipeline.maps.detail import Detail
from pipeline.maps.mapped import Mapped
from pipeline.maps.mapping import predict_cube
from pipeline.maps.prediction_store import DAYS, create, days_of_chunk, stretches
from pipeline.study import Study
from tests.pipeline import small_cubes
from tests.pipeline.small_cubes import Bands, bands_of, write_cube
from tests.simulated_samples import simulate

HEIGHT, WIDTH, SPAN = 30, 34, 35  # pixels; days: two chunks
START = dt.date(2019, 4, 1)
SIDE, LEFT, TOP = 9008.055210146, -17367530.4451615, 7314540.8306386  # metres; Brodzik et al. 2012
CLOSE = 1e-4  # m³/m³
ROUNDED, COARSELY = 2.0**-14, 2.0**-9  # half of the last of 13 bits, and of 8 bits
SAID = {"model_hash": "m", "study_hash": "s", "simulated": 1}  # by the store
RUN = """
import sys
from pathlib import Path
from pipeline.maps.mapping import predict_cube
model, cube, out, images, samples = map(Path, sys.argv[1:])
predict_cube(model, cube, out, images, lambda what, share: print(what, flush=True), samples=samples)
"""
Field = NDArray[np.float64]


@cache
def exact() -> dict[str, Field]:
    """Share of each pixel in each cell of EASE-Grid 2.0, from the pixels' polygons in its own metres."""
    plan = small_cubes.manifest(1, HEIGHT, WIDTH)
    scale, _, left, _, _, top = plan.crs_transform
    to_ease = Transformer.from_crs(plan.crs, "EPSG:6933", always_xy=True).transform
    found: dict[str, Field] = {}
    for row, column in np.ndindex(HEIGHT, WIDTH):
        x = left + scale * (column + np.array([0, 1, 1, 0]))
        y = top - scale * (row + np.array([0, 0, 1, 1]))
        corners = np.array(to_ease(x, y))
        pixel = Polygon(corners.T)
        across, down = (corners[0] - LEFT) / SIDE, (TOP - corners[1]) / SIDE
        for i in range(int(down.min()), int(down.max()) + 1):
            for j in range(int(across.min()), int(across.max()) + 1):
                cell = box(LEFT + j * SIDE, TOP - (i + 1) * SIDE, LEFT + (j + 1) * SIDE, TOP - i * SIDE)
                share = cell.intersection(pixel).area / pixel.area
                if share > 0:
                    found.setdefault(f"{i:04d}-{j:04d}", np.zeros((HEIGHT, WIDTH)))[row, column] = share
    return found


WHOLE = (SIDE / 1000) ** 2  # pixels in a cell


def off(sm: Field, smap: pd.DataFrame) -> dict[tuple[int, str], float]:
    """How far each cell's mean is from SMAP, where it has SMAP and enough of it is mapped; by day and id."""
    found = {}
    for name, share in exact().items():
        for day, field in enumerate(sm):
            known = np.isfinite(field)
            weight = (share * known).sum()
            value = smap[name].iloc[day] if name in smap else np.nan
            if np.isfinite(value) and weight > LEAST_SHARE * WHOLE:
                found[day, name] = float((share * np.where(known, field, 0)).sum() / weight - value)
    return found


def table(smap: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell and day that has a value, as of samples."""
    rows = smap.rename_axis("date").reset_index().melt("date", var_name="cell", value_name="sm").dropna()
    return rows.assign(simulated=True)


def smap_of(seed: int, lacking: float, days: int, level: float = 0.3) -> pd.DataFrame:
    """SMAP of cells (columns) on days (rows), with holes; some cells are not there at all."""
    random = np.random.default_rng(seed)
    names = sorted(exact())
    there = [name for name in names if random.random() >= lacking]
    values = random.uniform(level - 0.1, level + 0.1, (days, len(there)))
    values[random.random(values.shape) < lacking / 2] = np.nan
    return pd.DataFrame(values, index=pd.date_range(START, periods=days), columns=there)


def opened(path: Path) -> xr.Dataset:
    return xr.open_zarr(path, chunks=None, consolidated=False)


# --- any field


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 0.3, 0.7]))
def test_random_fields_keep_smap_whatever_is_missing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, missing: float, lacking: float
) -> None:
    folder, days = tmp_path_factory.mktemp("fields"), 3
    random = np.random.default_rng(seed)
    bands = bands_of(simulate(side=34, days=days).samples, 34)
    bands = {name: of[..., :HEIGHT, :] for name, of in bands.items()}
    bands["land"] = (random.random((HEIGHT, WIDTH)) > missing).astype(np.uint8)
    bands["region"][:, : random.integers(0, 12)] = 0
    bands["sand"] = np.where(random.random((HEIGHT, WIDTH)) < 0.1, np.nan, 20.0)
    cube = write_cube(folder / "cube.zarr", bands)
    mapped = (bands["land"] == 1) & (bands["region"] == 1)
    fine = random.uniform(0.05, 0.45, (days, HEIGHT, WIDTH)).astype(np.float32)
    fine[:, ~mapped] = np.nan
    fine[1, 5:15, 20:30] = np.nan
    smap = smap_of(seed, lacking, days)
    smap.iloc[2] = np.nan  # a day without SMAP
    if smap.iloc[:2].isna().all(axis=None):
        return
    table(smap).to_parquet(folder / "samples.parquet")
    out = folder / "p.zarr"
    with xr.open_zarr(cube, consolidated=False, decode_coords="all") as opened_:
        empty = xr.Dataset(coords={name: opened_[name] for name in ("time", "y", "x")}, attrs=SAID)
        empty = empty.drop_encoding()
        create(out, empty, ("sm", "sm_model", "corrected"))
    zarr.open_array(out / "sm_model", mode="r+")[...] = fine
    dates = tuple(START + dt.timedelta(days=day) for day in range(days))
    paths = cube, folder / "samples.parquet", out, folder / "images"
    job = CorrectionJob(*paths, dates, 1.0, f"{seed} {missing} {lacking}")
    done = correct_days(job, slice(0, days)).correction
    with opened(out) as found:
        sm, source = found["sm"].to_numpy(), found["corrected"].to_numpy()
    differences = off(sm.astype(np.float64), smap)
    assert done.worst < CLOSE
    assert all(abs(one) < CLOSE for one in differences.values())
    assert done.kept == len(differences)
    under = [name for name, share in exact().items() if share[mapped].any() and name in smap]
    assert done.without == tuple(str(dates[day]) for day in range(days) if smap[under].iloc[day].isna().all())
    assert str(dates[2]) in done.without
    np.testing.assert_array_equal(np.isnan(sm), np.isnan(fine))
    np.testing.assert_allclose(sm[2], fine[2], rtol=ROUNDED)
    assert (source[2][mapped] == NONE).all()
    known = np.isfinite(fine[0])
    porosity = np.where(np.isfinite(bands["sand"]), 0.489 - 0.00126 * 20, 1)
    assert sm[0][known].min() >= 0
    assert (sm[0] <= porosity * (1 + ROUNDED) + 1e-6)[known].all()  # no SMAP here is greater
    assert set(np.unique(source[0][known])) <= {float(NONE), float(OWN), float(AROUND)}


def test_a_cell_wetter_than_its_soil_can_be_has_its_own_bound(tmp_path: Path) -> None:
    bands = {
        name: of[..., :HEIGHT, :] for name, of in bands_of(simulate(side=34, days=1).samples, 34).items()
    }
    bands["sand"] = np.full((HEIGHT, WIDTH), 80.0)  # porosity 0.389
    cube = write_cube(tmp_path / "cube.zarr", bands)
    smap = smap_of(1, 0.0, 1, level=0.2)
    wet = max(exact(), key=lambda name: exact()[name].sum())
    smap[wet] = 0.6
    table(smap).to_parquet(tmp_path / "samples.parquet")
    with xr.open_zarr(cube, consolidated=False, decode_coords="all") as opened_:
        empty = xr.Dataset(coords={name: opened_[name] for name in ("time", "y", "x")}, attrs=SAID)
        empty = empty.drop_encoding()
        create(tmp_path / "p.zarr", empty, ("sm", "sm_model", "corrected"))
    fine = np.random.default_rng(0).uniform(0.1, 0.5, (1, HEIGHT, WIDTH))
    zarr.open_array(tmp_path / "p.zarr" / "sm_model", mode="r+")[...] = fine
    paths = cube, tmp_path / "samples.parquet", tmp_path / "p.zarr", tmp_path / "images"
    job = CorrectionJob(*paths, (START,), 1.0, "wet")
    correct_days(job, slice(0, 1))
    with opened(tmp_path / "p.zarr") as found:
        sm = found["sm"].to_numpy()
    within = exact()[wet] > 0
    assert sm[0][within].max() <= 0.6 * (1 + ROUNDED)
    assert sm[0][~within].max() <= 0.389 * (1 + ROUNDED)
    assert max(abs(one) for (_, name), one in off(sm, smap).items() if name != wet) < 2e-3


# --- a model's maps


@dataclass(frozen=True)
class Given:
    """A cube and its samples; the model's own study asks for a correction."""

    cube: Path
    samples: Path
    smap: pd.DataFrame


@pytest.fixture(scope="module")
def bands() -> Bands:
    made = {name: of[..., :HEIGHT, :].copy() for name, of in bands_of(simulate(34, SPAN).samples, 34).items()}
    for name in ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh"):
        made[name][10, 5:9, 5:9] = np.nan
    made["land"][24:, 28:] = 0
    made["region"][:, :3] = 0
    return made


@pytest.fixture(scope="module")
def at(bands: Bands, tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("given")
    smap = smap_of(4, 0.2, SPAN)
    smap.iloc[20] = np.nan
    table(smap).to_parquet(folder / "samples.parquet")
    return Given(write_cube(folder / "cube.zarr", bands), folder / "samples.parquet", smap)


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def mapped(trained: Any, at: Given, told: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder = tmp_path_factory.mktemp("mapped")
    return predict_cube(
        trained.model, at.cube, folder / "p.zarr", folder / "images", lambda *what: told.append(what),
        samples=at.samples,
    )  # fmt: skip


def study(trained: Any, more: str) -> Study:
    """The study of the model with more in it."""
    text = (trained.model / STUDY_FILE).read_text(encoding="utf-8")
    return Study.parse(f"{text}\n{more}\n", Path("study.toml"))


def test_the_map_keeps_smap_and_the_model_stands_beside_it(
    trained: Any, at: Given, mapped: Mapped, tmp_path: Path
) -> None:
    without = predict_cube(
        trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images", samples=at.samples,
        study=study(trained, "[maps]\nconserve = false"),
    )  # fmt: skip
    with opened(mapped.path) as found, opened(without.path) as plain:
        assert "sm_model" not in plain
        np.testing.assert_allclose(found["sm_model"], plain["sm"], rtol=ROUNDED)
        np.testing.assert_array_equal(found["sm"][20], found["sm_model"][20])  # without SMAP
        assert np.abs(found["sm"] - plain["sm"]).mean() > 0.01
        differences = off(found["sm"].to_numpy().astype(np.float64), at.smap)
        assert "half_width" not in found
    worst = max(map(abs, differences.values()))
    assert mapped.correction is not None and without.correction is None
    assert worst == pytest.approx(mapped.correction.worst, abs=1e-6)
    assert mapped.correction.kept == len(differences)
    assert worst < CLOSE
    assert mapped.correction.days == SPAN - 1
    assert mapped.as_dict()["correction"]["without"] == ("2019-04-21",)
    notes = "\n".join(mapped.notes())
    assert "SMAP has nothing on 1 days, such as 2019-04-21: their maps are what the model says." in notes
    assert "of the mapped cells and days" in notes
    assert "not corrected" not in "\n".join(without.notes())


def test_progress_and_the_images(mapped: Mapped, told: list[tuple[str, float]]) -> None:
    assert ("correction to SMAP: 32 of 35 days", pytest.approx(0.75)) in told
    assert [share for _, share in told] == sorted(share for _, share in told)
    with opened(mapped.path) as found:
        for day in (0, 20, 34):
            with rasterio.open(mapped.images / f"sm_{START + dt.timedelta(days=day):%Y%m%d}.tif") as file:
                assert file.descriptions == (
                    "sm", "sm_model", "sm_lower", "sm_upper", "di", "aoa", "corrected"
                )  # fmt: skip
                bands = file.read(masked=True).filled(np.nan)
            for band, name in zip(bands, file.descriptions, strict=True):
                np.testing.assert_array_equal(band, found[name][day])


def test_intervals_lie_around_the_corrected_value_as_wide_as_around_the_models(
    trained: Any, bands: Bands, mapped: Mapped
) -> None:
    with opened(mapped.path) as found:
        sm, lower, upper = (found[name].to_numpy() for name in ("sm", "sm_lower", "sm_upper"))
    intervals = store.load_intervals(trained.model)
    assert intervals is not None
    half = intervals.half_width(*rows_of(trained, bands)).reshape(sm.shape)
    half[np.isnan(sm)] = np.nan
    within = COARSELY / 4 * half + 1e-7  # of 10 bits
    assert (np.abs(upper - (sm + half)) <= COARSELY * upper + within)[np.isfinite(sm)].all()
    expected = np.maximum(sm - half, 0)
    assert (np.abs(lower - expected) <= COARSELY * expected + within)[np.isfinite(sm)].all()


def test_the_area_of_applicability_is_that_of_each_pixels_own_stack(
    trained: Any, bands: Bands, mapped: Mapped
) -> None:
    with opened(mapped.path) as found:
        sm, index, inside = (found[name].to_numpy() for name in ("sm", "di", "aoa"))
    X, partition = rows_of(trained, bands)
    expected = np.full(len(X), np.nan)
    limit = np.full(len(X), np.nan)
    for name, area in read_areas(trained.model).items():
        own = partition == name
        expected[own], limit[own] = area.di(X[own]), area.threshold
    expected, limit = expected.reshape(sm.shape), limit.reshape(sm.shape)
    known = np.isfinite(sm)
    assert (np.isnan(index) == ~known).all() and (np.isnan(inside) == ~known).all()
    sure = known & (np.abs(expected - limit) > 1e-5)
    np.testing.assert_array_equal(inside[sure], (expected <= limit)[sure])
    outside = known & (inside == 0)
    np.testing.assert_allclose(index[outside], expected[outside], rtol=COARSELY + 1e-4)
    least = expected * (1 - COARSELY) - 1e-5
    assert (index[known] >= least[known]).all()  # inside, the search may end early
    share = outside.sum() / known.sum()
    assert f"{share:.1%} of the predicted pixels and days lie outside" in "\n".join(mapped.notes())


def rows_of(trained: Any, bands: Bands) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """The predictors of every pixel and day, and its partition, put together here."""
    _, card = store.load(trained.model)
    shape = bands["ndvi"].shape
    columns = {"doy": np.arange(91, 91 + shape[0])[:, None, None], **bands}
    X = np.stack([np.broadcast_to(columns[name], shape).ravel() for name in card.features], axis=-1)
    names = np.array(["", *small_cubes.PARTITIONS])
    return X.astype(np.float32), names[np.broadcast_to(bands["partition"], shape).ravel()]


def test_a_model_without_intervals_and_areas_makes_maps_without(
    trained: Any, at: Given, tmp_path: Path
) -> None:
    model, card = store.load(trained.model)
    counts = {one.name: one.samples for one in card.stacks}
    text = (trained.model / STUDY_FILE).read_text(encoding="utf-8")
    store.save(tmp_path / "model", model, card, counts, {STUDY_FILE: text})
    done = predict_cube(
        tmp_path / "model", at.cube, tmp_path / "p.zarr", tmp_path / "images", samples=at.samples,
        days=[START],
    )  # fmt: skip
    notes = "\n".join(done.notes())
    assert "trained without intervals" in notes and "without its area of applicability" in notes
    with opened(done.path) as found:
        assert {"sm", "sm_model", "corrected"} <= {*found} and not {"sm_lower", "di", "aoa"} & {*found}


def test_processes_make_the_same_map_bit_for_bit(
    trained: Any, at: Given, mapped: Mapped, tmp_path: Path
) -> None:
    done = predict_cube(
        trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images", samples=at.samples, workers=2
    )
    same(done, mapped)


def same(one: Mapped, other: Mapped) -> None:
    with opened(one.path) as found, opened(other.path) as wanted:
        assert set(found) == set(wanted)
        for name in ("sm", "sm_model", "sm_lower", "sm_upper", "di", "aoa", "corrected"):
            np.testing.assert_array_equal(found[name], wanted[name])
    assert one.correction == other.correction
    for path in other.images.glob("*.tif"):
        assert (one.images / path.name).read_bytes() == path.read_bytes()


def test_a_run_killed_while_it_corrects_goes_on(
    trained: Any, at: Given, mapped: Mapped, tmp_path: Path
) -> None:
    paths = trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images", at.samples
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, paths)], stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith(("correction to SMAP: 3", "images")):
                break
        run.send_signal(signal.SIGKILL)
    assert line.startswith("correction")
    assert not (tmp_path / "p.zarr").exists()
    assert not list((tmp_path / "images").glob("sm_*.tif"))  # until the prediction is whole
    waiting = sorted((tmp_path / "images" / ".new").glob("sm_*.tif"))
    assert len(waiting) >= SPAN - DAYS
    waiting[0].unlink()
    waiting[1].write_bytes(waiting[1].read_bytes()[:900])
    kept = waiting[2].stat().st_ino
    done = predict_cube(*paths[:4], samples=at.samples)
    assert len(done.written) == SPAN
    assert (tmp_path / "images" / waiting[2].name).stat().st_ino == kept
    assert done.computed == 0  # no block, and at least one of two stretches of days less
    same(done, mapped)
    assert not list(tmp_path.glob(".*"))


def test_images_as_written_keep_smap_and_lie_as_earth_engine_wants_them(at: Given, mapped: Mapped) -> None:
    fields = []
    for day in mapped.days:
        with rasterio.open(image_path(mapped.images, day)) as file:
            fields.append(file.read(1, masked=True).astype(np.float64).filled(np.nan))
            assert file.interleaving.value == "BAND"
            directory = int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1))
            first = [int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=band)) for band in file.indexes]
            assert 0 < directory < first[0]
            assert first == sorted(first)
    assert max(map(abs, off(np.array(fields), at.smap).values())) < CLOSE


def test_only_the_days_whose_smap_changed_get_another_image(trained: Any, at: Given, tmp_path: Path) -> None:
    samples, days = tmp_path / "samples.parquet", [START + dt.timedelta(days=day) for day in range(3)]
    shutil.copy(at.samples, samples)
    paths = trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images"
    predict_cube(*paths, samples=samples, days=days)
    before = {path.name: path.stat().st_ino for path in paths[3].glob("*.tif")}
    smap = at.smap.copy()
    smap.iloc[1] += 0.03
    table(smap).to_parquet(samples)
    assert predict_cube(*paths, samples=samples, days=days).written == (days[1],)
    after = {path.name: path.stat().st_ino for path in paths[3].glob("*.tif")}
    assert {name for name in before if before[name] != after[name]} == {image_path(paths[3], days[1]).name}


def test_a_map_with_less_detail_keeps_smap_and_says_how_much(
    trained: Any, at: Given, mapped: Mapped, tmp_path: Path
) -> None:
    detail = Detail(0.25, 0.1, 0.4, measured=True, simulated=True)
    paths = trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images"
    done = predict_cube(*paths, samples=at.samples, detail=detail)
    assert done.computed  # not the prediction with all detail
    assert done.as_dict()["detail"]["value"] == 0.25
    assert "a share of 0.25 [0.10, 0.40] is kept" in "\n".join(done.notes())
    with opened(done.path) as found, opened(mapped.path) as whole:
        assert (found.attrs["detail"], whole.attrs["detail"]) == (0.25, 1.0)
        np.testing.assert_array_equal(found["sm_model"], whole["sm_model"])
        np.testing.assert_array_equal(found["sm"][20], whole["sm"][20])  # without SMAP: as the model made it
        less, more = found["sm"].to_numpy().astype(np.float64), whole["sm"].to_numpy().astype(np.float64)
    assert max(map(abs, off(less, at.smap).values())) < CLOSE
    known = np.isfinite(more[0]) & (exact()[max(exact(), key=lambda name: exact()[name].sum())] == 1)
    rough = [
        np.abs(np.diff(field, axis=1))[known[:, 1:] & known[:, :-1]].mean() for field in (less[0], more[0])
    ]
    assert rough[0] < 0.6 * rough[1]
    with rasterio.open(image_path(done.images, START)) as file:
        assert file.tags()["detail"] == "0.25"


@given(st.integers(1, 22), st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=20))
def test_numbers_keep_their_first_bits(bits: int, numbers: list[float]) -> None:
    """Against the definition: the nearest multiple of a power of two that the number's size sets."""
    given_ = np.array([*numbers, np.nan], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.maps.bands.KEPT_BITS", {"di": bits})
        found = rounded("di", given_.copy())
        np.testing.assert_array_equal(rounded("aoa", given_.copy()), given_)
    assert np.isnan(found[-1])
    for number, one in zip(given_[:-1].tolist(), found[:-1].tolist(), strict=True):
        if abs(number) < 1e-30:
            continue
        step = 2.0 ** (np.frexp(number)[1] - 1 - bits)
        assert (one / step) == round(number / step)  # Python too rounds halves to even


def test_a_second_call_does_nothing_until_samples_or_choices_change(
    trained: Any, at: Given, tmp_path: Path
) -> None:
    samples = tmp_path / "samples.parquet"
    shutil.copy(at.samples, samples)
    days = [START, START + dt.timedelta(days=1)]
    paths = trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images"
    assert predict_cube(*paths, samples=samples, days=days).computed == 4 // 4
    again = predict_cube(*paths, samples=samples, days=days)
    assert (again.computed, again.written) == (0, ())
    assert again.correction is not None
    table(at.smap + 0.05).to_parquet(samples)
    changed = predict_cube(*paths, samples=samples, days=days)
    assert changed.computed == 1
    with opened(changed.path) as found:
        differences = off(found["sm"].to_numpy().astype(np.float64), at.smap + 0.05)
    assert max(map(abs, differences.values())) < CLOSE
    off_ = predict_cube(*paths, samples=samples, days=days, study=study(trained, "[maps]\nconserve = false"))
    assert off_.computed == 1 and off_.correction is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(b"PAR1 no table"), "cannot be read"),
        (lambda path: _changed(path, cell=lambda table: "a" + table["cell"]), "do not tell where they lie"),
        (lambda path: _changed(path, date=lambda table: table["date"] + pd.Timedelta(days=999)), "no cell"),
    ],
)
def test_samples_that_cannot_be_used_are_told_and_the_map_is_the_models(
    trained: Any, at: Given, tmp_path: Path, change: Any, why: str
) -> None:
    samples = tmp_path / "samples.parquet"
    shutil.copy(at.samples, samples)
    change(samples)
    paths = trained.model, at.cube, tmp_path / "p.zarr", tmp_path / "images"
    done = predict_cube(*paths, samples=samples, days=[START])
    [note] = [one for one in done.notes() if "not corrected to SMAP" in one]
    assert why in note
    with opened(done.path) as found:
        assert "sm_model" not in found and np.isfinite(found["sm"]).any()
    assert note in list(predict_cube(*paths, samples=samples, days=[START]).notes())  # each time


def _changed(path: Path, **columns: Any) -> None:
    pd.read_parquet(path).assign(**columns).to_parquet(path)


def test_the_paper_corrects_nothing() -> None:
    text = 'name = "a"\npreset = "paper"\n'
    found = Study.parse(text, Path("study.toml"))
    assert found.maps.model_dump() == {
        "conserve": False, "detail": 1.0, "intervals": False, "applicability": False,
    }  # fmt: skip
    assert found.partitions.blend_km == 0
    assert Study.parse(text + "[maps]\nconserve = true\n", Path("study.toml")).maps.conserve


def test_a_large_map_is_corrected_a_few_days_at_a_time() -> None:
    assert days_of_chunk(30, 34) == DAYS
    for side in (512, 700, 3000, 9000):
        days = days_of_chunk(side, side)
        assert DAYS % days == 0  # chunks end where blocks do
        assert days == 1 or days * side**2 <= 2**21
    found = stretches(18, 600, 600)
    assert [one.stop - one.start for one in found] == [4, 4, 4, 4, 2]


def test_what_the_store_says_can_be_read_by_anybody(mapped: Mapped) -> None:
    told = json.loads((mapped.path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    assert told["summary"]["correction"]["worst"] < CLOSE
    with opened(mapped.path) as found:
        assert found["corrected"].attrs["flag_meanings"] == "nothing the_cell_itself cells_around"
        assert found["sm_model"].attrs["units"] == "m3 m-3"
