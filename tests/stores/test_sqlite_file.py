"""The file: who may read it, which one is refused, and that it is synced before anything is acknowledged."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from htq.stores.base import QueueSettings
from htq.stores.sqlite import SqliteStore
from htq.stores.sqlite.codec import CODES, encode, key_of
from htq.stores.sqlite.connection import prepare
from htq.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS
from htq.words.attempt import AttemptRecord
from htq.words.clock import Chance, SystemClock
from htq.words.errors import StoreRefused, StoreUnavailable
from htq.words.states import State
from stores.conformance.lab import Lab, answer, counts_of, recount, request
from support.clock import ManualClock


def a_store(path: Path, *, signals: bool = False) -> SqliteStore:
    clock = ManualClock()
    return SqliteStore(path, clock=clock, chance=Chance(clock, seed=7), signals=signals)


def a_lab(path: Path) -> Lab:
    clock = ManualClock()
    return Lab(
        lambda clock, chance: SqliteStore(path, clock=clock, chance=chance, signals=False),
        clock,
        Chance(clock, seed=7),
        signals=False,
    )


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = a_lab(tmp_path / "htq.db")
    await lab.open()
    yield lab
    await lab.close()


async def test_folders_are_made_for_the_owner_alone_and_so_are_the_files(tmp_path: Path) -> None:
    path = tmp_path / "state" / "htq" / "htq.db"
    mask = os.umask(0)
    try:
        store = a_store(path)
        await store.open()
        files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(mask)
    assert {folder.stat().st_mode & 0o777 for folder in (path.parent, path.parent.parent)} == {0o700}
    assert {"htq.db", "htq.db-wal", "htq.db-shm", "htq.db.lock", "htq.db.turn"} == set(files)
    assert set(files.values()) == {0o600}


async def test_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = a_store(tmp_path / "htq.db")
    await store.open()
    await store.close()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def layout_of(path: Path) -> tuple[int, list[object]]:
    """The schema's number, and every table and index as it was declared."""
    db = apsw.Connection(str(path))
    declared = list[object](db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name"))
    version = int(db.pragma("user_version"))
    db.close()
    return version, declared


OLD_TASK = """
INSERT INTO tasks (uuid, state, queue, lane, ord, run_at, ttl_ms, once, has_response, due_at, finished_at, expires_at, tenant, name)
VALUES (?1, ?2, 1, 1, ?3, ?3, 60000, 0, ?4, iif(?2, NULL, ?3), iif(?2 > 2, ?3, NULL), iif(?2 > 2, ?3 + 60000, NULL), '', ?5)
"""
OLD_REQUEST = """
INSERT INTO requests (id, created_at, owner, host, priority, body_size, request, body)
VALUES ((SELECT max(id) FROM tasks), ?, '', '127.0.0.1', 5, 4, ?, 'body')
"""


def old_file(path: Path, version: int, lab: Lab) -> list[str]:
    """A file as a htq of that schema left it: one task that is over, two that are queued, of one name once, and a scheduled one."""
    prepare(path)
    db = apsw.Connection(str(path))
    db.pragma("auto_vacuum", "incremental")
    for script in MIGRATIONS[:version]:
        db.execute(script)
    db.pragma("user_version", version)
    db.pragma("application_id", APPLICATION_ID)
    db.execute("INSERT INTO queues (name, scheduled, queued) VALUES ('q', 1, 2)")
    db.execute("INSERT INTO lanes (queue, key, queued, tasks) VALUES (1, 'k', 2, 4)")
    uuids = [lab.chance.uuid() for _ in range(4)]
    states: tuple[State, ...] = ("success", "queued", "queued", "scheduled")
    for uuid, state, name in zip(uuids, states, (None, None, "n", None), strict=True):
        at = lab.now + (60_000 if state == "scheduled" else 0)
        db.execute(OLD_TASK, (key_of(uuid), CODES[state], at, state == "success", name))
        db.execute(OLD_REQUEST, (at, encode(request())))
    record = AttemptRecord(attempt=1, session="s", claimed_at=lab.now)
    values = (b"s" * 16, encode(record), encode(answer(lab.now)))
    db.execute("INSERT INTO results (id, session, answer, record, response) VALUES (1, ?, 0, ?, ?)", values)
    if version > 1:
        db.execute("INSERT INTO queue_settings VALUES ('without', ?)", (encode(QueueSettings()),))
    db.close()
    return uuids


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_older_file_is_brought_up_with_its_tasks(version: int, tmp_path: Path) -> None:
    """A file of schema `version`, made by the scripts of its time."""
    path = tmp_path / "old.db"
    lab = a_lab(path)
    over, waiting, named, later = old_file(path, version, lab)
    await lab.open()
    try:
        assert [await lab.state(uuid) for uuid in (over, waiting, named, later)] == [
            "success",
            "queued",
            "queued",
            "scheduled",
        ]
        worker = await lab.worker()
        assert (await worker.claim_one()).uuid == waiting
        await lab.store.put_queue("q", QueueSettings(concurrency=1))
        (successor,) = await lab.store.enqueue([lab.task(name="n", queue="q", key="k", group="g")])
        assert successor.superseded == (named,)
        assert await worker.claim() == []
        lab.clock.advance(60)
        assert (await lab.store.promote(10)).promoted == 1
        assert await lab.store.retry([over]) == ["queued"]
        assert [attempt.attempt for attempt in await lab.store.attempts(over)] == [1]
        assert set(await lab.store.queues()) == ({"q", "without"} if version > 1 else {"q"})
        assert counts_of(await lab.store.stats()) == recount(await lab.everything())
    finally:
        await lab.close()
    fresh = a_store(tmp_path / "fresh.db")
    await fresh.open()
    await fresh.close()
    assert layout_of(path) == layout_of(tmp_path / "fresh.db")


async def test_tasks_of_an_older_file_are_ranked_by_their_coming(tmp_path: Path) -> None:
    """What came before there were ranks is ranked in the order in which it came."""
    path = tmp_path / "old.db"
    lab = a_lab(path)
    _, _, named, _ = old_file(path, 2, lab)
    await lab.open()
    try:
        (after,) = await lab.store.enqueue([lab.task(name="n", on_conflict="queue_after")])
        (existing,) = await lab.store.enqueue([lab.task(name="n", on_conflict="return_existing")])
        assert (existing.uuid, await lab.state(after.uuid), await lab.state(named)) == (
            after.uuid,
            "scheduled",
            "queued",
        )
    finally:
        await lab.close()


async def test_newer_schema_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "htq.db"
    store = a_store(path)
    await store.open()
    await store.close()
    db = apsw.Connection(str(path))
    newer = len(MIGRATIONS) + 1
    db.pragma("user_version", newer)
    db.close()
    with pytest.raises(StoreRefused, match=rf"newer htq \(schema {newer}; this one knows up to {newer - 1}\)"):
        await a_store(path).open()


async def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="another program"):
        await a_store(path).open()
    assert path.read_bytes() == before


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 500)
    with pytest.raises(StoreRefused, match="no SQLite database"):
        await a_store(path).open()


async def test_place_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused, match="can't be opened"):
        await a_store(tmp_path / "file" / "htq.db").open()


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2"])
async def test_sqlite_that_can_corrupt_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    with pytest.raises(StoreRefused, match="pip install"):
        await a_store(tmp_path / "htq.db").open()
    assert not (tmp_path / "htq.db").exists()


async def test_commits_are_synced_in_a_write_ahead_log(lab: Lab) -> None:
    assert isinstance(lab.store, SqliteStore)
    mode, level = await lab.store._write(lambda step: (step.db.pragma("journal_mode"), step.db.pragma("synchronous")))
    assert (mode, level) == ("wal", 2)


async def test_reopened_store_has_what_was_there(lab: Lab, tmp_path: Path) -> None:
    worker, claim = await lab.pending()
    await worker.succeed(claim, b"kept")
    await lab.store.close()
    again = a_store(tmp_path / "htq.db")
    await again.open()
    try:
        (response,) = await again.responses([claim.uuid])
        assert response is not None
        assert response.body == b"kept"
    finally:
        await again.close()


async def test_closed_store_answers_unavailable(tmp_path: Path) -> None:
    store = a_store(tmp_path / "htq.db")
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.stats()


async def test_opening_and_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    async def once() -> tuple[int, int]:
        store = a_store(tmp_path / "htq.db", signals=True)
        await store.open()
        await store.stats()
        await store.close()
        await store.close()
        return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208

    first = await once()
    for _ in range(49):
        assert await once() == first
    assert len(asyncio.all_tasks()) == 1


_ACKNOWLEDGES = """
import asyncio, sys
from pathlib import Path
from htq.stores.sqlite import SqliteStore
from htq.words.clock import Chance, SystemClock
from htq.words.task import NewTask, Request

async def main():
    clock = SystemClock()
    chance = Chance(clock)
    store = SqliteStore(Path(sys.argv[1]), clock=clock, chance=chance, signals=False)
    await store.open()
    async def enqueue():
        while True:
            task = NewTask(uuid=chance.uuid(), request=Request(url="http://127.0.0.1:9/", method="get"), key="k", host="h")
            await store.enqueue([task])
            print(task.uuid, flush=True)
    await asyncio.gather(*(enqueue() for _ in range(8)))

asyncio.run(main())
"""


async def test_killed_process_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ACKNOWLEDGES, str(tmp_path / "htq.db"), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(20):
        acknowledged = [(await child.stdout.readline()).decode().strip() for _ in range(200)]
        child.send_signal(signal.SIGKILL)
        acknowledged += (await child.stdout.read()).decode().split("\n")[:-1]
        await child.wait()
    clock = SystemClock()
    store = SqliteStore(tmp_path / "htq.db", clock=clock, chance=Chance(clock), signals=False)
    await store.open()
    try:
        found = await store.states(acknowledged)
        (queue,) = await store.stats()
    finally:
        await store.close()
    assert len(acknowledged) >= 200
    assert found == [("queued", False)] * len(acknowledged)
    assert queue.queued >= len(acknowledged)
