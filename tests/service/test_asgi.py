"""The ASGI middleware around small applications, without a server."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from htq.service import AsgiMiddleware, canceled, on_cancel

pytestmark = pytest.mark.timeout(20)

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

TASK = b"0196f5c0-1111-7222-8333-444455556666"
REQUEST = ((b"htq-task-id", TASK), (b"htq-attempt", b"1"))
STOP = (*REQUEST, (b"htq-cancel", b"requested"))


class Call:
    """One request to an application, and what it sends back."""

    def __init__(self, app: Any, method: str = "POST", headers: tuple[tuple[bytes, bytes], ...] = REQUEST) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self._body: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": False}]
        scope = {"type": "http", "method": method, "path": "/", "headers": list(headers)}
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.sent if message["type"] == "http.response.start"), None)

    @property
    def proof(self) -> bool:
        return any((b"htq-cancel", b"stopped") in message.get("headers", ()) for message in self.sent)


async def respond(send: Send, body: bytes = b"done", status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Handler:
    """Works until it is canceled, or released."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.release = asyncio.Event()
        self.was_canceled = False
        self.runs = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.runs += 1
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.was_canceled = canceled()
            raise
        finally:
            self.ended.set()
        await respond(send)


async def test_a_stop_cancels_the_task_and_its_finally_has_run_before_the_answer() -> None:
    handler = Handler()
    app = AsgiMiddleware(handler)
    run = Call(app)
    await handler.begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (204, True)
    assert handler.ended.is_set()
    assert handler.was_canceled
    await run.task
    assert run.status == 499


async def test_a_request_that_ends_by_itself_is_not_touched_and_a_late_stop_finds_nothing() -> None:
    handler = Handler()
    app = AsgiMiddleware(handler)
    run = Call(app)
    handler.release.set()
    await run.task
    assert run.status == 200
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (404, False)


async def test_a_handler_that_ignores_its_cancel_is_still_stopping() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def stubborn(scope: Message, receive: Receive, send: Send) -> None:
        begun.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        await respond(send)

    app = AsgiMiddleware(stubborn)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (202, False)
    release.set()
    await run.task
    again = Call(app, "DELETE", STOP)
    await again.task
    assert (again.status, again.proof) == (204, True)


async def test_a_request_that_comes_after_its_own_stop_is_refused_and_not_run() -> None:
    handler = Handler()
    app = AsgiMiddleware(handler)
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert stop.status == 404
    run = Call(app)
    await run.task
    assert run.status == 409
    assert handler.runs == 0


@pytest.mark.parametrize("header", [b"authorization", b"cookie"])
async def test_a_stop_without_the_credentials_of_the_request_is_unknown(header: bytes) -> None:
    handler = Handler()
    app = AsgiMiddleware(handler)
    run = Call(app, headers=(*REQUEST, (header, b"secret")))
    await handler.begun.wait()
    for more in ((), ((header, b"other"),)):
        stop = Call(app, "DELETE", (*STOP, *more))
        await stop.task
        assert (stop.status, stop.proof) == (404, False)
    assert not handler.ended.is_set()
    stop = Call(app, "DELETE", (*STOP, (header, b"secret")))
    await stop.task
    assert stop.status == 204
    await run.task


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("DELETE", ()),
        ("DELETE", ((b"htq-cancel", b"requested"),)),
        ("DELETE", (STOP[0], STOP[2])),
        ("DELETE", REQUEST),
        ("POST", STOP),
    ],
)
async def test_what_is_no_stop_reaches_the_application(method: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    handler = Handler()
    handler.release.set()
    call = Call(AsgiMiddleware(handler), method, headers)
    await call.task
    assert call.status == 200
    assert handler.runs == 1


async def test_a_stop_with_a_broken_id_is_never_taken_for_a_deletion() -> None:
    handler = Handler()
    stop = Call(AsgiMiddleware(handler), "DELETE", ((b"htq-task-id", b"?"), *STOP[1:]))
    await stop.task
    assert stop.status == 404
    assert handler.runs == 0


async def test_of_ten_tasks_on_one_url_only_the_named_one_stops() -> None:
    handlers = [Handler() for _ in range(10)]

    async def route(scope: Message, receive: Receive, send: Send) -> None:
        number = int(dict(scope["headers"])[b"number"])
        await handlers[number](scope, receive, send)

    app = AsgiMiddleware(route)
    calls = [
        Call(app, headers=((b"htq-task-id", b"task-%d" % n), (b"htq-attempt", b"1"), (b"number", b"%d" % n)))
        for n in range(10)
    ]
    for handler in handlers:
        await handler.begun.wait()
    stop = Call(app, "DELETE", ((b"htq-task-id", b"task-3"), *STOP[1:]))
    await stop.task
    assert stop.status == 204
    assert [handler.ended.is_set() for handler in handlers] == [n == 3 for n in range(10)]
    for handler in handlers:
        handler.release.set()
    await asyncio.gather(*(call.task for call in calls))
    assert [call.status for call in calls] == [499 if n == 3 else 200 for n in range(10)]


async def test_a_response_that_has_begun_is_left_unfinished() -> None:
    begun = asyncio.Event()

    async def stream(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        begun.set()
        await asyncio.Event().wait()

    app = AsgiMiddleware(stream)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert stop.status == 204
    await run.task
    assert run.sent[-1]["more_body"] is True


async def test_a_function_in_a_thread_is_still_stopping_and_stopped_when_it_has_returned() -> None:
    begun, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def in_thread() -> None:
        loop.call_soon_threadsafe(begun.set)
        release.wait(20)

    async def endpoint(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(in_thread)
        await respond(send)

    app = AsgiMiddleware(endpoint)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (202, False)
    assert run.status == 499
    release.set()
    await run.task
    again = Call(app, "DELETE", STOP)
    await again.task
    assert (again.status, again.proof) == (204, True)


async def test_a_function_in_a_thread_that_looks_at_canceled_is_stopped() -> None:
    begun, looked = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def in_thread() -> None:
        loop.call_soon_threadsafe(begun.set)
        while not canceled():
            looked.wait(0.005)

    async def endpoint(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(in_thread)

    app = AsgiMiddleware(endpoint)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (204, True)
    await run.task


async def test_a_task_that_the_handler_leaves_behind_is_still_stopping() -> None:
    begun, release = asyncio.Event(), asyncio.Event()
    left: list[asyncio.Task[bool]] = []

    async def leaves(scope: Message, receive: Receive, send: Send) -> None:
        left.append(asyncio.ensure_future(release.wait()))
        begun.set()
        await asyncio.wait(left)

    app = AsgiMiddleware(leaves)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (202, False)
    release.set()
    await run.task


async def test_an_application_that_listens_for_a_disconnect_ends_by_it() -> None:
    """As Django does: the work is in a child task, which a cancel of its own task would leave behind."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def view() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def listens(scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        work = asyncio.ensure_future(view())
        gone = asyncio.ensure_future(receive())
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        assert gone.result() == {"type": "http.disconnect"}
        work.cancel()
        await asyncio.wait([work])

    app = AsgiMiddleware(listens)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (204, True)
    assert ended.is_set()
    await run.task


async def test_a_listener_that_does_nothing_does_not_prevent_the_cancel() -> None:
    handler = Handler()

    async def listens(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        async with asyncio.TaskGroup() as group:
            group.create_task(receive())  # type: ignore[arg-type]
            await handler(scope, receive, send)

    app = AsgiMiddleware(listens)
    run = Call(app)
    await handler.begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert (stop.status, stop.proof) == (204, True)
    assert handler.ended.is_set()
    await run.task


async def test_an_async_callback_runs_on_the_loop_and_is_waited_for_when_its_block_is_left() -> None:
    begun = asyncio.Event()
    order: list[str] = []

    async def stop_it() -> bool:
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.01)
        order.append("stopped")
        return True

    async def endpoint(scope: Message, receive: Receive, send: Send) -> None:
        try:
            async with on_cancel(stop_it):
                begun.set()
                await asyncio.Event().wait()
        finally:
            order.append("left")

    app = AsgiMiddleware(endpoint)
    run = Call(app)
    await begun.wait()
    stop = Call(app, "DELETE", STOP)
    await stop.task
    assert stop.status == 204
    await run.task
    assert order == ["stopped", "left"]


async def test_an_async_callback_is_not_taken_with_a_plain_with() -> None:
    async def stop_it() -> None: ...

    with pytest.raises(TypeError, match="async with"), on_cancel(stop_it):
        pass


async def test_a_client_that_goes_away_stops_the_handler_where_asked() -> None:
    handler = Handler()
    run = Call(AsgiMiddleware(handler, stop_on_disconnect=True))
    await handler.begun.wait()
    run.gone.set()
    await run.task
    assert handler.was_canceled


async def test_a_client_that_goes_away_stops_nothing_where_not_asked() -> None:
    handler = Handler()
    run = Call(AsgiMiddleware(handler))
    await handler.begun.wait()
    run.gone.set()
    handler.release.set()
    await run.task
    assert run.status == 200


async def test_what_a_handler_does_after_its_response_is_not_stopped_by_a_disconnect() -> None:
    finished = asyncio.Event()
    responded = asyncio.Event()

    async def endpoint(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await respond(send)
        responded.set()
        assert (await receive())["type"] == "http.disconnect"
        finished.set()

    run = Call(AsgiMiddleware(endpoint, stop_on_disconnect=True))
    await responded.wait()
    run.gone.set()
    await run.task
    assert finished.is_set()


async def test_the_server_can_still_cancel_a_request_itself() -> None:
    handler = Handler()
    run = Call(AsgiMiddleware(handler))
    await handler.begun.wait()
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.task
    assert handler.ended.is_set()
    assert run.sent == []


async def test_an_error_of_the_handler_reaches_the_server() -> None:
    async def fails(scope: Message, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Call(AsgiMiddleware(fails)).task


async def test_outside_of_a_request_of_htq_nothing_is_ever_canceled() -> None:
    async def endpoint(scope: Message, receive: Receive, send: Send) -> None:
        with on_cancel(lambda: None):
            await respond(send, status=418 if canceled() else 200)

    call = Call(AsgiMiddleware(endpoint), headers=())
    await call.task
    assert call.status == 200


async def test_a_thousand_stops_at_once_are_all_answered_and_nothing_is_left() -> None:
    begun = 0
    all_begun = asyncio.Event()

    async def endpoint(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        if begun == 1000:
            all_begun.set()
        async with asyncio.timeout(600):  # leaves a timer behind that holds the request's context
            await asyncio.Event().wait()

    app = AsgiMiddleware(endpoint)
    heads = [((b"htq-task-id", b"task-%d" % n), (b"htq-attempt", b"1")) for n in range(1000)]
    runs = [Call(app, headers=head) for head in heads]
    await all_begun.wait()
    stops = [Call(app, "DELETE", (*head, STOP[2])) for head in heads]
    await asyncio.gather(*(call.task for call in (*stops, *runs)))
    assert {stop.status for stop in stops} == {204}
    assert {run.status for run in runs} == {499}
    assert app._desk._runs._running == {}
