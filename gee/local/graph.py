"""Expressions: decoded into hash-consed nodes and evaluated without recursion.

Equal sub-expressions are one node, in a request and across requests, so each is evaluated once per
scope. A node is evaluated in the innermost function whose arguments it uses: what a mapped function
computes from nothing of the element is computed once, not once per element. Source of the format:
``ee/serializer.py`` of earthengine-api and the REST reference's ``Expression``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from gee.local import limits
from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.registry import apply


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of an expression.

    Args:
        kind: constant, array, dictionary, call, apply (of a function value), function or argument.
        payload: the constant; names of keys or arguments; the algorithm's name; the argument's name.
        children: the nodes it needs.
        free: arguments of enclosing functions it depends on.
        key: digest of all of the above; equal keys are one node.
    """

    kind: str
    payload: Any
    children: tuple[Node, ...]
    free: frozenset[str]
    key: bytes
    __weakref__: Any = field(init=False, repr=False)


_WRITTEN = json.JSONEncoder(sort_keys=True).encode
_INTERNED: WeakValueDictionary[bytes, Node] = WeakValueDictionary()


def node(kind: str, payload: Any, children: tuple[Node, ...] = ()) -> Node:
    """The one node of this content."""
    digest = hashlib.blake2b(_WRITTEN([kind, payload]).encode(), digest_size=16)
    for child in children:
        digest.update(child.key)
    key = digest.digest()
    found = _INTERNED.get(key)
    if found is None:
        free = frozenset[str]().union(*(child.free for child in children))
        if kind == "argument":
            free = frozenset([payload])
        elif kind == "function":
            free -= frozenset(payload)
        found = _INTERNED.setdefault(key, Node(kind, payload, children, free, key))
    return found


def decode(expression: Mapping[str, Any]) -> Node:
    """The root node of an expression as clients send it.

    Raises:
        EngineError: the expression is malformed, refers to a value it does not have, or to itself.
    """
    values = expression.get("values")
    result = expression.get("result")
    if not isinstance(values, dict) or not isinstance(result, str):
        raise EngineError("Invalid JSON payload received. 'expression' needs 'values' and 'result'.")
    decoded: dict[int, Node] = {}  # by identity of the JSON objects, which live as long as `expression`
    open_references: set[int] = set()

    def target(key: Any) -> Any:
        if key not in values:
            raise EngineError(f"Expression refers to value '{key}', which it does not contain.")
        return values[key]

    root = target(result)
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        item, ready = stack.pop()
        identity = id(item)
        if identity in decoded:
            continue
        kind, payload, parts = _parts(item, target)
        if ready:
            open_references.discard(identity)
            if kind == "reference":
                decoded[identity] = decoded[id(parts[0])]
            else:
                decoded[identity] = node(kind, payload, tuple(decoded[id(part)] for part in parts))
            continue
        open_references.add(identity)
        stack.append((item, True))
        for part in parts:
            if id(part) in open_references and id(part) not in decoded:
                raise EngineError("Expression contains a cycle: a value refers to itself.")
            stack.append((part, False))
        if len(decoded) > limits.MAX_EXPRESSION_NODES:
            raise EngineError("Expression is too large.")
    return decoded[id(root)]


def _parts(item: Any, target: Callable[[Any], Any]) -> tuple[str, Any, list[Any]]:
    """Kind and payload of a value node, and the value nodes it is made of."""
    if not isinstance(item, dict) or len(item) != 1:
        raise EngineError(f"Invalid value node in the expression: {json.dumps(item)[:200]}")
    [(field_name, content)] = item.items()
    try:
        if field_name == "constantValue":
            return "constant", content, []
        if field_name == "integerValue":
            return "constant", int(content), []
        if field_name == "bytesValue":
            base64.b64decode(content, validate=True)
            return "constant", content, []
        if field_name == "valueReference":
            return "reference", None, [target(content)]
        if field_name == "argumentReference":
            return "argument", str(content), []
        if field_name == "arrayValue":
            return "array", None, list(content.get("values", []))
        if field_name == "dictionaryValue":
            entries = content.get("values", {})
            return "dictionary", list(entries), list(entries.values())
        if field_name == "functionDefinitionValue":
            return "function", list(content["argumentNames"]), [target(content["body"])]
        if field_name == "functionInvocationValue":
            arguments = content.get("arguments", {})
            names = list(arguments)
            if "functionName" in content:
                return "call", [content["functionName"], names], list(arguments.values())
            return "apply", names, [target(content["functionReference"]), *arguments.values()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"Invalid value node in the expression: '{field_name}'.") from error
    raise EngineError(f"Invalid value node in the expression: unknown field '{field_name}'.")


class Frame:
    """The arguments of one call of a client's function, and what was computed from them."""

    __slots__ = ("arguments", "known", "outer")

    def __init__(self, arguments: dict[str, Any], outer: Frame | None) -> None:
        self.arguments = arguments
        self.outer = outer
        self.known: dict[Node, Any] = {}


class Closure:
    """A client's function: callable with positional or named arguments."""

    def __init__(self, definition: Node, frame: Frame) -> None:
        self.names: tuple[str, ...] = tuple(definition.payload)
        self._body = definition.children[0]
        self._frame = frame

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """The value of the body for these arguments; positional ones in the order of the definition."""
        if len(positional) > len(self.names):
            positional = positional[: len(self.names)]
        arguments = dict(zip(self.names, positional, strict=False)) | named
        missing = [name for name in self.names if name not in arguments]
        if missing:
            raise EngineError(f"A function is called without its argument '{missing[0]}'.")
        return _evaluate(self._body, Frame(arguments, self._frame))


def evaluate(root: Node) -> Any:
    """The value of an expression in the current context.

    Raises:
        EngineError: the expression cannot be computed; the message names the algorithm.
    """
    if root.free:
        raise EngineError(f"Expression refers to argument '{min(root.free)}' outside its function.")
    return _evaluate(root, Frame({}, None))


def _home(wanted: Node, frame: Frame) -> Frame:
    """The outermost frame in which a node has all the arguments it uses."""
    while frame.outer is not None and not (frame.arguments.keys() & wanted.free):
        frame = frame.outer
    return frame


def _needs(wanted: Node) -> Iterator[Node]:
    # A function's body is evaluated when the function is called, not when it is made.
    return iter(()) if wanted.kind == "function" else iter(wanted.children)


def _evaluate(wanted: Node, frame: Frame) -> Any:
    context = current()
    stack = [(wanted, _home(wanted, frame))]
    while stack:
        item, home = stack[-1]
        known = home.known
        if item in known:
            stack.pop()
            continue
        waiting = False
        for child in _needs(item):
            child_home = _home(child, home)
            if child not in child_home.known:
                stack.append((child, child_home))
                waiting = True
        if waiting:
            continue
        stack.pop()
        context.spend()
        known[item] = _compute(item, home, [_home(child, home).known[child] for child in _needs(item)])
    return _home(wanted, frame).known[wanted]


def _compute(item: Node, frame: Frame, inputs: list[Any]) -> Any:
    if item.kind == "call":
        name, names = item.payload
        return apply(name, dict(zip(names, inputs, strict=True)))
    if item.kind == "argument":
        scope: Frame | None = frame
        while scope is not None:
            if item.payload in scope.arguments:
                return scope.arguments[item.payload]
            scope = scope.outer
        raise EngineError(f"Expression refers to argument '{item.payload}' outside its function.")
    if item.kind == "constant":
        return item.payload
    if item.kind == "array":
        return inputs
    if item.kind == "dictionary":
        return dict(zip(item.payload, inputs, strict=True))
    if item.kind == "function":
        return Closure(item, frame)
    function, *arguments = inputs
    if not callable(function):
        raise EngineError("Expression applies a value that is not a function.")
    return function(**dict(zip(item.payload, arguments, strict=True)))
