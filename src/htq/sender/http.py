"""The sender: judge, dial or reuse, exchange, follow if asked. See `docs/design/wire.md`."""

import asyncio
import ssl
from collections.abc import Callable

from htq.policy.egress import Egress
from htq.policy.target import Target, parse_target
from htq.sender.base import Exchange, Message, Reply, Sink
from htq.sender.connection import Connection
from htq.sender.dialing import Dialer, client_context
from htq.sender.pool import Pool
from htq.sender.redirects import redirected
from htq.sender.resolver import Resolver, SystemResolver
from htq.sender.writing import request_head
from htq.words.clock import Clock
from htq.words.errors import InvalidField, SendError

__all__ = ["HttpSender"]


class HttpSender:
    """HTTP/1.1 over httptools. Belongs to the event loop in which it first sends."""

    def __init__(
        self,
        *,
        clock: Clock,
        egress: Egress,
        resolver: Resolver | None = None,
        tls: Callable[[], ssl.SSLContext] = client_context,
        pool: Pool | None = None,
    ) -> None:
        self._clock = clock
        self._egress = egress
        self._resolver = resolver or SystemResolver(clock)
        self._pool = Pool() if pool is None else pool
        self._open: set[Connection] = set()
        self._dialer = Dialer(clock, self._on_lost, tls)
        self._closed = False
        self._empty: asyncio.Future[None] | None = None

    async def send(self, message: Message, exchange: Exchange, sink: Sink | None = None, inline: int = 0) -> Reply:
        """Make one exchange, as `htq.sender.base.Sender` says.

        `total` runs from here on. A sink that is at work when it runs out is waited for. With `redirects`, phases don't go
        back to `connecting` for a later hop, since the target has been called by then.
        """
        deadline = asyncio.get_running_loop().time() + message.timeouts.total
        try:
            target = parse_target(message.url)
            left = message.redirects
            follow = left > 0
            while True:
                head = request_head(message, target)
                connection = self._reuse(message, target, exchange) or await self._dial(
                    message, target, exchange, deadline
                )
                if exchange.halted:
                    connection.abort()
                    raise SendError("canceled", "halted before the request was sent", sent=False)
                try:
                    reply, location = await connection.exchange(head, message, exchange, deadline, sink, inline, follow)
                except SendError as error:
                    if error.reason == "connection_reused":
                        # Its target was restarted, or ends what is kept: those that lie beside it are no better.
                        self._pool.drop(connection.key)
                    raise
                if connection.is_open:
                    self._pool.put(connection)
                if location is None:
                    return reply
                if left == 0:
                    raise SendError(
                        "redirects", f"there were more than the {message.redirects} redirects allowed", sent=True
                    )
                left -= 1
                message, target = redirected(message, target, reply.code, location)
        except InvalidField as error:
            raise SendError("egress_denied", str(error), sent=_has_left(exchange)) from None
        except SendError as error:
            error.sent = error.sent or _has_left(exchange)  # by an earlier hop
            raise

    async def close(self) -> None:
        """Abort every connection, kept or busy, and wait until their sockets are closed."""
        self._closed = True
        self._pool.close()
        self._resolver.close()
        for connection in list(self._open):
            connection.fail(SendError("interrupted", "the sender was closed", sent=True))
        if self._open:
            self._empty = asyncio.get_running_loop().create_future()
            await self._empty

    def _reuse(self, message: Message, target: Target, exchange: Exchange) -> Connection | None:
        """A kept connection to an address that may be dialled, if there is one."""
        if self._closed:
            raise SendError("interrupted", "the sender is closed", sent=False)
        if exchange.phase == "claimed":
            exchange.phase = "connecting"
        addresses = (target.address,) if target.address is not None else self._resolver.known(target.host)
        if addresses is None or message.fresh:
            return None
        for address in self._judged(target, addresses):
            kept = self._pool.take((target.scheme, target.host, target.port, address))
            if kept is not None:
                exchange.remote = kept.remote
                exchange.reused = True
                return kept
        return None

    async def _dial(self, message: Message, target: Target, exchange: Exchange, deadline: float) -> Connection:
        """A new connection. Raises `SendError` with what it failed with, or with the bound that it passed."""
        exchange.reused = False
        exchange.closed_by = None
        timeouts = message.timeouts
        until = deadline
        if timeouts.connect is not None:
            until = min(deadline, asyncio.get_running_loop().time() + timeouts.connect)
        try:
            async with asyncio.timeout_at(until):
                if target.address is not None:
                    addresses: tuple[str, ...] = (target.address,)
                else:
                    began = self._clock.steady()
                    addresses = await self._resolver.resolve(target.host)
                    exchange.timings_ms["dns"] = round((self._clock.steady() - began) * 1000, 3)
                connection = await self._dialer.dial(target, self._judged(target, addresses), exchange)
        except TimeoutError:
            if until < deadline:
                raise SendError(
                    "connect", f"no connection to {target.origin} within {timeouts.connect:g} s", sent=False
                ) from None
            detail = f"the exchange took longer than {timeouts.total:g} s, with no connection to {target.origin} yet"
            raise SendError("total", detail, sent=False) from None
        self._open.add(connection)
        return connection

    def _judged(self, target: Target, addresses: tuple[str, ...]) -> list[str]:
        """Those that may be dialled. Raises `SendError` if none may."""
        judge = self._egress.judge
        allowed = [address for address in addresses if judge(address) is None]
        if not allowed:
            raise SendError("egress_denied", f"{target.host} may not be called: {judge(addresses[0])}", sent=False)
        return allowed

    def _on_lost(self, connection: Connection) -> None:
        self._pool.discard(connection)
        self._open.discard(connection)
        if self._empty is not None and not self._open and not self._empty.done():
            self._empty.set_result(None)


def _has_left(exchange: Exchange) -> bool:
    """Whether a byte of the request, or of an earlier hop of it, may have reached a target."""
    return exchange.phase in ("sending", "sent", "receiving")
