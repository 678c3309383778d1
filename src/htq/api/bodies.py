"""The body of a request: read within its bounds, and decoded into the type that validates it."""

import itertools
import json
import re
from typing import Any, Final, TypeVar

import msgspec

from htq.api.explain import invalid_field
from htq.api.http import Call, ClientGone
from htq.usecases import QueueWish, Submission
from htq.usecases.submission import NO_DATA
from htq.words.errors import InvalidField, Malformed, RequestError, TooLarge, UnsupportedMedia

__all__ = ["read_queue", "read_submission"]

_JSON_TYPE: Final = re.compile(
    rb'application/(?:json|[a-z0-9.+_-]+\+json)\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?', re.IGNORECASE
)

_submission: Final = msgspec.json.Decoder(Submission)
_queue: Final = msgspec.json.Decoder(QueueWish)

Wish = TypeVar("Wish", Submission, QueueWish)


async def read_submission(call: Call) -> Submission:
    """The task in the call's body. Raises `UnsupportedMedia`, `TooLarge`, `Malformed` or `InvalidField`."""
    _check_headers(call)
    body = await _read(call)
    submission = _decoded(body, _submission)
    data = bytes(submission.data)
    if body.count(b":") != _colons(submission, data) or body.count(b"\\") != data.count(b"\\"):
        _refuse_repeated_names(body, data)
    return submission


async def read_queue(call: Call) -> QueueWish:
    """What the call's body says of a queue. Raises as `read_submission`."""
    _check_headers(call)
    body = await _read(call)
    wish = _decoded(body, _queue)
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


def _check_headers(call: Call) -> None:
    media = length = None
    for name, value in call.headers:
        if name == b"content-type":
            media = value
        elif name == b"content-length":
            length = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMedia("The body is compressed: send it as it is, without Content-Encoding.")
    if media is None or (media != b"application/json" and _JSON_TYPE.fullmatch(media.strip()) is None):
        raise UnsupportedMedia("The body's type is not JSON: add -H 'Content-Type: application/json' (in UTF-8).")
    # The server has checked that it is a number; a chunked body has none, and is counted as it comes.
    if length is not None and (len(length) > 15 or int(length) > call.settings.max_json):
        raise _too_large(call)


async def _read(call: Call) -> bytes:
    message = await call.receive()
    if message["type"] != "http.request":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts = [body]
        size = len(body)
        while message.get("more_body", False):
            message = await call.receive()
            if message["type"] != "http.request":
                raise ClientGone
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > call.settings.max_json:
                raise _too_large(call)
        body = b"".join(parts)
    if len(body) > call.settings.max_json:
        raise _too_large(call)
    return body


def _too_large(call: Call) -> RequestError:
    return TooLarge(f"The body is larger than {call.settings.max_json} bytes.")


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
            colons += len(value) + "".join(itertools.chain.from_iterable(value.items())).count(":")
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
