"""Results of many fits are made once: read back where they are of the same, gone on with after a stop.

Fitting stacks again and again takes minutes to hours, and a run that is killed, or asked for the same a
second time, must not pay for them twice.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
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


def kept_in(folder: Path, key: str) -> Path:
    """Where a folder keeps what a stopped run has predicted of the same; that of anything else goes."""
    if not (folder / key).is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    (folder / key).mkdir(parents=True, exist_ok=True)
    return folder / key
