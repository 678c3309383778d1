"""uvicorn's pair of a request and its response, with fewer system calls, and an end that the peer gets to hear."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

__all__ = ["Cycle"]


class Cycle(RequestResponseCycle):
    """One request and its response. A response before the request's end is the last one on its connection."""

    transport: Any

    def __init__(self, linger: Callable[[], None], **options: Any) -> None:
        """`linger` closes a connection whose peer is still sending."""
        super().__init__(**options)
        self._linger = linger
        self._start: Any = None

    async def send(self, message: Any) -> None:
        """As uvicorn does it, but a whole response goes out in one write: two are two packets, and twice the system calls."""
        if message["type"] == "http.response.start" and not self.response_started:
            if self.more_body:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
                self.transport = _Unread(self.transport, self._linger)
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            whole = self._whole(start, message)
            if whole is not None:
                self.response_started = self.response_complete = True
                self.message_event.set()
                self.transport.write(whole)
                if not self.keep_alive:
                    self.transport.close()
                self.on_response()
                return
            await super().send(start)
        await super().send(message)

    def _whole(self, start: Any, message: Any) -> bytes | None:
        """Head and body together; None where uvicorn's own way is needed: in pieces, or at the peer's pace."""
        if message.get("more_body") or self.disconnected or self.flow.write_paused:
            return None
        headers = start["headers"]
        lines = [STATUS_LINE[start["status"]]]
        for name, value in (*self.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        if self.more_body:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if self.scope["method"] != "HEAD":
            lines.append(message.get("body", b""))
        return b"".join(lines)


class _Unread:
    """A transport whose peer is still sending: it is closed in a way that lets it hear the answer."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = linger
