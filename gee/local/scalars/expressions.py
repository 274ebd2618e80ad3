"""The arithmetic language of Number.expression and Image.expression, compiled to steps for a stack.

A text such as ``(x < y) ? 100 : 2.5 * max(b.nir, 0)`` becomes a flat list of steps in postfix order, so that
neither compiling nor running recurses however long it is. Operators are calls of the algorithm that the
class has for them (``+`` of ``add``), so each class keeps its own rules. Operators and precedence are
JavaScript's, as guides/image_math and apidocs/ee-number-expression list them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gee.local.errors import EngineError

CHOICE = "?:"
"""Name of the call that a conditional operator makes, of condition, first and second value."""

INDEX = "[]"
"""Name of the call that brackets after an operand make, of the operand and what is in them."""

# Precedence and the algorithm of each binary operator, as in JavaScript.
_BINARY = {
    "||": (1, "or"),
    "&&": (2, "and"),
    "|": (3, "bitwiseOr"),
    "^": (4, "bitwiseXor"),
    "&": (5, "bitwiseAnd"),
    "==": (6, "eq"),
    "!=": (6, "neq"),
    "<": (7, "lt"),
    "<=": (7, "lte"),
    ">": (7, "gt"),
    ">=": (7, "gte"),
    "<<": (8, "leftShift"),
    ">>": (8, "rightShift"),
    "+": (9, "add"),
    "-": (9, "subtract"),
    "*": (10, "multiply"),
    "/": (10, "divide"),
    "%": (10, "mod"),
    "**": (12, "pow"),
}
_UNARY = {"-": "negative", "+": "positive", "!": "not", "~": "bitwiseNot"}
_UNARY_PRECEDENCE = 11
_RIGHT_TO_LEFT = {"**"}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_$][\w$]*(?:\s*\.\s*[A-Za-z_$][\w$]*)*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign>\*\*|\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%<>!~&|^?:(),\[\]]))"
)
_BRACKET = re.compile(r"\s*\(")


@dataclass(frozen=True)
class Step:
    """One step: put a constant or a variable on the stack, or replace operands by what a call gives.

    Args:
        kind: of the step.
        value: the constant; the variable's name, with dots; the name of what is called.
        operands: how many the call takes.
    """

    kind: Literal["constant", "variable", "call"]
    value: Any
    operands: int = 0


@dataclass
class _Open:
    """What waits on the operator stack."""

    kind: Literal["binary", "unary", "group", "call", "condition", "choice"]
    name: str
    precedence: float
    arguments: int = 0


class _Compiler:
    def __init__(self, text: str) -> None:
        self.text = text
        self.steps: list[Step] = []
        self.waiting: list[_Open] = []

    def refuse(self, why: str) -> EngineError:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "..."
        return EngineError(f"Expression parse error: {why} in '{shown}'.")

    def emit(self, top: _Open) -> None:
        if top.kind == "binary":
            self.steps.append(Step("call", top.name, 2))
        elif top.kind == "choice":
            self.steps.append(Step("call", CHOICE, 3))
        elif top.kind == "unary" and top.name == "negative":
            self.steps += [Step("constant", -1), Step("call", "multiply", 2)]
        elif top.kind == "unary" and top.name != "positive":
            self.steps.append(Step("call", top.name, 1))
        elif top.kind == "condition":
            raise self.refuse("'?' without ':'")

    def unwind(self, precedence: float) -> None:
        """Emit the operators that bind at least as tightly; stop at an open bracket or '?'."""
        while self.waiting and self.waiting[-1].kind not in ("group", "call", "condition"):
            if self.waiting[-1].precedence < precedence:
                return
            self.emit(self.waiting.pop())

    def compile(self) -> tuple[Step, ...]:
        position, end, operand_next = 0, len(self.text.rstrip()), True
        while position < end:
            found = _TOKEN.match(self.text, position)
            if found is None:
                raise self.refuse(f"unexpected '{self.text[position : position + 20].strip()}'")
            position = found.end()
            if operand_next:
                operand_next = self.operand(found, _BRACKET.match(self.text, position) is not None)
            else:
                operand_next = self.operator(found["sign"])
        if operand_next:
            raise self.refuse("an operand is missing")
        self.unwind(0)
        if self.waiting:
            raise self.refuse("'?' without ':'" if self.waiting[-1].kind == "condition" else "')' is missing")
        return tuple(self.steps)

    def operand(self, found: re.Match[str], called: bool) -> bool:
        """Take a token where an operand belongs; whether the operand is still to come."""
        number, name, text, sign = found.group("number", "name", "text", "sign")
        if number is not None:
            value = int(number, 16) if number[:2] in ("0x", "0X") else float(number)
            whole = number.isdigit()
            self.steps.append(Step("constant", int(number) if whole else value))
        elif text is not None:
            self.steps.append(Step("constant", text[1:-1]))
        elif name is not None:
            name = re.sub(r"\s", "", name)
            if called:
                self.waiting.append(_Open("call", name, 0))
                return True
            self.steps.append(Step("variable", name))
        elif sign in _UNARY:
            self.waiting.append(_Open("unary", _UNARY[sign], _UNARY_PRECEDENCE))
            return True
        elif sign == "(":
            if not (self.waiting and self.waiting[-1].kind == "call" and self.waiting[-1].arguments == 0):
                self.waiting.append(_Open("group", "(", 0))
                return True
            self.waiting[-1].arguments = 1
            return True
        elif sign == ")" and self.waiting and self.waiting[-1].kind == "call":
            top = self.waiting.pop()
            if top.arguments != 1 or top.name == INDEX:
                raise self.refuse("an operand is missing")
            self.steps.append(Step("call", top.name, 0))
        else:
            raise self.refuse(f"unexpected '{sign}'")
        return False

    def operator(self, sign: str | None) -> bool:
        """Take a token where an operator belongs; whether an operand comes next."""
        if sign in _BINARY:
            precedence, name = _BINARY[sign]
            self.unwind(precedence + (0.5 if sign in _RIGHT_TO_LEFT else 0))
            self.waiting.append(_Open("binary", name, precedence))
        elif sign == "?":
            self.unwind(0.5)
            self.waiting.append(_Open("condition", "?", 0))
        elif sign == ":":
            self.unwind(0)
            if not self.waiting or self.waiting[-1].kind != "condition":
                raise self.refuse("unexpected ':'")
            self.waiting[-1] = _Open("choice", CHOICE, 0)
        elif sign == "[":
            # What is indexed has just been put on the stack, and nothing binds tighter.
            self.waiting.append(_Open("call", INDEX, 0, arguments=2))
            return True
        elif sign in (",", ")", "]"):
            self.unwind(0)
            if not self.waiting or self.waiting[-1].kind not in ("group", "call"):
                raise self.refuse(f"unexpected '{sign}'")
            top = self.waiting[-1]
            if sign == ",":
                if top.kind != "call":
                    raise self.refuse("unexpected ','")
                top.arguments += 1
                return True
            if (sign == "]") is not (top.name == INDEX):
                raise self.refuse(f"unexpected '{sign}'")
            self.waiting.pop()
            if top.kind == "call":
                self.steps.append(Step("call", top.name, top.arguments))
            return False
        else:
            raise self.refuse("an operator is missing")
        return True


def compiled(text: str) -> tuple[Step, ...]:
    """The steps of an expression.

    Raises:
        EngineError: it cannot be read.
    """
    return _Compiler(text).compile()


def run(steps: Sequence[Step], variable: Callable[[str], Any], call: Callable[[str, list[Any]], Any]) -> Any:
    """The value of an expression.

    Args:
        steps: of the expression.
        variable: the value of a name, which may have dots.
        call: what a named function gives for operands; `CHOICE` is the conditional operator.
    """
    stack: list[Any] = []
    for step in steps:
        if step.kind == "constant":
            stack.append(step.value)
        elif step.kind == "variable":
            stack.append(variable(step.value))
        else:
            first = len(stack) - step.operands
            operands = stack[first:]
            del stack[first:]
            stack.append(call(step.value, operands))
    return stack[-1]
