"""The HTTP server: Starlette around the table of `routes`, on loopback only.

It bounds what a client can do to the others: bodies of 10 MB, 40 computations at a time, work given up
when its client hangs up. Whatever goes wrong is told in Earth Engine's error JSON, without a trace; wording
of the limits as clients have quoted it (guides/usage; r-spatial/rgee, gee-community/geemap issues).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from gee import limits
from gee.local.context import OUT_OF_MEMORY, Context
from gee.local.errors import EngineError
from gee.local.rest import memory, payload
from gee.local.rest.api import Answer, Api, Call
from gee.local.rest.routes import find
from gee.local.results import encoding
from gee.local.results.rasters import File

COMPUTING_THREADS = max(8, 4 * (os.cpu_count() or 1))
OTHER_THREADS = 16
DRAINED_BYTES = 64 << 20  # of a body that is refused, so that its client reads the refusal
WATCH_SECONDS = 0.1  # between looks at the memory, in which a computation may take a few hundred MB
TILE_SECONDS = 3600  # a tile of a map never changes; browsers may keep it
CLIENT_GONE = 499
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

log = logging.getLogger(__name__)


class Server:
    """The ASGI application with its threads.

    Args:
        api: what is served.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._computing = 0  # only touched by the event loop
        self._closing = threading.Event()
        self._contexts: dict[int, Context] = {}  # the longest running first
        self._threads = {
            True: ThreadPoolExecutor(COMPUTING_THREADS, "computing"),
            False: ThreadPoolExecutor(OTHER_THREADS, "serving"),
        }
        self.app = Starlette(
            routes=[StarletteRoute("/{path:path}", self._serve, methods=VERBS)],
            exception_handlers={HTTPException: _refuse, Exception: _fail},
        )
        threading.Thread(target=self._watch_memory, name="memory", daemon=True).start()

    def stop(self) -> None:
        """Have every computation given up soon, so that its client still gets an answer."""
        self._closing.set()
        for context in list(self._contexts.values()):
            context.stopped = True

    def _watch_memory(self) -> None:
        """Give up the computation that runs longest whenever the process takes too much memory."""
        allowed = high = memory.high_water()
        while not self._closing.wait(WATCH_SECONDS):
            taken, running = memory.resident(), list(self._contexts.values())
            if taken > allowed:
                log.warning("%d MB of memory are taken: giving up a computation", taken >> 20)
                for context in [context for context in running if not context.starved][:1]:
                    context.starved = True
                self._api.engine.forget()
                memory.give_back()
            if not running:
                # What stays when nothing runs is no request's fault.
                allowed = max(high, memory.resident() + high // 4)

    def close(self) -> None:
        """Stop the threads."""
        self.stop()
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    def outlived(self, seconds: float) -> bool:
        """Whether a computation still runs so long after the threads were told to stop."""
        begun = time.monotonic()
        while any(thread.name.startswith("computing") for thread in threading.enumerate()):
            if time.monotonic() - begun > seconds:
                return True
            time.sleep(0.02)
        return False

    async def _serve(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        except Exception as error:  # whatever it is, the client gets JSON
            return error_response(error)

    async def _answer(self, request: Request) -> Response:
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if host not in LOOPBACK_NAMES:
            # A web page could otherwise reach this server under a name of its own.
            raise EngineError("The local engine answers only on its loopback address.", "PERMISSION_DENIED")
        raw = await _body(request)
        route, version, path = find(request.method, request.url.path)
        call = Call(
            str(request.base_url).rstrip("/"), version, path, request.query_params, raw,
            request.headers.get("authorization"),
        )  # fmt: skip
        answer = await self._run(request, partial(route.handle, self._api, call), call, route.computes)
        cached = "tiles" in request.url.path
        return response(answer, call.query, f"private, max-age={TILE_SECONDS}" if cached else "no-store")

    async def _run(self, request: Request, job: partial[Answer], call: Call, computes: bool) -> Answer:
        if computes and self._computing >= limits.CONCURRENT_REQUESTS:
            raise EngineError(
                "Too Many Requests: Request was rejected because the request rate or concurrency limit was "
                "exceeded.",
                "RESOURCE_EXHAUSTED",
            )

        def watch(context: Context) -> None:
            self._contexts[id(call)] = context
            context.stopped = self._closing.is_set()

        call.watch = watch
        self._computing += computes
        work = asyncio.get_running_loop().run_in_executor(self._threads[computes], job)
        work.add_done_callback(lambda _: self._ended(call, computes))
        if not computes:
            return await work
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            either: set[asyncio.Future[Any]] = {work, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                if id(call) in self._contexts:
                    self._contexts[id(call)].stopped = True
                work.add_done_callback(lambda done: done.cancelled() or done.exception())
                raise ClientDisconnect
            return work.result()
        finally:
            gone.cancel()

    def _ended(self, call: Call, computes: bool) -> None:
        self._computing -= computes
        self._contexts.pop(id(call), None)


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limits.MAX_PAYLOAD_BYTES:
            parts.append(part)
        elif size > DRAINED_BYTES:
            break
        else:
            parts.clear()
    payload.check_size(size)
    return b"".join(parts)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def response(answer: Answer, query: Mapping[str, str], caching: str) -> Response:
    """An answer as HTTP; ``fields`` of the query picks fields of a JSON object."""
    headers = {"Cache-Control": caching}
    if isinstance(answer, File):
        if answer.name:
            headers["Content-Disposition"] = f'attachment; filename="{answer.name}"'
        return Response(answer.body, media_type=answer.media_type, headers=headers)
    if isinstance(answer, dict):
        wanted = [name for name in query.get("fields", "").split(",") if name not in ("", "*")]
        if wanted:
            answer = {name: answer[name] for name in wanted if name in answer}
        answer = encoding.dump(answer)
    return Response(answer, media_type="application/json; charset=UTF-8", headers=headers)


def error_response(error: BaseException) -> Response:
    """Earth Engine's error JSON for whatever was raised; the unexpected is logged, not told."""
    told = _told(error)
    return Response(
        encoding.dump(told.as_json()), status_code=told.code, media_type="application/json; charset=UTF-8"
    )


def _told(error: BaseException) -> EngineError:
    if isinstance(error, EngineError):
        return error
    if isinstance(error, RecursionError):
        return EngineError("The expression or one of its values is nested too deeply.")
    if isinstance(error, MemoryError):
        return EngineError(OUT_OF_MEMORY)
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or (
        isinstance(error, sqlite3.OperationalError) and "full" in str(error)
    ):
        return EngineError("The disk that holds the local engine's state is full.", "FAILED_PRECONDITION")
    if isinstance(error, sqlite3.DatabaseError):
        log.error("the state cannot be read", exc_info=error)
        return EngineError(f"The state of the local engine cannot be read: {error}.", "FAILED_PRECONDITION")
    request = uuid.uuid4().hex
    log.error("internal error (request: %s)", request, exc_info=error)
    return EngineError(f"An internal error has occurred (request: {request}).", "INTERNAL")


async def _refuse(request: Request, error: Exception) -> Response:
    status = {404: "NOT_FOUND", 405: "NOT_FOUND"}.get(getattr(error, "status_code", 500), "INVALID_ARGUMENT")
    return error_response(EngineError(f"{request.method} {request.url.path[:200]}: {error}", status))


async def _fail(request: Request, error: Exception) -> Response:
    return error_response(error)
