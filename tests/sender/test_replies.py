"""What comes back: every end of a body, every bound, every kind of nonsense."""

import asyncio
from collections.abc import Sequence

import pytest

from htq.sender import Exchange, HttpSender
from htq.sender.connection import CHUNK
from htq.words.errors import SendError
from support.target import FakeTarget, Received, answer, drip, early, hold, huge, raw, reset
from support.wire import Collector, message

OK = b"HTTP/1.1 200 OK\r\n"


async def failure(sender: HttpSender, target: FakeTarget, path: str = "/", **changes: float) -> tuple[str, Exchange]:
    """The reason of an exchange that must fail, after whose end no connection is left."""
    exchange = Exchange()
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(path), **changes), exchange)  # type: ignore[arg-type]
    assert caught.value.sent
    await target.all_disconnected()
    return caught.value.reason, exchange


async def test_the_reply_keeps_order_case_and_duplicates(sender: HttpSender, target: FakeTarget) -> None:
    target.on(
        "/",
        raw(b"HTTP/1.1 299 So \xe9\r\nX-b: 1\r\nSet-Cookie: a\r\nx-B: caf\xe9 \r\nContent-Length: 3\r\n\r\n\0\xff\n"),
    )
    reply = await sender.send(message(target.url()), Exchange())
    assert (reply.code, reply.phrase) == (299, "So \xe9")
    assert [(name, value.strip()) for name, value in reply.headers] == [
        ("X-b", "1"),
        ("Set-Cookie", "a"),
        ("x-B", "caf\xe9"),
        ("Content-Length", "3"),
    ]
    assert (reply.body, reply.body_size) == (b"\0\xff\n", 3)


@pytest.mark.parametrize("more", [b"EXTRA", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
async def test_bytes_after_a_complete_reply_end_the_connection(
    sender: HttpSender, target: FakeTarget, more: bytes
) -> None:
    target.on("/", raw(OK + b"Content-Length: 2\r\n\r\nhi" + more, close=False))
    reply = await sender.send(message(target.url()), Exchange())
    assert reply.body == b"hi"
    await target.all_disconnected()


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", OK + b"Content-Length: 5\r\n\r\n"),
        ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", OK + b"\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ],
)
async def test_some_replies_end_at_their_headers(
    sender: HttpSender, target: FakeTarget, method: str, head: bytes
) -> None:
    target.on("/", raw(head, close=False))
    reply = await sender.send(message(target.url(), method), Exchange())
    assert (reply.body, reply.body_size) == (b"", 0)


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content"])
async def test_a_body_where_none_may_be_ends_the_connection(
    sender: HttpSender, target: FakeTarget, status: bytes
) -> None:
    target.on("/", raw(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhello", close=False))
    reply = await sender.send(message(target.url(), "HEAD"), Exchange())
    assert reply.body == b""
    await target.all_disconnected()


async def test_a_connection_is_kept_after_a_head(sender: HttpSender, target: FakeTarget) -> None:
    async def script(request: object) -> None:
        await target.requests[-1].write(OK + b"Content-Length: 5\r\n\r\n")

    target.on("/", script)
    await sender.send(message(target.url(), "HEAD"), Exchange())
    await sender.send(message(target.url(), "HEAD"), Exchange())
    assert target.connections == 1


async def test_interim_replies_are_passed_over(sender: HttpSender, target: FakeTarget) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    target.on("/", raw(interim, OK + b"Content-Length: 2\r\n\r\nhi"))
    reply = await sender.send(message(target.url()), Exchange())
    assert (reply.code, reply.headers, reply.body) == (200, (("Content-Length", "2"),), b"hi")


async def test_early_hints_are_heard_while_the_reply_is_awaited(sender: HttpSender, target: FakeTarget) -> None:
    async def script(request: Received) -> None:
        await request.write(b"HTTP/1.1 103 Early Hints\r\nLink: </stop>; rel=cancel\r\n\r\n")
        await hold()(request)

    target.on("/", script)
    exchange = Exchange()
    assert exchange.heard() == ()
    task = asyncio.ensure_future(sender.send(message(target.url(), first_byte=0.5, idle=0.2), exchange))
    with pytest.raises(SendError, match="stood still"):
        await task
    assert exchange.heard() == (("Link", "</stop>; rel=cancel"),)


async def test_the_headers_of_a_reply_are_heard_with_its_hints(sender: HttpSender, target: FakeTarget) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\n"
    target.on("/", raw(hint * 20, OK + b"Content-Length: 0\r\n\r\n"))
    exchange = Exchange()
    await sender.send(message(target.url()), exchange)
    assert exchange.heard() == (*[("A", "1")] * 8, ("Content-Length", "0"))


async def test_a_body_that_ends_with_the_connection_is_complete(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", raw(b"HTTP/1.0 200 OK\r\n\r\n", b"to the ", b"end"))
    exchange = Exchange()
    reply = await sender.send(message(target.url()), exchange)
    assert (reply.body, exchange.closed_by) == (b"to the end", "target")


async def test_chunks_are_put_together_and_trailers_left_out(sender: HttpSender, target: FakeTarget) -> None:
    body = b"3;x=y\r\nabc\r\n", b"1\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n"
    target.on("/", raw(OK + b"Transfer-Encoding: chunked\r\n\r\n", *body))
    reply = await sender.send(message(target.url()), Exchange())
    assert (reply.body, reply.headers) == (b"abcd", (("Transfer-Encoding", "chunked"),))


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        OK + b"Content-Length: -2\r\n\r\nhi",
        OK + b"Content-Length: 99999999999999999999\r\n\r\nhi",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiX\r\n0\r\n\r\n",
        OK + b"X: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        OK + b"X : a\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        OK + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n",
        OK + b"".join(b"X: y\r\n" for n in range(600)) + b"Content-Length: 0\r\n\r\n",
        OK + b"X: " + b"y" * 100_000,
        b"HTTP/1.1 200 " + b"y" * 100_000,
        b"HTTP/1.1 103 Early\r\n\r\n" * 300,
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + b"X: y\r\n" * 100_000,
    ],
    ids=lambda data: repr(data[:60]),
)
async def test_what_is_not_http_is_an_error(sender: HttpSender, target: FakeTarget, data: bytes) -> None:
    target.on("/", raw(data, close=False))
    reason, exchange = await failure(sender, target)
    assert (reason, exchange.closed_by) == ("protocol", "htq")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 20",
        OK,
        OK + b"Content-Length: 5\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nhell",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
@pytest.mark.parametrize("how", [raw, reset])
async def test_an_answer_that_breaks_off_is_a_reset(
    sender: HttpSender, target: FakeTarget, data: bytes, how: type[object]
) -> None:
    target.on("/", how(data))  # type: ignore[call-arg, arg-type]
    reason, exchange = await failure(sender, target)
    assert (reason, exchange.closed_by) == ("reset", "target")


async def test_a_reset_ends_a_body_that_has_no_length(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", reset(OK + b"\r\nhalf"))
    reason, _ = await failure(sender, target)
    assert reason == "reset"


@pytest.mark.parametrize("chunked", [False, True])
async def test_more_than_allowed_is_too_large(sender: HttpSender, target: FakeTarget, chunked: bool) -> None:
    target.on("/", huge(10_000_000, chunked=chunked))
    reason, exchange = await failure(sender, target, max_response=100_000)
    assert reason == "too_large"
    assert exchange.bytes_received < 1_000_000


async def test_exactly_as_much_as_allowed_is_taken(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", huge(100_000))
    reply = await sender.send(message(target.url(), max_response=100_000), Exchange())
    assert reply.body_size == 100_000


async def test_silence_is_bounded_by_first_byte(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", hold())
    reason, exchange = await failure(sender, target, first_byte=0.05)
    assert (reason, exchange.phase) == ("first_byte", "sent")


async def test_standing_still_is_bounded_by_idle(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", raw(OK + b"Content-Length: 5\r\n\r\nhell", close=False))
    reason, _ = await failure(sender, target, idle=0.05)
    assert reason == "idle"


async def test_dripping_is_bounded_by_total_only(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", drip(b"x", 0.01))
    reason, exchange = await failure(sender, target, total=0.3, idle=0.25, first_byte=0.25)
    assert reason == "total"
    assert exchange.bytes_received > 25


async def test_total_bounds_an_upload_that_nobody_reads(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", early(hold()))
    exchange = Exchange()
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), "PUT", body=bytes(20_000_000), total=0.1), exchange)
    assert (caught.value.reason, exchange.phase) == ("total", "sending")
    assert 0 < exchange.bytes_sent < 20_000_000
    target.requests[0].release()
    await target.all_disconnected()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_goes_to_the_sink_in_chunks(sender: HttpSender, target: FakeTarget, chunked: bool) -> None:
    size = 3 * CHUNK + 1000
    target.on("/", huge(size, chunked=chunked))
    sink = Collector()
    reply = await sender.send(message(target.url()), Exchange(), sink, 4096)
    assert (reply.body, reply.body_size) == (None, size)
    assert sink.body == (bytes(range(251)) * (size // 251 + 1))[:size]
    assert [len(chunk) for chunk in sink.chunks] == [CHUNK, CHUNK, CHUNK, 1000]


@pytest.mark.parametrize(("size", "inline"), [(0, 0), (4096, 4096), (CHUNK + 5, CHUNK + 5)])
async def test_a_body_up_to_inline_comes_back_whole(
    sender: HttpSender, target: FakeTarget, size: int, inline: int
) -> None:
    target.on("/", huge(size))
    sink = Collector()
    reply = await sender.send(message(target.url()), Exchange(), sink, inline)
    assert (reply.body_size, sink.chunks) == (size, [])
    assert reply.body is not None
    assert len(reply.body) == size


async def test_a_body_just_above_inline_goes_to_the_sink(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", huge(4097))
    sink = Collector()
    reply = await sender.send(message(target.url()), Exchange(), sink, 4096)
    assert (reply.body, [len(chunk) for chunk in sink.chunks]) == (None, [4097])


async def test_without_a_sink_a_body_comes_back_whole(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", huge(3_000_000))
    reply = await sender.send(message(target.url()), Exchange())
    assert reply.body is not None
    assert len(reply.body) == 3_000_000


async def test_a_slow_sink_holds_the_target_back(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", huge(30_000_000))
    exchange = Exchange()
    entered, gate = asyncio.Event(), asyncio.Event()
    seen = 0

    async def sink(chunks: Sequence[bytes]) -> None:
        nonlocal seen
        seen += sum(map(len, chunks))
        entered.set()
        await gate.wait()

    # The idle bound is for the target's silence: that the sink is slow does not count.
    task = asyncio.ensure_future(sender.send(message(target.url(), idle=0.05), exchange, sink, 0))
    await asyncio.wait_for(entered.wait(), 5)
    with pytest.raises(TimeoutError):
        await target.requests[0].disconnected(within=0.2)
    assert exchange.bytes_received < 1_000_000
    gate.set()
    await task
    assert seen == 30_000_000


async def test_an_error_of_the_sink_comes_through_and_ends_the_connection(
    sender: HttpSender, target: FakeTarget
) -> None:
    target.on("/", huge(3_000_000))

    async def sink(chunks: Sequence[bytes]) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await sender.send(message(target.url()), Exchange(), sink, 0)
    await target.all_disconnected()


async def test_a_compressed_body_is_handed_over_as_it_came(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", answer(body=b"\x1f\x8b not really", headers=(("Content-Encoding", "gzip"),)))
    reply = await sender.send(message(target.url()), Exchange())
    assert reply.body == b"\x1f\x8b not really"


async def test_many_small_chunks_cost_no_more_memory_than_the_body(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", raw(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"))
    reply = await sender.send(message(target.url()), Exchange())
    assert reply.body == b"x" * 50_000
