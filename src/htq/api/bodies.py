"""The body of a request: its type judged, and its bytes read within their bounds."""

import re
from collections.abc import AsyncIterator

from htq.api.http import Call, ClientGone
from htq.words.errors import RequestError, TooLarge, UnsupportedMedia

__all__ = ["check_type", "chunks", "read_whole"]


def check_type(call: Call, accepted: re.Pattern[bytes], wanted: str, limit: int) -> bytes:
    """The body's type as it was given. Raises `UnsupportedMedia` with `wanted`, or `TooLarge` above `limit` bytes."""
    media = length = None
    for name, value in call.headers:
        if name == b"content-type":
            media = value
        elif name == b"content-length":
            length = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMedia("The body is compressed: send it as it is, without Content-Encoding.")
    if media is None or (media != b"application/json" and accepted.fullmatch(media.strip()) is None):
        raise UnsupportedMedia(wanted)
    # The server has checked that it is a number; a chunked body has none, and is counted as it comes.
    if length is not None and (len(length) > 15 or int(length) > limit):
        raise _too_large(limit)
    return media


async def read_whole(call: Call, limit: int) -> bytes:
    """The body. Raises `TooLarge` above `limit` bytes, or `ClientGone`."""
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
            if size > limit:
                raise _too_large(limit)
        body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def chunks(call: Call, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises as `read_whole`, and takes no more from the caller than is taken from here."""
    size = 0
    more = True
    while more:
        message = await call.receive()
        if message["type"] != "http.request":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if part:
            yield part
        more = message.get("more_body", False)


def _too_large(limit: int) -> RequestError:
    return TooLarge(f"The body is larger than {limit} bytes.")
