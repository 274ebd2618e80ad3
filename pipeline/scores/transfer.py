"""Downscaling put to the test with a true answer everywhere: one scale up, where SMAP itself is the truth.

Samples are joined to coarser cells (36 km from 9 km), the study's stacks learn there, and predict the fine
cells from their own predictors; what SMAP says of these was hidden from the models. Coarse SMAP, nearest and
smoothed without any model, stands beside them, for a model that does not beat it has added nothing. It tells
of 36 km to 9 km: whether the same holds from 9 km to 1 km, where relief, fields and towns begin to matter, no
table can tell, and it is SMAP's own analysis that is met, not the soil.

What it finds for the maps is the share of the model's detail that fits SMAP best (``pipeline.maps.detail``),
of stacks trained there, on the coarse values of the same places, because that is how the stack of a map is
trained. On the simulated example it is 0.72 (trained elsewhere 0.62), where 0.74 fits the truth at 1 km best;
on another simulated region, with the paper's predictors, 0.23 (0.24), where 0.30 does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import SampleError
from models.learners import DEFAULT_LEARNERS
from models.metrics import Metric, compare
from models.partitioned import PartitionedStack, check_partitions
from models.splits import Fold, LeavePartitionOut, RandomSplit, SampleKeys, SpatialBlocks, Split
from pipeline.figures import transfer as figures
from pipeline.figures.style import save_chart, saved
from pipeline.learning.held_out import CELLS, independent
from pipeline.learning.resuming import key_of, made_before, resumed
from pipeline.learning.trainer import Progress, Trainer
from pipeline.maps.detail import FILE as DETAIL
from pipeline.maps.detail import write_detail
from pipeline.progress import Report
from pipeline.scores.coarser import LEAST_SHARE, SMAP_FACTOR, Coarsened, bilinear, coarsen, conserved
from pipeline.scores.damping import Among, Share, damp
from pipeline.study import Study
from pipeline.tables.results import read_scores
from pipeline.tables.samples import read_samples
from pipeline.work.staging import read_back, staged, whole, write_json

Values = NDArray[np.float64]
NEAREST, BILINEAR, SMOOTH = "smap_nearest", "smap_bilinear", "smap_smooth"
MEMBERS = tuple(learner.name for learner in DEFAULT_LEARNERS)
MODEL, CORRECTED, DAMPED, WHOLE = "sm_model", "sm", "sm_damped", "wp"
TITLES = {
    NEAREST: "Coarse SMAP, nearest",
    BILINEAR: "Coarse SMAP, bilinear",
    SMOOTH: "Coarse SMAP, smooth, means kept",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    WHOLE: "Stack without partitions (WP)",
    MODEL: "Stack",
    CORRECTED: "Stack + residual",
    DAMPED: "Stack + residual, damped",
}
"""The products in their order. ``smap_smooth`` is what the residual's spreading makes of SMAP alone; what the
corrected stack adds to it is damped by the share of it that fits other places best."""

THERE, ELSEWHERE = "there", "elsewhere"
TRAINED = {
    THERE: "on the coarse values of the same places, as maps are made",
    ELSEWHERE: "on coarse values of other places alone",
}
OVERALL: tuple[Metric, ...] = ("r", "rmse", "bias", "ubrmse")
WITHIN: tuple[Metric, ...] = ("r", "rmse")  # of departures from the coarse cell's mean
METRICS = (*OVERALL, *(f"{metric}_within" for metric in WITHIN))
ENDS = ("", "_lower", "_upper")
FOLDS = 5  # groups of places held out in turn
NOTHING_WITHIN = 1e-9  # m³/m³: a departure below is rounding
RECORD, TABLE, PICTURE = "transfer.json", "transfer.csv", "transfer"
FILES = (TABLE, f"{PICTURE}.png", f"{PICTURE}.svg", DETAIL, RECORD)
UNFINISHED = ".predicted"  # folder of what a run that was stopped has predicted


@dataclass(frozen=True, eq=False)
class Transfer:
    """What :func:`transfer` found and wrote.

    Attributes:
        table: one row per way of training and product, as in ``transfer.csv``: ``trained`` (``there``,
            ``elsewhere``), ``product``, ``title``, ``n``; R, RMSE, bias and ubRMSE (m³/m³) against the fine
            cells' SMAP, R and RMSE of departures from the coarse cell's mean (``r_within``,
            ``rmse_within``), each with a 95 % interval; ``<metric>_change`` to bilinear coarse SMAP on the
            same rows with its interval; ``rmse_smooth_change``, the same of RMSE to ``smap_smooth``;
            ``variance``, within coarse cells, as a share of SMAP's; and ``reason`` where one is undefined.
        summary: the rest of ``transfer.json``: ``simulated``, ``study``, ``key``, ``factor``, ``settings``,
            ``counts``, ``ease`` (whether cells are EASE-Grid 2.0's), ``held`` (how places are held out),
            ``drawn`` (what a block is where intervals are drawn), ``share`` (by way of training, of what the
            corrected stack adds to ``smap_smooth``, the share that fits SMAP best: ``value``, ``lower`` and
            ``upper`` of its 95 % interval, not bounded, null where undefined), ``share_drawn`` (what is drawn
            for it), ``detail`` (what the study says of the maps' share; null where maps are not corrected),
            ``notes``.
        pictures: the figure, PNG and SVG, by name of the file.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know beside the numbers, one sentence each."""
        return tuple(self.summary["notes"])

    def as_dict(self) -> dict[str, Any]:
        """The summary, and the scores as ``scores``."""
        return {**self.summary, "scores": self.table.to_dict(orient="records")}

    def row(self, trained: str, product: str) -> Mapping[str, Any] | None:
        """The scores of a product; None where it has none."""
        here = self.table[(self.table["trained"] == trained) & (self.table["product"] == product)]
        found = here.to_dict(orient="records")
        return {str(key): value for key, value in found[0].items()} if found else None

    def rows(self) -> list[dict[str, str]]:
        """The scores for people."""
        return [
            {
                "trained": str(row["trained"]), "product": str(row["title"]), "R": _text(row["r"], ".3f"),
                "RMSE": _text(row["rmse"], ".4f"), "ubRMSE": _text(row["ubrmse"], ".4f"),
                "bias": _text(row["bias"], "+.4f"), "R within": _text(row["r_within"], ".3f"),
                "variance within": _text(row["variance"], ".2f"),
                "RMSE beside bilinear": _text(row["rmse_change"], "+.4f")
                + _ends(row["rmse_change_lower"], row["rmse_change_upper"]),
            }
            for row in self.table.to_dict(orient="records")
        ]  # fmt: skip


def _text(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def _ends(lower: float, upper: float) -> str:
    return "" if math.isnan(lower) else f" [{lower:+.4f}, {upper:+.4f}]"


def transfer(
    samples: Path, study_file: Path, out: Path, *, factor: int = SMAP_FACTOR,
    report: Report = lambda what, share: None,
) -> Transfer:  # fmt: skip
    """Train on coarser cells, predict the fine ones, and hold that against their SMAP.

    Beside the scores it writes ``pipeline.maps.detail.FILE``, what the maps take of them.

    Args:
        samples: the table a model is trained on; its cells stand in rows and columns and have dates.
        study_file: the study in TOML. Settings are its own. Where a partition has too few coarse rows, all
            rows are fitted together, which a note tells.
        out: folder of the results. One made of the same table, study and factor is read back; of a run that
            was stopped, what is predicted is kept.
        factor: fine cells along a coarse one; 4 makes SMAP's 36 km of its 9 km.
        report: told which stack is being fitted, and the share of all rows to be fitted that is done.

    Raises:
        ConfigError: the study, or the factor.
        DataError: the table, its cells, or ``out`` cannot be written.
        SampleError: there are too few coarse samples to fit a stack.
    """
    study = Study.load(study_file)
    table = read_samples(samples, study, target=True)
    key = key_of(samples, study, factor)
    if (made := made_before(read, out, key)) is not None:
        return made
    coarse = coarsen(table.frame, table.features, study, factor)
    X = table.frame[list(table.features)].to_numpy(np.float32)
    truth = table.frame["sm"].to_numpy(np.float64)
    notes = [*table.notes]
    with resumed(out, UNFINISHED, key) as unfinished:
        run = _Run(study, coarse, X, report, unfinished, notes)
        lines, drawn, shares = [], "", {}
        among = Among.of(coarse)
        for trained, parts in run.ways():
            products = _products(coarse, run.predicted(trained, parts))
            products[DAMPED], shares[trained] = damp(
                truth, products[SMOOTH], products[CORRECTED], among, study.model.seed
            )
            found, drawn = _scored(coarse, truth, trained, products, study.model.seed)
            lines += found
        scores = pd.DataFrame(lines).assign(simulated=table.simulated)
        nesting = coarse.nesting
        left_out = int((nesting.block < 0).sum())
        if left_out:
            notes.append(
                f"{left_out:,} of {len(nesting.block):,} cells are left out: their coarse cell reaches "
                f"beyond the table, or less than {LEAST_SHARE:.0%} of it is there."
            )
        summary = {
            "simulated": table.simulated, "study": study.name, "study_hash": study.hash, "key": key,
            "factor": factor,
            "settings": {"seed": study.model.seed, "n_folds": study.model.n_folds, "confidence": 0.95},
            "counts": {
                "cells": int((nesting.block >= 0).sum()), "coarse_cells": len(nesting.places),
                "days": len(coarse.dates), "coarse_rows": len(coarse.y),
                "rows": int((coarse.group >= 0).sum()),
            },
            "ease": coarse.ease, "held": run.held, "partitions": run.partitioned, "drawn": drawn,
            "share": {trained: share._asdict() for trained, share in shares.items()},
            "share_drawn": among.drawn, "detail": study.maps.detail if study.maps.conserve else None,
            "notes": notes,
        }  # fmt: skip
        with staged(out, RECORD, FILES) as folder:
            scores.to_csv(folder / TABLE, index=False)
            figure = figures.scores(scores, factor, simulated=table.simulated)
            save_chart(figure, folder, PICTURE)
            if (detail := shares[THERE].detail(simulated=table.simulated)) is not None:
                write_detail(folder, detail)
            write_json(folder / RECORD, summary)
    return _load(out)


def read(folder: Path) -> Transfer | None:
    """What :func:`transfer` left in a folder; None where there is nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "run gee-smap transfer again")


def _load(folder: Path) -> Transfer:
    summary = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    table = read_scores(folder / TABLE, {"trained", "product", "title", "n", "variance"})
    if not isinstance(summary["notes"], list):
        raise ValueError("notes are no list")
    if not all({*share} == {*Share._fields} for share in summary["share"].values()):
        raise ValueError("shares have no intervals")
    return Transfer(table, summary, saved(folder, [PICTURE]))


class _Part(NamedTuple):
    """Coarse rows to fit, and fine rows to predict."""

    fit: NDArray[np.intp]
    held: NDArray[np.intp]


class _Run:
    """Fits the stacks of coarse rows and predicts fine ones.

    Attributes:
        partitioned: whether each partition has a stack of its own.
        held: how places are held out, in words.
    """

    def __init__(
        self, study: Study, coarse: Coarsened, X: NDArray[np.float32], report: Report, unfinished: Path,
        notes: list[str],
    ) -> None:  # fmt: skip
        self.study, self.coarse, self.X, self.unfinished, self.notes = study, coarse, X, unfinished, notes
        self.names = None if coarse.partition is None else self._fine_partitions(coarse.partition)
        self.keys = coarse.keys()
        self.partitioned = self._partitions_suffice()
        self.progress = Progress(study, report)
        self.trainer = Trainer(study, coarse.X, coarse.y, self.keys, self.progress)
        self.folds, self.held = self._folds()
        stacks = 2 if self.partitioned else 1
        self.progress.plan(stacks * (len(coarse.y) + sum(len(fit) for fit, _ in self.folds)))

    def ways(self) -> Iterator[tuple[str, list[_Part]]]:
        """The ways of training, and what is fitted and predicted in each."""
        group = self.coarse.group
        everything = _Part(np.arange(len(self.coarse.y)), np.flatnonzero(group >= 0))
        yield THERE, [everything]
        if self.folds:
            inside = [np.flatnonzero(np.isin(group, held)) for _, held in self.folds]
            yield ELSEWHERE, [_Part(fit, rows) for (fit, _), rows in zip(self.folds, inside, strict=True)]

    def predicted(self, trained: str, parts: Sequence[_Part]) -> dict[str, Values]:
        """What the models say of the fine rows, NaN in those that no part predicts."""
        names = (*MEMBERS, MODEL, WHOLE)
        found = {name: np.full(len(self.X), np.nan) for name in names}
        for number, part in enumerate(parts):
            self.progress.stage = (
                "trained there" if trained == THERE else f"elsewhere {number + 1}/{len(parts)}"
            )
            values = self._part(part, self.unfinished / f"{trained}-{number}.npz")
            for name, column in zip(names, values.T, strict=True):
                found[name][part.held] = column
        return found

    def _part(self, part: _Part, path: Path) -> NDArray[np.float32]:
        """Predict a part, or take it from a run that was stopped."""
        try:
            with np.load(path) as known:
                values: NDArray[np.float32] = known["values"]
            if len(values) == len(part.held):
                self.progress.skip((2 if self.partitioned else 1) * len(part.fit))
                return values
        except (OSError, ValueError, KeyError, BadZipFile):
            pass  # not there, or cut off
        model = self._fit(part.fit)
        names = None if self.names is None or not self.partitioned else self.names[part.held]
        found = model.predict(self.X[part.held], names, backend="native")
        values = np.column_stack([found.members, found.stack, found.wp]).astype(np.float32)
        with whole(path) as beside:
            np.savez(beside, values=values)
        return values

    def _fit(self, rows: NDArray[np.intp]) -> PartitionedStack:
        """Stacks whose folds hold out blocks of land, as a model folder's do, where there are enough."""
        chosen, seed = self.study.splits, self.study.model.seed
        by_land = SpatialBlocks(chosen.block_km, chosen.test_share, seed)
        by_row = RandomSplit(chosen.test_share, seed)
        tried: list[tuple[Split, bool]] = [(by_row, not self.partitioned)]
        if self.study.preset == "recommended":
            tried.insert(0, (by_land, not self.partitioned))
        if self.partitioned:
            tried.append((by_row, True))
        for split, whole_only in tried[:-1]:
            try:
                return self.trainer.fit(rows, split, whole_only=whole_only)
            except SampleError as error:
                self._note(f"Some stacks are fitted in a simpler way, as the study's cannot be: {error}.")
        split, whole_only = tried[-1]
        return self.trainer.fit(rows, split, whole_only=whole_only)

    def _folds(self) -> tuple[list[Fold], str]:
        """Coarse rows to fit and rows held out, and how: whole pieces of land that lie apart, else blocks."""
        piece = self.coarse.nesting.piece[self.coarse.block]
        count, chosen = len(np.unique(piece)), self.study.splits
        try:
            if count >= FOLDS:
                keys = SampleKeys(
                    self.keys.cell, self.keys.lon, self.keys.lat, self.keys.day, piece.astype(np.str_)
                )
                return LeavePartitionOut(self.study.model.seed).folds(
                    keys, FOLDS
                ), f"{count} separate regions"
            blocks = SpatialBlocks(chosen.block_km, chosen.test_share, self.study.model.seed)
            side = blocks.block_size(self.keys, FOLDS)
            return blocks.folds(self.keys, FOLDS), f"blocks of {side:.0f} km"
        except SampleError as error:
            self._note(f"No places can be held out: {error}.")
            return [], ""

    def _partitions_suffice(self) -> bool:
        if self.keys.partition is None:
            return False
        try:
            check_partitions(self.keys.partition, self.study.partitions.minimum_samples)
        except SampleError as error:
            self._note(f"All coarse cells are fitted together, partitions being too small: {error}.")
            return False
        return True

    def _fine_partitions(self, of_rows: NDArray[np.str_]) -> NDArray[np.str_]:
        """The partition of the coarse cell that each fine row lies in; empty outside."""
        group = self.coarse.group
        return np.where(group >= 0, of_rows[np.maximum(group, 0)], "")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _scored(
    coarse: Coarsened, truth: Values, trained: str, known: Mapping[str, Values], seed: int
) -> tuple[list[dict[str, Any]], str]:
    """Rows of the table of one way of training, and what a block is where intervals are drawn."""
    rows = np.flatnonzero((coarse.group >= 0) & np.isfinite(known[MODEL]))
    products = {name: known[name][rows] for name in TITLES if name in known}
    reference, group = truth[rows], coarse.group[rows]
    # Fine cells of one coarse cell hang together, so it is coarse cells that may be drawn.
    at, keys = np.maximum(coarse.group, 0), coarse.keys()
    blocks, kind = independent(keys.take(at), rows)
    overall = compare(products, reference, blocks=blocks, baseline=BILINEAR, metrics=OVERALL, seed=seed)
    beside = compare(products, reference, blocks=blocks, baseline=SMOOTH, metrics=("rmse",), seed=seed)
    apart = {name: _departures(values, group) for name, values in products.items()}
    true = _departures(reference, group)
    within = compare(apart, true, blocks=blocks, baseline=BILINEAR, metrics=WITHIN, seed=seed)
    lines = []
    for name in products:
        line: dict[str, Any] = {
            "trained": trained, "product": name, "title": TITLES[name], "n": overall.n,
            "variance": float(apart[name].var() / true.var()) if true.any() else math.nan,
        }  # fmt: skip
        reasons = []
        for found, metrics, suffix in ((overall, OVERALL, ""), (within, WITHIN, "_within")):
            for metric in metrics:
                one, change = found.scores[name][metric], found.differences.get(name, {}).get(metric)
                line |= _numbers(f"{metric}{suffix}", one)
                line |= _numbers(f"{metric}{suffix}_change", change)
                reasons += [one.reason and f"{suffix[1:]} {one.reason}".strip()]
        line |= _numbers("rmse_smooth_change", beside.differences.get(name, {}).get("rmse"))
        lines.append(line | {"reason": "; ".join(dict.fromkeys(filter(None, reasons)))})
    return lines, "coarse cells" if kind == CELLS else kind


def _numbers(name: str, of: Any) -> dict[str, float]:
    """An estimate or a difference with its interval; NaN where there is none."""
    values = (math.nan,) * 3 if of is None else (of.value, of.lower, of.upper)
    return dict(zip((f"{name}{end}" for end in ENDS), values, strict=True))


def _products(coarse: Coarsened, models: Mapping[str, Values]) -> dict[str, Values]:
    """All products on all fine rows; those of coarse SMAP need no model."""
    nesting, smap = coarse.nesting, coarse.coarse()
    days, cells = coarse.days, coarse.cells
    inside = nesting.block[cells] >= 0
    nearest = np.where(inside, smap[days, np.maximum(nesting.block[cells], 0)], np.nan)
    level = np.where(coarse.group >= 0, np.nanmean(smap), np.nan)
    return {
        NEAREST: nearest,
        BILINEAR: bilinear(nesting, smap)[days, cells],
        SMOOTH: conserved(coarse, level),
        CORRECTED: conserved(coarse, models[MODEL]),
        **models,
    }


def _departures(values: Values, group: NDArray[np.intp]) -> Values:
    """Each value less the mean of its coarse cell on its day; nothing where that is rounding."""
    _, at = np.unique(group, return_inverse=True)
    apart = values - (np.bincount(at, values) / np.bincount(at))[at]
    return np.where(np.abs(apart) < NOTHING_WITHIN, 0.0, apart)
