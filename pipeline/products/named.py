"""A product as a user names it on the command line: ``NAME=SOURCE``, with a band, factor and kind if need be.

What a source is shows from the disk and from its form, so that the kind has to be said only where both fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from gee.comparisons import PRODUCTS
from pipeline.errors import ConfigError
from pipeline.products import nsidc
from pipeline.products.assets import AssetProduct
from pipeline.products.nsidc import NsidcProduct
from pipeline.products.product import Product
from pipeline.products.rasters import RasterProduct, Reading
from pipeline.products.smci import SmciProduct
from pipeline.tables.pairs import PRODUCT
from pipeline.tables.titles import title

FORM = "NAME=SOURCE[#BAND[*FACTOR][+OFFSET]][:KIND]"
EXAMPLES = (
    "smap_dsm=downloads/nsidc-0779, smci=downloads/SMCI_1km_2019_10cm, mine=maps/tif#2*0.01:rasters, "
    "era5=ECMWF/ERA5_LAND/DAILY_AGGR#volumetric_soil_water_layer_1"
)
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_BEHIND = re.compile(rf"(?P<band>[^#*+]*)(?:\*(?P<factor>{_NUMBER}))?(?:\+(?P<offset>{_NUMBER}))?")
# Ids of the catalogue begin with capitals; a path that is mistyped seldom does.
_ASSET = re.compile(r"(?:projects|users|simulated|[A-Z][\w.-]*)(?:/[\w.:-]+)+")
_LOOKED_AT = 10_000  # files of a folder, to see what it holds


@dataclass(frozen=True)
class Given:
    """What a user gave.

    Attributes:
        name: of the product.
        place: a folder, a file or an asset.
        band: name or number; empty where none was given.
        factor: to m³/m³; None where none was given.
        offset: added to that.
    """

    name: str
    place: str
    band: str = ""
    factor: float | None = None
    offset: float | None = None


def named(text: str) -> Product:
    """The product that a user names.

    Args:
        text: ``NAME=SOURCE``, behind which may stand ``#BAND`` (a name, or a number from 1; of GeoTIFFs a
            number), ``*FACTOR`` and ``+OFFSET`` from its numbers to m³/m³, and ``:KIND``, a key of ``KINDS``.

    Raises:
        ConfigError: it has not that form, or the source is nothing that is known.
    """
    name, sign, rest = text.partition("=")
    kind = None
    if rest.rpartition(":")[2] in KINDS:
        rest, _, kind = rest.rpartition(":")
    place, _, behind = rest.partition("#")
    told = _BEHIND.fullmatch(behind)
    if not sign or not PRODUCT.fullmatch(name) or not place or told is None:
        raise ConfigError(f"{text!r} is no product: give {FORM}, such as {EXAMPLES}")
    factor, offset = (None if told[key] is None else float(told[key]) for key in ("factor", "offset"))
    given = Given(name, place, told["band"].strip(), factor, offset)
    return KINDS[kind or _kind(given)](given)


def _kind(given: Given) -> str:
    """What a source is, from the disk and from its form."""
    path = Path(given.place).expanduser()
    if path.is_file():
        if path.suffix.lower() == ".nc":
            return "smci"
        raise ConfigError(
            f"{path} is a file that is no product: name a NetCDF file of SMCI1.0, or a folder of GeoTIFFs"
        )
    if path.is_dir():
        names = [one.name for one in islice(path.rglob("*"), _LOOKED_AT)]
        if any(nsidc.FILE.search(one) for one in names):
            return "nsidc"
        if any(one.lower().endswith((".tif", ".tiff")) for one in names):
            return "rasters"
        if any(one.lower().endswith(".nc") for one in names):
            return "smci"
        raise ConfigError(
            f"{path} holds neither GeoTIFFs (.tif) nor NetCDF files (.nc): name the folder that does"
        )
    if _ASSET.fullmatch(given.place):
        return "asset"
    raise ConfigError(
        f"{given.place} is neither a folder or file here nor the id of an Earth Engine collection: mind its "
        "spelling"
    )


def _numbers(given: Given) -> int:
    """The number of a GeoTIFF's band."""
    if given.band and not given.band.isdecimal():
        raise ConfigError(f"{given.place}: bands of GeoTIFFs are numbers from 1, not {given.band!r}")
    return int(given.band or 1)


def _refuse(given: Given, kind: str, **told: object) -> None:
    """Refuse what a product of a known format leaves no choice of."""
    if useless := [name for name, value in told.items() if value]:
        raise ConfigError(f"{given.place}: {kind} has no choice of {' or '.join(useless)}; leave that out")


def _nsidc(given: Given) -> Product:
    _refuse(given, "NSIDC-0779", bands=given.band, factor=given.factor, offset=given.offset)
    return NsidcProduct(Path(given.place).expanduser(), given.name, title(given.name))


def _smci(given: Given) -> Product:
    _refuse(given, "SMCI1.0", bands=given.band, offset=given.offset)
    return SmciProduct(Path(given.place).expanduser(), given.name, title(given.name), given.factor)


def _rasters(given: Given) -> Product:
    reading = Reading((_numbers(given),), given.factor, given.offset)
    return RasterProduct(given.name, title(given.name), Path(given.place).expanduser(), reading)


def _asset(given: Given) -> Product:
    own = given.band or given.factor is not None or given.offset is not None
    factor, offset = 1.0 if given.factor is None else given.factor, given.offset or 0.0
    bands = (given.band,) if given.band else ()
    known = None if own else PRODUCTS.get(given.name)
    return AssetProduct(given.name, title(given.name), given.place, bands, factor, offset, known)


KINDS: Mapping[str, Callable[[Given], Product]] = MappingProxyType(
    {"nsidc": _nsidc, "smci": _smci, "rasters": _rasters, "asset": _asset}
)
"""How products are read, by the word that a user may put behind a colon."""
