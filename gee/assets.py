"""Assets as this project publishes them: images of days in a collection, with properties and readers.

Everything that is asked of the engine's asset store is asked here, once and without patience: what a failure
means, and whether to try again, the workflow decides. Sources: reference/rest/v1/ImageManifest,
projects.assets, projects.image/import and importExternal; guides/image_manifest and guides/access_control.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import ee
import numpy as np
from googleapiclient.errors import HttpError
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee import grids
from gee.exports import NODATA

BAND = "sm"
CODES = ("aoa", "corrected")  # bands whose values stand for something: their mean would stand for nothing
IMAGE, IMAGE_COLLECTION, FOLDER = "IMAGE", "IMAGE_COLLECTION", "FOLDER"
READER, WRITER, OWNER = "roles/viewer", "roles/editor", "roles/owner"
ALL_USERS = "allUsers"
STORED_IN = "stored_in"  # property of ours: where the pixels are
COLLECTION = r"projects/([a-z0-9.:-]+)/assets/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"  # project and name
MAX_TEXT = 1024  # characters of a property; Earth Engine documents no limit, so ours is a modest one
INGEST = "INGEST_IMAGE"
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # what Earth Engine answers to any other
_IN_TEXT = re.compile(r"projects/[a-z0-9.:-]+/assets/[A-Za-z0-9_/-]+")
_OF_COLLECTION = "is a collection; operation not allowed"
Property = str | int | float


@dataclass(frozen=True)
class DayImage:
    """The image of a day, as it is to be.

    Attributes:
        name: ``projects/NAME/assets/.../YYYYMMDD``.
        uri: ``gs://`` of its GeoTIFF.
        start: when it begins, UTC.
        end: when it ends, itself not included.
        properties: names are letters, digits and underscores.
        bands: of the GeoTIFF, in their order.
    """

    name: str
    uri: str
    start: dt.datetime
    end: dt.datetime
    properties: Mapping[str, Property]
    bands: tuple[str, ...] = (BAND,)

    def manifest(self) -> dict[str, Any]:
        """What Earth Engine makes the image of.

        Raises:
            ValueError: a property is one that Earth Engine refuses, or a time is in no time zone.
        """
        return {
            "name": self.name,
            "tilesets": [{"id": BAND, "sources": [{"uris": [self.uri]}]}],
            "bands": [
                {
                    "id": band, "tilesetId": BAND, "tilesetBandIndex": index,
                    "missingData": {"values": [NODATA]},
                    "pyramidingPolicy": "MODE" if band in CODES else "MEAN",
                }
                for index, band in enumerate(self.bands)
            ],
            "startTime": _timestamp(self.start),
            "endTime": _timestamp(self.end),
            "properties": checked(self.properties),
        }  # fmt: skip


@dataclass(frozen=True)
class Held:
    """An asset, as the engine has it.

    Attributes:
        name: ``projects/NAME/assets/...``.
        kind: such as ``IMAGE``.
        updated: time of the last change, as it was told.
        start: when it begins, UTC.
        end: when it ends.
        properties: of the user.
    """

    name: str
    kind: str
    updated: str
    start: dt.datetime | None
    end: dt.datetime | None
    properties: Mapping[str, Any]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Held:
        """From the engine's answer."""
        start, end = (
            dt.datetime.fromisoformat(told[key]) if key in told else None for key in ("startTime", "endTime")
        )
        properties = told.get("properties", {})
        return cls(told["name"], told["type"], told.get("updateTime", ""), start, end, properties)

    @property
    def index(self) -> str:
        """What it is called in its collection."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Quota:
    """What the assets of a project take, and may take.

    Attributes:
        assets: how many there are.
        max_assets: how many there may be; 0 where it is not told.
        size: bytes.
        max_size: bytes; 0 where it is not told.
    """

    assets: int
    max_assets: int
    size: int
    max_size: int


def checked(properties: Mapping[str, Property]) -> dict[str, Property]:
    """Properties that Earth Engine takes.

    Raises:
        ValueError: a name or a value is none; all of them are told.
    """
    wrong = [key for key in properties if not _KEY.fullmatch(key)]
    wrong += [key for key, value in properties.items() if isinstance(value, str) and len(value) > MAX_TEXT]
    wrong += [key for key, value in properties.items() if isinstance(value, float) and not np.isfinite(value)]
    if wrong:
        raise ValueError(f"no properties of an asset: {', '.join(wrong)}")
    return dict(properties)


def _timestamp(time: dt.datetime) -> str:
    if time.tzinfo is None:
        raise ValueError(f"{time} is in no time zone: give it as UTC")  # or this machine's would be taken
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Assets


def find(name: str) -> Held | None:
    """An asset; None where there is none.

    Raises:
        ee.EEException: the caller may not know.
    """
    try:
        return Held.of(ee.data.getAsset(name))
    except ee.EEException as error:
        # The client keeps the status only in the error it was handling.
        if isinstance(error.__context__, HttpError) and error.__context__.resp.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def images(collection: str) -> dict[str, Held]:
    """The images of a collection by their index, such as ``20190401``, with their properties."""
    told = ee.data.listAssets({"parent": collection})["assets"]
    return {held.index: held for held in map(Held.of, told) if held.kind == IMAGE}


def quota(project: str) -> Quota | None:
    """The quota of a project's assets; None where it is not told, as to others than its owners."""
    try:
        told = ee.data.getAsset(f"projects/{project}/assets").get("quota", {})
    except (ee.EEException, TypeError):  # the client asks for a root only where the service says it may
        return None
    numbers = (int(told.get(key, 0)) for key in ("assetCount", "maxAssets", "sizeBytes", "maxSizeBytes"))
    return Quota(*numbers) if told else None


def folders_above(name: str) -> tuple[str, ...]:
    """The folders that an asset lies in, the outermost first, without the root of the project."""
    parts = name.split("/")
    return tuple("/".join(parts[:depth]) for depth in range(4, len(parts)))


def create_folder(name: str) -> None:
    """Make a folder."""
    ee.data.createAsset({"type": FOLDER}, name)


def create_collection(name: str, properties: Mapping[str, Property]) -> None:
    """Make an image collection."""
    ee.data.createAsset({"type": IMAGE_COLLECTION}, name, checked(properties))


def describe(
    name: str,
    properties: Mapping[str, Property],
    dropped: Iterable[str] = (),
    times: tuple[dt.datetime, dt.datetime] | None = None,
) -> None:
    """Set properties of an asset and leave its other ones alone.

    Args:
        name: of the asset.
        properties: to be set.
        dropped: names of properties that go.
        times: start and end of an image, UTC.
    """
    asset: dict[str, Any] = {"properties": checked(properties)}
    mask = [f'properties."{key}"' for key in (*properties, *dropped)]
    if times is not None:
        asset |= {"startTime": _timestamp(times[0]), "endTime": _timestamp(times[1])}
        mask += ["start_time", "end_time"]
    ee.data.updateAsset(name, asset, mask)


# Images made of objects in Cloud Storage


def ingest(image: DayImage, *, overwrite: bool) -> str:
    """Start the task that makes an image, which is there once it is whole; until then the one before stays.

    The request is sent once: the client sends no request id with it, so that one whose answer is lost may
    have started a task, and ``ingestions`` tells.

    Returns:
        The name of the operation.
    """
    return str(ee.data.startIngestion("", image.manifest(), overwrite)["name"])


def register(image: DayImage, *, overwrite: bool) -> None:
    """Make an image whose pixels stay in Cloud Storage, at once.

    It is bound to the object's present generation: an object that is written again breaks it.
    """
    ee.data.startExternalImageIngestion(image.manifest(), overwrite)


def ingestions() -> dict[str, list[dict[str, Any]]]:
    """The project's tasks that make images, by the image's name, newest first; as the REST API has them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for operation in ee.data.listOperations():
        if operation.get("metadata", {}).get("type") == INGEST:
            found.setdefault(ingested(operation), []).append(operation)
    return found


def ingested(operation: Mapping[str, Any]) -> str:
    """The image that a task makes; empty where it does not tell.

    It tells in its description (``Asset ingestion: projects/...`` or ``Ingest image: "projects/..."``) and,
    once it is done, in its URIs.
    """
    told = operation["metadata"]
    text = " ".join([str(told.get("description", "")), *told.get("destinationUris", [])])
    found = _IN_TEXT.search(text)
    return found[0] if found else ""


def pixels(name: str, window: GeoBox, bands: Sequence[str] = (BAND,)) -> NDArray[np.float32]:
    """The pixels of an image on a part of its own grid.

    Args:
        name: of the image.
        window: whole pixels of its grid.
        bands: wanted, which the image must have.

    Returns:
        (bands, rows, columns), ``NODATA`` where masked.
    """
    found = ee.data.computePixels(
        {
            "expression": ee.Image(name).select(list(bands)).toFloat().unmask(NODATA, False),
            "fileFormat": "NUMPY_NDARRAY",
            "grid": grids.pixel_grid(window),
        }
    )
    return np.stack([np.asarray(found[band], np.float32) for band in bands])


# Who may read and write


@dataclass(frozen=True, order=True)
class Grant:
    """A role somebody has.

    Attributes:
        member: such as ``user:somebody@example.com``, e-mail addresses in lower case.
        role: such as ``roles/viewer``.
    """

    member: str
    role: str


@dataclass(frozen=True)
class Policy:
    """Who has which role on an asset.

    Attributes:
        grants: all of them.
        etag: names this version of the policy; empty makes it replace any.
    """

    grants: frozenset[Grant]
    etag: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Policy:
        """From the engine's answer."""
        return cls(
            frozenset(
                Grant(member, binding["role"])
                for binding in told.get("bindings", [])
                for member in binding.get("members", [])
            ),
            told.get("etag", ""),
        )

    def request(self) -> dict[str, Any]:
        """As the engine takes it."""
        roles = sorted({grant.role for grant in self.grants})
        bindings = [{"role": role, "members": self.members(role)} for role in roles]
        return {"bindings": bindings, **({"etag": self.etag} if self.etag else {})}

    def members(self, role: str) -> list[str]:
        """Who has a role."""
        return sorted(grant.member for grant in self.grants if grant.role == role)

    def changed(self, by: Difference) -> Policy:
        """The policy with a difference applied."""
        return Policy((self.grants - by.removed) | by.added, self.etag)


@dataclass(frozen=True)
class Difference:
    """What one policy has more and less than another.

    Attributes:
        added: grants.
        removed: grants.
    """

    added: frozenset[Grant] = frozenset()
    removed: frozenset[Grant] = frozenset()

    @classmethod
    def between(cls, before: Policy, after: Policy) -> Difference:
        """From one policy to another."""
        return cls(after.grants - before.grants, before.grants - after.grants)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def policy(name: str) -> Policy:
    """Who may do what with an asset."""
    return Policy.of(ee.data.getIamPolicy(name))


def set_policy(name: str, wanted: Policy) -> Policy:
    """Replace the policy of an asset; its owners stay whatever is wanted.

    Returns:
        The policy now.

    Raises:
        ee.EEException: the caller may not, or the policy is no longer the one of the etag.
    """
    ee.data.setIamPolicy(name, wanted.request())
    return policy(name)


def share_images(names: Iterable[str], change: Difference) -> int:
    """Change the policies of a collection's images where they are not their collection's own.

    Earth Engine gives images the policy of their collection and refuses to set theirs ("Parent of the asset
    ... is a collection; operation not allowed"; no guide says so). On an engine that keeps one for each, a
    collection that is shared would list images nobody else can read.

    Returns:
        How many had to be changed one by one; 0 where images follow their collection.
    """
    changed = 0
    for name in names:
        try:
            before = policy(name)
            after = before.changed(change)
            if after.grants == before.grants:
                continue
            set_policy(name, after)
        except ee.EEException as error:
            if _OF_COLLECTION in str(error):
                return changed
            raise
        changed += 1
    return changed


def account() -> str | None:
    """The e-mail address of the service account in use; None where it is a person's, which is not told."""
    found = getattr(ee.data._get_state().credentials, "service_account_email", None)
    return found if isinstance(found, str) else None


def opening(collection: str) -> tuple[str, str]:
    """The two lines of Python that open a collection on the connected engine."""
    url = str(ee.data._get_state().cloud_api_base_url)
    elsewhere = "" if url == ee.data.DEFAULT_CLOUD_API_BASE_URL else f', url="{url}"'
    return (
        f'import ee; ee.Initialize(project="your-project"{elsewhere})',
        f'sm = ee.ImageCollection("{collection}")',
    )
