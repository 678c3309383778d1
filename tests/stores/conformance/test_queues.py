"""The settings of queues: what an operator says of them, kept whether they have tasks or not."""

import pytest

from htq.stores.base import Cancel, Filter, QueueSettings
from htq.words.states import STATES
from htq.words.task import StopPolicy
from stores.conformance.lab import Lab

FULL = QueueSettings(
    stop=StopPolicy(
        delete=True,
        method="post",
        url="{url}/cancel?id={uuid}&attempt={attempt}",
        headers=(("X-Raw", "caf\xe9"), ("x-raw", "")),
        grace=0.25,
        on_timeout=True,
    )
)
QUIET = QueueSettings(stop=StopPolicy(delete=False))


async def test_settings_are_given_back_as_they_were_put(lab: Lab) -> None:
    """`queues`: The settings of every queue that has any."""
    assert await lab.store.queues() == {}
    await lab.store.put_queue("full", FULL)
    await lab.store.put_queue("quiet", QUIET)
    assert await lab.store.queues() == {"full": FULL, "quiet": QUIET}


async def test_last_settings_win(lab: Lab) -> None:
    """`put_queue`: the last one wins: whole, not field by field. It may be repeated."""
    for settings in (FULL, QUIET, QUIET, QueueSettings()):
        await lab.store.put_queue("q", settings)
        assert await lab.store.queues() == {"q": settings}


async def test_settings_are_seen_by_others_and_outlive_the_store_object(lab: Lab) -> None:
    """`put_queue`: Durable on return."""
    other = await lab.open()
    await lab.store.put_queue("q", FULL)
    assert await other.queues() == {"q": FULL}
    await lab.store.close()
    again = await lab.open()
    lab.opened.remove(again)
    lab.opened.insert(0, again)
    assert await lab.store.queues() == {"q": FULL}


async def test_settings_need_no_tasks_and_outlive_them(lab: Lab) -> None:
    """`stats` tells of queues that have live tasks, `queues` of those that have settings: neither makes the other."""
    await lab.store.put_queue("q", QUIET)
    assert await lab.store.stats() == []
    uuid = await lab.enqueue(queue="q", result_ttl=1.0)
    await lab.enqueue(queue="without")
    await lab.store.cancel([Cancel(uuid)])
    lab.clock.advance(10)
    assert await lab.store.forget(10) == 1
    assert await lab.store.queues() == {"q": QUIET}


async def test_store_looks_at_the_limits_alone(lab: Lab) -> None:
    """`QueueSettings`: A store looks at the limits, and keeps the rest: a task brings the policy that it was given."""
    await lab.store.put_queue("default", QUIET)
    _, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    task = await lab.get(claim.uuid)
    assert task.cancel is not None
    assert task.cancel.delete.state == "owed"


@pytest.mark.parametrize("name", ["", "a b", "ü\U0001f600", "a:b", "'; --", "x" * 1000, "a\x00b", "{htq:x}"])
async def test_any_name_comes_back_as_it_was_given(lab: Lab, name: str) -> None:
    """A queue's name is the caller's text."""
    await lab.store.put_queue(name, QUIET)
    await lab.store.put_queue("other", FULL)
    assert await lab.store.queues() == {name: QUIET, "other": FULL}
    await lab.enqueue(queue=name)
    assert [task.queue for task in await lab.list_all(Filter(statuses=STATES, queue=name))] == [name]
