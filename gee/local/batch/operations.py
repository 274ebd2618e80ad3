"""A batch task as the REST API's ``Operation``, with the metadata clients read.

Source: reference/rest/v1/projects.operations and projects.operations/cancel.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from gee.local.assets.records import format_time
from gee.local.errors import EngineError

FINISHED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
CANCELLED_STATUS: Mapping[str, Any] = MappingProxyType({"code": 1, "message": "Cancelled."})
_RPC_CODES: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 3,
        "DEADLINE_EXCEEDED": 4,
        "NOT_FOUND": 5,
        "ALREADY_EXISTS": 6,
        "PERMISSION_DENIED": 7,
        "RESOURCE_EXHAUSTED": 8,
        "FAILED_PRECONDITION": 9,
        "ABORTED": 10,
        "INTERNAL": 13,
        "UNAUTHENTICATED": 16,
    }
)
"""google.rpc.Code, which the ``error`` of an operation bears where an HTTP answer has its own number."""
_TYPES = "type.googleapis.com/google.earthengine.v1."
_RESPONSES: Mapping[str, str] = MappingProxyType(
    {
        "EXPORT_IMAGE": "ExportImageResponse",
        "EXPORT_FEATURES": "ExportTableResponse",
        "EXPORT_TILES": "ExportMapResponse",
        "EXPORT_CLASSIFIER": "ExportClassifierResponse",
        "INGEST_IMAGE": "ImportImageResponse",
        "INGEST_TABLE": "ImportTableResponse",
    }
)


@dataclass(frozen=True)
class Progress:
    """How far a running task is.

    Attributes:
        fraction: of the whole, 0 to 1.
        stages: (name, fraction) in their order.
        updated: microseconds since 1970 UTC.
        used_seconds: of processors.
    """

    fraction: float
    stages: tuple[tuple[str, float], ...]
    updated: int
    used_seconds: float


def error_status(error: EngineError) -> dict[str, Any]:
    """The ``error`` of an operation that failed."""
    return {"code": _RPC_CODES[error.status], "message": error.message}


def to_operation(row: sqlite3.Row, live: Progress | None) -> dict[str, Any]:
    """The operation a row records.

    Args:
        row: of the table ``operations``.
        live: of a running task, which the row does not know.
    """
    micro = timedelta(microseconds=1)
    progress = live or Progress(
        row["progress"],
        tuple((stage, fraction) for stage, fraction in json.loads(row["stages"])),
        row["update_time"],
        row["used_seconds"],
    )
    metadata: dict[str, Any] = {
        "@type": f"{_TYPES}OperationMetadata",
        "state": row["state"],
        "description": row["description"],
        "type": row["kind"],
        "priority": row["priority"],
        "createTime": format_time(row["create_time"], micro),
        "updateTime": format_time(max(progress.updated, row["update_time"]), micro),
        "progress": progress.fraction,
        "stages": [
            {"displayName": name, "completeWorkUnits": fraction, "totalWorkUnits": "1"}
            for name, fraction in progress.stages
        ],
        "batchEecuUsageSeconds": progress.used_seconds,
    }
    for key, column in (("startTime", "start_time"), ("endTime", "end_time")):
        if row[column] is not None:
            metadata[key] = format_time(row[column], micro)
    if row["attempt"]:
        metadata["attempt"] = row["attempt"]
    if uris := json.loads(row["uris"]):
        metadata["destinationUris"] = uris
    operation: dict[str, Any] = {
        "name": f"projects/{row['project']}/operations/{row['id']}",
        "metadata": metadata,
        "done": row["state"] in FINISHED,
    }
    if row["error"] is not None:
        operation["error"] = json.loads(row["error"])
    elif operation["done"]:
        operation["response"] = {"@type": _TYPES + _RESPONSES.get(row["kind"], "EmptyResponse")}
    return operation
