"""The map page: one HTML file that shows a study's soil moisture to anybody who can open a file.

A collaborator without an account, a server or a network moves through the days, holds SMAP against the
downscaled map and reads values and series. So style, program and, up to ``EMBED_BYTES``, the numbers stand in
the page itself; beyond that they lie beside it as scripts that are loaded when they are looked at, because a
page from the file system may load nothing else.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from scipy import ndimage

from gee.catalog import WGS84
from gee.layers import SOIL_MOISTURE
from pipeline.errors import DataError
from pipeline.maps.prediction_store import SUMMARY
from pipeline.pages import map_data
from pipeline.pages.map_data import Coarse, Codes, Ground, Stations, cuts, encoded
from pipeline.progress import Report
from pipeline.work.manifest import Manifest
from pipeline.work.stages import digest
from pipeline.work.staging import hidden, remove_left, whole, write_json

PAGE, RECORD = "map.html", "map.json"
EMBED_BYTES = 16_000_000  # of blocks in the page; a phone opens it, and mail may carry it
TICK = 0.05  # m³/m³, between ticks and at the ends of the colours
TAIL = 1.0  # percent of the values at either end that may lie beyond the colours
LATTICE_PIXELS = 16  # between the places whose longitude and latitude the page knows; within 5 m between
KEY_DIGITS = 8  # in the name of the folder beside the page
_BESIDE = re.compile(rf"map-data-[0-9a-f]{{{KEY_DIGITS}}}")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |function |async function |class )", re.MULTILINE)


@dataclass(frozen=True)
class MapPage:
    """The page that ``write_map`` wrote, or found.

    Attributes:
        path: of the page.
        files: the page and what lies beside it, bytes by path.
        days: number of days.
        pixels: that have a value on any day.
        limits: of the colours, m³/m³.
        simulated: whether any of the numbers is.
        made: False where it was there already, made of the same.
    """

    path: Path
    files: dict[Path, int]
    days: int
    pixels: int
    limits: tuple[float, float]
    simulated: bool
    made: bool

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def rows(self) -> list[dict[str, str]]:
        """The page as a table for people."""
        low, high = self.limits
        return [
            {
                "page": str(self.path),
                "days": f"{self.days:,}",
                "pixels": f"{self.pixels:,}",
                "colours (m³/m³)": f"{low:.2f} to {high:.2f}",
                "files": f"{len(self.files):,}",
                "size": f"{self.size / 1e6:,.1f} MB",
            }
        ]

    def notes(self) -> Iterator[str]:
        """What a user should know."""
        if not self.made:
            yield f"{self.path} was made of the same before; nothing was done."
        if len(self.files) > 1:
            yield f"Pass on the whole folder {self.path.parent}: the page reads the files beside it."
        if self.simulated:
            yield "The map shows simulated soil moisture, and says so."

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "page": str(self.path),
            "files": {str(path): size for path, size in self.files.items()},
            "days": self.days,
            "pixels": self.pixels,
            "limits": list(self.limits),
            "simulated": self.simulated,
            "made": self.made,
        }


@dataclass(frozen=True, eq=False)
class _Study:
    """All that a page is made of."""

    manifest: Manifest
    days: NDArray[np.datetime64]
    codes: Codes
    ground: Ground
    smap: Coarse | None
    stations: Stations | None
    model: str
    simulated: bool
    corrected: bool


def write_map(
    prediction: Path,
    cube: Path,
    manifest: Manifest,
    out: Path,
    report: Report,
    *,
    smap: Path | None = None,
    stations: Path | None = None,
    embed_bytes: int = EMBED_BYTES,
) -> MapPage:
    """Write the map page of a study, unless it is there, made of the same.

    Args:
        prediction: Zarr store with ``sm``.
        cube: Zarr store with ``region``, ``land`` and ``partition``.
        manifest: of the study.
        out: folder of the page.
        report: told what is done and the share of the whole.
        smap: table of the samples, for SMAP's own values.
        stations: table of stations, with or without what they measured.
        embed_bytes: blocks of numbers that are smaller in all stand in the page, larger ones beside it.

    Raises:
        DataError: an input is missing, broken, or of another study; or ``out`` cannot be written.
    """
    report("map: comparing", 0.0)
    remove_left(out)
    key = _key(prediction, cube, manifest, smap, stations, embed_bytes)
    if (found := _found(out, key)) is not None:
        report("map: there already", 1.0)
        return found
    try:
        with hidden(out) as scratch:
            study = _read(prediction, cube, manifest, smap, stations, scratch, report)
            return _write(study, out, scratch, key, embed_bytes, report)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror or error}); choose another output folder"
        ) from error


def page_script() -> str:
    """The page's program: its modules in one, each after those it imports."""
    sources = {path.name[:-3]: path.read_text("utf-8") for path in _pages() if path.name.endswith(".js")}
    done: dict[str, str] = {}

    def add(name: str) -> None:
        for needed in _IMPORT.findall(sources[name]):
            if needed not in done:
                add(needed)
        done[name] = _EXPORT.sub("", _IMPORT.sub("", sources[name])).strip()

    add("main")
    return "\n\n".join(done.values())


def _pages() -> list[Any]:
    return sorted(files("pipeline").joinpath("pages", "map").iterdir(), key=lambda path: path.name)


def _read(
    prediction: Path,
    cube: Path,
    manifest: Manifest,
    smap: Path | None,
    stations: Path | None,
    scratch: Path,
    report: Report,
) -> _Study:
    days, codes, told = map_data.read_prediction(
        prediction, manifest, scratch, lambda share: report("map: reading", 0.05 + 0.35 * share)
    )
    mapped = np.zeros(codes.shape[1:], np.bool_)
    for day in codes:
        mapped |= day != map_data.NO_VALUE
    ground = map_data.read_ground(cube, manifest, mapped)
    report("map: reading SMAP", 0.4)
    coarse = None if smap is None else map_data.read_smap(smap, days, ground, manifest)
    placed = None if stations is None else map_data.read_stations(stations, days, manifest)
    simulated = (
        manifest.simulated
        or bool(told.get("simulated"))
        or bool(coarse and coarse.simulated)
        or bool(placed and placed.simulated)
    )
    summary = told.get(SUMMARY)
    corrected = isinstance(summary, dict) and bool(summary.get("correction"))
    made_by = str(told.get("model_hash", ""))
    return _Study(manifest, days, codes, ground, coarse, placed, made_by, simulated, corrected)


def _write(study: _Study, out: Path, scratch: Path, key: str, embed_bytes: int, report: Report) -> MapPage:
    slots, limits = study.ground.slots, _limits(study)
    beside = scratch / "blocks"
    beside.mkdir()
    sizes: dict[str, int] = {}
    cut = list(_blocks(study.codes.reshape(len(study.days), -1), slots))
    for number, (name, block) in enumerate(cut, 1):
        text = encoded(block())
        (beside / name).write_text(text, encoding="ascii")
        sizes[name] = len(text)
        report("map: packing", 0.4 + 0.5 * number / len(cut))
    texts, folder = dict(_base(study)), None
    if sum(sizes.values()) <= embed_bytes:
        texts |= {name: (beside / name).read_text("ascii") for name in sizes}
    else:
        folder = f"map-data-{key[:KEY_DIGITS]}"
        for name in sizes:
            text = (beside / name).read_text("ascii")
            (beside / f"{name}.js").write_text(f'geeSmapBlock("{name}","{text}");\n', encoding="ascii")
            (beside / name).unlink()
        shutil.rmtree(out / folder, ignore_errors=True)
        beside.replace(out / folder)
    report("map: writing", 0.95)
    (scratch / PAGE).write_text(_page(study, limits, folder, texts), encoding="utf-8")
    (scratch / PAGE).replace(out / PAGE)
    for older in out.glob("map-data-*"):
        if older.name != folder and _BESIDE.fullmatch(older.name):
            shutil.rmtree(older, ignore_errors=True)
    names = [PAGE, *([] if folder is None else (f"{folder}/{name}.js" for name in sizes))]
    page = MapPage(
        path=out / PAGE,
        files={out / name: (out / name).stat().st_size for name in names},
        days=len(study.days),
        pixels=len(slots),
        limits=limits,
        simulated=study.simulated,
        made=True,
    )
    record = {
        "key": key, "files": {name: page.files[out / name] for name in names}, "days": page.days,
        "pixels": page.pixels, "limits": list(limits), "simulated": page.simulated,
    }  # fmt: skip
    with whole(out / RECORD) as partly:
        write_json(partly, record)
    report("map: done", 1.0)
    return page


def _found(out: Path, key: str) -> MapPage | None:
    """The page that is there, if it was made of the same and is whole."""
    try:
        record = json.loads((out / RECORD).read_text("utf-8"))
        if record["key"] != key:
            return None
        sizes = {out / name: size for name, size in record["files"].items()}
        if any(path.stat().st_size != size for path, size in sizes.items()):
            return None
        low, high = record["limits"]
        return MapPage(
            out / PAGE, sizes, record["days"], record["pixels"], (low, high), record["simulated"], made=False
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(
    prediction: Path,
    cube: Path,
    manifest: Manifest,
    smap: Path | None,
    stations: Path | None,
    embed_bytes: int,
) -> str:
    """A hash of everything that a page is made of, this program and its page included."""
    return digest(
        manifest.model_dump_json(),
        repr((version("gee-smap"), SOIL_MOISTURE, map_data.STEP, embed_bytes)),
        *(page.read_text("utf-8") for page in _pages()),
        prediction,
        *(cube / name for name in map_data.GROUND),
        *(table or "none" for table in (smap, stations)),
    )


def _blocks(codes: Codes, slots: NDArray[np.intp]) -> Iterator[tuple[str, Callable[[], Codes]]]:
    """The numbers cut by days; and, where that gives several blocks, by pixels too, days along the rows."""
    by_day = list(cuts(len(codes), len(slots), map_data.DAY_BLOCK))
    for number, some in enumerate(by_day):
        yield f"days-{number}", partial(_part, codes, some, slots)
    if len(by_day) > 1:
        for number, some in enumerate(cuts(len(slots), len(codes), map_data.SERIES_BLOCK)):
            yield f"series-{number}", partial(_part, codes, slice(None), slots[some])


def _part(codes: Codes, days: slice, slots: NDArray[np.intp]) -> Codes:
    return codes[days][:, slots]


def _base(study: _Study) -> Iterator[tuple[str, str]]:
    """What the page always carries."""
    yield "kinds", encoded(study.ground.kinds)
    yield "partitions", encoded(study.ground.partitions)
    if study.smap is not None:
        yield "cells", encoded(study.smap.cells)
        yield "smap", encoded(study.smap.codes)
    if study.stations is not None and study.stations.codes is not None:
        yield "insitu", encoded(study.stations.codes)


def _page(study: _Study, limits: tuple[float, float], folder: str | None, texts: dict[str, str]) -> str:
    sources = {path.name: path for path in _pages()}
    told = _told(study, limits, folder)
    blocks = "\n".join(
        f'<script type="text/plain" data-block="{name}">{text}</script>' for name, text in texts.items()
    )
    return Template(sources["page.html"].read_text("utf-8")).substitute(
        title=html.escape(told["title"]),
        style=sources["style.css"].read_text("utf-8").strip(),
        study=json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        blocks=blocks,
        script=page_script(),
    )


def _told(study: _Study, limits: tuple[float, float], folder: str | None) -> dict[str, Any]:
    """What the page knows of its study."""
    manifest = study.manifest
    height, width = study.ground.kinds.shape
    slots = len(study.ground.slots)
    days = [str(day) for day in study.days]
    return {
        "title": f"Daily soil moisture, {manifest.study}",
        "study": manifest.study,
        "simulated": study.simulated,
        "days": days,
        "grid": {
            "width": width, "height": height, "metres": manifest.grid.resolution.x, "crs": manifest.crs,
            "left": manifest.grid.boundingbox.left, "top": manifest.grid.boundingbox.top,
            "lattice": _lattice(manifest),
        },
        "box": study.ground.box(),
        "slots": slots,
        "values": {"step": map_data.STEP, "first": map_data.FIRST, "highest": _highest(study)},
        "scale": {"low": limits[0], "high": limits[1], "tick": TICK, "stops": SOIL_MOISTURE.stops},
        "partitions": _partition_labels(study),
        "stations": _station_places(study),
        "cells": 0 if study.smap is None else study.smap.codes.shape[1],
        "blocks": {
            "folder": folder,
            "days": next(cuts(len(days), slots, map_data.DAY_BLOCK)).stop,
            "series": next(cuts(slots, len(days), map_data.SERIES_BLOCK)).stop,
        },
        "notes": list(_notes(study)),
    }  # fmt: skip


def _highest(study: _Study) -> int:
    """The largest code there is."""
    parts = [study.codes, *(part.codes for part in (study.smap, study.stations) if part is not None)]
    return max(int(codes.max()) for codes in parts if codes is not None)


def _limits(study: _Study) -> tuple[float, float]:
    """Ends of the colours: ticks around all values but the tails, SMAP's and the map's together."""
    counts = np.zeros(np.iinfo(np.uint16).max + 1, np.int64)
    for matrix in (study.codes, *([study.smap.codes] if study.smap else [])):
        for day in matrix:
            counts += np.bincount(day.ravel(), minlength=len(counts))
    counts[map_data.NO_VALUE] = 0
    share = np.cumsum(counts) / counts.sum()
    ends = (np.searchsorted(share, part) for part in (TAIL / 100, 1 - TAIL / 100))
    low, high = ((int(end) - 1 + map_data.FIRST) * map_data.STEP for end in ends)
    first, last = int(np.floor(round(low / TICK, 6))), int(np.ceil(round(high / TICK, 6)))
    return round(first * TICK, 2), round(max(last, first + 2) * TICK, 2)


def _lattice(manifest: Manifest) -> dict[str, Any]:
    """Longitudes and latitudes at places of the grid, row after row."""
    height, width = manifest.grid.shape
    columns, rows = (
        np.linspace(0, side, max(2, round(side / LATTICE_PIXELS) + 1)) for side in (width, height)
    )
    box, step = manifest.grid.boundingbox, manifest.grid.resolution.x
    x, y = np.meshgrid(box.left + step * columns, box.top - step * rows)
    lon, lat = Transformer.from_crs(manifest.crs, WGS84, always_xy=True).transform(x, y)
    return {
        "columns": len(columns), "rows": len(rows),
        "lon": np.round(lon, 6).ravel().tolist(), "lat": np.round(lat, 6).ravel().tolist(),
    }  # fmt: skip


def _partition_labels(study: _Study) -> list[dict[str, Any]]:
    """Name and code of each partition, and where its name stands: as far from its edges as can be."""
    labels = []
    for code, name in enumerate(study.manifest.partitions, 1):
        inside = np.pad(study.ground.partitions == code, 1)
        if inside.any():
            depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            labels.append({"name": name, "code": code, "x": int(column) + 0.5, "y": int(row) + 0.5})
    return labels


def _station_places(study: _Study) -> list[dict[str, Any]]:
    if study.stations is None:
        return []
    found = study.stations
    return [
        {"name": name, "x": round(float(x), 3), "y": round(float(y), 3)}
        for name, x, y in zip(found.names, found.columns, found.rows, strict=True)
    ]


def _notes(study: _Study) -> Iterator[dict[str, str]]:
    """How the numbers came about, a name and a sentence each."""
    manifest, model = study.manifest, study.model[:12] or "unnamed"
    notes = {
        "Simulated": "The sources are simulated: nothing here was observed." if study.simulated else "",
        "Downscaled, 1 km": f"Prediction of model {model} on {manifest.crs}, "
        + "corrected so that its mean over a cell is SMAP's value, " * study.corrected
        + f"kept in steps of {map_data.STEP:g} m³/m³.",
        "SMAP, 9 km": "SMAP L4 surface soil moisture of the nearest cell that Earth Engine's raster holds, "
        "drawn in pixels of 1 km."
        if study.smap
        else "",
        "Partitions": manifest.partition_rule if manifest.partitions else "",
        "Study": f"{manifest.study} ({manifest.study_hash[:12]}), preset {manifest.preset}",
        "Sources": ", ".join(sorted(set(manifest.sources.values()))),
    }
    return ({"name": name, "text": text} for name, text in notes.items() if text)
