"""Bodies of the requests for batch tasks: exports of images and tables, and manifests of ingestions.

Source: REST reference v1, projects.image/export, projects.table/export, projects.image/import,
projects.table/import; the wrapped numbers are written as earthengine-api sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gee import limits
from gee.local.errors import EngineError
from gee.local.messages import GridDimensions, Message, PixelGrid


def _unwrapped(value: Any) -> Any:
    """``{"value": "5"}`` as 5: the JSON of a number that may be absent."""
    return value["value"] if isinstance(value, Mapping) and set(value) == {"value"} else value


Wrapped = Annotated[int, BeforeValidator(_unwrapped)]
Pyramiding = Literal["MEAN", "SAMPLE", "MODE", "MIN", "MAX", "MEDIAN"]


class NoData(Message):
    """The value of pixels without data."""

    float_value: float | None = None
    integer_value: int | None = None

    @property
    def value(self) -> float:
        """The number."""
        if self.float_value is not None:
            return self.float_value
        return self.integer_value or 0


class CloudStorageDestination(Message):
    """Where the files of an export go."""

    bucket: str
    filename_prefix: str = ""
    permissions: str = "DEFAULT_OBJECT_ACL"
    bucket_cors_uris: list[str] = Field(default_factory=list)


class EarthEngineDestination(Message):
    """The asset an export makes."""

    name: str
    overwrite: bool = False


class GeoTiffOptions(Message):
    """How GeoTIFFs are written."""

    cloud_optimized: bool = False
    tile_dimensions: GridDimensions | None = None
    skip_empty_files: bool = False
    tile_size: Annotated[Wrapped, Field(gt=0, le=4096)] = limits.SHARD_PIXELS
    no_data: NoData | None = None
    metadata_keys: list[str] = Field(default_factory=list)


class FileExportOptions(Message):
    """An export to files."""

    file_format: str = "AUTO_JPEG_PNG"
    cloud_storage_destination: CloudStorageDestination | None = None
    drive_destination: dict[str, Any] | None = None
    geo_tiff_options: GeoTiffOptions = GeoTiffOptions()
    tf_record_options: dict[str, Any] | None = None

    def destination(self) -> CloudStorageDestination:
        """Where the files go.

        Raises:
            EngineError: to Google Drive, or nowhere.
        """
        if self.drive_destination is not None:
            raise EngineError(
                "Exports to Google Drive are not supported by the local engine; "
                "export to Cloud Storage or to an asset instead."
            )
        if self.cloud_storage_destination is None or not self.cloud_storage_destination.bucket:
            raise EngineError("'cloudStorageDestination.bucket' is required.")
        if self.cloud_storage_destination.permissions == "PUBLIC":
            raise EngineError("The local engine does not make exported files public.")
        return self.cloud_storage_destination


class ImageAssetOptions(Message):
    """An export of an image to an asset."""

    earth_engine_destination: EarthEngineDestination
    pyramiding_policy: Pyramiding | Literal["PYRAMIDING_POLICY_UNSPECIFIED"] = "MEAN"
    pyramiding_policy_overrides: dict[str, Pyramiding] = Field(default_factory=dict)
    tile_size: Wrapped | None = None

    def pyramiding(self, band: str) -> str:
        """The policy of a band."""
        policy = self.pyramiding_policy_overrides.get(band, self.pyramiding_policy)
        return "MEAN" if policy == "PYRAMIDING_POLICY_UNSPECIFIED" else policy


class Batch(Message):
    """What all requests for batch tasks say."""

    description: str = ""
    request_id: str | None = None
    workload_tag: str | None = None
    priority: Wrapped | None = None
    max_workers: Wrapped | None = None


class ExportImage(Batch):
    """Of ``image:export``."""

    expression: dict[str, Any]
    file_export_options: FileExportOptions | None = None
    asset_export_options: ImageAssetOptions | None = None
    max_pixels: Annotated[Wrapped, Field(gt=0)] = limits.EXPORT_MAX_PIXELS
    grid: PixelGrid = PixelGrid()


class TableAssetOptions(Message):
    """An export of a table to an asset."""

    earth_engine_destination: EarthEngineDestination


class ExportTable(Batch):
    """Of ``table:export``."""

    expression: dict[str, Any]
    file_export_options: FileExportOptions | None = None
    asset_export_options: TableAssetOptions | None = None
    feature_view_export_options: dict[str, Any] | None = None
    bigquery_export_options: dict[str, Any] | None = None
    selectors: list[str] = Field(default_factory=list)
    max_error_meters: float | None = None
    max_vertices: Wrapped | None = None


class MissingData(Message):
    """Values that stand for no data."""

    values: list[float] = Field(default_factory=list)


class Source(Message):
    """Objects that make one source, the data first."""

    uris: list[str] = Field(min_length=1)
    affine_transform: dict[str, float] | None = None
    dimensions: GridDimensions | None = None


class Tileset(Message):
    """Sources that are mosaicked."""

    id: str = ""
    sources: list[Source] = Field(min_length=1)
    data_type: str | None = None
    crs: str | None = None
    subdataset_prefix: str | None = None
    subdataset_suffix: str | None = None


class ManifestBand(Message):
    """One band of an image to be made."""

    id: str
    tileset_id: str | None = None
    tileset_band_index: int = Field(default=0, ge=0)
    pyramiding_policy: Pyramiding | None = None
    missing_data: MissingData | None = None


class MaskBand(Message):
    """A band that tells where others have data."""

    tileset_id: str = ""
    band_ids: list[str] = Field(default_factory=list)


class ImageManifest(Message):
    """An image to be made of files in Cloud Storage."""

    name: str
    tilesets: list[Tileset] = Field(min_length=1)
    bands: list[ManifestBand] = Field(default_factory=list)
    mask_bands: list[MaskBand] = Field(default_factory=list)
    footprint: dict[str, Any] | None = None
    missing_data: MissingData | None = None
    pyramiding_policy: Pyramiding | None = None
    uri_prefix: str = ""
    start_time: str | None = None
    end_time: str | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    min_tile_area_ratio: float | None = None
    skip_metadata_read: bool = False
    memo: str | None = None


class ImportImage(Batch):
    """Of ``image:import`` and ``image:importExternal``."""

    image_manifest: ImageManifest
    overwrite: bool = False
    mode: str | None = None


class TableSource(Message):
    """Objects that make one source of a table, the data first."""

    uris: list[str] = Field(min_length=1)
    charset: str = "UTF-8"
    max_error_meters: float | None = None
    max_vertices: int | None = None
    crs: str | None = None
    geodesic: bool | None = None
    primary_geometry_column: str | None = None
    x_column: str | None = None
    y_column: str | None = None
    date_format: str | None = None
    csv_delimiter: str = ","
    csv_qualifier: str = '"'


class TableManifest(Message):
    """A table to be made of files in Cloud Storage."""

    name: str
    sources: list[TableSource] = Field(min_length=1)
    uri_prefix: str = ""
    start_time: str | None = None
    end_time: str | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    column_data_type_overrides: dict[str, str] = Field(default_factory=dict)
    memo: str | None = None


class ImportTable(Batch):
    """Of ``table:import``."""

    table_manifest: TableManifest
    overwrite: bool = False
    mode: str | None = None
