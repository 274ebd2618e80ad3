"""A prediction that can be made: from which model, cube and choices it follows, and what it will hold.

Everything that changes a value goes into one fingerprint, by which a store is known as whole and of these
inputs; what a model or its samples cannot give is found out before anything is written, and told.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from models import store
from models.store import ModelCard
from pipeline.cubes.cube import open_cube
from pipeline.errors import DataError
from pipeline.learning.applicability import read_areas
from pipeline.learning.train import study_of
from pipeline.maps.bands import DETAIL, HALF_WIDTH, MODEL, SM
from pipeline.maps.blocks import Features
from pipeline.maps.correcting import SAND, smap_of
from pipeline.maps.detail import FULL, Detail
from pipeline.study import Study
from pipeline.tables.titles import CORRECTED, INDEX, INSIDE, LOWER, UPPER

RULES = 3  # raised when the same model and cube would give other values
MASKS = ("land", "region", "partition")


@dataclass(eq=False)
class Wanted:
    """A prediction that can be made.

    Attributes:
        model: the model folder; ``hash`` its content's.
        card: of the model.
        study: what the maps are to be like.
        path: of the cube; ``cube`` the same, opened.
        samples: SMAP of each cell and day, where there are any.
        places: position in the cube of each day wanted.
        detail: the share of what the model tells within cells that corrected maps show.
        fingerprint: of all that the values follow from.
        corrects: whether fields are corrected to SMAP; `prepare` finds out whether they can be, and the same
            of the following.
        bounded: whether there are intervals.
        judged: whether the area of applicability is told.
    """

    model: Path
    hash: str
    card: ModelCard
    study: Study
    path: Path
    cube: xr.Dataset
    samples: Path | None
    places: tuple[int, ...]
    detail: Detail
    fingerprint: str
    corrects: bool
    bounded: bool
    judged: bool

    @classmethod
    def of(
        cls, model: Path, path: Path, days: Sequence[dt.date] | None, study: Study | None,
        samples: Path | None, detail: Detail,
    ) -> Wanted:  # fmt: skip
        """Read model and cube and see whether they fit.

        Raises:
            ModelFileError: the model folder cannot be used.
            DataError: the cube cannot, or not with this model, or lacks a day.
        """
        card = store.read_card(model)
        own = study_of(model)
        study = study or own
        cube = open_cube(path)
        features = Features(card, own, cube)
        places = _places(cube, path, days)
        digest = card.sha256
        read = {*features.variables, *MASKS, "time", "x", "y", *((SAND,) if study.maps.conserve else ())}
        told = {
            "rules": RULES,
            "model": digest,
            "cube": {name: cube.attrs[name] for name in ("study_hash", "simulated", "partition_names")},
            "files": [_files(path / name) for name in sorted(read)],
            "days": [str(day) for day in _days(cube, places)],
            "maps": study.maps.model_dump(exclude={"detail"}),
            "detail": detail.value if study.maps.conserve else FULL.value,
            "blend_km": study.partitions.blend_km,
            "samples": _stat(samples) if samples is not None and study.maps.conserve else None,
        }
        fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return cls(
            model, digest, card, study, path, cube, samples, places, detail, fingerprint,
            study.maps.conserve, study.maps.intervals, study.maps.applicability,
        )  # fmt: skip

    def prepare(self) -> tuple[str, ...]:
        """See whether the maps can be as the study wants them; what the user should know of that."""
        found = []
        if self.corrects:
            try:
                if self.samples is None:
                    raise DataError("no samples are given")
                smap_of(self.samples, self.days)
            except DataError as error:
                self.corrects = False
                found.append(f"The maps are what the model says, not corrected to SMAP: {error}.")
        if self.bounded:
            intervals = store.load_intervals(self.model)
            self.bounded = intervals is not None and bool(intervals.whole or intervals.parts)
            if not self.bounded:
                found.append("The model was trained without intervals, so the maps have none: train again.")
        if self.judged and not read_areas(self.model):
            self.judged = False
            found.append(
                "The model was trained without its area of applicability, so the maps do not tell it: train "
                "again."
            )
        return tuple(found)

    @property
    def first_pass(self) -> tuple[str, ...]:
        """The arrays that blocks write, soil moisture first."""
        ends = (HALF_WIDTH,) if self.corrects else (LOWER, UPPER)
        return (
            MODEL if self.corrects else SM,
            *(ends if self.bounded else ()),
            *((INDEX, INSIDE) if self.judged else ()),
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """Of the result, while it is made."""
        last = (SM, CORRECTED) if self.corrects else ()
        ends = (LOWER, UPPER) if self.bounded else ()
        return tuple(dict.fromkeys((*last, *self.first_pass, *ends)))

    @property
    def days(self) -> tuple[dt.date, ...]:
        """Of the result."""
        return _days(self.cube, self.places)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the result."""
        return len(self.places), self.cube.sizes["y"], self.cube.sizes["x"]

    @property
    def simulated(self) -> bool:
        """Whether model or cube say so."""
        return self.card.simulated or bool(self.cube.attrs["simulated"])

    def empty(self) -> xr.Dataset:
        """Coordinates and attributes of the result."""
        days = self.cube["time"].isel(time=list(self.places))
        grid = {name: self.cube[name] for name in ("y", "x", "spatial_ref")}
        simulated = "simulated " if self.simulated else ""
        return xr.Dataset(
            {"partitioned": self._partitioned()},
            coords={"time": days, **grid},
            attrs={
                "Conventions": "CF-1.11",
                "title": f"{self.cube.attrs['study']}: {simulated}daily surface soil moisture at 1 km",
                "study": self.cube.attrs["study"],
                "study_hash": self.cube.attrs["study_hash"],
                "model_study": self.card.study,
                "model_study_hash": self.card.study_hash,
                "model_hash": self.hash,
                "gee_smap": version("gee-smap"),
                "simulated": int(self.simulated),
                "sources": self.cube.attrs["sources"],
                "partition_names": self.cube.attrs["partition_names"],
                "blend_km": self.study.partitions.blend_km,
                **({DETAIL: self.detail.value} if self.corrects else {}),
            },
        ).drop_encoding()

    def _partitioned(self) -> xr.DataArray:
        """Where the stack of the pixel's own partition predicts."""
        names = self.cube.attrs["partition_names"]
        stacks = {stack.name for stack in self.card.stacks}
        codes = [code for code, name in enumerate(names, start=1) if name in stacks]
        own = self.cube["partition"].isin(codes) & (self.cube["region"] == 1)
        told = {
            "long_name": "whether the partition has a model of its own",
            "flag_values": [0, 1],
            "flag_meanings": "model_without_partition model_of_the_partition",
            "grid_mapping": "spatial_ref",
        }
        return own.astype(np.uint8).assign_attrs(told).compute()


def _days(cube: xr.Dataset, places: Sequence[int]) -> tuple[dt.date, ...]:
    return tuple(day.date() for day in pd.DatetimeIndex(cube["time"].to_numpy()[list(places)]))


def _places(cube: xr.Dataset, path: Path, days: Sequence[dt.date] | None) -> tuple[int, ...]:
    """Position in the cube of each day wanted, in order."""
    held = _days(cube, range(cube.sizes["time"]))
    if days is None:
        return tuple(range(len(held)))
    if lacking := sorted({*days} - {*held}):
        raise DataError(
            f"{path} holds {held[0]} to {held[-1]}, not {', '.join(map(str, lacking[:5]))}"
            f"{' ...' if len(lacking) > 5 else ''}: export these days first, or name others"
        )
    if not days:
        raise DataError("No days are named: name some, or none at all for every day of the cube")
    return tuple(sorted(held.index(day) for day in {*days}))


def _stat(path: Path) -> tuple[int, int] | None:
    """Size of a file and when it was written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Each file below a folder, its size and when it was written, by which a changed one is known."""
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for path, stat in found]
