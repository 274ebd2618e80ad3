"""Reading the machine's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import Settings


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """An empty working folder and no settings in the environment."""
    for name in [*os.environ]:
        if name.startswith("GEE_SMAP_") or name == "GOOGLE_APPLICATION_CREDENTIALS":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_settings_come_from_the_environment_then_from_dotenv(bare, tmp_path):
    assert Settings.load().engine == "local"
    assert Settings.load().project is None
    lines = ["GEE_SMAP_PROJECT=file", "GEE_SMAP_BUCKET=bucket", "GEE_SMAP_ASSETS=", "OTHER=1"]
    (tmp_path / ".env").write_text("\n".join([*lines, "GOOGLE_APPLICATION_CREDENTIALS=/keys/secret.json"]))
    bare.setenv("GEE_SMAP_PROJECT", "environment")
    bare.setenv("GEE_SMAP_ENGINE", "google")
    settings = Settings.load()
    assert (settings.project, settings.bucket, settings.assets) == ("environment", "bucket", None)
    assert (settings.engine, settings.credentials) == ("google", Path("/keys/secret.json"))
    assert "secret" not in f"{settings!r} {settings}"


def test_a_wrong_setting_is_named_with_what_is_allowed(bare):
    bare.setenv("GEE_SMAP_ENGINE", "googel")
    with pytest.raises(ConfigError, match="GEE_SMAP_ENGINE is 'googel'; allowed: google or local"):
        Settings.load()


def test_the_example_settings_name_every_setting(bare, tmp_path):
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    names = {line.split("=")[0] for line in example.splitlines() if line and not line.startswith("#")}
    assert names == {f"GEE_SMAP_{name}" for name in ("ENGINE", "PROJECT", "BUCKET", "ASSETS")} | {
        "GOOGLE_APPLICATION_CREDENTIALS"
    }
    (tmp_path / ".env").write_text(example)
    assert Settings.load() == Settings()
