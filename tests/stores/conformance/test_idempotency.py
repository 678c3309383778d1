"""`enqueue` with an idempotency key: the same request is the same task."""

import asyncio

from htq.stores.base import Cancel, Enqueued
from htq.words.task import Idempotency, NewTask
from stores.conformance.lab import Lab

DAY = 86400.0


def _key(key: str = "k", fingerprint: bytes = b"\x00same\xff", keep_for: float = DAY) -> Idempotency:
    return Idempotency(key, fingerprint, keep_for)


def _task(lab: Lab, key: str = "k", fingerprint: bytes = b"\x00same\xff", **fields: object) -> NewTask:
    return lab.task(idempotency=_key(key, fingerprint), **fields)


async def test_known_key_with_the_same_request_is_replayed(lab: Lab) -> None:
    """`replayed`: its idempotency key is known with this fingerprint. The uuid is that of the task in its place."""
    first, again = _task(lab), _task(lab)
    assert await lab.store.enqueue([first]) == [Enqueued(first.uuid)]
    before = await lab.snapshot()
    assert await lab.store.enqueue([again]) == [Enqueued(first.uuid, (), "replayed")]
    assert await lab.snapshot() == before
    assert await lab.state(again.uuid) == "unknown"


async def test_known_key_with_another_request_is_a_mismatch(lab: Lab) -> None:
    """`mismatch`: the key is known with another one."""
    first = _task(lab)
    await lab.store.enqueue([first])
    before = await lab.snapshot()
    other = _task(lab, fingerprint=b"other")
    assert await lab.store.enqueue([other]) == [Enqueued(first.uuid, (), "mismatch")]
    assert await lab.store.enqueue([_task(lab, fingerprint=b"")]) == [Enqueued(first.uuid, (), "mismatch")]
    assert await lab.snapshot() == before


async def test_uuid_is_looked_for_before_the_key(lab: Lab) -> None:
    """`enqueue`: A uuid that is known is known again …, and the answer is as it was. So it is looked for first."""
    old = await lab.enqueue(name="report")
    task = _task(lab, name="report")
    answer = [Enqueued(task.uuid, (old,), "created")]
    assert await lab.store.enqueue([task]) == answer
    assert await lab.store.enqueue([task]) == answer


async def test_key_is_known_whatever_became_of_its_task(lab: Lab) -> None:
    """`enqueue`: a key that the tenant has used, `keep_for` not over since: the task may be over, or forgotten."""
    first = _task(lab, result_ttl=1.0)
    await lab.store.enqueue([first])
    await lab.store.cancel([Cancel(first.uuid)])
    assert await lab.store.enqueue([_task(lab)]) == [Enqueued(first.uuid, (), "replayed")]
    lab.clock.advance(5)
    assert await lab.store.forget(10) == 1
    assert await lab.store.enqueue([_task(lab)]) == [Enqueued(first.uuid, (), "replayed")]
    assert await lab.everything() == []


async def test_key_is_free_again_when_its_time_is_over(lab: Lab) -> None:
    """`enqueue`: … `keep_for` not over since. A replay does not make it longer."""
    first = lab.task(idempotency=_key(keep_for=10.0))
    await lab.store.enqueue([first])
    lab.clock.advance(9.9)
    assert (await lab.store.enqueue([_task(lab)]))[0].outcome == "replayed"
    lab.clock.advance(0.2)
    second = lab.task(idempotency=_key(fingerprint=b"other", keep_for=10.0))
    assert await lab.store.enqueue([second]) == [Enqueued(second.uuid)]
    assert (await lab.store.enqueue([_task(lab)]))[0] == Enqueued(second.uuid, (), "mismatch")


async def test_keys_go_when_their_time_is_over_and_not_before(lab: Lab) -> None:
    """`forget`: Idempotency keys go when their time is over."""
    short = lab.task(idempotency=_key("short", keep_for=10.0))
    long = lab.task(idempotency=_key("long", keep_for=1000.0))
    await lab.store.enqueue([short, long])
    lab.clock.advance(11)
    await lab.store.forget(100)
    answers = await lab.store.enqueue([_task(lab, "short"), _task(lab, "long")])
    assert [answer.outcome for answer in answers] == ["created", "replayed"]
    assert answers[1].uuid == long.uuid


async def test_key_is_the_tenants_own(lab: Lab) -> None:
    """`enqueue`: a key that *the tenant* has used."""
    tasks = [_task(lab, tenant=tenant) for tenant in ("", "a", "b")]
    assert [answer.outcome for answer in await lab.store.enqueue(tasks)] == ["created"] * 3
    again = [_task(lab, tenant=tenant) for tenant in ("b", "", "a")]
    answers = await lab.store.enqueue(again)
    assert answers == [Enqueued(tasks[at].uuid, (), "replayed") for at in (2, 0, 1)]


async def test_key_twice_in_one_batch_is_one_task(lab: Lab) -> None:
    """A batch is as its items one after the other."""
    tasks = [_task(lab), _task(lab), _task(lab, "l"), _task(lab, fingerprint=b"other")]
    assert await lab.store.enqueue(tasks) == [
        Enqueued(tasks[0].uuid),
        Enqueued(tasks[0].uuid, (), "replayed"),
        Enqueued(tasks[2].uuid),
        Enqueued(tasks[0].uuid, (), "mismatch"),
    ]
    assert [task.uuid for task in await lab.everything()] == [tasks[0].uuid, tasks[2].uuid]


async def test_replay_and_mismatch_cancel_nothing(lab: Lab) -> None:
    """`enqueue`: the key is looked at before the name: what is not taken takes nobody's place."""
    first = _task(lab)
    live = lab.task(name="report")
    await lab.store.enqueue([first, live])
    answers = await lab.store.enqueue([_task(lab, name="report"), _task(lab, fingerprint=b"other", name="report")])
    assert [answer.outcome for answer in answers] == ["replayed", "mismatch"]
    assert await lab.state(live.uuid) == "queued"


async def test_what_is_refused_leaves_no_key_behind(lab: Lab) -> None:
    """`enqueue`: What is refused leaves no key behind: the same request may be taken the next time."""
    live = await lab.enqueue(name="report")
    await lab.store.put_group("", "done", None, close=True)
    await lab.enqueue(idempotency=_key("known"))
    refused = [
        _task(lab, "1", name="report", on_conflict="reject"),
        _task(lab, "2", group="done"),
        _task(lab, "known", fingerprint=b"other"),
    ]
    answers = await lab.store.enqueue(refused)
    assert [answer.outcome for answer in answers] == ["rejected", "closed", "mismatch"]
    untaken = [_task(lab, "3"), _task(lab, "4", name="report", on_conflict="reject")]
    answers = await lab.store.enqueue(untaken, atomic=True)
    assert [answer.outcome for answer in answers] == ["untaken", "rejected"]
    await lab.store.cancel([Cancel(live)])
    again = [_task(lab, str(number), fingerprint=b"new") for number in range(1, 5)]
    assert [answer.outcome for answer in await lab.store.enqueue(again)] == ["created"] * 4


async def test_task_in_whose_place_another_is_keeps_the_key(lab: Lab) -> None:
    """`enqueue`: `existing` leaves one to the task that is there: the same request goes on naming that one."""
    live = await lab.enqueue(name="report")
    first = _task(lab, name="report", on_conflict="return_existing")
    assert await lab.store.enqueue([first]) == [Enqueued(live, (), "existing")]
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one())
    again = _task(lab, name="report", on_conflict="return_existing")
    assert await lab.store.enqueue([again]) == [Enqueued(live, (), "replayed")]


async def test_hostile_keys_are_keys(lab: Lab) -> None:
    """A key is the caller's text, and a fingerprint is bytes."""
    keys = ["", " ", "a:b", "{htq:x}", "a\x00b", "'; --", "%", "ü\U0001f600", "x" * 2000, "1", "1e5", "null"]
    tasks = [_task(lab, key, fingerprint=key.encode() + b"\x00\xff") for key in keys]
    assert [answer.outcome for answer in await lab.store.enqueue(tasks)] == ["created"] * len(keys)
    again = [_task(lab, key, fingerprint=key.encode() + b"\x00\xff") for key in keys]
    answers = await lab.store.enqueue(again)
    assert answers == [Enqueued(task.uuid, (), "replayed") for task in tasks]


async def test_of_many_at_once_one_is_taken(lab: Lab) -> None:
    """`enqueue`: decided inside the step: two clients with one key make one task."""
    stores = [lab.store, await lab.open()]
    tasks = [_task(lab) for _ in range(60)]
    async with asyncio.timeout(20):
        items = await asyncio.gather(*(stores[at % 2].enqueue([task]) for at, task in enumerate(tasks)))
    outcomes = [item.outcome for (item,) in items]
    assert sorted(outcomes) == ["created"] + ["replayed"] * 59
    assert len({item.uuid for (item,) in items}) == 1
    assert len(await lab.everything()) == 1
