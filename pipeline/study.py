"""The study: one TOML file that says what is mapped, when, and how it is learned.

A study is read once, at the edge, so that everything behind it works with checked values; a file with
three mistakes reports three mistakes. Defaults are the decisions taken where Xu et al. 2024 is silent or
weak; ``preset = "paper"`` switches to its literal reading.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from gee.recipe import ASSET, PAPER, Recipe
from models.splits import BLOCK_KM, GAP_DAYS, MINIMUM_SAMPLES, N_FOLDS, TEST_SHARE, standard_splits
from pipeline.columns import KNOWN, LAND_COVER, SETS, Column, mistakes
from pipeline.errors import ConfigError
from pipeline.mistakes import described, nearest

SPLITS = tuple(split.name for split in standard_splits())
PRESETS: dict[str, dict[str, dict[str, object]]] = {
    "recommended": {},
    "paper": {
        "preparation": PAPER.model_dump(exclude_defaults=True),
        "predictors": {"set": "paper", "land_cover": "one-hot"},
        "splits": {"names": ["random"], "transfer": 0},
        "partitions": {"use": "always", "blend_km": 0},
        "maps": {"conserve": False, "detail": 1.0, "intervals": False, "applicability": False},
    },
}
"""What a preset sets where the study itself says nothing."""
MEASURED: Literal["measured"] = "measured"
RESERVED = (
    "cell", "station", "lon", "lat", "date", "partition", "sm", "sm_model", "sm_lower", "sm_upper", "di",
    "aoa", "corrected", "wp", "xgboost", "lightgbm", "catboost", *LAND_COVER,
)  # fmt: skip
"""Names in a samples table that are neither extra predictors nor carried columns."""


class Section(BaseModel):
    """A part of the study: unknown keys are refused and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Region(Section):
    """The land to map, told in exactly one of four ways."""

    place: str | None = Field(
        default=None, min_length=1, description='the name of a place in geoBoundaries, such as "Anhui"'
    )
    bbox: tuple[float, float, float, float] | None = Field(
        default=None,
        description="[west, south, east, north] in degrees, such as [114.87, 29.39, 119.66, 34.66]",
    )
    geojson: Path | None = Field(
        default=None, description="the path of a GeoJSON file, seen from the study's folder"
    )
    asset: str | None = Field(
        default=None,
        pattern=ASSET,
        description='an Earth Engine table, "projects/NAME/assets/..."',
    )

    @field_validator("bbox")
    @classmethod
    def _ordered(
        cls, bbox: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if bbox is not None:
            west, south, east, north = bbox
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise ValueError(
                    "west < east within -180..180 and south < north within -90..90 is needed; split a region "
                    "across the 180th meridian into two studies"
                )
        return bbox

    @field_validator("geojson")
    @classmethod
    def _there(cls, geojson: Path | None, info: ValidationInfo) -> Path | None:
        return _existing(geojson, info)

    @model_validator(mode="after")
    def _one(self) -> Region:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(type(self).model_fields)} (got {_listed(given)})"
            )
        return self


class Period(Section):
    """The days to map; both ends belong to it."""

    start: dt.date = Field(description="a first day, such as 2019-04-01")
    end: dt.date = Field(description="a last day, included, such as 2019-11-01")

    @model_validator(mode="after")
    def _forward(self) -> Period:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        return self


class Partitions(Section):
    """Terrain partitions, each of which gets a model of its own."""

    scheme: Literal["none", "anhui", "auto", "file", "asset"] = Field(
        default="none",
        description="none, anhui (the paper's five), auto (clusters), file (polygons in path), asset "
        "(polygons at path on Earth Engine)",
    )
    path: str | None = Field(
        default=None, description='a GeoJSON file with the polygons, or "projects/NAME/assets/..."'
    )
    name_property: str | None = Field(
        default=None, description="the property of a polygon that holds the partition's name"
    )
    use: Literal["where_better", "always"] = Field(
        default="where_better",
        description="where_better (a partition has a model of its own unless held-out land shows the one "
        "without partitions to be better there) or always",
    )
    # Of the example's stacks a hard border steps 1.8 times as far as the land beside it (1.2 to 2.4: a seam);
    # blended over 2 km 0.9 times (0.7 to 1.2), over 4 km 0.9, over 10 km 0.8: smoother than the land.
    blend_km: float = Field(
        default=2,
        ge=0,
        le=100,
        description="a number from 0 to 100, how far on both sides of a border the models of two partitions "
        "pass into each other in a map; 0 is a hard border",
    )
    minimum_samples: int = Field(
        default=MINIMUM_SAMPLES, ge=1, description="a whole number from 1, the rows a partition needs"
    )

    @field_validator("path")
    @classmethod
    def _there(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and info.data.get("scheme") == "file":
            _existing(Path(path), info)
        return path

    @model_validator(mode="after")
    def _polygons(self) -> Partitions:
        given = [key for key in ("path", "name_property") if getattr(self, key) is not None]
        if self.scheme in ("file", "asset") and len(given) < 2:
            raise ValueError(f'scheme = "{self.scheme}" needs path and name_property (got {_listed(given)})')
        if self.scheme not in ("file", "asset") and given:
            raise ValueError(f'scheme = "{self.scheme}" takes no {_listed(given)}; "file" and "asset" do')
        return self


class Comparisons(Section):
    """Products that the maps are held against, as collections of the user's own on Earth Engine."""

    smci: str | None = Field(
        default=None, pattern=ASSET, description='"projects/NAME/assets/...", SMCI1.0 with a band SMCI'
    )
    smap_dsm: str | None = Field(
        default=None, pattern=ASSET, description='"projects/NAME/assets/...", NSIDC-0779 with bands AM and PM'
    )

    @property
    def named(self) -> dict[str, str]:
        """The collections that are given, by the product's name in ``gee.comparisons``."""
        return {name: asset for name, asset in self if asset}


class Samples(Section):
    """How a foreign samples table is read; empty for a table that has gee-smap's own columns."""

    columns: dict[str, tuple[Column, ...]] = Field(
        default_factory=dict,
        description="our name = column name, an inline table, or a list of these (the first to fit counts)",
    )
    keep: tuple[str, ...] = Field(
        default=(), description="a list of further columns, which are carried into the predictions"
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _entries(cls, columns: object) -> object:
        """A name alone stands for a column, and one entry for a list of one."""
        if not isinstance(columns, dict):
            return columns
        lists = {
            name: entry if isinstance(entry, list | tuple) else [entry] for name, entry in columns.items()
        }
        return {
            name: [{"column": e} if isinstance(e, str) else e for e in entry] for name, entry in lists.items()
        }

    @field_validator("columns")
    @classmethod
    def _consistent(cls, columns: dict[str, tuple[Column, ...]]) -> dict[str, tuple[Column, ...]]:
        found = [f"{name}: {mistake}" for name, mistake in mistakes(columns)]
        found += [f"{name}: an empty list maps nothing" for name, entries in columns.items() if not entries]
        if found:
            raise ValueError("\n".join(found))
        return columns

    @field_validator("keep")
    @classmethod
    def _carried(cls, keep: tuple[str, ...]) -> tuple[str, ...]:
        taken = [name for name in keep if name in RESERVED]
        if taken:
            raise ValueError(
                f"{_listed(taken)}: a name of gee-smap's own; map the values under another, such as smap"
            )
        return keep


class Predictors(Section):
    """What the models see of each cell and day."""

    set: Literal["paper", "recommended"] = Field(
        default="paper",
        description="paper (the fifteen of Xu et al. 2024) or recommended (antecedent rain, the day-night "
        "difference of LST, slope and wetness beside them, and no day of the year)",
    )
    use: tuple[str, ...] = Field(
        default=SETS["paper"],
        min_length=1,
        description=f"a list of {', '.join(KNOWN)}, and names mapped in [samples.columns]; in place of set",
    )
    land_cover: Literal["fractions", "one-hot"] = Field(
        default="fractions",
        description="fractions (columns LC_1..LC_4, 0..1) or one-hot (column lc, classes 0..4)",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_the_set(cls, data: object) -> object:
        """The predictors of the set, where the study does not list its own."""
        if isinstance(data, dict) and "use" not in data:
            wanted = data.get("set", cls.model_fields["set"].default)
            return data | {"use": SETS[wanted]} if isinstance(wanted, str) and wanted in SETS else data
        return data

    @field_validator("use")
    @classmethod
    def _known(cls, use: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        found = [f"{name!r} is given more than once" for name in dict.fromkeys(use) if use.count(name) > 1]
        found += cls.unknown(use, info.context["mapped"]) if info.context else []
        if found:
            raise ValueError("\n".join(found))
        return use

    @staticmethod
    def unknown(use: Iterable[str], mapped: Collection[str]) -> list[str]:
        """What is wrong with the predictors in ``use`` where the study maps the names in ``mapped``."""
        allowed = [*KNOWN, *sorted({*mapped} - {*KNOWN, *RESERVED})]
        hint = f"allowed: {', '.join(allowed)}; map others in [samples.columns]"
        found = {name: f"no predictor{nearest(name, allowed)}; {hint}" for name in use if name not in allowed}
        found |= {name: 'a part of land cover; use "lc"' for name in LAND_COVER if name in use}
        return [f"{name!r} is {mistake}" for name, mistake in found.items()]


class Model(Section):
    """How the stack is fitted."""

    n_folds: int = Field(
        default=N_FOLDS, ge=2, le=20, description="a whole number from 2 to 20, the folds of the stack"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="a whole number from 0; the same seed gives the same model"
    )
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="cpu, or cuda for an NVIDIA GPU")


class Splits(Section):
    """Which held-out samples score the models, and how they are chosen."""

    names: tuple[str, ...] = Field(
        default=SPLITS, min_length=1, description=f"a list of any of {', '.join(SPLITS)}"
    )
    gap_days: int = Field(
        default=GAP_DAYS,
        ge=0,
        description="a whole number from 0, days left out on either side of a test period",
    )
    block_km: float = Field(
        default=BLOCK_KM,
        gt=0,
        le=5000,
        description="a number above 0 to 5000, a spatial block's edge in km",
    )
    test_share: float = Field(
        default=TEST_SHARE,
        gt=0,
        lt=1,
        description="a number above 0 and below 1, the share held out",
    )

    ablation: bool = Field(
        default=False,
        description="true or false, whether a run scores the splits without date and without place too",
    )
    transfer: int = Field(
        default=2,
        ge=0,
        le=10,
        description="a whole number from 0 to 10, how many cells are joined along a side where a run tests "
        "downscaling one scale up (2 makes 18 km of SMAP's 9 km, 4 its 36 km); 0 and 1 leave it out",
    )

    @field_validator("names")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        found = [f"{name!r} is no split{nearest(name, SPLITS)}" for name in names if name not in SPLITS]
        if found:
            raise ValueError(f"{'; '.join(found)}; allowed: {', '.join(SPLITS)}")
        return names


class Maps(Section):
    """What the maps are like beside the model's prediction."""

    conserve: bool = Field(
        default=True,
        description="true or false, whether the mean of a map over a cell of SMAP is SMAP's value",
    )
    detail: Literal["measured"] | float = Field(
        default=MEASURED,
        description="measured (by the scale-transfer test, all where there is none) or a number from 0 to 1, "
        "the share that corrected maps show of what the model tells within SMAP's cells",
    )
    intervals: bool = Field(
        default=True, description="true or false, whether the maps have 90 % intervals (sm_lower, sm_upper)"
    )
    applicability: bool = Field(
        default=True,
        description="true or false, whether the maps say how far each pixel is from what training saw (di, "
        "aoa)",
    )

    @field_validator("detail", mode="before")
    @classmethod
    def _share(cls, detail: object, info: ValidationInfo) -> object:
        number = isinstance(detail, int | float) and not isinstance(detail, bool) and 0 <= detail <= 1
        if detail != MEASURED and not number:
            allowed = cls.model_fields[str(info.field_name)].description
            raise ValueError(f"got {detail!r}; allowed: {allowed}")
        return detail if detail == MEASURED else abs(float(detail))  # type: ignore[arg-type]


class Study(Section):
    """Region, period, partitions and choices of one run, as read from its TOML file."""

    name: str = Field(min_length=1, description="a name for reports and assets")
    preset: Literal["recommended", "paper"] = Field(default="recommended", description="recommended or paper")
    region: Region | None = Field(default=None, description="where; not needed for a study of a ready table")
    period: Period | None = Field(default=None, description="when; not needed for a study of a ready table")
    preparation: Recipe = Field(
        default_factory=Recipe, description="how the sources become predictors and target"
    )
    partitions: Partitions = Field(default_factory=Partitions, description="terrain partitions")
    comparisons: Comparisons = Field(
        default_factory=Comparisons, description="other products to compare with"
    )
    samples: Samples = Field(default_factory=Samples, description="how a foreign table is read")
    predictors: Predictors = Field(default_factory=Predictors, description="what the models see")
    model: Model = Field(default_factory=Model, description="how the stack is fitted")
    splits: Splits = Field(default_factory=Splits, description="how the models are tested")
    maps: Maps = Field(default_factory=Maps, description="what the maps are like")

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        preset = data.get("preset")
        for section, values in PRESETS.get(preset, {}).items() if isinstance(preset, str) else ():
            given = data.get(section, {})
            if isinstance(given, dict):
                filled[section] = values | given
        return filled

    @model_validator(mode="after")
    def _predictors(self) -> Study:
        if found := Predictors.unknown(self.predictors.use, self.samples.columns):
            raise ValueError("\n".join(found))
        return self

    @classmethod
    def load(cls, path: Path | str, preset: str | None = None) -> Study:
        """Read a study file.

        Args:
            path: a TOML file; paths in it are seen from its folder and must exist.
            preset: in place of the file's own; what the file says of single choices still holds.

        Raises:
            ConfigError: the file is missing or not TOML, or holds mistakes; all of them are listed.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such study file; write one with: gee-smap init {path}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: the study file cannot be read: {error}") from error
        return cls.parse(text, path, folder=path.parent, preset=preset)

    @classmethod
    def parse(cls, text: str, path: Path, *, folder: Path | None = None, preset: str | None = None) -> Study:
        """Read the text of a study.

        Args:
            text: TOML.
            path: what to call it in messages.
            folder: where the paths in it start from; None leaves unchecked whether they exist, as for the
                copy kept in a model folder.
            preset: as for ``load``.

        Raises:
            ConfigError: as for ``load``.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
        if preset is not None:
            document["preset"] = preset
        samples = document.get("samples")
        columns = samples.get("columns") if isinstance(samples, dict) else None
        columns = columns if isinstance(columns, dict) else {}
        try:
            return cls.model_validate(document, context={"folder": folder, "mapped": columns.keys()})
        except ValidationError as error:
            details = [*error.errors(), *_hidden(error, columns)]
            found = [line for detail in details for line in described(detail, cls, document)]
            head = f"{path}: {len(found)} mistake{'s' if len(found) > 1 else ''} in the study"
            raise ConfigError("\n".join([head, *(f"{path}: {line}" for line in found)])) from error

    def files(self) -> tuple[Path, ...]:
        """The files that the study names, as it names them."""
        named = [self.region.geojson] if self.region and self.region.geojson else []
        if self.partitions.scheme == "file":
            named.append(Path(str(self.partitions.path)))
        return tuple(named)

    @property
    def hash(self) -> str:
        """SHA-256 of everything the study says, defaults included; comments and layout do not count."""
        content = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(content.encode()).hexdigest()


def _hidden(error: ValidationError, columns: Mapping[str, object]) -> list[ErrorDetails]:
    """Mistakes among the columns mapped that pydantic did not come to, as other columns have their own."""
    places = [detail["loc"] for detail in error.errors()]
    faulty = {place[2] for place in places if place[:2] == ("samples", "columns") and len(place) > 2}
    if not faulty:
        return []
    try:
        Samples.model_validate({"columns": {name: columns[name] for name in columns if name not in faulty}})
    except ValidationError as further:
        return [{**detail, "loc": ("samples", *detail["loc"])} for detail in further.errors()]
    return []


def _existing(path: Path | None, info: ValidationInfo) -> Path | None:
    """Refuse a path that is not a file; only a study read from a file has a folder to look from."""
    folder = info.context["folder"] if info.context else None
    if path is not None and folder is not None and not (folder / path).is_file():
        raise ValueError(f"no file {folder / path}")
    return path


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
