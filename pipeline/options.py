"""What several commands take, and how they answer machines. Nothing slow is imported: help must not wait."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.staging import without_nan
from pipeline.workdir import WorkDir

if TYPE_CHECKING:
    from pipeline.cloud import Cloud

DEFAULT_WORKDIR = Path("gee-smap-run")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Out = Annotated[Path, typer.Option(help="Folder to write.")]
Work = Annotated[Path, typer.Option("--workdir", help="The study's work directory.")]
Engine = Annotated[str | None, typer.Option(help="local or google, in place of the settings' own.")]


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


@contextmanager
def cloud(engine: str | None = None) -> Iterator[Cloud]:
    """The engine of the settings, with bucket and assets; inside, errors of ``gee`` become messages."""
    from pipeline.cloud import open_cloud
    from pipeline.errors import of_gee
    from pipeline.study import Settings

    with of_gee():
        yield open_cloud(Settings.load(), engine)
