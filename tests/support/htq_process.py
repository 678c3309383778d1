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
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["HtqProcess"]

WITHIN = 20.0
"""Seconds for which a wait lasts at most: a start takes a good part of one, on a busy machine some."""

_RUNNING = re.compile(r" \* Running on (http://\S+)/")


class HtqProcess:
    """`python -m htq <arguments>` in `folder`, which is its home too. It sees none of the caller's `HTQ_*` variables."""

    def __init__(self, *arguments: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HTQ_", "XDG_"))}
        self._environ = {**kept, "HOME": str(folder), **(environ or {})}
        self._process: asyncio.subprocess.Process | None = None
        self.lines: list[str] = []
        """What it has said on standard error so far, as far as it was read."""

    async def __aenter__(self) -> Self:
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
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def line(self) -> str:
        """The next line on standard error; empty at its end."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WITHIN):
            line = (await self.process.stderr.readline()).decode().removesuffix("\n")
        self.lines.append(line)
        return line

    async def until(self, part: str) -> str:
        """The next line that holds `part`. What it said instead is in the error."""
        while True:
            line = await self.line()
            if part in line:
                return line
            if not line and self.process.stderr is not None and self.process.stderr.at_eof():
                raise AssertionError(f"htq ended without saying {part!r}: {self.lines}")

    async def url(self) -> str:
        """Where it listens, without a slash at the end."""
        found = _RUNNING.fullmatch(await self.until(" * Running on "))
        assert found is not None, self.lines
        return found[1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code. The rest of what it said is in `lines` then."""
        async with asyncio.timeout(WITHIN):
            while await self.line() or not self._at_end():
                pass
            return await self.process.wait()

    async def output(self) -> str:
        """All of standard output, to its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN):
            return (await self.process.stdout.read()).decode()

    def _at_end(self) -> bool:
        assert self.process.stderr is not None
        return self.process.stderr.at_eof()
