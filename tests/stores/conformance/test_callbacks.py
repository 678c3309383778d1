"""Callbacks: owed in the very step in which a task ends, until they are settled."""

from collections.abc import Awaitable, Callable
from typing import get_args

import msgspec
import pytest

from htq.stores.base import Cancel, Canceled, Done, Interrupted, OwedCallback, Released, Retry
from htq.words.callback import Callback, CallbackOn
from htq.words.task import Request
from stores.conformance.lab import LEASE, Lab, answer, request


def _request(*on: CallbackOn) -> Request:
    """Whose callback is owed at these ends; at all of them where none is named."""
    callback = Callback(
        url="http://127.0.0.1:9/done", on=on or get_args(CallbackOn), source="http://127.0.0.1:5000", include="body"
    )
    return msgspec.structs.replace(request(), callback=callback)


async def _owed(lab: Lab) -> list[OwedCallback]:
    return await lab.store.owed_callbacks(100)


# Each makes a task final in its own way, and gives its uuid and the number of the attempt at which it ended.
Ending = Callable[[Lab, Request], Awaitable[tuple[str, int]]]


async def _done(lab: Lab, request: Request) -> tuple[str, int]:
    return await lab.final("success", request=request), 1


async def _failed(lab: Lab, request: Request) -> tuple[str, int]:
    return await lab.final("error", request=request), 1


async def _timed_out(lab: Lab, request: Request) -> tuple[str, int]:
    worker, claim = await lab.pending(request=request)
    await worker.finish(claim, Done("timeout", answer(lab.now)), phase="sent", owes_stop=True)
    return claim.uuid, 1


async def _interrupted(lab: Lab, request: Request) -> tuple[str, int]:
    worker, claim = await lab.pending(request=request, delivery="at_most_once")
    await worker.finish(claim, Interrupted(), phase="sent")
    return claim.uuid, 1


async def _canceled_waiting(lab: Lab, request: Request) -> tuple[str, int]:
    uuid = await lab.enqueue(request=request)
    await lab.store.cancel([Cancel(uuid)])
    return uuid, 0


async def _canceled_between(lab: Lab, request: Request) -> tuple[str, int]:
    worker, claim = await lab.pending(request=request)
    await worker.finish(claim, Retry(lab.now + 1000))
    await lab.store.cancel([Cancel(claim.uuid)])
    return claim.uuid, 1


async def _canceled_pending(lab: Lab, request: Request) -> tuple[str, int]:
    worker, claim = await lab.pending(request=request)
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await _owed(lab) == [], "its attempt is under way"
    await worker.finish(claim, Canceled(), phase="sent")
    return claim.uuid, 1


async def _reaped(lab: Lab, request: Request) -> tuple[str, int]:
    _, claim = await lab.pending(request=request, delivery="at_most_once")
    await lab.die()
    return claim.uuid, 1


async def _reaped_canceled(lab: Lab, request: Request) -> tuple[str, int]:
    _, claim = await lab.pending(request=request)
    await lab.store.cancel([Cancel(claim.uuid)])
    await lab.die()
    return claim.uuid, 1


async def _session_closed(lab: Lab, request: Request) -> tuple[str, int]:
    worker, claim = await lab.pending(request=request, delivery="at_most_once")
    await lab.store.close_session(worker.session)
    return claim.uuid, 1


async def _expired(lab: Lab, request: Request) -> tuple[str, int]:
    uuid = await lab.enqueue(request=request, start_by=lab.now + 1000)
    lab.clock.advance(1)
    await lab.store.expire(10)
    return uuid, 0


async def _overdue(lab: Lab, request: Request) -> tuple[str, int]:
    uuid = await lab.enqueue(request=request, deadline=lab.now + 1000)
    lab.clock.advance(1)
    await lab.store.expire(10)
    return uuid, 0


async def _claimed_too_late(lab: Lab, request: Request) -> tuple[str, int]:
    uuid = await lab.enqueue(request=request, start_by=lab.now + 1000)
    lab.clock.advance(1)
    assert await (await lab.worker()).claim() == []
    return uuid, 0


async def _claimed_overdue(lab: Lab, request: Request) -> tuple[str, int]:
    worker, claim = await lab.pending(request=request, deadline=lab.now + 1000)
    await worker.finish(claim, Released(), phase="claimed")
    lab.clock.advance(1)
    assert await worker.claim() == []
    return claim.uuid, 1


async def _superseded(lab: Lab, request: Request) -> tuple[str, int]:
    uuid = await lab.enqueue(request=request, name="report")
    await lab.enqueue(name="report")
    return uuid, 0


ENDINGS: dict[Ending, CallbackOn] = {
    _done: "success",
    _failed: "error",
    _timed_out: "timeout",
    _interrupted: "error",
    _canceled_waiting: "canceled",
    _canceled_between: "canceled",
    _canceled_pending: "canceled",
    _reaped: "error",
    _reaped_canceled: "canceled",
    _session_closed: "error",
    _expired: "timeout",
    _overdue: "canceled",
    _claimed_too_late: "timeout",
    _claimed_overdue: "canceled",
    _superseded: "canceled",
}


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__.strip("_"))
async def test_whatever_makes_a_task_final_owes_its_callback_in_the_same_step(lab: Lab, end: Ending) -> None:
    """`finish`: Whatever makes a task final, here or in another verb, owes its callback in the same step (if
    `Request.callback` names that end)."""
    state = ENDINGS[end]
    uuid, attempt = await end(lab, _request())
    assert await lab.state(uuid) == state
    assert await _owed(lab) == [OwedCallback("task", "", uuid, attempt, lab.now)]
    await lab.store.settle_callbacks(await _owed(lab))
    named = (await end(lab, _request(state)))[0]
    assert [owed.subject for owed in await _owed(lab)] == [named]
    await lab.store.settle_callbacks(await _owed(lab))
    others = [on for on in get_args(CallbackOn) if on != state]
    await end(lab, _request(*others))
    assert await _owed(lab) == [], "only for the ends that it names"
    await end(lab, request())
    assert await _owed(lab) == [], "and only where there is one"


async def test_what_does_not_end_a_task_owes_nothing(lab: Lab) -> None:
    """`OwedCallback`: A task or a group has *ended*."""
    worker, retried = await lab.pending(request=_request())
    _, handed_back = await lab.pending(worker, request=_request())
    _, interrupted = await lab.pending(worker, request=_request())
    await lab.pending(worker, request=_request(), deadline=lab.now + 1000)
    await worker.finish(retried, Retry(lab.now))
    await worker.finish(handed_back, Released(), phase="claimed")
    await worker.finish(interrupted, Interrupted(), phase="sent")
    lab.clock.advance(2)
    await lab.store.expire(10)
    await lab.store.promote(10)
    assert await _owed(lab) == []


async def test_finished_callbacks_are_owed_oldest_first_and_no_more_than_asked_for(lab: Lab) -> None:
    """`owed_callbacks`: Callbacks that are to be queued, oldest first."""
    uuids = []
    for _ in range(5):
        uuids.append(await lab.final(request=_request()))
        lab.clock.advance(1)
    assert [owed.subject for owed in await lab.store.owed_callbacks(3)] == uuids[:3]
    owed = await lab.store.owed_callbacks(100)
    assert [one.subject for one in owed] == uuids
    await lab.store.settle_callbacks([owed[0], owed[2]])
    assert await _owed(lab) == [owed[1], owed[3], owed[4]]


async def test_callbacks_are_owed_to_everybody_who_asks_until_they_are_settled(lab: Lab) -> None:
    """`owed_callbacks`: They are owed until they are settled, to everybody who asks."""
    other = await lab.open()
    await lab.final(request=_request())
    owed = await _owed(lab)
    assert await other.owed_callbacks(10) == owed == await _owed(lab)
    await other.settle_callbacks(owed)
    assert await _owed(lab) == []


async def test_settled_callback_may_be_settled_again(lab: Lab) -> None:
    """It may be repeated when its outcome is unknown. What was never owed can be settled as well."""
    await lab.final(request=_request())
    kept = await lab.final(request=_request())
    first, second = await _owed(lab)
    for _ in range(2):
        await lab.store.settle_callbacks([first, first._replace(subject=lab.chance.uuid())])
        await lab.store.settle_callbacks([OwedCallback("group", "", "unknown", 0, lab.now)])
        assert await _owed(lab) == [second]
    assert second.subject == kept


async def test_repeated_finish_owes_no_second_callback(lab: Lab) -> None:
    """A repeated finish that had been applied answers as it did then: settled or not."""
    worker, claim = await lab.pending(request=_request())
    await worker.succeed(claim)
    owed = await _owed(lab)
    await worker.succeed(claim)
    assert await _owed(lab) == owed
    await lab.store.settle_callbacks(owed)
    await worker.succeed(claim)
    assert await _owed(lab) == []


async def test_cancel_of_what_was_final_owes_no_other_one(lab: Lab) -> None:
    """`finish`: What was final before, and is canceled, owes no other one."""
    settled = await lab.final(request=_request())
    await lab.store.settle_callbacks(await _owed(lab))
    await lab.store.cancel([Cancel(settled)])
    assert await _owed(lab) == []
    unsettled = await lab.final(request=_request())
    owed = await _owed(lab)
    await lab.store.cancel([Cancel(unsettled)])
    assert await _owed(lab) == owed


async def test_task_that_is_retried_by_hand_owes_another_callback_at_its_next_end(lab: Lab) -> None:
    """`OwedCallback.number`: The attempt at which the task ended: so that two ends are told apart."""
    uuid = await lab.final("error", request=_request())
    first = await _owed(lab)
    lab.clock.advance(1)
    await lab.store.retry([uuid])
    assert await _owed(lab) == first
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one())
    assert await _owed(lab) == [*first, OwedCallback("task", "", uuid, 2, lab.now)]
    await lab.store.settle_callbacks(first)
    assert [owed.number for owed in await _owed(lab)] == [2]


async def test_callback_names_its_tenant(lab: Lab) -> None:
    """`OwedCallback.tenant`: in the tenant of what has ended."""
    uuid = await lab.final(request=_request(), tenant="acme")
    assert await _owed(lab) == [OwedCallback("task", "acme", uuid, 1, lab.now)]


async def test_task_and_group_that_end_in_one_step_owe_one_each(lab: Lab) -> None:
    """`finish`: … owes its callback in the same step …, and completes its group."""
    callback = _request().callback
    await lab.store.put_group("acme", "g", callback, close=False)
    worker, claim = await lab.pending(request=_request(), tenant="acme", group="g")
    await lab.store.put_group("acme", "g", None, close=True)
    await worker.succeed(claim)
    assert sorted(await _owed(lab)) == [
        OwedCallback("group", "acme", "g", 0, lab.now),
        OwedCallback("task", "acme", claim.uuid, 1, lab.now),
    ]


async def test_task_is_kept_until_its_callback_is_settled(lab: Lab) -> None:
    """`forget`: A task … whose callback is owed is kept until that is settled. It stands in nobody's way."""
    uuid = await lab.final(request=_request(), result_ttl=1.0)
    await lab.final(request=request(), result_ttl=1.0)
    lab.clock.advance(5)
    assert [await lab.store.forget(1) for _ in range(2)] == [1, 0]
    assert await lab.state(uuid) == "success"
    (response,) = await lab.store.responses([uuid])
    assert response is not None
    await lab.store.settle_callbacks(await _owed(lab))
    assert await lab.store.forget(10) == 1
    assert await lab.state(uuid) == "unknown"


async def test_task_is_kept_until_both_its_stop_and_its_callback_are_settled(lab: Lab) -> None:
    """`forget`: A task with an unsettled stop, *or* whose callback is owed."""
    for first in ("stop", "callback"):
        worker, claim = await lab.pending(request=_request(), result_ttl=1.0)
        await worker.finish(claim, Done("timeout", answer(lab.now)), phase="sent", owes_stop=True)
        lab.clock.advance(LEASE / 3)
        for what in (first, "callback" if first == "stop" else "stop"):
            assert await lab.store.forget(10) == 0
            if what == "stop":
                await worker.settle(claim.uuid, 1)
            else:
                await lab.store.settle_callbacks(await _owed(lab))
        assert await lab.store.forget(10) == 1


async def test_task_that_is_superseded_in_the_batch_that_brought_it_owes_its_callback(lab: Lab) -> None:
    """`enqueue`: In one batch the later one wins: the earlier one was taken, and has ended, as if it had come before."""
    callback = _request().callback
    await lab.store.put_group("", "g", callback, close=False)
    tasks = [lab.task(request=_request(), name="report", group="g"), lab.task(name="report")]
    await lab.store.enqueue(tasks)
    assert await _owed(lab) == [OwedCallback("task", "", tasks[0].uuid, 0, lab.now)]
    group = await lab.store.put_group("", "g", None, close=True)
    assert (group.completed_at, group.counts.get("canceled")) == (lab.now, 1)


async def test_many_that_end_in_one_batch_owe_one_each(lab: Lab) -> None:
    """Outcomes are per item: of a batch, each that has a callback."""
    worker = await lab.worker()
    told = await lab.enqueue_many(20, request=_request("success"))
    await lab.enqueue_many(20)
    await worker.finish_all(await worker.claim(100), Done("success", answer(lab.now)))
    assert sorted(owed.subject for owed in await _owed(lab)) == told
    await lab.store.settle_callbacks(await _owed(lab))
    assert await _owed(lab) == []
