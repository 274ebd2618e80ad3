"""What the products of a comparison are called: in a table's columns, and by people.

A column's name is short and fixed so that tables of several studies can be put together; a figure and a
report say the title. A product that a user adds has no title here and stands under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DOWNSCALED = "sm"
UNCORRECTED = "sm_model"
SMAP = "smap"
SMAP_BILINEAR = "smap_bilinear"
WHOLE = "wp"
SMCI = "smci"
NSIDC = "smap_dsm"

# What a map or a table says of its own values; no products.
LOWER, UPPER = "sm_lower", "sm_upper"
INDEX, INSIDE = "di", "aoa"
CORRECTED = "corrected"

TITLES: Mapping[str, str] = MappingProxyType(
    {
        DOWNSCALED: "Downscaled",
        UNCORRECTED: "Stack, uncorrected",
        WHOLE: "WP",
        "xgboost": "XGBoost",
        "lightgbm": "LightGBM",
        "catboost": "CatBoost",
        SMAP: "SMAP",
        SMAP_BILINEAR: "SMAP, bilinear",
        SMCI: "SMCI1.0",
        NSIDC: "NSIDC-0779",
    }
)
"""Titles by the column of the table of predictions, in the order in which a report lists the products."""


def title(name: str) -> str:
    """What a product is called, by people; a name that is not known stands for itself."""
    return TITLES.get(name, name)
