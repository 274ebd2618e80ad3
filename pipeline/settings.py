"""The machine's settings: the engine, and the account's project, bucket, assets and key.

They belong to the machine and not to the study, so that a study can be handed on as it is. They are read from
the environment and then from a file ``.env`` in the current folder; ``.env.example`` names them all.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import ConfigError


class Settings(BaseSettings):
    """What belongs to the machine and the account: from the environment, then ``.env`` in this folder."""

    model_config = SettingsConfigDict(
        env_prefix="GEE_SMAP_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )
    credentials_variable: ClassVar[str] = "GOOGLE_APPLICATION_CREDENTIALS"

    project: str | None = Field(default=None, description="Google Cloud project registered for Earth Engine")
    bucket: str | None = Field(default=None, description="Cloud Storage bucket, its name without gs://")
    assets: str | None = Field(
        default=None, description="Earth Engine folder for results, projects/NAME/assets/..."
    )
    engine: Literal["google", "local"] = Field(default="local", description="google or local")
    credentials: Path | None = Field(
        default=None,
        validation_alias=credentials_variable,
        repr=False,
        description="path of a service account's key",
    )

    @classmethod
    def load(cls) -> Settings:
        """Read the settings.

        Raises:
            ConfigError: a variable has a value that is not allowed, or ``.env`` cannot be read.
        """
        try:
            return cls()
        except ValidationError as error:
            lines = []
            for details in error.errors():
                name = str(details["loc"][0])
                allowed = cls.model_fields[name].description
                lines.append(f"GEE_SMAP_{name.upper()} is {details['input']!r}; allowed: {allowed}")
            raise ConfigError("\n".join(f"environment or .env: {line}" for line in lines)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f".env: the file cannot be read: {error}") from error
