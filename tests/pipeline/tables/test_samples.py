"""Reading samples: canonical tables, bad input, and the real tables through their ready studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gee.recipe import Recipe
from pipeline.errors import DataError
from pipeline.study import Study
from pipeline.tables.samples import feature_names, feature_units, read_samples, sample_keys

STUDIES = Path(__file__).parents[2] / "data"
USED = ["ndvi", "lst", "doy"]


def study(use: list[str] | None = None, columns: dict[str, Any] | None = None, **more: Any) -> Study:
    samples = {"columns": columns or {}, "keep": more.pop("keep", [])}
    predictors = {"use": use or USED, "land_cover": more.pop("land_cover", "fractions")}
    return Study.model_validate({"name": "x", "samples": samples, "predictors": predictors})


def table(**columns: Any) -> pd.DataFrame:
    """Two cells on three days, with some columns replaced or (None) left out."""
    given: dict[str, Any] = {
        "cell": ["a", "a", "a", "b", "b", "b"],
        "lon": [117.0] * 3 + [117.1] * 3,
        "lat": [31.0] * 3 + [31.1] * 3,
        "date": ["2019-04-01", "2019-04-02", "2019-12-31"] * 2,
        "ndvi": [0.1, 0.2, 0.3, 0.4, np.nan, 0.6],
        "lst": [20.0, 21, 22, 23, 24, 25],
        "sm": [0.10, 0.20, 0.30, 0.15, 0.25, 0.35],
    }
    return pd.DataFrame({name: column for name, column in (given | columns).items() if column is not None})


def saved(frame: pd.DataFrame, folder: Path, suffix: str = ".parquet") -> Path:
    path = folder / f"samples{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def problems_of(path: Path, of: Study, *, target: bool = True) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_samples(path, of, target=target)
    assert caught.value.exit_code == 2
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_canonical_table_is_read_as_it_is(tmp_path, suffix):
    samples = read_samples(saved(table(partition="HB"), tmp_path, suffix), study(), target=True)
    frame = samples.frame
    assert list(frame) == ["cell", "lon", "lat", "date", "partition", "ndvi", "lst", "doy", "sm"]
    assert frame["ndvi"].dtype == frame["sm"].dtype == np.float32
    np.testing.assert_array_equal(frame["ndvi"], np.float32([0.1, 0.2, 0.3, 0.4, np.nan, 0.6]))
    assert list(frame["doy"]) == [91, 92, 365] * 2  # 1 April 2019 is day 91
    assert (samples.features, samples.rows_read, samples.notes) == (("ndvi", "lst", "doy"), 6, ())


def test_the_target_is_not_read_for_predicting(tmp_path):
    frame = read_samples(saved(table(sm=["junk"] * 6), tmp_path), study(), target=False).frame
    assert "sm" not in frame
    assert len(frame) == 6


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    path = saved(table(sm=[0.1, np.nan, 0.3, np.nan, 0.2, 0.2]), tmp_path)
    samples = read_samples(path, study(), target=True)
    assert list(samples.frame["lst"]) == [20, 22, 24, 25]
    assert samples.notes == ("2 of 6 rows left out: no target (sm).",)


def test_ids_keep_their_digits(tmp_path):
    path = saved(table(cell=["007"] * 3 + ["8"] * 3), tmp_path, ".csv")
    assert set(read_samples(path, study(), target=True).frame["cell"]) == {"007", "8"}
    path = saved(table(cell=None, row=[1, 1, 1, 2, 2, 2], col=[3.0] * 6), tmp_path)
    of = study(columns={"station": {"columns": ["row", "col"]}})
    assert set(read_samples(path, of, target=True).frame["cell"]) == {"1-3", "2-3"}


def test_without_ids_a_place_is_a_cell(tmp_path):
    samples = read_samples(saved(table(cell=None), tmp_path), study(), target=True)
    assert samples.frame["cell"].nunique() == 2
    assert "2 distinct places" in samples.notes[0]


@pytest.mark.parametrize(
    "dates",
    [
        ["2019-04-01T13:30:00", "2019-04-02", "2019-12-31T00:00:00Z"],
        [20190401, 20190402, 20191231],
        ["20190401", "20190402", "20191231"],
        [20190401.0, 20190402.0, 20191231.0],
        list(pd.to_datetime(["2019-04-01 05:00", "2019-04-02 23:59", "2019-12-31 00:00"])),
        list(pd.to_datetime(["2019-04-01", "2019-04-02", "2019-12-31"]).date),
    ],
)
def test_dates_are_days(tmp_path, dates):
    frame = read_samples(saved(table(date=dates * 2), tmp_path), study(), target=True).frame
    assert list(frame["date"][:3]) == list(pd.to_datetime(["2019-04-01", "2019-04-02", "2019-12-31"]))
    assert list(frame["doy"][:3]) == [91, 92, 365]


def test_keys_say_where_and_when(tmp_path):
    keys = sample_keys(read_samples(saved(table(partition="HB"), tmp_path), study(), target=True).frame)
    assert list(keys.cell) == [0, 0, 0, 1, 1, 1]
    assert keys.day is not None
    assert list(keys.day[:2]) == [17987, 17988]  # 2019-04-01 is 17,987 days after 1970-01-01
    assert keys.partition is not None
    assert set(keys.partition) == {"HB"}
    undated = read_samples(saved(table(date=None), tmp_path), study(["ndvi"]), target=True).frame
    assert sample_keys(undated).day is None
    assert sample_keys(undated).partition is None


def test_land_cover_classes_become_four_columns_and_water_is_left_out(tmp_path):
    path = saved(table(lc=[1, 2, 3, 4, 0, np.nan]), tmp_path)
    samples = read_samples(path, study(["lc", "lst"], land_cover="one-hot"), target=True)
    assert samples.features == ("LC_1", "LC_2", "LC_3", "LC_4", "lst")
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [np.nan] * 4]
    np.testing.assert_array_equal(samples.frame[list(samples.features[:4])], expected)
    assert "1 of 6 rows left out: land cover is water." in samples.notes


def test_cells_mostly_of_water_are_left_out_by_their_fractions(tmp_path):
    path = saved(
        table(LC_1=[0.5, 0.1, 1, 0, 0, np.nan], LC_2=0.0, LC_3=0.0, LC_4=[0.5, 0.3, 0, 0.6, 0, 0]), tmp_path
    )
    samples = read_samples(path, study(["lst", "lc"]), target=True)
    assert list(samples.frame["lst"]) == [20, 22, 23, 25]
    assert "2 of 6 rows left out: land cover is water." in samples.notes


@pytest.mark.parametrize(
    ("choices", "kept"),
    [
        ({"water_limit": 0.4}, [20, 21]),
        ({"water_limit": 0.6}, [20, 21, 22, 23]),
        ({"water": "majority"}, [20, 21, 22]),
    ],
)
def test_what_counts_as_water_is_the_studys_choice(tmp_path, choices, kept):
    # Water: 0, 0.3, 0.42 (forest has 0.45), 0.55, 0.6, 0.9 of the cell.
    path = saved(
        table(LC_1=[1, 0.7, 0.45, 0.3, 0.4, 0.1], LC_2=[0, 0, 0.13, 0.15, 0, 0], LC_3=0.0, LC_4=0.0), tmp_path
    )
    chosen = study(["lst", "lc"]).model_copy(update={"preparation": Recipe(**choices)})
    assert list(read_samples(path, chosen, target=True).frame["lst"]) == kept


def test_rows_in_no_partition_train_nothing_and_are_predicted(tmp_path):
    path = saved(table(partition=["HB", "", "HB", "", "JH", "HB"]), tmp_path)
    chosen = study(["ndvi", "lst"])
    samples = read_samples(path, chosen, target=True)
    assert list(samples.frame["partition"]) == ["HB", "HB", "JH", "HB"]
    assert "2 of 6 rows left out: they lie in no partition." in samples.notes
    assert list(read_samples(path, chosen, target=False).frame["partition"]) == [
        "HB",
        "",
        "HB",
        "",
        "JH",
        "HB",
    ]


def test_columns_are_carried_raw_or_mapped(tmp_path):
    path = saved(table(insitu=[10.0] * 6, network="USCRN", simulated=True), tmp_path)
    columns = {"insitu": {"column": "insitu", "unit": "%"}, "of": "network"}
    of = study(columns=columns, keep=["insitu", "network", "of", "ndvi", "absent"])
    samples = read_samples(path, of, target=False)
    assert list(samples.frame["insitu"]) == [0.1] * 6
    assert list(samples.frame["network"]) == list(samples.frame["of"]) == ["USCRN"] * 6
    assert samples.frame["ndvi"].dtype == np.float32  # a predictor stays what it is
    assert samples.frame["simulated"].all()
    assert samples.notes == ("absent is not in the table and is not carried along.",)


def test_an_index_saved_by_pandas_is_a_column_like_others(tmp_path):
    table().set_index(["cell", "date"]).to_parquet(tmp_path / "indexed.parquet")
    frame = read_samples(tmp_path / "indexed.parquet", study(), target=True).frame
    assert list(frame["cell"]) == ["a"] * 3 + ["b"] * 3


def test_a_constant_predictor_is_noted_in_training(tmp_path):
    path = saved(table(lst=7.0), tmp_path)
    assert read_samples(path, study(), target=True).notes == (
        "lst is 7 in every row: the models learn nothing from it.",
    )
    assert read_samples(path, study(), target=False).notes == ()


def test_features_and_units_follow_the_study():
    of = study(["lc", "rain", "lst", "wind"], {"rain": {"column": "p", "unit": "mm"}, "wind": "w"})
    assert feature_names(of) == ["LC_1", "LC_2", "LC_3", "LC_4", "rain", "lst", "wind"]
    assert list(feature_units(of).values()) == ["1"] * 4 + ["mm", "degC", ""]


BAD_TABLES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (
        {"ndvi": None, "NDVI": 0.1, "lst": None, "sm": None},
        {},
        [
            'ndvi: no column of this name; map it: ndvi = "NDVI" in [samples.columns]',
            'lst: no column of this name; map it: lst = "NAME" in [samples.columns]',
            "sm: no column of this name",
            "the columns of the table are cell, lon, lat, date, NDVI",
        ],
    ),
    (
        {},
        {"columns": {"ndvi": {"formula": "(B8 - lst) / (B8 + nir)"}}},
        ["ndvi: its mapping needs B8, nir, not in the table; correct ndvi", "the columns of"],
    ),
    (
        {},
        {"columns": {"cell": "cel"}},
        ["cell: its mapping needs cel, not in the table (did you mean cell?)", "the col"],
    ),
    (
        {},
        {"columns": {"partition": "unit"}},
        ["partition: its mapping needs unit", "the columns of the table"],
    ),
    (
        {},
        {"use": ["lc"]},
        [f"LC_{k}: no column of this name" for k in (1, 2, 3, 4)] + ["the columns of the table"],
    ),
    (
        {},
        {"use": ["lc"], "land_cover": "one-hot"},
        ["lc: no column of this name", "the columns of the table"],
    ),
    ({"date": None}, {}, ["doy: there is no date to take it from; map date, or leave doy out of use"]),
    (
        {"ndvi": ["0.1", " 0.2", "abc", "", None, "x"]},
        {},
        ["ndvi: 2 of 6 values are no numbers, the first 'abc' in row 3; correct them"],
    ),
    (
        {"lst": pd.Timestamp("2019-04-01")},
        {},
        ["lst: 6 of 6 values are no numbers", "lst: all 6 rows are missing"],
    ),
    ({"ndvi": np.nan}, {}, ["ndvi: all 6 rows are missing; correct its mapping, or leave it out"]),
    ({"ndvi": ""}, {}, ["ndvi: all 6 rows are missing"]),
    (
        {"lst": [20, 21, np.inf, 23, 1e300, 25]},
        {},
        ["lst: 2 of 6 values are infinite or beyond ±1e+30, the first inf"],
    ),
    (
        {"rain": [1, 2, 3, 4, -4e38, 5]},
        {"use": ["rain"], "columns": {"rain": "rain"}},
        ["rain: 1 of 6 values are infinite or beyond ±1e+30, the first -4e+38 in row 5"],
    ),
    (
        {"lst": [290.0, 291, 292, 293, 294, 20]},
        {},
        [
            "lst: 5 of 6 values outside -100..100 degC (20 to 294, the first in row 1); declare lst = "
            '{column = "lst", unit = "K"}'
        ],
    ),
    (
        {"ndvi": [0.1, 3000] * 3},
        {},
        ["ndvi: 3 of 6 values outside -2..2 (0.1 to 3000, the first in row 2); declare"],
    ),
    (
        {"sm": None, "ssm": [10.0, 20, 30, 15, 25, 0.5]},
        {"columns": {"sm": "ssm"}},
        [
            "sm (from ssm): 5 of 6 values outside 0..1 m3/m3 (0.5 to 30, the first in row 1); declare "
            'its unit, such as sm = {column = "ssm", unit = "mm", layer_mm = 50} or unit = "%"'
        ],
    ),
    ({"sm": [-9999.0, 0.1, 0.1, 0.1, 0.1, 0.1]}, {}, ["sm: 1 of 6 values outside 0..1 m3/m3 (-9999 to 0.1"]),
    (
        {"sm": np.nan},
        {},
        ["none of 6 rows can be used: 0 are water, 0 lie in no partition, 6 have no target (sm)"],
    ),
    (
        {"date": ["2019-04-01", "2019-04-01", "2019-04-02"] * 2},
        {},
        ["cell, date: 2 of 6 rows repeat a cell-day, the first a on 2019-04-01 in row 2; keep one row"],
    ),
    (
        {"date": ["2019-04-01", "01/04/2019", None] * 2},
        {},
        ["date: date is missing or unreadable in 4 of 6 rows, the"],
    ),
    (
        {"date": [1554076800000, 1554163200000, 1] * 2},
        {},
        ["date: date is missing or unreadable in 6 of 6 rows"],
    ),
    ({"date": [2019091, 2019092, 2019365] * 2}, {}, ["date: date is missing or unreadable in 6 of 6 rows"]),
    (
        {"date": ["2019", "2019-04", "2019-091"] * 2},
        {},
        ["date: date is missing or unreadable in 6 of 6 rows"],
    ),
    (
        {"cell": ["a", "a", "a", "b", "", None]},
        {},
        ["cell: cell is missing or unreadable in 2 of 6 rows, the first ro"],
    ),
    ({"partition": ["HB", None] * 3}, {}, ["partition: partition is missing or unreadable in 3 of 6 rows"]),
    (
        {"lon": [181.0] * 6, "lat": [31, 31, 31, 91, 32, 32.0]},
        {},
        [
            "lon: 6 of 6 values outside -180..180 degrees",
            "lat: 1 of 6 values outside -90..90 degrees (31 to 91, the f",
        ],
    ),
    ({"lon": [np.nan] + [117.0] * 5}, {}, ["lon: missing in 1 of 6 rows, the first row 1"]),
    (
        {"lc": [1, 2, 3, 12, 4, 4]},
        {"use": ["lc"], "land_cover": "one-hot"},
        ["lc: 1 of 6 values are no class, the first 12 in row 4; allowed: 0 water, 1 forest"],
    ),
    (
        {"LC_1": 0.9, "LC_2": 0.2, "LC_3": 0.0, "LC_4": 0.0},
        {"use": ["lc"]},
        ["LC_1..LC_4: they add up to more than 1 in 6 of 6 rows, the first row 1 (1.1)"],
    ),
]


@pytest.mark.parametrize(("columns", "options", "expected"), BAD_TABLES)
def test_bad_tables_are_refused_with_column_count_and_remedy(tmp_path, columns, options, expected):
    head, *found = problems_of(saved(table(**columns), tmp_path), study(**options))
    assert "in the table" in head
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), line


def test_all_problems_are_reported_together(tmp_path):
    bad = table(ndvi=["a"] + ["0.5"] * 5, lst=300.0, sm=20.0, lon=500.0, date="2019-04-01")
    head, *found = problems_of(saved(bad, tmp_path, ".csv"), study())
    assert head == "5 problems in the table"
    assert {line.split(":")[0] for line in found} == {"ndvi", "lst", "sm", "lon", "cell, date"}


def test_a_range_is_checked_on_the_rows_that_stay_and_counted_in_the_file(tmp_path):
    path = saved(table(sm=[np.nan, 0.1, 0.1, 0.1, 20, 0.1], lst=[999.0, 20, 20, 20, 20, 21]), tmp_path)
    _, found = problems_of(path, study())
    assert found.startswith("sm: 1 of 5 values outside 0..1 m3/m3 (0.1 to 20, the first in row 5)")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwrite(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


@pytest.mark.parametrize(
    ("suffix", "spoil", "message"),
    [
        (".parquet", Path.unlink, "no such table"),
        (".parquet", cut, "cannot be read as parquet: .*cut off"),
        (".parquet", overwrite(b""), "the file is empty"),
        (".parquet", overwrite(b"cell,lon\n"), "cannot be read as parquet"),
        (".csv", cut, "cannot be read as csv: .*Expected 7 columns, got"),
        (".csv", overwrite(b"\n\n"), "cannot be read as csv"),
        (".csv", overwrite(b"cell,lon,lat,date,ndvi,lst,sm\n"), "the table has no rows"),
        (
            ".csv",
            overwrite(b"cell,lon,lat,date,ndvi,lst,sm,lst\na,1,1,2019-04-01,0,5,0.2,9\n"),
            "more than one column is called lst",
        ),
        (
            ".csv",
            overwrite(b"cell,lon,lat,date,ndvi,lst,sm\na,1,1,2019-04-01,0,5,20,0,1\n"),
            "Expected 7 columns",
        ),
    ],
)
def test_a_broken_file_is_refused(tmp_path, suffix, spoil, message):
    path = saved(table(), tmp_path, suffix)
    spoil(path)
    with pytest.raises(DataError, match=message) as caught:
        read_samples(path, study(), target=True)
    assert str(path) in str(caught.value)


def test_an_empty_table_and_other_formats_are_refused(tmp_path):
    assert problems_of(saved(table().iloc[:0], tmp_path), study()) == [
        "the table has no rows; check the export that made it"
    ]
    (tmp_path / "samples.xlsx").write_bytes(b"x")
    assert problems_of(tmp_path / "samples.xlsx", study())[0].startswith("a table is a .parquet or .csv file")
    (tmp_path / "folder.csv").mkdir()
    assert problems_of(tmp_path / "folder.csv", study()) == ["no such table; check the path"]


@pytest.fixture(scope="module")
def of() -> Study:
    return Study.load(STUDIES / "us-gee-exports.toml")


@pytest.fixture(scope="module")
def folder(shared_data) -> Path:
    return shared_data / "us-gee-exports"


class TestUnitedStates:
    """The genuine exports, without conversion; expectations are worked out on the raw columns with pandas."""

    def test_cells_train(self, of, folder):
        raw = pd.read_parquet(folder / "coarse_cells.parquet")
        samples = read_samples(folder / "coarse_cells.parquet", of, target=True)
        frame = samples.frame
        assert (len(frame), samples.rows_read) == (37_387, 37_387)
        assert frame["cell"].nunique() == 7 * 7 * 7
        assert set(frame["partition"]) == set("1234567")
        assert frame["date"].nunique() == 109
        np.testing.assert_allclose(frame["sm"], raw["ssm"] / 50, rtol=1e-6)
        np.testing.assert_array_equal(frame["vv"], raw["VV"].astype(np.float32))
        b = {name: raw[name] / 1e4 for name in ("B2", "B3", "B4", "B8", "B11", "B12")}
        expected = {
            "b11": b["B11"],
            "ndvi": (b["B8"] - b["B4"]) / (b["B8"] + b["B4"]),
            "evi": 2.5 * (b["B8"] - b["B4"]) / (b["B8"] + 6 * b["B4"] - 7.5 * b["B2"] + 1),
            "ndwi": (b["B3"] - b["B8"]) / (b["B3"] + b["B8"]),
            "nsdsi": (b["B11"] - b["B12"]) / b["B11"],
            "doy": pd.to_datetime(raw["date"]).dt.day_of_year,
        }
        for name, values in expected.items():
            np.testing.assert_allclose(frame[name], values, rtol=1e-5, atol=1e-7, err_msg=name)

    def test_cell_centres_tile_their_region(self, of, folder):
        raw = pd.read_parquet(folder / "coarse_cells.parquet")
        frame = read_samples(folder / "coarse_cells.parquet", of, target=True).frame
        assert frame["lon"].between(raw["lon0"], raw["lon1"]).all()
        assert frame["lat"].between(raw["lat0"], raw["lat1"]).all()
        one = frame[(raw["region"] == 1) & (raw["date"] == "2019-01-01")]
        box = raw.iloc[0]
        assert one["lon"].nunique() == one["lat"].nunique() == 7
        assert one["lon"].mean() == pytest.approx((box["lon0"] + box["lon1"]) / 2)
        assert one["lat"].mean() == pytest.approx((box["lat0"] + box["lat1"]) / 2)
        assert np.ptp(one["lon"]) == pytest.approx((box["lon1"] - box["lon0"]) * 6 / 7)

    def test_stations_are_predicted_with_the_same_features(self, of, folder):
        raw = pd.read_parquet(folder / "stations.parquet")
        samples = read_samples(folder / "stations.parquet", of, target=False)
        frame = samples.frame
        assert len(frame) == 6_156
        assert frame["cell"].nunique() == len(raw[["lon", "lat"]].drop_duplicates()) == 114
        assert frame["insitu"].notna().sum() == 5_831
        np.testing.assert_array_equal(frame["insitu"], raw["insitu"])
        np.testing.assert_allclose(frame["smap"], raw["ssm"] / 50)
        np.testing.assert_allclose(frame["b8"], raw["B8"] / 1e4, rtol=1e-6)
        assert list(samples.features) == feature_names(of)
        assert "sm" not in frame
        assert "partition" not in frame

    def test_millimetres_not_declared_are_refused(self, folder, tmp_path):
        text = (STUDIES / "us-gee-exports.toml").read_text()
        path = tmp_path / "study.toml"
        path.write_text(text.replace('sm = { column = "ssm", unit = "mm", layer_mm = 50 }', 'sm = "ssm"', 1))
        _, found = problems_of(folder / "coarse_cells.parquet", Study.load(path))
        assert found.startswith("sm (from ssm): 37,387 of 37,387 values outside 0..1 m3/m3 (1.992 to 25.4")


@pytest.fixture(scope="module")
def ethiopia(shared_data) -> Path:
    return shared_data / "ethiopia-smap-l4" / "all_locust_training_data.csv"


class TestEthiopia:
    """SMAP L4 samples without dates, with a column of garbage."""

    def test_it_trains_without_the_bad_column(self, ethiopia):
        raw = pd.read_csv(ethiopia)
        samples = read_samples(ethiopia, Study.load(STUDIES / "ethiopia.toml"), target=True)
        assert len(samples.frame) == 3_297
        assert samples.frame["cell"].nunique() == 3_297 - 464
        assert "date" not in samples.frame
        np.testing.assert_array_equal(samples.frame["sm"], raw["sm_surface"].astype(np.float32))
        np.testing.assert_array_equal(samples.frame["lst"], raw["LST_Day_1km"].astype(np.float32))

    def test_the_bad_column_is_refused(self, ethiopia, tmp_path):
        text = (STUDIES / "ethiopia.toml").read_text()
        text = text.replace('"wind_v"]', '"wind_v", "humidity"]').replace("# humidity", "humidity")
        (tmp_path / "study.toml").write_text(text)
        _, found = problems_of(ethiopia, Study.load(tmp_path / "study.toml"))
        assert found.startswith(
            "humidity (from Relative_Humidity): 3,297 of 3,297 values are infinite or beyond"
        )


def test_the_season_is_made_of_the_date_or_of_the_day_of_the_year(tmp_path):
    used = study(["ndvi", "doy_sin", "doy_cos"])
    angles = 2 * np.pi * np.array([91, 92, 365] * 2) / 365.25
    dated = read_samples(saved(table(), tmp_path), used, target=True)
    numbered = read_samples(saved(table(date=None, doy=[91, 92, 365] * 2), tmp_path), used, target=True)
    for frame in (dated.frame, numbered.frame):
        np.testing.assert_allclose(frame["doy_sin"], np.sin(angles), atol=1e-6)
        np.testing.assert_allclose(frame["doy_cos"], np.cos(angles), atol=1e-6)
    _, problem, *_ = problems_of(saved(table(date=None), tmp_path), study(["ndvi", "doy_sin"]))
    assert problem.startswith("doy_sin: there is no date to take it from")


def test_a_foreign_table_without_the_set_is_told_what_does_without(tmp_path):
    wide = Study.model_validate({"name": "x", "predictors": {"set": "recommended"}})
    problems = problems_of(saved(table(), tmp_path), wide)
    for name in ("rain_3", "rain_30", "dlst", "slope", "twi"):
        [problem] = [one for one in problems if one.startswith(f"{name}: ")]
        assert problem.endswith('or set predictors.set = "paper", which does without it')


def test_a_table_made_before_there_were_sets_still_trains(tmp_path):
    used = Study.model_validate({"name": "x", "predictors": {"use": ["ndvi", "lst", "doy"]}})
    assert len(read_samples(saved(table(), tmp_path), used, target=True).frame) == 6


def test_rain_in_metres_and_a_temperature_range_in_degrees_celsius_become_ours(tmp_path):
    columns = {"rain_3": {"column": "wet", "unit": "m"}, "dlst": {"column": "range", "unit": "degC"}}
    frame = read_samples(
        saved(table(wet=[0.001] * 5 + [0.01], range=[9.0, 8, 7, 6, 5, 4]), tmp_path),
        study(["rain_3", "dlst"], columns), target=True,
    ).frame  # fmt: skip
    np.testing.assert_allclose(frame["rain_3"], [1] * 5 + [10])
    np.testing.assert_allclose(frame["dlst"], [9, 8, 7, 6, 5, 4])
