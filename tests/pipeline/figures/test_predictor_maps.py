"""What is read from a folder of exported files, and how it is drawn; the files are written here."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from matplotlib.figure import Figure
from PIL import Image
from pyproj import Transformer
from rasterio.transform import Affine
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cubes.exported import Day, read_day, read_land
from pipeline.errors import DataError
from pipeline.figures import predictor_maps
from pipeline.figures.predictor_maps import draw_day, draw_partitions

DAY = dt.date(2019, 7, 22)
LEFT, TOP, WIDTH, HEIGHT = 459_000, 3_483_000, 36, 27
STATIC = (
    "sand", "silt", "clay", "dem", "LC_0", "LC_1", "LC_2", "LC_3", "LC_4", "lc", "land", "partition", "region"
)  # fmt: skip
DYNAMIC = ("ndvi", "ndwi", "nsdsi", "evi", "lst", "lai", "albedo", "vv", "vh")
EASE_METRES, EASE_LEFT, EASE_TOP = 9008.05521014604, -17367530.4451615, 7314540.8306386
TO_DEGREES = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)
TO_EASE = Transformer.from_crs("EPSG:32650", "EPSG:6933", always_xy=True)


def cell_at(x: float, y: float) -> str:
    """The 9 km EASE cell under a place, by the grid's own metres."""
    east, north = TO_EASE.transform(x, y)
    return f"{int((EASE_TOP - north) // EASE_METRES):04d}-{int((east - EASE_LEFT) // EASE_METRES):04d}"


def write_image(path: Path, bands: dict[str, np.ndarray], left: float = LEFT, top: float = TOP) -> None:
    height, width = next(iter(bands.values())).shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=len(bands), dtype="float32",
        crs="EPSG:32650", transform=Affine(1000, 0, left, 0, -1000, top), nodata=-9999,
    ) as file:  # fmt: skip
        for number, (name, values) in enumerate(bands.items(), 1):
            file.write(values.astype("float32"), number)
            file.set_band_description(number, name)


def static_bands() -> dict[str, np.ndarray]:
    """A region with a margin of 3 pixels: WX in its western half, YJ east of it, water in a corner."""
    across = np.arange(WIDTH)[None] + np.zeros((HEIGHT, 1))
    bands = {name: across + number for number, name in enumerate(STATIC)}
    bands["partition"] = np.where(across < WIDTH / 2, 3, 4)
    bands["region"] = np.zeros((HEIGHT, WIDTH))
    bands["region"][3:-3, 3:-3] = 1
    for name in STATIC[4:9]:
        bands[name] = np.full((HEIGHT, WIDTH), 0.1)
    bands["LC_3"] = np.full((HEIGHT, WIDTH), 0.6)
    bands["lc"] = np.full((HEIGHT, WIDTH), 3)
    bands["land"] = np.ones((HEIGHT, WIDTH))
    return bands


CELLS = tuple(cell_at(LEFT + 1000 * x, TOP - 1000 * y) for x in (9, 27) for y in (9, 18))
UNITS = ("WX", "WX", "YJ", "YJ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Exported files of a small study."""
    here = tmp_path / "exports"
    here.mkdir()
    write_image(here / "static-0123456789.tif", static_bands())
    days = [dt.date(2019, 7, 21), DAY]
    stack = {}
    for day in days:
        for number, name in enumerate((*DYNAMIC, "count")):
            stack[f"{name.upper()}_{day:%Y%m%d}"] = np.full((HEIGHT, WIDTH), day.day + number / 10)
    stack[f"LST_{DAY:%Y%m%d}"][:, :10] = -9999
    write_image(here / "dynamic-2019-07-abcdef0123.tif", stack)
    still = pd.DataFrame({"cell": CELLS, "lon": 117.0, "lat": 31.0, "partition": UNITS})
    for number, name in enumerate(STATIC[:4]):
        still[name] = number + np.arange(4.0)
    for name in STATIC[4:9]:
        still[name] = 0.1
    still["LC_3"] = [0.6, 0.6, 0.6, np.nan]
    still.to_csv(here / "cells-static-00000fffff.csv", index=False)
    # Rows of a table come in any order.
    rows = pd.concat([pd.DataFrame({"cell": CELLS, "date": str(day)}) for day in days])[::-1]
    for name in DYNAMIC:
        rows[name] = 1.0
        rows[f"{name}_valid"] = 1.0
    last = (rows["cell"] == CELLS[3]) & (rows["date"] == str(DAY))
    rows.loc[last, "lst"], rows.loc[last, "lst_valid"] = np.nan, 0.0
    rows.loc[(rows["cell"] == CELLS[0]) & (rows["date"] == str(DAY)), "lst_valid"] = 0.25
    rows.to_csv(here / "cells-2019-07-99999aaaaa.csv", index=False)
    return here


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures, as they are handed over to be saved."""
    kept: list[Figure] = []
    monkeypatch.setattr(predictor_maps, "save", lambda figure, path: (kept.append(figure), path.touch()))
    return kept


def test_a_day_is_read_on_both_scales(folder: Path) -> None:
    day = read_day(folder, DAY)
    assert set(day.fine) == set(DYNAMIC)
    assert day.fine["ndwi"][0, 0] == pytest.approx(22.1)
    assert np.isnan(day.fine["lst"][:, :10]).all()
    assert np.isfinite(day.fine["lst"][:, 10:]).all()
    assert day.land.region.sum() == (WIDTH - 6) * (HEIGHT - 6)
    assert list(day.cells.index) == list(day.land.cells.index) == list(CELLS)
    assert np.isnan(day.cells.loc[CELLS[3], "lst"])
    assert day.cells.loc[CELLS[0], "lst_valid"] == 0.25
    assert list(day.land.cells["lc"])[:3] == [3, 3, 3]
    assert np.isnan(day.land.cells["lc"].iloc[3])
    assert not day.simulated


def test_an_image_in_several_files_is_read_as_one(folder: Path) -> None:
    whole = read_day(folder, DAY)
    for name in ("static-0123456789", "dynamic-2019-07-abcdef0123"):
        with rasterio.open(folder / f"{name}.tif") as file:
            bands = dict(zip(file.descriptions, file.read(), strict=True))
        (folder / f"{name}.tif").unlink()
        for row in (0, 16):
            for column in (0, 16, 32):
                part = {band: pixels[row : row + 16, column : column + 16] for band, pixels in bands.items()}
                place = LEFT + 1000 * column, TOP - 1000 * row
                write_image(folder / f"{name}-{row:010}-{column:010}.tif", part, *place)
    parted = read_day(folder, DAY)
    assert parted.land.grid == whole.land.grid
    for before, after in ((whole.fine, parted.fine), (whole.land.fine, parted.land.fine)):
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values, name)
    (folder / "static-0123456789-0000000000-0000000016.tif").unlink()
    with pytest.raises(DataError, match="static-0123456789: the part at row 0, column 16 is missing"):
        read_land(folder)


def test_a_day_is_found_in_the_part_of_its_month_that_holds_it(folder: Path) -> None:
    wanted = read_day(folder, DAY)
    path = folder / "dynamic-2019-07-abcdef0123.tif"
    with rasterio.open(path) as file:
        bands = dict(zip(file.descriptions, file.read(), strict=True))
    table = pd.read_csv(folder / "cells-2019-07-99999aaaaa.csv")
    path.unlink()
    (folder / "cells-2019-07-99999aaaaa.csv").unlink()
    for first, held in ((20, "2019-07-21"), (22, "2019-07-22"), (24, "2019-07-21")):
        stack = {name: pixels for name, pixels in bands.items() if name.endswith(held.replace("-", ""))}
        write_image(folder / f"dynamic-2019-07-{first}-abcdef01{first}.tif", stack)
        rows = table[table["date"] == held]
        rows.to_csv(folder / f"cells-2019-07-{first}-abcdef01{first}.csv", index=False)
    found = read_day(folder, DAY)
    for name, values in wanted.fine.items():
        np.testing.assert_array_equal(found.fine[name], values, name)
    pd.testing.assert_frame_equal(found.cells, wanted.cells)


def test_ease_cells_are_rectangles_of_degrees_laid_on_the_grid(folder: Path) -> None:
    land = read_land(folder)
    inside = [(LEFT + 1000 * x, TOP - 1000 * y) for x in (9, 27) for y in (9, 18)]
    for corners, (x, y) in zip(land.corners(), inside, strict=True):
        lon, lat = TO_DEGREES.transform(corners[:, 0], corners[:, 1])
        assert lon[0] == pytest.approx(lon[3], abs=1e-7)
        assert lat[0] == pytest.approx(lat[1], abs=1e-7)
        assert lon[1] - lon[0] == pytest.approx(360 / 3856)
        place = TO_DEGREES.transform(x, y)
        assert lon[0] < place[0] < lon[1]
        assert lat[0] < place[1] < lat[3]


def test_utm_cells_are_the_nests_of_the_grid(folder: Path) -> None:
    path = folder / "cells-static-00000fffff.csv"
    table = pd.read_csv(path)
    table["cell"] = ["u000-000", "u000-003", "u002-000", "u002-003"]
    table.to_csv(path, index=False)
    corners = read_land(folder).corners()
    assert corners[0].tolist() == [
        [LEFT, TOP - 9000], [LEFT + 9000, TOP - 9000], [LEFT + 9000, TOP], [LEFT, TOP],
    ]  # fmt: skip
    assert corners[3, 0].tolist() == [LEFT + 27_000, TOP - 27_000]


def test_a_table_that_says_simulated_marks_the_figure(folder: Path, drawn: list[Figure]) -> None:
    draw_day(read_day(folder, DAY), folder / "plain.png")
    path = folder / "cells-static-00000fffff.csv"
    pd.read_csv(path).assign(simulated=1).to_csv(path, index=False)
    assert read_day(folder, DAY).simulated
    draw_day(read_day(folder, DAY), folder / "marked.png")
    draw_partitions(read_land(folder), folder / "parts.png")
    assert ["SIMULATED" in figure.get_suptitle() for figure in drawn] == [False, True, True]


def maps(figure: Figure, title: str) -> list:
    """The two maps whose predictor has a title."""
    place = next(number for number, text in enumerate(figure.texts) if text.get_text() == title)
    spot = figure.texts[place].get_position()
    near = [axes for axes in figure.axes if axes.get_title(loc="left")]  # no colour bar
    beside = [axes for axes in near if abs(axes.get_position().y1 - spot[1]) < 0.03]
    beside = [axes for axes in beside if -0.01 < axes.get_position().x0 - spot[0] < 0.25]
    return sorted(beside, key=lambda axes: axes.get_position().x0)[:2]


def test_both_scales_of_a_predictor_share_their_colours_and_show_what_is_missing(
    folder: Path, drawn: list[Figure]
) -> None:
    draw_day(read_day(folder, DAY), folder / "day.png")
    [figure] = drawn
    titles = {text.get_text() for text in figure.texts}
    assert {
        "NDVI", "NDWI", "NSDSI", "EVI", "VV (dB)", "VH (dB)", "LAI (m²/m²)", "LST (°C)", "Albedo", "Sand (%)",
        "Silt (%)", "Clay (%)", "Elevation (m)", "Land cover", "Day of year",
    } <= titles  # fmt: skip
    fine, coarse = maps(figure, "LST (°C)")
    # 7 of the region's 30 columns have no value; of the four cells one has none and one a quarter.
    assert fine.get_title(loc="left") == "1 km: 77 %"
    assert coarse.get_title(loc="left") == "cells: 56 %"
    grey, coloured = coarse.collections[:2]
    assert (len(grey.get_paths()), len(coloured.get_paths())) == (4, 3)
    assert coloured.norm is fine.images[1].norm

    def area(path) -> float:
        x, y = path.vertices[:4].T
        return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2

    assert area(coloured.get_paths()[0]) == pytest.approx(area(grey.get_paths()[0]) / 4)
    assert area(coloured.get_paths()[1]) == pytest.approx(area(grey.get_paths()[1]))
    assert any(text.get_text() == "203" for axes in figure.axes for text in axes.texts)


def test_all_predictors_that_were_exported_are_drawn(folder: Path, drawn: list[Figure]) -> None:
    further = ("RAIN_3", "RAIN_7", "RAIN_15", "RAIN_30")
    write_image(folder / "static-0123456789.tif", {**static_bands(), "slope": np.full((HEIGHT, WIDTH), 4.0)})
    path = folder / "dynamic-2019-07-abcdef0123.tif"
    with rasterio.open(path) as file:
        bands = dict(zip(file.descriptions, file.read(), strict=True))
    days = sorted({name[-8:] for name in bands})
    rain = {f"{name}_{day}": np.full((HEIGHT, WIDTH), 7.5) for name in further for day in days}
    write_image(path, {**bands, **rain})
    for name, columns in (
        ("cells-static-00000fffff.csv", ["slope"]),
        ("cells-2019-07-99999aaaaa.csv", [name.lower() for name in further]),
    ):
        told = dict.fromkeys(columns, 4.5) | {f"{column}_valid": 1.0 for column in columns}
        pd.read_csv(folder / name).assign(**told).to_csv(folder / name, index=False)
    draw_day(read_day(folder, DAY), folder / "day.png")
    titles = {text.get_text() for text in drawn[0].texts}
    assert {"NDVI", "Rain, 3 days (mm)", "Rain, 30 days (mm)", "Slope (°)", "Day of year"} <= titles
    assert not any(title.startswith(("LST day", "TWI")) for title in titles)
    assert drawn[0].get_suptitle().startswith("20 predictors on 2019-07-22")
    [rain_map, rain_cells] = maps(drawn[0], "Rain, 7 days (mm)")
    assert (rain_map.images[1].get_array() == 7.5).sum() == read_land(folder).region.sum()
    assert (rain_cells.collections[1].get_array() == 4.5).all()


def test_a_predictor_without_any_value_is_drawn_as_missing(folder: Path, drawn: list[Figure]) -> None:
    day = read_day(folder, DAY)
    empty = {**day.fine, "albedo": np.full((HEIGHT, WIDTH), np.nan)}
    cells = day.cells.assign(albedo=np.nan, albedo_valid=0.0)
    draw_day(Day(DAY, day.land, empty, cells, False), folder / "day.png")
    assert [axes.get_title(loc="left") for axes in maps(drawn[0], "Albedo")] == ["1 km: 0 %", "cells: 0 %"]
    assert any(text.get_text() == "no value in the region" for axes in drawn[0].axes for text in axes.texts)


@pytest.mark.parametrize(
    ("none", "told"),
    [
        (4, ["WX   46.7 %", "YJ   50.0 %", "water", "outside of all   3.3 %"]),
        (15, ["unit 3   10.0 %", "YJ   50.0 %", "water", "outside of all   40.0 %"]),
    ],
    ids=["named", "no cell in it"],
)
def test_the_partition_map_names_its_units_and_their_shares(
    folder: Path, drawn: list[Figure], none: int, told: list[str]
) -> None:
    bands = static_bands()
    bands["partition"][:, :none] = 0
    write_image(folder / "static-0123456789.tif", bands)
    draw_partitions(read_land(folder), folder / "parts.png")
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == told
    labels = {text.get_text(): text.get_position() for text in axes.texts}
    place = labels[told[0].split("   ")[0]][0]
    assert LEFT + 1000 * none <= place <= LEFT + 18_000 <= labels["YJ"][0]


def test_the_papers_shares_stand_beside_those_of_anhui_only(
    folder: Path, drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_maps, "PAPER_SHARES", {"WX": 12, "YJ": 21})
    draw_partitions(read_land(folder), folder / "parts.png")
    monkeypatch.setattr(predictor_maps, "ANHUI_KM2", 625)
    draw_partitions(read_land(folder), folder / "parts.png")
    told = [figure.axes[0].get_legend().get_texts()[0].get_text() for figure in drawn]
    assert told == ["WX   50.0 %", "WX   50.0 %   (paper 12 %)"]


def test_the_command_draws_a_day_and_the_partitions(folder: Path) -> None:
    for name, more in (("day.png", ["--day", "2019-07-22"]), ("parts.png", [])):
        out = folder / name
        done = CliRunner().invoke(app, ["picture", "--files", str(folder), "--out", str(out), *more])
        assert done.exit_code == 0, done.output
        with Image.open(out) as picture:
            assert min(picture.size) > 800
            assert picture.convert("RGB").getcolors(50) is None  # there are more


@pytest.mark.parametrize(
    ("spoil", "day", "message"),
    [
        (lambda here: None, "2019-08-01", "no dynamic-2019-08-HASH.tif\nno cells-2019-08-HASH.csv"),
        (lambda here: None, "2019-07-25", "holds the days 2019-07-21 to 2019-07-22, not 2019-07-25"),
        (
            lambda here: (here / "static-aaaaaaaaaa.tif").touch(),
            "2019-07-22",
            "more than one static (static-0123456789.tif, static-aaaaaaaaaa.tif)",
        ),
        (
            lambda here: (here / "static-0123456789.tif").write_bytes(b"no image"),
            "2019-07-22",
            "cannot be read as an image",
        ),
        (
            lambda here: write_image(
                here / "static-0123456789.tif", {k: v for k, v in static_bands().items() if k != "dem"}
            ),
            "2019-07-22",
            "has no band dem",
        ),
        (
            lambda here: write_image(here / "static-0123456789.tif", static_bands(), LEFT + 9000),
            "2019-07-22",
            "does not lie on the grid",
        ),
        (
            lambda here: (here / "cells-2019-07-99999aaaaa.csv").write_text("cell,date\n1-1,2019-07-22"),
            "2019-07-22",
            "has no column ndvi",
        ),
    ],
    ids=["month", "day", "twice", "broken", "band", "grid", "column"],
)  # fmt: skip
def test_a_folder_that_cannot_serve_is_refused(folder: Path, spoil, day: str, message: str) -> None:
    spoil(folder)
    out = folder / "day.png"
    done = CliRunner().invoke(app, ["picture", "--files", str(folder), "--day", day, "--out", str(out)])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(cell=["a", "b", "c", "d"]), "no cell of SMAP's grid"),
        (lambda table: table.assign(cell=table["cell"].iloc[0]), "more than one row of the same cell"),
        (lambda table: table.assign(sand="much"), "sand: 4 of 4 values are no numbers"),
    ],
    ids=["id", "twice", "text"],
)
def test_a_table_that_cannot_serve_is_refused(folder: Path, change, message: str) -> None:
    path = folder / "cells-static-00000fffff.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(DataError, match=message):
        draw_partitions(read_land(folder), folder / "parts.png")


def test_cells_of_another_study_are_refused(folder: Path) -> None:
    path = folder / "cells-static-00000fffff.csv"
    pd.read_csv(path)[:3].to_csv(path, index=False)
    with pytest.raises(DataError, match="other cells than the static table"):
        read_day(folder, DAY)


def test_land_that_is_not_parted_has_no_map_of_partitions(folder: Path) -> None:
    write_image(folder / "static-0123456789.tif", static_bands() | {"partition": np.zeros((HEIGHT, WIDTH))})
    with pytest.raises(DataError, match="no partitions"):
        draw_partitions(read_land(folder), folder / "parts.png")
