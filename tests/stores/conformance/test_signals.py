"""Signals: what is heard through another client, and that nothing is heard with signals switched off."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest

from htq.stores.base import (
    Cancel,
    Canceled,
    CancelRequested,
    Done,
    Firing,
    GroupsCompleted,
    Patch,
    Released,
    Retry,
    RunningCancel,
    Signal,
    Store,
    TaskFinished,
    TasksAvailable,
    ToDo,
)
from htq.words.callback import Callback
from htq.words.schedule import Schedule
from htq.words.task import Request
from stores.conformance.lab import Lab, answer, request

CALLBACK = Callback(url="http://127.0.0.1:9/done", source="http://127.0.0.1:5000")

HEARD_WITHIN = 10.0

S = TypeVar("S", bound=Signal)


class Ear:
    """Keeps every signal that a store object hears, and waits for the one that a test wants."""

    def __init__(self, store: Store) -> None:
        self.heard: list[Signal] = []
        self._news = asyncio.Event()
        self.stop = store.subscribe(self._hear)

    def _hear(self, signal: Signal) -> None:
        self.heard.append(signal)
        self._news.set()

    async def wait_for(self, kind: type[S], wanted: Callable[[S], bool] = lambda signal: True) -> S:
        async with asyncio.timeout(HEARD_WITHIN):
            while True:
                for signal in self.heard:
                    if isinstance(signal, kind) and wanted(signal):
                        return signal
                self._news.clear()
                await self._news.wait()


@pytest.fixture(params=["own", "other"])
async def ear(request: pytest.FixtureRequest, lab: Lab) -> Ear:
    """What the acting store object itself hears, and what another one on the same store does."""
    return Ear(lab.store if request.param == "own" else await lab.open())


@pytest.fixture
def signals() -> bool:
    """On."""
    return True


async def test_enqueue_says_that_tasks_are_available(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable`: There is something to claim, at once (`due_at` None)."""
    await lab.enqueue()
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


async def test_enqueue_of_a_scheduled_task_says_when_it_is_due(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable`: … or when it is due."""
    due_at = lab.now + 5000
    await lab.enqueue(run_at=due_at)
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at == due_at)


async def test_task_that_was_handed_back_is_available(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable`: whichever way a task came to be queued."""
    worker, claim = await lab.pending()
    await ear.wait_for(TasksAvailable)
    ear.heard.clear()
    await worker.finish(claim, Released(), phase="claimed")
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


async def test_task_that_was_promoted_is_available(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable` after `promote`: another process may have done it."""
    await lab.enqueue(run_at=lab.now + 1000)
    lab.clock.advance(1)
    await lab.store.promote(1)
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


async def test_task_that_was_let_go_on_is_available(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable` in the step in which what it waited behind has ended."""
    worker, old = await lab.pending(name="n")
    await lab.enqueue(name="n")
    await ear.wait_for(TasksAvailable)
    await worker.finish(old, Canceled(), phase="sent")
    await ear.wait_for(TaskFinished)
    ear.heard.clear()
    await worker.settle(old.uuid, 1)
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


async def test_cancel_is_heard_by_session(lab: Lab, ear: Ear) -> None:
    """`CancelRequested`: Cancels for the attempts of one session."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid, "enough")])
    heard = await ear.wait_for(CancelRequested)
    assert heard == CancelRequested(worker.session, (RunningCancel(claim.uuid, 1, "enough", True),))


async def test_supersede_is_heard_as_a_cancel(lab: Lab, ear: Ear) -> None:
    """`Enqueued`: Their sessions hear of it as of any cancel."""
    worker, claim = await lab.pending(name="n")
    await lab.enqueue(name="n")
    heard = await ear.wait_for(CancelRequested)
    assert heard == CancelRequested(worker.session, (RunningCancel(claim.uuid, 1, "superseded", True),))


async def test_cancels_of_two_sessions_reach_each(lab: Lab, ear: Ear) -> None:
    """`CancelRequested`: Cancels for the attempts of *one* session."""
    pairs = [await lab.pending() for _ in range(2)]
    await lab.store.cancel([Cancel(claim.uuid) for _, claim in pairs])
    for worker, claim in pairs:
        session = worker.session
        heard = await ear.wait_for(CancelRequested, lambda signal, session=session: signal.session == session)  # type: ignore[misc]
        assert [cancel.uuid for cancel in heard.cancels] == [claim.uuid]


async def test_finish_is_heard(lab: Lab, ear: Ear) -> None:
    """`TaskFinished`: These tasks became final."""
    uuid = await lab.final()
    await ear.wait_for(TaskFinished, lambda signal: uuid in signal.uuids)


async def test_cancel_of_a_queued_task_is_heard_as_its_end(lab: Lab, ear: Ear) -> None:
    """`TaskFinished`: whichever way a task became final."""
    uuid = await lab.enqueue()
    await lab.store.cancel([Cancel(uuid)])
    await ear.wait_for(TaskFinished, lambda signal: uuid in signal.uuids)


async def test_task_that_died_with_its_worker_is_heard_as_finished(lab: Lab, ear: Ear) -> None:
    """`TaskFinished`: whichever way a task became final, by `reap` too."""
    _, claim = await lab.pending(delivery="at_most_once")
    await lab.die()
    await ear.wait_for(TaskFinished, lambda signal: claim.uuid in signal.uuids)


async def test_settled_stop_is_heard_again(lab: Lab, ear: Ear) -> None:
    """`TaskFinished`: … or the stop of a canceled one was settled."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.finish(claim, Canceled(), phase="sent")
    await ear.wait_for(TaskFinished, lambda signal: claim.uuid in signal.uuids)
    assert await lab.state(claim.uuid) == "canceled"
    ear.heard.clear()
    await worker.settle(claim.uuid, 1)
    await ear.wait_for(TaskFinished, lambda signal: claim.uuid in signal.uuids)


async def test_large_batches_are_heard_whole(lab: Lab, ear: Ear) -> None:
    """A hint may be cut into several, but as long as nothing is lost every task is named in one."""
    worker = await lab.worker()
    uuids = set(await lab.enqueue_many(300))
    claims = await worker.claim(300)
    await worker.finish_all(claims, Done("success", answer(lab.now)))
    heard: set[str] = set()

    def all_heard(signal: TaskFinished) -> bool:
        heard.update(signal.uuids)
        return heard >= uuids

    await ear.wait_for(TaskFinished, all_heard)


async def test_retry_says_when_it_is_due(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable`: … or when it is due."""
    worker, claim = await lab.pending()
    await worker.finish(claim, Retry(lab.now + 5000))
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at == lab.now + 5000)


@pytest.mark.parametrize("verb", ["retry", "run_now", "patch"])
async def test_task_that_somebody_wants_to_run_is_available(lab: Lab, ear: Ear, verb: str) -> None:
    """`TasksAvailable`: whichever way a task came to be queued."""
    uuid = await lab.final() if verb == "retry" else await lab.enqueue(run_at=lab.now + 60_000)
    task = await lab.get(uuid)
    await ear.wait_for(TasksAvailable, lambda signal: (signal.due_at is None) == (verb == "retry"))
    ear.heard.clear()
    if verb == "retry":
        await lab.store.retry([uuid])
    elif verb == "run_now":
        await lab.store.run_now([uuid])
    else:
        await lab.store.patch(uuid, _moved(task.request, lab.now), task.version)
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


async def test_patch_to_a_sooner_time_says_when_it_is_due(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable`: … or when it is due."""
    uuid = await lab.enqueue(run_at=lab.now + 60_000)
    task = await lab.get(uuid)
    await lab.store.patch(uuid, _moved(task.request, lab.now + 5000), task.version)
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at == lab.now + 5000)


async def test_task_that_waited_for_the_end_of_another_is_available(lab: Lab, ear: Ear) -> None:
    """`TasksAvailable` in the step in which what it waited behind has ended, however long that took."""
    worker, first = await lab.pending(name="n")
    await lab.enqueue(name="n", on_conflict="queue_after")
    await lab.get(first.uuid)
    await ear.wait_for(TasksAvailable)
    await worker.succeed(first)
    await ear.wait_for(TaskFinished, lambda signal: first.uuid in signal.uuids)
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


async def test_expired_task_is_heard_as_its_end(lab: Lab, ear: Ear) -> None:
    """`TaskFinished`: whichever way a task became final."""
    late = await lab.enqueue(start_by=lab.now + 1000)
    over = await lab.enqueue(deadline=lab.now + 1000)
    lab.clock.advance(1)
    await lab.store.expire(10)
    for uuid in (late, over):
        await ear.wait_for(TaskFinished, lambda signal, uuid=uuid: uuid in signal.uuids)  # type: ignore[misc]


async def test_task_that_a_claim_found_too_late_is_heard_as_its_end(lab: Lab, ear: Ear) -> None:
    """`TaskFinished`: it ends in the claim as by `expire`."""
    uuid = await lab.enqueue(start_by=lab.now + 1000)
    lab.clock.advance(1)
    await (await lab.worker()).claim()
    await ear.wait_for(TaskFinished, lambda signal: uuid in signal.uuids)


async def test_deadline_is_heard_by_the_session_as_a_cancel(lab: Lab, ear: Ear) -> None:
    """`CancelRequested`: Cancels for the attempts of one session: `expire` makes them too."""
    worker, claim = await lab.pending(deadline=lab.now + 1000)
    lab.clock.advance(1)
    await lab.store.expire(10)
    heard = await ear.wait_for(CancelRequested)
    assert heard == CancelRequested(worker.session, (RunningCancel(claim.uuid, 1, "deadline", True),))


async def test_complete_group_is_heard(lab: Lab, ear: Ear) -> None:
    """`GroupsCompleted`: These groups are complete, by name."""
    await lab.store.put_group("", "empty", None, close=True)
    await ear.wait_for(GroupsCompleted, lambda signal: "empty" in signal.names)
    worker, claim = await lab.pending(group="g")
    await lab.store.put_group("", "g", None, close=True)
    await worker.succeed(claim)
    await ear.wait_for(GroupsCompleted, lambda signal: "g" in signal.names)


async def test_owed_callback_is_something_to_do_at_once(lab: Lab, ear: Ear) -> None:
    """`ToDo`: There is something for the keepers: a callback is owed; `at` None: at once."""
    told = msgspec.structs.replace(request(), callback=CALLBACK)
    await lab.final(request=told)
    await ear.wait_for(ToDo, lambda signal: signal.at is None)
    ear.heard.clear()
    await lab.store.put_group("", "g", CALLBACK, close=True)
    await ear.wait_for(ToDo, lambda signal: signal.at is None)


@pytest.mark.parametrize("time", ["start_by", "deadline"])
async def test_time_of_a_task_is_something_to_do_then(lab: Lab, ear: Ear, time: str) -> None:
    """`ToDo`: a time of theirs (of a schedule, a `start_by`, a `deadline`) may have come nearer."""
    await lab.enqueue(**{time: lab.now + 5000})
    await ear.wait_for(ToDo, lambda signal: _is_by(signal, lab.now + 5000))
    uuid = await lab.enqueue()
    task = await lab.get(uuid)
    ear.heard.clear()
    patch = msgspec.structs.replace(_moved(task.request, lab.now), **{time: lab.now + 3000})
    await lab.store.patch(uuid, patch, task.version)
    await ear.wait_for(ToDo, lambda signal: _is_by(signal, lab.now + 3000))


async def test_slot_of_a_schedule_is_something_to_do_then(lab: Lab, ear: Ear) -> None:
    """`ToDo`: a time of theirs (of a schedule …) may have come nearer: as it is put, and as it is fired."""
    task = lab.task(uuid="")
    schedule = Schedule(name="s", every=5.0, task=task, created_at=lab.now, next_at=lab.now + 5000)
    schedule = await lab.store.put_schedule(schedule)
    await ear.wait_for(ToDo, lambda signal: _is_by(signal, lab.now + 5000))
    lab.clock.advance(5)
    made = lab.task()
    ear.heard.clear()
    await lab.store.fire([Firing("", "s", schedule.revision, lab.now, lab.now, lab.now + 5000, made)])
    await ear.wait_for(TasksAvailable, lambda signal: signal.due_at is None)


def _moved(request: Request, run_at: int) -> Patch:
    return Patch(request=request, priority=5, labels={}, run_at=run_at, start_by=None, deadline=None, result_ttl=1000.0)


def _is_by(signal: ToDo, at: int) -> bool:
    return signal.at is None or signal.at <= at


async def test_who_does_not_listen_any_more_hears_nothing(lab: Lab) -> None:
    """`subscribe`: returns what ends that. The others go on hearing."""
    first, second = Ear(lab.store), Ear(lab.store)
    first.stop()
    first.stop()
    await lab.enqueue()
    await second.wait_for(TasksAvailable)
    assert first.heard == []


class TestSilent:
    """With signals switched off."""

    @pytest.fixture
    def signals(self) -> bool:
        return False

    async def test_nothing_is_heard(self, lab: Lab) -> None:
        """`subscribe`: With signals switched off none is ever heard, not even the store object's own."""
        other = await lab.open()
        ears = [Ear(lab.store), Ear(other)]
        worker, claim = await lab.pending()
        await lab.store.cancel([Cancel(claim.uuid)])
        await worker.finish(claim, Canceled(), phase="sent")
        await worker.settle(claim.uuid, 1)
        for _ in range(5):
            await other.get([claim.uuid])
        assert [ear.heard for ear in ears] == [[], []]


async def test_listener_that_fails_silences_no_other_and_fails_no_verb(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """`subscribe`: each listener hears for itself."""

    def fails(signal: Signal) -> None:
        raise ZeroDivisionError

    lab.store.subscribe(fails)
    ear = Ear(lab.store)
    uuid = await lab.enqueue()
    await ear.wait_for(TasksAvailable)
    assert await lab.state(uuid) == "queued"
    assert "a listener failed on TasksAvailable" in caplog.text
