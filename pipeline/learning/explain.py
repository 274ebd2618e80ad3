"""What each stack has learned: SHAP values on rows it has not seen, as tables and figures, per partition.

The stacks in a model folder are fitted on every sample, so nothing is left to explain them on; each is
refitted here without the held-out rows of one split, by the same recipe. Xu et al. 2024 section 5.1 explains
the training rows; figures 10 and 11 are theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from sklearn.base import clone

from models.errors import SampleError
from models.explain import Explanation, Importance, Interaction, interaction, ranking, shap_values
from models.metrics import Scores, score
from models.partitioned import STACK, WP
from models.splits import SpatialBlocks, Split
from models.stack import StackedRegressor
from models.store import read_card
from pipeline.errors import ConfigError, DataError
from pipeline.figures import explanation as figures
from pipeline.figures.naming import spelled
from pipeline.figures.style import save_chart
from pipeline.learning.held_out import independent
from pipeline.learning.train import study_of
from pipeline.learning.trainer import all_splits, template
from pipeline.progress import Report
from pipeline.tables.samples import feature_units, read_samples, sample_keys
from pipeline.work.staging import read_back, staged, with_nan, write_json

MAX_ROWS = 2000  # held-out rows explained per partition: more make no figure clearer
RECORD = "explain.json"
IMPORTANCE = "importance.csv"
PAIR = ("lst", "dem")  # Xu et al. 2024, figure 11
KEYS = ("cell", "lon", "lat", "date")  # carried into the tables of SHAP values
OF_A_PARTITION = re.compile(r"(shap|beeswarm|dependence|lst-dem)-[^/\\]+\.(parquet|png|svg)")


@dataclass(frozen=True)
class PartitionExplained:
    """One partition's stack, refitted without its held-out rows.

    Attributes:
        name: of the partition, ``WP`` where the table has none.
        n_fit: rows the stack was fitted on.
        n_held_out: rows held out; ``explanation`` has all of them or a sample.
        explanation: SHAP values on held-out rows.
        keys: cell, place and day of those rows.
        ranking: the predictors, the most important first, with intervals that draw whole blocks of rows.
        scores: of the refitted stack on those rows: SHAP values of a model without skill explain nothing.
        drawn: what a block is.
        pair: the interaction of LST and DEM, None where one of them is no predictor.
    """

    name: str
    n_fit: int
    n_held_out: int
    explanation: Explanation
    keys: pd.DataFrame
    ranking: Sequence[Importance]
    scores: Scores
    drawn: str
    pair: Interaction | None

    def values(self) -> pd.DataFrame:
        """SHAP values as a table: one row per held-out row and member, the stack included.

        ``member``, ``base`` and ``prediction`` (m³/m³) and one column ``shap_<predictor>`` (m³/m³) stand
        beside the keys and the predictors' own values; base and SHAP values add up to the prediction.
        """
        found, tables = self.explanation, []
        predictors = pd.DataFrame(found.X, columns=list(found.names))
        for member, one in {**found.members, STACK: found.stack}.items():
            model = pd.DataFrame({"member": member, "base": one.base, "prediction": one.prediction})
            shap = pd.DataFrame(one.shap, columns=[f"shap_{name}" for name in found.names])
            tables.append(pd.concat([self.keys, model, predictors, shap], axis=1))
        return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class ExplainResult:
    """What ``explain`` found and wrote.

    Attributes:
        importance: mean |SHAP value| by partition and predictor, as in ``importance.csv``; in the stack with
            95 % intervals, and how far it is ``behind_first`` of the same partition.
        summary: what ``explain.json`` holds: the split, the rows, weights and scores of each partition.
        files: everything written.
        skipped: partitions that could not be explained, with the reason.
        pictures: PNGs and SVGs by name of the file.
    """

    importance: pd.DataFrame
    summary: Mapping[str, Any]
    files: tuple[Path, ...]
    skipped: Mapping[str, str]
    pictures: Mapping[str, bytes] = field(repr=False)

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the numbers, one sentence each."""
        return list(self.summary["notes"])

    def rows(self) -> list[dict[str, str]]:
        """The ranking as text, one dict per predictor, heading -> cell: mean |SHAP value| and rank."""
        table = []
        for predictor in self.importance["predictor"].unique():
            row = {"predictor": spelled(predictor)}
            for one in self.importance[self.importance["predictor"] == predictor].itertuples():
                row[str(one.partition)] = f"{one.mean_abs_shap_stack:.4f} ({one.rank})"
            table.append(row)
        return table


def explain_model(
    model: Path,
    samples: Path,
    out: Path,
    *,
    split_name: str = SpatialBlocks.name,
    report: Report = lambda what, share: None,
) -> ExplainResult:
    """Explain the stacks of a model folder on rows held out from them.

    The stacks kept in a model folder have seen every sample, so they are refitted by the folder's own study
    without the rows explained; WP among them where it predicts in some partition.

    Args:
        model: a model folder.
        samples: the table it was trained on, or another with its predictors and target.
        out: see ``explain``.
        split_name: the split that holds rows out.
        report: told which partition is being explained, and the share that is done.

    Raises:
        ModelFileError: the model folder cannot be used.
        ConfigError: no such split.
        DataError, SampleError: see ``explain``.
    """
    card = read_card(model)
    study = study_of(model)
    by_name = {split.name: split for split in all_splits(study)}
    if split_name not in by_name:
        raise ConfigError(f"no split {split_name!r}; allowed: {', '.join(by_name)}")
    table = read_samples(samples, study, target=True)
    return explain(
        table.frame,
        table.features,
        by_name[split_name],
        template(study),
        out,
        own=[stack.name for stack in card.stacks if stack.name != WP] if card.by_wp else None,
        seed=study.model.seed,
        simulated=card.simulated or table.simulated,
        units=feature_units(study),
        report=report,
    )


def explain(
    frame: pd.DataFrame,
    features: Sequence[str],
    split: Split,
    stack: StackedRegressor,
    out: Path,
    *,
    own: Collection[str] | None = None,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    simulated: bool,
    units: Mapping[str, str] | None = None,
    report: Report = lambda what, share: None,
) -> ExplainResult:
    """Explain the stack of every partition on rows held out from it; write tables and figures.

    Args:
        frame: the canonical samples table, with ``sm``; rows without it are left out.
        features: the predictors, in the order the models see them.
        split: the rule by which rows are held out, and by which the stack is fitted within the others.
        stack: the recipe; it is cloned, never fitted.
        out: folder for the results; those of an earlier run in it are replaced.
        own: the partitions that have a stack of their own; beside them the one on all rows, WP, is explained.
            None takes all, and WP only where there are no partitions.
        max_rows: held-out rows explained per partition at most, drawn at random.
        seed: of that draw.
        simulated: mark the results as simulated.
        units: of predictors that gee-smap does not know, by name.
        report: told which partition is being explained, and the share that is done.

    Returns:
        The result. ``out`` holds ``explain.json``, ``importance.csv`` and, as PNG and SVG, its figure; for
        each partition ``shap-<partition>.parquet`` and the figures ``beeswarm-``, ``dependence-`` and, where
        both are predictors, ``lst-dem-<partition>``.

    Raises:
        DataError: columns are missing, or ``out`` cannot be written.
        SampleError: no partition can be split; each is named with its reason. Where only some cannot,
            they are listed in the result and the others are explained. Leave-partition-out splits no
            partition.
    """
    _check(frame, features)
    known = frame[frame["sm"].notna()].reset_index(drop=True)
    with staged(out, RECORD, _earlier(out)) as folder:
        parts, skipped = [], {}
        partitions = _partitions(known, own)
        for done, (name, rows) in enumerate(partitions):
            report(f"{figures.told(name)}: {len(rows):,} samples", done / len(partitions))
            try:
                parts.append(_explained(name, rows, features, split, stack, max_rows, seed))
            except SampleError as error:
                skipped[name] = str(error)
        if not parts:
            reasons = "; ".join(f"{figures.told(name)}: {why}" for name, why in skipped.items())
            raise SampleError(f"nothing can be explained. {reasons}")
        importance = _importance(parts)
        summary = {
            "simulated": simulated,
            "split": {"name": split.name, "promise": split.promise},
            "settings": {"max_rows": max_rows, "seed": seed},
            "partitions": {part.name: _describe(part) for part in parts},
            "skipped": skipped,
            "ranked": len(importance),
            "notes": _notes(split, skipped, simulated),
        }
        _write(folder, parts, importance, units or {}, simulated=simulated)
        names = sorted([*(path.name for path in folder.iterdir()), RECORD])
        write_json(folder / RECORD, summary | {"files": names})
    return _load(out)


def read(folder: Path) -> ExplainResult | None:
    """What :func:`explain` left in a folder; None where there is nothing.

    Raises:
        DataError: it is damaged.
    """
    return read_back(folder, RECORD, _load, "explain the model again")


def _load(folder: Path) -> ExplainResult:
    summary = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    importance = pd.read_csv(
        folder / IMPORTANCE, dtype={"partition": str, "predictor": str}, keep_default_na=False, na_values=[""]
    )
    files = tuple(folder / str(name) for name in summary.pop("files"))
    pictures = {path.name: path.read_bytes() for path in files if path.suffix in (".png", ".svg")}
    if not {"partition", "predictor", "rank", f"mean_abs_shap_{STACK}"} <= {*importance}:
        raise ValueError(f"{IMPORTANCE} lacks columns")
    if len(importance) != summary["ranked"]:
        raise ValueError(f"{IMPORTANCE} has {len(importance)} of {summary['ranked']} rows")
    return ExplainResult(importance, with_nan(summary), files, summary["skipped"], pictures)


def _check(frame: pd.DataFrame, features: Sequence[str]) -> None:
    problems = [f"no column {name}" for name in (*features, "cell", "lon", "lat", "sm") if name not in frame]
    if not len(features):
        problems.append("no predictors are named")
    if "sm" in frame and frame["sm"].isna().all():
        problems.append("no row has a target (sm)")
    if "partition" in frame and frame["partition"].isna().any():
        problems.append(f"{frame['partition'].isna().sum():,} rows have no partition")
    if problems:
        raise DataError(
            f"the samples cannot be explained: {', '.join(problems)}; give the table and the study "
            "the model was trained with"
        )


def _partitions(frame: pd.DataFrame, own: Collection[str] | None) -> list[tuple[str, pd.DataFrame]]:
    if "partition" not in frame:
        return [(WP, frame)]
    parts = [(str(name), rows) for name, rows in frame.groupby("partition", sort=True)]
    return parts if own is None else [*(part for part in parts if part[0] in own), (WP, frame)]


def _explained(
    name: str,
    rows: pd.DataFrame,
    features: Sequence[str],
    split: Split,
    stack: StackedRegressor,
    max_rows: int,
    seed: int,
) -> PartitionExplained:
    keys = sample_keys(rows)
    fit, held = split.outer(keys)[0]
    X, y = rows[list(features)].to_numpy(np.float32), rows["sm"].to_numpy(np.float32)
    fitted: StackedRegressor = clone(stack).fit(X[fit], y[fit], split.folds(keys.take(fit), stack.n_folds))
    some = held
    if len(held) > max_rows:
        some = np.sort(np.random.default_rng(seed).choice(held, max_rows, replace=False))
    found = shap_values(fitted, X[some], features)
    blocks = independent(keys, some)
    return PartitionExplained(
        name=name,
        n_fit=len(fit),
        n_held_out=len(held),
        explanation=found,
        keys=rows.iloc[some][[key for key in KEYS if key in rows and key not in features]].reset_index(
            drop=True
        ),
        ranking=ranking(found, blocks.labels, seed=seed),
        scores=score(found.stack.prediction, y[some], blocks=blocks.labels, seed=seed),
        drawn=blocks.kind,
        pair=interaction(found, *PAIR) if set(PAIR) <= set(features) else None,
    )


def _importance(parts: Sequence[PartitionExplained]) -> pd.DataFrame:
    return pd.DataFrame([
        {
            "partition": part.name,
            "predictor": one.predictor,
            "rank": one.rank,
            f"mean_abs_shap_{STACK}": one.stack,
            f"mean_abs_shap_{STACK}_lower": one.size.lower,
            f"mean_abs_shap_{STACK}_upper": one.size.upper,
            "behind_first": one.behind.value,
            "behind_first_lower": one.behind.lower,
            "behind_first_upper": one.behind.upper,
            **{f"mean_abs_shap_{member}": size for member, size in one.members.items()},
            "n": len(part.explanation),
        }
        for part in parts
        for one in part.ranking
    ])  # fmt: skip


def _describe(part: PartitionExplained) -> dict[str, Any]:
    found = part.explanation
    content: dict[str, Any] = {
        "n_fit": part.n_fit,
        "n_held_out": part.n_held_out,
        "n_explained": len(found),
        "weights": dict(found.weights),
        "base": {**{name: one.base for name, one in found.members.items()}, STACK: found.stack.base},
        "scores": part.scores.as_dict(),
        "drawn": part.drawn,
    }
    if part.pair:
        share = part.pair.share
        content["interaction"] = asdict(part.pair) | {"share": share.value, "reason": share.reason}
    return content


def _notes(split: Split, skipped: Mapping[str, str], simulated: bool) -> list[str]:
    notes = [f"Rows were held out by the {split.name} split. {split.promise}"]
    if simulated:
        notes.append("Simulated data: the values say nothing about real soil moisture.")
    notes += [f"Not explained, {figures.told(name)}: {why}." for name, why in skipped.items()]
    return notes


def _write(
    folder: Path,
    parts: Sequence[PartitionExplained],
    importance: pd.DataFrame,
    units: Mapping[str, str],
    *,
    simulated: bool,
) -> None:
    importance.to_csv(folder / IMPORTANCE, index=False, float_format="%.6g")
    _draw(figures.importance(importance, simulated=simulated), folder, "importance")
    for part in parts:
        found, ending = part.explanation, file_name(part.name)
        part.values().to_parquet(folder / f"shap-{ending}.parquet", index=False)
        sizes = np.abs(found.stack.shap).mean(axis=0)
        top = [found.names[i] for i in np.argsort(-sizes, kind="stable")[: figures.DEPENDENCE]]
        drawn = {
            "beeswarm": figures.beeswarm(found, part.name, units, simulated=simulated),
            "dependence": figures.dependence(found, top, part.name, units, simulated=simulated),
        }
        if part.pair:
            drawn["lst-dem"] = figures.co_interaction(found, part.pair, part.name, units, simulated=simulated)
        for kind, figure in drawn.items():
            _draw(figure, folder, f"{kind}-{ending}")


def _draw(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG.

    Points stay pixels in both, as thousands of shapes open slowly, and the PNG has 256 colours: a report
    carries three for each partition, and they look the same at a third of the size.
    """
    save_chart(figure, folder, name)
    png = folder / f"{name}.png"
    with Image.open(png) as picture:
        few = picture.convert("RGB").quantize(dither=Image.Dither.NONE)
    few.save(png, optimize=True)


def file_name(partition: str) -> str:
    """A partition's name as it stands in file names: letters of any script, the rest as in an address."""
    return re.sub(r"[^\w -]", lambda sign: quote(sign[0], safe=""), partition)


def _earlier(out: Path) -> set[str]:
    """Files that an earlier run wrote into ``out`` of partitions that may be gone."""
    try:
        names = json.loads((out / RECORD).read_text(encoding="utf-8"))["files"]
        return {name for name in names if OF_A_PARTITION.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
