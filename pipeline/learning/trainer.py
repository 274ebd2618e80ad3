"""Stacks by a study's recipe: how rows are held out, fitted on and predicted, and how far along that is.

Scores, intervals, ablation and the transfer test all have to fit the same stacks as the model that is kept,
or they would tell of another one. Xu et al. 2024, section 3.3 steps 3 to 5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import SampleError
from models.learners import DEFAULT_LEARNERS
from models.partitioned import STACK, WP, PartitionedStack, Predictions
from models.splits import Fold, LeavePartitionOut, SampleKeys, Split, standard_splits
from models.stack import StackedRegressor
from pipeline.learning.calibration import calibrate
from pipeline.learning.fusing import Key, fused
from pipeline.progress import Report
from pipeline.study import Study

MODELS = ("XGBoost", "LightGBM", "CatBoost", STACK, WP)


def template(study: Study) -> StackedRegressor:
    """The unfitted stack of a study; the paper refuses no member."""
    return StackedRegressor(
        n_folds=study.model.n_folds, device=study.model.device, random_state=study.model.seed,
        fusion="convex" if study.preset == "paper" else "ridge",
    )  # fmt: skip


def all_splits(study: Study) -> tuple[Split, ...]:
    """Every known split, with the lengths and the seed of a study."""
    chosen = study.splits
    return standard_splits(
        gap_days=chosen.gap_days,
        block_km=chosen.block_km,
        test_share=chosen.test_share,
        seed=study.model.seed,
    )


def splits(study: Study) -> list[Split]:
    """The splits a study is scored under, in its order."""
    by_name = {split.name: split for split in all_splits(study)}
    return [by_name[name] for name in study.splits.names]


class Progress:
    """Turns the beginnings of stacks and the ends of their fits into a share of the rows to be fitted.

    Attributes:
        stage: what the stacks are fitted for; told before the name of each.
    """

    def __init__(self, study: Study, report: Report) -> None:
        self.fits, self.report = len(DEFAULT_LEARNERS) * (study.model.n_folds + 1), report
        self.stage = ""
        self.total = self.before = self.rows = self.done = 0

    def plan(self, rows: int) -> None:
        """So many more rows are to be fitted."""
        self.total += rows

    def skip(self, rows: int) -> None:
        """So many of the rows planned were fitted in an earlier run."""
        self.before += rows

    def begin(self, name: str, rows: int) -> None:
        """A stack on ``rows`` rows begins; the one before it has ended."""
        self.before += self.rows
        self.rows, self.done = rows, 0
        self.name = name
        self.tick("")

    def tick(self, learner: str) -> None:
        """One fit of the stack has ended; called from several threads, off by one at worst."""
        self.done += bool(learner)
        share = (self.before + self.rows * min(self.done / self.fits, 1)) / self.total
        self.report(f"{self.stage}: {self.name}", min(share, 1.0))


def stacks_of(keys: SampleKeys) -> int:
    """How often each row is fitted: once for WP and, where there are partitions, once for its own."""
    return 1 if keys.partition is None else 2


@dataclass(frozen=True)
class Holding:
    """How a split holds rows out of a table.

    Attributes:
        split: the rule.
        folds: rows to fit and rows held out; none where the split cannot be made.
        reason: why it cannot; empty where it can.
        rows: to be fitted in all.
    """

    split: Split
    folds: tuple[Fold, ...]
    reason: str
    rows: int

    @classmethod
    def of(cls, split: Split, keys: SampleKeys) -> Holding:
        """Lay a split over the samples."""
        try:
            folds = tuple(split.outer(keys))
        except SampleError as error:
            return cls(split, (), str(error), 0)
        stacks = 1 if isinstance(split, LeavePartitionOut) else stacks_of(keys)
        return cls(split, folds, "", stacks * sum(len(fit) for fit, _ in folds))

    @property
    def whole_only(self) -> bool:
        """Whether WP alone can predict what is held out."""
        return isinstance(self.split, LeavePartitionOut)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What models say of the rows held out from them.

    Attributes:
        holding: how they were held out.
        rows: (n,) which rows of the table were held out and predicted.
        own: (n,) which of these the stack of their own partition predicted, and not WP in its place.
        predicted: name of each of ``MODELS`` -> (n,) m³/m³, NaN in all other rows.
        reason: why rows were not predicted; empty where all were.
        half: of stack and WP, (n,) half width of the 90 % intervals that the same rows calibrated, m³/m³; NaN
            where there is none.
        without: why rows have no interval; empty where all have.
        fused: members and fusions of them, as ``pipeline.learning.fusing.fused`` names them -> (n,) m³/m³;
            NaN in all other rows.
    """

    holding: Holding
    rows: NDArray[np.bool_]
    own: NDArray[np.bool_]
    predicted: Mapping[str, NDArray[np.float32]]
    reason: str
    half: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    without: str = ""
    fused: Mapping[Key, NDArray[np.float32]] = field(default_factory=dict)

    def without_own(self, keys: SampleKeys) -> list[str]:
        """Partitions of which all rows are held out, so that WP stands in for their stacks."""
        if keys.partition is None or self.holding.whole_only:
            return []
        return [str(name) for name in np.unique(keys.partition[self.rows & ~self.own])]


class Trainer:
    """Fits stacks by a study's recipe on rows of one table.

    Args:
        study: with the recipe.
        X: (n, p) predictors.
        y: (n,) target.
        keys: where, when and in which partition each row is.
        progress: told of each stack and each of its fits.
    """

    def __init__(
        self,
        study: Study,
        X: NDArray[np.float32],
        y: NDArray[np.float32],
        keys: SampleKeys,
        progress: Progress,
    ) -> None:
        self.study, self.X, self.y, self.keys, self.progress = study, X, y, keys, progress
        self.template = template(study).set_params(progress=progress.tick)

    def fit(
        self,
        rows: NDArray[np.intp],
        split: Split,
        *,
        whole_only: bool = False,
        among: Collection[str] | None = None,
    ) -> PartitionedStack:
        """Fit the stacks of some rows.

        Args:
            rows: to fit.
            split: the rule under which the stacks hold out their folds.
            whole_only: fit WP alone, as a split that holds partitions out must.
            among: the partitions that get a stack; None gives all of them one.

        Raises:
            SampleError: they cannot be split.
        """
        return PartitionedStack.fit(
            self.template, self.X[rows], self.y[rows], self.keys.take(rows), split,
            n_folds=self.study.model.n_folds, fitting=self.progress.begin, among=() if whole_only else among,
        )  # fmt: skip

    def held_out(
        self, holding: Holding, what: str = "", *, intervals: bool = False, fusions: bool = False
    ) -> HeldOut:
        """Predict every row that a split holds out by stacks that have not seen it.

        Args:
            holding: the split and its folds.
            what: told before the split's name while stacks are fitted.
            intervals: whether to give intervals too, calibrated without the rows held out.
            fusions: whether to fuse the members in other ways too.
        """
        self.progress.stage = f"{what}{holding.split.name} split"
        n, reason = len(self.y), holding.reason
        predicted = {model: np.full(n, np.nan, np.float32) for model in MODELS}
        half = {model: np.full(n, np.nan, np.float32) for model in (STACK, WP)} if intervals else {}
        without: dict[str, None] = {}
        others: dict[Key, NDArray[np.float32]] = {}
        held, own = np.zeros((2, n), np.bool_)
        for fit_rows, held_rows in holding.folds:
            try:
                model = self.fit(fit_rows, holding.split, whole_only=holding.whole_only)
            except SampleError as error:
                reason = str(error)
                break
            names = None if self.keys.partition is None else self.keys.partition[held_rows]
            found = model.predict(self.X[held_rows], names, backend="native")
            held[held_rows], own[held_rows] = True, found.partitioned
            for name, values in _by_model(found, own=not holding.whole_only):
                predicted[name][held_rows] = values
            if fusions:
                keys = self.keys.take(fit_rows), self.keys.take(held_rows)
                for key, series in fused(model, found, self.y[fit_rows], *keys).items():
                    others.setdefault(key, np.full(n, np.nan, np.float32))[held_rows] = series
            if not intervals:
                continue
            widths = calibrate(
                model, self.X[fit_rows], self.y[fit_rows], self.keys.take(fit_rows), holding.split,
                n_folds=self.study.model.n_folds,
            )  # fmt: skip
            without |= dict.fromkeys(widths.notes)
            half[WP][held_rows] = widths.half_width(self.X[held_rows])
            if not holding.whole_only:
                half[STACK][held_rows] = widths.half_width(self.X[held_rows], names)
        return HeldOut(holding, held, own, predicted, reason, half, " ".join(without), others)


def _by_model(found: Predictions, *, own: bool) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Predictions by the names of ``MODELS``; without partitions' ``own`` stacks only WP."""
    if own:
        yield from zip(MODELS, [*found.members.T, found.stack], strict=False)
    yield WP, found.wp
