"""A page of what stations tell of somebody's maps, for whoever has no work directory.

The maps may be shared ones, or a table of predictions; the sections are those of the report of a study.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from pipeline.errors import DataError
from pipeline.products import predictions
from pipeline.products.predictions import Made
from pipeline.reporting import rain, stations, triple, verdicts
from pipeline.reporting.content import Block, Facts, Listing, Points, Section, Table, Words
from pipeline.reporting.content import Column as Heading
from pipeline.reporting.page import Page, ReportPage, template, write_page
from pipeline.scores import rain as rains
from pipeline.scores import triple as triples
from pipeline.scores import validated
from pipeline.scores.evidence import Folders

NAME = "report.html"


def write_scores_page(folders: Folders, name: str, command: str) -> ReportPage:
    """Write the page of a validation into its folder.

    Args:
        folders: of the results.
        name: of what was validated.
        command: that makes it again.

    Raises:
        DataError: a result is damaged or missing, or the page cannot be written.
    """
    scores = validated.read(folders.validation)
    if scores is None:
        raise DataError(f"{folders.validation} holds no validation: gee-smap validate makes one")
    fallen, errors = rains.read(folders.rain), triples.read(folders.triple)
    made = predictions.read(folders.validation)
    pairs = scores.summary["pairs"]
    page = Page(
        name=name,
        under=f"at stations · {pairs['first_date']} to {pairs['last_date']} · gee-smap",
        sections=(
            Section("short", "In short", (Points(tuple(_in_short(scores, fallen, errors))),)),
            Section("done", "What was done", tuple(_done(scores, made))),
            stations.section(scores, command),
            rain.section(fallen, f"{command} --rain"),
            triple.section(errors, f"{command} --product NAME=SOURCE --triplet sm,insitu,NAME"),
            Section("again", "How to run it again", (Listing(command, "Command"),)),
        ),
        simulated=("the maps or the stations",) if scores.summary["simulated"] else (),
        wholly=False,
        mismatches=(),
        facts={"name": name, "properties": dict(made.properties) if made else {}},
    )
    content = json.dumps([page.as_dict(), template()], default=str, sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()
    return write_page(page, folders.validation / NAME, key)


def _in_short(
    scores: validated.ValidationResult,
    fallen: rains.RainResponse | None,
    errors: triples.TripleCollocation | None,
) -> Iterator[tuple[str, str]]:
    found = list(verdicts.at_stations(scores.summary))
    for text in found or ["There is no raw SMAP beside the maps, so nothing is said of a gain over it."]:
        yield "Stations.", text
    if fallen:
        yield "Rain.", rain.in_short(fallen)
    if errors:
        yield "Triple collocation.", triple.in_short(errors)


def _done(scores: validated.ValidationResult, made: Made | None) -> Iterator[Block]:
    summary = scores.summary
    inputs = summary["inputs"]
    yield Facts((
        ("Predictions", str(inputs["predictions"]["path"])),
        ("In situ", str(inputs["insitu"]["path"])),
        ("Pairs", f"{summary['pairs']['used']:,} at {summary['stations']['scored']:,} stations"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in summary["versions"].items())),
    ))  # fmt: skip
    if made and made.products:
        rows = tuple({"title": one.title, "column": one.name, "source": one.source} for one in made.products)
        headings = (
            Heading("title", "Product"), Heading("column", "Column", code=True),
            Heading("source", "Read from", prose=True),
        )  # fmt: skip
        yield Table("products", "Products", headings, rows)
    if made and made.properties:
        told = sorted((name, str(value)) for name, value in made.properties.items())
        yield Words("What the collection says of itself:")
        yield Facts(tuple(told))
