"""Unmixing against scipy's solvers, spectral distances against their definitions, linked images."""

from __future__ import annotations

from typing import Any

import ee
import numpy as np
import pytest
from scipy import optimize, stats

from gee.local.errors import EngineError

MEMBERS = [[12.0, 3.0, 5.0, 1.0], [2.0, 14.0, 4.0, 6.0], [1.0, 2.0, 3.0, 17.0]]


def _spectra(noise: Any) -> Any:
    return ee.Image.cat([noise(seed).add(1).rename(f"b{seed}") for seed in range(4)])


def test_shares_are_those_of_the_pseudo_inverse(compute: Any, pixels: Any, noise: Any) -> None:
    image = _spectra(noise).unmix(MEMBERS)
    assert compute(image).names == ["band_0", "band_1", "band_2"]
    spectra = np.stack(pixels(_spectra(noise))).reshape(4, -1).astype(float)
    expected = np.linalg.lstsq(np.array(MEMBERS).T, spectra, rcond=None)[0]
    np.testing.assert_allclose(np.stack(pixels(image)).reshape(3, -1), expected)


@pytest.mark.parametrize("sums", [False, True])
def test_shares_may_be_held_to_zero_or_more_and_to_a_sum_of_one(pixels: Any, noise: Any, sums: bool) -> None:
    shares = np.stack(pixels(_spectra(noise).unmix(MEMBERS, sums, True)))
    spectra = np.stack(pixels(_spectra(noise))).astype(float)
    assert (shares >= 0).all()
    members = np.array(MEMBERS).T
    for row, column in ((0, 0), (3, 9), (8, 2), (16, 22)):
        spectrum = spectra[:, row, column]
        heavy = 1e5 if sums else 0.0  # a heavy equation is a constraint
        found = optimize.nnls(np.vstack([members, heavy * np.ones(3)]), np.append(spectrum, heavy))[0]
        np.testing.assert_allclose(shares[:, row, column], found, atol=1e-4)
    if sums:
        np.testing.assert_allclose(shares.sum(axis=0), 1)
        np.testing.assert_allclose(np.sum(pixels(_spectra(noise).unmix(MEMBERS, True)), axis=0), 1)


def test_spectral_distances(compute: Any, pixels: Any, noise: Any) -> None:
    first, second = _spectra(noise), ee.Image.cat([noise(seed).add(2) for seed in range(10, 14)])
    one, other = np.stack(pixels(first)).astype(float), np.stack(pixels(second)).astype(float)
    found = {name: pixels(first.spectralDistance(second, name))[0] for name in ("sam", "sid", "sed")}
    assert compute(first.spectralDistance(second)).names == ["distance"]
    cosine = (one * other).sum(0) / np.sqrt((one**2).sum(0) * (other**2).sum(0))
    np.testing.assert_allclose(np.cos(found["sam"]), cosine)
    both_ways = stats.entropy(one, other) + stats.entropy(other, one)
    np.testing.assert_allclose(found["sid"], both_ways)
    np.testing.assert_allclose(found["sed"], ((one - other) ** 2).sum(0))
    with pytest.raises(EngineError, match="emd"):
        compute(first.spectralDistance(second, "emd"))


def test_a_matching_image_lends_bands_and_properties(compute: Any, pixels: Any, noise: Any) -> None:
    clouds = ee.ImageCollection(
        [noise(seed).rename("cloud").set("system:index", f"i{seed}", "score", seed) for seed in (1, 2)]
    )
    image = noise(9).set("system:index", "i2")
    linked = image.linkCollection(clouds, "cloud", "score")
    assert compute(linked).names == ["v", "cloud"]
    assert compute(linked).properties["score"] == 2
    assert np.array_equal(pixels(linked.select("cloud"))[0], pixels(noise(2))[0])
    other = noise(9).set("system:index", "i7").linkCollection(clouds, ["cloud"], ["score"])
    assert compute(other).properties["score"] is None
    assert np.ma.getmaskarray(pixels(other)[1]).all()
    assert not np.ma.getmaskarray(pixels(other)[0]).any()
