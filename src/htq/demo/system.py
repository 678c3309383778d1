"""The queue of the tour: `htq up` as a child process, over a new SQLite file in a temporary folder."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from htq.words.clock import Clock
from htq.words.errors import HtqError

__all__ = ["THREADS", "DidNotStart", "queue_running"]

THREADS = 2
"""So few that the tour can show a request that waits for its turn."""

_START_WITHIN = 20.0
_STOP_WITHIN = 10.0


class DidNotStart(HtqError):
    """`htq up` ended, or does not listen; the sentence has its last words."""


@asynccontextmanager
async def queue_running(clock: Clock) -> AsyncIterator[int]:
    """The port of a running queue. It is stopped, and its folder gone, at the end. Raises `DidNotStart`."""
    with TemporaryDirectory(prefix="htq-demo-") as name:
        folder = Path(name)
        port = _free_port()
        said = folder / "htq.log"
        with said.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "htq", "up"),
                *("--port", str(port), "--threads", str(THREADS), "--store", f"sqlite:///{folder / 'htq.db'}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=_environ(folder),
                # A Control-C in the terminal is for the tour, which then stops its queue in order.
                start_new_session=True,
            )
        try:
            await _listening(process, port, said, clock)
            yield port
        finally:
            await _stop(process)


def _environ(folder: Path) -> dict[str, str]:
    """The caller's, without settings of theirs, and with a place for the queue's sockets that goes away with the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HTQ_")}
    return {**kept, "XDG_RUNTIME_DIR": str(folder)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listening(process: asyncio.subprocess.Process, port: int, said: Path, clock: Clock) -> None:
    deadline = clock.steady() + _START_WITHIN
    while True:
        if process.returncode is not None:
            raise DidNotStart(f"htq up ended with {process.returncode}: {_last_words(said)}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if clock.steady() > deadline:
                raise DidNotStart(f"htq up does not listen after {_START_WITHIN:g} s: {_last_words(said)}") from None
            await clock.sleep(0.02)
        else:
            writer.close()
            return


def _last_words(said: Path) -> str:
    return said.read_bytes()[-2000:].decode("utf-8", "replace").strip() or "(it said nothing)"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
