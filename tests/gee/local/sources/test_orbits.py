"""Orbit geometry against plane and spherical trigonometry written out another way."""

from __future__ import annotations

import numpy as np
import pytest

from gee.local.sources.orbits import SENTINEL1, TERRA, TerraPasses, sun_angles


def test_incidence_by_the_law_of_sines() -> None:
    for angle in (0.0, 1.0, 4.0, 9.0):
        # Triangle of the Earth's centre, the satellite and the point; the slant range by the law of cosines.
        orbit = 6371.0 + TERRA.altitude
        reach = np.sqrt(6371.0**2 + orbit**2 - 2 * 6371.0 * orbit * np.cos(np.radians(angle)))
        expected = np.degrees(np.arcsin(orbit * np.sin(np.radians(angle)) / reach))
        assert TERRA.incidence(np.array([angle]))[0] == pytest.approx(expected, abs=1e-9)


def test_ground_track_reaches_the_latitude_of_its_inclination_and_returns_after_the_repeat() -> None:
    lon, lat = SENTINEL1.track(np.linspace(0, 360, 721))
    assert lat.max() == pytest.approx(180 - 98.18, abs=0.01)
    assert SENTINEL1.spacing * 175 == pytest.approx(12 * 360)
    assert abs(((lon[-1] - lon[0] + SENTINEL1.spacing + 180) % 360) - 180) < 1e-9


def test_beside_the_track_is_at_a_right_angle_on_the_right() -> None:
    u = np.array([30.0])
    (lon, lat), (lon_b, lat_b) = SENTINEL1.track(u), SENTINEL1.beside(u, np.array([4.0]))
    a, b = (
        np.array(
            [
                np.cos(np.radians(p)) * np.cos(np.radians(q)),
                np.cos(np.radians(p)) * np.sin(np.radians(q)),
                np.sin(np.radians(p)),
            ]
        )
        for p, q in ((lat[0], lon[0]), (lat_b[0], lon_b[0]))
    )
    assert np.degrees(np.arccos(a @ b)) == pytest.approx(4.0)
    assert lon_b > lon and lat_b > lat  # flying north-north-west, right is east-north-east


@pytest.mark.parametrize(("night", "early", "late"), [(False, 9.3, 12.2), (True, 20.8, 23.7)])
def test_terra_sees_anhui_daily_about_half_past_ten_and_repeats_after_16_days(
    night: bool, early: float, late: float
) -> None:
    lon, lat = np.meshgrid(np.linspace(115, 119, 9), np.linspace(29.5, 34.5, 9))
    passes = TerraPasses(lon, lat, night)
    views = [passes.view(day) for day in range(18_000, 18_016)]
    hours = np.stack([view.solar_hour for view in views])
    assert np.mean([view.seen for view in views]) > 0.985  # swaths just miss each other at 30 degrees
    assert early < hours.min() and hours.max() < late
    assert np.abs(np.stack([view.zenith for view in views])).max() < 66
    assert len(np.unique(np.round([view.zenith[0, 0] for view in views], 3))) == 16
    np.testing.assert_allclose(passes.view(18_016).zenith, views[0].zenith, atol=1e-6)


def test_a_day_leaves_gaps_between_swaths_only_near_the_equator() -> None:
    lon = np.linspace(-180, 180, 2_000)
    assert 0.75 < TerraPasses(lon, np.zeros(2_000)).view(18_000).seen.mean() < 0.95
    assert TerraPasses(lon, np.full(2_000, 35.0)).view(18_000).seen.all()


def test_the_sun_at_the_solstices() -> None:
    june, december = 18_068, 18_251  # 2019-06-21 and 2019-12-21
    lat = np.array([31.0])
    noon = np.array([12.0])
    assert sun_angles(lat, june, noon)[0][0] == pytest.approx(31 - 23.44, abs=0.1)
    assert sun_angles(lat, december, noon)[0][0] == pytest.approx(31 + 23.44, abs=0.1)
    zenith, azimuth = sun_angles(lat, december, np.array([9.0]))
    assert 90 < azimuth[0] < 180 and zenith[0] > 54
