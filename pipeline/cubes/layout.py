"""How the cube is laid out: its variables, their meaning in the words of CF, and how they are cut up.

A cube is looked at in two ways, as the map of a day and as the series of a pixel, and a chunk that suits one
makes the other read everything. With chunks of 32 days and 64 x 64 pixels a province's map takes some 30 ms
and a season's series some 5; 16 of them lie in one file, a shard, or there would be thousands. Measured by
tests/benchmarks/bench_cube.py. Source of names and units: CF conventions 1.11 and its standard name table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from zarr.codecs import BloscCodec

from gee.landcover import CLASSES, FRACTIONS, LAND
from gee.partitions import BAND as PARTITION
from gee.predictors import RAIN_DAYS, Bands
from pipeline.cubes.exported import REGION
from pipeline.cubes.mosaics import Pixels, Window
from pipeline.work.manifest import Manifest

SCHEMA = 1
SCHEMA_NAME = "gee_smap_cube"  # attribute that makes a Zarr store one of ours
METADATA = "zarr.json"  # file of a Zarr group
COMPLETE = "complete"  # attribute of a store that is whole: 1
UNREADABLE = (OSError, ValueError, RuntimeError)  # what Zarr and its codecs raise on damaged files
DAYS, SIDE, INNER = 32, 256, 64  # of a shard: days and pixels; of a chunk in it: pixels
COUNT = "count"
EPOCH = np.datetime64("1970-01-01", "D")
# Nearly twice as fast as zstd, and smaller, on these fields, whose last bits are noise.
CODEC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")


@dataclass(frozen=True)
class Variable:
    """What a variable is.

    Attributes:
        long_name: for people.
        units: as CF has them; empty where values are codes.
        standard_name: CF's, where it has one that fits.
        dtype: as stored.
        missing: what stands for a missing value.
        more: further attributes.
    """

    long_name: str
    units: str = "1"
    standard_name: str = ""
    dtype: str = "float32"
    missing: float = np.nan
    more: Mapping[str, Any] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """Its attributes in the store."""
        named = {"standard_name": self.standard_name, "units": self.units}
        told = {key: value for key, value in named.items() if value}
        return {"long_name": self.long_name, **told, **self.more, "grid_mapping": "spatial_ref"}

    def stored(self, values: Pixels) -> NDArray[Any]:
        """Values as they are stored, from those of the files, in which NaN is missing."""
        if self.dtype == "float32":
            return values
        return np.where(np.isnan(values), self.missing, np.rint(values)).astype(self.dtype)


# Backscatter has no standard name here: CF's is a plain number, and decibels cannot be converted into one.
# Nor have the soils: CF knows fractions of volume, not of mass.
VARIABLES: Mapping[str, Variable] = {
    "ndvi": Variable("normalized difference vegetation index", "1", "normalized_difference_vegetation_index"),
    "ndwi": Variable("normalized difference water index"),
    "nsdsi": Variable("normalized shortwave-infrared difference soil moisture index"),
    "evi": Variable("enhanced vegetation index"),
    "lst": Variable(
        "land surface temperature by day", "degC", "surface_temperature",
        more={"units_metadata": "temperature: on_scale"},
    ),
    "lai": Variable("leaf area index", "m2 m-2", "leaf_area_index"),
    "albedo": Variable("shortwave albedo, mean of black-sky and white-sky", "1", "surface_albedo"),
    "vv": Variable("backscatter, VV polarisation", "dB"),
    "vh": Variable("backscatter, VH polarisation", "dB"),
    "dlst": Variable(
        "land surface temperature by day less that by night", "K",
        more={"units_metadata": "temperature: difference"},
    ),
    **{
        f"rain_{days}": Variable(
            f"precipitation of the {days} days before the day", "mm", "lwe_thickness_of_precipitation_amount"
        )
        for days in RAIN_DAYS
    },
    COUNT: Variable(
        "days with a radar image in the window around the day", "1", "number_of_observations", "int16", 0
    ),
    "sand": Variable("sand in the soil, by mass", "%"),
    "silt": Variable("silt in the soil, by mass", "%"),
    "clay": Variable("clay in the soil, by mass", "%"),
    "dem": Variable("elevation", "m", "surface_altitude"),
    "slope": Variable("slope of the ground, mean over the elevation's own pixels", "degree"),
    "twi": Variable("topographic wetness index ln(a / tan b), mean over the elevation's own pixels", "1"),
    **{
        name: Variable(f"share of the pixel that is {told}")
        for name, told in zip(FRACTIONS, CLASSES.values(), strict=True)
    },
    "lc": Variable(
        "land cover class of the largest share", "", "", "int8", -1,
        {
            "flag_values": [-1, *CLASSES],
            "flag_meanings": " ".join(["missing", *CLASSES.values()]),
        },
    ),
    LAND: Variable("land, not water, as the study says", "1", "land_binary_mask", "uint8", 0),
    PARTITION: Variable("terrain partition", "", "", "int8", 0),
    REGION: Variable("within the study's region", "1", "", "uint8", 0),
}  # fmt: skip


def daily(bands: Bands) -> tuple[str, ...]:
    """The variables of each day, in the order of the monthly images."""
    return (*bands.dynamic, COUNT)


def still(bands: Bands) -> tuple[str, ...]:
    """The variables that do not change."""
    return (*bands.static, PARTITION, REGION)


def windows(grid: GeoBox) -> Iterator[Window]:
    """The parts of a grid that shards cover, row after row."""
    height, width = grid.shape
    for row in range(0, height, SIDE):
        for column in range(0, width, SIDE):
            yield Window(row, column, min(SIDE, height - row), min(SIDE, width - column))


def slabs(days: int) -> Iterator[slice]:
    """The stretches of days that shards cover."""
    for first in range(0, days, DAYS):
        yield slice(first, min(first + DAYS, days))


def attributes(manifest: Manifest) -> dict[str, Any]:
    """What a cube says of itself, whatever it was filled from."""
    simulated = "simulated " if manifest.simulated else ""
    return {
        "Conventions": "CF-1.11",
        "title": f"{manifest.study}: {simulated}daily predictors of soil moisture at 1 km",
        SCHEMA_NAME: SCHEMA,
        "study": manifest.study,
        "study_hash": manifest.study_hash,
        "preset": manifest.preset,
        "simulated": int(manifest.simulated),
        "sources": json.dumps(manifest.sources, sort_keys=True),
        "partition_names": list(manifest.partitions),
        "partition_rule": manifest.partition_rule,
    }


def create(root: zarr.Group, manifest: Manifest) -> None:
    """Make the coordinates, and every variable without values.

    Args:
        root: an empty group.
        manifest: whose grid and days they have.
    """
    grid, days = manifest.grid, manifest.days
    height, width = grid.shape
    for name, coordinate in xr_coords(grid).items():
        told = dict(coordinate.attrs)
        if coordinate.dims:
            told |= {"standard_name": f"projection_{name}_coordinate", "axis": str(name).upper()}
        _coordinate(root, str(name), coordinate.dims, coordinate.to_numpy(), told)
    _coordinate(
        root, "time", ("time",), np.array(days, "datetime64[D]").astype(np.int64),
        {
            "standard_name": "time", "axis": "T", "units": f"days since {EPOCH}",
            "calendar": "proleptic_gregorian",
        },
    )  # fmt: skip
    for name in daily(manifest.bands):
        _variable(
            root, name, ("time", "y", "x"), (len(days), height, width),
            chunks=(DAYS, INNER, INNER), shards=(DAYS, SIDE, SIDE),
        )  # fmt: skip
    for name in still(manifest.bands):
        _variable(root, name, ("y", "x"), (height, width), chunks=(SIDE, SIDE))
    name_partitions(root, manifest)


def name_partitions(root: zarr.Group, manifest: Manifest) -> None:
    """Say which partition each code is, in the words of CF; nothing where there are none."""
    if manifest.partitions:
        root[PARTITION].attrs.update(
            flag_values=list(range(len(manifest.partitions) + 1)),
            flag_meanings=" ".join(["none", *(name.replace(" ", "_") for name in manifest.partitions)]),
        )


def _coordinate(
    root: zarr.Group, name: str, dims: tuple[Any, ...], values: NDArray[Any], told: Mapping[str, Any]
) -> None:
    made = root.create_array(
        name, shape=values.shape, dtype=values.dtype, dimension_names=dims, attributes=dict(told)
    )
    made[...] = values


def _variable(root: zarr.Group, name: str, dims: tuple[str, ...], shape: tuple[int, ...], **cut: Any) -> None:
    variable = VARIABLES[name]
    root.create_array(
        name, shape=shape, dtype=variable.dtype, fill_value=variable.missing, dimension_names=dims,
        compressors=CODEC, attributes=variable.attributes(),
        **cut,
    )  # fmt: skip
