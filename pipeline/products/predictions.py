"""The table of predictions that ``validate`` reads: all products at stations, a row for each station and day.

It begins with the maps, those of a work directory or of a published collection, and every further product is
put beside them on the same stations and days. Beside the table stands what it is made of, in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import ConfigError, DataError
from pipeline.products.own import on_map, own_values
from pipeline.products.product import Product, Values, check, gather, long_table
from pipeline.products.published import PublishedMaps, PublishedSmap
from pipeline.progress import Report, within
from pipeline.tables.pairs import NO_PRODUCTS, PRODUCT
from pipeline.tables.titles import NSIDC, SMCI, TITLES, title
from pipeline.tables.writing import write_table
from pipeline.work.manifest import Manifest
from pipeline.work.staging import whole, write_json
from pipeline.work.workdir import WorkDir

RECORD = "products.json"  # beside the table
OWN_PART = 0.6  # of the work, where further products follow
FURTHER = (SMCI, NSIDC)  # names of the fixed list that a user's product may have


@dataclass(frozen=True)
class ProductColumn:
    """A product in a table.

    Attributes:
        name: of its column.
        title: for people.
        source: folder, file or asset it was read from.
    """

    name: str
    title: str
    source: str


@dataclass(frozen=True, eq=False)
class AtStations:
    """All products at stations.

    Attributes:
        table: a row for each station and day: ``station``, ``date``, ``lon``, ``lat``, where they are known
            ``partition`` and ``landcover`` (text, empty where there is none) and ``outage``, the products'
            columns (m³/m³, NaN where masked), ``sm`` first, and ``simulated``.
        products: in the order of the columns.
        notes: what the user should know, a sentence for each product that is not in the table among it.
        properties: of the published collection, empty where the maps are of a work directory.
    """

    table: pd.DataFrame
    products: tuple[ProductColumn, ...]
    notes: tuple[str, ...]
    properties: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """What the table is made of, for machines."""
        return {
            "products": [asdict(one) for one in self.products],
            "notes": list(self.notes),
            "properties": dict(self.properties),
        }

    def write(self, path: Path) -> None:
        """Write the table, and beside it what it is made of.

        Raises:
            DataError: a file cannot be written.
        """
        write_table(self.table, path)
        try:
            with whole(path.with_name(RECORD)) as beside:
                write_json(beside, self.as_dict())
        except OSError as error:
            raise DataError(f"{path.parent} cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True)
class Made:
    """What stands beside a table of predictions.

    Attributes:
        products: in the order of the columns.
        notes: what the user should know.
        properties: of the published collection, if the maps are of one.
    """

    products: tuple[ProductColumn, ...]
    notes: tuple[str, ...]
    properties: Mapping[str, Any]


def read(folder: Path) -> Made | None:
    """Read what a table in a folder is made of; None where nothing tells.

    Raises:
        DataError: it is damaged.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(ProductColumn(**one) for one in told["products"])
        return Made(columns, tuple(map(str, told["notes"])), dict(told["properties"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): gee-smap validate makes it again") from error


def predictions_at(
    work: WorkDir,
    stations: pd.DataFrame,
    products: Sequence[Product] = (),
    report: Report = lambda what, share: None,
) -> AtStations:
    """The maps of a work directory at stations, beside SMAP, the base models and further products.

    Args:
        work: with a prediction, its cube, samples and model.
        stations: ``station``, ``lon``, ``lat`` (degrees), a row each or more.
        products: put beside them; one that fails, is of another period or has no value is left out.
        report: told what is being done and the share of it that is done.

    Raises:
        ConfigError: names of products are not to be had.
        DataError: no station lies on the map, or a stage before has not been run.
    """
    check_names(products)
    manifest = Manifest.read(work.manifest)
    at = on_map(work, manifest, stations)
    own = own_values(work, manifest, at, within(report, 0, OWN_PART))
    further, notes = gather(products, at.places, own.days, within(report, OWN_PART, 1))
    sources = {name: str(work.root) for name in own.columns} | {one.name: one.source for one in products}
    values = {**own.columns, **further}
    outage = np.repeat(own.outage[:, None], len(at.places), axis=1)
    table = long_table(at.places, own.days, {"outage": outage, **values, **own.beside})
    report("products at stations", 1.0)
    return AtStations(
        table.assign(simulated=manifest.simulated), _columns(values, sources, products),
        (*own.notes, *notes), {},
    )  # fmt: skip


def published_at(
    maps: PublishedMaps,
    stations: pd.DataFrame,
    products: Sequence[Product] = (),
    report: Report = lambda what, share: None,
) -> AtStations:
    """The maps of a published collection at stations, beside SMAP and further products.

    It is for whoever has been shared the collection and nothing else: partitions, land cover and the base
    models are not in it.

    Args:
        maps: as ``pipeline.products.published.published`` finds them.
        stations: as of `predictions_at`.
        products: as of `predictions_at`.
        report: told what is being done and the share of it that is done.

    Raises:
        ConfigError: names of products are not to be had.
        DataError: the maps have no value at any station.
        EngineError: Earth Engine refuses, or does not answer.
    """
    check_names(products)
    places = stations[["station", "lon", "lat"]].drop_duplicates("station").reset_index(drop=True)
    found = maps.at(places, maps.days, within(report, 0, OWN_PART))
    check(found.moisture, maps.days, maps.asset)
    there = np.asarray(np.isfinite(found.moisture).any(axis=0))
    notes = list(found.notes)
    if not there.all():
        notes.append(
            f"{int((~there).sum()):,} of {len(places):,} stations lie where the maps have no value on any "
            "day and are left out."
        )
    places = places.loc[there].reset_index(drop=True)
    asked = [*PublishedSmap.of(maps), *products]
    further, said = gather(asked, places, maps.days, within(report, OWN_PART, 1))
    values = {maps.name: found.moisture[:, there], **further}
    outage = np.repeat(maps.outage()[:, None], len(places), axis=1)
    table = long_table(places, maps.days, {"outage": outage, **values})
    sources = {maps.name: maps.asset} | {one.name: one.source for one in asked}
    report("products at stations", 1.0)
    return AtStations(
        table.assign(simulated=maps.simulated), _columns(values, sources, asked), (*notes, *said),
        maps.properties,
    )  # fmt: skip


def check_names(products: Sequence[Product]) -> None:
    """Refuse names that are no column of their own.

    Raises:
        ConfigError: they are none; all of them are told.
    """
    taken = (set(TITLES) - set(FURTHER)) | NO_PRODUCTS
    names = [one.name for one in products]
    mistakes = [
        f"{name!r} is no name of a product: begin with a small letter, then small letters, digits and _"
        for name in names
        if not PRODUCT.fullmatch(name)
    ]
    mistakes += [
        f"{name!r} is a column of gee-smap's own: name the product otherwise"
        for name in names
        if name in taken
    ]
    mistakes += [f"{name!r} is given twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _columns(
    values: Mapping[str, Values], sources: Mapping[str, str], products: Sequence[Product]
) -> tuple[ProductColumn, ...]:
    titles = {one.name: one.title for one in products}
    return tuple(ProductColumn(name, titles.get(name, title(name)), sources[name]) for name in values)
