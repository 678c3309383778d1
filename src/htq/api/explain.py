"""From msgspec's words about a bad field to a JSON pointer and a sentence that says what to write."""

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, get_args, get_type_hints

import msgspec

from htq.usecases import ChangeWish, LaneWish, PauseWish, QueueWish, Submission
from htq.usecases.batches import BatchItem
from htq.usecases.groups import GroupWish
from htq.usecases.schedules import ScheduleWish
from htq.words.errors import InvalidField

__all__ = ["invalid_field"]

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$([a-z0-9_.\[\]]*)`)?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `([a-z_]+)`(?: - at `\$([a-z0-9_.\[\]]*)`)?")
_PLACE: Final = re.compile(r"(.*?)(?: - at (?:`(key)` in )?`\$(.*)`)?", re.DOTALL)
_SHOWN: Final = 64
"""Characters of a caller's own name that are said back to him."""

_EXAMPLES: Final[dict[type, str]] = {
    Submission: '{"url": "http://example.com/"}',
    QueueWish: '{"concurrency": 5}',
    LaneWish: '{"concurrency": 5}',
    PauseWish: '{"for": "1h"}',
    ChangeWish: '{"priority": 9}',
    BatchItem: '{"url": "http://example.com/"}',
    GroupWish: '{"closed": true}',
    ScheduleWish: '{"every": 60, "task": {"url": "http://example.com/"}}',
}

_ATTRIBUTES: Final = {"for": "for_"}
"""Fields that Python has another use for."""

Shape = type[msgspec.Struct]


def invalid_field(body: bytes, error: msgspec.ValidationError, shape: Shape) -> InvalidField:
    """The error for a body that is JSON and doesn't fit `shape`."""
    text = str(error)
    unknown = _UNKNOWN.fullmatch(text)
    if unknown is not None:
        return _unknown_field(unknown[1], _steps(unknown[2] or ""), shape)
    missing = _MISSING.fullmatch(text)
    if missing is not None:
        return _missing_field([*_steps(missing[2] or ""), missing[1]], shape)
    found = _PLACE.fullmatch(text)
    if found is None or not found[3]:
        return InvalidField(f"The body is JSON, but not an object: send one such as {_EXAMPLES.get(shape, '{}')}.", "")
    steps = _steps(found[3].removesuffix("[...]"))
    hint, description = _field(shape, steps)
    if found[3].endswith("[...]") or found[2]:
        member = _culprit(body, steps, hint, names=bool(found[2]))
        if member:
            steps = [*steps, member]
    shown = ".".join([*steps[:-1], steps[-1][:_SHOWN]])
    return InvalidField(f"{shown} can't be taken ({_plain(found[1])}). It takes this: {description}", _pointer(steps))


def _steps(path: str) -> list[str]:
    """`.rate[0].limit` in its parts: names, and places in arrays."""
    return [step for step in re.split(r"[.\[\]]", path) if step]


def _missing_field(steps: Sequence[str], shape: Shape) -> InvalidField:
    if issubclass(shape, Submission) and steps == ["url"]:
        return InvalidField('url is missing: say what to request, as in {"url": "http://example.com/"}.', "/url")
    _, description = _field(shape, steps)
    return InvalidField(f"{'.'.join(steps)} is missing. It takes this: {description}", _pointer(steps))


def _unknown_field(name: str, steps: Sequence[str], shape: Shape) -> InvalidField:
    if shape is ChangeWish and not steps and name in Submission.__struct_fields__:
        return InvalidField(f"{name} can't be changed: cancel the request and post it anew.", _pointer([name]))
    hint, _ = _field(shape, steps)
    known = (_struct_in(hint) or shape).__struct_encode_fields__
    near = difflib.get_close_matches(name[:_SHOWN].lower(), known, 1)
    guess = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    return InvalidField(f"The field {shown!r} is not known here: {guess}", _pointer([*steps, name[: 4 * _SHOWN]]))


def _field(shape: Shape, steps: Sequence[str]) -> tuple[Any, str]:
    """The type of the field that `steps` lead to, and the last description on the way: the one source is the type."""
    hint: Any = shape
    description = ""
    for step in steps:
        if step.isdigit():
            continue  # a place in an array: what is said of it, is said of each
        owner = _struct_in(hint) or shape
        hint = _hints(owner)[_ATTRIBUTES.get(step, step)]
        description = next(_descriptions(hint), description)
    return hint, description


@lru_cache
def _hints(shape: Shape) -> dict[str, Any]:
    return get_type_hints(shape, include_extras=True)


def _descriptions(hint: Any) -> Iterator[str]:
    for meta in getattr(hint, "__metadata__", ()):
        if meta.description is not None:
            yield meta.description


def _struct_in(hint: Any) -> Shape | None:
    """The struct in an annotated or optional type."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    for part in get_args(hint):
        found = _struct_in(part)
        if found is not None:
            return found
    return None


def _culprit(body: bytes, steps: Sequence[str], hint: Any, *, names: bool) -> str:
    """The member of an object of strings that msgspec refused without naming it; empty where that can't be told."""
    try:
        members = msgspec.json.decode(body)
        for step in steps:
            members = members[int(step) if isinstance(members, list) else step]
    except (msgspec.DecodeError, ValueError, RecursionError, LookupError):
        return ""
    for name, value in members.items() if isinstance(members, dict) else ():
        try:
            msgspec.convert({name: "" if names else value}, hint)
        except msgspec.ValidationError:
            return str(name)
    return ""


def _plain(text: str) -> str:
    """msgspec's sentence with the reader's words in place of its own."""
    if "matching regex" in text:
        return "a character in it is not allowed, or it is empty"
    text = text.replace("`", "")
    for theirs, ours in (("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "boolean")):
        text = re.sub(rf"\b{theirs}\b", ours, text)
    return text[:1].lower() + text[1:]


def _pointer(steps: Sequence[str]) -> str:
    """RFC 6901, 3."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
