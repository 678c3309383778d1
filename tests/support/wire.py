"""Messages for the sender, with everything given that a test does not care about."""

from collections.abc import AsyncIterator, Sequence

from htq.sender.base import BodyStream, Message
from htq.words.task import Headers, Timeouts

__all__ = ["Collector", "message", "stream"]


def message(
    url: str,
    method: str = "GET",
    *,
    body: bytes | BodyStream = b"",
    headers: Headers = (),
    total: float = 5.0,
    connect: float | None = None,
    first_byte: float | None = None,
    idle: float | None = None,
    max_response: int = 64 * 1024 * 1024,
    redirects: int = 0,
    fresh: bool = False,
) -> Message:
    return Message(
        method=method,
        url=url,
        headers=headers,
        body=body,
        timeouts=Timeouts(total, connect, first_byte, idle),
        max_response=max_response,
        redirects=redirects,
        fresh=fresh,
    )


def stream(*chunks: bytes, size: int | None = None) -> BodyStream:
    """A body that comes in these chunks; `size` says how long it claims to be."""

    async def give() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return BodyStream(sum(map(len, chunks)) if size is None else size, give)


class Collector:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    async def __call__(self, chunks: Sequence[bytes]) -> None:
        self.chunks.extend(chunks)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)
