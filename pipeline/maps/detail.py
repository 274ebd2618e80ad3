"""How much of what a model adds within SMAP's cells the maps show: all of it, or the share that stood a test.

Corrected to SMAP, a map is SMAP spread smoothly plus the model's departures from its own means over cells.
Whether these departures are worth anything SMAP cannot say at 1 km, but one scale up it can: there the
scale-transfer test finds the share λ of them that fits SMAP best, by least squares, and the maps are made
with that. It is the slope by which Copas (1983, doi:10.1111/j.2517-6161.1983.tb01258.x) shrinks predictions
to what they hold where they were not fitted. One λ serves the whole map: two partitions with one each would
part at their border.

The estimate is taken as it is, within 0 and 1, also where its interval reaches 0. Estimated on 6 to 30 coarse
cells of the real US table and of the simulated example, with true shares from 0 to 0.7, and held against the
other cells, it added at most 0.9 % to the mean square error of smooth SMAP where there was next to nothing to
find. Taking 0 unless the interval excludes it lost up to 5 % of that where there was something, the lower end
of the interval up to 11 %, and shrinking the estimate further gained nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from pipeline.study import MEASURED, Study
from pipeline.work.staging import with_nan, write_json

FILE = "detail.json"
"""Of a folder of the scale-transfer test: what it found for the maps."""


@dataclass(frozen=True)
class Detail:
    """The share λ of the model's departures from its means over SMAP's cells that maps show.

    Attributes:
        value: from 0, SMAP spread smoothly with its means kept, to 1, all that the model says.
        lower: end of the 95 % interval, within 0 and 1; NaN where nothing was measured.
        upper: as ``lower``.
        measured: whether the scale-transfer test tells it.
        simulated: whether that rests on simulated sources.
    """

    value: float
    lower: float
    upper: float
    measured: bool
    simulated: bool

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)

    def notes(self, study: Study) -> Iterator[str]:
        """What the user of corrected values should know of it, one sentence each."""
        ends = "" if math.isnan(self.lower) else f" [{self.lower:.2f}, {self.upper:.2f}]"
        share = f"{self.value:.2f}{ends}"
        detail = "what the model tells within SMAP's cells"
        if self.measured and self.value > 0:
            yield (
                f"Of {detail} a share of {share} is kept, as fits SMAP best one scale up"
                + (", where it is not shown to be more than nothing." if self.lower <= 0 else ".")
            )
        elif self.measured:
            yield (
                f"Of {detail} nothing is kept, as none of it fits SMAP one scale up (share {share}): what is "
                "left is SMAP spread smoothly. maps.detail = 1 keeps all."
            )
        elif study.maps.detail == MEASURED:
            yield (
                f"All of {detail} is kept, as nothing has measured how much of it fits: gee-smap transfer "
                "does, or splits.transfer in a run."
            )
        elif self.value < 1:
            yield f"Of {detail} a share of {share} is kept, as the study says."


FULL = Detail(1.0, math.nan, math.nan, measured=False, simulated=False)
"""All that the model says."""


def detail_of(study: Study, folder: Path | None) -> Detail:
    """The share that the maps of a study show.

    Args:
        study: ``maps.detail`` is a number, or asks for what was measured.
        folder: of the scale-transfer test; None where there is none.

    Returns:
        ``FULL`` where nothing was measured, and where maps are not corrected to SMAP.

    Raises:
        DataError: the test's result is damaged.
    """
    asked = study.maps.detail
    if not study.maps.conserve:
        return FULL
    if asked != MEASURED:
        return Detail(float(asked), math.nan, math.nan, measured=False, simulated=False)
    if folder is None or not (folder / FILE).is_file():
        return FULL
    return read_detail(folder)


def read_detail(folder: Path) -> Detail:
    """What the scale-transfer test left in its folder.

    Raises:
        DataError: it is not there, or damaged.
    """
    path = folder / FILE
    try:
        found = Detail(**with_nan(json.loads(path.read_text(encoding="utf-8"))))
        if not 0 <= found.value <= 1:
            raise ValueError(f"value is {found.value}")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error}): remove its folder, and run gee-smap transfer again"
        ) from error
    return found


def write_detail(folder: Path, detail: Detail) -> None:
    """Write it beside the results of the test."""
    write_json(folder / FILE, detail.as_dict())
