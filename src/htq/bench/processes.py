"""The benchmark's child processes: each is started here, and ended here by its own id, whatever happens in between."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import msgspec

from htq.bench.jobs import Figures, Job, Reply
from htq.words.clock import Clock
from htq.words.errors import HtqError

__all__ = ["BenchFailed", "Child", "LoadGenerator", "Processes", "free_port", "reachable"]

_STOP_WITHIN = 10.0
_JOB_WITHIN = 300.0
_LOG_TAIL = 2000
_LINE_LIMIT = 1 << 20


class BenchFailed(HtqError):
    """There is nothing to report: a process did not start, or gave an answer with which there is nothing to measure."""


class Child:
    """A running process, and the file that takes what it says."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self.process = process
        self._log = log

    def check(self) -> None:
        """Raise `BenchFailed` with its last words if it has ended."""
        if self.process.returncode is not None:
            raise BenchFailed(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote to standard error, and to standard output where nobody reads that."""
        return self._log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace").strip() or "(it said nothing)"

    async def stop(self) -> None:
        """Ask it to end; kill it if it has not within 10 s."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Processes:
    """Children that live as long as the `async with` block, stopped last first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, name: str, command: Sequence[str], *, piped: bool = False) -> Child:
        """Start a process in the bench's own folder, without the caller's `HTQ_*` variables.

        `piped`: its standard input and output are ours; it ends when the input is closed.
        """
        log = self._folder / f"{name}.log"
        pipe = asyncio.subprocess.PIPE
        with log.open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=pipe if piped else asyncio.subprocess.DEVNULL,
                stdout=pipe if piped else said,
                stderr=said,
                cwd=self._folder,
                env=self._environ(),
                # A Control-C in the terminal reaches the benchmark alone, which then ends its children in order.
                start_new_session=True,
                limit=_LINE_LIMIT,
            )
        child = Child(name, process, log)
        self._stack.push_async_callback(child.stop)
        return child

    def _environ(self) -> dict[str, str]:
        """The caller's, without settings of theirs, and with a place for sockets that goes away with the folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HTQ_")}
        return {**kept, "XDG_RUNTIME_DIR": str(self._folder)}

    async def start_module(self, name: str, module: str, *arguments: str, piped: bool = False) -> Child:
        """Start one of the package's own modules with the interpreter that runs the benchmark."""
        return await self.start(name, [sys.executable, "-m", module, *arguments], piped=piped)

    async def start_target(self) -> int:
        """Start the target; its port."""
        child = await self.start_module("target", "htq.bench.target", piped=True)
        return int(await _read_line(child, 30.0))

    async def start_load_generator(self) -> "LoadGenerator":
        return LoadGenerator(await self.start_module("load", "htq.bench.load", piped=True))


class LoadGenerator:
    """The near end of the load generator."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def do(self, job: Job) -> Figures:
        """Have a job done. Raises `BenchFailed`."""
        stdin = self._child.process.stdin
        assert stdin is not None
        stdin.write(msgspec.json.encode(job) + b"\n")
        await stdin.drain()
        reply = msgspec.json.decode(await _read_line(self._child, _JOB_WITHIN), type=Reply)
        if reply.error is not None:
            raise BenchFailed(f"{type(job).__name__.lower()}: {reply.error}")
        return reply.figures


async def _read_line(child: Child, within: float) -> bytes:
    assert child.process.stdout is not None
    try:
        async with asyncio.timeout(within):
            line = await child.process.stdout.readline()
    except TimeoutError:
        raise BenchFailed(f"{child.name} said nothing within {within:g} s: {child.last_words()}") from None
    if not line:
        raise BenchFailed(f"{child.name} ended: {child.last_words()}")
    return line


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def reachable(child: Child, port: int, clock: Clock, within: float = 30.0) -> None:
    """Return when a child listens on a port. Raises `BenchFailed` if it ends or does not in time."""
    deadline = clock.steady() + within
    while True:
        child.check()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if clock.steady() > deadline:
                raise BenchFailed(f"{child.name} does not listen after {within:g} s: {child.last_words()}") from None
            await clock.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return
