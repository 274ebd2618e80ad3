"""The notebooks, executed from top to bottom on the local engine, in one folder as a user would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from gee.local.rest.process import Child

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
CELL_SECONDS = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they are executed: the third goes on with what the second has made."""
    return tmp_path_factory.mktemp("notebooks")


def outputs(notebook: Any) -> tuple[str, int]:
    """All text that the cells printed, and the number of pictures."""
    texts, pictures = [], 0
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            texts.append(output.get("text", "") + output.get("data", {}).get("text/plain", ""))
            pictures += "image/png" in output.get("data", {})
    return "\n".join(texts), pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, folder: Path, server: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEE_SMAP_ENGINE", "local")
    monkeypatch.setenv("GEE_SMAP_LOCAL_STATE", server.address.state)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "a notebook is kept without its outputs"
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(folder)}}, kernel_name="python3"
    )
    client.execute()
    text, pictures = outputs(notebook)
    assert pictures >= 1
    if path.stem.startswith("03"):
        assert text.index("refused:") < text.index("4 images") < text.index("refused again:")
