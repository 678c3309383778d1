"""Servers and workers over one store, as real processes, and what the clients have no verb for."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from htq.client import AsyncClient
from support.htq_process import HtqProcess

__all__ = ["System", "ask"]


class System:
    """Servers and workers over one store. Leaving it kills what still runs."""

    def __init__(self, store: str, folder: Path, *, signals: bool = True) -> None:
        self.store = store
        self._folder = folder
        self._environ = {"HTQ_STORE": store, "HTQ_SIGNALS": "true" if signals else "false"}
        self._processes: list[HtqProcess] = []
        self._clients: list[AsyncClient] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()
        for process in reversed(self._processes):
            await process.kill()

    async def run(self, *arguments: str) -> HtqProcess:
        process = await HtqProcess(*arguments, folder=self._folder, environ=self._environ).start()
        self._processes.append(process)
        return process

    async def server(self, *options: str) -> tuple[HtqProcess, AsyncClient]:
        """A server on a free port, and a client of it."""
        return await self._serving("server", *options)

    async def up(self, *options: str) -> tuple[HtqProcess, AsyncClient]:
        """Server and worker in one process, and a client of it."""
        process, client = await self._serving("up", *options)
        await process.said(r"^Started \d+ workers\.\.\.$")
        return process, client

    async def worker(self, *options: str) -> HtqProcess:
        process = await self.run("worker", *options)
        await process.said(r"^Started \d+ workers\.\.\.$")
        return process

    async def _serving(self, command: str, *options: str) -> tuple[HtqProcess, AsyncClient]:
        process = await self.run(command, "--port", "0", *options)
        client = AsyncClient(await process.url())
        self._clients.append(client)
        return process, client


async def ask(url: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON with which the server at `url` answers a request that the clients have no verb for. It must be a 200."""

    def exchange() -> Any:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        try:
            content = {} if body is None else {"Content-Type": "application/json"}
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {**content, **(headers or {})})
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, (response.status, answer)
            return json.loads(answer)
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)
