"""Service accounts of one's own, used through google-auth as any client does."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from google.auth import crypt, jwt
from google.oauth2 import service_account

from gee.local.assets.accounts import ANONYMOUS_BEARER, DOMAIN, Accounts
from gee.local.assets.database import Database
from gee.local.assets.iam import LOCAL_USER, Identity
from gee.local.errors import EngineError

TOKEN_URI = "http://127.0.0.1:8085/token"  # noqa: S105


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite")
    yield database
    database.close()


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return Accounts(Database(tmp_path_factory.mktemp("other") / "state.sqlite")).mint("mallory", TOKEN_URI)


def sign(key: dict[str, str], **claims: Any) -> str:
    now = int(time.time())
    payload = {"iss": key["client_email"], "aud": TOKEN_URI, "iat": now, "exp": now + 3600} | claims
    signer = crypt.RSASigner.from_string(key["private_key"], key["private_key_id"])
    return jwt.encode(signer, payload).decode()


def test_google_auth_gets_a_token_with_the_key_file_and_is_recognised(accounts: Accounts) -> None:
    key = accounts.mint("alice", TOKEN_URI)
    credentials = service_account.Credentials.from_service_account_info(key, scopes=["x"])
    sent: dict[str, Any] = {}

    def request(url: str, method: str, body: bytes, **_: Any) -> Any:
        sent.update(url=url, form=parse_qs(body.decode()))
        token = accounts.exchange(sent["form"]["assertion"][0])
        return type(
            "Answer", (), {"status": 200, "headers": {}, "data": json.dumps(token.to_json()).encode()}
        )

    credentials.refresh(request)
    headers: dict[str, str] = {}
    credentials.apply(headers)
    assert sent["url"] == TOKEN_URI
    assert accounts.identify(headers["authorization"]) == Identity("serviceAccount", f"alice@{DOMAIN}")


@pytest.mark.parametrize("header", [None, "", f"Bearer {ANONYMOUS_BEARER}"])
def test_without_a_credential_one_is_the_local_user(accounts: Accounts, header: str | None) -> None:
    assert accounts.identify(header) == LOCAL_USER


@pytest.mark.parametrize("header", ["Bearer x", "Bearer ", "Bearer", "Basic YTpi", "local.abc"])
def test_an_unknown_credential_is_refused(accounts: Accounts, header: str) -> None:
    with pytest.raises(EngineError) as refusal:
        accounts.identify(header)
    assert refusal.value.status == "UNAUTHENTICATED"


def test_a_token_expires(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    token = accounts.exchange(sign(accounts.mint("alice", TOKEN_URI))).token
    accounts.identify(f"Bearer {token}")
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(EngineError, match="invalid authentication"):
        accounts.identify(f"Bearer {token}")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "http://127.0.0.1:9999/token"},
        {"exp": int(time.time()) - 60},
        {"iat": int(time.time()) + 600, "exp": int(time.time()) + 1200},
        {"exp": int(time.time()) + 90_000},
        {"exp": "soon"},
        {"iss": f"bob@{DOMAIN}"},
        {"sub": "local@localhost"},
    ],
)
def test_an_assertion_that_claims_too_much_is_refused(accounts: Accounts, claims: dict[str, Any]) -> None:
    key = accounts.mint("alice", TOKEN_URI)
    with pytest.raises(EngineError) as refusal:
        accounts.exchange(sign(key, **claims))
    assert refusal.value.status == "UNAUTHENTICATED"


def test_another_key_signs_for_nobody(accounts: Accounts, other_key: dict[str, str]) -> None:
    key = accounts.mint("alice", TOKEN_URI)
    forged = {**other_key, "private_key_id": key["private_key_id"], "client_email": key["client_email"]}
    unsigned = sign(key).split(".")
    none = "eyJhbGciOiJub25lIiwia2lkIjoi" + "." + unsigned[1] + "."
    for assertion in (sign(other_key), sign(forged), none, "", "a.b.c", ".".join([*unsigned[:2], "AAAA"])):
        with pytest.raises(EngineError):
            accounts.exchange(assertion)


def test_neither_private_key_nor_token_is_kept(accounts: Accounts, database: Database) -> None:
    key = accounts.mint("alice", TOKEN_URI)
    token = accounts.exchange(sign(key)).token
    with sqlite3.connect(database.path) as connection:
        dump = "\n".join(connection.iterdump())
    assert "BEGIN PUBLIC KEY" in dump
    assert "PRIVATE KEY" not in dump
    assert token not in dump


@pytest.mark.parametrize("name", ["", "Alice", "a b", "1a", "x" * 31, "a-", "../a", "a@b"])
def test_a_wrong_name_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(EngineError, match="Invalid account name"):
        accounts.mint(name, TOKEN_URI)
