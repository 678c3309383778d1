"""uvicorn's HTTP/1.1 protocol, with the bounds that it leaves open.

What it takes as it is: a head without end, one that never comes, a body that never comes, a request with no `Host` or two, and
all of a body that was refused. Here each of these ends in a problem and a closed connection.
"""

import asyncio
from typing import Any, Final, Literal
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from htq.api.cycle import Cycle
from htq.api.problems import problem_reply
from htq.api.refusals import HeadersTooLarge, TooSlow
from htq.words.errors import Malformed, RequestError

__all__ = ["BODY_DEADLINE", "BODY_PACE", "HEAD_DEADLINE", "MAX_HEAD", "BoundedProtocol"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line and headers."""
HEAD_DEADLINE: Final = 10.0
"""Seconds from a connection's or a request's first sign to the end of its headers."""
BODY_DEADLINE: Final = 60.0
"""Seconds from the end of the headers to that of the body, or for `BODY_PACE` bytes of it."""
BODY_PACE: Final = 1024 * 1024
"""Bytes of a body that earn it another `BODY_DEADLINE`: a large one takes its time, but doesn't drip."""
LINGER: Final = 1.0
"""Seconds for which a refused sender is still listened to, so that what it was told isn't lost in a reset."""
LINGER_BYTES: Final = 4 * 1024 * 1024

_Stage = Literal["idle", "head", "body"]


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `_stage` says what of a request is due next."""

    cycle: Any  # uvicorn's own annotation leaves out that there is none at first
    head_deadline = HEAD_DEADLINE
    body_deadline = BODY_DEADLINE
    body_pace = BODY_PACE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stage: _Stage = "idle"
        self._head_bytes = 0
        self._fed = 0
        self._body_bytes = 0
        """Since the deadline of the body was set."""
        self._deadline: asyncio.TimerHandle | None = None
        self._deadline_of: _Stage | None = None
        self._lingering = False
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._lingering:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.abort()
            return
        try:
            while data and not self._lingering:
                data = self._feed(data)
        except httptools.HttpParserUpgrade:
            # Nothing else than HTTP/1.1 is spoken here. The request itself is answered (RFC 9110, 7.8), and is the last one.
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, RequestError) else Malformed("The request target can't be read."))
        except httptools.HttpParserError as error:
            self._refuse(Malformed(f"This is not HTTP/1.1: {error}."))
        self._arm()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage = "head"

    def on_headers_complete(self) -> None:
        self._stage = "body"
        if sum(name == b"host" for name, _ in self.headers) != 1:
            raise Malformed("A request has exactly one header Host (RFC 9112, 3.2).")
        target = httptools.parse_url(self.url)
        path: str = target.path.decode("ascii")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = self.parser.get_http_version()
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = target.path
        scope["query_string"] = target.query or b""
        before, self.cycle = self.cycle, self._cycle()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        self._stage = "idle"
        # Where in the bytes that are being parsed the next head begins is not told: it is counted from the next ones on.
        self._head_bytes = -self._fed
        super().on_message_complete()

    def linger(self) -> None:
        """Close, in such a way that the peer gets to read what was written although it is still sending."""
        if self._lingering or self.transport.is_closing():
            return
        self._lingering = True
        self._disarm()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._deadline = self.loop.call_later(LINGER, self.transport.abort)

    def _feed(self, data: bytes) -> bytes:
        """Hand bytes to the parser, no more than a head may have until that is complete; returns the rest."""
        room = len(data) if self._stage == "body" else MAX_HEAD - self._head_bytes
        part, rest = (data, b"") if len(data) <= room else (data[:room], data[room:])
        self._fed = len(part)
        self.parser.feed_data(part)
        self._head_bytes += len(part)
        self._body_bytes += len(part)
        if self._head_bytes >= MAX_HEAD and self._stage == "head":
            self._refuse(HeadersTooLarge(f"The request line and headers are longer than {MAX_HEAD} bytes."))
        elif self._stage == "idle":
            self._head_bytes = 0
        return rest

    def _cycle(self) -> Cycle:
        return Cycle(
            self.linger,
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def _arm(self) -> None:
        """Have a deadline run for what is due next, if anything is: most requests come whole, and need none."""
        stage = self._stage
        if self._lingering or self.transport.is_closing():
            return
        if stage == "idle":
            if self.cycle is not None and (
                not self.cycle.response_complete or self.timeout_keep_alive_task is not None
            ):
                self._disarm()
                return
            stage = "head"
        if self._deadline_of != stage:
            self._disarm()
            self._deadline_of = stage
            self._body_bytes = 0
            seconds = self.head_deadline if stage == "head" else self.body_deadline
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _disarm(self) -> None:
        self._deadline_of = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self._stage == "idle":
            self.transport.close()
        elif self._stage == "body" and (self.flow.read_paused or self._body_bytes >= self.body_pace):
            # It comes at a fair pace, or it is we who don't take it.
            self._disarm()
            self._arm()
        else:
            self._refuse(TooSlow(f"The {self._stage} of the request took too long."))

    def _refuse(self, error: RequestError) -> None:
        """Answer out of hand and close. Where an answer to an earlier request is due, that one goes out and this doesn't."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._stage != "body" or cycle.response_started or self.pipeline:
                cycle.keep_alive = False
                self.pipeline.clear()
                self._lingering = True
                return
            # It is this very request's: the application waits for a body that will not come.
            cycle.disconnected = True
            cycle.message_event.set()
        reply = problem_reply(error)
        lines = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers, (b"connection", b"close")):
            lines += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", reply.body)))
        self.linger()
