"""What the commands show: progress, tables of scores, notes.

A terminal gets a bar with the time left; a log gets a plain line per stage; ``--json`` keeps standard output
for the result and everything else on standard error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from models.partitioned import OVERALL, WP
from models.splits import RandomSplit
from pipeline.progress import Report

RANDOM = RandomSplit.name
Score = dict[str, Any]
Row = dict[str, str]
LOG_WIDTH = 120  # columns of a table that no terminal bounds
console = partial(Console, highlight=False, markup=False, emoji=False)  # a name may hold [brackets]
out = console(width=None if Console().is_terminal else LOG_WIDTH)
err = console(stderr=True)


class _Rate(ProgressColumn):
    """How much of the whole is done in a minute, as far as can be told yet."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{6000 * task.speed:.0f} %/min")


@contextmanager
def progress() -> Iterator[Report]:
    """A function to be told what is being done and the share of the whole that is done."""
    if not err.is_terminal:
        said: set[str] = set()

        def line(what: str, share: float) -> None:
            stage = what.partition(":")[0]
            if stage not in said:
                said.add(stage)
                err.print(f"{share:4.0%} {stage}")

        yield line
        return
    columns = (BarColumn(), TextColumn("{task.percentage:3.0f} %"), _Rate(), TimeElapsedColumn())
    what = TextColumn("{task.description}", markup=False)
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), what, console=err) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(task, completed=share, description=what)


def show_rows(title: str, rows: Iterable[Row]) -> None:
    """Rows of text with the same headings as a table; a repeated first cell is shown once."""
    rows = list(rows)
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="left" if number == 0 else "right", overflow="fold")
    firsts = [next(iter(row.values())) for row in rows]
    grouped = len(set(firsts)) < len(firsts)
    above = ""
    for row in rows:
        first, *others = row.values()
        if grouped and above and first != above:
            table.add_section()
        table.add_row("" if first == above else first, *others)
        above = first
    out.print(table)


def show_scores(scores: pd.DataFrame) -> None:
    """The table split × model × metric over all partitions, and R and RMSE of each partition."""
    rows = [{str(key): value for key, value in row.items()} for row in scores.to_dict(orient="records")]
    pooled = [row for row in rows if row["partition"] == OVERALL]
    show_rows("Held-out rows, all partitions (R with 95 % interval; the rest in m³/m³)", _pooled(pooled))
    if parts := [row for row in rows if row["partition"] != OVERALL]:
        show_rows("Held-out R, RMSE by partition", _by_partition(parts))
    for reason in dict.fromkeys(row["reason"] for row in rows if row["reason"]):
        out.print(f"– {reason}", soft_wrap=True)


def _pooled(rows: list[Score]) -> Iterator[Row]:
    random = {row["model"]: row for row in rows if row["split"] == RANDOM}
    for row in rows:
        if not row["n"] and row["model"] != WP:
            continue
        easy = random.get(row["model"]) if row["split"] != RANDOM else None
        interval = "" if math.isnan(row["r_lower"]) else f"{row['r_lower']:.3f}–{row['r_upper']:.3f}"
        yield {
            "split": row["split"],
            "model": row["model"],
            "R": _number(row["r"], ".3f"),
            "interval": interval,
            "RMSE": _number(row["rmse"], ".4f"),
            "bias": _number(row["bias"], "+.4f"),
            "ubRMSE": _number(row["ubrmse"], ".4f"),
            "n": f"{row['n']:,}",
            "R − random": _number(row["r"] - easy["r"], "+.3f") if easy else "",
            "RMSE − random": _number(row["rmse"] - easy["rmse"], "+.4f") if easy else "",
        }


def _by_partition(rows: list[Score]) -> Iterator[Row]:
    for partition, split in dict.fromkeys((row["partition"], row["split"]) for row in rows):
        here = [row for row in rows if (row["partition"], row["split"]) == (partition, split)]
        cells = {
            row["model"]: f"{_number(row['r'], '.3f')} {_number(row['rmse'], '.3f')}" if row["n"] else ""
            for row in here
        }
        yield {"split": split, "partition": partition, **cells, "n": f"{max(row['n'] for row in here):,}"}


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def show_notes(notes: Iterable[str]) -> None:
    """Remarks, one a line."""
    for note in notes:
        out.print(f"note: {note}", soft_wrap=True)


def show(text: str, style: str = "") -> None:
    """A line as it is, never broken: paths and commands are copied from it."""
    out.print(text, style=style, soft_wrap=True)
