"""What a report's page consists of: sections of sentences, facts, tables, figures and commands.

Sections are written as these values and one template draws them, so that every table is sortable, is a file
beside the page too, and shows the very numbers of that file; and so that nothing reaches HTML unescaped.
"""

from __future__ import annotations

import base64
import csv
import datetime as dt
import io
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import pandas as pd

Value = str | int | float | bool | None
Row = Mapping[str, Value]
Found = TypeVar("Found")
NOTHING = "–"
MOST_DIGITS = 6  # after the point
INCOMPLETE = (LookupError, TypeError, ValueError)  # where a result lacks what is to be told of it
SHADES = (0.0, 0.05, 0.15, 0.30, 0.50)  # shares from which a shaded cell is one step darker


@dataclass(frozen=True)
class Words:
    """A paragraph.

    Attributes:
        text: of it.
        lead: what stands before it in bold.
        notable: whether it is set off from what is around it.
    """

    kind: ClassVar[str] = "words"
    text: str
    lead: str = ""
    notable: bool = False


@dataclass(frozen=True)
class Points:
    """A list of sentences, each with what stands before it in bold."""

    kind: ClassVar[str] = "points"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Judged:
    """What splits can show, and what they do show.

    Attributes:
        items: name of each, what its scores can and cannot show, what they show.
    """

    kind: ClassVar[str] = "judged"
    items: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A column of a table on the page.

    Attributes:
        key: of the value in a row.
        heading: for people, with the unit.
        form: how a number is written, such as ``.3f``; ``%`` is a share in percent. Empty for text.
        interval: keys of the ends of its confidence interval.
        shaded: whether a share is shaded the darker the larger it is.
        code: whether it is an identifier.
        prose: whether it is text of any length, which may be broken into lines.
    """

    key: str
    heading: str
    form: str = ""
    interval: tuple[str, str] | None = None
    shaded: bool = False
    code: bool = False
    prose: bool = False

    @classmethod
    def measured(cls, key: str, heading: str, form: str) -> Column:
        """A column of estimates whose intervals stand beside them, as :func:`bounded` names their ends."""
        return cls(key, heading, form, ends(key))

    @property
    def number(self) -> bool:
        """Whether it holds numbers."""
        return bool(self.form)

    def text(self, row: Row) -> str:
        """A row's value as it is written; one that is undefined or unknown is a dash."""
        value = row.get(self.key)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return NOTHING
        if not self.form or isinstance(value, str):
            return str(value)
        if self.form == "%":
            return percent(float(value))
        return signed(value, self.form)

    def bounds(self, row: Row) -> str:
        """The interval of a row's value as it is written; empty where there is none."""
        ends = [row.get(key) for key in self.interval or ()]
        if not ends or not all(isinstance(end, float) and math.isfinite(end) for end in ends):
            return ""
        return _interval(ends[0], ends[1], self.form)

    def order(self, row: Row) -> float | None:
        """What a row is sorted by; None where that is the text, or where there is no value."""
        value = row.get(self.key)
        if not self.number or isinstance(value, str) or value is None or math.isnan(value):
            return None
        return float(value)

    def shade(self, row: Row) -> int:
        """How dark a cell is, from 0 for none."""
        value = row.get(self.key)
        if not self.shaded or not isinstance(value, float):
            return 0
        return sum(value > least for least in SHADES)


@dataclass(frozen=True)
class Table:
    """A table, of which a file beside the page has every key with all digits.

    Attributes:
        name: of the file, without its suffix.
        caption: what it is.
        columns: on the page; the first one names the row.
        rows: with all keys.
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, name: str, caption: str, columns: Iterable[Column], frame: pd.DataFrame) -> Table:
        """All of a data frame; counts that a gap made floats are whole numbers again."""
        columns = tuple(columns)
        counts = {column.key for column in columns if column.form.endswith("d")}
        records = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        rows = tuple(
            {
                str(key): int(value) if key in counts and value is not None else value
                for key, value in record.items()
            }
            for record in records
        )
        return cls(name, caption, columns, rows)

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.name}.csv"

    def csv(self) -> str:
        """The file's content."""
        keys = dict.fromkeys(key for row in self.rows for key in row)
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(keys), restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            empty = [key for key, value in row.items() if isinstance(value, float) and math.isnan(value)]
            writer.writerow({**row, **dict.fromkeys(empty, "")})
        return buffer.getvalue()


@dataclass(frozen=True)
class Figure:
    """A picture in the page.

    Attributes:
        name: of it.
        png: content of the file that the page shows.
        alt: what a reader who does not see it should know.
        caption: what it is, and how to read it.
        svg: content of the file with its shapes, for who prints it; empty where it is a map of pixels.
    """

    kind: ClassVar[str] = "figure"
    name: str
    png: bytes = field(repr=False)
    alt: str
    caption: str
    svg: bytes = field(default=b"", repr=False)

    @property
    def files(self) -> dict[str, bytes]:
        """Its files beside the page, by name."""
        found = {f"{self.name}.png": self.png, f"{self.name}.svg": self.svg}
        return {name: content for name, content in found.items() if content}

    @property
    def source(self) -> str:
        """The picture as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, whose pixel is half as long as the file's."""
        width, height = struct.unpack(">II", self.png[16:24])  # in the file's first chunk
        return width // 2, height // 2


@dataclass(frozen=True)
class Listing:
    """Text as it is in a file or is typed.

    Attributes:
        text: of it.
        label: what it is.
    """

    kind: ClassVar[str] = "listing"
    text: str
    label: str


@dataclass(frozen=True)
class Link:
    """A way to a file beside the page."""

    kind: ClassVar[str] = "link"
    target: str
    text: str


@dataclass(frozen=True)
class Absent:
    """What is not there, why, and the command that makes it."""

    kind: ClassVar[str] = "absent"
    text: str
    command: str = ""


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader opens."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: tuple[Block, ...]


Block = Words | Points | Judged | Facts | Table | Figure | Listing | Link | Absent | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: for links to it.
        title: of it.
        blocks: in order.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]

    @classmethod
    def of(
        cls,
        id: str,
        title: str,
        found: Found | None,
        blocks: Callable[[Found], Iterable[Block]],
        absent: Absent,
    ) -> Section:
        """What a result amounts to; where there is none, how it is made.

        A result whose files lack what a sentence needs, because another version wrote them or a disk cut
        them off, costs its section alone.
        """
        if found is None:
            return cls(id, title, (absent,))
        try:
            return cls(id, title, tuple(blocks(found)))
        except INCOMPLETE as error:
            told = f"What was found cannot be shown ({type(error).__name__}: {error}): make it again."
            return cls(id, title, (Absent(told, absent.command),))

    def tables(self) -> Iterator[Table]:
        """Its tables, folded ones too."""
        return (block for block in _unfolded(self.blocks) if isinstance(block, Table))

    def figures(self) -> Iterator[Figure]:
        """Its figures, folded ones too."""
        return (block for block in _unfolded(self.blocks) if isinstance(block, Figure))


def _unfolded(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Folded):
            yield from _unfolded(block.blocks)
        else:
            yield block


def remarks(texts: Iterable[str], lead: str) -> Iterator[Words]:
    """Sentences that follow from numbers, set off from what is around them; the first one has the lead."""
    for number, text in enumerate(texts):
        yield Words(text, "" if number else lead, notable=True)


def notes(texts: Iterable[str]) -> Iterator[Points]:
    """What a reader has to know beside the numbers, as a list; nothing where there is nothing to know."""
    if items := tuple(("", text) for text in texts):
        yield Points(items)


def figures(
    pictures: Mapping[str, bytes], told: Mapping[str, tuple[str, str]], prefix: str = ""
) -> Iterator[Figure]:
    """The pictures that are there.

    Args:
        pictures: PNGs and SVGs by name of the file, as ``pipeline.figures.style.saved`` gives them.
        told: alternative text and caption of each name, in the order of the page.
        prefix: of their names on the page, where other sections have figures of the same names.
    """
    for name, (alt, caption) in told.items():
        if png := pictures.get(f"{name}.png"):
            yield Figure(f"{prefix}{name}", png, alt, caption, pictures.get(f"{name}.svg", b""))


def without_only_month(table: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of the only ``month``, which are those of ``all`` months again."""
    return table if table["month"].nunique() > 2 else table[table["month"] == "all"]


def ends(key: str) -> tuple[str, str]:
    """Keys of the ends of an estimate's interval."""
    return f"{key}_lower", f"{key}_upper"


def bounded(key: str, value: float | None, lower: float | None, upper: float | None) -> dict[str, Value]:
    """An estimate and its interval in a row of a table."""
    return dict(zip((key, *ends(key)), (value, lower, upper), strict=True))


def with_interval(value: float, lower: float, upper: float, form: str) -> str:
    """An estimate and its interval in a sentence; the estimate alone where it has none."""
    if math.isnan(lower) or math.isnan(upper):
        return signed(value, form)
    return f"{signed(value, form)} {_interval(lower, upper, form)}"


def _interval(lower: Any, upper: Any, form: str) -> str:
    """Both ends, with more digits where one is not zero and would be written as if it were.

    An interval beside zero decides, one that ends at zero does not, and a reader must see which it is.
    """
    least = min(abs(lower), abs(upper))
    digits = int(form[:-1].rpartition(".")[2]) if form.endswith("f") and lower * upper > 0 else 0
    while digits and digits < MOST_DIGITS and float(f"{least:.{digits}f}") == 0:
        digits += 1
        form = f"{form[:-1].rpartition('.')[0]}.{digits}f"
    return f"[{signed(lower, form)}, {signed(upper, form)}]"


def signed(value: Any, form: str) -> str:
    """A number with a true minus sign; one that rounds to nothing has none."""
    text = format(value, form)
    if text.startswith(("-", "+")) and not text.strip("-+0.,"):
        text = text[1:]
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share in percent, whose ends are kept for none and all."""
    text = f"{100 * share:.1f}"
    if text == "0.0" and share > 0:
        text = "< 0.1"
    elif text == "100.0" and share < 1:
        text = "> 99.9"
    elif share in (0, 1):
        text = f"{100 * share:.0f}"
    return f"{text} %"


def period(first: dt.date, last: dt.date) -> str:
    """Two days in words, the year once where it is the same."""
    year = f" {first.year}" if first.year != last.year else ""
    return f"{first.day} {first:%B}{year} to {last.day} {last:%B} {last.year}"


def listed(names: list[str], most: int = 12) -> str:
    """Names in a sentence."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
