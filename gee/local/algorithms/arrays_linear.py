"""Array.matrix* and Array.eigen: linear algebra of 2-D arrays, in double precision, by LAPACK.

Decompositions are determined up to the signs of rows or columns; Earth Engine's signs are those of its
own library and are not reproduced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.registry import algorithm
from gee.local.scalars.elementwise import INT64

Array = NDArray[Any]
MAX_WORK = 10**9  # rows x columns x the smaller of both: seconds for a decomposition, which cannot be stopped


def _matrix(values: Array, square: bool = False) -> Array:
    if values.ndim != 2:
        raise EngineError(f"Need a 2-D array. Found {values.ndim} dimensions.")
    if square and values.shape[0] != values.shape[1]:
        raise EngineError(f"Need a square matrix. Found lengths {list(values.shape)}.")
    work = values.size * min(values.shape)
    if work > MAX_WORK:
        raise EngineError(f"Matrix of lengths {list(values.shape)} is too large for linear algebra.")
    matrix = values.astype(np.float64, copy=False)
    if not np.isfinite(matrix).all():
        raise EngineError("A matrix must not contain NaN or infinity.")
    return matrix


def _solved(why: str, solve: Callable[..., Any], *matrices: Array, **options: Any) -> Any:
    try:
        return solve(*matrices, **options)
    except np.linalg.LinAlgError as error:
        raise EngineError(why) from error


@algorithm("Array.matrixMultiply")
def multiply(left: Array, right: Array) -> Array:
    """The matrix product; of integers it stays one where it fits into 64 bits."""
    a, b = _matrix(left), _matrix(right)
    if a.shape[1] != b.shape[0]:
        raise EngineError(f"Cannot multiply matrices of lengths {list(a.shape)} and {list(b.shape)}.")
    size = a.shape[0] * b.shape[1]
    if size > limits.MAX_SEQUENCE:
        raise EngineError(f"Array of {size} elements is too large: at most {limits.MAX_SEQUENCE}.")
    product = a @ b
    if left.dtype.kind == right.dtype.kind == "i" and (np.abs(a) @ np.abs(b) < INT64[1]).all():
        return left.astype(np.int64) @ right.astype(np.int64)
    return product


@algorithm("Array.matrixDeterminant")
def determinant(values: Array) -> float:
    """The determinant."""
    return float(np.linalg.det(_matrix(values, square=True)))


@algorithm("Array.matrixTrace")
def trace(values: Array) -> Any:
    """The sum of the diagonal."""
    _matrix(values, square=True)
    return np.trace(values).item()


@algorithm("Array.matrixFnorm")
def frobenius_norm(values: Array) -> float:
    """The root of the sum of the squares."""
    return float(np.linalg.norm(_matrix(values)))


@algorithm("Array.matrixDiagonal")
def diagonal(values: Array) -> Array:
    """The diagonal as a column."""
    _matrix(values)
    return np.diagonal(values)[:, None]


@algorithm("Array.matrixToDiag")
def to_diagonal(values: Array) -> Array:
    """The square matrix that has a column as its diagonal."""
    _matrix(values)
    if values.shape[1] != 1:
        raise EngineError(f"Need a single column. Found lengths {list(values.shape)}.")
    return np.diag(values[:, 0])


@algorithm("Array.matrixInverse")
def inverse(values: Array) -> Array:
    """The inverse.

    Raises:
        EngineError: the matrix is singular.
    """
    found: Array = _solved("Matrix is singular.", np.linalg.inv, _matrix(values, square=True))
    return found


@algorithm("Array.matrixPseudoInverse")
def pseudo_inverse(values: Array) -> Array:
    """The Moore-Penrose pseudoinverse."""
    found: Array = _solved("Singular values do not converge.", np.linalg.pinv, _matrix(values))
    return found


@algorithm("Array.matrixSolve")
def solve(left: Array, right: Array) -> Array:
    """The x of left * x = right; the least-squares one where left has more rows than columns."""
    a, b = _matrix(left), _matrix(right)
    if a.shape[0] != b.shape[0]:
        raise EngineError(f"Need as many rows left and right: {a.shape[0]} and {b.shape[0]}.")
    if a.shape[0] == a.shape[1]:
        found: Array = _solved("Matrix is singular.", np.linalg.solve, a, b)
        return found
    least: Array = _solved("Singular values do not converge.", np.linalg.lstsq, a, b)[0]
    return least


@algorithm("Array.matrixCholeskyDecomposition")
def cholesky(values: Array) -> dict[str, Array]:
    """The lower triangular L of L * L'.

    Raises:
        EngineError: the matrix is not symmetric and positive definite.
    """
    matrix = _matrix(values, square=True)
    why = "Matrix is not symmetric and positive definite."
    if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0):
        raise EngineError(why)
    return {"L": _solved(why, np.linalg.cholesky, matrix)}


@algorithm("Array.matrixLUDecomposition")
def lower_upper(values: Array) -> dict[str, Array]:
    """L, U and P of P * input = L * U."""
    permutation, lower, upper = scipy.linalg.lu(_matrix(values, square=True))
    return {"L": lower, "U": upper, "P": permutation.T}


@algorithm("Array.matrixQRDecomposition")
def orthogonal_triangular(values: Array) -> dict[str, Array]:
    """The orthogonal Q and the upper triangular R of input = Q * R."""
    orthogonal, upper = np.linalg.qr(_matrix(values), mode="complete")
    return {"Q": orthogonal, "R": upper}


@algorithm("Array.matrixSingularValueDecomposition")
def singular_values(values: Array) -> dict[str, Array]:
    """The orthogonal U and V and the diagonal S of input = U * S * V'."""
    matrix = _matrix(values)
    left, found, right = _solved("Singular values do not converge.", np.linalg.svd, matrix)
    scaled = np.zeros(matrix.shape)
    np.fill_diagonal(scaled, found)
    return {"U": left, "S": scaled, "V": right.T}


@algorithm("Array.eigen")
def eigen(values: Array) -> Array:
    """Rows of an eigenvalue and its eigenvector of length 1, by descending eigenvalue.

    Raises:
        EngineError: an eigenvalue is not real.
    """
    matrix = _matrix(values, square=True)
    symmetric = np.array_equal(matrix, matrix.T)
    found, vectors = _solved(
        "Eigenvalues do not converge.", np.linalg.eigh if symmetric else np.linalg.eig, matrix
    )
    if np.iscomplexobj(found):
        raise EngineError("The matrix has eigenvalues that are not real.")
    order = np.argsort(-found, kind="stable")
    return np.column_stack([found[order], vectors.T[order]])
