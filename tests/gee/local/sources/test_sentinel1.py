"""Sentinel-1: tracks that repeat, scenes with edges, and backscatter that follows the ground."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from pyproj import Transformer
from scipy.ndimage import uniform_filter
from shapely import contains_xy
from shapely.geometry import Point, Polygon

from gee.local.sources import sentinel1
from gee.local.sources.catalogue import DATASETS
from gee.local.sources.dataset import Scene, Window
from gee.local.sources.sentinel1 import POLARISATIONS, soil_and_plants, terrain_factor
from gee.local.sources.sentinel1_orbits import Frame, acquisitions, frame

DB, POWER = DATASETS["COPERNICUS/S1_GRD"], DATASETS["COPERNICUS/S1_GRD_FLOAT"]
HEFEI = Point(117.27, 31.86)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def over_hefei(start: str, end: str) -> list[Scene]:
    return [scene for scene in DB.scenes(ms(start), ms(end)) if Polygon(scene.footprint).contains(HEFEI)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    found = over_hefei("2019-05-01", "2019-05-20")
    return next(scene for scene in found if frame_of(scene).ascending)


def frame_of(scene: Scene) -> Frame:
    item = next(item for item in acquisitions() if item.index == scene.index)
    return frame(item.track, item.slice)


def test_each_satellite_returns_after_twelve_days_and_the_other_six_days_later() -> None:
    year = [item for item in acquisitions() if ms("2019-01-01") <= item.start < ms("2020-01-01")]
    places = {(item.track, item.slice) for item in year}
    assert len({track for track, _ in places}) > 10
    for place in sorted(places)[::11]:
        first, second = (
            np.array([i.start for i in year if (i.track, i.slice, i.platform) == (*place, letter)])
            / 86_400_000
            for letter in "AB"
        )
        assert 30 <= len(first) <= 31
        for starts in (first, second):
            np.testing.assert_allclose(np.diff(starts), 12, atol=1e-6)
        assert (second[0] - first[0]) % 12 == pytest.approx(6, abs=1e-6)


def test_relative_orbit_numbers_follow_from_absolute_ones() -> None:
    first = {"A": 73, "B": 27}  # orbit numbers of relative orbit 1, from ESA's rule
    for item in acquisitions()[::997]:
        assert (item.orbit - first[item.platform]) % 175 + 1 == item.track


def test_sentinel_1b_flew_from_september_2016_to_december_2021() -> None:
    starts = [item.start for item in acquisitions() if item.platform == "B"]
    assert ms("2016-09-26") <= min(starts) < ms("2016-10-08")
    assert ms("2021-12-11") < max(starts) < ms("2021-12-23")


def test_passes_come_about_six_in_the_morning_and_evening_by_the_sun() -> None:
    for item in acquisitions()[::499]:
        ring = np.array(frame(item.track, item.slice).footprint)
        hour = (item.start / 3_600_000 + ring[:, 0].mean() / 15) % 24
        evening = frame(item.track, item.slice).ascending
        assert abs(hour - (18 if evening else 6)) < 0.7


def test_properties_can_be_filtered_as_in_the_catalogue(scene: Scene) -> None:
    assert scene.properties["instrumentMode"] == "IW"
    assert scene.properties["transmitterReceiverPolarisation"] == ["VV", "VH"]
    assert scene.properties["simulated_pixel_meters"] == 100
    assert scene.grid.transform[0] == 100
    assert scene.grid.crs in {"EPSG:32649", "EPSG:32650", "EPSG:32651"}
    assert [s.properties["orbitProperties_pass"] for s in over_hefei("2019-05-01", "2019-05-13")].count(
        "DESCENDING"
    ) >= 1


def test_pixels_are_valid_exactly_inside_the_footprint(scene: Scene) -> None:
    to_utm = Transformer.from_crs("EPSG:4326", scene.grid.crs, always_xy=True)
    ring = Polygon(np.transpose(to_utm.transform(*np.transpose(scene.footprint))))
    assert ring.area == pytest.approx(250e3 * 170e3, rel=0.06)
    for row, col in ((0, 0), (300, 0), (1000, 1400), (scene.grid.height - 30, scene.grid.width - 60)):
        window = Window(row, col, 30, 60)
        ((_, valid),) = scene.read(("VV",), window)
        inside = contains_xy(ring, *scene.grid.centres(window))
        edge = ring.exterior.buffer(1.0)
        away = ~contains_xy(edge, *scene.grid.centres(window))
        np.testing.assert_array_equal(valid[away], inside[away])
    assert not scene.read(("VV",), Window(0, 0, 30, 60))[0][1].any()


def test_decibels_are_ten_logarithms_of_power(scene: Scene) -> None:
    window = Window(900, 1200, 40, 40)
    decibels, power = scene.read(("VV", "VH"), window), POWER.scene(scene.index).read(("VV", "VH"), window)
    for (db, db_valid), (linear, valid) in zip(decibels, power, strict=True):
        np.testing.assert_array_equal(db_valid, valid)
        np.testing.assert_allclose(db, 10 * np.log10(linear.astype(np.float64)), rtol=1e-12)
        assert linear.dtype == np.float32 and (linear > 0).all()


def test_angle_grows_from_near_to_far_range_on_its_own_20_km_grid(scene: Scene) -> None:
    band = scene.bands[2]
    assert band.name == "angle" and band.grid is not None
    assert np.hypot(band.grid.transform[0], band.grid.transform[3]) == pytest.approx(20_000)
    ((angle, valid),) = scene.read(("angle",), Window(0, 0, band.grid.height, band.grid.width))
    assert valid.all()
    assert (np.diff(angle, axis=1) > 0).all()  # ascending: near range is west
    assert angle.min() > 29 and angle.max() <= 46.1


def test_bare_soil_gains_a_quarter_decibel_for_each_hundredth_and_plants_damp_it() -> None:
    def gain(pol: str, leaves: float) -> float:
        dry, wet = (
            soil_and_plants(
                POLARISATIONS[pol], np.array([m]), np.array([leaves]), np.array([38.0]), np.zeros(1)
            )[0]
            for m in (0.20, 0.21)
        )
        return float(10 * np.log10(wet / dry))

    assert 0.15 <= gain("VV", 0.0) <= 0.30
    assert 0.15 <= gain("VH", 0.0) <= 0.30
    for pol in POLARISATIONS:
        gains = [gain(pol, leaves) for leaves in (0.0, 1.0, 2.0, 4.0, 6.0)]
        assert (np.diff(gains) < 0).all()
        assert gains[3] < 0.5 * gains[0]


def test_slopes_facing_the_radar_are_bright_and_flat_ground_is_unchanged() -> None:
    angle = np.full(5, 38.0)
    rise = np.tan(np.radians([-60.0, -20.0, 0.0, 20.0, 36.0]))
    factor = terrain_factor(rise, np.zeros(5), angle)
    assert factor[2] == pytest.approx(1.0)
    assert (np.diff(factor) > 0).all()
    # 20 degrees towards the radar: lit area by sin 38 / sin 18, brightness by cos 18 / cos 38.
    expected = (
        np.sin(np.radians(38)) / np.sin(np.radians(18)) * np.cos(np.radians(18)) / np.cos(np.radians(38))
    )
    assert factor[3] == pytest.approx(expected)


def test_speckle_of_a_scene_is_that_of_ninety_looks(scene: Scene, monkeypatch) -> None:
    item = next(item for item in acquisitions() if item.index == scene.index)
    window = Window(1000, 1200, 100, 100)
    speckled, _ = sentinel1.backscatter(item, ("VV",), window)
    monkeypatch.setattr(sentinel1.pixelnoise, "speckle", lambda window, seed, looks: np.ones(window[2:]))
    ground, _ = sentinel1.backscatter(item, ("VV",), window)
    ratio = speckled["VV"] / ground["VV"]
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert ratio.std() == pytest.approx(90**-0.5, rel=0.05)
    assert uniform_filter(ratio, 5)[5:-5, 5:-5].std() == pytest.approx(90**-0.5 / 5, rel=0.15)  # white


def test_water_is_dark_and_towns_are_bright(scene: Scene, around) -> None:
    lake = scene.read(("VV",), around(scene.grid, 30, 117.55, 31.55))[0]
    town = scene.read(("VV",), around(scene.grid, 60))[0]
    assert np.median(lake[0][lake[1]]) < -17
    assert np.median(town[0][town[1]]) > -10


def test_old_scenes_have_dark_edges_of_kilometres() -> None:
    def dark(index: str, columns: slice) -> float:
        old = DB.scene(index)
        row = old.grid.height // 2
        ((values, valid),) = old.read(("VV",), Window(row, 0, 10, 700))
        inside = [np.flatnonzero(line)[columns] for line in valid]
        return float(np.mean([np.median(values[i, cols]) < -25 for i, cols in enumerate(inside)]))

    early, late = (
        next(
            s.index for s in over_hefei(start, f"{start[:4]}-12-31") if s.properties["platform_number"] == "A"
        )
        for start in ("2016-05-01", "2019-05-01")
    )
    assert dark(early, slice(0, 6)) == 1.0  # 600 m
    assert dark(early, slice(50, 60)) == 0.0  # 5 km
    assert dark(late, slice(4, 10)) == 0.0
