"""Bodies of the requests that compute something, as the REST reference describes them.

Fields that are unknown or of the wrong type are refused in the wording of Google's APIs; a field given
as null counts as absent, as it does there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from gee.local.errors import EngineError
from gee.local.geometry.projections import Transform


class Message(BaseModel):
    """Base of all messages: lowerCamelCase names, nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=False
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, body: Any) -> Any:
        if isinstance(body, Mapping):
            return {key: value for key, value in body.items() if value is not None}
        return body

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The message of a JSON object.

        Raises:
            EngineError: a field is unknown, missing or of the wrong type.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            *parents, name = [str(part) for part in first["loc"]] or [""]
            if first["type"] == "extra_forbidden":
                where = f" at '{'.'.join(parents)}'" if parents else ""
                what = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
            elif first["type"] == "missing":
                what = f"Invalid JSON payload received. Field '{'.'.join([*parents, name])}' is required."
            else:
                what = f"Invalid value at '{'.'.join([*parents, name])}': {first['msg']}."
            raise EngineError(what) from error


class GridDimensions(Message):
    """Size of a grid in pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class AffineTransform(Message):
    """From pixels to coordinates; a term that is not given is 0, as in every proto message."""

    scale_x: float = 0.0
    shear_x: float = 0.0
    translate_x: float = 0.0
    shear_y: float = 0.0
    scale_y: float = 0.0
    translate_y: float = 0.0

    @property
    def transform(self) -> Transform:
        """In the order of ``crs_transform``.

        Raises:
            EngineError: it is singular.
        """
        terms = (self.scale_x, self.shear_x, self.translate_x, self.shear_y, self.scale_y, self.translate_y)
        if not all(map(math.isfinite, terms)) or self.scale_x * self.scale_y == self.shear_x * self.shear_y:
            raise EngineError("Invalid value at 'grid.affineTransform': the transform is not invertible.")
        return terms


class PixelGrid(Message):
    """The grid of a request; what it leaves out is the image's own."""

    dimensions: GridDimensions | None = None
    affine_transform: AffineTransform | None = None
    crs_code: str | None = None
    crs_wkt: str | None = None

    @property
    def crs(self) -> str | None:
        """Code or WKT."""
        return self.crs_code or self.crs_wkt


class DoubleRange(Message):
    """What is mapped onto black and white."""

    min: float = 0.0
    max: float = 0.0


class DoubleValue(Message):
    """A number that may be absent."""

    value: float = 0.0


class VisualizationOptions(Message):
    """How bands become colours."""

    ranges: list[DoubleRange] = []
    palette_colors: list[str] = []
    gamma: DoubleValue | None = None
    opacity: DoubleValue | None = None

    @field_validator("gamma", "opacity", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return {"value": value} if isinstance(value, (int, float)) else value

    def arguments(self) -> dict[str, Any]:
        """Those of ``Image.visualize``."""
        wanted: dict[str, Any] = {}
        if self.ranges:
            wanted["min"] = [one.min for one in self.ranges]
            wanted["max"] = [one.max for one in self.ranges]
        if self.palette_colors:
            wanted["palette"] = list(self.palette_colors)
        if self.gamma is not None:
            wanted["gamma"] = self.gamma.value
        if self.opacity is not None:
            wanted["opacity"] = self.opacity.value
        return wanted


class ComputeValue(Message):
    """Of ``value:compute``."""

    expression: dict[str, Any]
    workload_tag: str | None = None


class Rendering(Message):
    """What every request for pixels says about them."""

    file_format: str = "AUTO_JPEG_PNG"
    grid: PixelGrid = PixelGrid()
    band_ids: list[str] = []
    visualization_options: VisualizationOptions | None = None
    workload_tag: str | None = None


class GetPixels(Rendering):
    """Of an asset's ``:getPixels``."""

    region: dict[str, Any] | None = None


class ComputePixels(Rendering):
    """Of ``image:computePixels``."""

    expression: dict[str, Any]


class CreateMap(Rendering):
    """Of ``maps``."""

    expression: dict[str, Any]
    name: str | None = None


class CreateThumbnail(GetPixels):
    """Of ``thumbnails``."""

    expression: dict[str, Any]
    filename_prefix: str | None = None
    name: str | None = None


class ComputeFeatures(Message):
    """Of ``table:computeFeatures`` and ``imageCollection:computeImages``."""

    expression: dict[str, Any]
    page_size: int = Field(default=0, ge=0)
    page_token: str = ""
    workload_tag: str | None = None


class CreateTable(Message):
    """Of ``tables``: a feature collection to be downloaded."""

    expression: dict[str, Any]
    file_format: str = "CSV"
    selectors: list[str] = []
    filename: str | None = None
    name: str | None = None
    workload_tag: str | None = None
