"""Where requests go, and whose they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from gee import connection
from gee.connection import KEY_FILE_SETTING, connect
from gee.errors import CredentialsError, EngineUnavailableError, SettingError

SERVICE_ACCOUNT = {"type": "service_account", "client_email": "a@b.example", "private_key": "x"}


def key_file(folder: Path, token_uri: str) -> Path:
    path = folder / "key.json"
    path.write_text(json.dumps({**SERVICE_ACCOUNT, "token_uri": token_uri}), encoding="utf-8")
    return path


def script(code: str, **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name != KEY_FILE_SETTING}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_local_engine_starts_when_none_runs_and_ends_with_the_process(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import ee
from gee.connection import connect
first = connect("local", state=Path({str(tmp_path)!r}))
print(ee.Number(1).add(1).getInfo(), first.engine, first.project)
second = connect("local", "another-project", state=Path({str(tmp_path)!r}))
print(second.url == first.url, second.storage_endpoint == first.storage_endpoint, second.project)
print(first.url)
"""
    first, second, url = script(code)
    assert first == "2 local my-project"
    assert second == "True True another-project"
    with pytest.raises(EngineUnavailableError, match="No Earth Engine answers"):
        connect(url, "my-project")


def test_an_account_of_its_own_is_taken_from_the_setting(tmp_path: Path) -> None:
    code = f"""
import json
from pathlib import Path
import ee
from gee import connection
state = Path({str(tmp_path)!r})
connection.connect("local", state=state)
print(ee.data._get_state().credentials.__class__.__name__)
key = state / "key.json"
key.write_text(json.dumps(connection.local_account("bob-tester", state)))
import os
os.environ[{KEY_FILE_SETTING!r}] = str(key)
connection.connect("local", "bob-tester", state=state)
print(ee.data._get_state().credentials.service_account_email, ee.Number(1).getInfo())
"""
    assert script(code) == ["AnonymousCredentials", "bob-tester@local.iam.gserviceaccount.com 1"]


def test_nothing_waits_for_the_clients_own_catalogue(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import urllib.request
asked = []
original = urllib.request.urlopen
def urlopen(url, *more, **options):
    asked.append(getattr(url, "full_url", url))
    return original(url, *more, **options)
urllib.request.urlopen = urlopen
from gee.connection import connect
connect("local", state=Path({str(tmp_path)!r}))
print([url for url in asked if "127.0.0.1" not in url])
"""
    assert script(code) == ["[]"]


@pytest.mark.parametrize("engine", ["lokal", "", "ftp://example.com", "127.0.0.1:8085"])
def test_an_engine_that_is_none_is_a_wrong_setting(engine: str) -> None:
    with pytest.raises(SettingError, match="none of 'local', 'google' and a URL"):
        connect(engine)


@pytest.mark.parametrize(
    ("engine", "token_uri", "belongs"),
    [
        ("google", "http://127.0.0.1:8085/token", "a local engine"),
        ("http://127.0.0.1:9", "https://oauth2.googleapis.com/token", "Google"),
    ],
)
def test_a_key_never_goes_to_an_engine_it_does_not_belong_to(
    tmp_path: Path, engine: str, token_uri: str, belongs: str
) -> None:
    with pytest.raises(CredentialsError, match=f"belongs to {belongs}"):
        connect(engine, "my-project", key_file(tmp_path, token_uri))


def test_real_credentials_of_the_setting_are_not_sent_to_a_local_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_FILE_SETTING, str(key_file(tmp_path, "https://oauth2.googleapis.com/token")))
    assert isinstance(connection._credentials(None, on_loopback=True), AnonymousCredentials)


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"type": "service_account"}'])
def test_a_key_file_that_cannot_be_used_is_told_by_its_path(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(CredentialsError, match=r"broken\.json"):
        connect("google", "my-project", path)


def test_without_stored_credentials_the_command_to_type_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ee
    from google.auth.exceptions import DefaultCredentialsError

    def none(*_: Any, **__: Any) -> None:
        raise DefaultCredentialsError("no credentials")

    monkeypatch.delenv(KEY_FILE_SETTING, raising=False)
    monkeypatch.setattr(ee.data, "get_persistent_credentials", none)
    monkeypatch.setattr(ee.deprecation, "_FetchDataCatalogStac", dict)
    with pytest.raises(CredentialsError, match="earthengine authenticate"):
        connect("google", "my-project")
