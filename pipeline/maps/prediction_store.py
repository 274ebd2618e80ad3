"""The store a prediction goes into: it grows beside its place and takes it once no block is missing.

A run may be killed at any block. What is finished stands in a list beside the store, a block only after its
file was renamed into place, so that the next run goes on with the others; another model, cube or choice of
days begins anew, and an earlier prediction stays whole until then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from pipeline.cubes.layout import CODEC, COMPLETE, DAYS, INNER, METADATA
from pipeline.errors import DataError
from pipeline.maps.bands import ATTRIBUTES, FINGERPRINT, HALF_WIDTH, SM
from pipeline.maps.blocks import Block, Finished
from pipeline.maps.correcting import CorrectedStretch, Correction
from pipeline.maps.day_images import DayFile
from pipeline.tables.titles import INSIDE
from pipeline.work.processes import Owner, Witness
from pipeline.work.staging import whole

SUMMARY = "summary"  # attribute
RECORD, CORRECTIONS, OWNER, STORE = "finished.jsonl", "corrected.jsonl", "owner", "store"
SMALL_MAP = 512**2  # pixels; a larger one has blocks enough of four times as many, which cost less each
HELD = 2**21  # values: whole fields of the days of a chunk, of which a task of the correction holds a few


@dataclass(frozen=True)
class Summary:
    """What is known of a whole prediction.

    Attributes:
        rows: land pixels times days.
        predicted: of these, the ones with a value.
        outside: for each feature of the model, the rows in which it is beyond the range that training saw.
        correction: to SMAP; None where there was none.
        applicable: of those predicted, the ones within the area of applicability; None where it is not known.
        notes: what else the user should know, one sentence each.
    """

    rows: int
    predicted: int
    outside: tuple[int, ...]
    correction: Correction | None = None
    applicable: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        finished: list[Finished],
        features: int,
        corrected: list[CorrectedStretch],
        notes: Sequence[str],
        *,
        judged: bool,
    ) -> Summary:
        """The sum of all blocks, and of all corrected days; ``judged`` where applicability is known."""
        return cls(
            sum(one.rows for one in finished),
            sum(one.predicted for one in finished),
            tuple(sum(one.outside[number] for one in finished) for number in range(features)),
            Correction.of(one.correction for one in corrected) if corrected else None,
            sum(one.applicable for one in finished) if judged else None,
            tuple(notes),
        )

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Summary:
        """From what the store says of itself."""
        correction = told.get("correction")
        return cls(
            told["rows"], told["predicted"], tuple(told["outside"]),
            _correction(correction) if correction else None, told.get("applicable"),
            tuple(told.get("notes", ())),
        )  # fmt: skip


def _correction(told: Mapping[str, Any]) -> Correction:
    return Correction(**{**told, "without": tuple(told["without"])})


def blocks(days: int, height: int, width: int) -> list[Block]:
    """Whole chunks of the result, the days of a footprint one after the other."""
    side = side_of_chunk(height, width)
    parts = [
        (slice(top, min(top + side, height)), slice(left, min(left + side, width)))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    stretches = [slice(first, min(first + DAYS, days)) for first in range(0, days, DAYS)]
    places = [(time, y, x) for y, x in parts for time in stretches]
    return [Block(number, *place) for number, place in enumerate(places)]


def side_of_chunk(height: int, width: int) -> int:
    """Pixels; as of the cube in a small map, or else there would be few blocks to share out."""
    return INNER if height * width <= SMALL_MAP else 2 * INNER


def stretches(days: int, height: int, width: int) -> list[slice]:
    """The days of a chunk, one stretch after the other: what one task of the correction takes."""
    length = days_of_chunk(height, width)
    return [slice(first, min(first + length, days)) for first in range(0, days, length)]


def days_of_chunk(height: int, width: int) -> int:
    """As many as of the cube, or a half, a quarter and so on where whole fields of so many are too large."""
    length = DAYS
    while length > 1 and length * height * width > HELD:
        length //= 2
    return length


def attributes_of(path: Path) -> dict[str, Any] | None:
    """What a Zarr group says of itself; None where there is none."""
    try:
        told = json.loads((path / METADATA).read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, dict) else None


def summary_of(path: Path, fingerprint: str) -> Summary | None:
    """What is known of the prediction of this fingerprint; None where it is not there, or not whole."""
    told = attributes_of(path)
    if told is None or told.get(FINGERPRINT) != fingerprint or told.get(COMPLETE) != 1:
        return None
    return Summary.read(told[SUMMARY])


class Unfinished:
    """A prediction while blocks are missing.

    Args:
        out: where it shall stand.
        fingerprint: of all that its values follow from.

    Attributes:
        finished: blocks that are there.
        corrected: stretches of days whose correction is there.
    """

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.out, self.fingerprint = out, fingerprint
        self.folder = out.with_name(f".{out.name}.partial")
        self.finished: list[Finished] = []
        self.corrected: list[CorrectedStretch] = []

    @property
    def store(self) -> Path:
        """The Zarr group that is written to."""
        return self.folder / STORE

    @contextmanager
    def opened(self, empty: xr.Dataset, names: Sequence[str] = (SM,)) -> Iterator[None]:
        """Go on with what an earlier run left, or begin.

        Args:
            empty: coordinates and attributes of the result.
            names: of its arrays.

        Raises:
            DataError: ``out`` is something else than a prediction, another process is at it, or the disk
                refuses.
        """
        if self.out.exists() and FINGERPRINT not in (attributes_of(self.out) or {}):
            raise DataError(f"{self.out} exists and is no prediction: name another output, or remove it")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._begin(empty, names)
                yield
        except OSError as error:
            raise DataError(
                f"{self.out} cannot be written: {error.strerror or error}. Make room or name another output; "
                "what is finished stays for the next run"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self.folder / OWNER
        with suppress(OSError, ValueError):
            held = Owner.parse(path.read_text(encoding="utf-8"))
            if Witness().alive(str(path), held):
                raise DataError(
                    f"{self.out}: process {held.pid} on {held.host} is at it; wait for it, or stop it (where "
                    f"it has ended, remove {path})"
                )
        with whole(path) as beside:
            beside.write_text(str(Owner.current()), encoding="utf-8")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def _begin(self, empty: xr.Dataset, names: Sequence[str]) -> None:
        told = attributes_of(self.store)
        if told is None or told.get(FINGERPRINT) != self.fingerprint:
            shutil.rmtree(self.store, ignore_errors=True)
            for name in (RECORD, CORRECTIONS):
                (self.folder / name).unlink(missing_ok=True)
            create(self.store, empty, names)
            # Last: a store that has it has everything but values.
            zarr.open_group(self.store, mode="r+").attrs[FINGERPRINT] = self.fingerprint
        self.finished = [
            Finished(**told | {"outside": tuple(told["outside"])}) for told in self._recorded(RECORD)
        ]
        self.corrected = [
            CorrectedStretch(
                told["first"],
                _correction(told["correction"]),
                tuple(DayFile(**file) for file in told["files"]),
            )
            for told in self._recorded(CORRECTIONS)
        ]

    def _recorded(self, name: str) -> Iterator[dict[str, Any]]:
        with suppress(FileNotFoundError):
            for line in (self.folder / name).read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):  # the last one may have been cut off
                    yield json.loads(line)

    def record(self, one: Finished) -> None:
        """Note a block as written."""
        self.finished.append(one)
        self._note(RECORD, one)

    def record_correction(self, one: CorrectedStretch) -> None:
        """Note a stretch of days as corrected."""
        self.corrected.append(one)
        self._note(CORRECTIONS, one)

    def _note(self, name: str, one: Finished | CorrectedStretch) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(one)) + "\n")

    def finish(self, features: int, notes: Sequence[str] = ()) -> Summary:
        """Put the result in its place.

        Args:
            features: number of the model's.
            notes: what the user should know of it each time.
        """
        judged = (self.store / INSIDE).is_dir()
        summary = Summary.of(self.finished, features, self.corrected, notes, judged=judged)
        told: dict[str, Any] = {SUMMARY: asdict(summary), COMPLETE: 1}
        shutil.rmtree(self.store / HALF_WIDTH, ignore_errors=True)
        zarr.open_group(self.store, mode="r+").attrs.update(told)
        earlier = self.folder / "earlier"
        shutil.rmtree(earlier, ignore_errors=True)
        if self.out.exists():
            self.out.rename(earlier)
        self.store.rename(self.out)
        shutil.rmtree(self.folder, ignore_errors=True)
        return summary


def create(path: Path, empty: xr.Dataset, names: Sequence[str] = (SM,)) -> None:
    """Write coordinates and attributes of a result, and its arrays without values.

    Args:
        path: of the Zarr group.
        empty: coordinates and attributes.
        names: of the arrays, all of ``bands.ATTRIBUTES``.
    """
    dims = ("time", "y", "x")
    shape = tuple(empty.sizes[dim] for dim in dims)
    empty.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    group, side = zarr.open_group(path, mode="r+"), side_of_chunk(*shape[1:])
    for name in names:
        group.create_array(
            name, shape=shape, dtype="float32", fill_value=np.nan, dimension_names=dims,
            chunks=(days_of_chunk(*shape[1:]), side, side), compressors=CODEC, attributes=ATTRIBUTES[name],
        )  # fmt: skip
