"""The parts of a report that tell: what was done, the maps, the predictors, the tasks, how to do it again."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gee.landcover import CLASSES, TYPES
from gee.recipe import PAPER, RECOMMENDED
from gee.target import BINS, in_outage
from pipeline.figures.predictor_maps import ANHUI_KM2, PAPER_SHARES
from pipeline.reporting import (
    ablation,
    applicability,
    explanation,
    fusion,
    intervals,
    judging,
    plots,
    rain,
    space,
    stations,
    transfer,
    triple,
)
from pipeline.reporting.content import (
    Absent,
    Block,
    Column,
    Facts,
    Figure,
    Folded,
    Link,
    Listing,
    Points,
    Row,
    Section,
    Table,
    Words,
    listed,
    percent,
    period,
)
from pipeline.reporting.inputs import Done, Inputs
from pipeline.reporting.summaries import CubeSummary, PredictionSummary

SAME_AREA = 0.02  # of the province's, within which a region is all of it
MOMENT = "%Y-%m-%d %H:%M"


def sections(inputs: Inputs) -> tuple[Section, ...]:
    """The whole report."""
    work = f"--workdir {shlex.quote(inputs.name)}"
    again, validate = f"gee-smap run {work}", f"gee-smap validate {work} --insitu FILE"
    parts = (
        Section("done", "What was done", tuple(_done(inputs))),
        judging.held_out(inputs, again),
        fusion.section(inputs.fusions, again),
        ablation.section(inputs.ablation, f"gee-smap ablate {work}"),
        transfer.section(inputs.transfer, f"gee-smap transfer {work}"),
        Section.of(
            "maps",
            "The map",
            inputs.prediction,
            lambda found: _maps(inputs, found, again),
            Absent("Soil moisture has not been predicted yet, or not to the end.", again),
        ),
        space.section(inputs.spatial, f"gee-smap describe {work}"),
        applicability.section(inputs.surveyed, again),
        intervals.section(inputs.calibrated, again, inputs.covered, again),
        stations.section(inputs.validation, validate),
        rain.section(inputs.rain, f"{validate} --rain", inputs.card.features if inputs.card else ()),
        triple.section(inputs.triple, f"{validate} --product NAME=SOURCE --triplet sm,insitu,NAME"),
        judging.truth(inputs, again),
        Section.of(
            "data",
            "Predictors and land cover",
            inputs.cube,
            _data,
            Absent("The predictors have not been put together yet: there is no cube.", again),
        ),
        judging.model(inputs),
        explanation.section(inputs.explanation, f"gee-smap explain {work}"),
        Section("provenance", "Provenance", tuple(_provenance(inputs, again))),
        Section("again", "How to run it again", tuple(_again(inputs, again))),
    )
    lacking = [part.title for part in parts if part.id in inputs.damaged]
    return (
        Section("short", "In short", (Points(tuple(_in_short(inputs, lacking))),)),
        *(_lacking(part, inputs.damaged.get(part.id), again) for part in parts),
    )


def _lacking(section: Section, reason: str | None, again: str) -> Section:
    """A section whose part is damaged, with the reason where the part would be called absent."""
    if reason is None:
        return section
    rest = [block for block in section.blocks if not isinstance(block, Absent)]
    return replace(section, blocks=(Absent(f"{reason[0].upper()}{reason[1:]}.", again), *rest))


def _in_short(inputs: Inputs, lacking: list[str]) -> Iterator[tuple[str, str]]:
    manifest, found = inputs.manifest, inputs.prediction
    what = (
        f"Surface soil moisture day by day at 1 km in {listed(list(manifest.places), 3)} "
        f"({manifest.area_km2:,.0f} km²), {period(manifest.start, manifest.end)}, downscaled from SMAP L4 at "
        "9 km by stacked gradient boosting after Xu et al. 2024."
    )
    yield "What." if found else "Planned, not mapped yet.", what
    if found:
        land = f" ({percent(_valued(inputs.cube, found))} of land and days)" if inputs.cube else ""
        told = f"{found.values:,} values of {found.pixels:,} pixels on {len(found.days)} days{land}"
        yield "Map.", f"{told}; the mean of all pixels' means is {found.overall:.3f} m³/m³."
    yield from judging.in_short(inputs)
    if lacking:
        names = listed([f"“{title}”" for title in lacking])
        yield "Damaged.", f"Files cannot be read, so something is missing under {names}; each says why."


def _valued(cube: CubeSummary, found: PredictionSummary) -> float:
    return found.values / max(1, int(cube.land.sum()) * len(found.days))


def _done(inputs: Inputs) -> Iterator[Block]:
    manifest, study, samples, cube = inputs.manifest, inputs.study, inputs.samples, inputs.cube
    outage = sum(in_outage(day) for day in manifest.days)
    kinds = Counter(task.kind for task in manifest.tasks)
    tasks = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
    parts = listed(list(manifest.partitions)) or "none"
    facts = [
        ("Study", f"{manifest.study}, preset {manifest.preset}"),
        ("Region", f"{listed(list(manifest.places))}, {manifest.area_km2:,.0f} km²"),
        ("Period", f"{period(manifest.start, manifest.end)}, {len(manifest.days)} days"),
        ("Fine grid", f"{manifest.width} × {manifest.height} pixels of 1 km, {manifest.crs}"),
        ("9 km cells", f"{manifest.cells:,} in the region's bounds"),
        ("Partitions", f"{parts} ({manifest.partition_rule})" if manifest.partitions else parts),
        ("Exports", f"{len(manifest.tasks)} tasks: {tasks}" if manifest.tasks else "no tasks"),
    ]
    if cube:
        facts.append((
            "Pixels", f"{cube.region.sum():,} in the region, {cube.land.sum():,} of them land "
            f"({cube.land_km2:,.0f} km²)",
        ))  # fmt: skip
    if samples:
        where = (
            f" of {samples.cells:,} cells on {samples.days:,} days" if samples.cells and samples.days else ""
        )
        facts.append(("Samples", f"{samples.rows:,}{where}"))
    if study:
        recipe = study.preparation
        facts.append(("SMAP", f"L4 version {recipe.smap}, {BINS[recipe.smap_bin].label}"))
        rule = (
            f"a share of water from {recipe.water_limit:g} on"
            if recipe.water == "fraction"
            else "where water has the largest share"
        )
        facts.append(("Left out as water", rule))
        blend = study.partitions.blend_km
        told = f"over {blend:g} km on both sides of a border" if blend else "none: models change at a border"
        facts.append(("Blending", told))
    yield Facts(tuple(facts))
    if outage:
        of = f" {samples.outage:,} samples are of such days." if samples and samples.outage else ""
        yield Words(
            f"On {outage} of the {len(manifest.days)} days SMAP's radiometer was off, and its L4 is a land "
            f"model alone: the target of these days saw no satellite.{of}",
            "Outage.",
        )
    if study:
        rows: list[Row] = [
            {
                "choice": name.replace("_", " "), "study": str(value),
                "recommended": str(getattr(RECOMMENDED, name)), "paper": str(getattr(PAPER, name)),
                "meaning": field.description or "",
            }
            for (name, value), field in zip(
                study.preparation, type(study.preparation).model_fields.values(), strict=True
            )
        ]  # fmt: skip
        other = [str(row["choice"]) for row in rows if row["study"] != row["recommended"]]
        told = f"differ in {listed(other)}" if other else "are the recommended ones"
        yield Words(f"The choices of this study {told}.", "How sources became predictors.")
        yield Folded(
            "All choices: masks, dates, radar, soil, water, SMAP",
            (
                Table(
                    "choices", "Choices of the preparation",
                    (
                        Column("choice", "Choice"), Column("study", "This study"),
                        Column("recommended", "Recommended"), Column("paper", "Xu et al. 2024, literally"),
                        Column("meaning", "Possible", prose=True),
                    ),
                    tuple(rows),
                ),
            ),
        )  # fmt: skip
        yield Folded("The study file", (Listing(inputs.study_text, "study.toml"),))
    else:
        yield Absent("The study's text is missing: study.toml is not in the work directory.")


def _maps(inputs: Inputs, found: PredictionSummary, again: str) -> Iterator[Block]:
    cube = inputs.cube
    if not found.pixels:
        yield Absent("The map holds no value at all: every land pixel lacks the predictors of every day.")
        return
    simulated = found.simulated or inputs.manifest.simulated
    low, high = np.nanquantile(found.mean, (0.05, 0.95))
    png, _ = plots.drawn(plots.moisture_map(found, cube, simulated=simulated), chart=False)
    yield Figure(
        "moisture-map",
        png,
        f"Two maps at 1 km: mean soil moisture of the period, {low:.3f} to {high:.3f} m³/m³ in 90 % of the "
        "pixels, and its standard deviation over days.",
        "Mean and variability of the period. In (a) violet is wet and yellow dry; an edge that follows a "
        "partition's border or a 9 km cell is made by the method, not by the land.",
    )
    png, svg = plots.drawn(plots.moisture_days(found, simulated=simulated))
    yield Figure(
        "moisture-days",
        png,
        f"Line of the region's mean soil moisture by day, between {found.daily['mean'].min():.3f} and "
        f"{found.daily['mean'].max():.3f} m³/m³, with the range of 80 % of the pixels.",
        "The region by day: rain shows as a rise within a day or two and a slow fall after it; a jump of all "
        "pixels at once is more likely a source that failed.",
        svg,
    )
    few, many = (int(getattr(found.counts[found.counts > 0], name)()) for name in ("min", "max"))
    yield Words(
        f"A pixel has a value on {few} to {many} of {len(found.days)} days; the means are over these days."
        if few < many
        else f"Every mapped pixel has a value on {few} of {len(found.days)} days."
    )
    if cube and cube.names and cube.region.shape == found.mean.shape:
        yield _partition_table(inputs, cube, found)
    if inputs.map_page:
        yield Link(inputs.map_page, "The map page: every day, SMAP beside it, values and series by click")
    else:
        yield Absent("There is no map page to look at single days.", again)


def _partition_table(inputs: Inputs, cube: CubeSummary, found: PredictionSummary) -> Table:
    stacks = {stack.name: stack.samples for stack in inputs.card.stacks} if inputs.card else {}
    rows: list[Row] = []
    for code, name in [*enumerate(cube.names, start=1), (0, "outside of all")]:
        inside = cube.region & (cube.partition == code)
        means = found.mean[inside & (found.counts > 0)]
        if code == 0 and not inside.any():
            continue
        rows.append({
            "partition": name, "km2": float(inside.sum()) * cube.pixel_km2,
            "share": float(inside.sum() / max(1, cube.region.sum())), "samples": stacks.get(name),
            "sm_mean": float(means.mean()) if means.size else None,
            "sm_spread": float(means.std()) if means.size else None,
        })  # fmt: skip
    return Table(
        "partitions",
        "Partitions: area, samples of their stack, and the period's mean soil moisture over their pixels",
        (
            Column("partition", "Partition"),
            Column("km2", "Area (km²)", ",.0f"),
            Column("share", "Share", "%"),
            Column("samples", "Samples", ",d"),
            Column("sm_mean", "Mean (m³/m³)", ".3f"),
            Column("sm_spread", "Spread over pixels (m³/m³)", ".3f"),
        ),
        tuple(rows),
    )


def _data(cube: CubeSummary) -> Iterator[Block]:
    yield Words(
        "A predictor that is missing is left to the model, which has learnt what to do without it; where a "
        "month lacks much, its map rests on the others."
    )
    months = list(dict.fromkeys(f"{day:%Y-%m}" for day in cube.days))
    yield Table(
        "missing",
        "Share of land pixels and days without a value, by predictor and month",
        (
            Column("predictor", "Predictor"),
            *(Column(month, month, "%", shaded=True) for month in months),
            Column("period", "Whole period", "%", shaded=True),
        ),
        tuple({"predictor": one.predictor, **one.months, "period": one.share} for one in cube.gaps),
    )
    lacking = {name: share for name, share in cube.fixed_gaps.items() if share}
    yield Words(
        f"Of the predictors that do not change, some land pixels lack {judging.shares(lacking)}."
        if lacking
        else "Of the predictors that do not change, no land pixel lacks any."
    )
    paper = _paper_areas(cube)
    rows: list[Row] = [
        {
            "class": name, "km2": km2, "share": km2 / max(cube.region_km2, 1e-9),
            **({"paper_km2": paper[code], "difference_km2": km2 - paper[code]} if paper else {}),
        }
        for (code, name), km2 in zip(CLASSES.items(), cube.class_km2.values(), strict=True)
    ]  # fmt: skip
    if cube.unknown_km2:
        rows.append({
            "class": "unknown", "km2": cube.unknown_km2, "share": cube.unknown_km2 / cube.region_km2,
        })  # fmt: skip
    beside = (
        (
            Column("paper_km2", "Xu et al. 2024, table 2 (km²)", ",.0f"),
            Column("difference_km2", "Difference (km²)", "+,.0f"),
        )
        if paper
        else ()
    )
    yield Table(
        "land-cover",
        "Land cover of the region: area of each class, summed from its share of every pixel",
        (
            Column("class", "Class"),
            Column("km2", "Area (km²)", ",.0f"),
            Column("share", "Share", "%"),
            *beside,
        ),
        tuple(rows),
    )
    if paper:
        made_up = " The land cover here is simulated: the comparison tests the chain alone." * cube.simulated
        yield Words(f"The paper's areas are of Anhui in 2019, its classes merged as here.{made_up}")


def _paper_areas(cube: CubeSummary) -> dict[int, float]:
    """Areas of the merged classes by the paper, where the region and its parts are the paper's."""
    if set(cube.names) != set(PAPER_SHARES) or abs(cube.region_km2 / ANHUI_KM2 - 1) > SAME_AREA:
        return {}
    return {code: math.fsum(row.paper_km2 for row in TYPES if row.merged == code) for code in CLASSES}


def _provenance(inputs: Inputs, again: str) -> Iterator[Block]:
    manifest, card, done = inputs.manifest, inputs.card, inputs.done
    facts = [("Study, SHA-256", manifest.study_hash)]
    if card:
        facts += [
            ("Model, SHA-256", card.sha256),
            ("Trained with", ", ".join([f"gee-smap {card.gee_smap}", *(
                f"{name} {held}" for name, held in card.libraries.items()
            )])),
        ]  # fmt: skip
    if inputs.prediction and inputs.prediction.gee_smap:
        facts.append(("Map predicted with", f"gee-smap {inputs.prediction.gee_smap}"))
    if done:
        begun = [row.submitted for row in done.tasks if row.submitted]
        ended = [row.ended for row in done.tasks if row.ended]
        if begun and ended:
            facts.append(("Exported", f"{min(begun):{MOMENT}} to {max(ended):{MOMENT}} UTC"))
        planned = math.fsum(task.eecu_hours for task in manifest.tasks)
        used = "not told" if done.eecu_seconds is None else f"{done.eecu_seconds / 3600:,.2f} h"
        facts.append(("Earth Engine compute units", f"{used} used, some {planned:,.1f} h expected"))
        if done.assets:
            whole = sum(row.state == "succeeded" for row in done.assets)
            homes = dict.fromkeys(row.id.rpartition("/")[0] for row in done.assets)
            facts.append(("Published", f"{whole} of {len(done.assets)} images in {', '.join(homes)}"))
    yield Facts(tuple(facts))
    if manifest.sources:
        yield Table(
            "sources",
            "Sources: datasets of the Earth Engine catalogue" + " (simulated ones)" * manifest.simulated,
            (Column("source", "Source"), Column("asset", "Asset", code=True)),
            tuple({"source": name, "asset": asset} for name, asset in sorted(manifest.sources.items())),
        )
    if done is None:
        yield Absent("There is no ledger: what ran when, and what it cost, is not known.", again)
    if tasks := tuple(_tasks(inputs)):
        yield _task_table(tasks)
    if done and done.runs:
        yield Folded("Commands", (_run_table(done),))


def _task_table(tasks: tuple[Row, ...]) -> Table:
    return Table(
        "tasks",
        "Export tasks: what was expected, and what the engine told",
        (
            Column("task", "Task", code=True),
            Column("kind", "Kind"),
            Column("state", "State"),
            Column("attempts", "Attempts", ",d"),
            Column("megapixels", "Source (Mpx)", ",.0f"),
            Column("output_mb", "Output (MB)", ",.1f"),
            Column("eecu_h_expected", "EECU expected (h)", ",.2f"),
            Column("eecu_h_used", "EECU used (h)", ",.2f"),
            Column("seconds", "Ran (s)", ",.0f"),
            Column("ended", "Ended (UTC)"),
        ),
        tasks,
    )


def _run_table(done: Done) -> Table:
    return Table(
        "runs",
        "Commands, in their order",
        (
            Column("command", "Command"),
            Column("started", "Started (UTC)"),
            Column("seconds", "Took (s)", ",.1f"),
            Column("outcome", "Outcome"),
            Column("gee_smap", "gee-smap"),
        ),
        tuple(
            {
                "command": row.command, "started": f"{row.started:{MOMENT}}", "seconds": row.seconds,
                "outcome": row.outcome or "running when this was written, or killed",
                "gee_smap": row.code_version,
            }
            for row in done.runs
        ),
    )  # fmt: skip


def _tasks(inputs: Inputs) -> Iterator[Row]:
    """Tasks of the plan with what became of them, and those that stood in for one of them."""
    held = {row.task: row for row in inputs.done.tasks} if inputs.done else {}
    planned = {task.task: task for task in inputs.manifest.tasks}
    for name in dict.fromkeys([*planned, *held]):
        task, row = planned.get(name), held.get(name)
        told: dict[str, Any] = {
            "task": name,
            "product": task.name if task else row.product if row else None,
            "kind": task.kind if task else row.kind if row else None,
            "state": row.state if row else None,
            "attempts": row.attempts if row else None,
            "megapixels": task.megapixels if task else None,
            "output_mb": task.output_bytes / 1e6 if task else None,
            "eecu_h_expected": task.eecu_hours if task else None,
            "eecu_h_used": row.eecu_seconds / 3600 if row and row.eecu_seconds is not None else None,
            "seconds": row.seconds if row else None,
            "ended": f"{row.ended:{MOMENT}}" if row and row.ended else None,
            "error": row.error if row else None,
        }
        yield told


def _again(inputs: Inputs, again: str) -> Iterator[Block]:
    home = shlex.quote(inputs.name)
    engine = "local" if inputs.manifest.simulated else "google"
    lines = [
        "# the same study from the beginning, in a work directory of its own",
        f"gee-smap run --study {shlex.quote(f'{inputs.name}/{inputs.work.study.name}')} "
        f"--workdir {shlex.quote(f'{inputs.name}-again')} --engine {engine}",
        "",
        "# what is not done yet in this one; nothing where all is done",
        again,
        "",
        "# this report alone",
        f"gee-smap report --workdir {home}",
    ]
    yield Words("From the folder that holds the work directory:")
    yield Listing("\n".join(lines), "Commands")
    if inputs.prediction:
        store = f"{inputs.name}/{inputs.work.prediction.name}"
        yield Words("The maps in Python, m³/m³ over (time, y, x):")
        yield Listing(
            f'import xarray as xr\n\nsm = xr.open_zarr({store!r}, consolidated=False)["sm"]', "In Python"
        )
    yield Words(
        f"Every table of this page, with all digits, is a CSV file in the folder {inputs.work.report.stem} "
        "beside it, all of them together are report.json, every figure is a PNG and every chart an SVG too."
    )
