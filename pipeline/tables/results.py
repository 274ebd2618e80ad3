"""A table of scores read back as it was written: only an empty field is missing, and every reason is text."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd


def read_scores(path: Path, columns: Collection[str] = (), *, texts: Collection[str] = ()) -> pd.DataFrame:
    """A CSV of scores, with the ``reason`` of each that is undefined, empty where none is.

    Args:
        path: of the file.
        columns: that must be there beside ``reason``.
        texts: likewise, and text also where all of it looks like numbers.

    Raises:
        ValueError: it lacks columns.
        OSError: it cannot be read.
    """
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    if not {*columns, *texts, "reason"} <= {*table}:
        raise ValueError(f"{path.name} lacks columns")
    table["reason"] = table["reason"].astype(object).fillna("")
    return table
