"""The map page's files: their numbers are those of the stores, and nothing is written twice or by halves."""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray
from pyproj import Transformer

from gee.layers import SOIL_MOISTURE
from pipeline.errors import DataError
from pipeline.pages.map_page import RECORD, page_script
from tests.pipeline import small_map
from tests.pipeline.small_map import DAYS, HEIGHT, WIDTH, SmallMap

PAGES = Path(__file__).resolve().parents[3] / "pipeline" / "pages" / "map"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallMap:
    return small_map.make(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def page(small: SmallMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.page(tmp_path_factory.mktemp("map")).path


def decoded(text: str, columns: int) -> NDArray[np.int64]:
    """A block's codes: sums down the columns of numbers whose lowest bit is the sign."""
    raw = zlib.decompress(base64.b64decode(text))
    half = len(raw) // 2
    folded = [low + 256 * high for low, high in zip(raw[:half], raw[half:], strict=True)]
    changes = np.array([-(number + 1) // 2 if number % 2 else number // 2 for number in folded])
    return changes.reshape(-1, columns).cumsum(axis=0) % 65536


def texts(page: Path) -> dict[str, str]:
    """The blocks of a page and of the files beside it."""
    html = page.read_text(encoding="utf-8")
    found = dict(re.findall(r'<script type="text/plain" data-block="([\w-]+)">([^<]*)</script>', html))
    for path in page.parent.glob("map-data-*/*.js"):
        [(name, text)] = re.findall(r'^geeSmapBlock\("([\w-]+)","([^"]*)"\);\n$', path.read_text("ascii"))
        assert name == path.stem
        found[name] = text
    return found


def told(page: Path) -> dict[str, Any]:
    """What the page knows of its study."""
    html = page.read_text(encoding="utf-8")
    [text] = re.findall(r'<script type="application/json" id="study">(.*?)</script>', html)
    found: dict[str, Any] = json.loads(text)
    return found


def thousandths(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes as thousandths, -1 for none: the first code stands for -0.1 m³/m³."""
    return np.where(codes == 0, -1, codes - 101)


def on_grid(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Values of the mapped pixels, row after row, put back."""
    grid = np.full((len(values), HEIGHT, WIDTH), -1)
    grid[:, small_map.mapped()] = values
    return grid


def test_the_numbers_in_the_page_are_those_of_the_prediction(page: Path) -> None:
    pixels = int(small_map.mapped().sum())
    found = on_grid(thousandths(decoded(texts(page)["days-0"], pixels)))
    np.testing.assert_array_equal(found, small_map.fine())


def test_numbers_beside_the_page_are_the_same_cut_by_days_and_by_pixels(
    small: SmallMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_map.cut_small(monkeypatch)
    made = small.page(tmp_path, embed_bytes=0)
    pixels, blocks = int(small_map.mapped().sum()), texts(made.path)
    by_day = [decoded(blocks[f"days-{number}"], pixels) for number in range(3)]
    assert [len(block) for block in by_day] == [4, 4, 4]
    np.testing.assert_array_equal(on_grid(thousandths(np.concatenate(by_day))), small_map.fine())
    widths = [700] * (pixels // 700) + [pixels % 700]
    by_pixel = [decoded(blocks[f"series-{number}"], width) for number, width in enumerate(widths)]
    np.testing.assert_array_equal(on_grid(thousandths(np.concatenate(by_pixel, axis=1))), small_map.fine())
    assert {path.name for path in made.files} == {
        "map.html", *(f"days-{n}.js" for n in range(3)), *(f"series-{n}.js" for n in range(len(widths))),
    }  # fmt: skip
    assert made.size == sum(path.stat().st_size for path in made.files)


def test_values_off_the_step_come_out_within_half_of_it(small: SmallMap, tmp_path: Path) -> None:
    other = small_map.SmallMap(tmp_path / "other", small.manifest)
    shutil.copytree(small.root, other.root)
    values = np.random.default_rng(0).uniform(-0.02, 0.9, (DAYS, HEIGHT, WIDTH)).astype(np.float32)
    values[:, ~small_map.mapped()] = np.nan
    zarr.open_array(other.prediction / "sm", mode="r+")[...] = values
    page = other.page(tmp_path / "map").path
    codes = decoded(texts(page)["days-0"], int(small_map.mapped().sum()))
    found, expected = (codes - 101) / 1000, values[:, small_map.mapped()]
    assert np.abs(found - expected).max() <= 0.0005 + 1e-7


def test_kinds_and_partitions_of_pixels(page: Path) -> None:
    kinds, parts = (decoded(texts(page)[name], WIDTH) for name in ("kinds", "partitions"))
    expected = np.select([~small_map.region(), small_map.water(), small_map.empty()], [0, 3, 2], default=1)
    np.testing.assert_array_equal(kinds, expected)
    np.testing.assert_array_equal(parts, np.where(small_map.region(), small_map.partitions(), 0))


def test_each_pixel_of_the_region_has_the_nearest_cell(page: Path) -> None:
    cells = decoded(texts(page)["cells"], WIDTH)
    places = small_map.cell_places()
    values = decoded(texts(page)["smap"], len(places))
    names = sorted(f"u{row:03d}-{column:03d}" for row, column in places)
    order = [names.index(f"u{row:03d}-{column:03d}") for row, column in places]
    expected = [[small_map.coarse(day, *place) for place in places] for day in range(DAYS)]
    np.testing.assert_array_equal(thousandths(values)[:, order], expected)
    centres = np.array([small_map.cell_centre(row, column) for row, column in places])
    for row, column in zip(*np.nonzero(small_map.region()), strict=True):
        distances = np.hypot(*(centres - (column + 0.5, row + 0.5)).T)
        if (distances > 13).all():
            assert cells[row, column] == 0
        elif np.sort(distances)[1] - distances.min() > 0.01:  # else two are as near
            assert cells[row, column] == order[int(distances.argmin())] + 1
    assert (cells[~small_map.region()] == 0).all()
    lost = tuple(9 * number + 4 for number in small_map.LOST_CELL)
    assert cells[lost] > 0  # its neighbours fill the place of a cell that the raster does not hold


def test_stations_stand_where_they_are_with_what_they_measured(page: Path) -> None:
    places = {row["name"]: (row["x"], row["y"]) for row in told(page)["stations"]}
    assert places.keys() == small_map.STATIONS.keys()
    for name, place in small_map.STATIONS.items():
        assert places[name] == pytest.approx(place, abs=0.001)
    names = sorted(small_map.STATIONS)
    found = thousandths(decoded(texts(page)["insitu"], len(names)))
    for column, name in enumerate(names):
        number = list(small_map.STATIONS).index(name)
        assert found[:, column].tolist() == [small_map.insitu(day, number) for day in range(DAYS)]


def test_colours_end_on_ticks_around_what_is_common(page: Path) -> None:
    fine = small_map.fine()
    known = [fine[fine >= 0] / 1000]
    for day in range(DAYS):
        cells = [small_map.coarse(day, *place) for place in small_map.cell_places()]
        known.append(np.array([value for value in cells if value >= 0]) / 1000)
    low, high = np.percentile(np.concatenate(known), (1, 99))
    scale = told(page)["scale"]
    assert scale["low"] == pytest.approx(np.floor(low / 0.05) * 0.05)
    assert scale["high"] == pytest.approx(np.ceil(high / 0.05) * 0.05)
    assert scale["stops"] == list(SOIL_MOISTURE.stops)


def test_longitude_and_latitude_between_the_places_the_page_knows(page: Path) -> None:
    grid = told(page)["grid"]
    lattice = grid["lattice"]
    x = np.linspace(0, WIDTH, lattice["columns"])
    y = np.linspace(0, HEIGHT, lattice["rows"])
    places = np.random.default_rng(1).uniform((0, 0), (WIDTH, HEIGHT), (200, 2))
    lon, lat = Transformer.from_crs(grid["crs"], "EPSG:4326", always_xy=True).transform(
        small_map.LEFT + 1000 * places[:, 0], small_map.TOP - 1000 * places[:, 1]
    )
    for name, exact, metres in (("lon", lon, 95_000), ("lat", lat, 111_000)):  # of a degree, at 32 N
        known = xr.DataArray(
            np.reshape(lattice[name], (len(y), len(x))), coords={"y": y, "x": x}, dims=("y", "x")
        )
        between = known.interp(x=("p", places[:, 0]), y=("p", places[:, 1])).to_numpy()
        assert np.abs(between - exact).max() * metres < 5


def test_the_page_names_nothing_outside_of_itself(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' )<]*", html)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", html) == ["data:,"]
    assert "default-src 'none'" in html


def test_what_a_study_is_called_cannot_end_a_script(small: SmallMap, tmp_path: Path) -> None:
    name = "</script><b>&amp; small"
    named = SmallMap(small.root, small_map.study(study=name))
    page = named.page(tmp_path).path
    assert told(page)["study"] == name
    assert page.read_text(encoding="utf-8").count("</script><b>") == 0


@pytest.mark.parametrize("marked", ["nothing", "study", "samples"])
def test_simulated_numbers_are_told_whoever_says_so(small: SmallMap, tmp_path: Path, marked: str) -> None:
    real = small_map.make(tmp_path / "real", simulated=False)
    if marked == "study":
        real = SmallMap(real.root, small_map.study(simulated=True))
    if marked == "samples":
        shutil.copy(small.samples, real.samples)
    made = real.page(tmp_path / "map")
    assert made.simulated == told(made.path)["simulated"] == (marked != "nothing")
    assert ("Simulated" in {note["name"] for note in told(made.path)["notes"]}) == (marked != "nothing")


def test_without_smap_and_stations(small: SmallMap, tmp_path: Path) -> None:
    page = small.page(tmp_path, smap=None, stations=None).path
    assert texts(page).keys() == {"kinds", "partitions", "days-0"}
    assert (told(page)["cells"], told(page)["stations"]) == (0, [])


def test_stations_without_measurements_are_places(small: SmallMap, tmp_path: Path) -> None:
    table = tmp_path / "places.csv"
    pd.read_csv(small.stations)[["station", "lon", "lat"]].drop_duplicates().to_csv(table, index=False)
    page = small.page(tmp_path / "map", stations=table).path
    assert len(told(page)["stations"]) == 2
    assert "insitu" not in texts(page)


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("embed_bytes", [0, 10**9])
def test_a_second_call_does_nothing_and_says_so(small: SmallMap, tmp_path: Path, embed_bytes: int) -> None:
    first = small.page(tmp_path, embed_bytes=embed_bytes)
    before = stamps(tmp_path)
    second = small.page(tmp_path, embed_bytes=embed_bytes)
    assert (first.made, second.made) == (True, False)
    assert stamps(tmp_path) == before
    assert any("nothing was done" in note for note in second.notes())
    assert {**first.as_dict(), "made": False} == second.as_dict()


@pytest.mark.parametrize("embed_bytes", [0, 10**9])
def test_the_same_inputs_make_the_same_bytes(small: SmallMap, tmp_path: Path, embed_bytes: int) -> None:
    pages = [small.page(tmp_path / name, embed_bytes=embed_bytes) for name in ("one", "two")]
    contents = [
        {path.relative_to(page.path.parent): path.read_bytes() for path in page.files} for page in pages
    ]
    assert contents[0] == contents[1]


def damage_page(out: Path) -> None:
    (out / "map.html").write_text("half", encoding="utf-8")


def lose_block(out: Path) -> None:
    next(out.glob("map-data-*/days-0.js")).unlink()


def lose_record(out: Path) -> None:
    (out / RECORD).write_text("{", encoding="utf-8")


@pytest.mark.parametrize("harm", [damage_page, lose_block, lose_record])
def test_what_was_damaged_is_made_again(
    small: SmallMap, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    first = small.page(tmp_path, embed_bytes=0)
    before = {path: path.read_bytes() for path in first.files}
    harm(tmp_path)
    assert small.page(tmp_path, embed_bytes=0).made
    assert {path: path.read_bytes() for path in first.files} == before


def test_another_prediction_replaces_page_and_numbers(small: SmallMap, tmp_path: Path) -> None:
    other = SmallMap(tmp_path / "other", small.manifest)
    shutil.copytree(small.root, other.root)
    out = tmp_path / "map"
    first = other.page(out, embed_bytes=0)
    zarr.open_array(other.prediction / "sm", mode="r+")[2, 25, 25] = 0.777
    second = other.page(out, embed_bytes=0)
    assert second.made
    assert [path for path in first.files if path.exists()] == [second.path]
    day = decoded(texts(second.path)["days-0"], int(small_map.mapped().sum()))[2]
    assert on_grid(thousandths(day[None]))[0, 25, 25] == 777
    assert {path.name for path in out.iterdir()} == {"map.html", RECORD, next(out.glob("map-data-*")).name}


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.pipeline import small_map
small = small_map.SmallMap(Path(sys.argv[1]), small_map.study(study="changed"))
def report(what, share):
    if what == "map: writing":
        os.kill(os.getpid(), signal.SIGKILL)
from pipeline.pages.map_page import write_map
write_map(small.prediction, small.cube, small.manifest, Path(sys.argv[2]), report, embed_bytes=0)
"""


def test_a_killed_run_leaves_the_earlier_page_whole(small: SmallMap, tmp_path: Path) -> None:
    earlier = small.page(tmp_path, embed_bytes=0)
    before = {path: path.read_bytes() for path in earlier.files}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(small.root), str(tmp_path)],
        cwd=Path(__file__).resolve().parents[3], env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in earlier.files} == before
    assert list(tmp_path.glob(".partial-*/codes"))
    assert not small.page(tmp_path, embed_bytes=0).made
    assert not list(tmp_path.glob(".partial-*"))


def test_a_run_that_is_still_at_work_keeps_its_folder(small: SmallMap, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        mine = tmp_path / f".partial-{platform.node()}-{other.pid}-x"
        mine.mkdir()
        small.page(tmp_path)
        assert mine.is_dir()
        other.kill()
    small.page(tmp_path)
    assert not mine.exists()


def test_only_its_own_numbers_are_replaced_beside_a_page(small: SmallMap, tmp_path: Path) -> None:
    mine = tmp_path / "map-data-of-my-thesis" / "years.csv"
    mine.parent.mkdir()
    mine.write_text("of work", encoding="utf-8")
    small.page(tmp_path, embed_bytes=0)
    assert mine.read_text(encoding="utf-8") == "of work"


def percent(small: SmallMap) -> None:
    array = zarr.open_array(small.prediction / "sm", mode="r+")
    array[...] = array[...] * 100


def other_study(small: SmallMap) -> None:
    zarr.open_group(small.prediction, mode="r+").attrs["study_hash"] = "other"


def not_whole(small: SmallMap) -> None:
    zarr.open_group(small.cube, mode="r+").attrs["complete"] = 0


def no_prediction(small: SmallMap) -> None:
    shutil.rmtree(small.prediction)


def no_region(small: SmallMap) -> None:
    shutil.rmtree(small.cube / "region")


def cut_chunk(small: SmallMap) -> None:
    chunk = next(path for path in sorted((small.prediction / "sm" / "c").rglob("*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])


def moved(small: SmallMap) -> None:
    array = zarr.open_array(small.prediction / "x", mode="r+")
    array[...] = array[...] + 1000


def all_missing(small: SmallMap) -> None:
    zarr.open_array(small.prediction / "sm", mode="r+")[...] = np.nan


def no_column(small: SmallMap) -> None:
    pd.read_parquet(small.samples).drop(columns="lon").to_parquet(small.samples)


def other_days(small: SmallMap) -> None:
    table = pd.read_parquet(small.samples)
    table.assign(date=table["date"] + pd.Timedelta(days=400)).to_parquet(small.samples)


def twice(small: SmallMap) -> None:
    table = pd.read_parquet(small.samples)
    pd.concat([table, table.iloc[:1]]).to_parquet(small.samples)


def stations_in_percent(small: SmallMap) -> None:
    table = pd.read_csv(small.stations)
    table.assign(insitu=table["insitu"] * 100).to_csv(small.stations, index=False)


def stations_elsewhere(small: SmallMap) -> None:
    table = pd.read_csv(small.stations)
    table.assign(lon=table["lat"], lat=table["lon"] - 60).to_csv(small.stations, index=False)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (percent, r"prediction\.zarr: sm is .* outside -0\.1\.\.1 m³/m³"),
        (other_study, r"prediction\.zarr: it is of another study \(other"),
        (not_whole, r"cube\.zarr is not whole"),
        (no_prediction, r"prediction\.zarr cannot be read"),
        (no_region, r"region cannot be read"),
        (cut_chunk, r"prediction\.zarr is missing or damaged"),
        (moved, r"prediction\.zarr: its x are not those of the study's grid"),
        (all_missing, r"no pixel of the prediction has a value"),
        (no_column, r"samples\.parquet: no column lon"),
        (other_days, r"samples\.parquet: no cell has soil moisture on 2019-04-26 to 2019-05-07"),
        (twice, r"samples\.parquet: cell, date: 1 of .* rows repeat a cell and day"),
        (stations_in_percent, r"stations\.csv: insitu is 16 to .* outside"),
        (stations_elsewhere, r"stations\.csv: none of 2 stations stands on the map"),
    ],
)
def test_inputs_that_make_no_map_are_told_and_nothing_is_written(
    small: SmallMap, tmp_path: Path, harm: Callable[[SmallMap], None], says: str
) -> None:
    broken = SmallMap(tmp_path / "broken", small.manifest)
    shutil.copytree(small.root, broken.root)
    harm(broken)
    with pytest.raises(DataError, match=says):
        broken.page(tmp_path / "map")
    assert not list((tmp_path / "map").glob("*"))


def test_a_folder_that_cannot_be_made_is_told(small: SmallMap, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="taken: cannot be written"):
        small.page(tmp_path / "taken")


def test_modules_import_what_others_export_and_all_are_in_the_page() -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in PAGES.glob("*.js")}
    exports = {
        name: set(re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", source, re.MULTILINE))
        for name, source in sources.items()
    }
    for name, source in sources.items():
        lines = [line for line in source.splitlines() if line.startswith("import ")]
        for line in lines:
            [(names, module)] = re.findall(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.js";$', line)
            assert set(names.split(", ")) <= exports[module], f"{name}: {line}"
    script = page_script()
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    for name, source in sources.items():
        assert source.splitlines()[0] in script, name


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_controls_have_the_contrast_of_wcag_aa(theme: str) -> None:
    style = (PAGES / "style.css").read_text(encoding="utf-8")
    light, _, rest = style.partition("@media (prefers-color-scheme: dark)")
    pattern = r"--([\w-]+): (#[0-9a-f]{6});"
    colours = dict(re.findall(pattern, light))
    if theme == "dark":
        colours |= dict(re.findall(pattern, rest[: rest.index("\n}\n")]))
    text = [
        ("text", "panel"), ("text", "page"), ("text", "control"), ("soft", "panel"), ("soft", "outside"),
        ("warn", "warn-page"), ("on-accent", "accent"),
    ]  # fmt: skip
    parts = [(name, "panel") for name in ("edge", "accent", "fine", "coarse", "insitu")]
    for pairs, least in ((text, 4.5), (parts, 3.0)):
        assert [pair for pair in pairs if contrast(*(colours[name] for name in pair)) < least] == []
