"""Layers on geemap's interactive map, with their legends, for notebooks.

geemap is an extra that only a notebook needs, so it is imported when a map is asked for. It has two kinds of
map, ipyleaflet's, which answers clicks, and folium's, which also lives on in a saved page; both are made here
by the same calls.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

from gee.layers import Layer, Scale
from pipeline.errors import ConfigError

Backend = Literal["ipyleaflet", "folium"]
Bounds = tuple[float, float, float, float]
MODULES: dict[Backend, str] = {"ipyleaflet": "geemap.geemap", "folium": "geemap.foliumap"}


def notebook_map(
    layers: Sequence[Layer], bounds: Bounds | None = None, backend: Backend = "ipyleaflet", **options: Any
) -> Any:
    """Make a map of layers.

    Args:
        layers: from the lowest to the highest; ee must be connected.
        bounds: west, south, east, north in degrees to look at; None shows the world.
        backend: kind of map.
        options: of geemap's ``Map``, such as ``height``.

    Returns:
        A ``geemap.Map``. Each legend of a layer that is shown stands on it once; hidden layers tell their
        limits in their names.

    Raises:
        ConfigError: geemap is not installed.
    """
    drawn = _geemap(backend).Map(ee_initialize=False, **options)
    for layer in layers:
        drawn.add_layer(layer.image, layer.parameters(), layer.name, layer.shown, layer.opacity)
    for legend in dict.fromkeys(layer.legend for layer in layers if layer.shown and layer.legend):
        if isinstance(legend, Scale):
            label = f"{legend.title} ({legend.unit})" if legend.unit else legend.title
            drawn.add_colorbar(legend.parameters(), label=label)
        else:
            colours = {name: legend.colour(number) for number, name in enumerate(legend.names)}
            drawn.add_legend(title=legend.title, legend_dict=colours)
    if bounds is not None:
        drawn.zoom_to_bounds(bounds)
    if backend == "folium":
        drawn.add_layer_control()
    return drawn


def _geemap(backend: Backend) -> ModuleType:
    try:
        package = importlib.import_module("geemap")
        # The package's star imports hide the module of this name, which its folium half needs.
        package.basemaps = importlib.import_module("geemap.basemaps")  # type: ignore[attr-defined]
        return importlib.import_module(MODULES[backend])
    except ImportError as error:
        raise ConfigError(f"A map in a notebook needs geemap ({error}): pip install geemap") from error
