"""The moments in which an attempt can be canceled that no scripted wire can hold still."""

import asyncio

import pytest

from htq.policy.store_time import StoreTime
from htq.sender.base import Exchange, Message, Reply, Sink
from htq.stores.base import Cancel, Canceled, Claim, Outcome, RunningCancel
from htq.words.errors import SendError
from htq.words.task import Request
from htq.worker.attempt import Attempts
from htq.worker.cancels import Canceler
from htq.worker.context import Context
from htq.worker.persist import Persistence
from htq.worker.run import Run, Running
from htq.worker.stops import StopPool
from worker.world import ScriptedSender, World


def claim(world: World) -> Claim:
    return Claim(
        uuid=world.chance.uuid(),
        attempt=1,
        claimed_at=world.clock.now_ms(),
        request=Request(url="http://127.0.0.1:9/work", method="post"),
        body=b"",
        body_size=0,
        delivery="at_least_once",
    )


def attempts(world: World, outcomes: list[Outcome]) -> Attempts:
    context = Context(
        session="session",
        store=world.store,
        sender=world.sender,
        clock=world.clock,
        time=StoreTime(world.clock),
        chance=world.chance,
        persist=Persistence(world.clock, world.chance),
        settings=world.settings,
    )
    return Attempts(context, ended=lambda _run, outcome: outcomes.append(outcome))


async def test_an_attempt_that_is_canceled_before_its_first_step_still_has_an_outcome(world: World) -> None:
    outcomes: list[Outcome] = []
    run = Run(claim(world))
    run.task = asyncio.create_task(attempts(world, outcomes).make(run))
    run.abort("canceled")
    await run.task
    (outcome,) = outcomes
    assert (outcome.result, outcome.phase) == (Canceled(), "claimed")
    assert world.sender.requests.empty()


async def test_a_cancel_that_is_heard_before_its_run_is_made_is_not_lost(world: World) -> None:
    running = Running()
    canceler = Canceler(
        running,
        StopPool(world.sender, clock=world.clock, chance=world.chance, slots=1),
        clock=world.clock,
        time=StoreTime(world.clock),
        spawn=asyncio.ensure_future,
        settle=lambda _settled: None,
    )
    run = Run(claim(world))
    canceler.hear([RunningCancel(run.claim.uuid, 1, None, True)])
    outcomes: list[Outcome] = []
    running.add(run)
    run.task = asyncio.create_task(attempts(world, outcomes).make(run))
    canceler.begin(run)
    await run.task
    assert [outcome.result for outcome in outcomes] == [Canceled()]
    assert world.sender.requests.empty()


class BrokenSender(ScriptedSender):
    async def send(self, message: Message, exchange: Exchange, sink: Sink | None = None, inline: int = 0) -> Reply:
        raise ZeroDivisionError("a defect")


async def test_a_defect_in_sending_a_delete_is_a_failed_delete_and_no_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    pool = StopPool(BrokenSender(), clock=world.clock, chance=world.chance, slots=1)
    answer = await pool.send("uuid", 1, claim(world).request, world.clock.steady() + 60)
    assert (answer.state, answer.code) == ("failed", None)
    assert "a defect" in caplog.text


async def test_a_delete_whose_time_is_over_is_not_sent(world: World) -> None:
    pool = StopPool(world.sender, clock=world.clock, chance=world.chance, slots=1)
    first = asyncio.create_task(pool.send("first", 1, claim(world).request, world.clock.steady() + 60))
    second = asyncio.create_task(pool.send("second", 1, claim(world).request, world.clock.steady() + 60))
    hanging = await world.sender.deletes.get()
    world.clock.advance(61)
    hanging.fail("total")
    assert (await first).state == "failed"
    assert (await second).state == "lapsed"
    assert world.sender.deletes.empty()


async def test_a_slot_is_free_while_a_try_waits_for_the_next(world: World) -> None:
    pool = StopPool(world.sender, clock=world.clock, chance=world.chance, slots=1)
    until = world.clock.steady() + 60
    first = asyncio.create_task(pool.send("first", 1, claim(world).request, until))
    second = asyncio.create_task(pool.send("second", 1, claim(world).request, until))
    (await world.sender.deletes.get()).reply(503)
    (await world.sender.deletes.get()).reply(204)
    assert (await second).state == "confirmed"
    first.cancel()
    await asyncio.wait((first,))


async def test_a_service_that_hangs_on_its_deletes_does_not_hold_up_those_of_others(world: World) -> None:
    pool = StopPool(world.sender, clock=world.clock, chance=world.chance, slots=4)
    until = world.clock.steady() + 60
    hanging = [asyncio.create_task(pool.send(str(n), 1, claim(world).request, until)) for n in range(9)]
    await world.sender.deletes.get()
    other = Request(url="http://127.0.0.1:10/work", method="post")
    healthy = asyncio.create_task(pool.send("healthy", 1, other, until))
    (await world.sender.deletes.get()).reply(204)
    assert (await healthy).state == "confirmed"
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)


async def test_a_link_that_is_no_link_harms_nobody(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    sent.exchange.heard = lambda: (("Link", '<http://[>; rel="cancel"'),)
    await world.store.cancel([Cancel(uuid)])
    delete = await world.sender.deletes.get()
    assert delete.message.url == sent.message.url
    delete.reply(404)
    assert (await world.settled(uuid)).state == "canceled"


async def test_the_targets_own_cancel_address_is_used(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    sent.exchange.heard = lambda: (("Link", '</jobs/9>; rel="cancel"'),)
    await world.store.cancel([Cancel(uuid)])
    delete = await world.sender.deletes.get()
    assert delete.message.url == "http://127.0.0.1:9/jobs/9"
    delete.reply(204)
    sent.fail("reset")
    assert (await world.settled(uuid)).cancel is not None


async def test_our_own_timeout_within_the_grace_is_no_proof(world: World) -> None:
    world.start()
    uuid = await world.enqueue()
    sent = await world.sender.requests.get()
    await world.store.cancel([Cancel(uuid)])
    delete = await world.sender.deletes.get()
    sent.exchange.closed_by = "htq"
    sent.answer.set_exception(SendError("total", "too long", sent=True))
    delete.reply(204)
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.delete.state, cancel.proof) == ("confirmed", "none")
