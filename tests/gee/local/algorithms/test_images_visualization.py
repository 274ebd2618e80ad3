"""Images to be looked at: stretches, palettes, opacity and blending, worked out with NumPy."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
from matplotlib import colors

from gee.local.algorithms.images_visualization import colour
from gee.local.errors import EngineError


@pytest.mark.parametrize("text", ["red", "BlueViolet", "00FF7f", "#123456", "f0a", "FF000088", "lightgray"])
def test_colours_are_those_of_css(text: str) -> None:
    name = text if colors.is_color_like(text) and not set(text.lower()) <= set("0123456789abcdef") else None
    red, green, blue, opacity = colors.to_rgba(name or f"#{text.lstrip('#')}")
    expected = [round(red * 255), round(green * 255), round(blue * 255)]
    assert list(colour(text)[:3]) == expected
    assert colour(text).opacity == pytest.approx(opacity)


def test_what_is_no_colour_is_refused() -> None:
    with pytest.raises(EngineError, match="Cannot parse color 'nonsense'"):
        colour("nonsense")


def test_three_bands_become_red_green_and_blue(compute: Any, pixels: Any, noise: Any) -> None:
    image = noise(1, 100).addBands(noise(2, 100).rename("b")).addBands(noise(3, 100).rename("c"))
    shown = image.visualize(bands=["c", "b", "v"], min=10, max=[60, 70, 80])
    assert compute(shown).names == ["vis-red", "vis-green", "vis-blue"]
    assert all(band.type.as_json()["max"] == 255 for band in compute(shown).bands)
    for band, seed, high in zip(pixels(shown), (3, 2, 1), (60, 70, 80), strict=True):
        values = pixels(noise(seed, 100))[0].data.astype(int)
        assert np.array_equal(band, np.clip((values - 10) * 255 // (high - 10), 0, 255))
        assert band.dtype == np.uint8


def test_floats_are_stretched_from_0_to_1_and_integers_over_their_range(pixels: Any, noise: Any) -> None:
    floats = noise(1, 100).float().divide(80)
    values = pixels(noise(1, 100))[0].data
    assert np.array_equal(pixels(floats.visualize())[0], np.minimum(np.floor(values / 80 * 255 + 1e-4), 255))
    assert np.array_equal(pixels(noise(1, 100).toUint8().visualize())[0], values)
    boolean = noise().gt(9)
    assert np.array_equal(pixels(boolean.visualize())[0], 255 * pixels(boolean)[0])
    [steps] = pixels(noise().visualize(min=9, max=9))
    assert np.array_equal(steps, 255 * pixels(boolean)[0])


def test_gain_and_bias_give_levels_and_gamma_bends_the_stretch(pixels: Any, noise: Any) -> None:
    values = pixels(noise(1, 100))[0].data.astype(float)
    [gained] = pixels(noise(1, 100).visualize(gain=2, bias=7))
    assert np.array_equal(gained, np.minimum(2 * values + 7, 255))
    [bent] = pixels(noise(1, 100).visualize(min=0, max=100, gamma=2))
    assert np.abs(bent.astype(float) - np.sqrt(values / 100) * 255).max() <= 1
    with pytest.raises(EngineError, match="gain or bias and min or max"):
        pixels(noise().visualize(gain=2, min=0))


def test_a_palette_is_stretched_linearly(pixels: Any, noise: Any) -> None:
    values = pixels(noise(1, 100))[0].data
    shown = pixels(noise(1, 100).visualize(min=20, max=60, palette=["black", "red", "FFFF00"]))
    position = np.clip((values - 20) / 40, 0, 1) * 2
    expected = [np.minimum(position, 1) * 255, np.maximum(position - 1, 0) * 255, np.zeros(values.shape)]
    for band, channel in zip(shown, expected, strict=True):
        assert np.abs(band.astype(float) - channel).max() < 0.501
    with pytest.raises(EngineError, match="single-band"):
        pixels(noise().addBands(noise()).addBands(noise()).visualize(palette=["red"]))


def test_one_band_is_grey_unless_rgb_is_forced(compute: Any, noise: Any) -> None:
    assert compute(noise().visualize()).names == ["vis-gray"]
    assert compute(noise().visualize(forceRgbOutput=True)).names == ["vis-red", "vis-green", "vis-blue"]


def test_what_is_masked_in_a_band_is_masked_and_opacity_goes_into_the_mask(pixels: Any, noise: Any) -> None:
    image = noise(1).addBands(noise(2, gaps=True).rename("b")).addBands(noise(3).rename("c"))
    hidden = np.ma.getmaskarray(pixels(noise(2, gaps=True))[0])
    for band in pixels(image.visualize(min=0, max=20)):
        assert np.array_equal(np.ma.getmaskarray(band), hidden)
    for mask in pixels(image.visualize(min=0, max=20, opacity=0.25).mask()):
        assert np.allclose(mask, np.where(hidden, 0, 0.25))


def test_blending_lays_the_top_over_the_bottom_by_its_mask(compute: Any, pixels: Any, noise: Any) -> None:
    top = noise(1, gaps=True).addBands(noise(2, gaps=True).rename("w"))
    blended = noise(3).blend(top)
    assert compute(blended).names == ["v", "w"]
    for band, seed in zip(pixels(blended), (1, 2), strict=True):
        [over], [under] = pixels(noise(seed, gaps=True)), pixels(noise(3))
        assert np.array_equal(band, np.where(np.ma.getmaskarray(over), under, over.data))
    half = pixels(ee.Image(10.0).blend(ee.Image(20.0).updateMask(ee.Image(0.25))))[0]
    assert np.allclose(half, 0.25 * 20 + 0.75 * 10)
    faint = ee.Image(10.0).updateMask(ee.Image(0.5)).blend(ee.Image(20.0).updateMask(ee.Image(0.5)))
    assert np.allclose(pixels(faint.mask())[0], 0.75)
    assert np.allclose(pixels(faint)[0], (0.5 * 20 + 0.25 * 10) / 0.75)


def test_random_colours_are_one_per_value(compute: Any, pixels: Any, noise: Any) -> None:
    image = noise(most=9).randomVisualizer()
    assert compute(image).names[3:] == ["v"]
    *channels, values = pixels(image)
    seen = {
        (int(v), *map(int, c)) for v, *c in zip(values.flat, *(band.flat for band in channels), strict=True)
    }
    assert len(seen) == len({row[0] for row in seen}) == len({row[1:] for row in seen}) == 9
