"""Ingestions: images and tables made of files in Cloud Storage, and images that stay there.

Sources of a tileset are mosaicked, tilesets are stacked, bands are picked from them; what the manifest says
of missing data and masks is written into the asset's mask. Source: guides/image_manifest,
guides/table_upload, Earth_Engine_asset_from_cloud_geotiff.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio  # type: ignore[import-untyped]
import rasterio
from pydantic.alias_generators import to_camel
from rasterio.errors import RasterioError

from gee.local.assets.buckets import Buckets, ObjectUri
from gee.local.assets.descriptions import describe_band
from gee.local.assets.geotiffs import environment, storing
from gee.local.assets.iam import Identity
from gee.local.assets.image_content import extra, kept_properties, outline, write_content
from gee.local.assets.names import AssetName
from gee.local.assets.records import IMAGE, TABLE, Asset, NewAsset, parse_time
from gee.local.assets.store import AssetStore
from gee.local.assets.tablefiles import Edges, csv_rows, read_table, rows
from gee.local.batch.manifests import Mosaic, Plan, RasterSource, grid_of, planned
from gee.local.batch.parquet_tables import survey, write_parquet
from gee.local.batch.requests import ImageManifest, ImportImage, ImportTable, Source, TableSource
from gee.local.batch.table_exports import CONTENT
from gee.local.batch.tasks import TaskHandle
from gee.local.batch.tiling import STAGE, windows
from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.messages import Message
from gee.local.raster.images import Band
from gee.local.raster.pixels import Constant, Raster, Window
from gee.local.results.tables import INDEX
from gee.local.values import Collection, Feature, type_of

TILE = 512  # pixels; of what is copied at a time
FETCH = "Fetching"
COG_BLOCKS = (256, 512, 1024, 2048)  # Earth_Engine_asset_from_cloud_geotiff
SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
SHAPEFILE_START = bytes((0, 0, 0x27, 0x0A))  # ESRI Shapefile Technical Description, file code 9994
_FETCHED_SHARE = 0.3  # of a task's progress


@dataclass(frozen=True)
class _Times:
    start: int | None
    end: int | None


def _times(start: str | None, end: str | None) -> _Times:
    return _Times(
        None if start is None else parse_time(start, "startTime"),
        None if end is None else parse_time(end, "endTime"),
    )


class Ingestion:
    """Runs the tasks of type INGEST_IMAGE and INGEST_TABLE, and makes images that stay in Cloud Storage.

    Args:
        store: of assets.
        buckets: of Cloud Storage.
    """

    def __init__(self, store: AssetStore, buckets: Buckets) -> None:
        self._store = store
        self._buckets = buckets

    def check_image(self, body: Mapping[str, Any], caller: Identity) -> None:
        """Refuse a manifest that can never be ingested, before it is queued.

        Raises:
            EngineError: it is malformed.
        """
        manifest = ImportImage.read(body).image_manifest
        AssetName.parse(manifest.name)
        _times(manifest.start_time, manifest.end_time)
        for tileset in manifest.tilesets:
            _refuse(tileset, "data_type", "subdataset_prefix", "subdataset_suffix")
            for source in tileset.sources:
                _refuse(source, "affine_transform", "dimensions")
                _uris(source, manifest.uri_prefix)

    def check_table(self, body: Mapping[str, Any], caller: Identity) -> None:
        """Refuse a manifest that can never be ingested, before it is queued.

        Raises:
            EngineError: it is malformed.
        """
        manifest = ImportTable.read(body).table_manifest
        AssetName.parse(manifest.name)
        _times(manifest.start_time, manifest.end_time)
        _refuse(manifest, "column_data_type_overrides")
        for source in manifest.sources:
            _refuse(source, "crs", "primary_geometry_column", "date_format", "max_vertices")
            _uris(source, manifest.uri_prefix)

    def image(self, body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        """Ingest an image (a ``tasks.Runner``)."""
        self.check_image(body, caller)
        request = ImportImage.read(body)
        manifest = request.image_manifest
        self._store.check_creation(manifest.name, IMAGE, caller, overwrite=request.overwrite)
        with (
            environment(),
            self._store.staging() as fetched,
            self._store.staging() as folder,
            ExitStack() as opened,
        ):
            mosaics = self._mosaics(manifest, fetched, opened, handle)
            plan = planned(manifest, mosaics)
            places = write_content(folder, plan.dtypes, plan.grid, _tiles(plan, handle))
            handle.check_cancelled()
            self._create(manifest, plan, places, caller, request.overwrite, folder)
        return [f"https://code.earthengine.google.com/?asset={manifest.name}"]

    def _mosaics(
        self, manifest: ImageManifest, folder: Path, opened: ExitStack, handle: TaskHandle
    ) -> dict[str, Mosaic]:
        """The sources of each tileset, fetched and open."""
        mosaics: dict[str, Mosaic] = {}
        count = sum(len(tileset.sources) for tileset in manifest.tilesets)
        done = 0
        for number, tileset in enumerate(manifest.tilesets):
            sources = []
            for source in tileset.sources:
                path = self._fetch(_uris(source, manifest.uri_prefix), folder, f"{done:05}", handle)
                done += 1
                handle.progress(_FETCHED_SHARE * done / count, FETCH)
                try:
                    # Formats that refer to other files would open this machine's to whoever sends a manifest.
                    dataset = opened.enter_context(rasterio.open(path, driver="GTiff"))
                    sources.append(RasterSource(dataset, source.uris[0]))
                except RasterioError as error:
                    raise EngineError(f"'{source.uris[0]}' cannot be read as a GeoTIFF: {error}") from error
            key = tileset.id or (str(number) if len(manifest.tilesets) > 1 else "")
            if key in mosaics:
                raise EngineError(f"Tileset '{key}' is given twice.")
            mosaics[key] = Mosaic.of(sources, tileset.crs)
        return mosaics

    def _fetch(self, uris: list[ObjectUri], folder: Path, stem: str, handle: TaskHandle) -> Path:
        """Fetch the objects of a source; the first one's file."""
        place = folder / stem
        place.mkdir()
        paths = []
        for number, uri in enumerate(uris):
            # Files of one source find each other by their stem: x.tif and x.tfw, x.shp and x.dbf.
            path = place / f"source{Path(uri.name).suffix.lower()}"
            if path.exists():
                raise EngineError(f"A source has two files of the same kind: '{uris[number]}'.")
            with storing(folder):
                self._buckets.download(uri, path, handle.check_cancelled)
            paths.append(path)
        return paths[0]

    def _create(
        self,
        manifest: ImageManifest,
        plan: Plan,
        places: list[dict[str, Any]],
        caller: Identity,
        overwrite: bool,
        folder: Path | None,
    ) -> Asset:
        times = _times(manifest.start_time, manifest.end_time)
        bands = [
            describe_band(
                Band(name, type_of(dtype), plan.grid.projection, Constant(np.zeros((), dtype)), plan.grid),
                policy,
            )
            for name, dtype, policy in zip(plan.names, plan.dtypes, plan.pyramiding, strict=True)
        ]
        footprint = None if manifest.footprint is None else Geometry.from_geojson(manifest.footprint)
        new = NewAsset(
            manifest.name, IMAGE, kept_properties(manifest.properties), times.start, times.end, bands,
            outline(plan.grid, footprint), extra=extra(places, footprint),
        )  # fmt: skip
        return self._store.create(new, caller, overwrite=overwrite, folder=folder)

    # Images that stay in Cloud Storage

    def external(self, body: Mapping[str, Any], caller: Identity) -> dict[str, Any]:
        """Make an asset of Cloud Optimized GeoTIFFs that stay where they are, pinned to their generation.

        Returns:
            The asset as the REST API has it.

        Raises:
            EngineError: the manifest asks for what such assets cannot have, or an object is not fit.
        """
        self.check_image(body, caller)
        request = ImportImage.read(body)
        manifest = request.image_manifest
        self._store.check_creation(manifest.name, IMAGE, caller, overwrite=request.overwrite)
        if any(len(tileset.sources) > 1 for tileset in manifest.tilesets):
            raise EngineError("Each tileset of an external image must have exactly one source.")
        if manifest.mask_bands:
            raise EngineError("External images cannot have mask bands.")
        pinned: dict[str, ObjectUri] = {}
        handle = TaskHandle("external", 1)
        with environment(), self._store.staging() as fetched, ExitStack() as opened:
            for tileset in manifest.tilesets:
                [uri] = _uris(tileset.sources[0], manifest.uri_prefix)
                found = self._buckets.find(uri)
                if found is None:
                    raise EngineError(f"Failed to load the GeoTIFF at {uri}", "NOT_FOUND")
                pinned[str(uri)] = found
            mosaics = self._mosaics(manifest, fetched, opened, handle)
            plan = planned(manifest, mosaics)
            places = []
            for band in plan.bands:
                source = band.mosaic.sources[0]
                _check_cog(source)
                uri = _uris(Source(uris=[source.uri]), manifest.uri_prefix)[0]
                places.append(
                    {"object": str(pinned[str(uri)]), "band": band.index + 1, "missing": list(band.missing)}
                )
                if grid_of(source.dataset) != plan.grid:
                    raise EngineError("The tilesets of an external image must have the same grid.")
            return self._create(manifest, plan, places, caller, request.overwrite, None).to_rest()

    # Tables

    def table(self, body: Mapping[str, Any], caller: Identity, handle: TaskHandle) -> list[str]:
        """Ingest a table (a ``tasks.Runner``)."""
        self.check_table(body, caller)
        request = ImportTable.read(body)
        manifest = request.table_manifest
        self._store.check_creation(manifest.name, TABLE, caller, overwrite=request.overwrite)
        with self._store.staging() as fetched, self._store.staging() as folder:
            parts: list[Callable[[], Iterator[Feature]]] = []
            for number, source in enumerate(manifest.sources):
                path = self._fetch(_uris(source, manifest.uri_prefix), fetched, f"{number:05}", handle)
                parts.append(_reader(path, source))
                handle.progress(_FETCHED_SHARE * (number + 1) / len(manifest.sources), FETCH)

            def numbered() -> Iterator[Feature]:
                count = 0
                for part in parts:
                    for feature in part():
                        yield feature.having({INDEX: f"{count:020x}"})
                        count += 1

            features = Collection({}, numbered())
            found = survey(features, handle)
            write_parquet(features, found, (), folder / CONTENT, handle, keep_edges=True)
            times = _times(manifest.start_time, manifest.end_time)
            new = NewAsset(
                manifest.name, TABLE, kept_properties(manifest.properties), times.start, times.end,
                geometry=found.footprint(), feature_count=found.count,
            )  # fmt: skip
            handle.check_cancelled()
            self._store.create(new, caller, overwrite=request.overwrite, folder=folder)
        return [f"https://code.earthengine.google.com/?asset={manifest.name}"]


def _refuse(message: Message, *fields: str) -> None:
    """Refuse what a manifest asks for and this engine would not do."""
    for name in fields:
        if getattr(message, name):
            raise EngineError(f"'{to_camel(name)}' in a manifest is not supported by the local engine.")


def _uris(source: Source | TableSource, prefix: str) -> list[ObjectUri]:
    """The objects of a source."""
    return [ObjectUri.parse(uri if uri.startswith("gs://") else f"{prefix}{uri}") for uri in source.uris]


def _tiles(plan: Plan, handle: TaskHandle) -> Iterator[tuple[Window, list[Raster]]]:
    grid = plan.grid
    for window in windows(grid, TILE):
        handle.check_cancelled()
        yield window, plan.read(window)
        done = (window.row * grid.width + (window.column + window.width) * window.height) / (
            grid.width * grid.height
        )
        handle.progress(_FETCHED_SHARE + (1 - _FETCHED_SHARE) * done, STAGE)


def _check_cog(source: RasterSource) -> None:
    dataset = source.dataset
    height, width = dataset.block_shapes[0]
    if dataset.driver not in ("GTiff", "COG") or height != width or width not in COG_BLOCKS:
        raise EngineError(
            f"'{source.uri}' is no Cloud Optimized GeoTIFF with tiles of 256, 512, 1024 or 2048 pixels."
        )


def _reader(path: Path, source: TableSource) -> Callable[[], Iterator[Feature]]:
    """What reads a fetched file of a table."""
    if path.suffix == ".zip":
        path = _unzipped(path)
    if path.suffix == ".shp":
        return lambda: _shapefile(path, source)
    if path.suffix == ".csv":
        return lambda: _csv(path, source)
    return lambda: read_table(path)


def _csv(path: Path, source: TableSource) -> Iterator[Feature]:
    if bool(source.x_column) != bool(source.y_column):
        raise EngineError("'xColumn' and 'yColumn' are given together.")
    places = (source.x_column, source.y_column) if source.x_column and source.y_column else None
    options = {"sep": source.csv_delimiter, "quotechar": source.csv_qualifier, "encoding": source.charset}
    try:
        for geometry, properties in csv_rows(path, places, **options):
            yield Feature(properties, geometry)
    except (LookupError, ValueError) as error:
        raise EngineError(f"'{source.uris[0]}' cannot be read as a CSV: {error}") from error


def _unzipped(path: Path) -> Path:
    """The shapefile in an archive, whose other members are left where they are."""
    folder = path.parent
    try:
        with zipfile.ZipFile(path) as archive, storing(folder):
            for member in archive.infolist():
                suffix = Path(member.filename).suffix.lower()
                target = folder / f"source{suffix}"
                if suffix not in SHAPEFILE:
                    continue
                if target.exists():
                    raise EngineError("An archive must hold one shapefile.")
                with archive.open(member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except zipfile.BadZipFile as error:
        raise EngineError(f"An archive cannot be opened: {error}") from error
    if not (folder / "source.shp").exists():
        raise EngineError("An archive must hold one shapefile.")
    return folder / "source.shp"


def _shapefile(path: Path, source: TableSource) -> Iterator[Feature]:
    with path.open("rb") as file:
        if file.read(4) != SHAPEFILE_START:  # GDAL would open whatever else it is
            raise EngineError(f"'{source.uris[0]}' is no shapefile.")
    try:
        frame = pyogrio.read_dataframe(path, encoding=source.charset)
    except (pyogrio.errors.DataSourceError, LookupError, ValueError) as error:
        raise EngineError(f"'{source.uris[0]}' cannot be read as a shapefile: {error}") from error
    shapes = frame.geometry.to_crs("EPSG:4326") if frame.crs is not None else frame.geometry
    records = frame.drop(columns=frame.geometry.name).to_dict("records")
    for record, shape in zip(records, shapes.to_wkb(), strict=True):
        record["geometry"] = shape
    geodesic = True if source.geodesic is None else source.geodesic
    for geometry, properties in rows(records, None, Edges("geometry", geodesic=geodesic)):
        yield Feature(properties, geometry)
