"""A page of a listing: which assets, from where on, in how much detail.

A page token holds the last name given, so assets made or deleted between two pages neither repeat nor hide
others. Sizes of pages: reference/rest/v1/EarthEngineAssetView.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gee.local.assets.asset_filter import compile_filter
from gee.local.assets.records import FOLDER, Asset
from gee.local.errors import EngineError

MAX_PAGE_SIZE: Mapping[str, int] = MappingProxyType({"BASIC": 10_000, "FULL": 1_000})


@dataclass(frozen=True)
class Query:
    """What a listing request asks for.

    Attributes:
        page_size: at most this many; without it, and at most, what the view allows.
        page_token: of the page before.
        view: BASIC or FULL; the assets of a folder are always BASIC.
        filter: see ``asset_filter``; only for collections, ignored for folders.
    """

    page_size: int | None = None
    page_token: str | None = None
    view: str | None = None
    filter: str | None = None

    def after(self, parent: str) -> str:
        """The name after which this page of ``parent`` begins.

        Raises:
            EngineError: INVALID_ARGUMENT; the token is of no listing of ``parent``.
        """
        name = decode_token(self.page_token)
        if name is None:
            return ""
        if not isinstance(name, str) or not name.startswith(f"{parent}/"):
            raise EngineError("Invalid page token.")
        return name


@dataclass(frozen=True)
class Page:
    """A part of a listing.

    Attributes:
        assets: in the order of their names.
        view: in how much detail they are told.
        next_page_token: for the rest; None at the end.
    """

    assets: tuple[Asset, ...]
    view: str
    next_page_token: str | None

    def to_rest(self) -> dict[str, Any]:
        """The ``ListAssetsResponse``."""
        body: dict[str, Any] = {"assets": [asset.to_rest(self.view) for asset in self.assets]}
        return body if self.next_page_token is None else body | {"nextPageToken": self.next_page_token}


def take_page(candidates: Iterable[Asset], container_type: str, query: Query) -> Page:
    """The first assets that pass the filter.

    Args:
        candidates: in the order of their names, from where the page begins.
        container_type: of the folder or collection they are in.
        query: of the request.

    Raises:
        EngineError: INVALID_ARGUMENT; the query is wrong.
    """
    view = query.view or "FULL"
    if view == "EARTH_ENGINE_ASSET_VIEW_UNSPECIFIED":
        view = "FULL"
    if view not in MAX_PAGE_SIZE:
        raise EngineError(f"Invalid value for 'view': {view!r} is none of BASIC, FULL.")
    if container_type == FOLDER:
        view = "BASIC"
    size = page_limit(query.page_size, MAX_PAGE_SIZE[view])
    accepts = compile_filter("" if container_type == FOLDER else query.filter or "")
    taken: list[Asset] = []
    for asset in candidates:
        if not accepts(asset):
            continue
        if len(taken) == size:
            return Page(tuple(taken), view, encode_token(taken[-1].name))
        taken.append(asset)
    return Page(tuple(taken), view, None)


def page_limit(page_size: int | None, maximum: int) -> int:
    """How many a page holds.

    Raises:
        EngineError: INVALID_ARGUMENT; negative.
    """
    if page_size is not None and page_size < 0:
        raise EngineError(f"Invalid value for 'pageSize': {page_size} is negative.")
    return min(page_size or maximum, maximum)


def encode_token(last: str | int) -> str:
    """A page token that holds what the page ended with."""
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def decode_token(token: str | None) -> object:
    """What ``encode_token`` was given; None without a token.

    Raises:
        EngineError: INVALID_ARGUMENT; not a token.
    """
    if not token:
        return None
    try:
        return json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise EngineError("Invalid page token.") from error
