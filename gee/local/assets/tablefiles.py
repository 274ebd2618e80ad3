"""Tables of the user's: CSV, GeoJSON and Parquet files as features.

A CSV has its places in ``longitude`` and ``latitude`` (or lon and lat, x and y), or in ``.geo`` as Earth
Engine's own exports do; a Parquet file has them as GeoParquet does, or like a CSV.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import shapely

from gee.local.errors import EngineError
from gee.local.geometry.geometries import Geometry
from gee.local.results.tables import GEOMETRY, INDEX
from gee.local.values import Feature

BATCH_ROWS = 1000  # of a Parquet file in memory
JSON_FIELD = b"gee:json"
"""Metadata of a Parquet column whose text is JSON: lists, dictionaries, values of several types."""
_PLACES = (("longitude", "latitude"), ("lon", "lat"), ("x", "y"))


def read_table(path: Path) -> Iterator[Feature]:
    """The features of a file, numbered from 0 where they have no index.

    Raises:
        EngineError: the format is unknown, or the file is not of its format.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise EngineError(f"'{path.name}' is no table: {', '.join(sorted(READERS))} are read.")
    try:
        for number, (geometry, properties) in enumerate(read(path)):
            yield Feature({INDEX: str(number), **properties}, geometry)
    except (ValueError, KeyError, OSError) as error:
        raise EngineError(f"Table '{path.name}' cannot be read: {error}", "FAILED_PRECONDITION") from error


Row = tuple[Geometry | None, dict[str, Any]]


def _geojson(path: Path) -> Iterator[Row]:
    document = json.loads(path.read_text(encoding="utf-8"))
    kind = document.get("type") if isinstance(document, dict) else None
    if kind not in ("Feature", "FeatureCollection"):
        raise ValueError("it is no GeoJSON feature or collection of features.")
    for feature in document["features"] if kind == "FeatureCollection" else [document]:
        geometry = feature.get("geometry")
        index = {} if feature.get("id") is None else {INDEX: str(feature["id"])}
        yield (
            None if geometry is None else Geometry.from_geojson(geometry),
            {**index, **_plain(feature.get("properties") or {})},
        )


def _csv(path: Path) -> Iterator[Row]:
    return csv_rows(path)


def csv_rows(path: Path, places: tuple[str, str] | None = None, **options: Any) -> Iterator[Row]:
    """The rows of a CSV.

    Args:
        path: of the file.
        places: columns of x and y; None finds them by their usual names.
        options: of ``pandas.read_csv``.
    """
    frame = pd.read_csv(path, **options)
    return rows(({str(k): v for k, v in record.items()} for record in frame.to_dict("records")), places)


def _parquet(path: Path) -> Iterator[Row]:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    metadata = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    column = metadata.get("primary_column")
    edges = Edges()
    if column is not None:
        described = metadata["columns"][column]
        authority = (described.get("crs") or {}).get("id") or {}
        crs = "EPSG:4326"
        if authority and authority.get("authority") != "OGC":
            crs = f"{authority['authority']}:{authority['code']}"
        edges = Edges(column, crs, described.get("edges") == "spherical")
    coded = [field.name for field in schema if JSON_FIELD in (field.metadata or {})]

    def records() -> Iterator[dict[str, Any]]:
        for batch in file.iter_batches(BATCH_ROWS):
            for record in batch.to_pylist():
                for name in coded:
                    if record[name] is not None:
                        record[name] = json.loads(record[name])
                yield record

    return rows(records(), None, edges)


@dataclass(frozen=True)
class Edges:
    """Where a table has its geometries as well-known binary, and what its edges are.

    Args:
        column: None where there is none.
        crs: of the coordinates.
        geodesic: whether edges are great circles.
    """

    column: str | None = None
    crs: str = "EPSG:4326"
    geodesic: bool = False


def rows(
    records: Iterable[dict[str, Any]], places: tuple[str, str] | None, edges: Edges = Edges()
) -> Iterator[Row]:
    """Geometries and properties of records.

    Args:
        records: values by column.
        places: columns of x and y; None finds them by their usual names.
        edges: of a column with geometries.
    """
    for values in records:
        x_y = places or next((names for names in _PLACES if set(names) <= set(values)), None)
        geometry: Geometry | None = None
        if edges.column is not None:
            shape = values.pop(edges.column)
            geometry = None if shape is None else Geometry(shapely.from_wkb(shape), edges.crs, edges.geodesic)
        elif GEOMETRY in values:
            text = values.pop(GEOMETRY)
            geometry = Geometry.from_geojson(json.loads(text)) if isinstance(text, str) else None
        elif x_y is not None:
            x, y = (float(values[name]) for name in x_y)
            if x == x and y == y:
                geometry = Geometry(shapely.Point(x, y))
        yield geometry, _plain(values)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as the engine has them: missing ones left out, NumPy's numbers as Python's."""
    plain = {}
    for name, value in values.items():
        item = value.tolist() if hasattr(value, "tolist") else value
        if item is None or (isinstance(item, float) and item != item) or item is pd.NaT:
            continue
        plain[name] = item if isinstance(item, (bool, int, float, str, list, dict)) else str(item)
    if INDEX in plain:
        plain[INDEX] = str(plain[INDEX])
    return plain


READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".geojson": _geojson,
    ".json": _geojson,
    ".parquet": _parquet,
    ".geoparquet": _parquet,
}
"""Suffix -> what reads the rows."""
