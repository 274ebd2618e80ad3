"""The HTTP server: whatever goes wrong is told in Earth Engine's error JSON, and others go on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gee.local.engine import Engine
from gee.local.rest import memory
from gee.local.rest.api import Api
from gee.local.rest.assembly import assemble
from gee.local.rest.server import Server

URL = "http://127.0.0.1:8085"
COMPUTE = "/v1/projects/my-project/value:compute"
ONE = {"expression": {"result": "0", "values": {"0": {"constantValue": 1}}}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with assemble(tmp_path_factory.mktemp("state"), "my-project") as parts:
        yield parts


@pytest.fixture
def server(api: Api) -> Iterator[Server]:
    running = Server(api)
    yield running
    running.close()


def ask(server: Server, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """Responses to requests made at the same time."""

    async def together() -> list[httpx.Response]:
        transport = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL, timeout=30) as client:
            return await asyncio.gather(
                *(client.request(verb, path, **more) for verb, path, more in requests)
            )

    return asyncio.run(together())


def error(response: httpx.Response) -> tuple[int, str]:
    told = response.json()["error"]
    assert set(told) == {"code", "message", "status"}
    assert told["code"] == response.status_code
    return response.status_code, told["status"]


@pytest.mark.parametrize(
    ("verb", "path", "more", "expected"),
    [
        ("GET", "/", {}, (404, "NOT_FOUND")),
        ("GET", "/v1/nothing", {}, (404, "NOT_FOUND")),
        ("GET", "/v2/projects/my-project/algorithms", {}, (404, "NOT_FOUND")),
        ("DELETE", COMPUTE, {}, (404, "NOT_FOUND")),
        ("OPTIONS", COMPUTE, {}, (404, "NOT_FOUND")),
        ("POST", COMPUTE, {"content": b"{"}, (400, "INVALID_ARGUMENT")),
        ("POST", COMPUTE, {"content": b"[]"}, (400, "INVALID_ARGUMENT")),
        ("POST", COMPUTE, {"json": {}}, (400, "INVALID_ARGUMENT")),
        ("POST", COMPUTE, {"json": {"expression": 5}}, (400, "INVALID_ARGUMENT")),
        ("POST", COMPUTE, {"json": {**ONE, "colour": 1}}, (400, "INVALID_ARGUMENT")),
        ("POST", COMPUTE, {"content": b" " * (10 * 2**20 + 1)}, (400, "INVALID_ARGUMENT")),
        ("POST", COMPUTE, {"json": ONE, "headers": {"Authorization": "Bearer x"}}, (401, "UNAUTHENTICATED")),
        ("POST", COMPUTE, {"json": ONE, "headers": {"Host": "evil.example"}}, (403, "PERMISSION_DENIED")),
        ("POST", "/v1/projects/other-project/value:compute", {"json": ONE}, (403, "PERMISSION_DENIED")),
        ("GET", "/v1/projects/my-project/assets/none", {}, (404, "NOT_FOUND")),
        ("GET", "/v1/projects/my-project/assets/a/../../b", {}, (404, "NOT_FOUND")),
        ("GET", "/v1/projects/my-project/assets/%2e%2e/x", {}, (400, "INVALID_ARGUMENT")),
        ("GET", "/v1/projects/my-project/maps/none/tiles/0/0/0", {}, (404, "NOT_FOUND")),
        ("POST", "/v1/projects/my-project/filmstripThumbnails", {}, (400, "INVALID_ARGUMENT")),
        ("POST", "/v1/projects/my-project/video:export", {"json": {}}, (400, "INVALID_ARGUMENT")),
        ("GET", "/v1/projects/my-project/operations?pageSize=x", {}, (400, "INVALID_ARGUMENT")),
        ("POST", "/token", {"content": b"assertion=x"}, (401, "UNAUTHENTICATED")),
    ],
)
def test_a_wrong_request_is_answered_with_earth_engines_error_json(
    server: Server, verb: str, path: str, more: dict[str, Any], expected: tuple[int, str]
) -> None:
    [response] = ask(server, (verb, path, more))
    assert error(response) == expected


def test_the_unexpected_is_logged_and_not_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bytes:
        raise KeyError("secret detail")

    monkeypatch.setattr(Engine, "compute_value", broken)
    [response] = ask(server, ("POST", COMPUTE, {"json": ONE}))
    assert error(response) == (500, "INTERNAL")
    assert "An internal error has occurred" in response.text
    assert "secret" not in response.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (MemoryError(), 400, "User memory limit exceeded."),
        (RecursionError(), 400, "nested too deeply"),
        (OSError(28, "No space left on device"), 400, "disk that holds the local engine's state is full"),
    ],
)
def test_running_out_of_something_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, raised: Exception, status: int, message: str
) -> None:
    def broken(*_: object) -> bytes:
        raise raised

    monkeypatch.setattr(Engine, "compute_value", broken)
    [response] = ask(server, ("POST", COMPUTE, {"json": ONE}))
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


def test_the_forty_first_computation_at_a_time_is_refused_and_other_requests_go_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(*_: object) -> bytes:
        assert go_on.wait(20)
        return b'{"result":1}'

    monkeypatch.setattr(Engine, "compute_value", slow)
    answered: list[int] = []

    async def together() -> list[httpx.Response]:
        transport = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL, timeout=30) as client:
            first = [asyncio.ensure_future(client.post(COMPUTE, json=ONE)) for _ in range(40)]
            await asyncio.sleep(0.2)
            refused = await client.post(COMPUTE, json=ONE)
            answered.append((await client.get("/v1/projects/my-project/config")).status_code)
            go_on.set()
            return [refused, *await asyncio.gather(*first)]

    refused, *others = asyncio.run(together())
    assert error(refused) == (429, "RESOURCE_EXHAUSTED")
    assert refused.json()["error"]["message"].startswith("Too Many Requests: Request was rejected")
    assert answered == [200]
    assert {response.status_code for response in others} == {200}
    [after] = ask(server, ("POST", COMPUTE, {"json": ONE}))
    assert after.status_code == 200


def test_a_computation_whose_client_hung_up_is_stopped(api: Api, server: Server) -> None:
    stopped = threading.Event()

    def slow(engine: Engine, request: object, caller: object, context: Any) -> bytes:
        for _ in range(200):
            if context.stopped:
                stopped.set()
                break
            threading.Event().wait(0.05)
        return b"{}"

    async def hang_up() -> None:
        body = json.dumps(ONE).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.sleep(0.3)
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            pass

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "path": COMPUTE, "raw_path": COMPUTE.encode(), "query_string": b"",
            "scheme": "http", "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8085")], "server": ("127.0.0.1", 8085),
        }  # fmt: skip
        await server.app(scope, receive, send)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "compute_value", slow)
        asyncio.run(hang_up())
        assert stopped.wait(10)


def test_the_computation_that_runs_longest_is_given_up_when_memory_is_short(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int] = []

    def slow(engine: Engine, request: object, caller: object, context: Any) -> bytes:
        mine = len(order)
        order.append(mine)
        if mine == 1:  # the second has begun
            monkeypatch.setattr(memory, "resident", lambda: memory.high_water() * 2)
        for _ in range(200):
            if context.starved:
                monkeypatch.setattr(memory, "resident", lambda: 0)
            context.check()
            if mine == 1 and memory.resident() == 0:
                return b'{"result":2}'
            threading.Event().wait(0.05)
        raise AssertionError("nothing was given up")

    monkeypatch.setattr(memory, "resident", lambda: 0)
    monkeypatch.setattr(Engine, "compute_value", slow)
    first, second = sorted(
        ask(server, *[("POST", COMPUTE, {"json": ONE})] * 2), key=lambda one: -one.status_code
    )
    assert error(first) == (400, "INVALID_ARGUMENT")
    assert first.json()["error"]["message"] == "User memory limit exceeded."
    assert second.json() == {"result": 2}


def test_fields_of_the_query_pick_fields_of_the_answer(server: Server) -> None:
    config = "/v1/projects/my-project/config"
    whole, name = ask(server, ("GET", config, {}), ("GET", f"{config}?fields=name", {}))
    assert set(whole.json()) == {"name", "maxConcurrentExports"}
    assert name.json() == {"name": "projects/my-project/config"}


def test_the_discovery_document_has_every_route_under_its_version(server: Server) -> None:
    for version in ("v1", "v1alpha"):
        [response] = ask(server, ("GET", f"/$discovery/rest?version={version}", {}))
        document = response.json()
        assert document["id"] == f"earthengine:{version}"
        projects = document["resources"]["projects"]
        assert {"getConfig", "updateConfig", "listAssets"} <= set(projects["methods"])
        assert "importExternal" in projects["resources"]["image"]["methods"]
        assert "export" in projects["resources"]["classifier"]["methods"]
        assert {"create", "getFeatures"} <= set(projects["resources"]["tables"]["methods"])
        assert {"filter", "view"} <= set(projects["methods"]["listAssets"]["parameters"])
        # As a user's client of Google's said of "projects/NAME/assets": samapriya/geeup, issue 47.
        asked = projects["resources"]["assets"]["methods"]["get"]["parameters"]["name"]
        assert asked["pattern"] == "^projects/[^/]+/assets/.*$"


def test_a_project_whoever_is_local_names_becomes_his(server: Server) -> None:
    path = "/v1/projects/my-second/value:compute"
    [before] = ask(server, ("POST", path, {"json": ONE}))
    [listed] = ask(server, ("GET", "/v1/projects/my-second/algorithms", {}))
    [after] = ask(server, ("POST", path, {"json": ONE}))
    assert (before.status_code, listed.status_code, after.status_code) == (403, 200, 200)
    assert len(listed.json()["algorithms"]) == 991
    assert after.json() == {"result": 1}
