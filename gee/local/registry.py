"""The algorithms of Earth Engine by name: their documented signatures and our definitions.

Signatures (argument names, types, defaults, descriptions) come from the list that ships with
earthengine-api, so a definition here is only a function of the arguments in their documented order.
An algorithm without a definition is an error that names it; nothing is guessed.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np

from gee.local import limits
from gee.local.errors import EngineError
from gee.local.values import Collection

Definition = Callable[..., Any]
_Defined = TypeVar("_Defined", bound=Definition)
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxdict = 20
_SHORT.maxstring = _SHORT.maxlong = 100

_DEFINITIONS: dict[str, Definition] = {}
_PROMOTIONS: dict[str, Callable[[Any], Any]] = {}


@dataclass(frozen=True)
class Argument:
    """One documented argument of an algorithm."""

    name: str
    type: str
    optional: bool
    default: Any


@dataclass(frozen=True)
class Signature:
    """What Earth Engine documents of an algorithm."""

    name: str
    arguments: tuple[Argument, ...]
    returns: str
    hidden: bool
    deprecated: bool


@cache
def listing() -> bytes:
    """The ``ListAlgorithms`` response that ships with earthengine-api, as bytes of JSON."""
    return resources.files("ee").joinpath("tests/algorithms.json").read_bytes()


@cache
def signatures() -> Mapping[str, Signature]:
    """Every documented algorithm, by its name without the ``algorithms/`` prefix."""
    return {
        name: Signature(
            name,
            tuple(
                Argument(
                    argument["argumentName"],
                    argument["type"],
                    bool(argument.get("optional", False)),
                    argument.get("defaultValue"),
                )
                for argument in entry.get("arguments", ())
            ),
            entry["returnType"],
            bool(entry.get("hidden", False)),
            bool(entry.get("deprecated", False)),
        )
        for entry in json.loads(listing())["algorithms"]
        for name in [entry["name"].removeprefix("algorithms/")]
    }


def algorithm(*names: str) -> Callable[[_Defined], _Defined]:
    """Register a function as the definition of the algorithms of these names.

    The function takes the documented arguments by position, already promoted to their documented
    types; a missing optional argument arrives as its documented default (None when there is none).
    """

    def register(definition: _Defined) -> _Defined:
        for name in names:
            if name not in signatures():
                raise ValueError(f"Earth Engine documents no algorithm named {name!r}.")
            if name in _DEFINITIONS:
                raise ValueError(f"{name!r} is defined twice.")
            _DEFINITIONS[name] = definition
        return definition

    return register


def promotion(*types: str) -> Callable[[_Defined], _Defined]:
    """Register how a value becomes one of the documented argument types ("Image", "Date", ...).

    The function returns the promoted value, or raises TypeError for a value that does not become one.
    """

    def register(promote: _Defined) -> _Defined:
        for name in types:
            if name in _PROMOTIONS:
                raise ValueError(f"The promotion to {name!r} is defined twice.")
            _PROMOTIONS[name] = promote
        return promote

    return register


def promote(value: Any, wanted: str) -> Any:
    """A value as the documented type ``wanted``; null stays null.

    Raises:
        TypeError: the value does not become one.
    """
    base, _, inner = wanted.partition("<")
    if value is None or base in ("Object", ""):
        return value
    if base not in _PROMOTIONS:
        raise EngineError(f"Values of type {wanted} are not supported by the local engine.")
    promoted = _PROMOTIONS[base](value)
    inner = inner.removesuffix(">")
    if base == "List" and inner != "Object":
        return [promote(item, inner) for item in promoted]
    if base == "Dictionary" and inner != "Object":
        return {key: promote(item, inner) for key, item in promoted.items()}
    return promoted


def expect(value: Any, wanted: str) -> Any:
    """What a request needs its expression to be.

    Raises:
        EngineError: it is null or of another type.
    """
    try:
        found = promote(value, wanted)
    except TypeError:
        found = None
    if found is None:
        shown = "null" if value is None else type_name(value)
        raise EngineError(f"Expected a value of type {wanted}, got {shown}.")
    return found


def apply(name: str, arguments: Mapping[str, Any]) -> Any:
    """Call an algorithm with its documented arguments by name.

    Raises:
        EngineError: no such algorithm, an argument missing, unknown or of the wrong type, or what
            the algorithm itself refuses; the message begins with the algorithm's name.
    """
    function = definition(name)
    signature = signatures()[name]
    unknown = arguments.keys() - {argument.name for argument in signature.arguments}
    if unknown:
        raise EngineError(f"{name}: Unrecognized argument '{min(unknown)}'.")
    values = []
    for argument in signature.arguments:
        value = arguments.get(argument.name)
        if value is None:
            if not argument.optional:
                raise EngineError(f"{name}: Parameter '{argument.name}' is required and may not be null.")
            value = argument.default
        try:
            values.append(promote(value, argument.type))
        except TypeError as error:
            raise EngineError(
                f"{name}, argument '{argument.name}': Invalid type.\nExpected type: {argument.type}.\n"
                f"Actual type: {type_name(value)}.\nActual value: {shown(value)}"
            ) from error
    try:
        result = function(*values)
        if isinstance(result, str) and len(result) > limits.MAX_TEXT:
            raise EngineError(f"String of {len(result)} characters is too long: at most {limits.MAX_TEXT}.")
        return result
    except EngineError as error:
        raise error.within(name) from error.__cause__


def type_name(value: Any) -> str:
    """What Earth Engine calls the type of a value."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, (int, np.integer)):
        return "Integer"
    if isinstance(value, (float, np.floating)):
        return "Float"
    names: dict[type, str] = {
        str: "String",
        list: "List<Object>",
        tuple: "List<Object>",
        dict: "Dictionary<Object>",
    }
    if isinstance(value, np.ndarray):
        return "Array"
    if isinstance(value, Collection):
        return "ImageCollection" if value.images else "FeatureCollection"
    return names.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """A value in an error message: short, however large it is."""
    if value is None or isinstance(value, (bool, int, float, str, list, dict)):
        # A value may hold itself many times over; what is written of it must stay short.
        text = value[:201] if isinstance(value, str) else _SHORT.repr(value)
        return text if len(text) <= 200 else text[:200] + "..."
    return f"<{type_name(value)}>"


def definition(name: str) -> Definition:
    """The definition of an algorithm.

    Raises:
        EngineError: Earth Engine has no such algorithm, or the local engine does not support it.
    """
    found = _DEFINITIONS.get(name)
    if found is None:
        if name not in signatures():
            raise EngineError(f"Unrecognized function name: '{name}'.")
        raise EngineError(f"Algorithm '{name}' is not supported by the local engine.")
    return found


def coverage() -> Iterator[tuple[Signature, bool]]:
    """Each documented algorithm by name, and whether the local engine supports it."""
    for name, signature in sorted(signatures().items()):
        yield signature, name in _DEFINITIONS
