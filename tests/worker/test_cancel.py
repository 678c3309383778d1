"""Cancels of what a worker has on the wire: the table and the order of `docs/design/cancellation.md`."""

import pytest

from htq.stores.base import Cancel
from htq.words.task import CancelRecord, StopPolicy
from worker.world import World

GRACE = StopPolicy().grace


async def canceled(world: World, uuid: str) -> CancelRecord:
    task = await world.settled(uuid)
    assert task.state == "canceled"
    assert task.cancel is not None
    return task.cancel


async def test_a_canceled_task_that_waits_is_never_sent(world: World) -> None:
    uuid = await world.enqueue()
    await world.store.cancel([Cancel(uuid)])
    world.start()
    other = await world.enqueue()
    sent = await world.sender.requests.get()
    assert sent.header("HTQ-Task-Id") == other
    record = await canceled(world, uuid)
    assert (record.phase, record.delete.state) == ("waiting", "none")


async def test_a_request_of_which_no_byte_has_left_is_dropped_without_a_delete(world: World) -> None:
    world.sender.hold_at = "connecting"
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    await sent.aborted.wait()
    record = await canceled(world, uuid)
    assert (record.phase, record.delete.state) == ("connecting", "none")
    assert world.sender.deletes.empty()


async def test_the_delete_goes_out_while_the_request_is_open_and_then_the_request_is_aborted(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid, "changed my mind")])
    delete = await world.sender.deletes.get()
    assert not sent.aborted.is_set()
    assert sent.exchange.halted
    assert (delete.message.method, delete.message.url) == ("DELETE", sent.message.url)
    assert delete.message.body == b""
    assert (await world.task(uuid)).status == "canceled"
    delete.reply(404)
    await sent.aborted.wait()
    record = await canceled(world, uuid)
    assert (record.reason, record.phase, record.proof) == ("changed my mind", "sent", "none")
    assert (record.delete.state, record.delete.code, record.delete.tries) == ("gone", 404, 1)
    assert record.interrupted_at is not None
    assert await world.store.responses([uuid]) == [None]


async def test_after_a_2xx_the_request_may_end_by_itself_within_the_grace(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    (await world.sender.deletes.get()).reply(202)
    await world.clock.somebody_sleeps(GRACE)
    assert not sent.aborted.is_set()
    sent.reply(500, b"interrupted")
    record = await canceled(world, uuid)
    assert (record.delete.state, record.proof, record.interrupted_at) == ("accepted", "ended", None)
    assert await world.store.responses([uuid]) == [None]


async def test_the_grace_ends_by_closing_the_connection(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    (await world.sender.deletes.get()).reply(204)
    await world.clock.somebody_sleeps(GRACE)
    world.clock.advance(GRACE)
    await sent.aborted.wait()
    record = await canceled(world, uuid)
    assert (record.delete.state, record.proof) == ("confirmed", "none")


async def test_a_service_that_says_stopped_has_proved_it(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    (await world.sender.deletes.get()).reply(204, b"", (("htq-cancel", "stopped"),))
    await world.clock.somebody_sleeps(GRACE)
    world.clock.advance(GRACE)
    assert (await canceled(world, uuid)).proof == "header"


async def test_a_delete_that_hangs_does_not_keep_the_request_open(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    delete = await world.sender.deletes.get()
    await world.clock.somebody_sleeps(GRACE)
    world.clock.advance(GRACE)
    await sent.aborted.wait()
    delete.fail("total")
    record = await canceled(world, uuid)
    assert (record.delete.state, record.delete.code) == ("failed", None)


async def test_a_delete_is_tried_three_times_and_the_request_does_not_wait_for_that(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    (await world.sender.deletes.get()).reply(503)
    (await world.next_delete()).fail("connect", sent=False)
    third = await world.next_delete()
    world.clock.advance(GRACE)
    await sent.aborted.wait()
    third.reply(204)
    record = await canceled(world, uuid)
    assert (record.delete.state, record.delete.tries) == ("confirmed", 3)


@pytest.mark.parametrize("code", [405, 501])
async def test_a_refused_method_is_named_so(world: World, code: int) -> None:
    world.start()
    uuid = await world.enqueue()
    await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    (await world.sender.deletes.get()).reply(code)
    assert (await canceled(world, uuid)).delete.state == "unsupported"


async def test_no_delete_where_the_task_says_so_and_the_request_is_aborted_at_once(world: World) -> None:
    world.start()
    uuid = await world.enqueue(delete=False)
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    await sent.aborted.wait()
    record = await canceled(world, uuid)
    assert (record.phase, record.delete.state) == ("sent", "none")
    assert world.sender.deletes.empty()


async def test_canceled_twice_is_told_once(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid), Cancel(uuid)])
    await world.store.cancel([Cancel(uuid)])
    (await world.sender.deletes.get()).reply(404)
    await sent.aborted.wait()
    await canceled(world, uuid)
    assert world.sender.deletes.empty()


async def test_a_reply_that_came_before_the_cancel_was_heard_needs_no_delete(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    canceling = world.store.cancel([Cancel(uuid)])
    sent.reply()
    await canceling
    record = await canceled(world, uuid)
    assert await world.store.responses([uuid]) == [None]
    assert (record.phase, record.delete.state) == ("finished", "none")
    assert world.sender.deletes.empty()


async def test_the_dead_workers_delete_is_sent_by_another(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    await world.sender.deletes.get()
    world.kill()
    await world.died()
    world.clock.advance(world.settings.lease + 1)
    world.start()
    # The reaping, the adopting and the renewing each take their period.
    delete = await world.next_delete()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    delete.reply(204)
    record = await canceled(world, uuid)
    assert (record.phase, record.delete.state) == ("unknown", "confirmed")
    assert world.sender.requests.empty()
