"""Where tasks run: on threads of this process, on processes of this machine, or on a Dask cluster.

Tasks are independent and may run twice, so a worker that dies costs no more than what it had in hand: the
scheduler gives that to another. A cluster must see the files by the same paths; each of its processes reads
the model there itself, once, rather than being sent it with every connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import islice
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from models.learners import cores
from pipeline.errors import ConfigError, DataError, GeeSmapError

PATIENCE_SECONDS = 20  # for a scheduler to answer and for its first worker
AHEAD = 256  # tasks a cluster knows of at a time; more than it has threads
Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Something that runs tasks."""

    def run(
        self, task: Callable[[Item], Result], items: Sequence[Item], done: Callable[[Result], None]
    ) -> None:
        """Run a task on each of the items, in any order.

        Args:
            task: a function of the package or a ``functools.partial`` of one.
            items: what it takes.
            done: told each result, in this thread.
        """

    def check(self, see: Callable[[], str]) -> None:
        """Make sure that everybody who may run tasks finds what they need.

        Args:
            see: says what is missing; empty where nothing is.

        Raises:
            DataError: somebody misses something.
        """


class Threads:
    """Threads of this process, one for each processor."""

    def run(
        self, task: Callable[[Item], Result], items: Sequence[Item], done: Callable[[Result], None]
    ) -> None:
        """See ``Workers``."""
        dask, callbacks = _imported("dask"), _imported("dask.callbacks")
        names = [f"task-{number:07d}" for number in range(len(items))]  # Dask begins with the first by name
        tasks = [
            dask.delayed(task, pure=False)(item, dask_key_name=name)
            for name, item in zip(names, items, strict=True)
        ]
        known = set(names)

        def told(key: str, result: Any, *_: Any) -> None:
            if key in known:
                done(result)

        with callbacks.Callback(posttask=told):
            dask.compute(*tasks, scheduler="threads", num_workers=cores())

    def check(self, see: Callable[[], str]) -> None:
        """See ``Workers``; this process has found everything."""


class Cluster:
    """Processes behind a Dask scheduler; they are looked for, or started, when there is something to do.

    Args:
        scheduler: address of one that runs, such as ``tcp://10.0.0.1:8786``.
        workers: without it, processes to start on this machine, of one thread each.
    """

    def __init__(self, scheduler: str | None, workers: int | None) -> None:
        self.scheduler, self.workers = scheduler, workers
        self._client: Any = None
        self._cluster: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._client, self._cluster):
            if one is not None:
                one.close()

    @property
    def client(self) -> Any:
        """The connection.

        Raises:
            ConfigError: no scheduler answers, or it has no workers.
        """
        if self._client is None:
            self._client = self._connected() if self.scheduler else self._started()
        return self._client

    def _started(self) -> Any:
        distributed = _imported("distributed")
        # Tasks need little memory by themselves; a limit would only stop workers on small machines.
        self._cluster = distributed.LocalCluster(
            n_workers=self.workers, threads_per_worker=1, memory_limit=0, dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )  # fmt: skip
        return distributed.Client(self._cluster, set_as_default=False)

    def _connected(self) -> Any:
        distributed = _imported("distributed")
        try:
            client = distributed.Client(self.scheduler, timeout=PATIENCE_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise ConfigError(
                f"{self.scheduler}: no Dask scheduler answers there; start one with: dask scheduler"
            ) from error
        try:
            client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
        except TimeoutError as error:
            client.close()
            raise ConfigError(
                f"{self.scheduler}: the scheduler has no workers; start one with: "
                f"dask worker {self.scheduler}"
            ) from error
        return client

    def check(self, see: Callable[[], str]) -> None:
        """See ``Workers``."""
        with _told(self.scheduler):
            found = self.client.run(see, on_error="return")
        missing = {address: answer for address, answer in found.items() if answer}
        for address, answer in missing.items():
            raise DataError(
                f"{len(missing)} of {len(found)} Dask workers cannot take part, the first {address}: "
                f"{answer}. They need this version of gee-smap, and the model, the cube and the output by "
                "the same paths."
            )

    def run(
        self, task: Callable[[Item], Result], items: Sequence[Item], done: Callable[[Result], None]
    ) -> None:
        """See ``Workers``."""
        submit = partial(self.client.submit, task, pure=False)
        coming = iter(items)
        running = _imported("distributed").as_completed(
            [submit(item) for item in islice(coming, AHEAD)], loop=self.client.loop
        )
        try:
            with _told(self.scheduler):
                for future in running:
                    done(future.result())
                    future.release()
                    for item in islice(coming, 1):
                        running.add(submit(item))
        finally:
            self.client.cancel([*running.futures])


@contextmanager
def workers(scheduler: str | None, count: int | None) -> Iterator[Workers]:
    """Who runs tasks.

    Args:
        scheduler: address of a Dask scheduler.
        count: processes to start on this machine. Without both, threads of this process.

    Raises:
        ConfigError: both are given, or the number is none.
    """
    if scheduler and count is not None:
        raise ConfigError("Give either a scheduler, which has its workers, or a number of workers to start.")
    if count is not None and count < 1:
        raise ConfigError(f"{count} workers can do nothing: give a number from 1.")
    if scheduler or count is not None:
        with Cluster(scheduler, count) as cluster:
            yield cluster
    else:
        yield Threads()


@contextmanager
def _told(scheduler: str | None) -> Iterator[None]:
    """Turn what Dask says of its own troubles into a sentence."""
    distributed = _imported("distributed")
    where = scheduler or "this machine"
    try:
        yield
    except distributed.scheduler.KilledWorker as error:
        raise GeeSmapError(
            f"The same task ended several Dask workers on {where}, for want of memory as a rule: give them "
            "more, or fewer threads each. Run again: what is finished stays."
        ) from error
    except (distributed.comm.CommClosedError, CancelledError, TimeoutError) as error:
        raise GeeSmapError(
            f"The Dask scheduler on {where} was lost. Run again once it is back: what is finished stays."
        ) from error


def _imported(name: str) -> Any:
    """A part of Dask, which takes a second to import and comes without types."""
    return import_module(name)
