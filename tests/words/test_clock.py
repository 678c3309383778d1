"""Time and chance: ids that sort and never repeat, jitter that can be had again, and the clock of the tests."""

import asyncio
import math
import uuid

from htq.words.clock import Chance, SystemClock, derived_uuid, first_of, wait_for
from support.clock import ManualClock


def test_uuid_is_a_version_7() -> None:
    """RFC 9562, 5.7: 48 bits of milliseconds, version 7, variant 0b10."""
    clock = ManualClock()
    made = uuid.UUID(Chance(clock).uuid())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == clock.now_ms()


def test_uuids_sort_in_the_order_of_their_making() -> None:
    clock = ManualClock()
    chance = Chance(clock)
    made = []
    for _ in range(200):
        made += [chance.uuid() for _ in range(5)]
        clock.advance(0.001)
    assert made == sorted(set(made))


def test_counter_carries_into_the_time_when_it_is_used_up() -> None:
    """RFC 9562, 6.2, method 1: 12 bits count, then the millisecond moves on."""
    clock = ManualClock()
    chance = Chance(clock)
    made = [chance.uuid() for _ in range(3 * 4096 + 1)]
    assert made == sorted(set(made))
    times = [uuid.UUID(one).int >> 80 for one in made]
    assert times[0] == times[4095] == clock.now_ms()
    assert times[4096] == clock.now_ms() + 1
    assert times[-1] == clock.now_ms() + 3
    assert {uuid.UUID(one).version for one in made} == {7}


def test_uuids_sort_even_when_the_wall_clock_goes_back() -> None:
    clock = ManualClock()
    chance = Chance(clock)
    before = chance.uuid()
    clock.advance(-3600)
    assert chance.uuid() > before


def test_uuids_of_two_processes_differ() -> None:
    clock = ManualClock()
    first, second = Chance(clock), Chance(clock)
    assert not {first.uuid() for _ in range(1000)} & {second.uuid() for _ in range(1000)}


def test_derived_uuid_is_a_version_7_of_its_time() -> None:
    for number in range(200):
        made = uuid.UUID(derived_uuid(1_800_000_000_000 + number, "schedule", str(number)))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == 1_800_000_000_000 + number
        assert str(made) == derived_uuid(1_800_000_000_000 + number, "schedule", str(number))


def test_derived_uuid_is_the_same_for_the_same_parts_and_for_no_others() -> None:
    parts = [("a", "b"), ("ab",), ("a", "", "b"), ("b", "a"), ("a",), ("",), (), ("a", "b\U0001f600")]
    made = {derived_uuid(1_800_000_000_000, *one) for one in parts}
    assert made == {derived_uuid(1_800_000_000_000, *one) for one in parts}
    assert len(made) == len({one[15:] for one in made}) == len(parts) - 1, "no part is as good as an empty one"


def test_seed_gives_the_same_chance_again() -> None:
    clock = ManualClock()
    runs = []
    for _ in range(2):
        chance = Chance(clock, seed=42)
        runs.append((chance.uuid(), chance.token(), chance.around(10), chance.below(10)))
    assert runs[0] == runs[1]
    other = Chance(clock, seed=43)
    assert (other.uuid(), other.token()) != runs[0][:2]


def test_token_stays_below_its_bits() -> None:
    chance = Chance(ManualClock())
    tokens = {chance.token(16) for _ in range(2000)}
    assert all(0 <= token < 1 << 16 for token in tokens)
    assert len(tokens) > 1000


def test_jitter_stays_within_its_bounds_and_uses_them() -> None:
    chance = Chance(ManualClock(), seed=1)
    around = [chance.around(10, 0.2) for _ in range(2000)]
    below = [chance.below(10) for _ in range(2000)]
    assert 8 <= min(around) < 8.1
    assert 11.9 < max(around) <= 12
    assert 0 <= min(below) < 0.1
    assert 9.9 < max(below) < 10


def test_system_clock_tells_the_time() -> None:
    clock = SystemClock()
    first, second = clock.steady(), clock.steady()
    assert second >= first
    assert clock.now_ms() > 1_700_000_000_000


async def test_system_clock_sleeps() -> None:
    clock = SystemClock()
    before = clock.steady()
    async with asyncio.timeout(10):
        await clock.sleep(0.001)
    assert clock.steady() - before >= 0.0009


def test_manual_clock_moves_by_advance_only() -> None:
    clock = ManualClock(1_000_000)
    steady = clock.steady()
    assert (clock.now_ms(), clock.now_ms()) == (1_000_000, 1_000_000)
    clock.advance(1.5)
    assert clock.now_ms() == 1_001_500
    assert math.isclose(clock.steady() - steady, 1.5)


async def test_manual_clock_wakes_sleepers_in_the_order_of_their_time() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        tasks = {seconds: group.create_task(sleeper(seconds)) for seconds in (3.0, 1.0, 2.0)}
        for _ in range(2):
            await _loop_turn()
        clock.advance(0.5)
        await _loop_turn()
        assert woken == []
        clock.advance(1.5)
        await asyncio.wait({tasks[1.0], tasks[2.0]})
        assert woken == [1.0, 2.0]
        clock.advance(10)
    assert woken == [1.0, 2.0, 3.0]


async def test_manual_clock_forgets_a_sleeper_that_was_canceled() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await _loop_turn()
    task.cancel()
    await asyncio.wait({task})
    clock.advance(2)
    assert task.cancelled()


async def test_wait_for_ends_with_the_event_or_with_the_time() -> None:
    clock = ManualClock()
    event = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        late = group.create_task(wait_for(event, 5, clock))
        for _ in range(3):
            await _loop_turn()
        clock.advance(5)
        assert await late is False
        early = group.create_task(wait_for(event, 5, clock))
        for _ in range(3):
            await _loop_turn()
        event.set()
        assert await early is True
        assert await wait_for(event, 5, clock) is True


async def test_first_of_cancels_coroutines_and_leaves_tasks_to_their_owners() -> None:
    clock = ManualClock()
    canceled = asyncio.Event()

    async def sleeps_on() -> None:
        try:
            await clock.sleep(1000)
        except asyncio.CancelledError:
            canceled.set()
            raise

    async with asyncio.timeout(10):
        owned = asyncio.create_task(clock.sleep(1000))
        first = asyncio.create_task(first_of(sleeps_on(), owned, clock.sleep(1)))
        for _ in range(3):
            await _loop_turn()
        clock.advance(1)
        await first
        await canceled.wait()
        assert not owned.done()
        clock.advance(1000)
        await owned


async def _loop_turn() -> None:
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn
