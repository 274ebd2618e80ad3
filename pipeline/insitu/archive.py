"""Downloads from the International Soil Moisture Network: a zip file as it comes, or its unpacked folder.

The files of the network's two formats (CEOP in separate files, header and values) are read by its own
package, ``ismn``, one by one: its interface for whole archives writes a catalogue into the user's folder,
prints, stops at a folder without its usual levels, and reads everything to know what is there. Flags:
Dorigo et al. 2013 (doi:10.2136/vzj2012.0097), of which only G is good; older downloads have U in its
place, CEOP's code for unchecked.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import ConfigError, DataError
from pipeline.insitu.series import KEYS, Depth, Insitu, Period, checked, is_within, within
from pipeline.progress import Report
from pipeline.wording import listed, plural

GOOD = ("G",)
SUFFIX = ".stm"
MOISTURE = "sm"  # the variable's part of a file's name
NETWORK, STATION, VARIABLE, FROM, TO, INSTRUMENT = 1, 2, 3, 4, 5, 6  # parts of a name, separated by _
DAMAGE = (
    OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class _Series:
    """One file: what it says of its sensor, and its good readings."""

    sensor: dict[str, Any]
    rows: pd.DataFrame
    flags: Counter[str]


def read_archive(
    path: Path,
    depth: Depth,
    report: Report,
    *,
    flags: Collection[str] = GOOD,
    period: Period | None = None,
) -> Insitu:
    """Read soil moisture from a download of the ISMN.

    Args:
        path: a zip file, a folder with ``.stm`` files at any level, or one such file; nothing is written
            there.
        depth: range within which a sensor's depths lie, m.
        report: told what is being read and the share of it that is done.
        flags: quality flags whose readings are taken; one with several has them all as one, ``D01,D03``.
        period: first and last day of use; None = all.

    Returns:
        The readings, times as the network gives them, UTC. Other flags are counted in a note; a file that
        is damaged is told and the others are read.

    Raises:
        ConfigError: the package ``ismn`` is not installed.
        DataError: the zip file is damaged, no file of soil moisture is there, or none can be used.
    """
    data_file, root = _package()
    found: list[_Series] = []
    damaged: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gee-smap-ismn-") as scratch, _members(path) as (names, fetch):
        ours = [name for name in names if _parts(name)[VARIABLE : VARIABLE + 1] == [MOISTURE]]
        if not ours:
            raise DataError(
                f"{path}: no file of soil moisture of the ISMN (NETWORK_..._sm_..._*{SUFFIX}) among "
                f"{plural(len(names), SUFFIX + ' file')}; name the zip file or folder as downloaded"
            )
        for number, name in enumerate(ours):
            report(f"reading: {PurePosixPath(name).name}", number / len(ours))
            try:
                told = _parts(name)
                if not is_within((float(told[FROM]), float(told[TO])), depth):
                    found.append(_unread(name))
                    continue
                file = fetch(name, Path(scratch))
                one = data_file(root(file.parent), file.name, temp_root=scratch)
                found.append(_series(one, name, depth, flags, period))
            except DAMAGE as error:
                reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
                damaged.append(
                    f"{name} cannot be read ({reason[0][:160]}) and is left out; download it again."
                )
    report("checking readings", 1.0)
    return _together(path, found, damaged, depth, flags, period)


def _package() -> tuple[Any, Any]:
    try:
        from ismn.base import IsmnRoot
        from ismn.filehandlers import DataFile
    except ImportError as error:
        raise ConfigError(
            "Downloads of the ISMN are read by the package ismn, which is not installed: pip install "
            '"gee-smap[validation]", or bring the readings as a CSV table.'
        ) from error
    return DataFile, IsmnRoot


@contextmanager
def _members(path: Path) -> Iterator[tuple[list[str], Callable[[str, Path], Path]]]:
    """The names of the files and how each is brought to disk."""
    if path.is_file() and path.suffix.lower() == SUFFIX:
        yield [path.name], lambda name, _: path
    elif path.is_dir():
        files = sorted(path.rglob(f"*{SUFFIX}"))
        yield [file.relative_to(path).as_posix() for file in files], lambda name, _: path / name
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if name.lower().endswith(SUFFIX))

                def fetch(name: str, scratch: Path) -> Path:
                    file = scratch / "station" / PurePosixPath(name).name
                    file.parent.mkdir(exist_ok=True)
                    with archive.open(name) as packed, file.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
                    return file

                yield names, fetch
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is cut off or no zip file ({error}): download it again") from error


def _parts(name: str) -> list[str]:
    """The parts of a file's name; a hidden copy that some systems put into zip files has none."""
    file = PurePosixPath(name)
    return [] if file.name.startswith("._") else file.stem.split("_")


def _network(name: str) -> str:
    """The network of a file: the folder above its station's, where there is one, as the package has it."""
    folders = PurePosixPath(name).parts[:-1]
    return folders[-2] if len(folders) >= 2 else _parts(name)[NETWORK]


def _unread(name: str) -> _Series:
    """A sensor at another depth: its name says all that is told of it."""
    parts = _parts(name)
    sensor = {
        "network": _network(name),
        "station": parts[STATION],
        "instrument": "_".join(parts[INSTRUMENT:-2]),
        "depth_from": float(parts[FROM]),
        "depth_to": float(parts[TO]),
        "lon": np.nan,
        "lat": np.nan,
    }
    return _Series(sensor, pd.DataFrame({"time": [], "sm": []}), Counter())


def _series(file: Any, name: str, depth: Depth, flags: Collection[str], period: Period | None) -> _Series:
    """What a file of the package holds."""
    about = file.metadata
    place = about["instrument"].depth
    sensor = {
        "network": _network(name),
        "station": about["station"].val,
        "instrument": about["instrument"].val,
        "depth_from": place.start,
        "depth_to": place.end,
        "lon": about["longitude"].val,
        "lat": about["latitude"].val,
    }
    read = file.read_data()
    flag = read["soil_moisture_flag"].fillna("none")
    good = flag.isin(list(flags)) & (read["soil_moisture"].notna()) & read.index.notna()
    rows = pd.DataFrame(
        {
            "time": read.index[good].astype("datetime64[ns]"),
            "sm": read.loc[good, "soil_moisture"].to_numpy(np.float64),
        }
    )
    return _Series(sensor, within(rows, period), Counter(flag.value_counts().to_dict()))


def _together(
    path: Path,
    found: list[_Series],
    damaged: list[str],
    depth: Depth,
    flags: Collection[str],
    period: Period | None,
) -> Insitu:
    if not found:
        raise DataError("\n".join([f"{path}: no file can be read", *damaged]))
    every = pd.DataFrame([one.sensor for one in found])
    codes = every.groupby(list(KEYS), sort=False, dropna=False).ngroup().to_numpy()
    sensors = every[~pd.Series(codes).duplicated()].assign(daily=False, reason="").reset_index(drop=True)
    counts: Counter[str] = Counter()
    none = dict.fromkeys(range(len(sensors)), "")
    for code, one in zip(codes.tolist(), found, strict=True):
        counts += one.flags
        if one.flags and not any(flag in one.flags for flag in flags):
            none[code] = f"none of its readings has the flag {_or(flags)}"
    rows = pd.concat(
        [one.rows.assign(code=code) for code, one in zip(codes, found, strict=True) if len(one.rows)]
        or [pd.DataFrame({"time": np.array([], "datetime64[ns]"), "sm": [], "code": np.array([], np.intp)})],
        ignore_index=True,
    )
    have = set(rows["code"])
    sensors["reason"] = ["" if code in have else none[code] for code in sensors.index]
    return checked(path, sensors, rows, depth, [*damaged, *_flags(counts, flags)], period=period)


def _or(flags: Collection[str]) -> str:
    return " or ".join(flags)


def _flags(counts: Counter[str], flags: Collection[str]) -> Iterator[str]:
    """How many readings were taken by their flags."""
    other = [(flag, number) for flag, number in counts.most_common() if flag not in flags]
    if not other:
        return
    left = sum(number for _, number in other)
    yield (
        f"{counts.total() - left:,} of {counts.total():,} readings have the flag {_or(flags)}; the others "
        f"are left out ({listed([f'{number:,} {flag}' for flag, number in other])})."
    )
    if counts["U"] and "U" not in flags and not any(counts[flag] for flag in flags):
        yield "Older downloads say U (unchecked) where newer ones say G: name the flag U to take these."
