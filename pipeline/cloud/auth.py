"""Signing in: credentials for Earth Engine and the settings that every later command starts from.

Credentials themselves are the client's affair, which stores them where all of Google's tools look; here they
are asked for, tried once, and the names that go with them kept in ``.env``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dotenv
import ee
from google.auth.exceptions import GoogleAuthError

from gee.connection import GOOGLE, connect
from pipeline.errors import AuthError, ConfigError, of_gee
from pipeline.settings import Settings

PREFIX = "GEE_SMAP_"


def sign_in(
    *,
    project: str | None,
    bucket: str | None,
    assets: str | None,
    key: Path | None,
    headless: bool,
    env_file: Path,
    force: bool = False,
) -> Iterator[str]:
    """Sign in, try it, and keep the settings.

    Args:
        project: registered for Earth Engine; None is that of the settings.
        bucket: to be kept.
        assets: to be kept.
        key: key file of a service account, in place of the user's login.
        headless: show a link and ask for a code.
        env_file: where settings are kept; lines of other things in it stay.
        force: sign in anew although credentials are there.

    Yields:
        What was done, a line each.

    Raises:
        ConfigError: there is no project, or the file cannot be written.
        AuthError: signing in failed, or the credentials do not open the project.
        EngineError: Earth Engine does not answer.
    """
    known = Settings.load()
    project = project or known.project
    if not project:
        raise ConfigError("Name the Google Cloud project that is registered for Earth Engine: --project NAME")
    if key is None:
        try:
            ee.Authenticate(auth_mode="notebook" if headless else None, force=force)
        except (ee.EEException, GoogleAuthError, OSError) as error:
            raise AuthError(
                f"Signing in failed: {error}\nOn a machine without a browser: gee-smap auth --headless; "
                "for a service account: gee-smap auth --key FILE"
            ) from error
        yield "signed in with your own login"
    with of_gee():
        connect(GOOGLE, project, key)
    yield f"Earth Engine answers in the project {project}"
    wanted = {
        f"{PREFIX}ENGINE": GOOGLE, f"{PREFIX}PROJECT": project, f"{PREFIX}BUCKET": bucket,
        f"{PREFIX}ASSETS": assets, Settings.credentials_variable: str(key.absolute()) if key else None,
    }  # fmt: skip
    try:
        for name, value in wanted.items():
            if value is not None:
                dotenv.set_key(env_file, name, value, quote_mode="auto")
    except OSError as error:
        raise ConfigError(f"{env_file} cannot be written: {error.strerror or error}") from error
    yield f"kept in {env_file}: {', '.join(name for name, value in wanted.items() if value is not None)}"
    lacking = [
        name for name, value in (("--bucket", bucket or known.bucket), ("--assets", assets or known.assets))
        if not value
    ]  # fmt: skip
    if lacking:
        yield f"still missing for exports: gee-smap auth {' ... '.join(lacking)} ..."
    yield "next: gee-smap doctor"
