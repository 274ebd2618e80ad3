"""Training cells and their table: the means of the predictors over each 9 km cell of each day, with its SMAP.

Earth Engine's SMAP L4 is a nearest-neighbour copy of EASE-Grid 2.0 cells onto a grid of longitude and
latitude, so a pixel's outline is not the land its value speaks for: in Anhui the two share half their area.
Predictors are therefore averaged over the EASE cell under each pixel's centre, a rectangle of longitude and
latitude. Sources: Brodzik et al. 2012, Earth Engine guides/reducers_reduce_regions; for the 9 km UTM cells of
the paper Xu et al. 2024 section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import ee
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from gee.catalog import SMAP_WARPED, WGS84
from gee.errors import SettingError
from gee.grids import Bounds, crs_transform, ease_cell_of, ease_edges
from gee.target import MOISTURE, OUTAGE

# Verify live: like its transform, the size follows from GDAL's rule for warping the EASE grid.
SMAP_RASTER = GeoBox((1787, 3783), Affine(*SMAP_WARPED), WGS84)

_DIGITS = 9  # decimals of degrees and metres in a request: a tenth of a millimetre


@dataclass(frozen=True)
class Strip:
    """A row or a column of cells, in units of their coordinate system.

    Attributes:
        name: its part of a cell's id.
        low: southern or western edge.
        high: northern or eastern edge.
        smap: where the centre of the SMAP pixel lies that carries its value.
    """

    name: str
    low: float
    high: float
    smap: float

    @property
    def centre(self) -> float:
        """Half way between the edges."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Cells:
    """The cells of a region: every crossing of a row with a column.

    Attributes:
        crs: in which the cells are rectangles.
        rows: from north to south.
        columns: from west to east.
    """

    crs: str
    rows: tuple[Strip, ...]
    columns: tuple[Strip, ...]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.rows) * len(self.columns)

    def ids(self) -> tuple[str, ...]:
        """The cells' ids, row after row."""
        return tuple(f"{row.name}-{column.name}" for row, column in product(self.rows, self.columns))

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of the cells' centres in degrees, in the order of `ids`."""
        x, y = np.meshgrid([strip.centre for strip in self.columns], [strip.centre for strip in self.rows])
        lon, lat = Transformer.from_crs(self.crs, WGS84, always_xy=True).transform(x.ravel(), y.ravel())
        return np.asarray(lon), np.asarray(lat)

    def features(self, region: ee.Geometry | None = None) -> ee.FeatureCollection:
        """The cells as rectangles, made on the server from the lists of rows and columns.

        Args:
            region: keep the cells whose centre lies in it; None keeps all.

        Returns:
            Planar rectangles in the cells' own system, with properties ``cell`` (id), ``lon``, ``lat`` (of
            the centre) and ``smap_lon``, ``smap_lat`` (where the SMAP raster holds the cell's value),
            degrees.
        """
        rows, columns = (
            ee.List(
                [[s.name, *(round(n, _DIGITS) for n in (s.low, s.high, s.centre, s.smap))] for s in strips]
            )
            for strips in (self.rows, self.columns)
        )

        def across(row: ee.List) -> ee.List:
            return columns.map(lambda column: self._centre(ee.List(row), ee.List(column)))

        points = ee.FeatureCollection(rows.map(across).flatten())
        inside = points if region is None else points.filterBounds(region)
        return ee.FeatureCollection(inside.map(self._rectangle))

    def _centre(self, row: ee.List, column: ee.List) -> ee.Feature:
        """A cell as the point at its centre, with its edges as properties."""
        points = {
            name: ee.Geometry.Point([column.get(place), row.get(place)], self.crs).transform(WGS84, 0.001)
            for name, place in (("", 3), ("smap_", 4))
        }
        degrees = {
            f"{name}{axis}": point.coordinates().get(number)
            for name, point in points.items()
            for number, axis in enumerate(("lon", "lat"))
        }
        edges = [column.get(1), row.get(1), column.get(2), row.get(2)]
        cell = ee.String(row.get(0)).cat("-").cat(column.get(0))
        return ee.Feature(points[""], {"cell": cell, "edges": edges, **degrees})

    def _rectangle(self, point: ee.Feature) -> ee.Feature:
        rectangle = ee.Geometry.Rectangle(ee.List(point.get("edges")), self.crs, False)
        return ee.Feature(point.setGeometry(rectangle)).select(["cell", "lon", "lat", "smap_lon", "smap_lat"])


def ease_cells(bounds: Bounds, raster: GeoBox = SMAP_RASTER) -> Cells:
    """The EASE-Grid 2.0 cells that Earth Engine's SMAP raster holds in a region.

    The raster's pixels are larger than the cells up to some 43 degrees of latitude: there 15 % of the cells
    have no pixel and are left out, and none has two. Poleward of it a cell has several with the same value,
    and the one nearest to its centre stands for it.

    Args:
        bounds: of the region; a cell belongs to it by its centre.
        raster: grid of the SMAP asset, of longitude and latitude with rows that run southwards.

    Raises:
        SettingError: the raster is not such a grid, or no cell lies in the bounds.
    """
    scale_x, shear_x, left, shear_y, scale_y, top = crs_transform(raster)
    if str(raster.crs) != WGS84 or shear_x or shear_y or scale_x <= 0 or scale_y >= 0:
        raise SettingError(
            f"The SMAP asset lies on {raster.crs} {crs_transform(raster)}, not on an upright grid of "
            'longitude and latitude: EASE cells cannot be found in it. Choose registration = "utm".'
        )
    west, south, east, north = bounds
    lon: NDArray[np.float64] = left + scale_x * (np.arange(raster.shape.x, dtype=np.float64) + 0.5)
    lat: NDArray[np.float64] = top + scale_y * (np.arange(raster.shape.y, dtype=np.float64) + 0.5)
    reach_x, reach_y = 2 * scale_x, -2 * scale_y
    lon = lon[(lon > west - reach_x) & (lon < east + reach_x)]
    lat = lat[(lat > south - reach_y) & (lat < north + reach_y) & (np.abs(lat) < ease_edges()[1][0])]
    _, columns = ease_cell_of(lon, np.zeros_like(lon))
    rows, _ = ease_cell_of(np.zeros_like(lat), lat)
    lon_edges, lat_edges = ease_edges()
    found = Cells(
        WGS84,
        _strips(rows, lat, lat_edges[1:], lat_edges[:-1], (south, north)),
        _strips(columns, lon, lon_edges[:-1], lon_edges[1:], (west, east)),
    )
    if not len(found):
        raise SettingError(
            f"No 9 km cell of SMAP has its centre within {west:g} to {east:g} E, {south:g} to {north:g} N: "
            "give a larger region."
        )
    return found


def _strips(
    numbers: NDArray[np.intp],
    pixels: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    limits: tuple[float, float],
) -> tuple[Strip, ...]:
    """One strip for each row or column of EASE cells that carries a raster pixel, in growing order."""
    nearest: dict[int, Strip] = {}
    for number, pixel in zip(numbers.tolist(), pixels.tolist(), strict=True):
        strip = Strip(f"{number:04d}", float(low[number]), float(high[number]), pixel)
        other = nearest.get(number)
        if limits[0] <= strip.centre < limits[1] and (
            other is None or abs(pixel - strip.centre) < abs(other.smap - strip.centre)
        ):
            nearest[number] = strip
    return tuple(nearest[number] for number in sorted(nearest))


def utm_cells(grid: GeoBox) -> Cells:
    """The pixels of a coarse grid as cells, each with the SMAP pixel under its centre.

    It is what Xu et al. 2024 section 3.3 amounts to on Earth Engine. For some four in ten of them the value
    belongs to the land under the centre; `ease_cells` mends that.

    Args:
        grid: coarse, such as ``grids.coarse`` gives.
    """
    box, side = grid.boundingbox, abs(grid.affine.a)

    def strip(number: int, low: float) -> Strip:
        return Strip(f"{number:03d}", low, low + side, low + side / 2)

    rows = (strip(number, box.top - side * (number + 1)) for number in range(grid.shape.y))
    columns = (strip(number, box.left + side * number) for number in range(grid.shape.x))
    return Cells(str(grid.crs), tuple(replace(row, name=f"u{row.name}") for row in rows), tuple(columns))


def cell_means(
    image: ee.Image, cells: ee.FeatureCollection, grid: GeoBox, bands: Sequence[str], keep: Sequence[str]
) -> ee.FeatureCollection:
    """One image's mean over each cell.

    Args:
        image: on the fine grid.
        cells: as ``Cells.features`` gives.
        grid: fine grid.
        bands: of the image; numbers, for classes their fractions.
        keep: properties of the cells.

    Returns:
        Features without geometry with those properties, and for each band its mean over the valid part of
        the cell, weighted by area and absent where nothing is valid, and ``<band>_valid``, the valid share of
        the cell.
    """
    table = _with_means(image, cells.select(list(keep)), grid, bands)
    return ee.FeatureCollection(table.select([*keep, *bands, *valid_names(bands)], None, False))


def _with_means(
    image: ee.Image, cells: ee.FeatureCollection, grid: GeoBox, bands: Sequence[str]
) -> ee.FeatureCollection:
    values = ee.Image(image).select(list(bands))
    seen = values.mask().unmask(0, False).rename(valid_names(bands))
    return ee.FeatureCollection(
        values.addBands(seen).reduceRegions(
            collection=cells,
            reducer=ee.Reducer.mean(),
            crs=str(grid.crs),
            crsTransform=crs_transform(grid),
        )
    )


def valid_names(bands: Sequence[str]) -> list[str]:
    """The properties that hold the valid shares of bands."""
    return [f"{band}_valid" for band in bands]


def cell_table(
    images: ee.ImageCollection,
    cells: ee.FeatureCollection,
    grid: GeoBox,
    bands: Sequence[str],
    power: Sequence[str] = (),
    smap: ee.ImageCollection | None = None,
    keep: Sequence[str] = (),
) -> ee.FeatureCollection:
    """The table to learn from: one feature for each day and cell.

    Args:
        images: one a day, ``system:time_start`` 00:00 UTC, on the fine grid.
        cells: as ``Cells.features`` gives.
        grid: fine grid.
        bands: of the images.
        power: those of them that are linear power and become dB after the mean.
        smap: one a day as ``target.smap_series`` gives, for every day of the images; None for a table
            without target.
        keep: further properties of the cells, such as ``partition``.

    Returns:
        Features without geometry: ``cell, lon, lat, smap_lon, smap_lat``, those of ``keep``, ``date``
        (YYYY-MM-DD), ``doy`` (1..366); the bands' means and valid shares as of `cell_means`; ``sm`` (m³/m³,
        absent where SMAP has no value) and ``smap_outage`` (1 or 0).
    """
    kept = list(dict.fromkeys(["cell", "lon", "lat", "smap_lon", "smap_lat", *keep]))
    target = [] if smap is None else [MOISTURE, OUTAGE]
    wanted = [*kept, "date", "doy", *bands, *valid_names(bands), *target]

    def of_day(image: ee.Image) -> ee.FeatureCollection:
        day = ee.Image(image).date()
        table = _with_means(image, cells.select(kept), grid, bands)
        known: dict[str, object] = {
            "date": day.format("YYYY-MM-dd"),
            "doy": day.getRelative("day", "year").add(1),
        }
        if smap is not None:
            moisture = ee.Image(smap.filterDate(day, day.advance(1, "day")).first())
            table = moisture.select(MOISTURE).reduceRegions(
                collection=table.map(_at_smap_pixel), reducer=ee.Reducer.first().setOutputs([MOISTURE])
            )
            known[OUTAGE] = moisture.get(OUTAGE)
        return table.map(lambda row: _in_decibels(ee.Feature(row), power).set(known))

    return ee.FeatureCollection(images.map(of_day)).flatten().select(wanted, None, False)


def _at_smap_pixel(row: ee.Feature) -> ee.Feature:
    return ee.Feature(row).setGeometry(ee.Geometry.Point([row.get("smap_lon"), row.get("smap_lat")]))


def _in_decibels(row: ee.Feature, power: Sequence[str]) -> ee.Feature:
    """Power as dB where there is any: what is absent must stay so, and no number can be made of it."""
    linear = row.toDictionary().select(list(power), True)
    return ee.Feature(row.set(linear.map(lambda _, value: ee.Number(value).log10().multiply(10))))
