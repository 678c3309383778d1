"""The body of a request: read within its bounds, and decoded into the type that validates it."""

import json
import re
from typing import Any, Final

import msgspec

from htq.api.explain import invalid_field
from htq.api.http import Call, ClientGone
from htq.usecases import Submission
from htq.words.errors import InvalidField, Malformed, RequestError, TooLarge, UnsupportedMedia

__all__ = ["read_submission"]

_JSON_TYPE: Final = re.compile(
    rb'application/(?:json|[a-z0-9.+_-]+\+json)\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?', re.IGNORECASE
)
_LARGE: Final = 1024
"""Bytes of `data` from which on it is cut out before a body is looked through for repeated names."""
_FEW: Final = 40
"""Names up to which counting them one by one is the cheaper way."""

_decode: Final = msgspec.json.Decoder(Submission).decode
_NAMES: Final = tuple(f'"{name}"'.encode() for name in Submission.__struct_fields__)


async def read_submission(call: Call) -> Submission:
    """The task in the call's body. Raises `UnsupportedMedia`, `TooLarge`, `Malformed` or `InvalidField`."""
    _check_headers(call)
    return decode_submission(await _read(call))


def decode_submission(body: bytes) -> Submission:
    """A task from JSON text (RFC 8259): UTF-8, no name twice, `data` kept byte for byte."""
    try:
        if not body.isascii():
            body.decode()  # msgspec takes the bytes of `data` as they are, and they are shown to others
        submission = _decode(body)
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8: JSON is to be sent in UTF-8 (RFC 8259).") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise invalid_field(body, error) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _not_json(body, error) from None
    _refuse_repeated_names(body, submission)
    return submission


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


def _refuse_repeated_names(body: bytes, submission: Submission) -> None:
    """Of repeated names the last one would win without a word, and two readers may differ in which one that is.

    Almost every body is cleared by counting the names that it gave. One in which a name might be spelled with escapes, or be
    hidden by a null, is looked through.
    """
    for large in (bytes(submission.data), (submission.data_base64 or "").encode()):
        if len(large) > _LARGE:
            body = body.replace(large, b"0", 1)
    if b"\\" not in body and b"null" not in body:
        given = msgspec.structs.astuple(submission)
        names = [quoted for quoted, value in zip(_NAMES, given, strict=True) if value is not None]
        for group in (submission.headers, submission.labels):
            if group:
                names += [f'"{name}"'.encode() for name in group]
        if len(names) <= _FEW and max(map(body.count, names)) < 2:
            return
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
