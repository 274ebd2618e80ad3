"""Policies as the REST API and the ``earthengine`` command write them."""

from __future__ import annotations

import pytest
from ee import _cloud_api_utils

from gee.local.assets.iam import ASSET_ROLES, EDITOR, OWNER, PROJECT_ROLES, VIEWER, Identity, Policy
from gee.local.errors import EngineError

ANN, BOB = Identity("user", "ann@a.org"), Identity("serviceAccount", "bob@b.org")


def policy(role: str, *members: str) -> Policy:
    return Policy.from_json({"bindings": [{"role": role, "members": list(members)}]}, ASSET_ROLES)


@pytest.mark.parametrize(
    ("member", "ann", "bob"),
    [
        ("user:ann@a.org", True, False),
        ("user:Ann@A.org", True, False),
        ("serviceAccount:bob@b.org", False, True),
        ("user:bob@b.org", False, False),
        ("domain:a.org", True, False),
        ("domain:org", False, False),
        ("group:everybody@a.org", False, False),
        ("allUsers", True, True),
        ("allAuthenticatedUsers", True, True),
    ],
)
def test_a_member_is_who_it_says(member: str, ann: bool, bob: bool) -> None:
    found = policy(VIEWER, member)
    assert [found.allows(who, "earthengine.assets.get", ASSET_ROLES) for who in (ANN, BOB)] == [ann, bob]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (VIEWER, {"get", "list"}),
        (EDITOR, {"get", "list", "create", "update", "delete", "getIamPolicy", "setIamPolicy"}),
    ],
)
def test_a_role_allows_what_the_guide_says(role: str, allowed: set[str]) -> None:
    verbs = {"get", "list", "create", "update", "delete", "getIamPolicy", "setIamPolicy"}
    found = policy(role, str(ANN))
    assert {v for v in verbs if found.allows(ANN, f"earthengine.assets.{v}", ASSET_ROLES)} == allowed


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ({"role": "roles/king", "members": []}, "roles/king"),
        ({"role": VIEWER, "members": ["ann@a.org"]}, "Invalid member"),
        ({"role": VIEWER, "members": ["user:ann"]}, "Invalid member"),
        ({"role": VIEWER, "members": [5]}, "Invalid member"),
        ({"role": VIEWER, "members": "user:ann@a.org"}, "must be a list"),
        (
            {"role": VIEWER, "members": ["user:a@b.c"], "condition": {"expression": "true"}},
            "without conditions",
        ),
        ({"role": EDITOR, "members": ["allUsers"]}, "Cannot grant write permissions to all users"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(binding: dict[str, object], reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        Policy.from_json({"bindings": [binding]}, ASSET_ROLES)


@pytest.mark.parametrize("body", [None, [], {"bindings": 5}, {"bindings": [5]}])
def test_a_body_that_is_no_policy_is_refused(body: object) -> None:
    with pytest.raises(EngineError, match="bindings"):
        Policy.from_json(body, ASSET_ROLES)


def test_a_project_is_never_shared_with_everybody() -> None:
    with pytest.raises(EngineError, match="not a supported principal"):
        Policy.from_json({"bindings": [{"role": VIEWER, "members": ["allUsers"]}]}, PROJECT_ROLES)


def test_owners_stay_and_only_owners_add_owners() -> None:
    old, without, more = policy(OWNER, str(ANN)), policy(VIEWER, "allUsers"), policy(OWNER, str(BOB))
    assert old.replaced_by(without, caller_owns=True).members(OWNER) == (str(ANN),)
    assert old.replaced_by(more, caller_owns=True).members(OWNER) == (str(ANN), str(BOB))
    with pytest.raises(EngineError, match="Only an owner"):
        old.replaced_by(more, caller_owns=False)


def test_the_clients_acl_goes_through_and_comes_back() -> None:
    acl = {
        "owners": [],
        "readers": ["user:ann@a.org"],
        "writers": ["group:g@a.org"],
        "all_users_can_read": True,
    }
    found = Policy.from_json(_cloud_api_utils.convert_acl_to_iam_policy(dict(acl)), ASSET_ROLES)
    assert _cloud_api_utils.convert_iam_policy_to_acl(found.to_json()) == {
        "owners": [], "readers": ["user:ann@a.org"], "writers": ["group:g@a.org"], "all_users_can_read": True,
    }  # fmt: skip


def test_the_etag_changes_with_the_policy() -> None:
    assert policy(VIEWER, "allUsers").etag == policy(VIEWER, "allUsers").etag != policy(VIEWER, str(ANN)).etag
