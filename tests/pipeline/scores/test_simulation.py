"""Maps of simulated sources beside what they are made of, against a truth that the test makes up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from gee import grids
from models import store
from pipeline.maps.mapping import predict_cube
from pipeline.scores import simulation
from pipeline.scores.simulation import against_truth
from pipeline.study import Study
from pipeline.work.stages import Stages
from tests.pipeline.products.conftest import DAYS, SIDE, made, predictors
from tests.pipeline.products.conftest import Study as Made
from tests.pipeline.small_cubes import bands_of
from tests.simulated_samples import simulate

NAMES = [
    "Downscaled", "Stack, uncorrected", "XGBoost", "LightGBM", "CatBoost", "WP", "SMAP, nearest",
    "SMAP, bilinear",
]  # fmt: skip
Fields = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def work(trained, tmp_path_factory: pytest.TempPathFactory) -> Made:
    bands = bands_of(simulate(side=SIDE, days=DAYS, seed=5).samples, SIDE)
    bands["region"][:, :3] = 0
    bands["land"][33:38, 33:38] = 0
    found = made(trained.model, bands, tmp_path_factory.mktemp("simulation") / "work")
    work = found.work  # whose map is made anew, corrected to SMAP
    predict_cube(work.model, work.cube, work.prediction, work.images, samples=work.samples)
    return found


@pytest.fixture
def fields(work: Made, monkeypatch: pytest.MonkeyPatch) -> Fields:
    """What the engine would answer: a truth near the map, and two kinds of SMAP farther from it."""
    with xr.open_zarr(work.work.prediction, consolidated=False) as prediction:
        sm = np.nan_to_num(prediction["sm"].to_numpy(), nan=0.2)
    rng = np.random.default_rng(6)
    noisy = [sm + scale * rng.standard_normal(sm.shape).astype(np.float32) for scale in (0.01, 0.03, 0.02)]
    found = dict(zip(("truth", "SMAP, nearest", "SMAP, bilinear"), noisy, strict=True))
    answers = iter(noisy * 2)
    monkeypatch.setattr(simulation, "fetch", lambda *_: next(answers))
    return found


def scored(work: Made, root: Path) -> Any:
    study = Study.load(work.work.model / "study.toml")
    told: list[float] = []
    root.mkdir(exist_ok=True)
    stages = Stages(root / "stages.json")
    found = against_truth(
        study, work.work, work.manifest, stages, "maps", lambda what, share: told.append(share)
    )
    assert told == sorted(told)
    return found


def test_every_product_is_scored_on_the_same_pixels_as_numpy_does(work: Made, fields: Fields, tmp_path: Path):
    scores, _, new = scored(work, tmp_path)

    assert new
    assert [one.product for one in scores] == NAMES
    with xr.open_zarr(work.work.prediction, consolidated=False) as prediction:
        known = {"Downscaled": prediction["sm"].to_numpy(), NAMES[1]: prediction["sm_model"].to_numpy()}
    model, card = store.load(work.work.model)
    X = predictors(work.bands, card.features)
    codes = work.bands["partition"]
    names = np.array(["", "plain", "hills", "mountain"])[np.broadcast_to(codes, X.shape[:3])]
    by_library = model.predict(X.reshape(-1, X.shape[-1]), names.ravel(), backend="native")
    known["WP"] = by_library.wp.reshape(X.shape[:3])
    known |= dict(zip(NAMES[2:5], by_library.members.T.reshape(3, *X.shape[:3]), strict=True))
    known |= {name: fields[name] for name in NAMES[-2:]}
    common = np.isfinite(known["Downscaled"])
    rmse = {}
    for one in scores:
        error = (known[one.product] - fields["truth"])[common].astype(np.float64)
        assert one.n == common.sum()
        rmse[one.product] = np.sqrt(np.mean(error**2))
        assert one.rmse == pytest.approx(rmse[one.product], abs=2e-6), one.product
        assert one.ubrmse == pytest.approx(error.std(), abs=2e-6), one.product
    for one in scores:
        assert set(one.beside) == {"SMAP, bilinear", "Downscaled"} - {one.product}
        for baseline, changes in one.beside.items():
            change = changes["rmse"]
            assert change.value == pytest.approx(rmse[one.product] - rmse[baseline], abs=4e-6)
            assert change.lower <= change.value <= change.upper
        assert one.drawn == "cells"  # 35 days are no five periods
    assert scores[0].beside["SMAP, bilinear"]["rmse"].upper < 0  # the truth was made from this map


def test_scores_are_kept_and_read_back(work: Made, fields: Fields, tmp_path: Path):
    scores, stations, _ = scored(work, tmp_path)
    again, same, new = scored(work, tmp_path)

    assert not new
    assert [one.rmse for one in again] == [one.rmse for one in scores]
    assert again[0].beside["SMAP, bilinear"]["rmse"] == scores[0].beside["SMAP, bilinear"]["rmse"]
    assert stations == same
    assert len(json.loads(work.work.truth.read_text(encoding="utf-8"))) == len(NAMES)
    assert pd.read_parquet(stations)["simulated"].all()


def test_scores_of_an_earlier_version_are_made_again(work: Made, fields: Fields, tmp_path: Path):
    scored(work, tmp_path)
    work.work.truth.write_text('[{"product": "Downscaled", "rmse_change": 0.1}]', encoding="utf-8")
    scores, _, new = scored(work, tmp_path)

    assert new
    assert [one.product for one in scores] == NAMES


def test_a_large_map_is_scored_on_some_whole_cells(
    work: Made, fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    everything = scored(work, tmp_path / "all")[0][0].n
    monkeypatch.setattr(simulation, "COMPARED_VALUES", everything // 2)
    labels: list[NDArray[np.intp]] = []
    score = simulation.score_fields

    def kept(truth: Any, products: Any, cells: NDArray[np.intp], **more: Any) -> Any:
        labels.append(cells)
        return score(truth, products, cells, **more)

    monkeypatch.setattr(simulation, "score_fields", kept)
    (first, *_), _, _ = scored(work, tmp_path / "some")

    assert 0.3 * everything < first.n <= everything // 2
    lon, lat = simulation._centres(work.manifest)
    row, column = grids.ease_cell_of(lon, lat)
    cells = row * grids.EASE9.columns + column
    with xr.open_zarr(work.work.prediction, consolidated=False) as prediction:
        land = np.isfinite(prediction["sm"].to_numpy()).any(axis=0)
    [found] = labels
    for cell in np.unique(cells[land]):
        own = (found >= 0)[land & (cells == cell)]
        assert own.all() or not own.any()


def test_of_real_sources_there_is_no_truth(work: Made, tmp_path: Path):
    study = Study.load(work.work.model / "study.toml")
    real = work.manifest.model_copy(update={"simulated": False})
    found = against_truth(study, work.work, real, Stages(tmp_path / "stages.json"), "maps", lambda *_: None)

    assert found == ((), None, False)
