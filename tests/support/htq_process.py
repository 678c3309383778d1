"""A real `htq` process: its lines can be waited for, and it is gone when the test is over.

async with HtqProcess("up", "--port", "0", folder=tmp_path) as htq:
    url = await htq.url()
"""

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

__all__ = ["HtqProcess"]

WITHIN = 20.0
"""Seconds for which a wait lasts at most: a start takes a good part of one, on a busy machine some."""


class HtqProcess:
    """`python -m htq <arguments>` in `folder`, which is its home too. It sees none of the caller's `HTQ_*` variables.

    What it says is read all the time, so that it never stands still because nobody listens.
    """

    def __init__(self, *arguments: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HTQ_", "XDG_"))}
        self._environ = {**kept, "HOME": str(folder), **(environ or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._output: asyncio.Task[bytes] | None = None
        self._more = asyncio.Event()
        self.lines: list[str] = []
        """What it has said on standard error so far."""

    async def start(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "htq",
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._folder,
            env=self._environ,
        )
        assert self._process.stdout is not None
        self._reading = asyncio.create_task(self._read())
        self._output = asyncio.create_task(self._process.stdout.read())
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    async def said(self, pattern: str, within: float = WITHIN) -> re.Match[str]:
        """The first of all its lines that holds `pattern`, as soon as there is one. What it said instead is in the error."""
        assert self._reading is not None, "not started"
        seen = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while True:
                    while seen < len(self.lines):
                        if match := re.search(pattern, self.lines[seen]):
                            return match
                        seen += 1
                    if self._reading.done():
                        break
                    self._more.clear()
                    await self._more.wait()
        raise AssertionError(f"{self._arguments} never said {pattern!r}, but:\n" + "\n".join(self.lines))

    async def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return (await self.said(r"^ \* Running on (http://\S+)/$"))[1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code. All that it said is in `lines` then."""
        assert self._reading is not None, "not started"
        async with asyncio.timeout(WITHIN):
            await self._reading
            return await self.process.wait()

    async def output(self) -> str:
        """All of standard output, to its end."""
        assert self._output is not None, "not started"
        async with asyncio.timeout(WITHIN):
            return (await self._output).decode()

    async def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL where it still runs, and wait until it is gone."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.output()
        await self.ended()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.lines.append(line.decode().removesuffix("\n"))
            self._more.set()
        self._more.set()
