"""The report in a real browser: wide and narrow, light and dark, sorted, printed, and without scripts."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from pipeline.reporting.page import ReportPage
from pipeline.reporting.report import write_report
from pipeline.work.workdir import WorkDir

WIDE, NARROW, SMALLEST = (1280, 900), (390, 844), (360, 640)
PAPER = (680, 900)  # as wide as A4 within its margins
RESULTS = ("scores", "ablation", "space", "stations", "rain", "triple", "truth", "explanation")
Open = Callable[..., Any]

CONTRAST = """(selectors) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (value) =>
    value / 255 <= .03928 ? value / 255 / 12.92 : ((value / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(each).backgroundColor);
      layers.push([r, g, b, a]);
      if (a === 1) break;
    }
    return layers.reverse().reduce((below, [r, g, b, a]) =>
      [r, g, b].map((value, n) => a * value + (1 - a) * below[n]), [255, 255, 255]);
  };
  return selectors.map((selector) => {
    const element = document.querySelector(selector);
    const lights = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
    return (Math.max(...lights) + .05) / (Math.min(...lights) + .05);
  });
}"""


@pytest.fixture(scope="module")
def report(reviewed_work: WorkDir) -> ReportPage:
    """The report of a whole study, simulated, with every section that there is."""
    return write_report(reviewed_work, lambda what, share: None)


def cells(page: Any, table: str, column: int) -> list[str]:
    """The texts of a column, from top to bottom."""
    found: list[str] = page.locator(f"#table-{table} tbody tr").evaluate_all(
        "(rows, column) => rows.map((row) => row.cells[column].innerText.trim())", column
    )
    return found


def heading(page: Any, table: str, name: str) -> Any:
    return page.locator(f"#table-{table} thead th").filter(has_text=name).first


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALLEST])
def test_nothing_is_wider_than_the_window_but_what_scrolls_by_itself(report, opened: Open, size):
    page = opened(report.path, size).page
    for each in page.locator("details").all():
        each.evaluate("each => { each.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    beyond = page.locator("body *").evaluate_all(
        """(all, width) => all.filter((each) => !each.closest(".scroll, .picture, .listing, .skip")
          && each.getBoundingClientRect().right > width + 0.5).map((each) => each.outerHTML.slice(0, 80))""",
        size[0],
    )
    assert beyond == []


@pytest.mark.parametrize("size", [WIDE, SMALLEST])
def test_what_scrolls_sideways_is_reached_by_keyboard_and_nothing_else_is(report, opened: Open, size):
    page = opened(report.path, size).page
    stops = page.locator(".scroll, .picture, .listing").evaluate_all(
        """all => all.filter(each => each.checkVisibility())
          .map(each => [each.scrollWidth > each.clientWidth, each.tabIndex === 0])"""
    )
    assert len(stops) > 10
    assert all(scrolls == stop for scrolls, stop in stops)
    assert any(scrolls for scrolls, _ in stops) or size == WIDE


def test_figures_are_drawn_and_none_is_larger_than_its_file(report, opened: Open):
    page = opened(report.path).page
    sizes = page.locator("img").evaluate_all("all => all.map(each => [each.naturalWidth, each.clientWidth])")
    assert len(sizes) == sum(name.endswith(".png") for name in report.files)
    assert all(natural > 600 and 300 < shown <= natural for natural, shown in sizes)


@pytest.mark.parametrize("section", RESULTS)
def test_every_result_is_there_with_tables_that_sort_and_figures_that_are_told(
    report, opened: Open, section: str
):
    part = opened(report.path).page.locator(f"section#{section}")
    assert part.locator(".absent").count() == 0
    rows = part.locator("table").evaluate_all(
        "all => all.map(each => [each.tBodies[0].rows.length, each.querySelectorAll('th button').length])"
    )
    assert rows
    assert all(length > 0 for length, _ in rows)
    assert all(buttons > 0 for length, buttons in rows if length > 1)
    alternatives = part.locator("img").evaluate_all("all => all.map(each => each.alt)")
    captions = part.locator("figcaption").all_inner_texts()
    assert bool(alternatives) == (section != "truth")
    assert all(len(text.split()) > 7 for text in (*alternatives, *captions))


@pytest.mark.parametrize("section", RESULTS)
def test_files_of_figures_lie_beside_the_page(report, opened: Open, section: str):
    links = opened(report.path).page.locator(f"section#{section} figcaption a").all()
    for link in links:
        path = report.path.parent / unquote(str(link.get_attribute("href")))
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            assert "<svg" in path.read_text(encoding="utf-8")
    suffixes = {str(link.get_attribute("href"))[-4:] for link in links}
    assert suffixes == set() if section == "truth" else ".png" in suffixes


def test_a_figure_opens_from_its_link(report, opened: Open):
    page = opened(report.path).page
    page.locator("#figure-rain-composite figcaption a", has_text="SVG").click()
    page.wait_for_url("**/rain-composite.svg")
    assert urlparse(page.url).scheme == "file"


@pytest.mark.parametrize(
    ("table", "key", "name"),
    [
        ("stations-summary", "r", "R"),
        ("rain-change", "median", "Median of events"),
        ("triple-medians", "error", "Error (m³/m³)"),
        ("space-agreement", "rmse", "RMSE (m³/m³)"),
        ("ablation", "rmse", "RMSE (m³/m³)"),
        ("importance", "mean_abs_shap_stack", "Mean |SHAP value| (m³/m³)"),
    ],
)
def test_tables_of_results_sort_by_the_numbers_of_their_files(
    report, opened: Open, table: str, key: str, name: str
):
    page = opened(report.path).page
    with (report.folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        numbers = [float(row[key]) for row in csv.DictReader(file)]
    headings = page.locator(f"#table-{table} thead th").all_inner_texts()
    place = headings.index(name)
    button = page.locator(f"#table-{table} thead th").nth(place).get_by_role("button")
    if numbers == sorted(numbers):
        button.click()
    button.click()
    shown = page.locator(f"#table-{table} tbody tr").evaluate_all(
        "(rows, column) => rows.map((row) => Number(row.cells[column].dataset.order))", place
    )
    assert shown == sorted(numbers, reverse=numbers == sorted(numbers))
    assert shown != numbers


def test_a_heading_sorts_up_down_and_back(report, opened: Open):
    page = opened(report.path).page
    with (report.folder / "scores-pooled.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    original = [f"{row['split']} {row['model']}" for row in rows]
    ordered = [f"{row['split']} {row['model']}" for row in sorted(rows, key=lambda row: float(row["rmse"]))]
    assert ordered != original

    def shown() -> list[str]:
        return [
            " ".join(pair)
            for pair in zip(cells(page, "scores-pooled", 0), cells(page, "scores-pooled", 1), strict=True)
        ]

    rmse = heading(page, "scores-pooled", "RMSE (m³/m³)")
    assert (shown(), rmse.get_attribute("aria-sort")) == (original, "none")
    for state, order in (("ascending", ordered), ("descending", ordered[::-1]), ("none", original)):
        rmse.get_by_role("button").click()
        assert rmse.get_attribute("aria-sort") == state
        assert shown() == order
    assert "in the order of the report" in page.get_by_role("status").inner_text()


def test_one_heading_is_marked_at_a_time_and_keys_do_what_clicks_do(report, opened: Open):
    page = opened(report.path).page
    names, rmse = (heading(page, "scores-pooled", name) for name in ("Model", "RMSE (m³/m³)"))
    rmse.get_by_role("button").press("Enter")
    names.get_by_role("button").press("Space")
    assert [each.get_attribute("aria-sort") for each in (names, rmse)] == ["ascending", "none"]
    found = cells(page, "scores-pooled", 1)
    assert found == sorted(found, key=str.lower)
    assert "Sorted by Model, ascending" in page.get_by_role("status").inner_text()


@pytest.mark.parametrize("presses", [1, 2])
def test_rows_without_a_value_stay_last_in_either_direction(report, opened: Open, presses):
    page = opened(report.path).page
    place = page.locator("#table-truth thead th").all_inner_texts().index("R within cells")
    for _ in range(presses):
        heading(page, "truth", "R within cells").get_by_role("button").press("Enter")
    assert cells(page, "truth", place)[-1] == "–"
    assert [cells(page, "truth", 0)[0]] == (["SMAP bilinear"] if presses == 1 else ["downscaled"])


def test_without_scripts_the_page_is_whole(report, opened: Open):
    with_scripts = opened(report.path).page.locator("main").inner_text()
    page = opened(report.path, java_script_enabled=False).page
    assert page.locator("th button").count() == 0
    assert page.locator("main").inner_text() == with_scripts
    page.get_by_text("The study file").click()
    assert page.get_by_label("study.toml").is_visible()


def test_it_can_be_walked_through_by_keyboard(report, opened: Open):
    page = opened(report.path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the report"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**#short")
    assert page.locator("h1").count() == 1
    assert page.locator("section > h2").count() == page.locator("nav li").count() == 19


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(report, opened: Open, scheme):
    page = opened(report.path, color_scheme=scheme).page
    places = [
        "main p", ".under", ".banner", ".notable", ".promise", ".interval", "thead th", ".shade-3",
        "figcaption", "nav a", ".facts dt", ".listing code",
    ]  # fmt: skip
    contrasts = dict(zip(places, page.evaluate(CONTRAST, places), strict=True))
    assert {place: value for place, value in contrasts.items() if value < 4.5} == {}  # WCAG 2.2, 1.4.3


def test_dark_windows_get_a_dark_page_with_figures_on_white(report, opened: Open):
    page = opened(report.path, color_scheme="dark").page
    colour = "each => getComputedStyle(each).backgroundColor"
    assert page.locator("body").evaluate(colour) == "rgb(20, 23, 26)"
    assert page.locator(".picture").first.evaluate(colour) == "rgb(255, 255, 255)"


def test_paper_gets_everything_and_no_colours_of_the_night(report, opened: Open, tmp_path):
    page = opened(report.path, PAPER, color_scheme="dark").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert (
        page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert page.locator("nav").is_hidden()
    assert page.locator(".banner").is_visible()
    assert page.get_by_label("study.toml").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER[0]
    cut = page.locator("table, img, pre, figcaption, p, dl").evaluate_all(
        """(all, width) => all.filter((each) => each.checkVisibility() && !each.closest(".unseen") &&
          (each.getBoundingClientRect().right > width + .5 || getComputedStyle(each).overflowX === "hidden"))
          .map((each) => each.outerHTML.slice(0, 80))""",
        PAPER[0],
    )
    assert cut == []
    assert page.locator("details table:not(:visible)").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_the_map_is_one_click_away(report, opened: Open):
    page = opened(report.path).page
    page.get_by_text("The map page").click()
    assert page.title() == "the map"
