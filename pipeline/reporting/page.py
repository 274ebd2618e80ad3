"""A page of sections as one file that opens anywhere, without a network and without a script.

Tables lie beside it as CSV, all of them as JSON too, its figures as PNG and charts as SVG. A page that is
there, made of the same, stays.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.reporting.content import Absent, Section
from pipeline.work.staging import staged, whole, write_json

TABLES, RECORD = "report.json", "made.json"
TEMPLATE, STYLE, SCRIPT = "report.html", "report.css", "report.js"


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        name: of what it is about.
        under: the line below the heading.
        sections: in order.
        simulated: what of it is simulated.
        wholly: whether all sources are.
        mismatches: parts that do not belong together, a sentence each.
        facts: what the tables are of, for machines.
    """

    name: str
    under: str
    sections: tuple[Section, ...]
    simulated: tuple[str, ...]
    wholly: bool
    mismatches: tuple[str, ...]
    facts: Mapping[str, Any]

    def rendered(self, folder: str) -> bytes:
        """The page; a browser runs nothing in it but the script, whose hash it names, as the style's.

        Args:
            folder: of its tables, seen from the page.
        """
        templates = Environment(
            loader=PackageLoader("pipeline", "reporting"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        style, script = (f"\n{_resource(name)}" for name in (STYLE, SCRIPT))
        text = templates.get_template(TEMPLATE).render(
            page=self,
            folder=folder,
            style=Markup(style),  # noqa: S704  (both are files of this package)
            script=Markup(script),  # noqa: S704
            hashes={"style": _integrity(style), "script": _integrity(script)},
        )
        return text.encode()

    def as_dict(self) -> dict[str, Any]:
        """The page's tables and what they are of, for machines."""
        return {
            **self.facts,
            "simulated": list(self.simulated),
            "mismatches": list(self.mismatches),
            "tables": {
                table.name: {"caption": table.caption, "rows": [dict(row) for row in table.rows]}
                for part in self.sections
                for table in part.tables()
            },
        }


@dataclass(frozen=True)
class ReportPage:
    """A page that was written, or found.

    Attributes:
        path: of the page.
        folder: with the page's tables as CSV, all of them as JSON, and its own figures.
        files: in that folder, in order.
        size: of the page, bytes.
        simulated: whether any of it is.
        absent: what the page has to do without, a sentence each.
        mismatches: parts that do not belong together, a sentence each.
        made: False where it was there already, made of the same.
    """

    path: Path
    folder: Path
    files: tuple[str, ...]
    size: int
    simulated: bool
    absent: tuple[str, ...]
    mismatches: tuple[str, ...]
    made: bool

    def rows(self) -> list[dict[str, str]]:
        """The report in words."""
        return [
            {"": "page", "value": f"{self.path} ({self.size / 1e6:,.1f} MB)"},
            {"": "tables", "value": f"{sum(name.endswith('.csv') for name in self.files)} in {self.folder}"},
        ]

    def notes(self) -> Iterator[str]:
        """What a user should know."""
        if not self.made:
            yield f"{self.path} was made of the same before; nothing was done."
        yield from self.mismatches
        yield from self.absent
        if self.simulated:
            yield "The report is of simulated data, and says so."

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "page": str(self.path), "folder": str(self.folder), "files": list(self.files), "size": self.size,
            "simulated": self.simulated, "absent": list(self.absent), "mismatches": list(self.mismatches),
            "made": self.made,
        }  # fmt: skip


def template() -> tuple[str, ...]:
    """The texts that every page is made of, beside its own content."""
    return tuple(_resource(name) for name in (TEMPLATE, STYLE, SCRIPT))


def write_page(page: Page, path: Path, made_of: str) -> ReportPage:
    """Write a page and the folder beside it.

    Args:
        page: what it shows.
        path: of the page; the folder has its name without suffix.
        made_of: a hash of all that it was made of.

    Raises:
        DataError: it cannot be written.
    """
    content = page.rendered(path.stem)
    texts = {table.file: table.csv() for part in page.sections for table in part.tables()}
    blocks = [block for part in page.sections for block in part.blocks]
    pictures: dict[str, bytes] = {}
    for part in page.sections:
        for figure in part.figures():
            pictures |= figure.files
    folder = path.with_suffix("")
    result = ReportPage(
        path=path,
        folder=folder,
        files=tuple(sorted([*texts, *pictures, TABLES])),
        size=len(content),
        simulated=bool(page.simulated),
        absent=tuple(block.text for block in blocks if isinstance(block, Absent) and block.command),
        mismatches=page.mismatches,
        made=True,
    )
    with staged(folder, RECORD, _record(folder).get("files", {})) as beside:
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8")
        for name, picture in pictures.items():
            (beside / name).write_bytes(picture)
        write_json(beside / TABLES, page.as_dict())
        with whole(path) as other:
            other.write_bytes(content)
        sums = {name: _sha256(beside / name) for name in result.files}
        record = {
            "key": made_of, "page": hashlib.sha256(content).hexdigest(), "files": sums,
            "simulated": result.simulated, "absent": result.absent, "mismatches": result.mismatches,
        }  # fmt: skip
        write_json(beside / RECORD, record)
    return result


def found_page(path: Path, made_of: str) -> ReportPage | None:
    """The page that is there, if it was made of the same and is whole."""
    folder = path.with_suffix("")
    try:
        record = _record(folder)
        if record["key"] != made_of or record["page"] != _sha256(path):
            return None
        if any(_sha256(folder / name) != digest for name, digest in record["files"].items()):
            return None
        return ReportPage(
            path, folder, tuple(record["files"]), path.stat().st_size, record["simulated"],
            tuple(record["absent"]), tuple(record["mismatches"]), made=False,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(folder: Path) -> dict[str, Any]:
    """How the files in a folder came about; empty where nobody knows."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _resource(name: str) -> str:
    return files("pipeline").joinpath("reporting", name).read_text(encoding="utf-8")


def _integrity(text: str) -> str:
    """As a content security policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
