"""What came of a prediction, and what its user should know of it: what is missing, where it says little.

A map shows a value everywhere and never says by itself that SMAP was silent, that a partition had no model or
that predictors were beyond all that training saw; so this is told after each prediction, also one that was
there already.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.learning.extrapolation import beyond_training
from pipeline.maps.correcting import TOLERANCE, Correction
from pipeline.maps.day_images import Images
from pipeline.maps.detail import Detail
from pipeline.maps.prediction_store import Summary, blocks
from pipeline.maps.wanted import Wanted

LEAST_TOLD = 0.001  # of the pixels and days; less would be told as 0.0 %


@dataclass(frozen=True)
class Mapped:
    """A prediction that is whole.

    Attributes:
        path: the Zarr store: ``sm`` (m³/m³) over (time, y, x), NaN outside the region, on water and where
            every predictor that changes from day to day is missing; and what else ``pipeline.maps.bands``
            names, as far as it was made.
        images: folder of its days as images.
        days: predicted.
        pixels: of land in the region.
        predicted: pixels times days that have a value.
        blocks: number of blocks; ``computed`` of them in this call.
        written: days whose image was written in this call.
        removed: days whose image belonged to an earlier prediction.
        correction: to SMAP; None where there was none.
        detail: the share of what the model tells within cells that the corrected maps show.
        simulated: whether model or cube say so.
        told: what the user should know, one sentence each.
    """

    path: Path
    images: Path
    days: tuple[dt.date, ...]
    pixels: int
    predicted: int
    blocks: int
    computed: int
    written: tuple[dt.date, ...]
    removed: tuple[dt.date, ...]
    correction: Correction | None
    detail: Detail
    simulated: bool
    told: tuple[str, ...]

    def rows(self) -> list[dict[str, str]]:
        """What was made, as a table for people."""
        cells = self.pixels * len(self.days)
        return [
            {
                "days": f"{len(self.days)} ({self.days[0]} to {self.days[-1]})",
                "land pixels": f"{self.pixels:,}",
                "with a value": f"{self.predicted / cells:.1%}" if cells else "none",
                **({"furthest from SMAP": f"{self.correction.worst:.1g} m³/m³"} if self.correction else {}),
                "blocks predicted now": f"{self.computed:,} of {self.blocks:,}",
                "images written now": f"{len(self.written):,} of {len(self.days):,}",
            }
        ]

    def notes(self) -> Iterator[str]:
        """What the user should know."""
        if not self.computed and not self.written and not self.removed:
            yield f"{self.path} and its images are there already, of this model and cube: nothing was done."
        if self.removed:
            yield f"{len(self.removed)} images of days that do not belong to the prediction were removed."
        yield from self.told
        if self.simulated:
            yield "The sources are simulated: the map shows no real soil moisture."

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "prediction": str(self.path), "images": str(self.images), "start": str(self.days[0]),
            "end": str(self.days[-1]), "days": len(self.days), "pixels": self.pixels,
            "predicted": self.predicted, "blocks": self.blocks, "computed": self.computed,
            "correction": asdict(self.correction) if self.correction else None,
            "detail": self.detail.as_dict(),
            "written": [str(day) for day in self.written], "removed": [str(day) for day in self.removed],
            "simulated": self.simulated, "notes": list(self.notes()),
        }  # fmt: skip

    @classmethod
    def of(
        cls, wanted: Wanted, out: Path, images: Path, summary: Summary, computed: int, made: Images
    ) -> Mapped:
        """What came of a prediction.

        Args:
            wanted: what it was to be.
            out: its store.
            images: their folder.
            summary: of the store.
            computed: number of blocks that were predicted now.
            made: images that were written now, and removed.
        """
        days = wanted.days
        return cls(
            path=out, images=images, days=days, pixels=summary.rows // len(days), predicted=summary.predicted,
            blocks=len(blocks(*wanted.shape)), computed=computed, written=made.written, removed=made.removed,
            correction=summary.correction, detail=wanted.detail, simulated=wanted.simulated,
            told=tuple(_told(wanted, summary)),
        )  # fmt: skip


def _told(wanted: Wanted, summary: Summary) -> Iterator[str]:
    yield from summary.notes
    if summary.applicable is not None and summary.predicted:
        share = 1 - summary.applicable / summary.predicted
        yield (
            f"{share:.1%} of the predicted pixels and days lie outside of the area of applicability: "
            "their predictors are unlike all that training saw, and scores do not hold there (band aoa)."
        )
    if summary.correction is not None:
        yield from _of_correction(summary.correction, wanted)
    if wanted.card.study_hash != wanted.cube.attrs["study_hash"]:
        yield (
            f"The model was trained for the study {wanted.card.study}, the cube was made for "
            f"{wanted.cube.attrs['study']}, or for another version of it."
        )
    stacks = {stack.name for stack in wanted.card.stacks}
    if lacking := [name for name in wanted.cube.attrs["partition_names"] if name not in stacks]:
        yield (
            f"{', '.join(lacking)}: no stack of its own in the model; the stack without partition "
            "(WP) predicts these pixels."
        )
    if summary.rows > summary.predicted:
        share = 1 - summary.predicted / summary.rows
        text = f"{share:.1%}" if share >= LEAST_TOLD else f"Less than {LEAST_TOLD:.1%}"
        yield f"{text} of the land pixels and days have no predictor of the day, and so no value."
    if summary.rows:
        shares = (outside / summary.rows for outside in summary.outside)
        yield from beyond_training(zip(wanted.card.predictors, shares, strict=True), "land pixels and days")


def _of_correction(found: Correction, wanted: Wanted) -> Iterator[str]:
    """What the user should know of a correction."""
    yield from wanted.detail.notes(wanted.study)
    if found.without:
        yield (
            f"SMAP has nothing on {len(found.without)} days, such as {found.without[0]}: their maps are what "
            "the model says."
        )
    if found.lacking:
        share = found.lacking / (found.lacking + found.kept)
        yield (
            f"{found.lacking:,} of the mapped cells and days ({share:.0%}) have no SMAP: the cells around "
            "them correct their pixels, less with the distance."
        )
    if found.worst > TOLERANCE:
        yield (
            f"Where pixels stand at 0 or at the porosity, a cell's mean misses SMAP by up to "
            f"{found.worst:.1g} m³/m³."
        )
