"""The whole chain on a table the project makes itself: what a newcomer runs first.

Until Earth Engine's side stands, the samples come from ``pipeline.example``: they are simulated, every file
and figure says so, and no score on them says anything about a real region.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError
from pipeline.example import simulate
from pipeline.predict import Prediction, predict, write_table
from pipeline.staging import whole
from pipeline.train import Report, Training, train
from pipeline.validate import ValidationResult, validate

SIDE, DAYS, STATIONS = 16, 150, 24
STUDY = """\
# The study of `gee-smap run` without Earth Engine: a simulated table, so that the chain can be seen to work.
name = "simulated-example"

[samples]
keep = ["smap"] # raw SMAP of the same cell and day, carried into the predictions for validate
"""


@dataclass(frozen=True)
class Run:
    """What ``run_example`` made, step by step."""

    folder: Path
    training: Training
    prediction: Prediction
    validation: ValidationResult


def run_example(folder: Path, *, seed: int = 0, report: Report = lambda what, share: None) -> Run:
    """Simulate a region, train on it, predict the cells of its stations and validate there.

    The cells that hold a station are kept out of training, so the validation is at places the model has not
    seen; raw SMAP stands beside it on the same pairs.

    Args:
        folder: gets ``study.toml``, ``samples.parquet``, ``table.parquet``, ``stations.parquet``, ``model/``,
            ``predictions.parquet`` and ``validation/``.
        seed: of the simulation.
        report: told about progress.

    Raises:
        DataError: ``folder`` holds something else, or cannot be written.
    """
    _check_folder(folder)
    region = simulate(SIDE, DAYS, STATIONS, seed)
    samples = region.samples.assign(simulated=True)
    at_station = samples["cell"].isin(region.stations["station"])
    paths = {name: folder / f"{name}.parquet" for name in ("samples", "table", "stations", "predictions")}
    write_table(samples[~at_station], paths["samples"])
    write_table(samples[at_station].rename(columns={"sm": "smap"}), paths["table"])
    write_table(region.stations.assign(simulated=True), paths["stations"])
    study = folder / "study.toml"
    try:
        with whole(study) as beside:
            beside.write_text(STUDY, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{study} cannot be written: {error.strerror}; name a folder you own") from error
    training = train(paths["samples"], study, folder / "model", report=report)
    prediction = predict(folder / "model", paths["table"], paths["predictions"])
    validation = validate(paths["predictions"], paths["stations"], folder / "validation")
    return Run(folder, training, prediction, validation)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier run of the example."""
    study = folder / "study.toml"
    ours = study.is_file() and study.read_text(encoding="utf-8", errors="replace") == STUDY
    empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not (ours or empty):
        raise DataError(f"{folder} holds something else than this example; name another folder")
