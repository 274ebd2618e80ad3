"""Quality bits against NASA's decoding of real pixels, and against the guides' tables typed in again here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ee
import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray

from gee import quality
from gee.catalog import ALBEDO, LAI, LST, REFLECTANCE, SENTINEL1, SENTINEL1_DB, Source
from gee.local.sources.dataset import RasterGrid
from gee.quality import PRESETS, Preset, bits, clear, edges, masked, sentinel1_scenes
from tests.gee.conftest import Earth

BRDF = "BRDF_Albedo_Band_Mandatory_Quality_shortwave"
DTYPES = {"QA": "uint32", "StateQA": "uint16"}


def raster(*shape: int) -> RasterGrid:
    height, width = shape
    return RasterGrid("EPSG:32650", (500, 0, 500_000, 0, -500, 3_500_000), width, height)


def put(earth: Earth, **bands: Any) -> tuple[ee.Image, RasterGrid]:
    """An image of one row of words a band, in the product's pixel types."""
    rows = {
        name: np.ma.atleast_2d(np.ma.asarray(words)).astype(DTYPES.get(name, "uint8"))
        for name, words in bands.items()
    }
    grid = raster(*next(iter(rows.values())).shape)
    earth.put_image("a/words", grid, rows)
    return ee.Image("a/words"), grid


def kept(earth: Earth, image: ee.Image, grid: RasterGrid, source: Source, preset: Preset) -> list[bool]:
    found = earth.pixels(clear(image, source, preset), grid)["clear"]
    assert not np.ma.getmaskarray(found).any()
    assert set(np.unique(found.data)) <= {0, 1}
    return (found.data.ravel() == 1).tolist()


# --- every field, by the tables of the user guides ----------------------------------------------------------

EVERYTHING = "any"

# band, first bit, number of bits, values that leave an otherwise perfect pixel clear.
REFLECTANCE_FIELDS: list[tuple[str, int, int, Any, Any]] = [
    # band, first bit, bits, balanced, strict
    ("StateQA", 0, 2, {0, 3}, {0, 3}),  # cloud state
    ("StateQA", 2, 1, {0}, {0}),  # cloud shadow
    ("StateQA", 3, 3, EVERYTHING, EVERYTHING),  # land or water: paddies and lake shores stay
    ("StateQA", 6, 2, EVERYTHING, {0, 1, 2}),  # aerosol
    ("StateQA", 8, 2, {0, 1}, {0, 1}),  # cirrus
    ("StateQA", 10, 1, {0}, {0}),  # internal cloud
    ("StateQA", 11, 1, EVERYTHING, EVERYTHING),  # internal fire
    ("StateQA", 12, 1, {0}, {0}),  # MOD35 snow or ice
    ("StateQA", 13, 1, EVERYTHING, {0}),  # beside a cloud
    ("StateQA", 14, 1, EVERYTHING, EVERYTHING),  # BRDF-corrected, or salt pan
    ("StateQA", 15, 1, {0}, {0}),  # internal snow
    ("QA", 0, 2, {0, 1}, {0, 1}),  # MODLAND
    ("QA", 2, 4, EVERYTHING, {0}),  # band 1 ...
    ("QA", 6, 4, EVERYTHING, {0}),
    ("QA", 10, 4, EVERYTHING, {0}),
    ("QA", 14, 4, EVERYTHING, {0}),
    ("QA", 18, 4, EVERYTHING, EVERYTHING),  # band 5 is not used
    ("QA", 22, 4, EVERYTHING, {0}),
    ("QA", 26, 4, EVERYTHING, {0}),  # ... band 7
    ("QA", 30, 1, EVERYTHING, EVERYTHING),  # atmospheric correction
    ("QA", 31, 1, EVERYTHING, EVERYTHING),  # adjacency correction
]
LEAF_FIELDS: list[tuple[str, int, int, Any, Any]] = [
    ("FparLai_QC", 0, 1, {0}, {0}),  # MODLAND
    ("FparLai_QC", 1, 1, EVERYTHING, EVERYTHING),  # sensor
    ("FparLai_QC", 2, 1, {0}, {0}),  # dead detector
    ("FparLai_QC", 3, 2, {0, 3}, {0, 3}),  # cloud state
    ("FparLai_QC", 5, 3, {0, 1}, {0, 1}),  # SCF_QC
    ("FparExtra_QC", 0, 2, EVERYTHING, EVERYTHING),  # land or water
    ("FparExtra_QC", 2, 1, {0}, {0}),  # snow or ice
    ("FparExtra_QC", 3, 1, EVERYTHING, {0}),  # aerosol
    ("FparExtra_QC", 4, 1, EVERYTHING, {0}),  # cirrus
    ("FparExtra_QC", 5, 1, {0}, {0}),  # internal cloud mask
    ("FparExtra_QC", 6, 1, {0}, {0}),  # cloud shadow
    ("FparExtra_QC", 7, 1, EVERYTHING, EVERYTHING),  # biome
]
ALBEDO_FIELDS: list[tuple[str, int, int, Any, Any]] = [
    (BRDF, 0, 3, {0}, {0}),  # full inversion
    (BRDF, 3, 5, {0}, {0}),  # fill
]
FIELDS = {REFLECTANCE: REFLECTANCE_FIELDS, LAI: LEAF_FIELDS, ALBEDO: ALBEDO_FIELDS}


def test_the_fields_typed_here_are_whole_words() -> None:
    sizes = {"StateQA": 16, "QA": 32, "FparLai_QC": 8, "FparExtra_QC": 8, BRDF: 8}
    for fields in FIELDS.values():
        for band in {field[0] for field in fields}:
            covered = sorted(b for name, at, n, *_ in fields if name == band for b in range(at, at + n))
            assert covered == list(range(sizes[band]))


@pytest.mark.parametrize("preset", ["balanced", "strict"])
@pytest.mark.parametrize(
    ("source", "field"),
    [(source, field) for source, fields in FIELDS.items() for field in fields],
    ids=lambda value: value.name if isinstance(value, Source) else f"{value[0]}-{value[1]}",
)
def test_each_value_of_a_field_of_an_otherwise_perfect_pixel(
    earth: Earth, source: Source, field: tuple[str, int, int, Any, Any], preset: Preset
) -> None:
    band, first, width, balanced, strict = field
    good = balanced if preset == "balanced" else strict
    words = {name: [0] * 2**width for name, *_ in FIELDS[source]}
    words[band] = [value << first for value in range(2**width)]
    image, grid = put(earth, **words)
    expected = [good == EVERYTHING or value in good for value in range(2**width)]
    assert kept(earth, image, grid, source, preset) == expected


@pytest.mark.parametrize("preset", ["balanced", "strict"])
def test_all_words_of_land_temperature(earth: Earth, preset: Preset) -> None:
    def good(word: int) -> bool:
        text = f"{word:08b}"  # error of LST, error of emissivity, data quality, mandatory
        if text[6:] == "00":
            return True
        return (
            preset == "balanced"
            and text[6:] == "01"
            and text[0:2] in ("00", "01")  # at most 1 K, 2 K
            and text[2:4] in ("00", "01")  # at most 0.01, 0.02
        )

    image, grid = put(earth, QC_Day=range(256))
    assert kept(earth, image, grid, LST, preset) == [good(word) for word in range(256)]
    assert sum(map(good, range(256))) == {"balanced": 64 + 4 * 4, "strict": 64}[preset]


def test_words_with_several_flags_are_clear_only_without_any(earth: Earth) -> None:
    random = np.random.default_rng(4)
    state, word = random.integers(0, 2**16, 4_000), random.integers(0, 2**32, 4_000)
    state[:2_000] &= 0b0110100011111000  # none of the flags that count, so that both answers occur
    image, grid = put(earth, StateQA=state, QA=word)
    flags = np.unpackbits(state.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, ::-1].astype(bool)
    cloud_state = flags[:, 0] + 2 * flags[:, 1]
    expected = (
        np.isin(cloud_state, (0, 3)) & ~flags[:, 2] & ~flags[:, 9] & ~flags[:, 10] & ~flags[:, 12]
        & ~flags[:, 15] & (word % 4 <= 1)
    )  # fmt: skip
    assert 0.1 < expected.mean() < 0.5
    assert kept(earth, image, grid, REFLECTANCE, "balanced") == expected.tolist()


def test_magnitude_inversions_are_refused_unless_asked_for(earth: Earth) -> None:
    image, grid = put(earth, **{BRDF: range(256)})
    for preset in PRESETS:
        assert kept(earth, image, grid, ALBEDO, preset) == [True] + [False] * 255
    any_inversion = earth.pixels(quality.accepted(image, quality.ANY_INVERSION), grid)["clear"]
    assert any_inversion.data.ravel().tolist() == [1, 1] + [0] * 254


def test_strict_never_keeps_what_balanced_refuses(earth: Earth) -> None:
    random = np.random.default_rng(9)
    few = [random.integers(0, 256, 3_000) & random.integers(0, 256, 3_000) for _ in range(2)]
    image, grid = put(earth, FparLai_QC=few[0], FparExtra_QC=few[1])
    balanced, strict = (np.array(kept(earth, image, grid, LAI, preset)) for preset in ("balanced", "strict"))
    assert not (strict & ~balanced).any()
    assert 0 < strict.sum() < balanced.sum()


# --- bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "first", "last", "expected"),
    [
        (0x8000_0000, 31, 31, 1),  # a negative number in 32 bits
        (0x7FFF_FFFF, 31, 31, 0),
        (0x8000_0000, 28, 31, 0b1000),
        (0x8000_0000, 0, 30, 0),
        (0xFFFF_FFFF, 26, 29, 0b1111),
        (0xFFFF_FFFF, 0, 31, 0xFFFF_FFFF),
        (0b1011_0000, 4, 6, 0b011),
    ],
)
def test_bits_of_32_bit_words(earth: Earth, word: int, first: int, last: int, expected: int) -> None:
    image, grid = put(earth, QA=[word])
    assert earth.pixels(bits(image, first, last), grid)["QA"].tolist() == [[expected]]


# --- masks ----------------------------------------------------------------------------------------------


def test_where_a_quality_band_is_missing_nothing_is_said_and_nothing_kept(earth: Earth) -> None:
    hidden = np.ma.MaskedArray([0, 0, 8], [False, True, False])
    extra = np.ma.MaskedArray([0, 0, 0], [True, False, False])
    image, grid = put(earth, FparLai_QC=hidden, FparExtra_QC=extra)
    assert earth.pixels(clear(image, LAI, "balanced"), grid)["clear"].mask.tolist() == [[True, True, False]]
    assert earth.pixels(masked(image, LAI, "balanced"), grid)["FparLai_QC"].mask.all()


def test_each_alternative_is_enough_and_a_missing_word_answers_neither(earth: Earth) -> None:
    image, grid = put(earth, QC_Day=np.ma.MaskedArray([0, 1, 2, 0], [False, False, False, True]))
    found = earth.pixels(clear(image, LST, "balanced"), grid)["clear"]
    assert found.tolist() == [[1, 1, 0, None]]


def test_masking_keeps_bands_values_time_and_properties(earth: Earth) -> None:
    grid = raster(1, 3)
    temperature = np.ma.MaskedArray([[14_000, 14_500, 15_000]], [[True, False, False]], dtype=np.uint16)
    quality_words = np.array([[0, 0, 2]], np.uint8)
    earth.put(
        LST.id, grid, [("2019-07-01", {"LST_Day_1km": temperature, "QC_Day": quality_words}, {"kept": "yes"})]
    )
    image = masked(LST.collection().first(), LST, "strict")
    found = earth.pixels(image, grid)
    assert found["LST_Day_1km"].mask.tolist() == [[True, False, True]]
    assert found["QC_Day"].mask.tolist() == [[False, False, True]]
    assert found["LST_Day_1km"].compressed().tolist() == [14_500]
    assert earth.value(image.get("kept")) == "yes"
    assert earth.value(image.date().format("YYYY-MM-dd")) == "2019-07-01"


def test_sources_without_quality_bits_are_refused() -> None:
    with pytest.raises(KeyError):
        clear(ee.Image(0), SENTINEL1, "balanced")


# --- Sentinel-1 -----------------------------------------------------------------------------------------

SCENES = [
    ("IW", "ASCENDING", ["VV", "VH"]),
    ("IW", "DESCENDING", ["VV", "VH"]),
    ("IW", "ASCENDING", ["VV"]),
    ("IW", "ASCENDING", ["HH", "HV"]),
    ("EW", "ASCENDING", ["VV", "VH"]),
    ("IW", "ASCENDING", ["VH", "VV"]),
]


@pytest.mark.parametrize(
    ("orbit", "expected"), [("ascending", [0, 5]), ("descending", [1]), ("both", [0, 1, 5])]
)
def test_only_comparable_scenes_remain(earth: Earth, orbit: quality.Orbit, expected: list[int]) -> None:
    bands = {"VV": np.ones((1, 1), np.float32)}
    images = [
        (f"2019-05-{number + 1:02d}", bands, {
            "instrumentMode": mode, "orbitProperties_pass": flown,
            "transmitterReceiverPolarisation": polarisations, "number": number,
        })
        for number, (mode, flown, polarisations) in enumerate(SCENES)
    ]  # fmt: skip
    earth.put(SENTINEL1.id, raster(1, 1), images)
    found = sentinel1_scenes(SENTINEL1.collection(), orbit)
    assert earth.value(found.aggregate_array("number")) == expected


@pytest.mark.parametrize(
    ("source", "vv"),
    [(SENTINEL1, [0.0, 0.00099, 0.00101, 0.1]), (SENTINEL1_DB, [-60.0, -30.01, -29.99, -10.0])],
    ids=["power", "decibel"],
)
def test_noise_at_the_edge_goes_with_both_polarisations(
    earth: Earth, source: Source, vv: list[float]
) -> None:
    grid = raster(1, 5)
    seen = np.ma.MaskedArray([[*vv, vv[-1]]], [[False] * 4 + [True]], dtype=np.float32)
    earth.put_image("a/scene", grid, {"VV": seen, "VH": np.full((1, 5), vv[-1], np.float32)})
    found = earth.pixels(edges(ee.Image("a/scene"), source), grid)
    assert found["VV"].mask.tolist() == [[True, True, False, False, True]]
    assert found["VH"].mask.tolist() == [[True, True, False, False, True]]


# --- real pixels and NASA's decoding of them --------------------------------------------------------------


def decoded(shared_data: Path, product: str) -> pd.DataFrame:
    """Raw words and what NASA's service says they are, as text, without the product's prefix."""
    table = pd.read_csv(shared_data / "modis-qc-decoded" / f"{product}.csv", dtype=str)
    return table.rename(columns=lambda name: name.split("_061_")[-1].split("_006_")[-1])


def words(column: pd.Series) -> NDArray[np.int64]:
    return column.astype(float).astype(np.int64).to_numpy()


REFLECTANCE_COLUMNS = {
    (0, 1): "MODLAND",
    **{
        (4 * band - 2, 4 * band + 1): f"band_{band}_data_quality_four_bit_range" for band in range(1, 8)
    },
    (30, 30): "atmospheric_correction_performed",
    (31, 31): "adjacency_correction_performed",
}  # fmt: skip
LEAF_COLUMNS = {
    (0, 0): "MODLAND", (1, 1): "Sensor", (2, 2): "DeadDetector", (3, 4): "CloudState", (5, 7): "SCF_QC",
}  # fmt: skip
EXTRA_COLUMNS = {
    (0, 1): "LandSea_Pass-Thru", (2, 2): "Snow_Ice", (3, 3): "Aerosol", (4, 4): "Cirrus",
    (5, 5): "Internal_CloudMask", (6, 6): "Cloud_Shadow", (7, 7): "SCF_Biome_Mask",
}  # fmt: skip
ALBEDO_COLUMNS = {(0, 2): "MODLAND", (3, 7): "Fill"}


@pytest.mark.parametrize(
    ("product", "column", "band", "fields", "rows"),
    [
        ("mod09a1", "sur_refl_qc_500m", "QA", REFLECTANCE_COLUMNS, 6_624),
        ("mcd15a3h", "FparLai_QC", "FparLai_QC", LEAF_COLUMNS, 1_110),
        ("mcd15a3h", "FparExtra_QC", "FparExtra_QC", EXTRA_COLUMNS, 1_110),
        ("mcd43a4", "BRDF_Albedo_Band_Mandatory_Quality_Band3", BRDF, ALBEDO_COLUMNS, 365),
        ("mcd43a4", "BRDF_Albedo_Band_Mandatory_Quality_Band4", BRDF, ALBEDO_COLUMNS, 365),
    ],
)
def test_every_bit_field_of_every_real_pixel_is_nasas(
    earth: Earth,
    shared_data: Path,
    product: str,
    column: str,
    band: str,
    fields: dict[tuple[int, int], str],
    rows: int,
) -> None:
    table = decoded(shared_data, product)
    image, grid = put(earth, **{band: words(table[column])})
    for (first, last), name in fields.items():
        found = earth.pixels(bits(image, first, last), grid)[band].data.ravel()
        nasa = table[f"{column}_{name}"].map(lambda text: int(text, 2)).to_numpy()
        assert len(found) == rows
        assert (found == nasa).all(), name


GOOD_LEAVES = {
    "FparLai_QC_MODLAND": "Good quality",
    "FparLai_QC_DeadDetector": "Detectors apparently fine",
    "FparLai_QC_CloudState": ("Significant clouds NOT present", "Cloud state not defined"),
    "FparLai_QC_SCF_QC": "Main (RT) method used",
    "FparExtra_QC_Snow_Ice": "No snow",
    "FparExtra_QC_Internal_CloudMask": "No clouds",
    "FparExtra_QC_Cloud_Shadow": "No cloud shadow",
}
CLEANEST_LEAVES = GOOD_LEAVES | {
    "FparExtra_QC_Aerosol": "No or low",
    "FparExtra_QC_Cirrus": "No cirrus",
}


@pytest.mark.parametrize(("preset", "good"), [("balanced", GOOD_LEAVES), ("strict", CLEANEST_LEAVES)])
def test_clear_leaf_area_is_what_nasas_words_call_good(
    earth: Earth, shared_data: Path, preset: Preset, good: dict[str, str | tuple[str, ...]]
) -> None:
    table = decoded(shared_data, "mcd15a3h")
    expected = np.ones(len(table), bool)
    for name, beginning in good.items():
        expected &= table[f"{name}_Description"].str.startswith(beginning).to_numpy()
    assert 0.1 < expected.mean() < 0.9
    image, grid = put(earth, **{band: words(table[band]) for band in ("FparLai_QC", "FparExtra_QC")})
    assert kept(earth, image, grid, LAI, preset) == expected.tolist()


def test_clear_albedo_is_what_nasas_words_call_full_inversion(earth: Earth, shared_data: Path) -> None:
    column = "BRDF_Albedo_Band_Mandatory_Quality_Band3"  # the text of even bands is wrong in the file
    table = decoded(shared_data, "mcd43a4")
    said = table[f"{column}_MODLAND_Description"]
    image, grid = put(earth, **{BRDF: words(table[column])})
    full = said.eq("Processed, good quality (full BRDF inversions)")
    assert kept(earth, image, grid, ALBEDO, "balanced") == full.tolist()
    either = full | said.eq("Processed, see other QA (magnitude BRDF inversions)")
    found = earth.pixels(quality.accepted(image, quality.ANY_INVERSION), grid)["clear"]
    assert (found.data.ravel() == 1).tolist() == either.tolist()
    assert (full.sum(), either.sum()) == (231, 290)


def test_clear_reflectance_is_what_nasas_words_call_made_and_of_highest_quality(
    earth: Earth, shared_data: Path
) -> None:
    table = decoded(shared_data, "mod09a1")
    made = table["sur_refl_qc_500m_MODLAND_Description"].str.startswith("Corrected product produced")
    highest = made.copy()
    for band in (1, 2, 3, 4, 6, 7):
        said = table[f"sur_refl_qc_500m_band_{band}_data_quality_four_bit_range_Description"]
        highest &= said.eq("highest quality")
    image, grid = put(earth, QA=words(table["sur_refl_qc_500m"]), StateQA=np.zeros(len(table), np.int64))
    assert kept(earth, image, grid, REFLECTANCE, "balanced") == made.tolist()
    assert kept(earth, image, grid, REFLECTANCE, "strict") == highest.tolist()
    assert ((~made).sum(), (~highest).sum()) == (1, 38)


@pytest.mark.parametrize("preset", ["balanced", "strict"])
def test_a_real_scene_is_masked_as_by_numpy(earth: Earth, shared_data: Path, preset: Preset) -> None:
    folder = shared_data / "mod09a1-tile"
    with rasterio.open(folder / "MOD09A1.A2017193_qc500m_uint32.tif") as file:
        word = file.read(1)
    with rasterio.open(folder / "MOD09A1.A2017193_state500m_doy_uint16.tif") as file:
        state = file.read(1)

    def bit(first: int, count: int = 1) -> NDArray[np.int64]:
        return state.astype(np.int64) // 2**first % 2**count

    cloud, aerosol, cirrus = bit(0, 2), bit(6, 2), bit(8, 2)
    expected = (
        ((cloud == 0) | (cloud == 3)) & (bit(2) == 0) & (cirrus <= 1) & (bit(10) == 0)
        & (bit(12) == 0) & (bit(15) == 0) & (word % 4 <= 1)
    )  # fmt: skip
    if preset == "strict":
        expected &= (aerosol != 3) & (bit(13) == 0)
        for band in (1, 2, 3, 4, 6, 7):
            expected &= word.astype(np.int64) // 2 ** (4 * band - 2) % 16 == 0
    grid = raster(*word.shape)
    earth.put_image("a/scene", grid, {"QA": word, "StateQA": state})
    found = earth.pixels(clear(ee.Image("a/scene"), REFLECTANCE, preset), grid)["clear"]
    assert (np.ma.getdata(found) == expected).all()
    assert not np.ma.getmaskarray(found).any()
    assert 0.5 < expected.mean() < 1, expected.mean()
