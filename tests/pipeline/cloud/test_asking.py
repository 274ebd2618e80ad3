"""What is asked of the engine before anything is submitted, on the days when it does not answer."""

from __future__ import annotations

import json

import ee
import pytest
from google.auth.exceptions import RefreshError, TransportError

from gee import assets
from gee.connection import Connection
from pipeline.cloud import place
from pipeline.cloud.asking import answered
from pipeline.cloud.place import Cloud
from pipeline.errors import AuthError, ConfigError, EngineError, GeeSmapError
from pipeline.settings import Settings


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (RefreshError("invalid_grant: Token has been expired or revoked."), AuthError, "gee-smap auth"),
        (TransportError("oauth2.googleapis.com: no route"), EngineError, "does not answer"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), EngineError, "does not answer"),
        (ConnectionResetError("reset by peer"), EngineError, "does not answer"),
        (ee.EEException("Image.load: Image asset 'a/b' not found (does not exist or caller does not have "
                        "access)."), ConfigError, "a/b does not exist"),
        (ee.EEException("Image.select: no such band."), EngineError, "answers: Image.select: no such band."),
    ],
)  # fmt: skip
def test_whatever_the_client_raises_becomes_an_error_that_tells(
    error: Exception, kind: type[GeeSmapError], told: str
) -> None:
    def request() -> None:
        raise error

    with pytest.raises(kind, match=told):
        answered(request)


def test_a_folder_that_somebody_else_makes_at_the_same_time_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = set()

    def create(name: str) -> None:
        there.add(name)  # by the other, a moment before
        raise ee.EEException(f"Cannot overwrite asset '{name}'.")

    monkeypatch.setattr(assets, "find", lambda name: name if name in there else None)
    monkeypatch.setattr(assets, "create_folder", create)
    settings = Settings(assets="projects/p/assets/sm", bucket="b")
    cloud = Cloud(Connection("local", None, "p"), settings)
    assert cloud.checkpoints() == f"projects/p/assets/sm/{place.CHECKPOINTS}"
    assert there == {"projects/p/assets/sm", "projects/p/assets/sm/checkpoints"}


def test_a_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str) -> None:
        raise ee.EEException("Asset names hold letters, digits, - and _.")

    monkeypatch.setattr(assets, "find", lambda name: None)
    monkeypatch.setattr(assets, "create_folder", create)
    cloud = Cloud(Connection("local", None, "p"), Settings(assets="projects/p/assets/sm", bucket="b"))
    with pytest.raises(EngineError, match="Asset names hold"):
        cloud.checkpoints()
