"""Services under test: real servers as subprocesses, raw HTTP to them, and a witness of what they work on.

The work of a service under test is to hold a connection to the `Witness`. So a test sees it begin, and sees it end: that
the work is gone is the end of that connection, and nothing has to be waited for by the clock.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import TracebackType

from htq.words.clock import Chance, SystemClock

__all__ = [
    "Answer",
    "Held",
    "ServiceProcess",
    "Wire",
    "Witness",
    "gunicorn",
    "htq_headers",
    "new_task_id",
    "stop_headers",
    "uvicorn",
]

WITHIN = 20.0
"""Seconds that a test waits for anything: far more than it takes, so that only a failure runs into it."""


_clock = SystemClock()
_chance = Chance(_clock)


def new_task_id() -> str:
    """An id as htq makes them."""
    return _chance.uuid()


def htq_headers(task_id: str, attempt: int = 1, authorization: str | None = None) -> dict[str, str]:
    """What htq adds to a request, and what its caller may have set."""
    return {
        "HTQ-Task-Id": task_id,
        "HTQ-Attempt": str(attempt),
        "Idempotency-Key": f'"{task_id}"',
        "Content-Type": "application/json",
        **({} if authorization is None else {"Authorization": authorization}),
    }


def stop_headers(task_id: str, attempt: int = 1, authorization: str | None = None) -> dict[str, str]:
    """What its DELETE carries."""
    return {
        "HTQ-Task-Id": task_id,
        "HTQ-Attempt": str(attempt),
        "HTQ-Cancel": "requested",
        "Idempotency-Key": f'"{task_id}:cancel"',
        **({} if authorization is None else {"Authorization": authorization}),
    }


class Answer:
    """A response that was read to its end."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def stop(self) -> tuple[int, str | None]:
        """What matters of an answer to a stop."""
        return self.status, self.headers.get("htq-cancel")


class Wire:
    """One connection, kept as long as the service keeps it."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=WITHIN)

    def send(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> None:
        self.connection.request(method, path, body=body, headers=dict(headers or {}))

    def response(self) -> HTTPResponse:
        """The head of the response; its body can be read in parts."""
        return self.connection.getresponse()

    def answer(self) -> Answer:
        return Answer(self.response())

    def call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        self.send(method, path, headers, body)
        return self.answer()

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Held:
    """A piece of work, seen from the witness. `word` is what the service said when it began."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(WITHIN)
        self._file = connection.makefile("rb")
        self.word = self._file.readline().decode().strip()

    def is_held(self) -> bool:
        """Whether the work goes on."""
        readable, _, _ = select.select([self._connection], [], [], 0)
        return not readable

    def wait_gone(self) -> None:
        """Return when the work has ended; fail if it doesn't."""
        try:
            rest = self._file.read()
        except ConnectionResetError:
            return
        assert rest == b""

    def release(self) -> None:
        """Let the work come to its end by itself."""
        self._connection.sendall(b"done\n")

    def close(self) -> None:
        self._file.close()
        self._connection.close()


class Witness:
    """Listens for those who work."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(WITHIN)
        self._held: list[Held] = []

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def begun(self) -> Held:
        """The next piece of work that begins."""
        connection, _ = self._listener.accept()
        held = Held(connection)
        self._held.append(held)
        return held

    def has_begun(self) -> bool:
        """Whether some work that nobody has asked for yet has begun."""
        readable, _, _ = select.select([self._listener], [], [], 0)
        return bool(readable)

    def __enter__(self) -> "Witness":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for held in self._held:
            held.close()


def uvicorn(app: str, folder: Path, workers: int = 1) -> list[str]:
    """The command that serves the ASGI application `module:name`, found in `folder`, on the port that is put for `{port}`."""
    place = ["--host", "127.0.0.1", "--port", "{port}", "--app-dir", str(folder)]
    bounds = ["--workers", str(workers), "--timeout-keep-alive", "60", "--timeout-graceful-shutdown", "1"]
    return [sys.executable, "-m", "uvicorn", app, *place, *bounds, "--log-level", "warning"]


def gunicorn(app: str, folder: Path, workers: int = 1, threads: int = 4) -> list[str]:
    """The same for a WSGI application. With one thread a worker takes one connection at a time, and keeps none."""
    place = ["--bind", "127.0.0.1:{port}", "--chdir", str(folder), "--worker-tmp-dir", tempfile.gettempdir()]
    bounds = ["--workers", str(workers), "--threads", str(threads), "--keep-alive", "60", "--graceful-timeout", "1"]
    return [sys.executable, "-m", "gunicorn", app, *place, *bounds, "--log-level", "warning", "--no-control-socket"]


class ServiceProcess:
    """A server with its workers, gone when the `with` is left. It answers `GET /pid` with the id of the worker's process."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._command = command
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> "ServiceProcess":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix="htq-service-"))
        command = [part.format(port=self.port) for part in self._command]
        # Where the tests are killed the server goes with them.
        leash = shutil.which("setpriv")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*([leash, "--pdeathsig", "TERM"] if leash else []), *command],
                env=self._env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._folder is not None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                # It leads a process group of its own, so this reaches its workers and nobody else.
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(WITHIN)
                raise
        shutil.rmtree(self._folder)

    @property
    def pid(self) -> int:
        """Of the server; its workers are its children."""
        assert self._process is not None
        return self._process.pid

    def wire(self) -> Wire:
        return Wire(self.port)

    def wires_to_two_workers(self) -> tuple[Wire, Wire]:
        """Two kept connections, each to another worker."""
        first, pid = self._wire_and_pid()
        give_up_at = _clock.steady() + WITHIN
        while _clock.steady() < give_up_at:
            second, other = self._wire_and_pid()
            if other != pid:
                return first, second
            second.close()
        raise AssertionError("one worker took all connections")

    def log(self) -> str:
        assert self._folder is not None
        return (self._folder / "log").read_text(errors="replace")

    def _wire_and_pid(self) -> tuple[Wire, bytes]:
        wire = self.wire()
        return wire, wire.call("GET", "/pid").body

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(int(WITHIN / 0.05)):
            try:
                with self.wire() as wire:
                    wire.call("GET", "/pid")
                return
            except OSError:
                pass
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        raise RuntimeError(f"the service did not start within {WITHIN:.0f} s:\n{self.log()[-3000:]}")
