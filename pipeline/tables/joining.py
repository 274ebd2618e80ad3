"""What models learn from: the tables of cells, month by month, joined with the static one as a Parquet file.

A month that is missing, or there twice, changes a model without a word, so before the file takes its place
every cell must have every day of the study once. Which rows are of use (land, with a target) is decided where
the file is read, in ``pipeline.tables.samples``. Columns are those of ``gee.exports``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gee.cells import valid_names
from gee.exports import CELL_KEYS, MONTHLY, SIMULATED
from gee.partitions import BAND as PARTITION
from gee.predictors import Bands
from gee.target import MOISTURE, OUTAGE
from pipeline.errors import DataError
from pipeline.tables.reading import Table
from pipeline.work.manifest import Manifest
from pipeline.work.staging import whole

_, CELLS = MONTHLY
STATIC = f"{CELLS}-static"
RECORD = b"gee_smap_samples"  # key in the file's metadata: what it was made of
REMEDY = "gee-smap export fetches what is missing"
VERSION = 1  # of the file's columns
CELL, *PLACE = CELL_KEYS


@dataclass(frozen=True)
class Joined:
    """A table of samples that is whole.

    Attributes:
        path: of the file.
        made: whether it was made now; otherwise it was there already.
        rows: cells times days.
        notes: what a user should know.
    """

    path: Path
    made: bool
    rows: int
    notes: tuple[str, ...]


def join_samples(manifest: Manifest, exports: Path, out: Path) -> Joined:
    """Join the tables of a study.

    Args:
        manifest: names the tables.
        exports: folder with them.
        out: Parquet file with one row for each cell and day: ``cell``, ``lon``, ``lat``, ``date``, ``doy``,
            ``partition`` (left out where the study has none, empty outside of all), the predictors with the
            valid shares of the dynamic ones, ``sm``, ``smap_outage`` and ``simulated``. An earlier one stays
            until the new one is whole.

    Raises:
        DataError: a table is missing, broken or of another study, a cell has a day twice or lacks one, or
            ``out`` cannot be written; all that is wrong with the tables is told together.
    """
    tables = {
        task.name: exports / f"{task.task}.csv"
        for task in manifest.tasks
        if task.kind == "table" and task.name.startswith(f"{CELLS}-")
    }
    record = _record(manifest, tables.values())
    if (rows := _rows(out, record)) is not None:
        return Joined(out, False, rows, (f"{out} is there already, made of the same tables.",))
    mistakes: list[str] = []
    still = None
    with _gathered(mistakes):
        still = _static(manifest, tables.pop(STATIC, exports / f"{STATIC}.csv"))
    schema = _schema(manifest)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as beside:
            with pq.ParquetWriter(
                beside, schema.with_metadata({RECORD: record}), compression="zstd"
            ) as writer:
                seen = np.zeros((0 if still is None else len(still), len(manifest.days)), np.uint16)
                for path in tables.values():
                    with _gathered(mistakes):
                        month = _month(manifest, path)
                        if still is not None:
                            frame = _placed(month, still, manifest, path, seen)
                            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
            if still is not None and not mistakes:
                mistakes += _uneven(seen, still, manifest)
            if mistakes:
                raise DataError(
                    "\n".join([f"The samples of {manifest.study} cannot be joined; {REMEDY}:", *mistakes])
                )
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}; make room or name another folder"
        ) from error
    return Joined(out, True, seen.size, tuple(_notes(still)))


def _daily(bands: Bands) -> tuple[str, ...]:
    """What a monthly table says of the predictors."""
    return (*bands.dynamic, *valid_names(bands.dynamic))


def _schema(manifest: Manifest) -> pa.Schema:
    """The columns of the file."""
    bands = manifest.bands
    return pa.schema(
        [
            (CELL, pa.string()),
            *((name, pa.float64()) for name in PLACE),
            ("date", pa.timestamp("ms")),
            ("doy", pa.int16()),
            *([(PARTITION, pa.string())] if manifest.partitions else []),
            *((name, pa.float32()) for name in (*_daily(bands), *bands.still, MOISTURE)),
            (OUTAGE, pa.int8()),
            (SIMULATED, pa.bool_()),
        ]
    )


@contextmanager
def _gathered(mistakes: list[str]) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        mistakes.append(str(error))


def _record(manifest: Manifest, tables: Iterable[Path]) -> bytes:
    """What a table of samples is made of."""
    stats = [(path, path.stat() if path.exists() else None) for path in tables]
    files = [[path.name, stat and [stat.st_size, stat.st_mtime_ns]] for path, stat in stats]
    return json.dumps([VERSION, manifest.partitions, manifest.simulated, files]).encode()


def _rows(out: Path, record: bytes) -> int | None:
    """The rows of a file that was made of the same; None of any other."""
    try:
        found = pq.read_metadata(out)
    except (OSError, pa.ArrowException):
        return None
    return int(found.num_rows) if (found.metadata or {}).get(RECORD) == record else None


def _static(manifest: Manifest, path: Path) -> pd.DataFrame:
    """What does not change, by cell."""
    texts = (CELL, PARTITION) if manifest.partitions else (CELL,)
    numbers = (*PLACE, *manifest.bands.still)
    table = _opened(manifest, path, texts, numbers)
    still = pd.DataFrame({name: table.numbers(name) for name in numbers})
    still[SIMULATED] = manifest.simulated
    still.index = pd.Index(table.texts(CELL, [CELL]), name=CELL)
    if manifest.partitions:
        still[PARTITION] = table.raw[PARTITION].fillna("").astype(str).str.strip().to_numpy()
        if strange := sorted({*still[PARTITION]} - {"", *manifest.partitions}):
            table.problems.append(f"partition: the study has no {', '.join(strange)}; keep its own files")
    if not still.index.is_unique:
        table.problems.append("cell: more than one row of the same cell; export it again")
    _check(table)
    return still


def _month(manifest: Manifest, path: Path) -> pd.DataFrame:
    """What changes, with ``cell`` and ``date``."""
    numbers = ("doy", *_daily(manifest.bands), MOISTURE, OUTAGE)
    table = _opened(manifest, path, (CELL, "date"), numbers)
    month = pd.DataFrame({name: table.numbers(name) for name in numbers})
    month.insert(0, CELL, table.texts(CELL, [CELL]))
    month.insert(1, "date", table.days("date", "date"))
    _check(table)
    return month


def _opened(manifest: Manifest, path: Path, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """A table with those columns, whose rows say that they are simulated where the study does."""
    table = Table.open(path)
    marks = [SIMULATED] * manifest.simulated
    if missing := [name for name in (*texts, *numbers, *marks) if name not in table.header]:
        raise DataError(f"{path} has no column {', '.join(missing)}; export it again")
    table.fetch({*texts, *numbers, SIMULATED}, set(texts))
    if SIMULATED in table.header and (table.marks(SIMULATED) != manifest.simulated).any():
        said = "not all" if manifest.simulated else "some"
        table.problems.append(f"{SIMULATED}: {said} of its rows are, unlike the study; keep its own files")
    return table


def _check(table: Table) -> None:
    if table.problems:
        raise DataError("\n".join(f"{table.path}: {problem}" for problem in table.problems))


def _placed(
    month: pd.DataFrame, still: pd.DataFrame, manifest: Manifest, path: Path, seen: NDArray[np.uint16]
) -> pd.DataFrame:
    """The month's rows with what does not change; each is counted in ``seen``, of shape (cells, days)."""
    cells = still.index.get_indexer(pd.Index(month[CELL]))
    days = (month["date"] - pd.Timestamp(manifest.start)).dt.days.to_numpy()
    if (cells < 0).any():
        raise DataError(f"{path} has other cells than the static table: keep the files of one study")
    if ((days < 0) | (days >= seen.shape[1])).any():
        raise DataError(f"{path} has days that are not the study's: keep the files of one study")
    np.add.at(seen, (cells, days), 1)
    return pd.concat([month, still.iloc[cells].reset_index(drop=True)], axis=1)


def _uneven(seen: NDArray[np.uint16], still: pd.DataFrame, manifest: Manifest) -> Iterator[str]:
    """Which cells lack a day or have it more than once."""
    for what, wrong in (("missing", seen == 0), ("there more than once", seen > 1)):
        if wrong.any():
            cell, day = np.argwhere(wrong)[0]
            yield (
                f"{wrong.sum():,} of {wrong.size:,} cell-days are {what}, the first {still.index[cell]} on "
                f"{manifest.days[day]}: export again"
            )


def _notes(still: pd.DataFrame | None) -> Iterator[str]:
    if still is not None and PARTITION in still and (outside := (still[PARTITION] == "").sum()):
        yield f"{outside:,} of {len(still):,} cells lie in no partition."
