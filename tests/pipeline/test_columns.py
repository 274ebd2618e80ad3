"""The column mapping: formulas, units and how names are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee.predictors import EVERY
from pipeline.columns import (
    EXPORTED,
    KNOWN,
    LAND_COVER,
    PREDICTORS,
    SEASON,
    SETS,
    VARIABLES,
    Column,
    Resolver,
    conversion,
    mistakes,
    parse_formula,
)

TABLE = {
    "B4": np.array([0.1, 0.2, 0.0, np.nan]),
    "B8": np.array([0.3, 0.2, 0.0, 0.4]),
}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("(B8 - B4) / (B8 + B4)", [0.5, 0.0, np.nan, np.nan]),  # 0/0 is missing
        ("1 / B4", [10, 5, np.nan, np.nan]),  # so is 1/0
        ("-B8 ** 2", [-0.09, -0.04, 0, -0.16]),  # a power binds tighter than the sign
        ("2 ** -B8", [2**-0.3, 2**-0.2, 1, 2**-0.4]),
        ("sqrt(B4 - 0.15)", [np.nan, np.sqrt(0.05), np.nan, np.nan]),
        ("10 * log10(B8)", [10 * np.log10(0.3), 10 * np.log10(0.2), np.nan, 10 * np.log10(0.4)]),
        ("min(max(B8, 0.25), 0.35)", [0.3, 0.25, 0.25, 0.35]),
        ("max(B4, 0)", [0.1, 0.2, 0, np.nan]),  # missing stays missing
        ("abs(B4 - B8) + log(1 + 0 * B8)", [0.2, 0, 0, np.nan]),
        ("B8 * 1e400", [np.nan] * 4),
    ],
)
def test_a_formula_is_arithmetic_whose_undefined_results_are_missing(formula, expected):
    assert parse_formula(formula)(TABLE.__getitem__) == pytest.approx(np.array(expected), nan_ok=True)


leaf = st.sampled_from(["B4", "B8", "0.5", "3"])
expressions = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda e: f"-{e}"),
    ),
    max_leaves=8,
)


@given(expressions.filter(lambda text: "B" in text))
def test_a_formula_agrees_with_numpy(formula):
    with np.errstate(all="ignore"):
        reference = eval(formula, dict(TABLE))  # noqa: S307
    reference = np.where(np.isfinite(reference), reference, np.nan)
    np.testing.assert_allclose(parse_formula(formula)(TABLE.__getitem__), reference, rtol=1e-12)


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').remove('x')",
        "__import__('os')",
        "B8.__class__",
        "B8[0]",
        "(lambda: B8)()",
        "[B8 for B8 in B4]",
        "B8 if B4 else 0",
        "B8 > 0",
        "B8 and B4",
        "B8 + 'x'",
        "B8 + True",
        "B8 + 1j",
        "B8 // 2",
        "B8 % 2",
        "~B8",
        "exec(B8)",
        "min(B8)",
        "max(B8, B4, 1)",
        "abs(x=B8)",
        "abs(*B8)",
        "abs + B8",
        "(B8 := 3)",
        "B8 = 3",
        "B8; B4",
        "(B8",
        "",
        "1 + 2",
        "B8\x00",
        "B8" + " + B8" * 100,
        "9" * 400 + " * B8",
    ],
)
def test_anything_but_arithmetic_on_columns_is_refused(formula):
    with pytest.raises(ValueError, match=r"allowed: |takes \d argument"):
        parse_formula(formula)


def test_a_tower_of_powers_is_refused_no_time():
    assert np.isnan(parse_formula("B8 * 9**9**9**9")(TABLE.__getitem__)).all()


@pytest.mark.parametrize(
    ("name", "unit", "layer_mm", "raw", "expected", "becomes"),
    [
        ("sm", "mm", 50, 17.5, 0.35, "m3/m3"),
        ("sm", "mm", 100, 17.5, 0.175, "m3/m3"),
        ("sm", "%", None, 35, 0.35, "m3/m3"),
        ("sm", None, None, 0.35, 0.35, "m3/m3"),
        ("insitu", "mm", 50, 10, 0.2, "m3/m3"),
        ("insitu", "%", None, 35, 0.35, "1"),
        ("precipitation", "mm", None, 12, 12, "mm"),
        ("lst", "K", None, 300, 26.85, "degC"),
        ("soil_temperature", "K", None, 273.15, 0, "degC"),
        ("clay", "g/kg", None, 250, 25, "%"),
        ("clay", "%", None, 25, 25, "%"),
        ("clay", "fraction", None, 0.25, 25, "%"),
        ("albedo", "%", None, 20, 0.2, "1"),
        ("vv", "dB", None, -12, -12, "dB"),
        ("humidity", None, None, 3, 3, ""),
    ],
)
def test_a_declared_unit_becomes_ours(name, unit, layer_mm, raw, expected, becomes):
    rule = conversion(name, unit, layer_mm)
    assert raw * rule.factor + rule.offset == pytest.approx(expected)
    assert rule.unit == becomes


@pytest.mark.parametrize(
    ("name", "unit", "layer_mm", "message"),
    [
        ("sm", "mm", None, "needs layer_mm"),
        ("sm", "K", None, "cannot become m3/m3, the unit of sm; allowed: m3/m3, %, mm"),
        ("lst", "C", None, "allowed: degC, K"),
        ("insitu", "percent", None, "not known; allowed: m3/m3, mm, %"),
        ("sm", "%", 50, "layer_mm belongs to unit"),
    ],
)
def test_a_unit_that_cannot_become_ours_is_refused(name, unit, layer_mm, message):
    with pytest.raises(ValueError, match=message):
        conversion(name, unit, layer_mm)


def test_scale_and_offset_come_after_the_no_data_codes_and_before_the_unit():
    column = Column(column="LST", scale=0.02, offset=1, unit="K", nodata=(0, -99.9))
    raw = np.array([0, 15000, np.float32(-99.9), -99.9, np.nan])
    expected = [np.nan, 15000 * 0.02 + 1 - 273.15, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(column.numbers("lst", {"LST": raw}.__getitem__), expected)


def resolver(columns: dict[str, list[Column]], present: str) -> Resolver:
    return Resolver({name: tuple(entries) for name, entries in columns.items()}, frozenset(present.split()))


def test_names_in_a_formula_are_mapped_names_first_then_columns_of_the_table():
    columns = {
        "ndvi": [Column(formula="(nir - red) / (nir + red)")],
        "nir": [Column(column="B8", scale=1e-4)],
        "lst": [Column(formula="lst - 273.15")],  # its own name is the table's column
    }
    found = resolver(columns, "B8 red nir lst")
    table = {
        "B8": np.array([3000.0]),
        "red": np.array([0.1]),
        "nir": np.array([9.0]),
        "lst": np.array([300.0]),
    }
    assert found.foreign("ndvi") == {"B8", "red"}
    assert found.numbers("ndvi", table.__getitem__) == pytest.approx(0.2 / 0.4)
    assert found.numbers("lst", table.__getitem__) == pytest.approx(26.85)
    assert found.numbers("red", table.__getitem__) == pytest.approx(0.1)  # not mapped: its own name


def test_the_first_entry_that_the_table_can_serve_is_used():
    columns = {"date": [Column(column="date"), Column(column="StartDate")]}
    assert resolver(columns, "StartDate x").foreign("date") == {"StartDate"}
    assert resolver(columns, "date StartDate").foreign("date") == {"date"}
    assert resolver(columns, "x").entry("date") is None
    assert resolver({"lon": [Column(formula="a + b + c"), Column(formula="d + c")]}, "c").missing("lon") == [
        "d"
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": "b + 1", "b": "c + 1", "c": "a + 1"}, "a: the formulas go in a circle: a -> b -> c -> a"),
        ({"cell": "B8 + 1"}, "cell: cell is no number"),
        ({"date": "B8 + 1"}, "date: date is no number"),
    ],
)
def test_mappings_that_contradict_themselves_are_found(columns, message):
    found = mistakes({name: (Column(formula=formula),) for name, formula in columns.items()})
    assert any(f"{name}: {mistake}".startswith(message) for name, mistake in found)


def test_the_further_predictors_are_those_that_are_exported():
    assert set(EXPORTED) == EVERY.further
    assert set(SETS["paper"]) == set(PREDICTORS)
    assert set(SETS["recommended"]) >= {*PREDICTORS} - {"doy"} | {*EXPORTED}
    assert {*KNOWN, *LAND_COVER} <= set(VARIABLES)


@pytest.mark.parametrize(
    ("doy", "sine", "cosine"), [(1, 0.0172, 0.99985), (92, 1.0, -0.0118), (183, -0.0065, -1)]
)
def test_the_season_is_the_place_of_a_day_on_the_circle_of_the_year(doy, sine, cosine):
    resolver = Resolver({}, frozenset({"doy"}))
    found = [resolver.numbers(name, lambda used: {"doy": np.array([float(doy)])}[used])[0] for name in SEASON]
    assert found == pytest.approx([sine, cosine], abs=2e-3)
    assert resolver.foreign("doy_sin") == {"doy"}


def test_a_tables_own_season_counts_before_one_that_is_computed():
    resolver = Resolver({}, frozenset({"doy", "doy_sin"}))
    assert resolver.foreign("doy_sin") == {"doy_sin"}
    assert Resolver({}, frozenset()).entry("doy_cos") is None
