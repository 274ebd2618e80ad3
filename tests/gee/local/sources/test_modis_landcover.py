"""MCD12Q1: the five legends agree with the plant functional type."""

from __future__ import annotations

import numpy as np

from gee.local.sources.catalogue import DATASETS

MCD12Q1 = DATASETS["MODIS/061/MCD12Q1"]
# Names of the classes in MCD12's user guide, tables 3 to 7, that say the same as a type of LC_Type5.
SAME = {
    0: {"LC_Type1": 17, "LC_Type2": 0, "LC_Type3": 0, "LC_Type4": 0, "LW": 1},
    2: {"LC_Type1": 2, "LC_Type2": 2, "LC_Type3": 5, "LC_Type4": 2, "LW": 2},
    4: {"LC_Type1": 4, "LC_Type2": 4, "LC_Type3": 6, "LC_Type4": 4, "LW": 2},
    1: {"LC_Type1": 1, "LC_Type2": 1, "LC_Type3": 7, "LC_Type4": 1, "LW": 2},
    7: {"LC_Type1": 12, "LC_Type2": 12, "LC_Type3": 1, "LC_Type4": 6, "LW": 2},
    8: {"LC_Type1": 12, "LC_Type2": 12, "LC_Type3": 3, "LC_Type4": 5, "LW": 2},
    9: {"LC_Type1": 13, "LC_Type2": 13, "LC_Type3": 10, "LC_Type4": 8, "LW": 2},
}


def test_legends_agree(around) -> None:
    scene = MCD12Q1.scene("2019_01_01")
    met = set()
    for lon, lat in ((117.3, 31.7), (118.1, 30.2), (117.0, 33.2), (116.0, 31.2)):
        window = around(scene.grid, 60, lon, lat)
        names = ("LC_Type5", "LC_Type1", "LC_Type2", "LC_Type3", "LC_Type4", "LW")
        codes = dict(zip(names, (values for values, _ in scene.read(names, window)), strict=True))
        for pft in np.unique(codes["LC_Type5"]).tolist():
            met.add(pft)
            for name, expected in SAME.get(pft, {}).items():
                assert (codes[name][codes["LC_Type5"] == pft] == expected).all(), (pft, name)
    assert {0, 7, 8, 9} <= met


def test_towns_grow_and_never_shrink(around) -> None:
    first, last = MCD12Q1.scene("2015_01_01"), MCD12Q1.scene("2025_01_01")
    before, after = (
        (scene.read(("LC_Type5",), around(scene.grid, 120))[0][0] == 9).mean() for scene in (first, last)
    )
    assert 0.02 < before < after
