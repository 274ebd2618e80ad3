"""google-cloud-storage, unmodified, against the emulator beside the local engine."""

from __future__ import annotations

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from gee.local.rest.process import Child


@pytest.fixture
def bucket(server: Child) -> storage.Bucket:
    client = storage.Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.address.storage},
    )
    return (
        client.create_bucket("exports")
        if client.lookup_bucket("exports") is None
        else client.bucket("exports")
    )


def test_objects_are_stored_listed_read_in_part_and_removed(bucket: storage.Bucket) -> None:
    content = bytes(range(256)) * 4096
    blob = bucket.blob("season/part.bin")
    blob.upload_from_string(content)
    assert [one.name for one in bucket.list_blobs(prefix="season/")] == ["season/part.bin"]
    assert blob.download_as_bytes() == content
    assert blob.download_as_bytes(start=300, end=399) == content[300:400]
    blob.delete()
    assert not blob.exists()
