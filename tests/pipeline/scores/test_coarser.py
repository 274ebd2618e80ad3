"""Joining cells to coarser ones: means by hand, blocks of whole cells, and coarse values between centres."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import RegularGridInterpolator

from pipeline.errors import ConfigError, DataError
from pipeline.scores.coarser import bilinear, coarsen, conserved, nest
from pipeline.study import Study
from pipeline.tables.lattice import Lattice

FEATURES = ("vv", "clay")
DAYS = 3


def study(preset: str = "recommended") -> Study:
    return Study.model_validate({"name": "simulated", "preset": preset, "predictors": {"use": FEATURES}})


def frame(side: int = 6, seed: int = 0) -> pd.DataFrame:
    """Cells in rows and columns of 0.1 degrees, each with its own numbers every day."""
    rng = np.random.default_rng(seed)
    down, right = (part.ravel() for part in np.indices((side, side)))
    cells = len(down)
    return pd.DataFrame({
        "cell": np.tile([f"r{y}c{x}" for y, x in zip(down, right, strict=True)], DAYS),
        "lon": np.tile(110 + 0.1 * right, DAYS), "lat": np.tile(35 - 0.1 * down, DAYS),
        "row": np.tile(down, DAYS), "column": np.tile(right, DAYS),
        "date": np.repeat(pd.date_range("2019-06-01", periods=DAYS), cells),
        "vv": rng.uniform(-20, -5, DAYS * cells).astype(np.float32),
        "clay": rng.uniform(5, 50, DAYS * cells).astype(np.float32),
        "sm": rng.uniform(0.05, 0.45, DAYS * cells).astype(np.float32),
    })  # fmt: skip


def test_means_are_those_of_a_hand_over_what_is_known():
    table = frame()
    table.loc[table.index[::5], "vv"] = np.nan
    four = (table["row"] < 2) & (table["column"] < 2)
    table.loc[four, "clay"] = np.nan  # of a whole coarse cell
    table = table.drop(table[(table["date"] == "2019-06-02") & table["cell"].isin(["r0c2", "r1c3"])].index)
    table = table.drop(table[(table["date"] == "2019-06-03") & (table["cell"] == "r5c5")].index)
    found = coarsen(table, FEATURES, study(), 2)

    expected = {}
    for (date, y, x), own in table.groupby([table["date"], table["row"] // 2, table["column"] // 2]):
        if len(own) < 3:  # two of four are less than 55 %
            continue
        power = [10 ** (value / 10) for value in own["vv"] if not math.isnan(value)]
        clay = [value for value in own["clay"] if not math.isnan(value)]
        expected[date, y, x] = (
            10 * math.log10(sum(power) / len(power)) if power else math.nan,
            sum(clay) / len(clay) if clay else math.nan,
            sum(own["sm"]) / len(own), sum(own["lon"]) / len(own), sum(own["lat"]) / len(own),
        )  # fmt: skip
    assert len(found.y) == len(expected) == 26
    order = sorted(expected)
    values = np.column_stack([found.X, found.y, found.lon, found.lat])
    np.testing.assert_allclose(values, [expected[key] for key in order], rtol=1e-5)
    places = found.nesting.places[found.block]
    assert [tuple(place) for place in places] == [(y, x) for _, y, x in order]

    for row, group in zip(table.to_dict(orient="records"), found.group, strict=True):
        key = row["date"], row["row"] // 2, row["column"] // 2
        assert group == (order.index(key) if key in expected else -1)


def test_the_paper_averages_decibels_as_they_are():
    table = frame(side=9)
    found = coarsen(table, FEATURES, study("paper"), 3)
    first = table[(table["date"] == "2019-06-01") & (table["row"] < 3) & (table["column"] < 3)]
    assert found.X[0, 0] == pytest.approx(first["vv"].mean())


def test_a_coarse_cell_belongs_to_the_partition_of_most_of_its_cells():
    table = frame().assign(partition="plain")
    table.loc[(table["row"] < 2) & (table["column"] < 2) & (table["cell"] != "r0c0"), "partition"] = "hills"
    table.loc[table["cell"] == "r5c5", "partition"] = "hills"
    found = coarsen(table, FEATURES, study(), 2)

    assert found.partition[:9].tolist() == ["hills"] + ["plain"] * 8


@pytest.mark.parametrize(("side", "factor", "blocks", "left"), [(7, 2, 9, 13), (7, 3, 4, 13), (9, 4, 4, 17)])
def test_cells_beyond_whole_coarse_ones_are_left_out(side, factor, blocks, left):
    down, right = (part.ravel() for part in np.indices((side, side)))
    nesting = nest(Lattice.of(110 + 0.1 * right, 35 - 0.1 * down), factor)

    assert len(nesting.places) == blocks
    assert (nesting.block < 0).sum() == left
    assert set(np.bincount(nesting.block[nesting.block >= 0])) == {factor**2}


def test_pieces_are_joined_each_for_itself():
    down, right = (part.ravel() for part in np.indices((4, 4)))
    lon = np.concatenate([110 + 0.1 * right, 110 + 0.1 * right])
    nesting = nest(Lattice.of(lon, np.concatenate([35 - 0.1 * down, 34 - 0.1 * down])), 2)

    assert nesting.piece.tolist() == [0] * 4 + [1] * 4
    assert nesting.block.reshape(2, 4, 4)[:, ::2, ::2].reshape(2, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    first, second = nesting.places[:4], nesting.places[4:]
    assert np.abs(first[:, None] - second).max(axis=2).min() > 1  # no neighbours


def test_coarse_values_between_centres_are_those_of_scipy_and_stay_beyond_them():
    table = frame(side=8)
    found = coarsen(table, FEATURES, study(), 2)
    coarse = found.coarse()
    ours = bilinear(found.nesting, coarse)

    centres = np.arange(4) + 0.5
    names = sorted(table["cell"].unique())
    at = np.array([[int(name[1]), int(name[3])] for name in names])
    where = np.clip((at + 0.5) / 2, 0.5, 3.5)
    for day in range(DAYS):
        by_scipy = RegularGridInterpolator((centres, centres), coarse[day].reshape(4, 4))
        np.testing.assert_allclose(ours[day], by_scipy(where), atol=1e-12)

    coarse[0, 0] = np.nan
    with_gap = bilinear(found.nesting, coarse)[0]
    assert np.isnan(with_gap[names.index("r0c0")])  # no other centre has a weight there
    assert with_gap[names.index("r1c1")] == pytest.approx(
        (0.1875 * coarse[0, 1] + 0.1875 * coarse[0, 4] + 0.0625 * coarse[0, 5]) / 0.4375
    )


def test_corrected_values_keep_the_coarse_means_and_what_is_not_predicted_stays_missing():
    table = frame(side=8)
    found = coarsen(table, FEATURES, study(), 2)
    values = 0.25 + 0.02 * np.random.default_rng(3).standard_normal(len(table))
    values[7] = np.nan
    fixed = conserved(found, values)

    assert np.flatnonzero(np.isnan(fixed)).tolist() == [7]
    keys = [table["date"], table["row"] // 2, table["column"] // 2]
    means = table.assign(fixed=fixed).groupby(keys)["fixed"].mean()
    np.testing.assert_allclose(means, table.groupby(keys)["sm"].mean(), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "factor", "error", "told"),
    [
        (lambda one: one, 5, ConfigError, "the factor is 5; give one of 2, 3, 4, 6, 8"),
        (lambda one: one, 3, DataError, r"4 coarse cells of 36 cells.*give a factor of 2 \(9 coarse cells\)"),
        (lambda one: one[one["row"] < 2], 2, DataError, "3 coarse cells of 12 cells.*give a larger region"),
        (lambda one: one.drop(columns="date"), 2, DataError, "no dates"),
        (lambda one: one.assign(lon=one["lon"].where(one.index != 3, 111)), 2, DataError, "first r0c3"),
        (
            lambda one: one.assign(lon=one["lon"] + 0.04 * (one["row"] % 2) * (one["column"] % 3)),
            2, DataError, "stand in no rows and columns",
        ),
    ],
    ids=["factor", "too few", "too few for any", "no dates", "moves", "scattered"],
)  # fmt: skip
def test_what_cannot_be_joined_is_refused(change, factor, error, told):
    with pytest.raises(error, match=told):
        coarsen(change(frame()), FEATURES, study(), factor)
