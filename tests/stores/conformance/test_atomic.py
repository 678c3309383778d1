"""`enqueue` with `atomic`: all of the call's or none."""

from htq.stores.base import Enqueued
from htq.words.task import Idempotency
from stores.conformance.lab import Lab


async def test_atomic_call_without_a_refusal_takes_all(lab: Lab) -> None:
    """`atomic`: all of the call's."""
    old = await lab.enqueue(name="a")
    tasks = [lab.task(name="a"), lab.task(group="g", body=b"x" * 9000), lab.task(run_at=lab.now + 1000)]
    assert await lab.store.enqueue(tasks, atomic=True) == [
        (tasks[0].uuid, (old,), "created"),
        (tasks[1].uuid, (), "created"),
        (tasks[2].uuid, (), "created"),
    ]
    assert [await lab.state(task.uuid) for task in tasks] == ["queued", "queued", "scheduled"]


async def test_refusal_of_one_leaves_nothing_of_the_call(lab: Lab) -> None:
    """`atomic`: … or none. With one refused, the answers of those that would have been taken are `untaken`."""
    live = await lab.enqueue(name="a")
    superseded = await lab.enqueue(name="b")
    before = await lab.snapshot()
    tasks = [
        lab.task(name="b", body=b"x" * 9000),
        lab.task(group="fresh", idempotency=Idempotency("k", b"f", 100.0)),
        lab.task(name="a", on_conflict="reject"),
        lab.task(queue="new", run_at=lab.now + 1000),
    ]
    assert await lab.store.enqueue(tasks, atomic=True) == [
        Enqueued(tasks[0].uuid, (), "untaken"),
        Enqueued(tasks[1].uuid, (), "untaken"),
        Enqueued(live, (), "rejected"),
        Enqueued(tasks[3].uuid, (), "untaken"),
    ]
    assert await lab.snapshot() == before
    assert [await lab.state(uuid) for uuid in (live, superseded)] == ["queued", "queued"]
    assert await lab.store.group("", "fresh") is None
    assert len(await (await lab.worker()).claim()) == 2


async def test_every_kind_of_refusal_undoes_the_call(lab: Lab) -> None:
    """`REFUSED`: a mismatch, a live task of the name, a closed group."""
    await lab.enqueue(name="a", idempotency=Idempotency("k", b"f", 100.0))
    await lab.store.put_group("", "closed", None, close=True)
    refused: dict[str, dict[str, object]] = {
        "mismatch": {"idempotency": Idempotency("k", b"other", 100.0)},
        "rejected": {"name": "a", "on_conflict": "reject"},
        "closed": {"group": "closed"},
    }
    for outcome, fields in refused.items():
        before = await lab.snapshot()
        items = await lab.store.enqueue([lab.task(), lab.task(**fields), lab.task()], atomic=True)
        assert [item.outcome for item in items] == ["untaken", outcome, "untaken"]
        assert await lab.snapshot() == before


async def test_what_takes_another_tasks_place_is_no_refusal(lab: Lab) -> None:
    """`REFUSED` knows neither `existing` nor `replayed`: beside them the others are taken."""
    live = await lab.enqueue(name="a", idempotency=Idempotency("k", b"f", 100.0))
    tasks = [
        lab.task(name="a", on_conflict="return_existing"),
        lab.task(idempotency=Idempotency("k", b"f", 100.0)),
        lab.task(),
    ]
    items = await lab.store.enqueue(tasks, atomic=True)
    assert items == [(live, (), "existing"), (live, (), "replayed"), (tasks[2].uuid, (), "created")]


async def test_what_would_not_have_been_taken_says_so_still(lab: Lab) -> None:
    """`atomic`: the answers of those *that would have been taken* are `untaken`."""
    live = await lab.enqueue(name="a", idempotency=Idempotency("k", b"f", 100.0))
    known = lab.task()
    await lab.store.enqueue([known])
    tasks = [
        lab.task(name="a", on_conflict="reject"),
        lab.task(idempotency=Idempotency("k", b"f", 100.0)),
        lab.task(name="a", on_conflict="return_existing"),
        known,
        lab.task(),
    ]
    items = await lab.store.enqueue(tasks, atomic=True)
    assert [item.outcome for item in items] == ["rejected", "replayed", "existing", "created", "untaken"]
    assert [item.uuid for item in items] == [live, live, live, known.uuid, tasks[4].uuid]


async def test_refusal_by_another_item_of_the_call_undoes_both(lab: Lab) -> None:
    """`atomic`: all of the call's or none: the one that stands in the way is one of them."""
    tasks = [lab.task(name="a"), lab.task(name="a", on_conflict="reject")]
    items = await lab.store.enqueue(tasks, atomic=True)
    assert [item.outcome for item in items] == ["untaken", "rejected"]
    assert await lab.everything() == []


async def test_repeated_atomic_call_answers_as_before(lab: Lab) -> None:
    """It may be repeated when its outcome is unknown."""
    await lab.enqueue(name="a")
    taken = [lab.task(name="a"), lab.task()]
    refused = [lab.task(), lab.task(name="a", on_conflict="reject")]
    for tasks in (taken, refused):
        first = await lab.store.enqueue(tasks, atomic=True)
        before = await lab.snapshot()
        assert await lab.store.enqueue(tasks, atomic=True) == first
        assert await lab.snapshot() == before


async def test_call_that_is_not_atomic_takes_what_it_can(lab: Lab) -> None:
    """One item's refusal never fails another."""
    live = await lab.enqueue(name="a")
    tasks = [lab.task(), lab.task(name="a", on_conflict="reject"), lab.task()]
    items = await lab.store.enqueue(tasks)
    assert items == [Enqueued(tasks[0].uuid), Enqueued(live, (), "rejected"), Enqueued(tasks[2].uuid)]


async def test_large_atomic_call_is_undone_whole(lab: Lab) -> None:
    """It is one atomic step over a batch, whatever its size."""
    await lab.enqueue(name="a")
    before = await lab.snapshot()
    tasks = [*(lab.task(key=str(at % 50)) for at in range(600)), lab.task(name="a", on_conflict="reject")]
    items = await lab.store.enqueue(tasks, atomic=True)
    assert [item.outcome for item in items] == ["untaken"] * 600 + ["rejected"]
    assert await lab.snapshot() == before
    lab.clock.advance(1)
    again = [lab.task(uuid=task.uuid) for task in tasks[:600]]
    assert {item.outcome for item in await lab.store.enqueue(again, atomic=True)} == {"created"}
