"""The report: its numbers against pandas and NumPy on what it is made of, and sentences of made-up cases."""

from __future__ import annotations

import csv
import datetime as dt
import html.parser
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from models import store
from models.metrics import Estimate
from pipeline.errors import DataError
from pipeline.reporting import plots, verdicts
from pipeline.reporting.content import Column, Table, percent, signed
from pipeline.reporting.page import ReportPage
from pipeline.reporting.report import write_report
from pipeline.reporting.verdicts import Score, Standing
from pipeline.scores.truth import FieldScore
from pipeline.work.ledger import Ledger
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir
from tests.pipeline import finished, small_cubes
from tests.pipeline.finished import Finished


def quiet(what: str, share: float) -> None:
    assert what
    assert 0 <= share <= 1


@dataclass
class Page(html.parser.HTMLParser):
    """A page as a reader without scripts has it: text, tables by name, figures, links."""

    source: str
    text: str = ""
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    orders: dict[str, list[list[str | None]]] = field(default_factory=dict)
    images: list[dict[str, str | None]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    _table: str = ""
    _cell: bool = False
    _silent: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self._silent = tag in ("style", "script")
        self.addresses += [named[key] or "" for key in ("src", "href") if key in named]
        if tag == "div" and (named.get("id") or "").startswith("table-"):
            self._table = str(named["id"]).removeprefix("table-")
            self.tables[self._table], self.orders[self._table] = [], []
        elif tag == "tr":
            self.tables[self._table].append([])
            self.orders[self._table].append([])
        elif tag in ("td", "th"):
            self._cell = True
            self.tables[self._table][-1].append("")
            self.orders[self._table][-1].append(named.get("data-order"))
        elif tag == "img":
            self.images.append(named)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False
        self._silent = False

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text += f" {data}"
        if self._cell:
            row = self.tables[self._table][-1]
            row[-1] = " ".join(f"{row[-1]} {data}".split())

    def column(self, table: str, heading: str, place: int = 0) -> list[str]:
        """The cells below a heading, or below the ``place``-th of that name."""
        headings, *rows = self.tables[table]
        number = [n for n, each in enumerate(headings) if each == heading][place]
        return [row[number] for row in rows]


def read(work: WorkDir) -> Page:
    return Page(work.report.read_text(encoding="utf-8"))


def rows_of(page: ReportPage, name: str) -> list[dict[str, str]]:
    with (page.folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def make(trained: Any) -> Callable[..., Finished]:
    """Makes whole studies, simulated; their name and place hold signs that HTML has a use for."""
    study = trained.study.read_text(encoding="utf-8")
    return partial(finished.make, region=trained.region, study=study, model=trained.model)


@pytest.fixture(scope="module")
def made(make: Callable[..., Finished], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return make(tmp_path_factory.mktemp("studies") / "small run")


@pytest.fixture(scope="module")
def written(made: Finished) -> ReportPage:
    return write_report(made.work, quiet)


@pytest.fixture(scope="module")
def page(made: Finished, written: ReportPage) -> Page:
    return read(made.work)


@pytest.fixture
def bare(made: Finished, tmp_path: Path) -> WorkDir:
    """A plan and nothing else."""
    work = WorkDir(tmp_path / "bare")
    made.manifest.write(work.manifest)
    return work


@pytest.fixture
def copy(made: Finished, written: ReportPage, tmp_path: Path) -> WorkDir:
    """The whole study and its report again, to spoil."""
    work = WorkDir(tmp_path / made.work.root.name)
    shutil.copytree(made.work.root, work.root)
    assert not write_report(work, quiet).made
    return work


# The page as a file


def test_the_page_is_one_file_that_asks_for_nothing_from_elsewhere(made, page):
    beside = [address for address in page.addresses if not address.startswith(("data:", "#"))]
    for address in beside:
        assert (made.work.root / address).is_file(), address
    assert "map/map.html" in beside
    assert len([address for address in beside if address.endswith(".csv")]) == len(page.tables)
    source = page.source
    assert not re.findall(r"https?://", source)
    assert "url(" not in source
    assert source.count("<script") == 1
    assert "default-src &#39;none&#39;" in source or "default-src 'none'" in source


def test_names_from_the_study_are_text_never_markup(page):
    assert "simulated <small> & sound" in page.text
    assert "Somewhere & <else>" in page.text
    assert "small" not in page.tags
    assert "else" not in page.tags


def test_every_figure_has_a_text_for_those_who_do_not_see_it_and_is_a_png_inside_the_page(page):
    assert len(page.images) == 11
    for image in page.images:
        assert len(image["alt"] or "") > 40
        assert (image["src"] or "").startswith("data:image/png;base64,iVBORw0KGgo")
        assert int(image["width"] or 0) > 100


def test_a_second_call_does_nothing_and_says_so(made, written):
    before = {path: path.stat().st_mtime_ns for path in [written.path, *written.folder.iterdir()]}
    again = write_report(made.work, quiet)
    assert not again.made
    assert "nothing was done" in next(again.notes())
    assert {path: path.stat().st_mtime_ns for path in [written.path, *written.folder.iterdir()]} == before
    assert (again.files, again.size, again.simulated) == (written.files, written.size, True)


def test_a_command_in_the_ledger_is_no_reason_to_write_anew(copy):
    with Ledger(copy.ledger) as ledger, ledger.run("report"):
        assert not write_report(copy, quiet).made
    copy.report.unlink()
    write_report(copy, quiet)
    assert read(copy).column("runs", "Command") == ["run", "report"]


def test_the_same_inputs_give_the_same_bytes(copy):
    def files() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes() for path in [copy.report, *copy.report.with_suffix("").iterdir()]
        }

    write_report(copy, quiet)
    copy.report.unlink()
    assert write_report(copy, quiet).made
    one = files()
    shutil.rmtree(copy.report.with_suffix(""))
    assert write_report(copy, quiet).made
    assert files() == one


def test_whatever_is_lost_or_changed_is_made_anew(copy, monkeypatch):
    original = copy.report.read_bytes()
    table = copy.report.with_suffix("") / "scores.csv"

    def cut() -> None:
        copy.report.write_bytes(original[:1000])

    def truth() -> None:
        rows = json.loads(copy.truth.read_text())
        rows[0]["rmse"] = 0.0777
        copy.truth.write_text(json.dumps(rows))

    def prediction() -> None:
        zarr.open_array(copy.prediction / "sm", mode="r+")[0, 15, 15] = 0.9

    def look() -> None:
        monkeypatch.setattr("pipeline.reporting.page.STYLE", "report.js")

    texts = [original]
    for spoil, same in (
        (cut, True),
        (table.unlink, True),
        (truth, False),
        (prediction, False),
        (look, False),
    ):
        spoil()
        assert write_report(copy, quiet).made
        assert table.is_file()
        text = copy.report.read_bytes()
        assert (text == texts[-1]) == same, spoil
        texts.append(text)
        assert not write_report(copy, quiet).made
    assert b"0.0777" in texts[3]


def test_what_an_earlier_report_wrote_goes_and_what_others_put_there_stays(copy, written):
    (copy.report.with_suffix("") / "mine.csv").write_text("mine")
    copy.truth.unlink()
    again = write_report(copy, quiet)
    assert "truth.csv" in written.files
    assert "truth.csv" not in again.files
    assert not (again.folder / "truth.csv").exists()
    assert (again.folder / "mine.csv").read_text() == "mine"


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(copy):
    original = copy.report.read_bytes()
    copy.truth.unlink()
    shutil.rmtree(copy.report.with_suffix(""))
    copy.report.with_suffix("").write_text("a file where the folder belongs")
    with pytest.raises(DataError, match="report"):
        write_report(copy, quiet)
    assert copy.report.read_bytes() == original
    assert [path.name for path in copy.root.glob(".*")] == []


# Numbers


def test_scores_are_those_of_the_model(made, page, written):
    scores = pd.DataFrame([dict(row) for row in store.read_card(made.work.model).scores])
    known = scores[scores["rmse"].notna()]
    pooled = known[known["partition"] == "all"]
    assert len(pooled) > 10
    assert page.column("scores-pooled", "Model") == pooled["model"].tolist()
    cells = page.column("scores-pooled", "RMSE (m³/m³)")
    assert [cell.split(" ")[0] for cell in cells] == [f"{value:.4f}" for value in pooled["rmse"]]
    row = pooled.iloc[0]
    assert cells[0] == f"{row['rmse']:.4f} [{row['rmse_lower']:.4f}, {row['rmse_upper']:.4f}]"
    table = pd.read_csv(written.folder / "scores.csv")
    pd.testing.assert_frame_equal(
        table[["split", "partition", "model"]], known[["split", "partition", "model"]].reset_index(drop=True)
    )
    for name in ("r", "rmse", "bias", "ubrmse", "rmse_lower", "r_upper"):
        np.testing.assert_array_equal(table[name], known[name].astype(float))


def test_the_best_member_of_each_split_and_partition_is_the_one_with_the_lowest_rmse(made, page):
    scores = pd.DataFrame([dict(row) for row in store.read_card(made.work.model).scores])
    known = scores[scores["rmse"].notna() & (scores["partition"] != "all")]
    members = known[known["model"].isin(["XGBoost", "LightGBM", "CatBoost"])]
    best = members.loc[members.groupby(["split", "partition"], sort=False)["rmse"].idxmin()]
    splits, parts = (page.column("stack-by-partition", name) for name in ("Split", "Partition"))
    names = dict(
        zip(zip(splits, parts, strict=True), page.column("stack-by-partition", "Best member"), strict=True)
    )
    assert len(best) == 6
    for _, row in best.iterrows():
        assert names[row["split"], row["partition"]] == row["model"]
    assert names["leave-partition-out", "plain"] == "–"


def test_each_split_says_what_it_can_show_and_why_it_could_not_be_made(page):
    assert "flatters the model, and says nothing of new places or dates" in page.text
    assert "the time split with a gap of 20 days needs samples over 63 days" in page.text
    assert "A whole terrain partition is held out" in page.text


def test_shares_of_missing_values_are_counted_on_land_within_the_region(made, page, written):
    inside = (made.bands["land"] == 1) & (made.bands["region"] == 1)
    june = np.array([day.month == 6 for day in made.manifest.days])
    assert page.tables["missing"][0] == ["Predictor", "2019-06", "2019-07", "Whole period"]
    for row in rows_of(written, "missing.csv"):
        lacking = np.isnan(made.bands[row["predictor"]][:, inside].astype(float))
        assert float(row["2019-06"]) == pytest.approx(lacking[june].mean())
        assert float(row["2019-07"]) == pytest.approx(lacking[~june].mean())
        assert float(row["period"]) == pytest.approx(lacking.mean())
    lst = dict(zip(page.column("missing", "Predictor"), page.column("missing", "2019-06"), strict=True))[
        "lst"
    ]
    share = np.isnan(made.bands["lst"][june][:, inside].astype(float)).mean()
    assert 0.3 < share < 0.7
    assert lst == f"{100 * share:.1f} %"
    assert "some land pixels lack sand" in page.text


def test_areas_of_land_cover_are_sums_of_shares_over_the_region(made, page, written):
    region = made.bands["region"] == 1
    shares = np.stack([made.bands[f"LC_{code}"][region].astype(float) for code in range(5)])
    known = np.isfinite(shares).all(axis=0)
    rows = {row["class"]: float(row["km2"]) for row in rows_of(written, "land-cover.csv")}
    names = ["water", "forest", "grassland", "cropland", "urban"]
    for name, share in zip(names, shares, strict=True):
        assert rows[name] == pytest.approx(share[known].sum(), rel=1e-6)  # pixels of 1 km²
    assert rows["unknown"] == 1.0
    assert (~known).sum() == 1
    assert sum(rows.values()) == pytest.approx(region.sum(), rel=1e-5)
    assert not any("Xu et al." in heading for heading in page.tables["land-cover"][0])


def test_all_of_anhui_stands_beside_table_2_of_the_paper(tmp_path):
    """1,404 pixels of 100 km² are 140,400 km²; the paper's areas are typed from its table 2."""
    paper = {
        "water": 4242.68,
        "forest": 56115.46,
        "grassland": 2532.65,
        "cropland": 72286.31,
        "urban": 4946.74,
    }
    work = WorkDir(tmp_path / "anhui")
    place = {"crs_transform": (10_000, 0, 300_000, 0, -10_000, 3_900_000)}
    parts = {"partitions": ("HB", "JH", "WX", "YJ", "WN")}
    manifest = Manifest(**small_cubes.manifest(2, 36, 39).model_dump() | place | parts)
    manifest.write(work.manifest)
    bands: small_cubes.Bands = {name: np.zeros((2, 36, 39), np.float32) for name in ("ndvi", "lst")}
    bands |= {
        f"LC_{code}": np.full((36, 39), share, np.float32)
        for code, share in enumerate((0.05, 0.4, 0.05, 0.45, 0.05))
    }
    bands |= {name: np.ones((36, 39), np.uint8) for name in ("land", "region")}
    small_cubes.write_cube(work.cube, bands, partition_names=list(manifest.partitions))
    root = zarr.open_group(work.cube, mode="r+")
    root["x"][...] = 305_000 + 10_000 * np.arange(39)
    root["y"][...] = 3_895_000 - 10_000 * np.arange(36)
    root["spatial_ref"].attrs["GeoTransform"] = "300000 10000 0 3900000 0 -10000"
    found = {row["class"]: row for row in rows_of(write_report(work, quiet), "land-cover.csv")}
    for name, area in paper.items():
        assert float(found[name]["paper_km2"]) == pytest.approx(area)
    assert float(found["forest"]["km2"]) == pytest.approx(0.4 * 140_400, rel=1e-6)
    assert float(found["forest"]["difference_km2"]) == pytest.approx(0.4 * 140_400 - 56115.46, abs=0.01)
    assert "The land cover here is simulated" in read(work).text


def test_means_of_the_map_are_those_of_its_values(made, page, written):
    sm, inside = made.sm.astype(float), np.isfinite(made.sm)
    means = np.nanmean(np.where(inside.any(axis=0), sm, np.nan)[:, inside.any(axis=0)], axis=0)
    assert f"{inside.sum():,} values of {inside.any(axis=0).sum():,} pixels on 40 days" in page.text
    assert f"the mean of all pixels' means is {means.mean():.3f} m³/m³" in page.text
    assert "A pixel has a value on 39 to 40 of 40 days" in page.text
    codes = made.bands["partition"]
    region = made.bands["region"] == 1
    for row in rows_of(written, "partitions.csv"):
        here = region & (codes == small_cubes.PARTITIONS.index(row["partition"]) + 1)
        assert float(row["km2"]) == here.sum()
        assert float(row["share"]) == pytest.approx(here.sum() / region.sum())
        of_pixels = [np.nanmean(sm[:, y, x]) for y, x in np.argwhere(here & inside.any(axis=0))]
        assert float(row["sm_mean"]) == pytest.approx(np.mean(of_pixels))
        assert float(row["sm_spread"]) == pytest.approx(np.std(of_pixels))


def test_the_figure_of_days_draws_mean_and_percentiles(made):
    from pipeline.reporting.summaries import of_prediction

    found = of_prediction(made.work.prediction, quiet)
    for number in (0, 3, 39):
        values = made.sm[number][np.isfinite(made.sm[number])].astype(float)
        drawn = found.daily.iloc[number]
        assert drawn["mean"] == pytest.approx(values.mean())
        assert [drawn["low"], drawn["high"]] == pytest.approx(np.percentile(values, [10, 90]).tolist())
    spread = np.nanstd(made.sm[:, 20, 20].astype(float))
    assert found.spread[20, 20] == pytest.approx(spread)
    axes = plots.moisture_days(found, simulated=True).axes[0]
    [line] = axes.lines
    np.testing.assert_allclose(line.get_ydata(), found.daily["mean"])
    shaded = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    first = (dt.date(2019, 6, 19) - dt.date(1970, 1, 1)).days
    assert shaded.x0 == pytest.approx(first - 0.5)


def test_the_truth_table_is_the_file(made, page, written):
    rows = json.loads(made.work.truth.read_text())
    assert page.column("truth", "Map") == ["downscaled", "SMAP nearest", "SMAP bilinear"]
    assert page.column("truth", "RMSE (m³/m³)") == [f"{row['rmse']:.4f}" for row in rows]
    direct = made.fields["downscaled"].astype(float) - made.truth
    assert page.column("truth", "RMSE (m³/m³)")[0] == f"{math.sqrt(np.nanmean(direct**2)):.4f}"
    assert page.column("truth", "R within cells")[1] == "–"
    assert rows_of(written, "truth.csv")[1]["r_within"] == ""
    assert f"{rows[0]['n']:,} pixel-days, 100 % of the map's" in page.text
    pairs = list(
        zip(page.column("truth-differences", "Map"), page.column("truth-differences", "Less"), strict=True)
    )
    assert pairs[:2] == [("downscaled", "SMAP bilinear"), ("SMAP nearest", "SMAP bilinear")]
    assert pairs[2:] == [("SMAP nearest", "downscaled"), ("SMAP bilinear", "downscaled")]
    for (name, beside), shown in zip(pairs, page.column("truth-differences", "RMSE (m³/m³)"), strict=True):
        one, other = (made.fields[each].astype(float) - made.truth for each in (name, beside))
        change = math.sqrt(np.nanmean(one**2)) - math.sqrt(np.nanmean(other**2))
        assert shown.startswith(f"{change:+.4f}".replace("-", "−"))


def test_stations_show_the_scores_and_the_difference_that_validation_found(made, page):
    summary = json.loads((made.work.validation / "summary.json").read_text())
    found = summary["differences"]["sm"]["r"]
    text = f"R, Downscaled minus SMAP, median of {found['n']} stations: {found['median']:+.3f}"
    assert text.replace("-", "−") in page.text
    depths = "the depth of these probes is not told"
    assert depths in page.text
    stations = pd.read_csv(made.work.validation / "stations.csv")
    assert page.column("stations", "Station") == stations["station"].tolist()
    cells = [cell.split(" ")[0] for cell in page.column("stations", "R")]
    assert cells == [f"{value:.3f}" for value in stations["sm_r"]]
    cells = [cell.split(" ")[0] for cell in page.column("stations-smap", "ubRMSE (m³/m³)")]
    assert cells == [f"{value:.4f}" for value in stations["smap_ubrmse"]]
    assert page.column("stations-summary", "Product") == ["Downscaled", "SMAP"]
    medians = [f"{stations[f'{name}_r'].median():.3f}" for name in ("sm", "smap")]
    assert [cell.split(" ")[0] for cell in page.column("stations-summary", "R")] == medians
    assert page.column("stations-differences", "Improved") == [str(found["improved"])]
    for note in summary["notes"]:
        assert note in page.text


def test_tasks_are_the_plan_and_what_became_of_it(page, written):
    rows = {row["product"]: row for row in rows_of(written, "tasks.csv")}
    assert list(rows) == [
        "static",
        "dynamic-2019-06",
        "cells-2019-06",
        "cells-2019-06-10",
        "cells-2019-06-20",
    ]
    assert rows["dynamic-2019-06"] | {
        "state": "succeeded", "attempts": "2", "output_mb": "90.0", "eecu_h_expected": "3.25",
        "eecu_h_used": "0.5", "seconds": "90.0", "ended": "2026-03-01 08:02",
    } == rows["dynamic-2019-06"]  # fmt: skip
    assert rows["cells-2019-06"]["state"] == "split"
    assert rows["cells-2019-06"]["error"] == "memory <limit>"
    assert rows["cells-2019-06-10"]["megapixels"] == ""
    # 900 s times 1, 2, 4 and 5 are 3 hours.
    assert "3.00 h used, some 3.8 h expected" in page.text
    assert "2 of 3 images in projects/p/assets/sm" in page.text
    assert "2026-03-01 08:00 to 2026-03-01 08:05 UTC" in page.text


def test_what_was_done_is_told_with_counts_hashes_and_choices(made, page):
    assert made.manifest.study_hash in page.text
    assert json.loads((made.work.model / "model.json").read_text())["sha256"] in page.text
    assert "10 June to 19 July 2019, 40 days" in page.text
    # The radiometer was off from 19 June to 23 July: 31 of the days, on each of which 64 cells were sampled.
    assert "On 31 of the 40 days SMAP's radiometer was off" in page.text
    assert "1,984 samples are of such days" in page.text
    assert "2,560 of 64 cells on 40 days" in page.text
    choices = dict(zip(page.column("choices", "Choice"), page.column("choices", "This study"), strict=True))
    assert choices["radar days"] == "12"
    paper = dict(
        zip(
            page.column("choices", "Choice"), page.column("choices", "Xu et al. 2024, literally"), strict=True
        )
    )
    assert paper["radar days"] == "13"
    assert "The choices of this study are the recommended ones." in page.text
    assert "a comment the model folder keeps, with a sign of its own: m³/m³" in page.text
    assert "CGIAR/SRTM90_V4" in page.column("sources", "Asset")
    stacks = store.read_card(made.work.model).stacks
    assert page.column("stacks", "XGBoost, weight") == [f"{one.members[0].weight:.3f}" for one in stacks]


def test_it_tells_the_commands_that_do_it_again(page):
    commands = page.text[page.text.index("How to run it again", 2000) :]
    assert (
        "gee-smap run --study 'small run/study.toml' --workdir 'small run-again' --engine local" in commands
    )
    assert "gee-smap report --workdir 'small run'" in commands


def test_tables_for_machines_have_the_rows_of_the_page_and_no_nan(page, written):
    content = json.loads((written.folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert content["tables"].keys() == page.tables.keys()
    for name, table in content["tables"].items():
        assert len(table["rows"]) == len(page.tables[name]) - 1 == len(rows_of(written, f"{name}.csv"))
    assert content["simulated"][0] == "the sources"


# What is simulated, missing, or does not fit


def test_a_simulated_study_says_so_first(page):
    assert page.text.index("All sources of this study are made up") < page.text.index("In short")
    assert "Simulated: simulated <small>" in page.text[:100]


def test_a_plan_alone_gives_a_report_that_says_what_is_missing_and_how_to_make_it(bare):
    page = write_report(bare, quiet)
    text = read(bare).text
    assert page.made
    for missing in (
        "No model has been trained yet", "Soil moisture has not been predicted yet", "there is no cube",
        "has not been held against in-situ soil moisture", "study.toml is not in the work directory",
        "has not been held against the truth", "There is no ledger",
    ):  # fmt: skip
        assert missing in text
    assert "gee-smap validate --workdir bare --insitu FILE" in text
    assert "NaN" not in text
    assert not re.search(r"\bnan\b", text)
    assert "No model has been trained yet, so there are no scores." in page.absent
    assert bare.root.joinpath("ledger.sqlite").exists() is False


def test_real_sources_have_no_banner_and_no_truth(make, tmp_path):
    made = make(tmp_path / "real", simulated=False)
    for path in (made.work.truth, made.work.model, made.work.validation):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = write_report(made.work, quiet)
    text = read(made.work).text
    assert not page.simulated
    assert "made up" not in text
    assert "these are not, so stations are what there is" in text
    assert "--engine google" in text


def test_a_part_that_is_simulated_is_named(make, tmp_path):
    made = make(tmp_path / "mixed", simulated=False)
    made.work.truth.unlink()
    assert write_report(made.work, quiet).simulated
    assert (
        "Partly simulated: the samples that the model learnt from, the stations or the map at them."
        in read(made.work).text
    )


def test_parts_that_do_not_belong_together_are_told_at_the_top(copy):
    zarr.open_group(copy.prediction, mode="r+").attrs["model_hash"] = "0" * 64
    zarr.open_group(copy.cube, mode="r+").attrs["study_hash"] = "1" * 64
    page = write_report(copy, quiet)
    text = read(copy).text
    told = "The map was predicted by another model than the one whose scores are shown."
    assert set(page.mismatches) == {
        told,
        "The cube is of another study, or another version of it, than the plan.",
    }
    assert text.index(told) < text.index("In short")


def test_a_whole_study_fits_together(written):
    assert written.mismatches == ()
    further = (
        "without some of its predictors",
        "one scale up",
        "vary in space",
        "outside the area of applicability",
        "intervals of a map",
        "against rain",
        "three products",
        "explained",
    )
    assert len(written.absent) == len(further)  # nothing that a run needs for its maps and scores
    assert all(one in text for one, text in zip(further, written.absent, strict=True))


def test_a_map_that_is_not_whole_is_not_shown(copy):
    zarr.open_group(copy.prediction, mode="r+").attrs["complete"] = 0
    write_report(copy, quiet)
    assert "Soil moisture has not been predicted yet, or not to the end" in read(copy).text


def test_without_a_plan_there_is_nothing_to_report(tmp_path):
    with pytest.raises(DataError, match="gee-smap export"):
        write_report(WorkDir(tmp_path), quiet)


# Sentences


def score(model: str, rmse: float, reach: float = math.nan, split: str = "random") -> Score:
    return Score(split, "all", model, 100, 0.9, rmse, rmse - reach, rmse + reach, "")


@pytest.mark.parametrize(
    ("stack", "best", "wanted", "says", "never"),
    [
        ((0.010, 0.001), (0.020, 0.001), "better", "the stack is better", "no gain"),
        ((0.020, 0.001), (0.010, 0.001), "worse", "the stack is worse", "is better"),
        ((0.010, 0.006), (0.020, 0.006), "lower", "no gain is shown", "is better."),
        ((0.020, 0.006), (0.010, 0.006), "higher", "neither is shown to be better", "is worse"),
        ((0.010, math.nan), (0.020, math.nan), "lower", "decides nothing", "is better"),
        ((0.01000, 1e-6), (0.01004, 1e-6), "equal", "equals", "better"),
        # Just touching is not apart.
        ((0.010, 0.005), (0.020, 0.005), "lower", "no gain is shown", "is better."),
    ],
)  # fmt: skip
def test_the_stack_wins_and_loses_only_by_intervals_that_lie_apart(stack, best, wanted, says, never):
    mine, theirs = score("stack", *stack), score("CatBoost", *best)
    assert verdicts.outcome(mine, theirs) == wanted
    text = verdicts.of_split(Standing("random", "all", mine, theirs, None), partitioned=True)
    assert says in text
    assert never not in text


def test_the_gap_is_told_in_both_directions():
    standing = Standing("random", "all", score("stack", 0.018), score("CatBoost", 0.020), score("WP", 0.016))
    text = verdicts.of_split(standing, partitioned=True)
    assert "0.0020 (10.0 %) lower than that of CatBoost" in text
    assert "0.0020 (12.5 %) higher than that of WP" in text


def test_a_stack_without_partitions_is_not_held_against_itself():
    standing = Standing("random", "all", score("stack", 0.018), score("CatBoost", 0.020), score("WP", 0.018))
    text = verdicts.of_split(standing, partitioned=False)
    assert "equals that of WP" not in text
    assert "the stack is WP itself" in text


def test_the_tally_names_each_split_once_where_it_belongs():
    def standing(split: str, stack: float, best: float, reach: float) -> Standing:
        return Standing(
            split, "all", score("stack", stack, reach, split), score("A", best, reach, split), None
        )

    none = [standing("random", 0.01, 0.02, 0.01), standing("time", 0.02, 0.01, 0.01)]
    assert verdicts.tally(none, "best") == (
        "The stack is not shown to be better than its best member under any of 2 splits. Its RMSE is lower "
        "under random and higher under time, but not beyond the intervals."
    )
    some = [standing("random", 0.01, 0.02, 0.001), standing("spatial", 0.03, 0.02, 0.001)]
    assert verdicts.tally(some, "best") == (
        "The stack is better than its best member under random, with intervals apart. It is worse, with "
        "intervals apart, under spatial."
    )
    assert "could not be compared" in verdicts.tally(some, "whole")


@pytest.mark.parametrize(
    ("metric", "interval", "says"),
    [
        ("r", (0.01, 0.03), "a gain over SMAP"),
        ("r", (-0.03, -0.01), "worse than SMAP"),
        ("r", (-0.01, 0.03), "neither is shown to be better"),
        ("ubrmse", (0.01, 0.03), "worse than SMAP"),
        ("ubrmse", (-0.03, -0.01), "a gain over SMAP"),
        ("ubrmse", (math.nan, math.nan), "decides nothing"),
    ],
)
def test_smap_is_beaten_at_stations_only_where_the_interval_leaves_zero(metric, interval, says):
    found = {"n": 9, "median": 0.02, "lower": interval[0], "upper": interval[1], "improved": 1, "worsened": 0,
             "undecided": 8, "no_interval": 0}  # fmt: skip
    titles = {"sm": "Downscaled", "smap": "SMAP"}
    summary = {"differences": {"sm": {metric: found}}, "titles": titles, "baseline": "smap"}
    [text] = verdicts.at_stations(summary)
    assert says in text


def test_other_products_are_named_on_the_side_where_their_interval_lies():
    def found(low: float, high: float) -> dict[str, Any]:
        return {"ubrmse": {"median": (low + high) / 2, "lower": low, "upper": high}}

    each = {
        "wp": found(-0.02, -0.01), "xgboost": found(-0.03, -0.01), "smci": found(0.01, 0.02),
        "smap_dsm": found(-0.01, 0.01), "mine": found(math.nan, math.nan),
    }  # fmt: skip
    summary = {
        "differences": {"sm": found(-1, -0.5), **each}, "less_others": {},
        "titles": {"sm": "Downscaled", "smap": "SMAP", "wp": "WP", "xgboost": "XGBoost", "smci": "SMCI1.0",
                   "smap_dsm": "NSIDC-0779", "mine": "mine"},
        "baseline": "smap",
    }  # fmt: skip
    told = "better for WP and XGBoost; worse for SMCI1.0; undecided for NSIDC-0779."
    [text] = verdicts.others_at_stations(summary)
    assert text == f"ubRMSE of other products beside that of SMAP, by intervals: {told}"
    alone = {"differences": {}, "less_others": each, "baseline": None}
    [text] = verdicts.others_at_stations(summary | alone)
    assert text == (
        "ubRMSE of Downscaled beside other products, by intervals: better than WP and XGBoost; worse than "
        "SMCI1.0; undecided beside NSIDC-0779."
    )


def test_strata_are_named_where_downscaling_gains_and_where_it_loses():
    def row(stratum: str, low: float, high: float) -> dict[str, Any]:
        ends = {"ubrmse_difference_lower": low, "ubrmse_difference_upper": high}
        r = {"r_difference_lower": math.nan, "r_difference_upper": math.nan}
        names = ("ubrmse_difference", "r_difference")
        return {"product": "sm", "stratum": stratum, **dict.fromkeys(names, 0.0), **ends, **r}

    table = pd.DataFrame(
        [
            row("forest", -0.02, -0.01),
            row("cropland", 0.01, 0.02),
            row("July", -0.01, 0.01),
            row("June", math.nan, math.nan),
        ]
    )
    summary = {
        "titles": {"sm": "Downscaled", "smap": "SMAP"}, "baseline": "smap", "settings": {"confidence": 0.95},
    }  # fmt: skip
    by_error, by_r, chance = verdicts.in_strata(table, summary)
    assert by_error == (
        "By ubRMSE, Downscaled is better than SMAP beyond the interval in forest, and worse in cropland; 1 "
        "of 3 strata decide nothing; 1 more have too few stations for an interval."
    )
    assert "By R no stratum has enough stations" in by_r
    assert "3 comparisons" in chance
    assert list(verdicts.in_strata(table.drop(columns=["ubrmse_difference"]), summary)) == []


def field_score(product: str, **values: Any) -> FieldScore:
    plain = dict.fromkeys(("r", "r_time", "r_space"), 0.5)
    plain |= {"rmse": 0.05, "ubrmse": 0.04, "bias": 0.01, "r_within": math.nan}
    return FieldScore(product=product, n=10, variance=0.5, **plain | values)


def less_map(rmse: tuple[float, ...], r: tuple[float, ...]) -> dict[str, Any]:
    """How far a map's RMSE and R lie above those of the downscaled one."""
    return {"downscaled": {"rmse": Estimate(*rmse), "r": Estimate(*r)}}


@pytest.mark.parametrize(
    ("rmse", "r", "told"),
    [
        (
            (0.01, 0.008, 0.012), (-0.1, -0.2, -0.05),
            "better in RMSE (−0.0100 [−0.0120, −0.0080]) and R (+0.100 [+0.050, +0.200]).",
        ),
        (
            (-0.01, -0.012, -0.008), (0.1, -0.1, 0.3),
            "worse in RMSE (+0.0100 [+0.0080, +0.0120]), not to be told apart in R "
            "(−0.100 [−0.300, +0.100]).",
        ),
        (
            (0.01, -0.01, 0.03), (0.1, 0.05, 0.2),
            "worse in R (−0.100 [−0.200, −0.050]), not to be told apart in RMSE "
            "(−0.0100 [−0.0300, +0.0100]).",
        ),
    ],
)  # fmt: skip
def test_a_map_is_better_or_worse_than_another_where_intervals_say_so(rmse, r, told):
    scores = [field_score("downscaled"), field_score("SMAP, bilinear", beside=less_map(rmse, r))]
    _, sentence, in_time, in_space = list(verdicts.against_truth(scores))
    assert in_time == "R in time, a median without an interval: downscaled 0.500 and SMAP, bilinear 0.500."
    assert in_space.startswith("R in space, a median without an interval: downscaled 0.500 and")
    assert sentence == f"Beside SMAP, bilinear, the downscaled map is {told}"


def test_without_intervals_no_map_is_called_better():
    few = less_map((0.01, math.nan, math.nan), (0.1, math.nan, math.nan))
    for beside in ({}, few):
        scores = [field_score("downscaled", rmse=0.04), field_score("SMAP, bilinear", beside=beside)]
        lowest, sentence, *_ = list(verdicts.against_truth(scores))
        assert "The lowest RMSE of the 2 maps is that of downscaled (0.0400" in lowest
        assert sentence == (
            "Beside SMAP, bilinear, without intervals: RMSE 0.0400 against 0.0500, ubRMSE 0.0400 against "
            "0.0400, R 0.500 against 0.500."
        )


def test_what_a_map_is_made_of_is_told_in_one_sentence_and_each_change_with_its_interval():
    change = {"SMAP, bilinear": {"rmse": Estimate(-0.01, -0.012, -0.008)}}
    part = less_map((0.02, 0.01, 0.03), (0.0, -0.1, 0.1))
    texts = list(verdicts.against_truth([
        field_score("downscaled", rmse=0.04, beside=change, drawn="cells"), field_score("Stack, uncorrected"),
        field_score("XGBoost", rmse=0.06, beside=part), field_score("WP", rmse=0.055),
        field_score("SMAP, bilinear"),
    ]))  # fmt: skip
    assert [text.split(",")[0] for text in texts[1:3]] == ["Beside Stack", "Beside SMAP"]
    assert texts[5] == (
        "What it is made of has an RMSE (in brackets less the map's) of XGBoost 0.0600 (+0.0200 [+0.0100, "
        "+0.0300]) and WP 0.0550 m³/m³, the map itself 0.0400."
    )
    assert texts[6] == "RMSE beside that of SMAP, bilinear: downscaled (−0.0100 [−0.0120, −0.0080]) m³/m³."
    assert "draw cells" in texts[7]
    assert len(texts) == 8


# Tables


def test_numbers_are_written_as_the_field_writes_them():
    column = Column("x", "X", "+.3f", ("low", "high"))
    assert column.text({"x": -0.0123}) == "−0.012"
    assert column.text({"x": -0.0000001}) == "0.000"
    assert column.bounds({"x": 0.1, "low": -0.2, "high": 0.3}) == "[−0.200, +0.300]"
    assert column.bounds({"x": 0.1, "low": math.nan, "high": 0.3}) == ""
    assert column.text({"x": math.nan}) == column.text({}) == "–"
    assert [percent(share) for share in (0, 1e-6, 0.0815, 0.9999, 1)] == [
        "0 %",
        "< 0.1 %",
        "8.2 %",
        "> 99.9 %",
        "100 %",
    ]
    assert signed(1234567, ",d") == "1,234,567"


def test_a_table_keeps_all_digits_in_its_file():
    table = Table(
        "t", "T", (Column("a", "A", ".1f"),), ({"a": 1 / 3, "b": 'x,"y"'}, {"a": math.nan, "b": None})
    )
    back = list(csv.DictReader(table.csv().splitlines()))
    assert float(back[0]["a"]) == 1 / 3
    assert back[0]["b"] == 'x,"y"'
    assert back[1] == {"a": "", "b": ""}


def test_sorting_has_the_number_behind_the_text(made, page):
    headings, *_ = page.tables["scores-pooled"]
    place = headings.index("RMSE (m³/m³)")
    scores = [
        row
        for row in store.read_card(made.work.model).scores
        if row["partition"] == "all" and row["rmse"] is not None
    ]
    orders = [row[place] for row in page.orders["scores-pooled"][1:]]
    assert [float(order or "nan") for order in orders] == [row["rmse"] for row in scores]


def test_the_map_figure_draws_the_mean_of_every_pixel(made):
    from pipeline.reporting.summaries import of_cube, of_prediction

    found, ground = of_prediction(made.work.prediction, quiet), of_cube(made.work.cube, quiet)
    figure = plots.moisture_map(found, ground, simulated=True)
    drawn = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    inside = np.isfinite(made.sm).any(axis=0)
    rows, columns = (np.flatnonzero((made.bands["region"] == 1).any(axis=axis)) for axis in (1, 0))
    framed = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    with np.errstate(invalid="ignore"):
        means = np.where(inside, np.nansum(made.sm, axis=0) / np.isfinite(made.sm).sum(axis=0), np.nan)
    np.testing.assert_allclose(drawn, means[framed], rtol=1e-6)
    assert figure._suptitle.get_text().startswith("SIMULATED DATA")
    plain = plots.moisture_map(found, None, simulated=False)
    assert not plain._suptitle.get_text().startswith("SIMULATED")


def test_the_chart_draws_each_score_at_its_value(made):
    rows = store.read_card(made.work.model).scores
    scores = [Score.of(row) for row in rows]
    ends = [(float(row["r_lower"] or "nan"), float(row["r_upper"] or "nan")) for row in rows]
    left, right = plots.score_chart(scores, ends, simulated=True).axes[:2]
    wanted = sorted(
        float(row["rmse"]) for row in rows if row["partition"] == "all" and row["rmse"] is not None
    )
    dots = sorted(float(line.get_xdata()[0]) for line in left.lines if len(line.get_xdata()) == 1)
    assert dots == pytest.approx(wanted)
    reaches = {
        tuple(line.get_xdata())
        for line in right.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"
    }
    assert any(tuple(end) in reaches for end in ends)


def test_progress_never_runs_back(copy):
    told: list[float] = []
    copy.report.unlink()
    write_report(copy, lambda what, share: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 10


@pytest.fixture(autouse=True, scope="module")
def coarse_figures() -> Iterator[None]:
    """Figures of fewer dots: nothing here looks at their sharpness."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.figures.style.DPI", 50)
        yield
