"""Requests that are the same, or follow each other, whichever server they come to."""

import asyncio
from collections import Counter
from itertools import cycle

from e2e.gauge import Gauge
from e2e.system import System
from htq.words.states import STATES
from support.target import FakeTarget

MANY = 200
LINE = 80


async def test_of_two_hundred_posts_at_once_to_two_servers_one_is_left_of_an_id_and_one_is_made_of_a_key(
    system: System, target: FakeTarget
) -> None:
    (_, first), (_, second), _ = await asyncio.gather(system.server(), system.server(), system.worker())
    await first.queues.pause("held")
    posts = [
        client.send(target.url("/id"), queue="held", id="one", data={"n": n})
        for n, client in zip(range(MANY), cycle((first, second)), strict=False)
    ]
    uuids = [task["uuid"] for task in await asyncio.gather(*posts)]
    assert len(set(uuids)) == MANY
    assert Counter([await second.status(uuid) for uuid in uuids]) == {"queued": 1, "canceled": MANY - 1}
    (alive,) = [task["uuid"] for task in await first.requests(queue="held")]
    await second.queues.resume("held")
    assert (await first.wait(alive, timeout=20))["status"] == "success"
    assert [request.header("HTQ-Task-Id") for request in target.received("/id")] == [alive]

    posts = [
        client.send(target.url("/key"), "post", "the same", queue="keyed", idempotency_key="one")
        for _, client in zip(range(MANY), cycle((first, second)), strict=False)
    ]
    (made,) = {task["uuid"] for task in await asyncio.gather(*posts)}
    assert (await second.wait(made, timeout=20))["status"] == "success"
    assert [task["uuid"] for task in await first.requests(queue="keyed", status=STATES)] == [made]
    assert [request.header("HTQ-Task-Id") for request in target.received("/key")] == [made]


async def test_those_that_queue_after_each_other_all_run_and_never_two_at_once(
    system: System, target: FakeTarget
) -> None:
    gauge = Gauge()
    target.on("/turn", gauge.slow(0.005))
    (_, first), (_, second), *_ = await asyncio.gather(
        system.server(), system.server(), system.worker(), system.worker(), system.worker()
    )
    posts = [
        client.send(target.url("/turn"), id="line", on_conflict="queue_after", group="line")
        for _, client in zip(range(LINE), cycle((first, second)), strict=False)
    ]
    tasks = await asyncio.gather(*posts)
    await first.groups.close("line")
    group = await second.groups.wait("line", 60)
    assert group["counts"]["success"] == LINE, group
    sent = Counter(request.header("HTQ-Task-Id") for request in target.received("/turn"))
    assert sent == Counter(task["uuid"] for task in tasks), "each was sent, and once"
    assert gauge.most == 1
