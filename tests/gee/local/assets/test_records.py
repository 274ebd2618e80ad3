"""Times of records: RFC 3339 in, whole milliseconds kept, RFC 3339 out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gee.local.assets.records import NewAsset, format_time, parse_time
from gee.local.errors import EngineError


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1970-01-01T00:00:00.001999999Z", 1),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-02", 86_400_000),
        ("2019-04-01T21:00:00Z", 1_554_152_400_000),  # date -u -d 2019-04-01T21:00:00Z +%s
    ],
)
def test_a_time_is_whole_milliseconds(text: str, time: int) -> None:
    assert parse_time(text, "startTime") == time


@pytest.mark.parametrize("text", ["", "now", 5, None, "2019-13-01T00:00:00Z", "2019-04-01T25:00:00Z"])
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(EngineError, match="Invalid value for 'startTime'"):
        parse_time(text, "startTime")


@pytest.mark.parametrize(
    ("time", "unit", "text"),
    [
        (0, "milliseconds", "1970-01-01T00:00:00Z"),
        (-1, "milliseconds", "1969-12-31T23:59:59.999Z"),
        (1_500_000, "microseconds", "1970-01-01T00:00:01.500Z"),
        (1_500_001, "microseconds", "1970-01-01T00:00:01.500001Z"),
    ],
)
def test_a_time_is_written_with_0_3_or_6_digits(time: int, unit: str, text: str) -> None:
    assert format_time(time, timedelta(**{unit: 1})) == text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (5, "must be an object"),
        ({"type": "Image"}, "'Image' is none of"),
        ({"type": "FOLDER", "properties": [1]}, "'properties'"),
        ({"type": "FOLDER", "startTime": "x"}, "RFC 3339"),
    ],
)
def test_a_body_that_is_no_asset_is_refused(body: object, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        NewAsset.from_rest("projects/my-project/assets/x", body)


def test_the_systems_times_leave_the_properties() -> None:
    properties = {"system:time_start": 1.9, "system:time_end": 5, "a": 1}
    new = NewAsset("projects/my-project/assets/x", "IMAGE", properties).normal()
    assert (new.properties, new.start_time, new.end_time) == ({"a": 1}, 1, 5)
