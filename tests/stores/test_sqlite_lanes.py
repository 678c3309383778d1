"""Turns, weights and caps of lanes, and that no statement of the hot path reads more than it needs."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from htq.stores.base import Cancel, QueueSettings
from htq.stores.sqlite import (
    SqliteStore,
    claims,
    counters,
    expiry,
    finishes,
    names,
    schedules,
    taking,
    tasks_in,
    upkeep,
)
from htq.stores.sqlite.connection import connect, prepare
from htq.stores.sqlite.schema import PARKED
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.turns import LaneTurn, deal, split
from htq.words.clock import Chance
from htq.words.limits import LaneLimits, Rate
from stores.conformance.lab import Lab
from support.clock import ManualClock


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    clock = ManualClock()
    lab = Lab(
        lambda clock, chance: SqliteStore(tmp_path / "htq.db", clock=clock, chance=chance, signals=False),
        clock,
        Chance(clock, seed=7),
        signals=False,
    )
    await lab.open()
    yield lab
    await lab.close()


async def set_lane(lab: Lab, key: str, **columns: int) -> None:
    assert isinstance(lab.store, SqliteStore)
    sets = ", ".join(f"{column} = ?" for column in columns)
    sql = f"UPDATE lanes SET {sets} WHERE key = ?"

    def change(step: Step) -> None:
        step.db.execute(sql, (*columns.values(), key))

    await lab.store._write(change)


@pytest.mark.parametrize("size", [1, 3, 7, 64])
async def test_lanes_are_served_by_weight_whatever_the_size_of_claims(size: int, lab: Lab) -> None:
    for key in "abc":
        await lab.enqueue_many(400, key=key)
    for key, weight in {"a": 1, "b": 2, "c": 5}.items():
        await set_lane(lab, key, weight=weight, turns_left=weight)
    keys = {task.uuid: task.key for task in await lab.everything()}
    worker = await lab.worker()
    served: Counter[str] = Counter()
    while served.total() < 448:
        served.update(keys[claim.uuid] for claim in await worker.claim(min(size, 448 - served.total())))
    assert abs(served["a"] - 56) <= 1
    assert abs(served["b"] - 112) <= 2
    assert abs(served["c"] - 280) <= 5


async def test_lane_never_runs_more_than_its_cap_and_comes_back_when_one_ends(lab: Lab) -> None:
    await lab.enqueue_many(5, key="capped")
    await lab.enqueue_many(5, key="free")
    await set_lane(lab, "capped", cap=2)
    keys = {task.uuid: task.key for task in await lab.everything()}
    worker = await lab.worker()
    claimed = await worker.claim(100)
    assert Counter(keys[claim.uuid] for claim in claimed) == {"capped": 2, "free": 5}
    assert await worker.claim(100) == []
    await worker.succeed(next(claim for claim in claimed if keys[claim.uuid] == "capped"))
    assert [keys[claim.uuid] for claim in await worker.claim(100)] == ["capped"]


async def test_queue_whose_lanes_are_full_leaves_its_share_to_the_others(lab: Lab) -> None:
    await lab.enqueue_many(50, queue="full", key="k")
    await lab.enqueue_many(50, queue="open", key="k")
    assert isinstance(lab.store, SqliteStore)
    await lab.store._write(
        lambda step: step.db.execute(
            "UPDATE lanes SET cap = 1 WHERE queue = (SELECT id FROM queues WHERE name = 'full')"
        ).fetchall()
    )
    queues = {task.uuid: task.queue for task in await lab.everything()}
    worker = await lab.worker()
    assert Counter(queues[claim.uuid] for claim in await worker.claim(20)) == {"full": 1, "open": 19}


async def test_lanes_and_queues_go_with_the_last_task_that_names_them(lab: Lab) -> None:
    assert isinstance(lab.store, SqliteStore)

    def left(step: Step) -> tuple[int, int]:
        return (
            step.db.execute("SELECT count(*) FROM lanes").get,
            step.db.execute("SELECT count(*) FROM queues").get,
        )

    for number in range(3):
        await lab.final(key=f"k{number}", queue="passing", result_ttl=60.0)
    assert await lab.store._write(left) == (3, 1)
    lab.clock.advance(61)
    assert await lab.store.forget(2) == 2
    assert await lab.store._write(left) == (1, 1)
    assert await lab.store.forget(2) == 1
    assert await lab.store._write(left) == (0, 0)


async def next_at(lab: Lab, queue: str = "default") -> int:
    """When a queue may have something to give, as its row says, in milliseconds from now."""
    assert isinstance(lab.store, SqliteStore)
    sql = "SELECT next_at FROM queues WHERE name = ?"
    found: int = await lab.store._write(lambda step: step.db.execute(sql, (queue,)).get)
    return -(-found // 1000) - lab.now


async def in_reach(lab: Lab) -> int:
    """Lanes that a claim would read."""
    assert isinstance(lab.store, SqliteStore)
    bound = lab.now * 1000 + 1000
    return len(await lab.store._write(lambda step: step.rows(taking._READY_LANES, (1, bound, 1000))))


RARELY = LaneLimits(rate=(Rate(1, 10.0),))


async def test_lanes_that_wait_are_out_of_reach_and_so_is_their_queue(lab: Lab) -> None:
    """lanes.md: blocked lanes cost nothing, however many; a queue of which all the lanes wait neither."""
    await lab.store.put_queue("default", QueueSettings(per_key=RARELY))
    for _ in range(2):
        await lab.store.enqueue([lab.task(key=f"k{number}") for number in range(50)])
    worker = await lab.worker(lease=1000.0)
    assert await in_reach(lab) == 50
    assert len(await worker.claim(1000)) == 50
    assert await in_reach(lab) == 0
    assert 9_990 < await next_at(lab) <= 10_000
    await lab.enqueue(key="another")
    assert await in_reach(lab) == 1
    assert await next_at(lab) <= 0
    assert len(await worker.claim(1000)) == 1
    assert await next_at(lab) > 9_000


async def test_queue_whose_lanes_are_full_is_parked_until_one_of_them_is_not(lab: Lab) -> None:
    """lanes.md: a full lane is not in the index; a `finish` that takes it below its cap brings it and its queue back."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=1)))
    for _ in range(2):
        await lab.store.enqueue([lab.task(key=f"k{number}") for number in range(5)])
    worker = await lab.worker()
    claims = await worker.claim(100)
    assert (len(claims), await in_reach(lab)) == (5, 0)
    assert await next_at(lab) + lab.now == -(-PARKED // 1000)
    await worker.succeed(claims[0])
    assert await in_reach(lab) == 1
    assert await next_at(lab) <= 0


async def test_queue_whose_lanes_are_full_tells_its_oldest_all_the_same(lab: Lab) -> None:
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=0)))
    await lab.enqueue()
    (queue,) = await lab.store.stats()
    assert queue.oldest_queued_at == lab.now


async def test_claim_leaves_what_is_too_much_to_look_at_to_the_next(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a setting has changed all lanes may be shut: no claim takes for ever, and the next one goes on at once."""
    await lab.store.put_queue("default", QueueSettings(per_key=RARELY))
    for _ in range(2):
        await lab.store.enqueue([lab.task(key=f"k{number}") for number in range(40)])
    worker = await lab.worker(lease=1000.0)
    assert len(await worker.claim(1000)) == 40
    monkeypatch.setattr(taking, "_LANES_AT_ONCE", 8)
    monkeypatch.setattr(claims, "_ROUNDS", 2)
    await lab.store.put_queue("default", QueueSettings(per_key=RARELY, concurrency=1000))
    assert await in_reach(lab) == 0
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=(Rate(1, 10.0), Rate(5, 10.0)))))
    assert await in_reach(lab) == 40
    looks = 0
    while (again_at := (await worker.look(4)).again_at) == lab.now + 1:
        looks += 1
    assert looks > 1
    assert again_at == lab.now + 10_000
    assert await in_reach(lab) == 0


async def test_lane_outlives_its_tasks_while_it_has_something_to_remember(lab: Lab) -> None:
    assert isinstance(lab.store, SqliteStore)
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=(Rate(1, 100.0),))))
    await lab.store.put_lane("default", "own", LaneLimits(weight=2), None)
    await lab.final(key="spent", result_ttl=1.0)
    lab.clock.advance(2)
    assert await lab.store.forget(10) == 1
    keys = "SELECT key FROM lanes ORDER BY key"
    assert await lab.store._write(lambda step: step.rows(keys, ())) == [("own",), ("spent",)]
    lab.clock.advance(200)
    assert await lab.store.forget(10) == 0
    assert await lab.store._write(lambda step: step.rows(keys, ())) == [("own",)]
    assert await lab.store.delete_queue("default")
    assert await lab.store.forget(10) == 0
    assert await lab.store._write(lambda step: step.rows(keys, ())) == []
    assert await lab.store._write(lambda step: step.rows("SELECT name FROM queues", ())) == []


async def test_clock_that_was_set_back_shuts_nothing_for_ever(lab: Lab) -> None:
    """Turns run ahead of such a clock. What is paused by its time is looked at once, not over and over."""
    await lab.enqueue_many(3)
    worker = await lab.worker(lease=1e6)
    assert len(await worker.claim(1)) == 1
    lab.clock.advance(-3600)
    await lab.store.pause_queue("default", lab.now + 5000)
    assert await worker.claim(1) == []
    await lab.store.pause_queue("default", None)
    assert len(await worker.claim(10)) == 2


DAMAGED = [b"\xc1", b"\x81\xa3url\xa1\xff"]
"""Not msgpack; and msgpack whose text is not UTF-8."""


async def damage(lab: Lab, task: int, request: bytes) -> None:
    assert isinstance(lab.store, SqliteStore)

    def change(step: Step) -> None:
        step.db.execute("UPDATE requests SET request = ? WHERE id = ?", (request, task))

    await lab.store._write(change)


@pytest.mark.parametrize("request_", DAMAGED, ids=["bytes", "text"])
async def test_damaged_task_ends_in_error_and_stands_in_nobodys_way(request_: bytes, lab: Lab) -> None:
    assert isinstance(lab.store, SqliteStore)
    await lab.enqueue_many(3)
    await damage(lab, 1, request_)
    worker = await lab.worker()
    assert len(await worker.claim()) == 2
    assert await lab.store._write(
        lambda step: step.db.execute("SELECT state, reason FROM tasks WHERE id = 1").fetchone()
    ) == (4, "internal")
    (queue,) = await lab.store.stats()
    assert (queue.queued, queue.pending) == (0, 2)


@pytest.mark.parametrize("request_", DAMAGED, ids=["bytes", "text"])
async def test_stop_of_a_damaged_task_fails_and_stands_in_nobodys_way(request_: bytes, lab: Lab) -> None:
    assert isinstance(lab.store, SqliteStore)
    await lab.enqueue_many(3)
    worker = await lab.worker()
    claims = await worker.claim()
    await lab.die()
    await lab.store.cancel([Cancel(claim.uuid) for claim in claims])
    await damage(lab, 2, request_)
    another = await lab.worker()
    stops = await another.claim_stops()
    assert sorted(stop.uuid for stop in stops) == sorted([claims[0].uuid, claims[2].uuid])
    assert await lab.store.claim_stops(another.session, another.stops_seq, 100) == stops
    states = await lab.store._write(lambda step: step.db.execute("SELECT state FROM stops ORDER BY task").fetchall())
    assert states == [("owed",), ("failed",), ("owed",)]


async def test_forget_weighs_bodies_and_does_not_count_them(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = await lab.enqueue_many(300, result_ttl=1.0, body=b"x" * 5000)
    await lab.store.cancel([Cancel(uuid) for uuid in uuids])
    lab.clock.advance(2)
    assert await lab.store.forget(290) == 290
    monkeypatch.setattr(upkeep, "_WEIGHT_AT_ONCE", 20_000)
    assert [await lab.store.forget(290) for _ in range(4)] == [4, 4, 2, 0]
    (heavy,) = await lab.enqueue_many(1, result_ttl=1.0, body=b"x" * 50_000)
    await lab.store.cancel([Cancel(heavy)])
    lab.clock.advance(2)
    assert await lab.store.forget(290) == 1


async def test_sessions_of_an_earlier_boot_are_lapsed(lab: Lab) -> None:
    assert isinstance(lab.store, SqliteStore)
    worker, claim = await lab.pending()
    await lab.store._write(lambda step: step.db.execute("UPDATE sessions SET boot = 'before'").fetchall())
    assert await lab.store.reap(10) == 1
    assert await lab.state(claim.uuid) == "queued"
    assert await worker.succeed(claim) == "lost"


def test_deal_goes_round_until_the_slots_are_gone() -> None:
    lanes = [LaneTurn(lane, 1, 1, room) for lane, room in ((1, 9), (2, 1), (3, 9))]
    assert {share.lane: share.take for share in deal(lanes, 5, everything=True)} == {1: 2, 2: 1, 3: 2}


def test_deal_begins_no_second_turn_while_other_lanes_wait() -> None:
    lanes = [LaneTurn(1, 2, 2, 9), LaneTurn(2, 2, 2, 9)]
    assert [share.take for share in deal(lanes, 9, everything=False)] == [2, 2]


def test_deal_leaves_a_lane_its_place_while_it_has_turns_left() -> None:
    (share,) = deal([LaneTurn(1, 5, 5, 9), LaneTurn(2, 1, 1, 9)], 2, everything=False)
    assert (share.take, share.turns_left, share.place) == (2, 3, None)


@pytest.mark.parametrize(
    ("waiting", "slots", "takes", "last"),
    [
        ([5, 5], 4, [2, 2], [0, 1]),
        ([5, 5], 3, [2, 1], [1, 0]),
        ([1, 9, 9], 7, [1, 3, 3], [0, 1, 2]),
        ([9, 9, 9], 2, [1, 1, 0], [0, 1]),
        ([2, 2], 9, [2, 2], [0, 1]),
    ],
)
def test_split_gives_each_queue_its_turn(waiting: list[int], slots: int, takes: list[int], last: list[int]) -> None:
    assert split(waiting, slots) == (takes, last)


@pytest.mark.parametrize(
    "sql",
    [
        claims._READY_QUEUES,
        claims._NEXT_QUEUE,
        claims._NEXT_LANE,
        taking._READY_LANES,
        taking._FIRST_TASKS,
        claims._AGAIN.replace("ORDER BY t.lane, t.ord, t.uuid", ""),
        taking._CLAIM + "(?, ?, ?, ?)",
        taking._TURN,
        finishes._FENCE,
        finishes._DONE + "(?, ?, ?, ?)",
        tasks_in._KNOWN + "(?, ?, ?, ?)",
        counters._COUNT_LANE,
        counters._COUNT_QUEUE,
        counters._LOOK_AT_QUEUE,
        names._ALIVE,
        names._LATEST,
        names._TAKEN,
        expiry._ENDING,
        schedules._DUE,
        upkeep._DUE,
        upkeep._EXPIRED,
        upkeep._HELD,
    ],
)
def test_hot_statement_goes_along_an_index_and_sorts_nothing(sql: str, tmp_path: Path) -> None:
    """Nothing shows at 1,000 rows; at 1,000,000 a scan or a sort is a standstill."""
    prepare(tmp_path / "htq.db")
    db: apsw.Connection = connect(tmp_path / "htq.db", writer=True)
    try:
        numbered = [int(number) for number in re.findall(r"\?(\d+)", sql)]
        values = (1,) * (max(numbered, default=0) + sql.count("?") - len(numbered))
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values, can_cache=False)]
    finally:
        db.close()
    assert not [line for line in plan if "TEMP B-TREE" in str(line)]
    # `turns` has one row, and the ready queues are all that is in their index.
    scans = [line for line in plan if re.match(r"SCAN (?!turns$|.*queues_ready)", str(line))]
    assert not scans
