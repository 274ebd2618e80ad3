"""The report: one HTML page that says what a study did, how good it is, and how to do it again.

A map travels, and the table of its scores stays behind; so everything a reader needs to judge it stands in
one file. It is made of what the stages have left in the work directory and computes no score of its own.
"""

from __future__ import annotations

from pipeline.progress import Report, within
from pipeline.reporting.content import period
from pipeline.reporting.inputs import Inputs, key
from pipeline.reporting.page import Page, ReportPage, found_page, template, write_page
from pipeline.reporting.telling import sections
from pipeline.work.workdir import WorkDir

_READ = 0.85  # share of the whole after which everything is read


def write_report(work: WorkDir, report: Report) -> ReportPage:
    """Write the report of a work directory, unless it is there, made of the same.

    Args:
        work: with a plan; whatever else is missing or damaged, the report says so.
        report: told what is done and the share of the whole.

    Raises:
        DataError: there is no plan, it is damaged, or the report cannot be written.
    """
    report("report: comparing", 0.0)
    made_of = key(work, *template())
    if (found := found_page(work.report, made_of)) is not None:
        report("report: there already", 1.0)
        return found
    inputs = Inputs.read(work, within(lambda what, share: report(f"report: {what}", share), 0, _READ))
    report("report: drawing", _READ)
    manifest = inputs.manifest
    page = Page(
        name=manifest.study,
        under=f"{', '.join(manifest.places)} · {period(manifest.start, manifest.end)} · gee-smap",
        sections=sections(inputs),
        simulated=tuple(inputs.simulated()),
        wholly=manifest.simulated,
        mismatches=tuple(inputs.mismatches()),
        facts={
            "study": manifest.study,
            "study_hash": manifest.study_hash,
            "model_hash": inputs.card.sha256 if inputs.card else None,
            "start": str(manifest.start),
            "end": str(manifest.end),
        },
    )
    report("report: writing", 0.95)
    result = write_page(page, work.report, made_of)
    report("report: done", 1.0)
    return result
