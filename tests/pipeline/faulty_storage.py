"""A Cloud Storage that misbehaves: a proxy before the emulator that breaks what it is told to break.

It also keeps the one rule that the emulator does not know: ``ifGenerationMatch`` is answered with 412 where
the object is of another generation (https://cloud.google.com/storage/docs/request-preconditions).
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGE = 1 << 20  # bytes
HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    size: int

    @property
    def range(self) -> tuple[int, int] | None:
        """First and last byte asked for."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return (int(found[1]), int(found[2])) if found else None

    def is_media(self) -> bool:
        """Whether it is of an object's content, downwards."""
        return self.method == "GET" and self.path.startswith("/download/")

    def is_upload(self) -> bool:
        """Whether it is of an object's content, upwards."""
        return self.path.startswith("/upload/") and self.size > 0


@dataclass
class Fault:
    """What happens to some requests in place of being answered.

    Attributes:
        matches: which requests.
        times: how many of them.
        after: how many are answered as they should be before.
        status: to answer with, where the request is not passed on.
        message: that goes with the status.
        body: in place of Google's usual form of an error.
        cut: bytes of the answer after which the connection breaks; the answer's length is told whole.
        short: bytes that the answer is shortened to, its length told accordingly.
        changed: whether the first byte is turned over, of the answer or of what is uploaded.
        lost: pass the request on and break the connection in place of the answer.
        unread: break the connection before the request is passed on.
        before: called before anything else.
    """

    matches: Callable[[Asked], bool] = lambda asked: True
    times: int = 1
    after: int = 0
    status: int | None = None
    message: str = "injected"
    body: Any = None
    cut: int | None = None
    short: int | None = None
    changed: bool = False
    lost: bool = False
    unread: bool = False
    before: Callable[[], object] | None = None
    seen: int = 0

    def strikes(self, asked: Asked) -> bool:
        """Whether it is this request's turn."""
        if not self.matches(asked):
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


@dataclass
class Proxy:
    """The proxy of one test.

    Attributes:
        behind: address of the emulator.
        url: of the proxy.
        faults: to come.
        asked: what was asked for so far.
        slow: seconds before a large request is read.
    """

    behind: str
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    slow: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def media(self) -> list[Asked]:
        """Requests for content."""
        return [one for one in self.asked if one.is_media()]

    def uploads(self) -> list[Asked]:
        """Requests with content."""
        return [one for one in self.asked if one.is_upload()]

    def struck(self, asked: Asked) -> Fault | None:
        """The fault that a request meets."""
        with self.lock:
            self.asked.append(asked)
            return next((fault for fault in self.faults if fault.strikes(asked)), None)

    def passed_on(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """The emulator's answer."""
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=30)
        try:
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def generation(self, bucket: str, name: str) -> int:
        """Of an object, as the emulator has it; 0 where there is none."""
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        status, _, body = self.passed_on("GET", path, {}, b"")
        return int(json.loads(body)["generation"]) if status == 200 else 0

    def refused(self, asked: Asked, body: bytes) -> bool:
        """Whether the object is of another generation than the request is meant for."""
        wanted = asked.query.get("ifGenerationMatch")
        place = re.search(r"/b/([^/]+)/o(?:/(.+))?$", asked.path)
        if wanted is None or place is None:
            return False
        named = re.search(rb'"name": *("(?:[^"\\]|\\.)*")', body[: 8 << 10])
        name = unquote(place[2]) if place[2] else json.loads(named[1]) if named else ""
        return self.generation(place[1], name) != int(wanted[0])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def answered(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if size > LARGE:
            time.sleep(self.proxy.slow)
        body = self.rfile.read(size)
        at = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        asked = Asked(self.command, at.path, parse_qs(at.query), headers, len(body))
        fault = self.proxy.struck(asked)
        if fault and fault.before:
            fault.before()
        if fault and fault.unread:
            self.broken_off()
        elif fault and fault.status:
            self.error(fault.status, fault.message, fault.body)
        elif self.proxy.refused(asked, body):
            self.error(412, "At least one of the pre-conditions you specified did not hold.")
        else:
            if fault and fault.changed and asked.is_upload():
                body = bytes([body[0] ^ 0xFF]) + body[1:]
            status, given, content = self.proxy.passed_on(self.command, self.path, headers, body)
            if fault and fault.lost:
                self.broken_off()
            else:
                self.pass_back(status, given, content, fault or Fault())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answered  # noqa: N815

    def pass_back(self, status: int, headers: dict[str, str], content: bytes, fault: Fault) -> None:
        if fault.changed and self.command == "GET":
            content = bytes([content[0] ^ 0xFF]) + content[1:]
        if fault.short is not None:
            content = content[: fault.short]
        self.send_response(status)
        for key, value in headers.items():
            if key.lower() not in HOP:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: fault.cut])
        if fault.cut is not None:
            self.broken_off()

    def error(self, status: int, message: str, body: Any = None) -> None:
        content = json.dumps(body or {"error": {"code": status, "message": message, "errors": []}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def broken_off(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        pass  # a client that has gone


@contextmanager
def proxy_before(url: str) -> Iterator[Proxy]:
    """A proxy before an emulator, until the block ends."""
    proxy = Proxy(url)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
