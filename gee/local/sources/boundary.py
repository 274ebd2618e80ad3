"""Province outlines, drawn by hand from public geography in place of the geoBoundaries table.

A study is cut out by a province, and neighbours must meet without gap or overlap; so a common border is one
line, and a province is a ring of lines. The lines are simplified to a few kilometres (Anhui) or a few tens
(the far sides of its neighbours): good for rehearsal, not for law.
"""

from __future__ import annotations

from itertools import pairwise

from gee.local.sources.dataset import Dataset, Feature, Ring

TABLE_ID = "WM/geoLab/geoBoundaries/600/ADM1"

# Anhui's six lines run clockwise from the corner with Shandong and Jiangsu; each begins where the last ends.
LINES: dict[str, Ring] = {
    "Anhui-Jiangsu": (
        (116.38, 34.64), (116.58, 34.50), (116.80, 34.46), (116.98, 34.38), (116.98, 34.20), (117.15, 34.08),
        (117.45, 34.06), (117.60, 33.98), (117.72, 33.75), (117.95, 33.72), (118.10, 33.58), (118.18, 33.22),
        (117.98, 33.15), (118.22, 32.92), (118.32, 32.74), (118.58, 32.72), (118.75, 32.80), (118.78, 32.96),
        (119.05, 32.98), (119.20, 32.82), (119.20, 32.60), (119.02, 32.46), (118.80, 32.60), (118.68, 32.58),
        (118.66, 32.20), (118.40, 32.16), (118.40, 31.98), (118.50, 31.80), (118.70, 31.68), (118.88, 31.60),
        (118.86, 31.44), (118.72, 31.32), (118.86, 31.22), (119.08, 31.24), (119.36, 31.30), (119.38, 31.18),
        (119.62, 31.12),
    ),
    "Anhui-Zhejiang": (
        (119.62, 31.12), (119.62, 30.90), (119.46, 30.66), (119.30, 30.54), (119.24, 30.34), (118.96, 30.32),
        (118.88, 30.14), (118.86, 29.92), (118.74, 29.72), (118.48, 29.52), (118.20, 29.40),
    ),
    "Anhui-Jiangxi": (
        (118.20, 29.40), (118.02, 29.58), (117.76, 29.56), (117.54, 29.62), (117.38, 29.84), (117.10, 29.84),
        (117.08, 29.72), (116.78, 29.72), (116.70, 29.82), (116.86, 29.98), (116.78, 30.06), (116.66, 30.02),
        (116.48, 29.90), (116.26, 29.82), (116.13, 29.83),
    ),
    "Anhui-Hubei": (
        (116.13, 29.83), (116.08, 30.12), (115.92, 30.32), (115.90, 30.52), (115.78, 30.68), (115.84, 30.84),
        (116.06, 30.98), (115.92, 31.06), (115.76, 31.12), (115.58, 31.16), (115.40, 31.40),
    ),
    "Anhui-Henan": (
        (115.40, 31.40), (115.38, 31.58), (115.52, 31.70), (115.72, 31.78), (115.92, 31.80), (115.90, 32.10),
        (115.88, 32.40), (115.86, 32.52), (115.60, 32.44), (115.42, 32.56), (115.20, 32.60), (115.18, 32.86),
        (114.92, 32.96), (114.89, 33.14), (115.12, 33.12), (115.32, 33.22), (115.34, 33.52), (115.62, 33.56),
        (115.58, 33.80), (115.64, 34.06), (115.98, 34.00), (116.02, 33.86), (116.18, 33.72), (116.42, 33.80),
        (116.64, 33.92), (116.64, 34.08), (116.52, 34.16), (116.54, 34.28), (116.36, 34.30), (116.20, 34.40),
        (116.20, 34.58),
    ),
    "Anhui-Shandong": ((116.20, 34.58), (116.38, 34.64)),
    "Shandong-Jiangsu": (
        (116.38, 34.64), (116.45, 34.90), (116.80, 34.93), (117.05, 34.70), (117.30, 34.55), (117.80, 34.53),
        (118.10, 34.65), (118.40, 34.43), (118.85, 34.95), (119.30, 35.08),
    ),
    "Jiangsu-Zhejiang": ((120.87, 31.00), (120.40, 30.92), (119.92, 31.17), (119.62, 31.12)),
    "Zhejiang-Jiangxi": ((118.50, 28.25), (118.42, 28.60), (118.20, 28.92), (118.03, 29.15), (118.20, 29.40)),
    "Jiangxi-Hubei": (
        (113.95, 29.05), (114.30, 29.35), (114.90, 29.40), (115.15, 29.53), (115.45, 29.75), (115.75, 29.83),
        (116.13, 29.83),
    ),
    "Hubei-Henan": (
        (111.00, 33.20), (111.60, 32.60), (112.30, 32.36), (113.00, 32.40), (113.72, 32.38), (113.75, 31.95),
        (114.00, 31.75), (114.60, 31.56), (115.10, 31.50), (115.40, 31.40),
    ),
    "Henan-Shandong": (
        (116.20, 34.58), (115.65, 34.58), (115.20, 34.87), (114.85, 35.00), (115.35, 35.50), (116.05, 36.05),
    ),
    "Jiangsu coast": (
        (119.30, 35.08), (119.20, 34.80), (119.80, 34.48), (120.30, 34.15), (120.55, 33.65), (120.88, 32.95),
        (120.93, 32.62), (121.40, 32.40), (121.90, 31.90), (121.75, 31.66), (121.10, 31.78), (121.30, 31.48),
        (120.95, 31.20), (120.87, 31.00),
    ),
    "Zhejiang coast": (
        (120.87, 31.00), (121.28, 30.70), (120.90, 30.30), (121.50, 30.28), (122.00, 29.85), (121.95, 29.10),
        (121.60, 28.30), (121.00, 27.85), (120.45, 27.15), (119.70, 27.35), (119.00, 27.50), (118.75, 27.95),
        (118.50, 28.25),
    ),
    "Jiangxi south": (
        (118.50, 28.25), (118.00, 28.00), (117.30, 27.80), (116.95, 27.20), (116.55, 26.50), (116.20, 25.80),
        (115.90, 24.95), (115.40, 24.75), (114.60, 24.60), (114.00, 25.35), (114.05, 26.10), (113.65, 26.70),
        (113.80, 27.35), (113.60, 27.90), (113.95, 28.60), (113.95, 29.05),
    ),
    "Hubei west": (
        (113.95, 29.05), (113.70, 29.25), (113.50, 29.78), (112.90, 29.72), (112.20, 29.60), (111.30, 29.95),
        (110.60, 30.05), (109.70, 29.62), (109.00, 29.45), (108.50, 30.00), (109.10, 30.55), (110.10, 30.85),
        (110.15, 31.40), (109.20, 31.90), (109.60, 32.60), (109.50, 33.25), (110.20, 33.18), (111.00, 33.20),
    ),
    "Henan north": (
        (116.05, 36.05), (115.40, 35.95), (114.90, 36.12), (114.30, 36.25), (113.70, 36.35), (113.60, 35.70),
        (112.90, 35.22), (112.05, 35.08), (111.10, 34.80), (110.36, 34.55), (110.60, 34.10), (110.95, 33.70),
        (111.00, 33.20),
    ),
    "Shandong coast": (
        (119.30, 35.08), (119.65, 35.55), (120.30, 36.05), (120.75, 36.35), (121.55, 36.75), (122.50, 36.90),
        (122.65, 37.40), (121.60, 37.48), (120.75, 37.82), (119.90, 37.30), (118.95, 37.30), (119.15, 37.65),
        (118.90, 38.10), (117.85, 38.27), (117.50, 38.10), (116.80, 37.85), (116.30, 37.55), (115.85, 37.08),
        (115.35, 36.60), (115.50, 36.18), (116.05, 36.05),
    ),
}  # fmt: skip

# The lines of each province in order around it; "-" walks a line backwards.
PROVINCES: dict[str, tuple[str, ...]] = {
    "Anhui": (
        "Anhui-Jiangsu", "Anhui-Zhejiang", "Anhui-Jiangxi", "Anhui-Hubei", "Anhui-Henan", "Anhui-Shandong",
    ),
    "Jiangsu": ("-Anhui-Jiangsu", "Shandong-Jiangsu", "Jiangsu coast", "Jiangsu-Zhejiang"),
    "Zhejiang": ("-Anhui-Zhejiang", "-Jiangsu-Zhejiang", "Zhejiang coast", "Zhejiang-Jiangxi"),
    "Jiangxi": ("-Anhui-Jiangxi", "-Zhejiang-Jiangxi", "Jiangxi south", "Jiangxi-Hubei"),
    "Hubei": ("-Anhui-Hubei", "-Jiangxi-Hubei", "Hubei west", "Hubei-Henan"),
    "Henan": ("-Anhui-Henan", "-Hubei-Henan", "-Henan north", "-Henan-Shandong"),
    "Shandong": ("-Anhui-Shandong", "Henan-Shandong", "-Shandong coast", "-Shandong-Jiangsu"),
}  # fmt: skip


def ring(province: str) -> Ring:
    """The closed outline of a province, longitude and latitude, counter-clockwise as GeoJSON wants it."""
    points: list[tuple[float, float]] = []
    for name in PROVINCES[province]:
        line = LINES[name.removeprefix("-")]
        points += (line[::-1] if name.startswith("-") else line)[:-1]
    points.append(points[0])
    return tuple(points) if _signed_area(points) > 0 else tuple(points[::-1])


def _signed_area(points: list[tuple[float, float]]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(points)) / 2


def _features() -> list[Feature]:
    features: list[Feature] = []
    for number, province in enumerate(PROVINCES, 1):
        geometry = {"type": "Polygon", "coordinates": [[list(point) for point in ring(province)]]}
        properties: dict[str, object] = {
            "shapeGroup": "CHN",
            "shapeID": f"simulated-CHN-ADM1-{number:02d}",
            "shapeName": f"{province} Province",
            "shapeType": "ADM1",
            "simulated": 1,
        }
        features.append((geometry, properties))
    return features


BOUNDARIES = Dataset(
    TABLE_ID,
    "TABLE",
    {
        "title": "Simulated province boundaries: Anhui and its neighbours, drawn by hand",
        "simulated": 1,
        "simulated_region": "seven provinces of eastern China; every other first-level unit is missing",
    },
    rows=_features,
)
