"""Submitting a plan's tasks and following them until all are done, whatever gets in the way.

The ledger is read anew at every step and changed only where it still says what was read, so any number of
processes may do this at once: each task is submitted by one of them, each failure dealt with by one. An
attempt that may have reached the engine before its process died is looked for there by the task's name, then
made again under the same request id, which the engine takes for the same request (REST API, ``requestId``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import ee
from ee.batch import Task as ClientTask

from gee import exports, limits
from gee.exports import Plan, Product
from pipeline.cloud.operations import Operation, cancel
from pipeline.cloud.refusals import Patience, Refusal, RefusedError, Verdict, pause
from pipeline.errors import ConfigError, EngineError
from pipeline.progress import Report
from pipeline.work.ledger import ACTIVE, Ledger, TaskRow
from pipeline.work.manifest import Manifest, Task
from pipeline.work.workdir import WorkDir

IN_QUEUE = 3 * limits.CONCURRENT_TASKS  # of ours at a time: enough to keep the engine busy, little to lose
ATTEMPTS = 3  # of a task that fails for no reason of its own, in one call
GROWTH = 1.25  # of the time between two looks while nothing changes: at most a fifth of it is lost
ENDED_BADLY = ("failed", "cancelled")
THEN = "gee-smap export goes on from here."
_MENDED = (
    "gee-smap plan checks the study and its sources, gee-smap doctor the bucket; once that is mended, " + THEN
)
_ADOPTED = ("submitted", "running", "succeeded")  # states of operations to adopt, the best last
_SENDERS: Mapping[str, Callable[[str, dict[str, Any]], Mapping[str, Any]]] = {
    ClientTask.Type.EXPORT_IMAGE: ee.data.exportImage,
    ClientTask.Type.EXPORT_TABLE: ee.data.exportTable,
}
T = TypeVar("T")


@dataclass
class Following:
    """A plan that is being carried out.

    Attributes:
        plan: changes where a month is split.
        manifest: likewise.
        work: the work directory.
        bucket: for the files.
        prefix: of their names.
        report: told what is being done and the share of the whole that is done.
        ledger: of the work directory.
        patience: how often to ask.
        submitted: tasks submitted so far.
        adopted: tasks found at the engine so far.
    """

    plan: Plan
    manifest: Manifest
    work: WorkDir
    bucket: str
    prefix: str
    report: Report
    ledger: Ledger
    patience: Patience
    submitted: int = 0
    adopted: int = 0
    _failures: Counter[str] = field(default_factory=Counter)
    _not_before: dict[str, float] = field(default_factory=dict)
    _shares: dict[str, float] = field(default_factory=dict)
    _there: Mapping[str, Operation] | None = None

    @property
    def _destination(self) -> str:
        # What is simulated must never be taken for what Google was asked for, nor the other way round.
        return f"gs://{self.bucket}/{self.prefix}" + (" (simulated)" if self.manifest.simulated else "")

    def follow(self, detach: bool) -> tuple[TaskRow, ...]:
        """Carry the plan out.

        Args:
            detach: return once what can be submitted is.

        Returns:
            The plan's tasks; all have succeeded, unless detached.

        Raises:
            GeeSmapError: as `pipeline.exporting.export.export`.
        """
        self._begin()
        self._tell(self._rows())
        if detach:
            self._poll()
            while self._submit_ready(limits.PENDING_TASKS):
                pass
        delay = self.patience.first
        while not (detach or self._done()):
            changed = self._poll()
            changed |= self._submit_ready(IN_QUEUE)
            self._tell(self._rows())
            if not self._done():
                delay = self.patience.first if changed else self.patience.after(delay, GROWTH)
                pause(delay)
        return tuple(self._rows().values())

    def _done(self) -> bool:
        return all(row.state == "succeeded" for row in self._rows().values())

    # The plan and the ledger

    def _begin(self) -> None:
        """Take up what the ledger says, and plan again what ended badly in an earlier call."""
        self._replan()
        for row in self._rows().values():
            if row.state in ENDED_BADLY:
                self.ledger.again(row)
        self._add()
        for row in self._rows().values():
            if row.destination != self._destination:
                raise ConfigError(
                    f"{self.work.root} holds exports to {row.destination}, but {self._destination} is asked "
                    "for: name the first again, or take another work directory."
                )

    def _rows(self) -> dict[str, TaskRow]:
        """The plan's tasks as the ledger has them, by name."""
        known = {row.task: row for row in self.ledger.tasks()}
        names = (product.description for product in self.plan.products)
        return {name: known[name] for name in names if name in known}

    def _add(self) -> None:
        self.ledger.add(
            TaskRow(product.description, product.name, product.kind, self._destination)
            for product in self.plan.products
        )

    def _replan(self) -> None:
        """Put halves in the place of what was split, by this process, an earlier one or another."""
        before = self.plan
        while split := next((row for row in self._rows().values() if row.state == "split"), None):
            smaller = self.plan.split(split.product)
            if smaller is None:
                self.ledger.again(split)
            else:
                self.plan = smaller
        if self.plan is not before:
            self._there = None  # what was listed is not of these tasks
            self._add()
            tasks = tuple(map(Task.of, self.plan.products))
            self.manifest = self.manifest.model_copy(update={"tasks": tasks})
            self.manifest.write(self.work.manifest)

    def _tell(self, rows: Mapping[str, TaskRow], trouble: str = "") -> None:
        done = sum(row.state == "succeeded" for row in rows.values())
        running = {name: row.product for name, row in rows.items() if row.state == "running"}
        share = (done + sum(self._shares.get(name, 0.0) for name in running)) / len(rows)
        self.report(
            f"{done} of {len(rows)} tasks done: {trouble or ', '.join(running.values()) or 'waiting'}", share
        )

    def _troubled(self, refusal: Refusal) -> None:
        self._tell(self._rows(), f"asking again, Earth Engine answers: {refusal.words}")

    # Submitting

    def _submit_ready(self, room: int) -> bool:
        """Submit what may be; whether anything changed.

        Args:
            room: for how many of the plan's tasks in the queue at a time.
        """
        rows, before = self._rows(), self.plan
        done = {row.product for row in rows.values() if row.state == "succeeded"}
        room -= sum(row.state in ("claimed", *ACTIVE) for row in rows.values())
        changed = False
        for product in before.products:
            row = rows[product.description]
            if not done.issuperset(product.needs) or time.monotonic() < self._not_before.get(row.task, 0.0):
                continue
            if row.state == "claimed" or (row.state == "planned" and room > 0):
                room -= row.state == "planned"
                changed |= self._submit(product, row)
                if self.plan is not before:
                    break
        return changed

    def _submit(self, product: Product, row: TaskRow) -> bool:
        """Submit a task, unless another process is at it; whether anything changed."""
        claimed = self.ledger.claim(row.task)
        if claimed is None:
            return False
        try:
            after = self._taken(product, claimed, again=claimed.request == row.request)
        except BaseException as error:
            released = replace(claimed, state="planned", claimed_by=None)
            self.ledger.change(claimed, released)
            if not isinstance(error, RefusedError):
                raise
            return self._refused(product, released, error.refusal)
        if not self.ledger.change(claimed, after):
            self._dropped(claimed, after)
            return False
        self.submitted += after.request is not None
        self.adopted += after.request is None
        return True

    def _dropped(self, claimed: TaskRow, after: TaskRow) -> None:
        """Cancel what was submitted for a task that was cancelled or split meanwhile.

        A process of another machine may also have taken a claim for a dead one's and gone on with the same
        request, which the engine takes for the same operation: that one is wanted.
        """
        now = self.ledger.task(claimed.task)
        taken_over = now is not None and now.state in ("claimed", *ACTIVE, "succeeded")
        if now and taken_over and (now.operation == after.operation or now.request == claimed.request):
            return
        if after.operation is not None:
            cancel(after.operation, self.patience)

    def _taken(self, product: Product, claimed: TaskRow, *, again: bool) -> TaskRow:
        """A claimed task as the engine has taken it: found there, or submitted.

        Args:
            product: of the plan.
            claimed: its row.
            again: whether an earlier process may have submitted it under the same request id.

        Returns:
            The row; without a request id where it was found.
        """
        if self._there is None or again:
            self._there = self._listed()
        if found := self._found(claimed):
            return found
        if product.asset is not None and self._stands(product.asset):
            return replace(claimed, state="succeeded", request=None, claimed_by=None)
        task = exports.task(product, self.plan, self.bucket, self.prefix)
        body = {**(task.config or {}), "workloadTag": task.workload_tag}
        send, request = _SENDERS[task.task_type], str(claimed.request)
        try:
            return Operation.read(self._asked(lambda: send(request, dict(body)))).on(claimed)
        except RefusedError as error:
            if error.refusal.verdict is not Verdict.FINAL:
                raise
            # Of requests with one id "only one may successfully start" an operation: perhaps one did.
            self._there = self._listed()
            if found := self._found(claimed):
                return found
            raise

    def _found(self, claimed: TaskRow) -> TaskRow | None:
        """A claimed task as the engine had it when its operations were listed, if it did."""
        operation = (self._there or {}).get(claimed.task)
        if operation is None or operation.name in self.ledger.spent():  # since then
            return None
        return operation.on(replace(claimed, request=None))

    def _stands(self, asset: str) -> bool:
        """Whether an asset is there: it appears when it is whole, and its name says what it holds."""
        try:
            self._asked(lambda: ee.data.getAsset(asset))
        except RefusedError as error:
            if error.refusal.verdict is not Verdict.MISSING:
                raise
            return False
        return True

    def _asked(self, request: Callable[[], T]) -> T:
        return self.patience.ask(request, self._troubled)

    def _listed(self) -> dict[str, Operation]:
        """The operations that stand for tasks of the plan, by the name of the task."""
        products = {product.description: product for product in self.plan.products}
        spent = self.ledger.spent()
        found: dict[str, Operation] = {}
        for operation in map(Operation.read, self._asked(ee.data.listOperations)):
            product = products.get(operation.description)
            if product is None or operation.state not in _ADOPTED or operation.cancelling:
                continue
            if operation.name in spent or self._elsewhere(product, operation):
                continue
            known = found.setdefault(operation.description, operation)
            if _ADOPTED.index(known.state) < _ADOPTED.index(operation.state):
                found[operation.description] = operation
        return found

    def _elsewhere(self, product: Product, operation: Operation) -> bool:
        return operation.elsewhere(self.bucket, f"{self.prefix}/{product.description}", product.asset)

    def _refused(self, product: Product, row: TaskRow, refusal: Refusal) -> bool:
        """What follows from a submission that the engine does not take; whether the plan changed."""
        if refusal.verdict is Verdict.FULL:
            self._not_before[row.task] = time.monotonic() + self.patience.longest
            self._troubled(refusal)
            return False
        if refusal.verdict is Verdict.SPLIT:
            return self._halve(product, row, refusal)
        if refusal.verdict in (Verdict.FINAL, Verdict.MISSING):
            self.ledger.change(row, replace(row, state="failed", error=refusal.words))
        raise refusal.error(f"{product.name} cannot be submitted", _then(refusal))

    # Following

    def _poll(self) -> bool:
        """Ask about the tasks at the engine; whether anything changed."""
        self._replan()
        before, changed = self.plan, False
        for product in before.products:
            row = self._rows()[product.description]
            if row.state in ENDED_BADLY:  # as another process found, or made it
                raise EngineError(f"{row.product} {row.state}: {row.error}. {THEN}")
            if row.operation is not None and row.state in ACTIVE:
                operation = Operation.ask(row.operation, self.patience, self._troubled)
                changed |= self._learn(product, row, operation)
            if self.plan is not before:
                break
        return changed

    def _learn(self, product: Product, row: TaskRow, operation: Operation | None) -> bool:
        """What follows from how far a task is; whether anything changed."""
        if operation is None:
            lost = Refusal(Verdict.RETRY, "the engine does not know its operation any more")
            return self._failed(product, row, lost)
        self._shares[row.task] = operation.share
        after = operation.on(row)
        if operation.refusal is not None:
            return self._failed(product, replace(after, state=row.state), operation.refusal)
        adopted = row.request is None
        if adopted and after.state == "succeeded" and self._elsewhere(product, operation):
            return self.ledger.again(row)
        changed = self.ledger.change(row, after) and after.state != row.state
        if changed and after.state == "cancelled":
            raise EngineError(f"{row.product} was cancelled. {THEN}")
        return changed

    def _failed(self, product: Product, row: TaskRow, refusal: Refusal) -> bool:
        """What follows from a failure; whether anything changed.

        Args:
            product: of the plan.
            row: the task, in the state in which the ledger has it.
            refusal: why it failed.
        """
        if refusal.verdict is Verdict.SPLIT:
            return self._halve(product, row, refusal)
        self._failures[row.task] += 1
        failures = self._failures[row.task]
        if refusal.verdict is Verdict.RETRY and failures < ATTEMPTS:
            self._not_before[row.task] = time.monotonic() + self.patience.first * 2**failures
            return self.ledger.again(row, refusal.words)
        self.ledger.change(row, replace(row, state="failed", error=refusal.words))
        raise refusal.error(f"{product.name} failed", _then(refusal))

    def _halve(self, product: Product, row: TaskRow, refusal: Refusal) -> bool:
        """Put smaller products in the place of a month's; whether the plan changed."""
        smaller = self.plan.split(product.name)
        if smaller is None:
            self.ledger.change(row, replace(row, state="failed", error=refusal.words))
            raise EngineError(
                f"{product.name} is too much for Earth Engine and cannot be cut into shorter ones, which "
                f"answers: {refusal.words.rstrip('.')}. Export with checkpoints, or map a smaller region."
            )
        if not self.ledger.change(row, replace(row, state="split", error=refusal.words, claimed_by=None)):
            return False
        kept = {one.description for one in smaller.products}
        rows = self._rows()
        self._retire(rows[one.description] for one in self.plan.products if one.description not in kept)
        self._replan()
        return True

    def _retire(self, rows: Iterable[TaskRow]) -> None:
        """Stop the tasks that halves will replace together with the one that failed."""
        for row in rows:
            while row.state != "split" and not self.ledger.change(
                row, replace(row, state="split", claimed_by=None)
            ):
                row = self.ledger.task(row.task) or row
            if row.operation is not None and row.state in ACTIVE:
                cancel(row.operation, self.patience)


def _then(refusal: Refusal) -> str:
    """What to do about a refusal that is not the account's: wait, or mend something."""
    return f"Once it answers again, {THEN}" if refusal.verdict is Verdict.RETRY else _MENDED
