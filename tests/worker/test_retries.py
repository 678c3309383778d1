"""Attempts that follow one another."""

import pytest

from htq.stores.base import CHUNK, BodyRef, Cancel
from htq.words.retry import RetryPolicy
from htq.words.task import StopPolicy
from htq.worker import WorkerSettings
from worker.world import LATE, World

RETRY = RetryPolicy(max=2, delays=(10,))


async def test_two_failures_and_a_success_are_a_success(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503)
    failed_at = world.clock.now_ms()
    second = await world.next_request()
    assert second.header("HTQ-Attempt") == "2"
    assert 10 <= world.seconds_since(failed_at) < 10 + LATE
    second.reply(503)
    (await world.next_request()).reply(200, b"at last")
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt, task.failures) == ("success", None, 3, 2)
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert (response.code, response.body) == (200, b"at last")
    records = await world.store.attempts(uuid)
    assert [(each.attempt, each.code, each.reason) for each in records] == [
        (1, 503, "status"),
        (2, 503, "status"),
        (3, 200, None),
    ]
    assert records[0].message == "the target answered 503"


async def test_while_it_waits_for_the_next_attempt_it_is_scheduled(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.sender.requests.get()).fail("reset")
    begun = world.clock.now_ms()
    task = await world.waits_again(uuid)
    assert (task.state, task.failures, task.run_at) == ("scheduled", 1, begun + 10_000)


async def test_when_no_retry_is_left_the_last_answer_is_kept(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)))
    (await world.next_request()).reply(500, b"first")
    (await world.next_request()).reply(502, b"last", (("X-A", "1"),))
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.failures) == ("error", "status", 1)
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert (response.code, response.body, response.headers) == (502, b"last", (("X-A", "1"),))
    assert response.message == "the target answered 502, and no retry is left"


async def test_a_task_that_times_out_each_time_ends_in_timeout(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)))
    (await world.next_request()).fail("total")
    (await world.next_request()).fail("total")
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("timeout", "total", 2)


async def test_what_the_target_asks_for_is_waited_for(world: World) -> None:
    world.start()
    await world.enqueue(retry=RETRY)
    begun = world.clock.now_ms()
    (await world.next_request()).reply(503, b"", (("Retry-After", "30"),))
    await world.next_request()
    assert 30 <= world.seconds_since(begun) < 30 + LATE


async def test_no_attempt_begins_past_max_elapsed(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=9, delays=(10,), max_elapsed=15))
    (await world.next_request()).reply(503)
    (await world.next_request()).reply(503)
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("error", "status", 2)


async def test_a_target_that_wants_no_other_attempt_gets_none(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503, b"", (("HTQ-Retry", "no"),))
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("error", "status", 1)


async def test_at_most_once_is_tried_again_only_where_no_byte_had_left(world: World) -> None:
    world.start()
    world.sender.hold_at = "connecting"
    uuid = await world.enqueue(retry=RETRY, delivery="at_most_once")
    (await world.next_request()).fail("connect", sent=False)
    sent = await world.next_request()
    sent.exchange.phase = "receiving"
    sent.reply(503)
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt, task.failures) == ("error", "status", 2, 1)


async def test_a_large_answer_that_is_not_the_last_leaves_nothing_behind(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503, b"x" * (2 * CHUNK))
    (await world.next_request()).reply(200, b"ok")
    assert (await world.settled(uuid)).state == "success"
    assert await world.store.read_body(BodyRef(uuid, 1, "response"), 0, 9) == []


async def test_a_large_answer_that_is_the_last_is_kept(world: World) -> None:
    world.start()
    body = b"x" * (2 * CHUNK)
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)))
    for _ in range(2):
        (await world.next_request()).reply(503, body)
    assert (await world.settled(uuid)).state == "error"
    assert b"".join(await world.store.read_body(BodyRef(uuid, 2, "response"), 0, 9)) == body
    assert await world.store.read_body(BodyRef(uuid, 1, "response"), 0, 9) == []


# --- whose clock -----------------------------------------------------------------------------------------------------

HOUR = 3_600_000


@pytest.mark.parametrize("ahead_ms", [-HOUR, HOUR], ids=["behind", "ahead"])
async def test_a_worker_whose_clock_is_wrong_waits_as_long_as_any_other(world: World, ahead_ms: int) -> None:
    world.start(ahead_ms=ahead_ms)
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(10,), max_elapsed=60))
    sent = await world.sender.requests.get()
    begun = world.clock.now_ms()
    sent.reply(429, b"", (("Retry-After", "20"),))
    task = await world.waits_again(uuid)
    assert task.run_at == begun + 20_000
    assert (await world.store.lane("default", "http://127.0.0.1:9")).held_until == begun + 20_000
    await world.next_request()
    assert 20 <= world.seconds_since(begun) < 20 + LATE
    (record, _) = await world.store.attempts(uuid)
    assert record.ended_at == begun


# --- stops -----------------------------------------------------------------------------------------------------------


async def test_after_a_timeout_the_next_attempt_waits_until_the_target_was_told(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)), stop=StopPolicy(on_timeout=True))
    (await world.next_request()).fail("total")
    delete = await world.sender.deletes.get()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    world.clock.advance(5)
    await world.store.promote(9)
    assert (await world.task(uuid)).state == "scheduled"
    assert world.sender.requests.empty()
    delete.reply(204)
    again = await world.next_request()
    assert again.header("HTQ-Attempt") == "2"
    again.reply()
    assert (await world.settled(uuid)).state == "success"
    first, _ = await world.store.attempts(uuid)
    assert first.delete is not None
    assert first.delete.state == "confirmed"


async def test_a_cancel_between_two_attempts_tells_nobody(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503)
    await world.waits_again(uuid)
    await world.store.cancel([Cancel(uuid)])
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.phase, cancel.delete.state) == ("between_attempts", "none")
    world.clock.advance(20)
    await world.store.promote(9)
    assert world.sender.requests.empty()


async def test_a_cancel_between_two_attempts_tells_the_target_where_the_task_says_so(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY, stop=StopPolicy(between=True))
    (await world.next_request()).reply(503)
    await world.waits_again(uuid)
    await world.store.cancel([Cancel(uuid)])
    delete = await world.next_delete()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    delete.reply(204)
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.phase, cancel.delete.state) == ("between_attempts", "confirmed")


async def test_a_cancel_that_meets_the_end_of_a_failed_attempt_comes_between_two(world: World) -> None:
    """It is on record when the outcome comes, and nobody has heard of it."""
    world.start()
    uuid = await world.enqueue(retry=RETRY, stop=StopPolicy(between=True))
    sent = await world.sender.requests.get()
    canceling = world.store.cancel([Cancel(uuid)])
    sent.reply(503)
    await canceling
    delete = await world.sender.deletes.get()
    assert delete.header("HTQ-Attempt") == "1"
    delete.reply(204)
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.phase, cancel.delete.state) == ("between_attempts", "confirmed")
    assert world.sender.deletes.empty()


async def test_a_failure_that_comes_before_the_delete_could_leave_is_told_of_all_the_same(world: World) -> None:
    world.start(WorkerSettings(stop_slots=1))
    first = await world.enqueue()
    await world.sender.requests.get()
    uuid = await world.enqueue(retry=RETRY, stop=StopPolicy(between=True))
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(first)])
    hanging = await world.sender.deletes.get()
    await world.store.cancel([Cancel(uuid)])
    assert sent.exchange.halted
    sent.reply(503)
    await world.store.promote(1)
    hanging.reply(404)
    delete = await world.sender.deletes.get()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    delete.reply(204)
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.phase, cancel.delete.state) == ("between_attempts", "confirmed")
    assert world.sender.deletes.empty()


# --- over which connection -------------------------------------------------------------------------------------------


async def test_after_a_failure_a_kept_connection_may_be_used_again(world: World) -> None:
    world.start()
    await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503)
    assert not (await world.next_request()).message.fresh


async def test_after_a_kept_connection_that_was_dead_a_new_one_is_dialled(world: World) -> None:
    world.start()
    await world.enqueue(method="get", retry=RETRY)
    (await world.next_request()).reply(503)
    (await world.next_request()).fail("connection_reused")
    sent = await world.next_request()
    assert (sent.header("HTQ-Attempt"), sent.message.fresh) == ("3", True)
