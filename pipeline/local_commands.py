"""``gee-smap local``: serve the local Earth Engine, and put accounts and files of one's own into it.

As in ``cli``, commands only parse, call and print, and what they call is imported when it is needed.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import options
from pipeline.errors import ConfigError, of_gee
from pipeline.options import Json

app = typer.Typer(
    cls=options.Commands,
    no_args_is_help=True,
    help="A local Earth Engine: no account, simulated or own data.",
)

State = Annotated[Path | None, typer.Option(help="Folder of assets, tasks and accounts; made when absent.")]
DEFAULT_PORT = 0


@app.command(epilog="Example: gee-smap local serve --port 8085 --with-storage")
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    state: State = None,
    with_storage: Annotated[bool, typer.Option("--with-storage", help="Cloud Storage beside it.")] = False,
    project: Annotated[str, typer.Option(help="A project that is there from the start.")] = "my-project",
) -> None:
    """Serve the Earth Engine API on loopback until stopped; prints one line of JSON with the addresses."""
    with of_gee():
        from gee.connection import serve_local

        serve_local(port, state, with_storage=with_storage, project=project)


@app.command(epilog="Example: gee-smap local coverage --unsupported")
def coverage(
    unsupported: Annotated[bool, typer.Option("--unsupported", help="Only what is missing.")] = False,
    as_json: Json = False,
) -> None:
    """List which of Earth Engine's documented algorithms the local engine has."""
    from gee.connection import local_coverage

    found = local_coverage()
    lists = {"supported": found.supported, "unsupported": found.unsupported, "hidden": found.hidden}
    if options.say(as_json, lists):
        return
    for title, names in (("supported", found.supported), ("not supported", found.unsupported)):
        if not (unsupported and names is found.supported):
            typer.echo(f"{title}\n  " + "\n  ".join(names))
    total = len(found.supported) + len(found.unsupported)
    typer.echo(
        f"{len(found.supported)} of {total} algorithms are supported; {found.hidden} of the other "
        f"{len(found.unsupported)} are hidden ones that no client names."
    )


@app.command(epilog="Example: gee-smap local account alice-tester --out alice.json")
def account(
    name: Annotated[str, typer.Argument(help="6 to 30 lower-case letters, digits and hyphens.")],
    out: Annotated[Path | None, typer.Option(help="Key file to write; NAME.json by default.")] = None,
    state: State = None,
    url: Annotated[str | None, typer.Option(help="Of the engine, where none runs on the state now.")] = None,
    project: Annotated[str | None, typer.Option(help="Of the account; its own name by default.")] = None,
    as_json: Json = False,
) -> None:
    """Make a service account of the local engine, to try sharing with another identity."""
    with of_gee():
        from gee.connection import local_account

        path = out or Path(f"{name}.json")
        if path.exists():
            raise ConfigError(f"{path} exists; name another file with --out.")
        key = local_account(name, state, url=url, project=project)
    path.touch(mode=0o600)
    path.write_text(json.dumps(key, indent=2) + "\n", encoding="utf-8")
    told = {"account": key["client_email"], "project": key["project_id"], "key": path}
    if options.say(as_json, told):
        return
    typer.echo(
        f"account      {key['client_email']}\nproject      {key['project_id']}\nkey file     {path}\n"
        f"use it       GOOGLE_APPLICATION_CREDENTIALS={path}"
    )


@app.command(epilog="Example: gee-smap local mount projects/my-project/assets/lai LAI_20190407.tif")
def mount(
    asset_id: Annotated[str, typer.Argument(help="Any asset id; it hides the catalogue's of that id.")],
    files: Annotated[list[Path], typer.Argument(help="One raster, several (a collection), or one table.")],
    properties: Annotated[str, typer.Option(help="Of the asset, a JSON object.")] = "{}",
    start: Annotated[str | None, typer.Option(help="Time of a single raster, 2019-04-07T00:00:00Z.")] = None,
    end: Annotated[str | None, typer.Option(help="A day after the start by default.")] = None,
    missing: Annotated[float | None, typer.Option(help="Value that is masked.")] = None,
    pyramiding: Annotated[str, typer.Option(help="MEAN, SAMPLE, MODE, MIN, MAX or MEDIAN.")] = "MEAN",
    state: State = None,
    as_json: Json = False,
) -> None:
    """Serve rasters or a table of one's own under an asset id; the files stay where they are."""
    with of_gee():
        from gee.connection import mount_local

        done = mount_local(
            asset_id, tuple(files), _object(properties), state,
            start=start, end=end, missing=missing, pyramiding=pyramiding,
        )  # fmt: skip
    if options.say(as_json, done):
        return
    bands = ", ".join(band["id"] for band in done.get("bands", ()))
    typer.echo(f"{done['type'].lower()}  {done['id']}" + (f"\nbands  {bands}" if bands else ""))


@app.command(epilog="Example: gee-smap local picture --day 2019-07-22 --out sources.png")
def picture(
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="To show.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    pixel: Annotated[int, typer.Option(min=500, max=9000, help="Size of a pixel, metres.")] = 1500,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Draw the simulated sources over Anhui on one day, as the real client sees them."""
    with of_gee():
        from gee.connection import connect
        from pipeline import terminal
        from pipeline.figures.simulated import draw

        connect("local", state=state, with_storage=False)
        with terminal.progress() as tell:
            shares = draw(day.date(), out, pixel, tell)
    if options.say(as_json, {"picture": out, "valid": shares}):
        return
    typer.echo("\n".join(f"{source:<12} {share:4.0%} of pixels valid" for source, share in shares.items()))
    typer.echo(f"written to {out}")


def _object(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--properties is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ConfigError("--properties must be a JSON object.")
    return parsed
