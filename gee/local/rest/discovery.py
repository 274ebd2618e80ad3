"""The discovery document by which clients learn the routes.

earthengine-api ships a reduced one for its own tests; what it lacks of the version 1 surface is added
here from a table (REST reference v1; the JavaScript client lists the same methods), and where it is stricter
than Google's own, Google's pattern is taken: it lets a client ask for the root of a project
(https://github.com/samapriya/geeup/issues/47 and samapriya/gee_asset_manager_addon issue 12 quote it).
"""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib import resources
from typing import Any

VERSIONS = ("v1", "v1beta", "v1alpha")
_SHIPPED_VERSION = "v1alpha"
_SHIPPED_PATTERN, _PATTERN = "^projects/[^/]+/assets/.+$", "^projects/[^/]+/assets/.*$"

# resource, method, verb, path after the version, path parameter, its pattern, query parameters
_MISSING = (
    ("image", "importExternal", "POST", "{+project}/image:importExternal", "project", "projects/[^/]+", ()),
    ("classifier", "export", "POST", "{+project}/classifier:export", "project", "projects/[^/]+", ()),
    ("tables", "create", "POST", "{+parent}/tables", "parent", "projects/[^/]+", ()),
    ("tables", "getFeatures", "GET", "{+name}:getFeatures", "name", "projects/[^/]+/tables/[^/]+", ()),
    ("featureView", "create", "POST", "{+parent}/featureView", "parent", "projects/[^/]+", ()),
    ("", "getConfig", "GET", "{+name}", "name", "projects/[^/]+/config", ()),
    ("", "updateConfig", "PATCH", "{+name}", "name", "projects/[^/]+/config", ("updateMask",)),
)
_LISTING_PARAMETERS = ("filter", "view")


def _query(name: str) -> dict[str, Any]:
    return {"description": "", "location": "query", "type": "string"}


@cache
def _document(version: str) -> dict[str, Any]:
    shipped = resources.files("ee").joinpath("tests/cloud_api_discovery_document.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(
        shipped.replace(_SHIPPED_VERSION, version).replace(_SHIPPED_PATTERN, _PATTERN)
    )
    projects = document["resources"]["projects"]
    for resource, name, verb, path, parameter, pattern, query in _MISSING:
        place = projects["resources"].setdefault(resource, {}) if resource else projects
        place.setdefault("methods", {}).setdefault(
            name,
            {
                "id": ".".join(filter(None, ("earthengine.projects", resource, name))),
                "description": "",
                "httpMethod": verb,
                "path": f"{version}/{path}",
                "flatPath": f"{version}/{path}",
                "parameterOrder": [parameter],
                "parameters": {
                    parameter: {
                        "description": "",
                        "location": "path",
                        "pattern": f"^{pattern}$",
                        "required": True,
                        "type": "string",
                    },
                    **{extra: _query(extra) for extra in query},
                },
                **({} if verb == "GET" else {"request": {"type": "any"}}),
                "response": {"type": "any"},
            },
        )
    for methods in (projects["methods"], projects["resources"]["assets"]["methods"]):
        for extra in _LISTING_PARAMETERS:
            methods["listAssets"]["parameters"].setdefault(extra, _query(extra))
    return document


def document(version: str, root: str) -> dict[str, Any]:
    """The discovery document of an API version.

    Args:
        version: one of ``VERSIONS``.
        root: URL of the server, without a slash at the end.
    """
    copied = copy.copy(_document(version))
    copied["rootUrl"] = copied["baseUrl"] = f"{root}/"
    return copied
