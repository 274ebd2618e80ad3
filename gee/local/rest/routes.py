"""The routes of the REST API, version 1, and what each of them does.

One table maps a verb and a path to a function of the server's parts and a call. The functions know nothing
of HTTP connections, so that `server` can run them in threads and turn whatever they raise into Earth
Engine's error JSON. Source: REST reference v1; the calls of earthengine-api, xee, geemap and geedim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gee import limits
from gee.local import registry
from gee.local.assets.iam import LOCAL_USER
from gee.local.assets.listing import Query
from gee.local.assets.names import LEGACY, PUBLIC
from gee.local.assets.records import NewAsset, mask_paths
from gee.local.engine import Drawing
from gee.local.errors import EngineError
from gee.local.messages import (
    ComputeFeatures,
    ComputePixels,
    ComputeValue,
    CreateMap,
    CreateTable,
    CreateThumbnail,
    GetPixels,
)
from gee.local.rest.api import Answer, Api, Call
from gee.local.rest.discovery import VERSIONS, document

_COMPUTE = "earthengine.computations.create"
BATCH: Mapping[str, tuple[str, str]] = {
    "image:export": ("EXPORT_IMAGE", "earthengine.exports.create"),
    "table:export": ("EXPORT_FEATURES", "earthengine.exports.create"),
    "classifier:export": ("EXPORT_CLASSIFIER", "earthengine.exports.create"),
    "map:export": ("EXPORT_TILES", "earthengine.exports.create"),
    "video:export": ("EXPORT_VIDEO", "earthengine.exports.create"),
    "videoMap:export": ("EXPORT_VIDEO_MAP", "earthengine.exports.create"),
    "image:import": ("INGEST_IMAGE", "earthengine.imports.create"),
    "table:import": ("INGEST_TABLE", "earthengine.imports.create"),
}
"""Method -> type of the task, and what its caller must be allowed in the project."""


# Service


def _discovery(api: Api, call: Call) -> Answer:
    version = call.query.get("version", "v1")
    if version not in VERSIONS:
        raise EngineError(f"Not found: discovery document for version '{version}'.", "NOT_FOUND")
    return document(version, call.root)


def _token(api: Api, call: Call) -> Answer:
    fields = dict(re.findall(r"(?:^|&)(\w+)=([^&]*)", call.raw[: 64 << 10].decode("ascii", "replace")))
    return api.accounts.exchange(fields.get("assertion", "")).to_json()


def _algorithms(api: Api, call: Call) -> Answer:
    caller, project = api.caller(call), call.path["project"]
    if caller == LOCAL_USER and project not in (LEGACY, PUBLIC):
        # Initialize asks this first; whatever project the machine's own user names is his.
        api.store.access.add_project(project, LOCAL_USER)
    return registry.listing()


def _config(api: Api, call: Call) -> Answer:
    api.caller(call)
    return {"name": call.path["name"], "maxConcurrentExports": limits.CONCURRENT_TASKS}


def _update_config(api: Api, call: Call) -> Answer:
    raise EngineError("The local engine's project configuration cannot be changed.")


def _unsupported(api: Api, call: Call) -> Answer:
    raise EngineError("The local engine does not support this method.")


# Computing


def _compute_value(api: Api, call: Call) -> Answer:
    caller = api.admitted(call, _COMPUTE)
    return api.engine.compute_value(ComputeValue.read(call.body()), caller, api.context(call, caller))


def _compute_pixels(api: Api, call: Call) -> Answer:
    caller = api.admitted(call, _COMPUTE)
    return api.engine.compute_pixels(ComputePixels.read(call.body()), caller, api.context(call, caller))


def _get_pixels(api: Api, call: Call) -> Answer:
    caller = api.caller(call)
    request = GetPixels.read(call.body())
    return api.engine.get_pixels(call.path["name"], request, api.context(call, caller))


def _compute_features(api: Api, call: Call) -> Answer:
    caller = api.admitted(call, _COMPUTE)
    request = ComputeFeatures.read(call.body())
    return api.engine.compute_features(request, caller, api.context(call, caller))


def _compute_images(api: Api, call: Call) -> Answer:
    caller = api.admitted(call, _COMPUTE)
    request = ComputeFeatures.read(call.body())
    return api.engine.compute_images(request, caller, api.context(call, caller))


def _create(
    api: Api, call: Call, kind: str, message: type[CreateMap | CreateThumbnail | CreateTable]
) -> Answer:
    caller = api.admitted(call, f"earthengine.{kind}.create")
    drawing = Drawing(message.read(call.body()), caller)
    api.engine.check_drawing(drawing, api.context(call, caller))
    return {"name": api.drawings.add(kind, call.path["project"], drawing, call.raw)}


def _create_map(api: Api, call: Call) -> Answer:
    return _create(api, call, "maps", CreateMap)


def _create_thumbnail(api: Api, call: Call) -> Answer:
    return _create(api, call, "thumbnails", CreateThumbnail)


def _create_table(api: Api, call: Call) -> Answer:
    return _create(api, call, "tables", CreateTable)


def _tile(api: Api, call: Call) -> Answer:
    drawing = api.drawings.get(call.path["name"])
    zoom, x, y = (int(call.path[axis]) for axis in ("zoom", "x", "y"))
    return api.engine.tile(drawing, zoom, x, y, api.context(call, drawing.caller))


def _thumbnail(api: Api, call: Call) -> Answer:
    drawing = api.drawings.get(call.path["name"])
    return api.engine.thumbnail(drawing, api.context(call, drawing.caller))


def _table(api: Api, call: Call) -> Answer:
    drawing = api.drawings.get(call.path["name"])
    return api.engine.table(drawing, api.context(call, drawing.caller))


# Assets


def _get_asset(api: Api, call: Call) -> Answer:
    return api.store.get(call.path["name"], api.caller(call)).to_rest()


def _create_asset(api: Api, call: Call) -> Answer:
    name = f"projects/{call.path['project']}/assets/{call.query.get('assetId', '')}"
    return api.store.create(NewAsset.from_rest(name, call.body()), api.caller(call)).to_rest()


def _update_asset(api: Api, call: Call) -> Answer:
    body = call.body()
    paths = mask_paths(body.get("updateMask"))
    return api.store.update(call.path["name"], body.get("asset"), paths, api.caller(call)).to_rest()


def _delete_asset(api: Api, call: Call) -> Answer:
    api.store.delete(call.path["name"], api.caller(call))
    return {}


def _list_assets(api: Api, call: Call) -> Answer:
    query = Query(
        call.number("pageSize"),
        call.query.get("pageToken"),
        call.query.get("view"),
        call.query.get("filter"),
    )
    return api.store.list_assets(call.path["name"], api.caller(call), query).to_rest()


def _copy_asset(api: Api, call: Call) -> Answer:
    body = call.body()
    return api.store.copy(
        call.path["name"],
        str(body.get("destinationName", "")),
        api.caller(call),
        overwrite=bool(body.get("overwrite", False)),
    ).to_rest()


def _move_asset(api: Api, call: Call) -> Answer:
    destination = str(call.body().get("destinationName", ""))
    return api.store.move(call.path["name"], destination, api.caller(call)).to_rest()


def _get_policy(api: Api, call: Call) -> Answer:
    return api.store.access.get_policy(call.path["name"], api.caller(call))


def _set_policy(api: Api, call: Call) -> Answer:
    return api.store.access.set_policy(call.path["name"], call.body().get("policy"), api.caller(call))


def _test_permissions(api: Api, call: Call) -> Answer:
    wanted = call.body().get("permissions", [])
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise EngineError("Invalid value at 'permissions': must be a list of strings.")
    return api.store.access.test_permissions(call.path["name"], wanted, api.caller(call))


# Batch


def _submit(api: Api, call: Call) -> Answer:
    kind, permission = BATCH[call.path["kind"]]
    caller = api.admitted(call, permission)
    body = call.body()
    check = api.checks.get(kind)
    if check is not None:
        check(body, caller)
    request_id = body.get("requestId")
    return api.tasks.submit(call.path["project"], kind, body, caller, str(request_id) if request_id else None)


def _import_external(api: Api, call: Call) -> Answer:
    caller = api.admitted(call, "earthengine.imports.create")
    if api.external is None:
        return _unsupported(api, call)
    return api.external(call.body(), caller)


def _list_operations(api: Api, call: Call) -> Answer:
    api.admitted(call, "earthengine.operations.list")
    return api.tasks.list_operations(
        call.path["project"], call.number("pageSize"), call.query.get("pageToken")
    )


def _get_operation(api: Api, call: Call) -> Answer:
    api.admitted(call, "earthengine.operations.get")
    return api.tasks.get(call.path["name"])


def _cancel_operation(api: Api, call: Call) -> Answer:
    api.admitted(call, "earthengine.operations.update")
    api.tasks.cancel(call.path["name"])
    return {}


@dataclass(frozen=True)
class Route:
    """A verb and a path of the API.

    Args:
        verb: of HTTP.
        pattern: of the path after the version.
        handle: what the call does.
        computes: whether it counts against the requests that may run at a time.
    """

    verb: str
    pattern: re.Pattern[str]
    handle: Callable[[Api, Call], Answer]
    computes: bool


_PARTS = {
    "{project}": r"projects/(?P<project>[^/]+)",
    "{root}": r"(?P<name>projects/[^/]+)",
    "{asset}": r"(?P<name>projects/[^/]+/assets/[^:]*)",
    "{operation}": r"(?P<name>projects/[^/]+/operations/[^/:]+)",
    "{config}": r"(?P<name>projects/[^/]+/config)",
    "{drawing}": r"(?P<name>projects/[^/]+/(?:maps|thumbnails|tables)/[^/:]+)",
}

_ROUTES: tuple[tuple[str, str, Callable[[Api, Call], Answer]], ...] = (
    ("GET", "{project}/algorithms", _algorithms),
    ("POST", "{project}/value:compute", _compute_value),
    ("POST", "{project}/image:computePixels", _compute_pixels),
    ("POST", "{project}/imageCollection:computeImages", _compute_images),
    ("POST", "{project}/table:computeFeatures", _compute_features),
    ("POST", "{project}/maps", _create_map),
    ("GET", r"{drawing}/tiles/(?P<zoom>\d{1,2})/(?P<x>\d{1,9})/(?P<y>\d{1,9})", _tile),
    ("POST", "{project}/thumbnails", _create_thumbnail),
    ("GET", "{drawing}:getPixels", _thumbnail),
    ("POST", "{project}/tables", _create_table),
    ("GET", "{drawing}:getFeatures", _table),
    ("POST", f"{{project}}/(?P<kind>{'|'.join(BATCH)})", _submit),
    ("POST", "{project}/image:importExternal", _import_external),
    ("GET", "{project}/operations", _list_operations),
    ("GET", "{operation}", _get_operation),
    ("POST", "{operation}:cancel", _cancel_operation),
    ("GET", "{config}", _config),
    ("PATCH", "{config}", _update_config),
    ("GET", "{root}:listAssets", _list_assets),
    ("POST", "{project}/assets", _create_asset),
    ("GET", "{asset}", _get_asset),
    ("PATCH", "{asset}", _update_asset),
    ("DELETE", "{asset}", _delete_asset),
    ("GET", "{asset}:listAssets", _list_assets),
    ("POST", "{asset}:copy", _copy_asset),
    ("POST", "{asset}:move", _move_asset),
    ("POST", "{asset}:getPixels", _get_pixels),
    ("POST", "{asset}:getIamPolicy", _get_policy),
    ("POST", "{asset}:setIamPolicy", _set_policy),
    ("POST", "{asset}:testIamPermissions", _test_permissions),
    ("POST", "{project}/(?:filmstripThumbnails|videoThumbnails|featureView)", _unsupported),
    ("GET", "{asset}:(?:listImages|listFeatures)", _unsupported),
    ("GET", "{project}/assets:search", _unsupported),
    ("DELETE", "{operation}", _unsupported),
    ("POST", "{operation}:wait", _unsupported),
)  # fmt: skip

_COMPUTING = {
    _compute_value, _compute_pixels, _compute_images, _compute_features, _get_pixels,
    _create_map, _create_thumbnail, _create_table, _tile, _thumbnail, _table,
}  # fmt: skip


def _compiled(path: str) -> re.Pattern[str]:
    for name, part in _PARTS.items():
        path = path.replace(name, part)
    return re.compile(path)


ROUTES = tuple(Route(verb, _compiled(path), handle, handle in _COMPUTING) for verb, path, handle in _ROUTES)
SERVICE = {("GET", "$discovery/rest"): _discovery, ("POST", "token"): _token}


def find(verb: str, path: str) -> tuple[Route, str, dict[str, str]]:
    """The route of a request, the API version of its path, and the named parts of the path.

    Raises:
        EngineError: there is none.
    """
    path = path.removeprefix("/")
    service = SERVICE.get((verb, path))
    if service is not None:
        return Route(verb, re.compile(""), service, computes=False), "", {}
    version, _, rest = path.partition("/")
    if version in VERSIONS:
        for route in ROUTES:
            matched = route.pattern.fullmatch(rest) if route.verb == verb else None
            if matched:
                return route, version, matched.groupdict()
    raise EngineError(f"The requested URL {verb} /{path[:200]} was not found on this server.", "NOT_FOUND")
