"""What moves between a bucket and the disk: objects, the sums that tell them, and how far a transfer is.

Several files move at once, each in a thread; whoever started them hears in one place how much has been moved,
and one that fails stops the others at their next piece.
"""

from __future__ import annotations

import base64
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import google_crc32c
from google.cloud import storage

from pipeline.progress import Report

READ_BYTES = 1 << 20
REPORT_SECONDS = 0.3
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class StoredObject:
    """An object as it was when it was looked at.

    Attributes:
        name: in the bucket.
        size: bytes.
        generation: that tells this content of the object from others before and after it.
        crc32c: of the content, base64.
        updated: when it was written.
    """

    name: str
    size: int
    generation: int
    crc32c: str
    updated: dt.datetime | None = None

    @classmethod
    def of(cls, blob: storage.Blob) -> Self:
        """What the client has read of it."""
        return cls(blob.name, int(blob.size), int(blob.generation), str(blob.crc32c), blob.updated)

    def is_in(self, path: Path) -> bool:
        """Whether a file is there and has the object's content."""
        return path.is_file() and path.stat().st_size == self.size and checksum(path) == self.crc32c

    def row(self) -> dict[str, str]:
        """For people."""
        written = f"{self.updated:%Y-%m-%d %H:%M}" if self.updated else ""
        return {"object": self.name, "MB": f"{self.size / 1e6:,.1f}", "written (UTC)": written}


@dataclass(frozen=True)
class Transfer:
    """What a download or an upload came to.

    Attributes:
        verb: ``downloaded`` or ``uploaded``.
        files: the local files, in the order asked for.
        objects: the object of each.
        moved: names of the objects that were not there yet, or not as they should be.
        seconds: that it took.
    """

    verb: str
    files: tuple[Path, ...]
    objects: tuple[StoredObject, ...]
    moved: frozenset[str]
    seconds: float

    @property
    def moved_bytes(self) -> int:
        """Of what was moved."""
        return sum(one.size for one in self.objects if one.name in self.moved)

    def notes(self) -> Iterator[str]:
        """What was done, and what did not have to be."""
        if self.moved:
            size = self.moved_bytes / 1e6
            yield (
                f"{len(self.moved)} of {len(self.objects)} files {self.verb}: {size:,.1f} MB in "
                f"{self.seconds:,.1f} s ({size / max(self.seconds, 1e-3):,.1f} MB/s)"
            )
        if same := len(self.objects) - len(self.moved):
            yield f"{same} files were {self.verb} before and are as they should be"

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "files": [str(path) for path in self.files],
            "objects": [one.name for one in self.objects],
            self.verb: sorted(self.moved),
            "bytes": self.moved_bytes,
            "seconds": self.seconds,
        }


def checksum(path: Path) -> str:
    """CRC32C of a file, as Cloud Storage gives it."""
    value: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            value.update(part)
    return base64.b64encode(value.digest()).decode("ascii")


class StoppedError(Exception):
    """Something else failed, so this need not go on."""


@dataclass
class Tally:
    """How far a transfer is; shared by its threads.

    Attributes:
        stage: ``download`` or ``upload``.
        total: bytes to move.
        moved: bytes that have been; more than the total where something is moved again.
        stopped: set when the rest need not be moved.
    """

    stage: str
    total: int
    moved: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        """Count a piece.

        Raises:
            StoppedError: it is not wanted any more.
        """
        if self.stopped.is_set():
            raise StoppedError
        with self._lock:
            self.moved += size

    def side_by_side(
        self, work: Callable[[T], R], items: Iterable[T], workers: int, report: Report
    ) -> list[R]:
        """Do several things at once, and tell in the calling thread how far they are.

        Raises:
            Exception: the first that a piece of work raised, after the others have stopped.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix=self.stage) as pool:
            futures = [pool.submit(work, item) for item in items]
            waiting = set(futures)
            if not futures:
                report(f"{self.stage}: everything is there", 1.0)
            try:
                while waiting:
                    done, waiting = wait(waiting, REPORT_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    share = min(self.moved / self.total, 1.0) if self.total else 1.0
                    report(
                        f"{self.stage}: {len(futures) - len(waiting)} of {len(futures)} files, "
                        f"{self.moved / 1e6:,.0f} of {self.total / 1e6:,.0f} MB",
                        share,
                    )
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]


class Counted:
    """A file that the client reads or fills, piece by piece, while a tally counts.

    Args:
        file: open, binary.
        tally: to count in; ends the transfer where it has been stopped.
    """

    def __init__(self, file: IO[bytes], tally: Tally) -> None:
        self._file = file
        self._tally = tally

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        part = self._file.read(size)
        self._tally.add(len(part))
        return part

    def write(self, part: bytes) -> int:
        """As of a file."""
        self._tally.add(len(part))
        return self._file.write(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
