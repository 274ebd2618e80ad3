"""The commands that judge: at stations, in space, one scale up, without predictors, by what moves models."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline import options
from pipeline.errors import ConfigError
from pipeline.options import DEFAULT_WORKDIR, Engine, Json, OptionalWork, Work

app = typer.Typer()


@app.command(
    epilog="Example: gee-smap validate --predictions p.parquet --insitu stations.csv --out validation"
)
def validate(
    insitu: Annotated[
        Path,
        typer.Option(help="ISMN zip or folder, or a CSV or Parquet table of readings or daily values."),
    ],
    predictions: Annotated[
        Path | None, typer.Option(help="What predict wrote, with station or cell and date.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    workdir: OptionalWork = None,
    collection: Annotated[
        str | None, typer.Option(help="A published collection, projects/NAME/assets/..., in their place.")
    ] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=SOURCE[#BAND[*FACTOR][+OFFSET]]: a further product, in a folder, file or asset."
        ),
    ] = None,
    rain: Annotated[
        bool, typer.Option("--rain", help="Ask for CHIRPS's rain at stations, for the response to it.")
    ] = False,
    triplet: Annotated[
        str | None, typer.Option(help="Three columns for triple collocation, such as insitu,sm,smci.")
    ] = None,
    independent: Annotated[
        list[str] | None, typer.Option(help="A product whose errors are independent of the others'.")
    ] = None,
    depth: Annotated[tuple[float, float], typer.Option(help="Of the probes, metres: from and to.")] = (
        0.0,
        0.1,
    ),
    flags: Annotated[str, typer.Option(help="Quality flags of the ISMN that are taken, such as G,U.")] = "G",
    timezone: Annotated[
        str | None, typer.Option(help="Of a table's times, such as Asia/Shanghai; UTC otherwise.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of a table's values, such as vol%.")] = None,
    bulk_density: Annotated[float | None, typer.Option(help="Of dry soil, g/cm³, for water by mass.")] = None,
    window: Annotated[
        float, typer.Option(min=0.1, max=24, help="Hours around the product's time, for readings.")
    ] = 12.0,
    window_method: Annotated[
        Literal["nearest", "mean"], typer.Option(help="The nearest reading, or the mean of the window's.")
    ] = "nearest",
    minimum_pairs: Annotated[int, typer.Option(min=3, help="Stations with fewer pairs are not scored.")] = 10,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of every interval.")] = 0.95,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Score predictions, maps or a shared collection at stations, beside SMAP on the same pairs."""
    from gee.target import BINS
    from pipeline import terminal
    from pipeline.insitu.daily import Reading
    from pipeline.insitu.matching import Window
    from pipeline.products.assets import AssetProduct
    from pipeline.products.named import named
    from pipeline.reporting.scores_page import write_scores_page
    from pipeline.scores import evidence
    from pipeline.study import Study

    if sum(given is not None for given in (predictions, workdir, collection)) != 1:
        raise ConfigError("give one of --predictions, --workdir and --collection")
    if (out is None) == (workdir is None):
        raise ConfigError("give --out, the folder to write, where it is not a work directory's")
    work = options.opened(workdir) if workdir else None
    others = [named(text) for text in product or ()]
    if predictions is not None and others:
        raise ConfigError("--product stands beside maps: give --workdir or --collection, not --predictions")
    asked = evidence.Asked(
        rain, tuple(triplet.split(",")) if triplet else None, tuple(independent or ()), minimum_pairs,
        confidence,
    )  # fmt: skip
    bins = BINS[Study.load(work.study).preparation.smap_bin if work else "morning"]
    how = Reading(
        Window.of_bin(bins, window, window_method), depth, tuple(flags.split(",")), timezone, bulk_density,
        unit,
    )  # fmt: skip
    with ExitStack() as stack:
        if collection or rain or any(isinstance(one, AssetProduct) for one in others):
            stack.enter_context(options.engine_only(engine))
        report = stack.enter_context(terminal.progress())
        if work is not None:
            done = evidence.of_maps(work, insitu, how, asked, report, products=others)
        elif collection is not None and out is not None:
            done = evidence.of_collection(collection, insitu, out, how, asked, report, products=others)
        elif predictions is not None and out is not None:
            done = evidence.of_table(predictions, insitu, out, how, asked, report)
        page = None
        if out is not None:
            command = shlex.join(["gee-smap", *sys.argv[1:]])
            name = collection or str(predictions)
            page = write_scores_page(evidence.Folders.below(out), name, command)
    if options.say(as_json, done.as_dict() | {"report": page.path if page else None}):
        return
    terminal.show_rows("Against in-situ soil moisture, on identical pairs", done.validation.rows())
    terminal.show_notes(done.notes)
    if page:
        terminal.show(f"report       {page.path}")
    elif work:
        terminal.show(f"figures      {work.validation}\nnext         gee-smap report --workdir {workdir}")


@app.command(epilog="Example: gee-smap describe --workdir anhui --rain")
def describe(
    workdir: Work = DEFAULT_WORKDIR,
    rain: Annotated[bool, typer.Option("--rain", help="Ask for CHIRPS's rain, to draw it too.")] = False,
    box: Annotated[
        list[str] | None, typer.Option(help="A part to zoom into, NAME=WEST,SOUTH,EAST,NORTH in degrees.")
    ] = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Describe the maps in space: against SMAP's cells, within cells, at borders, outside the training."""
    from pipeline import terminal
    from pipeline.cubes.zooms import Box
    from pipeline.scores import spatial

    work, boxes = options.opened(workdir), [Box.parse(text) for text in box or ()]
    with ExitStack() as stack:
        if rain:
            stack.enter_context(options.engine_only(engine))
        report = stack.enter_context(terminal.progress())
        done = spatial.describe(
            work, work.spatial, report, rain=spatial.chirps if rain else None, boxes=boxes
        )
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_notes(done.notes)
    terminal.show(
        f"tables and figures  {work.spatial}\nnext                gee-smap report --workdir {workdir}"
    )


@app.command(epilog="Example: gee-smap ablate --workdir anhui")
def ablate(
    samples: Annotated[Path | None, typer.Option(help="The table a model is trained on.")] = None,
    study: Annotated[Path | None, typer.Option(help="The study, a TOML file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    workdir: OptionalWork = None,
    as_json: Json = False,
) -> None:
    """Score the splits again without the day of year, without what never changes, and without both."""
    from pipeline import terminal
    from pipeline.learning.ablation import ablate as ablate_

    table, read_by, folder = options.paths(
        workdir, samples=(samples, "samples"), study=(study, "study"), out=(out, "ablation")
    )
    with terminal.progress() as report:
        done = ablate_(table, read_by, folder, report=report)
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_rows("The stack's RMSE, and its change without some predictors, m³/m³", done.rows())
    if rows := done.set_rows():
        terminal.show_rows("The stack's RMSE with the paper's predictors, and its change with others", rows)
    terminal.show_notes(done.notes)
    terminal.show(f"table and figure  {folder}")


@app.command(epilog="Example: gee-smap transfer --workdir anhui --factor 4")
def transfer(
    samples: Annotated[Path | None, typer.Option(help="The table a model is trained on.")] = None,
    study: Annotated[Path | None, typer.Option(help="The study, a TOML file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    workdir: OptionalWork = None,
    factor: Annotated[
        int | None,
        typer.Option(
            min=2, max=10, help="Cells joined along a side; the study's, or 4: 36 km of SMAP's 9 km."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Test downscaling one scale up: train on coarser cells, predict SMAP's own, hold them against SMAP."""
    from pipeline import terminal
    from pipeline.maps.detail import detail_of
    from pipeline.scores.coarser import SMAP_FACTOR
    from pipeline.scores.transfer import transfer as transfer_
    from pipeline.study import Study

    table, read_by, folder = options.paths(
        workdir, samples=(samples, "samples"), study=(study, "study"), out=(out, "transfer")
    )
    asked = Study.load(read_by)
    chosen = factor or (asked.splits.transfer if asked.splits.transfer > 1 else SMAP_FACTOR)
    with terminal.progress() as report:
        done = transfer_(table, read_by, folder, factor=chosen, report=report)
    if options.say(as_json, done.as_dict()):
        return
    kept = detail_of(asked, folder).notes(asked) if asked.maps.conserve else ()
    terminal.show_rows("Products against SMAP's own cells, m³/m³", done.rows())
    terminal.show_notes((*done.notes, *kept))
    terminal.show(f"table and figure  {folder}")
    if workdir is not None and out is None:
        terminal.show(f"next              gee-smap predict --workdir {workdir}")


@app.command(epilog="Example: gee-smap explain --model model --samples cells.parquet --out explanation")
def explain(
    model: Annotated[Path | None, typer.Option(help="A model folder.")] = None,
    samples: Annotated[Path | None, typer.Option(help="The table it was trained on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    workdir: OptionalWork = None,
    split: Annotated[str, typer.Option(help="How the rows explained are held out.")] = "spatial",
    as_json: Json = False,
) -> None:
    """Explain each partition's stack by SHAP values on rows held out from it."""
    from pipeline import terminal
    from pipeline.learning.explain import explain_model

    folder, table, told = options.paths(
        workdir, model=(model, "model"), samples=(samples, "samples"), out=(out, "explanation")
    )
    with terminal.progress() as report:
        done = explain_model(folder, table, told, split_name=split, report=report)
    if options.say(as_json, done.summary):
        return
    terminal.show_rows("Mean |SHAP value| on held-out rows, m³/m³", done.rows())
    terminal.show_notes(done.notes)
    terminal.show(f"tables and figures  {told}")
