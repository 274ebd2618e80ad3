"""Predictors beyond the range that training saw: what counts as beyond, and the sentence that tells it.

Trees answer there as at the edge of their range, so a map is flat where its land is not, and does not say so.
Cells of 9 km span less than the pixels within them, so some pixels always miss a range by a hair; only what
leaves it by a hundredth of its width counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.store import PredictorCard

BEYOND = 0.01  # of the width of the range, on either side
NOTABLE_SHARE = 0.01  # of rows or pixels beyond, from which a predictor is worth a word


def edges(predictor: PredictorCard) -> tuple[float, float]:
    """The values below and above which a predictor is beyond what training saw, in its unit."""
    margin = BEYOND * (predictor.greatest - predictor.least)
    return predictor.least - margin, predictor.greatest + margin


def beyond_training(shares: Iterable[tuple[PredictorCard, float]], of: str) -> tuple[str, ...]:
    """What to say of predictors that leave the range of training.

    Args:
        shares: of the rows or pixels in which each predictor is beyond its `edges`, 0..1.
        of: what the shares are of, such as ``rows``.

    Returns:
        One sentence for all that are beyond in a notable share; nothing where none is.
    """
    told = [
        f"{one.name} (training saw {one.least:.4g} to {one.greatest:.4g}{_unit(one)}) in {share:.0%}"
        for one, share in shares
        if share > NOTABLE_SHARE
    ]
    if not told:
        return ()
    return (
        f"Beyond the range of training, by more than {BEYOND:.0%} of it, lies {', '.join(told)} of the {of}; "
        "there the prediction stays as at the edge.",
    )


def _unit(predictor: PredictorCard) -> str:
    return "" if predictor.unit in ("", "1") else f" {predictor.unit}"
