"""A study's products: names, sizes, what they compute, and that checkpoints change nothing but the work."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import ee
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee import catalog, cells, exports, limits, partitions, predictors, target
from gee.exports import NODATA, Preparation
from gee.local.sources.dataset import RasterGrid
from gee.predictors import DYNAMIC, STREAMS
from gee.recipe import PAPER, RECOMMENDED
from gee.timeseries import Calendar

GRID = GeoBox((18, 18), Affine(1000, 0, 540_000, 0, -1000, 3_546_000), "EPSG:32650")
PIXELS = RasterGrid("EPSG:32650", (1000, 0, 540_000, 0, -1000, 3_546_000), 18, 18)
BOUNDS = (117.42, 31.90, 117.60, 32.04)  # within the grid
DAYS = Calendar(dt.date(2019, 6, 30), dt.date(2019, 7, 1))  # of two months
ANHUI = Calendar(dt.date(2019, 4, 1), dt.date(2019, 11, 1))
FOLDER = "projects/test-project/assets/kept"


@pytest.fixture
def preparation(offline_client: None) -> Preparation:
    return Preparation(
        name="box",
        recipe=RECOMMENDED,
        calendar=DAYS,
        region=ee.Geometry.Rectangle(list(BOUNDS), "EPSG:4326", False),
        grid=GRID,
        cells=cells.ease_cells(BOUNDS),
        partitions=partitions.anhui(),
        smap=catalog.SMAP,
        smap_bin=target.MORNING,
    )


def test_a_season_is_a_task_for_every_month_and_kind(preparation: Preparation) -> None:
    plan = exports.plan(replace(preparation, calendar=ANHUI))
    months = [f"2019-{month:02d}" for month in range(4, 12)]
    names = ["static", "cells-static", *(f"{kind}-{m}" for m in months for kind in ("dynamic", "cells"))]
    assert [product.name for product in plan.products] == names
    assert max(len(product.request) for product in plan.products) < exports.COMFORTABLE_BYTES
    assert plan.mistakes() == []
    july = plan["dynamic-2019-07"]
    assert july.columns[:10] == (
        "NDVI_20190701", "NDWI_20190701", "NSDSI_20190701", "EVI_20190701", "LST_20190701", "LAI_20190701",
        "ALBEDO_20190701", "VV_20190701", "VH_20190701", "COUNT_20190701",
    )  # fmt: skip
    assert len(july.columns) == 31 * 10
    assert july.output_bytes == 18 * 18 * 310 * 4


def test_checkpoints_add_a_task_for_each_source_that_the_months_wait_for(preparation: Preparation) -> None:
    plan = exports.plan(replace(preparation, calendar=ANHUI, checkpoints=FOLDER))
    kept = [f"checkpoint-{name}" for name in STREAMS]
    assert [product.name for product in plan.products][2:7] == kept
    assert len(plan.products) <= 30
    for product in plan.products:
        assert product.needs == (tuple(kept) if product.name.startswith(("dynamic", "cells-2")) else ())
        assert len(product.columns) <= limits.MAX_PIXEL_BANDS
        assert (product.asset is not None) == (product.kind == "asset")
    assert plan["checkpoint-lst"].asset == f"{FOLDER}/{plan['checkpoint-lst'].description}"


def test_a_task_is_named_by_what_it_computes(preparation: Preparation) -> None:
    names = [product.description for product in exports.plan(preparation).products]
    again = [product.description for product in exports.plan(replace(preparation, name="other")).products]
    assert again == names
    strict = replace(preparation, recipe=RECOMMENDED.model_copy(update={"quality": "strict"}))
    changed = [product.description for product in exports.plan(strict).products]
    same = {a for a, b in zip(names, changed, strict=True) if a == b}
    assert {name.rpartition("-")[0] for name in same} == {"static", "cells-static"}
    shifted = replace(preparation, grid=GRID.pad(9))
    assert not set(names) & {product.description for product in exports.plan(shifted).products}


def test_a_month_that_was_too_much_is_cut_into_halves_that_hold_all_its_days(
    preparation: Preparation,
) -> None:
    whole = exports.plan(replace(preparation, calendar=ANHUI))
    halves = whole.split("dynamic-2019-07")
    assert halves is not None
    quarters = halves.split("cells-2019-07-17")  # the second half's table: July is cut again, the rest is not
    assert quarters is not None
    names = [product.name for product in quarters.products if "2019-07" in product.name]
    starts = ["01", "09", "17", "24"]
    assert names == [f"{kind}-2019-07-{day}" for day in starts for kind in ("dynamic", "cells")]
    bands = [name for product in quarters.products for name in product.columns]
    days = [name.removeprefix("NDVI_") for name in bands if name.startswith("NDVI_")]
    assert days == [f"{day:%Y%m%d}" for day in ANHUI.days]
    kept = {product.description for product in whole.products} & {
        product.description for product in quarters.products
    }
    assert len(kept) == len(whole.products) - 2
    table = quarters["cells-2019-07-09"]
    assert table.rows == 8 * len(preparation.cells)


def test_what_has_no_days_to_share_out_is_not_cut(preparation: Preparation) -> None:
    plan = exports.plan(replace(preparation, checkpoints=FOLDER))
    assert plan.split("static") is None
    assert plan.split("checkpoint-lst") is None
    assert plan.split("dynamic-2019-07") is None  # a month of one day


def test_the_static_table_tells_partition_and_valid_shares(earth: Any, preparation: Preparation) -> None:
    product = exports.plan(preparation)["cells-static"]
    rows = [row["properties"] for row in earth.value(product.expression)["features"]]
    assert rows
    for row in rows:
        assert row["partition"] == "JH"  # between Hefei and Chuzhou
        assert row["sand"] + row["silt"] + row["clay"] == pytest.approx(100, abs=2)
        assert sum(row[f"LC_{code}"] for code in range(5)) == pytest.approx(1)
        assert all(0 < row[f"{band}_valid"] <= 1 for band in ("sand", "dem", "LC_0"))
        assert set(row) - {"smap_lon", "smap_lat"} == set(product.columns)


def test_a_grid_or_a_request_beyond_the_limits_is_a_mistake(
    preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = GeoBox((2000, 2000), GRID.affine, GRID.crs)
    [mistake] = exports.plan(replace(preparation, grid=wide)).mistakes()
    assert "4.0 million pixels" in mistake
    assert "Split it into" in mistake
    monkeypatch.setattr(limits, "MAX_PAYLOAD_BYTES", 1000)
    found = exports.plan(preparation).mistakes()
    assert len(found) == 6
    assert all("store the region or the partitions as an asset" in mistake for mistake in found)


def test_checkpoints_of_too_many_bands_are_a_mistake(
    preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_STACKED_BANDS", 40)
    found = exports.plan(replace(preparation, checkpoints=FOLDER)).mistakes()
    # 20 days on either side of two with one band; 6 before and 5 after them with three.
    assert found[0].startswith("checkpoint-lst has 42 bands, more than 40")
    assert [text.split()[0] for text in found] == ["checkpoint-lst", "checkpoint-albedo"]
    assert all("fewer years" in text for text in found)


def test_the_paper_preset_builds_every_product(preparation: Preparation) -> None:
    recipe = PAPER.model_copy(update={"soil": "soilgrids"})
    coarse = cells.utm_cells(GRID.zoom_out(9))
    plan = exports.plan(replace(preparation, recipe=recipe, cells=coarse, smap_bin=target.PAPER_UTC))
    assert len(plan.products) == 6
    ours = {product.description for product in exports.plan(preparation).products}
    assert not ours & {product.description for product in plan.products}


def simulated(earth: Any, plan: exports.Plan, name: str) -> dict[str, Any]:
    return earth.pixels(plan[name].expression, PIXELS)


@pytest.fixture
def kept(earth: Any, preparation: Preparation) -> exports.Plan:
    """The plan with checkpoints, which are computed from the simulated sources and stored."""
    plan = exports.plan(replace(preparation, checkpoints=FOLDER))
    for product in plan.products:
        if product.kind == "asset":
            bands = earth.pixels(product.expression, PIXELS)
            assert tuple(bands) == product.columns
            assert {layer.dtype for layer in bands.values()} == {np.dtype(np.float32)}
            earth.put_image(str(product.asset), PIXELS, bands)
    return plan


def test_checkpoints_give_the_same_month_and_read_every_source_once(
    earth: Any, preparation: Preparation, kept: exports.Plan
) -> None:
    through = simulated(earth, kept, "dynamic-2019-07")
    direct = simulated(earth, exports.plan(preparation), "dynamic-2019-07")
    assert list(through) == list(direct) == list(kept["dynamic-2019-07"].columns)
    for name, layer in direct.items():
        np.testing.assert_allclose(through[name], layer, atol=2e-3 if name.startswith(("LST", "V")) else 2e-5)


def test_the_months_image_and_table_are_whole_and_agree(earth: Any, kept: exports.Plan) -> None:
    image = simulated(earth, kept, "dynamic-2019-07")
    assert all(layer.dtype == np.float32 and not layer.mask.any() for layer in image.values())
    rows = [row["properties"] for row in earth.value(kept["cells-2019-07"].expression)["features"]]
    assert len(rows) == len(kept.preparation.cells)
    columns = set(kept["cells-2019-07"].columns)
    for row in rows:
        assert set(row) - {"smap_lon", "smap_lat"} <= columns
        assert {"cell", "lon", "lat", "date", "doy", "sm", "smap_outage", "lst_valid"} <= set(row)
        assert (row["date"], row["doy"], row["smap_outage"]) == ("2019-07-01", 182, 1)
        assert 0.02 < row["sm"] < 0.6
    compared = 0
    for band in DYNAMIC:
        pixels = image[f"{band.upper()}_20190701"].data
        seen = pixels[pixels != NODATA]
        values = [row[band] for row in rows if band in row]
        if not seen.size:  # a rainy June may hide a band for weeks
            assert not values
            continue
        assert seen.min() - 1e-4 <= min(values) <= max(values) <= seen.max() + 1e-4
        compared += 1
    assert compared >= 6


def test_the_tasks_are_what_the_client_would_send(preparation: Preparation) -> None:
    plan = exports.plan(replace(preparation, checkpoints=FOLDER))
    image = exports.task(plan["dynamic-2019-07"], plan, "bucket", "box").config
    assert image["fileExportOptions"]["cloudStorageDestination"]["filenamePrefix"].startswith(
        "box/dynamic-2019-07-"
    )
    assert image["fileExportOptions"]["geoTiffOptions"]["noData"] == {"floatValue": NODATA}
    table = exports.task(plan["cells-2019-07"], plan, "bucket", "box").config
    assert table["selectors"] == list(plan["cells-2019-07"].columns)
    asset = exports.task(plan["checkpoint-lst"], plan, "bucket", "box").config
    assert asset["assetExportOptions"]["earthEngineDestination"]["name"] == plan["checkpoint-lst"].asset


def test_a_task_has_the_workload_tag_of_its_study_and_leaves_none_behind(preparation: Preparation) -> None:
    plan = exports.plan(replace(preparation, tag="anhui-2019"))
    assert exports.task(plan["static"], plan, "bucket", "box").workload_tag == "anhui-2019"
    assert ee.data.getWorkloadTag() == ""


def test_margins_are_those_of_filling_and_smoothing() -> None:
    reach = {name: predictors.margins(stream, RECOMMENDED) for name, stream in STREAMS.items()}
    assert reach == {
        "reflectance": (20, 20), "lst": (20, 20), "lai": (20, 20), "albedo": (20, 20), "sentinel1": (6, 5),
    }  # fmt: skip
    assert predictors.margins(STREAMS["sentinel1"], PAPER) == (6, 6)


def test_tables_from_simulated_sources_say_so_in_every_row(earth: Any, preparation: Preparation) -> None:
    plan = exports.plan(replace(preparation, simulated=True))
    rows = earth.value(plan["cells-static"].expression)["features"]
    assert rows
    assert {row["properties"]["simulated"] for row in rows} == {1}
    for product in plan.products:
        assert ("simulated" in product.columns) == (product.kind == "table")
    assert "simulated" not in exports.plan(preparation)["cells-static"].columns
