"""Filters written as text, such as ``'CLOUD < 20 && system:index in ("a", "b")'``.

The operators are those the description of `Filter.expression` and `Collection.filter` lists; ``!`` binds
tighter than ``&&``, and that tighter than ``||``, as in C. Parsed with explicit stacks, so that deeply
nested text cannot exhaust Python's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gee.local.errors import EngineError
from gee.local.selection.filters import All, Filter, Not, Operand, Pair, Relation, Some
from gee.local.selection.relations import (
    EQUALS,
    GREATER,
    LESS,
    LIST_CONTAINS,
    NOT_EQUALS,
    NOT_GREATER,
    NOT_LESS,
    OPPOSITES,
)

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w:])
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>&&|\|\||[<>=!]=|[<>!()\[\],=])
    |(?P<name>[A-Za-z_.][\w.:]*)
    )""",
    re.VERBOSE,
)

_COMPARISONS: dict[str, Relation] = {
    "==": EQUALS,
    "=": EQUALS,
    "!=": NOT_EQUALS,
    "<": LESS,
    "<=": NOT_GREATER,
    ">": GREATER,
    ">=": NOT_LESS,
}
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_BINDING = {"||": 1, "&&": 2, "!": 3}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(expression: str) -> Filter:
    """The filter that a text describes.

    Raises:
        EngineError: the text is not an expression of the documented operators.
    """
    return _Parser(expression).parse()


def negation(part: Filter) -> Filter:
    """The filter that passes where another does not; of a comparison the opposite comparison."""
    if isinstance(part, Pair) and part.relation in OPPOSITES:
        return Pair(OPPOSITES[part.relation], part.left, part.right)
    return Not(part)


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._tokenise()
        self._next = 0

    def _fail(self, position: int) -> EngineError:
        return EngineError(f"Could not parse filter '{self._expression}' at position {position}.")

    def _tokenise(self) -> list[_Token]:
        tokens, position, end = [], 0, len(self._expression.rstrip())
        while position < end:
            match = _TOKEN.match(self._expression, position)
            if match is None or match.lastgroup is None:
                raise self._fail(position)
            kind, text = match.lastgroup, match[match.lastgroup]
            if kind == "name" and text in _WORDS:
                kind, text = "sign", _WORDS[text]
            tokens.append(_Token(kind, text, match.start(match.lastgroup)))
            position = match.end()
        return [*tokens, _Token("end", "", end)]

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *signs: str) -> _Token:
        token = self._peek()
        if signs and not (token.kind == "sign" and token.text in signs):
            raise self._fail(token.position)
        self._next += 1
        return token

    def parse(self) -> Filter:
        filters: list[Filter] = []
        signs: list[_Token] = []
        while True:
            while self._peek().text in ("!", "(") and self._peek().kind == "sign":
                signs.append(self._take())
            filters.append(self._comparison())
            while self._peek().kind == "sign" and self._peek().text == ")":
                closing = self._take()
                self._reduce(filters, signs, 0)
                if not signs:
                    raise self._fail(closing.position)
                signs.pop()
            token = self._peek()
            if token.kind == "end":
                break
            self._take("&&", "||")
            self._reduce(filters, signs, _BINDING[token.text])
            signs.append(token)
        self._reduce(filters, signs, 0)
        if signs:
            raise self._fail(signs[-1].position)
        return filters[0]

    def _reduce(self, filters: list[Filter], signs: list[_Token], binding: int) -> None:
        """Apply the operators on the stack that bind at least so tightly, down to the last bracket."""
        while signs and signs[-1].text != "(" and _BINDING[signs[-1].text] >= binding:
            sign = signs.pop().text
            last = filters.pop()
            if sign == "!":
                filters.append(negation(last))
            else:
                parts = (filters.pop(), last)
                filters.append(All(parts) if sign == "&&" else Some(parts))

    def _comparison(self) -> Filter:
        left = self._operand()
        token = self._take()
        negated = token.kind == "sign" and token.text == "!"
        if negated:
            token = self._take()
        if token.kind == "name" and token.text == "in":
            found: Filter = Pair(LIST_CONTAINS, Operand(None, self._list()), left)
            return Not(found) if negated else found
        if negated or token.text not in _COMPARISONS:
            raise self._fail(token.position)
        return Pair(_COMPARISONS[token.text], left, self._operand())

    def _operand(self) -> Operand:
        token = self._take()
        if token.kind == "name":
            return Operand(token.text)
        return Operand(None, self._literal(token))

    def _literal(self, token: _Token) -> Any:
        if token.kind == "text":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        if token.kind == "number":
            return int(token.text) if re.fullmatch(r"-?\d+", token.text) else float(token.text)
        raise self._fail(token.position)

    def _list(self) -> list[Any]:
        closing = ")" if self._take("(", "[").text == "(" else "]"
        items = [self._literal(self._take())]
        while self._take(",", closing).text == ",":
            items.append(self._literal(self._take()))
        return items
