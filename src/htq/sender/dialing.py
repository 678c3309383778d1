"""Making a connection to one of the addresses that were judged."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence

from htq.policy.target import Target
from htq.sender.base import Exchange
from htq.sender.connection import Connection, Key
from htq.words.clock import Clock
from htq.words.errors import SendError

__all__ = ["HEAD_START", "Dialer", "client_context"]

HEAD_START = 0.25
"""Seconds that an address has for itself before the next one is tried beside it (RFC 8305, 5)."""


def client_context() -> ssl.SSLContext:
    """Verifying, with the system's authorities; HTTP/1.1 is all that is spoken."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Makes connections. The TLS context is one for all, and made when the first https target comes."""

    def __init__(
        self,
        clock: Clock,
        on_lost: Callable[[Connection], None],
        tls: Callable[[], ssl.SSLContext] = client_context,
    ) -> None:
        self._clock = clock
        self._on_lost = on_lost
        self._make_context = tls
        self._context: ssl.SSLContext | None = None

    async def dial(self, target: Target, addresses: Sequence[str], exchange: Exchange) -> Connection:
        """A connection to the first address that answers. Raises `SendError`, reason `connect` or `tls`.

        Canceled, or once there is a winner, it leaves no other socket behind.
        """
        began = self._clock.steady()
        if len(addresses) == 1:
            sock = await self._connect(addresses[0], target.port)
            address = addresses[0]
        else:
            sock, address = await self._race(addresses, target.port)
        connected = self._clock.steady()
        exchange.timings_ms["connect"] = round((connected - began) * 1000, 3)
        exchange.remote = f"[{address}]:{target.port}" if ":" in address else f"{address}:{target.port}"
        connection = await self._open(Key(target.scheme, target.host, target.port, address), exchange.remote, sock)
        if target.scheme == "https":
            exchange.timings_ms["tls"] = round((self._clock.steady() - connected) * 1000, 3)
        return connection

    async def _open(self, key: Key, remote: str, sock: socket.socket) -> Connection:
        """Give the connected socket to a transport, with the TLS handshake where the scheme wants one."""
        loop = asyncio.get_running_loop()
        connection = Connection(key, remote, sock, self._clock, self._on_lost)
        try:
            if key.scheme == "https":
                context, name = self._tls(), key.host.rstrip(".")
                await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=name)
            else:
                await loop.create_connection(lambda: connection, sock=sock)
        except BaseException as error:
            # The socket belongs to a transport by now, so that only that may close it. A handshake that has not begun is not
            # ended by the loop, and would go on for nobody: with the socket shut down it fails, and the transport goes.
            connection.abandon()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise SendError(
                    "tls", f"the target's certificate does not hold: {error.verify_message}", sent=False
                ) from None
            if isinstance(error, OSError | EOFError):
                raise SendError("tls", f"the TLS handshake failed: {_sentence(error)}", sent=False) from None
            raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._make_context()
        return self._context

    async def _connect(self, address: str, port: int) -> socket.socket:
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:  # no descriptor is left, or this machine does not speak IPv6
            raise SendError("connect", f"no socket for {address}: {_sentence(error)}", sent=False) from None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise SendError(
                    "connect", f"no connection to {address} port {port}: {_sentence(error)}", sent=False
                ) from None
            raise
        return sock

    async def _race(self, addresses: Sequence[str], port: int) -> tuple[socket.socket, str]:
        """Try the addresses in order, the next one when the last has failed or had its head start."""
        waiting = list(addresses)
        running: dict[asyncio.Task[socket.socket], str] = {}
        error: SendError | None = None
        try:
            while waiting or running:
                if waiting:
                    address = waiting.pop(0)
                    running[asyncio.ensure_future(self._connect(address, port))] = address
                done, _ = await asyncio.wait(
                    running, timeout=HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    address = running[task]
                    failed = task.exception()
                    if failed is None:
                        del running[task]
                        return task.result(), address
                    if not isinstance(failed, SendError):
                        raise failed
                    del running[task]
                    error = error or failed
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_close_late)
        assert error is not None
        raise error


def _close_late(task: "asyncio.Task[socket.socket]") -> None:
    """A loser may have connected all the same."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _sentence(error: OSError | EOFError) -> str:
    """What went wrong: asyncio puts a text of its own in place of the system's."""
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
