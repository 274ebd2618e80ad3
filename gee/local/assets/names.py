"""Names of assets: ``projects/P/assets/a/b``; the public catalogue and legacy homes have their own projects.

A name is checked here, before anything looks it up, and is only ever a key of the database: no file path is
made of it. Rules and wording are Earth Engine's (guides/manage_assets, r-spatial/rgee#101 and #135, the
project pattern of earthengine-api); the length of one part is the local engine's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gee.local.errors import EngineError

PUBLIC = "earthengine-public"
LEGACY = "earthengine-legacy"
MAX_PARTS = 10  # "at most 10 folders are allowed in the path"
MAX_PART_LENGTH = 100  # our own: Earth Engine's is not documented

_PROJECT = re.compile(r"(?:\w+(?:[\w\-]+\.[\w\-]+)*?\.\w+:)?[a-z][a-z0-9\-]{4,28}[a-z0-9]", re.ASCII)
_PART = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_PART_LENGTH}}}")


@dataclass(frozen=True, order=True)
class AssetName:
    """The name of an asset, of a root (no parts), or of a project itself.

    Attributes:
        project: without the ``projects/`` before it.
        parts: the folders and the asset's own name.
    """

    project: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, name: str) -> AssetName:
        """Read ``projects/P/assets/a/b``; ``projects/P`` and ``projects/P/assets[/]`` name the root.

        Raises:
            EngineError: INVALID_ARGUMENT; the name breaks a rule.
        """
        project, parts = cls._split(name)
        if project is None or len(parts) > MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
            raise EngineError(
                "Invalid asset name. Folder names must be separated with '/', and at most "
                f"{MAX_PARTS} folders are allowed in the path. Names must contain only the following "
                f"characters: A..Z, a..z, 0..9, '_' or '-', and be at most {MAX_PART_LENGTH} long. "
                f"Got: {name[:300]!r}."
            )
        return cls(project, parts)

    @staticmethod
    def _split(name: str) -> tuple[str | None, tuple[str, ...]]:
        head, _, rest = name.partition("/")
        project, _, tail = rest.partition("/")
        if head != "projects" or not _PROJECT.fullmatch(project):
            return None, ()
        if tail in ("", "assets", "assets/"):
            return project, ()
        if not tail.startswith("assets/"):
            return None, ()
        return project, tuple(tail.removeprefix("assets/").split("/"))

    @classmethod
    def from_id(cls, asset_id: str) -> AssetName:
        """Read an id as expressions give it: ``MODIS/061/MOD09A1``, ``users/me/x`` or a whole name.

        Raises:
            EngineError: INVALID_ARGUMENT; the name breaks a rule.
        """
        if cls._split(asset_id)[0] is not None and asset_id.split("/")[2:3] == ["assets"]:
            return cls.parse(asset_id)
        project = LEGACY if asset_id.split("/")[0] in ("users", "projects") else PUBLIC
        return cls.parse(f"projects/{project}/assets/{asset_id}")

    def __str__(self) -> str:
        return "/".join(("projects", self.project, "assets", *self.parts))

    @property
    def id(self) -> str:
        """What clients show: public and legacy assets go without their project."""
        return "/".join(self.parts) if self.project in (PUBLIC, LEGACY) else str(self)

    @property
    def index(self) -> str:
        """``system:index``: the last part."""
        return self.parts[-1] if self.parts else ""

    @property
    def is_root(self) -> bool:
        """Whether it is the top of a project, or a home such as ``users/me`` in the legacy project."""
        return len(self.parts) <= (2 if self.project == LEGACY else 0)

    @property
    def root(self) -> AssetName:
        """The root it stands under."""
        return AssetName(self.project, self.parts[:2] if self.project == LEGACY else ())

    @property
    def parent(self) -> AssetName:
        """The folder or collection it is in; a project's root is its own parent."""
        return AssetName(self.project, self.parts[:-1])

    def under(self, other: AssetName) -> bool:
        """Whether it is ``other`` or somewhere below it."""
        return self.project == other.project and self.parts[: len(other.parts)] == other.parts

    def moved(self, source: AssetName, destination: AssetName) -> AssetName:
        """Where it comes to lie when ``source`` becomes ``destination``; checked like any name."""
        parts = (*destination.parts, *self.parts[len(source.parts) :])
        return AssetName.parse(str(AssetName(destination.project, parts)))
