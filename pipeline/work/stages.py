"""Which stages of a run are done, and with what: so that a second run does nothing twice.

A stage whose result follows from files and settings alone is told by a hash of these. Stages that know
themselves what they have done (exports, the cube, the prediction, publication) are not listed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import DataError
from pipeline.work.staging import whole, write_json


def digest(*inputs: Path | str) -> str:
    """SHA-256 of files' contents and of texts, in their order; of a folder's, by name.

    Each name, content and text is hashed by itself, so that what ends one cannot begin the next.

    Raises:
        DataError: a file cannot be read.
    """
    found = hashlib.sha256()
    for each in inputs:
        if isinstance(each, str):
            found.update(hashlib.sha256(each.encode()).digest())
            continue
        files = sorted(path for path in each.rglob("*") if path.is_file()) if each.is_dir() else [each]
        for path in files:
            found.update(hashlib.sha256(str(path.relative_to(each.parent)).encode()).digest())
            try:
                with path.open("rb") as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return found.hexdigest()


class Stages:
    """The record of a work directory.

    Args:
        path: of the record; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def done(self, stage: str, inputs: str, result: Path) -> bool:
        """Whether a stage was done with these inputs and its result is still there."""
        return result.exists() and self._read().get(stage) == inputs

    def record(self, stage: str, inputs: str) -> None:
        """A stage is done.

        Raises:
            DataError: the record cannot be written.
        """
        try:
            with whole(self._path) as beside:
                write_json(beside, {**self._read(), stage: inputs})
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error.strerror or error}") from error

    def _read(self) -> Mapping[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a record that is lost costs time and nothing else
            return {}
        return found if isinstance(found, dict) else {}
