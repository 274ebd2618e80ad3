"""What is known of an asset: its record, in memory and as the REST API's ``EarthEngineAsset``.

Times of the data are whole milliseconds, as ``system:time_start`` counts them; those of the record are
microseconds, and the one of its last change is its version. Source: reference/rest/v1/projects.assets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gee.local.assets.contents import ContentFile
from gee.local.assets.names import AssetName
from gee.local.errors import EngineError

FOLDER, IMAGE, IMAGE_COLLECTION, TABLE = "FOLDER", "IMAGE", "IMAGE_COLLECTION", "TABLE"
CLASSIFIER = "CLASSIFIER"
TYPES = (FOLDER, IMAGE, IMAGE_COLLECTION, TABLE, CLASSIFIER)
CONTAINERS = (FOLDER, IMAGE_COLLECTION)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_PROPERTIES = {"system:time_start": "start_time", "system:time_end": "end_time"}


def parse_time(text: object, what: str) -> int:
    """Read an RFC 3339 time as milliseconds since 1970 UTC; finer digits are cut off.

    Args:
        text: with ``Z`` or an offset; without, it is UTC.
        what: the field, for the message.

    Raises:
        EngineError: INVALID_ARGUMENT; not a time.
    """
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError as error:
        raise EngineError(f"Invalid value for '{what}': {text!r} is not an RFC 3339 timestamp.") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_time(time: int, unit: timedelta = timedelta(milliseconds=1)) -> str:
    """Write a time since 1970 UTC as the API does: with ``Z`` and 0, 3 or 6 digits of a second.

    Raises:
        EngineError: INVALID_ARGUMENT; beyond the years 1 to 9999 that RFC 3339 can write.
    """
    try:
        moment = _EPOCH + time * unit
    except OverflowError as error:
        raise EngineError(f"Timestamp {time} is out of range.") from error
    digits = (
        "seconds"
        if not moment.microsecond
        else "microseconds"
        if moment.microsecond % 1000
        else "milliseconds"
    )
    return moment.replace(tzinfo=None).isoformat(timespec=digits) + "Z"


@dataclass(frozen=True)
class NewAsset:
    """An asset to be created.

    Attributes:
        name: ``projects/P/assets/...``.
        type: one of ``TYPES``.
        properties: of the user; ``system:time_start`` and ``system:time_end`` among them become the times.
        start_time: and ``end_time`` in ms since 1970 UTC.
        bands: as the REST API lists them.
        geometry: the footprint, GeoJSON in degrees.
        feature_count: of a table.
        extra: the engine's own notes about the content, any JSON.
    """

    name: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    start_time: int | None = None
    end_time: int | None = None
    bands: Sequence[Mapping[str, Any]] = ()
    geometry: Mapping[str, Any] | None = None
    feature_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_rest(cls, name: str, body: object) -> NewAsset:
        """Read the ``EarthEngineAsset`` of a request, of which only what a client may set is taken.

        Raises:
            EngineError: INVALID_ARGUMENT; not an asset.
        """
        if not isinstance(body, dict):
            raise EngineError("Invalid JSON payload received. An asset must be an object.")
        properties = body.get("properties") or {}
        if not isinstance(properties, dict):
            raise EngineError("Invalid value for 'properties': must be an object.")
        start, end = time_field(body, "startTime", "start_time"), time_field(body, "endTime", "end_time")
        asset_type = body.get("type")
        if asset_type not in TYPES:
            raise EngineError(f"Invalid value for 'type': {asset_type!r} is none of {', '.join(TYPES)}.")
        return cls(name, asset_type, properties, start, end)

    def normal(self) -> NewAsset:
        """The same with the times out of the properties, and checked.

        Raises:
            EngineError: INVALID_ARGUMENT; the type, a time or a key is none.
        """
        if self.type not in TYPES:
            raise EngineError(f"Invalid value for 'type': {self.type!r} is none of {', '.join(TYPES)}.")
        asset = self
        for key, attribute in _TIME_PROPERTIES.items():
            if key in self.properties:
                changed: dict[str, Any] = {attribute: millis(self.properties[key], key)}
                asset = replace(asset, **changed)
        for time in (asset.start_time, asset.end_time):
            if time is not None:
                format_time(time)
        if not all(isinstance(key, str) and key for key in self.properties):
            raise EngineError("Property names must be non-empty strings.")
        kept = {key: value for key, value in self.properties.items() if key not in _TIME_PROPERTIES}
        return replace(asset, properties=kept)


def time_field(body: Mapping[str, Any], *keys: str) -> int | None:
    """The time under the first of the keys that has one."""
    for key in keys:
        if body.get(key) is not None:
            return parse_time(body[key], key)
    return None


def millis(value: object, what: str) -> int | None:
    """A time given as a number of milliseconds, or none.

    Raises:
        EngineError: INVALID_ARGUMENT; not a finite number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e17:
        raise EngineError(f"Invalid value for '{what}': {value!r} is not a number of milliseconds.")
    return int(value)


@dataclass(frozen=True)
class Asset:
    """An asset that exists.

    Attributes:
        name: ``projects/P/assets/...``; with ``version`` it identifies the content for ever.
        type: one of ``TYPES``.
        properties: of the user.
        start_time: and ``end_time`` in ms since 1970 UTC.
        create_time: and ``version``, the last change, in microseconds since 1970 UTC.
        bands: as the REST API lists them.
        geometry: the footprint, GeoJSON in degrees.
        size_bytes: of the content.
        feature_count: of a table.
        content_id: of the files in the store; None for a user's own.
        content: the files, to be opened through ``AssetStore.reading``.
        extra: the engine's own notes about the content.
        mounted: whether the files are the user's own, outside the store.
        in_catalogue: whether it comes from the catalogue's hook and has no record here.
        quota: of a root, for its owner.
    """

    name: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    start_time: int | None = None
    end_time: int | None = None
    create_time: int = 0
    version: int = 0
    bands: Sequence[Mapping[str, Any]] = ()
    geometry: Mapping[str, Any] | None = None
    size_bytes: int = 0
    feature_count: int | None = None
    content_id: str | None = None
    content: tuple[ContentFile, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    mounted: bool = False
    in_catalogue: bool = False
    quota: Mapping[str, str] | None = None

    @classmethod
    def from_catalogue(cls, name: str, body: Mapping[str, Any]) -> Asset:
        """An asset of the catalogue from the REST JSON its hook gives."""
        return cls(
            name,
            body["type"],
            body.get("properties") or {},
            time_field(body, "startTime"),
            time_field(body, "endTime"),
            bands=tuple(body.get("bands") or ()),
            geometry=body.get("geometry"),
            size_bytes=int(body.get("sizeBytes", 0)),
            feature_count=None if body.get("featureCount") is None else int(body["featureCount"]),
            extra=body.get("extra") or {},
            in_catalogue=True,
        )

    @property
    def id(self) -> str:
        """As clients show it."""
        return AssetName.parse(self.name).id

    def property(self, key: str) -> object:
        """A property, also one of the system's; None where there is none."""
        if key == "system:index":
            return self.name.rpartition("/")[2]
        if key in _TIME_PROPERTIES:
            return getattr(self, _TIME_PROPERTIES[key])
        return self.properties.get(key)

    def to_rest(self, view: str = "FULL") -> dict[str, Any]:
        """The ``EarthEngineAsset``; the BASIC view is type, name and id."""
        body: dict[str, Any] = {"type": self.type, "name": self.name, "id": self.id}
        if view == "BASIC":
            return body
        if self.version:
            body["updateTime"] = format_time(self.version, timedelta(microseconds=1))
        if self.start_time is not None:
            body["startTime"] = format_time(self.start_time)
        if self.end_time is not None:
            body["endTime"] = format_time(self.end_time)
        if self.type not in CONTAINERS:
            body["sizeBytes"] = str(self.size_bytes)
        if self.feature_count is not None:
            body["featureCount"] = str(self.feature_count)
        optional = {
            "properties": dict(self.properties),
            "geometry": self.geometry,
            "bands": [dict(band) for band in self.bands],
            "quota": self.quota,
        }
        return body | {key: value for key, value in optional.items() if value}


_PATH = re.compile(r'\s*((?:"[^"]*"|[^",])+?)\s*(?:,|$)')


def mask_paths(mask: object) -> tuple[str, ...]:
    """Read an ``updateMask``: ``{"paths": [...]}`` as earthengine-api sends it, or text with commas.

    Raises:
        EngineError: INVALID_ARGUMENT; neither.
    """
    if mask is None or mask in ("", {}):
        return ()
    paths = mask.get("paths") if isinstance(mask, dict) else mask
    if isinstance(paths, str):
        paths = _PATH.findall(paths)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise EngineError("Invalid value for 'updateMask': must be a list of field paths.")
    return tuple(paths)


def updated(asset: Asset, body: object, paths: Sequence[str]) -> Asset:
    """The asset after a patch: only the named fields change; what is named but not given is unset.

    Args:
        asset: before.
        body: the ``EarthEngineAsset`` of the request.
        paths: ``startTime``, ``endTime`` (also with underscore), ``properties``, ``properties.KEY`` with the
            key in double quotes or not; none means both times and all properties.

    Raises:
        EngineError: INVALID_ARGUMENT; another field, or a value that is no string or number.
    """
    given = NewAsset.from_rest(asset.name, {"type": asset.type, **body} if isinstance(body, dict) else body)
    properties = dict(asset.properties)
    times = {"start_time": asset.start_time, "end_time": asset.end_time}
    named = {
        "startTime": "start_time",
        "endTime": "end_time",
        "start_time": "start_time",
        "end_time": "end_time",
    }

    def put(key: str, value: object) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
            raise EngineError(f"Property '{key}' can be set only to a string or a number.")
        if key in _TIME_PROPERTIES:
            times[_TIME_PROPERTIES[key]] = millis(value, key)
        elif value is None:
            properties.pop(key, None)
        else:
            properties[key] = value

    for path in paths or ("start_time", "end_time", "properties"):
        if path in named:
            times[named[path]] = getattr(given, named[path])
        elif path == "properties":
            properties.clear()
            for key, value in given.properties.items():
                put(key, value)
        elif path.startswith("properties.") and path != "properties.":
            key = path.removeprefix("properties.")
            key = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
            put(key, given.properties.get(key))
        else:
            raise EngineError(
                f"Invalid value for 'updateMask': '{path}' cannot be updated; only startTime, endTime, "
                "properties and properties.KEY can."
            )
    new = NewAsset(asset.name, asset.type, properties, times["start_time"], times["end_time"]).normal()
    return replace(asset, properties=new.properties, start_time=new.start_time, end_time=new.end_time)
