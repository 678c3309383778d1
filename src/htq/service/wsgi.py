"""The middleware for WSGI: a cancel calls the callbacks, and cuts a stream off after its next part."""

import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from typing import Any

from htq.service.contract import REFUSED, REPLIES, WAIT_SECONDS, Reply, Ticket, read_wsgi
from htq.service.current import CURRENT
from htq.service.desk import Desk
from htq.service.registry import Registry
from htq.service.run import Run

__all__ = ["Canceled", "WsgiMiddleware"]

# The shapes of PEP 3333. `Any` is the server's: start_response returns a `write`, and may take an exc_info.
_Environ = dict[str, Any]
_StartResponse = Callable[..., Any]
_App = Callable[[Any, Any], Iterable[bytes]]


class Canceled(Exception):
    """Ends the stream of a canceled request: the server closes its connection, so that it doesn't look whole."""


class WsgiMiddleware:
    """Makes the requests that htq sends stoppable. Put it outermost: `app.wsgi_app = WsgiMiddleware(app.wsgi_app)`.

    `registry`: where there are several processes. `stop_on_disconnect`: `canceled()` is true as well when the client has
    gone away, under servers that let one look (gunicorn, waitress).
    """

    def __init__(self, app: _App, *, registry: Registry | None = None, stop_on_disconnect: bool = False) -> None:
        self._app = app
        self._desk = Desk(registry)
        self._stop_on_disconnect = stop_on_disconnect

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        sighting = read_wsgi(environ)
        if sighting is not None:
            ticket, is_stop = sighting
            if is_stop and environ["REQUEST_METHOD"] == "DELETE":
                # One with a broken id must not pass for a real deletion either.
                return _answer(start_response, self._stop(ticket) if ticket is not None else REPLIES["unknown"])
            if ticket is not None and not is_stop:
                return self._run(ticket, environ, start_response)
        return self._app(environ, start_response)

    def _stop(self, ticket: Ticket) -> Reply:
        stops = self._desk.cancel(ticket)
        wait(stops.futures, timeout=WAIT_SECONDS)
        return stops.reply()

    def _run(self, ticket: Ticket, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        run = Run(ticket, gone=_gone_by(environ) if self._stop_on_disconnect else None)
        begun = self._desk.begin(run)
        registered = isinstance(begun, Future)

        def end() -> None:
            self._desk.end(run, registered=registered)

        try:
            if isinstance(begun, Future):
                wait([begun], timeout=WAIT_SECONDS)
                begun = self._desk.may_start(begun)
            if not begun or run.is_asked():
                end()
                return _answer(start_response, REFUSED)
            context = copy_context()
            context.run(CURRENT.set, run)
            parts = context.run(self._app, environ, start_response)
        except BaseException:
            end()
            raise
        if isinstance(parts, list | tuple):  # complete: the work is done, and servers like to know its length
            end()
            return parts
        return _Parts(parts, run, context, end)


class _Parts:
    """The response of a run, which lasts until the server closes it. Each part is made in the context of the request."""

    def __init__(self, parts: Iterable[bytes], run: Run, context: Context, end: Callable[[], None]) -> None:
        self._parts = parts
        self._iterator: Iterator[bytes] | None = None
        self._begun = False
        self._run = run
        self._context = context
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = self._context.run(iter, self._parts)
        part = self._context.run(next, self._iterator)
        # After a part and not before it: a response of one part, such as that of a handler that saw the cancel, is whole.
        if self._begun and self._run.is_canceled():
            raise Canceled
        self._begun = True
        return part

    def close(self) -> None:
        try:
            close = getattr(self._parts, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._end()


def _answer(start_response: _StartResponse, reply: Reply) -> list[bytes]:
    start_response(f"{reply.status} {reply.phrase}", list(reply.headers))
    return [reply.body] if reply.body else []


def _gone_by(environ: _Environ) -> Callable[[], bool] | None:
    """How this server tells that the client has gone; None if it doesn't."""
    told = environ.get("waitress.client_disconnected")
    if callable(told):
        return lambda: bool(told())
    connection = environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        return lambda: _is_closed(connection)
    return None


def _is_closed(connection: socket.socket) -> bool:
    """Whether the peer has closed. A half-close counts, as it does in the ASGI servers."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ValueError:  # a TLS socket can't be peeked into
        return False
    except OSError:
        return True
