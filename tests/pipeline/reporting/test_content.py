"""What sections are written in: numbers with intervals, tables of data frames, results that fall short."""

from __future__ import annotations

import csv
import io
import json
from math import nan
from pathlib import Path

import pandas as pd
import pytest

from pipeline.reporting.content import (
    Absent,
    Column,
    Figure,
    Folded,
    Points,
    Section,
    Table,
    Words,
    bounded,
    figures,
    notes,
    remarks,
    with_interval,
)
from pipeline.reporting.page import Page, write_page

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


@pytest.mark.parametrize(
    ("numbers", "form", "told"),
    [
        ((-0.014, -0.029, 0.0), "+.3f", "−0.014 [−0.029, 0.000]"),
        ((-0.0139, -0.0291, -0.00022), "+.3f", "−0.014 [−0.0291, −0.0002]"),
        ((0.0139, 0.00004, 0.0291), ".3f", "0.014 [0.00004, 0.02910]"),
        ((0.5, 1e-12, 0.9), ".2f", "0.50 [0.000000, 0.900000]"),
        ((0.5, -0.001, 0.9), ".2f", "0.50 [0.00, 0.90]"),
        ((1.5, nan, nan), ".1f", "1.5"),
        ((0.0, 0.0, 0.0), ".3f", "0.000 [0.000, 0.000]"),
    ],
)
def test_an_interval_beside_zero_is_never_written_as_if_it_ended_there(
    numbers: tuple[float, float, float], form: str, told: str
) -> None:
    assert with_interval(*numbers, form) == told
    column = Column.measured("gap", "Gap", form)
    row = bounded("gap", *numbers)
    assert f"{column.text(row)} {column.bounds(row)}".strip() == told


def test_a_table_of_a_frame_has_its_rows_with_counts_as_counts_and_gaps_as_gaps() -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "n": [3.0, nan], "share": [nan, 0.5], "more": [1, 2]})
    columns = (Column("name", "Name"), Column("n", "Count", ",d"), Column("share", "Share", "%"))

    table = Table.of("t", "T", columns, frame)

    assert [[column.text(row) for column in columns] for row in table.rows] == [
        ["a", "3", "–"], ["b", "–", "50.0 %"]
    ]  # fmt: skip
    assert list(csv.DictReader(io.StringIO(table.csv()))) == [
        {"name": "a", "n": "3", "share": "", "more": "1"}, {"name": "b", "n": "", "share": "0.5", "more": "2"}
    ]  # fmt: skip


def test_only_the_first_of_several_remarks_is_led_in_and_no_notes_are_no_list() -> None:
    assert list(remarks(["One.", "Two."], "See.")) == [Words("One.", "See.", True), Words("Two.", "", True)]
    assert list(notes([])) == []
    assert list(notes(["One."])) == [Points((("", "One."),))]


@pytest.mark.parametrize("error", [KeyError("rmse"), TypeError("no number"), ValueError("no date")])
def test_a_result_that_lacks_something_costs_its_section_and_tells_the_command(error: Exception) -> None:
    def blocks(found: str) -> list[Words]:
        if found == "short":
            raise error
        return [Words(found)]

    absent = Absent("Not made.", "gee-smap make")
    assert Section.of("s", "S", None, blocks, absent).blocks == (absent,)
    assert Section.of("s", "S", "whole", blocks, absent).blocks == (Words("whole"),)
    [told] = Section.of("s", "S", "short", blocks, absent).blocks
    assert isinstance(told, Absent)
    assert told.command == "gee-smap make"
    assert str(error) in told.text


def test_figures_that_are_there_come_in_the_order_of_the_page_with_their_charts() -> None:
    told = {"b": ("see b", "b shows"), "a": ("see a", "a shows"), "c": ("see c", "c shows")}
    found = list(figures({"a.png": b"A", "b.png": b"B", "b.svg": b"<svg/>", "c.svg": b"<svg/>"}, told, "x-"))
    assert [(one.name, one.png, one.svg, one.alt) for one in found] == [
        ("x-b", b"B", b"<svg/>", "see b"), ("x-a", b"A", b"", "see a")
    ]  # fmt: skip


def test_every_figure_folded_ones_too_lies_beside_the_page_and_is_linked(tmp_path: Path) -> None:
    inner = Figure("bees of a&b", PNG, "bees", "Bees.")
    blocks = (Figure("chart", PNG, "a chart", "A chart.", b"<svg/>"), Folded("More", (inner,)))
    page = Page("n", "u", (Section("s", "S", blocks),), (), False, (), {})

    made = write_page(page, tmp_path / "report.html", "key")

    text = made.path.read_text(encoding="utf-8")
    for name, content in (("chart.png", PNG), ("chart.svg", b"<svg/>"), ("bees of a&b.png", PNG)):
        assert (made.folder / name).read_bytes() == content
        assert name in made.files
    assert 'href="report/bees%20of%20a%26b.png"' in text
    assert 'href="report/chart.svg"' in text
    assert "bees of a&b.svg" not in made.files
    assert set(json.loads((made.folder / "made.json").read_text(encoding="utf-8"))["files"]) == set(
        made.files
    )
