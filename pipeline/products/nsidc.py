"""NSIDC-0779: SMAP's soil moisture downscaled to 1 km by the thermal inertia of the ground, a file a day.

Files are GeoTIFFs of the global EASE-Grid 2.0 of 1 km (EPSG:6933), such as
NSIDC-0779_EASE2_G1km_SMAP_SM_DS_20190401.tif, with the morning's pass (6 AM, descending) in the first band
and the evening's (6 PM) in the second, m³/m³. The morning counts and the evening fills what it lacks. Subsets
keep the name, with words before or behind it.
Source: nsidc.org/data/nsidc-0779, version 1. Its fill code is not known for sure, so besides the file's own
no-data code all numbers that no soil has, 0 and less or more than 1, count as missing.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gee.comparisons import PRODUCTS
from pipeline.errors import DataError
from pipeline.products.product import Days, Found
from pipeline.products.rasters import SUFFIXES, Reading, read_days
from pipeline.progress import Report
from pipeline.tables.titles import NSIDC, title

FILE = re.compile(r"NSIDC-0779_EASE2_G1km_SMAP_SM_DS_(\d{8})(?!\d)", re.IGNORECASE)
MORNING, EVENING = 1, 2  # bands
_KNOWN = PRODUCTS[NSIDC]
READING = Reading((MORNING, EVENING), _KNOWN.factor, _KNOWN.offset, _KNOWN.above, _KNOWN.high)


@dataclass(frozen=True)
class NsidcProduct:
    """A folder of NSIDC-0779.

    Attributes:
        folder: that holds the files, in folders of its own or not.
        name: its column.
        title: what people call it.
    """

    folder: Path
    name: str = NSIDC
    title: str = title(NSIDC)

    @property
    def source(self) -> str:
        """The folder."""
        return str(self.folder)

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """Its values at places; see ``Product.at``.

        Raises:
            DataError: there is no file of the product or of the period, none can be read, or none holds a
                station.
        """
        dated = files(self.folder)
        if not dated:
            raise DataError(
                f"{self.folder} holds no file of NSIDC-0779, NSIDC-0779_EASE2_G1km_SMAP_SM_DS_YYYYMMDD.tif: "
                "name the folder that does"
            )
        return read_days(dated, self.folder, places, days, READING, report)


def files(folder: Path) -> dict[dt.date, list[Path]]:
    """Files of the product under a folder, by day."""
    found: dict[dt.date, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        told = FILE.search(path.name) if path.suffix.lower() in SUFFIXES else None
        if told is not None:
            try:
                found.setdefault(dt.datetime.strptime(told[1], "%Y%m%d").date(), []).append(path)
            except ValueError:
                continue
    return found
