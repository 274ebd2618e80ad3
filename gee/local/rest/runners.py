"""What runs the batch tasks of a local engine, and what refuses them before they are queued."""

from __future__ import annotations

from gee.local.assets.buckets import Buckets
from gee.local.batch.image_exports import ImageExports
from gee.local.batch.ingestion import Ingestion
from gee.local.batch.table_exports import TableExports
from gee.local.rest.api import Api


def register(api: Api, buckets: Buckets) -> None:
    """Let an API's queue run exports and ingestions; to be called before the queue starts.

    Args:
        api: with engine, store and queue.
        buckets: of Cloud Storage.
    """
    images = ImageExports(api.engine, api.store, buckets)
    tables = TableExports(api.engine, api.store, buckets)
    ingestion = Ingestion(api.store, buckets)
    for kind, run, check in (
        ("EXPORT_IMAGE", images.run, images.check),
        ("EXPORT_FEATURES", tables.run, tables.check),
        ("INGEST_IMAGE", ingestion.image, ingestion.check_image),
        ("INGEST_TABLE", ingestion.table, ingestion.check_table),
    ):
        api.tasks.register(kind, run)
        api.checks[kind] = check
    api.external = ingestion.external
