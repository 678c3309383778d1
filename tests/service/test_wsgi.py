"""The WSGI middleware around small applications, without a server."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from htq.service import Canceled, WsgiMiddleware, canceled, on_cancel

pytestmark = pytest.mark.timeout(20)

REQUEST = {"HTTP_HTQ_TASK_ID": "0196f5c0-1111-7222-8333-444455556666", "HTTP_HTQ_ATTEMPT": "1"}
STOP = {**REQUEST, "HTTP_HTQ_CANCEL": "requested"}

StartResponse = Callable[..., Any]
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Call:
    """One request to an application, in the thread of the caller."""

    def __init__(self, app: Any, method: str = "POST", fields: Mapping[str, object] | None = None) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        environ = {"REQUEST_METHOD": method, **(REQUEST if fields is None else fields)}
        self.parts = app(environ, self._start_response)

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        self.status = int(status.split()[0])
        self.headers = headers

    def finish(self) -> "Call":
        try:
            self.body = b"".join(self.parts)
        finally:
            close = getattr(self.parts, "close", None)
            if close is not None:
                close()
        return self

    @property
    def proof(self) -> bool:
        return ("HTQ-Cancel", "stopped") in self.headers


def stop(app: object, **more: str) -> Call:
    return Call(app, "DELETE", {**STOP, **more}).finish()


class Handler:
    """Works in its thread until it is stopped, or released. It says that it has stopped if `proof`."""

    def __init__(self, *, proof: bool | None = True) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.proof = proof

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        with on_cancel(self.stop):
            self.begun.set()
            self.go_on.wait(20)
        start_response("499 Canceled" if canceled() else "200 OK", [])
        return [b"done"]

    def stop(self) -> bool | None:
        if self.proof:
            self.go_on.set()
        return self.proof


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def begin(threads: ThreadPoolExecutor, app: object, handler: Handler) -> "Future[Call]":
    future = threads.submit(lambda: Call(app).finish())
    assert handler.begun.wait(20)
    return future


def test_a_stop_calls_the_callback_and_says_stopped_when_that_does(threads: ThreadPoolExecutor) -> None:
    handler = Handler()
    app = WsgiMiddleware(handler)
    run = begin(threads, app, handler)
    answer = stop(app)
    assert (answer.status, answer.proof) == (204, True)
    assert run.result(20).status == 499


def test_a_handler_that_goes_on_is_still_stopping_and_stopped_when_it_ends(threads: ThreadPoolExecutor) -> None:
    handler = Handler(proof=None)
    app = WsgiMiddleware(handler)
    run = begin(threads, app, handler)
    answer = stop(app)
    assert (answer.status, answer.proof) == (202, False)
    handler.go_on.set()
    run.result(20)
    again = stop(app)
    assert (again.status, again.proof) == (204, True)


def test_a_request_that_comes_after_its_own_stop_is_refused_and_not_run() -> None:
    handler = Handler()
    app = WsgiMiddleware(handler)
    assert stop(app).status == 404
    assert Call(app).finish().status == 409
    assert not handler.begun.is_set()


@pytest.mark.parametrize("field", ["HTTP_AUTHORIZATION", "HTTP_COOKIE"])
def test_a_stop_without_the_credentials_of_the_request_is_unknown(field: str, threads: ThreadPoolExecutor) -> None:
    handler = Handler()
    app = WsgiMiddleware(handler)
    run = threads.submit(lambda: Call(app, fields={**REQUEST, field: "secret"}).finish())
    assert handler.begun.wait(20)
    assert stop(app).status == 404
    assert stop(app, **{field: "other"}).status == 404
    assert stop(app, **{field: "secret"}).status == 204
    assert run.result(20).status == 499


@pytest.mark.parametrize(("method", "fields"), [("DELETE", {}), ("DELETE", REQUEST), ("POST", STOP)])
def test_what_is_no_stop_reaches_the_application(method: str, fields: dict[str, str]) -> None:
    handler = Handler()
    handler.go_on.set()
    assert Call(WsgiMiddleware(handler), method, fields).finish().status == 200


def test_a_stop_with_a_broken_id_is_never_taken_for_a_deletion() -> None:
    handler = Handler()
    assert stop(WsgiMiddleware(handler), HTTP_HTQ_TASK_ID="?").status == 404
    assert not handler.begun.is_set()


class Stream:
    """A response in parts, which knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False
        self.seen: list[bool] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        return self._parts()

    def _parts(self) -> Iterator[bytes]:
        try:
            for number in range(1000):
                self.seen.append(canceled())
                yield b"%d" % number
        finally:
            self.closed = True


def test_a_stream_is_running_until_it_is_closed_and_is_cut_by_a_stop() -> None:
    stream = Stream()
    app = WsgiMiddleware(stream)
    run = Call(app)
    assert next(run.parts) == b"0"
    assert stop(app).status == 202
    with pytest.raises(Canceled):
        next(run.parts)
    run.parts.close()
    assert stream.closed
    assert stream.seen == [False, True]  # its parts are made in the context of the request
    assert (stop(app).status, stop(app).proof) == (204, True)


def test_a_stream_that_was_read_to_its_end_is_not_running() -> None:
    app = WsgiMiddleware(Stream())
    Call(app).finish()
    assert stop(app).status == 404


def test_a_response_in_one_part_that_the_handler_made_of_the_cancel_is_whole() -> None:
    def endpoint(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        stop(app)
        start_response("499 Canceled", [])
        return iter([b"canceled"])

    app = WsgiMiddleware(endpoint)
    assert Call(app).finish().body == b"canceled"


def test_an_error_of_the_application_ends_the_run() -> None:
    def fails(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    app = WsgiMiddleware(fails)
    with pytest.raises(ZeroDivisionError):
        Call(app)
    assert stop(app).status == 404


def test_canceled_is_true_when_the_client_has_gone_where_asked() -> None:
    ours, theirs = socket.socketpair()
    seen: list[bool] = []

    def endpoint(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        seen.append(canceled())
        theirs.close()
        seen.append(canceled())
        start_response("200 OK", [])
        return [b""]

    with ours:
        fields = {**REQUEST, "gunicorn.socket": ours}
        Call(WsgiMiddleware(endpoint, stop_on_disconnect=True), fields=fields).finish()
        Call(WsgiMiddleware(endpoint), fields=fields).finish()
    assert seen == [False, True, False, False]


def test_outside_of_a_request_of_htq_nothing_is_ever_canceled() -> None:
    handler = Handler()
    handler.go_on.set()
    assert Call(WsgiMiddleware(handler), fields={}).finish().status == 200
