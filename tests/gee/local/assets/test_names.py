"""Names of assets: what Earth Engine takes for one, and what must never get as far as a look-up."""

from __future__ import annotations

import pytest

from gee.local.assets.names import AssetName
from gee.local.errors import EngineError


@pytest.mark.parametrize(
    ("name", "asset_id", "is_root"),
    [
        ("projects/my-project/assets/a/b-c_D9", "projects/my-project/assets/a/b-c_D9", False),
        ("projects/earthengine-public/assets/MODIS/061/MOD09A1", "MODIS/061/MOD09A1", False),
        ("projects/earthengine-legacy/assets/users/me/x", "users/me/x", False),
        ("projects/earthengine-legacy/assets/users/me", "users/me", True),
        ("projects/example.com:my-project/assets/a", "projects/example.com:my-project/assets/a", False),
    ],
)
def test_an_asset_is_shown_as_clients_show_it(name: str, asset_id: str, is_root: bool) -> None:
    parsed = AssetName.parse(name)
    assert (str(parsed), parsed.id, parsed.is_root) == (name, asset_id, is_root)
    assert AssetName.from_id(asset_id) == parsed


@pytest.mark.parametrize(
    "name", ["projects/my-project", "projects/my-project/assets", "projects/my-project/assets/"]
)
def test_a_root_has_three_spellings(name: str) -> None:
    assert str(AssetName.parse(name)) == "projects/my-project/assets"
    assert AssetName.parse(name).is_root


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "projects",
        "projects/",
        "projects/my-project/other/a",
        "projects/my-project/assets//a",
        "projects/my-project/assets/a/",
        "projects/my-project/assets/..",
        "projects/my-project/assets/a/../../etc/passwd",
        "projects/my-project/assets/.",
        "projects/my-project/assets/a.tif",
        "projects/my-project/assets/%2e%2e",
        "projects/my-project/assets/a\\b",
        "projects/my-project/assets/a\n",
        "projects/my-project/assets/a\0b",
        "projects/my-project/assets/a b",
        "projects/my-project/assets/ä",
        "projects/my-project/assets/１",
        "projects/my-project/assets/a'; DROP TABLE assets; --",
        "projects/../assets/a",
        "projects/é.com:my-project/assets/a",
        "projects/My_Project/assets/a",
        "projects/my-project\n/assets/a",
        "projects/my-project/assets/" + "/".join("abcdefghijk"),
        "projects/my-project/assets/" + "x" * 101,
        "/projects/my-project/assets/a",
    ],
)
def test_anything_else_is_no_name(name: str) -> None:
    with pytest.raises(EngineError, match="Invalid asset name"):
        AssetName.parse(name)


def test_ten_folders_and_a_hundred_characters_are_allowed() -> None:
    assert len(AssetName.parse("projects/my-project/assets/" + "/".join("abcdefghij")).parts) == 10
    assert AssetName.parse("projects/my-project/assets/" + "x" * 100).index == "x" * 100


def test_a_move_that_makes_a_name_too_deep_is_refused() -> None:
    source, deep = (
        AssetName.parse("projects/my-project/assets/a"),
        "projects/my-project/assets/" + "/".join("bcdefghij"),
    )
    child = AssetName.parse("projects/my-project/assets/a/k/l")
    with pytest.raises(EngineError, match="at most 10 folders"):
        child.moved(source, AssetName.parse(deep))
