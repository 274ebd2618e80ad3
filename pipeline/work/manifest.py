"""A plan as a file: what is exported, on which grid, out of what. Every later stage starts from it.

The expressions themselves are left out; each task's name ends in a hash of its own.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal

from affine import Affine
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gee.exports import Product, bands_in
from gee.predictors import Bands
from pipeline.errors import DataError
from pipeline.work.staging import whole

SCHEMA = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Version(BaseModel):
    """What a plan of any version says of itself."""

    schema_version: int


class Task(_Frozen):
    """One export task.

    Attributes:
        task: its name, with the hash of what it computes; files and assets are named after it.
        name: of the product, such as ``dynamic-2019-04``.
        kind: an image file, an image asset or a table file.
        columns: bands or columns, in order.
        needs: names of the products that must be there before.
        asset: id of an asset.
        request_bytes: of the expression.
        output_bytes: before compression.
        megapixels: source pixels read, millions.
        eecu_hours: Earth Engine compute units, an order of magnitude.
    """

    task: str
    name: str
    kind: Literal["image", "asset", "table"]
    columns: tuple[str, ...]
    needs: tuple[str, ...] = ()
    asset: str | None = None
    request_bytes: int = 0
    output_bytes: int = 0
    megapixels: float = 0
    eecu_hours: float = 0

    @classmethod
    def of(cls, product: Product) -> Task:
        """The task of a plan's product."""
        return cls(
            task=product.description, name=product.name, kind=product.kind, columns=product.columns,
            needs=product.needs, asset=product.asset, request_bytes=len(product.request),
            output_bytes=product.output_bytes, megapixels=product.megapixels, eecu_hours=product.eecu_hours,
        )  # fmt: skip


class Manifest(_Frozen):
    """What a plan amounts to.

    Attributes:
        study: its name.
        study_hash: of what it says.
        preset: of its choices.
        simulated: whether the sources say that they are simulated.
        start: first day.
        end: last day, included.
        places: names of the features that make up the region.
        area_km2: of the region.
        crs: of the fine grid.
        width: of the fine grid, pixels.
        height: of the fine grid, pixels.
        crs_transform: of the fine grid, in Earth Engine's order.
        cells: number of 9 km cells in the region's bounds.
        partitions: names, in the order of their codes from 1.
        partition_rule: how they came about.
        sources: asset id by the name of the source.
        checkpoints: folder of assets between the stages.
        provisional_from: the first day whose predictors may still change, because images that fill and smooth
            it are not there yet; None where all are.
        eecu_seconds_per_megapixel: what ``eecu_hours`` rests on.
        tasks: each after those it needs.
    """

    schema_version: int = SCHEMA
    study: str
    study_hash: str
    preset: str
    simulated: bool
    start: dt.date
    end: dt.date
    places: tuple[str, ...]
    area_km2: float
    crs: str
    width: int
    height: int
    crs_transform: tuple[float, ...] = Field(min_length=6, max_length=6)
    cells: int
    partitions: tuple[str, ...]
    partition_rule: str
    sources: dict[str, str]
    checkpoints: str | None
    provisional_from: dt.date | None = None
    eecu_seconds_per_megapixel: float
    tasks: tuple[Task, ...]

    @property
    def bands(self) -> Bands:
        """The predictors that are exported, by the columns of the tasks."""
        return bands_in(name for task in self.tasks for name in task.columns)

    @property
    def grid(self) -> GeoBox:
        """The fine grid."""
        return GeoBox((self.height, self.width), Affine(*self.crs_transform), self.crs)

    @property
    def days(self) -> tuple[dt.date, ...]:
        """The study's days."""
        return tuple(
            self.start + dt.timedelta(days=number) for number in range((self.end - self.start).days + 1)
        )

    def provisional(self, day: dt.date) -> bool:
        """Whether a day's predictors may still change."""
        return self.provisional_from is not None and day >= self.provisional_from

    def is_longer_than(self, study_hash: str, end: dt.date) -> bool:
        """Whether it is the plan of a study that an update has made longer than the study says.

        Args:
            study_hash: of the study.
            end: the last day it speaks of.
        """
        return self.study_hash == study_hash and self.end > end

    def lengthened(self, added: Manifest) -> Manifest:
        """The same study with more days: earlier months as they are here, later ones as they are there.

        Args:
            added: begins with the first day of a month, or of the study.
        """
        first = f"{added.start:%Y-%m}"
        kept = [task for task in self.tasks if (month := _month(task.name)) is None or month < first]
        names = {task.name for task in kept}
        tasks = (*kept, *(task for task in added.tasks if task.name not in names))
        return self.model_copy(
            update={"end": added.end, "tasks": tasks, "provisional_from": added.provisional_from}
        )

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            DataError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as beside:
                beside.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read the file.

        Raises:
            DataError: it is not there, broken, or of another version.
        """
        try:
            text = path.read_bytes()
        except FileNotFoundError as error:
            raise DataError(f"{path}: there is no plan here: gee-smap export makes one") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        try:
            version = _Version.model_validate_json(text).schema_version
            if version != SCHEMA:
                raise DataError(
                    f"{path} is of version {version}, this program reads {SCHEMA}: use the program that "
                    "wrote it, or another work directory"
                )
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DataError(
                f"{path} is damaged: move it away, then gee-smap export makes it anew; what was exported "
                "is not exported again"
            ) from error


def _month(product: str) -> str | None:
    """The month of a product's days, YYYY-MM; None of static ones and checkpoints."""
    kind, _, label = product.partition("-")
    return label[:7] if kind in ("dynamic", "cells") and label[:4].isdigit() else None
