"""Exports of tables: to CSV, GeoJSON, KML, KMZ, shapefiles and GeoParquet in Cloud Storage, and to assets.

A collection is walked twice: the first walk computes it and finds its columns, the second writes. Earth
Engine documents no Parquet; it is the local engine's own addition for whoever trains on a table here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import geopandas as gpd
import pyogrio  # type: ignore[import-untyped]
import shapely

from gee.local import registry
from gee.local.assets.buckets import Buckets, ObjectUri
from gee.local.assets.geotiffs import storing
from gee.local.assets.iam import Identity
from gee.local.assets.image_content import kept_properties
from gee.local.assets.names import AssetName
from gee.local.assets.records import TABLE, NewAsset
from gee.local.assets.store import AssetStore
from gee.local.batch.image_exports import EDITOR, browser_url
from gee.local.batch.parquet_tables import Survey, plain, survey, write_parquet
from gee.local.batch.requests import ExportTable, FileExportOptions
from gee.local.batch.tasks import TaskHandle
from gee.local.engine import Engine
from gee.local.errors import EngineError
from gee.local.results.tables import GEOMETRY, columns, write_csv, write_geojson
from gee.local.values import Collection, Feature

CONTENT = "table.parquet"


@dataclass(frozen=True, eq=False)
class Table:
    """Features to be written.

    Args:
        features: computed, in order.
        selectors: columns wanted; none for all.
        found: in the first walk.
        handle: of the task.
    """

    features: Collection
    selectors: Sequence[str]
    found: Survey
    handle: TaskHandle


Writer = Callable[[Table, Path], None]
"""Writes a table to a file, or to several of that name."""


def _watched(table: Table) -> Iterator[Feature]:
    for number, feature in enumerate(table.features):
        table.handle.check_cancelled()
        yield feature
        table.handle.progress(0.5 + 0.5 * number / max(table.found.count, 1), "Writing")


@dataclass(frozen=True, eq=False)
class _Rewalked:
    """Features that can be walked again and again, each time asking whether to go on."""

    table: Table

    def __iter__(self) -> Iterator[Feature]:
        return _watched(self.table)


def _text(
    write: Callable[[Iterable[Feature], Sequence[str], TextIO], None], table: Table, path: Path
) -> None:
    with path.open("w", encoding="utf-8", newline="") as target:
        write(_Rewalked(table), table.selectors, target)


def _parquet(table: Table, path: Path) -> None:
    write_parquet(table.features, table.found, table.selectors, path, table.handle, keep_edges=False)


def _ogr(driver: str, table: Table, path: Path) -> None:
    names = [name for name in columns(table.features, table.selectors) if name != GEOMETRY]
    rows: list[list[Any]] = []
    shapes: list[Any] = []
    for feature in _watched(table):
        geometry = feature.geometry
        shapes.append(None if geometry is None else geometry.to_crs("EPSG:4326", geodesic=False).shape)
        values = [feature.properties.get(name) for name in names]
        rows.append([_cell(None if value is None else plain(value)) for value in values])
    frame = gpd.GeoDataFrame(
        {name: [row[index] for row in rows] for index, name in enumerate(names)},
        geometry=gpd.GeoSeries(shapes),
        crs="EPSG:4326",
    )
    try:
        pyogrio.write_dataframe(frame, path, driver=driver)
    except pyogrio.errors.DataSourceError as error:
        raise EngineError(f"The table cannot be written as {driver}: {error}") from error


def _cell(value: Any) -> Any:
    return str(value) if isinstance(value, (list, dict)) else value


WRITERS: Mapping[str, tuple[str, str, Writer]] = {
    "CSV": (".csv", "text/csv", partial(_text, write_csv)),
    "GEO_JSON": (".geojson", "application/geo+json", partial(_text, write_geojson)),
    "KML": (".kml", "application/vnd.google-earth.kml+xml", partial(_ogr, "LIBKML")),
    "KMZ": (".kmz", "application/vnd.google-earth.kmz", partial(_ogr, "LIBKML")),
    "SHP": (".shp", "application/octet-stream", partial(_ogr, "ESRI Shapefile")),
    "PARQUET": (".parquet", "application/vnd.apache.parquet", _parquet),
}
"""Format -> suffix, media type, what writes it."""


@dataclass(frozen=True, eq=False)
class TableExports:
    """Runs the tasks of type EXPORT_FEATURES.

    Attributes:
        engine: computes.
        store: of assets.
        buckets: of Cloud Storage.
    """

    engine: Engine
    store: AssetStore
    buckets: Buckets

    def check(self, body: Mapping[str, Any], caller: Identity) -> None:
        """Refuse a request that can never run, before it is queued.

        Raises:
            EngineError: it is malformed, or asks for what is not supported.
        """
        request = ExportTable.read(body)
        if request.feature_view_export_options or request.bigquery_export_options:
            raise EngineError("Exports to FeatureView and BigQuery are not supported by the local engine.")
        if request.asset_export_options is not None:
            AssetName.parse(request.asset_export_options.earth_engine_destination.name)
        elif request.file_export_options is not None:
            _writer(request.file_export_options)
        else:
            raise EngineError("Either 'fileExportOptions' or 'assetExportOptions' is required.")

    def run(self, body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        """Export a table (a ``tasks.Runner``)."""
        self.check(body, caller)
        request = ExportTable.read(body)
        if request.file_export_options is not None:
            return self._to_files(request, request.file_export_options, caller, handle)
        return self._to_asset(request, caller, handle)

    @contextmanager
    def _table(self, request: ExportTable, caller: Identity, handle: TaskHandle) -> Iterator[Table]:
        context = self.engine.context(caller, None)
        with self.engine.evaluated(request.expression, caller, context) as value:
            features = registry.expect(value, "FeatureCollection")
            handle.progress(0.0, "Computing")
            found = survey(_as_features(features), handle)
            if request.max_vertices:
                _check_vertices(features, request.max_vertices)
            yield Table(features, request.selectors, found, handle)

    def _to_files(
        self, request: ExportTable, options: FileExportOptions, caller: Identity, handle: TaskHandle
    ) -> list[str]:
        destination = options.destination()
        suffix, media_type, write = _writer(options)
        self.buckets.check_bucket(destination.bucket)
        with self.store.staging() as folder, self._table(request, caller, handle) as table:
            with storing(folder):
                write(table, folder / f"table{suffix}")
            for path in sorted(folder.iterdir()):
                uri = ObjectUri(destination.bucket, f"{destination.filename_prefix}{path.suffix}")
                self.buckets.upload(path, uri, media_type, handle.check_cancelled)
        return [browser_url(destination.bucket, destination.filename_prefix)]

    def _to_asset(self, request: ExportTable, caller: Identity, handle: TaskHandle) -> list[str]:
        assert request.asset_export_options is not None  # noqa: S101 - checked
        destination = request.asset_export_options.earth_engine_destination
        self.store.check_creation(destination.name, TABLE, caller, overwrite=destination.overwrite)
        with self.store.staging() as folder, self._table(request, caller, handle) as table:
            write_parquet(
                table.features, table.found, request.selectors, folder / CONTENT, handle, keep_edges=True
            )
            new = NewAsset(
                destination.name,
                TABLE,
                kept_properties(table.features.properties),
                geometry=table.found.footprint(),
                feature_count=table.found.count,
            )
            handle.check_cancelled()
            self.store.create(new, caller, overwrite=destination.overwrite, folder=folder)
        return [f"{EDITOR}{destination.name}"]


def _writer(options: FileExportOptions) -> tuple[str, str, Writer]:
    options.destination()
    found = WRITERS.get(options.file_format)
    if found is None:
        raise EngineError(
            f"Tables cannot be exported as '{options.file_format}' by the local engine; "
            f"it writes {', '.join(WRITERS)}."
        )
    return found


def _as_features(elements: Iterable[Any]) -> Iterator[Feature]:
    for element in elements:
        if not isinstance(element, Feature):
            raise EngineError(f"Only features can be exported, not {registry.type_name(element)}.")
        yield element


def _check_vertices(features: Iterable[Feature], limit: int) -> None:
    for feature in features:
        if feature.geometry is not None and shapely.get_num_coordinates(feature.geometry.shape) > limit:
            raise EngineError(
                "A geometry has more than 'maxVertices' vertices; the local engine does not cut geometries."
            )
