"""A set of result files written into a folder together, beside a JSON record of how they came about.

A run that stops half way must leave neither half a figure nor a table beside the figures of another run;
so files are written in a hidden folder and renamed at the end, while there is no record. What is being
written bears the machine and number of its process, so that the next one removes what a killed one has left.
"""

from __future__ import annotations

import glob
import json
import math
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]

from pipeline.errors import DataError

Result = TypeVar("Result")

_PARTIAL = ".partial-"


def remove_left(out: Path) -> None:
    """Remove the hidden folders that processes of this machine which are no more have left in ``out``."""
    for left in out.glob(f"{_PARTIAL}*"):
        host, _, pid = left.name.removeprefix(_PARTIAL).rpartition("-")[0].rpartition("-")
        if host == platform.node() and _ended(pid):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def hidden(out: Path) -> Iterator[Path]:
    """A hidden folder to write in, which goes with the block; it stands inside ``out``, which is made.

    Only there is the file system surely the same, as renaming needs. An ``OSError`` passes through.
    """
    out.mkdir(parents=True, exist_ok=True)
    remove_left(out)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{platform.node()}-{os.getpid()}-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def staged(out: Path, record: str, earlier: Iterable[str]) -> Iterator[Path]:
    """A hidden folder to write in; where the block ends without an error, its files are moved into ``out``.

    Args:
        out: made, with its parents, before the block begins.
        record: name of the file that goes first and is moved last: where it is, everything is of one run.
        earlier: names of files that an earlier run may have left; what is not written anew is removed.

    Raises:
        DataError: ``out`` cannot be written.
    """
    try:
        with hidden(out) as folder:
            yield folder
            names = {path.name for path in folder.iterdir()}
            (out / record).unlink(missing_ok=True)
            for name in set(earlier) - names:
                (out / name).unlink(missing_ok=True)
            for name in [*sorted(names - {record}), record]:
                (folder / name).replace(out / name)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror or error}); choose another output folder"
        ) from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write; it takes that name if the block ends without an error, or else goes.

    An ``OSError`` passes through: what it means to the user, the caller knows.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove what processes that are no more have left beside a file that `whole` was writing."""
    for beside in path.parent.glob(f".{glob.escape(path.stem)}.*{path.suffix}"):
        if _ended(beside.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)):
            beside.unlink(missing_ok=True)


def _ended(pid: str) -> bool:
    """Whether a text is the number of a process that is no more."""
    return pid.isdecimal() and not psutil.pid_exists(int(pid))


def write_json(path: Path, content: Any) -> None:
    """Write a record, with null for what is undefined."""
    text = json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def without_nan(content: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {key: without_nan(item) for key, item in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(item) for item in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def with_nan(content: Any) -> Any:
    """The same with NaN for null, which stands for it in JSON."""
    if isinstance(content, dict):
        return {key: with_nan(item) for key, item in content.items()}
    if isinstance(content, list):
        return [with_nan(item) for item in content]
    return math.nan if content is None else content


def read_back(folder: Path, record: str, load: Callable[[Path], Result], again: str) -> Result | None:
    """What an earlier run left in a folder; None where its record is not there.

    Args:
        folder: of the results.
        record: name of the file that tells a whole result.
        load: reads them.
        again: what makes them anew, for the message.

    Raises:
        DataError: they are damaged.
    """
    if not (folder / record).is_file():
        return None
    try:
        return load(folder)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({error}): remove it, and {again}") from error
