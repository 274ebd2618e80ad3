"""What is published of a work directory: an image of each day, and what each says of itself.

An image that somebody finds in a year must tell by itself what it is: which study and model made it, out of
which data, how good it is, whether it is simulated, and which three hours it stands for. And two images are
the same if their pixels are, however a file is compressed, so that nothing is published anew without need.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from gee import grids, target
from gee.assets import Property
from gee.exports import NODATA, SIMULATED
from gee.target import BINS, SmapBin
from models import store
from models.partitioned import OVERALL, STACK, WP
from models.store import ModelCard
from pipeline.cubes.layout import COMPLETE
from pipeline.errors import DataError
from pipeline.maps.bands import DETAIL, MEANINGS, SM, bands_of
from pipeline.maps.day_images import image_path
from pipeline.maps.prediction_store import attributes_of
from pipeline.progress import Report
from pipeline.study import Study
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

PROVISIONAL = "provisional"  # 1 where images that fill the day's gaps were not there yet
SHA256 = "content_sha256"  # of pixels and grid
SCORES = ("r", "rmse")
WP_PARTITIONS = "wp_partitions"  # those that the stack without partition predicts, as it is better there
PROBE = 256  # pixels; side of the part that is read back


@dataclass(frozen=True)
class DayFile:
    """The image of a day, as a file.

    Attributes:
        day: that it shows.
        path: of the GeoTIFF.
        grid: of its pixels.
        bands: its names, soil moisture first.
        sha256: of pixels and grid, and of the bands' names where there are several.
        size: of the file, bytes.
        probe: the part that is compared when it is read back, all of a small image and else where most pixels
            are valid: column and row of its corner, width and height.
    """

    day: dt.date
    path: Path
    grid: GeoBox
    bands: tuple[str, ...]
    sha256: str
    size: int
    probe: tuple[int, int, int, int]

    @property
    def index(self) -> str:
        """What the image is called in a collection."""
        return f"{self.day:%Y%m%d}"

    @property
    def window(self) -> GeoBox:
        """The grid of the probe."""
        column, row, width, height = self.probe
        return self.grid[row : row + height, column : column + width]

    def values(self) -> NDArray[np.float32]:
        """The pixels of the probe, (bands, rows, columns), ``NODATA`` where there are none."""
        with rasterio.open(self.path) as file:
            return _filled(file.read(window=Window(*self.probe), masked=True))


def object_name(index: str, sha256: str = "") -> str:
    """What the object of an image is called: by its content, so that none is ever overwritten.

    Args:
        index: of the image, such as ``20190401``.
        sha256: of its pixels and grid; without it the beginning that all objects of the day have.
    """
    return f"sm_{index}-{sha256[:12]}.tif" if sha256 else f"sm_{index}-"


@dataclass(frozen=True)
class Provenance:
    """What all images of a work directory have in common.

    Attributes:
        manifest: of the plan.
        card: of the model that predicted them.
        detail: share of the model's detail within SMAP's cells that they show; None where it is not said.
        window: which part of a day they stand for.
    """

    manifest: Manifest
    card: ModelCard
    detail: float | None
    window: SmapBin

    @classmethod
    def of(cls, work: WorkDir) -> Provenance:
        """Read what the stages before have left.

        Raises:
            ConfigError: the study cannot be read.
            DataError: a stage has not been run, or the prediction is of another study or model.
            ModelFileError: the model folder cannot be used.
        """
        manifest = Manifest.read(work.manifest)
        study = Study.load(work.study)
        told = attributes_of(work.prediction)
        if told is None or told.get(COMPLETE) != 1:
            raise DataError(f"{work.prediction} is not there, or not whole: gee-smap predict makes it")
        card = store.read_card(work.model)
        for what, held in (("study", manifest.study_hash), ("model", card.sha256)):
            if told.get(f"{what}_hash") != held:
                raise DataError(
                    f"{work.prediction} is of another {what} than {work.root} has now: gee-smap predict "
                    "makes it anew"
                )
        return cls(manifest, card, told.get(DETAIL), BINS[study.preparation.smap_bin])

    @property
    def simulated(self) -> bool:
        """Whether anything of it is."""
        return self.manifest.simulated or self.card.simulated

    @cached_property
    def common(self) -> Mapping[str, Property]:
        """Properties of the images and of their collection."""
        sources = {f"source_{_key(name)}": asset for name, asset in sorted(self.manifest.sources.items())}
        return {
            "study": self.manifest.study,
            "study_hash": self.manifest.study_hash,
            "preset": self.manifest.preset,
            "model_hash": self.card.sha256,
            "gee_smap": version("gee-smap"),
            SIMULATED: int(self.simulated),
            "units": self.card.target_unit,
            "smap_bin": self.window.label,
            **sources,
            **({} if self.detail is None else {DETAIL: self.detail}),
            **({WP_PARTITIONS: ", ".join(self.card.by_wp)} if self.card.by_wp else {}),
            **dict(self._scores()),
        }

    def _scores(self) -> Iterator[tuple[str, Property]]:
        """R and RMSE under each split in which they are defined, of stacks by partition or of WP alone."""
        scored = STACK if len(self.card.stacks) > 1 else WP
        for row in self.card.scores:
            if row.get("partition") == OVERALL and row.get("model") == scored:
                for metric in SCORES:
                    value = row.get(metric)
                    if value is not None and np.isfinite(float(value)):
                        yield f"{metric}_{_key(str(row['split']))}", round(float(value), 4)

    def of_day(self, file: DayFile) -> dict[str, Property]:
        """Properties of an image."""
        return {
            **self.common,
            "date": file.day.isoformat(),
            PROVISIONAL: int(self.manifest.provisional(file.day)),
            target.OUTAGE: int(target.in_outage(file.day)),
            SHA256: file.sha256,
        }

    def times(self, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
        """When the part of a day that an image stands for begins and ends; half-open."""
        start = self.window.start(day)
        return start, start + dt.timedelta(hours=self.window.hours)

    def of_collection(self, bands: Sequence[str] = (SM,)) -> dict[str, Property]:
        """Properties of the collection.

        Args:
            bands: of its images.
        """
        others = [f"{band} ({MEANINGS[band]})" for band in bands if band in MEANINGS]
        further = f" Further bands: {', '.join(others)}." if others else ""
        simulated = " All sources are simulated: no value says anything about a real place."
        return {
            **self.common,
            "title": (
                f"Daily 1 km surface soil moisture, {self.manifest.study}" + " (simulated)" * self.simulated
            ),
            "description": (
                f"Surface soil moisture (band sm, {self.card.target_unit}) on a grid of 1 km, one image a "
                f"day ({self.window.label}): SMAP L4 downscaled by stacked gradient boosting after Xu et al. "
                f"2024, made with gee-smap {version('gee-smap')}." + further + simulated * self.simulated
            ),
        }


def read_files(
    work: WorkDir, manifest: Manifest, days: Collection[dt.date] | None, report: Report
) -> tuple[DayFile, ...]:
    """Look through the images of a work directory.

    Args:
        work: where they are.
        manifest: of the plan; gives the grid, and the days.
        days: which of them; None is all.
        report: told what is read and the share that is done.

    Raises:
        DataError: a day has none, or one is not the image of a day on the study's grid; all are told.
    """
    paths = {
        day: image_path(work.images, day) for day in sorted(manifest.days if days is None else set(days))
    }
    if missing := [f"{day}" for day, path in paths.items() if not path.is_file()]:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise DataError(f"{work.images} has no image of {shown}: gee-smap predict makes what is missing")
    found, mistakes = [], []
    for number, (day, path) in enumerate(paths.items(), start=1):
        try:
            found.append(_read(day, path, manifest.grid))
        except (RasterioError, ValueError, OSError) as error:
            mistakes.append(f"{path}: {error}")
        report(f"images: {number} of {len(paths)} looked at", number / len(paths))
    if mistakes:
        raise DataError("\n".join(["These cannot be published; delete and predict them again:", *mistakes]))
    return tuple(found)


def _read(day: dt.date, path: Path, grid: GeoBox) -> DayFile:
    with rasterio.open(path) as file:
        own = GeoBox(file.shape, Affine(*file.transform[:6]), file.crs)
        bands = (SM,) if file.descriptions == (None,) else tuple(map(str, file.descriptions))
        if bands[0] != SM or bands != bands_of(bands):
            raise ValueError(f"its bands are {', '.join(bands)}, not {SM} and then others of a prediction")
        if {*file.dtypes} != {"float32"} or file.nodata != NODATA:
            raise ValueError(
                f"it has {file.count} bands of {file.dtypes[0]} with nodata {file.nodata}, not of float32 "
                f"with {NODATA:g}"
            )
        if own != grid:
            raise ValueError("it does not lie on the study's grid")
        values = _filled(file.read(masked=True))
    digest = hashlib.sha256(json.dumps([str(own.crs), grids.crs_transform(own), *own.shape]).encode())
    digest.update(json.dumps(bands[1:]).encode() if len(bands) > 1 else b"")
    digest.update(values.astype("<f4").tobytes())
    probe = _probe(values[0] != NODATA)
    return DayFile(day, path, own, bands, digest.hexdigest(), path.stat().st_size, probe)


def _probe(valid: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The part with the most valid pixels."""
    height, width = (min(side, PROBE) for side in valid.shape)
    rows, columns = (range(0, max(side - PROBE, 0) + 1, PROBE // 2) for side in valid.shape)
    places = [(row, column) for row in rows for column in columns]
    row, column = max(places, key=lambda at: valid[at[0] : at[0] + height, at[1] : at[1] + width].sum())
    return column, row, width, height


def _filled(values: Any) -> NDArray[np.float32]:
    filled: NDArray[np.float32] = np.ma.filled(values, NODATA).astype(np.float32, copy=False)
    return np.where(np.isnan(filled), np.float32(NODATA), filled)


def _key(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)
