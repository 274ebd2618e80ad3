"""What every product of a comparison can do: say its soil moisture at stations, day by day, in m³/m³.

Products come as folders, tables, assets and models, each with its own grid, units and ways to fail. Here they
are all asked the same question, one after the other; one that cannot answer becomes a sentence, because a
comparison of five products is not to be lost to the sixth.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import DataError, GeeSmapError
from pipeline.progress import Report
from pipeline.tables.pairs import MOISTURE

Values = NDArray[np.float64]
"""(days, stations), m³/m³, NaN where masked."""
Days = Sequence[dt.date]


@dataclass(frozen=True, eq=False)
class Found:
    """What a product says at stations.

    Attributes:
        moisture: (days, stations), m³/m³, NaN where there is none.
        notes: what the user should know, such as files that cannot be read.
    """

    moisture: Values
    notes: tuple[str, ...] = ()


class Product(Protocol):
    """A product of soil moisture."""

    @property
    def name(self) -> str:
        """Its column in the table of predictions."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def source(self) -> str:
        """The folder, file or asset it is read from."""

    def at(self, places: pd.DataFrame, days: Days, report: Report) -> Found:
        """Its values at places.

        Args:
            places: ``station``, ``lon``, ``lat`` (degrees), a row each.
            days: wanted, in order.
            report: told what is being done and the share of it that is done.

        Raises:
            GeeSmapError: nothing of it can be used.
        """


def gather(
    products: Iterable[Product], places: pd.DataFrame, days: Days, report: Report
) -> tuple[dict[str, Values], tuple[str, ...]]:
    """Ask each product in turn.

    Args:
        products: names differ.
        places: as of ``Product.at``.
        days: as of ``Product.at``.
        report: told what is being done and the share of it that is done.

    Returns:
        Values by the product's name, of those that have any and whose unit can be m³/m³; and what the user
        should know, a sentence for each product that is left out among it.
    """
    asked = list(products)
    found: dict[str, Values] = {}
    notes: list[str] = []
    for number, product in enumerate(asked):

        def told(what: str, share: float, done: int = number, title: str = product.title) -> None:
            report(f"{title}: {what}", (done + share) / len(asked))

        try:
            one = product.at(places, days, told)
            check(one.moisture, days, product.source)
        except GeeSmapError as error:
            notes.append(f"{product.title} is not compared: {error}")
            continue
        notes += [f"{product.title}: {note}" for note in one.notes]
        found[product.name] = one.moisture
    return found, tuple(notes)


def check(values: Values, days: Days, source: str) -> None:
    """Refuse what cannot be soil moisture in m³/m³.

    Raises:
        DataError: there is no value at all, or there are values that no soil has in that unit.
    """
    there = np.isfinite(values)
    if not there.any():
        raise DataError(
            f"{source} has no value at any of the {values.shape[1]:,} stations from {days[0]} to {days[-1]}: "
            "compare its region and period"
        )
    with np.errstate(invalid="ignore"):
        outside = there & ((values < MOISTURE.low) | (values > MOISTURE.high))
    if outside.any():
        raise DataError(
            f"{source}: {outside.sum() / there.sum():.1%} of its values lie outside {MOISTURE.low:g} to "
            f"{MOISTURE.high:g} m³/m³ ({values[there].min():.4g} to {values[there].max():.4g}): give the "
            "factor to m³/m³ behind the band, such as #1*0.01 for percent, and declare its no-data codes"
        )


def long_table(places: pd.DataFrame, days: Days, columns: Mapping[str, NDArray[np.generic]]) -> pd.DataFrame:
    """A row for each day and place.

    Args:
        places: whose columns are repeated each day.
        days: in order.
        columns: of the table, (days, places).
    """
    table = {name: np.tile(places[name].to_numpy(), len(days)) for name in places.columns}
    dates = np.repeat(np.array(days, "datetime64[ns]"), len(places))
    first = {"station": table.pop("station"), "date": dates}
    return pd.DataFrame({**first, **table, **{name: values.ravel() for name, values in columns.items()}})
