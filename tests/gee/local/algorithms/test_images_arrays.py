"""Array pixels: every algorithm by its documented meaning, against NumPy pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ee
import numpy as np
import pytest
from numpy.typing import NDArray

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.values import PixelType

CRS = "EPSG:32650"
TRANSFORM = (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0)
GRID = Grid(Projection(CRS, TRANSFORM), 5, 4)
C, R = np.meshgrid(np.arange(5), np.arange(4))
Array = NDArray[Any]


@pytest.fixture(autouse=True)
def offline(offline_client: None) -> None:
    """Client objects are made in these tests."""


def columns() -> Any:
    crs = ee.Projection(CRS, list(TRANSFORM))
    return ee.Image.pixelCoordinates(crs).select("x").floor().int().rename("c")


def rows() -> Any:
    crs = ee.Projection(CRS, list(TRANSFORM))
    return ee.Image.pixelCoordinates(crs).select("y").floor().int().rename("r")


def vector() -> Any:
    """[c, r, c * r + 1] at each pixel."""
    return columns().addBands(rows()).addBands(columns().multiply(rows()).add(1)).toArray()


def v(c: int, r: int) -> Array:
    return np.array([c, r, c * r + 1])


def ragged() -> Any:
    """[c, r] where the column is even, [c] where it is odd."""
    images = [columns(), rows().updateMask(columns().mod(2).Not())]
    return ee.ImageCollection([image.rename("v") for image in images]).toArrayPerBand(0, True)


def g(c: int, r: int) -> Array:
    return np.array([c, r] if c % 2 == 0 else [c])


def matrix() -> Any:
    """[[c + 5, 1], [2, r + 3]], whose determinant is never 0."""
    numbers = columns().add(5).addBands(ee.Image(1)).addBands(ee.Image(2)).addBands(rows().add(3))
    return numbers.toArray().arrayReshape(ee.Image(ee.Array([2, 2])), 2)


def m(c: int, r: int) -> Array:
    return np.array([[c + 5, 1], [2, r + 3]])


def column_vector() -> Any:
    return columns().addBands(rows()).toArray().toArray(1)


def check(pixels: Any, image: Any, expected: Callable[[int, int], Any], band: int = 0) -> None:
    found = pixels(image, GRID)[band]
    for r, c in np.ndindex(4, 5):
        pixel = np.asarray(found[r, c])
        wanted = np.asarray(expected(c, r))
        assert pixel.shape == wanted.shape
        np.testing.assert_allclose(pixel.astype(float), wanted.astype(float), rtol=1e-9, atol=1e-12)


# Made


def test_bands_become_an_array_along_an_axis(compute: Any, pixels: Any) -> None:
    check(pixels, vector(), v)
    assert compute(vector()).names == ["array"]
    assert compute(vector()).bands[0].type.dimensions == 1
    check(pixels, vector().toArray(1), lambda c, r: v(c, r)[:, None])
    both = matrix().rename("a").addBands(matrix().rename("b"))
    check(pixels, both.toArray(), lambda c, r: np.concatenate([m(c, r), m(c, r)]))
    check(pixels, both.toArray(1), lambda c, r: np.concatenate([m(c, r), m(c, r)], axis=1))
    check(pixels, both.toArray(2), lambda c, r: np.stack([m(c, r), m(c, r)], axis=2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vector().toArray(2), r"Axis must be between 0 and 1"),
        (lambda: vector().addBands(columns()).toArray(), "same number of dimensions"),
        (lambda: ee.Image(1).select([]).toArray(), "no bands"),
    ],
)
def test_bands_that_make_no_array_are_refused(compute: Any, make: Any, message: str) -> None:
    with pytest.raises(EngineError, match=rf"Image\.toArray: .*{message}"):
        compute(make())


def test_an_array_is_masked_where_any_of_its_bands_is(pixels: Any) -> None:
    image = columns().addBands(rows().updateMask(columns().gt(1))).toArray()
    [lengths] = pixels(image.arrayLength(0), GRID)
    assert np.array_equal(lengths.mask, C <= 1)


def test_constants_and_identities(compute: Any, pixels: Any) -> None:
    check(pixels, ee.Image(ee.Array([[1, 2], [3, 4]])), lambda c, r: [[1, 2], [3, 4]])
    check(pixels, ee.Image.matrixIdentity(3), lambda c, r: np.eye(3))


# Measured


@pytest.mark.parametrize(("image", "array"), [(vector, v), (ragged, g), (matrix, m)])
def test_dimensions_and_lengths(pixels: Any, image: Any, array: Any) -> None:
    check(pixels, image().arrayDimensions(), lambda c, r: array(c, r).ndim)
    check(pixels, image().arrayLengths(), lambda c, r: array(c, r).shape)
    check(pixels, image().arrayLength(0), lambda c, r: len(array(c, r)))


def test_numbers_have_no_dimensions(pixels: Any, compute: Any) -> None:
    check(pixels, columns().arrayDimensions(), lambda c, r: 0)
    with pytest.raises(EngineError, match=r"Axis must be between"):
        pixels(vector().arrayLength(1), GRID)


@pytest.mark.parametrize(("image", "array"), [(vector, v), (ragged, g), (matrix, m)])
def test_the_place_of_the_first_maximum(pixels: Any, image: Any, array: Any) -> None:
    def expected(c: int, r: int) -> Any:
        return np.unravel_index(int(np.argmax(array(c, r))), array(c, r).shape)

    check(pixels, image().arrayArgmax(), expected)


# Cut, joined, turned


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((0, 1), slice(1, None)),
        ((0, 0, 2), slice(0, 2)),
        ((0, -2), slice(-2, None)),
        ((0, 0, -1), slice(0, -1)),
        ((0, 0, None, 2), slice(0, None, 2)),
        ((0, 5), slice(5, None)),
        ((0, 1, 1), slice(1, 1)),
    ],
)
def test_slices_are_pythons(pixels: Any, arguments: Any, part: slice) -> None:
    check(pixels, vector().arraySlice(*arguments), lambda c, r: v(c, r)[part])
    check(pixels, ragged().arraySlice(*arguments), lambda c, r: g(c, r)[part])


def test_slices_by_bands_differ_from_pixel_to_pixel(pixels: Any) -> None:
    check(pixels, vector().arraySlice(0, rows().min(2), 3), lambda c, r: v(c, r)[min(r, 2) : 3])
    check(pixels, matrix().arraySlice(1, 0, 1), lambda c, r: m(c, r)[:, :1])


def test_positions_are_got(compute: Any, pixels: Any) -> None:
    check(pixels, vector().arrayGet(1), lambda c, r: r)
    check(pixels, vector().arrayGet([2]), lambda c, r: c * r + 1)
    check(pixels, matrix().arrayGet([0, 0]), lambda c, r: c + 5)
    check(pixels, vector().arrayGet(columns().min(2)), lambda c, r: v(c, r)[min(c, 2)])
    assert compute(vector().arrayGet(1)).bands[0].type.dimensions == 0
    with pytest.raises(EngineError, match=r"^Image\.arrayGet: .*\[3\]"):
        pixels(vector().arrayGet(3), GRID)


def test_masked_positions_are_left_out(pixels: Any) -> None:
    check(pixels, vector().arrayMask(vector().gt(1)), lambda c, r: v(c, r)[v(c, r) > 1])


def test_arrays_are_joined_along_an_axis(pixels: Any) -> None:
    check(pixels, vector().arrayCat(vector(), 0), lambda c, r: np.concatenate([v(c, r)] * 2))
    check(pixels, vector().arrayCat(vector(), 1), lambda c, r: np.stack([v(c, r)] * 2, axis=1))
    check(pixels, ragged().arrayCat(vector(), 0), lambda c, r: np.concatenate([g(c, r), v(c, r)]))


def test_copies_are_joined_along_an_axis(pixels: Any) -> None:
    check(pixels, vector().arrayRepeat(0, 2), lambda c, r: np.tile(v(c, r), 2))
    check(pixels, vector().arrayRepeat(1, rows().add(1)), lambda c, r: np.tile(v(c, r)[:, None], (1, r + 1)))


def test_shapes_are_changed_and_turned(pixels: Any) -> None:
    check(pixels, matrix().arrayReshape(ee.Image(ee.Array([4])), 1), lambda c, r: m(c, r).ravel())
    check(pixels, matrix().arrayReshape(ee.Image(ee.Array([1, -1])), 2), lambda c, r: m(c, r).reshape(1, -1))
    for name in ("arrayTranspose", "matrixTranspose"):
        check(pixels, getattr(matrix(), name)(), lambda c, r: m(c, r).T)
    check(pixels, vector().arrayTranspose(), lambda c, r: v(c, r)[None, :])
    deep = matrix().toArray(2)
    check(pixels, deep.arrayTranspose(0, 2), lambda c, r: m(c, r)[:, :, None].transpose(2, 1, 0))
    check(pixels, deep.arrayProject([0, 1]), m)
    check(pixels, vector().toArray(1).arrayProject([0]), v)
    with pytest.raises(EngineError, match="Axis must be between"):
        pixels(matrix().arrayTranspose(0, 4), GRID)
    with pytest.raises(EngineError):
        pixels(matrix().arrayProject([0]), GRID)


def test_a_shape_of_another_rank_than_declared_is_refused(pixels: Any) -> None:
    with pytest.raises(EngineError, match=r"Image\.arrayReshape: Expected 1 lengths. Found 2"):
        pixels(matrix().arrayReshape(ee.Image(ee.Array([2, 2])), 1), GRID)


def test_arrays_are_padded_to_a_length(pixels: Any) -> None:
    check(pixels, ragged().arrayPad([3]), lambda c, r: np.pad(g(c, r), (0, 3 - len(g(c, r)))))
    check(
        pixels,
        ragged().arrayPad([4], 0.5),
        lambda c, r: np.pad(g(c, r).astype(float), (0, 4 - len(g(c, r))), constant_values=0.5),
    )


def test_elements_are_sorted_by_themselves_or_by_keys(pixels: Any) -> None:
    check(pixels, vector().arraySort(), lambda c, r: np.sort(v(c, r)))
    check(pixels, ragged().arraySort(), lambda c, r: np.sort(g(c, r)))
    backwards = vector().multiply(-1)
    check(pixels, vector().arraySort(backwards), lambda c, r: v(c, r)[np.argsort(-v(c, r), kind="stable")])


# Reduced


@pytest.mark.parametrize(
    ("reducer", "statistic"), [("sum", np.sum), ("mean", np.mean), ("max", np.max), ("product", np.prod)]
)
def test_axes_are_reduced_and_kept(pixels: Any, reducer: str, statistic: Any) -> None:
    apply = getattr(ee.Reducer, reducer)()
    check(pixels, vector().arrayReduce(apply, [0]), lambda c, r: [statistic(v(c, r))])
    check(pixels, ragged().arrayReduce(apply, [0]), lambda c, r: [statistic(g(c, r))])
    for axes in ([0], [1], [0, 1]):
        check(
            pixels, matrix().arrayReduce(apply, axes),
            lambda c, r, axes=axes: statistic(m(c, r), axis=tuple(axes), keepdims=True),
        )  # fmt: skip


def test_sums_of_small_integers_do_not_overflow(compute: Any, pixels: Any) -> None:
    bytes_ = ee.Image([200, 100, 250]).toUint8().toArray()
    check(pixels, bytes_.arrayReduce(ee.Reducer.sum(), [0]), lambda c, r: [550])
    check(pixels, bytes_.arrayAccum(0), lambda c, r: [200, 300, 550])
    check(pixels, bytes_.arrayDotProduct(bytes_), lambda c, r: 200**2 + 100**2 + 250**2)
    column = bytes_.toArray(1)
    check(pixels, column.matrixTranspose().matrixMultiply(column), lambda c, r: [[200**2 + 100**2 + 250**2]])


def test_a_reducer_of_several_inputs_or_outputs_needs_the_field_axis(pixels: Any) -> None:
    points = (
        columns().addBands(rows()).toArray().arrayCat(vector().arraySlice(0, 0, 2), 1)
    )  # [[c, c], [r, r]]
    lowest_highest = vector().toArray(1).arrayReduce(ee.Reducer.minMax(), [0], 1)
    check(pixels, lowest_highest, lambda c, r: [[v(c, r).min(), v(c, r).max()]])
    shifted = points.add(ee.Image(ee.Array([[0, 1], [0, 1]])))
    fit = shifted.updateMask(columns().neq(rows())).arrayReduce(ee.Reducer.linearFit(), [0], 1)
    found = pixels(fit, GRID)[0]
    for r, c in np.argwhere(C != R):
        np.testing.assert_allclose(np.asarray(found[r, c]), [[1, 1]], atol=1e-9)  # y = x + 1


def test_elements_accumulate(pixels: Any) -> None:
    check(pixels, vector().arrayAccum(0), lambda c, r: np.cumsum(v(c, r)))
    check(pixels, ragged().arrayAccum(0, ee.Reducer.max()), lambda c, r: np.maximum.accumulate(g(c, r)))
    check(pixels, matrix().arrayAccum(1), lambda c, r: np.cumsum(m(c, r), axis=1))


def test_bits_become_an_array_up_to_the_highest_that_is_on(pixels: Any) -> None:
    def bits(c: int, r: int) -> list[int]:
        number = 3 * c + r + 1
        return [number >> place & 1 for place in range(number.bit_length())]

    check(pixels, columns().multiply(3).add(rows()).add(1).bitsToArrayImage(), bits)


# Arithmetic on arrays


def test_operators_work_element_by_element(pixels: Any) -> None:
    check(pixels, vector().add(vector()), lambda c, r: 2 * v(c, r))
    check(pixels, vector().multiply(rows()), lambda c, r: v(c, r) * r)
    check(pixels, ragged().multiply(2).subtract(columns()), lambda c, r: 2 * g(c, r) - c)
    check(pixels, vector().gt(1), lambda c, r: v(c, r) > 1)


def test_arrays_of_different_lengths_do_not_meet(pixels: Any) -> None:
    with pytest.raises(EngineError, match="lengths differ"):
        pixels(vector().add(ragged()), GRID)


# Matrices


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("matrixDeterminant", np.linalg.det),
        ("matrixTrace", np.trace),
        ("matrixFnorm", np.linalg.norm),
        ("matrixInverse", np.linalg.inv),
        ("matrixPseudoInverse", np.linalg.pinv),
        ("matrixDiagonal", lambda matrix: np.diag(matrix)[:, None]),
    ],
)
def test_functions_of_one_matrix(pixels: Any, name: str, function: Any) -> None:
    check(pixels, getattr(matrix(), name)(), lambda c, r: function(m(c, r)))


def test_a_column_becomes_a_diagonal(pixels: Any) -> None:
    check(pixels, column_vector().matrixToDiag(), lambda c, r: np.diag([c, r]))


def test_products_and_solutions(pixels: Any) -> None:
    check(pixels, matrix().matrixMultiply(matrix()), lambda c, r: m(c, r) @ m(c, r))
    check(pixels, matrix().matrixMultiply(column_vector()), lambda c, r: m(c, r) @ [[c], [r]])
    check(pixels, matrix().matrixSolve(column_vector()), lambda c, r: np.linalg.solve(m(c, r), [[c], [r]]))
    check(pixels, vector().arrayDotProduct(vector()), lambda c, r: v(c, r) @ v(c, r))
    tall = ee.Image(ee.Array([[1, 0], [1, 1], [1, 2]]))
    right = vector().toArray(1)
    check(
        pixels,
        tall.matrixSolve(right),
        lambda c, r: np.linalg.lstsq(np.array([[1, 0], [1, 1], [1, 2]]), v(c, r)[:, None], rcond=None)[0],
    )


def test_bands_of_matrices_meet_in_pairs_by_name(compute: Any, pixels: Any) -> None:
    two = matrix().rename("a").addBands(matrix().multiply(2).rename("b"))
    turned = two.select(["b", "a"])
    product = two.matrixMultiply(turned)
    assert compute(product).names == ["a", "b"]
    check(pixels, product, lambda c, r: m(c, r) @ m(c, r))
    check(pixels, product, lambda c, r: 4 * m(c, r) @ m(c, r), band=1)
    assert compute(matrix().matrixMultiply(two)).names == ["a", "b"]


def test_decompositions_give_the_matrix_again(compute: Any, pixels: Any) -> None:
    lu = matrix().matrixLUDecomposition()
    assert compute(lu).names == ["L", "U", "P"]
    check(pixels, lu.select("P").matrixMultiply(matrix()).subtract(
        lu.select("L").matrixMultiply(lu.select("U"))), lambda c, r: np.zeros((2, 2)))  # fmt: skip
    qr = matrix().matrixQRDecomposition()
    check(pixels, qr.select("Q").matrixMultiply(qr.select("R")), m)
    orthogonal = qr.select("Q").matrixMultiply(qr.select("Q").matrixTranspose())
    check(pixels, orthogonal, lambda c, r: np.eye(2))
    svd = matrix().matrixSingularValueDecomposition()
    assert compute(svd).names == ["U", "S", "V"]
    again = svd.select("U").matrixMultiply(svd.select("S")).matrixMultiply(svd.select("V").matrixTranspose())
    check(pixels, again, m)
    square = matrix().matrixMultiply(matrix().matrixTranspose())
    check(pixels, square.matrixCholeskyDecomposition(), lambda c, r: np.linalg.cholesky(m(c, r) @ m(c, r).T))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ee.Image(ee.Array([[1, 2], [2, 4]])).matrixInverse(), "singular"),
        (lambda: ee.Image(ee.Array([[1, 2]])).matrixInverse(), "square"),
        (lambda: matrix().matrixMultiply(vector().toArray(1)), "multiply matrices"),
        (lambda: vector().matrixInverse(), "2-D array"),
    ],
)
def test_impossible_matrices_are_refused(pixels: Any, make: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        pixels(make(), GRID)
    with pytest.raises(EngineError, match=message):
        pixels(make(), Grid(GRID.projection, 3, 3))  # as wide as the arrays are long


def test_only_valid_pixels_are_computed(pixels: Any) -> None:
    """A singular matrix under a mask does no harm."""
    image = columns().addBands(ee.Image(0)).addBands(ee.Image(0)).addBands(rows()).toArray()
    square = image.arrayReshape(ee.Image(ee.Array([2, 2])), 2).updateMask(columns().multiply(rows()))
    [found] = pixels(square.matrixInverse(), GRID)
    for r, c in np.ndindex(4, 5):
        if r * c:
            np.testing.assert_allclose(found[r, c], np.diag([1 / c, 1 / r]))
        else:
            assert np.ma.getmaskarray(found)[r, c].all()


# Flattened


def test_an_array_is_flattened_into_named_bands(compute: Any, pixels: Any) -> None:
    flat = matrix().arrayFlatten([["a", "b"], ["x", "y"]])
    assert compute(flat).names == ["a_x", "a_y", "b_x", "b_y"]
    assert all(band.type.dimensions == 0 for band in compute(flat).bands)
    for position, band in enumerate(pixels(flat, GRID)):
        assert np.array_equal(band, np.vectorize(lambda c, r, p=position: m(c, r).ravel()[p])(C, R))
    assert compute(matrix().arrayFlatten([["a", "b"], ["x", "y"]], "")).names == ["ax", "ay", "bx", "by"]


def test_flattening_needs_pixels_of_one_shape(compute: Any, pixels: Any) -> None:
    with pytest.raises(EngineError, match=r"Image\.arrayFlatten: Array pixels have lengths \[3\]"):
        pixels(vector().arrayFlatten([["a", "b"]]), GRID)
    with pytest.raises(EngineError, match=r"Image\.arrayFlatten: Array pixels have lengths \[1\]"):
        pixels(ragged().arrayFlatten([["a", "b"]]), GRID)
    # Pixels of another shape may lie under a mask.
    even = ragged().updateMask(columns().mod(2).Not()).arrayFlatten([["a", "b"]])
    first, second = pixels(even, GRID)
    assert np.array_equal(first.mask, C % 2 == 1)
    assert np.array_equal(second.compressed(), R[C % 2 == 0])
    with pytest.raises(EngineError, match="exactly one band"):
        compute(matrix().addBands(matrix()).arrayFlatten([["a", "b"], ["x", "y"]]))


def test_ragged_arrays_of_a_fixed_projection_come_from_every_tile(pixels: Any) -> None:
    """Tiles where all arrays are alike lie beside others where they are not."""
    images = [columns(), columns().add(1).updateMask(columns().mod(2).eq(0).Or(columns().lt(256)))]
    stacked = ee.ImageCollection(images).toArray().reproject(CRS, list(TRANSFORM))
    shifted = Grid(Projection(CRS, (1000.0, 0.0, 400_250.0, 0.0, -1000.0, 3_600_000.0)), 512, 70)
    [lengths] = pixels(stacked.arrayLength(0), shifted)
    expected = np.arange(512)
    assert np.array_equal(lengths[0], np.where((expected < 256) | (expected % 2 == 0), 2, 1))
    [last] = pixels(stacked.arraySlice(0, -1).arrayGet([0, 0]), shifted)
    assert np.array_equal(last[0], np.where((expected < 256) | (expected % 2 == 0), expected + 1, expected))


def test_the_type_of_elements_is_that_of_their_bands_together(compute: Any) -> None:
    image = columns().toUint8().addBands(rows().toInt8()).toArray()
    assert compute(image).bands[0].type == PixelType("int", -128, 255, 1)
