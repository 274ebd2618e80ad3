"""MOD15A2H: fill codes by land cover, and backup retrievals that are flagged and worse."""

from __future__ import annotations

import numpy as np
import pytest

from gee.local.sources.catalogue import DATASETS
from gee.local.sources.nature import vegetation

MOD15A2H = DATASETS["MODIS/061/MOD15A2H"]
FILL = {0: 254, 9: 250, 10: 252, 11: 253}  # by LC_Type5: water, urban, snow, barren


def read(around, index: str, lon: float = 117.3, lat: float = 31.75, size: int = 90) -> dict[str, np.ndarray]:
    scene = MOD15A2H.scene(index)
    names = tuple(band.name for band in scene.bands)
    window = around(scene.grid, size, lon, lat)
    found = {
        name: v.astype(int)
        for name, (v, valid) in zip(names, scene.read(names, window), strict=True)
        if valid.all()
    }
    land = DATASETS["MODIS/061/MCD12Q1"].scene("2019_01_01")
    found["pft"] = land.read(("LC_Type5",), window)[0][0].astype(int)
    x, y = scene.grid.centres(window)
    lat2 = np.degrees(y / 6371007.181)
    lon2 = np.degrees(x / (6371007.181 * np.cos(np.radians(lat2))))
    found["truth"] = vegetation.lai(lon2, lat2, scene.start // 86_400_000 + 4)
    return found


def test_every_cover_without_leaves_has_its_fill_code(around) -> None:
    seen = read(around, "2019_05_09")
    expected = np.zeros_like(seen["pft"])
    for pft, code in FILL.items():
        expected[seen["pft"] == pft] = code
    assert {250, 254} <= set(np.unique(expected).tolist())
    for band in ("Lai_500m", "Fpar_500m", "LaiStdDev_500m"):
        np.testing.assert_array_equal(seen[band][expected > 0], expected[expected > 0])
        assert set(np.unique(seen[band][(expected == 0) & (seen[band] > 100)]).tolist()) <= {248}
    assert (seen["Lai_500m"][expected == 0] <= 100).all()
    assert (seen["FparLai_QC"][expected > 0] // 32 == 4).all()


def test_backup_retrievals_are_flagged_and_err_more(around) -> None:
    errors: dict[str, list[np.ndarray]] = {"main": [], "backup": []}
    for index in ("2019_06_18", "2019_06_26", "2019_07_04", "2019_05_09"):
        seen = read(around, index)
        retrieved = seen["Lai_500m"] <= 100
        backup, path, cloud = (
            seen["FparLai_QC"] % 2 == 1,
            seen["FparLai_QC"] // 32,
            seen["FparLai_QC"] // 8 % 4,
        )
        np.testing.assert_array_equal(backup[retrieved], path[retrieved] >= 2)
        np.testing.assert_array_equal(seen["LaiStdDev_500m"][retrieved] == 248, backup[retrieved])
        assert (backup[retrieved & (cloud == 1)]).all()
        np.testing.assert_array_equal(cloud > 0, seen["FparExtra_QC"] // 32 % 2 == 1)
        relative = (seen["Lai_500m"] / 10 - seen["truth"]) / np.maximum(seen["truth"], 0.5)
        errors["main"].append(relative[retrieved & ~backup])
        errors["backup"].append(relative[retrieved & backup])
    main, backup_error = np.concatenate(errors["main"]), np.concatenate(errors["backup"])
    assert backup_error.size > 100
    assert main.std() < 0.2 < backup_error.std()
    assert main.mean() == pytest.approx(0, abs=0.02)


def test_dense_forests_saturate(around) -> None:
    seen = read(around, "2019_07_12", 118.15, 30.15, 60)
    path = seen["FparLai_QC"] // 32
    assert (path == 1).any()
    assert seen["truth"][path == 1].min() > 5
