"""A request as a handler sees it, and the reply that it gives."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from htq.api.settings import ApiSettings
    from htq.usecases import TaskService

__all__ = [
    "EMPTY",
    "RETRY_SOON",
    "Call",
    "ClientGone",
    "Header",
    "Receive",
    "Reply",
    "Scope",
    "Send",
    "encode",
    "json_reply",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

encode: Final = msgspec.json.Encoder().encode

_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_NO_SNIFF: Final[Header] = (b"x-content-type-options", b"nosniff")
_JSON: Final = b"application/json"


class Reply(NamedTuple):
    """A whole reply. `headers` has all but what the server itself adds."""

    status: int
    body: bytes
    headers: list[Header]
    more: BinaryIO | None = None
    """What follows `body`, from where it stands to its end; it is closed when that was sent."""


EMPTY: Final = Reply(204, b"", [_NO_STORE])

RETRY_SOON: Final[Header] = (b"retry-after", b"1")
"""Goes with a 202: what is asked for is not there yet, and may be at any moment."""


def json_reply(status: int, value: object, more: Sequence[Header] = (), *, media: bytes = _JSON) -> Reply:
    """`value` as JSON. Nothing under this API is to be kept by a cache: it is somebody's data, and it changes."""
    body = encode(value)
    return Reply(
        status,
        body,
        [(b"content-type", media), (b"content-length", b"%d" % len(body)), _NO_STORE, _NO_SNIFF, *more],
    )


class ClientGone(Exception):
    """The caller has left, and nobody will read a reply."""


class Call:
    """One request. Header names are lower case, as ASGI has them."""

    __slots__ = ("base", "headers", "key", "name", "query", "receive", "service", "settings", "stopping")

    def __init__(
        self,
        service: "TaskService",
        settings: "ApiSettings",
        scope: Scope,
        receive: Receive,
        *,
        base: str,
        name: str,
        key: str = "",
        query: Mapping[str, list[str]],
        stopping: asyncio.Event,
    ) -> None:
        self.service = service
        self.settings = settings
        self.receive = receive
        self.headers: list[Header] = scope["headers"]
        self.base = base
        """Scheme and authority of every link, without a slash at the end."""
        self.name = name
        """What the path names: the uuid, the queue or the type of problem."""
        self.key = key
        """Where the path names a lane: its key."""
        self.query = query
        """Values by parameter: only such as the operation knows."""
        self.stopping = stopping
        """Set when the server ends: whoever waits is sent home."""
