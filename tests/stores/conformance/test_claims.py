"""`claim`: who gets what, in which order, and never twice."""

import asyncio
from collections import Counter

from htq.stores.base import Cancel, Released
from stores.conformance.lab import Lab, request


async def test_claimed_task_is_pending_at_the_next_attempt(lab: Lab) -> None:
    """`claim`: At most `limit` queued tasks become `pending`, `attempt` + 1, held by `session`."""
    worker = await lab.worker()
    task = lab.task(body=b"payload", request=request(total=9))
    await lab.store.enqueue([task])
    lab.clock.advance(2)
    claim = await worker.claim_one()
    assert (claim.uuid, claim.attempt, claim.claimed_at) == (task.uuid, 1, lab.now)
    assert (claim.request, claim.body, claim.body_size) == (task.request, b"payload", 7)
    assert claim.delivery == "at_least_once"
    stored = await lab.get(task.uuid)
    assert (stored.state, stored.attempt) == ("pending", 1)


async def test_claim_takes_no_more_than_its_limit(lab: Lab) -> None:
    """`claim`: At most `limit` queued tasks."""
    worker = await lab.worker()
    await lab.enqueue_many(5)
    assert [len(await worker.claim(2)) for _ in range(4)] == [2, 2, 1, 0]


async def test_claim_of_nothing_is_empty(lab: Lab) -> None:
    """`claim` over an empty store, and over one where everything is scheduled."""
    worker = await lab.worker()
    assert await worker.claim() == []
    await lab.enqueue(run_at=lab.now + 1000)
    assert await worker.claim() == []


async def test_same_seq_gives_the_same_claims_again(lab: Lab) -> None:
    """`claim`: The same `seq` as in the session's last call gives those of its claims again."""
    worker = await lab.worker()
    await lab.enqueue_many(5)
    claims = (await lab.store.claim(worker.session, 1, 3)).claims
    lab.clock.advance(1)
    again = (await lab.store.claim(worker.session, 1, 3)).claims
    assert sorted(again, key=lambda claim: claim.uuid) == sorted(claims, key=lambda claim: claim.uuid)
    rest = (await lab.store.claim(worker.session, 2, 10)).claims
    assert len(rest) == 2
    assert not {claim.uuid for claim in rest} & {claim.uuid for claim in claims}


async def test_same_seq_gives_only_what_is_still_pending_at_that_attempt(lab: Lab) -> None:
    """`claim`: … those of its claims again that are still pending at that attempt."""
    worker = await lab.worker()
    await lab.enqueue_many(3)
    done, handed_back, kept = await worker.claim(3)
    await worker.succeed(done)
    await worker.finish(handed_back, Released(), phase="claimed")
    heir = await lab.worker()
    assert (await heir.claim_one()).uuid == handed_back.uuid
    assert [claim.uuid for claim in (await lab.store.claim(worker.session, worker.seq, 3)).claims] == [kept.uuid]


async def test_same_seq_gives_a_canceled_claim_again(lab: Lab) -> None:
    """A task whose cancel was requested is still pending at that attempt: its session must come to know that it has it."""
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid)])
    assert [again.uuid for again in (await lab.store.claim(worker.session, worker.seq, 9)).claims] == [claim.uuid]


async def test_same_seq_gives_large_bodies_by_size_again(lab: Lab) -> None:
    """`Claim`: `body` is None where `Store.read_body` must be asked for its `body_size` bytes."""
    worker = await lab.worker()
    await lab.enqueue(body=b"x" * 4097)
    (claim,) = (await lab.store.claim(worker.session, 1, 1)).claims
    assert (claim.body, claim.body_size) == (None, 4097)
    assert (await lab.store.claim(worker.session, 1, 1)).claims == [claim]


async def test_seq_of_one_session_means_nothing_to_another(lab: Lab) -> None:
    """`claim`: `seq` is the session's own."""
    first, second = await lab.worker(), await lab.worker()
    await lab.enqueue_many(2)
    one = (await lab.store.claim(first.session, 1, 1)).claims
    two = (await lab.store.claim(second.session, 1, 1)).claims
    assert {claim.uuid for claim in one}.isdisjoint(claim.uuid for claim in two)


async def test_no_two_sessions_get_the_same_attempt(lab: Lab) -> None:
    """`claim`: No two sessions ever get the same attempt: two clients claim at once until nothing is left."""
    workers = [await lab.worker(store) for store in (lab.store, await lab.open()) for _ in range(2)]
    uuids = await lab.enqueue_many(300)

    async def drain(at: int) -> list[tuple[str, int]]:
        got: list[tuple[str, int]] = []
        while claims := await workers[at].claim(7):
            got += ((claim.uuid, claim.attempt) for claim in claims)
        return got

    async with asyncio.timeout(30):
        shares = await asyncio.gather(*(drain(at) for at in range(4)))
    given = [pair for share in shares for pair in share]
    assert Counter(given) == Counter((uuid, 1) for uuid in uuids)


async def test_oldest_goes_first_inside_a_lane(lab: Lab) -> None:
    """`claim`: inside a lane the order is by `run_at + (9 - priority) * 60 s`, then by uuid."""
    worker = await lab.worker()
    uuids = []
    for _ in range(6):
        uuids.append(await lab.enqueue())
        lab.clock.advance(0.5)
    uuids += await lab.enqueue_many(6)
    assert [claim.uuid for claim in await worker.claim()] == uuids


async def test_higher_priority_goes_first(lab: Lab) -> None:
    """`claim`: … `(9 - priority)`: 9 goes first."""
    worker = await lab.worker()
    by_priority = {priority: await lab.enqueue(priority=priority) for priority in (0, 9, 5, 3, 7)}
    assert [claim.uuid for claim in await worker.claim()] == [by_priority[priority] for priority in (9, 7, 5, 3, 0)]


async def test_priority_ages(lab: Lab) -> None:
    """lanes.md: a task of priority 0 goes before any of priority 9 that comes nine minutes later."""
    low = await lab.enqueue(priority=0)
    lab.clock.advance(9 * 60 - 1)
    just_before = await lab.enqueue(priority=9)
    lab.clock.advance(2)
    just_after = await lab.enqueue(priority=9)
    worker = await lab.worker()
    assert [claim.uuid for claim in await worker.claim()] == [just_before, low, just_after]


async def test_run_at_in_the_past_counts_in_the_order(lab: Lab) -> None:
    """`claim`: the order is by `run_at`, not by the time of the enqueue."""
    worker = await lab.worker()
    now = await lab.enqueue()
    earlier = await lab.enqueue(run_at=lab.now - 10_000)
    assert [claim.uuid for claim in await worker.claim()] == [earlier, now]


async def test_task_that_comes_back_keeps_its_place(lab: Lab) -> None:
    """`claim`: the order is fixed by `run_at`, so a crash costs a task no turn in its lane."""
    worker = await lab.worker()
    first, *rest = await lab.enqueue_many(3)
    claim = await worker.claim_one()
    assert claim.uuid == first
    await worker.finish(claim, Released(), phase="claimed")
    assert [claim.uuid for claim in await worker.claim()] == [first, *rest]


async def test_one_task_of_another_lane_is_in_the_next_claim_of_a_flood(lab: Lab) -> None:
    """`claim`: inside a queue its lanes (by `key`) take turns. A floods, B sends one: B is in the next claim."""
    worker = await lab.worker()
    await lab.enqueue_many(200, key="a")
    await worker.claim(5)
    single = await lab.enqueue(key="b")
    assert single in {claim.uuid for claim in await worker.claim(2)}


async def test_lanes_share_claims_evenly(lab: Lab) -> None:
    """`claim`: its lanes take turns: equal shares, whatever each has waiting, in claims of any size."""
    worker = await lab.worker()
    lanes: dict[str, str] = {}
    for key, count in (("a", 200), ("b", 40), ("c", 40)):
        lanes |= dict.fromkeys(await lab.enqueue_many(count, key=key), key)
    shares: Counter[str] = Counter()
    for size in (1, 2, 1, 3, 5, 7, 1, 10):
        shares.update(lanes[claim.uuid] for claim in await worker.claim(size))
    assert sum(shares.values()) == 30
    assert max(shares.values()) - min(shares.values()) <= 1


async def test_nothing_idles_when_other_lanes_are_empty(lab: Lab) -> None:
    """Nothing is idle that could run: a lone lane fills the whole claim."""
    worker = await lab.worker()
    await lab.enqueue_many(10, key="a")
    await lab.enqueue_many(1, key="b")
    assert len(await worker.claim(11)) == 11


async def test_queues_take_turns(lab: Lab) -> None:
    """`claim`: queues with work take turns."""
    worker = await lab.worker()
    queues: dict[str, str] = {}
    for queue, count in (("a", 100), ("b", 20), ("c", 20)):
        queues |= dict.fromkeys(await lab.enqueue_many(count, queue=queue), queue)
    shares: Counter[str] = Counter()
    for _ in range(30):
        shares[queues[(await worker.claim_one()).uuid]] += 1
    assert max(shares.values()) - min(shares.values()) <= 1


async def test_flooded_queue_delays_another_by_one_turn(lab: Lab) -> None:
    """`claim`: queues with work take turns, however many lanes one of them has."""
    worker = await lab.worker()
    for key in range(20):
        await lab.enqueue_many(5, queue="a", key=str(key))
    await worker.claim(5)
    single = await lab.enqueue(queue="b")
    assert single in {claim.uuid for claim in await worker.claim(2)}


async def test_same_key_in_two_queues_is_two_lanes(lab: Lab) -> None:
    """A (queue, key) pair is a lane."""
    worker = await lab.worker()
    one = await lab.enqueue_many(3, queue="a", key="k")
    two = await lab.enqueue_many(3, queue="b", key="k")
    claims = [claim.uuid for claim in await worker.claim()]
    assert [uuid for uuid in claims if uuid in one] == one
    assert [uuid for uuid in claims if uuid in two] == two


async def test_attempt_only_grows(lab: Lab) -> None:
    """The fence: `attempt` only grows, whichever way a task comes back."""
    worker = await lab.worker()
    uuid = await lab.enqueue()
    for attempt in range(1, 5):
        claim = await worker.claim_one()
        assert (claim.uuid, claim.attempt) == (uuid, attempt)
        assert await worker.finish(claim, Released(), phase="claimed") == "applied"
    assert (await lab.get(uuid)).attempt == 4
