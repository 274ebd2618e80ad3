import numpy as np
import pytest

from gee.local.sources.nature.soil import texture

LON, LAT = np.meshgrid(np.linspace(112, 122, 120), np.linspace(36, 28, 100))


def mean(part, lon, lat, depth=0.0):
    box = np.meshgrid(np.linspace(lon - 0.4, lon + 0.4, 40), np.linspace(lat - 0.3, lat + 0.3, 40))
    return getattr(texture(*box, depth), part).mean()


def test_the_three_parts_sum_to_100_at_every_depth():
    for depth in (0.0, 0.3, 1.0):
        parts = texture(LON, LAT, depth)
        np.testing.assert_allclose(sum(parts), 100, atol=1e-3)
        assert min(part.min() for part in parts) > 0


def test_granite_is_sandy_and_red_hills_are_clayey():
    assert mean("sand", 115.9, 31.1) > mean("sand", 116.0, 33.2) + 10
    assert mean("clay", 116.2, 33.0) > mean("clay", 115.9, 31.1) + 8
    assert mean("sand", 116.3, 34.6) > mean("sand", 116.3, 33.0) + 5


def test_clay_rises_with_depth():
    assert np.all(texture(LON, LAT, 0.6).clay > texture(LON, LAT).clay)


def test_texture_of_a_place_does_not_depend_on_the_window():
    whole = texture(LON, LAT)
    part = texture(LON[50:52, 60:99], LAT[50:52, 60:99])
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[50:52, 60:99], other)


def test_soils_differ_within_a_9_km_pixel_less_than_over_the_province():
    lon, lat = np.meshgrid(116.5 + np.arange(90) * 0.0105, 33.0 - np.arange(90) * 0.009)
    sand = texture(lon, lat).sand
    blocks = sand.reshape(10, 9, 10, 9)
    assert 1 < blocks.std((1, 3)).mean() < sand.std()


@pytest.mark.parametrize("part", ["sand", "silt", "clay"])
def test_no_texture_is_unheard_of(part):
    values = getattr(texture(LON, LAT), part)
    assert values.min() > 1
    assert values.max() < 95
