"""What a worker does with what it claims."""

import pytest

from htq.stores.base import CHUNK, BodyRef
from htq.worker import WorkerSettings
from worker.world import World


async def test_a_response_is_a_success_whatever_its_code(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    assert sent.message.method == "POST"
    assert sent.header("HTQ-Task-Id") == uuid
    assert sent.header("HTQ-Attempt") == "1"
    sent.reply(503, b"sorry", (("X-A", "1"),))
    task = await world.settled(uuid)
    assert (task.state, task.attempt, task.failures) == ("success", 1, 0)
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert (response.code, response.body, response.headers) == (503, b"sorry", (("X-A", "1"),))


@pytest.mark.parametrize(
    ("reason", "state"),
    [("total", "timeout"), ("idle", "timeout"), ("first_byte", "timeout"), ("connect", "error"), ("reset", "error")],
)
async def test_a_failed_exchange_ends_with_its_reason(world: World, reason: str, state: str) -> None:
    world.start()
    uuid = await world.enqueue()
    (await world.sender.requests.get()).fail(reason)  # type: ignore[arg-type]
    task = await world.settled(uuid)
    assert (task.state, task.reason) == (state, reason)
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert response.code is None
    assert response.message == f"it failed: {reason}"
    (attempt,) = await world.store.attempts(uuid)
    assert (attempt.reason, attempt.phase) == (reason, "sent")


async def test_no_more_requests_are_in_flight_than_there_are_threads(world: World) -> None:
    world.start(WorkerSettings(threads=2))
    for _ in range(3):
        await world.enqueue()
    first = await world.sender.requests.get()
    await world.sender.requests.get()
    assert world.sender.requests.empty()
    first.reply()
    await world.sender.requests.get()


async def test_a_dead_kept_connection_costs_an_idempotent_request_only_another_attempt(world: World) -> None:
    world.start()
    uuid = await world.enqueue(method="get")
    (await world.sender.requests.get()).fail("connection_reused")
    again = await world.sender.requests.get()
    assert again.header("HTQ-Attempt") == "2"
    assert again.message.fresh
    again.reply()
    task = await world.settled(uuid)
    assert (task.state, task.failures, task.crashes) == ("success", 0, 0)


async def test_a_post_over_a_dead_kept_connection_is_not_sent_again(world: World) -> None:
    world.start()
    uuid = await world.enqueue(method="post")
    (await world.sender.requests.get()).fail("connection_reused")
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("error", "connection_reused", 1)


async def test_large_bodies_go_through_the_store_in_pieces(world: World) -> None:
    world.start()
    asked, answered = b"q" * (CHUNK + 5), b"a" * (3 * CHUNK + 7)
    uuid = await world.enqueue(body=asked)
    (await world.sender.requests.get()).reply(200, answered)
    await world.settled(uuid)
    assert world.sender.bodies == [asked]
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert (response.body, response.body_size) == (None, len(answered))
    assert b"".join(await world.store.read_body(BodyRef(uuid, 1, "response"), 0, 99)) == answered


async def test_a_defect_ends_one_task_and_not_the_worker(world: World) -> None:
    world.start()
    broken = await world.enqueue()
    sound = await world.enqueue()
    (await world.sender.requests.get()).answer.set_exception(ZeroDivisionError("no"))
    (await world.sender.requests.get()).reply()
    task = await world.settled(broken)
    assert (task.state, task.reason) == ("error", "internal")
    assert (await world.settled(sound)).state == "success"


async def test_a_scheduled_task_starts_when_its_time_has_come(world: World) -> None:
    world.start()
    await world.enqueue(run_at=world.clock.now_ms() + 300)
    await world.clock.somebody_sleeps(0.3)
    assert world.sender.requests.empty()
    world.clock.advance(0.3)
    await world.sender.requests.get()


# --- the end of a worker ---------------------------------------------------------------------------------------------


async def test_a_graceful_stop_waits_for_what_is_on_the_wire(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    world.stop.set()
    sent.reply()
    await world.stopped()
    assert (await world.task(uuid)).state == "success"


async def test_a_graceful_stop_releases_what_was_not_sent(world: World) -> None:
    world.sender.hold_at = "connecting"
    world.hurry.set()
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.stopped()
    assert sent.aborted.is_set()
    assert world.sender.deletes.empty()
    task = await world.task(uuid)
    assert (task.state, task.attempt, task.failures, task.crashes) == ("queued", 1, 0, 0)


async def test_a_graceful_stop_tells_the_service_before_the_next_attempt(world: World) -> None:
    world.start(WorkerSettings(drain_timeout=5))
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    world.stop.set()
    await world.drain_time_passes()
    delete = await world.sender.deletes.get()
    assert sent.aborted.is_set()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    assert (await world.task(uuid)).state == "scheduled", "the next attempt waits behind the stop"
    delete.reply(204)
    await world.stopped()
    assert (await world.task(uuid)).state == "queued"


async def test_a_hurried_stop_does_not_wait_for_a_service_that_never_answers_the_delete(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    await world.sender.requests.get()
    world.hurry.set()
    world.stop.set()
    await world.sender.deletes.get()
    await world.clock.somebody_sleeps(2.0)
    world.clock.advance(2.0)
    await world.stopped()
    task = await world.task(uuid)
    assert (task.state, task.attempt) == ("scheduled", 1), (
        "its stop is held by nobody now, and the task waits behind it"
    )


async def test_a_graceful_stop_ends_at_most_once_work_in_an_error(world: World) -> None:
    world.start(WorkerSettings(drain_timeout=5))
    uuid = await world.enqueue(delivery="at_most_once")
    await world.sender.requests.get()
    world.stop.set()
    await world.drain_time_passes()
    (await world.sender.deletes.get()).reply(204)
    await world.stopped()
    task = await world.task(uuid)
    assert (task.state, task.reason) == ("error", "interrupted")


async def test_a_killed_workers_tasks_are_done_by_another_and_counted(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    lost = await world.sender.requests.get()
    world.kill()
    await world.died()
    assert lost.aborted.is_set()
    world.clock.advance(world.settings.lease + 1)
    world.start()
    again = await world.sender.requests.get()
    assert again.header("HTQ-Attempt") == "2"
    again.reply()
    task = await world.settled(uuid)
    assert (task.state, task.attempt, task.crashes) == ("success", 2, 1)
    first, second = await world.store.attempts(uuid)
    assert (first.attempt, first.ended_at) == (1, None) or first.reason == "interrupted"
    assert (second.attempt, second.code) == (2, 200)


async def test_a_lost_lease_aborts_every_socket_and_the_worker_goes_on(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    frozen = await world.sender.requests.get()
    # As after SIGSTOP: time has passed, and no heartbeat was sent meanwhile.
    world.clock.advance(world.settings.lease + 1)
    await frozen.aborted.wait()
    again = await world.sender.requests.get()
    assert again.header("HTQ-Attempt") == "2"
    again.reply()
    assert (await world.settled(uuid)).attempt == 2
