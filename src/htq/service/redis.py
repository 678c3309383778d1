"""A registry over Redis or Valkey: a hash a ticket, and a channel of each process's own.

Keys, all of which expire (`<namespace>` is the registry's, `htq-service` unless given):

    <namespace>:request:<task>:<attempt>:<digest>   hash   <process> -> when its entry expires (ms, the server's clock)
                                                           canceled  -> when the mark expires
                                                           stopped   -> 1, once its work has ended after the mark
    <namespace>:process:<process>                   channel

Each script touches one key, so a cluster serves it too. The driver is redis-py, imported when the first connection is made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from htq.service.board import LEASE_SECONDS, Board, Found
from htq.service.contract import TOMBSTONE_SECONDS, Ticket
from htq.service.shared import SharedRegistry
from htq.service.tempo import steady

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

__all__ = ["RedisRegistry"]

_PONG_WITHIN = LEASE_SECONDS / 6

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
# A key lives as long as its longest field: never shortened by a second writer.
_EXPIRE = "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end "

_PUT = (
    _NOW
    + "redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2]) "
    + _EXPIRE
    + "return tonumber(redis.call('HGET', KEYS[1], 'canceled') or 0) > now"
)
_DROP = """
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[2] == '1' and redis.call('HEXISTS', KEYS[1], 'canceled') == 1 then redis.call('HSET', KEYS[1], 'stopped', 1) end
"""
_MARK = (
    _NOW
    + "redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2]) "
    + _EXPIRE
    + """
local found = {redis.call('HGET', KEYS[1], 'stopped') or '0'}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i] ~= 'canceled' and fields[i] ~= 'stopped' and tonumber(fields[i + 1]) > now then
    found[#found + 1] = fields[i]
  end
end
return found
"""
)


class RedisRegistry(SharedRegistry):
    """The processes of one service find each other at `url` (`redis://host:port/db`, `rediss://…`), under `namespace`."""

    def __init__(self, url: str, *, namespace: str = "htq-service") -> None:
        self._url = url
        self._namespace = namespace
        super().__init__()

    async def _open(self, process: str, hear: Callable[[str], None], lost: Callable[[], None]) -> Board:
        from redis.asyncio import Redis

        client = Redis.from_url(self._url, decode_responses=True, protocol=2)
        pubsub = client.pubsub()
        try:
            await pubsub.subscribe(f"{self._namespace}:process:{process}")
            await pubsub.get_message(timeout=None)  # the confirmation: from here on nothing is missed
        except BaseException:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()
            raise
        return _RedisBoard(client, pubsub, self._namespace, process, hear, lost)


class _RedisBoard:
    def __init__(
        self,
        client: Redis,
        pubsub: PubSub,
        namespace: str,
        process: str,
        hear: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        self._client = client
        self._pubsub = pubsub
        self._namespace = namespace
        self._process = process
        self._pinged_at: float | None = None
        self._listening = asyncio.get_running_loop().create_task(self._listen(hear, lost))

    async def _listen(self, hear: Callable[[str], None], lost: Callable[[], None]) -> None:
        try:
            async for message in self._pubsub.listen():
                if message["type"] == "message":
                    hear(message["data"])
                elif message["type"] == "pong":
                    self._pinged_at = None
        except Exception:  # whatever it was, the board is of no use any more: the registry connects anew and says so
            lost()

    def _key(self, ticket: Ticket) -> str:
        return f"{self._namespace}:request:{ticket.task_id}:{ticket.attempt}:{ticket.digest.hex()}"

    async def put(self, tickets: Collection[Ticket]) -> set[Ticket]:
        pipeline = self._client.pipeline(transaction=False)
        for ticket in tickets:
            pipeline.eval(_PUT, 1, self._key(ticket), self._process, int(LEASE_SECONDS * 1000))
        return {ticket for ticket, marked in zip(tickets, await pipeline.execute(), strict=True) if marked}

    async def drop(self, tickets: Mapping[Ticket, bool]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for ticket, canceled in tickets.items():
            pipeline.eval(_DROP, 1, self._key(ticket), self._process, int(canceled))
        await pipeline.execute()

    async def mark(self, tickets: Collection[Ticket]) -> dict[Ticket, Found]:
        pipeline = self._client.pipeline(transaction=False)
        for ticket in tickets:
            pipeline.eval(_MARK, 1, self._key(ticket), "canceled", int(TOMBSTONE_SECONDS * 1000))
        answers = await pipeline.execute()
        return {
            ticket: Found(tuple(processes), stopped == "1")
            for ticket, (stopped, *processes) in zip(tickets, answers, strict=True)
        }

    async def tell(self, messages: Sequence[tuple[str, str]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for process, text in messages:
            pipeline.publish(f"{self._namespace}:process:{process}", text)
        await pipeline.execute()

    async def sweep(self) -> None:
        """Every key expires by itself. But the listener only reads, and would wait for ever on a connection that some
        router has forgotten: so look at that here."""
        if self._pinged_at is None:
            self._pinged_at = steady()
            await self._pubsub.ping()
        elif steady() - self._pinged_at > _PONG_WITHIN:
            message = "the listening connection does not answer"
            raise ConnectionError(message)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])
        with contextlib.suppress(Exception):
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]
        with contextlib.suppress(Exception):
            await self._client.aclose()
