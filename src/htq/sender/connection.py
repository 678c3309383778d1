"""A connection to a target: one exchange at a time, and never a byte of another one mixed in.

The transport's callbacks run between the steps of the coroutine that awaits `exchange`. They parse, keep the exchange's
record up to date, and wake the coroutine when there is something to hand over: usually once, with the whole reply.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple, cast

from htq.sender.base import BodyStream, Exchange, Message, Reply, Sink
from htq.sender.reading import ReplyReader
from htq.sender.watch import Watch
from htq.sender.writing import SLICE, pieces
from htq.words.clock import Clock
from htq.words.errors import SendError

__all__ = ["CHUNK", "Connection", "Key"]

CHUNK = 256 * 1024
"""Bytes of a chunk that goes to a sink, at most."""

_LINGER_NOT = struct.pack("ii", 1, 0)


class Key(NamedTuple):
    """What connections may stand in for each other. There is one TLS profile, so the scheme names it."""

    scheme: str
    host: str
    port: int
    address: str


class Connection(asyncio.Protocol):
    """Made by `htq.sender.dialing`, kept by `htq.sender.pool`, used by `htq.sender.http`."""

    __slots__ = (
        "_abandoned",
        "_answered",
        "_clock",
        "_error",
        "_exchange",
        "_inline",
        "_left",
        "_marked",
        "_on_lost",
        "_paused",
        "_reader",
        "_room",
        "_sink",
        "_sock",
        "_streaming",
        "_transport",
        "_uploading",
        "_wake",
        "_watch",
        "idle_since",
        "key",
        "loop",
        "remote",
    )

    def __init__(
        self, key: Key, remote: str, sock: socket.socket, clock: Clock, on_lost: Callable[["Connection"], None]
    ) -> None:
        self.key = key
        self.remote = remote
        self.idle_since = 0.0
        self._sock = sock
        self._abandoned = False
        self._clock = clock
        self._on_lost = on_lost
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._exchange: Exchange | None = None
        self._wake: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._watch = Watch(self.loop, self.fail)
        self._error: BaseException | None = None
        self._paused = False
        self._uploading: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """End the connection in this moment. Repeating it changes nothing.

        Without a linger the target gets an RST: what is still on its way is dropped, and nobody can take it for a half-close,
        after which some proxies go on waiting for the answer. `close()` would wait for a peer that does not read.
        """
        transport = self._transport
        if transport is not None and not transport.is_closing():
            with contextlib.suppress(OSError):  # the target was faster
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            if self._exchange is not None:
                self._exchange.bytes_sent -= transport.get_write_buffer_size()
            transport.abort()

    def abandon(self) -> None:
        """End what was to become a connection, however far its transport has come."""
        self._abandoned = True
        self.abort()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def fail(self, error: BaseException) -> None:
        """End the exchange that is going on, if any, with `error`, and the connection with it."""
        exchange = self._exchange
        if exchange is not None and self._error is None:
            self._error = error
            if exchange.closed_by is None:
                exchange.closed_by = "htq"
            self._wake_up()
        self.abort()

    async def exchange(
        self,
        head: bytes,
        message: Message,
        exchange: Exchange,
        deadline: float,
        sink: Sink | None,
        inline: int,
        follow: bool,
    ) -> tuple[Reply, str | None]:
        """Send a request and await its reply; with it comes the address to go on at, if `follow` and it is a redirect.

        `deadline` is on the loop's clock. Raises `SendError`. Whatever it raises, the connection has been aborted by then;
        otherwise `is_open` tells whether it may be kept.
        """
        reader = self._reader
        reader.begin(head=message.method == "HEAD", max_body=message.max_response, skip_redirects=follow)
        exchange.heard = reader.heard
        self._exchange = exchange
        self._error = None
        self._sink = sink
        self._inline = inline
        self._streaming = False
        self._answered = False
        self._watch.begin(message.timeouts, deadline)
        try:
            self._send(head, message.body)
            while not self._is_over():
                self._wake = self.loop.create_future()
                await self._wake
                if self._streaming and sink is not None and not self._is_over():
                    await self._hand_over(sink, final=False)
            if self._uploading is not None and (self._left or self._room is not None):
                exchange.closed_by = exchange.closed_by or "htq"
                self.abort()  # the answer came first: the rest of the body is wanted no more
            body: bytes | None = None
            if sink is not None and reader.body_size > inline and not (follow and reader.is_redirect()):
                await self._hand_over(sink, final=True)
            else:
                body = reader.take_body()
            self._mark("transfer")
            reply = Reply(
                code=reader.code,
                phrase=reader.phrase(),
                headers=reader.headers(),
                body=body,
                body_size=reader.body_size,
            )
            location = reader.field("location") if follow and reader.is_redirect() else None
        except BaseException:
            exchange.closed_by = exchange.closed_by or "htq"
            self.abort()
            raise
        finally:
            self._watch.end()
            self._exchange = self._error = self._sink = self._wake = None
            exchange.on_halt = None
            heard = reader.heard()
            exchange.heard = lambda: heard  # the reader goes on to other replies
            if self._uploading is not None:
                await self._end_upload(self._uploading)
        if not reader.reusable or exchange.halted:
            exchange.closed_by = exchange.closed_by or "htq"
            self.abort()
        return reply, location

    def _is_over(self) -> bool:
        """Whether the reply is complete. Raises what the exchange failed with."""
        if self._error is not None:
            raise self._error
        return self._reader.complete

    # --- the request ---------------------------------------------------------------------------

    def _send(self, head: bytes, body: bytes | BodyStream) -> None:
        exchange = self._exchange
        transport = self._transport
        assert exchange is not None
        if transport is None or transport.is_closing():
            raise SendError("connect", "the target closed the connection before anything was sent", sent=False)
        exchange.phase = "sending"
        self._marked = self._clock.steady()
        if not isinstance(body, BodyStream) and len(body) <= SLICE:
            transport.write(head + body if body else head)
            exchange.bytes_sent += len(head) + len(body)
            if self._room is None:
                self._on_sent()
            else:
                self._room.add_done_callback(lambda _: self._on_sent())
            return
        transport.write(head)
        exchange.bytes_sent += len(head)
        exchange.on_halt = self._halt
        self._left = body.size if isinstance(body, BodyStream) else len(body)
        self._uploading = asyncio.ensure_future(self._upload(transport, exchange, body))
        self._uploading.add_done_callback(self._on_upload_end)

    async def _upload(self, transport: asyncio.Transport, exchange: Exchange, body: bytes | BodyStream) -> None:
        if self._room is not None:
            await self._room
        async with contextlib.aclosing(pieces(body)) as source:
            async for piece in source:
                transport.write(piece)
                exchange.bytes_sent += len(piece)
                self._left -= len(piece)
                if self._room is not None:
                    await self._room

    def _on_upload_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.fail(error)
        elif task is self._uploading:
            self._uploading = None
            self._on_sent()

    async def _end_upload(self, task: asyncio.Task[None]) -> None:
        """Wait until nobody reads the body any more. Its errors were heard in `_on_upload_end`."""
        task.cancel()
        self._uploading = None
        await asyncio.wait((task,))

    def _halt(self) -> None:
        if self._uploading is not None:
            self._uploading.cancel()

    def _on_sent(self) -> None:
        exchange = self._exchange
        if exchange is None or self._error is not None:
            return
        if exchange.phase == "sending":
            exchange.phase = "sent"
        self._mark("send")
        self._watch.sent()

    # --- the reply -----------------------------------------------------------------------------

    async def _hand_over(self, sink: Sink, *, final: bool) -> None:
        """Give the sink what is here; the target is not read meanwhile, and its silence not counted."""
        chunks = self._reader.take_chunks(CHUNK, final=final)
        if chunks:
            await sink(chunks)
        if self._paused:
            self._paused = False
            if self.is_open and self._transport is not None:
                self._transport.resume_reading()
            self._watch.heard()

    def _mark(self, what: str) -> None:
        """Note how long it took since the last mark."""
        exchange = self._exchange
        if exchange is not None:
            now = self._clock.steady()
            timings = exchange.timings_ms
            timings[what] = timings.get(what, 0.0) + int((now - self._marked) * 1e6) / 1000
            self._marked = now

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- called by the transport ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        if self._abandoned:
            self.abort()
            return
        # Paused while anything is unsent, so that `sent` is said when the kernel has all of it.
        transport.set_write_buffer_limits(1, 0)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or self._error is not None:
            self.abort()  # nobody asked: whatever this is, it must not become the start of the next reply
            return
        exchange.bytes_received += len(data)
        reader = self._reader
        if not self._answered:
            self._answered = True
            self._mark("first_byte")
            exchange.phase = "receiving"
        self._watch.heard()
        if reader.complete:
            reader.reusable = False
            return
        try:
            over = reader.feed(data)
        except SendError as error:
            self.fail(error)
            return
        if over:
            self._wake_up()
        elif self._sink is not None and reader.buffered > self._inline and reader.buffered >= CHUNK:
            self._streaming = True
            self._pause()
            self._wake_up()

    def eof_received(self) -> None:
        self._on_end(None)
        self.abort()  # returning alone would flush what is unsent first

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end(exc)
        if self._room is not None and not self._room.done():
            self._room.cancel()
        self._watch.close()
        self._reader.release()
        self._transport = None
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # ------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._watch.deaf()
            self._transport.pause_reading()

    def _on_end(self, exc: Exception | None) -> None:
        """The target has closed the connection, or it broke."""
        exchange = self._exchange
        if exchange is None or self._error is not None:
            return
        if exc is not None and self._uploading is not None:
            self._read_the_rest()
        exchange.closed_by = exchange.closed_by or "target"
        if self._reader.complete or (exc is None and self._reader.feed_eof()):
            self._wake_up()
        else:
            self.fail(self._lost_error(exc))

    def _read_the_rest(self) -> None:
        """A write that failed hides an answer that has come already: a 413, and then the reset by who sent it.

        The transport reports the failed write and reads no more, but the kernel still has what came before the reset.
        """
        if self.key.scheme == "https":
            return
        with contextlib.suppress(OSError):
            while not self._reader.complete and self._error is None and (data := self._sock.recv(CHUNK)):
                self.data_received(data)

    def _lost_error(self, exc: Exception | None) -> SendError:
        exchange = self._exchange
        assert exchange is not None
        how = (
            "reset"
            if isinstance(exc, ConnectionResetError | BrokenPipeError)
            else "closed"
            if exc is None
            else f"lost ({exc})"
        )
        if exchange.reused and not self._answered:
            return SendError(
                "connection_reused", f"a kept connection was {how} by the target before it answered", sent=True
            )
        where = "in the middle of the answer" if self._answered else "without an answer"
        return SendError("reset", f"the connection was {how} by the target {where}", sent=True)
