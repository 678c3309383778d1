"""Who is next: turns of lanes and queues, weights, priorities, and that nobody starves."""

from collections import Counter

import pytest

from htq.stores.base import Cancel, Claim, QueueSettings
from htq.words.limits import FOREVER, Hold, LaneLimits
from stores.conformance.ends import LONG, per_second, units
from stores.conformance.lab import Lab, Worker


class Keys:
    """Which lane, and which queue, the tasks belong to that were put in here."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.of: dict[str, str] = {}

    async def put(self, count: int, key: str, **fields: object) -> list[str]:
        uuids = await self._lab.enqueue_many(count, key=key, **fields)
        self.of |= dict.fromkeys(uuids, key)
        return uuids

    def names(self, claims: list[Claim]) -> list[str]:
        return [self.of[claim.uuid] for claim in claims]


@pytest.fixture
def keys(lab: Lab) -> Keys:
    return Keys(lab)


async def _shares(worker: Worker, keys: Keys, sizes: list[int]) -> Counter[str]:
    """Who got how many in claims of these sizes, each of them full."""
    shares: Counter[str] = Counter()
    for size in sizes:
        claims = await worker.claim(size)
        assert len(claims) == size
        shares.update(keys.names(claims))
    return shares


async def test_one_task_beside_a_flood_of_ten_thousand_is_next(lab: Lab, keys: Keys) -> None:
    """lanes.md: A floods 10,000, B sends 1: B is next, whatever the size of the claims."""
    await keys.put(10_000, "a")
    worker = await lab.worker()
    for size in (1, 1, 3, 64, 1):
        assert set(keys.names(await worker.claim(size))) == {"a"}
        await keys.put(1, "b")
        assert "b" in keys.names(await worker.claim(size))


@pytest.mark.parametrize("limited", [False, True], ids=["free", "limited"])
@pytest.mark.parametrize("size", [1, 3, 64])
async def test_one_task_is_next_beside_a_flood(lab: Lab, keys: Keys, size: int, limited: bool) -> None:
    """The same where the queue has limits, and with a crowd of lanes that flood."""
    if limited:
        each = LaneLimits(concurrency=1000, rate=(per_second(1e5, burst=1000),))
        await lab.store.put_queue(
            "default", QueueSettings(concurrency=1000, rate=(per_second(1e5, burst=1000),), per_key=each)
        )
    for lane in range(4):
        await keys.put(100, f"flood{lane}")
    worker = await lab.worker()
    await worker.claim(size)
    await keys.put(1, "b")
    seen = 0
    while "b" not in keys.names(claims := await worker.claim(size)):
        seen += len(claims)
        assert seen < 5


@pytest.mark.parametrize("size", [1, 3, 7, 64])
async def test_weights_make_shares(lab: Lab, keys: Keys, size: int) -> None:
    """Weights 1, 2 and 5 are shares of 0.125, 0.250 and 0.625, in claims of any size."""
    for key, weight in (("one", 1), ("two", 2), ("five", 5)):
        await lab.store.put_lane("default", key, LaneLimits(weight=weight), None)
        await keys.put(120, key)
    worker = await lab.worker()
    total = max(64, 2 * size)
    shares = await _shares(worker, keys, [size] * (total // size) + [total % size] * bool(total % size))
    assert shares == {"one": total // 8, "two": total // 4, "five": total // 8 * 5}


async def test_weight_of_the_queue_holds_for_lanes_that_say_nothing(lab: Lab, keys: Keys) -> None:
    """`QueueSettings.per_key`: For each lane of the queue that says nothing else."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(weight=3)))
    await lab.store.put_lane("default", "other", LaneLimits(weight=1), None)
    for key in ("a", "b", "other"):
        await keys.put(60, key)
    worker = await lab.worker()
    assert await _shares(worker, keys, [1] * 35) == {"a": 15, "b": 15, "other": 5}


async def test_lane_with_a_weight_has_its_turn_in_one_piece(lab: Lab, keys: Keys) -> None:
    """`LaneLimits.weight`: Tasks that it gets in its turn, in several claims if need be."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(weight=4)))
    for key in ("a", "b"):
        await keys.put(20, key)
    worker = await lab.worker()
    names = [name for _ in range(16) for name in keys.names(await worker.claim(1))]
    assert ["".join(names[at : at + 4]) for at in range(0, 16, 4)] in (["aaaa", "bbbb"] * 2, ["bbbb", "aaaa"] * 2)


async def test_changed_weight_holds_from_the_next_turn_on(lab: Lab, keys: Keys) -> None:
    """`put_lane`: another weight, while both lanes are busy: the shares are the new ones, give or take the turn under way."""
    for key in ("a", "b"):
        await keys.put(120, key)
    worker = await lab.worker()
    assert await _shares(worker, keys, [3] * 4) == {"a": 6, "b": 6}
    await lab.store.put_lane("default", "a", LaneLimits(weight=3), None)
    shares = await _shares(worker, keys, [4] * 20)
    assert 58 <= shares["a"] <= 62
    await lab.store.put_lane("default", "a", LaneLimits(), None)
    shares = await _shares(worker, keys, [4] * 20)
    assert 38 <= shares["a"] <= 42


async def test_lane_that_empties_and_refills_gains_nothing(lab: Lab, keys: Keys) -> None:
    """lanes.md: A lane that empties and refills all the time gets no more than one that is always full."""
    await keys.put(100, "patient")
    worker = await lab.worker()
    shares: Counter[str] = Counter()
    await keys.put(1, "hasty")
    for _ in range(60):
        (claim,) = await worker.claim(1)
        name = keys.of[claim.uuid]
        shares[name] += 1
        await worker.succeed(claim)
        if name == "hasty":
            await keys.put(1, "hasty")
    assert shares["hasty"] <= 30
    assert shares["hasty"] >= 20


async def test_lane_whose_tasks_are_canceled_and_put_again_gains_nothing(lab: Lab, keys: Keys) -> None:
    """The same where a lane empties because its task is canceled: to come again is no way to the front."""
    await keys.put(100, "patient")
    worker = await lab.worker()
    shares: Counter[str] = Counter()
    (waiting,) = await keys.put(1, "hasty")
    for _ in range(40):
        await lab.store.cancel([Cancel(waiting)])
        (waiting,) = await keys.put(1, "hasty")
        (claim,) = await worker.claim(1)
        shares[keys.of[claim.uuid]] += 1
        if claim.uuid == waiting:
            (waiting,) = await keys.put(1, "hasty")
    assert shares["hasty"] <= 20


async def test_held_lanes_give_their_share_to_the_others(lab: Lab, keys: Keys) -> None:
    """Nothing that may run is left out: lanes that may not run cost the others nothing, and take their turns again after."""
    await lab.store.put_lane("default", "full", LaneLimits(concurrency=0), None)
    await lab.store.put_lane("default", "held", LaneLimits(), Hold(lab.now + 10_000, "operator"))
    await lab.store.put_lane("default", "slow", LaneLimits(rate=(per_second(1),)), None)
    for key in ("full", "held", "slow", "a", "b"):
        await keys.put(60, key)
    worker = await lab.worker(lease=LONG)
    assert await _shares(worker, keys, [7, 7, 7]) == {"slow": 1, "a": 10, "b": 10}
    lab.clock.advance(10)
    shares = await _shares(worker, keys, [1] * 31)
    assert shares["slow"] == 1
    assert {shares[key] for key in ("a", "b", "held")} == {10}


async def test_lane_that_was_full_takes_its_old_turn(lab: Lab, keys: Keys) -> None:
    """lanes.md: a `finish` that takes `running` below the cap brings it back, at its old place: it has waited."""
    await lab.store.put_lane("default", "narrow", LaneLimits(concurrency=1), None)
    await keys.put(5, "narrow")
    for key in ("a", "b", "c"):
        await keys.put(20, key)
    worker = await lab.worker()
    claims = await worker.claim(8)
    narrow = next(claim for claim in claims if keys.of[claim.uuid] == "narrow")
    await worker.claim(8)
    await worker.succeed(narrow)
    assert "narrow" in keys.names(await worker.claim(3))


async def test_many_lanes_that_may_not_run_hide_no_one_that_may(lab: Lab, keys: Keys) -> None:
    """Nothing that may run is left out: behind 300 lanes whose limit was just taken away from them."""
    await lab.store.enqueue([lab.task(key=f"k{number}") for number in range(300)])
    await keys.put(1, "free")
    await lab.store.put_lane("default", "free", LaneLimits(concurrency=1), None)
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=0)))
    worker = await lab.worker()
    assert [claim.uuid for claim in await worker.claim(2)] == [uuid for uuid, key in keys.of.items() if key == "free"]


async def test_many_lanes_wait_for_one_window_and_then_all_may(lab: Lab, keys: Keys) -> None:
    """Settings of the queue reach every one of its lanes, however many wait."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=(per_second(0.001),))))
    for _ in range(2):
        await lab.store.enqueue([lab.task(key=f"k{number}") for number in range(150)])
    worker = await lab.worker(lease=LONG)
    assert len(await worker.claim(300)) == 150
    assert await worker.claim(300) == []
    await lab.store.put_queue("default", QueueSettings())
    assert len(await worker.claim(300)) == 150


# --- inside a lane ---


async def test_priority_zero_is_served_in_the_end(lab: Lab) -> None:
    """lanes.md: Priority with ageing: one of 0 goes before any of 9 that comes nine minutes later, however many keep coming."""
    low = await lab.enqueue(priority=0)
    worker = await lab.worker(lease=LONG)
    served: list[str] = []
    for _ in range(11):
        await lab.enqueue_many(2, priority=9)
        served += (claim.uuid for claim in await worker.claim(2))
        lab.clock.advance(60)
    assert low in served[18:20]


async def test_order_inside_a_lane_is_kept_across_lanes_weights_and_claims(lab: Lab, keys: Keys) -> None:
    """`claim`: inside a lane the order is by `run_at + (9 - priority) * 60 s`, then by uuid."""
    await lab.store.put_lane("default", "b", LaneLimits(weight=3, concurrency=50), None)
    orders: dict[str, list[tuple[int, str]]] = {"a": [], "b": [], "c": []}
    for priority in (5, 9, 0, 5, 7, 5):
        for key, order in orders.items():
            (uuid,) = await keys.put(1, key, priority=priority)
            order.append((lab.now + (9 - priority) * 60_000, uuid))
        lab.clock.advance(45)
    worker = await lab.worker(lease=LONG)
    got: dict[str, list[str]] = {key: [] for key in orders}
    for size in (1, 4, 2, 5, 6):
        for claim in await worker.claim(size):
            got[keys.of[claim.uuid]].append(claim.uuid)
    for key, order in orders.items():
        assert got[key] == [uuid for _, uuid in sorted(order)]


# --- queues among each other ---


async def test_queues_take_turns_whatever_their_lanes_and_weights(lab: Lab) -> None:
    """`claim`: queues with work take turns: a hundred lanes, or a weight, are no more turns for a queue."""
    await lab.store.put_queue("b", QueueSettings(per_key=LaneLimits(weight=10)))
    queues: dict[str, str] = {}
    for lane in range(30):
        queues |= dict.fromkeys(await lab.enqueue_many(2, queue="a", key=f"k{lane}"), "a")
    queues |= dict.fromkeys(await lab.enqueue_many(60, queue="b"), "b")
    queues |= dict.fromkeys(await lab.enqueue_many(60, queue="c"), "c")
    worker = await lab.worker()
    for size in (3, 9, 30):
        shares = Counter(queues[claim.uuid] for claim in await worker.claim(size))
        assert shares == dict.fromkeys("abc", size // 3)


@pytest.mark.parametrize(
    "settings",
    [
        QueueSettings(paused_until=FOREVER),
        QueueSettings(concurrency=0),
        QueueSettings(per_key=LaneLimits(concurrency=0)),
        QueueSettings(rate=(units(1.0, per=1e6),)),
    ],
    ids=["paused", "full", "lanes-full", "spent"],
)
async def test_queue_that_may_not_run_gives_its_share_to_the_others(lab: Lab, settings: QueueSettings) -> None:
    """Nothing that may run is left out: a queue without room takes nothing from a claim."""
    await lab.store.put_queue("blocked", settings)
    worker = await lab.worker()
    if settings.rate:
        await lab.enqueue(queue="blocked", cost={"tokens": 1.0})
        assert len(await worker.claim()) == 1
    await lab.enqueue_many(10, queue="blocked", cost={"tokens": 1.0})
    uuids = await lab.enqueue_many(4, queue="a") + await lab.enqueue_many(4, queue="b")
    claims = await worker.claim(3) + await worker.claim(5)
    assert {claim.uuid for claim in claims} == set(uuids)
    assert await worker.claim() == []


async def test_queue_with_little_room_gives_the_rest_to_the_others(lab: Lab) -> None:
    """A claim is dealt by what each queue can take, not by what it has."""
    await lab.store.put_queue("narrow", QueueSettings(concurrency=2))
    await lab.store.put_queue("slow", QueueSettings(rate=(per_second(1),)))
    await lab.store.put_queue("lanes", QueueSettings(per_key=LaneLimits(concurrency=1)))
    queues: dict[str, str] = {}
    for queue in ("narrow", "slow", "lanes", "wide"):
        queues |= dict.fromkeys(await lab.enqueue_many(30, queue=queue, key="k"), queue)
    worker = await lab.worker()
    shares = Counter(queues[claim.uuid] for claim in await worker.claim(24))
    assert shares == {"narrow": 2, "slow": 1, "lanes": 1, "wide": 20}


async def test_paused_queue_takes_its_turn_when_it_goes_on(lab: Lab) -> None:
    """A queue that comes back takes turns with the others from then on: it gets no more for having waited."""
    queues: dict[str, str] = {}
    for queue in ("a", "b"):
        queues |= dict.fromkeys(await lab.enqueue_many(60, queue=queue), queue)
    await lab.store.pause_queue("b", FOREVER)
    worker = await lab.worker()
    assert Counter(queues[claim.uuid] for claim in await worker.claim(20)) == {"a": 20}
    await lab.store.pause_queue("b", None)
    shares: Counter[str] = Counter()
    for _ in range(20):
        shares[queues[(await worker.claim_one()).uuid]] += 1
    assert 9 <= shares["b"] <= 11
