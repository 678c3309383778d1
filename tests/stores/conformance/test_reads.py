"""What is read and changes nothing: lists, counts, and the light forms."""

from contextlib import suppress
from typing import Any

import pytest

from htq.stores.base import Cancel, Canceled, Done, Filter
from htq.words.errors import RequestError
from htq.words.states import STATES, State
from stores.conformance.lab import Lab, answer, counts_of, recount


async def _one_of_each(lab: Lab) -> dict[str, str]:
    """A task in every state, and a pending one whose cancel was requested."""
    worker = await lab.worker()
    tasks = {}
    for state in ("success", "error", "timeout"):
        claim = (await lab.pending(worker))[1]
        await worker.finish(claim, Done(state, answer(lab.now)))
        tasks[state] = claim.uuid
    claim = (await lab.pending(worker))[1]
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.finish(claim, Canceled(), phase="claimed")
    tasks["canceled"] = claim.uuid
    tasks["pending"] = (await lab.pending(worker))[1].uuid
    tasks["canceling"] = (await lab.pending(worker))[1].uuid
    await lab.store.cancel([Cancel(tasks["canceling"])])
    tasks["scheduled"] = await lab.enqueue(run_at=lab.now + 5000)
    tasks["queued"] = await lab.enqueue()
    return tasks


async def test_list_without_statuses_is_what_is_queued_and_due(lab: Lab) -> None:
    """`Filter`: With no `statuses`: what is queued and due (the seed's `GET /`)."""
    tasks = await _one_of_each(lab)
    assert [task.uuid for task in await lab.list_all(Filter())] == [tasks["queued"]]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("scheduled",), ["scheduled"]),
        (("queued",), ["queued"]),
        (("pending",), ["pending"]),
        (("success",), ["success"]),
        (("error",), ["error"]),
        (("timeout",), ["timeout"]),
        (("canceled",), ["canceled", "canceling"]),
        (("pending", "queued"), ["pending", "queued"]),
        (("success", "error", "timeout"), ["error", "success", "timeout"]),
        (("canceled", "pending"), ["canceled", "canceling", "pending"]),
        (("error", "scheduled"), ["error", "scheduled"]),
        (STATES, sorted([*STATES, "canceling"])),
    ],
)
async def test_list_by_status(lab: Lab, statuses: tuple[State, ...], expected: list[str]) -> None:
    """`Filter`: `canceled` includes a pending task whose cancel was requested; `pending` excludes it."""
    tasks = await _one_of_each(lab)
    names = {uuid: name for name, uuid in tasks.items()}
    assert sorted(names[task.uuid] for task in await lab.list_all(Filter(statuses=statuses))) == expected


async def test_list_is_the_tenants_own(lab: Lab) -> None:
    """A tenant sees its own tasks: an empty tenant is one, not all."""
    nobodys = await lab.enqueue()
    acmes = await lab.enqueue(tenant="acme")
    assert [task.uuid for task in await lab.list_all(Filter())] == [nobodys]
    assert [task.uuid for task in await lab.list_all(Filter(tenant="acme"))] == [acmes]
    assert await lab.list_all(Filter(tenant="other")) == []


@pytest.mark.parametrize("field", ["queue", "key", "host", "name", "group"])
async def test_list_by_field(lab: Lab, field: str) -> None:
    """`Filter`: those that match every field that is given. Names are compared whole."""

    def fields(value: str) -> dict[str, Any]:
        return {field: value}

    wanted = await lab.enqueue(**fields("wanted"))
    for other in ("Wanted", "wanted ", "want", "wanted%", "", "*"):
        await lab.enqueue(**fields(other))
    assert [task.uuid for task in await lab.list_all(Filter(**fields("wanted")))] == [wanted]
    assert await lab.list_all(Filter(**fields("unknown"))) == []


async def test_list_by_labels(lab: Lab) -> None:
    """`Filter`: every label that is given, with its value."""
    both = await lab.enqueue(labels={"a": "1", "b": "2"})
    one = await lab.enqueue(labels={"a": "1"})
    await lab.enqueue(labels={"a": "2", "b": "1"})
    await lab.enqueue()
    assert [task.uuid for task in await lab.list_all(Filter(labels={"a": "1"}))] == [both, one]
    assert [task.uuid for task in await lab.list_all(Filter(labels={"a": "1", "b": "2"}))] == [both]
    assert await lab.list_all(Filter(labels={"a": "1", "b": "1"})) == []
    assert await lab.list_all(Filter(labels={"1": "a"})) == []


async def test_list_by_time_of_creation(lab: Lab) -> None:
    """`Filter`: `since`: Created at or after. `until`: Created before."""
    start = lab.now
    uuids = []
    for _ in range(4):
        uuids.append(await lab.enqueue())
        lab.clock.advance(1)
    assert [task.uuid for task in await lab.list_all(Filter(since=start + 1000))] == uuids[1:]
    assert [task.uuid for task in await lab.list_all(Filter(until=start + 1000))] == uuids[:1]
    assert [task.uuid for task in await lab.list_all(Filter(since=start + 1000, until=start + 3000))] == uuids[1:3]
    assert await lab.list_all(Filter(since=start + 1, until=start + 1000)) == []


async def test_list_by_several_fields_takes_what_matches_all(lab: Lab) -> None:
    """`Filter`: those that match *every* field that is given."""
    wanted = await lab.enqueue(queue="q", key="k", host="h", name="n", labels={"a": "1"}, tenant="t")
    for field in ("queue", "key", "host", "labels"):
        fields = {"queue": "q", "key": "k", "host": "h", "labels": {"a": "1"}, "tenant": "t"}
        fields[field] = {"a": "2"} if field == "labels" else "other"
        await lab.enqueue(**fields)
    where = Filter(
        tenant="t", statuses=("queued", "success"), queue="q", key="k", host="h", name="n", labels={"a": "1"}, since=0
    )
    assert [task.uuid for task in await lab.list_all(where)] == [wanted]


async def test_pages_are_oldest_first_and_miss_nothing(lab: Lab) -> None:
    """`Page`: Tasks, oldest first, and where to go on; `cursor` None: the end. A page may be short."""
    uuids = []
    for _ in range(23):
        uuids.append(await lab.enqueue())
        lab.clock.advance(0.001)
    for limit in (1, 4, 22, 23, 24):
        assert [task.uuid for task in await lab.list_all(Filter(), limit)] == uuids


async def test_pages_go_on_while_tasks_come_and_go(lab: Lab) -> None:
    """A keyset cursor: what was listed is not listed again, what came behind it is, whatever happened in between."""
    uuids = await lab.enqueue_many(6)
    page = await lab.store.list_tasks(Filter(), None, 3)
    listed = [task.uuid for task in page.tasks]
    await lab.store.cancel([Cancel(uuid) for uuid in (uuids[2], uuids[4])])
    later = await lab.enqueue()
    while page.cursor is not None:
        page = await lab.store.list_tasks(Filter(), page.cursor, 3)
        listed += [task.uuid for task in page.tasks]
    assert listed == [*uuids[:3], uuids[3], uuids[5], later]


async def test_filtered_list_finds_the_few_among_many(lab: Lab) -> None:
    """`Page`: A store looks at a bounded number of records a call, so a page may be short, even empty, with more behind it."""
    await lab.enqueue_many(1100, labels={"a": "1"})
    wanted = await lab.enqueue(labels={"a": "2"})
    await lab.enqueue_many(1100, labels={"a": "1"})
    assert [task.uuid for task in await lab.list_all(Filter(labels={"a": "2"}), 100)] == [wanted]


async def test_cursor_of_another_client_goes_on_in_this_one(lab: Lab) -> None:
    """A cursor is text that means the same to every store object."""
    uuids = await lab.enqueue_many(4)
    other = await lab.open()
    page = await lab.store.list_tasks(Filter(), None, 2)
    assert page.cursor is not None
    rest = await other.list_tasks(Filter(), page.cursor, 10)
    assert [task.uuid for task in (*page.tasks, *rest.tasks)] == uuids


@pytest.mark.parametrize("cursor", ["", "nonsense", "💥", "a\x00", "9" * 500, "-1", "%"])
async def test_garbage_for_a_cursor_is_the_callers_mistake_or_a_place(lab: Lab, cursor: str) -> None:
    """No input gives a 500: a cursor that no page gave is refused, or taken as a place in the list."""
    await lab.enqueue_many(3)
    with suppress(RequestError):
        page = await lab.store.list_tasks(Filter(), cursor, 10)
        assert len(page.tasks) <= 3


async def test_list_leaves_large_bodies_beside(lab: Lab) -> None:
    """`list_tasks`: With large bodies left beside."""
    uuid = await lab.enqueue(body=b"x" * 9000)
    small = await lab.enqueue(body=b"y")
    tasks = {task.uuid: task for task in await lab.list_all(Filter())}
    assert (tasks[uuid].body, tasks[uuid].body_size) == (None, 9000)
    assert (tasks[small].body, tasks[small].body_size) == (b"y", 1)
    assert tasks == {task: await lab.get(task) for task in (uuid, small)}


async def test_stats_count_every_queue_with_live_tasks_by_name(lab: Lab) -> None:
    """`stats`: Every queue that has live tasks, by name. They are kept, not counted."""
    assert await lab.store.stats() == []
    await _one_of_each(lab)
    await lab.enqueue_many(3, queue="z")
    await lab.enqueue_many(2, queue="a", run_at=lab.now + 1)
    await lab.final(queue="over")
    stats = await lab.store.stats()
    assert [queue.name for queue in stats] == ["a", "default", "z"]
    assert counts_of(stats) == {"a": (2, 0, 0), "default": (1, 0, 3), "z": (0, 0, 3)}
    assert counts_of(stats) == recount(await lab.everything())


async def test_stats_tell_the_age_of_the_front_of_the_line(lab: Lab) -> None:
    """`QueueStats.oldest_queued_at`: When the task at the front of the line was created; None if none is queued."""
    created = lab.now
    await lab.enqueue()
    await lab.enqueue(queue="later", run_at=lab.now + 9000)
    lab.clock.advance(5)
    await lab.enqueue()
    oldest = {queue.name: queue.oldest_queued_at for queue in await lab.store.stats()}
    assert oldest == {"default": created, "later": None}


async def test_counts_stay_right_through_a_whole_life(lab: Lab) -> None:
    """`QueueStats`: They are kept, not counted: so they are recounted after each verb."""

    async def counted() -> None:
        assert counts_of(await lab.store.stats()) == recount(await lab.everything())

    worker = await lab.worker()
    for queue in ("a", "b"):
        for key in ("k", "l"):
            await lab.enqueue_many(4, queue=queue, key=key, name=None)
    await lab.enqueue(queue="a", run_at=lab.now + 1000, name="n")
    await counted()
    claims = await worker.claim(10)
    await counted()
    await worker.finish_all(claims[:3], Done("success", answer(lab.now)))
    await counted()
    await lab.enqueue(queue="b", name="n")
    await counted()
    await lab.store.cancel([Cancel(task.uuid) for task in (await lab.everything())[:8]])
    await counted()
    lab.clock.advance(14)
    await lab.store.promote(100)
    await counted()
    lab.clock.advance(8 * 86400)
    await lab.store.reap(4)
    await counted()
    await lab.store.reap(100)
    await counted()
    await lab.store.forget(3)
    await lab.store.forget(100)
    await counted()


async def test_reads_answer_in_the_order_asked_unknown_ones_among_them(lab: Lab) -> None:
    """`get`, `states`, `responses`: item by item, in the order of the items."""
    done = await lab.final()
    queued = await lab.enqueue()
    asked = [queued, "nonsense", done, queued]
    assert [task and task.uuid for task in await lab.store.get(asked)] == [queued, None, done, queued]
    assert await lab.store.states(asked) == [("queued", False), None, ("success", False), ("queued", False)]
    assert [response is not None for response in await lab.store.responses(asked)] == [False, False, True, False]


async def test_live_tasks_have_no_response(lab: Lab) -> None:
    """`responses`: Responses of final tasks; None where there is none (yet, or any more)."""
    tasks = await _one_of_each(lab)
    live = [tasks[state] for state in ("scheduled", "queued", "pending", "canceling", "canceled")]
    assert await lab.store.responses(live) == [None] * 5


async def test_empty_batches_are_answered_with_nothing(lab: Lab) -> None:
    """Each verb is over a batch, and an empty one is a batch."""
    worker = await lab.worker()
    store = lab.store
    assert await store.enqueue([]) == []
    assert await store.finish(worker.session, []) == []
    assert await store.cancel([]) == []
    assert await store.settle_stops(worker.session, []) == []
    assert await store.get([]) == []
    assert await store.states([]) == []
    assert await store.responses([]) == []
    assert await store.delete_response([]) == []
    assert await store.retry([]) == []
    assert await store.run_now([]) == []
    assert await store.fire([]) == []
    await store.settle_callbacks([])
