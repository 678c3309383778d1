"""Groups: counted through every verb, complete once, and gone with the last of their tasks."""

import asyncio

import pytest

from htq.stores.base import Cancel, Canceled, Done, Enqueued, Filter, Interrupted, OwedCallback, Released, Retry
from htq.words.callback import Callback
from htq.words.group import Group
from htq.words.states import STATES
from stores.conformance.lab import NO_DELETE, Lab, answer, request

CALLBACK = Callback(url="http://127.0.0.1:9/done", source="http://127.0.0.1:5000")
OTHER = Callback(url="http://127.0.0.1:9/other", include="body", queue="callbacks", source="http://127.0.0.1:5000")


async def _group(lab: Lab, name: str = "g", tenant: str = "") -> Group:
    group = await lab.store.group(tenant, name)
    assert group is not None
    return group


async def _counts(lab: Lab, name: str = "g", tenant: str = "") -> dict[str, int]:
    """Without what is not there."""
    return {state: count for state, count in (await _group(lab, name, tenant)).counts.items() if count}


# --- made, closed, full ---


async def test_group_is_made_by_the_first_task_that_names_it(lab: Lab) -> None:
    """`enqueue`: With a `group`: it is made where it is missing."""
    assert await lab.store.group("", "g") is None
    uuid = await lab.enqueue(group="g")
    group = await _group(lab)
    assert (group.name, group.tenant, group.created_at) == ("g", "", lab.now)
    assert (group.closed_at, group.completed_at, group.callback, group.live) == (None, None, None, 1)
    assert await _counts(lab) == {"queued": 1}
    assert (await lab.get(uuid)).group == "g"


async def test_group_is_the_tenants_own(lab: Lab) -> None:
    """Every unique name is unique inside a tenant."""
    await lab.enqueue(group="g", tenant="a")
    await lab.store.put_group("b", "g", CALLBACK, close=True)
    assert await _counts(lab, "g", "a") == {"queued": 1}
    assert (await _group(lab, "g", "a")).closed_at is None
    assert await lab.store.group("", "g") is None


async def test_group_may_be_made_before_its_tasks(lab: Lab) -> None:
    """`put_group`: Make a group or change it."""
    made = await lab.store.put_group("", "g", CALLBACK, close=False)
    assert made == await _group(lab)
    assert (made.callback, made.created_at, made.closed_at) == (CALLBACK, lab.now, None)
    lab.clock.advance(1)
    await lab.enqueue(group="g")
    group = await _group(lab)
    assert (group.callback, group.created_at) == (CALLBACK, lab.now - 1000)


async def test_callback_of_a_group_is_kept_until_another_one_is_given(lab: Lab) -> None:
    """`put_group`: `callback` None leaves that as it is."""
    await lab.enqueue(group="g")
    assert (await lab.store.put_group("", "g", None, close=False)).callback is None
    assert (await lab.store.put_group("", "g", CALLBACK, close=False)).callback == CALLBACK
    assert (await lab.store.put_group("", "g", None, close=False)).callback == CALLBACK
    assert (await lab.store.put_group("", "g", OTHER, close=False)).callback == OTHER
    assert (await lab.store.put_group("", "g", None, close=True)).callback == OTHER


async def test_closed_group_takes_nothing_more(lab: Lab) -> None:
    """`enqueue`: … one that is closed takes nothing more. `closed`, with the task's own uuid."""
    known = lab.task(group="g")
    await lab.store.enqueue([known])
    live = await lab.enqueue(name="report")
    closed = await lab.store.put_group("", "g", None, close=True)
    assert (closed.closed_at, closed.completed_at) == (lab.now, None)
    before = await lab.snapshot()
    task = lab.task(group="g", name="report")
    assert await lab.store.enqueue([task]) == [Enqueued(task.uuid, (), "closed")]
    assert await lab.store.enqueue([known]) == [Enqueued(known.uuid)], "known again, group or not"
    assert await lab.snapshot() == before
    assert await lab.state(live) == "queued", "what is not taken takes nobody's place"


async def test_closed_group_stays_closed(lab: Lab) -> None:
    """`close`: no task is taken into it any more. It is closed once."""
    await lab.enqueue(group="g")
    first = await lab.store.put_group("", "g", None, close=True)
    lab.clock.advance(1)
    assert await lab.store.put_group("", "g", None, close=True) == first
    assert await lab.store.put_group("", "g", None, close=False) == first


async def test_hostile_names_are_names(lab: Lab) -> None:
    """A group's name is the caller's text."""
    names = ["", " ", "a:b", "{htq:x}", "a\x00b", "'; --", "%_*", "ü\U0001f600", "x" * 2000, "1"]
    for name in names:
        await lab.enqueue(group=name)
    for name in names:
        assert (await _group(lab, name)).name == name
        assert await _counts(lab, name) == {"queued": 1}
        assert len(await lab.list_all(Filter(group=name))) == 1


# --- counts ---


async def test_counts_are_kept_through_every_verb(lab: Lab) -> None:
    """`Group.counts`: Its tasks by stored state: counted one by one after each verb that moves one."""

    async def counted() -> None:
        tasks = [task for task in await lab.everything() if task.group == "g"]
        expected = {state: sum(task.state == state for task in tasks) for state in STATES}
        assert await _counts(lab) == {state: count for state, count in expected.items() if count}

    worker = await lab.worker(lease=100)
    await lab.enqueue_many(8, group="g", result_ttl=100.0, request=request(stop=NO_DELETE))
    await lab.enqueue(group="g", name="n", run_at=lab.now + 1000)
    await lab.enqueue()
    await counted()
    await lab.enqueue(group="g", name="n", deadline=lab.now + 5000, run_at=lab.now + 60_000)
    await counted()
    claims = await worker.claim(8)
    await counted()
    await worker.finish(claims[0], Done("success", answer(lab.now)))
    await worker.finish(claims[1], Done("error", answer(lab.now), "reset"))
    await worker.finish(claims[2], Released(), phase="claimed")
    await worker.finish(claims[3], Retry(lab.now + 1000))
    await worker.finish(claims[4], Interrupted(), phase="sent")
    await counted()
    await lab.store.cancel([Cancel(claims[5].uuid), Cancel(claims[0].uuid), Cancel(claims[2].uuid)])
    await counted()
    await worker.finish(claims[5], Canceled(), phase="sent")
    await lab.store.retry([claims[1].uuid])
    await counted()
    late = await lab.enqueue(group="g", start_by=lab.now + 1000, run_at=lab.now + 500)
    await lab.store.run_now([await lab.enqueue(group="g", run_at=lab.now + 90_000)])
    await counted()
    lab.clock.advance(1)
    await lab.store.promote(100)
    await counted()
    await worker.claim(2)
    await (await lab.worker()).claim(100)
    assert await lab.state(late) == "timeout"
    await counted()
    lab.clock.advance(5)
    await lab.store.expire(100)
    await counted()
    await lab.die()
    await lab.store.reap(100)
    await counted()
    await lab.store.close_session(worker.session)
    await counted()
    lab.clock.advance(101)
    assert await lab.store.forget(100) > 0
    await counted()


async def test_tasks_of_other_groups_and_of_none_are_not_counted(lab: Lab) -> None:
    """A group: tasks that are counted together."""
    await lab.enqueue_many(2, group="g")
    await lab.enqueue_many(3, group="h")
    await lab.enqueue_many(4)
    assert [await _counts(lab, name) for name in ("g", "h")] == [{"queued": 2}, {"queued": 3}]


async def test_group_filters_lists_and_selections(lab: Lab) -> None:
    """`Filter.group`, in `list_tasks` and in `select`."""
    uuids = await lab.enqueue_many(5, group="g")
    await lab.enqueue_many(3, group="h")
    await lab.enqueue_many(3)
    await lab.enqueue(group="g", tenant="acme")
    worker = await lab.worker()
    await worker.claim(1)
    where = Filter(group="g", statuses=STATES)
    assert [task.uuid for task in await lab.list_all(where, limit=2)] == uuids
    assert [task.group for task in await lab.list_all(where)] == ["g"] * 5
    assert (await lab.store.select(where, None, 10)).uuids == uuids
    assert len((await lab.store.select(Filter(group="g", statuses=("queued",)), None, 10)).uuids) == 4
    assert len((await lab.store.select(Filter(group="g", tenant="acme"), None, 10)).uuids) == 1
    assert (await lab.store.select(Filter(group="unknown", statuses=STATES), None, 10)).uuids == []


# --- complete, once ---


async def test_closed_group_is_complete_when_its_last_task_ends(lab: Lab) -> None:
    """`Group`: It is complete once it is closed and none of its tasks is alive."""
    await lab.store.put_group("", "g", CALLBACK, close=False)
    await lab.enqueue_many(2, group="g")
    worker = await lab.worker()
    first, second = await worker.claim()
    await lab.store.put_group("", "g", None, close=True)
    await worker.succeed(first)
    assert (await _group(lab)).completed_at is None
    assert await lab.store.owed_callbacks(10) == []
    lab.clock.advance(1)
    await worker.finish(second, Done("error", answer(lab.now), "reset"))
    group = await _group(lab)
    assert (group.completed_at, group.live) == (lab.now, 0)
    assert await lab.store.owed_callbacks(10) == [OwedCallback("group", "", "g", 0, lab.now)]


async def test_open_group_is_not_complete_though_all_its_tasks_have_ended(lab: Lab) -> None:
    """`Group`: … once it is *closed*: that happens in the step that closes it, then."""
    await lab.final(group="g")
    assert (await _group(lab)).completed_at is None
    lab.clock.advance(1)
    group = await lab.store.put_group("", "g", CALLBACK, close=True)
    assert (group.closed_at, group.completed_at) == (lab.now, lab.now)
    assert await lab.store.owed_callbacks(10) == [OwedCallback("group", "", "g", 0, lab.now)]


async def test_empty_group_is_complete_when_it_is_closed(lab: Lab) -> None:
    """`Group`: closed, and none of its tasks is alive: it has none."""
    group = await lab.store.put_group("", "g", CALLBACK, close=True)
    assert (group.closed_at, group.completed_at, group.live) == (lab.now, lab.now, 0)
    owed = await lab.store.owed_callbacks(10)
    assert owed == [OwedCallback("group", "", "g", 0, lab.now)]
    assert (await _group(lab)).callback == CALLBACK
    await lab.store.settle_callbacks(owed)
    assert await lab.store.owed_callbacks(10) == []


async def test_group_without_a_callback_owes_none(lab: Lab) -> None:
    """`owed_callbacks`: Callbacks that are to be queued: where nobody is to be told there is none."""
    await lab.final(group="g")
    group = await lab.store.put_group("", "g", None, close=True)
    assert group.completed_at == lab.now
    assert await lab.store.owed_callbacks(10) == []


@pytest.mark.parametrize("end", ["cancel", "canceled finish", "expire", "claim", "reap", "close", "supersede"])
async def test_group_is_completed_by_whatever_ends_its_last_task(lab: Lab, end: str) -> None:
    """`finish`: Whatever makes a task final, here or in another verb, … completes its group."""
    await lab.store.put_group("", "g", CALLBACK, close=False)
    worker = await lab.worker()
    uuid = await lab.enqueue(group="g", name="n", start_by=lab.now + 1000, delivery="at_most_once")
    claims = await worker.claim() if end in ("canceled finish", "reap", "close") else []
    await lab.store.put_group("", "g", None, close=True)
    lab.clock.advance(1)
    if end == "cancel":
        await lab.store.cancel([Cancel(uuid)])
    elif end == "canceled finish":
        await lab.store.cancel([Cancel(uuid)])
        assert (await _group(lab)).completed_at is None, "its attempt is under way"
        await worker.finish_all(claims, Canceled(), phase="sent")
    elif end == "expire":
        await lab.store.expire(10)
    elif end == "claim":
        assert await worker.claim() == []
    elif end == "reap":
        await lab.die()
    elif end == "close":
        await lab.store.close_session(worker.session)
    else:
        await lab.enqueue(name="n")
    assert (await _group(lab)).completed_at == lab.now
    assert await lab.store.owed_callbacks(10) == [OwedCallback("group", "", "g", 0, lab.now)]


async def test_group_is_completed_once_though_a_task_of_it_is_retried(lab: Lab) -> None:
    """`Group`: complete …: that happens once."""
    uuid = await lab.final("error", group="g")
    await lab.store.put_group("", "g", CALLBACK, close=True)
    completed_at = lab.now
    await lab.store.settle_callbacks(await lab.store.owed_callbacks(10))
    lab.clock.advance(1)
    assert await lab.store.retry([uuid]) == ["queued"]
    group = await _group(lab)
    assert (group.completed_at, group.live) == (completed_at, 1)
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one())
    group = await _group(lab)
    assert (group.completed_at, group.live) == (completed_at, 0)
    assert await lab.store.owed_callbacks(10) == []


async def test_retry_before_the_group_is_closed_keeps_it_from_being_complete(lab: Lab) -> None:
    """`Group`: closed and *none of its tasks is alive*."""
    uuid = await lab.final("error", group="g")
    await lab.store.retry([uuid])
    assert (await lab.store.put_group("", "g", CALLBACK, close=True)).completed_at is None
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one())
    assert (await _group(lab)).completed_at == lab.now
    assert len(await lab.store.owed_callbacks(10)) == 1


async def test_batch_that_ends_every_task_completes_the_group_once(lab: Lab) -> None:
    """`finish`: a batch is as its items one after the other."""
    await lab.store.put_group("", "g", CALLBACK, close=False)
    await lab.enqueue_many(50, group="g")
    await lab.store.put_group("", "g", None, close=True)
    worker = await lab.worker()
    await worker.finish_all(await worker.claim(50), Done("success", answer(lab.now)))
    assert await _counts(lab) == {"success": 50}
    assert await lab.store.owed_callbacks(10) == [OwedCallback("group", "", "g", 0, lab.now)]


async def test_two_who_end_the_last_tasks_at_once_complete_it_once(lab: Lab) -> None:
    """`Group`: that happens once: whoever is last."""
    await lab.store.put_group("", "g", CALLBACK, close=False)
    await lab.enqueue_many(20, group="g")
    await lab.store.put_group("", "g", None, close=True)
    workers = [await lab.worker(), await lab.worker(await lab.open())]
    shares = [await worker.claim(10) for worker in workers]
    async with asyncio.timeout(20):
        await asyncio.gather(
            *(worker.succeed(claim) for worker, claims in zip(workers, shares, strict=True) for claim in claims)
        )
    assert await _counts(lab) == {"success": 20}
    assert await lab.store.owed_callbacks(10) == [OwedCallback("group", "", "g", 0, lab.now)]


# --- forgotten ---


async def test_closed_group_goes_with_its_last_task(lab: Lab) -> None:
    """`forget`: a group goes with its last task if it is closed."""
    await lab.final(group="g", result_ttl=10.0)
    await lab.final(group="g", result_ttl=20.0)
    await lab.store.put_group("", "g", None, close=True)
    lab.clock.advance(11)
    assert await lab.store.forget(10) == 1
    assert await _counts(lab) == {"success": 1}
    lab.clock.advance(10)
    assert await lab.store.forget(10) == 1
    assert await lab.store.group("", "g") is None
    assert await lab.enqueue(group="g")
    assert (await _group(lab)).closed_at is None, "another one, of the same name"


async def test_open_group_stays_without_its_tasks(lab: Lab) -> None:
    """`Group`: It is there as long as one of its tasks is kept, *or until it was closed*."""
    await lab.store.put_group("", "g", CALLBACK, close=False)
    await lab.final(group="g", result_ttl=10.0)
    lab.clock.advance(11)
    assert await lab.store.forget(10) == 1
    assert (await _group(lab)).callback == CALLBACK
    assert await _counts(lab) == {}


async def test_group_is_kept_as_long_as_its_callback_is_owed(lab: Lab) -> None:
    """`forget`: a group goes with its last task if it is closed, and no callback of its own is owed."""
    await lab.final(group="g", result_ttl=10.0)
    await lab.store.put_group("", "g", CALLBACK, close=True)
    lab.clock.advance(11)
    await lab.store.forget(10)
    owed = await lab.store.owed_callbacks(10)
    assert [one.subject for one in owed] == ["g"]
    assert (await _group(lab)).callback == CALLBACK
    await lab.store.settle_callbacks(owed)
    await lab.store.forget(10)
    assert await lab.store.group("", "g") is None
    assert await lab.everything() == []
