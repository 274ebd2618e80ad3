"""One table on disk, Parquet or CSV: its columns as numbers, ids and days, and what is wrong in them.

A CSV file has no types and a half-written file may still open, so a column read carelessly turns station
007 into 7, a date into nanoseconds and text into missing values; each of these is settled or refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from pipeline.errors import DataError

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
NO = ("false", "no", "0", "0.0", "none", "nan", "<na>")
Loader = Callable[[list[str], list[str]], pd.DataFrame]
"""Reads the columns of the first list, those of the second as text where the file has no types."""


@dataclass
class Table:
    """A file whose columns are read when asked for; ``problems`` collects what is wrong in them.

    Rows are counted from 1, the first below the header.
    """

    path: Path
    header: list[str]
    load: Loader
    raw: pd.DataFrame = field(default_factory=pd.DataFrame)
    problems: list[str] = field(default_factory=list)
    memo: dict[str, Values] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Table:
        """Find the columns of a file.

        Raises:
            DataError: it is missing, broken or of another format.
        """
        formats = {".parquet": _open_parquet, ".csv": _open_csv}
        suffix = path.suffix.lower()
        if suffix not in formats:
            raise DataError(f"{path}: a table is a .parquet or .csv file, not {suffix or 'without suffix'}")
        if not path.is_file():
            raise DataError(f"{path}: no such table; check the path")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; export the table again")
        with _readable(path):
            header, load = formats[suffix](path)
        return cls(path, header, load)

    def fetch(self, columns: set[str], texts: set[str]) -> None:
        """Read the columns named; those in ``texts`` keep the characters a CSV file has.

        Raises:
            DataError: the file breaks off, has no rows, or has two columns of a name.
        """
        names = [name for name in self.header if name in columns] or self.header[:1]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{self.path}: more than one column is called {', '.join(twice)}; keep one")
        with _readable(self.path):
            self.raw = self.load(names, [name for name in names if name in texts])
        if len(self.raw) == 0:
            raise DataError(f"{self.path}: the table has no rows; check the export that made it")

    def numbers(self, column: str) -> Values:
        """A column as numbers, NaN = missing; anything else in it is a problem."""
        if column not in self.memo:
            series = _plain(self.raw[column])
            missing = series.isna().to_numpy()
            if pd.api.types.is_numeric_dtype(series.dtype):
                values = series.to_numpy(np.float64, na_value=np.nan)
                bad = np.zeros(len(series), dtype=np.bool_)
            elif pd.api.types.is_datetime64_any_dtype(series.dtype):
                values, bad = np.full(len(series), np.nan), ~missing
            else:
                values = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
                blank = series.astype("string").str.strip().eq("").fillna(False).to_numpy(np.bool_)
                bad = np.isnan(values) & ~missing & ~blank
            if bad.any():
                self.problems.append(
                    f"{column}: {share(bad)} values are no numbers, the first '{series.iloc[first(bad)]}' in "
                    f"row {first(bad) + 1}; correct them, or leave a missing value empty"
                )
            self.memo[column] = values
        return self.memo[column]

    def texts(self, name: str, columns: list[str], *, empty: bool = False) -> pd.Series[str]:
        """An id called ``name`` as text, its parts joined with "-".

        A missing one is a problem; ``empty`` lets a text of no length be one.
        """
        parts = [as_text(self.raw[column]) for column in columns]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined + "-" + part
        if empty:
            joined = joined.mask((self.raw[columns].fillna("?").astype(str) == "").all(axis=1), "")
        self._refuse_missing(name, columns, joined)
        return joined

    def days(self, name: str, column: str) -> pd.Series[pd.Timestamp]:
        """A column as days: ISO 8601, integers such as 20190401, time stamps; all else is a problem."""
        series = _plain(self.raw[column])
        if pd.api.types.is_datetime64_any_dtype(series.dtype):
            times = pd.to_datetime(series, utc=True)
        else:
            if pd.api.types.is_numeric_dtype(series.dtype):
                series = series.where(series.between(1e7, 1e8) & (series % 1 == 0)).astype("Int64")
            text = series.astype("string").str.strip().str.replace(r"\.0+$", "", regex=True)
            # pandas takes a year or a month for its first day, and 2019091 for the first of September.
            text = text.where(text.str.match(r"(\d{8}|\d{4}\D\d\d?\D\d\d?)(\D|$)").fillna(False))
            times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        days = times.dt.tz_localize(None).dt.normalize().astype("datetime64[s]")
        self._refuse_missing(name, [column], days, "; write days as 2019-04-01")
        return days

    def marks(self, column: str) -> Mask:
        """A column as yes or no: missing, false, no and 0 are no, any other text is yes."""
        text = as_text(self.raw[column]).str.lower()
        return (text.notna() & ~text.isin(NO)).to_numpy(np.bool_)

    def refuse_repeats(
        self, frame: pd.DataFrame, place: str, rows: NDArray[np.intp], told: tuple[str, str, str]
    ) -> None:
        """Make a problem of a place and day given twice.

        Args:
            frame: ``place`` and ``date`` of some rows; without one of the columns nothing is checked.
            place: the column of the ids.
            rows: where the rows of ``frame`` stand in the file.
            told: in the message: the id's name in the file, what is repeated, and what to do.
        """
        if not {place, "date"} <= set(frame):
            return
        known = frame[[place, "date"]].notna().all(axis=1)
        twice = (frame.duplicated([place, "date"]) & known).to_numpy(np.bool_)
        if twice.any():
            double = frame.iloc[first(twice)]
            name, what, remedy = told
            self.problems.append(
                f"{name}, date: {share(twice)} rows repeat {what}, the first {double[place]} on "
                f"{double['date']:%Y-%m-%d} in row {rows[first(twice)] + 1}; {remedy}"
            )

    def _refuse_missing(self, name: str, columns: list[str], values: pd.Series, hint: str = "") -> None:
        bad = values.isna().to_numpy()
        if bad.any():
            given = ", ".join(f"'{self.raw[column].iloc[first(bad)]}'" for column in columns)
            self.problems.append(
                f"{', '.join(columns)}: {name} is missing or unreadable in {share(bad)} rows, the first row "
                f"{first(bad) + 1} ({given}); fill it in or leave these rows out{hint}"
            )


def first(mask: Mask) -> int:
    """Position of the first row of a mask that has one."""
    return int(mask.argmax())


def share(mask: Mask) -> str:
    """How many rows of how many, such as ``3 of 1,200``."""
    return f"{mask.sum():,} of {len(mask):,}"


def as_text(series: pd.Series) -> pd.Series[str]:
    """A column as ids, missing where it is missing or blank; 7.0 is the id 7, coordinates keep 6 decimals."""
    series = _plain(series)
    if pd.api.types.is_float_dtype(series.dtype):
        whole = bool((series.dropna() % 1 == 0).all())
        series = series.astype("Int64") if whole else series.round(6)
    text = series.astype("string").str.strip()
    return text.mask(text == "")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what Arrow raises into a sentence about the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{path}: cannot be read as {path.suffix[1:].lower()}: {reason}; the file may be cut off or of "
            "another format: export it again"
        ) from error


def _open_parquet(path: Path) -> tuple[list[str], Loader]:
    file = pq.ParquetFile(path)

    def load(columns: list[str], texts: list[str]) -> pd.DataFrame:
        table = file.read(columns=columns)
        return pd.DataFrame(table.to_pandas(ignore_metadata=True))  # an index of pandas stays a column

    return list(file.schema_arrow.names), load


def _open_csv(path: Path) -> tuple[list[str], Loader]:
    # One block, so that a column's type follows from all its rows. A row of another width is an error.
    whole = csv.ReadOptions(block_size=min(path.stat().st_size + 1, 2**31 - 1))
    with csv.open_csv(path) as file:
        header = list(file.schema.names)

    def load(columns: list[str], texts: list[str]) -> pd.DataFrame:
        options = csv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(texts, pa.string()), strings_can_be_null=True
        )
        return pd.DataFrame(csv.read_csv(path, whole, convert_options=options).to_pandas())

    return header, load


def _plain(series: pd.Series) -> pd.Series:
    """The same values without categories."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.astype(series.cat.categories.dtype)
    return series
