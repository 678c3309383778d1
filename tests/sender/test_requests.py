"""What goes out, byte for byte, and over which connection."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from htq.sender import BodyStream, Exchange, HttpSender
from htq.words.errors import SendError
from support.target import FakeTarget, answer, early, hold, raw
from support.wire import message, stream


async def test_the_request_goes_out_as_given(sender: HttpSender, target: FakeTarget) -> None:
    headers = (("X-B", "1"), ("x-a", "caf\xe9"), ("X-B", "2"))
    await sender.send(message(target.url("/a%2Fb/%7e?q=%20&q"), "POST", headers=headers, body=b"\x00\xff"), Exchange())
    request = target.requests[0]
    assert request.path == "/a%2Fb/%7e?q=%20&q"
    assert request.headers == [("Host", f"127.0.0.1:{target.port}"), *headers, ("Content-Length", "2")]
    assert request.body == b"\x00\xff"


@pytest.mark.parametrize(("method", "framed"), [("GET", False), ("DELETE", False), ("POST", True), ("PUT", True)])
async def test_a_request_without_a_body_is_framed_only_where_one_is_expected(
    sender: HttpSender, target: FakeTarget, method: str, framed: bool
) -> None:
    await sender.send(message(target.url(), method), Exchange())
    assert target.requests[0].header("content-length") == ("0" if framed else None)


@pytest.mark.parametrize(
    "headers",
    [
        (("X", "a\r\nEvil: 1"),),
        (("X", "a\nb"),),
        (("X\r\n", "a"),),
        (("X", "a\0b"),),
        (("X", "\u20ac"),),
        (("Transfer-Encoding", "chunked"),),
        (("content-length", "3"),),
        (("HOST", "elsewhere"),),
        (("Connection", "close"),),
    ],
)
async def test_a_message_that_would_smuggle_another_is_never_written(
    sender: HttpSender, target: FakeTarget, headers: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), headers=headers), Exchange())
    assert (caught.value.reason, caught.value.sent) == ("protocol", False)
    assert target.connections == 0


@pytest.mark.parametrize("method", ["GE T", "GET\r\nX: y", "CONNECT", "TRACE", ""])
async def test_a_method_that_is_no_token_is_never_written(sender: HttpSender, target: FakeTarget, method: str) -> None:
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), method), Exchange())
    assert caught.value.reason == "protocol"
    assert target.connections == 0


@pytest.mark.parametrize("size", [1, 65536, 65537, 3_000_000])
async def test_bodies_of_any_size_arrive_whole(sender: HttpSender, target: FakeTarget, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    exchange = Exchange()
    await sender.send(message(target.url(), "POST", body=body[:size]), exchange)
    assert target.requests[0].body == body[:size]
    assert exchange.bytes_sent > size


async def test_a_streamed_body_arrives_whole(sender: HttpSender, target: FakeTarget) -> None:
    chunks = [bytes([n]) * 200_000 for n in range(10)]
    await sender.send(message(target.url(), "PUT", body=stream(*chunks)), Exchange())
    assert target.requests[0].body == b"".join(chunks)
    assert target.requests[0].header("Content-Length") == "2000000"


@pytest.mark.parametrize("size", [4, 6])
async def test_a_stream_of_another_size_than_announced_is_an_error(
    sender: HttpSender, target: FakeTarget, size: int
) -> None:
    target.on("/", hold())
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), "PUT", body=stream(b"12345", size=size)), Exchange())
    assert (caught.value.reason, caught.value.sent) == ("protocol", True)
    await target.all_disconnected()


async def test_an_error_of_the_body_stream_comes_through_and_ends_the_connection(
    sender: HttpSender, target: FakeTarget
) -> None:
    async def give() -> AsyncIterator[bytes]:
        yield b"x" * 100
        raise LookupError("the store is away")

    with pytest.raises(LookupError):
        await sender.send(message(target.url(), "PUT", body=BodyStream(200, give)), Exchange())
    await target.all_disconnected()


async def test_a_kept_connection_is_used_again(sender: HttpSender, target: FakeTarget) -> None:
    first, second = Exchange(), Exchange()
    await sender.send(message(target.url(), "POST", body=b"1"), first)
    await sender.send(message(target.url(), "POST", body=b"2"), second)
    assert (first.reused, second.reused, target.connections) == (False, True, 1)
    assert first.closed_by is None


async def test_a_fresh_message_never_goes_over_a_kept_connection(sender: HttpSender, target: FakeTarget) -> None:
    await sender.send(message(target.url()), Exchange())
    await sender.send(message(target.url(), fresh=True), Exchange())
    assert target.connections == 2


async def test_with_a_kept_connection_that_was_dead_go_those_beside_it(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/both", hold())
    together = [asyncio.ensure_future(sender.send(message(target.url("/both")), Exchange())) for _ in range(2)]
    await target.arrived("/both", count=2)
    for request in target.received("/both"):
        request.release()
    await asyncio.gather(*together)
    target.on("/dies", raw())
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url("/dies"), "POST"), Exchange())
    assert caught.value.reason == "connection_reused"
    again = Exchange()
    await sender.send(message(target.url(), "POST"), again)
    assert (again.reused, target.connections) == (False, 3)


async def test_a_connection_that_idled_for_a_second_is_closed(sender: HttpSender, target: FakeTarget) -> None:
    await sender.send(message(target.url()), Exchange())
    await target.requests[0].disconnected(within=3)
    assert target.requests[0].closed_by == "client"


async def test_a_kept_connection_that_the_target_closes_is_not_used_again(
    sender: HttpSender, target: FakeTarget
) -> None:
    await sender.send(message(target.url()), Exchange())
    target.requests[0].close()
    await target.all_disconnected()
    await sender.send(message(target.url()), Exchange())
    assert target.connections == 2


async def test_bytes_on_an_idle_connection_end_it(sender: HttpSender, target: FakeTarget) -> None:
    await sender.send(message(target.url()), Exchange())
    await target.requests[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    await target.requests[0].disconnected()
    reply = await sender.send(message(target.url()), Exchange())
    assert (reply.body, target.connections) == (b"ok", 2)


async def test_a_kept_connection_that_dies_before_any_byte_says_so(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/dies", raw())
    await sender.send(message(target.url()), Exchange())
    exchange = Exchange()
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url("/dies"), "POST"), exchange)
    assert (caught.value.reason, caught.value.sent, exchange.closed_by) == ("connection_reused", True, "target")
    assert len(target.received("/dies")) == 1


async def test_a_kept_connection_that_dies_in_the_answer_is_a_reset(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/dies", raw(b"HTTP/1.1 200 OK\r\n"))
    await sender.send(message(target.url()), Exchange())
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url("/dies"), "POST"), Exchange())
    assert caught.value.reason == "reset"


async def test_the_connection_ends_after_connection_close(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", answer(headers=(("Connection", "close"),)))
    exchange = Exchange()
    await sender.send(message(target.url()), exchange)
    await target.requests[0].disconnected()
    assert exchange.closed_by == "htq"


async def test_an_answer_during_the_upload_is_the_answer(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", early(answer(413, b"too much")))
    exchange = Exchange()
    reply = await sender.send(message(target.url(), "PUT", body=bytes(20_000_000)), exchange)
    assert (reply.code, reply.body) == (413, b"too much")
    assert exchange.bytes_sent < 20_000_000
    await target.all_disconnected()


async def test_an_answer_is_read_although_the_reset_after_it_fails_the_upload(
    sender: HttpSender, target: FakeTarget
) -> None:
    target.on("/", early(raw(b"HTTP/1.1 413 No\r\nContent-Length: 8\r\n\r\ntoo much")))
    gate = asyncio.Event()

    async def give() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await gate.wait()
        for _ in range(100):
            yield b"y" * 60_000

    task = asyncio.ensure_future(
        sender.send(message(target.url(), "PUT", body=BodyStream(6_001_000, give)), Exchange())
    )
    await target.arrived("/")
    gate.set()
    reply = await task
    assert (reply.code, reply.body) == (413, b"too much")


async def test_a_halt_stops_an_upload_and_keeps_the_connection_open(sender: HttpSender, target: FakeTarget) -> None:
    gate, exchange = asyncio.Event(), Exchange()
    target.on("/", early(hold(), reads=True))
    asked = 0

    async def give() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"x" * 1000
            await gate.wait()

    task = asyncio.ensure_future(sender.send(message(target.url(), "PUT", body=BodyStream(10**9, give)), exchange))
    request = await target.arrived("/")
    exchange.halt()
    gate.set()
    request.release()
    reply = await task  # the target answers all the same: it was not disconnected
    assert (reply.code, asked) == (200, 1)
    assert exchange.phase == "receiving"
    await request.disconnected()


async def test_a_halt_before_the_request_is_sent_sends_nothing(sender: HttpSender, target: FakeTarget) -> None:
    exchange = Exchange()
    exchange.halt()
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url()), exchange)
    assert (caught.value.reason, caught.value.sent) == ("canceled", False)
    assert target.requests == []


async def test_phases_and_timings_tell_how_far_it_came(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", hold())
    exchange = Exchange()
    task = asyncio.ensure_future(sender.send(message(f"http://localhost:{target.port}/", "POST", body=b"x"), exchange))
    request = await target.arrived("/")
    phase: str = exchange.phase
    assert phase == "sent"
    assert exchange.remote == f"127.0.0.1:{target.port}"
    request.release()
    await task
    assert exchange.phase == "receiving"
    assert {"dns", "connect", "send", "first_byte", "transfer"} <= exchange.timings_ms.keys()
    assert all(0 <= value < 5000 for value in exchange.timings_ms.values())


async def test_a_canceled_send_ends_its_connection_at_once(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", hold())
    exchange = Exchange()
    task = asyncio.ensure_future(sender.send(message(target.url()), exchange))
    request = await target.arrived("/")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await request.disconnected()
    assert (request.closed_by, exchange.closed_by) == ("client", "htq")


async def test_a_canceled_upload_ends_with_its_body_stream(sender: HttpSender, target: FakeTarget) -> None:
    ended = asyncio.Event()
    target.on("/", early(hold(), reads=True))

    async def give() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            ended.set()

    task = asyncio.ensure_future(sender.send(message(target.url(), "PUT", body=BodyStream(10**9, give)), Exchange()))
    await target.arrived("/")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    await target.all_disconnected()


async def test_closing_the_sender_ends_kept_and_busy_connections(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/held", hold())
    await sender.send(message(target.url()), Exchange())
    task = asyncio.ensure_future(sender.send(message(target.url("/held"), fresh=True), Exchange()))
    await target.arrived("/held")
    await sender.close()
    with pytest.raises(SendError) as caught:
        await task
    assert (caught.value.reason, caught.value.sent) == ("interrupted", True)
    await target.all_disconnected()
    with pytest.raises(SendError):
        await sender.send(message(target.url()), Exchange())
