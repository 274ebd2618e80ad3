"""A part of a work directory that cannot be read costs the report that part, and nothing else."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest

from pipeline.reporting.report import write_report
from pipeline.work.workdir import WorkDir

UNTOUCHED = {"short", "again"}  # tell of the whole
TELLS = {
    "data": {"done", "maps"},  # pixels, water and partitions
    "model": {"maps", "provenance"},  # samples of each partition, and versions
    "maps": {"truth", "provenance"},  # share of its values, and the version
}
"""Sections that tell something of another section's part, and lack it too."""


def sections(work: WorkDir) -> dict[str, str]:
    """The report's sections as they stand in the page, by id."""
    text = work.report.read_text(encoding="utf-8")
    found = re.findall(r'<section id="([\w-]+)"(.*?)</section>', text, re.DOTALL)
    return {name: " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split()) for name, body in found}


@pytest.fixture(scope="module")
def whole(reviewed_work: WorkDir) -> dict[str, str]:
    """Sections of the report of the whole work directory."""
    made = write_report(reviewed_work, lambda what, share: None)
    lacking = ("fusions of its members", "one scale up", "no area of applicability", "without intervals")
    assert len(made.absent) == len(lacking)  # nothing that is cut off below
    return sections(reviewed_work)


@pytest.mark.parametrize(
    "damaged",
    [
        {
            "rain/rain.json": "rain", "triple/triple.csv": "triple", "spatial/agreement.csv": "space",
            "ablation/ablation.json": "ablation", "explanation/importance.csv": "explanation",
            "validation/summary.json": "stations",
        },
        {
            "rain/events.csv": "rain", "triple/triple.json": "triple", "spatial/spatial.json": "space",
            "ablation/ablation.csv": "ablation", "explanation/explain.json": "explanation",
            "truth.json": "truth",
        },
        {"samples.parquet": "done", "ledger.sqlite": "provenance", "cube.zarr/dem/zarr.json": "data"},
        {"study.toml": "done", "prediction.zarr/sm/zarr.json": "maps"},
        {"model/model.json": "scores model intervals"},
    ],
    ids=lambda damaged: next(iter(damaged)),
)  # fmt: skip
def test_files_that_were_cut_off_cost_their_sections_and_no_others(
    whole: dict[str, str], reviewed_work: WorkDir, tmp_path: Path, damaged: dict[str, str]
) -> None:
    work = WorkDir(tmp_path / reviewed_work.root.name)
    shutil.copytree(reviewed_work.root, work.root)
    for file in damaged:
        path = work.root / file
        path.write_bytes(path.read_bytes()[:20])

    made = write_report(work, lambda what, share: None)

    found = sections(work)
    changed = set(" ".join(damaged.values()).split())
    same = {name for name in whole if name not in UNTOUCHED and found[name] == whole[name]}
    assert whole.keys() == found.keys()
    assert changed.isdisjoint(same)
    follows: set[str] = set().union(*(TELLS.get(name, set()) for name in changed))
    assert same >= whole.keys() - UNTOUCHED - changed - follows
    titles = re.findall(r'id="title-([\w-]+)">([^<]+)<', work.report.read_text(encoding="utf-8"))
    assert {name for name, title in titles if f"“{title}”" in found["short"]} == changed
    for file in damaged:
        assert any(Path(file).parts[0].split(".")[0] in told for told in made.absent), file


def test_a_result_of_another_version_that_lacks_a_number_costs_its_section(
    whole: dict[str, str], reviewed_work: WorkDir, tmp_path: Path
) -> None:
    work = WorkDir(tmp_path / reviewed_work.root.name)
    shutil.copytree(reviewed_work.root, work.root)
    record = work.rain / "rain.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"wetter"', '"weather"'), encoding="utf-8")

    made = write_report(work, lambda what, share: None)

    found = sections(work)
    assert "cannot be shown (KeyError: 'wetter')" in found["rain"]
    assert [told for told in made.absent if "wetter" in told]
    assert {name for name in whole if found[name] != whole[name]} <= {"rain", "short"}
