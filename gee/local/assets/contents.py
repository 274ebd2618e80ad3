"""The files of assets: written beside, renamed into place, removed only when nothing refers to them.

A content is a folder ``files/<uuid>/`` that never changes. The database refers to it; a crash between the
renaming and the database's commit, or between a deletion's commit and the removal, leaves a folder nobody
refers to, which the next start sweeps. So an asset's row never points at half a file.
"""

from __future__ import annotations

import logging
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gee.local.errors import EngineError

_UNFINISHED = ".part"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContentFile:
    """A file of an asset as it was when it became one.

    Attributes:
        path: absolute.
        size: in bytes.
        modified: ``st_mtime_ns``, which tells a user's own file that was changed after it was mounted.
    """

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> ContentFile:
        """The file as it is now."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)


class Contents:
    """The folder of contents of one state.

    Args:
        root: its path; created when absent.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()
        self._doomed: set[str] = set()

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder to write files into; what ``adopt`` has not taken by the end is removed."""
        folder = self._root / f"{uuid.uuid4().hex}{_UNFINISHED}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, folder: Path) -> tuple[str, tuple[ContentFile, ...]]:
        """Make a content of a staging folder.

        Returns:
            The content's id, and its files in the order of their names.

        Raises:
            ValueError: it is no staging folder of this state, or has no files.
        """
        if folder.parent != self._root or folder.suffix != _UNFINISHED:
            raise ValueError(f"{folder} is no staging folder of {self._root}")
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.is_symlink())
        if not names:
            raise ValueError(f"{folder} has no files")
        content = folder.stem
        folder.rename(self._root / content)
        return content, tuple(ContentFile.of(self.path(content, name)) for name in names)

    def path(self, content: str, name: str) -> Path:
        """Where a file of a content is."""
        return self._root / content / name

    @contextmanager
    def reading(
        self, asset: str, content: str | None, files: Sequence[ContentFile]
    ) -> Iterator[tuple[Path, ...]]:
        """The files, checked, and kept until the block ends even if their asset is deleted meanwhile.

        Args:
            asset: the name, for the message.
            content: the id; None for a user's own files.
            files: as they ought to be.

        Raises:
            EngineError: FAILED_PRECONDITION; a file is missing or not what it was.
        """
        if content is not None:
            with self._lock:
                self._readers[content] += 1
        try:
            for file in files:
                _check(asset, file, own=content is None)
            yield tuple(file.path for file in files)
        finally:
            if content is not None:
                self._leave(content)

    def _leave(self, content: str) -> None:
        with self._lock:
            self._readers[content] -= 1
            remove = not self._readers[content] and content in self._doomed
            if not self._readers[content]:
                del self._readers[content]
                self._doomed.discard(content)
        if remove:
            self._remove(content)

    def discard(self, contents: Collection[str]) -> None:
        """Remove contents whose rows are gone, each as soon as nobody reads it."""
        for content in contents:
            with self._lock:
                busy = content in self._readers
                if busy:
                    self._doomed.add(content)
            if not busy:
                self._remove(content)

    def _remove(self, content: str) -> None:
        try:
            shutil.rmtree(self._root / content)
        except OSError:
            log.warning("the files of a deleted asset stay until the next start: %s", content, exc_info=True)

    def sweep(self, known: Collection[str]) -> list[str]:
        """Remove every folder that is no known content; only while no other process uses the state.

        Returns:
            The names of what was removed.
        """
        orphans = sorted(path.name for path in self._root.iterdir() if path.name not in known)
        for name in orphans:
            log.info("sweeping %s, which no asset refers to", name)
            self._remove(name)
        return orphans


def _check(asset: str, file: ContentFile, own: bool) -> None:
    try:
        status = file.path.stat()
    except OSError as error:
        raise EngineError(
            f"Asset '{asset}' cannot be read: its file '{file.path.name}' is missing.", "FAILED_PRECONDITION"
        ) from error
    if status.st_size != file.size:
        raise EngineError(
            f"Asset '{asset}' cannot be read: its file '{file.path.name}' has {status.st_size} bytes "
            f"instead of {file.size}.",
            "FAILED_PRECONDITION",
        )
    if own and status.st_mtime_ns != file.modified:
        raise EngineError(
            f"Asset '{asset}' cannot be read: its file '{file.path.name}' has changed since it was mounted; "
            "mount it again.",
            "FAILED_PRECONDITION",
        )
