"""The commands that work in the cloud: exports, maps, publication, sharing. They parse, call and print."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline import options
from pipeline.options import DEFAULT_WORKDIR, Engine, Json, Work

app = typer.Typer()


@app.command(epilog="Example: gee-smap auth --project p --bucket my-bucket --assets projects/p/assets/sm")
def auth(
    project: Annotated[
        str | None, typer.Option(help="Google Cloud project registered for Earth Engine.")
    ] = None,
    bucket: Annotated[str | None, typer.Option(help="Cloud Storage bucket, without gs://.")] = None,
    assets: Annotated[str | None, typer.Option(help="Earth Engine folder, projects/NAME/assets/...")] = None,
    key: Annotated[
        Path | None, typer.Option(help="A service account's key file, in place of your login.")
    ] = None,
    headless: Annotated[
        bool, typer.Option(help="Show a link and ask for a code: for machines without browser.")
    ] = False,
    env_file: Annotated[Path, typer.Option(help="File of settings to keep it in.")] = Path(".env"),
    force: Annotated[bool, typer.Option(help="Sign in anew although credentials are there.")] = False,
    as_json: Json = False,
) -> None:
    """Sign in to Earth Engine and keep project, bucket and assets in .env."""
    from pipeline.cloud.auth import sign_in

    done = sign_in(
        project=project, bucket=bucket, assets=assets, key=key, headless=headless, env_file=env_file,
        force=force,
    )  # fmt: skip
    if as_json:
        options.say(as_json, {"done": list(done)})
        return
    for line in done:
        typer.echo(line)


@app.command(epilog="Example: gee-smap export --study study.toml --workdir anhui")
def export(
    study: Annotated[
        Path | None, typer.Option(help="The study; None goes on with the work directory's.")
    ] = None,
    workdir: Work = DEFAULT_WORKDIR,
    engine: Engine = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit and leave; come back with status.")
    ] = False,
    via: Annotated[
        Literal["gcs", "xee"], typer.Option(help="gcs, or xee to fill the cube without a bucket.")
    ] = "gcs",
    checkpoints: Annotated[
        bool, typer.Option(help="Keep sources at 1 km as assets between the stages.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Submit what is not exported yet, follow it, and make the cube and the samples."""
    from pipeline import run, steps, terminal
    from pipeline.work.workdir import WorkDir

    work = WorkDir(workdir)
    with options.cloud(engine) as cloud, terminal.progress() as report:
        wanted = run.begin(work, study)
        done = steps.prepare(wanted, work, cloud, report, detach=detach, via=via, checkpoints=checkpoints)
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_rows(done.title(), done.rows())
    terminal.show_notes(done.notes())


@app.command(epilog="Example: gee-smap status --workdir anhui")
def status(workdir: Work = DEFAULT_WORKDIR, engine: Engine = None, as_json: Json = False) -> None:
    """Show how far the export tasks of a work directory are."""
    from pipeline import terminal
    from pipeline.exporting.export import status as status_

    work = options.opened(workdir)
    with options.cloud(engine):
        found = status_(work)
    if options.say(as_json, found.as_dict()):
        return
    terminal.show_rows(found.title(), found.rows())
    terminal.show_notes(found.notes())


@app.command(epilog="Example: gee-smap cancel --workdir anhui dynamic-2019-07")
def cancel(
    tasks: Annotated[list[str] | None, typer.Argument(help="Names of tasks; none is all.")] = None,
    workdir: Work = DEFAULT_WORKDIR,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Stop export tasks that have not finished."""
    from pipeline.exporting.export import cancel as cancel_

    work = options.opened(workdir)
    with options.cloud(engine):
        count = cancel_(work, tasks or None)
    if not options.say(as_json, {"cancelled": count}):
        typer.echo(f"{count} tasks cancelled; gee-smap export submits them again")


@app.command(epilog="Example: gee-smap clean --workdir anhui")
def clean(
    workdir: Work = DEFAULT_WORKDIR,
    engine: Engine = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: Json = False,
) -> None:
    """List the study's objects in the bucket that nothing needs any more, and delete them."""
    from pipeline import steps, terminal

    work = options.opened(workdir)
    with options.cloud(engine) as cloud:
        bucket, found = steps.leftovers(work, cloud)
        if not as_json and found:
            terminal.show_rows(
                f"No longer needed in {bucket.uri('')}",
                [{"object": one.name, "MB": f"{one.size / 1e6:,.1f}"} for one in found],
            )
        wanted = bool(found) and (
            yes or (not as_json and typer.confirm(f"Delete these {len(found)} objects?"))
        )
        removed = bucket.remove([one.name for one in found]) if wanted else ()
    if not options.say(as_json, {"found": [one.name for one in found], "removed": list(removed)}):
        typer.echo(f"{len(removed)} of {len(found)} objects deleted")


@app.command(epilog="Example: gee-smap publish --workdir anhui")
def publish(
    workdir: Work = DEFAULT_WORKDIR,
    collection: Annotated[
        str | None, typer.Option(help="projects/NAME/assets/...; None is the study's own.")
    ] = None,
    cog_backed: Annotated[bool, typer.Option(help="Leave the pixels in the bucket.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit and leave; publish again follows the tasks.")
    ] = False,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Make an Earth Engine collection of the maps; what did not change stays."""
    from pipeline import steps, terminal

    work = options.opened(workdir)
    with options.cloud(engine) as cloud, terminal.progress() as report:
        done = steps.publish_maps(
            work, cloud, report, collection=collection, cog_backed=cog_backed, detach=detach
        )
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_rows(done.title(), done.rows())
    terminal.show_notes(done.notes())


@app.command("map", epilog="Example: gee-smap map --workdir anhui")
def map_(
    workdir: Work = DEFAULT_WORKDIR,
    stations: Annotated[Path | None, typer.Option(help="Table of stations to show.")] = None,
    as_json: Json = False,
) -> None:
    """Write a page with the maps that opens in any browser, without login or network."""
    from pipeline import terminal
    from pipeline.pages.map_page import write_map
    from pipeline.work.manifest import Manifest

    work = options.opened(workdir)
    with terminal.progress() as report:
        done = write_map(
            work.prediction, work.cube, Manifest.read(work.manifest), work.map, report,
            smap=work.samples if work.samples.exists() else None, stations=stations,
        )  # fmt: skip
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_rows("Map", done.rows())
    terminal.show_notes(done.notes())
    terminal.show(f"open in a browser  {done.path}")


@app.command(epilog="Example: gee-smap share projects/p/assets/gee-smap/anhui --reader a@example.com")
def share(
    collection: Annotated[
        str | None, typer.Argument(help="projects/NAME/assets/...; None is the study's own.")
    ] = None,
    reader: Annotated[
        list[str] | None, typer.Option(help="Who may read: an address, group:..., serviceAccount:...")
    ] = None,
    writer: Annotated[list[str] | None, typer.Option(help="Who may write too.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Who loses all rights.")] = None,
    public: Annotated[
        bool | None, typer.Option("--public/--no-public", help="Whether everybody may read.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last change back.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show who has which right.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workdir: Work = DEFAULT_WORKDIR,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Let others read or write a published collection; shows the change first."""
    from pipeline import terminal
    from pipeline.errors import ConfigError
    from pipeline.publishing import share as sharing
    from pipeline.study import Study

    work = options.opened(workdir)
    with options.cloud(engine) as cloud:
        name = collection or cloud.collection(Study.load(work.study).name)
        if list_:
            found = sharing.listing(name)
            if not options.say(as_json, found.as_dict()):
                terminal.show_rows(f"Rights on {name}", found.rows())
                terminal.show_notes(found.notes())
            return
        planned = (
            sharing.plan_undo(name, work)
            if undo
            else sharing.plan_sharing(
                name, readers=reader or (), writers=writer or (), remove=remove or (), public=public
            )
        )
        if not as_json:
            if planned.change:
                terminal.show_rows(f"Rights on {name} that would change", planned.rows())
            terminal.show_notes(planned.notes())
        if planned.change and not yes:
            if as_json:
                raise ConfigError("--json cannot ask: add --yes to make the change.")
            typer.confirm("Make this change?", abort=True)
        done = sharing.apply(planned, work)
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_notes(done.notes())


@app.command(epilog="Example: gee-smap report --workdir anhui")
def report(workdir: Work = DEFAULT_WORKDIR, as_json: Json = False) -> None:
    """Write the report of a work directory as one page."""
    from pipeline import terminal
    from pipeline.reporting.report import write_report

    work = options.opened(workdir)
    with terminal.progress() as told:
        done = write_report(work, told)
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_notes(done.notes())
    terminal.show(f"open in a browser  {done.path}")


@app.command(epilog="Example: gee-smap update --workdir anhui")
def update(
    workdir: Work = DEFAULT_WORKDIR,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; None is the newest.")
    ] = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Add the days that have become available since the last run, with the model that is there."""
    from pipeline import terminal
    from pipeline.update import update as update_

    work = options.opened(workdir)
    with options.cloud(engine) as cloud, terminal.progress() as told:
        done = update_(work, cloud, told, until=until.date() if until else None)
    if options.say(as_json, done.as_dict()):
        return
    terminal.show_rows(done.title(), done.rows())
    terminal.show_notes(done.notes())
