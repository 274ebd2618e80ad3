"""The ``filter`` of listAssets: a subset of the filter language of https://google.aip.dev/160.

Fields are ``startTime``, ``endTime`` and ``properties.KEY``; the function is ``intersects(GeoJSON or WKT)``
(reference/rest/v1/projects.assets/listAssets). Mind that in this language OR binds more tightly than AND.
An asset that lacks a field satisfies no comparison of it. An image without ``endTime`` is an instant: its
``startTime`` is compared.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from gee.local.assets.records import Asset, parse_time
from gee.local.errors import EngineError

MAX_LENGTH = 1 << 20  # characters; a region of many vertices may be in it
MAX_NESTING = 50

Predicate = Callable[[Asset], bool]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<symbol><=|>=|!=|[=<>:(),])
    | (?P<word>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?
             |[^\s"'=<>!:(),](?:"[^"]*"|[^\s"'=<>!:(),])*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class _Token(NamedTuple):
    kind: str  # string, symbol, word, end
    text: str


def compile_filter(text: str) -> Predicate:
    """Make a test of assets from a filter.

    Args:
        text: of the request; blank accepts everything.

    Raises:
        EngineError: INVALID_ARGUMENT; the filter cannot be read, with the place where.
    """
    if len(text) > MAX_LENGTH:
        raise EngineError(f"Invalid filter: longer than {MAX_LENGTH} characters.")
    if not text.strip():
        return lambda asset: True
    return _Parser(text).parse()


def _tokens(text: str) -> Iterator[_Token]:
    end = len(text.rstrip())
    position = 0
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise EngineError(f"Invalid filter: cannot read {text[position : position + 40]!r}.")
        position = match.end()
        kind = str(match.lastgroup)
        found = match[kind]
        yield _Token(kind, _ESCAPE.sub(r"\1", found[1:-1]) if kind == "string" else found)
    yield _Token("end", "the end")


class _Parser:
    def __init__(self, text: str) -> None:
        self._rest = list(_tokens(text))[::-1]
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._expression()
        if self._rest[-1].kind != "end":
            raise EngineError(f"Invalid filter: unexpected {self._rest[-1].text!r}.")
        return predicate

    def _accept(self, kind: str, text: str | None = None) -> str | None:
        token = self._rest[-1]
        if token.kind != kind or text not in (None, token.text):
            return None
        return self._rest.pop().text

    def _expect(self, symbol: str) -> None:
        if self._accept("symbol", symbol) is None:
            raise EngineError(f"Invalid filter: expected {symbol!r} before {self._rest[-1].text[:40]!r}.")

    def _expression(self) -> Predicate:
        parts = [self._factor()]
        while self._accept("word", "AND") is not None or self._begins_term():
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else lambda asset: all(part(asset) for part in parts)

    def _begins_term(self) -> bool:
        """Whether another term follows with no operator between, which means AND."""
        token = self._rest[-1]
        return (token.kind == "word" and token.text != "OR") or token == _Token("symbol", "(")

    def _factor(self) -> Predicate:
        parts = [self._term()]
        while self._accept("word", "OR") is not None:
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else lambda asset: any(part(asset) for part in parts)

    def _term(self) -> Predicate:
        negated = self._accept("word", "NOT") is not None
        token = self._rest[-1]
        if not negated and token.kind == "word" and token.text.startswith("-"):
            negated = True
            self._rest.pop()
            if token.text != "-":
                self._rest.append(_Token("word", token.text[1:]))
        inner = self._simple()
        return (lambda asset: not inner(asset)) if negated else inner

    def _simple(self) -> Predicate:
        if self._accept("symbol", "(") is not None:
            self._depth += 1
            if self._depth > MAX_NESTING:
                raise EngineError(f"Invalid filter: more than {MAX_NESTING} nested parentheses.")
            inner = self._expression()
            self._expect(")")
            self._depth -= 1
            return inner
        field = self._accept("word")
        if field is None:
            raise EngineError(f"Invalid filter: expected a field before {self._rest[-1].text[:40]!r}.")
        if self._accept("symbol", "(") is not None:
            return self._call(field)
        sign = self._accept("symbol")
        if sign is None or sign not in _COMPARE:
            raise EngineError(f"Invalid filter: expected a comparison after {field!r}, got {sign!r}.")
        quoted = self._accept("string")
        value = quoted if quoted is not None else self._accept("word")
        if value is None:
            raise EngineError(f"Invalid filter: expected a value after '{field} {sign}'.")
        return _comparison(field, sign, value)

    def _call(self, function: str) -> Predicate:
        if function != "intersects":
            raise EngineError(
                f"Invalid filter: unknown function {function!r}; there is intersects(geometry)."
            )
        text = self._accept("string")
        if text is None:
            raise EngineError("Invalid filter: intersects() takes one string, a GeoJSON geometry or WKT.")
        self._expect(")")
        region = _geometry(text)
        shapely.prepare(region)
        return lambda asset: asset.geometry is not None and region.intersects(shape(asset.geometry))


def _geometry(text: str) -> BaseGeometry:
    """A region as clients send it: WKT, or GeoJSON, maybe with single quotes for its double ones."""
    try:
        if not text.lstrip().startswith("{"):
            return shapely.from_wkt(text)
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            document = json.loads(text.replace("'", '"'))
        return shape(document.get("geometry") or document)
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        RecursionError,
        shapely.errors.ShapelyError,
    ) as error:
        raise EngineError(f"Invalid filter: {text[:80]!r} is no GeoJSON geometry or WKT.") from error


def _comparison(field: str, sign: str, value: str) -> Predicate:
    compare = _COMPARE[sign]
    if field in ("startTime", "endTime"):
        wanted = parse_time(value, field)

        def by_time(asset: Asset) -> bool:
            late = asset.end_time if field == "endTime" else None
            time = asset.start_time if late is None else late
            return time is not None and compare(time, wanted)

        return by_time
    if not field.startswith("properties."):
        raise EngineError(
            f"Invalid filter: unknown field {field!r}; there are startTime, endTime, properties.KEY."
        )
    key = field.removeprefix("properties.").replace('"', "")
    number = _number(value)

    def by_property(asset: Asset) -> bool:
        found = asset.property(key)
        if isinstance(found, bool):
            return value in ("true", "false") and compare(found, value == "true")
        if isinstance(found, int | float):
            return number is not None and compare(found, number)
        return isinstance(found, str) and compare(found, value)

    return by_property


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
