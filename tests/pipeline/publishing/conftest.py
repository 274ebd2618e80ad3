"""The local engine behind a proxy, a bucket it reads, and a collection for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
from numpy.typing import NDArray

from gee.connection import connect
from gee.local.rest.process import Child
from pipeline.cloud.storage import Bucket, open_bucket
from pipeline.publishing.publish import Published, publish
from pipeline.work.workdir import WorkDir
from tests.pipeline.faulty_engine import Proxy, proxy_before
from tests.pipeline.publishing import made
from tests.pipeline.publishing.elsewhere import PROJECT, QUICK
from tests.pipeline.publishing.made import HEIGHT, ROOT, TRANSFORM, WIDTH

Publish = Callable[..., Published]


@pytest.fixture(scope="module")
def _proxy(server: Child, real_client: None) -> Iterator[Proxy]:
    with proxy_before(server.address.url) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        connect(proxy.url, PROJECT)
        ee.data.setMaxRetries(0)  # the client's own patience takes minutes
        yield proxy


@pytest.fixture(scope="session")
def bucket(server: Child) -> Bucket:
    """A bucket of the local Cloud Storage."""
    return open_bucket(f"sm-{uuid.uuid4().hex[:8]}", PROJECT, server.address.storage, create=True)


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    """A work directory after the prediction."""
    return made.work_directory(tmp_path / "work")


@pytest.fixture
def collection() -> str:
    """The name of a collection that is not there yet."""
    return f"{ROOT}/c{uuid.uuid4().hex[:10]}"


@pytest.fixture
def published(proxy: Proxy, work: WorkDir, bucket: Bucket, collection: str) -> Publish:
    """Publishes the work directory."""

    def run(**other: Any) -> Published:
        name = other.pop("collection", collection)
        options = {"patience": QUICK, **other}
        return publish(work, name, bucket, f"study/{name[-10:]}", _quiet, **options)

    return run


def _quiet(what: str, share: float) -> None:
    assert what
    assert 0 <= share <= 1


def pixels(image: str | ee.Image) -> NDArray[np.float32]:
    """What a reader gets of an image: values, NaN where masked."""
    found = ee.data.computePixels(
        {
            "expression": ee.Image(image).unmask(-1, False),
            "fileFormat": "NUMPY_NDARRAY",
            "grid": {
                "dimensions": {"width": WIDTH, "height": HEIGHT},
                "affineTransform": dict(
                    zip(
                        ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY"),
                        TRANSFORM,
                        strict=True,
                    )
                ),
                "crsCode": "EPSG:32650",
            },
        }
    )["sm"]
    return np.where(found == -1, np.nan, found).astype("float32")


def tasks(collection: str) -> dict[str, list[str]]:
    """The states of the engine's ingestions by the index of the image, the newest first."""
    states: dict[str, list[str]] = {}
    for operation in ee.data.listOperations():
        told = operation["metadata"]
        if collection in told["description"]:
            states.setdefault(told["description"].rpartition("/")[2], []).append(told["state"])
    return states
