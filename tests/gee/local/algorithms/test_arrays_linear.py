"""Linear algebra by the identities that define it, and the documented eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest

from gee.local.errors import EngineError

Compute = Callable[[Any], Any]
SQUARE = [[4.0, 2.0, 1.0], [2.0, 5.0, 3.0], [1.0, 3.0, 6.0]]
TALL = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]


def matrix(values: Any) -> Any:
    return ee.Array(values)


def test_lu_cholesky_qr_svd_multiply_back(compute: Compute) -> None:
    parts = compute(matrix(SQUARE).matrixLUDecomposition())
    np.testing.assert_allclose(parts["P"] @ SQUARE, parts["L"] @ parts["U"], atol=1e-12)
    assert np.allclose(np.diag(parts["L"]), 1)
    lower = compute(matrix(SQUARE).matrixCholeskyDecomposition())["L"]
    np.testing.assert_allclose(lower @ lower.T, SQUARE, atol=1e-12)
    assert np.allclose(lower, np.tril(lower))
    parts = compute(matrix(TALL).matrixQRDecomposition())
    np.testing.assert_allclose(parts["Q"] @ parts["R"], TALL, atol=1e-12)
    np.testing.assert_allclose(parts["Q"].T @ parts["Q"], np.eye(3), atol=1e-12)
    parts = compute(matrix(TALL).matrixSingularValueDecomposition())
    np.testing.assert_allclose(parts["U"] @ parts["S"] @ parts["V"].T, TALL, atol=1e-12)
    np.testing.assert_allclose(parts["V"] @ parts["V"].T, np.eye(2), atol=1e-12)


def test_inverse_solve_determinant_trace_norm(compute: Compute) -> None:
    np.testing.assert_allclose(compute(matrix(SQUARE).matrixInverse()) @ SQUARE, np.eye(3), atol=1e-12)
    solved = compute(matrix(SQUARE).matrixSolve(matrix([[1], [2], [3]])))
    np.testing.assert_allclose(SQUARE @ solved, [[1], [2], [3]], atol=1e-12)
    assert compute(matrix([[1, 2], [3, 4]]).matrixDeterminant()) == pytest.approx(-2)
    assert compute(matrix([[1, 2], [3, 4]]).matrixTrace()) == 5
    assert compute(matrix([[3, 0], [0, 4]]).matrixFnorm()) == 5
    assert compute(matrix([[1, 2], [3, 4]]).matrixMultiply([[1], [1]])).tolist() == [[3], [7]]


def test_overdetermined_systems_are_solved_by_least_squares(compute: Compute) -> None:
    solved = compute(matrix(TALL).matrixSolve(matrix([[1], [2], [3]])))
    residual = TALL @ solved - [[1], [2], [3]]
    np.testing.assert_allclose(np.array(TALL).T @ residual, 0, atol=1e-12)
    np.testing.assert_allclose(compute(matrix(TALL).matrixPseudoInverse()) @ TALL, np.eye(2), atol=1e-12)


def test_diagonals(compute: Compute) -> None:
    assert compute(matrix([[1, 2], [3, 4]]).matrixDiagonal()).tolist() == [[1], [4]]
    assert compute(matrix([[1], [4]]).matrixToDiag()).tolist() == [[1, 0], [0, 4]]
    assert compute(matrix([[1, 2]]).matrixTranspose()).tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("values", "eigenvalues"),
    [
        # eigenvalues that ee-array-eigen prints
        ([[1, 0], [0, 0]], [1, 0]),
        ([[1, 1], [0, 0]], [1, 0]),
        ([[0, 1], [1, 0]], [1, -1]),
        ([[1, 1], [1, 0]], [1.62, -0.62]),
        ([[2, 0, 0], [0, 3, 0], [0, 0, 4]], [4, 3, 2]),
    ],
)
def test_eigen_gives_values_in_descending_order_with_vectors_of_length_1(
    compute: Compute, values: Any, eigenvalues: list[float]
) -> None:
    found = compute(matrix(values).eigen())
    assert found.shape == (len(values), len(values) + 1)
    np.testing.assert_allclose(found[:, 0], eigenvalues, atol=0.005)
    for eigenvalue, *vector in found:
        np.testing.assert_allclose(np.array(values) @ vector, eigenvalue * np.array(vector), atol=1e-12)
        assert np.linalg.norm(vector) == pytest.approx(1)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (lambda: matrix([[1, 1], [1, 1]]).matrixInverse(), "Array.matrixInverse: Matrix is singular"),
        (lambda: matrix([[1, 2]]).matrixInverse(), "square"),
        (lambda: matrix([1, 2]).matrixDeterminant(), "2-D"),
        (lambda: matrix([[1, 2], [2, 1]]).matrixCholeskyDecomposition(), "positive definite"),
        (lambda: matrix([[0, -1], [1, 0]]).eigen(), "not real"),
        (lambda: matrix([[1, 2]]).matrixMultiply([[1, 2]]), "Cannot multiply"),
    ],
)
def test_refusals(compute: Compute, thing: Callable[[], Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        compute(thing())
