"""Before the first byte: names, addresses, the judge, the handshake, and their bounds."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import trustme

from htq.policy.egress import Egress
from htq.sender import Exchange, HttpSender
from htq.sender.resolver import KEPT_FOR, SystemResolver
from htq.words.clock import SystemClock
from htq.words.errors import SendError
from support.clock import ManualClock
from support.ports import closed_port
from support.target import FakeTarget, hold, huge
from support.wire import Collector, message


class FakeResolver:
    """Answers from a table; a name that it lacks is never answered."""

    def __init__(self, **names: tuple[str, ...]) -> None:
        self.names = names

    def known(self, host: str) -> tuple[str, ...] | None:
        return None

    async def resolve(self, host: str) -> tuple[str, ...]:
        if host in self.names:
            return self.names[host]
        never: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        return await never

    def close(self) -> None:
        pass


def sender_with(**names: tuple[str, ...]) -> HttpSender:
    return HttpSender(
        clock=SystemClock(), egress=Egress(), resolver=FakeResolver(**names), tls=FakeTarget.client_context
    )


async def unsent(sender: HttpSender, url: str, **changes: float) -> SendError:
    """The error of an exchange of which no byte may have left."""
    exchange = Exchange()
    try:
        with pytest.raises(SendError) as caught:
            await sender.send(message(url, **changes), exchange)  # type: ignore[arg-type]
    finally:
        await sender.close()
    assert not caught.value.sent
    assert exchange.phase in ("claimed", "connecting")
    assert exchange.bytes_sent == 0
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://metadata/",
        "http://2852039166/",
        "ftp://example.com/",
    ],
)
async def test_metadata_and_odd_addresses_are_never_dialled(url: str) -> None:
    error = await unsent(sender_with(metadata=("169.254.169.254", "fd00:ec2::254")), url)
    assert error.reason == "egress_denied"


async def test_of_several_addresses_only_those_that_may_be_are_dialled(target: FakeTarget) -> None:
    sender = sender_with(mixed=("169.254.169.254", "127.0.0.1"))
    exchange = Exchange()
    await sender.send(message(f"http://mixed:{target.port}/"), exchange)
    await sender.close()
    assert exchange.remote == f"127.0.0.1:{target.port}"
    assert target.requests[0].header("Host") == f"mixed:{target.port}"


async def test_the_next_address_is_tried_when_one_refuses(target: FakeTarget) -> None:
    sender = sender_with(several=("127.0.0.2", "::1", "127.0.0.1"))
    reply = await sender.send(message(f"http://several:{target.port}/"), Exchange())
    await sender.close()
    assert reply.code == 200


async def test_the_next_address_is_tried_when_one_is_silent(target: FakeTarget) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.3", target.port))
        silent.listen(0)
        with socket.create_connection(("127.0.0.3", target.port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.3", target.port))  # the backlog is full now: a further SYN gets no answer
            sender = sender_with(several=("127.0.0.3", "127.0.0.1"))
            exchange = Exchange()
            reply = await sender.send(message(f"http://several:{target.port}/"), exchange)
            await sender.close()
    assert reply.code == 200
    assert exchange.remote == f"127.0.0.1:{target.port}"


async def test_refused_everywhere_is_connect(unused_port: int) -> None:
    error = await unsent(sender_with(nobody=("127.0.0.1", "127.0.0.2")), f"http://nobody:{unused_port}/")
    assert error.reason == "connect"
    assert "Connection refused" in str(error)


async def test_connect_bounds_a_name_that_does_not_resolve() -> None:
    error = await unsent(sender_with(), "http://never/", connect=0.05)
    assert error.reason == "connect"


async def test_total_bounds_a_name_that_does_not_resolve() -> None:
    error = await unsent(sender_with(), "http://never/", total=0.05)
    assert error.reason == "total"


async def test_connect_bounds_a_handshake_that_is_never_answered() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.setblocking(False)
        error = await unsent(sender_with(), f"https://127.0.0.1:{silent.getsockname()[1]}/", connect=0.05)
        async with asyncio.timeout(5):
            peer, _ = await loop.sock_accept(silent)
            with peer:
                hello = await loop.sock_recv(peer, 65536)
                rest = await loop.sock_recv(peer, 65536)
    assert error.reason == "connect"
    assert (hello[0], rest) == (0x16, b"")


async def test_canceled_while_resolving_nothing_is_left() -> None:
    sender = sender_with()
    exchange = Exchange()
    task = asyncio.ensure_future(sender.send(message("http://never/"), exchange))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.05)
    assert exchange.phase == "connecting"
    await sender.close()


# --- TLS --------------------------------------------------------------------------------------------


async def test_https_verifies_and_goes_by_name() -> None:
    async with FakeTarget(tls=True) as target:
        sender = HttpSender(clock=SystemClock(), egress=Egress(), tls=target.client_context)
        exchange, again = Exchange(), Exchange()
        url = f"https://localhost:{target.port}/"
        reply = await sender.send(message(url, "POST", body=bytes(1_000_000)), exchange)
        await sender.send(message(url), again)
        await sender.close()
        assert reply.body == b"ok"
        assert len(target.requests[0].body) == 1_000_000
        assert exchange.timings_ms["tls"] > 0
        assert (again.reused, target.connections) == (True, 1)


async def test_a_certificate_of_an_unknown_authority_is_refused() -> None:
    async with FakeTarget(tls=True) as target:
        sender = HttpSender(clock=SystemClock(), egress=Egress())
        error = await unsent(sender, target.url())
        assert error.reason == "tls"
        assert target.requests == []


async def test_a_certificate_for_another_name_is_refused() -> None:
    async with FakeTarget(tls=True) as target:
        error = await unsent(sender_with(elsewhere=("127.0.0.1",)), f"https://elsewhere:{target.port}/")
        assert error.reason == "tls"
        assert "certificate" in str(error)


async def test_an_expired_certificate_is_refused() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(context)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)

    def trusting() -> ssl.SSLContext:
        client = ssl.create_default_context()
        authority.configure_trust(client)
        return client

    sender = HttpSender(clock=SystemClock(), egress=Egress(), tls=trusting)
    error = await unsent(sender, f"https://localhost:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert error.reason == "tls"
    assert "expired" in str(error)


async def test_a_port_that_speaks_no_tls_is_refused() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    error = await unsent(sender_with(), f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert error.reason == "tls"


async def test_a_canceled_tls_exchange_is_closed_although_the_target_does_not_read() -> None:
    async with FakeTarget(tls=True) as target:
        target.on("/", hold())
        sender = HttpSender(clock=SystemClock(), egress=Egress(), tls=target.client_context)
        task = asyncio.ensure_future(sender.send(message(target.url()), Exchange()))
        request = await target.arrived("/")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await request.disconnected()
        await sender.close()


async def test_a_response_over_tls_in_pieces_comes_whole() -> None:
    async with FakeTarget(tls=True) as target:
        target.on("/", huge(2_000_000, chunked=True))
        sender = HttpSender(clock=SystemClock(), egress=Egress(), tls=target.client_context)
        sink = Collector()
        reply = await sender.send(message(target.url()), Exchange(), sink, 0)
        await sender.close()
        assert (reply.body_size, len(sink.body)) == (2_000_000, 2_000_000)


# --- the resolver -----------------------------------------------------------------------------------


class Names:
    """A look-up that counts, and that can be made to wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        assert self.gate.wait(5)
        if host == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ("192.0.2.1",)


async def test_a_name_is_looked_up_once_for_all_who_wait_for_it() -> None:
    names = Names()
    names.gate.clear()
    resolver = SystemResolver(SystemClock(), names)
    tasks = [asyncio.ensure_future(resolver.resolve("a")) for _ in range(10)]
    tasks[0].cancel()
    asyncio.get_running_loop().call_later(0.01, names.gate.set)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    resolver.close()
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [("192.0.2.1",)] * 9
    assert names.asked == ["a"]


async def test_an_answer_is_kept_for_a_few_seconds() -> None:
    names, clock = Names(), ManualClock()
    resolver = SystemResolver(clock, names)
    await resolver.resolve("a")
    clock.advance(KEPT_FOR - 0.1)
    assert resolver.known("a") == ("192.0.2.1",)
    await resolver.resolve("a")
    assert names.asked == ["a"]
    clock.advance(0.2)
    assert resolver.known("a") is None
    await resolver.resolve("a")
    resolver.close()
    assert names.asked == ["a", "a"]


async def test_a_name_that_does_not_exist_is_dns_and_not_kept() -> None:
    names = Names()
    resolver = SystemResolver(SystemClock(), names)
    for _ in range(2):
        with pytest.raises(SendError) as caught:
            await resolver.resolve("unknown")
        assert (caught.value.reason, caught.value.sent) == ("dns", False)
    resolver.close()
    assert names.asked == ["unknown", "unknown"]


async def test_look_ups_share_a_bounded_number_of_threads_and_leave_none() -> None:
    before = threading.active_count()
    names = Names()
    names.gate.clear()
    resolver = SystemResolver(SystemClock(), names, threads=3)
    tasks = [asyncio.ensure_future(resolver.resolve(f"n{n}")) for n in range(20)]
    loop = asyncio.get_running_loop()
    counted: asyncio.Future[int] = loop.create_future()

    def count() -> None:
        counted.set_result(threading.active_count() - before)
        names.gate.set()

    loop.call_later(0.05, count)
    await asyncio.gather(*tasks)
    assert await counted == 3
    resolver.close()
    assert threading.active_count() == before


async def test_the_machines_own_names_are_known(target: FakeTarget, sender: HttpSender) -> None:
    reply = await sender.send(message(f"http://localhost:{target.port}/"), Exchange())
    assert reply.code == 200


async def test_a_name_that_is_none_does_not_resolve(sender: HttpSender) -> None:
    with pytest.raises(SendError) as caught:
        await sender.send(message("http://does-not-exist.invalid/"), Exchange())
    assert (caught.value.reason, caught.value.sent) == ("dns", False)


@pytest.fixture
def unused_port() -> Iterator[int]:
    with closed_port() as port:
        yield port
