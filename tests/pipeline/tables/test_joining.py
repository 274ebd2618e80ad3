"""The joined table holds every cell's every day once, or there is none. Tables are written here, as text."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.study import Study
from pipeline.tables.joining import join_samples
from pipeline.tables.samples import read_samples
from pipeline.work.manifest import Manifest, Task

DYNAMIC = ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh")
STILL = ("sand", "silt", "clay", "dem", "LC_0", "LC_1", "LC_2", "LC_3", "LC_4")
VALID = tuple(f"{name}_valid" for name in DYNAMIC)
CELLS = ("0312-3180", "0312-3181", "0313-3180", "0313-3181")
START, DAYS = dt.date(2019, 4, 29), 5
STRETCHES = {"cells-2019-04": (0, 2), "cells-2019-05": (2, 1), "cells-2019-05-02": (3, 2)}


@dataclass(frozen=True)
class Tables:
    """Exported tables in a folder, and what the joined one must hold, by cell and date."""

    folder: Path
    manifest: Manifest
    wanted: pd.DataFrame

    def path(self, product: str) -> Path:
        [task] = [task for task in self.manifest.tasks if task.name == product]
        return self.folder / f"{task.task}.csv"

    def change(self, product: str, change) -> None:
        """Edit a table as text, cell by cell."""
        path = self.path(product)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        change(table).to_csv(path, index=False)


def write(path: Path, table: pd.DataFrame) -> None:
    """As Earth Engine writes it: shuffled rows, nothing where there is nothing."""
    table.sample(frac=1, random_state=3).to_csv(path, index=False, na_rep="")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    folder = tmp_path / "exports"
    folder.mkdir()
    rng = np.random.default_rng(0)
    still = pd.DataFrame({"cell": CELLS, "lon": [117.0, 117.1] * 2, "lat": [31.2, 31.2, 31.1, 31.1]})
    still["simulated"] = 1
    still["partition"] = ["HB", "HB", "WX", "WX"]
    still[["sand", "silt", "clay"]] = rng.random((4, 3)) * 30
    still["dem"] = rng.random(4) * 200
    still[list(STILL[4:])] = [[0, 0.2, 0.1, 0.6, 0.1]] * 4
    still.loc[1, "sand"] = np.nan
    rows = []
    for day in range(DAYS):
        date = START + dt.timedelta(day)
        for cell in CELLS:
            row = {"cell": cell, "lon": 0, "lat": 0, "simulated": 1, "date": date.isoformat()}
            row |= {"doy": date.timetuple().tm_yday, "sm": 0.1 + rng.random() / 5, "smap_outage": day % 2}
            row |= {name: rng.random() for name in (*DYNAMIC, *VALID)}
            rows.append(row)
    daily = pd.DataFrame(rows).drop(columns=["lon", "lat"])
    daily.loc[3, ["lst", "sm"]] = np.nan
    tasks = [Task(task="cells-static-0123456789", name="cells-static", kind="table", columns=tuple(still))]
    write(folder / "cells-static-0123456789.csv", still.assign(**{f"{name}_valid": 1.0 for name in STILL}))
    for number, (name, (first, length)) in enumerate(STRETCHES.items()):
        task = f"{name}-{number:09}b"
        month = daily[first * 4 : (first + length) * 4].merge(still[["cell", "lon", "lat"]])
        tasks.append(Task(task=task, name=name, kind="table", columns=tuple(month)))
        write(folder / f"{task}.csv", month)
    tasks.append(Task(task="dynamic-2019-04-0123456789", name="dynamic-2019-04", kind="image", columns=()))
    manifest = Manifest(
        study="four cells", study_hash="0a", preset="recommended", simulated=True, start=START,
        end=START + dt.timedelta(days=DAYS - 1), places=(), area_km2=324, crs="EPSG:32650", width=18,
        height=18, crs_transform=(1000, 0, 459_000, 0, -1000, 3_483_000), cells=4, partitions=("HB", "WX"),
        partition_rule="", sources={}, checkpoints=None, eecu_seconds_per_megapixel=0.1, tasks=tuple(tasks),
    )  # fmt: skip
    wanted = daily.drop(columns="simulated").merge(still.drop(columns="simulated"), on="cell")
    return Tables(folder, manifest, wanted.set_index(["cell", "date"]).sort_index())


def test_every_row_has_its_day_and_its_cell(tables: Tables, tmp_path: Path) -> None:
    joined = join_samples(tables.manifest, tables.folder, tmp_path / "samples.parquet")
    assert (joined.made, joined.rows, joined.notes) == (True, 20, ())
    held = pd.read_parquet(joined.path)
    assert list(held.columns) == [
        "cell", "lon", "lat", "date", "doy", "partition", *DYNAMIC, *VALID, *STILL, "sm", "smap_outage",
        "simulated",
    ]  # fmt: skip
    assert held["simulated"].all()
    held["date"] = held["date"].dt.strftime("%Y-%m-%d")
    held = held.set_index(["cell", "date"]).sort_index()
    assert list(held.index) == list(tables.wanted.index)
    for name in tables.wanted:
        if name == "partition":
            assert list(held[name]) == list(tables.wanted[name])
        else:
            np.testing.assert_allclose(held[name], tables.wanted[name], rtol=1e-6, err_msg=name)


def test_the_joined_table_is_one_to_learn_from(tables: Tables, tmp_path: Path) -> None:
    joined = join_samples(tables.manifest, tables.folder, tmp_path / "samples.parquet")
    samples = read_samples(joined.path, Study(name="plain"), target=True)
    assert samples.notes == (
        "1 of 20 rows left out: no target (sm).",
        *(f"LC_{code} is {share:g} in every row: the models learn nothing from it." for code, share in
          ((1, np.float32(0.2)), (2, np.float32(0.1)), (3, np.float32(0.6)), (4, np.float32(0.1)))),
    )  # fmt: skip
    assert samples.simulated
    assert set(samples.frame["partition"]) == {"HB", "WX"}
    assert samples.frame["sand"].isna().sum() == 5
    assert list(samples.frame["date"].dt.day_of_year) == list(samples.frame["doy"])


def test_a_second_join_of_the_same_does_nothing(tables: Tables, tmp_path: Path) -> None:
    out = tmp_path / "samples.parquet"
    join_samples(tables.manifest, tables.folder, out)
    before = out.stat().st_mtime_ns
    again = join_samples(tables.manifest, tables.folder, out)
    assert (again.made, again.rows, out.stat().st_mtime_ns) == (False, 20, before)
    assert "already" in again.notes[0]
    path = tables.path("cells-2019-05")
    os.utime(path, ns=(0, 0))  # another download
    assert join_samples(tables.manifest, tables.folder, out).made


def test_a_study_without_partitions_has_no_such_column(tables: Tables, tmp_path: Path) -> None:
    tables.change("cells-static", lambda table: table.assign(partition=""))
    plain = tables.manifest.model_copy(update={"partitions": ()})
    joined = join_samples(plain, tables.folder, tmp_path / "samples.parquet")
    assert "partition" not in pd.read_parquet(joined.path)
    assert "partition" not in read_samples(joined.path, Study(name="plain"), target=True).frame


def test_cells_in_no_partition_are_kept_and_counted(tables: Tables, tmp_path: Path) -> None:
    tables.change("cells-static", lambda table: table.assign(partition=["HB", "", "", "HB"]))
    joined = join_samples(tables.manifest, tables.folder, tmp_path / "samples.parquet")
    assert joined.notes == ("2 of 4 cells lie in no partition.",)
    assert (pd.read_parquet(joined.path)["partition"] == "").sum() == 10


@pytest.mark.parametrize(
    ("product", "change", "message"),
    [
        (
            "cells-2019-05",
            lambda table: table[1:],
            "1 of 20 cell-days are missing, the first 031.-318. on 2019-05-01",
        ),
        (
            "cells-2019-05",
            lambda table: pd.concat([table, table[:2]]),
            "2 of 20 cell-days are there more than once, the first 031.-318. on 2019-05-01",
        ),
        (
            "cells-2019-05",
            lambda table: table.assign(date="2019-05-02"),
            "4 of 20 cell-days are missing.*\n4 of 20 cell-days are there more than once",
        ),
        ("cells-2019-05", lambda table: table.assign(date="2019-05-04"), "days that are not the study's"),
        ("cells-2019-05", lambda table: table.assign(date="2019-04-28"), "days that are not the study's"),
        ("cells-2019-05", lambda table: table.assign(date="May"), "date is missing or unreadable in 4 of 4"),
        ("cells-2019-05", lambda table: table.assign(cell="0001-0001"), "other cells than the static table"),
        ("cells-static", lambda table: table[:3], "other cells than the static table"),
        ("cells-static", lambda table: table.assign(cell=CELLS[0]), "more than one row of the same cell"),
        ("cells-static", lambda table: table.assign(partition="JH"), "the study has no JH"),
        ("cells-static", lambda table: table.assign(dem="high"), "dem: 4 of 4 values are no numbers"),
        ("cells-2019-05", lambda table: table.assign(sm="high"), "sm: 4 of 4 values are no numbers"),
        ("cells-2019-05", lambda table: table.drop(columns=["vv", "sm"]), "has no column vv, sm"),
        ("cells-static", lambda table: table.drop(columns="partition"), "has no column partition"),
        ("cells-2019-05", lambda table: table.drop(columns="simulated"), "has no column simulated"),
        ("cells-2019-05", lambda table: table.assign(simulated=[*"1011"]), "not all of its rows are"),
        ("cells-2019-05", lambda table: table[:0], "the table has no rows"),
    ],
    ids=[
        "row missing", "rows twice", "day twice", "day after", "day before", "no day", "another cell",
        "cell missing", "cell twice", "partition", "text in static", "text in month", "columns",
        "no partition", "not marked", "partly marked", "no rows",
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_not_joined(
    tables: Tables, tmp_path: Path, product: str, change, message: str
) -> None:
    tables.change(product, change)
    with pytest.raises(DataError, match=message):
        join_samples(tables.manifest, tables.folder, tmp_path / "samples.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]


def test_rows_marked_as_simulated_do_not_pass_for_observed_ones(tables: Tables, tmp_path: Path) -> None:
    observed = tables.manifest.model_copy(update={"simulated": False})
    with pytest.raises(DataError, match="simulated: some of its rows are, unlike the study"):
        join_samples(observed, tables.folder, tmp_path / "samples.parquet")


def test_all_mistakes_are_told_together_and_the_earlier_table_stays(tables: Tables, tmp_path: Path) -> None:
    out = tmp_path / "samples.parquet"
    join_samples(tables.manifest, tables.folder, out)
    before = out.read_bytes()
    tables.path("cells-2019-04").unlink()
    path = tables.path("cells-2019-05")
    path.write_text(path.read_text()[:-40])
    tables.change("cells-static", lambda table: table.assign(silt="much"))
    with pytest.raises(DataError) as raised:
        join_samples(tables.manifest, tables.folder, out)
    told = str(raised.value)
    assert "gee-smap export fetches what is missing" in told
    assert "cells-2019-04-000000000b.csv: no such table" in told
    assert "cells-2019-05-000000001b.csv: cannot be read as csv" in told
    assert "silt: 4 of 4 values are no numbers" in told
    assert out.read_bytes() == before


def test_further_predictors_are_joined_in_their_places(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    further = ("dlst", "rain_3", "rain_7", "rain_15", "rain_30")
    daily = (*DYNAMIC, *further)
    monkeypatch.setattr(request.module, "DYNAMIC", daily)
    monkeypatch.setattr(request.module, "VALID", (*VALID, *(f"{name}_valid" for name in further)))
    tables: Tables = request.getfixturevalue("tables")
    held = pd.read_parquet(join_samples(tables.manifest, tables.folder, tmp_path / "samples.parquet").path)
    assert tuple(held.columns[6:20]) == daily
    held["date"] = held["date"].dt.strftime("%Y-%m-%d")
    held = held.set_index(["cell", "date"]).sort_index()
    for name in (*further, "rain_30_valid"):
        np.testing.assert_allclose(held[name], tables.wanted[name], rtol=1e-6)
