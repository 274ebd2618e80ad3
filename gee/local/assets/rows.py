"""Records of assets as rows of the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from gee.local.assets.contents import ContentFile, Contents
from gee.local.assets.database import now_micros
from gee.local.assets.iam import Policy
from gee.local.assets.names import AssetName
from gee.local.assets.records import Asset, NewAsset
from gee.local.errors import EngineError

MAX_ASSET_BYTES = 250 << 30  # guides/usage: max asset storage space 250 GB; told, not enforced
MAX_ASSET_COUNT = 10_000  # guides/usage: max number of assets; told, not enforced
_COLUMNS = (
    "name", "parent", "type", "properties", "start_time", "end_time", "create_time", "version", "bands",
    "geometry", "size_bytes", "feature_count", "extra", "content", "files", "mounted", "policy",
)  # fmt: skip
_INSERT = f"INSERT OR REPLACE INTO assets ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


def find_row(connection: sqlite3.Connection, name: AssetName) -> sqlite3.Row | None:
    """The record of an asset; None when there is none."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM assets WHERE name = ?", (str(name),)
    ).fetchone()
    return row


def below(name: AssetName) -> tuple[str, str]:
    """The bounds, both exclusive, of the names of everything under ``name``."""
    return f"{name}/", f"{name}0"  # '0' follows '/' in the order of characters


def has_children(connection: sqlite3.Connection, name: AssetName) -> bool:
    """Whether anything is in a folder or collection."""
    return connection.execute("SELECT 1 FROM assets WHERE parent = ?", (str(name),)).fetchone() is not None


def read_asset(row: sqlite3.Row, contents: Contents) -> Asset:
    """The asset a row records."""
    content = row["content"]
    files = tuple(
        ContentFile(contents.path(content, path) if content else Path(path), size, modified)
        for path, size, modified in json.loads(row["files"])
    )
    return Asset(
        row["name"],
        row["type"],
        json.loads(row["properties"]),
        row["start_time"],
        row["end_time"],
        row["create_time"],
        row["version"],
        tuple(json.loads(row["bands"])),
        None if row["geometry"] is None else json.loads(row["geometry"]),
        row["size_bytes"],
        row["feature_count"],
        content,
        files,
        json.loads(row["extra"]),
        bool(row["mounted"]),
    )


def insert_asset(
    connection: sqlite3.Connection,
    name: AssetName,
    new: NewAsset,
    policy: Policy,
    *,
    content: str | None,
    files: Sequence[ContentFile],
    mounted: bool = False,
) -> None:
    """Record an asset, in place of one of that name.

    Raises:
        EngineError: INVALID_ARGUMENT; a property is no JSON value.
    """
    old = find_row(connection, name)
    now = now_micros()
    try:
        values = {
            "properties": json.dumps(dict(new.properties)),
            "bands": json.dumps([dict(band) for band in new.bands]),
            "geometry": None if new.geometry is None else json.dumps(dict(new.geometry)),
            "extra": json.dumps(dict(new.extra)),
        }
    except (TypeError, ValueError) as error:
        raise EngineError(f"Asset '{name}' cannot be recorded: {error}.") from error
    values |= {
        "name": str(name),
        "parent": str(name.parent),
        "type": new.type,
        "policy": policy.dumps(),
        "content": content,
        "files": json.dumps([[f.path.name if content else str(f.path), f.size, f.modified] for f in files]),
    }
    numbers = {
        "start_time": new.start_time,
        "end_time": new.end_time,
        "create_time": now,
        "version": max(now, old["version"] + 1 if old else 0),
        "size_bytes": sum(file.size for file in files),
        "feature_count": new.feature_count,
        "mounted": int(mounted),
    }
    connection.execute(_INSERT, [{**values, **numbers}[column] for column in _COLUMNS])


def insert_copy(connection: sqlite3.Connection, row: sqlite3.Row, name: AssetName, policy: Policy) -> None:
    """Record an asset with all that a row says of another, sharing its content."""
    old = find_row(connection, name)
    now = now_micros()
    changed = {
        "name": str(name),
        "parent": str(name.parent),
        "create_time": now,
        "version": max(now, old["version"] + 1 if old else 0),
        "policy": policy.dumps(),
    }
    connection.execute(_INSERT, [changed.get(column, row[column]) for column in _COLUMNS])


def rename_tree(connection: sqlite3.Connection, source: AssetName, destination: AssetName) -> None:
    """Give an asset, and all that is in it, the names they have under ``destination``."""
    for name in (source, *names_below(connection, source)):
        new = name.moved(source, destination)
        connection.execute(
            "UPDATE assets SET name = ?, parent = ?, version = max(?, version + 1) WHERE name = ?",
            (str(new), str(new.parent), now_micros(), str(name)),
        )


def names_below(connection: sqlite3.Connection, name: AssetName) -> list[AssetName]:
    """Everything under an asset, at any depth."""
    rows = connection.execute(
        "SELECT name FROM assets WHERE name > ? AND name < ? ORDER BY name", below(name)
    )
    return [AssetName.parse(row["name"]) for row in rows.fetchall()]


def is_referenced(connection: sqlite3.Connection, content: str) -> bool:
    """Whether any asset has this content."""
    return connection.execute("SELECT 1 FROM assets WHERE content = ?", (content,)).fetchone() is not None


def quota(connection: sqlite3.Connection, root: AssetName) -> dict[str, str]:
    """What a root holds and may hold, as the REST interface tells it; what is mounted does not count."""
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM assets "
        "WHERE name > ? AND name < ? AND NOT mounted",
        below(root),
    ).fetchone()
    return {
        "sizeBytes": str(size),
        "maxSizeBytes": str(MAX_ASSET_BYTES),
        "assetCount": str(count),
        "maxAssets": str(MAX_ASSET_COUNT),
    }
