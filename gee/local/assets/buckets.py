"""Objects of Cloud Storage, through the real client: what exports write and ingestions read.

An upload is one request or one resumable session that Cloud Storage finishes or forgets, so nobody ever
sees half an object; with an emulator's address the same calls go there without credentials.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage

from gee.local.errors import EngineError

CHUNK_BYTES = 64 << 20  # of a resumable session; the emulator copies all it has with every chunk
_URI = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/([^\r\n]{1,1024}?)(?:#(\d+))?")

Check = Callable[[], None]
"""Called now and then during a transfer; raises to give it up."""


@dataclass(frozen=True)
class ObjectUri:
    """Where an object is.

    Args:
        bucket: its name.
        name: of the object.
        generation: of one content of it; None is whatever it holds now.
    """

    bucket: str
    name: str
    generation: int | None = None

    @classmethod
    def parse(cls, text: str) -> ObjectUri:
        """Read ``gs://bucket/object`` or ``gs://bucket/object#generation``.

        Raises:
            EngineError: it is neither.
        """
        found = _URI.fullmatch(text)
        if found is None:
            raise EngineError(f"Invalid Cloud Storage URI: '{text[:300]}'; expected gs://bucket/object.")
        return cls(found[1], found[2], int(found[3]) if found[3] else None)

    def __str__(self) -> str:
        pinned = "" if self.generation is None else f"#{self.generation}"
        return f"gs://{self.bucket}/{self.name}{pinned}"


class _Watched:
    """A file to be read by an uploader, which can be given up between two reads."""

    def __init__(self, file: IO[bytes], check: Check) -> None:
        self._file = file
        self._check = check

    def read(self, size: int = -1) -> bytes:
        self._check()
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Received:
    """A file that a download fills, which can be given up between two writes."""

    def __init__(self, file: IO[bytes], check: Check) -> None:
        self._file = file
        self._check = check

    def write(self, part: bytes) -> int:
        self._check()
        return self._file.write(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Buckets:
    """Cloud Storage as this machine's credentials, or an emulator, show it.

    Args:
        endpoint: of an emulator, what STORAGE_EMULATOR_HOST takes; None is Google's.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint
        self._clients = threading.local()  # a client's session is not for several threads

    def _client(self) -> storage.Client:
        client: storage.Client | None = getattr(self._clients, "client", None)
        if client is None:
            if self._endpoint:
                client = storage.Client(
                    project="local-engine",
                    credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
                    client_options={"api_endpoint": self._endpoint},
                )
            else:
                client = storage.Client()
            self._clients.client = client
        return client

    def check_bucket(self, bucket: str) -> None:
        """Find out before any work whether there is a bucket to write to.

        Raises:
            EngineError: there is none.
        """
        with _told(f"Unable to write to bucket {bucket}"):
            try:
                self._client().get_bucket(bucket)
            except Forbidden:
                return  # who may only create objects may not look at the bucket

    def upload(self, path: Path, uri: ObjectUri, media_type: str, check: Check) -> None:
        """Write a file as an object, in place of one of that name.

        Raises:
            EngineError: Cloud Storage refuses, or cannot be reached.
        """
        size = path.stat().st_size
        with _told(f"Unable to write to bucket {uri.bucket}"), path.open("rb") as file:
            blob = self._client().bucket(uri.bucket).blob(uri.name, chunk_size=CHUNK_BYTES)
            blob.upload_from_file(_Watched(file, check), size=size, content_type=media_type)
            if blob.size != size:
                raise EngineError(f"'{uri}' has {blob.size} bytes instead of {size}.", "INTERNAL")

    def find(self, uri: ObjectUri) -> ObjectUri | None:
        """The object as it is now, with its generation; None where there is none.

        Raises:
            EngineError: Cloud Storage refuses, or cannot be reached.
        """
        with _told(f"Unable to read '{uri}'"):
            blob = self._client().bucket(uri.bucket).get_blob(uri.name)
            return None if blob is None else ObjectUri(uri.bucket, uri.name, int(blob.generation))

    def download(self, uri: ObjectUri, path: Path, check: Check) -> None:
        """Write an object to a file.

        Raises:
            EngineError: there is no such object, or Cloud Storage cannot be reached.
        """
        with _told(f"Unable to read '{uri}'"), path.open("wb") as file:
            blob = self._client().bucket(uri.bucket).blob(uri.name, chunk_size=CHUNK_BYTES)
            blob.download_to_file(_Received(file, check))


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise EngineError(f"{what} (not found).", "NOT_FOUND") from error
    except Forbidden as error:
        raise EngineError(f"{what} (permission denied).", "PERMISSION_DENIED") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise EngineError(f"{what}: {error}", "FAILED_PRECONDITION") from error
