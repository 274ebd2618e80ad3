"""The report: one HTML page that says what a study did, how good it is, and how to do it again.

A map travels, and the table of its scores stays behind; so everything a reader needs to judge it stands in
one file that opens anywhere, without a network and without a script. It is made of what the stages have left
in the work directory and computes no score of its own. Tables lie beside it as CSV.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.reporting.content import Absent, Figure, Section, period
from pipeline.reporting.inputs import Inputs, key
from pipeline.reporting.telling import sections
from pipeline.work.staging import staged, whole, write_json
from pipeline.work.workdir import WorkDir

TABLES, RECORD = "report.json", "made.json"
TEMPLATE, STYLE, SCRIPT = "report.html", "report.css", "report.js"
_READ = 0.85  # share of the whole after which everything is read
Report = Callable[[str, float], None]


@dataclass(frozen=True)
class ReportPage:
    """The report that ``write_report`` wrote, or found.

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


def write_report(work: WorkDir, report: Report) -> ReportPage:
    """Write the report of a work directory, unless it is there, made of the same.

    Args:
        work: with a plan; whatever else is missing, the report says so.
        report: told what is done and the share of the whole.

    Raises:
        ConfigError: the study cannot be read.
        DataError: there is no plan, a part is damaged, or the report cannot be written.
        ModelFileError: the model folder cannot be used.
    """
    report("report: comparing", 0.0)
    made_of = key(work, *(_page(name) for name in (TEMPLATE, STYLE, SCRIPT)))
    folder = work.report.with_suffix("")
    if (found := _found(work.report, folder, made_of)) is not None:
        report("report: there already", 1.0)
        return found
    inputs = Inputs.read(work, lambda what, share: report(f"report: {what}", _READ * share))
    report("report: drawing", _READ)
    parts = sections(inputs)
    page = _rendered(inputs, parts)
    report("report: writing", 0.95)
    texts = {table.file: table.csv() for part in parts for table in part.tables()}
    pictures = {
        f"{block.name}.png": block.png for part in parts for block in part.blocks if isinstance(block, Figure)
    }
    result = ReportPage(
        path=work.report,
        folder=folder,
        files=tuple(sorted([*texts, *pictures, TABLES])),
        size=len(page),
        simulated=bool(inputs.simulated()),
        absent=tuple(
            block.text
            for part in parts
            for block in part.blocks
            if isinstance(block, Absent) and block.command
        ),
        mismatches=tuple(inputs.mismatches()),
        made=True,
    )
    with staged(folder, RECORD, _record(folder).get("files", {})) as beside:
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8")
        for name, picture in pictures.items():
            (beside / name).write_bytes(picture)
        write_json(beside / TABLES, _as_data(inputs, parts))
        with whole(work.report) as other:
            other.write_bytes(page)
        sums = {name: _sha256(beside / name) for name in result.files}
        record = {
            "key": made_of, "page": hashlib.sha256(page).hexdigest(), "files": sums,
            "simulated": result.simulated, "absent": result.absent, "mismatches": result.mismatches,
        }  # fmt: skip
        write_json(beside / RECORD, record)
    report("report: done", 1.0)
    return result


def _found(path: Path, folder: Path, made_of: str) -> ReportPage | None:
    """The report that is there, if it was made of the same and is whole."""
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


def _rendered(inputs: Inputs, parts: tuple[Section, ...]) -> bytes:
    """The page; a browser runs and draws nothing in it but the style and the script whose hashes it names."""
    templates = Environment(
        loader=PackageLoader("pipeline", "reporting"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = (f"\n{_page(name)}" for name in (STYLE, SCRIPT))
    text = templates.get_template(TEMPLATE).render(
        inputs=inputs,
        manifest=inputs.manifest,
        period=period(inputs.manifest.start, inputs.manifest.end),
        sections=parts,
        folder=inputs.work.report.stem,
        simulated=inputs.simulated(),
        mismatches=list(inputs.mismatches()),
        style=Markup(style),  # noqa: S704  (both are files of this package)
        script=Markup(script),  # noqa: S704
        hashes={"style": _integrity(style), "script": _integrity(script)},
    )
    return text.encode()


def _as_data(inputs: Inputs, parts: tuple[Section, ...]) -> dict[str, Any]:
    """The page's tables and what they are of, for machines."""
    manifest = inputs.manifest
    return {
        "study": manifest.study,
        "study_hash": manifest.study_hash,
        "model_hash": inputs.model_hash or None,
        "start": str(manifest.start),
        "end": str(manifest.end),
        "simulated": inputs.simulated(),
        "mismatches": list(inputs.mismatches()),
        "tables": {
            table.name: {"caption": table.caption, "rows": [dict(row) for row in table.rows]}
            for part in parts
            for table in part.tables()
        },
    }


def _page(name: str) -> str:
    return files("pipeline").joinpath("reporting", name).read_text(encoding="utf-8")


def _integrity(text: str) -> str:
    """As a content security policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
