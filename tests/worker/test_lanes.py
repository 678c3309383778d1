"""What answers teach: who waits, who doesn't, and what is charged."""

import asyncio

import pytest

from htq.stores.base import CHUNK, Cancel, QueueSettings
from htq.words.limits import Breaker, LaneLimits, Rate
from htq.words.retry import RetryPolicy
from htq.worker import WorkerSettings
from worker.world import LATE, World


async def test_a_hold_burns_no_attempt_of_the_others_in_the_lane(world: World) -> None:
    world.start(WorkerSettings(threads=1))
    first = await world.enqueue()
    second = await world.enqueue(retry=RetryPolicy(max=2, delays=(10,)))
    begun = world.clock.now_ms()
    (await world.sender.requests.get()).reply(429, b"", (("Retry-After", "60"),))
    assert (await world.settled(first)).state == "success"
    elsewhere = await world.enqueue(key="another lane")
    async with asyncio.timeout(10):
        other = await world.sender.requests.get()
    assert other.header("HTQ-Task-Id") == elsewhere
    other.reply()
    sent = await world.next_request()
    assert 60 <= world.seconds_since(begun) < 60 + LATE
    assert (sent.header("HTQ-Task-Id"), sent.header("HTQ-Attempt")) == (second, "1")


async def test_what_a_target_does_when_it_is_told_to_stop_does_not_open_the_breaker(world: World) -> None:
    await world.store.put_queue("default", QueueSettings(breaker=Breaker(failures=1, hold=60)))
    world.start()
    for ends_in in ("reset", 503):
        uuid = await world.enqueue()
        async with asyncio.timeout(10):
            sent = await world.sender.requests.get()
        await world.store.cancel([Cancel(uuid)])
        delete = await world.sender.deletes.get()
        if ends_in == "reset":
            sent.fail("reset")
        else:
            sent.reply(503)
        delete.reply(204)
        await world.settled(uuid)
    assert (await world.store.lane("default", "http://127.0.0.1:9")).failures == 0


async def test_a_cancel_from_a_target_that_is_unwell_still_counts_where_it_was_not_told(world: World) -> None:
    await world.store.put_queue("default", QueueSettings(breaker=Breaker(failures=1, hold=60)))
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    canceling = world.store.cancel([Cancel(uuid)])
    sent.reply(503)
    await canceling
    await world.settled(uuid)
    assert (await world.store.lane("default", "http://127.0.0.1:9")).hold_reason == "breaker"


COUNTED = QueueSettings(per_key=LaneLimits(rate=(Rate(100, 60, 100, "tokens"),)))
"""100 tokens a minute: one every 0.6 s."""


@pytest.mark.parametrize(
    ("cost_from", "body", "headers"),
    [
        ({"tokens": "X-Tokens"}, b"", (("X-Tokens", "100"),)),
        ({"tokens": "/usage/total"}, b'{"usage": {"total": 100}}', ()),
        ({"tokens": "/usage/total"}, b'{"text": "' + b"x" * CHUNK + b'", "usage": {"total": 100}}', ()),
    ],
    ids=["header", "pointer", "large"],
)
async def test_what_a_task_has_really_cost_is_charged(
    world: World, cost_from: dict[str, str], body: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    await world.store.put_queue("default", COUNTED)
    world.start(WorkerSettings(threads=1))
    await world.enqueue(cost={"tokens": 10}, cost_from=cost_from)
    await world.enqueue(cost={"tokens": 50})
    begun = world.clock.now_ms()
    (await world.sender.requests.get()).reply(200, body, headers)
    await world.next_request()
    assert 30 <= world.seconds_since(begun) < 30 + LATE


async def test_what_a_task_has_cost_less_is_given_back(world: World) -> None:
    await world.store.put_queue("default", COUNTED)
    world.start()
    await world.enqueue(cost={"tokens": 100}, cost_from={"tokens": "X-Tokens"})
    await world.enqueue(cost={"tokens": 50})
    (await world.sender.requests.get()).reply(200, b"", (("X-Tokens", "10"),))
    async with asyncio.timeout(10):
        await world.sender.requests.get()
