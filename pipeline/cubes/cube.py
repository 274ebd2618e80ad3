"""The cube: a study's predictors on the fine grid, day by day, as one Zarr store that xarray opens lazily.

Every later stage reads it, so it is whole or it is not there: it grows beside its place and takes it once it
has been read back. What it was made of stands in it, and a second build of the same does nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import xarray as xr
import zarr

from pipeline.cubes import mosaics
from pipeline.cubes.from_images import Images, images
from pipeline.cubes.layout import (
    COMPLETE,
    DAYS,
    METADATA,
    SCHEMA,
    SCHEMA_NAME,
    SIDE,
    attributes,
    create,
    name_partitions,
)
from pipeline.cubes.mosaics import Pixels
from pipeline.cubes.writer import Found, Shards, Stretch
from pipeline.errors import DataError
from pipeline.progress import Report
from pipeline.work.manifest import Manifest

INPUTS, EMPTY = "inputs", "without_values"  # attributes


@dataclass(frozen=True)
class Built:
    """A cube that is whole.

    Attributes:
        path: of the store.
        made: whether it was made now; otherwise it was there already.
        days: how many it holds.
        notes: what a user should know.
    """

    path: Path
    made: bool
    days: int
    notes: tuple[str, ...]


class Source(Protocol):
    """Where a cube's pixels come from."""

    @property
    def stretches(self) -> Sequence[Stretch]:
        """The days, in order."""

    def still(self, band: str) -> Pixels:
        """A static band on the whole grid, NaN where there is no data."""


def build(manifest: Manifest, exports: Path, out: Path, report: Report) -> Built:
    """Make the cube of a study from its exported images.

    Args:
        manifest: names the images.
        exports: folder with them, whole or in parts.
        out: the store; an earlier one stays whole until the new one is.
        report: told what is being done.

    Raises:
        DataError: an image is missing, cut off or of another study, or the cube cannot be written; what is
            wrong with the images is told together.
    """
    there = mosaics.files(exports)
    files = {task: there.get(task.task, []) for task in images(manifest)}
    stats = [(path.name, path.stat()) for paths in files.values() for path in paths]
    inputs = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    return fill(manifest, out, inputs, lambda: Images.opened(manifest, exports, files), report)


def open_cube(path: Path) -> xr.Dataset:
    """Open a cube lazily, in Dask chunks of a shard.

    Args:
        path: the store.

    Returns:
        ``ndvi`` to ``vh`` and ``count`` over (time, y, x), the static bands over (y, x); units and meanings
        are their attributes. NaN is missing, -1 in ``lc``.

    Raises:
        DataError: there is no cube, or it is not whole, of a newer version, or damaged.
    """
    told = _told(path)
    if told is None:
        raise DataError(f"{path}: there is no cube here; gee-smap export makes it")
    if told.get(COMPLETE) != 1:
        raise DataError(f"{path} is not whole: remove it, and gee-smap export makes it again")
    try:
        cube: xr.Dataset = xr.open_zarr(
            path, consolidated=False, decode_coords="all", chunks={"time": DAYS, "y": SIDE, "x": SIDE}
        )
    except (OSError, ValueError, LookupError) as error:
        raise DataError(
            f"{path} is damaged ({error}): remove it, and gee-smap export makes it again"
        ) from error
    return cube


def fill(
    manifest: Manifest, out: Path, inputs: Sequence[Any], opened: Callable[[], Source], report: Report
) -> Built:
    """Make a cube, or finish one that was begun from the same inputs.

    Args:
        manifest: whose grid and days it has.
        out: the store.
        inputs: what it is made of, as JSON has it.
        opened: gives the pixels; not called where the cube is there already.
        report: told what is being done.

    Raises:
        DataError: ``out`` is something else or cannot be written, or what was read can be no predictors.
    """
    days = len(manifest.days)
    told = {**attributes(manifest), INPUTS: json.dumps(inputs)}
    beside, before = (out.with_name(f".{out.name}.{what}") for what in ("partial", "before"))
    here = _told(out)
    if here and here.get(COMPLETE) == 1 and here.get(INPUTS) == told[INPUTS]:
        if any(here.get(key) != value for key, value in told.items()):  # a study is more than its images
            with _writing(out):
                root = zarr.open_group(out, mode="r+")
                name_partitions(root, manifest)
                root.attrs.update(told)  # last: until it is there, the next build comes here again
        for stray in (beside, before):  # of a build that was killed
            shutil.rmtree(stray, ignore_errors=True)
        return Built(out, False, days, (f"{out} is there already, made of the same pixels.",))
    source = opened()
    with _writing(out):
        if not _begun(beside, told[INPUTS]):
            shutil.rmtree(beside, ignore_errors=True)
            root = zarr.create_group(beside, attributes={SCHEMA_NAME: SCHEMA, COMPLETE: 0})
            create(root, manifest)
            root.attrs.update(told)  # last: from here on it can be gone on with
        for stray in beside.rglob("*.partial"):  # of a write that was killed
            stray.unlink()
        found = _filled(Shards(beside, manifest), source, report)
        empty = {name: [str(day) for day in missing] for name, missing in found.empty.items()}
        zarr.open_group(beside, mode="r+").attrs.update({**told, EMPTY: json.dumps(empty), COMPLETE: 1})
        shutil.rmtree(before, ignore_errors=True)
        if out.exists():
            out.rename(before)
        beside.rename(out)
        shutil.rmtree(before, ignore_errors=True)
    report("cube", 1.0)
    return Built(out, True, days, tuple(found.notes(days)))


def _filled(shards: Shards, source: Source, report: Report) -> Found:
    """Write what is lacking and look at the whole; what turns out wrong is not kept."""
    report("cube", 0.0)
    shards.fill_still(source.still)
    shards.fill_daily(source.stretches, report)
    try:
        return shards.inspect(report)
    except DataError:
        shutil.rmtree(shards.folder, ignore_errors=True)
        raise


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}; make room, and the same command goes on "
            "where it stopped"
        ) from error


def _told(path: Path) -> Mapping[str, Any] | None:
    """The attributes of a cube, None where there is nothing.

    Raises:
        DataError: something else is there, or a cube of a newer version.
    """
    if not path.exists():
        return None
    try:
        told: dict[str, Any] = json.loads((path / METADATA).read_text(encoding="utf-8"))["attributes"]
        schema = int(told[SCHEMA_NAME])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is no cube of gee-smap: remove it, or name another place") from error
    if schema > SCHEMA:
        raise DataError(
            f"{path} is a cube of version {schema}, this gee-smap knows {SCHEMA}: install a newer one, or "
            "remove the cube"
        )
    return told


def _begun(beside: Path, inputs: str) -> bool:
    """Whether a cube was begun from the same inputs."""
    try:
        told = _told(beside)
    except DataError:
        return False
    return told is not None and told.get(INPUTS) == inputs
