"""Publishing in a process of its own, which can be killed."""

from __future__ import annotations

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path

import ee

from gee.connection import connect
from pipeline.cloud.refusals import Patience
from pipeline.cloud.storage import open_bucket
from pipeline.publishing.publish import publish
from pipeline.work.workdir import WorkDir

PROJECT = "my-project"
QUICK = Patience(first=0.02, longest=0.1, limit=5.0)
# One process imports everything once and is forked for each publication: it has no threads, as tests have.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def _publish(url: str, endpoint: str, bucket: str, work: Path, collection: str) -> None:
    connect(url, PROJECT)
    ee.data.setMaxRetries(0)
    opened = open_bucket(bucket, PROJECT, endpoint)
    prefix = f"study/{collection[-10:]}"
    publish(WorkDir(work), collection, opened, prefix, lambda what, share: None, patience=QUICK)


def publishing(url: str, endpoint: str, bucket: str, work: Path, collection: str) -> BaseProcess:
    """A process that publishes, started."""
    process = _CONTEXT.Process(target=_publish, args=(url, endpoint, bucket, work, collection))
    process.start()
    return process
