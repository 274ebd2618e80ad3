"""How sources become predictors and target: a field for each question the paper leaves open or answers badly.

A map is only as clear as these choices, so they are values that a study states, a plan prints and a hash
covers, never constants scattered over the code. The defaults are this project's decisions; ``PAPER`` is the
literal reading of Xu et al. 2024 sections 2.2, 3.1 and 3.3.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GAP_DAYS = 15  # Xu et al. 2024, 3.1: valid values within 15 days before and after
ASSET = r"^projects/[^/]+/assets/.+$"


class Recipe(BaseModel):
    """The choices, each with its question as description."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quality: Literal["balanced", "strict"] = Field(
        default="balanced", description="balanced or strict, which MODIS pixels count as clear"
    )
    dates: Literal["pixel", "start"] = Field(
        default="pixel",
        description="pixel (the day a composite's pixel was seen) or start (the composite's first day)",
    )
    indices: Literal["guarded", "printed"] = Field(
        default="guarded",
        description="guarded (denominators above zero, clamped) or printed (the formulas alone)",
    )
    inversions: Literal["full", "all"] = Field(
        default="all",
        description="full or all, the albedo retrievals taken; all has those of few clear views too",
    )
    gap_days: int = Field(
        default=GAP_DAYS,
        ge=1,
        le=60,
        description="a whole number from 1 to 60, how far an observation may be to fill a day",
    )
    orbit: Literal["ascending", "descending", "both"] = Field(
        default="ascending", description="ascending, descending or both, the Sentinel-1 passes used"
    )
    radar_mean: Literal["power", "decibels"] = Field(
        default="power", description="power (averaged, then turned into dB) or decibels (averaged as such)"
    )
    radar_days: Literal[12, 13] = Field(
        default=12, description="12 (six before, the day, five after) or 13 (six on both sides)"
    )
    soil: str = Field(
        default="soilgrids",
        pattern=rf"^soilgrids$|^openlandmap$|^hwsd$|{ASSET}",
        description='soilgrids, openlandmap, or "projects/NAME/assets/..." with bands sand, silt, clay in %',
    )
    elevation: Literal["srtm", "glo30"] = Field(
        default="srtm", description="srtm (CGIAR, 90 m) or glo30 (Copernicus, 30 m)"
    )
    water: Literal["fraction", "majority"] = Field(
        default="fraction",
        description="fraction (left out from water_limit on) or majority (left out where water is the mode)",
    )
    water_limit: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a number above 0 to 1, the share of water from which a pixel or a cell is left out",
    )
    smap: Literal["008", "007"] = Field(default="008", description="008 or 007, the version of SMAP L4")
    smap_bin: Literal["morning", "utc-06-09"] = Field(
        default="morning",
        description="morning (21-24 UTC of the day before, 5-8 in Beijing) or utc-06-09",
    )
    registration: Literal["ease", "utm"] = Field(
        default="ease",
        description="ease (the cells SMAP is made on) or utm (a 9 km grid and the nearest SMAP pixel)",
    )

    @property
    def radar_window(self) -> tuple[int, int]:
        """Days before, and days from the day on, of the Sentinel-1 window: [day - before, day + after)."""
        return 6, self.radar_days - 6

    def differences(self, other: Recipe) -> list[tuple[str, str, str]]:
        """The choices in which two recipes differ: name, this one's, the other's."""
        return [
            (name, str(mine), str(theirs))
            for (name, mine), (_, theirs) in zip(self, other, strict=True)
            if mine != theirs
        ]


RECOMMENDED = Recipe()
PAPER = Recipe(
    dates="start",
    indices="printed",
    inversions="full",
    radar_mean="decibels",
    radar_days=13,
    soil="hwsd",
    water="majority",
    smap="007",
    smap_bin="utc-06-09",
    registration="utm",
)
"""Its soil is HWSD, which Earth Engine does not hold: a study with this preset names an asset of its own."""
