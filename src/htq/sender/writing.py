"""The request as bytes, and feeding a large body to a connection that takes it at its own pace."""

from collections.abc import AsyncGenerator
from functools import lru_cache

from htq.policy.fields import check_method
from htq.policy.target import Target
from htq.sender.base import BodyStream, Message
from htq.words.errors import InvalidField, SendError

__all__ = ["SLICE", "pieces", "request_head"]

SLICE = 64 * 1024
"""Bytes handed to the transport at once: what may still leave after a halt, beside what the kernel holds."""

_FRAMING = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "expect", "keep-alive")
)
_BODY_EXPECTED = frozenset(("POST", "PUT", "PATCH"))


def request_head(message: Message, target: Target) -> bytes:
    """Request line and header section. Raises `SendError` rather than let a message smuggle another one.

    The API refuses such fields already; a record from elsewhere must not get past this place either.
    """
    body = message.body
    size = body.size if isinstance(body, BodyStream) else len(body)
    method, headers = message.method, message.headers
    if not _FRAMING.isdisjoint([name.lower() for name, _ in headers]):
        raise _unwritable("framing and hop-by-hop headers are the sender's own")
    lines = [f"{_checked(method)} {target.path_and_query} HTTP/1.1", f"Host: {target.host_header}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if size or method in _BODY_EXPECTED:
        lines.append(f"Content-Length: {size}")
    lines.append("\r\n")
    head = "\r\n".join(lines)
    breaks = len(lines)
    if head.count("\n") != breaks or head.count("\r") != breaks or "\0" in head:
        raise _unwritable("its headers hold a line break or a NUL")
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        raise _unwritable("its headers hold a character beyond latin-1") from None


@lru_cache(maxsize=64)
def _checked(method: str) -> str:
    try:
        check_method(method)
    except InvalidField as error:
        raise _unwritable(str(error)) from None
    return method


def _unwritable(why: str) -> SendError:
    return SendError("protocol", f"the request can't be written: {why}", sent=False)


async def pieces(body: bytes | BodyStream) -> AsyncGenerator[bytes | memoryview, None]:
    """The body in slices. Raises `SendError` if a stream has not the size that it said."""
    if not isinstance(body, BodyStream):
        view = memoryview(body)
        for start in range(0, len(view), SLICE):
            yield view[start : start + SLICE]
        return
    left = body.size
    source = body.open()
    try:
        async for chunk in source:
            left -= len(chunk)
            if left < 0:
                break
            if len(chunk) <= SLICE:
                yield chunk
            else:
                view = memoryview(chunk)
                for start in range(0, len(view), SLICE):
                    yield view[start : start + SLICE]
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
    if left:
        raise SendError("protocol", f"the stored body is not the {body.size} bytes that were announced", sent=True)
