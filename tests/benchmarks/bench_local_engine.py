"""What the local engine costs: starting it, and many small requests from several clients at once.

Run it by hand: ``python tests/benchmarks/bench_local_engine.py``. Start is timed from the start of the
process to the first answer, and beside it the imports alone, measured in the same run; requests are whole
round trips of the ``ee`` client, each client a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from gee.local.rest.process import start

CLIENTS = 8
REQUESTS = 60  # of each client, after one that warms up
BODY = json.dumps({"expression": {"result": "0", "values": {"0": {"constantValue": 1}}}}).encode()


def first_answer(state: Path) -> tuple[float, float]:
    """Seconds from the start of a server to its first value, and of its imports alone."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import gee.local.rest.assembly, gee.local.rest.server, uvicorn"], check=True
    )
    imports = time.perf_counter() - began
    began = time.perf_counter()
    child = start(state)
    url = f"{child.address.url}/v1/projects/my-project/value:compute"
    with urllib.request.urlopen(urllib.request.Request(url, BODY), timeout=60) as answer:  # noqa: S310
        assert json.load(answer) == {"result": 1}
    seconds = time.perf_counter() - began
    child.stop()
    return seconds, imports


def client(url: str, number: int, ready: object, seconds: object) -> None:
    """One client: different small values, each asked once."""
    import ee

    from gee.connection import connect

    connect(url, "my-project")
    ee.Number(number).getInfo()
    ready.wait()  # type: ignore[attr-defined]
    began = time.perf_counter()
    for count in range(REQUESTS):
        wanted = number * REQUESTS + count
        assert (
            ee.Number(wanted).add(ee.List.sequence(1, 10).reduce(ee.Reducer.sum())).getInfo() == wanted + 55
        )
    seconds[number] = time.perf_counter() - began  # type: ignore[index]


def throughput(state: Path) -> float:
    """Requests a second of all clients together."""
    child = start(state)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(CLIENTS)
    seconds = context.Array("d", CLIENTS)
    clients = [
        context.Process(target=client, args=(child.address.url, number, ready, seconds))
        for number in range(CLIENTS)
    ]
    for process in clients:
        process.start()
    for process in clients:
        process.join()
    child.stop()
    assert all(process.exitcode == 0 for process in clients)
    return CLIENTS * REQUESTS / max(seconds)


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first_answer(Path(folder) / "warm")
        seconds, imports = first_answer(Path(folder) / "start")
        print(f"server start to first value  {seconds:6.2f} s, of which imports {imports:.2f} s")
        rate = throughput(Path(folder) / "many")
        print(f"getInfo of {CLIENTS} clients          {rate:6.0f} requests/s")


if __name__ == "__main__":
    main()
