"""Lazy pixels in Earth Engine's pull model: nodes that compute a raster for whichever grid is asked.

A node asks its inputs for the same grid or another one and combines what they give; nothing is computed
before an output grid is known. Chains of nodes are walked with a stack of our own, results are dropped
as soon as their last consumer has them, and equal nodes are one. Source: guides/scale and
guides/projections of the Earth Engine documentation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gee.local import limits
from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid

TILE = 256  # pixels; a float32 tile stays in a core's cache
MAX_GRID_PIXELS = 2**31


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixels of one band over a grid.

    Args:
        values: broadcastable to (height, width, *array dimensions); arbitrary where the mask is zero.
            Pixels that are arrays of unequal shapes are of dtype object.
        mask: broadcastable to (height, width), bool, or float32 between 0 and 1; None is valid everywhere.
    """

    values: NDArray[Any]
    mask: NDArray[Any] | None = None

    def valid(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where the mask is not zero."""
        if self.mask is None:
            return np.ones(shape, np.bool_)
        return np.broadcast_to(self.mask if self.mask.dtype == np.bool_ else self.mask != 0, shape)

    def weights(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """The mask as numbers between 0 and 1."""
        if self.mask is None:
            return np.ones(shape, np.float32)
        return np.broadcast_to(self.mask.astype(np.float32, copy=False), shape)

    def full(self, shape: tuple[int, int]) -> Raster:
        """The same pixels, every one of them in memory's shape (height, width)."""
        values = np.broadcast_to(self.values, shape + self.values.shape[2:])
        return Raster(values, None if self.mask is None else np.broadcast_to(self.mask, shape))

    @property
    def nbytes(self) -> int:
        """Memory the pixels take."""
        return self.values.nbytes + (0 if self.mask is None else self.mask.nbytes)


def shape_of(rasters: Sequence[Raster]) -> tuple[int, int]:
    """Height and width of what is computed from several rasters."""
    shape: Any = np.broadcast_shapes(
        *(raster.values.shape[:2] for raster in rasters),
        *(raster.mask.shape for raster in rasters if raster.mask is not None),
    )
    height, width = shape
    return height, width


def nothing(dtype: Any, dimensions: int = 0) -> Raster:
    """Pixels that are masked everywhere."""
    return Raster(np.zeros((1, 1) + (1,) * dimensions, dtype), np.zeros((1, 1), np.bool_))


def masks_intersect(*masks: NDArray[Any] | None) -> NDArray[Any] | None:
    """The mask of what is computed from several pixels: valid where all are, the smallest of fractions."""
    result: NDArray[Any] | None = None
    for mask in masks:
        if mask is None:
            continue
        if result is None:
            result = mask
        elif result.dtype == np.bool_ and mask.dtype == np.bool_:
            result = result & mask
        else:
            result = np.minimum(result.astype(np.float32, copy=False), mask.astype(np.float32, copy=False))
    return result


def digest(*parts: Any) -> bytes:
    """A key for pixels made of these parts: text, numbers, arrays, and keys of other pixels."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Pixels):
            state.update(part.key)
        elif isinstance(part, bytes):
            state.update(part)
        elif isinstance(part, np.ndarray) and part.dtype != object:
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        else:
            state.update(repr(part).encode())
        state.update(b"\0")
    return state.digest()


def check_tile(size: int) -> None:
    """Refuse pixels that take too much memory: arrays can make them as large as they like.

    Raises:
        EngineError: as Earth Engine words it.
    """
    if size > limits.MAX_TILE_BYTES:
        raise EngineError(
            f"Output of image computation is too large ({size / 2**30:.1f} GiB > "
            f"{limits.MAX_TILE_BYTES / 2**30:.1f} GiB)."
        )


class Pixels:
    """A node: computes the pixels of one band for any grid.

    Args:
        key: equal keys compute equal pixels.
        inputs: the nodes it is computed from, on whatever grid.
    """

    __slots__ = ("__weakref__", "_hash", "inputs", "key")

    def __init__(self, key: bytes, inputs: Sequence[Pixels] = ()) -> None:
        self.key = key
        self.inputs = tuple(inputs)
        self._hash = hash(key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Pixels) and self.key == other.key)

    def expect(self) -> None:
        """Told before anything is computed, so that what is wanted together can be read together."""

    @property
    def pulled(self) -> tuple[Pixels, ...]:
        """The inputs to be computed beforehand; the others this node computes itself, on grids of its own."""
        return ()

    def margin(self, grid: Grid) -> tuple[int, int]:
        """Columns and rows by which the pulled inputs reach beyond the grid, the same for all its parts."""
        return 0, 0

    def compute(self, grid: Grid, inputs: Sequence[Any]) -> Any:
        """The raster over the grid, or several, from those of the pulled inputs."""
        raise NotImplementedError


class Constant(Pixels):
    """The same value everywhere: a number, or an array per pixel."""

    __slots__ = ("_raster",)

    def __init__(self, value: NDArray[Any]) -> None:
        super().__init__(digest("constant", value))
        self._raster = Raster(value[None, None])

    @property
    def value(self) -> NDArray[Any]:
        """The value of each pixel."""
        constant: NDArray[Any] = self._raster.values[0, 0]
        return constant

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> Raster:
        """The constant, which NumPy broadcasts."""
        return self._raster


class Pointwise(Pixels):
    """A function of the pixels of other nodes at the same place.

    Args:
        name: of the operation; with ``parameters`` and the inputs it is the key.
        function: from the inputs' rasters to a raster, or to several.
        inputs: nodes computed on the same grid.
        parameters: whatever else the function depends on.
    """

    __slots__ = ("_function",)

    def __init__(
        self, name: str, function: Callable[..., Any], inputs: Sequence[Pixels], *parameters: Any
    ) -> None:
        super().__init__(digest(name, *parameters, *inputs), inputs)
        self._function = function

    @property
    def pulled(self) -> tuple[Pixels, ...]:
        """All inputs."""
        return self.inputs

    def compute(self, grid: Grid, inputs: Sequence[Any]) -> Any:
        """The function of the inputs."""
        return self._function(*inputs)


class Located(Pixels):
    """A function of the grid itself: coordinates, areas, random numbers, pixels of a source.

    Args:
        name: of the operation; with ``parameters`` it is the key.
        function: from the grid to a raster.
    """

    __slots__ = ("_function",)

    def __init__(self, name: str, function: Callable[[Grid], Raster], *parameters: Any) -> None:
        super().__init__(digest(name, *parameters))
        self._function = function

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> Raster:
        """The function of the grid."""
        return self._function(grid)


class Surrounded(Pixels):
    """A function of each pixel's neighbourhood.

    Args:
        name: of the operation; with ``parameters`` and the inputs it is the key.
        function: from the grid and the inputs' rasters, which reach ``margin`` further on each side,
            to a raster on the grid.
        margin: columns and rows of margin for a grid.
        inputs: nodes.
    """

    __slots__ = ("_function", "_margin")

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        margin: Callable[[Grid], tuple[int, int]],
        inputs: Sequence[Pixels],
        *parameters: Any,
    ) -> None:
        super().__init__(digest(name, *parameters, *inputs), inputs)
        self._function = function
        self._margin = margin

    @property
    def pulled(self) -> tuple[Pixels, ...]:
        """All inputs."""
        return self.inputs

    def margin(self, grid: Grid) -> tuple[int, int]:
        """As given."""
        return self._margin(grid)

    def compute(self, grid: Grid, inputs: Sequence[Raster]) -> Any:
        """The function of the padded inputs."""
        wider = grid.padded(*self._margin(grid))
        return self._function(grid, *(raster.full(wider.shape) for raster in inputs))


class Pick(Pixels):
    """One of the rasters of a node that computes several."""

    __slots__ = ("_index",)

    def __init__(self, several: Pixels, index: int) -> None:
        super().__init__(digest("pick", several, index), [several])
        self._index = index

    @property
    def pulled(self) -> tuple[Pixels, ...]:
        """The node that computes several."""
        return self.inputs

    def compute(self, grid: Grid, inputs: Sequence[Any]) -> Raster:
        """The one."""
        raster: Raster = inputs[0][self._index]
        return raster


def prepare(wanted: Sequence[Pixels]) -> None:
    """Tell every node under these that it will be computed."""
    prepared = current().prepared
    stack = list(wanted)
    while stack:
        pixels = stack.pop()
        if pixels in prepared:
            continue
        prepared.add(pixels)
        pixels.expect()
        stack.extend(pixels.inputs)


class _Step(NamedTuple):
    pixels: Pixels
    grid: int  # position among the plan's margins
    inputs: tuple[int, ...]  # positions of steps
    done_with: tuple[int, ...]  # steps whose results nobody needs any more


class Plan(NamedTuple):
    """In which order nodes are computed, on which grids, and until when their results are kept.

    It holds for every part of a grid, so that it is made once and used for each tile.
    """

    steps: list[_Step]
    margins: list[tuple[int, int]]
    roots: list[int]


def _plan(wanted: Sequence[Pixels], grid: Grid) -> Plan:
    """Visit every needed (node, margin) once, inputs first, with a stack of our own."""
    places: dict[tuple[Pixels, tuple[int, int]], int] = {}
    order: list[tuple[Pixels, tuple[int, int], list[tuple[Pixels, tuple[int, int]]]]] = []
    stack: list[tuple[Pixels, tuple[int, int], bool]] = [
        (pixels, (0, 0), False) for pixels in reversed(wanted)
    ]
    while stack:
        pixels, margin, ready = stack.pop()
        if (pixels, margin) in places:
            continue
        columns, rows = pixels.margin(grid)
        wider = (margin[0] + columns, margin[1] + rows)
        if ready:
            places[pixels, margin] = len(order)
            order.append((pixels, margin, [(each, wider) for each in pixels.pulled]))
            continue
        stack.append((pixels, margin, True))
        stack.extend((each, wider, False) for each in reversed(pixels.pulled) if (each, wider) not in places)
    last_use: dict[int, int] = {}
    for position, (_, _, needs) in enumerate(order):
        for need in needs:
            last_use[places[need]] = position
    roots = [places[pixels, (0, 0)] for pixels in wanted]
    finished: dict[int, list[int]] = {}
    for step, position in last_use.items():
        if step not in roots:
            finished.setdefault(position, []).append(step)
    margins = sorted({margin for _, margin, _ in order})
    return Plan(
        [
            _Step(
                pixels,
                margins.index(margin),
                tuple(places[need] for need in needs),
                tuple(finished.get(position, ())),
            )
            for position, (pixels, margin, needs) in enumerate(order)
        ],
        margins,
        roots,
    )


def evaluate(wanted: Sequence[Pixels], grid: Grid) -> list[Raster]:
    """Compute nodes over one grid, each needed node once, without recursion.

    Results are kept only until the last node that needs them has been computed.
    """
    context = current()
    a, b, _, d, e, _ = grid.projection.transform
    key = (tuple(wanted), grid.crs, a, b, d, e)
    plan = context.plans.get(key)
    if plan is None:
        plan = context.plans[key] = _plan(wanted, grid)
    grids = [grid.padded(*margin) if any(margin) else grid for margin in plan.margins]
    results: list[Any] = [None] * len(plan.steps)
    with np.errstate(all="ignore"):
        for position, (pixels, place, inputs, done_with) in enumerate(plan.steps):
            if not position & 255:
                context.check()
            made = pixels.compute(grids[place], [results[each] for each in inputs])
            if isinstance(made, Raster):
                check_tile(made.values.nbytes)
            results[position] = made
            for each in done_with:
                results[each] = None
    return [results[root] for root in plan.roots]


class Window(NamedTuple):
    """Rows ``row`` to ``row + height`` and columns ``column`` to ``column + width`` of a grid."""

    row: int
    column: int
    height: int
    width: int


def tiles(wanted: Sequence[Pixels], grid: Grid, size: int = TILE) -> Iterator[tuple[Window, list[Raster]]]:
    """Compute nodes over a grid, tile by tile in reading order; memory does not grow with the grid."""
    prepare(wanted)
    for row in range(0, grid.height, size):
        for column in range(0, grid.width, size):
            window = Window(row, column, min(size, grid.height - row), min(size, grid.width - column))
            yield window, evaluate(wanted, grid.window(*window))


def read(wanted: Sequence[Pixels], grid: Grid) -> list[Raster]:
    """Compute nodes over a whole grid; values are of shape (height, width) and more for array pixels."""
    if grid.width * grid.height > MAX_GRID_PIXELS:
        raise EngineError(f"Output of image computation is too large ({grid.width}x{grid.height} pixels).")
    if grid.width <= TILE and grid.height <= TILE:
        prepare(wanted)
        return [raster.full(grid.shape) for raster in evaluate(wanted, grid)]
    whole: list[Raster | None] = [None] * len(wanted)
    for window, rasters in tiles(wanted, grid):
        whole = [pasted(*pair, window, grid.shape) for pair in zip(whole, rasters, strict=True)]
    return [raster for raster in whole if raster is not None]


def pasted(whole: Raster | None, part: Raster, window: Window, shape: tuple[int, int]) -> Raster:
    """A whole with a part at its place, in a type that holds both: parts may be of different types.

    Args:
        whole: what was put together so far, changed in place where it can be; None for the first part.
        part: broadcastable to the window.
        window: of the whole.
        shape: height and width of the whole.
    """
    if whole is None:
        whole = Raster(np.zeros(shape + part.values.shape[2:], part.values.dtype))
    values, mask = whole.values, whole.mask
    here = np.s_[window.row : window.row + window.height, window.column : window.column + window.width]
    pixels = part.values
    if object in (values.dtype, pixels.dtype) or values.shape[2:] != pixels.shape[2:]:
        values = _ragged(values)
        pixels = _ragged(np.broadcast_to(pixels, (window.height, window.width, *pixels.shape[2:])))
    elif values.dtype != pixels.dtype:
        values = values.astype(np.promote_types(values.dtype, pixels.dtype), copy=False)
    values[here] = pixels
    if part.mask is not None:
        if mask is None:
            mask = np.ones(shape, part.mask.dtype)
        elif mask.dtype == np.bool_ and part.mask.dtype != np.bool_:
            mask = mask.astype(part.mask.dtype)
        mask[here] = part.mask
    elif mask is not None:
        mask[here] = 1
    return Raster(values, mask)


def _ragged(values: NDArray[Any]) -> NDArray[Any]:
    """Array pixels as objects, so that their shapes may differ from pixel to pixel."""
    if values.dtype == object:
        return values
    ragged = np.empty(values.shape[:2], object)
    for index in np.ndindex(*ragged.shape):
        ragged[index] = values[index]
    return ragged
