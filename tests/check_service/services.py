"""Services with one fault each, in threads of the test's process."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple

__all__ = ["Conduct", "Service"]


class Conduct(NamedTuple):
    """What the service does when it is told to stop. By default all that the contract asks for."""

    stops: bool = True
    status: int | None = 204
    """None: no answer at all."""
    proof: bool = True
    compares_attempts: bool = True
    compares_tasks: bool = True
    compares_credentials: bool = True
    remembers: bool = True
    ends: bool = True
    """Ends the request; or else stops the work and forgets to."""
    slow: bool = True


class _Work(NamedTuple):
    task: str
    attempt: str
    authorization: str | None
    stop: threading.Event


class Service:
    """Works until it is told to stop, or until the test is over."""

    def __init__(self, conduct: Conduct) -> None:
        self.conduct = conduct
        self.lock = threading.Lock()
        self.works: list[_Work] = []
        self.tombs: set[tuple[str, str]] = set()
        self.over = threading.Event()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/work?and=query"

    def __enter__(self) -> "Service":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        with self.lock:
            for work in self.works:
                work.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def work(self, task: str, attempt: str, authorization: str | None) -> int:
        """Do it; the status to answer with."""
        if not self.conduct.slow:
            return 200
        with self.lock:
            if self.conduct.remembers and (task, attempt) in self.tombs:
                return 409
            work = _Work(task, attempt, authorization, threading.Event())
            self.works.append(work)
        if self.over.is_set():
            return 503
        work.stop.wait(60)
        if not self.conduct.ends:
            self.over.wait(60)
        return 499

    def stop(self, task: str, attempt: str, authorization: str | None) -> int | None:
        """Stop it; the status to answer with."""
        conduct = self.conduct
        with self.lock:
            found = [
                work
                for work in self.works
                if (work.task == task or not conduct.compares_tasks)
                and (work.attempt == attempt or not conduct.compares_attempts)
                and (work.authorization == authorization or not conduct.compares_credentials)
            ]
            if not found and conduct.stops:
                self.tombs.add((task, attempt))
                return 404
        if conduct.stops:
            for work in found:
                work.stop.set()
        return conduct.status


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._answer(service.work)

        def do_DELETE(self) -> None:
            self._answer(service.stop)

        def _answer(self, act: Callable[[str, str, str | None], int | None]) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with service.lock:
                service.requests.append((self.command, dict(self.headers.items()), body))
            status = act(self.headers["HTQ-Task-Id"], self.headers["HTQ-Attempt"], self.headers["Authorization"])
            self.close_connection = True
            if status is None:
                service.over.wait(60)
                return
            try:
                self.send_response(status)
                if status == 204 and self.command == "DELETE" and service.conduct.proof:
                    self.send_header("HTQ-Cancel", "stopped")
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:  # the other side has had enough
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Nothing: a test's output is its failures."""

    return Handler
