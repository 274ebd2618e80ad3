"""Connecting to an Earth Engine: Google's, the local one, or whatever speaks its API at a URL.

Nothing else in this package knows which of them it talks to. The client has no setting of its own for
that (``ee.Initialize`` takes ``url=``), so the choice is made here, once per process.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import ee
import ee.deprecation
import ee.oauth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import credentials as oauth2
from google.oauth2 import service_account
from googleapiclient.errors import HttpError

from gee.errors import CredentialsError, EngineUnavailableError, SettingError

if TYPE_CHECKING:
    from gee.local.errors import EngineError

LOCAL, GOOGLE = "local", "google"
KEY_FILE_SETTING = "GOOGLE_APPLICATION_CREDENTIALS"
LOCAL_PROJECT = "my-project"
CATALOGUE_SECONDS = 5.0  # for the client's list of deprecated assets, which it asks for without a limit
ANSWER_SECONDS = 10.0  # for a server to say that it is there
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Connection:
    """Where requests go from now on.

    Args:
        engine: ``local``, ``google`` or ``url``.
        url: of the REST API; None is the client's default.
        project: that requests are made in.
        storage_endpoint: of Cloud Storage; None is Google's.
    """

    engine: str
    url: str | None
    project: str
    storage_endpoint: str | None = None


def connect(
    engine: str = LOCAL,
    project: str | None = None,
    credentials: Credentials | str | Path | None = None,
    *,
    state: Path | None = None,
    with_storage: bool = True,
) -> Connection:
    """Initialise the ``ee`` client.

    Credentials are the first of: ``credentials`` (an object, or the path of a key file); the file that
    GOOGLE_APPLICATION_CREDENTIALS names; what ``earthengine authenticate`` stored. The local engine takes
    accounts of its own only, and needs none: without credentials requests are those of its local user.

    Args:
        engine: ``local``, ``google``, or the URL of a server.
        project: to make requests in; the local engine has one without asking.
        credentials: as above.
        state: folder of the local engine's state; None is the user's own.
        with_storage: whether a local engine that has to be started comes with Cloud Storage.

    Returns:
        What was connected to. A local engine that was started here ends with this process.

    Raises:
        SettingError: ``engine`` is none of these, or no project is known.
        CredentialsError: a key file cannot be read, belongs elsewhere, or there are no credentials.
        EngineUnavailableError: nothing answers, or the local engine does not start.
    """
    if engine == LOCAL:
        address = _local_address(state, with_storage)
        connection = Connection(LOCAL, address.url, project or LOCAL_PROJECT, address.storage)
    elif engine == GOOGLE:
        connection = Connection(GOOGLE, None, project or "")
    elif urlsplit(engine).scheme in ("http", "https"):
        connection = Connection("url", engine.rstrip("/"), project or "")
    else:
        raise SettingError(f"engine = {engine!r} is none of 'local', 'google' and a URL.")
    on_loopback = connection.url is not None and urlsplit(connection.url).hostname in _LOOPBACK
    chosen = _credentials(credentials, on_loopback)
    if connection.url is not None:
        _check_answers(connection.url)
    with _catalogue_not_awaited(on_loopback):
        try:
            ee.Initialize(credentials=chosen, url=connection.url, project=connection.project or None)
        except (ee.EEException, GoogleAuthError) as error:
            raise _explained(error, connection) from error
        except (OSError, HttpError) as error:
            raise EngineUnavailableError(
                f"No Earth Engine answers at {connection.url or 'Google'}: {error}"
            ) from error
    known = connection.project or str(ee.data._get_state().cloud_api_user_project)
    return Connection(connection.engine, connection.url, known, connection.storage_endpoint)


def _explained(error: Exception, connection: Connection) -> Exception:
    text = str(error)
    if "no project found" in text:
        return SettingError("No project is set: name the Google Cloud project to work in (project = ...).")
    if isinstance(error, GoogleAuthError) or "authenticat" in text or "credentials" in text:
        return CredentialsError(
            f"{text}\nSet {KEY_FILE_SETTING} to a key file, or type: earthengine authenticate"
        )
    return EngineUnavailableError(f"Earth Engine at {connection.url or 'Google'} refuses: {text}")


def _credentials(given: Credentials | str | Path | None, on_loopback: bool) -> Credentials | str:
    if isinstance(given, Credentials):
        return given
    from_setting = os.environ.get(KEY_FILE_SETTING)
    if given is not None:
        return from_key_file(Path(given), on_loopback=on_loopback)
    if from_setting and (not on_loopback or _is_local(Path(from_setting))):
        return from_key_file(Path(from_setting), on_loopback=on_loopback)
    # Real credentials must not be sent to a local server, nor are they known there.
    return AnonymousCredentials() if on_loopback else "persistent"  # type: ignore[no-untyped-call]


def _key(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CredentialsError(f"The key file {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CredentialsError(f"{path} is no key file.")
    return content


def _is_local(path: Path) -> bool:
    return urlsplit(str(_key(path).get("token_uri", ""))).hostname in _LOOPBACK


def from_key_file(path: Path, *, on_loopback: bool = False) -> Credentials:
    """Credentials for Earth Engine and Cloud Storage out of a key file.

    Args:
        path: of a service account's key, or of stored credentials of a user.
        on_loopback: whether they are for a local engine, and not for Google.

    Raises:
        CredentialsError: the file cannot be read or used, or belongs to the other of the two.
    """
    if _is_local(path) != on_loopback:
        belongs = "a local engine" if not on_loopback else "Google"
        raise CredentialsError(
            f"The key file {path} belongs to {belongs}; the chosen engine does not know it."
        )
    kind = str(_key(path).get("type"))
    load = _LOADERS.get(kind)
    if load is None:
        raise CredentialsError(f"The key file {path} is of type {kind!r}; {', '.join(_LOADERS)} are taken.")
    try:
        return load(str(path), scopes=ee.oauth.SCOPES)
    except (GoogleAuthError, ValueError) as error:
        raise CredentialsError(f"The key file {path} cannot be used: {error}") from error


_LOADERS: Mapping[str, Callable[..., Credentials]] = {
    "service_account": service_account.Credentials.from_service_account_file,
    "authorized_user": oauth2.Credentials.from_authorized_user_file,
}
"""Type of a key file -> what reads it."""


def _check_answers(url: str) -> None:
    """Find out at once that nobody is there, where the client would try for half a minute."""
    try:
        with urllib.request.urlopen(f"{url}/$discovery/rest?version=v1", timeout=ANSWER_SECONDS):  # noqa: S310
            pass
    except urllib.error.HTTPError:
        pass  # somebody is; the client will tell what is wrong
    except (OSError, ValueError) as error:
        raise EngineUnavailableError(f"No Earth Engine answers at {url}: {error}") from error


@contextmanager
def _catalogue_not_awaited(on_loopback: bool) -> Iterator[None]:
    """Keep ``ee.Initialize`` from waiting for its catalogue, which it fetches without a time limit."""
    original = ee.deprecation._FetchDataCatalogStac

    def fetch() -> Any:
        try:
            with urllib.request.urlopen(  # noqa: S310 - the client's own https address
                ee.deprecation._DEPRECATED_ASSETS_URL, timeout=CATALOGUE_SECONDS
            ) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    ee.deprecation._FetchDataCatalogStac = dict if on_loopback else fetch
    try:
        yield
    finally:
        ee.deprecation._FetchDataCatalogStac = original


# The local engine, for whoever may not import it


@dataclass(frozen=True)
class LocalAddress:
    """Where a local engine is.

    Args:
        url: of the REST API.
        storage: of Cloud Storage, where it runs beside it.
    """

    url: str
    storage: str | None


def _local_address(state: Path | None, with_storage: bool) -> LocalAddress:
    from gee.local.rest import process

    with _told():
        found = process.running(state) or process.start(state, with_storage=with_storage).address
    return LocalAddress(found.url, found.storage)


def serve_local(port: int, state: Path | None, *, with_storage: bool, project: str = LOCAL_PROJECT) -> None:
    """Be a local engine until told to stop; see `gee.local.rest.process.serve`.

    Raises:
        EngineUnavailableError: the port or the state is in use.
    """
    from gee.local.rest import process

    with _told():
        process.serve(port, state, with_storage=with_storage, project=project)


@dataclass(frozen=True)
class Coverage:
    """Which of the documented algorithms the local engine has.

    Args:
        supported: names.
        unsupported: names; hidden ones too.
        hidden: how many of the unsupported are no part of the documented interface.
    """

    supported: tuple[str, ...] = field(repr=False)
    unsupported: tuple[str, ...] = field(repr=False)
    hidden: int


def local_coverage() -> Coverage:
    """Count the local engine's algorithms against the list that ships with earthengine-api."""
    import gee.local.algorithms  # noqa: F401  (registers them)
    from gee.local import registry

    rows = list(registry.coverage())
    return Coverage(
        tuple(signature.name for signature, has in rows if has),
        tuple(signature.name for signature, has in rows if not has),
        sum(signature.hidden for signature, has in rows if not has),
    )


def local_account(
    name: str, state: Path | None = None, *, url: str | None = None, project: str | None = None
) -> dict[str, str]:
    """Make a service account of a local engine, with a project of its own.

    Args:
        name: 6 to 30 lower-case letters, digits and hyphens.
        state: folder of the engine's state.
        url: of the engine, where none runs now.
        project: of the account; its own name when None.

    Returns:
        The content of its key file.

    Raises:
        SettingError: the name is wrong, or where the engine will be is not known.
    """
    from gee.local.assets.accounts import Accounts
    from gee.local.assets.iam import Identity
    from gee.local.rest import process
    from gee.local.rest.assembly import open_store

    address = process.running(state)
    where = url or (address.url if address else None)
    if where is None:
        raise SettingError(
            "No local engine runs on this state, and a key holds its address: start one with a fixed port "
            "(gee-smap local serve --port 8085), or give --url."
        )
    with _told(), open_store(state or process.default_state(), LOCAL_PROJECT) as store:
        key = Accounts(store.database).mint(name, f"{where.rstrip('/')}/token", project or name)
        store.access.add_project(project or name, Identity("serviceAccount", key["client_email"]))
    return key


def mount_local(
    asset_id: str,
    files: tuple[Path, ...],
    properties: Mapping[str, Any],
    state: Path | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    missing: float | None = None,
    pyramiding: str = "MEAN",
) -> dict[str, Any]:
    """Serve the user's own rasters or table as an asset of a local engine.

    Args:
        asset_id: any; in place of the simulated catalogue's where that has it.
        files: as `gee.local.assets.mounts` reads them.
        properties: of the asset.
        state: folder of the engine's state.
        start: RFC 3339, of a single raster.
        end: likewise.
        missing: value that is masked.
        pyramiding: of every band.

    Returns:
        The asset as the REST API describes it.

    Raises:
        SettingError: a file cannot be served so, or the name cannot be used.
    """
    from gee.local.assets import mounts
    from gee.local.assets.records import parse_time
    from gee.local.rest import process
    from gee.local.rest.assembly import open_store

    with _told(), open_store(state or process.default_state(), LOCAL_PROJECT) as store:
        wanted = mounts.Mount(
            asset_id,
            files,
            properties,
            None if start is None else parse_time(start, "start"),
            None if end is None else parse_time(end, "end"),
            missing,
            pyramiding,
        )
        return mounts.mount(store, wanted).to_rest()


@contextmanager
def _told() -> Iterator[None]:
    """The local engine's errors as this package's."""
    from gee.local.errors import EngineError

    try:
        yield
    except EngineError as error:
        raise _as_ours(error) from error


def _as_ours(error: EngineError) -> Exception:
    failed = error.status in ("INTERNAL", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED")
    kind: Callable[[str], Exception] = EngineUnavailableError if failed else SettingError
    return kind(error.message)
