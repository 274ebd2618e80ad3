"""What a user may write for a product, and what is said of everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gee.comparisons import PRODUCTS
from pipeline.errors import ConfigError
from pipeline.products.assets import AssetProduct
from pipeline.products.named import named
from pipeline.products.nsidc import NsidcProduct
from pipeline.products.rasters import RasterProduct, Reading
from pipeline.products.smci import SmciProduct

NSIDC = "NSIDC-0779_EASE2_G1km_SMAP_SM_DS_20190401.tif"


def folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in names:
        (path / name).touch()
    return path


def test_the_source_tells_its_kind(tmp_path: Path) -> None:
    tifs, nsidc = folder(tmp_path / "tifs", "sm_20190401.tif"), folder(tmp_path / "n", "read.me", NSIDC)
    smci = folder(tmp_path / "s", "SMCI_1km_2019_10cm.nc")
    assert named(f"smap_dsm={nsidc}") == NsidcProduct(nsidc, "smap_dsm", "NSIDC-0779")
    assert named(f"smci={smci}") == SmciProduct(smci, "smci", "SMCI1.0")
    assert named(f"smci={smci / 'SMCI_1km_2019_10cm.nc'}#*0.01").factor == 0.01  # type: ignore[attr-defined]
    assert named(f"mine={tifs}") == RasterProduct("mine", "mine", tifs)
    assert named(f"mine={nsidc}:rasters") == RasterProduct("mine", "mine", nsidc)


@pytest.mark.parametrize(
    ("behind", "reading"),
    [
        ("", Reading((1,))),
        ("#2", Reading((2,))),
        ("#2*0.01", Reading((2,), 0.01)),
        ("#*1e-3", Reading((1,), 0.001)),
        ("#3*0.5+-0.02", Reading((3,), 0.5, -0.02)),
        ("#1+0.1:rasters", Reading((1,), None, 0.1)),
    ],
)
def test_band_factor_and_offset_stand_behind_the_source(
    tmp_path: Path, behind: str, reading: Reading
) -> None:
    tifs = folder(tmp_path / "tifs", "sm_20190401.tif")
    product = named(f"mine={tifs}{behind}")
    assert isinstance(product, RasterProduct)
    assert product.reading == reading


def test_assets_are_known_by_their_form() -> None:
    era5 = "ECMWF/ERA5_LAND/DAILY_AGGR"
    assert named(f"era5={era5}#volumetric_soil_water_layer_1") == AssetProduct(
        "era5", "era5", era5, ("volumetric_soil_water_layer_1",)
    )
    mine = "projects/my-project/assets/sm/mine"
    assert named(f"mine={mine}#sm*0.01+0.1") == AssetProduct("mine", "mine", mine, ("sm",), 0.01, 0.1)
    assert named(f"smci={mine}") == AssetProduct("smci", "SMCI1.0", mine, known=PRODUCTS["smci"])
    assert named(f"smci={mine}#b1*0.001") == AssetProduct("smci", "SMCI1.0", mine, ("b1",), 0.001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("downloads/smci", "is no product: give NAME=SOURCE"),
        ("=downloads", "is no product"),
        ("Mine=downloads", "is no product"),
        ("my product=downloads", "is no product"),
        ("mine=", "is no product"),
        ("mine=a/b#1*x", "is no product"),
        ("mine=a/b#1*0.1*0.2", "is no product"),
        ("mine=downloads/nowhere", "downloads/nowhere is neither a folder or file here"),
        ("mine=nowhere", "nowhere is neither a folder or file here nor the id of an Earth Engine collection"),
        ("mine={tmp}/empty", "holds neither GeoTIFFs"),
        ("mine={tmp}/notes.txt", "is a file that is no product"),
        ("mine={tmp}/tifs#sm", "bands of GeoTIFFs are numbers from 1, not 'sm'"),
        ("smap_dsm={tmp}/tifs#1:nsidc", "NSIDC-0779 has no choice of bands; leave that out"),
        ("smap_dsm={tmp}/tifs#2*0.5+0.1:nsidc", "NSIDC-0779 has no choice of bands or factor or offset"),
        ("smci={tmp}/tifs#*0.001+0.1:smci", "SMCI1.0 has no choice of offset"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, message: str) -> None:
    folder(tmp_path / "tifs", "sm_20190401.tif")
    folder(tmp_path / "empty")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=message):
        named(text.format(tmp=tmp_path))
