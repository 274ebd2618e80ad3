"""Series of images made daily: a calendar, linear gap filling, Savitzky-Golay smoothing, sliding means.

Clouds leave holes in every optical series and composites come every eighth day, while the models need
each pixel on each day; margins, limits and the fallback are decided here, once for all sources. The rules
are those of Xu et al. 2024, sections 2.2.4 and 3.1, and of Earth Engine's guide to compositing.

Every function maps over a list of days on the server, so an expression takes as many bytes for a year as
for a day. What is made of several images has lost its projection, as in any composite: give a grid (crs
and transform) where its pixels are asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import ee

from gee.errors import SettingError
from gee.recipe import GAP_DAYS

DAY_MS = 86_400_000
EPOCH = dt.date(1970, 1, 1)
DATE = "date"  # band of an observation: days since 1970-01-01, with fractions where pixels were averaged

SHORTEST_DAYS = 1e-6  # between two observations, a tenth of a second

SG_HALF_WIDTH = 5  # Xu et al. 2024, 3.1: m = 5, that is 11 days
# The value at the middle of 11 equidistant days of the least-squares polynomial of degree 4 (Xu et al. 2024,
# 3.1: d = 4); Savitzky and Golay 1964, table of quartics and quintics. As scipy.signal.savgol_coeffs(11, 4).
SG_WEIGHTS = tuple(weight / 429 for weight in (18, -45, -10, 60, 120, 143, 120, 60, -10, -45, 18))


@dataclass(frozen=True)
class Calendar:
    """Consecutive days, UTC.

    Args:
        start: first day.
        end: last day, included.

    Raises:
        SettingError: the end is before the start.
    """

    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise SettingError(
                f"The period ends on {self.end}, before it starts on {self.start}: exchange the two dates."
            )

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    @property
    def days(self) -> tuple[dt.date, ...]:
        """Each day in order."""
        return tuple(self.start + dt.timedelta(number) for number in range(len(self)))

    @property
    def millis(self) -> list[int]:
        """00:00 UTC of each day, milliseconds since 1970-01-01: what ``system:time_start`` holds."""
        return [_number(day) * DAY_MS for day in self.days]

    def padded(self, before: int, after: int) -> Calendar:
        """The calendar with so many days more at its two ends."""
        return Calendar(self.start - dt.timedelta(before), self.end + dt.timedelta(after))

    def months(self) -> tuple[Calendar, ...]:
        """The calendar months it touches, the first and the last cut to the period."""
        months: list[Calendar] = []
        start = self.start
        while start <= self.end:
            following = (start.replace(day=1) + dt.timedelta(32)).replace(day=1)
            months.append(Calendar(start, min(self.end, following - dt.timedelta(1))))
            start = following
        return tuple(months)


def daily(collection: ee.ImageCollection, calendar: Calendar, bands: Sequence[str]) -> ee.ImageCollection:
    """One image for each day.

    Args:
        collection: images with ``system:time_start``.
        calendar: the days wanted.
        bands: to keep.

    Returns:
        One image per day of ``calendar``, type double, ``system:time_start`` 00:00 UTC, ``system:index``
        YYYYMMDD. Where a day has several images the latest valid pixel is on top; a day without any is
        masked everywhere.
    """
    return _mosaics(collection, calendar, _numbers(calendar), bands)


def on_days(
    collection: ee.ImageCollection, days: Sequence[dt.date], bands: Sequence[str]
) -> ee.ImageCollection:
    """One image for each of the days named, such as those on which composites start.

    Args:
        collection: images with ``system:time_start``.
        days: in order; an expression takes some ten bytes for each.
        bands: to keep.

    Returns:
        As ``daily``, for these days only.

    Raises:
        SettingError: there is no day.
    """
    if not days:
        raise SettingError("Images of no day at all were asked for: name at least one.")
    numbers = ee.List([_number(day) for day in days])
    return _mosaics(collection, Calendar(min(days), max(days)), numbers, bands)


def with_date(image: ee.Image) -> ee.Image:
    """An image with ``date``, the day of its ``system:time_start``: for images of a single day."""
    day = ee.Number(image.get("system:time_start")).divide(DAY_MS).floor()
    return ee.Image(image.addBands(ee.Image.constant(day).toDouble().rename(DATE), overwrite=True))


def linear_fill(
    observations: ee.ImageCollection,
    calendar: Calendar,
    bands: Sequence[str],
    gap_days: int = GAP_DAYS,
    span_days: int = 1,
) -> ee.ImageCollection:
    """Interpolate each pixel of each band linearly in time between its nearest valid observations.

    Args:
        observations: images with ``system:time_start``, ``bands`` (masked where not observed) and a band
            ``date``: days since 1970-01-01 of the pixel's observation. They are looked up from
            ``gap_days + span_days - 1`` days before the calendar to ``gap_days`` days after it.
        calendar: the days wanted.
        bands: to fill; their masks may differ.
        gap_days: a day is filled from observations at most so many days before and after it. Both are
            needed: nothing is extrapolated.
        span_days: how many days one image's pixels may be observed on, from ``system:time_start`` on: 1 for
            daily images, 8 for composites of 8 days. With 1 an observation belongs to the day of its image.

    Returns:
        One image per day of ``calendar`` with ``bands``, type double, same units; the observation itself on
        the days that have one; masked where one of the two neighbours is missing.

    Raises:
        SettingError: no days to look back or to span.

    Source: Xu et al. 2024, 3.1; for composites each pixel's own day, as the MOD09A1 user's guide gives it.
    """
    if gap_days < 1 or span_days < 1:
        raise SettingError(
            f"Gap filling looks {gap_days} days around a day at images of {span_days} days: both must be "
            "1 or more."
        )
    names = list(bands)
    ahead = span_days - 1
    dated = _during(observations, calendar, gap_days + ahead, gap_days + 1).map(
        lambda image: _dated(image, names)
    )
    nearest = _nearest_in_daily if span_days == 1 else _nearest_in_composites

    def compose(day: ee.Number) -> ee.Image:
        before = nearest(_window(dated, day, gap_days + ahead, 1), day, -gap_days, names)
        after = nearest(_window(dated, day, ahead, gap_days + 1), day, gap_days, names)
        begin, end = before.select(_dates(names)), after.select(_dates(names))
        length = end.subtract(begin)
        # No length: the day has an observation of its own, and nothing may be divided by zero.
        share = begin.multiply(-1).add(day).multiply(length.gt(0)).divide(length.max(SHORTEST_DAYS))
        first, last = before.select(names), after.select(names)
        return first.add(last.subtract(first).multiply(share)).rename(names)

    return _each(_numbers(calendar), compose)


def savitzky_golay(
    daily: ee.ImageCollection,
    calendar: Calendar,
    bands: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
) -> ee.ImageCollection:
    """Smooth each pixel's daily series by an 11-day, 4th-order least-squares polynomial.

    Args:
        daily: one image a day, gap-filled; reaches 5 days beyond the calendar on each side, else the days
            at its ends stay as they are.
        calendar: the days wanted.
        bands: to smooth.
        ranges: lowest and highest physical value by band, same units; the polynomial's side lobes are
            negative and overshoot beside steps. Bands without a range are not limited.

    Returns:
        One image per day of ``calendar`` with ``bands``, type double, same units, limited to ``ranges``.
        Where any of the 11 days is missing the unsmoothed value is kept; ``<band>_smoothed`` tells which
        (1 or 0), masked like the band.

    Raises:
        SettingError: a range is empty or of a band that is not smoothed.

    Source: Xu et al. 2024 section 3.1 (m = 5, d = 4); weights equal scipy.signal.savgol_coeffs(11, 4).
    """
    _check_ranges(ranges, bands)
    names = list(bands)
    days = _during(daily, calendar, SG_HALF_WIDTH, SG_HALF_WIDTH + 1).map(
        lambda image: _at_time(_values(image, names), image)
    )
    weights = ee.List(SG_WEIGHTS)

    def compose(day: ee.Number) -> ee.Image:
        def weighted(image: ee.Image) -> ee.Image:
            distance = ee.Number(image.get("system:time_start")).divide(DAY_MS).floor().subtract(day)
            return image.multiply(ee.Number(weights.get(distance.add(SG_HALF_WIDTH))))

        around = _window(days, day, SG_HALF_WIDTH, SG_HALF_WIDTH + 1)
        polynomial = _with_blank(around.map(weighted), names).sum()
        whole = _with_blank(around, names).count().unmask(0).eq(len(SG_WEIGHTS))
        filled = _latest_on_top(_window(days, day, 0, 1), names)
        smooth = _limited(filled.where(whole, polynomial), ranges)
        flags = whole.updateMask(filled.mask()).rename([f"{name}_smoothed" for name in names])
        return smooth.addBands(flags.toDouble())

    return _each(_numbers(calendar), compose)


def window_mean(
    observations: ee.ImageCollection,
    calendar: Calendar,
    bands: Sequence[str],
    before: int = 6,
    after: int = 6,
    weight: str | None = None,
) -> ee.ImageCollection:
    """Mean of all images around each day.

    Args:
        observations: images with ``system:time_start``.
        calendar: the days wanted.
        bands: to average, in units whose mean means something: backscatter as power, not in dB.
        before: the window begins at 00:00 UTC so many days before the day, included.
        after: it ends at 00:00 UTC so many days after the day, not included. The default of 6 and 6 holds
            each track of a 12-day repeat cycle once; 6 and 7 are the 13 days from t-6 to t+6.
        weight: band that says how much a pixel counts, such as its valid fraction; none or 0, not at all.

    Returns:
        One image per day of ``calendar`` with ``bands`` (type double, masked where no image is valid) and
        ``count``: images with a valid pixel in any band, 0 where there are none.

    Raises:
        SettingError: the window has no length.

    Source: Xu et al. 2024, 2.2.4.
    """
    if before + after < 1:
        raise SettingError(f"A window from {before} days before to {after} days after a day is empty.")
    names = list(bands)
    shares = [f"{name}_weight" for name in names]

    def prepare(image: ee.Image) -> ee.Image:
        counted = ee.Image.constant(1) if weight is None else _values(image, [weight])
        values = _values(image, names).updateMask(counted.gt(0))
        weights = values.multiply(0).add(counted).toDouble().rename(shares)
        seen = values.mask().reduce(ee.Reducer.max()).toDouble().rename("count")
        return _at_time(values.multiply(weights).rename(names).addBands(weights).addBands(seen), image)

    prepared = _during(observations, calendar, before, after).map(prepare)
    nothing = _blank([*names, *shares]).addBands(ee.Image.constant(0).toDouble().rename("count"))

    def compose(day: ee.Number) -> ee.Image:
        total = ee.ImageCollection([nothing]).merge(_window(prepared, day, before, after)).sum()
        weights = total.select(shares)
        mean = total.select(names).updateMask(weights.gt(0)).divide(weights).rename(names)
        return mean.addBands(total.select("count"))

    return _each(_numbers(calendar), compose)


def sums_before(
    daily: ee.ImageCollection, calendar: Calendar, band: str, lengths: Sequence[int]
) -> ee.ImageCollection:
    """What fell in the days before each day.

    Args:
        daily: one image a day with ``band``, an amount a day; reaches the longest length before the calendar.
        calendar: the days wanted.
        band: to add up.
        lengths: numbers of days, growing; a sum of n days of day D is of the days D - n to D - 1.

    Returns:
        One image per day of ``calendar`` with ``<band>_<n>`` for each length, type double; masked where any
        of the n days is: a sum of fewer days would look dry.

    Raises:
        SettingError: the lengths are no growing numbers of days.
    """
    edges = (0, *lengths)
    if len(edges) < 2 or any(near >= far for near, far in pairwise(edges)):
        raise SettingError(f"Sums over {', '.join(map(str, lengths)) or 'no'} days: give growing numbers.")

    def counted(image: ee.Image) -> ee.Image:
        amount = _values(image, [band])
        known = amount.mask().unmask(0, False).toDouble().rename("known")  # as in nothing: sums want one type
        return _at_time(amount.unmask(0, False).addBands(known), image)

    days = _during(daily, calendar, edges[-1], 0).map(counted)
    nothing = ee.ImageCollection([ee.Image.constant([0, 0]).toDouble().rename([band, "known"])])

    def compose(day: ee.Number) -> ee.Image:
        total, sums = ee.Image.constant([0, 0]), []
        for near, far in pairwise(edges):
            total = total.add(nothing.merge(_window(days, day, far, -near)).sum())
            sums.append(total.select(0).updateMask(total.select(1).eq(far)))
        return ee.Image.cat(sums).rename([f"{band}_{length}" for length in lengths])

    return _each(_numbers(calendar), compose)


def _number(day: dt.date) -> int:
    return (day - EPOCH).days


def _numbers(calendar: Calendar) -> ee.List:
    """The days counted from 1970-01-01, as many bytes for any number of them."""
    return ee.List.sequence(_number(calendar.start), _number(calendar.end))


def _mosaics(
    collection: ee.ImageCollection, calendar: Calendar, numbers: ee.List, bands: Sequence[str]
) -> ee.ImageCollection:
    names = list(bands)
    images = _during(collection, calendar, 0, 1).map(lambda image: _at_time(_values(image, names), image))

    def compose(day: ee.Number) -> ee.Image:
        return _latest_on_top(_window(images, day, 0, 1), names)

    return _each(numbers, compose)


def _each(numbers: ee.List, compose: Callable[[ee.Number], ee.Image]) -> ee.ImageCollection:
    """The images that a function makes of each day's number, in order."""

    def stamped(number: ee.Number) -> ee.Image:
        day = ee.Number(number)
        start = day.multiply(DAY_MS)
        # Verify live: a collection keeps the index of images it is made of, for toBands and combine.
        index = ee.Date(start).format("YYYYMMdd")
        return ee.Image(compose(day).set({"system:time_start": start, "system:index": index}))

    return ee.ImageCollection.fromImages(numbers.map(stamped))


def _during(images: ee.ImageCollection, calendar: Calendar, before: int, after: int) -> ee.ImageCollection:
    """Images of the calendar and so many days before it and after 00:00 of its last day, in order of time."""
    end = calendar.end + dt.timedelta(after)
    start = calendar.start - dt.timedelta(before)
    return images.filterDate(start.isoformat(), end.isoformat()).sort("system:time_start")


def _window(images: ee.ImageCollection, day: ee.Number, before: int, after: int) -> ee.ImageCollection:
    """Images from 00:00 of so many days before a day to 00:00 of so many after it, half-open."""
    return images.filterDate(day.subtract(before).multiply(DAY_MS), day.add(after).multiply(DAY_MS))


def _at_time(image: ee.Image, source: ee.Image) -> ee.Image:
    return ee.Image(image.copyProperties(source, ["system:time_start"]))


def _values(image: ee.Image, names: Sequence[str]) -> ee.Image:
    """The bands in double precision; masks become 0 or 1, as fractions would be weights in every sum."""
    values = image.select(list(names)).toDouble()
    return ee.Image(values.mask(values.mask().gt(0)))


def _blank(names: Sequence[str]) -> ee.Image:
    """Bands masked everywhere: what Earth Engine needs where a window holds no image, or it has no bands."""
    return ee.Image.constant([0] * len(names)).toDouble().rename(names).updateMask(0)


def _with_blank(images: ee.ImageCollection, names: Sequence[str]) -> ee.ImageCollection:
    return ee.ImageCollection([_blank(names)]).merge(images)


def _latest_on_top(images: ee.ImageCollection, names: Sequence[str]) -> ee.Image:
    return ee.Image(_with_blank(images, names).mosaic())


def _dates(names: Sequence[str]) -> list[str]:
    return [f"{name}_{DATE}" for name in names]


def _dated(image: ee.Image, names: Sequence[str]) -> ee.Image:
    """The bands and, masked like each, its date: a composite then takes value and date from one image."""
    observed = _values(image, [DATE])
    values = _values(image, names).updateMask(observed.mask())
    dates = values.mask().multiply(0).add(observed).updateMask(values.mask())
    return _at_time(values.addBands(dates.toDouble().rename(_dates(names))), image)


def _nearest_in_daily(
    images: ee.ImageCollection, day: ee.Number, reach: int, names: Sequence[str]
) -> ee.Image:
    """Of images in order of time, the one nearest to the day: the last before it or the first after it."""
    order = images if reach < 0 else images.sort("system:time_start", False)
    return _latest_on_top(order, [*names, *_dates(names)])


def _nearest_in_composites(
    images: ee.ImageCollection, day: ee.Number, reach: int, names: Sequence[str]
) -> ee.Image:
    """The nearest by each pixel's date, at most ``reach`` days from the day (negative: before it).

    Composites that overlap, as at New Year, may hold dates that are not in the order of the images.
    """
    dates = _dates(names)
    order = [f"{name}_order" for name in names]
    sign = 1 if reach < 0 else -1  # the highest is chosen: the latest before, the earliest after

    def on_its_side(image: ee.Image) -> ee.Image:
        distance = image.select(dates).subtract(day).multiply(sign)
        return image.addBands(distance.updateMask(distance.lte(0)).rename(order))

    candidates = _with_blank(images.map(on_its_side), [*names, *dates, *order])
    chosen = ee.Image.cat(
        [
            candidates.select([name, date, distance]).qualityMosaic(distance)
            for name, date, distance in zip(names, dates, order, strict=True)
        ]
    )
    near = chosen.select(order).gte(-abs(reach))
    values = chosen.select(names).updateMask(near)
    return ee.Image(values.addBands(chosen.select(dates).updateMask(near)))


def _check_ranges(ranges: Mapping[str, tuple[float, float]], bands: Sequence[str]) -> None:
    wrong = [
        f"'{name}' is not among the bands {', '.join(bands)}"
        if name not in bands
        else f"'{name}' goes from {low} to {high}"
        for name, (low, high) in ranges.items()
        if name not in bands or low >= high
    ]
    if wrong:
        raise SettingError(f"Ranges of smoothed bands cannot be used: {'; '.join(wrong)}.")


def _limited(image: ee.Image, ranges: Mapping[str, tuple[float, float]]) -> ee.Image:
    if not ranges:
        return image
    low, high = zip(*ranges.values(), strict=True)
    limited = image.select(list(ranges)).max(ee.Image.constant(list(low))).min(ee.Image.constant(list(high)))
    return image.addBands(limited, None, True)
