"""Steps of a map across the borders of partitions, beside steps a few kilometres away from them.

Each partition has a model of its own, and where two meet a map may step although the land does not. A step
alone proves nothing, since borders follow the terrain; so each is compared with the steps across lines
parallel to the border a few pixels inside both partitions, and with what the predictors' own steps explain.
No source was found that defines such a measure for downscaled soil moisture: the definition is this
module's. Intervals: expanded percentile bootstrap over stretches of border, Hesterberg 2015
(doi:10.1080/00031305.2015.1089789).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.optimize import nnls
from scipy.stats import norm, t

OFFSETS = (3, 4, 5)  # pixels from a border to the parallel lines on either side
CLEAR = 2.0  # pixels at least from a parallel line to any other partition
# Pixels: the pairs of a border in one such square are one stretch. Of 95 % intervals of simulated fields
# without a seam 3 to 8 % excluded none where values hang together over 4 to 10 km, 6 to 13 % where over 24.
STRETCH = 20
FEWEST_STRETCHES = 8  # for an interval
LEAST_PART = 0.1  # of an excess: what a straight line through the predictors' steps may miss
DRAWS, SEED, CONFIDENCE = 1000, 0, 0.95
SEAM, LAND, NONE, UNKNOWN = "seam", "as the land", "none found", "too few stretches"
ALL, DAILY = "all", "sm daily"
Values = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Borders:
    """Pairs of neighbouring pixels on both sides of a border, and pairs parallel to each.

    Attributes:
        here: (pairs, 2), positions in the flattened grid; the first is above or left of the second.
        codes: (pairs, 2), their partitions.
        beside: (pairs, lines, 2), pairs of pixels on parallel lines, -1 where a line leaves its partition;
            the first half of the lines lies on the side of the first pixel.
        stretch: (pairs,), number of the stretch of border.
        left_out: pairs without any parallel line on one of the sides: the partition is too narrow there.
    """

    here: Places
    codes: NDArray[np.int64]
    beside: Places
    stretch: Places
    left_out: int

    @classmethod
    def of(cls, partition: NDArray[np.integer[Any]], land: NDArray[np.bool_], *, blend: int = 0) -> Borders:
        """Find them.

        Args:
            partition: (y, x), codes; 0 is none.
            land: (y, x), the pixels that are mapped.
            blend: pixels over which the map passes from one partition to the next on either side; lines keep
                as much farther away.
        """
        codes = np.where(land, partition, 0).astype(np.int64)
        depth = np.zeros(codes.shape)
        for code in np.unique(codes[codes > 0]).tolist():
            mask = codes == code
            depth[mask] = distance_transform_edt(mask | (codes == 0))[mask]
        height, width = codes.shape
        tiles = -(-width // STRETCH)
        kept, beside, left_out = [], [], 0
        for down, right in ((0, 1), (1, 0)):
            first, second = codes[: height - down, : width - right], codes[down:, right:]
            y, x = np.nonzero((first != second) & (first > 0) & (second > 0))
            lines = np.stack([
                _line(codes, depth, (y, x), (down, right), sign, offset + blend)
                for sign in (-1, 1) for offset in OFFSETS
            ], axis=1)  # fmt: skip
            sides = np.any((lines[..., 0] >= 0).reshape(len(y), 2, len(OFFSETS)), axis=2)
            whole = np.all(sides, axis=1)
            left_out += int((~whole).sum())
            y, x = y[whole], x[whole]
            kept.append(np.stack([y, x, y + down, x + right], axis=1))
            beside.append(lines[whole])
        places = np.concatenate(kept)
        y, x, y_next, x_next = places.T
        pair = np.stack([codes[y, x], codes[y_next, x_next]], axis=1)
        both = np.sort(pair, axis=1)
        tile = (y // STRETCH) * tiles + x // STRETCH
        keys = np.column_stack([both, tile])
        stretch = np.unique(keys, axis=0, return_inverse=True)[1].ravel() if len(keys) else tile
        here = np.stack([y * width + x, y_next * width + x_next], axis=1)
        return cls(here, pair, np.concatenate(beside), stretch, left_out)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.here)

    @property
    def pairs(self) -> int:
        """Number of pairs, those that were left out included."""
        return len(self.here) + self.left_out

    def steps(self, field: NDArray[np.floating[Any]]) -> tuple[Values, Values, Values]:
        """Steps of a field, in its units.

        Args:
            field: (pixels,), NaN where missing.

        Returns:
            Absolute step across each border pair; absolute steps on the parallel lines (pairs, lines), NaN
            where there is no line or no value; signed step from the partition of the lower code to the other.
        """
        values = field.astype(np.float64)
        step = values[self.here[:, 1]] - values[self.here[:, 0]]
        lines = np.where(
            self.beside[..., 0] >= 0,
            np.abs(values[self.beside[..., 1]] - values[self.beside[..., 0]]),
            np.nan,
        )
        upward = np.where(self.codes[:, 0] < self.codes[:, 1], step, -step)
        return np.abs(step), lines, upward

    def inside(self, lines: Values) -> Values:
        """Mean step beside each border pair: the mean of both sides' means, NaN where one has none."""
        sides = lines.reshape(len(lines), 2, len(OFFSETS))
        known = np.isfinite(sides)
        count = known.sum(axis=2)
        with np.errstate(invalid="ignore"):
            means = np.where(known, sides, 0).sum(axis=2) / np.where(count, count, np.nan)
        return np.asarray(means.mean(axis=1))


def _line(
    codes: NDArray[np.int64],
    depth: Values,
    at: tuple[Places, Places],
    towards: tuple[int, int],
    sign: int,
    offset: int,
) -> Places:
    """A pair ``offset`` pixels from each border pair, (pairs, 2); -1 where the way leaves the partition."""
    (y, x), (down, right) = at, towards
    height, width = codes.shape
    start = 0 if sign < 0 else 1  # the pixel of the border pair on this side
    y_side, x_side = y + start * down, x + start * right
    own = codes[y_side, x_side]
    fine = np.ones(len(y), bool)
    for step in range(1, offset + 1):
        y_to, x_to = y_side + sign * step * down, x_side + sign * step * right
        within = (y_to >= 0) & (y_to < height) & (x_to >= 0) & (x_to < width)
        fine &= within
        y_to, x_to = np.clip(y_to, 0, height - 1), np.clip(x_to, 0, width - 1)
        fine &= codes[y_to, x_to] == own
        if step >= offset - 1:
            fine &= depth[y_to, x_to] >= CLEAR
    far = np.stack([y_side + sign * offset * down, x_side + sign * offset * right])
    near = far - sign * np.array([[down], [right]])
    ends = (far, near) if sign < 0 else (near, far)
    places = np.stack([end[0] * width + end[1] for end in ends], axis=1)
    return np.asarray(np.where(fine[:, None], places, -1), np.intp)


class DailySteps:
    """Mean over days of the steps of each day; days are added as they are read."""

    def __init__(self, borders: Borders) -> None:
        self.borders = borders
        self._here, self._upward, self._days = (np.zeros(len(borders)) for _ in range(3))
        self._lines, self._known = (np.zeros(borders.beside.shape[:2]) for _ in range(2))

    def add(self, fields: NDArray[np.floating[Any]]) -> None:
        """Add days, (days, pixels); a pair counts on the days on which it and both its sides have values."""
        for field in fields:
            here, lines, upward = self.borders.steps(field)
            kept = np.isfinite(here) & np.isfinite(self.borders.inside(lines))
            known = np.isfinite(lines) & kept[:, None]
            self._here[kept] += here[kept]
            self._upward[kept] += upward[kept]
            self._days += kept
            self._lines[known] += lines[known]
            self._known += known

    def means(self) -> tuple[Values, Values, Values]:
        """As of ``Borders.steps``; NaN without a day."""
        days, known = (np.where(of > 0, of, np.nan) for of in (self._days, self._known))
        return self._here / days, self._lines / known, self._upward / days


@dataclass(frozen=True)
class Steps:
    """Steps of one field across one border, or across all.

    Attributes:
        field: ``sm`` (seasonal mean), ``sm daily`` (mean over days of each day's steps), or a predictor's
            seasonal mean.
        border: names of the two partitions, ``A | B``; ``all``.
        pairs: of pixels.
        stretches: of border, which intervals are drawn from.
        step: mean absolute step across the border, in the field's unit.
        inside: the same across the parallel lines.
        ratio: step over inside, with its interval.
        excess: step less inside, with its interval.
        upward: mean signed step from A to B, the field's unit; NaN over all borders.
        unexplained: excess of the step over what the predictors' steps make expect, with its interval; only
            of soil moisture.
        verdict: only of soil moisture, see `verdict_of`.
    """

    field: str
    border: str
    pairs: int
    stretches: int
    step: float
    inside: float
    ratio: float
    ratio_lower: float
    ratio_upper: float
    excess: float
    excess_lower: float
    excess_upper: float
    upward: float
    unexplained: float = math.nan
    unexplained_lower: float = math.nan
    unexplained_upper: float = math.nan
    verdict: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def steps_of(
    borders: Borders,
    names: Sequence[str],
    mean: Values,
    daily: DailySteps,
    predictors: Mapping[str, Values],
) -> tuple[Steps, ...]:
    """Steps of soil moisture and of predictors across every border and across all together.

    Args:
        borders: of the partitions.
        names: of the partitions, in the order of their codes from 1.
        mean: seasonal mean of soil moisture, (pixels,).
        daily: steps of its days.
        predictors: seasonal means, (pixels,), by name; those without any step are left out.

    Returns:
        Rows of ``sm``, ``sm daily`` and each predictor; none where partitions do not meet.
    """
    found = {"sm": borders.steps(mean), DAILY: daily.means()}
    found |= {name: borders.steps(field) for name, field in predictors.items()}
    inside = {name: borders.inside(lines) for name, (_, lines, _) in found.items()}
    more = {name: _expected(name, found, inside, list(predictors)) for name in ("sm", DAILY)}
    rows = []
    for border, chosen in _groups(borders, names):
        for name, (here, _, upward) in found.items():
            expected = more.get(name)
            left = None if expected is None else here - inside[name] - expected
            row = _row(name, border, chosen, borders.stretch, (here, inside[name], upward), left)
            if row is not None:
                rows.append(row)
    return tuple(rows)


def _groups(borders: Borders, names: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    low, high = borders.codes.min(axis=1), borders.codes.max(axis=1)
    groups = [(ALL, np.ones(len(borders), bool))]
    for one, other in combinations(range(1, len(names) + 1), 2):
        groups.append((f"{names[one - 1]} | {names[other - 1]}", (low == one) & (high == other)))
    return [(border, chosen) for border, chosen in groups if chosen.any()]


def _expected(
    name: str,
    found: Mapping[str, tuple[Values, Values, Values]],
    inside: Mapping[str, Values],
    predictors: Sequence[str],
) -> Values | None:
    """How much larger than beside it each border's step is to be expected from the predictors' steps.

    The parallel lines tell how large a step goes with steps of the predictors: least squares without negative
    weights, on absolute steps. None where there are too few lines.
    """
    used = [each for each in predictors if np.nanmax(found[each][1], initial=0) > 0]
    lines = np.stack([found[each][1] for each in (name, *used)], axis=-1).reshape(-1, 1 + len(used))
    lines = lines[np.isfinite(lines).all(axis=1)]
    if not used or len(lines) <= 10 * len(used):
        return None
    scale = lines[:, 1:].mean(axis=0)
    scale = np.where(scale > 0, scale, 1)
    weights, _ = nnls(np.column_stack([np.ones(len(lines)), lines[:, 1:] / scale]), lines[:, 0])
    more = np.stack([found[each][0] - inside[each] for each in used], axis=-1)
    return np.asarray((np.nan_to_num(more) / scale) @ weights[1:])


def _row(
    name: str,
    border: str,
    chosen: NDArray[np.bool_],
    stretch: Places,
    steps: tuple[Values, Values, Values],
    unexplained: Values | None,
) -> Steps | None:
    here, inside, upward = steps
    kept = chosen & np.isfinite(here) & np.isfinite(inside)
    if not kept.any():
        return None
    columns = [np.ones(kept.sum()), here[kept], inside[kept]]
    columns.append(unexplained[kept] if unexplained is not None else np.full(kept.sum(), np.nan))
    numbers = np.unique(stretch[kept], return_inverse=True)[1]
    sums = np.stack([np.bincount(numbers, column) for column in columns], axis=1).astype(np.float64)
    n, step, beside, more = sums.sum(axis=0)
    ratio, excess, left = _intervals(sums)
    row = Steps(
        name, border, int(n), len(sums), step / n, beside / n, step / beside if beside > 0 else math.nan,
        *ratio, (step - beside) / n, *excess, math.nan if border == ALL else float(upward[kept].mean()),
    )  # fmt: skip
    if name not in ("sm", DAILY):
        return row
    return replace(
        row, verdict=verdict_of(excess, left), unexplained=more / n, unexplained_lower=left[0],
        unexplained_upper=left[1],
    )  # fmt: skip


def verdict_of(excess: tuple[float, float], unexplained: tuple[float, float]) -> str:
    """What intervals of a border's excess say.

    Args:
        excess: of the step at the border over that inside.
        unexplained: the same less what predictors explain; NaN where that is not known.

    Returns:
        ``seam``: the step is larger than inside, and what is left when predictors are allowed for is surely
        more than ``LEAST_PART`` of that, where it is known; ``as the land``: larger than inside, but
        predictors explain it; ``none found``: not surely larger than inside; ``too few stretches``: no
        interval.
    """
    if math.isnan(excess[0]):
        return UNKNOWN
    if excess[0] <= 0:
        return NONE
    if math.isnan(unexplained[0]):
        return SEAM
    return SEAM if unexplained[0] > LEAST_PART * excess[0] else LAND


def _intervals(sums: Values) -> list[tuple[float, float]]:
    """Intervals of ratio, excess and unexplained excess from sums over stretches."""
    stretches = len(sums)
    if stretches < FEWEST_STRETCHES:
        return [(math.nan, math.nan)] * 3
    random = np.random.default_rng(SEED)
    weights = random.multinomial(stretches, np.full(stretches, 1 / stretches), DRAWS)
    n, step, beside, more = (weights @ sums).T
    # Hesterberg 2015: a percentile interval of few blocks is too narrow by this much.
    tail = norm.cdf(math.sqrt(stretches / (stretches - 1)) * t.ppf((1 - CONFIDENCE) / 2, stretches - 1))
    drawn = (step / np.where(beside > 0, beside, np.nan), (step - beside) / n, more / n)
    return [(float(low), float(high)) for low, high in (np.quantile(of, (tail, 1 - tail)) for of in drawn)]
