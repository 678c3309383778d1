"""The JSON in a body: decoded into the type that validates it, with nothing in it passed over in silence."""

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from htq.api.bodies import check_type, read_whole
from htq.api.explain import invalid_field
from htq.api.http import Call
from htq.usecases import Change, ChangeWish, Submission
from htq.usecases.batches import BatchItem
from htq.usecases.submission import NO_DATA
from htq.words.errors import InvalidField, Malformed, RequestError

__all__ = ["read_change", "read_item", "read_submission", "read_wish", "read_wish_if_any"]

_JSON_TYPE: Final = re.compile(
    rb'application/(?:json|[a-z0-9.+_-]+\+json)\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?', re.IGNORECASE
)

_JSON_WANTED: Final = "The body's type is not JSON: add -H 'Content-Type: application/json' (in UTF-8)."

_submission: Final = msgspec.json.Decoder(Submission)
_change: Final = msgspec.json.Decoder(ChangeWish)

_item: Final = msgspec.json.Decoder(BatchItem)

Wish = TypeVar("Wish", bound=msgspec.Struct)
Task = TypeVar("Task", bound=Submission)


async def read_submission(call: Call) -> tuple[Submission, bytes]:
    """The task in the call's body, and that body. Raises `UnsupportedMedia`, `TooLarge`, `Malformed` or `InvalidField`."""
    check_type(call, _JSON_TYPE, _JSON_WANTED, call.settings.max_json)
    body = await read_whole(call, call.settings.max_json)
    return _task(body, _submission), body


def read_item(text: bytes) -> BatchItem:
    """A task of a batch. Raises `Malformed` or `InvalidField`."""
    return _task(text, _item)


def _task(body: bytes, decoder: msgspec.json.Decoder[Task]) -> Task:
    submission = _decoded(body, decoder)
    data = bytes(submission.data)
    if body.count(b":") != _colons(submission, data) or body.count(b"\\") != data.count(b"\\"):
        _refuse_repeated_names(body, data)
    return submission


async def read_wish(call: Call, decoder: msgspec.json.Decoder[Wish]) -> Wish:
    """What the call's body says. Raises as `read_submission`."""
    return (await _wish(call, decoder))[0]


async def read_wish_if_any(call: Call, decoder: msgspec.json.Decoder[Wish]) -> Wish | None:
    """As `read_wish`; None where there is no body at all."""
    body = await read_whole(call, call.settings.max_json)
    if not body:
        return None
    check_type(call, _JSON_TYPE, _JSON_WANTED, call.settings.max_json)
    return _checked(body, decoder)


async def read_change(call: Call) -> Change:
    """What is to be changed of a task. Raises as `read_submission`."""
    wish, body = await _wish(call, _change)
    return Change(msgspec.json.decode(body), wish)


async def _wish(call: Call, decoder: msgspec.json.Decoder[Wish]) -> tuple[Wish, bytes]:
    check_type(call, _JSON_TYPE, _JSON_WANTED, call.settings.max_json)
    body = await read_whole(call, call.settings.max_json)
    return _checked(body, decoder), body


def _checked(body: bytes, decoder: msgspec.json.Decoder[Wish]) -> Wish:
    wish = _decoded(body, decoder)
    _refuse_repeated_names(body)
    return wish


def _decoded(body: bytes, decoder: msgspec.json.Decoder[Wish]) -> Wish:
    """The wish in JSON text (RFC 8259): UTF-8, and `data` kept byte for byte."""
    try:
        if not body.isascii():
            body.decode()  # msgspec takes the bytes of `data` as they are, and they are shown to others
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8: JSON is to be sent in UTF-8 (RFC 8259).") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise invalid_field(body, error, decoder.type) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _not_json(body, error) from None


def _not_json(body: bytes, error: Exception) -> RequestError:
    if not body.strip():
        return Malformed('The body is empty: send a JSON object such as {"url": "http://example.com/"}.')
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return Malformed("The body begins with a byte order mark: send UTF-8 without one.")
    if re.search(rb"\\u[dD][89a-fA-F]", body):
        return Malformed("The body is not JSON, or a \\u escape in it is half a surrogate pair.")
    return Malformed(f"The body is not JSON: {error}.")


def _colons(submission: Submission, data: bytes) -> int:
    """How many colons the body has in which no name stands twice: one after each name, and those inside of strings.

    Of repeated names the last one wins without a word, and two readers may differ in which one that is. What was overruled so
    is not in `submission`, and its colons are missing from this sum. Counting clears almost every body, and is quick; escapes
    and nulls, which make the sum differ as well, only lead to a closer look.
    """
    given = [value for value in msgspec.structs.astuple(submission) if value is not None and value is not NO_DATA]
    colons = len(given) + data.count(b":")
    for value in given:
        if isinstance(value, str):
            colons += value.count(":")
        elif isinstance(value, dict):
            colons += len(value) + "".join(value).count(":")
            if value is not submission.cost:  # which holds numbers
                colons += "".join(value.values()).count(":")
    return colons


def _refuse_repeated_names(body: bytes, data: bytes = b"") -> None:
    """Look through all names, but for those inside of `data`, which goes on as it came."""
    if data[:1] in (b"{", b"["):
        body = body.replace(data, b"0", 1)
    try:
        json.loads(body, object_pairs_hook=_pairs, parse_int=str, parse_float=str)
    except _Repeated as found:
        raise InvalidField(f"The name {found.name[:64]!r} stands there twice.", "") from None
    except (RecursionError, ValueError):
        raise Malformed("The body is nested too deeply.") from None


class _Repeated(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise _Repeated(name)
            seen.add(name)
    return members
