"""Projections: made, scaled, moved and described.

Rules from the algorithms' own descriptions; a transform is written as the affine WKT of the OGC
specification for coordinate transformations, of which elements equal to the identity's are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gee.local.errors import EngineError
from gee.local.geometry.projections import Projection, Transform, crs_of
from gee.local.registry import algorithm, promotion

_CODE = re.compile(r"[A-Za-z_-]+:\d+")
_ELEMENT = re.compile(r'PARAMETER\["elt_([01])_([012])",\s*([-+.\deE]+)\]')
_IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@lru_cache(maxsize=256)
def named(text: str) -> str:
    """The code of a coordinate system where it has one, else its WKT as given.

    Raises:
        EngineError: the text names no coordinate system.
    """
    crs = crs_of(text.upper() if _CODE.fullmatch(text) else text)
    if _CODE.fullmatch(text):
        return text.upper()
    authority = crs.to_authority(min_confidence=100)
    return text if authority is None else ":".join(authority)


def transform_of(values: Sequence[Any]) -> Transform:
    """Six numbers as a transform.

    Raises:
        EngineError: they are not six numbers.
    """
    if len(values) != 6 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        raise EngineError(f"A transform must be a list of 6 numbers, got {list(values)}.")
    a, b, c, d, e, f = map(float, values)
    return a, b, c, d, e, f


@promotion("Projection")
def _projection(value: Any) -> Projection:
    if isinstance(value, Projection):
        return value
    if isinstance(value, str):
        return Projection(named(value))
    if isinstance(value, dict) and isinstance(value.get("crs"), str):
        return Projection(named(value["crs"]), transform_of(value.get("transform", _IDENTITY)))
    raise TypeError(value)


@algorithm("Projection", "Proj")
def _construct(crs: Any, transform: list[Any] | None, transform_wkt: str | None) -> Projection:
    if transform is not None and transform_wkt is not None:
        raise EngineError("May not specify both 'transform' and 'transformWkt'.")
    try:
        base: Projection = _projection(crs)
    except TypeError as error:
        raise EngineError(f"The CRS must be a string, got {crs!r}.") from error
    if transform is not None:
        return Projection(base.crs, transform_of(transform))
    if transform_wkt is not None:
        return Projection(base.crs, _parsed(transform_wkt))
    return base


def _parsed(wkt: str) -> Transform:
    if not wkt.lstrip().startswith('PARAM_MT["Affine"'):
        raise EngineError(f"The transform is no affine WKT: '{wkt[:100]}'.")
    values = list(_IDENTITY)
    for row, column, value in _ELEMENT.findall(wkt):
        values[3 * int(row) + int(column)] = float(value)
    return transform_of(values)


@algorithm("Projection.transform")
def _transform(projection: Projection) -> str:
    elements = [
        f'PARAMETER["elt_{index // 3}_{index % 3}", {value!r}]'
        for index, (value, identity) in enumerate(zip(projection.transform, _IDENTITY, strict=True))
        if value != identity
    ]
    return (
        ", \n  ".join(['PARAM_MT["Affine"', 'PARAMETER["num_row", 3]', 'PARAMETER["num_col", 3]', *elements])
        + "]"
    )


@algorithm("Projection.crs")
def _crs(projection: Projection) -> str | None:
    return projection.crs if _CODE.fullmatch(projection.crs) else None


@algorithm("Projection.wkt")
def _wkt(projection: Projection) -> str:
    return str(crs_of(projection.crs).to_wkt("WKT1_GDAL", pretty=True))


@algorithm("Projection.nominalScale")
def _nominal_scale(projection: Projection) -> float:
    return projection.nominal_scale


@algorithm("Projection.scale")
def _scale(projection: Projection, x: float, y: float) -> Projection:
    return projection.rescaled(x, y)


@algorithm("Projection.translate")
def _translate(projection: Projection, x: float, y: float) -> Projection:
    return projection.translated(x, y)


@algorithm("Projection.atScale")
def at_scale(projection: Projection, metres: float) -> Projection:
    """The projection with its own units scaled to so many metres: origin and direction of rows stay.

    Raises:
        EngineError: the scale is not positive, or the projection has none.
    """
    if not metres > 0:
        raise EngineError(f"The scale must be positive, got {metres}.")
    if not projection.nominal_scale > 0:
        raise EngineError("The transform of a map projection is singular.")
    factor = metres / projection.nominal_scale
    return projection.rescaled(factor, factor)
