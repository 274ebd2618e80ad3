"""Features as the files of a table: CSV and GeoJSON.

Columns of a CSV are the index, the properties by name and the geometry as GeoJSON, as Earth Engine's own
files have them; selectors pick and order them (apidocs/ee-featurecollection-getdownloadurl).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from gee.local.errors import EngineError
from gee.local.results.encoding import encode
from gee.local.values import Feature

INDEX, GEOMETRY = "system:index", ".geo"


def in_degrees(feature: Feature) -> dict[str, Any]:
    """The feature as RFC 7946 has it: longitude and latitude, straight edges, no further fields."""
    if feature.geometry is None:
        shown = encode(feature)
    else:
        shown = encode(Feature(feature.properties, feature.geometry.to_crs("EPSG:4326", geodesic=False)))
        _without_extensions(shown["geometry"])
    result: dict[str, Any] = shown
    return result


def _without_extensions(geometry: dict[str, Any]) -> None:
    for name in ("geodesic", "evenOdd"):
        geometry.pop(name, None)
    for part in geometry.get("geometries", ()):
        _without_extensions(part)


def columns(features: Iterable[Feature], selectors: Sequence[str]) -> list[str]:
    """The columns of a table: those selected, else the index, all that any feature has, the geometry."""
    if selectors:
        return list(selectors)
    found = {name for feature in features for name in feature.properties}
    return [INDEX, *sorted(found - {INDEX, GEOMETRY}), GEOMETRY]


def write_csv(features: Iterable[Feature], selectors: Sequence[str], target: TextIO) -> None:
    """Write features as CSV with a header.

    Args:
        features: in order; walked twice.
        selectors: columns wanted, ``.geo`` for the geometry; none for all that any feature has.
        target: opened with ``newline=""``.
    """
    writer = csv.DictWriter(target, columns(features, selectors), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_row, features))


def csv_lines(features: Iterable[Feature], selectors: Sequence[str]) -> str:
    """The features as CSV with a header; see `write_csv`."""
    text = io.StringIO()
    write_csv(features, selectors, text)
    return text.getvalue()


def _row(feature: Feature) -> dict[str, Any]:
    shown = in_degrees(feature)
    return {
        INDEX: shown.get("id"),
        **{name: _cell(value) for name, value in shown["properties"].items()},
        GEOMETRY: _cell(shown["geometry"]),
    }


def _cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else value


def write_geojson(features: Iterable[Feature], selectors: Sequence[str], target: TextIO) -> None:
    """Write features as a GeoJSON collection; selectors pick properties."""
    target.write('{"type": "FeatureCollection", "features": [')
    for number, feature in enumerate(features):
        shown = in_degrees(feature)
        if selectors:
            given = shown["properties"]
            shown["properties"] = {name: given[name] for name in selectors if name in given}
        target.write((", " if number else "") + json.dumps(shown, ensure_ascii=False))
    target.write("]}")


def geojson(features: Iterable[Feature], selectors: Sequence[str]) -> str:
    """The features as a GeoJSON collection; see `write_geojson`."""
    text = io.StringIO()
    write_geojson(features, selectors, text)
    return text.getvalue()


Writer = Callable[[Iterable[Feature], Sequence[str]], str]
WRITERS: Mapping[str, tuple[Writer, str, str]] = {
    "CSV": (csv_lines, "text/csv", "csv"),
    "GEO_JSON": (geojson, "application/geo+json", "geojson"),
    "JSON": (geojson, "application/geo+json", "geojson"),
}
"""Table format -> what writes it, its media type, its suffix."""


def check_format(file_format: str) -> None:
    """Refuse a table format before anything is computed.

    Raises:
        EngineError: it is unknown or unsupported.
    """
    if file_format not in WRITERS:
        raise EngineError(
            f"Table format '{file_format}' is not supported by the local engine; "
            f"it writes {', '.join(sorted(WRITERS))}."
        )
