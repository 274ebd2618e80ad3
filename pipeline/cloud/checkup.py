"""What an account may do: credentials, project, bucket, folder of assets, and the versions in use.

Most first runs fail for want of a right or a setting, hours after they began or with a message about
something else; so each is tried here on something tiny, and what fails says what to type. Nothing secret is
shown.
"""

from __future__ import annotations

import platform
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import ee

from gee import assets
from gee.connection import LOCAL, Connection, connect
from gee.errors import CredentialsError, GeeError, SettingError
from pipeline.cloud.place import LOCAL_BUCKET, LOCAL_FOLDER
from pipeline.cloud.refusals import Refusal, Verdict
from pipeline.cloud.storage import Bucket, open_bucket
from pipeline.errors import GeeSmapError
from pipeline.progress import Report
from pipeline.settings import Settings

READABLE_REGION = "US-CENTRAL1"
READABLE_LOCATIONS = ("US", "NAM4", READABLE_REGION)
"""Locations of buckets that Earth Engine reads in place: the US multi-region, dual-regions that include
us-central1 (NAM4 is the one with a name of its own) and that region (guides/cog_registration, "Bucket
location"). Exports may go to a bucket anywhere, at the price of its distance (guides/exporting_images, "to
Cloud Storage"); no guide names a place that they or ingestions are refused. Verify live."""

TRIED = "gee-smap-doctor"  # begins the names of what is made and deleted
TIERS = "https://console.cloud.google.com/earth-engine/configuration?project={project}"
PACKAGES = (
    "gee-smap", "earthengine-api", "google-cloud-storage", "xee", "geemap", "xarray", "zarr", "dask",
    "rasterio", "scikit-learn", "xgboost", "lightgbm", "catboost",
)  # fmt: skip
CREDENTIALS, PROJECT, QUOTA = "credentials", "project", "quota"
BUCKET, WRITING, LOCATION = "bucket", "bucket, writing", "bucket, location"
FOLDER, VERSIONS = "assets", "versions"
_OF_PROJECT = (
    (r"not registered|not signed up", f"Register it: {TIERS}"),
    (
        r"has not been used in project|is disabled",
        "Type: gcloud services enable earthengine.googleapis.com --project={project}",
    ),
    (
        r"permission to use project|serviceusage",
        "Have its owner give the account the roles roles/serviceusage.serviceUsageConsumer and "
        "roles/earthengine.writer, or name another project in GEE_SMAP_PROJECT.",
    ),
    (r"project.*(not found|not exist|deleted)", "Mind the project's spelling in GEE_SMAP_PROJECT."),
)  # what Earth Engine says of a project that cannot be used, and what helps
_REGISTERED = {
    "REGISTERED_COMMERCIALLY": "commercial use",
    "REGISTERED_NOT_COMMERCIALLY": "noncommercial use",
}  # REST reference, ProjectConfig


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: it is.
        state: ``skipped`` where something else has to be mended first, or it is not told.
        detail: what was found.
        remedy: what to type or do, where it failed.
    """

    what: str
    state: Literal["ok", "failed", "skipped"]
    detail: str
    remedy: str = ""

    @classmethod
    def failure(cls, what: str, error: Exception) -> Check:
        """Of an error whose message has the remedy in its last line."""
        detail, _, remedy = str(error).rpartition("\n")
        return cls(what, "failed", detail.replace("\n", " ") or remedy, remedy if detail else "")

    def row(self) -> dict[str, str]:
        """For people."""
        return {"check": self.what, "state": self.state, "found": self.detail}


@dataclass(frozen=True)
class Checkup:
    """All that was looked at.

    Attributes:
        checks: one for each thing.
        versions: by the name of the package; empty where it is not installed.
    """

    checks: tuple[Check, ...]
    versions: Mapping[str, str]

    @property
    def failed(self) -> tuple[Check, ...]:
        """What has to be mended."""
        return tuple(check for check in self.checks if check.state == "failed")

    @property
    def answers(self) -> bool:
        """Whether the engine does."""
        return any(check.what == PROJECT and check.state == "ok" for check in self.checks)

    def rows(self) -> list[dict[str, str]]:
        """The checks as a table for people."""
        return [check.row() for check in self.checks]

    def notes(self) -> Iterator[str]:
        """What to do about that which failed."""
        for check in self.failed:
            yield f"{check.what}: {check.remedy or check.detail}"

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "ok": not self.failed,
            "checks": [
                {"check": one.what, "state": one.state, "detail": one.detail, "remedy": one.remedy}
                for one in self.checks
            ],
            "versions": dict(self.versions),
        }


def examine_account(settings: Settings, connection: Connection | None, report: Report) -> Checkup:
    """Try everything that an account needs a right for; what fails is told, never raised.

    A tiny object and an empty folder are made and deleted again.

    Args:
        settings: of this machine and account.
        connection: to the engine; None connects as the settings say, and tells why that fails.
        report: told what is being looked at and the share of it that is done.
    """
    checks: list[Check] = []
    report("account: credentials", 0.0)
    if connection is None:
        connection, problem = _connected(settings)
        checks += problem
    if connection is not None:
        checks.append(_credentials(settings, connection))
        report("account: project", 0.1)
        checks += _project(connection)
    failed = {check.what for check in checks if check.state == "failed"}
    report("account: bucket", 0.3)
    if CREDENTIALS in failed or connection is None:
        checks += [Check(what, "skipped", "see above") for what in (BUCKET, WRITING, LOCATION, FOLDER)]
    else:
        checks += _storage(settings, connection)
        report("account: assets", 0.7)
        checks.append(
            Check(FOLDER, "skipped", "see above") if PROJECT in failed else _assets(settings, connection)
        )
    versions = {name: _version(name) for name in PACKAGES}
    listed = ", ".join(f"{name} {number or '(not installed)'}" for name, number in versions.items())
    checks.append(Check(VERSIONS, "ok", f"Python {platform.python_version()}, {listed}"))
    report("account: versions", 1.0)
    return Checkup(tuple(checks), {"python": platform.python_version(), **versions})


def _connected(settings: Settings) -> tuple[Connection | None, list[Check]]:
    """The connection, or what keeps it from being made: Earth Engine looks at the project at once."""
    try:
        return connect(settings.engine, settings.project, settings.credentials), []
    except CredentialsError as error:
        first = Check.failure(CREDENTIALS, error)
        return None, [first, Check(PROJECT, "skipped", "see above"), Check(QUOTA, "skipped", "see above")]
    except SettingError as error:
        detail, remedy = str(error), "Set GEE_SMAP_PROJECT in the environment or in .env."
    except GeeError as error:
        detail, remedy = str(error), _remedy_of_project(str(error), settings.project or "")
    return None, [
        Check(CREDENTIALS, "skipped", "see below"),
        Check(PROJECT, "failed", detail, remedy),
        Check(QUOTA, "skipped", "see above"),
    ]


def _credentials(settings: Settings, connection: Connection) -> Check:
    account = assets.account()
    if account is not None:
        path = f", key file {settings.credentials}" if settings.credentials else ""
        return Check(CREDENTIALS, "ok", f"service account {account}{path}")
    local = connection.engine == LOCAL
    return Check(CREDENTIALS, "ok", "the local engine needs none" if local else "of a person, stored earlier")


def _project(connection: Connection) -> list[Check]:
    """Whether the project answers, and what it may have."""
    name, began = connection.project, time.monotonic()
    try:
        ee.Number(1).getInfo()
    except Exception as error:
        words = _words(error)
        failure = Check(PROJECT, "failed", f"{name}: {words}", _remedy_of_project(words, name))
        return [failure, Check(QUOTA, "skipped", "see above")]
    found = f"{name} answers in {1000 * (time.monotonic() - began):,.0f} ms"
    try:
        config: dict[str, Any] = ee.data.getProjectConfig()
    except Exception as error:
        return [Check(PROJECT, "ok", found), Check(QUOTA, "skipped", f"not told: {_words(error)}")]
    state = config.get("registrationState", "")
    if state == "NOT_REGISTERED":
        remedy = f"Register it: {TIERS.format(project=name)}"
        failure = Check(PROJECT, "failed", f"{name} is not registered for Earth Engine", remedy)
        return [failure, Check(QUOTA, "skipped", "see above")]
    use = f", registered for {_REGISTERED[state]}" if state in _REGISTERED else ""
    return [Check(PROJECT, "ok", found + use), _quota(connection, config)]


def _quota(connection: Connection, config: Mapping[str, Any]) -> Check:
    found = []
    if (exports := config.get("maxConcurrentExports")) is not None:
        found.append(f"{exports} exports at a time")
    held = assets.quota(connection.project)
    if held is not None and held.max_assets:
        found.append(f"{held.assets:,} of {held.max_assets:,} assets")
    if held is not None and held.max_size:
        found.append(f"{held.size / 1e9:,.1f} of {held.max_size / 1e9:,.1f} GB of assets")
        if held.size >= held.max_size:
            return Check(QUOTA, "failed", ", ".join(found), "Delete assets that are no longer needed.")
    if connection.engine != LOCAL:
        found.append(f"the tier stands at {TIERS.format(project=connection.project)}")
    return Check(QUOTA, "ok" if found else "skipped", ", ".join(found) or "not told")


# The bucket


def _storage(settings: Settings, connection: Connection) -> list[Check]:
    local = connection.engine == LOCAL
    name = settings.bucket or (LOCAL_BUCKET if local else None)
    if name is None:
        make = (
            f"gcloud storage buckets create gs://{connection.project}-gee-smap --location=us-central1 "
            f"--project={connection.project}"
        )
        lacking = Check(
            BUCKET, "failed", "none is set", f"Set GEE_SMAP_BUCKET to one of yours, or make it: {make}"
        )
    elif local and connection.storage_endpoint is None:
        serve = "Stop it and type: gee-smap local serve --with-storage"
        lacking = Check(BUCKET, "failed", "the local engine runs without Cloud Storage", serve)
    else:
        try:
            bucket = open_bucket(
                name, connection.project, connection.storage_endpoint,
                settings.credentials, create=local,
            )  # fmt: skip
        except GeeSmapError as error:
            lacking = Check.failure(BUCKET, error)
        else:
            return [Check(BUCKET, "ok", f"gs://{name} is there"), _writing(bucket), _location(bucket)]
    return [lacking, *(Check(what, "skipped", "see above") for what in (WRITING, LOCATION))]


def _writing(bucket: Bucket) -> Check:
    """Whether an object can be written, read and deleted."""
    folder, unread = f"{TRIED}-{uuid.uuid4().hex[:8]}", None
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "tried.txt"
        path.write_text("gee-smap doctor was here\n", encoding="utf-8")
        try:
            (sent,) = bucket.upload([path], folder, _quiet).objects
        except GeeSmapError as error:
            return Check.failure(WRITING, error)
        path.unlink()
        try:
            bucket.download([sent.name], Path(place), _quiet)
        except GeeSmapError as error:
            unread = Check.failure(WRITING, error)
    try:
        bucket.remove([sent.name])
    except GeeSmapError as error:
        failure = Check.failure(WRITING, error)
        return Check(WRITING, "failed", f"{bucket.uri(sent.name)} stays: {failure.detail}", failure.remedy)
    return unread or Check(WRITING, "ok", "an object was written, read and deleted")


def _location(bucket: Bucket) -> Check:
    handle = bucket.handle
    if handle.location is None:
        return Check(LOCATION, "skipped", "not told: it takes the right storage.buckets.get")
    within = [str(part).upper() for part in handle.data_locations or ()]
    place = " + ".join(within) or str(handle.location).upper()
    if READABLE_REGION in within or (not within and place in READABLE_LOCATIONS):
        return Check(LOCATION, "ok", f"{place}: Earth Engine can also read files there in place")
    return Check(
        LOCATION, "ok", f"{place}: for exports and ingestion; Earth Engine reads no file there in place, and "
        "traffic out of its continent may cost",
    )  # fmt: skip


# The folder of assets


def _assets(settings: Settings, connection: Connection) -> Check:
    """Whether folders can be made where the results go; the folder itself is made when it is needed."""
    wanted = settings.assets
    if wanted is None and connection.engine == LOCAL:
        wanted = f"projects/{connection.project}/assets/{LOCAL_FOLDER}"
    example = f"projects/{connection.project}/assets/gee-smap"
    if wanted is None:
        return Check(FOLDER, "failed", "no folder is set", f"Set GEE_SMAP_ASSETS, such as {example}")
    if not re.fullmatch(assets.COLLECTION, wanted):
        return Check(
            FOLDER, "failed", f"{wanted} is no folder of assets", f"Set GEE_SMAP_ASSETS, such as {example}"
        )
    there = wanted.partition("/assets/")[0] + "/assets"
    tried = ""
    try:
        for place in (wanted, *reversed(assets.folders_above(wanted))):
            if (held := assets.find(place)) is not None:
                if held.kind != assets.FOLDER:
                    return Check(
                        FOLDER,
                        "failed",
                        f"{place} is of type {held.kind}",
                        "Name a folder in GEE_SMAP_ASSETS.",
                    )
                there = place
                break
        name = f"{there}/{TRIED}-{uuid.uuid4().hex[:8]}"
        assets.create_folder(name)
        tried = name
        ee.data.deleteAsset(name)
    except Exception as error:
        words = _words(error)
        if tried:
            return Check(FOLDER, "failed", f"{tried} stays: {words}", f"Type: earthengine rm {tried}")
        return Check(FOLDER, "failed", f"{there}: {words}", _remedy_of_folder(error, there))
    exists = "is there" if there == wanted else f"will be made in {there}"
    return Check(FOLDER, "ok", f"{wanted} {exists}; a folder was made in it and deleted")


def _remedy_of_folder(error: Exception, there: str) -> str:
    verdict = Refusal.of_request(error).verdict
    if verdict is Verdict.MISSING:
        return f"Type: earthengine create folder {there}/"
    if verdict is Verdict.RIGHTS:
        return (
            "Have the project's owner give the account the role roles/earthengine.writer, or name a folder "
            "of your own in GEE_SMAP_ASSETS."
        )
    return "See https://developers.google.com/earth-engine/guides/manage_assets, then type: gee-smap doctor"


def _remedy_of_project(words: str, project: str) -> str:
    found = (remedy for pattern, remedy in _OF_PROJECT if re.search(pattern, words, re.IGNORECASE))
    general = "See https://developers.google.com/earth-engine/guides/access, then type: gee-smap doctor"
    return next(found, general).format(project=project)


def _words(error: Exception) -> str:
    """What Earth Engine says; whatever is no answer of its client's is raised again."""
    return Refusal.of_request(error).words


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _quiet(*_: object) -> None:
    """One more line of progress would say nothing."""
