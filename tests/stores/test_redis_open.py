"""What a Redis store says of its server when it is opened, and which servers it refuses."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from htq.stores.redis import RedisStore
from htq.stores.redis.library import LIBRARY, SCHEMA, source
from htq.words.clock import Chance, SystemClock
from htq.words.errors import StoreRefused, StoreUnavailable
from support.redis_server import Fsync, RedisServer, flavours


@pytest.fixture(params=flavours())
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param) as running:
        yield running


def store(url: str, *, namespace: str = "htq", allow_eviction: bool = False) -> RedisStore:
    return RedisStore(url, chance=Chance(SystemClock()), namespace=namespace, allow_eviction=allow_eviction)


async def opened(url: str, *, allow_eviction: bool = False) -> tuple[str, tuple[str, ...], str]:
    """Durability, warnings and location of a store that is opened and closed."""
    it = store(url, allow_eviction=allow_eviction)
    info = await it.open()
    await it.close()
    return info.durability, info.warnings, info.location


async def test_synced_append_only_file_needs_no_warning(server: RedisServer) -> None:
    durability, warnings, location = await opened(server.url)
    assert "synced to its disk" in durability
    assert warnings == ()
    assert location == server.url


@pytest.mark.parametrize(("appendonly", "fsync"), [(True, "everysec"), (True, "no"), (False, "always")])
async def test_settings_that_can_lose_a_303_are_warned_of(appendonly: bool, fsync: Fsync) -> None:
    with RedisServer(appendonly=appendonly, fsync=fsync) as server:
        _, warnings, _ = await opened(server.url)
        assert len(warnings) == 1
        assert "appendfsync always" in warnings[0]


async def test_snapshots_alone_are_warned_of(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("appendonly", "no")
        client.config_set("save", "60 1000")
    durability, warnings, _ = await opened(server.url)
    assert "save 60 1000" in durability
    assert len(warnings) == 1


async def test_evicting_server_is_refused_unless_allowed(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreRefused, match="noeviction"):
        await opened(server.url)
    _, warnings, _ = await opened(server.url, allow_eviction=True)
    assert any("allkeys-lru" in warning for warning in warnings)


async def test_server_that_does_not_tell_its_settings_is_taken_with_a_warning(server: RedisServer) -> None:
    with server.client() as client:
        client.acl_setuser(
            "shy", enabled=True, passwords=["+sesame"], keys=["*"], channels=["*"], commands=["+@all", "-config"]
        )
    durability, warnings, location = await opened(server.url.replace("//", "//shy:sesame@"))
    assert "append-only file" in durability
    assert any("unknown" in warning for warning in warnings)
    assert location == server.url


async def test_wrong_password_is_refused_and_not_shown(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("requirepass", "sesame")
        with pytest.raises(StoreRefused) as refused:
            await opened(server.url.replace("//", "//:tahini@"))
        assert "tahini" not in str(refused.value)
        _, _, location = await opened(server.url.replace("//", "//:sesame@"))
        assert location == server.url
        client.config_set("requirepass", "")


async def test_keys_of_another_layout_are_refused(server: RedisServer) -> None:
    with server.client() as client:
        client.hset("{htq:htq}:meta", "schema", "99")
    with pytest.raises(StoreRefused, match="schema 99"):
        await opened(server.url)


async def test_former_layout_is_taken_over_once_nothing_in_it_is_alive(server: RedisServer) -> None:
    """Its lanes were not counted: a live task of it would be in none."""
    with server.client() as client:
        client.hset("{htq:htq}:meta", "schema", str(SCHEMA - 1))
        client.sadd("{htq:htq}:queues", "0123456789abcdef")
        with pytest.raises(StoreRefused, match="end its tasks"):
            await opened(server.url)
        client.delete("{htq:htq}:queues")
        await opened(server.url)
        assert client.hget("{htq:htq}:meta", "schema") == str(SCHEMA).encode()


@pytest.mark.parametrize("namespace", ["", "a}b", "a b", "ä", "x" * 65])
async def test_namespace_that_would_break_the_hash_tag_is_refused(namespace: str) -> None:
    with pytest.raises(StoreRefused):
        store("redis://127.0.0.1:1/0", namespace=namespace)


@pytest.mark.parametrize("url", ["", "redis", "http://127.0.0.1", "redis://127.0.0.1:port/0"])
async def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(StoreRefused):
        store(url)


async def test_older_build_of_the_library_is_replaced(server: RedisServer) -> None:
    with server.client() as client:
        client.function_load(source().replace("return LOST", "return nil"))
        await opened(server.url)
        (found,) = client.function_list(LIBRARY, withcode=True)
    assert source().encode() in found


async def test_old_server_is_refused() -> None:
    async with impostor(b"# Server\r\nredis_version:6.2.14\r\n") as url:
        with pytest.raises(StoreRefused, match=r"6\.2\.14 is too old"):
            await opened(url)


async def test_server_that_is_loading_is_unavailable() -> None:
    async with impostor(None) as url:
        with pytest.raises(StoreUnavailable, match="loading"):
            await opened(url)


@asynccontextmanager
async def impostor(info: bytes | None) -> AsyncIterator[str]:
    """A server that answers INFO with `info`, or that it is loading, and anything else with OK."""
    hung_up: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung_up.append(writer)
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            if words[0] != b"INFO":
                writer.write(b"+OK\r\n")
            elif info is None:
                writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
            else:
                writer.write(b"$%d\r\n%b\r\n" % (len(info), info))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for writer in hung_up:
            writer.close()
        await server.wait_closed()
