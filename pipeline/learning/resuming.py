"""Results of many fits are made once: read back where they are of the same, gone on with after a stop.

Fitting stacks again and again takes minutes to hours, and a run that is killed, or asked for the same a
second time, must not pay for them twice.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.errors import DataError
from pipeline.study import Study

LIBRARIES = ("gee-smap", "xgboost", "lightgbm", "catboost")  # another version may predict something else


class Recorded(Protocol):
    """A result whose record says under ``key`` what it follows from."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Content of the record."""


Result = TypeVar("Result", bound=Recorded)


def key_of(samples: Path, study: Study, *settings: object) -> str:
    """SHA-256 of all that results follow from: a table's content, a study, settings, libraries."""
    with samples.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    told = [content, study.hash, *map(str, settings), *(version(name) for name in LIBRARIES)]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()


def made_before(read: Callable[[Path], Result | None], out: Path, key: str) -> Result | None:
    """What an earlier run made of the same; damaged results are made anew."""
    try:
        found = read(out)
    except DataError:
        return None
    return found if found is not None and found.summary.get("key") == key else None


@contextmanager
def resumed(out: Path, name: str, key: str) -> Iterator[Path]:
    """A folder for what is predicted on the way to results; it goes once the block has made them.

    What a stopped run has predicted of the same is in it; that of anything else goes at once.

    Args:
        out: of the results; made.
        name: of the folder within it.
        key: of all that the results follow from.

    Raises:
        DataError: ``out`` cannot be written; any ``OSError`` of the block is told as that.
    """
    folder = out / name
    try:
        if not (folder / key).is_dir():
            shutil.rmtree(folder, ignore_errors=True)
        (folder / key).mkdir(parents=True, exist_ok=True)
        yield folder / key
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}; name a folder you own"
        ) from error
