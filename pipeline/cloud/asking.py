"""Asking the connected engine: the value of an expression, or what is wrong in words that help.

Earth Engine answers a mistyped asset, one that is not shared and a failure of its own with one kind of error;
the first two are the user's to mend, and so they get a message of their own and another exit code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gee import catalog
from pipeline.cloud.refusals import Refusal, Verdict
from pipeline.errors import ConfigError, EngineError, GeeSmapError

_MISSING = re.compile(r"[Aa]sset '([^']+)' (?:not found|does not exist)")
_OTHER_KIND = re.compile(r"Asset '([^']+)' is not an? (\w+)")

INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        catalog.SMAP.id: 'smap = "007"',
        catalog.SMAP_007.id: 'smap = "008"',
        catalog.SRTM.id: 'elevation = "glo30"',
        catalog.GLO30.id: 'elevation = "srtm"',
        **{source.id: 'soil = "openlandmap"' for source in catalog.SOILGRIDS.values()},
        **{source.id: 'soil = "soilgrids"' for source in catalog.OPENLANDMAP.values()},
    }
)
"""By asset, the line of ``[preparation]`` that does without it."""


def asked(thing: Any) -> Any:
    """The value of an expression.

    Args:
        thing: any ee object.

    Raises:
        ConfigError: it needs an asset that is not there, may not be read or is of another kind.
        AuthError: credentials have expired, or lack a right.
        QuotaError: a quota is used up.
        EngineError: the engine refuses for another reason, or does not answer.
    """
    return answered(thing.getInfo)


def answered(request: Callable[..., Any], *values: Any) -> Any:
    """What the client's function returns; its errors as those of `asked`."""
    try:
        return request(*values)
    except Exception as error:
        raise _explained(Refusal.of_request(error)) from error


def _explained(refusal: Refusal) -> GeeSmapError:
    text = refusal.words
    if missing := _MISSING.search(text):
        return ConfigError(f"{missing[1]} does not exist, or you may not read it: {_remedy(missing[1])}.")
    if other := _OTHER_KIND.search(text):
        return ConfigError(f"{other[1]} is no {other[2].lower()}: name one that is.")
    if refusal.verdict in (Verdict.AUTH, Verdict.RIGHTS, Verdict.QUOTA):
        return refusal.error("A request was refused", "")
    if refusal.verdict is Verdict.RETRY:
        return EngineError(f"Earth Engine does not answer, or not now: {text.rstrip('.')}. Try again later.")
    return EngineError(f"Earth Engine answers: {text}")


def _remedy(asset: str) -> str:
    if asset in INSTEAD:
        return f"set {INSTEAD[asset]} in [preparation] to do without"
    if any(asset == source.id for source in catalog.SOURCES.values()):
        return "it is one of the sources; gee-smap doctor shows which of them the engine has"
    return "mind its spelling, or have its owner share it with the account in use"
