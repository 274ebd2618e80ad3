"""What is common to figures: the mark of simulated data, and the files they are saved in."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline.figures.style import headline, save_chart, saved


def chart(simulated: bool = False) -> Figure:
    figure = Figure(figsize=(3, 2), layout="constrained")
    figure.subplots().plot([1, 2, 3])
    headline(figure, "A line", simulated, "three points")
    return figure


def test_a_chart_is_a_png_and_an_svg_of_the_same_shape_and_equal_ones_are_equal(tmp_path: Path) -> None:
    for name in ("St. Mary", "again"):
        save_chart(chart(), tmp_path, name)
    found = saved(tmp_path, ["St. Mary", "again", "never"])
    assert set(found) == {"St. Mary.png", "St. Mary.svg", "again.png", "again.svg"}
    assert found["St. Mary.svg"] == found["again.svg"]
    assert found["St. Mary.png"] == found["again.png"]
    with Image.open(tmp_path / "again.png") as picture:
        wide, high = picture.size
    head = found["again.svg"].decode().partition("viewBox=")[2].split('"')[1].split()
    assert float(head[2]) / float(head[3]) == pytest.approx(wide / high, rel=0.02)


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_marked_in_the_title_and_across_the_figure(simulated: bool) -> None:
    figure = chart(simulated)
    marks = [text.get_text() for text in figure.texts]
    assert ("SIMULATED DATA" in marks) == simulated
    assert figure.get_suptitle().startswith("SIMULATED DATA") == simulated
