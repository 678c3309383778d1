"""The clients on a real server: a send whose answer is lost, batches, groups, queues, schedules, and what is done by hand."""

import asyncio
import itertools
import json
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from htq.api.server import ApiServer
from htq.client import AsyncClient, Client, NotFound, NotYet, Rejected, Unavailable, verbs
from htq.stores.base import Filter
from htq.words.states import STATES
from support.api import Api, api_over_sqlite

BOUND = 30.0
TASK: dict[str, Any] = {"url": "http://127.0.0.1:9/work"}

Ask = Callable[..., Awaitable[Any]]
"""Calls a verb by its name, which may be one of a part, such as `groups.wait`."""


class Served:
    """A server, and a way to it that loses as many answers as it is told to."""

    def __init__(self, api: Api, server: ApiServer) -> None:
        self.api = api
        self.losing = 0
        self.lost = 0
        self.url = ""
        self.direct = server.url
        self._port = server.port
        self._carrying: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def close(self) -> None:
        """Return when every connection has ended, at both ends."""
        while self._carrying:
            await asyncio.wait(self._carrying)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: what is asked goes to the server, and what it answers comes back or is lost."""
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        up = asyncio.ensure_future(self._up(reader, server_writer))
        try:
            while data := await server_reader.read(65536):
                if self.losing:
                    self.losing -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            up.cancel()
            for end in (server_writer, writer):
                end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def stored(self) -> list[str]:
        return (await self.api.store.select(Filter(statuses=STATES), None, 10_000)).uuids


@pytest.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[Served]:
    async with asyncio.timeout(BOUND), api_over_sqlite(tmp_path) as api:
        server = ApiServer(api.app, host="127.0.0.1", port=0, grace=2)
        await server.start()
        made = Served(api, server)
        way = await asyncio.start_server(made.accept, "127.0.0.1", 0)
        made.url = f"http://127.0.0.1:{way.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            way.close()
            await server.stop()
            await made.close()


@pytest.fixture(params=["blocking", "asyncio"])
async def ask(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Ask]:
    def verb_of(client: object, path: str) -> Any:
        for name in path.split("."):
            client = getattr(client, name)
        return client

    if request.param == "asyncio":
        async with AsyncClient(served.url, timeout=10) as client:
            yield lambda verb, *values, **named: verb_of(client, verb)(*values, **named)
    else:
        with Client(served.url, timeout=10) as blocking:
            yield lambda verb, *values, **named: asyncio.to_thread(verb_of(blocking, verb), *values, **named)


# --- what is lost on the way ----------------------------------------------------------------------


@pytest.mark.parametrize("losing", [1, 2])
async def test_a_send_whose_answer_is_lost_is_queued_once(served: Served, ask: Ask, losing: int) -> None:
    served.losing = losing
    task = await ask("send", **TASK)
    assert served.lost == losing
    assert await served.stored() == [task["uuid"]]


async def test_a_send_whose_answers_are_all_lost_is_unavailable_and_queued_once(served: Served, ask: Ask) -> None:
    served.losing = 3
    with pytest.raises(Unavailable):
        await ask("send", **TASK)
    assert len(await served.stored()) == 1


async def test_an_atomic_batch_whose_answer_is_lost_is_queued_once(served: Served, ask: Ask) -> None:
    served.losing = 1
    results = await ask("send_many", [TASK] * 3, atomic=True)
    assert [result["outcome"] for result in results] == ["replayed"] * 3
    assert await served.stored() == [result["uuid"] for result in results]


async def test_a_stream_whose_answer_is_lost_is_not_sent_again(served: Served, ask: Ask) -> None:
    served.losing = 1
    with pytest.raises(Unavailable):
        await ask("send_many", [TASK] * 3)
    assert len(await served.stored()) == 3


# --- batches --------------------------------------------------------------------------------------


async def test_many_are_sent_as_they_are_made(served: Served, ask: Ask) -> None:
    def tasks() -> Iterator[dict[str, Any]]:
        for number in range(2000):
            yield {**TASK, "data": b"\xff" if number % 2 else {"n": number}, "labels": {"n": str(number)}}
        yield {"url": "nowhere"}

    *results, last = await ask("send_many", tasks(), group="g")
    assert last["error"]["pointer"] == "/2000/url"
    assert [result["uuid"] for result in results] == await served.stored()
    tasks_there = await served.api.store.get([results[0]["uuid"], results[1]["uuid"]])
    assert [task.body for task in tasks_there if task is not None] == [b'{"n": 0}', b"\xff"]
    group = await ask("groups.get", "g")
    assert (group["total"], group["closed"]) == (2000, True)


@pytest.mark.parametrize("kind", [ConnectionResetError, TimeoutError, EOFError, KeyError])
@pytest.mark.parametrize("atomic", [False, True])
async def test_an_error_of_the_callers_own_is_not_taken_for_a_lost_connection(
    ask: Ask, kind: type[Exception], atomic: bool
) -> None:
    def tasks() -> Iterator[dict[str, Any]]:
        yield {**TASK, "data": "x" * 100_000}
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        await ask("send_many", tasks(), atomic=atomic)
    assert (await ask("send", **TASK))["status"] == "queued"


async def test_a_group_can_stay_open(ask: Ask) -> None:
    await ask("send_many", [TASK], group="g", close=False)
    await ask("send", **TASK, group="g")
    assert (await ask("groups.get", "g"))["total"] == 2


async def test_an_atomic_batch_that_is_refused_says_what_is_wrong(served: Served, ask: Ask) -> None:
    with pytest.raises(Rejected) as caught:
        await ask("send_many", [TASK, {"url": "x"}], atomic=True)
    assert [error["pointer"] for error in caught.value.errors] == ["/1/url"]
    assert await served.stored() == []


async def test_an_answer_before_the_end_of_the_stream_ends_the_sending(served: Served) -> None:
    endless: Iterator[dict[str, Any]] = ({**TASK, "data": "x" * 1000} for _ in itertools.count())
    with Client(served.direct, timeout=10) as client, pytest.raises(Rejected, match="group is a name"):
        await asyncio.to_thread(client.send_many, endless, group="/")
    async with AsyncClient(served.direct, timeout=10) as other:
        with pytest.raises(Rejected, match="group is a name"):
            await other.send_many(endless, group="/")


# --- one request ----------------------------------------------------------------------------------


async def test_a_request_that_was_sent_can_be_asked_itself(served: Served, ask: Ask) -> None:
    task = await ask("send", **TASK, delay=600)

    async def own(verb: str, *values: Any) -> Any:
        found = await asyncio.to_thread(getattr(task, verb), *values)
        return await found if asyncio.iscoroutine(found) else found

    assert task == await ask("request", task.uuid)
    assert await own("response") is None
    assert (await own("run_now"))["uuid"] == task.uuid
    with pytest.raises(NotYet):
        await own("wait", 0)
    await served.api.complete(b"first")
    assert (await own("wait"))["data"] == "first"
    assert (await own("retry"))["status"] == "queued"
    assert await own("status") == "queued"
    await served.api.complete(b"again")
    assert (await own("response"))["data"] == "again"
    await own("cancel")
    assert await own("status") == "canceled"
    with pytest.raises(Rejected) as caught:
        await own("retry")
    assert caught.value.status == 409


async def test_requests_are_found_by_filters_and_run_again(served: Served, ask: Ask) -> None:
    for number in range(3):
        await ask("send", **TASK, group="g", labels={"n": str(number)})
    await served.api.complete(code=None, reason="connect")
    assert len(await ask("requests", group="g")) == 2
    [failed] = await ask("requests", status="error", labels={"n": "0"})
    assert len(await ask("requests", status=["queued", "error"], limit=2)) == 2
    assert await ask("retry_all", group="g", dry_run=True) == 1
    assert await ask("retry_all", group="g") == 1
    assert await ask("status", failed["uuid"]) == "queued"


# --- groups, queues, schedules --------------------------------------------------------------------


async def test_a_group_is_awaited_and_canceled(served: Served, ask: Ask) -> None:
    with pytest.raises(NotFound):
        await ask("groups.get", "g")
    assert (await ask("groups.put", "g", callback="http://127.0.0.1:9/"))["closed"] is False
    await ask("send_many", [TASK] * 3, group="g")
    with pytest.raises(NotYet, match="the group g"):
        await ask("groups.wait", "g", 0)
    await served.api.complete()
    assert await ask("groups.cancel", "g", dry_run=True) == 2
    assert await ask("groups.cancel", "g", reason="enough") == 2
    group = await ask("groups.wait", "g")
    assert (group["complete"], group["counts"]["success"], group["counts"]["canceled"]) == (True, 1, 2)
    assert (await ask("groups.close", "other"))["complete"] is True


async def test_a_queue_is_said_what_holds_and_paused(ask: Ask) -> None:
    assert (await ask("queues.put", "mail", concurrency=5))["concurrency"] == 5
    assert (await ask("queues.pause", "mail"))["paused"] is True
    assert (await ask("queues.pause", "mail", seconds="1h"))["paused"] is True
    assert (await ask("queues.resume", "mail"))["paused"] is False
    assert [queue["name"] for queue in await ask("queues.all")] == ["mail"]
    assert (await ask("queues.get", "mail"))["concurrency"] == 5
    await ask("send", **TASK, queue="mail")
    with pytest.raises(Rejected):
        await ask("queues.delete", "mail")
    await ask("queues.delete", "mail", "cancel")
    with pytest.raises(NotFound):
        await ask("queues.get", "mail")


async def test_a_schedule_is_put_paused_and_deleted(ask: Ask) -> None:
    made = await ask("schedules.put", "nightly", TASK, cron="30 4 * * *", zone="Europe/Berlin")
    assert (made["task"]["url"], len(made["next"])) == (TASK["url"], 5)
    assert await ask("schedules.all") == [made]
    assert (await ask("schedules.pause", "nightly"))["paused"] is True
    assert await ask("schedules.resume", "nightly") == made
    assert await ask("schedules.get", "nightly") == made
    await ask("schedules.delete", "nightly")
    with pytest.raises(NotFound):
        await ask("schedules.get", "nightly")


# --- what goes over the wire ----------------------------------------------------------------------


def test_a_batch_is_lines_in_pieces_and_what_is_none_is_left_out() -> None:
    tasks: list[dict[str, Any]] = [
        {"url": "http://a/", "data": "\u00e4", "queue": None},
        {"url": "http://b/", "data": "x" * 100_000},
        {"url": "c"},
    ]
    call = next(verbs.send_many(iter(tasks), "g", False, False, "key"))
    assert (call.path, call.media, call.key) == ("/batch/?group=g&close=0", "application/x-ndjson", None)
    assert not isinstance(call.body, bytes)
    first, second = [[json.loads(line) for line in piece.splitlines()] for piece in call.body or ()]
    assert first == [{"url": "http://a/", "data": "\u00e4"}, tasks[1]]
    assert second == [tasks[2]]
    whole = next(verbs.send_many(iter(tasks), None, True, True, "key"))
    assert (whole.path, whole.key, isinstance(whole.body, bytes)) == ("/batch/?atomic=1", "key", True)
