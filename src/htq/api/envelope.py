"""A response as JSON: the seed's envelope, with the body as text where it is text, else as base64."""

import base64
import zlib
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.policy.fields import joined
from htq.usecases import Result
from htq.words.reasons import Reason
from htq.words.states import Status
from htq.words.task import Headers, Response

__all__ = ["Envelope", "Failure", "NoResponse", "envelope"]

_MOST_DECODED: Final = 16 * 1024 * 1024
_MOST_RATIO: Final = 100

_CHARSETS: Final = frozenset(
    (
        *("utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "latin1", "latin-1"),
        *("shift_jis", "euc-jp", "iso-2022-jp", "euc-kr", "gb2312", "gbk", "gb18030", "big5", "koi8-r", "koi8-u"),
        *(f"iso-8859-{part}" for part in range(1, 17)),
        *(f"windows-125{page}" for page in range(9)),
    )
)
"""What `charset` may name. Not all that Python knows: some of its codecs take quadratic time, and some are no charsets."""


class NoResponse(msgspec.Struct, frozen=True):
    """What a canceled request has: the empty object."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A response that was received, whatever its code."""

    status: Status
    time: Annotated[int, Meta(description="When it was received, in epoch milliseconds.")]
    code: int
    reason: Annotated[str, Meta(description="The phrase of its status line.")]
    elapsed: Annotated[float | None, Meta(description="Milliseconds.")]
    uuid: str
    headers: Annotated[dict[str, str], Meta(description="One value a name; duplicates are joined.")]
    data: Annotated[str | None, Meta(description="The body where it is text in its charset, decompressed; else null.")]
    data_base64: Annotated[str | UnsetType, Meta(description="The body as it came, where data can't hold it.")] = UNSET
    header_list: Annotated[Headers, Meta(description="Names and values in their order, with case and duplicates.")]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a request that got no response: a timeout or an error."""

    status: Status
    message: str
    time: int
    uuid: str
    reason: Annotated[Reason | UnsetType, Meta(description="A word from a closed list.")] = UNSET
    elapsed: float | UnsetType = UNSET


def envelope(result: Result) -> Envelope | Failure | NoResponse:
    """What a caller sees of `result`."""
    response = result.response
    if response is None:
        return NoResponse()
    if response.code is None:
        return _failure(result, response)
    data = as_text(result.body, response.headers)
    return Envelope(
        status=result.status,
        time=response.time,
        code=response.code,
        reason=response.phrase,
        elapsed=response.elapsed_ms,
        uuid=result.uuid,
        headers=joined(response.headers),
        data=data,
        data_base64=UNSET if data is not None else base64.b64encode(result.body).decode(),
        header_list=response.headers,
    )


def _failure(result: Result, response: Response) -> Failure:
    return Failure(
        status=result.status,
        message=response.message or "No response was received.",
        time=response.time,
        uuid=result.uuid,
        reason=UNSET if result.reason is None else result.reason,
        elapsed=UNSET if response.elapsed_ms is None else response.elapsed_ms,
    )


def as_text(body: bytes, headers: Headers) -> str | None:
    """The text of a body, or None if it has none that is certain."""
    if not body:
        return ""
    codings, media = "", ""
    for name, value in headers:
        match name.lower():
            case "content-encoding":
                codings = f"{codings},{value}"
            case "content-type":
                media = media or value
    plain = _decompressed(body, codings) if codings else body
    if plain is None:
        return None
    try:
        return plain.decode(_charset(media))
    except (ValueError, LookupError):
        return None


def _charset(media: str) -> str:
    for parameter in media.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            # What is declared as ASCII is UTF-8 more often than not; where it is ASCII, it is UTF-8 as well.
            return charset if charset in _CHARSETS else "utf-8"
    return "utf-8"


def _decompressed(body: bytes, codings: str) -> bytes | None:
    """The body without its one coding. None where that is not known, broken, or would grow too large."""
    applied = [coding for part in codings.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    if not applied:
        return body
    if len(applied) > 1 or applied[0] not in ("gzip", "x-gzip", "deflate"):
        return None
    most = min(_MOST_DECODED, len(body) * _MOST_RATIO)
    # "deflate" is zlib's format (RFC 9110, 8.4.1.2), and some servers send it bare.
    for bits in (31,) if applied[0] != "deflate" else (15, -15):
        inflate = zlib.decompressobj(bits)
        try:
            plain = inflate.decompress(body, most + 1)
        except zlib.error:
            continue
        if inflate.eof and not inflate.unused_data and len(plain) <= most:
            return plain
        return None
    return None
