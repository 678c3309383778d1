"""The blocking client, on `http.client`."""

import contextlib
import http.client
import os
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, Unpack

from htq.client import verbs
from htq.client.address import away, read_address, request_headers
from htq.client.exchange import Answer, Call, Result, SourceError, Verb, path_of
from htq.client.handles import Sent
from htq.client.idle import Idle, has_ended
from htq.client.options import Options
from htq.client.parts import Groups, Queues, Schedules

__all__ = ["REPEATS", "Client"]

REPEATS: Final = 2
"""Times that a call with a key is made again when its connection is lost before the answer."""


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
        self.groups = Groups(self._do)
        self.queues = Queues(self._do)
        self.schedules = Schedules(self._do)

    def send(
        self,
        /,
        url: str,
        method: str | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002 - the seed's name
        timeout: float | Mapping[str, float] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Sent:
        """Queue a request; the request as the server shows it, with its `uuid`, and methods that ask about it.

        `data` is a string, bytes, or what JSON can say; `options` are further fields of a request (`queue`, `delay`, …).
        Raises `Rejected` where a field can't be taken. Where the connection is lost before the answer it is asked for again,
        under a key by which the server knows it: so it is queued once. With an `idempotency_key` of yours that holds for every
        call with that key.
        """
        fields = verbs.fields_of(url, method, data, headers, id, timeout, options)
        return Sent(self._do(verbs.send(fields, idempotency_key or verbs.new_key())), self)

    def send_many(
        self,
        tasks: Iterable[Mapping[str, Any]],
        *,
        group: str | None = None,
        close: bool = True,
        atomic: bool = False,
        idempotency_key: str | None = None,
    ) -> list[dict[str, Any]]:
        """Queue many requests, each a mapping of its fields; what became of each, in order.

        That is `{"uuid", "outcome", "location"}`, or `{"error": {"detail", "pointer", …}}`. They go out as `tasks` gives them, and
        any number can. With a `group` they are put into it, and it is closed at the end, unless `close` is false. With
        `atomic` all of them are taken or none (at most 1,000): `Rejected` says in `errors` what is wrong, and a lost connection is
        no matter, as with `send`. Else what was sent when the connection was lost may be queued: give each an `idempotency_key` to
        be able to send them again.
        """
        return self._do(verbs.send_many(tasks, group, close, atomic, idempotency_key or verbs.new_key()))

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
        now = time.monotonic  # noqa: TID251 - the caller's clock, not the system's
        return self._do(verbs.wait(path_of(uuid, "response"), uuid, timeout, now))

    def cancel(self, uuid: str) -> None:
        """Cancel a request, whatever it is doing. Raises `NotFound`."""
        self._do(verbs.cancel(uuid))

    def retry(self, uuid: str) -> Sent:
        """Run a request again that has ended and was not canceled. Raises `NotFound`, and `Rejected` where that can't be."""
        return Sent(self._do(verbs.retry(uuid)), self)

    def run_now(self, uuid: str) -> Sent:
        """Let a request that waits for its time go out now. Raises `NotFound`, and `Rejected` where it has ended."""
        return Sent(self._do(verbs.run_now(uuid)), self)

    def cancel_all(
        self,
        *,
        dry_run: bool = False,
        reason: str | None = None,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> int:
        """Cancel what the filters take of the requests that are there now; how many are canceled by it.

        `filters`: `status` (one or several), `queue`, `key`, `host`, `id`, `group`, `since`, `until` (epoch milliseconds); with no
        status: what has not ended. At least one must be given, else `Rejected`. With `dry_run` it only says how many match.
        """
        return self._do(verbs.cancel_all(dry_run, reason, labels, filters))

    def retry_all(
        self,
        *,
        dry_run: bool = False,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> int:
        """Run again what the filters take of the requests that have ended; how many will. With no status: what failed."""
        return self._do(verbs.retry_all(dry_run, labels, filters))

    def purge(self, uuid: str) -> None:
        """Delete a request's response. Raises `NotFound` where there is none."""
        self._do(verbs.purge(uuid))

    def queued(self) -> list[dict[str, Any]]:
        """All requests that are queued and due, oldest first."""
        return self._do(verbs.listed(None, {}, None))

    def requests(
        self,
        *,
        limit: int | None = None,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        """The requests that the filters take, oldest first, `limit` at most; with no status: what is queued and due."""
        return self._do(verbs.listed(labels, filters, limit))

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
        except SourceError as source:
            raise source.error from source.error.__cause__

    def _make(self, call: Call) -> Answer:
        lost: Exception | None = None
        for _ in range(1 if call.key is None else 1 + REPEATS):
            try:
                connection = self._connected(call)
            except OSError as error:
                raise away(self._address, error) from error
            try:
                return self._exchange(connection, call)
            except (ConnectionError, http.client.HTTPException) as error:
                lost = error
            except OSError as error:
                raise away(self._address, error) from error
        assert lost is not None
        raise away(self._address, lost) from lost

    def _connected(self, call: Call) -> http.client.HTTPConnection:
        connection = self._take()
        connection.timeout = self._timeout + call.waits
        if connection.sock is None:
            connection.connect()
        else:
            connection.sock.settimeout(connection.timeout)
        return connection

    def _exchange(self, connection: http.client.HTTPConnection, call: Call) -> Answer:
        reusable = False
        try:
            path, headers = self._address.prefix + call.path, request_headers(call, self._address)
            body = call.body
            if body is None or isinstance(body, bytes):
                connection.request(call.method, path, body, headers)
            else:
                # It may have answered before the end of what was to be sent, and that answer be here.
                with contextlib.suppress(ConnectionError):
                    connection.request(
                        call.method, path, _until_answered(connection, body), headers, encode_chunked=True
                    )
            response = connection.getresponse()
            content = response.read()
            reusable = not response.will_close
        finally:
            # Given up in the middle, what comes over it next would belong to this call.
            if reusable:
                self._idle.put(connection)
            else:
                connection.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

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


def _until_answered(connection: http.client.HTTPConnection, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """`pieces`, broken off with a `ConnectionError` once the server has said something: it has heard enough."""
    for piece in pieces:
        yield piece
        if _has_ended(connection):
            raise ConnectionAbortedError


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    return connection.sock is None or has_ended(connection.sock.fileno())
