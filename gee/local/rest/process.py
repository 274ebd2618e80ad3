"""The local engine as a process: one folder of state, one address on loopback, one line that tells both.

``python -m gee.local.rest.process`` serves until it is told to stop; `start` runs that as a child which ends
with its parent. Running exports go back to the queue when the process ends in order, and are taken up from
scratch when it does not.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gee.local.errors import EngineError
from gee.local.rest import memory
from gee.local.rest.storage import HOST, StorageProcess, start_storage

if TYPE_CHECKING:
    from gee.local.rest.server import Server

DEFAULT_PROJECT = "my-project"
START_SECONDS = 60.0  # imports of the numerical libraries on a cold disk
STOP_SECONDS = 15.0
GRACE_SECONDS = 3  # for requests in flight when the server is told to stop
LAST_SECONDS = 1.0  # for threads to end after everything was closed
BACKLOG = 256
_ADDRESS_FILE = "server.json"


@dataclass(frozen=True)
class Address:
    """Where a local engine is.

    Args:
        url: of the REST API.
        storage: of Cloud Storage, where it runs.
        state: the folder of its state.
        pid: of its process.
    """

    url: str
    storage: str | None
    state: str
    pid: int


def default_state() -> Path:
    """The folder of state when none is named: GEE_SMAP_LOCAL_STATE, or the user's data folder."""
    named = os.environ.get("GEE_SMAP_LOCAL_STATE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "gee-smap" / "local-engine"


def serve(
    port: int = 0,
    state: Path | None = None,
    *,
    with_storage: bool = False,
    project: str = DEFAULT_PROJECT,
    follow_parent: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or, on demand, the end of standard input; prints one line of JSON.

    Args:
        port: of the REST API; 0 takes a free one.
        state: folder of assets, tasks and accounts; made when absent.
        with_storage: whether a Cloud Storage emulator runs beside it, with its files under ``state``.
        project: that is there from the start.
        follow_parent: whether to stop when standard input closes.

    Raises:
        EngineError: the port is taken, or another local engine runs on the same state.
    """
    # Whoever only starts or finds an engine need not load it.
    from gee.local.rest.assembly import assemble
    from gee.local.rest.server import Server

    state = (state or default_state()).resolve()
    state.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(_bound(port))
        storage = stack.enter_context(_storage(state)) if with_storage else None
        if storage is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = storage.url
        memory.bound()
        api = stack.enter_context(assemble(state, project))
        server = Server(api)
        stack.callback(server.close)
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        address = Address(url, storage.url if storage else None, str(state), os.getpid())
        stack.enter_context(_announced(state, address))
        _run(server, listening, follow_parent)
    if server.outlived(LAST_SECONDS):
        # Everything is closed; a computation that looks at no clock must not keep the process.
        logging.getLogger(__name__).warning("a computation that did not stop is left behind")
        logging.shutdown()
        os._exit(0)


@contextlib.contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listening:
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise EngineError(
                f"Port {port} cannot be used: {error.strerror}.", "FAILED_PRECONDITION"
            ) from error
        listening.listen(BACKLOG)
        yield listening


@contextlib.contextmanager
def _storage(state: Path) -> Iterator[StorageProcess]:
    running = start_storage(state / "storage", state / "storage.log")
    try:
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def _announced(state: Path, address: Address) -> Iterator[None]:
    line = json.dumps(asdict(address))
    file = state / _ADDRESS_FILE
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(line, encoding="utf-8")
    unfinished.replace(file)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _run(server: Server, listening: socket.socket, follow_parent: bool) -> None:
    import uvicorn

    running = uvicorn.Server(
        uvicorn.Config(
            server.app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )

    def stop(*_: object) -> None:
        server.stop()
        running.should_exit = True

    # uvicorn raises again, once it has stopped, what it was stopped by; the rest still has to be closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if follow_parent:

        def follow() -> None:
            while os.read(sys.stdin.fileno(), 4096):  # a buffered read would hold a lock at shutdown
                pass
            stop()

        threading.Thread(target=follow, name="parent", daemon=True).start()
    running.run(sockets=[listening])


@dataclass(frozen=True)
class Child:
    """A local engine that runs as a child of this process.

    Args:
        address: where it is.
        process: its process.
    """

    address: Address
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End it in order and wait until it has."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def start(
    state: Path | None = None, *, port: int = 0, with_storage: bool = False, project: str = DEFAULT_PROJECT
) -> Child:
    """Run a local engine as a child, which stops when this process ends.

    Raises:
        EngineError: it does not come up; the message ends with what its log says last.
    """
    state = (state or default_state()).resolve()
    state.mkdir(parents=True, exist_ok=True)
    log = state / "server.log"
    command = [
        sys.executable, "-m", "gee.local.rest.process", "--follow-parent", "--state", str(state),
        "--port", str(port), "--project", project, *(["--with-storage"] if with_storage else []),
    ]  # fmt: skip
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    killer = threading.Timer(START_SECONDS, process.kill)
    killer.start()
    assert process.stdout is not None  # noqa: S101 - narrows the type
    line = process.stdout.readline()
    killer.cancel()
    if not line:
        process.communicate()
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise EngineError(f"The local engine does not start; see {log}. {''.join(last)}", "INTERNAL")
    child = Child(Address(**json.loads(line)), process)
    atexit.register(child.stop)
    return child


def running(state: Path | None = None) -> Address | None:
    """The local engine that serves a state now, if one does."""
    file = (state or default_state()).resolve() / _ADDRESS_FILE
    try:
        address = Address(**json.loads(file.read_text(encoding="utf-8")))
        os.kill(address.pid, 0)
        with urllib.request.urlopen(f"{address.url}/$discovery/rest?version=v1", timeout=5) as answer:  # noqa: S310
            answer.read(1)
    except (OSError, ValueError, TypeError):
        return None
    return address


def main() -> int:
    """The command line of ``python -m gee.local.rest.process``."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description="Serve a local Earth Engine.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, default=None)
    parser.add_argument("--project", default=DEFAULT_PROJECT)
    parser.add_argument("--with-storage", action="store_true")
    parser.add_argument("--follow-parent", action="store_true")
    options = parser.parse_args()
    try:
        serve(
            options.port,
            options.state,
            with_storage=options.with_storage,
            project=options.project,
            follow_parent=options.follow_parent,
        )
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logging.getLogger(__name__).info("served for %.0f s", time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
