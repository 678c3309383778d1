"""Real htq processes: started, listened to, killed, and gone at the end."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from htq.client import AsyncClient

__all__ = ["HtqProcess", "System"]

WITHIN = 20.0


class HtqProcess:
    """One `htq` command. Its lines are kept; `said` waits for one."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.lines: list[str] = []
        self._more = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    async def start(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "htq",
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))
            self._more.set()
        self._more.set()

    async def said(self, pattern: str, within: float = WITHIN) -> re.Match[str]:
        """The first line that matches, as soon as there is one."""
        seen = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    while seen < len(self.lines):
                        if match := re.search(pattern, self.lines[seen]):
                            return match
                        seen += 1
                    assert self._reading is not None
                    if self._reading.done():
                        break
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pass
        raise AssertionError(f"{self._arguments} never said {pattern!r}, but:\n" + "\n".join(self.lines))

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float = WITHIN) -> int:
        async with asyncio.timeout(within):
            code = await self.process.wait()
            if self._reading is not None:
                await self._reading
        return code

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.ended()

    async def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return await self.ended()

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()
        if self._reading is not None:
            await self._reading


class System:
    """Servers and workers over one store. Leaving it kills what still runs."""

    def __init__(self, store: str, folder: Path, *, signals: bool = True) -> None:
        self.store = store
        self._env = {"HTQ_STORE": store, "XDG_STATE_HOME": str(folder), "HTQ_SIGNALS": "true" if signals else "false"}
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
            await process.close()

    async def run(self, *arguments: str) -> HtqProcess:
        process = HtqProcess(*arguments, env=self._env)
        self._processes.append(process)
        return await process.start()

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
        match = await process.said(r" \* Running on (http://\S+)/")
        client = AsyncClient(match[1])
        self._clients.append(client)
        return process, client
