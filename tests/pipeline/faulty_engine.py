"""An engine that misbehaves: a proxy before the local one that breaks what it is told to break."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What goes wrong with the next requests of a kind.

    Attributes:
        request: pattern of ``METHOD path``.
        times: how often.
        status: answered with this in place of being passed on.
        message: of that answer.
        cut: the connection is closed without an answer.
        passed_on: whether the engine gets a request whose answer is cut.
        half: the connection breaks in the middle of the engine's answer.
        edit: changes the engine's answer.
        call: is called, before the connection is cut.
        skip: so many requests are let through first.
    """

    request: str
    times: int = 1
    status: int | None = None
    message: str = "Service unavailable."
    cut: bool = False
    passed_on: bool = False
    half: bool = False
    edit: Callable[[dict[str, Any]], Any] | None = None
    call: Callable[[], object] | None = None
    skip: int = 0


@dataclass
class Proxy:
    """The proxy, and what passed it."""

    url: str
    target: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(self, *faults: Fault) -> None:
        with self.lock:
            self.faults.extend(faults)

    def reset(self) -> None:
        with self.lock:
            self.faults.clear()
            self.requests.clear()

    def fault(self, line: str) -> Fault | None:
        """What a request meets; it is remembered."""
        with self.lock:
            self.requests.append(line)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.request, line):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    @property
    def unused(self) -> list[Fault]:
        """The faults that did not happen as often as was asked."""
        return [fault for fault in self.faults if fault.times > 0]

    def count(self, pattern: str) -> int:
        """How many requests passed that match."""
        with self.lock:
            return sum(bool(re.search(pattern, line)) for line in self.requests)


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.fault(f"{self.command} {self.path}")
            if fault and fault.status:
                error = {"code": fault.status, "message": fault.message, "status": "INJECTED"}
                return self._answer(fault.status, json.dumps({"error": error}).encode())
            answer = None if fault and fault.cut and not fault.passed_on else self._passed_on(body)
            if fault and fault.call:
                fault.call()
            if (fault and fault.cut) or answer is None:
                self.close_connection = True
                return None
            status, content = answer
            if fault and fault.edit:
                content = json.dumps(fault.edit(json.loads(content))).encode()
            return self._answer(status, content, half=fault is not None and fault.half)

        def _passed_on(self, body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(urlsplit(proxy.target).netloc, timeout=60)
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("host", "accept-encoding", "connection")
            }
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, content

        def _answer(self, status: int, content: bytes, *, half: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)
            self.close_connection = self.close_connection or half

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    return Handler


@contextmanager
def proxy_before(url: str) -> Iterator[Proxy]:
    """A proxy before an engine, until the block ends."""
    proxy = Proxy("", url)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    listening.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{listening.server_port}"
    serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield proxy
    finally:
        listening.shutdown()
        listening.server_close()
        serving.join()
