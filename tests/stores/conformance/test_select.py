"""`select`: the uuids that `list_tasks` would give, without reading the tasks."""

from contextlib import suppress

import pytest

from htq.stores.base import Cancel, Canceled, Done, Filter
from htq.words.errors import RequestError
from htq.words.states import STATES
from stores.conformance.lab import Lab, answer

WHOLE = Filter(statuses=STATES)

FILTERS = (
    Filter(),
    WHOLE,
    Filter(statuses=("scheduled",)),
    Filter(statuses=("pending",)),
    Filter(statuses=("success", "error")),
    Filter(statuses=("canceled", "queued")),
    Filter(statuses=STATES, tenant="acme"),
    Filter(statuses=STATES, queue="q"),
    Filter(statuses=STATES, key="k"),
    Filter(statuses=STATES, host="h"),
    Filter(statuses=STATES, name="n"),
    Filter(statuses=STATES, group="g"),
    Filter(statuses=("queued",), group="g", labels={"a": "1"}),
    Filter(statuses=STATES, labels={"a": "1"}),
    Filter(statuses=STATES, labels={"a": "1", "b": "2"}),
    Filter(statuses=("queued",), queue="q", labels={"a": "1"}, since=0),
    Filter(statuses=STATES, queue="unknown"),
)


async def _some_of_all(lab: Lab) -> None:
    worker = await lab.worker()
    for state in ("success", "error", "timeout"):
        await worker.finish((await lab.pending(worker, host="h"))[1], Done(state, answer(lab.now)))
    canceled, canceling, _ = [(await lab.pending(worker))[1] for _ in range(3)]
    await lab.store.cancel([Cancel(canceled.uuid), Cancel(canceling.uuid)])
    await worker.finish(canceled, Canceled(), phase="claimed")
    await lab.enqueue(run_at=lab.now + 5000, name="n", labels={"a": "1", "b": "2"})
    for fields in ({"queue": "q"}, {"key": "k"}, {"host": "h"}, {"labels": {"a": "1"}}, {"tenant": "acme"}):
        lab.clock.advance(1)
        await lab.enqueue(**fields, body=b"x" * 9000)
    await lab.enqueue(queue="q", labels={"a": "1"})
    await lab.enqueue(group="g", labels={"a": "1"})
    await lab.pending(worker, group="g")


async def _select_all(lab: Lab, where: Filter, limit: int) -> list[str]:
    uuids: list[str] = []
    cursor: str | None = None
    while True:
        selection = await lab.store.select(where, cursor, limit)
        assert len(selection.uuids) <= limit
        uuids += selection.uuids
        cursor = selection.cursor
        if cursor is None:
            return uuids


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_select_gives_what_a_list_gives(lab: Lab, limit: int) -> None:
    """`select`: The uuids that `list_tasks` would give."""
    await _some_of_all(lab)
    times = [Filter(statuses=STATES, since=lab.now - 2000), Filter(statuses=STATES, until=lab.now - 2000)]
    for where in (*FILTERS, *times):
        expected = [task.uuid for task in await lab.list_all(where)]
        assert await _select_all(lab, where, limit) == expected, where
    assert len(await _select_all(lab, WHOLE, limit)) == 14


async def test_select_and_list_go_on_at_each_others_cursor(lab: Lab) -> None:
    """`Selection`: As `Page`, with the uuids alone."""
    uuids = await lab.enqueue_many(6)
    selection = await lab.store.select(Filter(), None, 2)
    page = await lab.store.list_tasks(Filter(), selection.cursor, 2)
    rest = await (await lab.open()).select(Filter(), page.cursor, 10)
    assert [*selection.uuids, *(task.uuid for task in page.tasks), *rest.uuids] == uuids
    assert rest.cursor is None


async def test_all_that_match_can_be_canceled_page_by_page(lab: Lab) -> None:
    """`select`: … for what is done to many of them. What is canceled on the way does not move what comes behind it."""
    uuids = await lab.enqueue_many(30, labels={"a": "1"})
    spared = await lab.enqueue_many(5)
    where = Filter(statuses=("queued",), labels={"a": "1"})
    cursor: str | None = None
    canceled: list[str] = []
    while True:
        selection = await lab.store.select(where, cursor, 7)
        await lab.store.cancel([Cancel(uuid) for uuid in selection.uuids])
        canceled += selection.uuids
        cursor = selection.cursor
        if cursor is None:
            break
    assert canceled == uuids
    assert {await lab.state(uuid) for uuid in uuids} == {"canceled"}
    assert {await lab.state(uuid) for uuid in spared} == {"queued"}


async def test_select_finds_the_few_among_many(lab: Lab) -> None:
    """`Page`: A store looks at a bounded number of records a call, so a page may be short, even empty, with more behind it."""
    await lab.enqueue_many(1100, labels={"a": "1"})
    wanted = await lab.enqueue(labels={"a": "2"})
    await lab.enqueue_many(1100, labels={"a": "1"})
    assert await _select_all(lab, Filter(labels={"a": "2"}), 100) == [wanted]


async def test_select_of_an_empty_store_is_empty(lab: Lab) -> None:
    """`cursor` None: the end."""
    assert await lab.store.select(WHOLE, None, 10) == ([], None)


@pytest.mark.parametrize("cursor", ["", "nonsense", "9" * 500, "%"])
async def test_garbage_for_a_cursor_is_the_callers_mistake_or_a_place(lab: Lab, cursor: str) -> None:
    """No input gives a 500: a cursor that no page gave is refused, or taken as a place in the list."""
    await lab.enqueue_many(3)
    with suppress(RequestError):
        assert len((await lab.store.select(Filter(), cursor, 10)).uuids) <= 3
