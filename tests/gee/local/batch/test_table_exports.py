"""Exports of tables, read back with pandas, geopandas and the engine itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ee
import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq
import pytest

from gee.local.assets.iam import LOCAL_USER
from gee.local.errors import EngineError

ROOT = "projects/my-project/assets"


def features() -> ee.FeatureCollection:
    """Three features whose properties differ in kind, and whose geometries do too."""
    return ee.FeatureCollection([
        ee.Feature(
            ee.Geometry.Point(117.25, 31.5), {"b": 1, "a": "x", "list": [1, 2], "when": ee.Date(5000)}
        ),
        ee.Feature(
            ee.Geometry.Rectangle([117, 30, 118, 31], None, False), {"b": 2.5, "a": "y, z", "mixed": 1}
        ),
        ee.Feature(None, {"b": 3, "mixed": "text", "yes": True}),
    ])  # fmt: skip


def to_bucket(collection: ee.FeatureCollection, prefix: str, kind: str, **more: Any) -> ee.batch.Task:
    return ee.batch.Export.table.toCloudStorage(
        collection=collection,
        description="t",
        bucket="bucket",
        fileNamePrefix=prefix,
        fileFormat=kind,
        **more,
    )


def export(local: Any, task: ee.batch.Task) -> dict[str, Any]:
    operation = local.export(task, "EXPORT_FEATURES")
    assert operation["metadata"]["state"] == "SUCCEEDED", operation.get("error")
    return operation


def test_a_csv_has_the_index_first_and_the_geometry_last(local: Any, tmp_path: Path) -> None:
    export(local, to_bucket(features(), "t/csv", "CSV"))
    frame = pd.read_csv(local.fetch("t/csv.csv", tmp_path))
    assert list(frame.columns) == ["system:index", "a", "b", "list", "mixed", "when", "yes", ".geo"]
    assert frame["b"].tolist() == [1, 2.5, 3]
    assert frame["a"].tolist()[:2] == ["x", "y, z"]
    assert json.loads(frame[".geo"][0]) == {"type": "Point", "coordinates": [117.25, 31.5]}
    assert frame[".geo"].isna().tolist() == [False, False, True]


def test_selectors_pick_and_order_the_columns(local: Any, tmp_path: Path) -> None:
    export(local, to_bucket(features(), "t/some", "CSV", selectors=["b", "a"]))
    lines = local.fetch("t/some.csv", tmp_path).read_text().splitlines()
    assert lines == ["b,a", "1,x", '2.5,"y, z"', "3,"]


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("GeoJSON", "geojson"), ("Parquet", "parquet"), ("SHP", "shp"), ("KML", "kml"), ("KMZ", "kmz")],
)
def test_geometries_arrive_in_every_format(local: Any, tmp_path: Path, kind: str, suffix: str) -> None:
    two = ee.FeatureCollection([
        ee.Feature(ee.Geometry.Point(117.25, 31.5), {"name": "p", "v": 1.5}),
        ee.Feature(ee.Geometry.Point(116, 30), {"name": "q", "v": 2.5}),
    ])  # fmt: skip
    export(local, to_bucket(two, f"f/{suffix}/t", kind))
    for name in local.names(f"f/{suffix}/"):
        local.bucket.blob(name).download_to_filename(str(tmp_path / name.rpartition("/")[2]))
    path = tmp_path / f"t.{suffix}"
    frame = gpd.read_parquet(path) if kind == "Parquet" else gpd.read_file(path)
    assert [(p.x, p.y) for p in frame.geometry] == [(117.25, 31.5), (116, 30)]
    assert frame.crs.to_epsg() in (4326, None) and frame.crs.is_geographic
    if kind not in ("KML", "KMZ"):
        assert frame["v"].tolist() == [1.5, 2.5]


def test_a_table_asset_gives_back_what_was_put_in(local: Any) -> None:
    task = ee.batch.Export.table.toAsset(features().set("source", "test"), "t", f"{ROOT}/table")
    export(local, task)
    asset = local.api.store.get(f"{ROOT}/table", LOCAL_USER)
    assert (asset.type, asset.feature_count, asset.properties) == ("TABLE", 3, {"source": "test"})
    with local.evaluated(ee.FeatureCollection(f"{ROOT}/table")) as table:
        read = list(table)
    properties = [{k: v for k, v in one.properties.items() if k != "system:index"} for one in read]
    assert properties == [
        {"b": 1, "a": "x", "list": [1, 2], "when": 5000},
        {"b": 2.5, "a": "y, z", "mixed": 1},
        {"b": 3, "mixed": "text", "yes": True},
    ]
    assert [one.properties["system:index"] for one in read] == ["0", "1", "2"]
    assert read[0].geometry.as_json()["coordinates"] == [117.25, 31.5]
    assert read[1].geometry.as_json()["geodesic"] is False
    assert read[1].geometry.shape.bounds == (117, 30, 118, 31)
    assert read[2].geometry is None


def test_great_circles_stay_great_circles_in_an_asset(local: Any) -> None:
    line = ee.Geometry.LineString([[100, 40], [120, 40]])
    export(
        local, ee.batch.Export.table.toAsset(ee.FeatureCollection([ee.Feature(line)]), "t", f"{ROOT}/line")
    )
    with local.evaluated(ee.FeatureCollection(f"{ROOT}/line").geometry().length()) as stored:
        length = stored
    with local.evaluated(line.length()) as direct:
        assert length == pytest.approx(direct, rel=1e-9)


def test_a_large_table_is_written_in_groups(local: Any, tmp_path: Path) -> None:
    many = ee.FeatureCollection(
        ee.List.sequence(0, 11_999).map(lambda i: ee.Feature(ee.Geometry.Point(0, 0), {"i": i}))
    )
    export(local, to_bucket(many, "many", "Parquet"))
    file = pq.ParquetFile(local.fetch("many.parquet", tmp_path))
    assert file.num_row_groups == 3
    assert file.read(["i"])["i"].to_pylist() == list(range(12_000))


def test_a_corrupt_table_names_its_asset(local: Any) -> None:
    export(local, ee.batch.Export.table.toAsset(features(), "t", f"{ROOT}/bad"))
    asset = local.api.store.get(f"{ROOT}/bad", LOCAL_USER)
    with local.api.store.reading(asset) as files:
        files[0].write_bytes(b"\1" * files[0].stat().st_size)
    with (
        pytest.raises(EngineError, match=f"Asset '{ROOT}/bad' cannot be read"),
        local.evaluated(ee.FeatureCollection(f"{ROOT}/bad").size()),
    ):
        pass


def test_formats_and_places_the_engine_does_not_write_are_refused(local: Any) -> None:
    with pytest.raises(EngineError, match="TF_RECORD_TABLE"):
        local.export(to_bucket(features(), "x", "TFRecord"), "EXPORT_FEATURES")
    with pytest.raises(EngineError, match="Google Drive are not supported"):
        local.export(ee.batch.Export.table.toDrive(features(), "t"), "EXPORT_FEATURES")
