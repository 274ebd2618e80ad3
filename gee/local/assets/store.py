"""The assets of a local engine: folders, images, collections, tables, and what may be done with them.

Every operation names its caller and is refused as Earth Engine refuses it. Metadata are rows of SQLite,
contents are folders of files (``contents``), the public catalogue is asked through two hooks, and what a
user mounts from outside wins over the catalogue. Source: reference/rest/v1/projects.assets and
guides/manage_assets; wording of refusals as users quote them (google/weather-tools, openforis/pysepal#1047).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from gee.local.assets.access import Access, denied, not_found
from gee.local.assets.contents import ContentFile, Contents
from gee.local.assets.database import Database, ProcessLock, now_micros
from gee.local.assets.iam import ASSET_ROLES, LOCAL_USER, OWNER, PUBLIC_READ, Identity, Policy
from gee.local.assets.listing import Page, Query, take_page
from gee.local.assets.names import LEGACY, PUBLIC, AssetName
from gee.local.assets.records import (
    CONTAINERS,
    FOLDER,
    IMAGE,
    IMAGE_COLLECTION,
    TABLE,
    Asset,
    NewAsset,
    updated,
)
from gee.local.assets.rows import (
    below,
    find_row,
    has_children,
    insert_asset,
    insert_copy,
    is_referenced,
    names_below,
    quota,
    read_asset,
    rename_tree,
)
from gee.local.errors import EngineError

_MAKER = "operation"  # note of which task made an asset
_TASK: ContextVar[str | None] = ContextVar("task", default=None)
MOUNTABLE = (IMAGE, IMAGE_COLLECTION, TABLE)

Catalogue = Callable[[str], Mapping[str, Any] | None]
"""An id of the public catalogue -> its ``EarthEngineAsset``, or None."""
CatalogueChildren = Callable[[str], Iterable[Mapping[str, Any]]]
"""An id of the public catalogue -> the ``EarthEngineAsset`` of each image in it, with its ``id``."""


def _no_asset(asset_id: str) -> None:
    return None


def _no_children(asset_id: str) -> tuple[Mapping[str, Any], ...]:
    return ()


@contextmanager
def working_for(task: str) -> Iterator[None]:
    """Make assets on behalf of a batch task until the block ends: it may make its own ones again."""
    token = _TASK.set(task)
    try:
        yield
    finally:
        _TASK.reset(token)


class AssetStore:
    """The assets kept in one folder of state.

    Args:
        directory: of the state; created when absent.
        default_project: a project that is there from the start; others come by ``access.add_project``.
        owner: of the default project.
        catalogue: metadata of public assets, all of them read-only.
        catalogue_children: the images of a public collection.

    Attributes:
        database: of the state, also for its accounts and tasks.
        access: the rights, for whatever else needs a permission.

    Raises:
        EngineError: the folder holds something else, or the state of a newer engine.
    """

    def __init__(
        self,
        directory: Path,
        *,
        default_project: str = "my-project",
        owner: Identity = LOCAL_USER,
        catalogue: Catalogue = _no_asset,
        catalogue_children: CatalogueChildren = _no_children,
    ) -> None:
        self.database = Database(directory / "state.sqlite")
        self.access = Access(self.database, lambda name: self._catalogued(name) is not None)
        self._contents = Contents(directory / "files")
        self._catalogue = catalogue
        self._catalogue_children = catalogue_children
        self._in_use = ProcessLock(directory / "in-use.lock")
        if self._in_use.exclusive():
            self._sweep()
        self._in_use.shared()
        self.access.add_project(default_project, owner)

    def close(self) -> None:
        """Give the state back; another process may sweep it then."""
        self.database.close()
        self._in_use.release()

    def _sweep(self) -> None:
        with self.database.read() as connection:
            rows = connection.execute("SELECT DISTINCT content FROM assets WHERE content IS NOT NULL")
            known = {row["content"] for row in rows}
        self._contents.sweep(known)

    def get(self, name: str, caller: Identity) -> Asset:
        """The record of an asset, or of a root, which is a FOLDER with the quota for its owner.

        Raises:
            EngineError: PERMISSION_DENIED or, for who may read the project, NOT_FOUND.
        """
        asset_name = AssetName.parse(name)
        with self.database.read() as connection:
            self.access.check(connection, caller, "earthengine.assets.get", asset_name)
            asset = self._find(connection, asset_name)
            if asset is None:
                raise not_found(asset_name)
            if asset_name.is_root and self.access.owns_root(connection, caller, asset_name):
                return replace(asset, quota=quota(connection, asset_name))
            return asset

    def list_assets(self, parent: str, caller: Identity, query: Query | None = None) -> Page:
        """The assets directly in a folder, collection or project, by name, that the caller may read.

        Args:
            parent: its name; ``projects/earthengine-legacy`` lists the caller's own homes.
            caller: who asks.
            query: page, view and filter.

        Raises:
            EngineError: the caller may not, there is no such container, or the query is wrong.
        """
        name = AssetName.parse(parent)
        query = query or Query()
        after = query.after(str(name))
        with self.database.read() as connection:
            if name == AssetName(LEGACY, ()):
                return take_page(self._homes(connection, caller, after), FOLDER, query)
            self.access.check(connection, caller, "earthengine.assets.list", name)
            container = self._find(connection, name)
            if container is None:
                raise not_found(name)
            if container.type not in CONTAINERS:
                raise EngineError(f"Asset '{name}' is not a folder or collection.")
            return take_page(
                self._children(connection, caller, name, container, after), container.type, query
            )

    def reading(self, asset: Asset) -> AbstractContextManager[tuple[Path, ...]]:
        """The files of an asset for as long as the block lasts, even if it is deleted meanwhile.

        Raises:
            EngineError: FAILED_PRECONDITION, on entering; a file is missing, cut off or changed.
        """
        return self._contents.reading(asset.name, asset.content_id, asset.content)

    def _find(self, connection: sqlite3.Connection, name: AssetName) -> Asset | None:
        row = find_row(connection, name)
        if row is not None:
            return read_asset(row, self._contents)
        if not name.parts:
            return Asset(str(name), FOLDER) if self.access.exists(connection, name.project) else None
        if self.access.collection_of(connection, name) is not None:
            return None  # a mounted collection hides the catalogue's images of that name
        return self._catalogued(name)

    def _catalogued(self, name: AssetName) -> Asset | None:
        if name.project != PUBLIC and not (name.project == LEGACY and name.parts[:1] == ("projects",)):
            return None
        body = self._catalogue(name.id)
        return None if body is None else Asset.from_catalogue(str(name), body)

    def _children(
        self, connection: sqlite3.Connection, caller: Identity, name: AssetName, container: Asset, after: str
    ) -> Iterator[Asset]:
        everything = (
            name.project == PUBLIC
            or container.type == IMAGE_COLLECTION
            or self.access.throughout(connection, caller, "earthengine.assets.get", name)
        )
        rows = connection.execute(
            "SELECT * FROM assets WHERE parent = ? AND name > ? ORDER BY name", (str(name), after)
        )
        if container.in_catalogue:
            images = {str(AssetName.from_id(body["id"])): body for body in self._catalogue_children(name.id)}
            yield from (Asset.from_catalogue(key, images[key]) for key in sorted(images) if key > after)
        for row in rows:
            if everything or Policy.loads(row["policy"]).allows(
                caller, "earthengine.assets.get", ASSET_ROLES
            ):
                yield read_asset(row, self._contents)

    def _homes(self, connection: sqlite3.Connection, caller: Identity, after: str) -> Iterator[Asset]:
        rows = connection.execute(
            "SELECT * FROM assets WHERE parent = ? AND name > ? ORDER BY name",
            (f"projects/{LEGACY}/assets/users", after),
        )
        for row in rows:
            if caller.is_among(Policy.loads(row["policy"]).members(OWNER)):
                yield read_asset(row, self._contents)

    def staging(self) -> AbstractContextManager[Path]:
        """An empty folder to write an asset's files into before ``create`` takes them."""
        return self._contents.staging()

    def create(
        self, new: NewAsset, caller: Identity, *, overwrite: bool = False, folder: Path | None = None
    ) -> Asset:
        """Make an asset; its creator is its owner.

        What a task made before it was interrupted, it may make again when it starts from scratch.

        Args:
            new: what it is.
            caller: who asks.
            overwrite: whether one that exists, and is no folder or collection, is replaced; its rights are
                not kept, as in Earth Engine (samapriya/awesome-gee-community-datasets#462).
            folder: a staging folder whose files become the content; without it there is none.

        Raises:
            EngineError: the name is wrong, the caller may not, no parent can hold it, or it exists.
        """
        new = new.normal()
        if (task := _TASK.get()) is not None:
            new = replace(new, extra={**new.extra, _MAKER: task})
        name = AssetName.parse(new.name)
        with self._settling() as unsettled, self.database.write() as connection:
            unsettled += self._admit(connection, caller, name, new.type, overwrite)
            content, files = self._contents.adopt(folder) if folder else (None, ())
            unsettled.append(content)
            insert_asset(connection, name, new, Policy.of(owner=caller), content=content, files=files)
            return self._read(connection, name)

    def check_creation(
        self, name: str, asset_type: str, caller: Identity, *, overwrite: bool = False
    ) -> None:
        """Refuse what ``create`` would refuse, before the content is made.

        Raises:
            EngineError: as ``create``.
        """
        with self.database.write() as connection:
            self._admit(connection, caller, AssetName.parse(name), asset_type, overwrite)

    def update(self, name: str, body: object, paths: Sequence[str], caller: Identity) -> Asset:
        """Change times and properties; see ``records.updated``.

        Raises:
            EngineError: the caller may not, there is no such asset, or it cannot be changed so.
        """
        asset_name = AssetName.parse(name)
        with self.database.write() as connection:
            row = self._row(connection, caller, "earthengine.assets.update", asset_name)
            new = updated(read_asset(row, self._contents), body, paths)
            connection.execute(
                "UPDATE assets SET properties = ?, start_time = ?, end_time = ?, "
                "version = max(?, version + 1) WHERE name = ?",
                (json.dumps(new.properties), new.start_time, new.end_time, now_micros(), str(asset_name)),
            )
            return self._read(connection, asset_name)

    def delete(self, name: str, caller: Identity) -> None:
        """Remove an asset; a folder or collection must be empty.

        Raises:
            EngineError: the caller may not, there is no such asset, or it has children.
        """
        asset_name = AssetName.parse(name)
        with self._settling() as unsettled, self.database.write() as connection:
            row = self._row(connection, caller, "earthengine.assets.delete", asset_name)
            if has_children(connection, asset_name):
                raise EngineError(
                    f"Before trying to delete an asset, delete its children: '{asset_name}'",
                    "FAILED_PRECONDITION",
                )
            connection.execute("DELETE FROM assets WHERE name = ?", (str(asset_name),))
            unsettled.append(row["content"])

    def copy(self, source: str, destination: str, caller: Identity, *, overwrite: bool = False) -> Asset:
        """Make an asset with the content of another, owned by the caller and shared with nobody.

        Raises:
            EngineError: the caller may not, the source is a folder, a collection or of the catalogue, or the
                destination cannot be.
        """
        from_name, to_name = AssetName.parse(source), AssetName.parse(destination)
        with self._settling() as unsettled, self.database.write() as connection:
            self.access.check(connection, caller, "earthengine.assets.get", from_name)
            asset, row = self._find(connection, from_name), find_row(connection, from_name)
            if asset is None:
                raise not_found(from_name)
            if row is None or asset.type in CONTAINERS:
                kind = "part of the catalogue" if asset.in_catalogue else f"of type {asset.type}"
                raise EngineError(f"Asset '{from_name}' is {kind} and cannot be copied.")
            if from_name == to_name:
                raise _exists(to_name)
            unsettled += self._admit(connection, caller, to_name, asset.type, overwrite)
            insert_copy(connection, row, to_name, Policy.of(owner=caller))
            return self._read(connection, to_name)

    def move(self, source: str, destination: str, caller: Identity) -> Asset:
        """Rename an asset with all that is in it; everything keeps its own rights and content.

        Raises:
            EngineError: the caller may not move the asset or something in it, or the destination cannot be.
        """
        from_name, to_name = AssetName.parse(source), AssetName.parse(destination)
        with self.database.write() as connection:
            row = self._row(connection, caller, "earthengine.assets.delete", from_name)
            for name in names_below(connection, from_name):
                if not self.access.allows(connection, caller, "earthengine.assets.delete", name):
                    raise denied("earthengine.assets.delete", from_name)
            if from_name.is_root or to_name.under(from_name):
                raise EngineError(f"Asset '{from_name}' cannot be moved to '{to_name}'.")
            self._admit(connection, caller, to_name, row["type"], overwrite=False)
            rename_tree(connection, from_name, to_name)
            return self._read(connection, to_name)

    def mount(self, new: NewAsset, files: Sequence[Path]) -> Asset:
        """Serve a user's own files, where they are, as an asset of any name.

        This is the work of whoever owns the state and asks for no rights. Folders above the asset are made
        as needed; above an image it is a collection where the catalogue has one, which it then hides. In a
        project of this state the asset belongs to its owner; anywhere else everybody may read it.

        Args:
            new: what it is; an image collection has no files itself, its images are mounted one by one.
            files: must exist, and be mounted again when they change.

        Raises:
            EngineError: a file is missing (NOT_FOUND), the name is wrong or belongs to another asset, or its
                parent cannot hold it.
        """
        new = new.normal()
        name = AssetName.parse(new.name)
        if name.is_root or new.type not in MOUNTABLE:
            raise EngineError(f"'{name}' of type {new.type} cannot be mounted; {', '.join(MOUNTABLE)} can.")
        found = []
        for path in files:
            if not path.is_file():
                raise EngineError(f"Cannot mount '{path}': there is no such file.", "NOT_FOUND")
            found.append(ContentFile.of(path.resolve()))
        with self.database.write() as connection:
            old = find_row(connection, name)
            if old is not None:
                if not old["mounted"] or old["type"] == FOLDER:
                    raise _exists(name)
                connection.execute("DELETE FROM assets WHERE name > ? AND name < ? AND mounted", below(name))
            policy = self._mount_policy(connection, name)
            for depth in range(len(name.root.parts) + 1, len(name.parts)):
                self._mount_parent(
                    connection, AssetName(name.project, name.parts[:depth]), name, new.type, policy
                )
            insert_asset(connection, name, new, policy, content=None, files=found, mounted=True)
            return self._read(connection, name)

    def unmount(self, name: str) -> None:
        """Take a mounted asset, and all that is mounted in it, out again; the files stay as they are.

        Raises:
            EngineError: NOT_FOUND; nothing is mounted there.
        """
        asset_name = AssetName.parse(name)
        with self.database.write() as connection:
            row = find_row(connection, asset_name)
            if row is None or not row["mounted"]:
                raise not_found(asset_name)
            connection.execute(
                "DELETE FROM assets WHERE name > ? AND name < ? AND mounted", below(asset_name)
            )
            while row is not None and row["mounted"] and not has_children(connection, asset_name):
                connection.execute("DELETE FROM assets WHERE name = ?", (str(asset_name),))
                asset_name = asset_name.parent
                row = find_row(connection, asset_name)

    def _mount_policy(self, connection: sqlite3.Connection, name: AssetName) -> Policy:
        if name.project in (PUBLIC, LEGACY) or not self.access.exists(connection, name.project):
            return PUBLIC_READ
        return Policy()

    def _mount_parent(
        self,
        connection: sqlite3.Connection,
        parent: AssetName,
        name: AssetName,
        child_type: str,
        policy: Policy,
    ) -> None:
        row = find_row(connection, parent)
        direct = parent == name.parent
        if row is None:
            known = self._catalogued(parent)
            in_collection = direct and child_type == IMAGE and known is not None
            kind = IMAGE_COLLECTION if in_collection and known and known.type == IMAGE_COLLECTION else FOLDER
            new = NewAsset(str(parent), kind)
            insert_asset(connection, parent, new, policy, content=None, files=(), mounted=True)
        elif row["type"] != FOLDER and not (
            direct and row["type"] == IMAGE_COLLECTION and child_type == IMAGE
        ):
            raise _cannot_hold(parent, row["type"], child_type)

    def _admit(
        self,
        connection: sqlite3.Connection,
        caller: Identity,
        name: AssetName,
        asset_type: str,
        overwrite: bool,
    ) -> list[str | None]:
        """Check that an asset of this type may be put there; the content it would replace, if any."""
        old = find_row(connection, name)
        if name.is_root:
            self._admit_home(connection, caller, name, asset_type)
        else:
            self.access.check(connection, caller, "earthengine.assets.create", name.parent)
            parent = self._find(connection, name.parent)
            if parent is None:
                raise not_found(name.parent)
            if parent.type != FOLDER and not (parent.type == IMAGE_COLLECTION and asset_type == IMAGE):
                raise _cannot_hold(name.parent, parent.type, asset_type)
        if old is None:
            return []
        task = _TASK.get()
        own = task is not None and json.loads(old["extra"]).get(_MAKER) == task
        if not (overwrite or own) or old["type"] in CONTAINERS or asset_type in CONTAINERS:
            raise _exists(name)
        self.access.check(connection, caller, "earthengine.assets.delete", name)
        return [old["content"]]

    def _admit_home(
        self, connection: sqlite3.Connection, caller: Identity, name: AssetName, asset_type: str
    ) -> None:
        """Check that a legacy home ``users/NAME`` may be made: one for each user, the first who asks."""
        if name.project != LEGACY or len(name.parts) != 2 or name.parts[0] != "users" or asset_type != FOLDER:
            raise denied("earthengine.assets.create", name)
        for home in self._homes(connection, caller, after=""):
            raise EngineError(f"You already have a home folder: '{home.name}'.", "ALREADY_EXISTS")

    def _row(
        self, connection: sqlite3.Connection, caller: Identity, permission: str, name: AssetName
    ) -> sqlite3.Row:
        self.access.check(connection, caller, permission, name)
        row = find_row(connection, name)
        if row is None:
            raise not_found(name)
        return row

    def _read(self, connection: sqlite3.Connection, name: AssetName) -> Asset:
        row = find_row(connection, name)
        if row is None:
            raise not_found(name)
        return read_asset(row, self._contents)

    @contextmanager
    def _settling(self) -> Iterator[list[str | None]]:
        """Collects contents whose asset is about to go or come; at the end those without an asset go."""
        contents: list[str | None] = []
        try:
            yield contents
        finally:
            if any(contents):
                with self.database.read() as connection:
                    gone = {one for one in contents if one is not None and not is_referenced(connection, one)}
                self._contents.discard(gone)


def _exists(name: AssetName) -> EngineError:
    return EngineError(f"Cannot overwrite asset '{name}'.", "ALREADY_EXISTS")


def _cannot_hold(parent: AssetName, parent_type: str, child_type: str) -> EngineError:
    return EngineError(f"Asset '{parent}' of type {parent_type} cannot hold an asset of type {child_type}.")
