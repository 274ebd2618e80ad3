"""What pydantic found wrong in a file, in the words of that file.

pydantic speaks of inputs, models and tuple positions; a user wrote keys in sections, and needs to know what
is allowed there and which known key was probably meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails


def described(details: ErrorDetails, model: type[BaseModel], document: Mapping[str, Any]) -> Iterator[str]:
    """One of pydantic's errors as lines such as ``splits.gap_days: what is wrong; allowed: what is``.

    Args:
        details: the error.
        model: what the document was read into; the descriptions of its fields say what is allowed.
        document: the file's content as written.
    """
    field, siblings = _place(details["loc"], model)
    context = details.get("ctx", {})
    key = ".".join(_written(details["loc"], document)) or "study"
    allowed = f"; allowed: {field.description}" if field is not None and field.description else ""
    match details["type"]:
        case "extra_forbidden":
            unknown = str(details["loc"][-1])
            yield f"{key}: unknown key{nearest(unknown, siblings)}; allowed: {', '.join(siblings)}"
        case "missing":
            yield f"{key}: missing{allowed}"
        case "value_error":
            for line in str(context["error"]).splitlines():
                name, _, mistake = line.partition(": ")
                inner = key.endswith("samples.columns") and mistake
                yield f"{key}.{name}: {mistake}" if inner else f"{key}: {line}"
        case "literal_error":
            expected = context["expected"]
            near = nearest(str(details["input"]), expected.replace("'", "").replace(" or ", ", ").split(", "))
            yield f"{key}: got {details['input']!r}{near}{allowed or f'; allowed: {expected}'}"
        case _:
            message = (details["msg"][0].lower() + details["msg"][1:]).replace("tuple", "list")
            yield f"{key}: {message} (got {_short(details['input'])}){allowed}"


def _place(location: tuple[int | str, ...], section: type[BaseModel]) -> tuple[FieldInfo | None, list[str]]:
    """The field a location leads to from ``section``, if any, and the keys allowed beside it."""
    field: FieldInfo | None = None
    parts = iter(location)
    for part in parts:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part)
        if field is None:
            break
        inner = _section(field.annotation)
        if get_origin(field.annotation) is dict:
            next(parts, None)
        if inner is not None:
            if part == location[-1]:
                break
            section = inner
    return field, list(section.model_fields)


def _section(annotation: object) -> type[BaseModel] | None:
    """The model inside an annotation such as ``Region | None`` or ``dict[str, tuple[Column, ...]]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)


def _written(location: tuple[int | str, ...], document: object) -> Iterator[str]:
    """The parts of a location as the user wrote them: an entry that was no list has no number."""
    for part in location:
        if isinstance(part, int):
            if not isinstance(document, list):
                continue
            document = document[part] if part < len(document) else None
            yield str(part + 1)
        else:
            document = document.get(part) if isinstance(document, dict) else None
            yield part


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name most like the one given, as part of a sentence; empty where none is near."""
    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f", did you mean {lower[near[0]]!r}?" if near else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
