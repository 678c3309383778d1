"""One exchange with the service, in a thread of its own, so that it can be watched and broken off while it lasts."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import NamedTuple

from htq.policy.target import Target
from htq.words.clock import Clock

__all__ = ["Exchange", "Result"]

_MOST_READ = 64 * 1024 * 1024


class Result(NamedTuple):
    """How an exchange ended."""

    status: int | None
    """None where there was no response, or no whole one."""
    stopped: bool
    """`HTQ-Cancel: stopped` was in it."""
    error: str | None
    began_at: float
    ended_at: float
    """Seconds on the steady clock."""

    @property
    def elapsed(self) -> float:
        return self.ended_at - self.began_at


class Exchange:
    """A request that is sent at once. Close it in the end, whatever has become of it."""

    def __init__(
        self,
        target: Target,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._target = target
        self._clock = clock
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(target.host, target.port, timeout=timeout)
        self._socket: socket.socket | None = None
        self._result: Future[Result] = Future()
        self._thread = threading.Thread(target=self._run, args=(method, tuple(headers), body), daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> Result | None:
        """The result, or None if it goes on after that time."""
        try:
            return self._result.result(max(0.0, seconds))
        except NotYet:
            return None

    def close(self) -> None:
        """Break it off, if it goes on, and wait for its thread."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self, method: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        began_at = self._clock.steady()
        status: int | None = None
        stopped = False
        error: str | None = None
        connection = self._connection
        try:
            connection.connect()
            self._socket = connection.sock
            # By hand: the library would add headers that htq doesn't send, and drop repeated ones.
            connection.putrequest(method, self._target.path_and_query, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self._target.host_header)
            for name, value in headers:
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            stopped = (response.getheader("HTQ-Cancel") or "").strip().lower() == "stopped"
            response.read(_MOST_READ)
            status = response.status
        except (OSError, ssl.SSLError, http.client.HTTPException) as broken:
            error = f"{type(broken).__name__}: {broken}"
        finally:
            connection.close()
            self._result.set_result(Result(status, stopped, error, began_at, self._clock.steady()))
