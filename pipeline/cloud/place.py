"""Where a study's work is done: the engine that the settings name, its bucket and its folder of assets.

The local engine brings a bucket and a project of its own, so a newcomer has to set nothing; on Google both
are the user's and are never made up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gee import assets
from gee.connection import LOCAL, Connection, connect
from pipeline.cloud.asking import answered
from pipeline.cloud.storage import Bucket, open_bucket
from pipeline.errors import ConfigError, GeeSmapError, of_gee
from pipeline.settings import Settings

LOCAL_BUCKET = "gee-smap"
LOCAL_FOLDER = "gee-smap"
CHECKPOINTS = "checkpoints"
NAME_LENGTH = 60  # of a study's, in names of objects and assets


@dataclass(frozen=True)
class Cloud:
    """A connected engine with what belongs to it.

    Attributes:
        connection: to the engine.
        settings: that name it, with a bucket and a folder of assets.
    """

    connection: Connection
    settings: Settings

    @property
    def folder(self) -> str:
        """Of assets, ``projects/NAME/assets/...``."""
        return str(self.settings.assets)

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket, opened once; the local engine's is made where it is not there.

        Raises:
            AuthError: it may not be read.
            StorageError: it is not there, or does not answer.
        """
        local = self.connection.storage_endpoint is not None
        return open_bucket(
            str(self.settings.bucket), self.connection.project, self.connection.storage_endpoint,
            None if local else self.settings.credentials, create=local,
        )  # fmt: skip

    def checkpoints(self) -> str:
        """The folder of checkpoints, made where it is not there.

        Raises:
            AuthError: it may not be looked at, or made.
            EngineError: it cannot be made, or Earth Engine does not answer.
        """
        wanted = f"{self.folder}/{CHECKPOINTS}"
        for folder in (*assets.folders_above(wanted), wanted):
            if answered(assets.find, folder) is None:
                _make_folder(folder)
        return wanted

    def collection(self, study: str) -> str:
        """The collection that a study's maps are published in."""
        return f"{self.folder}/{slug(study)}"


def _make_folder(name: str) -> None:
    """Make a folder, unless somebody has made it by now."""
    try:
        answered(assets.create_folder, name)
    except GeeSmapError:
        if answered(assets.find, name) is None:
            raise


def open_cloud(settings: Settings, engine: str | None = None, state: Path | None = None) -> Cloud:
    """Connect to the engine of the settings.

    Args:
        settings: of this machine and account.
        engine: in place of the settings' own.
        state: folder of the local engine's state; None is the user's own.

    Raises:
        ConfigError: on Google, without a project, a bucket or a folder of assets.
        EngineError: the engine does not answer or does not start.
    """
    connection = open_engine(settings, engine, state)
    return Cloud(connection, _completed(settings, connection))


def open_engine(settings: Settings, engine: str | None = None, state: Path | None = None) -> Connection:
    """Connect to the engine of the settings alone, for whoever only reads and has no bucket of their own.

    Args:
        settings: as of `open_cloud`.
        engine: as of `open_cloud`.
        state: as of `open_cloud`.

    Raises:
        ConfigError: no project is known, or credentials are missing.
        EngineError: the engine does not answer or does not start.
    """
    with of_gee():
        return connect(engine or settings.engine, settings.project, settings.credentials, state=state)


def _completed(settings: Settings, connection: Connection) -> Settings:
    """Settings with the names of a bucket and a folder of assets."""
    if connection.engine == LOCAL:
        folder = f"projects/{connection.project}/assets/{LOCAL_FOLDER}"
        own = {"bucket": settings.bucket or LOCAL_BUCKET, "assets": settings.assets or folder}
        return settings.model_copy(update=own)
    lacking = [
        f"GEE_SMAP_{name.upper()} ({Settings.model_fields[name].description})"
        for name in ("bucket", "assets")
        if getattr(settings, name) is None
    ]
    if lacking:
        raise ConfigError(
            f"set {' and '.join(lacking)} in the environment or in .env: gee-smap auth keeps them"
        )
    return settings


def slug(study: str) -> str:
    """A study's name as names of objects and assets take it."""
    return re.sub(r"[^A-Za-z0-9]+", "-", study).strip("-").lower()[:NAME_LENGTH] or "study"
