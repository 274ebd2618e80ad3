"""Which objects of a study's publications something still needs, so that the others can be deleted.

Once an image holds its pixels itself its object has done its work; one whose pixels stay in the bucket stands
on its object as long as it is there. An object is kept where that is not certain: another work directory may
have published it, or a publication may be about to use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gee import assets
from gee.assets import STORED_IN, Held
from pipeline.cloud.refusals import Patience
from pipeline.cloud.storage import Bucket
from pipeline.cloud.transfers import StoredObject
from pipeline.maps.day_images import image_path
from pipeline.publishing.day_assets import Asking
from pipeline.publishing.provenance import SHA256, object_name
from pipeline.publishing.publish import FOLDER, IN_ASSETS
from pipeline.work.ledger import ACTIVE, AssetRow, Ledger
from pipeline.work.workdir import WorkDir

_MAKING = ("planned", "claimed", *ACTIVE)


def needed(work: WorkDir, bucket: Bucket, prefix: str, patience: Patience | None = None) -> frozenset[str]:
    """The objects of publications that are to stay.

    Args:
        work: whose ledger knows what was published, and where.
        bucket: of the objects.
        prefix: of the study's objects.
        patience: how often to ask.

    Returns:
        Names in the bucket.

    Raises:
        DataError: the ledger cannot be read.
        AuthError: a collection may not be looked at, or the bucket not listed.
        EngineError: Earth Engine does not answer.
        StorageError: the bucket does not answer.
    """
    folder = f"{prefix.strip('/')}/{FOLDER}/"
    with Ledger(work.ledger) as ledger:
        rows, known = ledger.assets(), {row.name for row in ledger.objects()}
    shown = list(_shown(rows, patience or Patience()))
    used = {folder + _name(held) for held in shown if held.properties.get(STORED_IN) != IN_ASSETS}
    done = {folder + _name(held) for held in shown} - used
    days = {object_name(f"{row.day:%Y%m%d}"): row.day for row in rows if row.day}
    making = {folder + object_name(f"{row.day:%Y%m%d}") for row in rows if row.day and row.state in _MAKING}

    def stays(one: StoredObject) -> bool:
        if one.name not in known or one.name.startswith((*making, *used)):
            return True
        # Of the image as it is on the disk, and shown nowhere yet: a publication may have just sent it.
        day = next((day for start, day in days.items() if one.name.startswith(folder + start)), None)
        waits = day is None or one.is_in(image_path(work.images, day))
        return waits and one.name not in done

    return frozenset(one.name for one in bucket.listing(folder) if stays(one))


def _shown(rows: tuple[AssetRow, ...], patience: Patience) -> Iterator[Held]:
    """The images of all collections that were published in and are still there."""
    for collection in sorted({row.id.rpartition("/")[0] for row in rows}):
        asking = Asking(collection, patience, lambda _: None)
        if asking.ask(partial(assets.find, collection), "cannot be looked at") is not None:
            yield from asking.ask(partial(assets.images, collection), "cannot be listed").values()


def _name(held: Held) -> str:
    """Of the object that an image was made of, as far as its properties tell."""
    return object_name(held.index, str(held.properties.get(SHA256, "")))
