"""The picture of the simulated sources: each panel holds what the source itself has, and is marked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import ee
import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.figures import simulated
from pipeline.figures.simulated import PANELS, draw, pixels

DAY, METRES = dt.date(2019, 7, 4), 3_000
WEST, NORTH, SHAPE = 420_000, 3_480_000, (8, 14)  # a piece of the picture, of 3 km pixels


@pytest.fixture(autouse=True)
def piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of Anhui takes the engine minutes."""
    monkeypatch.setattr(simulated, "ORIGIN", (WEST, NORTH))
    monkeypatch.setattr(simulated, "EXTENT", (SHAPE[1] * METRES, SHAPE[0] * METRES))


def test_pixels_lie_where_they_should_and_masked_ones_are_nan(client):
    east = WEST + METRES * (np.arange(SHAPE[1]) + 0.5)
    x = ee.Image.pixelCoordinates("EPSG:32650").select("x")
    found = pixels(x.updateMask(x.gt(440_000)), METRES)
    assert found.shape == SHAPE
    wanted = np.where(east > 440_000, east, np.nan)
    np.testing.assert_allclose(found, np.tile(wanted, (SHAPE[0], 1)), rtol=1e-6)


def test_every_source_is_drawn_with_its_share_of_valid_pixels_and_called_simulated(
    client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept: list[Figure] = []
    monkeypatch.setattr(simulated, "save", lambda figure, out: kept.append(figure))
    told: list[float] = []
    shares = draw(DAY, tmp_path / "day.png", METRES, lambda what, share: told.append(share))

    [figure] = kept
    assert "Simulated, not observed" in figure.get_suptitle()
    assert str(DAY) in figure.get_suptitle()
    assert (told, told[-1]) == (sorted(told), 1.0)
    panels = [axes for axes in figure.axes if axes.get_images() and axes.get_title()]
    assert [axes.get_title().partition(" (")[0].partition("\n")[0] for axes in panels] == [
        panel.title for panel in PANELS
    ]
    fields = {}
    for axes, share in zip(panels, shares.values(), strict=True):
        [image] = axes.get_images()
        values = np.ma.filled(image.get_array().astype(float), np.nan)
        assert values.shape == SHAPE
        assert np.isfinite(values).mean() == pytest.approx(share)
        assert f"{share:.0%} of pixels valid" in axes.get_title()
        fields[axes.get_title().partition(":")[0]] = values
    assert shares["SRTM"] == 1
    assert shares["MOD11A1"] < 1  # there are clouds
    for name in ("SMAP L4", "Truth"):
        assert 0 < np.nanmin(fields[name]) < np.nanmax(fields[name]) < 0.6  # m³/m³
    seen = np.isfinite(fields["SMAP L4"]) & np.isfinite(fields["Truth"])
    assert np.corrcoef(fields["SMAP L4"][seen], fields["Truth"][seen])[0, 1] > 0.5
