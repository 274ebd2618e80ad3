"""How much of a map lies outside the area of applicability, where and when, and whether it is worse there.

A map tells of each pixel and day whether the stack has met anything like it (band ``aoa``). Here these are
counted by partition and month, and where there is something to hold the map against, its scores inside and
outside stand side by side: an area that does not tell good pixels from bad ones is of no use. Meyer and
Pebesma 2021, doi:10.1111/2041-210X.13650.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from models.metrics import score
from pipeline.cubes.cube import open_cube
from pipeline.cubes.layout import UNREADABLE, slabs
from pipeline.errors import DataError
from pipeline.figures import applicability as figures
from pipeline.figures.style import save
from pipeline.maps.bands import SM
from pipeline.progress import Report
from pipeline.tables.titles import INSIDE
from pipeline.work.staging import read_back, staged, with_nan, write_json

RECORD, SHARES, SCORES, PICTURE = (
    "applicability.json", "applicability.csv", "applicability-scores.csv", "applicability.png",
)  # fmt: skip
FILES = (RECORD, SHARES, SCORES, PICTURE)
ALL, NO_PARTITION = "all", "none"
INSIDE_ROWS, OUTSIDE_ROWS = "inside", "outside"
STATIONS, TRUTH = "stations", "simulated truth"
BLOCK = 20  # pixels along the side of what counts as independent where a map is held against the truth
FEWEST = 20  # pairs, for a score
SHARE_COLUMNS = ("partition", "month", "pixels", "pixel_days", "outside")


@dataclass(frozen=True, eq=False)
class Surveyed:
    """How much of a map lies outside, as it stands in a folder.

    Attributes:
        shares: a row for each partition (and ``all``) and month (and ``all``): ``partition, month, pixels,
            pixel_days`` (that have the band) and ``outside``, the share of these.
        scores: a row for each reference (``stations``, ``simulated truth``) and side (``inside``,
            ``outside``): ``reference, side, n, r, rmse, bias, ubrmse`` with ``_lower`` and ``_upper`` and the
            ``reason`` of what is missing; empty where there was no reference.
        summary: the content of ``applicability.json``.
        picture: PNG.
    """

    shares: pd.DataFrame
    scores: pd.DataFrame
    summary: Mapping[str, Any]
    picture: bytes = field(repr=False)

    @property
    def outside(self) -> float:
        """Share of all pixel-days that lie outside."""
        return float(self.summary["outside"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know beside the numbers, one sentence each."""
        return tuple(self.summary["notes"])

    def as_dict(self) -> dict[str, Any]:
        """For machines: the record, to which the folder's tables belong."""
        return dict(self.summary)

    def rows(self) -> list[dict[str, str]]:
        """For people: the share outside of each partition over all months."""
        whole = self.shares[self.shares["month"] == ALL]
        return [
            {
                "partition": row["partition"], "pixel-days": f"{row['pixel_days']:,}",
                "outside": f"{row['outside']:.1%}",
            }
            for row in whole.to_dict(orient="records")
        ]  # fmt: skip


def survey(
    prediction: Path,
    cube: Path,
    out: Path,
    *,
    stations: pd.DataFrame | None = None,
    truth: NDArray[np.floating[Any]] | None = None,
    thresholds: Mapping[str, float] | None = None,
    report: Report = lambda what, share: None,
) -> Surveyed:
    """Count what of a map lies outside, score both sides, and write tables and a figure.

    Args:
        prediction: Zarr store with ``aoa`` and ``sm``.
        cube: of the same grid, with ``partition``, ``land`` and ``region``.
        out: folder; an earlier survey in it is replaced.
        stations: ``station``, ``insitu``, ``sm`` (m³/m³) and ``aoa`` of a day each, NaN where missing.
        truth: (days, y, x) m³/m³ of the first days of the map, where it is simulated.
        thresholds: largest index inside by the name of the stack, for the record.
        report: told what is being read and the share that is done.

    Raises:
        DataError: the store has no such band or no value of it, is damaged or on another grid, or ``out``
            cannot be written.
    """
    open_cube(cube).close()  # says what is wrong with it
    with (
        xr.open_zarr(prediction, chunks=None, consolidated=False) as maps,
        xr.open_zarr(cube, chunks=None, consolidated=False) as ground,
    ):
        if INSIDE not in maps:
            raise DataError(
                f"{prediction} has no band {INSIDE}: set applicability = true in [maps], train and predict "
                "again"
            )
        if maps[INSIDE].shape[1:] != ground["partition"].shape:
            raise DataError(f"{prediction} does not lie on the grid of {cube}: predict again")
        try:
            land = (ground["land"].to_numpy() == 1) & (ground["region"].to_numpy() == 1)
            codes = np.where(land, ground["partition"].to_numpy(), 0).astype(np.intp)
        except UNREADABLE as error:
            raise DataError(f"{cube} cannot be read ({error}): gee-smap export makes it again") from error
        names = (NO_PARTITION, *map(str, ground.attrs["partition_names"]))
        months = np.array(maps["time"].dt.strftime("%Y-%m").to_numpy(), np.str_)
        simulated = any(bool(one.attrs.get("simulated")) for one in (maps, ground))
        tally = _Tally(codes, land, len(names), np.unique(months, return_inverse=True)[1])
        sides = _Sides(land.shape)
        for part in slabs(len(months)):
            report("area of applicability", part.start / len(months))
            try:
                inside = maps[INSIDE].isel(time=part).to_numpy()
                here = None if truth is None else truth[part]
                if here is not None and len(here):
                    sides.add(maps[SM].isel(time=part).to_numpy()[: len(here)], here, inside[: len(here)])
            except UNREADABLE as error:
                raise DataError(
                    f"{prediction} cannot be read ({error}): remove it, and gee-smap predict makes it again"
                ) from error
            tally.add(inside, part)
    shares = pd.DataFrame(list(tally.rows(names, np.unique(months))), columns=list(SHARE_COLUMNS))
    if not len(shares):
        raise DataError(f"{prediction} has no value of {INSIDE} on any pixel: predict again")
    scores = pd.DataFrame([*_at_stations(stations), *(sides.rows() if truth is not None else ())])
    outside = float(shares["outside"].iloc[0])
    summary = {
        "outside": outside, "days": len(months), "pixels": int(land.sum()), "simulated": simulated,
        "thresholds": dict(thresholds or {}), "rows": {"shares": len(shares), "scores": len(scores)},
        "notes": list(_notes(scores, simulated)),
    }  # fmt: skip
    picture = figures.outside(shares, tally.often(), codes, land, simulated=simulated)
    with staged(out, RECORD, FILES) as folder:
        save(picture, folder / PICTURE)
        shares.to_csv(folder / SHARES, index=False)
        scores.to_csv(folder / SCORES, index=False)
        write_json(folder / RECORD, summary)
    report("area of applicability", 1.0)
    return Surveyed(shares, scores, summary, (out / PICTURE).read_bytes())


def read(folder: Path) -> Surveyed | None:
    """What `survey` left in a folder; None where it left nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "survey the area of applicability again")


def _load(folder: Path) -> Surveyed:
    summary = with_nan(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    shares = pd.read_csv(folder / SHARES, dtype={"partition": str, "month": str}, keep_default_na=False)
    shares = shares.astype({"pixels": int, "pixel_days": int, "outside": float})
    scores = pd.DataFrame()
    if summary["rows"]["scores"]:
        scores = pd.read_csv(folder / SCORES)
        scores["reason"] = scores["reason"].fillna("")
    if len(shares) != summary["rows"]["shares"] or len(scores) != summary["rows"]["scores"]:
        raise ValueError("its tables have not the rows they should")
    return Surveyed(shares, scores, summary, (folder / PICTURE).read_bytes())


class _Tally:
    """Counts of pixel-days, and of those outside, by month and partition and by pixel."""

    def __init__(
        self, codes: NDArray[np.intp], land: NDArray[np.bool_], kinds: int, month: NDArray[np.intp]
    ) -> None:
        self._codes, self._land, self._month = codes, land, month
        self._counts = np.zeros((2, int(month.max()) + 1, kinds), np.int64)  # known, outside
        self._pixels = np.zeros((2, *codes.shape), np.int64)

    def add(self, inside: NDArray[np.floating[Any]], days: slice) -> None:
        known = np.isfinite(inside) & self._land
        for number, mask in enumerate((known, known & (inside < 0.5))):
            self._pixels[number] += mask.sum(axis=0)
            for month, day in zip(self._month[days], mask, strict=True):
                self._counts[number, month] += np.bincount(self._codes[day], minlength=self._counts.shape[2])

    def often(self) -> NDArray[np.float64]:
        """Share of its days on which a pixel lies outside, (y, x); NaN without a day."""
        known, outside = self._pixels
        return np.asarray(outside / np.where(known, known, np.nan))

    def rows(self, names: tuple[str, ...], months: NDArray[np.str_]) -> Iterator[dict[str, Any]]:
        there = self._pixels[0] > 0
        for partition, kinds in [(ALL, list(range(len(names)))), *((n, [k]) for k, n in enumerate(names))]:
            pixels = int((there & np.isin(self._codes, kinds)).sum())
            for month, at in [(ALL, list(range(len(months)))), *((m, [k]) for k, m in enumerate(months))]:
                known, outside = (int(of[np.ix_(at, kinds)].sum()) for of in self._counts)
                if known:
                    yield {
                        "partition": partition, "month": str(month), "pixels": pixels,
                        "pixel_days": known, "outside": outside / known,
                    }  # fmt: skip


class _Sides:
    """A map beside the truth, inside and outside."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        row, column = np.indices(shape)
        self._block = (row // BLOCK * (shape[1] // BLOCK + 1) + column // BLOCK).astype(np.int32)
        self._found: dict[str, list[NDArray[Any]]] = {INSIDE_ROWS: [], OUTSIDE_ROWS: []}

    def add(
        self, sm: NDArray[np.float32], truth: NDArray[np.floating[Any]], inside: NDArray[np.float32]
    ) -> None:
        known = np.isfinite(sm) & np.isfinite(truth) & np.isfinite(inside)
        block = np.broadcast_to(self._block, sm.shape)
        for side, mask in ((INSIDE_ROWS, known & (inside >= 0.5)), (OUTSIDE_ROWS, known & (inside < 0.5))):
            self._found[side].append(np.stack([sm[mask], truth[mask], block[mask]]))

    def rows(self) -> Iterator[dict[str, Any]]:
        for side, found in self._found.items():
            sm, truth, block = np.concatenate(found, axis=1)
            yield _scored(TRUTH, side, sm, truth, block)


def _at_stations(rows: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    if rows is None or INSIDE not in rows:
        return
    known = rows[np.isfinite(rows[["sm", "insitu", INSIDE]].to_numpy(np.float64)).all(axis=1)]
    station = np.unique(known["station"].to_numpy(np.str_), return_inverse=True)[1]
    inside = known[INSIDE].to_numpy() >= 0.5
    for side, mask in ((INSIDE_ROWS, inside), (OUTSIDE_ROWS, ~inside)):
        sm, insitu = (known[name].to_numpy(np.float64)[mask] for name in (SM, "insitu"))
        yield _scored(STATIONS, side, sm, insitu, station[mask])


def _scored(
    reference: str, side: str, sm: NDArray[Any], beside: NDArray[Any], blocks: NDArray[Any]
) -> dict[str, Any]:
    row: dict[str, Any] = {"reference": reference, "side": side}
    if len(sm) < FEWEST:
        none = {
            f"{one}{end}": np.nan
            for one in ("r", "rmse", "bias", "ubrmse")
            for end in ("", "_lower", "_upper")
        }
        return row | {"n": len(sm)} | none | {"reason": f"{len(sm)} pairs; {FEWEST} are needed"}
    return row | score(sm, beside, blocks=blocks.astype(np.intp)).as_dict()


def _notes(scores: pd.DataFrame, simulated: bool) -> Iterator[str]:
    if len(scores):
        yield (
            "Inside and outside are other places and days, so their scores differ for more reasons than the "
            "area; intervals draw whole stations, or squares of 20 pixels where the truth is known."
        )
    else:
        yield "There was nothing to hold the map against, so it is not known whether it is worse outside."
    if simulated:
        yield "Simulated data: neither the map nor what it is held against was observed."
