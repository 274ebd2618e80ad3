"""Collections of Earth Engine at stations, on the local engine: uploads, the catalogue, published maps."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

import ee
import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from gee import comparisons, limits
from gee.assets import describe, find
from gee.connection import connect
from gee.local.rest.process import Child
from gee.timeseries import Calendar
from pipeline.cloud.storage import open_bucket
from pipeline.errors import ConfigError, DataError
from pipeline.products import assets
from pipeline.products.assets import AssetProduct, at_places
from pipeline.products.named import named
from pipeline.products.predictions import predictions_at, published_at
from pipeline.products.product import gather
from pipeline.products.published import PublishedMaps, published
from pipeline.publishing.publish import publish
from tests.conftest import PROJECT
from tests.pipeline.products.conftest import Study, stations
from tests.pipeline.publishing import made
from tests.pipeline.publishing.elsewhere import QUICK

TRUTH = "simulated/truth/soil_moisture_1km"
PIXELS = {
    "a": (12, 20),
    "b": (20, 30),
    "corner": (2, 3),
    "beyond": (2, 90),
}  # row and column; no corner has values


def quiet(what: str, share: float) -> None:
    assert what
    assert 0 <= share <= 1


def places() -> pd.DataFrame:
    row, column = (np.array(axis) for axis in zip(*PIXELS.values(), strict=True))
    to_degrees = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(500_000 + 1000 * (column + 0.337), 3_600_000 - 1000 * (row + 0.571))
    return pd.DataFrame({"station": list(PIXELS), "lon": lon, "lat": lat})


@pytest.fixture(scope="module")
def engine(server: Child, real_client: None) -> Iterator[Child]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        connect(server.address.url, PROJECT)
        yield server


@pytest.fixture(scope="module")
def collection(engine: Child, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three days of maps, published as ``gee-smap publish`` does."""
    work = made.work_directory(tmp_path_factory.mktemp("published") / "work")
    name = f"{made.ROOT}/p{uuid.uuid4().hex[:10]}"
    bucket = open_bucket(f"sm-{uuid.uuid4().hex[:8]}", PROJECT, engine.address.storage, create=True)
    publish(work, name, bucket, "study/products", lambda what, share: None, patience=QUICK)
    return name


@pytest.fixture(scope="module")
def maps(collection: str) -> PublishedMaps:
    return published(collection)


def test_a_published_collection_says_what_it_is(maps: PublishedMaps) -> None:
    assert maps.days == made.DAYS
    assert maps.simulated
    told = maps.properties
    assert (told["study"], told["study_hash"]) == ("simulated-tiny", "s" * 64)
    assert len(told["model_hash"]) == 64
    assert told["source_smap"] == "NASA/SMAP/SPL4SMGP/008"
    assert told["r_random"] == 0.9123
    assert {"gee_smap", "preset", "units"} <= told.keys()


def test_published_maps_are_read_on_the_day_they_stand_for(maps: PublishedMaps) -> None:
    found = maps.at(places(), maps.days, quiet).moisture
    expected = np.full((3, 4), np.nan)
    for day in range(3):
        values = made.soil_moisture(day)
        expected[day, :2] = [values[PIXELS[name]] for name in ("a", "b")]
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_with_the_collection_alone_maps_stand_beside_smap(maps: PublishedMaps) -> None:
    found = published_at(maps, places(), [named(f"truth={TRUTH}")], quiet)
    assert list(found.table.columns) == [
        "station", "date", "lon", "lat", "outage", "sm", "smap", "smap_bilinear", "truth", "simulated"
    ]  # fmt: skip
    assert set(found.table["station"]) == {"a", "b"}
    assert found.table["simulated"].all()
    assert "2 of 4 stations lie where the maps have no value" in found.notes[0]
    assert found.properties["study"] == "simulated-tiny"
    assert found.table.groupby("date")["outage"].all().to_list() == [False, True, True]
    row = found.table.set_index(["station", "date"]).loc["a", pd.Timestamp(2019, 6, 19)]
    # The bin of the morning in China.
    scene = ee.ImageCollection("NASA/SMAP/SPL4SMGP/008").filterDate("2019-06-18T21:00", "2019-06-19").first()
    spot = ee.Geometry.Point([row["lon"], row["lat"]])
    [feature] = scene.select("sm_surface").sample(spot, 100).getInfo()["features"]
    assert row["smap"] == pytest.approx(feature["properties"]["sm_surface"], abs=1e-6)
    assert row["smap_bilinear"] != row["smap"]


def test_maps_that_do_not_say_their_smap_stand_alone(maps: PublishedMaps) -> None:
    silent = PublishedMaps(
        maps.asset, {key: one for key, one in maps.properties.items() if key != "source_smap"}, maps.days
    )
    assert "smap" not in published_at(silent, places(), [], quiet).table


def test_maps_without_a_value_at_any_station_are_an_error(maps: PublishedMaps) -> None:
    with pytest.raises(DataError, match="has no value at any of the 1 stations"):
        published_at(maps, places()[2:3], [], quiet)


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        (f"{made.ROOT}/nothing_here", "does not exist, or you may not read it"),
        (TRUTH, "is no collection that gee-smap published"),
    ],
)
def test_what_is_not_published_by_gee_smap_is_refused(engine: Child, asset: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        published(asset)


def test_a_collection_of_the_catalogue_is_read_at_its_pixels(engine: Child) -> None:
    days = [dt.date(2019, 6, 1), dt.date(2019, 6, 2)]
    spots = places()
    found = AssetProduct("truth", "Truth", TRUTH).at(spots, days, quiet).moisture
    for day, values in zip(days, found, strict=True):
        image = ee.ImageCollection(TRUTH).filterDate(f"{day}", f"{day + dt.timedelta(days=1)}").first()
        for lon, lat, value in zip(spots["lon"], spots["lat"], values, strict=True):
            told = image.reduceRegion(ee.Reducer.first(), ee.Geometry.Point([lon, lat])).getInfo()
            assert value == pytest.approx(told["sm"], abs=1e-7)


def test_requests_stay_below_the_limits_and_cut_nothing(
    engine: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [dt.date(2019, 6, 1) + dt.timedelta(days=number) for number in range(9)]

    def truth(calendar: Calendar) -> ee.ImageCollection:
        return comparisons.truth(calendar)

    whole = at_places(truth, "sm", places(), days, quiet)
    asked: list[int] = []
    compute = ee.data.computeFeatures

    def counted(request: dict[str, object]) -> dict[str, list[object]]:
        page = compute(request)
        asked.append(len(page["features"]))
        return page

    monkeypatch.setattr(ee.data, "computeFeatures", counted)
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 12)
    monkeypatch.setattr(limits, "FEATURES_PER_PAGE", 5)
    monkeypatch.setattr(assets, "REQUEST_STATIONS", 3)
    parts = at_places(truth, "sm", places(), days, quiet)
    np.testing.assert_array_equal(parts, whole)
    assert np.isfinite(whole).all()
    assert sum(asked) == 9 * 4
    assert max(asked) <= 5


def test_an_upload_of_the_users_own_is_scaled_as_told(collection: str) -> None:
    """The days of its images are those of their start, which the maps' properties would correct."""
    days = [day - dt.timedelta(days=1) for day in made.DAYS]
    product = named(f"mine={collection}#sm*0.5+0.01")
    found = product.at(places(), days, quiet).moisture
    stored = made.soil_moisture(0)[PIXELS["a"]]
    assert found[0, 0] == pytest.approx(stored * 0.5 + 0.01, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"mine={made.ROOT}/nothing_here", "nothing_here does not exist, or you may not read it"),
        (f"mine={TRUTH}#moisture", "has no band moisture: name one of sm behind it"),
        ("mine=NASA/SMAP/SPL4SMGP/008", "bands: name one of"),
        ("mine=CGIAR/SRTM90_V4", "is no imagecollection"),
        (f"mine={TRUTH}#sm*100", "of its values lie outside -0.1 to 1"),
    ],
)
def test_what_is_wrong_with_an_asset_becomes_a_note(engine: Child, text: str, message: str) -> None:
    found, [note] = gather([named(text)], places(), made.DAYS, quiet)
    assert not found
    assert note.startswith("mine is not compared: ")
    assert message in note


def test_an_asset_of_another_period_says_its_own(collection: str) -> None:
    _, [note] = gather([named(f"mine={collection}")], places(), [dt.date(2021, 1, 1)], quiet)
    assert "has no image from 2021-01-01 to 2021-01-01; its images are of 2019-06-17 to 2019-06-19" in note


def test_a_refusal_half_way_costs_the_product_and_nothing_else(
    engine: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, calls = ee.data.computeFeatures, []

    def refusing(request: dict[str, object]) -> dict[str, list[object]]:
        calls.append(request)
        if len(calls) == 3:
            raise ee.EEException("User memory limit exceeded.")
        return compute(request)

    monkeypatch.setattr(ee.data, "computeFeatures", refusing)
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 4)
    days = [dt.date(2019, 6, 1) + dt.timedelta(days=number) for number in range(20)]
    found, [note] = gather([named(f"truth={TRUTH}")], places(), days, quiet)
    assert not found
    assert note == "truth is not compared: Earth Engine answers: User memory limit exceeded."
    assert len(calls) < 20  # what was not begun is not asked for


def test_images_that_are_provisional_or_of_another_model_are_told(collection: str) -> None:
    image = f"{collection}/20190620"
    before = find(image)
    assert before is not None
    describe(image, {"model_hash": "other", "provisional": 1})
    try:
        notes = published(collection).notes
    finally:
        describe(image, {name: before.properties[name] for name in ("model_hash", "provisional")})
    assert notes[0].startswith("1 of 3 images were made by another model than the collection says")
    assert notes[1].startswith("1 of 3 images are provisional")
    assert published(collection).notes == ()


def test_an_asset_stands_beside_the_maps_of_a_work_directory(engine: Child, study: Study) -> None:
    found = predictions_at(study.work, stations(), [named(f"truth={TRUTH}")])
    assert found.table["truth"].notna().all()
    assert Path(found.products[0].source) == study.work.root
    assert found.products[-1].source == TRUTH
