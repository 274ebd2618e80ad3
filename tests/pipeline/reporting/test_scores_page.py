"""The page of a validation without a work directory: whole, alone, and with the numbers of its tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.insitu.daily import Reading
from pipeline.insitu.matching import Window
from pipeline.reporting.page import ReportPage
from pipeline.reporting.scores_page import write_scores_page
from pipeline.scores.evidence import Asked, Evidence, Folders, of_table

COMMAND = "gee-smap validate --predictions p.parquet --insitu i.csv --out <v>"
DAYS = pd.date_range("2019-06-01", periods=60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, ReportPage, pd.DataFrame]:
    """Seven simulated stations whose probes, map and SMAP see one signal, with rain on some days."""
    folder = tmp_path_factory.mktemp("scores")
    random = np.random.default_rng(5)
    rows = pd.DataFrame({
        "station": np.repeat([f"s{number}" for number in range(7)], len(DAYS)), "date": np.tile(DAYS, 7),
        "lon": 117.0, "lat": 32.0, "partition": "WN", "simulated": True,
    })  # fmt: skip
    dry = (np.arange(len(DAYS)) - 5) % 20  # days since rain
    signal = 0.2 + 0.1 * np.exp(-dry / 6)
    for name, error in (("sm", 0.01), ("smap", 0.02), ("insitu", 0.015)):
        rows[name] = np.tile(signal, 7) + random.normal(0, error, len(rows))
    rows["rain"] = np.tile(np.where(dry == 0, 30.0, 0.0), 7)
    rows.drop(columns=["insitu", "rain"]).to_parquet(folder / "p.parquet")
    rows[["station", "date", "insitu", "rain"]].to_parquet(folder / "i.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.figures.style.DPI", 40)
        found = of_table(
            folder / "p.parquet", folder / "i.parquet", folder / "v", Reading(Window(centre=-1.5)), Asked(),
            lambda what, share: None,
        )  # fmt: skip
        page = write_scores_page(Folders.below(folder / "v"), "p.parquet", COMMAND)
    return found, page, rows


def test_the_page_has_what_was_found_and_what_was_not_looked_for(made) -> None:
    found, page, _ = made
    text = page.path.read_text(encoding="utf-8")
    assert re.findall(r'<section id="([a-z]+)"', text) == [
        "short", "done", "stations", "rain", "triple", "again",
    ]  # fmt: skip
    assert found.rain is not None and found.triple is None
    assert len(page.absent) == 1 and "--triplet" in text
    assert page.simulated and "Partly simulated:" in text
    assert "--out &lt;v&gt;" in text  # the command, escaped
    assert not re.search(r"(src|href)=\"https?:", text)


def test_its_tables_hold_the_scores(made) -> None:
    _, page, rows = made
    tables = json.loads((page.folder / "report.json").read_text(encoding="utf-8"))["tables"]
    [row] = [row for table in tables.values() for row in table["rows"] if row.get("product") == "Downscaled"
             and "r" in row and "stations" in row][:1]  # fmt: skip
    each = [np.corrcoef(part["sm"], part["insitu"])[0, 1] for _, part in rows.groupby("station")]
    assert row["r"] == pytest.approx(np.median(each), abs=1e-6)
    assert row["stations"] == 7


def test_a_folder_without_a_validation_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no validation"):
        write_scores_page(Folders.below(tmp_path), "x", COMMAND)
