"""Features as GeoParquet: the content of table assets, and what table exports of that format write.

A column has the one type its values share; lists of numbers are lists, anything else is JSON text and marked
as such, so that an asset gives back what was put in. Source: geoparquet.org, version 1.1.
"""

from __future__ import annotations

import json
from collections.abc import Collection as Sized
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from gee.local.assets.geotiffs import storing
from gee.local.assets.tablefiles import JSON_FIELD
from gee.local.batch.tasks import TaskHandle
from gee.local.results.encoding import encode
from gee.local.results.tables import GEOMETRY, INDEX
from gee.local.values import Feature

GEOMETRY_COLUMN = "geometry"
GROUP_ROWS = 5_000  # features held as columns at a time
_LON_LAT = "EPSG:4326"
_TYPES: Mapping[frozenset[str], pa.DataType] = {
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
    frozenset({"str"}): pa.string(),
    frozenset({"numbers"}): pa.list_(pa.float64()),
}


@dataclass
class Survey:
    """What a first walk over features finds.

    Args:
        kinds: of values, by property.
        count: of features.
        bounds: west, south, east, north of all geometries in degrees; None where there are none.
        geodesic: whether all geometries have great circles for edges, in longitude and latitude.
    """

    kinds: dict[str, set[str]] = field(default_factory=dict)
    count: int = 0
    bounds: tuple[float, float, float, float] | None = None
    geodesic: bool = True

    def add(self, feature: Feature) -> None:
        """Look at one feature."""
        self.count += 1
        for name, value in feature.properties.items():
            if name != INDEX and value is not None:
                self.kinds.setdefault(name, set()).add(_kind(plain(value)))
        geometry = feature.geometry
        if geometry is None or geometry.is_empty:
            return
        self.geodesic = self.geodesic and geometry.geodesic and geometry.crs == _LON_LAT
        box = geometry.bounds_in(_LON_LAT)
        old = self.bounds or box
        self.bounds = (
            min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3])
        )  # fmt: skip

    def footprint(self) -> dict[str, Any] | None:
        """The bounds as GeoJSON."""
        if self.bounds is None:
            return None
        return {**shapely.geometry.mapping(shapely.box(*self.bounds)), "geodesic": False}


def survey(features: Iterable[Feature], handle: TaskHandle) -> Survey:
    """Walk over features once, which computes them."""
    found = Survey()
    for feature in features:
        handle.check_cancelled()
        found.add(feature)
    return found


def plain(value: Any) -> Any:
    """A property as JSON has it; dates are milliseconds, as Earth Engine's tables keep them."""
    shown = encode(value)
    return shown["value"] if isinstance(shown, dict) and shown.get("type") == "Date" else shown


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return "json"
    if isinstance(value, list) and value and all(type(item) in (int, float) for item in value):
        return "numbers"
    return type(value).__name__ if isinstance(value, (bool, int, float, str)) else "json"


def write_parquet(
    features: Iterable[Feature],
    found: Survey,
    selectors: Sequence[str],
    path: Path,
    handle: TaskHandle,
    *,
    keep_edges: bool,
) -> None:
    """Write features as GeoParquet.

    Args:
        features: in order.
        found: from a first walk over them.
        selectors: properties wanted, ``.geo`` for the geometry; none for all.
        path: of the file.
        handle: of the task.
        keep_edges: whether geodesic edges stay so; otherwise they are straight in degrees, with vertices
            added where needed.

    Raises:
        EngineError: it cannot be written.
    """
    geodesic = keep_edges and found.geodesic
    names = list(selectors) or [INDEX, *sorted(set(found.kinds) - {INDEX, GEOMETRY}), GEOMETRY]
    schema = _schema(names, found, geodesic)
    with storing(path.parent), pq.ParquetWriter(path, schema, compression="zstd") as writer:
        done = 0
        waiting = iter(features)
        while group := list(islice(waiting, GROUP_ROWS)):
            handle.check_cancelled()
            writer.write_table(_table(group, names, schema, geodesic))
            done += len(group)
            handle.progress(0.5 + 0.5 * done / max(found.count, done), "Writing")


def _schema(names: Sequence[str], found: Survey, geodesic: bool) -> pa.Schema:
    fields = []
    metadata = {}
    for name in names:
        if name == GEOMETRY:
            fields.append(pa.field(_geometry_name(found.kinds), pa.binary()))
            edges = "spherical" if geodesic else "planar"
            described = {"encoding": "WKB", "geometry_types": [], "edges": edges}
            column = _geometry_name(found.kinds)
            metadata["geo"] = json.dumps(
                {"version": "1.1.0", "primary_column": column, "columns": {column: described}}
            )
            continue
        kind = pa.string() if name == INDEX else _TYPES.get(frozenset(found.kinds.get(name, {"str"})))
        fields.append(
            pa.field(name, pa.string(), metadata={JSON_FIELD: b"1"}) if kind is None else pa.field(name, kind)
        )
    return pa.schema(fields, metadata)


def _geometry_name(taken: Sized[str]) -> str:
    return GEOMETRY_COLUMN if GEOMETRY_COLUMN not in taken else GEOMETRY


def _table(group: Sequence[Feature], names: Sequence[str], schema: pa.Schema, geodesic: bool) -> pa.Table:
    columns = []
    for name, described in zip(names, schema, strict=True):
        if name == GEOMETRY:
            values: list[Any] = [_binary(feature, geodesic) for feature in group]
        else:
            values = list(_values(group, name))
            if JSON_FIELD in (described.metadata or {}):
                values = [None if value is None else json.dumps(value) for value in values]
        columns.append(pa.array(values, described.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _values(group: Sequence[Feature], name: str) -> Iterator[Any]:
    for feature in group:
        value = feature.properties.get(name)
        yield None if value is None else str(value) if name == INDEX else plain(value)


def _binary(feature: Feature, geodesic: bool) -> bytes | None:
    if feature.geometry is None:
        return None
    geometry = feature.geometry if geodesic else feature.geometry.to_crs(_LON_LAT, geodesic=False)
    document: bytes = shapely.to_wkb(geometry.shape)
    return document
