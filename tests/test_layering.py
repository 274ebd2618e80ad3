"""The layering holds: pipeline -> gee, models; neither of these imports the other nor pipeline."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gee", "models", "pipeline")
ALLOWED = {"gee": {"gee"}, "models": {"models"}, "pipeline": set(PACKAGES)}
TERMINAL = {"typer", "rich", "matplotlib"}
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(source: str) -> set[str]:
    """Every module a source imports, anywhere in it, absolute."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer they reach into"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(module: Path, source: str) -> set[str]:
    """What ``source``, standing at ``module``, imports against the layering."""
    parts = module.relative_to(ROOT).with_suffix("").parts
    roots = {name.partition(".")[0] for name in imported(source)}
    found = roots & set(PACKAGES) - ALLOWED[parts[0]]
    if parts[0] != "pipeline":
        found |= roots & TERMINAL
    if parts[0] == "gee" and parts[1] not in ("local", "connection"):
        found |= {name for name in imported(source) if name.startswith("gee.local")}
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(module: Path) -> None:
    assert violations(module, module.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("module", "source", "against"),
    [
        ("models/stack.py", "import pipeline.errors", {"pipeline"}),
        ("models/stack.py", "def f():\n    from gee import layers", {"gee"}),
        ("models/stack.py", "import matplotlib.pyplot", {"matplotlib"}),
        ("gee/layers.py", "from models.store import load", {"models"}),
        ("gee/layers.py", "from gee.local import server", {"gee.local", "gee.local.server"}),
        ("gee/connection.py", "from gee.local import server", set()),
        ("pipeline/run.py", "import gee.layers, models.store, rich", set()),
    ],
)
def test_the_check_sees_what_it_must(module: str, source: str, against: set[str]) -> None:
    assert violations(ROOT / module, source) == against


def test_every_package_is_checked() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(PACKAGES)
