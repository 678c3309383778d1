"""The keys: one slot, no name of a user's in any, and nothing left when all is forgotten."""

from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from htq.stores.base import Cancel, Done, Filter, Interrupted, QueueSettings, Released
from htq.stores.redis import RedisStore
from htq.words.callback import Callback
from htq.words.clock import Chance
from htq.words.limits import Breaker, Hold, LaneLimits, Rate
from htq.words.schedule import Schedule
from htq.words.task import Idempotency, NewTask
from stores.conformance.lab import Lab, answer, outcome, request
from support.clock import ManualClock
from support.redis_server import RedisServer, flavours

HOSTILE = (
    "{htq:x}",
    "}",
    "a:b:c",
    "a\x00b",
    "\n\r\n",
    "*",
    "ü\u202e\U0001f600",
    "x" * 1000,
    "",
    "task:",
    "]]",
    "' or 1",
)


@pytest.fixture(params=flavours(), scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, fsync="no") as running:
        yield running


@pytest.fixture
async def lab(server: RedisServer) -> AsyncIterator[Lab]:
    with server.client() as client:
        client.flushall()
    clock = ManualClock()
    lab = Lab(
        lambda clock, chance: RedisStore(server.url, clock=clock, chance=chance, namespace="keys"),
        clock,
        Chance(clock, seed=3),
        signals=True,
    )
    await lab.open()
    yield lab
    await lab.close()


def keys_of(server: RedisServer) -> set[str]:
    with server.client() as client:
        return {key.decode() for key in client.scan_iter(count=1000)}


async def test_names_of_users_stand_in_no_key_and_come_back_whole(lab: Lab, server: RedisServer) -> None:
    tasks: list[NewTask] = []
    for name in HOSTILE:
        task = lab.task(queue=name, key=name, name=name, tenant=name, owner=name, labels={name: name})
        tasks.append(task)
    await lab.store.enqueue(tasks)
    await lab.store.cancel([Cancel(tasks[0].uuid, HOSTILE[-1])])
    for name in HOSTILE:
        await lab.store.put_queue(name, QueueSettings())
    for key in keys_of(server):
        assert key.startswith("{htq:keys}:")
        assert set(key.removeprefix("{htq:keys}:")) <= set("abcdefghijklmnopqrstuvwxyz0123456789-:")
    found = await lab.store.get([task.uuid for task in tasks])
    for shown, name in zip(found, HOSTILE, strict=True):
        assert shown is not None
        assert (shown.queue, shown.key, shown.name, shown.tenant, shown.owner) == (name,) * 5
        assert shown.labels == {name: name}
    assert {queue.name for queue in await lab.store.stats()} == set(HOSTILE[1:])
    assert set(await lab.store.queues()) == set(HOSTILE)


async def test_select_leaves_requests_and_bodies_where_they_are(lab: Lab, server: RedisServer) -> None:
    """It reads the facts alone: what goes over the wire does not grow with what the tasks bring along."""

    def sent() -> int:
        with server.client() as client:
            info = client.info("stats")
        return int(info["total_net_output_bytes"])

    uuids = await lab.enqueue_many(100, body=b"x" * 4000)
    before = sent()
    assert (await lab.store.select(Filter(), None, 100)).uuids == uuids
    selected = sent()
    assert len((await lab.store.list_tasks(Filter(), None, 100)).tasks) == 100
    assert selected - before < 40_000
    assert sent() - selected > 400_000


@pytest.mark.parametrize("text", ["null", "true", "1", "1e9", ""])
async def test_reason_of_a_cancel_comes_back_as_it_was_given(lab: Lab, text: str) -> None:
    uuid = await lab.enqueue()
    await lab.store.cancel([Cancel(uuid, text)])
    task = await lab.get(uuid)
    assert task.cancel is not None
    assert task.cancel.reason == text


async def test_nothing_is_left_when_everything_is_forgotten(lab: Lab, server: RedisServer) -> None:
    """Of all kinds of keys only the mark of the layout and the turns of the queues stay, whatever happened before."""
    store = lab.store
    large = b"x" * 300_000
    await lab.enqueue_many(5, name="n", body=large)
    await lab.enqueue_many(20, delivery="at_most_once")
    await lab.enqueue(run_at=lab.now + 60_000, queue="later")
    worker = await lab.worker()
    claims = await worker.claim(15)
    await worker.finish(claims[0], Done("success", answer(lab.now, large)))
    await worker.finish(claims[1], Released(), phase="sent")
    await worker.finish(claims[2], Interrupted(), phase="sent")
    await store.cancel([Cancel(claim.uuid) for claim in claims[3:6]])
    await store.close_session(worker.session)
    lab.clock.advance(120)
    await store.promote(100)
    for _ in range(6):
        heir = await lab.worker()
        await heir.claim(100)
        lab.clock.advance(20)
        await store.reap(100)
    lab.clock.advance(600)
    await store.reap(100)
    await store.cancel([Cancel(task.uuid) for task in await lab.everything()])
    lab.clock.advance(600)
    await store.reap(100)
    lab.clock.advance(30 * 86400)
    while await store.forget(100):
        pass
    assert await lab.everything() == []
    assert keys_of(server) <= {f"{{htq:keys}}:{key}" for key in ("meta", "queue:", "idle:")}


async def test_lanes_that_ran_empty_are_forgotten_in_time(lab: Lab, server: RedisServer) -> None:
    """Memory: a lane for each of many hosts leaves nothing behind while its queue goes on."""
    await lab.enqueue(key="steady")
    worker = await lab.worker(lease=60.0)
    for round_ in range(20):
        await lab.enqueue_many(3, key="steady")
        for number in range(10):
            await lab.enqueue(key=f"once {round_} {number}")
        claims = await worker.claim(12)
        for claim in claims:
            await worker.succeed(claim)
        lab.clock.advance(1)
    with server.client() as client:
        idle = [client.zcard(key) for key in keys_of(server) if ":idle:" in key]
    assert max(idle) <= 24


async def test_nothing_is_left_of_limits_groups_keys_and_schedules(lab: Lab, server: RedisServer) -> None:
    """What decided when a task went goes with the last that it decided about, or when its owner says so."""
    store = lab.store
    rates = (Rate(1, per=60.0), Rate(100, per=60.0, burst=100, unit="tokens"))
    await store.put_queue(
        "q", QueueSettings(concurrency=100, rate=rates, per_key=LaneLimits(rate=rates, weight=3), breaker=Breaker())
    )
    await store.put_lane("q", "k0", LaneLimits(concurrency=2), Hold(lab.now + 1000, "operator"))
    callback = Callback(url="http://127.0.0.1:9/told", source="http://127.0.0.1:9")
    await store.put_group("", "g", callback, close=False)
    told = msgspec.structs.replace(request(), callback=callback)
    for number in range(5):
        await lab.enqueue(
            queue="q",
            key=f"k{number}",
            cost={"tokens": 10.0},
            group="g",
            request=told,
            deadline=lab.now + 3_600_000,
            start_by=lab.now + 3_600_000,
            idempotency=Idempotency(str(number), b"f", 60.0),
            result_ttl=60.0,
        )
    await store.put_group("", "g", None, close=True)
    await store.pause_queue("other", lab.now + 1000)
    schedule = Schedule(name="s", every=60.0, task=lab.task(), created_at=lab.now, next_at=lab.now + 60_000)
    schedule = await store.put_schedule(schedule)
    worker = await lab.worker(lease=86400.0)
    for _ in range(10):
        for claim in await worker.claim():
            now = lab.now
            ended = outcome(claim, worker.session, Done("success", answer(now)), now)
            hold = Hold(now + 5000, "rate_limited")
            ended = msgspec.structs.replace(ended, health="bad", hold=hold, costs={"tokens": 20.0})
            assert await store.finish(worker.session, [ended]) == ["applied"]
        lab.clock.advance(60)
    assert len(await store.owed_callbacks(100)) == 6
    await store.settle_callbacks(await store.owed_callbacks(100))
    assert await store.delete_schedule("", "s")
    assert await store.delete_queue("q")
    assert await store.delete_queue("other")
    await store.close_session(worker.session)
    lab.clock.advance(30 * 86400)
    while await store.forget(100):
        pass
    assert keys_of(server) <= {f"{{htq:keys}}:{key}" for key in ("meta", "queue:", "idle:")}


async def test_lanes_that_a_window_remembers_are_forgotten_when_it_has_forgotten(lab: Lab, server: RedisServer) -> None:
    """Memory: with a rate for each of many lanes, those without tasks leave nothing once their rate is paid."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(rate=(Rate(1, per=10.0),))))
    worker = await lab.worker(lease=3600.0)
    for number in range(20):
        await lab.enqueue(key=str(number))
    for claim in await worker.claim():
        await worker.succeed(claim)
    await lab.store.forget(100)
    again = await lab.enqueue(key="0")
    assert await worker.claim() == []
    lab.clock.advance(11)
    await lab.store.forget(100)
    assert {key for key in keys_of(server) if ":record:" in key} == {f"{{htq:keys}}:record:{_lane_of(server, again)}"}
    assert [claim.uuid for claim in await worker.claim()] == [again]


def _lane_of(server: RedisServer, uuid: str) -> str:
    with server.client() as client:
        return str(client.hget(f"{{htq:keys}}:task:{uuid}", "lane").decode())


async def test_many_lanes_that_a_limit_kept_back_are_looked_at_again_over_several_claims(lab: Lab) -> None:
    """A change of limits holds up nobody for long: a claim looks at so many lanes, and says that it is to be asked again."""
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=0)))
    await lab.store.enqueue([lab.task(key=f"closed {number}") for number in range(2200)])
    await lab.store.put_lane("default", "open", LaneLimits(concurrency=1), None)
    uuid = await lab.enqueue(key="open")
    await lab.store.put_queue("default", QueueSettings(per_key=LaneLimits(concurrency=0, weight=2)))
    worker = await lab.worker(lease=3600.0)
    found, again_at = await worker.look(10)
    looks = 1
    while again_at is not None:
        assert again_at == lab.now + 1
        assert looks < 5
        claims, again_at = await worker.look(10)
        found += claims
        looks += 1
    assert looks > 1
    assert [claim.uuid for claim in found] == [uuid]


async def test_two_namespaces_do_not_know_each_other(lab: Lab, server: RedisServer) -> None:
    uuid = await lab.enqueue()
    other = RedisStore(server.url, clock=lab.clock, chance=lab.chance, namespace="other")
    await other.open()
    try:
        assert await other.get([uuid]) == [None]
        assert await other.stats() == []
    finally:
        await other.close()


async def test_record_of_a_newer_version_harms_no_other(lab: Lab, server: RedisServer) -> None:
    """A corrupt row or an unknown status: it is passed over, and the rest goes on."""
    odd, corrupt, good = await lab.enqueue_many(3)
    with server.client() as client:
        client.hset(f"{{htq:keys}}:task:{odd}", "state", "paused")
        client.set(f"{{htq:keys}}:spec:{corrupt}", b"\xc1")
    found = await lab.store.get([odd, corrupt, good])
    assert [task is not None for task in found] == [False, False, True]
    worker = await lab.worker()
    assert good in {claim.uuid for claim in await worker.claim()}


async def test_stop_of_a_damaged_task_stands_in_nobodys_way(
    lab: Lab, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is held and not given: a newer htq may have written it. When it lapses, or its holder ends, it goes on as any other."""
    await lab.enqueue_many(3)
    claims = await (await lab.worker()).claim()
    await lab.die()
    await lab.store.cancel([Cancel(claim.uuid) for claim in claims])
    with server.client() as client:
        client.set(f"{{htq:keys}}:spec:{claims[1].uuid}", b"\x95\x81\xa3url\xa1\xff")
    another = await lab.worker()
    stops = await another.claim_stops()
    assert sorted(stop.uuid for stop in stops) == sorted([claims[0].uuid, claims[2].uuid])
    assert f"[{claims[1].uuid}] the record of this task can't be read" in caplog.text
