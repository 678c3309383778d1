"""The clients, blocking and asyncio: what they ask, and what they make of every kind of answer."""

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import htq
from htq.client import AsyncClient, Client, HtqClientError, NotFound, NotYet, Rejected, Unavailable
from htq.client.aio_parts import AsyncGroups, AsyncQueues, AsyncSchedules
from htq.client.handles import AsyncSent, Sent
from htq.client.parts import Groups, Queues, Schedules
from support.htq_process import HtqProcess
from support.target import FakeTarget, answer, hold, in_turn, raw, reset

BOUND = 20.0
UUID = "01890000-0000-7000-8000-000000000000"

Ask = Callable[..., Awaitable[Any]]
"""Calls a verb by its name."""


def reply(value: Any, code: int = 200, **headers: str) -> Any:
    fields = [("Content-Type", "application/json"), *((name.replace("_", "-"), text) for name, text in headers.items())]
    return answer(code, json.dumps(value).encode(), fields)


@pytest.fixture
async def server() -> AsyncIterator[FakeTarget]:
    async with asyncio.timeout(BOUND), FakeTarget() as target:
        yield target


@pytest.fixture(params=["blocking", "asyncio"])
async def ask(request: pytest.FixtureRequest, server: FakeTarget) -> AsyncIterator[Ask]:
    """A client of `server`, of either kind."""
    if request.param == "asyncio":
        async with AsyncClient(server.origin, timeout=5) as client:
            yield lambda verb, *values, **named: getattr(client, verb)(*values, **named)
    else:
        with Client(server.origin, timeout=5) as blocking:
            yield lambda verb, *values, **named: asyncio.to_thread(getattr(blocking, verb), *values, **named)


# --- what is asked --------------------------------------------------------------------------------


async def test_send_posts_what_was_given_and_nothing_else(server: FakeTarget, ask: Ask) -> None:
    server.on("/", reply({"uuid": UUID}, 303))
    task = await ask("send", "http://target/", data={"year": 2014}, timeout=5, queue="slow")
    assert task == {"uuid": UUID}
    [request] = server.received("/")
    assert request.method == "POST"
    assert request.header("content-type") == "application/json"
    assert json.loads(request.body) == {"url": "http://target/", "data": {"year": 2014}, "timeout": 5, "queue": "slow"}


@pytest.mark.parametrize("data", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
async def test_bytes_are_sent_as_base64(server: FakeTarget, ask: Ask, data: Any) -> None:
    server.on("/", reply({"uuid": UUID}, 303))
    await ask("send", "http://target/", data=data)
    assert json.loads(server.received("/")[0].body) == {"url": "http://target/", "data_base64": "AP8="}


async def test_an_empty_body_is_a_body(server: FakeTarget, ask: Ask) -> None:
    server.on("/", reply({"uuid": UUID}, 303))
    await ask("send", "http://target/", data="")
    assert json.loads(server.received("/")[0].body)["data"] == ""


async def test_a_uuid_cannot_leave_its_place_in_the_path(server: FakeTarget, ask: Ask) -> None:
    with pytest.raises(HtqClientError):
        await ask("request", "../queues/?x=1#y")
    assert server.received()[0].path == "/..%2Fqueues%2F%3Fx%3D1%23y/"


async def test_a_prefix_of_the_address_stands_before_every_path(server: FakeTarget) -> None:
    server.on("/queue/size/status/", reply({"status": "queued"}))
    async with AsyncClient(server.origin + "/queue/") as client:
        assert await client.status("size") == "queued"
    with Client(server.origin + "/queue/") as blocking:
        assert await asyncio.to_thread(blocking.status, "size") == "queued"


async def test_queued_follows_the_pages(server: FakeTarget, ask: Ask) -> None:
    first = reply(
        [{"uuid": "a"}], Link='<http://elsewhere/>; rel="self", <http://elsewhere/?cursor=x%3D&limit=1>; rel="next"'
    )
    server.on("/?limit=1000", first)
    server.on("/?cursor=x%3D&limit=1", reply([{"uuid": "b"}], Link='<http://elsewhere/>; rel="self"'))
    assert [task["uuid"] for task in await ask("queued")] == ["a", "b"]


async def test_size_is_the_sum_over_the_queues(server: FakeTarget, ask: Ask) -> None:
    server.on("/queues/", reply([{"name": "a", "queued": 2, "pending": 9}, {"name": "b", "queued": 3}]))
    assert await ask("size") == 5


async def test_cancel_all_gives_its_filters_as_the_server_spells_them(server: FakeTarget, ask: Ask) -> None:
    path = "/?status=queued&status=pending&queue=a%26b&since=5&label.team=a&reason=too+late"
    server.on(path, reply({"canceled": 3}), "DELETE")
    found = await ask(
        "cancel_all",
        status=["queued", "pending"],
        queue="a&b",
        since=5,
        key=None,
        labels={"team": "a"},
        reason="too late",
    )
    assert found == 3
    server.on("/?queue=a&dry_run=1", reply({"matching": 4}), "DELETE")
    assert await ask("cancel_all", queue="a", dry_run=True) == 4
    assert [request.method for request in server.received()] == ["DELETE", "DELETE"]


async def test_cancel_all_without_a_filter_is_refused_by_the_server(server: FakeTarget, ask: Ask) -> None:
    server.on("/?", reply({"detail": "give a filter"}, 400), "DELETE")
    with pytest.raises(Rejected, match="give a filter"):
        await ask("cancel_all")


# --- what comes back ------------------------------------------------------------------------------


async def test_response_is_none_while_there_is_none_and_does_not_block(server: FakeTarget, ask: Ask) -> None:
    server.on(f"/{UUID}/response/?wait=0", reply({"status": "pending"}, 202))
    assert await ask("response", UUID) is None


async def test_response_of_a_canceled_request_is_empty_and_not_none(server: FakeTarget, ask: Ask) -> None:
    server.on(f"/{UUID}/response/?wait=0", reply({}))
    assert await ask("response", UUID) == {}


async def test_wait_gives_up_when_its_time_is_over(server: FakeTarget, ask: Ask) -> None:
    server.on(f"/{UUID}/response/?wait=0", reply({"status": "pending"}, 202))
    with pytest.raises(NotYet) as caught:
        await ask("wait", UUID, 0)
    assert isinstance(caught.value, TimeoutError)


async def test_wait_asks_again_until_the_response_is_there(server: FakeTarget, ask: Ask) -> None:
    script = in_turn(reply({"status": "pending"}, 202), reply({"status": "success", "code": 200}))
    server.on(f"/{UUID}/response/?wait=30", script)
    assert (await ask("wait", UUID))["code"] == 200


@pytest.mark.parametrize(
    ("code", "kind"),
    [(404, NotFound), (422, Rejected), (409, Rejected), (500, Rejected), (503, Unavailable), (502, Unavailable)],
)
async def test_problems_become_errors_with_their_detail(
    server: FakeTarget, ask: Ask, code: int, kind: type[HtqClientError]
) -> None:
    problem = {"type": "/problems/x", "title": "X", "status": code, "detail": "say it so", "pointer": "/url"}
    fields = [("Content-Type", "application/problem+json"), ("Retry-After", "3")]
    server.on("/", answer(code, json.dumps(problem).encode(), fields))
    with pytest.raises(kind, match="say it so") as caught:
        await ask("send", "nonsense")
    error = caught.value
    if isinstance(error, Rejected):
        assert (error.status, error.pointer) == (code, "/url")
    if isinstance(error, Unavailable):
        assert error.retry_after == 3


@pytest.mark.parametrize(
    "script",
    [
        answer(200, b"<html>"),
        answer(200, b"[]"),
        answer(404, b"nothing"),
        answer(500, b'"x"', [("Content-Type", "application/json")]),
    ],
    ids=["html", "array", "bare 404", "a string for a problem"],
)
async def test_what_is_no_htq_server_is_an_error_of_ours(server: FakeTarget, ask: Ask, script: Any) -> None:
    server.on(f"/{UUID}/", script)
    with pytest.raises(HtqClientError):
        await ask("request", UUID)


@pytest.mark.parametrize(
    "script", [reset(), raw(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")], ids=["reset", "end", "short"]
)
async def test_a_connection_that_ends_is_a_server_that_is_away_and_is_not_asked_again(
    server: FakeTarget, ask: Ask, script: Any
) -> None:
    server.on(f"/{UUID}/", script)
    with pytest.raises(Unavailable):
        await ask("cancel", UUID)
    assert len(server.received()) == 1


@pytest.mark.parametrize(
    "script",
    [reset(), raw(b""), raw(b"HTTP/1.1 303 See Other\r\nContent-Length: 9\r\n\r\n{")],
    ids=["reset", "end", "short"],
)
async def test_a_send_whose_answer_is_lost_is_asked_for_again_with_the_same_key(
    server: FakeTarget, ask: Ask, script: Any
) -> None:
    server.on("/", in_turn(script, script, reply({"uuid": UUID}, 303)))
    assert await ask("send", "http://target/") == {"uuid": UUID}
    requests = server.received()
    assert len(requests) == 3
    assert len({(request.header("idempotency-key"), request.body) for request in requests}) == 1
    assert len({request.connection_id for request in requests}) == 3
    await ask("send", "http://target/")
    assert server.received()[-1].header("idempotency-key") != requests[0].header("idempotency-key")


async def test_a_send_is_given_up_after_two_more_tries(server: FakeTarget, ask: Ask) -> None:
    server.on("/", reset())
    with pytest.raises(Unavailable):
        await ask("send", "http://target/", idempotency_key="mine")
    assert [request.header("idempotency-key") for request in server.received()] == ['"mine"'] * 3


async def test_an_answer_that_takes_too_long_is_not_asked_for_again(server: FakeTarget) -> None:
    server.on("/", hold())
    async with AsyncClient(server.origin, timeout=0.3) as client:
        with pytest.raises(Unavailable):
            await client.send("http://target/")
    with Client(server.origin, timeout=0.3) as blocking, pytest.raises(Unavailable):
        await asyncio.to_thread(blocking.send, "http://target/")
    await server.all_disconnected()
    assert len(server.received()) <= 2  # one each, if a busy machine let it arrive at all


async def test_chunked_and_unframed_answers_are_read(server: FakeTarget, ask: Ask) -> None:
    chunked = raw(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\nX: y\r\n\r\n'
    )
    server.on("/a/", chunked)
    server.on("/b/", raw(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{"b":2}'))
    assert await ask("request", "a") == {"a": 1}
    assert await ask("request", "b") == {"b": 2}


async def test_a_large_answer_is_read_whole(server: FakeTarget, ask: Ask) -> None:
    server.on("/?limit=1000", reply([{"data": "x" * 3_000_000}]))
    assert len((await ask("queued"))[0]["data"]) == 3_000_000


async def test_an_unreadable_flood_is_an_error_of_ours(server: FakeTarget) -> None:
    server.on("/x/", raw(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 30_000))
    async with AsyncClient(server.origin) as client:
        with pytest.raises(HtqClientError):
            await client.request("x")


async def test_without_a_server_the_client_says_where_it_looked() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        await AsyncClient("http://127.0.0.1:1").size()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        Client("http://127.0.0.1:1").size()


async def test_a_server_that_does_not_answer_is_given_up(server: FakeTarget) -> None:
    server.on("/queues/", hold())
    async with AsyncClient(server.origin, timeout=0.05) as client:
        with pytest.raises(Unavailable):
            await client.size()
    with Client(server.origin, timeout=0.05) as blocking, pytest.raises(Unavailable):
        await asyncio.to_thread(blocking.size)
    await server.all_disconnected()


# --- connections ----------------------------------------------------------------------------------


async def test_a_connection_is_used_again(server: FakeTarget, ask: Ask) -> None:
    server.on(f"/{UUID}/status/", reply({"status": "queued"}))
    for _ in range(3):
        await ask("status", UUID)
    assert len({request.connection_id for request in server.received()}) == 1


async def test_a_connection_that_the_server_closed_is_not_used_again(server: FakeTarget, ask: Ask) -> None:
    body = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"status":"queued"}'
    server.on(f"/{UUID}/status/", raw(body))
    assert await ask("status", UUID) == "queued"
    await server.all_disconnected()
    assert await ask("status", UUID) == "queued"
    assert len({request.connection_id for request in server.received()}) == 2


async def test_an_idle_connection_is_used_for_a_second_and_those_beneath_it_are_closed_then(
    server: FakeTarget, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("htq.client.idle.monotonic", lambda: now)
    server.on("/burst/", hold(reply({"uuid": UUID})))
    server.on(f"/{UUID}/status/", reply({"status": "queued"}))
    burst = [asyncio.ensure_future(ask("request", "burst")) for _ in range(4)]
    await server.arrived("/burst/", count=4)
    for request in server.received("/burst/"):
        request.release()
    await asyncio.gather(*burst)
    now += 0.9
    await ask("status", UUID)
    assert server.open_connections == 4
    [used] = {request.connection_id for request in server.received(f"/{UUID}/status/")}
    now += 0.9
    await ask("status", UUID)
    for request in server.received("/burst/"):
        if request.connection_id != used:
            await request.disconnected()
    assert server.open_connections == 1
    now += 1.1
    await ask("status", UUID)
    first, second, third = (request.connection_id for request in server.received(f"/{UUID}/status/"))
    assert first == second == used
    assert third not in {request.connection_id for request in server.received("/burst/")}


async def test_many_calls_at_once_each_get_their_own_answer(server: FakeTarget, ask: Ask) -> None:
    for number in range(40):
        server.on(f"/{number}/", reply({"number": number}))
    found = await asyncio.gather(*(ask("request", str(number)) for number in range(40)))
    assert [answer["number"] for answer in found] == list(range(40))


async def test_a_canceled_wait_closes_its_connection(server: FakeTarget) -> None:
    server.on(f"/{UUID}/response/?wait=30", hold())
    async with AsyncClient(server.origin) as client:
        waiting = asyncio.create_task(client.wait(UUID))
        await server.arrived()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.all_disconnected()


async def test_a_server_behind_tls_is_asked_and_its_certificate_checked() -> None:
    async with asyncio.timeout(BOUND), FakeTarget(tls=True) as server:
        server.on(f"/{UUID}/status/", reply({"status": "queued"}))
        trusted = server.client_context()
        async with AsyncClient(server.origin, tls=trusted) as client:
            assert [await client.status(UUID), await client.status(UUID)] == ["queued", "queued"]
        with Client(server.origin, tls=trusted) as blocking:
            assert [await asyncio.to_thread(blocking.status, UUID) for _ in range(2)] == ["queued", "queued"]
        assert len({request.connection_id for request in server.received()}) == 2
        with pytest.raises(Unavailable):
            await AsyncClient(server.origin).status(UUID)
        with pytest.raises(Unavailable):
            await asyncio.to_thread(Client(server.origin).status, UUID)
        assert len(server.received()) == 4


async def test_closing_lets_go_of_the_connection(server: FakeTarget) -> None:
    server.on(f"/{UUID}/status/", reply({"status": "queued"}))
    with Client(server.origin) as client:
        await asyncio.to_thread(client.status, UUID)
    async with AsyncClient(server.origin) as other:
        await other.status(UUID)
    await server.all_disconnected()


# --- the address ----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://a", "http://", "http://a:x", "http://[::1", "http://a:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://<host>:<port>"):
        Client(url)


async def test_the_address_comes_from_the_environment(server: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on("/queues/", reply([]))
    monkeypatch.setenv("HTQ_URL", server.origin)
    async with AsyncClient() as client:
        assert await client.size() == 0


# --- the module -----------------------------------------------------------------------------------


def test_all_public_names_are_there() -> None:
    assert {name for name in htq.__all__ if not hasattr(htq, name)} == set()
    assert set(htq.__all__) <= set(dir(htq))


def test_every_public_name_is_on_the_page_of_the_client() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "python.md").read_text()
    for name in set(htq.__all__) - {"__version__"}:
        assert f"`{name}(" in page or f"`{name}`" in page or f"import {name}\n" in page, name


def test_both_clients_have_the_same_verbs_with_the_same_signatures() -> None:
    pairs = ((Client, AsyncClient), (Sent, AsyncSent), (Groups, AsyncGroups), (Queues, AsyncQueues))
    for blocking, other in (*pairs, (Schedules, AsyncSchedules)):
        verbs = {name for name in vars(blocking) if not name.startswith("_")}
        assert verbs == {name for name in vars(other) if not name.startswith("_")}
        for name in verbs - {"uuid"}:
            ours, theirs = (inspect.signature(getattr(cls, name)) for cls in (blocking, other))
            assert ours.parameters == theirs.parameters, name
            assert str(ours.return_annotation) == str(theirs.return_annotation).replace("Async", ""), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="celery"):
        _ = htq.celery  # type: ignore[attr-defined]


def test_importing_htq_loads_next_to_nothing() -> None:
    program = "import sys; before = set(sys.modules); import htq; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND, check=True)
    loaded = set(run.stdout.split())
    assert "htq" in loaded
    heavy = {
        "asyncio",
        "http",
        "json",
        "msgspec",
        "uvicorn",
        "apsw",
        "redis",
        "ssl",
        "argparse",
        "logging",
        "htq.client",
    }
    assert not loaded & heavy


# --- end to end -----------------------------------------------------------------------------------


async def test_the_verbs_work_on_a_real_queue(tmp_path: Path) -> None:
    async with asyncio.timeout(60), FakeTarget() as target, HtqProcess("up", "--port", "0", folder=tmp_path) as process:
        target.on("/fast", answer(200, b"\x00\xff"))
        target.on("/slow", hold())
        url = await process.url()
        async with AsyncClient(url) as client:
            task = await client.send(target.url("/fast"), data=b"\x80", headers={"X-A": "b"}, labels={"team": "a"})
            assert task["status"] in ("queued", "pending", "success")
            response = await client.wait(task["uuid"], 20)
            assert (response["status"], response["code"], response["data_base64"]) == ("success", 200, "AP8=")
            assert await client.response(task["uuid"]) == response
            assert target.received("/fast")[0].body == b"\x80"
            assert (await client.request(task["uuid"]))["url"] == target.url("/fast")
            await client.purge(task["uuid"])
            with pytest.raises(NotFound):
                await client.response(task["uuid"])

            slow = await client.send(target.url("/slow"), method="post")
            request = await target.arrived("/slow")
            assert await client.status(slow["uuid"]) == "pending"
            assert await client.response(slow["uuid"]) is None
            await client.cancel(slow["uuid"])
            assert await client.status(slow["uuid"]) == "canceled"
            assert await client.wait(slow["uuid"], 20) == {}
            await request.disconnected()

            with pytest.raises(Rejected) as caught:
                await client.send("gopher://x")
            assert caught.value.pointer == "/url"
            with pytest.raises(NotFound):
                await client.status(UUID)
            later = await client.send(target.url("/fast"), delay=600)
            assert await client.status(later["uuid"]) == "queued"
            assert await client.queued() == []
            assert await client.size() == 0
            assert await client.cancel_all(status="scheduled", dry_run=True) == 1
            assert await client.cancel_all(status="scheduled") == 1
            assert await client.status(later["uuid"]) == "canceled"
            with pytest.raises(Rejected):
                await client.cancel_all()


async def test_the_seeds_module_verbs_work_on_the_server_of_the_environment(tmp_path: Path) -> None:
    program = """
import htq
task = htq.send("http://127.0.0.1:9/", method="post", data={"a": 1}, headers={"X": "y"}, id="one", timeout=5)
print(htq.status(task["uuid"]), htq.request(task["uuid"])["method"], htq.response(task["uuid"]), htq.size())
print([found["uuid"] == task["uuid"] for found in htq.queued()])
again = htq.send("http://127.0.0.1:9/", id="one")
print(htq.status(task["uuid"]), htq.status(again["uuid"]))
htq.cancel(again["uuid"])
print(htq.status(again["uuid"]), htq.response(again["uuid"]))
"""
    async with asyncio.timeout(60), HtqProcess("server", "--port", "0", folder=tmp_path) as process:
        url = await process.url()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env={"HTQ_URL": url}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await child.communicate()
    assert output.decode().splitlines() == ["queued post None 1", "[True]", "canceled queued", "canceled {}"]
