"""Making the images of a collection, or finding them made, and seeing that they are what was sent.

An image is looked at before and after whatever is done to it, so it does not matter who started its task, or
whether the answer was lost: a task that is under way is followed, an image that holds the wanted pixels
stays, and any other is replaced, by a whole one when its task is done. To start a task takes a claim in the
ledger and then a last look at the engine's list: a start whose answer was lost must not be repeated.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from gee import assets, limits
from gee.assets import STORED_IN, DayImage, Held, Property
from gee.exports import NODATA
from pipeline.cloud.operations import Operation
from pipeline.cloud.refusals import Patience, Refusal, RefusedError, Verdict, pause
from pipeline.errors import AuthError, EngineError, StorageError
from pipeline.publishing.provenance import SHA256, DayFile
from pipeline.work.ledger import ACTIVE, AssetRow, Ledger

IN_QUEUE = 12 * limits.CONCURRENT_TASKS  # images take a minute each: enough to keep the engine busy
ATTEMPTS = 3  # for an image, in one call
TOLERANCE = 1e-6  # m³/m³, between what was sent and what is read back
THEN = "gee-smap publish goes on from here."
OURS = ("source_", "r_", "rmse_")  # beginnings of properties that go where a new publication has none such
_PASSING = (Verdict.RETRY, Verdict.SPLIT, Verdict.FULL)
_OBJECT = re.compile(r"gs://|storage\.objects|cloud storage|bucket", re.IGNORECASE)
_UNREADABLE = re.compile(r"not found|does not exist|permission|denied|access|locat|region", re.IGNORECASE)
_EXISTS = re.compile(r"already exists|cannot overwrite", re.IGNORECASE)
Outcome = Literal["new", "replaced", "described", "unchanged", "submitted", "waiting"]
PENDING: tuple[Outcome, ...] = ("submitted", "waiting")
"""What is left to the engine, or to a later call."""
T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """Asks the engine about a collection, with patience.

    Attributes:
        collection: name of the asset.
        patience: how often and how long.
        troubled: is told of each refusal that is not the last.
    """

    collection: str
    patience: Patience
    troubled: Callable[[Refusal], None]

    def ask(self, request: Callable[[], T], failed: str) -> T:
        """The answer to a request.

        Args:
            request: makes it; making it twice must do no harm.
            failed: what to say of the collection otherwise, such as "cannot be listed".

        Raises:
            GeeSmapError: asking again does not help.
        """
        try:
            return self.patience.ask(request, self.troubled)
        except RefusedError as error:
            refusal = error.refusal
            if refusal.verdict is not Verdict.RIGHTS:
                raise refusal.error(f"{self.collection} {failed}", THEN) from error
            folder = self.collection.rpartition("/")[0]
            raise AuthError(
                f"{self.collection} {failed}: you may not write in {folder}, or it does not exist. Earth "
                f"Engine answers: {refusal.words.rstrip('.')}.\nName a collection in a project of your own "
                "(GEE_SMAP_ASSETS), or have the project's owner make you a writer."
            ) from error


@dataclass
class DayAsset:
    """An image on its way.

    Attributes:
        file: that it is made of.
        image: as it is to be.
        object: name of its object, without folder.
        held: the asset, as it was seen last.
        existed: whether there was one before.
        made: whether it was made, or was being made, by this call.
        described: whether only its properties were mended.
        pending: whether it is left to be made after this call.
        operation: of the task that is followed.
        attempts: so far.
        error: why it was not made.
    """

    file: DayFile
    image: DayImage
    object: str
    held: Held | None = None
    existed: bool = False
    made: bool = False
    described: bool = False
    pending: bool = False
    operation: str | None = None
    attempts: int = 0
    error: str = ""

    @property
    def outcome(self) -> Outcome:
        """What was done."""
        if self.pending:
            return "submitted" if self.operation else "waiting"
        if self.made:
            return "replaced" if self.existed else "new"
        return "described" if self.described else "unchanged"

    @property
    def content(self) -> str:
        """Hash of what is wanted."""
        image = self.image
        told = [sorted(image.properties.items()), image.start.isoformat(), image.end.isoformat()]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @property
    def seen(self) -> str:
        """Hash of what is wanted, and of the version of the asset that was found to be so."""
        return hashlib.sha256(f"{self.content} {self.held and self.held.updated}".encode()).hexdigest()

    def row(self, **told: Any) -> AssetRow:
        """What the ledger is to say."""
        return AssetRow(**{"id": self.image.name, "content": self.content, "day": self.file.day, **told})


@dataclass
class Making:
    """The images of one publication.

    Attributes:
        asking: about their collection.
        ledger: of the work directory.
        tell: is told how many of those to be made are, and what goes on.
        adopted: images whose task an earlier call, or somebody else, had started.
        failed: images that could not be made.
    """

    asking: Asking
    ledger: Ledger
    tell: Callable[[int, str], None]
    adopted: int = 0
    failed: list[DayAsset] = field(default_factory=list)
    _made: int = 0
    _troubled_since: float | None = None

    def is_right(self, day: DayAsset, held: Held | None) -> bool:
        """Whether an asset is what it should be, after its description has been mended.

        Args:
            day: the image.
            held: the asset, as it is now.
        """
        day.held = held
        if held is None or any(held.properties.get(key) != day.image.properties[key] for key in _PIXELS):
            return False
        if (held.start, held.end) != (day.image.start, day.image.end) or differing(
            held.properties, day.image.properties
        ):
            self._describe(day, held)
        row = self.ledger.asset(day.image.name)
        if row is not None and row.state == "succeeded" and row.content == day.seen:
            return True  # nobody has changed it since it was read back
        if not self._reads_back(day):
            return False
        self.ledger.put_asset(day.row(content=day.seen, state="succeeded", operation=day.operation))
        return True

    def _describe(self, day: DayAsset, held: Held) -> None:
        image = day.image
        dropped = stale(held.properties, image.properties)
        self.asking.ask(
            lambda: assets.describe(image.name, image.properties, dropped, (image.start, image.end)),
            "cannot be described",
        )
        day.described = True
        day.held = self._find(day)

    def _reads_back(self, day: DayAsset) -> bool:
        """Whether the asset has the file's pixels and mask; one that cannot be read has not."""
        try:
            found = self.asking.ask(
                lambda: assets.pixels(day.image.name, day.file.window, day.file.bands), "cannot be read back"
            )
        except EngineError as error:
            day.error = str(error)
            return False
        wanted = day.file.values()
        same_mask = np.array_equal(found == NODATA, wanted == NODATA)
        return same_mask and bool(np.allclose(found, wanted, rtol=0, atol=TOLERANCE))

    def _find(self, day: DayAsset) -> Held | None:
        return self.asking.ask(lambda: assets.find(day.image.name), "cannot be looked at")

    def _again(self, day: DayAsset, refusal: Refusal | None) -> bool:
        """What follows from an attempt that did not make an image; whether to try again.

        Args:
            day: the image.
            refusal: why; None where what was made is not what was sent, or is not there.

        Raises:
            GeeSmapError: it concerns all images.
        """
        day.operation = None
        if refusal is not None:
            _check_common(refusal, day)
        words = refusal.words if refusal else day.error or "what is read back is not what was sent"
        day.error = ""
        if day.attempts < ATTEMPTS and (refusal is None or refusal.verdict in _PASSING):
            return True
        day.error = words
        self.ledger.put_asset(day.row(state="failed", error=day.error))
        self.failed.append(day)
        return False

    def _finished(self, what: str) -> None:
        self._made += 1
        self.tell(self._made, what)

    # Images whose pixels stay in the bucket

    def register(self, days: list[DayAsset]) -> None:
        """Make images of objects that stay where they are.

        Raises:
            GeeSmapError: it cannot be done for any.
        """
        for day in days:
            day.made = True
            while not self._registered(day):
                pass
            self._finished(day.file.index)

    def _registered(self, day: DayAsset) -> bool:
        """Make an image; whether that is over, for good or ill."""
        day.attempts += 1
        # Whatever was seen of it before, it is bound to another object now.
        self.ledger.put_asset(day.row(state="planned"))
        refusal, overwrite = None, day.held is not None
        try:
            self.asking.patience.ask(
                lambda: assets.register(day.image, overwrite=overwrite), self.asking.troubled
            )
        except RefusedError as error:
            refusal = error.refusal
        # A refusal may be that of a repetition, after an answer that was lost.
        return self.is_right(day, self._find(day)) or not self._again(day, refusal)

    # Images made by tasks

    def ingest(self, days: list[DayAsset]) -> None:
        """Start the tasks that are not under way, and follow all until they are done.

        Raises:
            GeeSmapError: it cannot be done for any.
        """
        waiting, followed, delay = list(days), list[DayAsset](), self.asking.patience.first
        for day in days:
            day.made = True
        while waiting or followed:
            under_way, ended = self._tasks()
            over = [day for day in followed if day.operation not in under_way]
            waiting = self._ended(over, ended) + waiting
            followed = [day for day in followed if day not in over]
            begun = self._begun(waiting, IN_QUEUE - len(followed), under_way)
            waiting = [day for day in waiting if day not in begun]
            followed += [day for day in begun if day.operation]
            self.tell(self._made, f"{len(followed)} under way")
            if waiting or followed:
                delay = self.asking.patience.first if over or begun else delay
                pause(delay)
                delay = self.asking.patience.after(delay)

    def submit(self, days: list[DayAsset]) -> None:
        """Start the tasks that are not under way, as far as the engine takes them, and leave them to it.

        Raises:
            GeeSmapError: it cannot be done for any.
        """
        begun = self._begun(days, IN_QUEUE, self._tasks()[0])
        for day in days:
            day.made = True
            day.pending = day not in begun or day.operation is not None
        self.tell(self._made, f"{sum(day.operation is not None for day in begun)} under way")

    def _tasks(self) -> tuple[dict[str, Operation], dict[str, Operation]]:
        """The tasks that are under way, by their names and those of their images, and those that ended."""
        told = self.asking.ask(assets.ingestions, "cannot be followed")
        under_way: dict[str, Operation] = {}
        ended: dict[str, Operation] = {}
        for asset, operations in told.items():
            for operation in map(Operation.read, operations):
                if operation.state in ACTIVE:
                    under_way |= {operation.name: operation, asset: operation}
                else:
                    ended[operation.name] = operation
        under_way.pop("", None)
        return under_way, ended

    def _ended(self, over: list[DayAsset], ended: Mapping[str, Operation]) -> list[DayAsset]:
        """Look at images whose task is over; those to be made again."""
        again = []
        for day in over:
            operation = ended.get(day.operation or "")
            if self.is_right(day, self._find(day)):
                self._finished(day.file.index)
                continue
            refusal = operation.refusal if operation else None
            if operation and operation.state == "cancelled":
                refusal = Refusal(Verdict.FINAL, "the task was cancelled")
            if refusal and _EXISTS.search(refusal.words) and day.held is not None:
                refusal = None  # somebody has made another one meanwhile: it is replaced
            if self._again(day, refusal):
                again.append(day)
        return again

    def _begun(
        self, waiting: list[DayAsset], room: int, under_way: Mapping[str, Operation]
    ) -> list[DayAsset]:
        """Begin images, as many as there is room for: those with an operation are to be followed."""
        begun, ours = [], []
        for day in waiting[: max(room, 0)]:
            if self._is_adopted(day, under_way):
                begun.append(day)
            elif self.ledger.claim_asset(day.row()):
                ours.append(day)
        if not ours:
            return begun
        # Before the claim another process may have started a task, or even finished one.
        under_way = self._tasks()[0]
        for day in ours:
            if self._is_adopted(day, under_way) or self._is_started(day):
                begun.append(day)
            else:
                break
        return begun

    def _is_adopted(self, day: DayAsset, under_way: Mapping[str, Operation]) -> bool:
        """Whether a task makes the image already, started by an earlier call or by somebody else."""
        row = self.ledger.asset(day.image.name)
        found = under_way.get(day.image.name) or under_way.get((row and row.operation) or "")
        if found is None:
            return False
        self.adopted += 1
        self._follow(day, found.name)
        return True

    def _is_started(self, day: DayAsset) -> bool:
        """Start the task of an image that is not there by now; False where the engine takes none at present.

        Raises:
            GeeSmapError: it takes it neither now nor later.
        """
        if self.is_right(day, self._find(day)):
            self._finished(day.file.index)
            return True
        try:
            operation = assets.ingest(day.image, overwrite=day.held is not None)
        except Exception as error:
            refusal = Refusal.of_request(error)
            if refusal.verdict not in (Verdict.RETRY, Verdict.FULL):
                _check_common(refusal, day)
                raise refusal.error(f"{day.image.name} cannot be made", THEN) from error
            # The image stays claimed: the request may have arrived, which the list of tasks will tell.
            self._bear(refusal)
            return False
        self._troubled_since = None
        day.attempts += 1
        self._follow(day, operation)
        return True

    def _follow(self, day: DayAsset, operation: str) -> None:
        day.operation = operation
        self.ledger.put_asset(day.row(state="submitted", operation=operation))

    def _bear(self, refusal: Refusal) -> None:
        """Put up with a refusal to start a task, but not for ever."""
        self.asking.troubled(refusal)
        now = time.monotonic()
        self._troubled_since = self._troubled_since or now
        if refusal.verdict is Verdict.RETRY and now - self._troubled_since > self.asking.patience.limit:
            raise refusal.error("No task can be started", THEN)


_PIXELS = (SHA256, STORED_IN)  # properties that tell which pixels an image has, and where


def _check_common(refusal: Refusal, day: DayAsset) -> None:
    """Raise what would befall every other image too."""
    words = refusal.words.rstrip(".")
    if refusal.verdict not in _PASSING and _OBJECT.search(words) and _UNREADABLE.search(words):
        raise StorageError(
            f"Earth Engine cannot read {day.image.uri}: {words}.\nThe account that publishes needs the role "
            "Storage Object Viewer on the bucket; to leave the pixels there (--cog-backed) the bucket must "
            "also be in us-central1, a dual region with it, or the US multi-region."
        )
    if refusal.verdict in (Verdict.AUTH, Verdict.QUOTA, Verdict.RIGHTS):
        raise refusal.error(f"{day.image.name} was not made", THEN)


def differing(held: Mapping[str, Any], wanted: Mapping[str, Property]) -> list[str]:
    """The properties of an asset that are to be set, or to go."""
    return [key for key, value in wanted.items() if held.get(key) != value] + stale(held, wanted)


def stale(held: Mapping[str, Any], wanted: Mapping[str, Property]) -> list[str]:
    """The properties of an earlier publication that this one does not have."""
    return [key for key in held if key.startswith(OURS) and key not in wanted]
