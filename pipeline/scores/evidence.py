"""All that stations can tell of maps: scores, the response to rain, and errors by triple collocation.

Scores are what was asked for, so what prevents them is an error. The rest is made where it can be: a network
that is down, a station without rain or products that hang together leave a sentence instead of a result.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gee.target import BINS
from gee.timeseries import Calendar
from pipeline.errors import DataError, GeeSmapError, of_gee
from pipeline.insitu.daily import Reading, daily_file, daily_rows
from pipeline.insitu.matching import Window
from pipeline.products.predictions import predictions_at, published_at
from pipeline.products.product import Product
from pipeline.products.published import published
from pipeline.progress import Report, within
from pipeline.scores import rain as rains
from pipeline.scores import triple as triples
from pipeline.scores import trust, validated
from pipeline.scores.rain import RainResponse, respond
from pipeline.scores.rainfall import rain_at
from pipeline.scores.series import RAIN
from pipeline.scores.triple import TripleCollocation, collocate
from pipeline.scores.validate import validate
from pipeline.scores.validated import ValidationResult
from pipeline.tables.pairs import read_tables
from pipeline.tables.reading import Table
from pipeline.tables.titles import SMCI
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir

READ, MADE, WEIGHED = 0.2, 0.5, 0.95  # shares of the whole work after each part
VALIDATED, ANSWERED = 0.5, 0.9  # shares of weighing
INSITU, PREDICTIONS = "insitu.parquet", "predictions.parquet"


@dataclass(frozen=True)
class Folders:
    """Where results go.

    Attributes:
        validation: of the scores at stations.
        rain: of the response to rain.
        triple: of triple collocation.
    """

    validation: Path
    rain: Path
    triple: Path

    @classmethod
    def of(cls, work: WorkDir) -> Folders:
        """A work directory's own."""
        return cls(work.validation, work.rain, work.triple)

    @classmethod
    def below(cls, out: Path) -> Folders:
        """One folder for all."""
        return cls(out, out / "rain", out / "triple")


@dataclass(frozen=True)
class Asked:
    """What is to be found out beside the scores.

    Attributes:
        rain: ask the engine for CHIRPS's rain at stations; without it only the rain that the in-situ table
            itself has (a column ``rain`` of daily values) is looked at.
        triplet: three columns for triple collocation; None takes the probes, the maps and the first product
            that is independent of both, if there is one.
        independent: products whose errors the user says have nothing to do with the others'.
        minimum_pairs: stations with fewer are not scored.
        confidence: of every interval.
    """

    rain: bool = False
    triplet: tuple[str, ...] | None = None
    independent: tuple[str, ...] = ()
    minimum_pairs: int = 10
    confidence: float = 0.95


@dataclass(frozen=True)
class Evidence:
    """What stations tell.

    Attributes:
        validation: the scores.
        rain: the response to rain; None where nothing was looked at.
        triple: errors by triple collocation; None where there are no three products.
        notes: what the user should know.
        insitu: the daily values that all of it rests on.
    """

    validation: ValidationResult
    rain: RainResponse | None
    triple: TripleCollocation | None
    notes: tuple[str, ...]
    insitu: Path

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            **self.validation.summary,
            "rain": self.rain.as_dict() if self.rain else None,
            "triple": self.triple.as_dict() if self.triple else None,
            "notes": list(self.notes),
        }


def of_table(
    predictions: Path, insitu: Path, out: Path, how: Reading, asked: Asked, report: Report
) -> Evidence:
    """Weigh a table of predictions, which says itself which products it has.

    Args:
        predictions: see `pipeline.scores.validate.validate`.
        insitu: see `pipeline.insitu.daily.daily_file`.
        out: folder for all results.
        how: readings are taken.
        asked: what is to be found out.
        report: told what is being done and the share of it that is done.

    Raises:
        ConfigError: an option is of no use to such a file.
        DataError: the tables cannot be used, or ``out`` cannot be written.
    """
    daily, told = daily_file(insitu, out / INSITU, how, within(report, 0, READ))
    return weigh(predictions, daily, Folders.below(out), asked, within(report, READ, 1), told=told)


def of_maps(
    work: WorkDir, insitu: Path, how: Reading, asked: Asked, report: Report,
    products: Sequence[Product] = (),
) -> Evidence:  # fmt: skip
    """Weigh the maps of a work directory, beside SMAP, the base models and other products.

    Args:
        work: with a prediction.
        insitu: as of `of_table`, with places of the stations.
        how: readings are taken.
        asked: what is to be found out.
        report: told what is being done and the share of it that is done.
        products: put beside the maps; one that cannot be had becomes a note.

    Raises:
        ConfigError: as of `of_table`, or names of products are not to be had.
        DataError: as of `of_table`, or no station lies on the map.
    """
    manifest = Manifest.read(work.manifest)
    daily, told = daily_file(
        insitu, work.insitu, how, within(report, 0, READ),
        region=manifest.grid.geographic_extent.geom, period=(manifest.start, manifest.end),
    )  # fmt: skip
    made = predictions_at(work, places_in(daily), products, within(report, READ, MADE))
    made.write(work.predictions)
    found = weigh(work.predictions, daily, Folders.of(work), asked, within(report, MADE, WEIGHED), told=told)
    if not manifest.simulated:  # else the truth says more of the maps than stations do
        pairs = made.table.merge(daily_rows(daily), on=["station", "date"])
        trust.at_stations(work, pairs, within(report, WEIGHED, 1))
    return found


def of_collection(
    collection: str, insitu: Path, out: Path, how: Reading, asked: Asked, report: Report,
    products: Sequence[Product] = (),
) -> Evidence:  # fmt: skip
    """Weigh a published collection, for whoever was shared nothing else; an engine must be connected.

    Args:
        collection: its id.
        insitu: as of `of_maps`.
        out: folder for all results.
        how: readings are taken; where the collection names SMAP's hours, the window lies around these.
        asked: what is to be found out.
        report: told what is being done and the share of it that is done.
        products: put beside the maps.

    Raises:
        ConfigError: as of `of_maps`, or the collection is not there or not shared.
        DataError: as of `of_table`, or the maps have no value at any station.
        EngineError: the engine refuses, or does not answer.
    """
    with of_gee():
        maps = published(collection)
        bins = {window.label: window for window in BINS.values()}
        if (smap := bins.get(str(maps.properties.get("smap_bin")))) is not None:
            how = replace(how, window=Window.of_bin(smap, how.window.hours, how.window.method))
        days = (maps.days[0], maps.days[-1])
        daily, told = daily_file(insitu, out / INSITU, how, within(report, 0, READ), period=days)
        made = published_at(maps, places_in(daily), products, within(report, READ, MADE))
    path = out / PREDICTIONS
    made.write(path)
    return weigh(path, daily, Folders.below(out), asked, within(report, MADE, 1), told=told)


def places_in(insitu: Path) -> pd.DataFrame:
    """The stations of a table: ``station``, ``lon``, ``lat`` (degrees), a row each.

    Raises:
        DataError: the table cannot be read, lacks one of these, or none of its stations has a place.
    """
    table = Table.open(insitu)
    if lacking := [name for name in ("station", "lon", "lat") if name not in table.header]:
        raise DataError(f"{insitu} has no column {', '.join(lacking)}: the map's pixels are found by them")
    table.fetch({"station", "lon", "lat"}, {"station"})
    places = pd.DataFrame({"station": table.texts("station", ["station"])})
    places["lon"], places["lat"] = table.numbers("lon"), table.numbers("lat")
    places = places.dropna().drop_duplicates("station", ignore_index=True)
    if places.empty:
        raise DataError(
            f"{insitu}: no row has a station with lon and lat: the map's pixels are found by them"
        )
    return places


def weigh(
    predictions: Path, insitu: Path, folders: Folders, asked: Asked, report: Report, *,
    told: Sequence[str] = (),
) -> Evidence:  # fmt: skip
    """Score a table of predictions at stations, and find out what else stations tell.

    Args:
        predictions: as of `pipeline.scores.validate.validate`.
        insitu: one value a station and day, as of ``validate``, and ``rain`` (mm/day) where it was measured.
        folders: for the results; those of an earlier call are replaced. What is not found out this time is
            removed if it is of other tables, since it would stand beside scores that it has no part in.
        asked: what is to be found out.
        report: told what is being done and the share of it that is done.
        told: what became known while the tables were made.

    Raises:
        DataError: the tables cannot be used, too few days are in both, or a folder cannot be written.
    """
    before = _inputs(folders.validation)
    scores = validate(
        predictions, insitu, folders.validation, minimum_pairs=asked.minimum_pairs,
        confidence=asked.confidence, report=within(report, 0, VALIDATED),
    )  # fmt: skip
    found = _Further(predictions, insitu, folders, asked)
    rain = found.rain(within(report, VALIDATED, ANSWERED))
    triple = found.triple(within(report, ANSWERED, 1))
    if _inputs(folders.validation) != before:
        for result, folder, record in (
            (rain, folders.rain, rains.RECORD), (triple, folders.triple, triples.RECORD)
        ):  # fmt: skip
            if result is None and (folder / record).is_file():
                shutil.rmtree(folder)
    report("stations: done", 1.0)
    notes = dict.fromkeys([*told, *scores.notes, *found.notes])
    return Evidence(scores, rain, triple, tuple(notes), insitu)


def _inputs(validation: Path) -> tuple[str, ...]:
    """SHA-256 of the tables that a validation is of; empty where there is none."""
    try:
        scores = validated.read(validation)
    except DataError:
        return ()
    return tuple(one["sha256"] for one in scores.summary["inputs"].values()) if scores else ()


@dataclass
class _Further:
    """What is made where it can be; what prevents it becomes a note."""

    predictions: Path
    insitu: Path
    folders: Folders
    asked: Asked
    notes: list[str] = field(default_factory=list)

    def rain(self, report: Report) -> RainResponse | None:
        """The response to rain."""
        measured = RAIN in Table.open(self.insitu).header
        if not self.asked.rain and not measured:
            return None
        fallen = None
        try:
            if self.asked.rain:
                with of_gee():
                    fallen = rain_at(*self._places_and_days(), within(report, 0, 0.8))
        except GeeSmapError as error:
            self.notes.append(f"CHIRPS's rain at stations could not be had: {error}")
            if not measured:
                return None
        try:
            return respond(
                self.predictions, self.insitu, fallen, self.folders.rain,
                confidence=self.asked.confidence, report=within(report, 0.8, 1),
            )  # fmt: skip
        except GeeSmapError as error:
            self.notes.append(f"The response to rain was not found out: {error}")
            return None

    def triple(self, report: Report) -> TripleCollocation | None:
        """Errors by triple collocation."""
        others = {SMCI, *self.asked.independent} & set(Table.open(self.predictions).header)
        if self.asked.triplet is None and not others:
            return None
        try:
            found = collocate(
                self.predictions, self.insitu, self.folders.triple, products=self.asked.triplet,
                independent=self.asked.independent, confidence=self.asked.confidence, report=report,
            )  # fmt: skip
        except GeeSmapError as error:
            self.notes.append(f"No triple collocation: {error}")
            return None
        if found.refused:
            self.notes.append(f"No triple collocation: {found.refused}")
        return found

    def _places_and_days(self) -> tuple[pd.DataFrame, Calendar]:
        """Where the stations are, the in-situ table's word going first, and the days of the predictions."""
        predicted, measured = read_tables(self.predictions, self.insitu)
        columns = ["station", "lon", "lat"]
        told = (
            pd.concat([measured.rows[columns], predicted.rows[columns]]).dropna().drop_duplicates("station")
        )
        shared = set(predicted.rows["station"]) & set(measured.rows["station"])
        dates = predicted.rows["date"]
        days = Calendar(dates.min().date(), dates.max().date())
        return told[told["station"].isin(shared)].reset_index(drop=True), days
