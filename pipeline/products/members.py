"""What each base learner, and the stack without partitions, say at the pixels of stations.

The comparison of a stack with its parts only means something on the same pixels, days and predictors; so they
are predicted here from the cube by the model that made the map, by the map's own rules for gaps, masks and
borders (``pipeline.maps.blocks``). Xu et al. 2024, figure 7 and section 4.2, compare them at stations.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  (gives datasets their grid)
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from models import store
from models.inference import Predictor
from models.partitioned import PartitionedStack
from pipeline.cubes.cube import open_cube
from pipeline.cubes.layout import DAYS, UNREADABLE
from pipeline.errors import DataError
from pipeline.learning.train import study_of
from pipeline.maps import blending
from pipeline.maps.bands import SM
from pipeline.maps.blocks import Features
from pipeline.products.product import Days, Values
from pipeline.progress import Report
from pipeline.tables.titles import WHOLE

SLAB_ROWS = 400_000  # pixels times days that are predicted at a time: some 30 MB of predictors
Pixels = NDArray[np.intp]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Part:
    """The pixels that a stack has a share in, and that share."""

    stack: str
    pixels: Pixels
    share: NDArray[np.float64]


def members_at(
    model: Path, cube: Path, rows: Pixels, columns: Pixels, days: Days, report: Report,
    *, blend_km: float = 0.0,
) -> dict[str, Values]:  # fmt: skip
    """Predict the stack, its members and WP at pixels.

    Args:
        model: a model folder.
        cube: the predictors.
        rows: of the pixels on the cube's grid.
        columns: of the same pixels.
        days: wanted, in order.
        report: told about progress.
        blend_km: of the map, see ``blending.shares``.

    Returns:
        (days, pixels), m³/m³, as float32 numbers, by name: ``sm``, what the stacks say as in the map, before
        it is corrected to SMAP; each base learner of the same stacks; and ``wp``, the stack without
        partitions, where there are others. NaN where the map has none: outside the region, on water, where
        all predictors of the day are missing.

    Raises:
        DataError: the cube cannot be read, lacks one of the days, or has nothing for a predictor.
        ModelFileError: the model cannot be used.
    """
    fitted, card = store.load(model)
    open_cube(cube).close()
    with xr.open_zarr(cube, chunks=None, consolidated=False, decode_coords="all") as opened:
        at = {"y": xr.DataArray(rows, dims="pixel"), "x": xr.DataArray(columns, dims="pixel")}
        features = Features(card, study_of(model), opened)
        try:
            parts = list(_parts(blend_km, fitted, opened, at))
            positions = _positions(opened, days)
            pixels = _AtPixels(fitted, features, opened, at, parts)
            step = DAYS * max(1, SLAB_ROWS // (DAYS * max(1, len(rows))))
            slabs: list[Mapping[str, Floats]] = []
            for first in range(0, len(days), step):
                slabs.append(pixels.predict(positions[first : first + step]))
                report("base models at stations", min(first + step, len(days)) / len(days))
        except UNREADABLE as error:
            raise DataError(
                f"{cube} cannot be read ({error}): remove it, and gee-smap export makes it again"
            ) from error
    return {name: np.concatenate([slab[name] for slab in slabs]).astype(np.float64) for name in slabs[0]}


def _positions(cube: xr.Dataset, days: Days) -> Pixels:
    """Where days are in the cube."""
    at = pd.DatetimeIndex(cube["time"].to_numpy()).get_indexer(pd.Index(np.array(days, "datetime64[ns]")))
    if (at < 0).any():
        lacking: dt.date = days[int(np.argmax(at < 0))]
        raise DataError(f"the cube has no {lacking}: predict the maps of this cube anew")
    return np.asarray(at, np.intp)


def _parts(
    blend_km: float, fitted: PartitionedStack, cube: xr.Dataset, at: Mapping[str, xr.DataArray]
) -> Iterator[_Part]:
    """Which stacks predict which pixels, from the borders of the whole map."""
    region = cube["region"].to_numpy() == 1
    found = blending.shares(
        cube["partition"].to_numpy(), region, cube.attrs["partition_names"], fitted.stacks.keys(),
        pixel_km=abs(cube.odc.geobox.resolution.x) / 1000, blend_km=blend_km,
    )  # fmt: skip
    here = at["y"].to_numpy(), at["x"].to_numpy()
    land = (cube["land"].to_numpy()[here] == 1) & region[here]
    for name, share in found.items():
        own = np.where(land, share[here], 0)
        if len(pixels := np.flatnonzero(own)):
            yield _Part(name, pixels, own[pixels])


class _AtPixels:
    """Predicts days at pixels."""

    def __init__(
        self,
        fitted: PartitionedStack,
        features: Features,
        cube: xr.Dataset,
        at: Mapping[str, xr.DataArray],
        parts: list[_Part],
    ) -> None:
        self.features, self.cube, self.at, self.parts = features, cube, at, parts
        self.learners = [learner.name for learner in fitted.whole.learners]
        self.predictors = {part.stack: Predictor(fitted.stacks[part.stack]) for part in parts}
        self.whole = Predictor(fitted.whole) if fitted.parts else None
        self.doy = cube["time"].dt.dayofyear.to_numpy().astype(np.float32)
        self.land = np.unique(np.concatenate([part.pixels for part in parts] or [np.empty(0, np.intp)]))
        still = (name for name in features.variables if "time" not in cube[name].dims)
        self.static = {name: self._read(name).reshape(1, -1) for name in still}
        if "lc" in self.static:
            self.static["lc"][self.static["lc"] < 0] = np.nan

    def predict(self, days: Pixels) -> dict[str, Floats]:
        """What the models say on days, (days, pixels), by name."""
        size = self.at["y"].size
        raw = {"doy": self.doy[days][:, None], **self.static}
        when = xr.DataArray(days, dims="day")
        raw |= {name: self._read(name, time=when) for name in self.features.variables if name not in raw}
        features = self.features.values(raw)
        found = {name: np.full((len(days), size), np.nan) for name in (SM, *self.learners)}
        for values in found.values():
            values[:, self.land] = 0
        for part in self.parts:
            X = _rows(features, part.pixels, len(days))
            predictor = self.predictors[part.stack]
            stack = predictor.predict(X, np.empty(len(X), np.float64))
            members = predictor.predict_members(X).T
            for name, values in zip(found, (stack, *members), strict=True):
                found[name][:, part.pixels] += part.share * values.reshape(len(days), -1)
        if self.whole is not None:
            X = _rows(features, self.land, len(days))
            found[WHOLE] = np.full((len(days), size), np.nan)
            wp = self.whole.predict(X, np.empty(len(X), np.float64))
            found[WHOLE][:, self.land] = wp.reshape(len(days), -1)
        if (seen := self.features.seen(features)) is not None:
            for values in found.values():
                values[~seen] = np.nan
        return {name: values.astype(np.float32) for name, values in found.items()}

    def _read(self, name: str, **when: xr.DataArray) -> Floats:
        values = self.cube[name].isel({**when, **self.at})
        return values.transpose(..., "pixel").to_numpy().astype(np.float32)


def _rows(features: list[Floats], pixels: Pixels, days: int) -> Floats:
    """Predictors as rows, day after day."""
    shape = days, len(pixels)
    columns = [one[:, pixels] if one.shape[1] > 1 else one for one in features]
    return np.stack([np.broadcast_to(one, shape).ravel() for one in columns], axis=1).astype(np.float32)
