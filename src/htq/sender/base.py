"""The wire, as those see it who send: one method.

What a `Sender` promises:

- The request goes out exactly as it is given: header order, case and duplicates, and the bytes of the body. It adds
  `Host`, the framing (`Content-Length`, or nothing for a request without a body that needs none) and nothing else.
- It is sent once. A sender never sends anything again by itself.
- It goes to an address that the egress policy has judged after the name was resolved, and to no other.
- Every phase is known while it lasts, and timed.
- When the call is canceled, or ends in an error, the connection is aborted in that very moment and never used again.
- Bytes of the response are handed over as they came, never inflated.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from htq.words.attempt import ClosedBy, Phase
from htq.words.task import Headers, Timeouts

__all__ = ["BodyStream", "Exchange", "Message", "Reply", "Sender", "Sink", "Timing"]

Timing = Literal["dns", "connect", "tls", "send", "first_byte", "transfer"]

Sink = Callable[[Sequence[bytes]], Awaitable[None]]
"""Takes the chunks of a large response, in order. While it waits, nothing more is read from the target."""


class BodyStream(NamedTuple):
    """A request body that is too large to be carried in memory: `open` gives its `size` bytes anew."""

    size: int
    open: Callable[[], AsyncIterator[bytes]]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it goes out."""

    method: str
    url: str
    headers: Headers
    body: bytes | BodyStream = b""
    timeouts: Timeouts
    max_response: int
    redirects: int = 0
    """How many redirects to follow. Each hop is judged anew, and credentials are dropped across origins."""
    fresh: bool = False
    """Never over a kept connection."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A complete response. `body` is None where it went to the sink."""

    code: int
    phrase: str
    headers: Headers
    body: bytes | None
    body_size: int


class Exchange:
    """What is known of an exchange while it lasts: the sender writes it, everyone may read it.

    `halt` may be called by its owner at any time: an upload under way stops at once, and the connection stays open, so
    that the target can still match a DELETE to it.
    """

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "closed_by",
        "halted",
        "heard",
        "on_halt",
        "phase",
        "remote",
        "reused",
        "timings_ms",
    )

    def __init__(self) -> None:
        self.phase: Phase = "claimed"
        self.remote: str | None = None
        self.reused = False
        self.bytes_sent = 0
        self.bytes_received = 0
        self.closed_by: ClosedBy | None = None
        self.timings_ms: dict[str, float] = {}
        self.halted = False
        self.on_halt: Callable[[], None] | None = None
        self.heard: Callable[[], Headers] = tuple
        """The header fields that have come so far: those of early hints (103), and those of the reply."""

    def halt(self) -> None:
        """Send nothing more. Harmless when everything has been sent, or nothing is going on."""
        self.halted = True
        if self.on_halt is not None:
            self.on_halt()


class Sender(Protocol):
    """What calls targets."""

    async def send(self, message: Message, exchange: Exchange, sink: Sink | None = None, inline: int = 0) -> Reply:
        """Make one exchange.

        A response of up to `inline` bytes comes back whole; a larger one goes to `sink` in pieces, all of it; without a sink
        it always comes back whole. Raises `SendError`.
        """
        ...

    async def close(self) -> None:
        """Abort every connection, kept or busy."""
        ...
