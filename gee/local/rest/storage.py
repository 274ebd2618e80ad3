"""Cloud Storage beside the local engine: gcp-storage-emulator in a process of its own.

The emulator answers one request at a time, so that it must not share a process with the engine; it ends
when its parent does, kill -9 included, because its standard input closes then.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gee.local.errors import EngineError

HOST = "127.0.0.1"
TRIES = 3  # a port that was free may be taken before the emulator binds it


@dataclass(frozen=True)
class StorageProcess:
    """A running emulator.

    Args:
        url: what STORAGE_EMULATOR_HOST takes.
        process: of the emulator.
    """

    url: str
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End it and wait until it has."""
        self.process.terminate()
        self.process.communicate()


def start_storage(directory: Path, log: Path) -> StorageProcess:
    """Run an emulator that keeps its objects under a directory.

    Raises:
        EngineError: it does not come up; the log says why.
    """
    for _ in range(TRIES):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        with log.open("ab") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "gee.local.rest.storage", str(directory.resolve()), str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None  # noqa: S101 - narrows the type
        if process.stdout.readline().strip() == "ready":
            return StorageProcess(f"http://{HOST}:{port}", process)
        process.communicate()
    raise EngineError(f"The Cloud Storage emulator does not start; see {log}.", "INTERNAL")


def main(directory: str, port: int) -> None:
    """Be the emulator until standard input closes."""
    from gcp_storage_emulator.server import create_server

    server = create_server(HOST, port, data_dir=directory)
    server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # its server's thread would keep the process alive


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
