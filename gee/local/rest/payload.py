"""Request bodies: how large and how deeply nested they may be, and reading them without recursion.

Clients inline every value that is used once, so a chain of two thousand operations is six thousand
levels of JSON, more than a recursive parser survives. Limit and wording of the size: guides/usage.
"""

from __future__ import annotations

import json
import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any

from gee import limits
from gee.local import limits as own_limits
from gee.local.errors import EngineError

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(
    r"(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<word>true|false|null|NaN|-?Infinity)"
)
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


def check_size(length: int) -> None:
    """Refuse a body that is larger than Earth Engine accepts.

    Raises:
        EngineError: as Earth Engine words it.
    """
    if length > limits.MAX_PAYLOAD_BYTES:
        raise EngineError(f"Request payload size exceeds the limit: {limits.MAX_PAYLOAD_BYTES} bytes.")


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body; an empty body is an empty object.

    Raises:
        EngineError: it is too large, too deep, no JSON, or no object.
    """
    check_size(len(body))
    if not body.strip():
        return {}
    try:
        text = body.decode()
        try:
            parsed = json.loads(text)
        except RecursionError:
            parsed = _parse_deep(text)
    except ValueError as error:
        raise EngineError(f"Invalid JSON payload received. {error}") from error
    if not isinstance(parsed, dict):
        raise EngineError("Invalid JSON payload received. Expected an object.")
    return parsed


def _parse_deep(text: str) -> Any:
    """JSON of any depth up to the limit, with a stack of our own."""
    result: list[Any] = []
    stack: list[list[Any] | dict[str, Any]] = [result]
    keys: list[str] = [""]  # of each open container, the key whose value comes next
    position, expected = 0, "value"
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        container = stack[-1]
        sign = text[position : position + 1]
        if expected == "separator":
            if len(stack) == 1:
                if sign:
                    raise JSONDecodeError("Extra data", text, position)
                return result[0]
            closing = "]" if isinstance(container, list) else "}"
            if sign == closing:
                stack.pop()
                keys.pop()
            elif sign == ",":
                expected = "value" if closing == "]" else "key"
            else:
                raise JSONDecodeError("Expecting ',' delimiter", text, position)
            position += 1
        elif expected in ("key", "key or end"):
            if sign == "}" and expected == "key or end":
                expected = "separator"
                continue
            if sign != '"':
                raise JSONDecodeError("Expecting property name enclosed in double quotes", text, position)
            keys[-1], position = scanstring(text, position + 1)
            position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
            if text[position : position + 1] != ":":
                raise JSONDecodeError("Expecting ':' delimiter", text, position)
            position, expected = position + 1, "value"
        elif sign == "]" and expected == "value or end":
            expected = "separator"
        else:
            value: Any
            expected = "separator"
            if sign == '"':
                value, position = scanstring(text, position + 1)
            elif sign and sign in "[{":
                value = [] if sign == "[" else {}
                position, expected = position + 1, "value or end" if sign == "[" else "key or end"
            else:
                value, position = _scalar(text, position)
            if isinstance(container, list):
                container.append(value)
            else:
                container[keys[-1]] = value
            if expected != "separator":
                stack.append(value)
                keys.append("")
                if len(stack) > own_limits.MAX_JSON_DEPTH:
                    raise EngineError("Invalid JSON payload received. The expression is nested too deeply.")


def _scalar(text: str, position: int) -> tuple[Any, int]:
    found = _SCALAR.match(text, position)
    if found is None:
        raise JSONDecodeError("Expecting value", text, position)
    if found["word"]:
        return _WORDS[found["word"]], found.end()
    number = found["number"]
    return (int(number) if number.lstrip("-").isdigit() else float(number)), found.end()
