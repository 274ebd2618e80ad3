"""What of a map lies outside is counted as it was put there, and both sides are scored apart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from sklearn.metrics import root_mean_squared_error

from pipeline.errors import DataError
from pipeline.maps.bands import SM
from pipeline.maps.prediction_store import create
from pipeline.scores.applicability import PICTURE, RECORD, read, survey
from pipeline.tables.titles import INSIDE
from tests.pipeline import spatial_work

MAY, JUNE = slice(0, 20), slice(20, 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = spatial_work.make(tmp_path_factory.mktemp("area") / "work")
    with xr.open_zarr(made.work.cube, consolidated=False, decode_coords="all") as cube:
        empty = xr.Dataset(coords={name: cube[name] for name in ("time", "y", "x", "spatial_ref")})
        create(made.work.root / "maps.zarr", empty.drop_encoding(), (SM, INSIDE))
    inside = np.ones(made.sm.shape, np.float32)
    inside[:, 10:20, 0:10] = 0  # 100 pixels of the first partition, always
    inside[JUNE, 5:10, 50:60] = 0  # 50 pixels of the third, in June
    inside[np.isnan(made.sm)] = np.nan
    group = zarr.open_group(made.work.root / "maps.zarr", mode="r+")
    group[SM][...], group[INSIDE][...] = made.sm, inside
    return made


@pytest.fixture(scope="module")
def stations():
    rng = np.random.default_rng(0)
    insitu = rng.uniform(0.1, 0.4, 300)
    aoa = np.repeat([1.0, 0.0], 150)
    sm = insitu + rng.normal(0, np.where(aoa == 1, 0.01, 0.08))
    frame = pd.DataFrame({"station": np.tile(list("abcdefghij"), 30), "insitu": insitu, "sm": sm, "aoa": aoa})
    frame.loc[3, "insitu"], frame.loc[5, "aoa"] = np.nan, np.nan
    return frame


@pytest.fixture(scope="module")
def found(made, stations, tmp_path_factory):
    truth = made.sm[:30] + np.float32(0.02)
    truth[:, 10:20, 0:10] += np.float32(0.05)
    out = tmp_path_factory.mktemp("out")
    told = []
    result = survey(
        made.work.root / "maps.zarr", made.work.cube, out, stations=stations, truth=truth,
        thresholds={"plain": 0.2, "WP": 0.3}, report=lambda what, share: told.append(share),
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == 1
    return result, out


def row(found, partition: str, month: str):
    table = found.shares
    return table[(table["partition"] == partition) & (table["month"] == month)].iloc[0]


def test_shares_are_those_put_there(found, made):
    result, _ = found
    codes = np.where(made.land, made.bands["partition"], 0)
    first, third = (int((codes == code).sum()) for code in (1, 3))
    assert row(result, "plain", "all")["outside"] == pytest.approx(100 / first)
    assert row(result, "plain", "2019-05")["pixel_days"] == 20 * first
    assert row(result, "hills", "all")["outside"] == 0
    # On day 7 of May ten by three pixels of the third partition have no value.
    assert row(result, "mountain", "2019-05")["pixel_days"] == 20 * third - 30
    assert row(result, "mountain", "2019-05")["outside"] == 0
    assert row(result, "mountain", "2019-06")["outside"] == pytest.approx(50 / third)
    whole = np.isfinite(made.sm).sum()
    assert result.outside == pytest.approx((100 * 40 + 50 * 20) / whole)
    assert "none" not in set(result.shares["partition"])


def test_stations_are_scored_on_each_side(found, stations):
    result, _ = found
    known = stations.dropna()
    for side, one in (("inside", 1), ("outside", 0)):
        own = known[known["aoa"] == one]
        table = result.scores
        scored = table[(table["reference"] == "stations") & (table["side"] == side)].iloc[0]
        assert scored["n"] == len(own)
        assert scored["rmse"] == pytest.approx(root_mean_squared_error(own["insitu"], own["sm"]))
        assert scored["rmse_lower"] < scored["rmse"] < scored["rmse_upper"]


def test_the_truth_is_held_against_both_sides(found, made):
    result, _ = found
    own = result.scores[result.scores["reference"] == "simulated truth"].set_index("side")
    # 100 pixels are 0.07 too dry on 30 days, 50 pixels 0.02 on the ten days of June among them.
    expected = math.sqrt((100 * 30 * 0.07**2 + 50 * 10 * 0.02**2) / (100 * 30 + 50 * 10))
    assert own.loc["outside", "rmse"] == pytest.approx(expected, rel=1e-4)
    assert own.loc["outside", "n"] == 3500
    assert own.loc["inside", "rmse"] == pytest.approx(0.02, rel=1e-4)


def test_it_is_read_back(found):
    result, out = found
    again = read(out)
    assert again is not None
    pd.testing.assert_frame_equal(again.shares, result.shares, check_dtype=False)
    pd.testing.assert_frame_equal(again.scores, result.scores, check_dtype=False)
    assert again.as_dict() == result.as_dict()
    assert again.summary["thresholds"] == {"plain": 0.2, "WP": 0.3}
    assert again.picture[:4] == b"\x89PNG"
    assert "Simulated data" in again.notes[-1]


def test_nothing_is_nothing_and_damage_is_told(found, tmp_path):
    assert read(tmp_path) is None
    out = found[1]
    for path in out.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "applicability.csv").write_text("partition,month\nall,all\n")
    with pytest.raises(DataError, match="is damaged"):
        read(tmp_path)


def test_without_anything_to_hold_it_against_shares_stand_alone(made, tmp_path):
    result = survey(made.work.root / "maps.zarr", made.work.cube, tmp_path)
    assert result.scores.empty
    assert "not known whether it is worse outside" in result.notes[0]
    assert (tmp_path / PICTURE).is_file()
    assert read(tmp_path).scores.empty


def test_too_few_pairs_have_a_reason(made, stations, tmp_path):
    few = pd.concat([stations[stations["aoa"] == 1], stations[stations["aoa"] == 0].head(4)])
    result = survey(made.work.root / "maps.zarr", made.work.cube, tmp_path, stations=few)
    outside = result.scores[result.scores["side"] == "outside"].iloc[0]
    assert math.isnan(outside["rmse"])
    assert outside["reason"] == "4 pairs; 20 are needed"
    assert math.isnan(read(tmp_path).scores["rmse"].iloc[1])


def test_a_map_without_the_band_is_refused(made, tmp_path):
    with pytest.raises(DataError, match=r"has no band aoa: set applicability = true in \[maps\]"):
        survey(made.work.prediction, made.work.cube, tmp_path)
    assert not (tmp_path / RECORD).exists()


def test_a_map_without_values_is_refused(made, tmp_path):
    with xr.open_zarr(made.work.cube, consolidated=False, decode_coords="all") as cube:
        empty = xr.Dataset(coords={name: cube[name] for name in ("time", "y", "x", "spatial_ref")})
        create(tmp_path / "empty.zarr", empty.drop_encoding(), (SM, INSIDE))
    with pytest.raises(DataError, match="no value of aoa"):
        survey(tmp_path / "empty.zarr", made.work.cube, tmp_path / "out")
