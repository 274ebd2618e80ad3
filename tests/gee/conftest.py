"""An Earth Engine in this process, to which tests give datasets of their own making."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import ee
import numpy as np
import pytest
from ee import apitestcase
from numpy.typing import NDArray

import gee.local.algorithms  # noqa: F401  (registers the algorithms)
from gee.local import graph
from gee.local.assets.library import collection_of, table_of
from gee.local.context import Context, working
from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.raster.cache import TileCache
from gee.local.raster.images import Image
from gee.local.raster.scenes import image_from_scene
from gee.local.results.encoding import encode
from gee.local.sources import catalogue
from gee.local.sources.dataset import BandSpec, Dataset, RasterGrid, Scene, Slot, reader
from gee.local.values import Collection

Masked = np.ma.MaskedArray[Any, Any]
Bands = Mapping[str, "Masked | NDArray[Any]"]
DAY_MS = 86_400_000


@pytest.fixture(scope="session")
def offline_client() -> Iterator[None]:
    """The ee client with the algorithm list it ships, and no network."""
    case = apitestcase.ApiTestCase("run")
    case.InitializeApi()
    yield
    ee.Reset()


@dataclass
class Earth:
    """What expressions find and how their values are looked at; the simulated catalogue stands behind."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    """The asset id of every scene whose pixels were read, once per reading."""

    def put(
        self,
        asset_id: str,
        grid: RasterGrid,
        images: Sequence[tuple[str, Bands] | tuple[str, Bands, Mapping[str, object]]],
    ) -> None:
        """Make an image collection.

        Args:
            asset_id: also one of the catalogue, which it replaces.
            grid: of all its images.
            images: ISO time (UTC), arrays of the grid's shape by band (masked ones mask), properties.
        """
        slots, built = [], {}
        for number, (time, bands, *properties) in enumerate(images):
            start = round(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() * 1000)
            index = f"{time[:10].replace('-', '_')}_{number}"
            specs = tuple(BandSpec(name, np.ma.getdata(values).dtype.name) for name, values in bands.items())
            slot = Slot(start, start + DAY_MS, index)
            slots.append(slot)
            name, more = f"{asset_id}/{index}", properties[0] if properties else {}
            read = self._reader(name, grid, specs, bands)
            built[index] = Scene(name, index, start, slot.end, grid, specs, more, None, read)
        self.datasets[asset_id] = Dataset(
            asset_id, "IMAGE_COLLECTION", {}, lambda: sorted(slots), lambda slot: built[slot.index]
        )

    def put_image(self, asset_id: str, grid: RasterGrid, bands: Bands) -> None:
        """Make a single image."""
        specs = tuple(BandSpec(name, np.ma.getdata(values).dtype.name) for name, values in bands.items())
        scene = Scene(
            asset_id, asset_id.rpartition("/")[2], 0, 1, grid, specs, {}, None,
            self._reader(asset_id, grid, specs, bands),
        )  # fmt: skip
        self.datasets[asset_id] = Dataset(
            asset_id, "IMAGE", {}, lambda: [Slot(0, 1, scene.index)], lambda slot: scene
        )

    def _reader(self, name: str, grid: RasterGrid, specs: tuple[BandSpec, ...], bands: Bands) -> Any:
        def compute(names: tuple[str, ...], window: Any) -> dict[str, Any]:
            self.reads.append(name)
            here = np.s_[window.row : window.row + window.height, window.col : window.col + window.width]
            return {
                band: (np.ma.getdata(bands[band])[here], ~np.ma.getmaskarray(bands[band])[here])
                for band in names
            }

        return reader(grid, specs, compute)

    def image(self, asset_id: str) -> Image:
        """For the engine: the image of an id."""
        dataset = self._find(asset_id)
        if dataset is not None:
            [scene] = dataset.scenes()
            return image_from_scene(scene)
        parent, _, index = asset_id.rpartition("/")
        return image_from_scene(self._needed(parent).scene(index))

    def collection(self, asset_id: str) -> Collection:
        """For the engine: the collection of an id."""
        return collection_of(self._needed(asset_id), {"system:id": asset_id})

    def table(self, asset_id: str) -> Collection:
        """For the engine: the simulated table of an id."""
        return table_of(self._needed(asset_id), {"system:id": asset_id})

    def _find(self, asset_id: str) -> Dataset | None:
        return self.datasets.get(asset_id) or catalogue.find(asset_id)

    def _needed(self, asset_id: str) -> Dataset:
        dataset = self._find(asset_id)
        if dataset is None:
            raise EngineError(f"Asset '{asset_id}' not found.")
        return dataset

    def evaluate(self, thing: Any) -> Any:
        """The engine's own value of an ee object, through the JSON a server would get."""
        expression = json.loads(json.dumps(ee.serializer.encode(thing, for_cloud_api=True)))
        return graph.evaluate(graph.decode(expression))

    def value(self, thing: Any) -> Any:
        """What getInfo gives."""
        return encode(self.evaluate(thing))

    def pixels(self, image: Any, grid: RasterGrid) -> dict[str, Masked]:
        """Every band of an image on a grid, masked where invalid."""
        value = self.evaluate(image)
        assert isinstance(value, Image)
        wanted = Grid(Projection(grid.crs, grid.transform), grid.width, grid.height)
        return {
            band.name: np.ma.MaskedArray(
                np.broadcast_to(raster.values, (grid.height, grid.width)), ~raster.valid(wanted.shape)
            )
            for band, raster in zip(value.bands, value.read(wanted), strict=True)
        }


@pytest.fixture
def earth(offline_client: None) -> Iterator[Earth]:
    """An Earth Engine in this process."""
    made = Earth()
    with working(Context(library=made, tiles=TileCache(256 * 2**20))):
        yield made
