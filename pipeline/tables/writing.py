"""A table written as Parquet or CSV, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.work.staging import whole


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False)


WRITERS = {".parquet": _write_parquet, ".csv": _write_csv}


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as beside:
            WRITERS[path.suffix](frame, beside)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; name a file in a folder you own"
        ) from error
