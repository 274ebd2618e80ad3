"""A real browser, the one that the system has: nothing is downloaded. Without one these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import small_map
from tests.pipeline.small_map import SmallMap

WIDE, NARROW = (1280, 800), (390, 844)


@dataclass
class Window:
    """A window with a page, and what went wrong in it.

    Attributes:
        page: of playwright.
        requests: URLs that were asked for.
        complaints: warnings and errors on the console, and exceptions.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium; its driver's event loop would be in the way of other tests."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Window]]:
    """Opens a file in a new window; at the end nothing may have gone wrong in any of them."""
    windows: list[Window] = []
    contexts = []

    def open_file(path: Path, size: tuple[int, int] = WIDE, **options: Any) -> Window:
        touch = {"has_touch": True, "is_mobile": True} if size[0] < 600 else {}
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **touch, **options)
        contexts.append(context)
        window = Window(context.new_page())
        window.page.set_default_timeout(10_000)
        window.page.on("request", lambda request: window.requests.append(request.url))
        window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
        window.page.on(
            "console",
            lambda said: said.type in ("warning", "error") and window.complaints.append(said.text),
        )
        window.page.goto(path.as_uri())
        windows.append(window)
        return window

    yield open_file
    for context in contexts:
        context.close()
    for window in windows:
        assert window.complaints == []
        assert [url for url in window.requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallMap:
    """A study of known values."""
    return small_map.make(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def embedded(small: SmallMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with the numbers in it."""
    return small.page(tmp_path_factory.mktemp("embedded")).path


@pytest.fixture(scope="session")
def beside(small: SmallMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with the numbers in several files beside it."""
    with pytest.MonkeyPatch.context() as patch:
        small_map.cut_small(patch)
        return small.page(tmp_path_factory.mktemp("beside"), embed_bytes=0).path
