"""The palettes of ``gee.layers`` in Matplotlib's terms, so that a figure and a map layer look alike."""

from __future__ import annotations

from matplotlib.colors import Colormap, LinearSegmentedColormap

from gee.layers import Key, Scale


def colormap(scale: Scale) -> Colormap:
    """The colours of a scale from its first stop to its last, linear in RGB between them."""
    return LinearSegmentedColormap.from_list(scale.title, [f"#{stop}" for stop in scale.stops])


def colours(key: Key) -> tuple[str, ...]:
    """The colour of each name of a key, as ``#RRGGBB``."""
    return tuple(f"#{key.colour(number)}" for number in range(len(key.names)))
