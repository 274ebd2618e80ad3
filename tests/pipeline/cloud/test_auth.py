"""Signing in: what is kept in .env, and what is said when it fails. Nobody signs in to Google from here."""

from __future__ import annotations

from pathlib import Path

import dotenv
import ee
import pytest

from gee.errors import EngineUnavailableError
from pipeline.cloud import auth
from pipeline.settings import Settings


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of this machine, and a folder of the test's own."""
    for name in ("ENGINE", "PROJECT", "BUCKET", "ASSETS"):
        monkeypatch.delenv(f"GEE_SMAP_{name}", raising=False)
    monkeypatch.delenv(Settings.credentials_variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Google's answers, as far as signing in asks for any; what was asked is listed."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(ee, "Authenticate", lambda **options: asked.append(("authenticate", options)))
    monkeypatch.setattr(auth, "connect", lambda *values: asked.append(("connect", *values)))
    return asked


def test_settings_are_kept_and_other_lines_stay(gee_smap, google, tmp_path) -> None:
    (tmp_path / ".env").write_text("# mine\nOTHER=1\nGEE_SMAP_PROJECT=before\n", encoding="utf-8")
    told = gee_smap(
        "auth", "--project", "p", "--bucket", "b", "--assets", "projects/p/assets/x", "--headless"
    )
    assert told.code == 0, told.err
    assert google == [
        ("authenticate", {"auth_mode": "notebook", "force": False}),
        ("connect", "google", "p", None),
    ]
    assert dotenv.dotenv_values(tmp_path / ".env") == {
        "OTHER": "1", "GEE_SMAP_PROJECT": "p", "GEE_SMAP_ENGINE": "google", "GEE_SMAP_BUCKET": "b",
        "GEE_SMAP_ASSETS": "projects/p/assets/x",
    }  # fmt: skip
    assert "# mine" in (tmp_path / ".env").read_text(encoding="utf-8")
    assert "still missing" not in told.out
    settings = Settings.load()
    assert (settings.engine, settings.project, settings.bucket) == ("google", "p", "b")


def test_a_key_takes_the_place_of_a_login_and_what_is_missing_is_said(gee_smap, google, tmp_path) -> None:
    key = tmp_path / "key.json"
    key.write_text("{}", encoding="utf-8")
    told = gee_smap("auth", "--project", "p", "--key", key)
    assert told.code == 0, told.err
    assert google == [("connect", "google", "p", key)]
    assert "still missing for exports: gee-smap auth --bucket ... --assets ..." in told.out
    assert dotenv.dotenv_values(tmp_path / ".env")[Settings.credentials_variable] == str(key)


def test_without_a_project_nothing_is_asked(gee_smap, google, tmp_path) -> None:
    told = gee_smap("auth")
    assert (told.code, google) == (2, [])
    assert "--project NAME" in told.err
    assert not (tmp_path / ".env").exists()


def test_a_login_that_fails_names_the_other_ways(gee_smap, google, monkeypatch, tmp_path) -> None:
    def refuse(**_: object) -> None:
        raise ee.EEException("no browser")

    monkeypatch.setattr(ee, "Authenticate", refuse)
    told = gee_smap("auth", "--project", "p")
    assert told.code == 1
    assert "gee-smap auth --headless" in told.err
    assert "gee-smap auth --key FILE" in told.err
    assert not (tmp_path / ".env").exists()


def test_a_project_that_does_not_answer_is_not_kept(gee_smap, google, monkeypatch, tmp_path) -> None:
    def gone(*_: object) -> None:
        raise EngineUnavailableError("Earth Engine at Google refuses: not registered")

    monkeypatch.setattr(auth, "connect", gone)
    told = gee_smap("auth", "--project", "p")
    assert told.code == 1
    assert "not registered" in told.err
    assert not (tmp_path / ".env").exists()
