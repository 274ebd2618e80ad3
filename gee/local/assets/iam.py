"""Who may do what: identities, roles, policies.

A right is looked for at the asset first and then at the project; folders pass nothing on to what is in them
(guides/access_control, "Set project-level asset permissions"), while images follow their collection
("Parent of the asset ... is a collection; operation not allowed" is the answer to giving one its own rights).
Roles and what they allow are those of guides/access_control and apidocs/ee-data-getassetacl, -setassetacl.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gee.local.errors import EngineError

ALL_USERS = "allUsers"
ALL_AUTHENTICATED = "allAuthenticatedUsers"
OWNER, EDITOR, VIEWER = "roles/owner", "roles/editor", "roles/viewer"

_READ = frozenset({"earthengine.assets.get", "earthengine.assets.list"})
_WRITE = _READ | {f"earthengine.assets.{verb}" for verb in ("create", "update", "delete", "getIamPolicy")}
_SHARE = _WRITE | {"earthengine.assets.setIamPolicy"}

ASSET_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {VIEWER: _READ, EDITOR: frozenset(_SHARE), OWNER: frozenset(_SHARE)}
)
"""What a role in an asset's own policy allows; a writer may share too (apidocs/ee-data-setassetacl)."""

_PROJECT_READ = _READ | {
    "earthengine.assets.getIamPolicy",
    "earthengine.computations.create",
    "earthengine.config.get",
    "earthengine.maps.create",
    "earthengine.maps.get",
    "earthengine.operations.get",
    "earthengine.operations.list",
    "earthengine.thumbnails.create",
    "earthengine.thumbnails.get",
}
_PROJECT_WRITE = (
    _PROJECT_READ
    | _WRITE
    | {
        "earthengine.exports.create",
        "earthengine.imports.create",
        "earthengine.operations.update",
        "earthengine.tables.create",
        "earthengine.tables.get",
    }
)
_PROJECT_SHARE = _PROJECT_WRITE | _SHARE | {"earthengine.config.update"}

PROJECT_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        VIEWER: frozenset(_PROJECT_READ),
        "roles/earthengine.viewer": frozenset(_PROJECT_READ),
        EDITOR: frozenset(_PROJECT_WRITE),
        "roles/earthengine.writer": frozenset(_PROJECT_WRITE),
        OWNER: frozenset(_PROJECT_SHARE),
        "roles/earthengine.admin": frozenset(_PROJECT_SHARE),
    }
)
"""What a role in a project's policy allows, on the project and on every asset in it."""

_MEMBER = re.compile(r"(user|serviceAccount|group):[^\s:@]+@[^\s:@]+|domain:[^\s:@]+")


@dataclass(frozen=True)
class Identity:
    """Who asks.

    Attributes:
        kind: ``user`` or ``serviceAccount``.
        email: in lower case.
    """

    kind: str
    email: str

    @classmethod
    def parse(cls, member: str) -> Identity:
        """Read ``user:somebody@example.com``."""
        kind, _, email = member.partition(":")
        return cls(kind, email.lower())

    def __str__(self) -> str:
        return f"{self.kind}:{self.email}"

    def is_among(self, members: tuple[str, ...]) -> bool:
        """Whether a binding's members include this identity; a group's members are not known here."""
        mine = {ALL_USERS, ALL_AUTHENTICATED, str(self), f"domain:{self.email.rpartition('@')[2]}"}
        return not mine.isdisjoint(members)


LOCAL_USER = Identity("user", "local@localhost")
"""Whoever comes without credentials."""


@dataclass(frozen=True)
class Policy:
    """Roles and who has them; a member has every role it is listed under.

    Attributes:
        bindings: (role, members), each role once.
    """

    bindings: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, **roles: Identity) -> Policy:
        """A policy with one member a role: ``Policy.of(owner=identity)``."""
        return cls(tuple((f"roles/{role}", (str(member),)) for role, member in roles.items()))

    @classmethod
    def loads(cls, text: str) -> Policy:
        """The inverse of ``dumps``."""
        return cls(tuple((role, tuple(members)) for role, members in json.loads(text)))

    def dumps(self) -> str:
        """Text for the database, which ``etag`` is a digest of."""
        return json.dumps(self.bindings)

    @classmethod
    def from_json(cls, policy: object, roles: Mapping[str, frozenset[str]]) -> Policy:
        """Read the ``policy`` of a setIamPolicy request.

        Args:
            policy: of the REST API.
            roles: those that mean something for the resource, ``ASSET_ROLES`` or ``PROJECT_ROLES``.

        Raises:
            EngineError: INVALID_ARGUMENT; not a policy, or a role or member that is none.
        """
        bindings = policy.get("bindings", []) if isinstance(policy, dict) else None
        if not isinstance(bindings, list) or not all(isinstance(binding, dict) for binding in bindings):
            raise EngineError("Invalid JSON payload received. 'policy' needs a list of 'bindings'.")
        collected: dict[str, dict[str, None]] = {}
        for binding in bindings:
            role, members = binding.get("role"), binding.get("members", [])
            if role not in roles:
                raise EngineError(f"Role {role!r} is not supported for this resource.")
            if not isinstance(members, list) or binding.get("condition"):
                raise EngineError(f"Binding of role {role!r}: 'members' must be a list, without conditions.")
            for member in members:
                collected.setdefault(role, {})[_member(member, role, roles)] = None
        return cls(tuple((role, tuple(members)) for role, members in collected.items()))

    def to_json(self) -> dict[str, Any]:
        """The policy as the REST API gives it, with its etag."""
        bindings = [{"role": role, "members": list(members)} for role, members in self.bindings if members]
        return {"bindings": bindings, "etag": self.etag}

    @property
    def etag(self) -> str:
        """Changes whenever the policy does."""
        return base64.b64encode(hashlib.sha256(self.dumps().encode()).digest()[:9]).decode()

    def members(self, role: str) -> tuple[str, ...]:
        """Who has a role."""
        return dict(self.bindings).get(role, ())

    def allows(self, caller: Identity, permission: str, roles: Mapping[str, frozenset[str]]) -> bool:
        """Whether any role of the caller's has the permission."""
        return any(permission in roles[role] and caller.is_among(members) for role, members in self.bindings)

    def replaced_by(self, new: Policy, caller_owns: bool) -> Policy:
        """The policy after setIamPolicy: owners are never taken away, and only an owner adds any.

        "The final ACL of the asset is constructed by merging the OWNER entries of the old ACL with the
        incoming ACL record" (apidocs/ee-data-setassetacl).

        Raises:
            EngineError: PERMISSION_DENIED; the caller is no owner and names a new one.
        """
        old, added = self.members(OWNER), new.members(OWNER)
        if not caller_owns and not set(added) <= set(old):
            raise EngineError("Only an owner of the asset can add owners.", "PERMISSION_DENIED")
        owners = tuple(dict.fromkeys(old + added))
        others = tuple((role, members) for role, members in new.bindings if role != OWNER)
        return Policy((((OWNER, owners),) if owners else ()) + others)


PUBLIC_READ = Policy(((VIEWER, (ALL_USERS,)),))


def _member(member: object, role: str, roles: Mapping[str, frozenset[str]]) -> str:
    if member in (ALL_USERS, ALL_AUTHENTICATED):
        if roles is PROJECT_ROLES:
            raise EngineError(f"{member} is not a supported principal of a project.")
        if role != VIEWER:
            raise EngineError("Cannot grant write permissions to all users.")
        return str(member)
    if not isinstance(member, str) or not _MEMBER.fullmatch(member):
        raise EngineError(
            f"Invalid member {member!r}: give user:, serviceAccount: or group: with an e-mail address, "
            f"domain: with a domain, {ALL_USERS} or {ALL_AUTHENTICATED}."
        )
    kind, _, rest = member.partition(":")
    return f"{kind}:{rest.lower()}"
