"""Have Earth Engine make a study's images and tables, whatever happens to the network or to this process.

What is to be submitted stands in the ledger before it is, and as a task's name says what it computes, a run
that was killed goes on where it was: what is done is done, what runs is followed, nothing is computed twice.
Limits stand in ``gee.limits``, what a refusal means in ``pipeline.cloud.refusals``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gee.exports import Plan
from pipeline.cloud.operations import Operation
from pipeline.cloud.operations import cancel as cancel_operation
from pipeline.cloud.refusals import Patience
from pipeline.errors import ConfigError, DataError
from pipeline.exporting.following import ENDED_BADLY, Following
from pipeline.progress import Report
from pipeline.work.ledger import ACTIVE, Ledger, TaskRow
from pipeline.work.manifest import Manifest
from pipeline.work.workdir import WorkDir


@dataclass(frozen=True)
class Exported:
    """What a call of `export` came to.

    Attributes:
        manifest: the plan as it is now, with the halves of months that had to be split.
        tasks: the plan's tasks.
        destination: where the files are.
        eecu_seconds: Earth Engine compute units that all attempts used, failed ones too; None where the
            engine does not tell.
        submitted: how many tasks this call submitted.
        adopted: how many it found at the engine, submitted by a run that could not record it.
        detached: whether it did not wait for the end.
    """

    manifest: Manifest
    tasks: tuple[TaskRow, ...]
    destination: str
    eecu_seconds: float | None
    submitted: int
    adopted: int
    detached: bool

    @property
    def done(self) -> bool:
        """Whether every file is made."""
        return all(row.state == "succeeded" for row in self.tasks)

    def title(self) -> str:
        """The outcome in a line."""
        return f"{_counts(self.tasks)}, in {self.destination}"

    def rows(self) -> list[dict[str, str]]:
        """The tasks as a table for people."""
        return _rows(self.tasks)

    def notes(self) -> Iterator[str]:
        """What to know of it."""
        if self.done and not self.submitted + self.adopted:
            yield f"All {len(self.tasks)} tasks were done before: nothing was submitted."
        if self.adopted:
            yield f"{self.adopted} tasks were at the engine already and were not submitted again."
        if not self.done:
            waiting = sum(row.state == "planned" for row in self.tasks)
            later = f"; {waiting} more can be submitted once others are done" if waiting else ""
            yield f"The tasks go on without this program{later}. gee-smap status shows how far they are."
        if self.eecu_seconds is not None:
            yield f"Earth Engine compute units used: {self.eecu_seconds / 3600:,.3f} EECU h."

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "destination": self.destination,
            "done": self.done,
            "submitted": self.submitted,
            "adopted": self.adopted,
            "eecu_seconds": self.eecu_seconds,
            "tasks": [_as_dict(row) for row in self.tasks],
        }


@dataclass(frozen=True)
class Status:
    """How far the tasks of a work directory are.

    Attributes:
        tasks: those of its plan, and those of earlier plans that are still at work.
        unknown: products whose task the engine does not know any more.
    """

    tasks: tuple[TaskRow, ...]
    unknown: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether every file is made."""
        return all(row.state == "succeeded" for row in self.tasks)

    def title(self) -> str:
        """The tasks in a line."""
        return _counts(self.tasks)

    def rows(self) -> list[dict[str, str]]:
        """The tasks as a table for people."""
        return _rows(self.tasks)

    def notes(self) -> Iterator[str]:
        """What to do next."""
        if self.unknown:
            yield f"The engine does not know {', '.join(self.unknown)} any more."
        if not self.done:
            yield "gee-smap export follows the tasks and submits what is left; gee-smap cancel stops them."

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "done": self.done,
            "unknown": list(self.unknown),
            "tasks": [_as_dict(row) for row in self.tasks],
        }


def export(
    plan: Plan,
    manifest: Manifest,
    work: WorkDir,
    bucket: str,
    prefix: str,
    report: Report,
    *,
    detach: bool = False,
    patience: Patience | None = None,
) -> Exported:
    """Submit what is not done yet and follow it until all is.

    Tasks that failed or were cancelled in an earlier call are tried again. A month that is too much for the
    engine is replaced by two halves, and the work directory's plan then written anew.

    Args:
        plan: of the study, as planned: without the halves of earlier calls.
        manifest: what it amounts to.
        work: the work directory.
        bucket: for the files.
        prefix: of their names.
        report: told what is being done and the share of the whole that is done.
        detach: return once what can be submitted is, and leave the rest to the engine.
        patience: how often to ask.

    Raises:
        ConfigError: the work directory's tasks go to another bucket or prefix.
        DataError: the ledger or the plan cannot be read or written.
        AuthError: credentials have expired, or lack a right.
        QuotaError: a quota is used up.
        EngineError: a task failed for good or was cancelled, or the engine does not answer.
    """
    with Ledger(work.ledger) as ledger:
        following = Following(plan, manifest, work, bucket, prefix, report, ledger, patience or Patience())
        tasks = following.follow(detach)
        return Exported(
            following.manifest, tasks, f"gs://{bucket}/{prefix}", ledger.eecu_seconds(), following.submitted,
            following.adopted, detach,
        )  # fmt: skip


def status(work: WorkDir, patience: Patience | None = None) -> Status:
    """Ask the engine about the tasks of a work directory.

    Raises:
        DataError: nothing was exported there yet.
        AuthError: credentials have expired, or lack a right.
        EngineError: the engine does not answer.
    """
    with _opened(work) as ledger:
        rows, unknown = _shown(work, ledger), []
        for name, row in rows.items():
            if row.operation is None or row.state not in ACTIVE:
                continue
            operation = Operation.ask(row.operation, patience or Patience())
            if operation is None:
                unknown.append(row.product)
                continue
            rows[name] = operation.on(row)
            if rows[name].state not in ENDED_BADLY:  # what follows from those, export decides
                ledger.change(row, rows[name])
        return Status(tuple(rows.values()), tuple(unknown))


def cancel(work: WorkDir, names: Collection[str] | None = None, patience: Patience | None = None) -> int:
    """Cancel tasks of a work directory; `export` starts them again.

    Args:
        work: the work directory.
        names: of tasks or of products; None is all that are not done.
        patience: how often to ask.

    Returns:
        How many were planned, waiting or running.

    Raises:
        ConfigError: there is none of a name.
        DataError: nothing was exported there yet.
        AuthError: credentials have expired, or lack a right.
        EngineError: the engine does not answer.
    """
    with _opened(work) as ledger:
        rows = ledger.tasks()
        wanted = {row.task for row in rows if names is None or row.task in names or row.product in names}
        known = {name for row in rows for name in (row.task, row.product)}
        if strange := sorted(set(names or ()) - known):
            raise ConfigError(f"There is no task {', '.join(strange)}: gee-smap status lists them.")
        count = 0
        for row in rows:
            if row.task in wanted:
                count += _cancelled(ledger, row, patience or Patience())
        return count


def _cancelled(ledger: Ledger, row: TaskRow, patience: Patience) -> bool:
    """Cancel a task as it is by now; whether there was anything to cancel."""
    while row.state in ("planned", "claimed", *ACTIVE):
        stopped = replace(row, state="cancelled", claimed_by=None, error="as was asked")
        if not ledger.change(row, stopped):  # first, so that nobody who follows it submits it again
            row = ledger.task(row.task) or row
            continue
        if row.operation is not None:
            try:
                cancel_operation(row.operation, patience)
            except BaseException:
                ledger.change(stopped, row)  # it goes on at the engine, and so can be cancelled again
                raise
        return True
    return False


def _opened(work: WorkDir) -> Ledger:
    if not work.ledger.exists():
        raise DataError(f"Nothing was exported in {work.root} yet: gee-smap export begins it.")
    return Ledger(work.ledger)


def _shown(work: WorkDir, ledger: Ledger) -> dict[str, TaskRow]:
    """The tasks of the plan in their order, then others that are at work."""
    known = {row.task: row for row in ledger.tasks()}
    if not work.manifest.exists():
        return known
    planned = [task.task for task in Manifest.read(work.manifest).tasks if task.task in known]
    others = [name for name, row in known.items() if row.state in ACTIVE and name not in planned]
    return {name: known[name] for name in (*planned, *others)}


def _counts(rows: Iterable[TaskRow]) -> str:
    """Such as ``5 tasks: 3 succeeded, 2 running``."""
    states = Counter(row.state for row in rows)
    return f"{states.total()} tasks: {', '.join(f'{count} {state}' for state, count in states.items())}"


def _rows(rows: Iterable[TaskRow]) -> list[dict[str, str]]:
    return [
        {
            "task": row.task,
            "state": row.state,
            "attempts": str(row.attempts),
            "submitted (UTC)": f"{row.submitted:%Y-%m-%d %H:%M}" if row.submitted else "",
            "minutes": "" if row.seconds is None else f"{row.seconds / 60:,.1f}",
            "EECU h": "" if row.eecu_seconds is None else f"{row.eecu_seconds / 3600:,.3f}",
            "remark": row.error or "",
        }
        for row in rows
    ]


def _as_dict(row: TaskRow) -> dict[str, Any]:
    return {
        "task": row.task,
        "name": row.product,
        "kind": row.kind,
        "state": row.state,
        "operation": row.operation,
        "attempts": row.attempts,
        "seconds": row.seconds,
        "eecu_seconds": row.eecu_seconds,
        "error": row.error,
    }
