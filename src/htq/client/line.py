"""A connection of the asyncio client: one HTTP/1.1 exchange after another (RFC 9112), as far as our own server goes."""

import asyncio
import ssl
from collections.abc import Iterable

from htq.client.address import Address, request_headers
from htq.client.errors import HtqClientError
from htq.client.exchange import Answer, Call
from htq.client.idle import has_ended

__all__ = ["Line", "dial"]

_HEAD_LIMIT = 64 * 1024


class Line:
    """Whoever holds it makes one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.reusable = True

    def has_ended(self) -> bool:
        """Whether the server closed it."""
        transport = self._writer.transport
        # Asked of the socket, since the loop may not have come to look at it since the server closed it.
        return transport.is_closing() or self._reader.at_eof() or has_ended(transport.get_extra_info("socket").fileno())

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()

    async def exchange(self, call: Call, address: Address) -> Answer:
        """Send `call` and read its answer. Raises `OSError` or `EOFError` when the connection ends before it does."""
        lines = [f"{call.method} {address.prefix}{call.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request_headers(call, address).items()]
        body = call.body
        if isinstance(body, bytes):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if body is None or isinstance(body, bytes):
            self._writer.write(head + (body or b""))
            await self._writer.drain()
            code, headers = await self._head()
        else:
            code, headers = await self._pieces(head, body)
        while 100 <= code < 200:
            code, headers = await self._head()
        if headers.get("connection", "").lower() == "close":
            self.reusable = False
        return Answer(code, headers, await self._body(code, headers))

    async def _pieces(self, head: bytes, body: Iterable[bytes]) -> tuple[int, dict[str, str]]:
        """Send in pieces until all has gone or the answer is there; its head."""
        answer = asyncio.ensure_future(self._head())
        try:
            self._writer.write(head)
            for piece in body:
                self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await self._writer.drain()
                await asyncio.sleep(0)  # noqa: TID251 - a turn for the answer: `drain` has none while there is room
                if answer.done():
                    self.reusable = False
                    break
            else:
                self._writer.write(b"0\r\n\r\n")
                await self._writer.drain()
        except ConnectionError:
            pass  # it may have answered before the end, and that answer be here
        except BaseException:
            answer.cancel()
            raise
        return await answer

    async def _head(self) -> tuple[int, dict[str, str]]:
        head = await self._until(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise HtqClientError("the answer is not HTTP/1.1: is this an htq server?")
        if version != "HTTP/1.1":
            self.reusable = False
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        return int(rest[:3]), headers

    async def _body(self, code: int, headers: dict[str, str]) -> bytes:
        if code in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._chunks()
        length = headers.get("content-length")
        if length is None:
            self.reusable = False
            return await self._reader.read()
        if not length.isdecimal():
            raise HtqClientError(f"the answer's Content-Length is {length!r}: is this an htq server?")
        return await self._reader.readexactly(int(length))

    async def _chunks(self) -> bytes:
        chunks = []
        while True:
            size = (await self._until(b"\r\n")).partition(b";")[0].strip()
            try:
                length = int(size, 16)
            except ValueError:
                raise HtqClientError("the answer's chunks are broken: is this an htq server?") from None
            if length == 0:
                break
            chunks.append(await self._reader.readexactly(length))
            await self._until(b"\r\n")
        while await self._until(b"\r\n") != b"\r\n":
            pass  # trailer fields say nothing that a verb reads
        return b"".join(chunks)

    async def _until(self, end: bytes) -> bytes:
        try:
            return await self._reader.readuntil(end)
        except asyncio.LimitOverrunError:
            raise HtqClientError("a line of the answer is too long: is this an htq server?") from None


async def dial(address: Address, tls: ssl.SSLContext | None) -> Line:
    """A new connection. Raises `OSError`."""
    context = (tls or ssl.create_default_context()) if address.tls else None
    return Line(*await asyncio.open_connection(address.host, address.port, ssl=context, limit=_HEAD_LIMIT))
