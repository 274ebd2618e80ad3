"""What goes wrong or is meant to do harm: a clear error for whoever caused it, while others go on.

The graphs are written as the JSON that clients send, because no client would build most of them. How
long an answer may take is generous, since a slow machine is no fault; that the next request is answered
and that memory stays bounded are not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ee
import psutil
import pytest

from gee.local.errors import EngineError
from gee.local.rest.process import Child, start
from tests.disks import mounted

Graph = dict[str, Any]

COMPUTE = "projects/my-project/value:compute"
PIXELS = "projects/my-project/image:computePixels"
ROOT = "projects/my-project/assets"
LIST = "projects/my-project:listAssets"
PATIENCE = 60.0  # seconds for an answer on a busy machine
MEMORY_BOUND = 3 << 30  # bytes the server may take at any moment of these tests
GRID = {
    "dimensions": {"width": 256, "height": 256},
    "affineTransform": {"scaleX": 0.001, "scaleY": -0.001, "translateX": 117, "translateY": 32},
    "crsCode": "EPSG:4326",
}


def constant(value: Any) -> Graph:
    return {"constantValue": value}


def ref(key: str) -> Graph:
    return {"valueReference": key}


def call(name: str, **arguments: Graph) -> Graph:
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


def expression(result: str | Graph, **values: Graph) -> dict[str, Any]:
    if isinstance(result, str):
        return {"expression": {"result": result, "values": values}}
    root = f"root-{len(values)}"
    return {"expression": {"result": root, "values": {**values, root: result}}}


def repeatedly(first: Graph, step: Callable[[Graph], Graph], times: int) -> dict[str, Any]:
    """A graph in which each value is made from the one before, which stands in it once."""
    values = {"0": first}
    for number in range(1, times + 1):
        values[str(number)] = step(ref(str(number - 1)))
    return expression(str(times), **values)


def within(thing: dict[str, Any], outer: Callable[[Graph], Graph]) -> dict[str, Any]:
    """The graph of an algorithm on the result of another graph."""
    inner = thing["expression"]
    return expression(outer(ref(inner["result"])), **inner["values"])


def mapped(depth: int, length: int) -> dict[str, Any]:
    """Maps within maps over a list: length ** depth sums, each of another number."""
    values = {
        "list": call("List.sequence", start=constant(1), end=constant(length)),
        "body": {"argumentReference": "x0"},
    }
    for level in range(1, depth):
        sum_ = call("Number.add", left={"argumentReference": f"x{level}"}, right={"argumentReference": "x0"})
        values["body"] = call("Number.add", left=values["body"], right=sum_)
    body = "body"
    for level in range(depth):
        values[f"f{level}"] = {"functionDefinitionValue": {"argumentNames": [f"x{level}"], "body": body}}
        body = f"m{level}"
        values[body] = call("List.map", list=ref("list"), baseAlgorithm=ref(f"f{level}"))
    return expression(body, **values)


ONE = expression(constant(1))
WORK = within(mapped(2, 60), lambda found: call("List.length", list=found))
ENDLESS = mapped(4, 300)


def send(url: str, path: str, body: Any = None, verb: str | None = None) -> tuple[int, Any]:
    """Status and body of an answer; bytes are sent as they are."""
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/v1/{path}", content, {"Content-Type": "application/json"}, method=verb
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def told(answer: tuple[int, Any]) -> tuple[int, str]:
    """Code and message of an error, which must be of Earth Engine's shape."""
    code, body = answer
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "status"}
    assert body["error"]["code"] == code
    return code, body["error"]["message"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A server of these tests' own."""
    child = start(tmp_path_factory.mktemp("state"))
    yield child
    child.stop()
    assert child.process.returncode == 0


@pytest.fixture
def url(engine: Child) -> str:
    return engine.address.url


@pytest.fixture(autouse=True)
def goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test of the common server, its next request is answered at once."""
    yield
    if "engine" in request.fixturenames:
        engine = request.getfixturevalue("engine")
        began = time.monotonic()
        assert send(engine.address.url, COMPUTE, ONE) == (200, {"result": 1})
        assert time.monotonic() - began < 5


@pytest.fixture
def bounded(engine: Child) -> Iterator[None]:
    """The server's memory never exceeds the bound during a test."""
    server, done = psutil.Process(engine.address.pid), threading.Event()
    peak = [server.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], server.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    done.set()
    watching.join()
    assert peak[0] < MEMORY_BOUND


@contextlib.contextmanager
def connection(url: str, body: bytes, sent: int | None = None) -> Iterator[socket.socket]:
    """A request of which only so many bytes of the body are sent."""
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/{COMPUTE} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as one:
        one.sendall(head.encode() + body[:sent])
        yield one


# Clients that do not do their part


def test_requests_cut_in_the_middle_disturb_nobody(url: str) -> None:
    body = json.dumps(ONE).encode()
    for _ in range(20):
        with connection(url, body, sent=len(body) // 2):
            pass
    assert send(url, COMPUTE, ONE) == (200, {"result": 1})


def test_slow_clients_take_no_place_of_others(url: str) -> None:
    body = json.dumps(ONE).encode()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connection(url, body, sent=10)) for _ in range(100)]
        began = time.monotonic()
        for _ in range(10):
            assert send(url, COMPUTE, ONE) == (200, {"result": 1})
        assert time.monotonic() - began < 10
        slow[0].sendall(body[10:])
        assert b"200 OK" in slow[0].recv(4096)


def test_what_nobody_waits_for_any_more_is_not_computed_on(engine: Child, url: str) -> None:
    server = psutil.Process(engine.address.pid)

    def share() -> float:
        before = sum(server.cpu_times()[:2])
        time.sleep(1)
        return float(sum(server.cpu_times()[:2]) - before)

    body = json.dumps(ENDLESS).encode()
    with connection(url, body), connection(url, body):
        time.sleep(0.5)
        working = share()
        assert send(url, COMPUTE, ONE) == (200, {"result": 1})
    time.sleep(0.5)
    assert share() < working / 3


def test_of_fifty_clients_at_once_forty_compute_and_the_others_are_told_to_wait(url: str) -> None:
    together = threading.Barrier(51)

    def ask(_: int) -> tuple[int, Any]:
        together.wait()
        return send(url, COMPUTE, WORK)

    with ThreadPoolExecutor(50) as pool:
        asked = pool.map(ask, range(50))
        together.wait()
        began = time.monotonic()
        assert send(url, "projects/my-project/config")[0] == 200
        assert time.monotonic() - began < 5
        answers = list(asked)
    codes = [code for code, _ in answers]
    assert set(codes) == {200, 429}
    assert codes.count(200) >= 40
    assert all(body == {"result": 60} for code, body in answers if code == 200)
    for answer in answers:
        if answer[0] == 429:
            assert answer[1]["error"]["status"] == "RESOURCE_EXHAUSTED"
            assert told(answer)[1].startswith("Too Many Requests: Request was rejected")


def test_fifty_threads_of_the_real_client_all_get_their_answer(client: Child) -> None:
    def ask(number: int) -> int:
        sums = ee.List.sequence(1, 3000).map(lambda n: ee.Number(n).add(number))
        return int(ee.List(sums).get(0).getInfo())

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, range(50))) == [number + 1 for number in range(50)]


# Graphs that ask for too much

RANDOM = call("Image.random")
COLLECTION = call("ImageCollection.load", id=constant("MODIS/061/MOD09A1"))
WORLD = call(
    "GeometryConstructors.BBox",
    west=constant(-180), south=constant(-85), east=constant(180), north=constant(85),
)  # fmt: skip
NEST = repeatedly(constant([1]), lambda one: {"arrayValue": {"values": [one]}}, 30_000)
BUSH = repeatedly(constant([1]), lambda one: {"arrayValue": {"values": [one, one]}}, 60)


def region(image: Graph, reducer: str, scale: float, pixels: float) -> dict[str, Any]:
    return expression(
        call(
            "Image.reduceRegion",
            image=image,
            reducer=call(reducer),
            geometry=WORLD,
            scale=constant(scale),
            maxPixels=constant(pixels),
        )
    )


LONG = ("two million points", "long arrays", "arrays doubled")


def marked(cases: Iterable[str]) -> list[Any]:
    """Names of cases, those marked that take long."""
    return [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in cases]


def nested_functions(depth: int) -> dict[str, Any]:
    """A value inside functions inside functions, each of which is called."""
    values: dict[str, Graph] = {"v0": {"argumentReference": "x"}}
    for level in range(depth):
        values[f"f{level}"] = {"functionDefinitionValue": {"argumentNames": ["x"], "body": f"v{level}"}}
        values[f"v{level + 1}"] = call("List.map", list=constant([1]), baseAlgorithm=ref(f"f{level}"))
    return expression(f"v{depth}", **values)


def star(points: int) -> Graph:
    """A closed line that goes to and fro across the same square."""
    path = [
        [100 + index % 2 * 10 + index % 7 * 1e-3, 20 + index * 7919 % points / points * 10]
        for index in range(points)
    ]
    return call("GeometryConstructors.Polygon", coordinates=constant([[*path, path[0]]]))


HARMFUL: dict[str, tuple[dict[str, Any], str]] = {
    "a cycle": (
        expression(
            "a",
            a=call("Number.add", left=ref("b"), right=constant(1)),
            b=call("Number.add", left=ref("a"), right=constant(1)),
        ),
        "Expression contains a cycle",
    ),
    "a value that is itself": (expression("a", a=ref("a")), "Expression contains a cycle"),
    "a list doubled sixty times": (
        repeatedly(constant([1]), lambda one: call("List.cat", list=one, other=one), 60),
        r"List.cat: List of 16777216 elements is too large: at most 10000000\.",
    ),
    "a string doubled sixty times": (
        repeatedly(constant("a"), lambda one: call("String.cat", string1=one, string2=one), 60),
        r"String of 16777216 characters is too long",
    ),
    "a string replaced by longer ones": (
        repeatedly(
            constant("a" * 1000),
            lambda one: call(
                "String.replace",
                input=one,
                regex=constant("a"),
                replacement=constant("a" * 1000),
                flags=constant("g"),
            ),
            5,
        ),
        "too long",
    ),
    "lists that hold the same list twice, printed": (BUSH, r"Computed value is too large\."),
    "the same as text": (within(BUSH, lambda bush: call("String", input=bush)), "too long"),
    "the same as an array": (within(BUSH, lambda bush: call("Array", values=bush)), "Array"),
    "the same as a number": (within(BUSH, lambda bush: call("Number.abs", input=bush)), "Invalid type"),
    "the same in a message": (
        within(BUSH, lambda bush: call("List.sort", list={"arrayValue": {"values": [bush, bush]}})),
        "Cannot compare values",
    ),
    "the same flattened": (
        within(BUSH, lambda bush: call("List.flatten", list=bush)),
        "too large|limit exceeded",
    ),
    "lists in thirty thousand lists, printed": (NEST, "nested too deeply"),
    "the same compared": (
        within(NEST, lambda nest: call("List.equals", list=nest, other=nest)),
        "nested too deeply",
    ),
    "the same as an array of pixels": (
        within(NEST, lambda nest: call("Image.constant", value=nest)),
        "too many dimensions",
    ),
    "functions within functions": (nested_functions(3000), "nested too deeply"),
    "a sequence without end": (
        expression(call("List.sequence", start=constant(0), end=constant(1e12))),
        "too large: at most 10000000",
    ),
    "a sequence of tiny steps": (
        expression(call("List.sequence", start=constant(0), end=constant(1), step=constant(1e-12))),
        "too large: at most 10000000",
    ),
    "a value repeated": (
        expression(call("List.repeat", value=constant(1), count=constant(10**9))),
        "too large: at most 10000000",
    ),
    "an identity matrix": (
        expression(call("Array.identity", size=constant(10**9))),
        "too large: at most 10000000",
    ),
    "an array repeated": (
        expression(call("Array.repeat", array=constant([1]), axis=constant(0), copies=constant(10**10))),
        "too large: at most 10000000",
    ),
    "an array doubled": (
        repeatedly(
            call("Array", values=constant([1])),
            lambda one: call("Array.cat", arrays={"arrayValue": {"values": [one, one]}}, axis=constant(0)),
            60,
        ),
        "too large: at most 10000000",
    ),
    "a decomposition": (
        expression(
            call("Array.matrixSingularValueDecomposition", array=call("Array.identity", size=constant(3000)))
        ),
        "too large for linear algebra",
    ),
    "histograms of a million buckets": (
        expression(
            call(
                "Array.reduce",
                array=call("Array.identity", size=constant(3000)),
                axes=constant([0]),
                reducer=call("Reducer.histogram", maxBuckets=constant(2**20)),
            )
        ),
        "more than 10000000 numbers",
    ),
    "bands doubled": (
        repeatedly(RANDOM, lambda one: call("Image.addBands", dstImg=one, srcImg=one), 40),
        r"Too many bands: 16384; an image can have at most 10000\.",
    ),
    "a million bands": (
        expression(
            call("Image.constant", value=call("List.repeat", value=constant(1), count=constant(10**6)))
        ),
        "Too many bands: 1000000",
    ),
    "a hundred thousand images stacked": (
        within(
            within(mapped(1, 100_000), lambda numbers: call("ImageCollection.fromImages", images=numbers)),
            lambda images: call("ImageCollection.toBands", collection=images),
        ),
        "Too many bands",
    ),
    "a kernel": (expression(call("Kernel.square", radius=constant(1e6))), "Kernel is too large"),
    "a region of the world in metres": (
        region(call("Image.load", id=constant("CGIAR/SRTM90_V4")), "Reducer.mean", 1, 1e7),
        "Too many pixels in the region. Found",
    ),
    "a region of the world in metres, all of it wanted": (
        region(call("Image.load", id=constant("CGIAR/SRTM90_V4")), "Reducer.mean", 1, 1e18),
        "limit exceeded",
    ),
    "a forest of a million trees": (
        expression(
            call(
                "Classifier.explain",
                classifier=call(
                    "Classifier.train",
                    classifier=call("Classifier.smileRandomForest", numberOfTrees=constant(10**6)),
                    features=call(
                        "Collection",
                        features={
                            "arrayValue": {
                                "values": [
                                    call("Feature", metadata=constant({"a": number, "c": number % 2}))
                                    for number in range(4)
                                ]
                            }
                        },
                    ),
                    classProperty=constant("c"),
                    inputProperties=constant(["a"]),
                ),
            )
        ),
        "A forest of 1000000 trees of 4 rows is too large",
    ),
    "a condition doubled": (
        within(
            repeatedly(
                call("Filter.equals", leftField=constant("a"), rightValue=constant(1)),
                lambda one: call("Filter.or", filters={"arrayValue": {"values": [one, one]}}),
                40,
            ),
            lambda condition: call(
                "Collection.size",
                collection=call(
                    "Collection.limit",
                    collection=call("Collection.filter", collection=COLLECTION, filter=condition),
                    limit=constant(1),
                ),
            ),
        ),
        "limit exceeded",
    ),
    "a polygon across itself": (expression(call("Geometry.area", geometry=star(4000))), "too complex"),
    "a buffer around the globe": (
        expression(
            call(
                "Geometry.buffer",
                distance=constant(1e9),
                geometry=call("GeometryConstructors.Point", coordinates=constant([117, 32])),
            )
        ),
        "half of the globe",
    ),
    "two million points": (
        expression(
            call(
                "GeometryConstructors.MultiPoint",
                coordinates=call("List.repeat", value=constant([1, 2]), count=constant(2_000_001)),
            )
        ),
        r"Geometry has too many edges \(2000001 > 2000000\)\.",
    ),
    "a number of a billion digits": (
        expression(call("Number.format", number=constant(1), pattern=constant("%.1000000000f"))),
        "Invalid number format pattern",
    ),
    "a date of eleven million digits": (
        expression(
            call(
                "Date.format",
                date=constant("2020-01-01"),
                format=call(
                    "List.join",
                    list=call("List.repeat", value=constant("y" * 1000), count=constant(11_000)),
                ),
            )
        ),
        "too long",
    ),
    "a band chosen by a pattern that backtracks": (
        expression(
            call(
                "Image.select",
                bandSelectors=constant(["(a+)+$"]),
                input=call("Image.rename", input=RANDOM, names=constant(["a" * 40 + "b"])),
            )
        ),
        "did not match any bands",
    ),
    "a date read by a pattern that backtracks": (
        expression(
            call(
                "DateRange",
                start=call(
                    "Date.parse",
                    format=constant("EGEGEGEGEGEGEGEGEGEGEGEG"),
                    date=constant("a" * 200 + "!"),
                ),
            )
        ),
        "Date.parse",
    ),
    "a pattern that grows in itself": (
        expression(call("String.match", input=constant("a"), regex=constant("(((a{1000}){1000}){1000})"))),
        "Invalid regular expression",
    ),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", marked(HARMFUL))
def test_a_graph_that_asks_for_too_much_is_refused(url: str, name: str) -> None:
    graph, message = HARMFUL[name]
    code, said = told(send(url, COMPUTE, graph))
    assert code == 400
    assert len(said) < 2000
    assert re.search(message, said), said


def pixels(image: Graph, **change: Any) -> dict[str, Any]:
    return {**expression(image), "fileFormat": "NPY", "grid": {**GRID, **change}}


HARMFUL_PIXELS: dict[str, tuple[dict[str, Any], str]] = {
    "more than 48 MB": (pixels(RANDOM, dimensions={"width": 32_768, "height": 32_768}), "Total request size"),
    "a billion columns": (
        pixels(RANDOM, dimensions={"width": 10**9, "height": 1}),
        "must be less than or equal to 32768",
    ),
    "pixels larger than the world": (
        pixels(
            call("Image.load", id=constant("CGIAR/SRTM90_V4")),
            affineTransform={"scaleX": 1e300, "scaleY": 1e300},
        ),
        "scale of a grid is too coarse",
    ),
    "long arrays": (
        pixels(
            call(
                "Image.arrayRepeat",
                input=call("Image.toArray", image=RANDOM),
                axis=constant(0),
                copies=call("Image.constant", value=constant(100_000)),
            )
        ),
        "Output of image computation is too large",
    ),
    "arrays doubled": (
        {
            **repeatedly(
                call("Image.toArray", image=RANDOM),
                lambda one: call("Image.arrayCat", image1=one, image2=one, axis=constant(0)),
                50,
            ),
            "fileFormat": "NPY",
            "grid": GRID,
        },
        "Output of image computation is too large",
    ),
    "neighbourhoods as bands": (
        pixels(
            call(
                "Image.neighborhoodToBands", image=RANDOM, kernel=call("Kernel.square", radius=constant(200))
            )
        ),
        "Too many bands",
    ),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", marked(HARMFUL_PIXELS))
def test_pixels_that_take_too_much_are_refused(url: str, name: str) -> None:
    request, message = HARMFUL_PIXELS[name]
    code, said = told(send(url, PIXELS, request))
    assert code == 400
    assert re.search(message, said), said


@pytest.mark.long
@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "graph",
    [mapped(4, 300), within(mapped(1, 10**7), lambda found: call("List.length", list=found))],
    ids=["maps within maps", "a map over ten million"],
)
def test_work_without_end_is_given_up_while_others_go_on(url: str, graph: dict[str, Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        harmful = pool.submit(send, url, COMPUTE, graph)
        waits = []
        while not harmful.done():
            began = time.monotonic()
            assert send(url, COMPUTE, ONE) == (200, {"result": 1})
            waits.append(time.monotonic() - began)
            time.sleep(0.1)
    assert told(harmful.result())[1].endswith("User memory limit exceeded.")
    assert len(waits) > 5
    assert max(waits) < 3


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 5_000_000, "nested too deeply"),
        (b'{"expression":' * 100_000, "nested too deeply"),
        (b'{"expression":{"result":"\xff","values":{}}}', "Invalid JSON payload received"),
        (json.dumps(ONE).encode("utf-16"), "Invalid JSON payload received"),
        (
            b'{"expression":{"result":"0","values":{"0":{"constantValue":' + b"1" * 5000 + b"}}}}",
            "Invalid JSON",
        ),
        (b'{"expression":{"result":"0","values":{"0":{"integerValue":"1e400"}}}}', "Invalid value node"),
        (
            b'{"expression":{"result":"0","values":{"0":{"constantValue":1,"integerValue":"1"}}}}',
            "Invalid value node",
        ),
        (b'{"expression":{"result":"0","values":{"0":{"arrayValue":5}}}}', "Invalid value node"),
        (b'{"expression":{"result":"0","values":{"0":{"valueReference":[1]}}}}', "Invalid value node"),
        (b'{"expression":{"result":"0","values":{"0":{"argumentReference":"x"}}}}', "outside its function"),
        (b'{"expression":{"result":"0","values":{"0":null}}}', "Invalid value node"),
    ],
)
def test_a_body_that_is_no_expression_is_refused(url: str, body: bytes, message: str) -> None:
    code, said = told(send(url, COMPUTE, body))
    assert code == 400
    assert message in said


@pytest.mark.parametrize(
    ("number", "printed"), [("1e400", "Infinity"), ("-1e400", "-Infinity"), ("NaN", "NaN"), ("1e-400", 0)]
)
def test_numbers_beyond_what_json_holds_are_printed_as_text(url: str, number: str, printed: object) -> None:
    body = b'{"expression":{"result":"0","values":{"0":{"constantValue":' + number.encode() + b"}}}}"
    assert send(url, COMPUTE, body) == (200, {"result": printed})


def test_of_keys_given_twice_the_last_counts(url: str) -> None:
    body = b'{"expression":{"result":"0","values":{"0":{"constantValue":1},"0":{"constantValue":2}}}}'
    assert send(url, COMPUTE, body) == (200, {"result": 2})


@pytest.mark.parametrize("number", ["1e400", "NaN", "-1"])
@pytest.mark.parametrize(
    ("algorithm", "argument", "others"),
    [
        ("List.repeat", "count", {"value": constant(1)}),
        ("Array.identity", "size", {}),
        ("Image.constant", "value", {}),
        ("Date", "value", {}),
        ("Kernel.circle", "radius", {}),
        ("Geometry.buffer", "distance",
         {"geometry": call("GeometryConstructors.Point", coordinates=constant([117, 32]))}),
        ("Number.leftShift", "right", {"left": constant(1)}),
        ("Number.format", "number", {"pattern": constant("%d")}),
    ],
)  # fmt: skip
def test_no_number_breaks_an_algorithm(
    url: str, number: str, algorithm: str, argument: str, others: dict[str, Graph]
) -> None:
    body = json.dumps(expression(call(algorithm, **others, **{argument: constant("NUMBER")})))
    code, answer = send(url, COMPUTE, body.replace('"NUMBER"', number).encode())
    assert code in (200, 400), answer


# Names and addresses

TRICKS = (
    "..", "../../etc/passwd", "%2e%2e/%2e%2e/etc", "..%2f..%2fetc", "/etc/passwd", "//etc/passwd", "a%00b",
    "a%0ab",
    "%e2%80%ae", "\uff0e\uff0e/x", "caf\u00e9", "a" * 5000, "x/" * 200, "a b", "a?b", "con:", "~root",
    "$HOME", "a;b", "%",
)  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_no_name_leads_out_of_the_state(engine: Child, url: str, name: str) -> None:
    state = Path(engine.address.state)
    before = {path.name for path in state.parent.iterdir()}
    quoted = urllib.parse.quote(name, safe="/%?;:$~")
    for verb, path, body in (
        ("GET", f"{ROOT}/{quoted}", None),
        ("DELETE", f"{ROOT}/{quoted}", None),
        ("POST", f"{ROOT}?assetId={urllib.parse.quote(name)}", {"type": "FOLDER"}),
        ("POST", f"{ROOT}/{quoted}:copy", {"destinationName": f"{ROOT}/{name}"}),
        ("POST", f"{ROOT}/{quoted}:getPixels", {"fileFormat": "NPY", "grid": GRID}),
    ):
        code, _ = told(send(url, path, body, verb))
        assert 400 <= code < 500
    for algorithm in ("Image.load", "ImageCollection.load", "Collection.loadTable"):
        argument = "tableId" if algorithm == "Collection.loadTable" else "id"
        code, _ = told(send(url, COMPUTE, expression(call(algorithm, **{argument: constant(name)}))))
        assert 400 <= code < 500
    assert {path.name for path in state.parent.iterdir()} == before
    assert list((state / "files").iterdir()) == []
    assert send(url, LIST) == (200, {"assets": []})


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("GET /v1/projects/my-project:listAssets HTTP/1.1\r\nHost: evil.example", 403),
        ("GET /v1/projects/my-project:listAssets HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80", 403),
        ("GET /v1/projects/my-project:listAssets HTTP/1.1\r\nHost: ", 403),
        ("GET /v1/../../etc/passwd HTTP/1.1\r\nHost: {host}", 404),
        ("GET /v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: {host}", 404),
        ("GET //etc/passwd HTTP/1.1\r\nHost: {host}", 404),
        ("GET http://evil.example/v1/{root} HTTP/1.1\r\nHost: evil.example", 404),
        ("TRACE /v1/{root} HTTP/1.1\r\nHost: {host}", 404),
        ("GET /v1/" + "a" * 30_000 + " HTTP/1.1\r\nHost: {host}", 404),
        ("PROPFIND /v1/{root} HTTP/1.1\r\nHost: {host}", 404),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, head: str, code: int) -> None:
    host = url.removeprefix("http://")
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=PATIENCE) as one:
        one.sendall((head.format(root=ROOT, host=host) + "\r\nConnection: close\r\n\r\n").encode())
        answer = b"".join(iter(lambda: one.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {code} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code


@pytest.mark.parametrize("content", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_a_body_is_read_whatever_type_it_says_it_is(url: str, content: str) -> None:
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/v1/{COMPUTE}", json.dumps(ONE).encode(), {"Content-Type": content}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        assert json.loads(answer.read()) == {"result": 1}


# State


def export(name: str) -> dict[str, Any]:
    """A request for a small image asset."""
    return {
        **expression(call("Image.toFloat", value=call("Image.pixelLonLat"))),
        "assetExportOptions": {"earthEngineDestination": {"name": f"{ROOT}/{name}"}},
        "grid": {**GRID, "dimensions": {"width": 64, "height": 64}},
        "requestId": name,
        "description": name,
    }


def finished(url: str, operations: list[str]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [send(url, name)[1] for name in operations]
        if all(operation.get("done") for operation in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"still {found}")


def submitted(url: str, names: list[str]) -> list[str]:
    answers = [send(url, "projects/my-project/image:export", export(name)) for name in names]
    assert [code for code, _ in answers] == [200] * len(names), answers
    return [body["name"] for _, body in answers]


def test_after_kill_9_every_asset_is_there_and_every_task_ends_once(tmp_path: Path) -> None:
    names = [f"image-{number}" for number in range(6)]
    first = start(tmp_path / "state")
    try:
        assert send(first.address.url, f"{ROOT}?assetId=folder", {"type": "FOLDER"})[0] == 200
        operations = submitted(first.address.url, names)
    finally:
        os.kill(first.address.pid, signal.SIGKILL)
        first.process.communicate()
    again = start(tmp_path / "state")
    try:
        ended = finished(again.address.url, operations)
        assert [operation.get("error") for operation in ended] == [None] * 6
        assert [operation["metadata"]["state"] for operation in ended] == ["SUCCEEDED"] * 6
        assert all(operation["metadata"]["attempt"] <= 2 for operation in ended)
        listed = send(again.address.url, LIST)[1]["assets"]
        assert sorted(asset["name"].rpartition("/")[2] for asset in listed) == ["folder", *names]
        contents = sorted(path.name for path in (tmp_path / "state" / "files").iterdir())
        assert len(contents) == 6
        # Asked again, a task is not done again.
        assert submitted(again.address.url, names) == operations
        assert [send(again.address.url, name)[1] for name in operations] == ended
        assert sorted(path.name for path in (tmp_path / "state" / "files").iterdir()) == contents
    finally:
        again.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 8) as disk:
        yield disk


def test_a_full_disk_is_told_and_nothing_else_stops(small_disk: Path) -> None:
    child = start(small_disk / "state")
    try:
        url = child.address.url
        assert send(url, f"{ROOT}?assetId=before", {"type": "FOLDER"})[0] == 200
        with (small_disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                os.write(ballast.fileno(), bytes(4096))
        refused = []
        for number in range(200):  # what SQLite has left in its pages may hold a few more
            answer = send(url, f"{ROOT}?assetId=full-{number}", {"type": "FOLDER"})
            if answer[0] != 200:
                refused.append(told(answer))
                break
        assert len(refused) == 1
        assert 400 <= refused[0][0] < 500
        assert "space" in refused[0][1] or "full" in refused[0][1]
        assert send(url, COMPUTE, ONE) == (200, {"result": 1})
        assert send(url, f"{ROOT}/before")[0] == 200
        (small_disk / "ballast").unlink()
        assert send(url, f"{ROOT}?assetId=after", {"type": "FOLDER"})[0] == 200
        assert finished(url, submitted(url, ["image"]))[0]["metadata"]["state"] == "SUCCEEDED"
    finally:
        child.stop()


def test_a_damaged_file_is_told_when_its_asset_is_read_and_only_then(tmp_path: Path) -> None:
    child = start(tmp_path / "state")
    try:
        url = child.address.url
        assert all(
            operation["metadata"]["state"] == "SUCCEEDED"
            for operation in finished(url, submitted(url, ["short", "garbled", "whole"]))
        )
    finally:
        child.stop()
    sizes = {}
    again = start(tmp_path / "state")
    try:
        url = again.address.url
        for name, damage in (("short", shortened), ("garbled", garbled)):
            sizes[name] = damage(content_of(tmp_path / "state", name))
        for name, message in (("short", f"bytes instead of {sizes['short']}"), ("garbled", "cannot be read")):
            request = pixels(call("Image.load", id=constant(f"{ROOT}/{name}")))
            code, said = told(send(url, PIXELS, request))
            assert code == 400
            assert f"{ROOT}/{name}" in said
            assert message in said
        assert send(url, f"{ROOT}/short")[0] == 200
        whole = expression(call("Image.bandNames", image=call("Image.load", id=constant(f"{ROOT}/whole"))))
        assert send(url, COMPUTE, whole) == (200, {"result": ["longitude", "latitude"]})
    finally:
        again.stop()


def content_of(state: Path, name: str) -> Path:
    """The largest file of an asset."""
    with contextlib.closing(sqlite3.connect(state / "state.sqlite")) as database:
        [(content,)] = database.execute("SELECT content FROM assets WHERE name = ?", (f"{ROOT}/{name}",))
    return max((state / "files" / content).iterdir(), key=lambda path: path.stat().st_size)


def shortened(path: Path) -> int:
    size = path.stat().st_size
    os.truncate(path, size // 2)
    return size


def garbled(path: Path) -> int:
    size = path.stat().st_size
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    return size


def test_a_damaged_database_is_told_to_who_asks_for_what_is_lost_or_at_the_start(tmp_path: Path) -> None:
    child = start(tmp_path / "state")
    try:
        for number in range(150):
            assert send(child.address.url, f"{ROOT}?assetId=folder-{number}", {"type": "FOLDER"})[0] == 200
    finally:
        child.stop()
    database = tmp_path / "state" / "state.sqlite"
    content = bytearray(database.read_bytes())
    for page in range(4096 * 20, len(content), 4096):  # behind the schema and what a start looks at
        content[page : page + 4096] = b"\xff" * 4096
    database.write_bytes(content)
    again = start(tmp_path / "state")
    try:
        code, said = told(send(again.address.url, LIST))
        assert code == 400
        assert "The state of the local engine cannot be read: database disk image is malformed" in said
        assert send(again.address.url, "projects/my-project/config")[0] == 200
    finally:
        again.stop()
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(EngineError, match=r"state\.sqlite cannot be read: file is not a database"):
        start(tmp_path / "state")
