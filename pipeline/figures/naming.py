"""What predictors and their units are called in figures and reports, in one place for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.columns import VARIABLES

SIGNS = {
    "m3/m3": "m³/m³", "m2/m2": "m²/m²", "degC": "°C", "degrees": "°", "degree": "°", "1": "", "class": "",
    "d": "",
}  # fmt: skip
"""How a unit is printed where it is not printed as it is written; a day of year needs none."""
SPELLED = {
    "lc": "Land cover", "LC_1": "Forest", "LC_2": "Grassland", "LC_3": "Cropland",
    "LC_4": "Urban", "dlst": "LST day less night", "rain_3": "Rain, 3 days", "rain_7": "Rain, 7 days",
    "rain_15": "Rain, 15 days", "rain_30": "Rain, 30 days", "slope": "Slope", "doy_sin": "Sine of DOY",
    "doy_cos": "Cosine of DOY", "albedo": "Albedo", "sand": "Sand", "silt": "Silt", "clay": "Clay",
}  # fmt: skip


def spelled(name: str) -> str:
    """A predictor's name as papers print it; one that gee-smap does not know stays as it is."""
    return SPELLED.get(name, name.upper() if name in VARIABLES else name)


def labelled(name: str, units: Mapping[str, str]) -> str:
    """A predictor's printed name with its unit; ``units`` tells those of unknown predictors."""
    unit = VARIABLES[name].unit if name in VARIABLES else units.get(name, "")
    sign = SIGNS.get(unit, unit)
    return f"{spelled(name)} ({sign})" if sign else spelled(name)
