"""Publish the images of a work directory as an image collection, and keep it as the work directory has it.

What is there is compared with what is wanted, and only the difference is sent; so a publication that was
killed, or a collection that somebody's hand has changed since, is mended by the same command, and a second
one does nothing. Readers meet each image whole, old or new, and its properties tell which model it is from.
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gee import assets
from gee.assets import COLLECTION, STORED_IN, DayImage, Held
from pipeline.cloud.refusals import Patience, Refusal
from pipeline.cloud.storage import Bucket
from pipeline.errors import ConfigError, EngineError, GeeSmapError, QuotaError
from pipeline.progress import Report
from pipeline.publishing.day_assets import PENDING, Asking, DayAsset, Making, Outcome, differing, stale
from pipeline.publishing.provenance import DayFile, Provenance, object_name, read_files
from pipeline.work.ledger import Ledger, ObjectRow
from pipeline.work.workdir import WorkDir

FOLDER = "images"  # of the objects, below the study's own
IN_ASSETS = "Earth Engine"
_READ, _SENT = 0.05, 0.3  # shares of the whole after which files are read, and are in the bucket


@dataclass(frozen=True)
class Published:
    """What ``publish`` came to.

    Attributes:
        collection: name of the asset.
        outcomes: what was done, by the index of the image.
        adopted: images whose task an earlier call, or somebody else, had started.
        others: images of the collection that this publication does not have.
        objects: names of the objects that the images are made of; those of a collection that stays in the
            bucket are needed as long as it is.
        stored_in: where the pixels are.
        simulated: whether anything of it is.
        code: the two lines that open the collection.
    """

    collection: str
    outcomes: Mapping[str, Outcome]
    adopted: int
    others: tuple[str, ...]
    objects: tuple[str, ...]
    stored_in: str
    simulated: bool
    code: tuple[str, str]

    @property
    def pending(self) -> int:
        """Images that are still to be made, by the engine or by a later call."""
        return sum(outcome in PENDING for outcome in self.outcomes.values())

    def title(self) -> str:
        """The outcome in a line."""
        counts = Counter(self.outcomes.values())
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        return f"{self.collection}: {len(self.outcomes)} images ({told})"

    def rows(self) -> list[dict[str, str]]:
        """The images as a table for people."""
        return [{"image": index, "what was done": outcome} for index, outcome in self.outcomes.items()]

    def notes(self) -> Iterator[str]:
        """What to know of it, and what to type next."""
        if set(self.outcomes.values()) == {"unchanged"}:
            yield "Every image was as it should be: nothing was published anew."
        if self.pending:
            yield (
                f"{self.pending} images are not there yet: gee-smap publish starts those that wait, follows "
                "the others, and looks whether they are what was sent."
            )
        if self.adopted:
            yield f"{self.adopted} images were in the making already, and were not started again."
        if self.others:
            yield (
                f"The collection also holds {len(self.others)} images that this publication does not have, "
                f"such as {self.others[0]}: they stay."
            )
        if self.stored_in != IN_ASSETS:
            yield f"The pixels stay in {self.stored_in}: readers of the collection need a right there too."
        if self.simulated:
            yield "All of it is simulated, and every image says so."
        yield f"In Python: {'; '.join(self.code)}"
        yield f"Let others read it: gee-smap share {self.collection} --reader SOMEBODY@EXAMPLE.COM"

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "collection": self.collection, "images": dict(self.outcomes), "pending": self.pending,
            "adopted": self.adopted,
            "others": list(self.others), "objects": list(self.objects), "stored_in": self.stored_in,
            "simulated": self.simulated, "code": list(self.code),
        }  # fmt: skip


def publish(
    work: WorkDir,
    collection: str,
    bucket: Bucket,
    prefix: str,
    report: Report,
    *,
    cog_backed: bool = False,
    detach: bool = False,
    days: Collection[dt.date] | None = None,
    patience: Patience | None = None,
) -> Published:
    """Make a collection hold the images of a work directory.

    Args:
        work: where the images, their model and their plan are.
        collection: ``projects/NAME/assets/...``; made, with the folders above it, where it is not there.
        bucket: that Earth Engine reads them from.
        prefix: of the study's objects.
        report: told what is being done and the share of the whole that is done.
        cog_backed: leave the pixels in the bucket, which must be in a region of Earth Engine's and is then
            needed as long as the collection.
        detach: return once the tasks that Earth Engine takes are submitted; a later call follows them.
        days: which images; None is all. Other images of the collection stay.
        patience: how often to ask.

    Raises:
        ConfigError: the name cannot be, or belongs to something else; or ``cog_backed``, which has no tasks,
            with ``detach``.
        DataError: images are missing or broken, or a stage before has not been run.
        ModelFileError: the model folder cannot be used.
        AuthError: credentials have expired, or lack a right.
        QuotaError: the project may hold no more assets.
        StorageError: the bucket cannot be written, or Earth Engine cannot read it.
        EngineError: images were not made, are not as they were sent, or Earth Engine does not answer.
    """
    if not re.fullmatch(COLLECTION, collection):
        raise ConfigError(
            f"{collection!r} cannot be the name of a collection: give projects/NAME/assets/.../NAME, of "
            "letters, digits, - and _."
        )
    if detach and cog_backed:
        raise ConfigError("--detach leaves tasks to the engine, and --cog-backed has none: give one of them.")
    provenance = Provenance.of(work)
    files = read_files(work, provenance.manifest, days, lambda what, share: report(what, share * _READ))
    with Ledger(work.ledger) as ledger:
        publication = _Publication(
            collection, bucket, f"{prefix.strip('/')}/{FOLDER}", report, ledger, patience or Patience(),
            provenance, cog_backed, detach,
        )  # fmt: skip
        return publication.run(files)


@dataclass
class _Publication:
    """One call of ``publish``."""

    collection: str
    bucket: Bucket
    prefix: str
    report: Report
    ledger: Ledger
    patience: Patience
    provenance: Provenance
    cog_backed: bool
    detach: bool
    share: float = _READ
    asking: Asking = field(init=False)

    def __post_init__(self) -> None:
        self.asking = Asking(self.collection, self.patience, self._troubled)

    @property
    def stored_in(self) -> str:
        return f"gs://{self.bucket.name}" if self.cog_backed else IN_ASSETS

    def run(self, files: tuple[DayFile, ...]) -> Published:
        self._tell("collection", _READ)
        there = self._opened()
        days = [self._day(file) for file in files]
        missing: list[DayAsset] = []
        making = Making(
            self.asking,
            self.ledger,
            lambda made, what: self._tell(
                f"images: {made} of {len(missing)} made, {what}", _SENT + (1 - _SENT) * made / len(missing)
            ),
        )
        for day in days:
            held = there.get(day.file.index)
            day.existed = held is not None
            if not making.is_right(day, held):
                missing.append(day)
        self._check_quota([day for day in missing if not day.existed])
        moved = self._upload(days if self.cog_backed else missing)
        # What stays in the bucket is bound to the object as it was.
        missing += [day for day in days if self.cog_backed and day.object in moved and day not in missing]
        if missing:
            make = making.register if self.cog_backed else making.submit if self.detach else making.ingest
            make(missing)
        if making.failed:
            listed = "\n".join(f"{day.file.index}: {day.error}" for day in making.failed)
            raise EngineError(
                f"{len(making.failed)} of {len(days)} images of {self.collection} were not made:\n{listed}\n"
                "Once that is mended, gee-smap publish makes those that are missing."
            )
        self._describe_collection(files)
        self._tell("done", 1.0)
        return Published(
            self.collection,
            {day.file.index: day.outcome for day in days},
            making.adopted,
            tuple(sorted(set(there) - {day.file.index for day in days})),
            tuple(f"{self.prefix}/{day.object}" for day in days),
            self.stored_in,
            self.provenance.simulated,
            assets.opening(self.collection),
        )

    def _day(self, file: DayFile) -> DayAsset:
        """What an image is to be."""
        name = object_name(file.index, file.sha256)
        image = DayImage(
            f"{self.collection}/{file.index}",
            self.bucket.uri(f"{self.prefix}/{name}"),
            *self.provenance.times(file.day),
            {**self.provenance.of_day(file), STORED_IN: self.stored_in},
            file.bands,
        )
        return DayAsset(file, image, name)

    def _tell(self, what: str, share: float) -> None:
        self.share = share
        self.report(what, share)

    def _troubled(self, refusal: Refusal) -> None:
        self.report(f"waiting: Earth Engine answers: {refusal.words}", self.share)

    # The collection

    def _opened(self) -> dict[str, Held]:
        """The images of the collection, which is made where it is not there."""
        found = self._find(self.collection)
        if found is None:
            self._make_collection()
            return {}
        if found.kind != assets.IMAGE_COLLECTION:
            raise ConfigError(
                f"{self.collection} is of type {found.kind}, not an image collection: name another."
            )
        there = self.asking.ask(lambda: assets.images(self.collection), "cannot be listed")
        study = found.properties.get("study")
        if there and study != self.provenance.manifest.study:
            whose = f"holds the study {study!r}" if study else "holds images that gee-smap did not publish"
            raise ConfigError(f"{self.collection} {whose}: name another collection.")
        return there

    def _find(self, name: str) -> Held | None:
        return self.asking.ask(lambda: assets.find(name), "cannot be looked at")

    def _make_collection(self) -> None:
        for folder in assets.folders_above(self.collection):
            found = self._find(folder)
            if found is None:
                self._make(assets.create_folder, folder)
            elif found.kind != assets.FOLDER:
                raise ConfigError(
                    f"{folder} is of type {found.kind}, which holds no collections: name another."
                )
        properties = {"study": self.provenance.manifest.study}
        self._make(lambda name: assets.create_collection(name, properties), self.collection)

    def _make(self, create: Callable[[str], None], name: str) -> None:
        """Make a folder or collection, unless it is there by now."""
        try:
            self.asking.ask(lambda: create(name), "cannot be made")
        except GeeSmapError:
            if self._find(name) is None:
                raise

    def _describe_collection(self, files: tuple[DayFile, ...]) -> None:
        bands = files[0].bands if files else (assets.BAND,)
        wanted = {**self.provenance.of_collection(bands), STORED_IN: self.stored_in}
        held = self._find(self.collection)
        if held is not None and differing(held.properties, wanted):
            dropped = stale(held.properties, wanted)
            self.asking.ask(lambda: assets.describe(self.collection, wanted, dropped), "cannot be described")

    def _check_quota(self, new: list[DayAsset]) -> None:
        """Refuse before the first upload what the project cannot hold, as far as it tells."""
        project = self.collection.split("/")[1]
        found = assets.quota(project) if new else None
        if found is None:
            return
        size = 0 if self.cog_backed else sum(day.file.size for day in new)
        if 0 < found.max_assets < found.assets + len(new) or 0 < found.max_size < found.size + size:
            raise QuotaError(
                f"{len(new)} images of {size / 1e6:,.1f} MB do not fit in the project {project}, which holds "
                f"{found.assets:,} assets (at most {found.max_assets:,}) of {found.size / 1e6:,.1f} MB (at "
                f"most {found.max_size / 1e6:,.1f}).\nDelete some (earthengine rm), ask Google for more, or "
                "leave the pixels in the bucket (--cog-backed)."
            )

    # The bucket

    def _upload(self, days: list[DayAsset]) -> set[str]:
        """Put the files in the bucket; the names of those that were not there yet."""
        if not days:
            return set()
        with tempfile.TemporaryDirectory(prefix="gee-smap-") as folder:
            paths = [Path(folder) / day.object for day in days]
            for path, day in zip(paths, days, strict=True):
                path.symlink_to(day.file.path.resolve())
            sent = self.bucket.upload(
                paths, self.prefix, lambda what, share: self._tell(what, _READ + (_SENT - _READ) * share)
            )
        for day, stored in zip(days, sent.objects, strict=True):
            self.ledger.put_object(
                ObjectRow(
                    stored.name, self.bucket.name, None, stored.generation, stored.size, stored.crc32c,
                    day.file.path, "uploaded",
                )
            )  # fmt: skip
        return {name.rpartition("/")[2] for name in sent.moved}
