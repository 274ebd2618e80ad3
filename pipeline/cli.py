"""The ``gee-smap`` command: it parses, calls and prints; everything else stands in the modules it calls.

Those modules are imported inside the commands, so that ``--help`` does not wait for three learning libraries.
Exit codes: 0 done, 1 a failure, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import traceback
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import cloud_commands, local_commands, options, score_commands
from pipeline.errors import USER_MISTAKES, ConfigError, DataError, GeeSmapError, of_gee
from pipeline.options import DEFAULT_WORKDIR, Engine, Json, OptionalWork, Work
from pipeline.work.workdir import WorkDir

INTERRUPTED = 130


class _Commands(options.Commands):
    """Turns the errors raised on purpose into a message and an exit code; others keep their trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (GeeSmapError, *USER_MISTAKES) as error:
            if options.verbose():
                traceback.print_exception(error)
            typer.secho(f"error: {error}", err=True, fg="red")
            raise typer.Exit(error.exit_code if isinstance(error, GeeSmapError) else 2) from error
        except KeyboardInterrupt:
            typer.echo("interrupted; nothing was left half-written", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Daily 1 km soil moisture from 9 km SMAP L4.",
)
app.add_typer(local_commands.app, name="local")
app.add_typer(cloud_commands.app)
app.add_typer(score_commands.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("gee-smap"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _connect() -> str:
    """Connect to the engine of the settings; gives its name."""
    from gee.connection import connect
    from pipeline.settings import Settings

    settings = Settings.load()
    return connect(settings.engine, settings.project, settings.credentials).engine


@app.command(epilog="Example: gee-smap init study.toml --example anhui-2019")
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("study.toml"),
    example: Annotated[str | None, typer.Option(help="Write a known study instead: anhui-2019.")] = None,
    as_json: Json = False,
) -> None:
    """Write a commented study file."""
    from pipeline.templates import write_template

    write_template(path, example)
    if options.say(as_json, {"study": path}):
        return
    typer.echo(f"{path} written. Edit it, then: gee-smap train --samples FILE --study {path} --out model")


@app.command(epilog="Example: gee-smap doctor")
def doctor(
    sources: Annotated[bool, typer.Option(help="Ask about every source too.")] = True,
    as_json: Json = False,
) -> None:
    """Check credentials, project, bucket and assets, and what the engine has of every source."""
    from pipeline import terminal
    from pipeline.cloud.checkup import examine_account
    from pipeline.cloud.doctor import examine
    from pipeline.settings import Settings

    settings = Settings.load()
    with of_gee(), terminal.progress() as report:
        account = examine_account(settings, None, report)
        found = examine(report) if sources and account.answers else None
    told = {"engine": settings.engine, "account": account.as_dict()} | (found.as_dict() if found else {})
    if not options.say(as_json, told):
        terminal.show_rows(f"Account on the {settings.engine} engine", account.rows())
        terminal.show_notes(account.notes())
        if found:
            terminal.show_rows(f"Sources on the {settings.engine} engine", found.rows())
            terminal.show_notes(found.notes())
    if account.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: gee-smap plan --study study.toml")
def plan(
    study: Annotated[Path, typer.Option(help="The study, a TOML file.")],
    checkpoints: Annotated[
        str | None,
        typer.Option(help="Asset folder for what is needed more than once."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan under both presets and show where they differ.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the export tasks of a study, with sizes, and refuse what breaks a limit; submits nothing."""
    from pipeline import terminal
    from pipeline.planning import Planned, preset_differences
    from pipeline.planning import plan as plan_
    from pipeline.study import PRESETS, Study

    wanted = [Study.load(study, preset) for preset in PRESETS] if dry_run else [Study.load(study)]
    done: list[Planned] = []
    refused: dict[str, str] = {}
    with of_gee(), terminal.progress() as report:
        _connect()
        for each in wanted:
            try:
                done.append(plan_(each, study.parent, checkpoints, report))
            except (ConfigError, DataError) as error:
                if not dry_run:
                    raise
                refused[each.preset] = str(error)
    if not options.say(as_json, {
        "plans": [one.manifest().model_dump(mode="json") for one in done],
        "refused": refused,
        "preset_differences": preset_differences() if dry_run else [],
    }):  # fmt: skip
        for one in done:
            terminal.show_rows(one.title(), one.rows())
        if dry_run:
            terminal.show_rows("Where the presets prepare the data differently", preset_differences())
        terminal.show_notes(dict.fromkeys(note for one in done for note in one.notes()))
        for preset, reason in refused.items():
            typer.secho(f"preset {preset}: {reason}", err=True, fg="red")
    if refused:
        raise typer.Exit(2)


@app.command(epilog="Example: gee-smap picture --files exports --day 2019-07-22 --out day.png")
def picture(
    files: Annotated[Path, typer.Option(help="Folder of the exported files.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Of the predictors; without it, the partitions are drawn."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a day's predictors at 1 km and on the cells, or the map of the partitions."""
    with of_gee():
        from pipeline.cubes.exported import read_day, read_land
        from pipeline.figures import predictor_maps

        if day is None:
            predictor_maps.draw_partitions(read_land(files), out)
        else:
            predictor_maps.draw_day(read_day(files, day.date()), out)
    if not options.say(as_json, {"picture": out}):
        typer.echo(f"{out} written")


@app.command(epilog="Example: gee-smap run --study study.toml --workdir anhui")
def run(
    study: Annotated[
        Path | None, typer.Option(help="A study; None goes on with the work directory's, or is the example.")
    ] = None,
    workdir: Work = DEFAULT_WORKDIR,
    engine: Engine = None,
    stations: Annotated[
        Path | None, typer.Option(help="In-situ soil moisture: ISMN zip or folder, or a table.")
    ] = None,
    checkpoints: Annotated[
        bool, typer.Option(help="Keep sources at 1 km as assets between the stages.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Do all of it: export, train, predict, publish, map, validate, report; what is done stays done."""
    from pipeline import run as chain
    from pipeline import terminal

    with options.cloud(engine) as cloud, terminal.progress() as report:
        done = chain.run(
            WorkDir(workdir), cloud, report, study_file=study, stations=stations, checkpoints=checkpoints
        )
    if options.say(as_json, done.as_dict()):
        return
    if done.manifest.simulated:
        terminal.show("The sources of this run are simulated by the local engine, not observed.", "bold")
    terminal.show_scores(done.scores)
    if done.truth:
        terminal.show_rows(
            "Against the simulated truth at 1 km, on identical pixels and days (m³/m³)",
            [score.row() for score in done.truth],
        )
    terminal.show_rows("Stages", done.rows())
    terminal.show_notes(done.notes)
    terminal.show(
        f"map          {done.page.path}\nreport       {done.report.path}\ncollection   {done.collection}\n"
        f"next         gee-smap share --workdir {workdir} --reader SOMEBODY@EXAMPLE.COM"
    )


@app.command(epilog="Example: gee-smap train --samples cells.parquet --study study.toml --out model")
def train(
    samples: Annotated[Path | None, typer.Option(help="Parquet or CSV, one row per cell and day.")] = None,
    study: Annotated[Path | None, typer.Option(help="The study, a TOML file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    workdir: OptionalWork = None,
    as_json: Json = False,
) -> None:
    """Score every split of the study, then train on all samples and write the model folder."""
    from pipeline import terminal
    from pipeline.learning.train import train as train_

    table, read_by, model = options.paths(
        workdir, samples=(samples, "samples"), study=(study, "study"), out=(out, "model")
    )
    with terminal.progress() as report:
        done = train_(table, read_by, model, report=report)
    if options.say(as_json, {"model": model, "scores": done.card.scores, "stacks": [
        one.model_dump() for one in done.card.stacks
    ], "choices": [one.model_dump() for one in done.card.choices], "notes": done.notes}):  # fmt: skip
        return
    terminal.show_scores(done.scores)
    terminal.show_rows("Stacks fitted on all samples: weight × trees", done.stack_rows())
    terminal.show_notes(done.notes)
    again = f"--workdir {workdir}" if workdir else f"--model {model} --table FILE --out FILE"
    terminal.show(f"model        {model}\nnext         gee-smap predict {again}")


@app.command(
    epilog="Example: gee-smap predict --model model --table stations.parquet --out predictions.parquet"
)
def predict(
    model: Annotated[Path | None, typer.Option(help="A model folder.")] = None,
    table: Annotated[Path | None, typer.Option(help="Parquet or CSV with the predictors.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet or CSV to write.")] = None,
    study: Annotated[
        Path | None, typer.Option(help="How to read the table, if not as the model's own study says.")
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(help="Predictors and SMAP of the cells around, to keep what SMAP knows of each day."),
    ] = None,
    transfer: Annotated[
        Path | None,
        typer.Option(help="What transfer wrote, for how much of the model --cells keeps; all without it."),
    ] = None,
    workdir: OptionalWork = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Of a Dask cluster for the maps of --workdir: tcp://HOST:PORT.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for the maps of --workdir, in place of threads.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict soil moisture for every row of a table, or every pixel and day of a work directory."""
    from pipeline import terminal

    if table is None and workdir is not None:
        _predict_maps(options.opened(workdir), scheduler, workers, as_json)
        return
    from pipeline.learning.predict import predict as predict_

    if table is None or out is None:
        raise ConfigError("give --model, --table and --out for a table, or --workdir for its maps")
    if transfer is not None and cells is None:
        raise ConfigError("--transfer tells how much of the model --cells keeps: give --cells too")
    [chosen] = options.paths(workdir, model=(model, "model"))
    detail, told = _detail(chosen, study, transfer, workdir) if cells else (1.0, ())
    done = predict_(chosen, table, out, study_file=study, cells=cells, detail=detail)
    notes = (*done.notes, *told)
    kept = {"detail": detail} if cells else {}
    if options.say(as_json, {"out": out, "rows": len(done.frame), **kept, "notes": notes}):
        return
    terminal.show_notes(notes)
    terminal.show(
        f"{len(done.frame):,} rows predicted: {out}\n"
        f"next         gee-smap validate --predictions {out} --insitu FILE --out validation"
    )


def _detail(
    model: Path, study_file: Path | None, transfer: Path | None, workdir: Path | None
) -> tuple[float, tuple[str, ...]]:
    """The share of the model's detail that corrected points keep, and what to know of it."""
    from models import store
    from pipeline.learning.train import study_of
    from pipeline.maps.detail import FILE, detail_of
    from pipeline.study import Study

    store.read_card(model)  # tells what is wrong with a folder that is none
    if transfer is not None and not (transfer / FILE).is_file():
        raise DataError(f"{transfer} holds no {FILE}: name a folder that gee-smap transfer wrote")
    study = Study.load(study_file) if study_file else study_of(model)
    found = detail_of(study, transfer or (WorkDir(workdir).transfer if workdir else None))
    return found.value, tuple(found.notes(study))


def _predict_maps(work: WorkDir, scheduler: str | None, workers: int | None, as_json: bool) -> None:
    from pipeline import terminal
    from pipeline.maps.mapping import predict_maps

    with terminal.progress() as report:
        done = predict_maps(work, report, scheduler=scheduler, workers=workers)
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_rows("Maps", done.rows())
    terminal.show_notes(done.notes())
    terminal.show(f"images       {work.images}\nnext         gee-smap publish --workdir {work.root}")


if __name__ == "__main__":
    app()
