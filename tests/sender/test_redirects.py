"""Redirects: only when asked, each hop judged, credentials left behind."""

from collections.abc import AsyncIterator

import pytest

from htq.sender import Exchange, HttpSender
from htq.words.errors import SendError
from support.target import FakeTarget, answer, huge, raw, redirect
from support.wire import message


@pytest.fixture
async def other() -> AsyncIterator[FakeTarget]:
    async with FakeTarget() as target:
        yield target


async def test_a_redirect_is_simply_the_response_unless_asked(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", redirect("/there"))
    reply = await sender.send(message(target.url()), Exchange())
    assert (reply.code, reply.body) == (302, b"elsewhere")


@pytest.mark.parametrize(
    ("code", "method", "after", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (301, "PUT", "PUT", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
    ],
)
async def test_what_the_request_becomes(
    sender: HttpSender, target: FakeTarget, code: int, method: str, after: str, keeps_body: bool
) -> None:
    target.on("/", redirect("there?x=1#part", code))
    headers = (("Content-Type", "text/plain"), ("If-Match", "*"), ("X-Kept", "1"))
    reply = await sender.send(message(target.url(), method, body=b"data", headers=headers, redirects=1), Exchange())
    assert reply.code == 200
    second = target.requests[1]
    assert (second.method, second.path) == (after, "/there?x=1")
    assert second.body == (b"data" if keeps_body else b"")
    assert second.header("Content-Type") == ("text/plain" if keeps_body else None)
    assert second.header("If-Match") == ("*" if keeps_body else None)
    assert second.header("X-Kept") == "1"


async def test_a_head_stays_a_head(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", raw(b"HTTP/1.1 303 See Other\r\nLocation: /there\r\n\r\n"))
    await sender.send(message(target.url(), "HEAD", redirects=1), Exchange())
    assert target.requests[1].method == "HEAD"


CREDENTIALS = (
    ("Authorization", "Bearer x"),
    ("cookie", "a=b"),
    ("X-Api-Key", "k"),
    ("X-Auth-Token", "t"),
    ("X-Secret", "kept: not named like one"),
    ("Idempotency-Key", '"i"'),
)


async def test_credentials_stay_on_their_origin(sender: HttpSender, target: FakeTarget, other: FakeTarget) -> None:
    target.on("/", redirect("/second", 307))
    target.on("/second", redirect(other.url("/third"), 307))
    await sender.send(message(target.url(), "POST", headers=CREDENTIALS, redirects=5), Exchange())
    assert [name for name, _ in target.requests[1].headers][1:7] == [name for name, _ in CREDENTIALS]
    names = [name for name, _ in other.requests[0].headers]
    assert names == ["Host", "Idempotency-Key", "Content-Length"]


async def test_more_redirects_than_asked_are_an_error(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", redirect("/"))
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), redirects=3), Exchange())
    assert (caught.value.reason, caught.value.sent) == ("redirects", True)
    assert len(target.requests) == 4


async def test_each_hop_is_judged(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", redirect("http://169.254.169.254/latest/"))
    exchange = Exchange()
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), redirects=1), exchange)
    assert (caught.value.reason, caught.value.sent) == ("egress_denied", True)
    assert exchange.phase == "receiving"


@pytest.mark.parametrize(
    "location", ["ftp://x/", "http://a b/", "http://user@x/", "http://127.1/", "http://[::1/", "\t/x", "//"]
)
async def test_an_address_that_cant_be_taken_is_an_error(sender: HttpSender, target: FakeTarget, location: str) -> None:
    target.on("/", answer(302, headers=(("Location", f"a{location}" if location[0] == "\t" else location),)))
    with pytest.raises(SendError) as caught:
        await sender.send(message(target.url(), redirects=1), Exchange())
    assert caught.value.reason == "redirects"


async def test_characters_beyond_ascii_are_encoded(sender: HttpSender, target: FakeTarget) -> None:
    target.on(
        "/", raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /caf\xc3\xa9\r\n\r\n")
    )
    await sender.send(message(target.url(), redirects=1), Exchange())
    assert target.requests[1].path == "/caf%C3%A9"


async def test_a_redirect_without_a_location_is_the_response(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", answer(302))
    reply = await sender.send(message(target.url(), redirects=1), Exchange())
    assert (reply.code, reply.body) == (302, b"ok")


async def test_the_body_of_a_redirect_is_not_waited_for(sender: HttpSender, target: FakeTarget) -> None:
    async def script(request: object) -> None:
        await target.requests[0].write(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 100000000\r\n\r\n")
        await huge(100_000_000)(target.requests[0])

    target.on("/", script)
    reply = await sender.send(message(target.url(), redirects=1, max_response=1000), Exchange())
    assert (reply.code, reply.body) == (200, b"ok")


async def test_the_connection_is_kept_from_hop_to_hop(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/", redirect("/there"))
    await sender.send(message(target.url(), redirects=1), Exchange())
    assert target.connections == 1
