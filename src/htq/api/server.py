"""Serving the API with uvicorn, from an event loop that is running already: signals stay with whoever runs it."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import uvicorn

from htq.api.app import App
from htq.api.protocol import BoundedProtocol
from htq.words.errors import ConfigError

__all__ = ["ApiServer"]

_BACKLOG: Final = 2048
_TRIES: Final = 8


class ApiServer:
    """The API on a TCP port. `start` it, and `stop` it on the same loop."""

    def __init__(
        self, app: App, *, host: str = "localhost", port: int = 5000, keep_alive: int = 30, grace: int = 5
    ) -> None:
        """`port` 0 takes a free one. `grace`: seconds that requests under way have when it is stopped."""
        self._app = app
        self._host = host
        self._wished_port = port
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=keep_alive,
                timeout_graceful_shutdown=grace,
            )
        )
        self._sockets: list[socket.socket] = []
        self._ticking: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is bound. Only when started."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where it is reached from this machine, without a slash at the end. Only when started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises `ConfigError` if the address can't be had."""
        self._sockets = await self._bind()
        server = self._server
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        # Its first tick makes the headers that each response begins with.
        await server.on_tick(0)
        await server.startup(sockets=self._sockets)
        self._ticking = asyncio.ensure_future(server.main_loop())

    async def stop(self) -> None:
        """Take no more, send home who waits, let the rest end within the grace. May be called twice."""
        if self._ticking is None:
            return
        ticking, self._ticking = self._ticking, None
        self._app.stopping.set()
        ticking.cancel()
        await asyncio.wait((ticking,))
        await self._server.shutdown(sockets=self._sockets)
        tasks = set(self._server.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    async def _bind(self) -> list[socket.socket]:
        """A socket for each address of the host: `localhost` has two, and clients differ in which one they try."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = list(dict.fromkeys((family, address[0]) for family, _, _, _, address in found))
            for attempt in range(_TRIES):
                try:
                    return _bound(addresses, self._wished_port)
                except OSError:
                    # A free port of the first address can be taken on the second.
                    if self._wished_port or attempt == _TRIES - 1:
                        raise
        except OSError as error:
            raise ConfigError(
                f"Can't listen on {self._host}:{self._wished_port} ({error.strerror or error}): choose another --host or --port."
            ) from None
        raise AssertionError("unreachable")


def _bound(addresses: Sequence[tuple[int, str | int]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    try:
        for family, address in addresses:
            try:
                listener = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                refused = error
                continue
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                with suppress(AttributeError):
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setblocking(False)
            listener.bind((address, port))
            port = listener.getsockname()[1]
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    if not sockets:
        raise refused or OSError("the host has no address")
    return sockets
