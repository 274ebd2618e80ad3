"""String.*: text; positions are counted in characters, regular expressions are RE2's."""

from __future__ import annotations

import json
import re
from typing import Any

from gee.local import limits
from gee.local.context import charge
from gee.local.errors import EngineError
from gee.local.registry import algorithm
from gee.local.scalars.javatext import encode_json, expression, text_of

_BLANKS = "".join(map(chr, range(ord(" ") + 1)))  # what Java's String.trim removes
_REFERENCE = re.compile(r"\\(.)|\$(\d)", re.DOTALL)


@algorithm("String")
def string(value: Any) -> str:
    """Anything as a string."""
    return text_of(value)


@algorithm("String.cat")
def cat(first: str, second: str) -> str:
    """One string after the other."""
    return first + second


@algorithm("String.compareTo")
def compare_to(first: str, second: str) -> int:
    """-1, 0 or 1 as the first string comes before, with or after the second."""
    return (first > second) - (first < second)


@algorithm("String.equals")
def equals(text: str, other: Any) -> bool:
    """Whether something is the same string."""
    return isinstance(other, str) and text == other


@algorithm("String.index")
def index(text: str, part: str) -> int:
    """Where a part begins first; -1 where it does not occur."""
    return text.find(part)


@algorithm("String.rindex")
def rindex(text: str, part: str) -> int:
    """Where a part begins last; -1 where it does not occur."""
    return text.rfind(part)


@algorithm("String.length")
def length(text: str) -> int:
    """Number of characters."""
    return len(text)


@algorithm("String.slice")
def cut(text: str, start: int, end: int | None) -> str:
    """From start to before end; negative ones count from the end of the string."""
    return text[start:end]


@algorithm("String.toLowerCase")
def to_lower_case(text: str) -> str:
    """In lower case."""
    return text.lower()


@algorithm("String.toUpperCase")
def to_upper_case(text: str) -> str:
    """In upper case."""
    return text.upper()


@algorithm("String.trim")
def trim(text: str) -> str:
    """Without white space at its ends."""
    return text.strip(_BLANKS)


@algorithm("String.match")
def match(text: str, regex: str, flags: str) -> list[str | None]:
    """The first match and what its groups matched; with 'g' every match; empty where there is none."""
    pattern = expression(regex, flags)
    if "g" in flags:
        return [found.group() for found in pattern.finditer(text)]
    found = pattern.search(text)
    return [] if found is None else [found.group(), *found.groups()]


@algorithm("String.replace")
def replace(text: str, regex: str, replacement: str, flags: str) -> str:
    """The first match, or with 'g' every match, replaced; ``$1`` stands for what the first group matched."""

    def filled(found: Any) -> str:
        def part(reference: re.Match[str]) -> str:
            if reference[1] is not None:
                return reference[1]
            group = int(reference[2])
            if group > len(found.groups()):
                raise EngineError(f"No group {group} in regular expression '{regex}'.")
            return found.group(group) or ""

        return _REFERENCE.sub(part, replacement)

    result, position, size = [], 0, len(text)
    for found in expression(regex, flags).finditer(text):
        result += [text[position : found.start()], filled(found)]
        position = found.end()
        size += len(result[-1])
        if size - len(text) > limits.MAX_TEXT:
            raise EngineError(f"The result is too long: at most {limits.MAX_TEXT} characters.")
        if not len(result) & 8191:
            charge(8192)
        if "g" not in flags:
            break
    return "".join(result) + text[position:]


@algorithm("String.split")
def split(text: str, regex: str, flags: str) -> list[str]:
    """The parts between matches, without empty ones at the end; an empty regex gives the characters."""
    if regex == "":
        return list(text)
    parts, position = [], 0
    for found in expression(regex, flags).finditer(text):
        if found.end() == 0 or (found.start() == found.end() == len(text)):
            continue  # an empty match at either end separates nothing
        parts.append(text[position : found.start()])
        position = found.end()
    if not parts:
        return [text]
    parts.append(text[position:])
    while parts and parts[-1] == "":
        parts.pop()
    return parts


@algorithm("String.decodeJSON")
def decode_json(text: str) -> Any:
    """The object that a JSON text writes."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"Cannot decode JSON: {error}.") from error


algorithm("String.encodeJSON")(encode_json)
