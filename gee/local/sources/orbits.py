"""Circular sun-synchronous orbits over a turning sphere: where a satellite looks, when and how steeply.

Day after day a pixel of a polar orbiter is seen at another angle and local time, and Sentinel-1 comes back
along the same track only after its repeat cycle; products built on fixed numbers hide both. Published
constants of Terra and Sentinel-1, spherical trigonometry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EARTH_RADIUS = 6371.0  # km
HOURS_PER_DEGREE = 24 / 360  # of longitude, of the mean sun


@dataclass(frozen=True)
class Orbit:
    """A repeating sun-synchronous orbit.

    Attributes:
        inclination: degrees.
        altitude: km.
        revolutions: in one repeat cycle.
        days: of one repeat cycle.
        node_hour: local solar hour of the equator crossing of the daylight pass (Terra) or of the ascending
            one (Sentinel-1).
    """

    inclination: float
    altitude: float
    revolutions: int
    days: int
    node_hour: float

    @property
    def spacing(self) -> float:
        """Degrees of longitude between the equator crossings of successive revolutions."""
        return 360 * self.days / self.revolutions

    @property
    def period_hours(self) -> float:
        """Time of one revolution."""
        return 24 * self.days / self.revolutions

    def track(self, argument: Floats) -> tuple[Floats, Floats]:
        """Ground track: longitude east of the ascending node, and latitude, both degrees.

        Args:
            argument: degrees along the orbit from the ascending node.
        """
        return self.beside(argument, np.zeros_like(argument))

    def beside(self, argument: Floats, angle: Floats) -> tuple[Floats, Floats]:
        """As ``track``, for the point at an Earth-centred angle (degrees) to the right of the track."""
        u, i, side = np.radians(argument), np.radians(self.inclination), np.radians(angle)
        x, y, z = np.cos(u), np.cos(i) * np.sin(u), np.sin(i) * np.sin(u)
        # The right-hand normal of the orbital plane.
        right_y, right_z = np.sin(i), -np.cos(i)
        x, y, z = (
            x * np.cos(side),
            y * np.cos(side) + right_y * np.sin(side),
            z * np.cos(side) + right_z * np.sin(side),
        )
        turned = argument * self.days / self.revolutions  # the Earth turns under the orbit
        return np.degrees(np.arctan2(y, x)) - turned, np.degrees(np.arcsin(np.clip(z, -1, 1)))

    def incidence(self, angle: Floats) -> Floats:
        """Angle from the local vertical, degrees, at which a point this Earth-centred angle away is seen."""
        side = np.radians(angle)
        look = np.arctan2(np.sin(side), 1 + self.altitude / EARTH_RADIUS - np.cos(side))
        return np.asarray(np.degrees(look + side))


TERRA = Orbit(inclination=98.2, altitude=705.0, revolutions=233, days=16, node_hour=10.5)
SENTINEL1 = Orbit(inclination=98.18, altitude=693.0, revolutions=175, days=12, node_hour=18.0)

TERRA_SWATH = np.degrees(1165.0 / EARTH_RADIUS)  # half width, Earth-centred degrees (swath of 2330 km)


@dataclass(frozen=True)
class View:
    """How Terra sees pixels on one local solar day.

    Attributes:
        zenith: degrees; negative where the satellite stands east of the pixel.
        solar_hour: local solar hour, 0 to 24.
        seen: whether the pixel lies in a swath; near the equator a day leaves gaps.
    """

    zenith: Floats
    solar_hour: Floats
    seen: NDArray[np.bool_]


class TerraPasses:
    """Terra over fixed pixels: descending by day at 10:30, ascending by night at 22:30.

    The 16-day cycle is exact; its phase is not Terra's own.
    """

    def __init__(self, lon: Floats, lat: Floats, night: bool = False) -> None:
        """Work out what does not depend on the day.

        Args:
            lon: degrees.
            lat: degrees.
            night: the night pass instead of the day pass.
        """
        orbit = TERRA
        tilt = np.sin(np.radians(orbit.inclination))
        sine = np.clip(np.sin(np.radians(lat)), -0.999 * tilt, 0.999 * tilt)
        u = np.degrees(np.arcsin(sine / tilt))
        argument, node = (u, 0.0) if night else (180 - u, 180.0)
        track_lon, _ = orbit.track(argument)
        node_lon, _ = orbit.track(np.array([node]))
        self._offset = (track_lon - node_lon + 180) % 360 - 180
        west_of_seam = 180 - ((lon - self._offset + 180) % 360 - 180)
        self._revolutions = west_of_seam / orbit.spacing + (0.5 if night else 0.0)
        cosine = np.cos(np.radians(lat))
        heading = np.clip(np.cos(np.radians(orbit.inclination)) / np.maximum(cosine, 1e-6), -1, 1)
        self._shrink = cosine * np.sqrt(1 - heading**2)
        since_node = (argument - node) / 360 * orbit.period_hours
        self._hour = orbit.node_hour + (12 if night else 0) + since_node + self._offset * HOURS_PER_DEGREE

    def angle(self, day: int) -> Floats:
        """Earth-centred degrees from the nearest track, positive east of it, on a local solar day."""
        return np.asarray(self._across(day) * self._shrink)

    def _across(self, day: int | NDArray[np.int64]) -> Floats:
        count = self._revolutions + day * TERRA.revolutions / TERRA.days
        return np.asarray((np.round(count) - count) * TERRA.spacing)

    def view(self, day: int | NDArray[np.int64]) -> View:
        """The pass nearest to each pixel on a local solar day (since 1970-01-01), one for all or for each."""
        across = self._across(day)
        angle = across * self._shrink
        zenith = np.copysign(TERRA.incidence(np.abs(angle)), angle)
        return View(zenith, (self._hour + across * HOURS_PER_DEGREE) % 24, np.abs(angle) <= TERRA_SWATH)


def sun_angles(lat: Floats, day: int | Floats, solar_hour: Floats) -> tuple[Floats, Floats]:
    """Zenith and azimuth (clockwise from north) of the sun, degrees.

    Args:
        lat: degrees.
        day: days since 1970-01-01; the declination follows a year of 365.2425 days.
        solar_hour: local solar hour.
    """
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (np.asarray(day) + 10) / 365.2425))
    hour_angle = np.radians(15 * (solar_hour - 12))
    phi = np.radians(lat)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour_angle)
    return np.degrees(np.arccos(np.clip(up, -1, 1))), np.degrees(np.arctan2(east, north)) % 360
