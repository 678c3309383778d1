"""From msgspec's words about a bad field to a JSON pointer and a sentence that says what to write."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_type_hints

import msgspec

from htq.usecases import CancelWish, Submission, TimeoutWish
from htq.words.errors import InvalidField

__all__ = ["invalid_field"]

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$([a-z_.]*)`)?", re.DOTALL)
_PLACE: Final = re.compile(r"(.*?)(?: - at (?:`(key)` in )?`\$(.*)`)?", re.DOTALL)
_SHOWN: Final = 64
"""Characters of a caller's own name that are said back to him."""


def invalid_field(body: bytes, error: msgspec.ValidationError) -> InvalidField:
    """The error for a body that is JSON and doesn't fit `Submission`."""
    text = str(error)
    unknown = _UNKNOWN.fullmatch(text)
    if unknown is not None:
        return _unknown_field(unknown[1], unknown[2] or "")
    found = _PLACE.fullmatch(text)
    if found is None or not found[3]:
        if "missing required field" in text:
            return InvalidField('url is missing: say what to request, as in {"url": "http://example.com/"}.', "/url")
        return InvalidField('The body is JSON, but not an object: send one such as {"url": "http://example.com/"}.', "")
    path = found[3].removeprefix(".")
    field, _, rest = path.removesuffix("[...]").partition(".")
    if path.endswith("[...]"):
        rest = _culprit(body, field)
    elif found[2]:
        rest = _culprit(body, field, names=True)
    pointer = "/" + field + (f"/{_escape(rest)}" if rest else "")
    shown = f"{field}.{rest[:_SHOWN]}" if rest else field
    return InvalidField(f"{shown} can't be taken ({_plain(found[1])}). {_description(field, rest)}", pointer)


def _unknown_field(name: str, path: str) -> InvalidField:
    where = path.removeprefix(".")
    known = {"timeout": TimeoutWish, "cancel": CancelWish}.get(where, Submission).__struct_fields__
    near = difflib.get_close_matches(name[:_SHOWN].lower(), known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    pointer = (f"/{where}" if where else "") + f"/{_escape(name[: 4 * _SHOWN])}"
    return InvalidField(f"The field {shown!r} is not known here: {hint}", pointer)


def _culprit(body: bytes, field: str, *, names: bool = False) -> str:
    """The member of an object of strings that msgspec refused without naming it; empty where that can't be told."""
    try:
        members = msgspec.json.decode(body)[field]
    except (msgspec.DecodeError, ValueError, RecursionError, KeyError):
        return ""
    hint = _MEMBER_TYPES[field]
    for name, value in members.items() if isinstance(members, dict) else ():
        try:
            msgspec.convert({name: "" if names else value}, hint)
        except msgspec.ValidationError:
            return str(name)
    return ""


def _member_types() -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(Submission, include_extras=True)
    for field in ("headers", "labels"):
        yield field, hints[field]


_MEMBER_TYPES: Final = dict(_member_types())


def _descriptions() -> Iterator[tuple[tuple[str, str], str]]:
    """Of each field, by (field, member): the one source is the type that validates."""
    for outer, shape in (("", Submission), ("timeout", TimeoutWish), ("cancel", CancelWish)):
        for name, hint in get_type_hints(shape, include_extras=True).items():
            for meta in getattr(hint, "__metadata__", ()):
                if meta.description is not None:
                    yield ((outer, name) if outer else (name, "")), meta.description


_DESCRIPTIONS: Final[Mapping[tuple[str, str], str]] = dict(_descriptions())


def _description(field: str, member: str) -> str:
    return "It takes this: " + (_DESCRIPTIONS.get((field, member)) or _DESCRIPTIONS[field, ""])


def _plain(text: str) -> str:
    """msgspec's sentence with the reader's words in place of its own."""
    if "matching regex" in text:
        return "a character in it is not allowed, or it is empty"
    text = text.replace("`", "")
    for theirs, ours in (("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "boolean")):
        text = re.sub(rf"\b{theirs}\b", ours, text)
    return text[:1].lower() + text[1:]


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
