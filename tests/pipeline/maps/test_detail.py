"""The share of the model's detail that maps keep: what was measured, what the study says, or all of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.maps.detail import FILE, FULL, Detail, detail_of, read_detail, write_detail
from pipeline.study import Study

MEASURED = Detail(0.72, 0.49, 0.91, measured=True, simulated=True)
UNKNOWN = Detail(0.3, math.nan, math.nan, measured=True, simulated=False)


def study(maps: str = "", preset: str = "recommended") -> Study:
    return Study.parse(f'name = "a"\npreset = "{preset}"\n[maps]\n{maps}\n', Path("study.toml"))


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    write_detail(tmp_path, MEASURED)
    return tmp_path


def test_what_was_measured_is_kept_unless_the_study_says_otherwise(tested):
    assert detail_of(study(), tested) == MEASURED
    assert detail_of(study('detail = "measured"'), tested) == MEASURED
    own = detail_of(study("detail = 0.25"), tested)
    assert (own.value, own.measured, own.simulated) == (0.25, False, False)
    assert math.isnan(own.lower)
    assert math.isnan(own.upper)
    assert detail_of(study("detail = 0"), tested).value == 0


def test_without_a_test_all_is_kept_and_so_where_maps_are_not_corrected(tested, tmp_path):
    assert detail_of(study(), None) == FULL
    assert detail_of(study(), tmp_path / "nothing") == FULL
    assert detail_of(study("conserve = false"), tested) == FULL
    assert detail_of(study(preset="paper"), tested) == FULL
    assert FULL.value == 1
    assert study(preset="paper").maps.detail == 1


def test_an_interval_that_is_not_there_survives_the_file(tmp_path):
    write_detail(tmp_path, UNKNOWN)

    found = read_detail(tmp_path)
    assert (found.value, found.measured) == (0.3, True)
    assert math.isnan(found.lower)
    assert "NaN" not in (tmp_path / FILE).read_text()


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "{}", '{"value": 0.5}', "null",
        '{"value": 1.5, "lower": null, "upper": null, "measured": true, "simulated": false}',
        '{"value": null, "lower": null, "upper": null, "measured": true, "simulated": false}',
        '{"value": "a", "lower": null, "upper": null, "measured": true, "simulated": false}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_with_what_to_do(tmp_path, text):
    (tmp_path / FILE).write_text(text)

    with pytest.raises(DataError, match=r"detail.json is damaged .* run gee-smap transfer again"):
        detail_of(study(), tmp_path)


@pytest.mark.parametrize("value", ["1.01", "-0.1", "nan", "inf", "true", '"all"', "[0.5]"])
def test_a_share_that_is_none_is_refused_with_what_is_allowed(value):
    with pytest.raises(ConfigError, match=r"maps.detail: got .*; allowed: measured .* from 0 to 1") as told:
        study(f"detail = {value}")
    assert "1 mistake in" in str(told.value)


@pytest.mark.parametrize(
    ("maps", "detail", "told"),
    [
        ("", MEASURED, ["a share of 0.72 [0.49, 0.91] is kept, as fits SMAP best one scale up."]),
        (
            "", Detail(0.2, 0.0, 0.5, measured=True, simulated=False),
            ["0.20 [0.00, 0.50] is kept, as fits SMAP best one scale up, where it is not shown to be more"],
        ),
        ("", Detail(0.0, 0.0, 0.03, measured=True, simulated=False), ["nothing is kept", "[0.00, 0.03]"]),
        ("", UNKNOWN, ["a share of 0.30 is kept"]),
        ("", FULL, ["All of what", "nothing has measured", "gee-smap transfer", "splits.transfer"]),
        ("detail = 0.5", Detail(0.5, math.nan, math.nan, False, False), ["0.50 is kept, as the study says"]),
    ],
)  # fmt: skip
def test_the_user_is_told_what_is_kept_and_why(maps, detail, told):
    [note] = detail.notes(study(maps))

    for part in told:
        assert part in note


def test_a_study_that_asks_for_all_is_told_nothing():
    assert list(FULL.notes(study("detail = 1"))) == []


@pytest.fixture
def at_points(gee_smap, trained, table, tmp_path: Path) -> tuple[Any, ...]:
    """Runs a prediction of points beside cells whose predictors are others; with what SMAP and stacks say."""
    points = table.assign(**{name: table[name].to_numpy()[::-1] for name in ("lst", "vv", "ndvi", "clay")})
    known = trained.region.samples.merge(table[["cell", "date"]], on=["cell", "date"])
    paths = {name: tmp_path / f"{name}.parquet" for name in ("points", "cells")}
    points.to_parquet(paths["points"])
    known.to_parquet(paths["cells"])
    fixed = ["predict", "--model", trained.model, "--out", tmp_path / "p.parquet", "--json", "--table"]

    def run(*options: object) -> Any:
        done = gee_smap(*fixed, paths["points"], *options)
        return done, json.loads(done.out) if done.code == 0 else None

    said = {}
    for name, path in paths.items():
        assert gee_smap(*fixed, path).code == 0
        said[name] = pd.read_parquet(tmp_path / "p.parquet")["sm"].to_numpy(float)
    assert np.abs(said["points"] - said["cells"]).mean() > 0.005
    smap = points["smap"].to_numpy(float)
    return run, paths["cells"], lambda share: smap + share * (said["points"] - said["cells"]), tmp_path


@pytest.mark.parametrize("share", [None, 0.0, 0.4, 1.0])
def test_points_keep_what_the_test_tells_of_what_the_model_adds_to_their_cells(at_points, share):
    run, cells, expected, folder = at_points
    options = []
    if share is not None:
        (folder / "transfer").mkdir()
        write_detail(folder / "transfer", Detail(share, 0.0, 1.0, measured=True, simulated=True))
        options = ["--transfer", folder / "transfer"]

    _, told = run("--cells", cells, *options)

    found = pd.read_parquet(folder / "p.parquet")["sm"].to_numpy(float)
    np.testing.assert_allclose(found, np.maximum(expected(1.0 if share is None else share), 0), atol=2e-6)
    assert told["detail"] == (1.0 if share is None else share)
    word = {None: "nothing has measured", 0.0: "nothing is kept"}.get(share, f"a share of {share or 0:.2f}")
    assert any(word in note for note in told["notes"])


def test_a_test_that_is_not_there_or_serves_nothing_is_refused(at_points):
    run, cells, _, folder = at_points

    done, _ = run("--cells", cells, "--transfer", folder)
    assert done.code == 2
    assert "holds no detail.json: name a folder that gee-smap transfer wrote" in done.err
    done, _ = run("--transfer", folder)
    assert done.code == 2
    assert "give --cells too" in done.err
