"""`enqueue`, without names: what comes in, and what a repeated call changes."""

import pytest

from htq.stores.base import Enqueued
from htq.words.callback import Callback
from htq.words.errors import HtqError
from htq.words.retry import RetryPolicy
from htq.words.task import Request, StopPolicy, Timeouts
from stores.conformance.lab import Lab, request


async def test_enqueued_task_is_queued_and_seen_by_another_client(lab: Lab) -> None:
    """`enqueue`: Take tasks. `scheduled` if `run_at` is in the future, else `queued`."""
    other = await lab.open()
    uuid = await lab.enqueue()
    assert await other.states([uuid]) == [("queued", False)]


async def test_task_keeps_every_field_it_came_with(lab: Lab) -> None:
    """`get`: Tasks as they stand."""
    full = Request(
        url="https://example.test/a?b=c",
        method="patch",
        headers=(("X-One", "1"), ("x-one", "2"), ("X-Raw", "caf\xe9")),
        body_kind="json",
        timeouts=Timeouts(total=2.5, connect=1.0, first_byte=2.0, idle=0.5),
        timeout_given=True,
        redirects=3,
        max_response=1000,
        stop=StopPolicy(delete=False, between=True),
        retry=RetryPolicy(max=3, delays=(0.5, 2.0), jitter=False, on=("5xx", "connect"), max_elapsed=60.0),
        cost_from={"tokens": "/usage/total_tokens"},
        callback=Callback(url="https://example.test/done", on=("error",), include="body", source="https://htq.test"),
        signed=True,
    )
    task = lab.task(
        request=full,
        body=b'{"a": 1}',
        tenant="acme",
        owner="key-1",
        name="report",
        queue="slow",
        key="lane",
        host="example.test",
        priority=9,
        labels={"color": "blue", "size": "9"},
        delivery="at_most_once",
        result_ttl=12.5,
        start_by=lab.now + 5000,
        deadline=lab.now + 9000,
        cost={"tokens": 1200.5, "": 0.0},
        group="batch",
    )
    await lab.store.enqueue([task])
    stored = await lab.get(task.uuid)
    for field in (
        *("uuid", "request", "body", "tenant", "owner", "name", "queue", "key", "host", "priority", "labels"),
        *("delivery", "result_ttl", "start_by", "deadline", "cost", "group"),
    ):
        assert getattr(stored, field) == getattr(task, field), field
    assert stored.body_size == 8
    assert (stored.state, stored.reason, stored.finished_at, stored.cancel) == ("queued", None, None, None)
    assert (stored.attempt, stored.failures, stored.crashes, stored.has_response) == (0, 0, 0, False)
    assert (stored.created_at, stored.run_at) == (lab.now, lab.now)


async def test_task_with_a_later_run_at_is_scheduled(lab: Lab) -> None:
    """`enqueue`: `scheduled` if `run_at` is in the future, else `queued`."""
    later = await lab.enqueue(run_at=lab.now + 1)
    sooner = await lab.enqueue(run_at=lab.now)
    past = await lab.enqueue(run_at=lab.now - 1000)
    assert [await lab.state(uuid) for uuid in (later, sooner, past)] == ["scheduled", "queued", "queued"]
    assert (await lab.get(later)).run_at == lab.now + 1


async def test_known_uuid_is_known_again(lab: Lab) -> None:
    """`enqueue`: A uuid that is known is known again: nothing changes, and the answer is as it was."""
    task = lab.task(name="report", labels={"a": "1"})
    first = await lab.store.enqueue([task])
    before = await lab.snapshot()
    lab.clock.advance(5)
    assert await lab.store.enqueue([task]) == first
    assert await lab.snapshot() == before


async def test_known_uuid_is_known_before_its_name_is_looked_at(lab: Lab) -> None:
    """`enqueue`: … and the answer is as it was. A repeat after the name went on does not take the name back."""
    first = lab.task(name="report")
    second = lab.task(name="report")
    answers = [await lab.store.enqueue([task]) for task in (first, second)]
    again = [await lab.store.enqueue([task]) for task in (first, second)]
    assert again == answers
    assert answers[1][0].superseded == (first.uuid,)
    assert [await lab.state(task.uuid) for task in (first, second)] == ["canceled", "queued"]


async def test_known_uuid_is_not_run_again_once_it_is_final(lab: Lab) -> None:
    """`enqueue`: A uuid that is known is known again: nothing changes."""
    worker = await lab.worker()
    task = lab.task()
    await lab.store.enqueue([task])
    await worker.succeed(await worker.claim_one())
    await lab.store.enqueue([task])
    assert await lab.state(task.uuid) == "success"
    assert await worker.claim() == []


async def test_uuid_twice_in_one_batch_is_one_task(lab: Lab) -> None:
    """`enqueue`: A uuid that is known is known again: also inside one batch."""
    task = lab.task()
    first, second = await lab.store.enqueue([task, task])
    assert first == second == Enqueued(task.uuid)
    assert len(await lab.everything()) == 1


async def test_answers_are_in_the_order_of_the_tasks(lab: Lab) -> None:
    """Outcomes are per item and in the order of the items."""
    known = lab.task()
    await lab.store.enqueue([known])
    tasks = [lab.task(), known, lab.task(queue="other"), lab.task(run_at=lab.now + 9000)]
    assert [item.uuid for item in await lab.store.enqueue(tasks)] == [task.uuid for task in tasks]


async def test_large_batch_comes_in_whole(lab: Lab) -> None:
    """It is one atomic step over a batch, whatever its size."""
    uuids = await lab.enqueue_many(1200)
    worker = await lab.worker()
    claimed: list[str] = []
    while claims := await worker.claim(2000):
        claimed += (claim.uuid for claim in claims)
    assert sorted(claimed) == uuids


HOSTILE = (
    "",
    " ",
    "a:b",
    "{htq:x}",
    "a\x00b",
    "line\nbreak\r\n",
    "'; DROP TABLE tasks; --",
    '"quoted"',
    "%_\\*?[a-z]",
    "💥 und ümlaute",
    "\x1f|\x1e",
    "1",
    "1e5",
    "null",
    "x" * 2000,
    "../../etc",
    "$.a[0]",
)
"""Names that have meant something to some store's syntax."""


@pytest.mark.parametrize("field", ["queue", "key", "host", "name", "tenant", "owner", "label", "value"])
async def test_hostile_names_come_back_as_they_went_in(lab: Lab, field: str) -> None:
    """User-given names mean nothing to a store: they come back as they are, and never meet one another."""
    tasks = []
    for hostile in HOSTILE:
        if field == "label":
            tasks.append(lab.task(labels={hostile: "v"}))
        elif field == "value":
            tasks.append(lab.task(labels={"l": hostile}))
        else:
            tasks.append(lab.task(**{field: hostile}))
    answers = await lab.store.enqueue(tasks)
    assert not any(item.superseded for item in answers)
    worker = await lab.worker()
    claims = {claim.uuid for claim in await worker.claim(100)}
    assert claims == {task.uuid for task in tasks}
    for task, stored in zip(tasks, await lab.store.get([task.uuid for task in tasks]), strict=True):
        assert stored is not None
        for name in ("queue", "key", "host", "name", "tenant", "owner", "labels"):
            assert getattr(stored, name) == getattr(task, name)
    if field == "queue":
        assert [queue.name for queue in await lab.store.stats()] == sorted(HOSTILE)


async def test_unknown_and_odd_uuids_are_not_found(lab: Lab) -> None:
    """`get`, `states`, `responses`, `attempts`, `retry`, `run_now`: None for an unknown uuid; no text is an error."""
    uuid = await lab.enqueue()
    odd = ["", "x", "*", uuid.upper() + "0", "00000000-0000-0000-0000-000000000000", uuid[:-1], "é" * 36, "a\x00b"]
    assert await lab.store.get(odd) == [None] * len(odd)
    assert await lab.store.states(odd) == [None] * len(odd)
    assert await lab.store.responses(odd) == [None] * len(odd)
    assert await lab.store.delete_response(odd) == [False] * len(odd)
    assert [await lab.store.attempts(name) for name in odd] == [[]] * len(odd)
    assert await lab.store.retry(odd) == [None] * len(odd)
    assert await lab.store.run_now(odd) == [None] * len(odd)


async def test_store_object_without_its_store_says_so_in_the_tree_of_errors(lab: Lab) -> None:
    """It answers or raises `StoreUnavailable`: a closed store object is no exception to the tree."""
    other = await lab.open()
    await other.close()
    with pytest.raises(HtqError):
        await other.enqueue([lab.task()])


async def test_close_may_be_called_twice(lab: Lab) -> None:
    """`close`: Let go of everything. May be called twice."""
    other = await lab.open()
    await other.close()
    await other.close()


async def test_open_says_what_this_is(lab: Lab) -> None:
    """`open`: Connect, bring the schema up, say what this is. `location`: without any password."""
    again = lab.reopen()
    info = await again.open()
    try:
        assert info.kind in ("sqlite", "redis")
        assert info.location
        assert info.durability.strip()
    finally:
        await again.close()


async def test_tasks_outlive_the_store_objects(lab: Lab) -> None:
    """`enqueue`: Durable on return: what one object took, the next one has."""
    first = await lab.open()
    task = lab.task(body=b"x" * 5000, request=request())
    await first.enqueue([task])
    await first.close()
    second = await lab.open()
    (stored,) = await second.get([task.uuid])
    assert stored is not None
    assert stored.body_size == 5000
