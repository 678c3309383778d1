"""The writer: one commit for all who wait, no failure for a stranger, and what happens when the disk or the lock fails."""

import asyncio
import fcntl
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import apsw
import pytest

from htq.stores.sqlite import SqliteStore, store, writer
from htq.stores.sqlite.hints import Hints
from htq.stores.sqlite.lock import WriteLock
from htq.stores.sqlite.step import Step
from htq.words.clock import Chance
from htq.words.errors import SessionLost, StoreUnavailable
from htq.words.task import NewTask
from stores.conformance.lab import Lab, request
from support.clock import ManualClock

_HOLDS = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


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


class Gate:
    """Keeps the writer busy, so that what is called meanwhile waits for one commit."""

    def __init__(self, of: SqliteStore) -> None:
        self._open = threading.Event()
        self._store = of

    async def __aenter__(self) -> None:
        entered = asyncio.Event()
        enter = partial(asyncio.get_running_loop().call_soon_threadsafe, entered.set)
        self._busy = asyncio.create_task(self._store._write(lambda step: self._wait(enter)))
        async with asyncio.timeout(5):
            await entered.wait()

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        await self._busy

    def _wait(self, enter: Callable[[], object]) -> None:
        enter()
        self._open.wait(10)


async def turns(count: int) -> None:
    """Let the loop go round, so that tasks which were just made have begun."""
    for _ in range(count):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, None)
        await future


def commits(step: Step) -> int:
    return int(step.db.execute("SELECT tick FROM turns").get)


async def test_failing_call_undoes_its_own_writes_and_nobody_elses(lab: Lab) -> None:
    sqlite = lab.store
    assert isinstance(sqlite, SqliteStore)

    def fails(step: Step) -> None:
        step.db.execute("UPDATE turns SET tick = 77")
        raise ZeroDivisionError

    async with Gate(sqlite):
        before = asyncio.create_task(lab.enqueue())
        bad = asyncio.create_task(sqlite._write(fails))
        after = asyncio.create_task(lab.enqueue())
        await turns(3)
    with pytest.raises(ZeroDivisionError):
        await bad
    assert [await lab.state(await before), await lab.state(await after)] == ["queued", "queued"]
    assert await sqlite._write(commits) == 0
    (queue,) = await sqlite.stats()
    assert queue.queued == 2


async def test_lost_session_fails_nobody_else_in_its_commit(lab: Lab) -> None:
    sqlite = lab.store
    assert isinstance(sqlite, SqliteStore)
    worker = await lab.worker()
    await lab.enqueue()
    async with Gate(sqlite):
        lost = asyncio.create_task(sqlite.heartbeat("nobody", 15.0))
        claim = asyncio.create_task(worker.claim())
        await turns(3)
    with pytest.raises(SessionLost):
        await lost
    assert len(await claim) == 1


async def test_defect_beside_the_calls_is_told_and_the_writer_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_explained", _defective)
        patch.setattr(Step, "flush", _defective)
        with pytest.raises(ZeroDivisionError):
            await lab.enqueue()
    assert "htq-sqlite-writer failed" in caplog.text
    assert await lab.state(await lab.enqueue()) == "queued"
    assert len(await lab.everything()) == 1


async def test_commit_that_can_not_be_told_to_others_is_answered_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Hints, "send", _defective)
    clock = ManualClock()
    sqlite = SqliteStore(tmp_path / "htq.db", clock=clock, chance=Chance(clock, seed=7))
    await sqlite.open()
    try:
        for _ in range(2):
            task = NewTask(uuid=Chance(clock).uuid(), request=request(), key="k", host="h")
            await sqlite.enqueue([task])
            assert await sqlite.states([task.uuid]) == [("queued", False)]
    finally:
        await sqlite.close()
    assert caplog.text.count("could not be told") == 2


async def test_reader_goes_on_when_a_snapshot_was_not_let_go_of(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite = lab.store
    assert isinstance(sqlite, SqliteStore)
    reader = sqlite._reader
    assert reader is not None
    kept = await lab.enqueue()
    assert reader._db is not None
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_db", Clinging(reader._db))
        assert await lab.state(kept) == "queued"
    assert "could not be let go of" in caplog.text
    with pytest.raises(StoreUnavailable, match="within a transaction"):
        await lab.state(kept)
    assert await lab.state(kept) == "queued"


class Clinging:
    """A connection that can't end a transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, sql: str, *values: Any) -> apsw.Cursor:
        if sql == "COMMIT":
            raise apsw.IOError("the disk")
        return self._db.execute(sql, *values)


def _defective(*_: object) -> NoReturn:
    raise ZeroDivisionError


async def test_call_whose_caller_gave_up_before_it_began_is_not_done(lab: Lab) -> None:
    sqlite = lab.store
    assert isinstance(sqlite, SqliteStore)
    done: list[str] = []
    async with Gate(sqlite):
        call = asyncio.create_task(sqlite._write(lambda step: done.append("done")))
        await turns(3)
        call.cancel()
        await turns(3)
    assert await sqlite._write(commits) == 0
    assert done == []


async def test_store_that_is_stuck_answers_unavailable_in_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ANSWER_WITHIN", 0.05)
    sqlite = lab.store
    assert isinstance(sqlite, SqliteStore)
    stuck = threading.Event()
    first = asyncio.create_task(sqlite._write(lambda step: stuck.wait(10)))
    await turns(3)
    async with asyncio.timeout(4):
        with pytest.raises(StoreUnavailable, match="in time"):
            await lab.enqueue()
    stuck.set()
    with pytest.raises(StoreUnavailable):
        await first
    monkeypatch.undo()
    assert await lab.enqueue()


async def test_full_disk_is_unavailable_and_goes_on_when_there_is_room(lab: Lab) -> None:
    sqlite = lab.store
    assert isinstance(sqlite, SqliteStore)
    kept = await lab.enqueue()
    pages = await sqlite._write(lambda step: step.db.pragma("page_count"))
    await sqlite._write(lambda step: step.db.pragma("max_page_count", pages + 2))
    with pytest.raises(StoreUnavailable, match="disk is full") as caught:
        await lab.enqueue(body=b"x" * 300_000)
    assert caught.value.retry_after > 0
    assert await lab.state(kept) == "queued"
    await sqlite._write(lambda step: step.db.pragma("max_page_count", 1_000_000))
    assert await lab.state(await lab.enqueue(body=b"x" * 300_000)) == "queued"
    assert len(await lab.everything()) == 2


@pytest.mark.parametrize("frozen", [False, True], ids=["holding", "frozen"])
async def test_lock_held_by_another_process_is_unavailable_until_it_goes(
    frozen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCK_WITHIN", 0.2)
    clock = ManualClock()
    sqlite = SqliteStore(tmp_path / "htq.db", clock=clock, chance=Chance(clock, seed=7), signals=False)
    await sqlite.open()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _HOLDS,
        str(tmp_path / "htq.db.lock"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(20):
            await child.stdout.readline()
            if frozen:
                child.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(4):
                with pytest.raises(StoreUnavailable, match="write lock"):
                    await sqlite.promote(10)
            assert await sqlite.stats() == []
            child.kill()
            await child.wait()
            assert (await sqlite.promote(10)).promoted == 0
    finally:
        await sqlite.close()


def test_lock_passes_to_who_waits_and_not_to_who_was_faster(tmp_path: Path) -> None:
    """A process that takes the lock again at once must not starve one that tries now and then."""
    busy = WriteLock(tmp_path / "htq.db", 5.0)
    patient = WriteLock(tmp_path / "htq.db", 5.0)
    order: list[str] = []
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        patient.acquire()
        order.append("patient")
        patient.release()

    busy.acquire()
    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait(5)
    while not _is_locked(tmp_path / "htq.db.turn"):
        pass
    for _ in range(1000):
        busy.release()
        busy.acquire()
        order.append("busy")
    busy.release()
    thread.join(5)
    busy.close()
    patient.close()
    assert order.index("patient") == 0


def test_turnstile_of_a_frozen_waiter_is_passed_by(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "htq.db", 0.1)
    frozen = os.open(tmp_path / "htq.db.turn", os.O_RDWR)
    fcntl.flock(frozen, fcntl.LOCK_EX)
    lock.acquire()
    assert _is_locked(tmp_path / "htq.db.lock")
    lock.release()
    lock.close()
    os.close(frozen)


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
