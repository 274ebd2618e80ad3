"""The ``earthengine`` command, unmodified, against the local engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gee.local.rest.process import Child

Command = Callable[..., str]


@pytest.fixture(scope="module")
def earthengine(server: Child, key_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    config = tmp_path_factory.mktemp("config") / "config.json"
    config.write_text(json.dumps({"url": server.address.url, "project": "alice-tester"}), encoding="utf-8")
    program = Path(sys.executable).with_name("earthengine")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, "--service_account_file", key_file, *arguments],
            env={**os.environ, "EE_CONFIG_FILE": str(config)},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_a_folder_is_created_shown_shared_and_removed(earthengine: Command) -> None:
    folder = "projects/alice-tester/assets/fields"
    earthengine("create", "folder", folder)
    assert folder in earthengine("ls", "projects/alice-tester/assets")
    assert json.loads(earthengine("asset", "info", folder))["type"] == "FOLDER"
    earthengine("acl", "set", "public", folder)
    assert json.loads(earthengine("acl", "get", folder))["all_users_can_read"] is True
    earthengine("rm", folder)
    assert folder not in earthengine("ls", "projects/alice-tester/assets")


def test_the_tasks_of_the_project_are_listed(earthengine: Command) -> None:
    assert earthengine("task", "list").strip() == ""
