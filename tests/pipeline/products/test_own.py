"""What a work directory says at stations is what its map, its SMAP and its model's libraries say there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from models import store
from models.partitioned import WP
from pipeline.errors import DataError
from pipeline.learning.train import STUDY_FILE
from pipeline.maps.day_images import image_path
from pipeline.maps.mapping import predict_cube
from pipeline.products.members import members_at
from pipeline.products.predictions import AtStations, predictions_at
from pipeline.work.workdir import WorkDir
from tests.pipeline.products.conftest import (
    DAYS,
    ON_MAP,
    Study,
    made,
    pixel,
    predictors,
    stations,
)

TOLERANCE = 1e-6  # m³/m³, between compiled trees and the libraries'
MEMBERS = ("xgboost", "lightgbm", "catboost")
PARTITIONS = ("", "plain", "hills")


@pytest.fixture(scope="module")
def found(study: Study) -> AtStations:
    return predictions_at(study.work, stations())


@pytest.fixture(scope="module")
def series(found: AtStations) -> dict[str, pd.DataFrame]:
    return {name: rows.set_index("date") for name, rows in found.table.groupby("station")}


def test_there_is_a_row_for_each_day_and_station_on_the_map(found: AtStations) -> None:
    assert found.table.groupby("station").size().to_dict() == dict.fromkeys(ON_MAP, DAYS)
    assert list(found.table.columns) == [
        "station", "date", "lon", "lat", "partition", "landcover", "outage", "sm", "smap", "smap_bilinear",
        *MEMBERS, "wp", "sm_lower", "sm_upper", "di", "aoa", "simulated",
    ]  # fmt: skip
    assert found.table["simulated"].all()
    assert found.notes == ("1 of 8 stations lie beyond the map and are left out.",)
    assert [one.title for one in found.products][:3] == ["Downscaled", "SMAP", "SMAP, bilinear"]


def test_the_map_is_the_images_pixel_bit_for_bit(study: Study, series: dict[str, pd.DataFrame]) -> None:
    for name in ON_MAP:
        for date, value in series[name]["sm"].items():
            with rasterio.open(image_path(study.work.images, date.date())) as file:
                [[stored]] = file.read(1, window=rasterio.windows.Window(*pixel(name)[::-1], 1, 1))
            assert (np.isnan(value) and stored == file.nodata) or value == float(stored)
    assert series["plain"]["sm"].notna().all()
    assert series["gap"]["sm"].isna().sum() == 1
    assert series["lake"]["sm"].isna().all()
    assert series["outside"]["sm"].isna().all()


def test_the_base_models_are_what_the_libraries_say_of_the_same_rows(
    study: Study, trained, series: dict[str, pd.DataFrame]
) -> None:
    model, card = store.load(trained.model)
    everywhere = predictors(study.bands, card.features)
    for name in ON_MAP:
        row, column = pixel(name)
        X = everywhere[:, row, column]
        partition = PARTITIONS[study.bands["partition"][row, column]]
        stack = model.stacks[partition or WP]
        expected = {
            learner.name: learner.predict(stack.models_[learner.name], X, 1) for learner in stack.learners
        }
        expected |= {"sm": stack.predict(X), "wp": model.stacks[WP].predict(X)}
        missing = series[name]["sm"].isna().to_numpy()
        for column_, values in expected.items():
            np.testing.assert_allclose(
                series[name][column_], np.where(missing, np.nan, values), atol=TOLERANCE, err_msg=column_
            )
        weights = dict(zip(MEMBERS, stack.weights_, strict=True))
        together = sum(weights[one] * series[name][one] for one in MEMBERS)
        np.testing.assert_allclose(together, series[name]["sm"], atol=TOLERANCE)


def test_the_stack_predicted_at_stations_is_the_map_bit_for_bit(study: Study) -> None:
    row, column = (np.array(axis) for axis in zip(*(pixel(name) for name in ON_MAP), strict=True))
    found = members_at(
        study.work.model, study.work.cube, row, column, study.manifest.days, lambda what, share: None
    )
    images = [image_path(study.work.images, day) for day in study.manifest.days]
    for number, path in enumerate(images):
        with rasterio.open(path) as file:
            stored = file.read(1, masked=True).filled(np.nan)
        np.testing.assert_array_equal(found["sm"][number].astype(np.float32), stored[row, column])


def test_at_a_blended_border_members_are_blended_as_the_map_is(study: Study, trained, tmp_path: Path) -> None:
    model, card = store.load(trained.model)
    text = (trained.model / STUDY_FILE).read_text(encoding="utf-8")
    counts = {one.name: one.samples for one in card.stacks}
    blended = text.replace("blend_km = 0\n", "blend_km = 4\n")
    store.save(tmp_path / "model", model, card, counts, {STUDY_FILE: blended})
    other = made(tmp_path / "model", study.bands, tmp_path / "work")
    found = predictions_at(other.work, stations())
    assert "not compared" not in "".join(found.notes)
    rows = found.table[found.table["station"] == "border"]  # half a pixel east of the border: 0.5 + 0.5 / 8
    X = predictors(study.bands, card.features)[:, *pixel("border")]
    for number, name in enumerate(MEMBERS):
        east, west = (
            model.stacks[one].learners[number].predict(model.stacks[one].models_[name], X, 1)
            for one in ("hills", "plain")
        )
        np.testing.assert_allclose(rows[name], 0.5625 * east + 0.4375 * west, atol=TOLERANCE)


def test_where_the_map_is_corrected_to_smap_the_stack_stands_beside_it(
    study: Study, found: AtStations, tmp_path: Path
) -> None:
    work = WorkDir(tmp_path / "work")
    shutil.copytree(study.work.root, work.root)
    predict_cube(work.model, work.cube, work.prediction, work.images, samples=work.samples)
    corrected = predictions_at(work, stations())
    assert "not compared" not in "".join(corrected.notes)
    assert [one.title for one in corrected.products][:3] == ["Downscaled", "Stack, uncorrected", "SMAP"]
    both = found.table.merge(corrected.table, on=["station", "date"], suffixes=("", "_corrected"))
    np.testing.assert_allclose(both["sm_model"], both["sm"], rtol=2**-14)  # kept to 13 bits
    for name in (*MEMBERS, "wp", "smap"):
        np.testing.assert_array_equal(both[f"{name}_corrected"], both[name])
    known = both["sm"].notna()
    closer = (both["sm_corrected"] - both["smap"]).abs()[known]
    assert closer.mean() < 0.5 * (both["sm"] - both["smap"]).abs()[known].mean()


def test_smap_is_that_of_the_samples(study: Study, series: dict[str, pd.DataFrame]) -> None:
    table = pd.read_parquet(study.work.samples)
    lon, lat = np.unique(table["lon"]), np.unique(table["lat"])
    field: NDArray[np.float64] = np.full((DAYS, len(lat), len(lon)), np.nan)
    day = (pd.to_datetime(table["date"]) - pd.to_datetime(table["date"]).min()).dt.days
    field[day, np.searchsorted(lat, table["lat"]), np.searchsorted(lon, table["lon"])] = table["sm"]
    for name in ON_MAP:
        place = series[name].iloc[0]
        at = np.array([place["lat"], place["lon"]])
        # Rows of EASE are almost evenly spaced in latitude over two of them.
        bilinear = [RegularGridInterpolator((lat, lon), one)(at)[0] for one in field]
        np.testing.assert_allclose(series[name]["smap_bilinear"], bilinear, atol=1e-5)
        row, column = np.abs(lat - at[0]).argmin(), np.abs(lon - at[1]).argmin()
        np.testing.assert_array_equal(series[name]["smap"], field[:, row, column])


def test_partition_land_cover_and_outage_go_along(study: Study, series: dict[str, pd.DataFrame]) -> None:
    classes = ("water", "forest", "grassland", "cropland", "urban", "")
    for name in ON_MAP:
        at = pixel(name)
        assert set(series[name]["landcover"]) == {classes[study.bands["lc"][at]]}
        assert set(series[name]["partition"]) == {PARTITIONS[study.bands["partition"][at]]}
    assert set(series["border"]["landcover"]) == {""}
    assert set(series["nowhere"]["partition"]) == {""}
    assert series["plain"]["outage"].to_dict() == {
        date: date >= pd.Timestamp(2019, 6, 19) for date in pd.date_range("2019-06-01", periods=DAYS)
    }


def test_stations_in_the_same_pixel_say_the_same(series: dict[str, pd.DataFrame]) -> None:
    same = ["sm", "wp", *MEMBERS]
    pd.testing.assert_frame_equal(series["plain"][same], series["twin"][same])


def test_no_station_on_the_map_is_said(study: Study) -> None:
    away = pd.DataFrame({"station": ["a"], "lon": [10.0], "lat": [50.0]})
    with pytest.raises(DataError, match="none of the 1 stations lies on the map of simulated-small"):
        predictions_at(study.work, away)


@pytest.mark.parametrize("lost", ["model", "cube", "other model"])
def test_without_its_model_or_cube_the_map_is_compared_all_the_same(
    study: Study, trained, tmp_path: Path, lost: str
) -> None:
    work = WorkDir(tmp_path / "work")
    shutil.copytree(study.work.root, work.root)
    if lost == "model":
        shutil.rmtree(work.model)
    elif lost == "other model":
        model, card = store.load(work.model)
        changed = card.model_copy(update={"study": "another"})
        text = (work.model / STUDY_FILE).read_text(encoding="utf-8")
        counts = {one.name: one.samples for one in card.stacks}
        store.save(work.model, model, changed, counts, {STUDY_FILE: text})
    else:
        [chunk, *_] = sorted((work.cube / "ndvi" / "c").rglob("*"), reverse=True)
        chunk.write_bytes(chunk.read_bytes()[:50])
    found = predictions_at(work, stations())
    assert "wp" not in found.table
    assert found.table["sm"].notna().any()
    assert found.table["smap"].notna().any()
    [note] = [one for one in found.notes if one.startswith("The base models are not compared: ")]
    assert {"model": "not the model of the map", "other model": "not the model of the map",
            "cube": "cannot be read"}[lost] in note  # fmt: skip
