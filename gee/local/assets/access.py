"""The rights in force on a resource, and the requests that read and change them.

Earth Engine answers a caller without rights alike whether the asset exists or not; so permission is settled
before existence is, and only who may read a project learns that something is missing in it. What a project
grants stands in for Google's Resource Manager, under the resource ``projects/P``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from gee.local.assets.database import Database
from gee.local.assets.iam import ASSET_ROLES, OWNER, PROJECT_ROLES, PUBLIC_READ, VIEWER, Identity, Policy
from gee.local.assets.names import LEGACY, PUBLIC, AssetName
from gee.local.assets.records import IMAGE_COLLECTION
from gee.local.assets.rows import find_row
from gee.local.errors import EngineError

_GET_POLICY = "earthengine.assets.getIamPolicy"
_SET_POLICY = "earthengine.assets.setIamPolicy"


def not_found(name: AssetName) -> EngineError:
    """What a caller who may read the project is told of an asset that is not there."""
    return EngineError(f"Asset '{name}' does not exist or doesn't allow this operation.", "NOT_FOUND")


def denied(permission: str, name: AssetName) -> EngineError:
    """What a caller without the permission is told, whether or not the resource exists."""
    resource = str(name) if name.parts else f"projects/{name.project}"
    return EngineError(
        f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).",
        "PERMISSION_DENIED",
    )


class Access:
    """Rights of one state.

    Args:
        database: of the state.
        in_catalogue: whether a name that has no record is one of the public catalogue.
    """

    def __init__(self, database: Database, in_catalogue: Callable[[AssetName], bool]) -> None:
        self._database = database
        self._in_catalogue = in_catalogue

    def add_project(self, project: str, owner: Identity) -> bool:
        """Make a project whose root exists at once; one that is there keeps its owner.

        Returns:
            Whether it was made.

        Raises:
            EngineError: INVALID_ARGUMENT; no name of a project, or one of Earth Engine's own.
        """
        if AssetName.parse(f"projects/{project}").parts or project in (PUBLIC, LEGACY):
            raise EngineError(f"'{project}' cannot be used as a project.")
        with self._database.write() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO projects VALUES (?, ?)", (project, Policy.of(owner=owner).dumps())
            )
            return made.rowcount == 1

    def require(self, caller: Identity, permission: str, resource: str) -> None:
        """Refuse a caller who lacks a permission on ``projects/P`` or on an asset.

        Raises:
            EngineError: PERMISSION_DENIED, the same whether or not there is such a resource.
        """
        with self._database.read() as connection:
            self.check(connection, caller, permission, AssetName.parse(resource))

    def get_policy(self, resource: str, caller: Identity) -> dict[str, Any]:
        """The policy of an asset, or of ``projects/P``, with its etag; an image's is its collection's.

        Raises:
            EngineError: the caller may not, or there is no such resource.
        """
        name = AssetName.parse(resource)
        with self._database.read() as connection:
            self.check(connection, caller, _GET_POLICY, name)
            return self._policy(connection, name).to_json()

    def set_policy(self, resource: str, policy: object, caller: Identity) -> dict[str, Any]:
        """Replace the policy of an asset or of ``projects/P``; owners stay.

        Args:
            resource: its name.
            policy: of the request; one with an ``etag`` is refused when the policy has changed since.
            caller: who asks.

        Returns:
            The new policy.

        Raises:
            EngineError: the caller may not, the policy is none, the asset is an image of a collection
                (FAILED_PRECONDITION), or the etag is old (ABORTED).
        """
        name = AssetName.parse(resource)
        new = Policy.from_json(policy, ASSET_ROLES if name.parts else PROJECT_ROLES)
        etag = policy.get("etag") if isinstance(policy, dict) else None
        with self._database.write() as connection:
            self.check(connection, caller, _SET_POLICY, name)
            if self.collection_of(connection, name) is not None:
                raise EngineError(
                    f"Parent of the asset '{name}' is a collection; operation not allowed.",
                    "FAILED_PRECONDITION",
                )
            old = self._policy(connection, name)
            if etag not in (None, "", old.etag):
                raise EngineError(
                    "There were concurrent policy changes. Please retry the whole read-modify-write with "
                    "exponential backoff.",
                    "ABORTED",
                )
            owns = caller.is_among(old.members(OWNER)) or self.throughout(
                connection, caller, _SET_POLICY, name
            )
            final = old.replaced_by(new, owns)
            if name.parts:
                connection.execute("UPDATE assets SET policy = ? WHERE name = ?", (final.dumps(), str(name)))
            else:
                connection.execute(
                    "UPDATE projects SET policy = ? WHERE project = ?", (final.dumps(), name.project)
                )
            return final.to_json()

    def test_permissions(
        self, resource: str, permissions: Sequence[str], caller: Identity
    ) -> dict[str, list[str]]:
        """Which of the permissions the caller has; none on what does not exist.

        Raises:
            EngineError: INVALID_ARGUMENT; a permission has a wildcard.
        """
        name = AssetName.parse(resource)
        if any("*" in permission for permission in permissions):
            raise EngineError("Permissions with wildcards are not allowed.")
        with self._database.read() as connection:
            if name.parts and self._asset_policy(connection, name) is None:
                return {"permissions": []}
            return {"permissions": [one for one in permissions if self.allows(connection, caller, one, name)]}

    def check(
        self, connection: sqlite3.Connection, caller: Identity, permission: str, name: AssetName
    ) -> None:
        """``require`` within a transaction."""
        if not self.allows(connection, caller, permission, name):
            raise denied(permission, name)

    def allows(
        self, connection: sqlite3.Connection, caller: Identity, permission: str, name: AssetName
    ) -> bool:
        """Whether the caller has a permission on an asset, from its policy or from its project's."""
        if name.project == PUBLIC:
            return permission in ASSET_ROLES[VIEWER]
        own = self._asset_policy(connection, name)
        if own is not None and own.allows(caller, permission, ASSET_ROLES):
            return True
        return self.throughout(connection, caller, permission, name)

    def throughout(
        self, connection: sqlite3.Connection, caller: Identity, permission: str, name: AssetName
    ) -> bool:
        """Whether the caller has a permission on everything in the project, or owns the legacy home."""
        if name.project == LEGACY:
            return self.owns_root(connection, caller, name.root)
        policy = self._project_policy(connection, name.project)
        return policy is not None and policy.allows(caller, permission, PROJECT_ROLES)

    def owns_root(self, connection: sqlite3.Connection, caller: Identity, root: AssetName) -> bool:
        """Whether the caller is an owner of a project or of a legacy home."""
        if root.parts:
            row = find_row(connection, root)
            policy = None if row is None else Policy.loads(row["policy"])
        else:
            policy = self._project_policy(connection, root.project)
        return policy is not None and caller.is_among(policy.members(OWNER))

    def exists(self, connection: sqlite3.Connection, project: str) -> bool:
        """Whether there is such a project here."""
        return project == PUBLIC or self._project_policy(connection, project) is not None

    def collection_of(self, connection: sqlite3.Connection, name: AssetName) -> sqlite3.Row | None:
        """The record of the image collection an asset is in, if it is in one."""
        parent = find_row(connection, name.parent)
        return parent if parent is not None and parent["type"] == IMAGE_COLLECTION else None

    def _project_policy(self, connection: sqlite3.Connection, project: str) -> Policy | None:
        row = connection.execute("SELECT policy FROM projects WHERE project = ?", (project,)).fetchone()
        return None if row is None else Policy.loads(row["policy"])

    def _asset_policy(self, connection: sqlite3.Connection, name: AssetName) -> Policy | None:
        """The policy an asset itself goes by, its own or its collection's; None when it is not there."""
        row = find_row(connection, name)
        if row is None:
            return PUBLIC_READ if self._in_catalogue(name) else None
        return Policy.loads((self.collection_of(connection, name) or row)["policy"])

    def _policy(self, connection: sqlite3.Connection, name: AssetName) -> Policy:
        if name.parts:
            policy = self._asset_policy(connection, name)
        else:
            policy = self._project_policy(connection, name.project)
        if policy is None:
            raise not_found(name)
        return policy
