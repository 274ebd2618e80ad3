"""The map page in a real browser: what a reader does, and that what is shown is what was written."""

from __future__ import annotations

import datetime as dt
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from PIL import Image
from pyproj import Transformer

from tests.browser.conftest import NARROW, WIDE, Window
from tests.pipeline import small_map
from tests.pipeline.small_map import DAYS, NAMES, START, STATIONS, SmallMap

Open = Callable[..., Window]
Place = tuple[int, int]
"""Column and row of a pixel."""
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
KINDS = pytest.mark.parametrize("kind", ["embedded", "beside"])
FINE = small_map.fine()
LAND: Place = (25, 22)  # of the first partition
COLOUR_STEPS = 8  # of 255: viridis is drawn from 17 stops, and a value within its half step


@pytest.fixture
def page_of(request: pytest.FixtureRequest, kind: str) -> Path:
    found: Path = request.getfixturevalue(kind)
    return found


def day_of(number: int) -> str:
    return (START + dt.timedelta(days=number)).isoformat()


def shown(page: Any, number: int) -> None:
    """Wait until a day is on the map."""
    page.wait_for_selector(f'#map[data-day="{day_of(number)}"][aria-busy="false"]')


def go(page: Any, number: int) -> None:
    """Move the slider as a hand does, and wait for the map."""
    page.locator("#day").fill(str(number))
    shown(page, number)


def mode(page: Any, name: str) -> None:
    page.locator("#modes span", has_text=re.compile(f"^{name}$")).click()


def box_of(page: Any) -> dict[str, float]:
    page.evaluate("scrollTo(0, 0)")
    found: dict[str, float] = page.locator("#map").bounding_box()
    return found


def chosen(page: Any) -> Place:
    """Column and row of the chosen pixel, by the metres that the page tells."""
    title = page.locator("#place").get_attribute("title")
    east, north = (float(number) for number in re.findall(r"[EN] (-?\d+) m", title))
    column, row = (east - small_map.LEFT) / 1000 - 0.5, (small_map.TOP - north) / 1000 - 0.5
    assert column == int(column) and row == int(row)
    return int(column), int(row)


def scale_km(page: Any) -> float:
    """Kilometres to a CSS pixel, by the scale bar."""
    length, unit = page.locator("#scalebar").text_content().split()
    width = page.locator("#scalebar").evaluate("bar => parseFloat(bar.style.width)")
    return float(length) / width * {"km": 1, "m": 0.001}[unit]


def settled(page: Any) -> None:
    """Wait until what was done has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def reached(page: Any, place: Place) -> None:
    """Wait until the values are those of a pixel."""
    for _ in range(100):
        if chosen(page) == place:
            return
        settled(page)
    assert chosen(page) == place


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a place told in pixels is in the window while all of the region is shown, centred."""
    inside = np.argwhere(small_map.region())
    middle = (inside.min(axis=0) + inside.max(axis=0) + 1) / 2
    box, step = box_of(page), 1 / scale_km(page)
    return (
        box["x"] + box["width"] / 2 + (x - middle[1]) * step,
        box["y"] + box["height"] / 2 + (y - middle[0]) * step,
    )


def choose(page: Any, place: Place) -> None:
    """Click a pixel while all of the region is shown."""
    page.mouse.click(*spot(page, place[0] + 0.5, place[1] + 0.5))
    page.wait_for_selector("#values:not([hidden])")
    reached(page, place)


def value(page: Any, name: str) -> str:
    text: str = page.locator(f"#{name}-value").text_content()
    return text


def written(thousandths: int) -> str:
    return "no value" if thousandths < 0 else f"{thousandths / 1000:.3f}"


def colour_at(page: Any, left: float, top: float) -> tuple[int, ...]:
    """Red, green and blue on the screen, in CSS pixels of the window."""
    settled(page)
    clip = {"x": int(left), "y": int(top), "width": 1, "height": 1}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return tuple(int(part) for part in np.asarray(picture)[0, 0])


def expected_colour(page: Any, thousandths: int) -> tuple[float, ...]:
    """Of the legend's ends and viridis, wet is dark."""
    label = page.locator("#legend .bar").get_attribute("aria-label")
    low, high = (float(number) for number in re.findall(r"\d\.\d\d", label))
    share = np.clip((thousandths / 1000 - low) / (high - low), 0, 1)
    return tuple(255 * part for part in mpl.colormaps["viridis_r"](share)[:3])


def cell_under(place: Place) -> tuple[int, int]:
    """Row and column of the only cell that is nearest to a pixel."""
    distances = {
        cell: np.hypot(*np.subtract(small_map.cell_centre(*cell), np.add(place, 0.5)))
        for cell in small_map.cell_places()
    }
    first, second = sorted(distances, key=lambda cell: distances[cell])[:2]
    assert distances[second] - distances[first] > 0.01
    return first


@pytest.mark.parametrize(("kind", "size"), [("embedded", WIDE), ("beside", NARROW)])
def test_the_slider_moves_date_values_and_colours(opened: Open, page_of: Path, size: tuple[int, int]) -> None:
    page = opened(page_of, size).page
    shown(page, 0)
    mode(page, "1 km")
    column, row = LAND
    at = spot(page, column + 0.5, row + 0.5)
    colours = {}
    for number in (0, 7, 3, DAYS - 1):
        go(page, number)
        assert page.locator("#date").text_content() == day_of(number)
        colours[number] = colour_at(page, *at)
        expected = expected_colour(page, FINE[number, row, column])
        assert colours[number] == pytest.approx(expected, abs=COLOUR_STEPS)
    assert len(set(colours.values())) == 4
    choose(page, LAND)
    for number in (5, 11, 0):
        go(page, number)
        assert value(page, "fine") == written(FINE[number, row, column])
        assert value(page, "coarse") == written(small_map.coarse(number, *cell_under(LAND)))


def test_pixels_tell_what_was_written(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    gap_day, *gap = small_map.GAP
    corners = [(3, 24), (56, 24), (30, 3), (30, 46)]  # where the region ends
    for place in [LAND, *corners, (gap[1], gap[0]), (38, 35), (22, 11)]:  # and in the lake and the hole
        choose(page, place)
        column, row = place
        for number in (gap_day, 0):
            go(page, number)
            told = "water" if small_map.water()[row, column] else written(FINE[number, row, column])
            assert value(page, "fine") == told
            assert value(page, "coarse") == written(small_map.coarse(number, *cell_under(place)))
        lon, lat = small_map.lon_lat(column + 0.5, row + 0.5)
        where = page.locator("#place").text_content()
        degrees = [float(number) for number in re.findall(r"(\d+\.\d+)°", where)]
        assert degrees == pytest.approx([lat, lon], abs=1e-4)
        assert where.endswith(NAMES[0] if column < 30 else NAMES[1])


@KINDS
def test_the_series_is_that_of_the_pixel(opened: Open, page_of: Path) -> None:
    window = opened(page_of)
    page = window.page
    shown(page, 0)
    gap_day, row, column = small_map.GAP
    choose(page, (column, row))
    series = FINE[:, row, column]
    cell = [small_map.coarse(day, *cell_under((column, row))) for day in range(DAYS)]
    known = series[series >= 0]
    label = page.locator("#chart").get_attribute("aria-label")
    assert label == (
        f"1 km: {written(known.min())} to {written(known.max())}, mean {known.mean() / 1000:.3f} m³/m³, "
        f"{DAYS - 1} days; SMAP 9 km: {written(min(cell))} to {written(max(cell))}, "
        f"mean {np.mean(cell) / 1000:.3f} m³/m³, {DAYS} days"
    )
    path = page.locator("#chart .series.fine").get_attribute("d")
    points = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", path), np.float64)
    assert path.count("M") == 2  # before and after the day without a value
    assert len(points) == DAYS - 1
    days = [number for number in range(DAYS) if number != gap_day]
    assert np.corrcoef(points[:, 0], days)[0, 1] == pytest.approx(1, abs=1e-5)
    assert np.corrcoef(points[:, 1], known)[0, 1] == pytest.approx(-1, abs=1e-4)
    if page_of.parent.name.startswith("beside"):  # only what was looked at has been read
        names = {url.rpartition("/")[2] for url in window.requests}
        assert "days-0.js" in names and "days-2.js" not in names
        assert len([name for name in names if name.startswith("series-")]) == 1
    south = (30, 46)  # among the last pixels
    choose(page, south)
    series = FINE[:, south[1], south[0]]
    label = page.locator("#chart").get_attribute("aria-label")
    assert label.startswith(f"1 km: {written(series.min())} to {written(series.max())}, mean")


def test_numbers_beside_the_page_are_read_once(opened: Open, beside: Path) -> None:
    window = opened(beside)
    shown(window.page, 0)
    for number in (DAYS - 1, 0, DAYS - 1, 0):
        go(window.page, number)
    names = [url.rpartition("/")[2] for url in window.requests]
    assert names.count("days-0.js") == names.count("days-2.js") == 1


def test_a_click_in_the_chart_goes_to_its_day(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    choose(page, LAND)
    box = page.locator("#chart").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 10, box["y"] + 30)
    shown(page, DAYS - 1)


def test_a_station_tells_what_it_measured(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    for number, (name, place) in enumerate(STATIONS.items()):
        choose(page, (int(place[0]), int(place[1])))
        for day in (0, 3, 9):
            go(page, day)
            assert page.locator("#station-name").text_content() == name
            assert value(page, "insitu") == written(small_map.insitu(day, number))
    choose(page, LAND)
    assert page.locator(".pixel .of-station").is_hidden()


@SIZES
def test_the_curtain_parts_the_two_maps(opened: Open, embedded: Path, size: tuple[int, int]) -> None:
    page = opened(embedded, size).page
    shown(page, 0)
    page.locator("#show-partitions").uncheck()
    page.locator("#show-stations").uncheck()
    page.locator("#show-graticule").uncheck()
    box, handle = box_of(page), page.locator("#curtain")
    centre = box["x"] + box["width"] / 2
    grip = handle.bounding_box()
    assert grip["x"] + grip["width"] / 2 == pytest.approx(centre, abs=1)
    pixels = [(20, 22), (39, 22)]  # left and right of the middle
    fine = [expected_colour(page, FINE[0, row, column]) for column, row in pixels]
    coarse = [expected_colour(page, small_map.coarse(0, *cell_under(place))) for place in pixels]
    for one, other in zip(fine, coarse, strict=True):
        assert np.abs(np.subtract(one, other)).max() > 3 * COLOUR_STEPS  # the two can be told apart

    def seen(*expected: tuple[float, ...]) -> None:
        for (column, row), colour in zip(pixels, expected, strict=True):
            at = spot(page, column + 0.5, row + 0.5)
            assert (at[0] < centre) == (column == pixels[0][0])
            assert colour_at(page, *at) == pytest.approx(colour, abs=COLOUR_STEPS)

    seen(fine[0], coarse[1])
    mode(page, "1 km")
    assert handle.is_hidden()
    seen(*fine)
    mode(page, "SMAP 9 km")
    seen(*coarse)
    mode(page, "Compare")
    box_of(page)  # scrolls back to the map
    middle, far = box["y"] + box["height"] / 2, box["x"] + 0.9 * box["width"]
    page.mouse.move(centre, middle)
    page.mouse.down()
    page.mouse.move(far, middle, steps=4)
    page.mouse.up()
    seen(*fine)
    assert int(handle.get_attribute("aria-valuenow")) == 90
    handle.focus()
    page.keyboard.press("Home")
    assert handle.get_attribute("aria-valuenow") == "0"
    seen(*coarse)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "3"
    page.keyboard.press("End")
    seen(*fine)


def test_keys_do_what_buttons_do(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    element = page.locator("#map")
    element.focus()
    for key, day in ((".", 1), (".", 2), (",", 1)):
        page.keyboard.press(key)
        shown(page, day)
    page.locator("#day").focus()
    page.keyboard.press("ArrowRight")
    shown(page, 2)
    assert page.locator("#day").get_attribute("aria-valuetext") == day_of(2)
    page.keyboard.press("End")
    shown(page, DAYS - 1)
    assert page.locator("#next").is_disabled()
    page.locator("#previous").press("Enter")
    shown(page, DAYS - 2)

    element.focus()
    modes = []
    for _ in range(3):
        page.keyboard.press("s")
        modes.append(page.locator('input[name="mode"]:checked').get_attribute("value"))
    assert modes == ["coarse", "fine", "both"]
    page.keyboard.press("p")
    assert not page.locator("#show-partitions").is_checked()
    page.keyboard.press("]")
    assert page.locator("#curtain").get_attribute("aria-valuenow") == "52"

    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#values:not([hidden])")
    column, row = chosen(page)
    moves = {
        "ArrowRight": (1, 0),
        "ArrowUp": (0, -1),
        "Shift+ArrowLeft": (-10, 0),
        "Shift+ArrowDown": (0, 10),
    }
    for key, (across, down) in moves.items():
        page.keyboard.press(key)
        column, row = column + across, row + down
        reached(page, (column, row))
    said = page.locator("#said").text_content()
    assert said.startswith(day_of(DAYS - 2)) and f"1 km {written(FINE[DAYS - 2, row, column])}" in said
    page.keyboard.press("Escape")
    assert page.locator("#values").is_hidden()


def under(page: Any, left: float, top: float) -> tuple[float, float]:
    """Latitude and longitude under the pointer, as the page tells them."""
    page.mouse.move(left, top)
    settled(page)
    lat, lon = re.findall(r"(\d+\.\d+)°", page.locator("#pointer").text_content())
    return float(lat), float(lon)


def test_the_mouse_zooms_where_it_points_and_pans(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    box = box_of(page)
    left, top = box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"]
    before, place = scale_km(page), under(page, left, top)
    page.mouse.wheel(0, -600)
    settled(page)
    assert scale_km(page) < before / 2
    assert under(page, left, top) == pytest.approx(place, abs=0.002)
    page.mouse.down()
    page.mouse.move(left + 90, top + 40, steps=5)
    page.mouse.up()
    assert under(page, left + 90, top + 40) == pytest.approx(place, abs=0.002)
    assert page.locator("#values").is_hidden()  # a drag chooses nothing
    page.locator("#zoom-all").click()
    assert scale_km(page) == pytest.approx(before)
    page.locator("#map").press("+")
    page.locator("#zoom-in").click()
    assert scale_km(page) == pytest.approx(before / 1.5**2, rel=0.01)
    for _ in range(9):
        page.locator("#map").press("-")
    assert scale_km(page) == pytest.approx(before)


def test_the_scale_bar_and_the_pointer_agree_with_the_ground(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    box = box_of(page)
    middle = box["y"] + box["height"] / 2
    ends = [under(page, box["x"] + box["width"] / 2 + offset, middle) for offset in (-150, 150)]
    lat = np.radians(ends[0][0])
    kilometres = (ends[1][1] - ends[0][1]) * 111.32 * np.cos(lat)
    assert scale_km(page) * 300 == pytest.approx(kilometres, rel=0.01)


def test_the_arrow_points_to_true_north(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    inside = np.argwhere(small_map.region())
    row, column = (inside.min(axis=0) + inside.max(axis=0) + 1) / 2
    lon, lat = small_map.lon_lat(column, row)
    further = Transformer.from_crs("EPSG:4326", small_map.CRS, always_xy=True).transform(lon, lat + 0.01)
    east = further[0] - small_map.LEFT - 1000 * column
    north = further[1] - small_map.TOP + 1000 * row
    assert east / north > 0.02  # the grid is turned by a degree
    turned = page.locator("#north svg").evaluate("arrow => parseFloat(arrow.style.rotate)")
    assert turned == pytest.approx(np.arctan2(east, north), abs=0.001)


def test_meridians_and_parallels_are_where_they_belong(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    to_metres = Transformer.from_crs("EPSG:4326", small_map.CRS, always_xy=True)

    def seen(lon: float, lat: float) -> tuple[int, ...]:
        x, y = to_metres.transform(lon, lat)
        at = spot(page, (x - small_map.LEFT) / 1000, (small_map.TOP - y) / 1000)
        return colour_at(page, *at)

    plain = seen(114.55, 32.15)  # outside of the region, between lines
    assert seen(114.55, 32.1) != plain  # a parallel
    assert seen(114.5, 32.15) != plain  # a meridian
    page.locator("#show-graticule").uncheck()
    assert {seen(114.55, 32.1), seen(114.5, 32.15)} == {plain}


def test_fingers_tap_pan_and_pinch(opened: Open, embedded: Path) -> None:
    window = opened(embedded, NARROW)
    page = window.page
    shown(page, 0)
    box = box_of(page)
    middle = box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"]
    page.touchscreen.tap(*middle)
    page.wait_for_selector("#values:not([hidden])")
    tapped = chosen(page)
    touches = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = scale_km(page)
    x, y = middle
    touch("touchStart", (x - 20, y), (x + 20, y))
    for spread in (30, 45, 60):
        touch("touchMove", (x - spread, y), (x + spread, y))
    touch("touchEnd")
    settled(page)
    assert before / scale_km(page) == pytest.approx(3, rel=0.2)
    page.touchscreen.tap(*middle)
    settled(page)
    assert np.abs(np.subtract(chosen(page), tapped)).max() <= 1  # what was between the fingers stayed there
    touch("touchStart", (x, y))
    for step in (10, 25, 40):
        touch("touchMove", (x + step, y))
    touch("touchEnd")
    settled(page)
    page.touchscreen.tap(x + 40, y)
    settled(page)
    assert np.abs(np.subtract(chosen(page), tapped)).max() <= 1


@pytest.mark.parametrize(("motion", "pace"), [("no-preference", 450), ("reduce", 1500)])
def test_playing_goes_on_at_the_pace_the_reader_wants(
    opened: Open, embedded: Path, motion: str, pace: int
) -> None:
    page = opened(embedded, reduced_motion=motion).page
    shown(page, 0)
    page.clock.install(time=0)
    page.clock.pause_at(100_000)
    page.locator("#play").click()
    shown(page, 1)
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    assert page.locator("#date").get_attribute("aria-live") == "off"  # nobody can listen at that pace
    page.clock.run_for(pace - 50)
    assert page.locator("#date").text_content() == day_of(1)
    page.clock.run_for(100)
    shown(page, 2)
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-label") == "Play"
    assert page.locator("#date").get_attribute("aria-live") == "polite"
    page.clock.run_for(10 * pace)
    assert page.locator("#date").text_content() == day_of(2)


def test_playing_stops_at_the_last_day_and_begins_anew(opened: Open, beside: Path) -> None:
    page = opened(beside).page
    shown(page, 0)
    go(page, DAYS - 3)
    page.locator("#map").press(" ")
    shown(page, DAYS - 1)
    page.wait_for_selector('#play[aria-label="Play"]')
    page.locator("#play").click()
    shown(page, 0)


def test_the_outline_of_the_partitions_can_be_switched_off(opened: Open, embedded: Path) -> None:
    page = opened(embedded).page
    shown(page, 0)
    mode(page, "1 km")
    page.locator("#show-graticule").uncheck()
    at = spot(page, 30, 28.5)  # on the border between the two
    dark = colour_at(page, *at)
    page.locator("#show-partitions").uncheck()
    plain = colour_at(page, *at)
    assert np.ptp(dark) < 20 < np.ptp(plain)  # grey, and then the colour of the pixel


def test_the_page_says_when_it_is_simulated_and_only_then(
    opened: Open, embedded: Path, tmp_path: Path
) -> None:
    page = opened(embedded).page
    shown(page, 0)
    assert page.locator("#banner").is_visible()
    assert page.locator("#banner").inner_text() == "Simulated: nothing here was observed."
    real = small_map.make(tmp_path / "real", simulated=False)
    shutil.rmtree(tmp_path / "map", ignore_errors=True)
    page = opened(real.page(tmp_path / "map").path).page
    shown(page, 0)
    assert page.locator("#banner").is_hidden()


def test_without_smap_there_is_no_curtain(opened: Open, small: SmallMap, tmp_path: Path) -> None:
    page = opened(small.page(tmp_path, smap=None, stations=None).path).page
    shown(page, 0)
    for name in ("#modes", "#curtain", ".of-stations", "#left-name"):
        assert page.locator(name).first.is_hidden()
    choose(page, LAND)
    assert value(page, "fine") == written(FINE[0, LAND[1], LAND[0]])
    assert page.locator("#coarse-value").is_hidden()


def test_a_single_day_without_partitions(opened: Open, small: SmallMap, tmp_path: Path) -> None:
    shutil.copytree(small.root, tmp_path / "day")
    day = SmallMap(tmp_path / "day", small_map.study(end=START, partitions=()))
    shutil.rmtree(day.prediction)
    with xr.open_zarr(small.prediction, chunks=None, consolidated=False) as store:
        store.isel(time=[0]).drop_encoding().to_zarr(day.prediction, zarr_format=3, consolidated=False)
    page = opened(day.page(tmp_path / "map").path).page
    shown(page, 0)
    assert page.locator("label.of-partitions").is_hidden()
    choose(page, LAND)
    assert value(page, "fine") == written(FINE[0, LAND[1], LAND[0]])
    assert page.locator("#chart .series.fine").get_attribute("d").endswith("h0")
    page.locator("#play").click()
    page.wait_for_selector('#play[aria-label="Play"]')
    shown(page, 0)


def test_a_line_breaks_where_days_are_missing(opened: Open, small: SmallMap, tmp_path: Path) -> None:
    shutil.copytree(small.root, tmp_path / "days")
    some = SmallMap(tmp_path / "days", small.manifest)
    shutil.rmtree(some.prediction)
    with xr.open_zarr(small.prediction, chunks=None, consolidated=False) as store:
        few = store.isel(time=[0, 1, 2, 8, 9]).drop_encoding()
        few.to_zarr(some.prediction, zarr_format=3, consolidated=False)
    page = opened(some.page(tmp_path / "map").path).page
    shown(page, 0)
    choose(page, LAND)
    drawn = page.locator("#chart .series.fine").get_attribute("d")
    assert [len(line.split("L")) for line in drawn.split("M")[1:]] == [3, 2]


def test_years_along_the_axis_stand_apart(opened: Open, small: SmallMap, tmp_path: Path) -> None:
    shutil.copytree(small.root, tmp_path / "years")
    some = SmallMap(tmp_path / "years", small.manifest)
    shutil.rmtree(some.prediction)
    with xr.open_zarr(small.prediction, chunks=None, consolidated=False) as store:
        days = np.array(["2015-06-01", "2019-04-26", "2019-04-27", "2024-06-01"], "datetime64[ns]")
        few = store.isel(time=slice(4)).drop_encoding().assign_coords(time=days)
        few.to_zarr(some.prediction, zarr_format=3, consolidated=False)
    page = opened(some.page(tmp_path / "map", stations=None).path).page
    page.wait_for_selector('#map[data-day="2015-06-01"][aria-busy="false"]')
    choose(page, LAND)
    labels = [
        text for text in page.locator("#chart text").all_text_contents() if re.fullmatch(r"\d{4}", text)
    ]
    assert labels == ["2016", "2018", "2020", "2022", "2024"]


def test_numbers_that_were_not_copied_are_told(opened: Open, beside: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(beside, tmp_path))
    window = opened(alone)
    window.page.wait_for_selector("#alert:not([hidden])")
    text = window.page.locator("#alert").text_content()
    assert "days-0.js is missing: copy the folder map-data-" in text
    assert all("ERR_FILE_NOT_FOUND" in said for said in window.complaints)
    window.complaints.clear()


def copied_without(beside: Path, folder: Path, block: str) -> Path:
    """The page and the files beside it but one."""
    shutil.copytree(beside.parent, folder)
    [lost] = folder.glob(f"map-data-*/{block}.js")
    lost.unlink()
    return folder / beside.name


def test_a_day_that_cannot_be_read_shows_no_other_day(opened: Open, beside: Path, tmp_path: Path) -> None:
    window = opened(copied_without(beside, tmp_path / "map", "days-2"))
    page = window.page
    shown(page, 0)
    mode(page, "1 km")
    page.locator("#show-graticule").uncheck()
    at = spot(page, LAND[0] + 0.5, LAND[1] + 0.5)
    outside = colour_at(page, box_of(page)["x"] + 3, 400)
    assert colour_at(page, *at) != outside
    page.locator("#day").fill(str(DAYS - 1))
    page.wait_for_selector("#alert:not([hidden])")
    assert colour_at(page, *at) == outside
    go(page, 1)
    assert page.locator("#alert").is_hidden()
    assert colour_at(page, *at) == pytest.approx(
        expected_colour(page, FINE[1, LAND[1], LAND[0]]), abs=COLOUR_STEPS
    )
    assert all("ERR_FILE_NOT_FOUND" in said for said in window.complaints)
    window.complaints.clear()


def test_a_pixel_that_cannot_be_read_shows_no_other_pixel(opened: Open, beside: Path, tmp_path: Path) -> None:
    window = opened(copied_without(beside, tmp_path / "map", "series-0"))
    page = window.page
    shown(page, 0)
    choose(page, (30, 46))  # among the last pixels
    page.mouse.click(*spot(page, 30.5, 3.5))  # among the first ones
    page.wait_for_selector("#alert:not([hidden])")
    assert "series-0.js is missing" in page.locator("#alert").text_content()
    assert page.locator("#values").is_hidden()
    assert page.locator("#place").text_content() == ""
    assert all("ERR_FILE_NOT_FOUND" in said for said in window.complaints)
    window.complaints.clear()


def test_nothing_is_wider_than_the_window(opened: Open, embedded: Path) -> None:
    page = opened(embedded, (360, 700)).page
    shown(page, 0)
    choose(page, LAND)
    for width in (360, 390, 600, 820, 821, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = box_of(page)
        assert box["width"] == width if width <= 820 else box["width"] > 0.55 * width
        for name in ("#day", "#play", "#date", "#zoom-in"):
            found = page.locator(name).bounding_box()
            assert found["x"] >= 0 and found["x"] + found["width"] <= width


def test_all_that_can_be_operated_is_reached_by_tab_has_a_name_and_shows_its_focus(
    opened: Open, embedded: Path
) -> None:
    page = opened(embedded).page
    shown(page, 0)
    script = """() => {
      const element = document.activeElement;
      const shown = element.name === "mode" ? element.nextElementSibling
        : element.id === "curtain" ? element.firstElementChild : element;
      const style = getComputedStyle(shown);
      const label = element.closest("label") ?? element;
      const name = element.getAttribute("aria-label") ?? label.textContent;
      const key = element.id || element.tagName + element.value;
      return [key, name.trim(), style.outlineStyle, style.outlineWidth];
    }"""
    reached = {}
    for _ in range(25):
        page.keyboard.press("Tab")
        key, name, outline, width = page.evaluate(script)
        if key in reached or key.startswith("BODY"):
            break
        reached[key] = name
        assert name, key
        assert (outline, width) == ("solid", "3px"), key
    assert reached.keys() >= {
        "map", "curtain", "zoom-in", "zoom-out", "zoom-all", "play", "next", "day", "show-partitions",
        "show-stations", "show-graticule", "INPUTboth",
    }  # fmt: skip


def test_dark_readers_get_a_dark_map_with_the_same_colours(opened: Open, embedded: Path) -> None:
    pages = {scheme: opened(embedded, color_scheme=scheme).page for scheme in ("light", "dark")}
    for page in pages.values():
        shown(page, 0)
        mode(page, "1 km")
    corner = {scheme: colour_at(page, 3, 400) for scheme, page in pages.items()}
    assert min(corner["light"]) > 200 and max(corner["dark"]) < 60
    place = spot(pages["dark"], LAND[0] + 0.5, LAND[1] + 0.5)
    assert colour_at(pages["dark"], *place) == colour_at(pages["light"], *place)


def test_readers_of_forced_colours_see_the_legend_and_which_map_is_shown(
    opened: Open, embedded: Path
) -> None:
    page = opened(embedded, forced_colors="active").page
    shown(page, 0)
    mode(page, "1 km")
    look = "element => getComputedStyle(element)"
    bar = page.locator("#legend .bar").bounding_box()
    across = [colour_at(page, bar["x"] + part * bar["width"], bar["y"] + 8) for part in (0.2, 0.5, 0.8)]
    assert len(set(across)) == 3
    missing, water = (page.locator(f"#legend i.{name}") for name in ("missing", "water"))
    assert missing.evaluate(look + ".backgroundColor") != water.evaluate(look + ".backgroundColor")
    shown_now = page.locator('#modes input[value="fine"] + span')
    assert shown_now.evaluate(look + ".outlineStyle") == "solid"
    assert page.locator('#modes input[value="both"] + span').evaluate(look + ".outlineStyle") == "none"
