"""What all figures share: fonts, units, the title, the mark of simulated data, and how they are saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

UNIT = "m³/m³"
GREY = "#777777"
DPI = 200

styled = mpl.rc_context(
    {
        "font.size": 10.0,
        "axes.titlesize": 10.0,
        "axes.labelsize": 10.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "legend.fontsize": 9.5,
        "lines.solid_joinstyle": "round",
    }
)


LOOK: dict[str, Any] = {"dpi": DPI, "bbox_inches": "tight", "pad_inches": 0.08}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, format="png", metadata={"Software": "gee-smap"}, **LOOK)


def save_chart(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PNG and as SVG, which has the layout of the PNG; equal figures give equal files.

    Args:
        figure: of shapes; a map's pixels make a large SVG and no better one.
        folder: that holds both.
        name: of the files without a suffix; a dot in it is a letter like others.
    """
    save(figure, folder / f"{name}.png")
    figure.set_layout_engine("none")
    with mpl.rc_context({"svg.hashsalt": "gee-smap"}):
        figure.savefig(folder / f"{name}.svg", format="svg", metadata={"Date": None}, **LOOK)


def saved(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """What :func:`save` and :func:`save_chart` left of these figures, by name of the file."""
    paths = [folder / f"{name}{suffix}" for name in names for suffix in (".png", ".svg")]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def headline(figure: Figure, text: str, simulated: bool, note: str) -> None:
    """The title and, where the data are made up, a mark that cropping does not remove."""
    if simulated:
        text = f"SIMULATED DATA. {text}"
        look: dict[str, Any] = {"ha": "center", "va": "center", "rotation": 20, "fontweight": "bold"}
        figure.text(
            0.5,
            0.5,
            "SIMULATED DATA",
            fontsize=6 * figure.get_figwidth() ** 0.8,
            color=GREY,
            alpha=0.28,
            zorder=10,
            **look,
        )
    title = figure.suptitle(f"{text}\n{note}", fontsize=10, x=0.01, ha="left")
    title.set_color("#B00020" if simulated else "black")
