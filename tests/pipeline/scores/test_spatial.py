"""How maps vary in space, on maps that are known: beside NumPy, SciPy, pandas and exact areas of Shapely."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import ee
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy import stats
from shapely import Polygon, box

from gee.timeseries import Calendar
from models import store
from pipeline.cubes import zooms
from pipeline.cubes.zooms import Box
from pipeline.errors import DataError, EngineError
from pipeline.learning.train import study_of
from pipeline.maps.footprints import Footprints, read_cells
from pipeline.scores import cellwise, outside, spatial
from pipeline.scores.cellwise import CellDays
from pipeline.work.workdir import WorkDir
from tests.pipeline import spatial_work
from tests.pipeline.spatial_work import DAYS, HEIGHT, NAMES, RANGES, WIDTH, Made


def quiet(what, share):
    assert what
    assert 0 <= share <= 1


def raining(calendar, grid, report):
    """The day of the month everywhere, millimetres; nothing on the 13th."""
    days = np.array([np.nan if day.day == 13 else day.day for day in calendar.days], np.float32)
    return days[:, None, None] * np.ones(tuple(grid.shape), np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return spatial_work.make(tmp_path_factory.mktemp("works") / "work", seam=0.03)


@pytest.fixture(scope="module")
def drawn():
    return {}


@pytest.fixture(scope="module")
def found(made, drawn):
    with pytest.MonkeyPatch.context() as patch:
        real = spatial.figures.means
        patch.setattr(
            spatial.figures, "means", lambda shown: drawn.setdefault("shown", shown) and real(shown)
        )
        day = spatial.one_day
        patch.setattr(spatial, "one_day", lambda shown: drawn.setdefault("day", shown) and day(shown))
        return spatial.describe(made.work, made.work.spatial, quiet, rain=raining)


@pytest.fixture(scope="module")
def exact(made):
    """Share of each pixel in each cell, from the pixels' polygons in metres of EASE-Grid 2.0."""
    scale, _, left, _, _, top = made.manifest.crs_transform
    to_ease = Transformer.from_crs(made.manifest.crs, "EPSG:6933", always_xy=True).transform
    side = 9008.055210146
    cells = {
        name: box(
            -17367530.4451615 + int(name[5:]) * side, 7314540.8306386 - (int(name[:4]) + 1) * side,
            -17367530.4451615 + (int(name[5:]) + 1) * side, 7314540.8306386 - int(name[:4]) * side,
        )
        for name in spatial_work.ease_cells(made.manifest)
    }  # fmt: skip
    shares = {name: np.zeros((HEIGHT, WIDTH)) for name in cells}
    for row in range(HEIGHT):
        for column in range(WIDTH):
            x = left + scale * (column + np.array([0, 1, 1, 0]))
            y = top - scale * (row + np.array([0, 0, 1, 1]))
            pixel = Polygon(list(zip(*to_ease(x, y), strict=True)))
            for name, cell in cells.items():
                if cell.intersects(pixel):
                    shares[name][row, column] = cell.intersection(pixel).area / pixel.area
    return shares


def test_shares_of_pixels_in_cells_are_those_of_their_polygons(made, exact):
    names = list(exact)
    footprints = Footprints.of(names, made.manifest.grid)
    ours = footprints.shares.toarray().reshape(len(names), HEIGHT, WIDTH)
    theirs = np.stack([exact[name] for name in names])
    assert np.abs(ours - theirs).max() < 1e-5
    inner = [number for number, name in enumerate(names) if theirs[number].sum() > 80]
    assert len(inner) >= 20
    assert ours[inner].sum(axis=(1, 2)) == pytest.approx(theirs[inner].sum(axis=(1, 2)), rel=1e-5)
    assert footprints.area == pytest.approx(theirs.sum(axis=(1, 2)).max(), rel=0.002)
    most = theirs.argmax(axis=0)
    sure = theirs.max(axis=0) > 0.55
    assert (footprints.under.reshape(HEIGHT, WIDTH)[sure] == most[sure]).all()


def test_cells_of_the_paper_are_blocks_of_nine_pixels(made):
    footprints = Footprints.of(["u000-000", "u001-002"], made.manifest.grid)
    field = np.arange(HEIGHT * WIDTH, dtype=float).reshape(1, HEIGHT, WIDTH)
    mean, variance, valid = footprints.means(field.reshape(1, -1))
    for number, block in enumerate((field[0, :9, :9], field[0, 9:18, 18:27])):
        assert mean[0, number] == pytest.approx(block.mean())
        assert variance[0, number] == pytest.approx(block.var())
        assert valid[0, number] == 1
    assert footprints.partitions(np.where(np.arange(HEIGHT * WIDTH) % WIDTH < 20, 0, 2)).tolist() == [0, 2]


@pytest.mark.parametrize("names", [[], ["r0c1"], ["0385-3174", "u001-002"]])
def test_ids_that_tell_no_place_are_refused(made, names):
    with pytest.raises(DataError, match="do not tell where they lie"):
        Footprints.of(names, made.manifest.grid)


def test_the_map_over_a_cell_and_day_is_the_mean_by_exact_areas(made, exact, found):
    cells = found.tables["cells"].set_index("cell")
    days = pd.date_range(spatial_work.START, periods=DAYS)
    smap = made.samples.pivot_table("sm", "date", "cell").reindex(days)
    assert set(cells.index) == set(exact)
    compared = 0
    for name, share in exact.items():
        known = np.isfinite(made.sm)
        weight = (known * share).sum(axis=(1, 2))
        ours = (np.where(known, made.sm, 0) * share).sum(axis=(1, 2)) / np.where(weight > 0, weight, np.nan)
        valid = weight / 81.145  # 9008.055 m squared, in km²
        assert cells.loc[name, "valid"] == pytest.approx(np.minimum(valid, 1).mean(), abs=1e-5)
        kept = (valid >= 0.75) & smap[name].notna().to_numpy()
        assert cells.loc[name, "n"] == kept.sum()
        if kept.sum() < 20:
            continue
        compared += 1
        error = ours[kept] - smap[name].to_numpy()[kept]
        assert cells.loc[name, "bias"] == pytest.approx(error.mean(), abs=1e-6)
        assert cells.loc[name, "rmse"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-6)
        r = stats.pearsonr(ours[kept], smap[name].to_numpy()[kept]).statistic
        assert cells.loc[name, "r"] == pytest.approx(r, abs=1e-5)
    assert compared >= 20
    assert found.summary["cells"]["compared"] == (cells["n"] > 0).sum()
    assert found.summary["cells"]["left_out"] > 0


def of_blocks(values, smap, valid=None, outage=None, partition=None, days=None):
    """Cells whose pixels are given as (days, cells, pixels)."""
    count = len(values)
    return CellDays(
        names=tuple(str(number) for number in range(values.shape[1])),
        days=tuple(pd.date_range("2019-05-20", periods=count).date) if days is None else days,
        partition=partition or ("a",) * values.shape[1], smap=smap, mean=values.mean(axis=2),
        variance=values.var(axis=2), valid=np.ones(smap.shape) if valid is None else valid,
        outage=np.zeros(count, bool) if outage is None else outage,
    )  # fmt: skip


@pytest.fixture
def blocks():
    random = np.random.default_rng(2)
    values = 0.25 + random.normal(0, 0.02, (30, 12, 1)) + random.normal(0, 0.01, (30, 12, 81))
    return values, values.mean(axis=2) + 0.01 + random.normal(0, 0.015, (30, 12))


def test_agreement_by_month_and_partition_is_that_of_pandas(blocks):
    values, smap = blocks
    smap[3, 4] = np.nan
    valid = np.ones(smap.shape)
    valid[5, :3] = 0.7499
    outage = np.arange(30) >= 25
    partition = ("a",) * 6 + ("b",) * 5 + ("",)
    table = cellwise.agreement(of_blocks(values, smap, valid, outage, partition))
    rows = pd.DataFrame({
        "day": np.repeat(pd.date_range("2019-05-20", periods=30), 12), "cell": np.tile(np.arange(12), 30),
        "partition": np.tile(partition, 30), "map": values.mean(axis=2).ravel(), "smap": smap.ravel(),
        "valid": valid.ravel(), "outage": np.repeat(outage, 12),
    })  # fmt: skip
    rows = rows[rows["smap"].notna() & (rows["valid"] >= 0.75)].assign(
        error=lambda of: of["map"] - of["smap"], month=lambda of: of["day"].dt.strftime("%Y-%m")
    )
    assert len(table) == 10  # three partitions with all, two months with all, and without the outage
    for row in table.itertuples():
        part = rows if row.partition == "all" else rows[rows["partition"] == row.partition]
        part = part if row.month == "all" else part[part["month"] == row.month]
        part = part[~part["outage"]] if row.only else part
        assert row.n == len(part)
        assert row.bias == pytest.approx(part["error"].mean())
        assert row.rmse == pytest.approx(np.sqrt((part["error"] ** 2).mean()))
        assert row.r == pytest.approx(part["map"].corr(part["smap"]))
        assert row.close == pytest.approx((part["error"].abs() <= 0.02).mean())
        by_day = part.groupby("day")[["map", "smap"]].apply(lambda of: of["map"].corr(of["smap"]))
        assert row.r_space == pytest.approx(by_day.median())
        by_cell = part.groupby("cell")[["map", "smap"]].apply(lambda of: of["map"].corr(of["smap"]))
        assert row.r_time == pytest.approx(by_cell.median())
    assert table.iloc[-1]["only"] == "without SMAP's outage"


def test_variance_within_and_between_cells_is_that_of_all_pixels(blocks):
    values, smap = blocks
    whole = cellwise.spread(of_blocks(values, smap)).iloc[0]
    total = values.reshape(30, -1).var(axis=1).mean()
    assert whole["within"] ** 2 + whole["between"] ** 2 == pytest.approx(total)
    assert whole["between"] ** 2 == pytest.approx(values.mean(axis=2).var(axis=1).mean())
    assert whole["share"] == pytest.approx(whole["within"] ** 2 / total)
    assert whole["smap"] == pytest.approx(np.sqrt(smap.var(axis=1).mean()))
    assert whole["ratio"] == pytest.approx(values.mean(axis=2).var(axis=1).mean() / smap.var(axis=1).mean())


def test_days_with_two_cells_have_no_spread_between_cells(blocks):
    values, smap = blocks
    smap = smap.copy()
    smap[:10, 2:] = np.nan
    whole = cellwise.spread(of_blocks(values, smap)).iloc[0]
    assert whole["days"] == 20
    assert whole["within"] == pytest.approx(np.sqrt(values[10:].var(axis=2).mean()))


def test_spaef_is_that_of_its_three_parts():
    random = np.random.default_rng(7)
    observed = random.gamma(4, 0.05, 400)
    simulated = 0.1 + 0.6 * observed + random.normal(0, 0.02, 400)
    r = stats.pearsonr(simulated, observed).statistic
    b = stats.variation(simulated) / stats.variation(observed)
    scores = [stats.zscore(of) for of in (simulated, observed)]
    low, high = min(map(np.min, scores)), max(map(np.max, scores))
    counts = [stats.relfreq(of, 20, (low, high)).frequency for of in scores]
    g = np.minimum(*counts).sum()
    wanted = 1 - np.sqrt((r - 1) ** 2 + (b - 1) ** 2 + (g - 1) ** 2)
    with_gaps = np.append(simulated, np.nan), np.append(observed, 0.2)
    assert cellwise.spaef(*with_gaps) == pytest.approx(wanted, abs=0.01)  # values on an edge fall either way
    assert cellwise.spaef(observed, observed) == pytest.approx(1)
    assert cellwise.spaef(3 * observed, observed) == pytest.approx(1)  # blind to a factor
    assert np.isnan(cellwise.spaef(observed[:24], observed[:24]))
    assert np.isnan(cellwise.spaef(np.full(400, 0.2), observed))


def test_a_seam_that_was_planted_is_found_and_the_other_border_has_none(found):
    table = found.tables["seams"].set_index(["field", "border"])
    planted, other = table.loc[("sm", "hills | mountain")], table.loc[("sm", "plain | hills")]
    assert planted["upward"] == pytest.approx(0.03, abs=0.003)
    assert planted["ratio"] > 4
    assert other["upward"] == pytest.approx(0, abs=0.003)
    assert other["ratio"] == pytest.approx(1, abs=0.25)
    assert {"ndvi", "lst", "clay", "dem"} <= set(table.index.get_level_values("field"))
    assert "doy" not in table.index.get_level_values("field")


def test_shares_outside_the_range_are_counts_of_the_cube(made, found):
    table = found.tables["outside"].set_index(["predictor", "partition", "month"])
    land, codes = made.land, made.bands["partition"]
    may = np.arange(DAYS) < 20
    strayed, far = np.zeros((DAYS, HEIGHT, WIDTH), bool), np.zeros((DAYS, HEIGHT, WIDTH), bool)
    for name, (least, greatest) in RANGES.items():
        if name == "doy":
            continue
        values = np.broadcast_to(made.bands[name], strayed.shape)
        width = greatest - least
        out = ((values < least) | (values > greatest)) & land
        beyond = ((values < least - 0.01 * width) | (values > greatest + 0.01 * width)) & land
        strayed, far = strayed | out, far | beyond
        for partition, inside in (
            ("all", land),
            *((name, land & (codes == n)) for n, name in enumerate(NAMES, 1)),
        ):
            for month, when in (("all", may | True), ("2019-05", may), ("2019-06", ~may)):
                row = table.loc[(name, partition, month)]
                rows = when.sum() * inside.sum()
                assert row["pixel_days"] == rows
                assert row["outside"] == pytest.approx((out & inside)[when].sum() / rows)
                assert row["beyond"] == pytest.approx((beyond & inside)[when].sum() / rows)
                ever = (out & inside)[when].any(axis=0).sum() / inside.sum()
                assert row["pixels_outside"] == pytest.approx(ever)
    assert table.loc[("ndvi", "all", "all"), "farthest"] == pytest.approx(0.4, abs=1e-5)
    assert table.loc[("ndvi", "hills", "all"), "farthest"] == pytest.approx(0.004, abs=1e-5)
    assert table.loc[("ndvi", "hills", "all"), "beyond"] == 0  # a hair's breadth
    assert table.loc[("ndvi", "hills", "2019-06"), "outside"] == 0
    mountain = table.loc[("ndvi", "mountain", "2019-06")]
    assert mountain["below"] == mountain["outside"] > 0
    assert mountain["above"] == 0
    assert table.loc[("doy", "all", "all"), "outside"] == 0
    whole = land.sum() * DAYS
    assert table.loc[("any", "all", "all"), "outside"] == pytest.approx(strayed.sum() / whole)
    assert table.loc[("any", "all", "all"), "beyond"] == pytest.approx(far.sum() / whole)


def test_only_the_days_of_the_map_count_whatever_the_cube_holds(made):
    days = [day for number, day in enumerate(made.manifest.days) if number in (4, 5, 18, 19, 33)]
    with xr.open_zarr(made.work.cube, chunks=None, consolidated=False, decode_coords="all") as cube:
        model = store.read_card(made.work.model), study_of(made.work.model)
        found = outside.survey(cube, days, made.land, NAMES, model, quiet)
        with pytest.raises(DataError, match="lacks 1 days of the map"):
            outside.survey(cube, [*days, dt.date(2020, 1, 1)], made.land, NAMES, None, quiet)
    ndvi = made.bands["ndvi"][[4, 5, 18, 19, 33]]
    np.testing.assert_allclose(found.means["ndvi"][made.land], ndvi.mean(axis=0)[made.land], rtol=1e-6)
    row = found.rows.set_index(["predictor", "partition", "month"]).loc[("ndvi", "hills", "all")]
    assert row["outside"] == pytest.approx(4 / row["pixel_days"])  # May's four days on one pixel
    assert found.often is not None
    assert found.often[30, 5] == 1
    assert found.often[6, 30] == 0


def test_the_day_drawn_is_one_with_most_pixels_in_the_middle_of_the_period(made, drawn, found):
    assert "day.png" in found.pictures
    shown = drawn["day"]
    assert shown.date == spatial_work.START + dt.timedelta(days=19)  # of 40, of which the eighth has a gap
    np.testing.assert_allclose(shown.fields["sm"][made.land], made.sm[19][made.land], rtol=1e-6)
    assert shown.simulated
    rows = made.samples[made.samples["date"] == pd.Timestamp(shown.date)]
    assert set(np.unique(shown.smap[made.land & np.isfinite(shown.smap)])) <= set(rows["sm"].astype(float))


def test_what_is_drawn_are_the_means_of_the_land(made, drawn, found):
    shown = drawn["shown"]
    mean = made.sm[:, made.land].astype(float)
    np.testing.assert_allclose(shown.sm[made.land], np.nanmean(mean, axis=0), rtol=1e-6)
    assert np.isnan(shown.sm[~made.land]).all()
    dates = pd.date_range(spatial_work.START, periods=DAYS)
    rain = np.nanmean([np.nan if day.day == 13 else day.day for day in dates])
    assert np.unique(shown.rain[made.land]) == pytest.approx([rain])
    assert np.isnan(shown.rain[~made.land]).all()
    ndvi = np.nanmean(made.bands["ndvi"].astype(float), axis=0)
    np.testing.assert_allclose(shown.ground["ndvi"][made.land], ndvi[made.land], rtol=1e-6)
    np.testing.assert_allclose(shown.ground["dem"][made.land], made.bands["dem"][made.land])
    x, y = 459_500 + 1000 * 30, 3_599_500 - 1000 * 20  # the centre of row 20, column 30
    east, north = Transformer.from_crs("EPSG:32650", "EPSG:6933", always_xy=True).transform(x, y)
    name = f"{int((7314540.83 - north) // 9008.0552):04d}-{int((east + 17367530.445) // 9008.0552):04d}"
    own = made.samples[made.samples["cell"] == name]["sm"].mean()
    assert shown.smap[20, 30] == pytest.approx(own, rel=1e-5)
    assert found.simulated
    assert set(found.pictures) == {
        *(f"{name}.png" for name in (*spatial.MAPS, *spatial.CHARTS)),
        *(f"{name}.svg" for name in spatial.CHARTS),
    }
    assert all(found.pictures[f"{name}.png"].startswith(b"\x89PNG") for name in spatial.MAPS)
    assert all(b"<svg" in (made.work.spatial / f"{name}.svg").read_bytes() for name in spatial.CHARTS)


def test_boxes_lie_where_the_map_varies_most_each_in_another_partition(made, found):
    grid = GeoBox((180, 180), made.manifest.grid.affine, made.manifest.crs)
    random = np.random.default_rng(3)
    row, column = np.indices((180, 180))
    codes = 1 + (column >= 60) + (column >= 120)
    rough = {"west": (slice(20, 50), slice(5, 35)), "mid": (slice(100, 130), slice(70, 100))}
    mean = 0.25 + 0.0 * row
    for window in rough.values():
        mean[window] += random.normal(0, 0.05, (30, 30))
    mean[150:170, 20:40] += random.normal(0, 0.03, (20, 20))  # second in its partition: not taken
    mean[5:15, 165:175] += random.normal(0, 0.01, (10, 10))
    boxes, told = zooms.chosen(mean, codes, np.ones((180, 180), bool), NAMES, grid)
    assert [(box.name, box.partition) for box in boxes] == [("A", "mountain"), ("B", "plain"), ("C", "hills")]
    assert told == ()
    for box_, window in ((boxes[1], rough["west"]), (boxes[2], rough["mid"])):
        inside = np.zeros((180, 180), bool)
        inside[box_.window] = True
        assert inside[window].sum() > 300
        assert (box_.bottom - box_.top, box_.right - box_.left) == (18, 18)
    assert boxes[1].spread == pytest.approx(0.05, rel=0.2)
    west, north = Transformer.from_crs(made.manifest.crs, "EPSG:4326", always_xy=True).transform(
        459_000 + 1000 * boxes[1].left, 3_600_000 - 1000 * boxes[1].top
    )
    assert (boxes[1].west, boxes[1].north) == pytest.approx((west, north), abs=0.01)
    one, few = zooms.chosen(mean, codes, column < 20, NAMES, grid)
    assert len(one) == 3  # three apart in the only partition
    assert {each.partition for each in one} == {"plain"}
    none, few = zooms.chosen(mean, codes, column < 0, NAMES, grid)
    assert (none, few) == ((), ("Only 0 of 3 zoom boxes have land enough.",))
    assert all(each.spread > 0 for each in found.boxes)


def test_what_was_written_is_read_back(made, found):
    again = spatial.read(made.work.spatial)
    assert again is not None
    assert again.boxes == found.boxes
    assert again.notes == found.notes
    assert again.pictures == found.pictures
    for name, table in found.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_dtype=False, rtol=1e-5)
    assert again.summary["truth"][0] == {"product": "downscaled", "r_within": 0.5}
    assert np.isnan(again.summary["truth"][1]["r_within"])
    assert again.as_dict()["days"] == DAYS


def test_nothing_is_none_and_damage_is_told(made, found, tmp_path):
    assert spatial.read(tmp_path / "nothing") is None
    shutil.copytree(made.work.spatial, tmp_path / "half")
    (tmp_path / "half" / "spatial.json").write_text('{"simulated": tr', encoding="utf-8")
    with pytest.raises(DataError, match="half is damaged"):
        spatial.read(tmp_path / "half")


@pytest.fixture
def copy(made, tmp_path) -> WorkDir:
    shutil.copytree(made.work.root, tmp_path / "copy")
    return WorkDir(tmp_path / "copy")


def test_of_a_map_corrected_to_smap_the_stack_stands_beside_smap(made, copy, found):
    """Every pixel of the map goes halfway to SMAP's value of its cell; the stack is the map as it was."""
    shutil.copytree(copy.prediction / "sm", copy.prediction / "sm_model")
    names = sorted(made.samples["cell"].unique())
    under = Footprints.of(names, made.manifest.grid).under.reshape(HEIGHT, WIDTH)
    smap = made.samples.pivot_table("sm", "date", "cell")[names].to_numpy()[:, under]
    corrected = np.where(np.isfinite(smap) & (under >= 0), (made.sm + smap) / 2, made.sm)
    zarr.open_array(copy.prediction / "sm", mode="r+")[...] = corrected.astype(np.float32)
    again = spatial.describe(copy, copy.spatial)

    assert (found.summary["corrected"], again.summary["corrected"]) == (False, True)
    for name in ("agreement", "cells"):
        pd.testing.assert_frame_equal(again.tables[name], found.tables[name])
    assert again.summary["cells"]["spaef"] == found.summary["cells"]["spaef"]
    ratio = found.tables["spread"]["ratio"].iloc[0]
    assert again.summary["cells"]["ratio_of_stack"] == pytest.approx(ratio)
    assert again.tables["spread"]["ratio"].iloc[0] != pytest.approx(ratio, rel=0.05)
    farthest = found.summary["cells"]["farthest"]
    assert 0.4 * farthest < again.summary["cells"]["farthest"] < 0.7 * farthest


def test_what_is_missing_is_told_and_the_rest_is_made(copy, found):
    assert (copy.spatial / "agreement.csv").exists()  # of the earlier description
    copy.samples.unlink()
    shutil.rmtree(copy.model)
    copy.truth.write_text("[", encoding="utf-8")
    group = zarr.open_group(copy.cube, mode="r+")
    group["partition"][...] = 1

    def refused(calendar, grid, report):
        raise EngineError("the engine does not answer")

    bare = spatial.describe(copy, copy.spatial, quiet, rain=refused)
    told = " ".join(bare.notes)
    for text in (
        "Nothing is held against SMAP", "samples.parquet is not there", "ranges of training are not known",
        "truth.json is damaged", "no borders of partitions", "the engine does not answer",
    ):  # fmt: skip
        assert text in told
    assert set(bare.pictures) == {"means.png", "zooms.png", "day.png"}
    assert bare.tables == {}
    left = {path.name for path in copy.spatial.iterdir()}
    assert left == {"spatial.json", "means.png", "zooms.png", "day.png"}  # nothing of the earlier one stays


def test_boxes_of_the_user_are_taken_and_cells_without_a_place_are_told(copy, made):
    rows = made.samples.assign(cell="r" + made.samples["cell"].str[:4])
    rows.drop_duplicates(["cell", "date"]).to_parquet(copy.samples)
    inside = Box("mine", 116.7, 32.2, 116.9, 32.4)
    found = spatial.describe(copy, copy.spatial, boxes=[inside, Box("far", 10, 10, 11, 11)])
    (only,) = found.boxes
    assert (only.name, only.given) == ("mine", True)
    to_grid = Transformer.from_crs("EPSG:4326", made.manifest.crs, always_xy=True).transform
    left, top = to_grid(116.7, 32.4)
    assert only.left == pytest.approx((left - 459_000) / 1000, abs=1)
    assert only.top == pytest.approx((3_600_000 - top) / 1000, abs=1)
    for text in ("do not tell where they lie", "The box far lies off the map", "Rain was not asked for"):
        assert any(text in note for note in found.notes)
    assert set(found.tables) == {"seams", "outside"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: rows.drop(columns="sm"), "no column sm"),
        (lambda rows: pd.concat([rows, rows.iloc[:1]]), "several rows on one day"),
        (lambda rows: rows.assign(date=rows["date"] + pd.Timedelta(days=900)), "no cell has soil moisture"),
    ],
)
def test_tables_of_cells_that_cannot_be_used_say_so(made, tmp_path, change, match):
    change(made.samples).to_parquet(tmp_path / "samples.parquet")
    with pytest.raises(DataError, match=match):
        read_cells(tmp_path / "samples.parquet", made.manifest.days)


def test_a_work_directory_without_maps_is_refused(copy):
    group = zarr.open_group(copy.prediction, mode="r+")
    group.attrs.update(complete=0)
    with pytest.raises(DataError, match="no whole prediction here"):
        spatial.describe(copy, copy.spatial)
    group.attrs.update(complete=1)
    zarr.open_array(copy.prediction / "sm", mode="r+")[...] = np.nan
    with pytest.raises(DataError, match="no value on any pixel"):
        spatial.describe(copy, copy.spatial)
    shutil.rmtree(copy.cube)
    with pytest.raises(DataError, match="no cube here"):
        spatial.describe(copy, copy.spatial)


def test_a_chunk_that_is_cut_off_is_told(copy):
    chunk = max(
        (path for path in (copy.prediction / "sm").rglob("*") if path.is_file()),
        key=lambda p: p.stat().st_size,
    )
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises(DataError, match="prediction cannot be read"):
        spatial.describe(copy, copy.spatial)


def test_rain_of_an_engine_is_that_of_the_chirps_pixel_under_each_centre(client, made):
    grid = made.manifest.grid[20:30, 10:22]
    rain = spatial.chirps(Calendar(dt.date(2019, 7, 4), dt.date(2019, 7, 6)), grid, quiet)
    assert rain.shape == (3, 10, 12)
    images = ee.ImageCollection("UCSB-CHG/CHIRPS/DAILY").filterDate("2019-07-04", "2019-07-07").toBands()
    to_degrees = Transformer.from_crs(made.manifest.crs, "EPSG:4326", always_xy=True).transform
    for row, column in ((0, 0), (9, 11), (4, 7)):
        place = to_degrees(459_000 + 1000 * (column + 10.5), 3_600_000 - 1000 * (row + 20.5))
        there = images.reduceRegion(ee.Reducer.first(), ee.Geometry.Point(place), 10).getInfo()
        assert rain[:, row, column] == pytest.approx([there[name] for name in sorted(there)], abs=1e-4)
    assert rain.max() > 0


def test_the_record_is_json_with_null_for_what_is_not_defined(made, found):
    text = (made.work.spatial / "spatial.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text)["truth"][1]["r_within"] is None
