"""Operations of the engine: what one tells about a task, asked for as long as it takes.

``ee.data`` gives them as dictionaries of the REST API (reference/rest/v1/projects.operations); nothing else
in the pipeline looks into those.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import unquote

import ee

from pipeline.cloud.refusals import Patience, Refusal, RefusedError, Verdict
from pipeline.work.ledger import TaskRow, TaskState

_STATES: Mapping[str, TaskState] = {
    "PENDING": "submitted",
    "RUNNING": "running",
    "CANCELLING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}
_BUCKET = re.compile(r"(?:gs://|https://console\.[^/]+/storage/browser/(?:_details/)?)([^/?]+)/?([^?]*)")
_ASSET = re.compile(r"[?&]asset=([^&]+)")
_GO_ON = "The tasks at the engine go on without this program; gee-smap export follows them again."


@dataclass(frozen=True)
class Operation:
    """A task as the engine knows it.

    Attributes:
        name: ``projects/P/operations/ID``.
        description: name of the task.
        state: how far it is; ``cancelling`` tells whether it is being cancelled.
        cancelling: see there.
        share: of the whole that is done, 0 to 1, where the engine tells.
        submitted: when the engine took it, by its clock.
        started: when it began to run.
        ended: when it ended.
        eecu_seconds: Earth Engine compute units used, where the engine tells.
        places: where it wrote to, as the engine puts it.
        refusal: why it failed.
    """

    name: str
    description: str
    state: TaskState
    cancelling: bool
    share: float
    submitted: dt.datetime | None
    started: dt.datetime | None
    ended: dt.datetime | None
    eecu_seconds: float | None
    places: tuple[str, ...]
    refusal: Refusal | None

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Self:
        """An operation as the REST API gives it."""
        told = answer.get("metadata", {})
        state = _STATES.get(told.get("state", ""), "submitted")
        return cls(
            name=answer["name"],
            description=told.get("description", ""),
            state=state,
            cancelling=told.get("state") == "CANCELLING",
            share=float(told.get("progress", 0.0)),
            submitted=_time(told.get("createTime")),
            started=_time(told.get("startTime")),
            ended=_time(told.get("endTime")),
            eecu_seconds=told.get("batchEecuUsageSeconds"),
            places=tuple(told.get("destinationUris", ())),
            refusal=Refusal.of_task(answer.get("error", {})) if state == "failed" else None,
        )

    @classmethod
    def ask(
        cls, name: str, patience: Patience, told: Callable[[Refusal], None] = lambda _: None
    ) -> Self | None:
        """The operation as it is now; None where the engine does not know it.

        Args:
            name: of the operation.
            patience: how often to ask.
            told: is told of each refusal that is not the last.

        Raises:
            GeeSmapError: credentials have expired, or the engine does not answer.
        """
        try:
            return cls.read(patience.ask(lambda: ee.data.getOperation(name), told))
        except RefusedError as error:
            if error.refusal.verdict is Verdict.MISSING:
                return None
            raise error.refusal.error(f"{name} cannot be followed", _GO_ON) from error

    def on(self, row: TaskRow) -> TaskRow:
        """A task's row with what the operation tells."""
        return replace(
            row, state=self.state, operation=self.name, claimed_by=None, submitted=self.submitted,
            started=self.started, ended=self.ended, eecu_seconds=self.eecu_seconds,
            error=self.refusal.words if self.refusal else None,
        )  # fmt: skip

    def elsewhere(self, bucket: str, name: str, asset: str | None) -> bool:
        """Whether it surely wrote to another place than is wanted.

        Args:
            bucket: wanted.
            name: of the objects wanted, as far as they have it in common.
            asset: wanted, of an asset.
        """
        for place in self.places:
            if found := _ASSET.search(place):
                return found[1] != asset
            if found := _BUCKET.match(place):
                return found[1] != bucket or not name.startswith(unquote(found[2]).strip("/"))
        return False


def cancel(name: str, patience: Patience) -> None:
    """Cancel an operation; one that has ended, or that the engine does not know, stays as it is.

    Raises:
        GeeSmapError: credentials have expired, or the engine does not answer.
    """
    try:
        patience.ask(lambda: ee.data.cancelOperation(name), lambda _: None)
    except RefusedError as error:
        if error.refusal.verdict not in (Verdict.MISSING, Verdict.FINAL):
            raise error.refusal.error(f"{name} cannot be cancelled", "Type it again later.") from error


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)
