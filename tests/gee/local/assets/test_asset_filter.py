"""Filters of listAssets mean what https://google.aip.dev/160 and Earth Engine's pages say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ee import _cloud_api_utils

from gee.local.assets.asset_filter import compile_filter
from gee.local.assets.records import Asset
from gee.local.errors import EngineError


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type]


APRIL = Asset(
    "projects/my-project/assets/c/april",
    "IMAGE",
    {"cloud": 12.5, "year": 2019, "land": "urban", "a.b": "x", "list": [1, 2]},
    ms(2019, 4, 1),
    ms(2019, 5, 1),
    geometry={"type": "Polygon", "coordinates": [[[117, 31], [118, 31], [118, 32], [117, 32], [117, 31]]]},
)
INSTANT = Asset("projects/my-project/assets/c/instant", "IMAGE", {"land": 'q"uote'}, ms(2020, 1, 1))
BARE = Asset("projects/my-project/assets/c/bare", "IMAGE")


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("", {APRIL.name, INSTANT.name, BARE.name}),
        ('startTime >= "2019-04-01T00:00:00Z"', {APRIL.name, INSTANT.name}),
        ('startTime > "2019-04-01T00:00:00Z"', {INSTANT.name}),
        ('startTime >= "2019-04-01T00:00:00.000000001Z"', {APRIL.name, INSTANT.name}),
        ('startTime >= "2019-04-01T08:00:00+08:00" AND endTime <= "2019-05-01T00:00:00Z"', {APRIL.name}),
        ("startTime >= 2019-04-01T00:00:00Z", {APRIL.name, INSTANT.name}),
        ('endTime < "2020-01-01T00:00:00Z"', {APRIL.name}),
        ('endTime < "2020-01-01T00:00:01Z"', {APRIL.name, INSTANT.name}),
        ("properties.cloud<30", {APRIL.name}),
        ("properties.cloud<12.5", set()),
        ("properties.cloud > -1.5e1", {APRIL.name}),
        ("properties.year=2019", {APRIL.name}),
        ('properties.year = "2019"', {APRIL.name}),
        ("properties.year != 2019", set()),
        ("properties.land=urban", {APRIL.name}),
        ('properties."land" = "urban"', {APRIL.name}),
        ("properties.land='urban'", {APRIL.name}),
        (r'properties.land = "q\"uote"', {INSTANT.name}),
        ("properties.land != urban", {INSTANT.name}),
        ("NOT properties.land = urban", {INSTANT.name, BARE.name}),
        ("-properties.land = urban", {INSTANT.name, BARE.name}),
        ('properties."a.b" = x', {APRIL.name}),
        ('properties."system:index" = "bare"', {BARE.name}),
        ("properties.list = 1", set()),
        ("properties.land < 5", set()),
        ("intersects(\"{'type':'Point','coordinates':[117.5,31.5]}\")", {APRIL.name}),
        (r'intersects("{\"type\":\"Point\",\"coordinates\":[117.5,31.5]}")', {APRIL.name}),
        ('intersects("POINT (100 0)")', set()),
        ('intersects("POLYGON ((117.9 31.9, 119 31.9, 119 33, 117.9 31.9))")', {APRIL.name}),
        ("properties.year=2019 properties.land=urban", {APRIL.name}),
        ("(properties.year=2019) (properties.land=rural)", set()),
        # OR binds more tightly than AND: year = 1 AND (year = 2 OR land = urban) is false for every asset
        ("properties.year=1 AND properties.year=2 OR properties.land=urban", set()),
        ("(properties.year=1 AND properties.year=2) OR properties.land=urban", {APRIL.name}),
    ],
)
def test_a_filter_passes_what_it_says(text: str, passing: set[str]) -> None:
    accepts = compile_filter(text)
    assert {asset.name for asset in (APRIL, INSTANT, BARE) if accepts(asset)} == passing


def test_what_list_images_of_the_client_sends_is_understood() -> None:
    params = _cloud_api_utils.convert_list_images_params_to_list_assets_params(
        {
            "parent": "x",
            "startTime": "2019-01-01T00:00:00Z",
            "endTime": "2020-01-01T00:00:00.000Z",
            "region": {"type": "Point", "coordinates": [117.5, 31.5]},
            "properties": ["land=urban", "cloud>=2"],
            "filter": "properties.year=2019",
        }
    )
    accepts = compile_filter(params["filter"])
    assert [accepts(asset) for asset in (APRIL, INSTANT, BARE)] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("properties.a", "expected a comparison"),
        ("properties.a >", "expected a value"),
        ("properties.a:1", "expected a comparison"),
        ("a = 1", "unknown field 'a'"),
        ("AND properties.a=1", "expected a comparison after 'AND'"),
        ("properties.a=1 OR", "expected a field"),
        ("(properties.a=1", r"expected '\)'"),
        ("properties.a=1)", r"unexpected '\)'"),
        ('properties.a="x', "cannot read"),
        ('startTime > "yesterday"', "RFC 3339"),
        ("startTime > 5", "RFC 3339"),
        ('within("x")', "unknown function"),
        ("intersects(3)", "takes one string"),
        ('intersects("{}")', "no GeoJSON"),
        ('intersects("circle")', "no GeoJSON"),
        ("(" * 60 + "properties.a=1" + ")" * 60, "nested"),
        ("x" * (1 << 21), "longer"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        compile_filter(text)
