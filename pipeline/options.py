"""What several commands take, and how they answer machines. Nothing slow is imported: help must not wait."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline.work.staging import without_nan
from pipeline.work.workdir import WorkDir

if TYPE_CHECKING:
    from pipeline.cloud.place import Cloud

DEFAULT_WORKDIR = Path("gee-smap-run")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Out = Annotated[Path, typer.Option(help="Folder to write.")]
Work = Annotated[Path, typer.Option("--workdir", help="The study's work directory.")]
OptionalWork = Annotated[
    Path | None, typer.Option("--workdir", help="A work directory, in place of the paths that it knows.")
]
Engine = Annotated[str | None, typer.Option(help="local or google, in place of the settings' own.")]

TALKATIVE = ("gee", "models", "pipeline", "ee", "google", "googleapiclient", "urllib3")
"""Loggers that --verbose lets speak: our own, and those of the clients that ask the engine and the bucket."""


def _listen(wanted: bool) -> None:
    if not wanted:
        return
    from rich.logging import RichHandler

    from pipeline import terminal

    handler = RichHandler(console=terminal.err, show_path=False, log_time_format="[%X]")
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)


def _common(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", callback=_listen, expose_value=False,
            help="Log every request and retry, and show where an error arose.",
        ),
    ] = False,
) -> None:  # fmt: skip
    """Only its option is used: the one that every command has."""


class Commands(TyperGroup):
    """Commands that all take ``-v``."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, with the option that is common to all."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and not isinstance(command, TyperGroup):
            known = {option.name for option in command.params}
            command.params += [option for option in _options() if option.name not in known]
        return command


@cache
def _options() -> tuple[Any, ...]:
    app = typer.Typer(add_completion=False)
    app.command()(_common)
    return tuple(typer.main.get_command(app).params)


def verbose() -> bool:
    """Whether the command was asked to tell more."""
    return logging.getLogger("pipeline").isEnabledFor(logging.DEBUG)


def say(as_json: bool, content: Mapping[str, Any]) -> bool:
    """Print ``content`` if JSON is wanted; returns whether it was."""
    if as_json:
        typer.echo(json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False, default=str))
    return as_json


def opened(folder: Path) -> WorkDir:
    """A work directory that is there.

    Raises:
        ConfigError: it holds no study.
    """
    from pipeline.errors import ConfigError

    work = WorkDir(folder)
    if not work.study.exists():
        raise ConfigError(
            f"{folder} is no work directory: it holds no {work.study.name}. Make one: "
            f"gee-smap export --study FILE --workdir {folder}"
        )
    return work


def paths(workdir: Path | None, **given: tuple[Path | None, str]) -> tuple[Path, ...]:
    """What a command works on: the paths given, and a work directory's for the rest.

    Args:
        workdir: None where all paths are given.
        given: by the name of the option, its path and the name of the one that ``WorkDir`` knows.

    Raises:
        ConfigError: a path is missing and there is no work directory, or it holds no study.
    """
    from pipeline.errors import ConfigError

    if workdir is not None:
        work = opened(workdir)
        return tuple(path or getattr(work, name) for path, name in given.values())
    found = tuple(path for path, _ in given.values() if path is not None)
    if len(found) < len(given):
        listed = ", ".join(f"--{option}" for option in given)
        raise ConfigError(f"give {listed}, or --workdir in their place")
    return found


@contextmanager
def cloud(engine: str | None = None) -> Iterator[Cloud]:
    """The engine of the settings, with bucket and assets; inside, errors of ``gee`` become messages."""
    from pipeline.cloud.place import open_cloud
    from pipeline.errors import of_gee
    from pipeline.settings import Settings

    with of_gee():
        yield open_cloud(Settings.load(), engine)


@contextmanager
def engine_only(engine: str | None = None) -> Iterator[None]:
    """The engine of the settings for reading, without bucket and assets; inside, errors as of `cloud`."""
    from pipeline.cloud.place import open_engine
    from pipeline.errors import of_gee
    from pipeline.settings import Settings

    with of_gee():
        open_engine(Settings.load(), engine)
        yield
