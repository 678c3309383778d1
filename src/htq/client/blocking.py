"""The blocking client, on `http.client`."""

import http.client
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from htq.client import verbs
from htq.client.address import away, read_address, request_headers
from htq.client.idle import Idle, has_ended
from htq.client.verbs import Answer, Call, Result, Verb

__all__ = ["Client"]


class Client:
    """Calls a server over kept connections. Any number of threads may share one.

    `url` is the server's address (else `HTQ_URL`, else http://localhost:5000); `timeout` bounds each wait for the server in
    seconds, and the waiting for a response comes on top of it. Use it as a context manager, or `close` it.
    """

    def __init__(self, url: str | None = None, timeout: float = 30.0, tls: ssl.SSLContext | None = None) -> None:
        self._address = read_address(url)
        self._timeout = timeout
        self._tls = tls
        self._idle = Idle(_has_ended, http.client.HTTPConnection.close)
        self._pid = os.getpid()

    def send(
        self,
        url: str,
        method: str | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002 - the seed's name
        timeout: float | Mapping[str, float] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Queue a request; the request as the server shows it, with its `uuid`.

        `data` is a string, bytes, or what JSON can say; `options` are further fields of a request (`queue`, `delay`, …).
        Raises `Rejected` where a field can't be taken. It is never repeated by itself.
        """
        return self._do(verbs.send(url, method, data, headers, id, timeout, options))

    def request(self, uuid: str) -> dict[str, Any]:
        """The request as it stands. Raises `NotFound`."""
        return self._do(verbs.request(uuid))

    def status(self, uuid: str) -> str:
        """`queued`, `pending`, `success`, `timeout`, `error` or `canceled`. Raises `NotFound`."""
        return self._do(verbs.status(uuid))

    def response(self, uuid: str) -> dict[str, Any] | None:
        """The response; None while there is none yet, empty for a canceled request. Raises `NotFound`, after `purge` too."""
        return self._do(verbs.response(uuid))

    def wait(self, uuid: str, timeout: float | None = None) -> dict[str, Any]:
        """The response as soon as it is there. Raises `NotFound`, and `NotYet` when `timeout` seconds are over.

        They are counted in whole seconds, rounded up; None: no bound.
        """
        return self._do(verbs.wait(uuid, timeout, time.monotonic))  # noqa: TID251 - the caller's clock, not the system's

    def cancel(self, uuid: str) -> None:
        """Cancel a request, whatever it is doing. Raises `NotFound`."""
        self._do(verbs.cancel(uuid))

    def cancel_all(
        self,
        *,
        dry_run: bool = False,
        reason: str | None = None,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> int:
        """Cancel what the filters take of the requests that are there now; how many are canceled by it.

        `filters`: `status` (one or several), `queue`, `key`, `host`, `id`, `since`, `until` (epoch milliseconds); with no status:
        what has not ended. At least one must be given, else `Rejected`. With `dry_run` it only says how many match.
        """
        return self._do(verbs.cancel_all(dry_run, reason, labels, filters))

    def purge(self, uuid: str) -> None:
        """Delete a request's response. Raises `NotFound` where there is none."""
        self._do(verbs.purge(uuid))

    def queued(self) -> list[dict[str, Any]]:
        """All requests that are queued and due, oldest first."""
        return self._do(verbs.queued())

    def size(self) -> int:
        """How many requests are queued."""
        return self._do(verbs.size())

    def close(self) -> None:
        """Let go of the idle connections. A later call makes a new one."""
        self._idle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, verb: Verb[Result]) -> Result:
        try:
            call = next(verb)
            while True:
                call = verb.send(self._make(call))
        except StopIteration as end:
            result: Result = end.value
            return result

    def _make(self, call: Call) -> Answer:
        connection = self._take()
        reusable = False
        try:
            connection.timeout = self._timeout + call.waits
            if connection.sock is not None:
                connection.sock.settimeout(connection.timeout)
            path = self._address.prefix + call.path
            connection.request(call.method, path, call.body, request_headers(call, self._address))
            response = connection.getresponse()
            body = response.read()
            reusable = not response.will_close
        except (OSError, http.client.HTTPException) as error:
            raise away(self._address, error) from error
        finally:
            # Given up in the middle, what comes over it next would belong to this call.
            if reusable:
                self._idle.put(connection)
            else:
                connection.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def _take(self) -> http.client.HTTPConnection:
        """A kept connection that the server has not closed yet, else a new one: what was sent is never sent again."""
        if self._pid != os.getpid():
            # After a fork these are the parent's: two processes on one would read each other's answers.
            self._idle.forget()
            self._pid = os.getpid()
        kept = self._idle.take()
        if kept is not None:
            return kept
        address = self._address
        if address.tls:
            return http.client.HTTPSConnection(address.host, address.port, context=self._tls)
        return http.client.HTTPConnection(address.host, address.port)


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    return connection.sock is None or has_ended(connection.sock.fileno())
