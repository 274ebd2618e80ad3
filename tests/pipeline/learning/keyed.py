"""The keys of samples, made from a table's columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.splits import SampleKeys


def keys_of(frame: pd.DataFrame) -> SampleKeys:
    return SampleKeys(
        cell=np.unique(frame["cell"], return_inverse=True)[1],
        lon=frame["lon"].to_numpy(),
        lat=frame["lat"].to_numpy(),
        day=(frame["date"] - pd.Timestamp("1970-01-01")).dt.days.to_numpy(),
        partition=frame["partition"].to_numpy(np.str_),
    )
