"""Corrected fields keep the coarse values, whatever is missing, without edges and within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.conserving import AROUND, LEAST_SHARE, NONE, OWN, Conserver, Lattice, blending

SIDE, SHIFT = 9, 4.5  # pixels of a cell; the lattice begins half a cell off, so that edges cut through pixels
CELLS = (5, 6)
Field = NDArray[np.float64]


def lattice(cells: tuple[int, int] = CELLS) -> tuple[Conserver, NDArray[np.float64]]:
    """A conserver of cells over more pixels than they cover, and each pixel's share in each cell."""
    height, width = (SIDE * count + 9 for count in cells)

    def overlap(pixels: int, count: int) -> NDArray[np.float64]:
        low = np.arange(pixels)[:, None]
        start = SHIFT + SIDE * np.arange(count)[None]
        return np.clip(np.minimum(low + 1, start + SIDE) - np.maximum(low, start), 0, 1)

    rows, columns = overlap(height, cells[0]), overlap(width, cells[1])
    shares = np.einsum("ya,xb->abyx", rows, columns).reshape(cells[0] * cells[1], height * width)
    y, x = np.indices((height, width)).reshape(2, -1) + 0.5
    places = np.indices(cells).reshape(2, -1).T
    made = Conserver.of(
        csr_matrix(shares), places, (y - SHIFT) / SIDE, (x - SHIFT) / SIDE, float(SIDE * SIDE)
    )
    return made, shares


CONSERVER, SHARES = lattice()
N_CELLS, N_PIXELS = SHARES.shape


def means(field: Field) -> Field:
    """Of each cell, over the pixels that have a value: by hand, without the code under test."""
    known = np.isfinite(field)
    return np.array([
        np.average(field[known], weights=row[known]) if row[known].sum() else np.nan for row in SHARES
    ])  # fmt: skip


def some(seed: int, missing: float, lacking: float) -> tuple[Field, Field]:
    """A field and cells' values, both with holes."""
    random = np.random.default_rng(seed)
    fine = random.uniform(0.1, 0.4, N_PIXELS)
    fine[random.random(N_PIXELS) < missing] = np.nan
    coarse = random.uniform(0.1, 0.4, N_CELLS)
    coarse[random.random(N_CELLS) < lacking] = np.nan
    return fine, coarse


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.0, 0.2, 0.7]))
def test_every_cell_with_a_value_and_enough_pixels_keeps_it(seed: int, missing: float, lacking: float):
    fine, coarse = some(seed, missing, lacking)
    done = CONSERVER(fine, coarse, low=-np.inf)
    cover = SHARES @ np.isfinite(fine)
    assert done.kept.tolist() == (np.isfinite(coarse) & (cover >= LEAST_SHARE * SIDE**2)).tolist()
    np.testing.assert_allclose(means(done.field)[done.kept], coarse[done.kept], atol=1e-9)
    assert done.worst < 1e-9
    assert (np.isnan(done.field) == np.isnan(fine)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3]))
def test_bounds_hold_and_what_they_take_is_given_back(seed: int, missing: float):
    fine, coarse = some(seed, missing, 0.1)
    done = CONSERVER(fine, coarse, low=0.05, high=0.45, tolerance=1e-4)
    known = np.isfinite(fine)
    assert done.field[known].min() >= 0.05 and done.field[known].max() <= 0.45
    off = np.abs(means(done.field) - coarse)[done.kept]
    assert off.max() == pytest.approx(done.worst, abs=1e-12)
    assert done.worst <= 1e-4


def test_a_cell_wetter_than_the_bound_keeps_its_value_with_every_pixel_at_it():
    fine = np.full(N_PIXELS, 0.3)
    coarse = np.full(N_CELLS, 0.3)
    coarse[14] = 0.5
    done = CONSERVER(fine, coarse, high=0.4)
    assert means(done.field)[14] == pytest.approx(
        0.5, abs=1e-3
    )  # its neighbours share the pixels at its edge
    assert np.abs(means(done.field) - coarse).max() == pytest.approx(done.worst, abs=1e-12)
    assert np.nanmax(done.field) <= 0.5


def test_what_agrees_already_is_left_alone():
    fine, _ = some(3, 0.2, 0.0)
    done = CONSERVER(fine, means(fine), low=-np.inf)
    np.testing.assert_allclose(done.field, fine, atol=1e-12)


def test_one_offset_everywhere_is_added_everywhere():
    fine, _ = some(4, 0.0, 0.0)
    done = CONSERVER(fine, means(fine) + 0.05, low=-np.inf)
    np.testing.assert_allclose(done.field, fine + 0.05, atol=1e-9)


def test_the_correction_of_a_smooth_residual_has_no_edges_at_cells():
    y, x = np.indices((SIDE * CELLS[0] + 9, SIDE * CELLS[1] + 9)).reshape(2, -1)
    wave = 0.05 * np.sin(y / 14) * np.cos(x / 17)
    fine = np.full(N_PIXELS, 0.25)
    done = CONSERVER(fine, means(fine + wave), low=-np.inf)
    correction = (done.field - fine).reshape(-1, SIDE * CELLS[1] + 9)
    inside = correction[SIDE:-SIDE, SIDE:-SIDE]
    steps = np.abs(np.diff(inside, axis=1))
    at_edges = (np.arange(steps.shape[1]) + SIDE + 1 - SHIFT) % SIDE < 1  # pairs of pixels that an edge parts
    assert at_edges.sum() >= 3
    # Steps of plain cell means would all be at the edges.
    assert steps[:, at_edges].mean() < 2.5 * steps[:, ~at_edges].mean()
    blocks = (SHARES.T @ (means(fine + wave) - 0.25)).reshape(correction.shape)[SIDE:-SIDE, SIDE:-SIDE]
    assert steps[:, at_edges].mean() < 0.5 * np.abs(np.diff(blocks, axis=1))[:, at_edges].mean()


def test_cells_without_a_value_follow_their_neighbours_and_far_away_nothing_changes():
    made, shares = lattice((3, 14))
    fine = np.full(shares.shape[1], 0.2)
    coarse = np.full(shares.shape[0], np.nan).reshape(3, 14)
    coarse[:, :3] = 0.3
    done = made(fine, coarse.ravel())
    change = (done.field - fine).reshape(-1, SIDE * 14 + 9)
    centres = (SHIFT + SIDE * (np.arange(14) + 0.5)).astype(int)
    along = change[len(change) // 2, centres]
    assert along[3] > along[5] > along[8] >= 0  # fading
    assert along[13] < 0.02 * along[2]
    source = done.source.reshape(change.shape)[len(change) // 2, centres]
    assert source[1] == OWN and source[4] == AROUND


def test_a_day_without_smap_stays_as_it_was():
    fine, coarse = some(5, 0.1, 0.0)
    done = CONSERVER(fine, np.full_like(coarse, np.nan))
    np.testing.assert_array_equal(done.field, fine)
    assert (done.source == NONE).all() and not done.kept.any()


def test_weights_of_the_blend_sum_to_one_inside_and_pass_halfway_at_edges():
    lattice = Lattice(np.array([[0, 0], [0, 1]]))
    row, column = np.array([0.5, 0.5, 0.5, 0.5]), np.array([0.5, 1.0, 1.5, 0.75])
    blend: Any = blending(lattice, row, column).toarray()
    t = 0.25
    passed = 3 * t**2 - 2 * t**3
    np.testing.assert_allclose(blend, [[1, 0], [0.5, 0.5], [0, 1], [1 - passed, passed]])


@pytest.mark.parametrize("detail", [0.0, 0.3, 1.0])
def test_less_detail_is_the_smooth_field_of_the_values_and_a_share_of_what_departs_from_it(detail: float):
    """By the definition, S(c) + detail (f - S(A f)), with S taken of fields that are nothing but smooth."""
    fine, coarse = some(11, 0.0, 0.0)

    def smooth(values: Field) -> Field:
        return CONSERVER(np.zeros(N_PIXELS), values, low=-np.inf).field

    found = CONSERVER(CONSERVER.damped(fine, detail), coarse, low=-np.inf).field
    inside = SHARES.sum(axis=0) == 1
    expected = smooth(coarse) + detail * (fine - smooth(means(fine)))
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-9)
    np.testing.assert_allclose(means(found), coarse, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1]), st.sampled_from([0.2, 0.7]))
def test_less_detail_keeps_every_value_and_tells_no_other_levels(seed: int, missing: float, lacking: float):
    fine, coarse = some(seed, missing, lacking)
    damped = CONSERVER.damped(fine, 0.2)
    np.testing.assert_array_equal(np.isnan(damped), np.isnan(fine))
    rows = SHARES @ np.isfinite(fine) >= LEAST_SHARE * SIDE**2
    assert np.abs(means(damped) - means(fine))[rows].max() < 0.02  # a share of each cell, not of its value
    done = CONSERVER(damped, coarse, low=-np.inf)
    np.testing.assert_allclose(means(done.field)[done.kept], coarse[done.kept], atol=1e-9)


def test_less_detail_leaves_what_no_cell_tells_of():
    fine = np.full(N_PIXELS, np.nan)
    fine[:3] = 0.1, 0.2, 0.3  # too few of any cell
    np.testing.assert_array_equal(CONSERVER.damped(fine, 0.0), fine)
