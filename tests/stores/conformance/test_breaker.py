"""The breaker: a lane whose target is unwell is held, and then probed."""

import pytest

from htq.stores.base import Cancel, Canceled, Claim, Done, QueueSettings, Released
from htq.words.limits import Breaker, Hold, LaneLimits
from stores.conformance.ends import LONG, bad, end, ended, good, wait
from stores.conformance.lab import Lab, Worker, answer

BREAKER = Breaker(failures=3, hold=10.0, max_hold=60.0)


@pytest.fixture
async def worker(lab: Lab) -> Worker:
    """One that claims from the lane `k`, which has many tasks and the breaker."""
    await lab.store.put_queue("default", QueueSettings(breaker=BREAKER))
    await lab.enqueue_many(30, key="k")
    return await lab.worker(lease=LONG)


async def _held_for(lab: Lab) -> float:
    """Seconds for which the breaker holds the lane from now on."""
    lane = await lab.store.lane("default", "k")
    assert lane.hold_reason in ("breaker", None)
    return 0.0 if lane.held_until is None else (lane.held_until - lab.now) / 1000


async def _trip(lab: Lab, worker: Worker) -> None:
    for _ in range(BREAKER.failures):
        await bad(lab, worker, await worker.claim_one())


async def _probe(lab: Lab, worker: Worker) -> Claim:
    """Wait until the lane is not held any more, and take the one task that it gives."""
    claims, again_at = await worker.look()
    assert claims == []
    wait(lab, again_at)
    (claim,) = await worker.claim()
    return claim


async def test_so_many_failures_in_a_row_hold_the_lane(lab: Lab, worker: Worker) -> None:
    """`Breaker`: After so many failures in a row a lane is held."""
    for failures in (1, 2):
        await bad(lab, worker, await worker.claim_one())
        assert (await lab.store.lane("default", "k")).failures == failures
        assert await _held_for(lab) == 0
    await bad(lab, worker, await worker.claim_one())
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (lab.now + 10_000, "breaker")
    assert await worker.look() == ([], lab.now + 10_000)


async def test_good_one_begins_the_count_anew(lab: Lab, worker: Worker) -> None:
    """`Breaker`: A failure is an attempt that was `bad`; a `good` one begins the count anew."""
    for _ in range(3):
        for _ in range(2):
            await bad(lab, worker, await worker.claim_one())
        await good(lab, worker, await worker.claim_one())
        assert (await lab.store.lane("default", "k")).failures == 0
    assert await _held_for(lab) == 0


async def test_attempt_that_says_nothing_neither_counts_nor_forgives(lab: Lab, worker: Worker) -> None:
    """`Outcome.health`: None says nothing."""
    for _ in range(2):
        await bad(lab, worker, await worker.claim_one())
    await worker.succeed(await worker.claim_one())
    await worker.finish(await worker.claim_one(), Released(), phase="claimed")
    assert await _held_for(lab) == 0
    await bad(lab, worker, await worker.claim_one())
    assert await _held_for(lab) == 10


async def test_lane_is_probed_by_one_at_a_time(lab: Lab, worker: Worker) -> None:
    """`Breaker`: … then probed by one task at a time until one succeeds."""
    await _trip(lab, worker)
    claim = await _probe(lab, worker)
    assert await worker.look() == ([], None)
    other = await lab.worker(await lab.open(), LONG)
    assert await other.claim() == []
    await worker.succeed(claim)
    claim = await other.claim_one()
    assert await worker.claim() == [], "one that says nothing proves nothing"
    await good(lab, other, claim)
    assert len(await worker.claim()) == 26 - 1
    assert (await lab.store.lane("default", "k")).failures == 0


async def test_each_failed_probe_doubles_the_hold_up_to_the_longest(lab: Lab, worker: Worker) -> None:
    """`Breaker.hold`: each that follows without a success between is twice as long, up to `max_hold`."""
    await _trip(lab, worker)
    for seconds in (10, 20, 40, 60, 60):
        assert await _held_for(lab) == seconds
        await bad(lab, worker, await _probe(lab, worker))
    await good(lab, worker, await _probe(lab, worker))
    await _trip(lab, worker)
    assert await _held_for(lab) == 10


async def test_what_was_on_its_way_says_nothing_new_when_it_fails(lab: Lab, worker: Worker) -> None:
    """`Breaker`: … says nothing new if it turns out `bad` before the hold is over, and is not counted."""
    claims = await worker.claim(12)
    for claim in claims[:3]:
        await bad(lab, worker, claim)
    lab.clock.advance(4)
    outcomes = [ended(claim, worker.session, lab.now, health="bad") for claim in claims[3:]]
    assert await lab.store.finish(worker.session, outcomes) == ["applied"] * 9
    assert await _held_for(lab) == 6
    await bad(lab, worker, await _probe(lab, worker))
    assert await _held_for(lab) == 20


async def test_batch_of_failures_trips_once(lab: Lab, worker: Worker) -> None:
    """`finish`: the outcomes of one call count one after the other: the third holds, and those behind it say nothing new."""
    claims = await worker.claim(12)
    outcomes = [ended(claim, worker.session, lab.now, health="bad") for claim in claims]
    await lab.store.finish(worker.session, outcomes)
    assert await _held_for(lab) == 10


async def test_what_was_on_its_way_and_goes_well_spares_the_probing(lab: Lab, worker: Worker) -> None:
    """`Breaker`: if it is `good`, no probing follows, but the hold stands until its time."""
    claims = await worker.claim(4)
    for claim in claims[:3]:
        await bad(lab, worker, claim)
    await good(lab, worker, claims[3])
    lane = await lab.store.lane("default", "k")
    assert (lane.failures, lane.held_until) == (0, lab.now + 10_000)
    assert await worker.look() == ([], lab.now + 10_000)
    lab.clock.advance(10)
    assert len(await worker.claim()) == 26


async def test_what_is_on_its_way_when_the_hold_is_over_is_the_one(lab: Lab, worker: Worker) -> None:
    """`claim`: takes one task at a time: no probe starts beside one that is running still."""
    claims = await worker.claim(4)
    for claim in claims[:3]:
        await bad(lab, worker, claim)
    lab.clock.advance(10)
    assert await worker.look() == ([], None)
    await bad(lab, worker, claims[3])
    assert await _held_for(lab) == 20


async def test_probe_that_dies_with_its_worker_makes_room_for_another(lab: Lab, worker: Worker) -> None:
    """Every way out of pending makes room: a breaker waits for nobody for ever."""
    await _trip(lab, worker)
    lab.clock.advance(10)
    mortal = await lab.worker()
    assert len(await mortal.claim()) == 1
    await lab.die(worker)
    assert len(await worker.claim()) == 1
    assert await worker.claim() == []


async def test_canceled_probe_makes_room_for_another_and_may_say_how_it_went(lab: Lab, worker: Worker) -> None:
    """`Outcome.health`: under the same condition as `hold`: cancel or not."""
    await _trip(lab, worker)
    claim = await _probe(lab, worker)
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await end(lab, worker, claim, Canceled(), phase="sent") == "canceled"
    claim = await worker.claim_one()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert await end(lab, worker, claim, Done("success", answer(lab.now)), health="good") == "canceled"
    assert len(await worker.claim()) == 25


async def test_outcome_that_is_lost_or_repeated_does_not_count(lab: Lab, worker: Worker) -> None:
    """`finish`: `lost`: nothing changed; a repeat changes nothing either."""
    thief = await lab.worker(lease=LONG)
    claims = await worker.claim(2)
    assert await end(lab, thief, claims[0], health="bad") == "lost"
    outcome = ended(claims[1], worker.session, lab.now, health="bad")
    for _ in range(4):
        assert await lab.store.finish(worker.session, [outcome]) == ["applied"]
    assert (await lab.store.lane("default", "k")).failures == 1


async def test_lanes_are_judged_apart(lab: Lab, worker: Worker) -> None:
    """`QueueSettings.breaker`: For each of its lanes."""
    others = [("default", "other"), ("q", "k")]
    for queue, key in others:
        await lab.enqueue(queue=queue, key=key)
    for claim in await worker.claim():
        task = await lab.get(claim.uuid)
        await end(lab, worker, claim, health="good" if (task.queue, task.key) in others else "bad")
    uuids = {await lab.enqueue(queue=queue, key=key) for queue, key in [*others, ("default", "k")]}
    got = {claim.uuid for claim in await worker.claim()}
    assert len(got) == 2
    assert got < uuids
    assert await _held_for(lab) == 10


async def test_without_a_breaker_failures_hold_nothing(lab: Lab) -> None:
    """`QueueSettings.breaker`: None: failures hold nothing. That is the default."""
    await lab.enqueue_many(20, key="k")
    worker = await lab.worker()
    for _ in range(10):
        await bad(lab, worker, await worker.claim_one())
    assert len(await worker.claim()) == 10
    assert (await lab.store.lane("default", "k")).held_until is None


async def test_breaker_that_is_taken_away_probes_no_more(lab: Lab, worker: Worker) -> None:
    """`put_queue`: Limits hold from the next claim on: the hold that is there stands, and then all goes on."""
    await _trip(lab, worker)
    await lab.store.put_queue("default", QueueSettings())
    assert await worker.look() == ([], lab.now + 10_000)
    lab.clock.advance(10)
    assert len(await worker.claim()) == 27


async def test_operator_lets_go_of_the_breaker_too(lab: Lab, worker: Worker) -> None:
    """`put_lane`: `hold` None lets go of what is held (the breaker too): nothing is probed, and the count begins anew."""
    await _trip(lab, worker)
    await lab.store.put_lane("default", "k", LaneLimits(), None)
    claims = await worker.claim(5)
    assert len(claims) == 5
    assert (await lab.store.lane("default", "k")).failures == 0
    for claim in claims[:2]:
        await bad(lab, worker, claim)
    assert await _held_for(lab) == 0
    await bad(lab, worker, claims[2])
    assert await _held_for(lab) == 10


async def test_hold_by_the_target_and_by_the_breaker_end_when_the_later_one_does(lab: Lab, worker: Worker) -> None:
    """`Outcome`: a 503 that says when is `bad` and a hold: neither makes the other end sooner."""
    claims = await worker.claim(3)
    for claim in claims[:2]:
        await bad(lab, worker, claim)
    hold = Hold(lab.now + 60_000, "unavailable")
    await end(lab, worker, claims[2], health="bad", hold=hold)
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (hold.until, "unavailable")
    lab.clock.advance(60)
    claim = await worker.claim_one()
    assert await worker.claim() == []
    await end(lab, worker, claim, health="bad", hold=Hold(lab.now + 5000, "unavailable"))
    lane = await lab.store.lane("default", "k")
    assert (lane.held_until, lane.hold_reason) == (lab.now + 20_000, "breaker")


async def test_failures_are_remembered_when_a_lane_runs_dry(lab: Lab) -> None:
    """In a row: whether the lane was empty between two of them or not."""
    await lab.store.put_queue("default", QueueSettings(breaker=BREAKER))
    worker = await lab.worker(lease=LONG)
    for _ in range(3):
        await lab.enqueue(key="k", result_ttl=1.0)
        await bad(lab, worker, await worker.claim_one())
        lab.clock.advance(2)
        await lab.store.forget(10)
    assert await _held_for(lab) == 8


async def test_concurrency_holds_besides(lab: Lab, worker: Worker) -> None:
    """The breaker's one at a time and the lane's own limit: the smaller of both, and the own one again when all is well."""
    await lab.store.put_lane("default", "k", LaneLimits(concurrency=2), None)
    first, second = await worker.claim()
    for claim in (first, second):
        await bad(lab, worker, claim)
    await bad(lab, worker, await worker.claim_one())
    await good(lab, worker, await _probe(lab, worker))
    assert len(await worker.claim()) == 2
