"""Hints: one datagram a commit to the other store objects on the file, and a look at the database for what got lost."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from htq.stores.base import (
    Cancel,
    Canceled,
    CancelRequested,
    Gap,
    QueueSettings,
    Signal,
    Store,
    TaskFinished,
    TasksAvailable,
)
from htq.stores.sqlite import SqliteStore
from htq.words.clock import Chance
from stores.conformance.lab import Lab
from support.clock import ManualClock


class Ear:
    """Keeps what it hears, and can be waited on."""

    def __init__(self, store: Store) -> None:
        self.heard: list[Signal] = []
        self._more = asyncio.Event()
        store.subscribe(self._hear)

    def _hear(self, signal: Signal) -> None:
        self.heard.append(signal)
        self._more.set()

    async def until(self, wanted: Callable[[list[Signal]], bool]) -> None:
        async with asyncio.timeout(5):
            while not wanted(self.heard):
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets lie: this test's own, with a path that is short enough."""
    with TemporaryDirectory(prefix="htq") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture
async def lab(tmp_path: Path, runtime: Path) -> AsyncIterator[Lab]:
    clock = ManualClock()
    lab = Lab(
        lambda clock, chance: SqliteStore(tmp_path / "htq.db", clock=clock, chance=chance),
        clock,
        Chance(clock, seed=7),
        signals=True,
    )
    await lab.open()
    yield lab
    await lab.close()
    assert not list(runtime.iterdir()), "something was left behind"


def a_store(folder: Path) -> SqliteStore:
    clock = ManualClock()
    return SqliteStore(folder / "htq.db", clock=clock, chance=Chance(clock, seed=7))


async def another(lab: Lab) -> SqliteStore:
    store = await lab.open()
    assert isinstance(store, SqliteStore)
    return store


async def test_commit_is_heard_by_other_store_objects(lab: Lab) -> None:
    ear = Ear(await another(lab))
    uuid = await lab.enqueue()
    await ear.until(lambda heard: TasksAvailable() in heard)
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one())
    await ear.until(lambda heard: TaskFinished((uuid,)) in heard)


async def test_cancel_is_heard_with_all_that_the_session_needs(lab: Lab) -> None:
    ear = Ear(await another(lab))
    worker, claim = await lab.pending()
    await lab.store.cancel([Cancel(claim.uuid, "enough")])
    await ear.until(lambda heard: any(isinstance(signal, CancelRequested) for signal in heard))
    (cancel,) = [signal for signal in ear.heard if isinstance(signal, CancelRequested)]
    assert cancel.session == worker.session
    assert cancel.cancels == (((claim.uuid, claim.attempt, "enough", True)),)


async def test_many_tasks_make_one_signal_a_commit(lab: Lab) -> None:
    ear = Ear(await another(lab))
    await lab.enqueue_many(200)
    await ear.until(bool)
    worker = await lab.worker()
    claims = await worker.claim(200)
    await worker.finish_all(claims, Canceled())
    await lab.store.cancel([Cancel(claim.uuid) for claim in claims])
    await ear.until(lambda heard: any(isinstance(signal, TaskFinished) for signal in heard))
    assert len([signal for signal in ear.heard if isinstance(signal, TaskFinished)]) == 1


async def test_hint_too_long_for_a_datagram_says_that_there_is_a_gap(lab: Lab) -> None:
    ear = Ear(await another(lab))
    uuids = await lab.enqueue_many(2000)
    await ear.until(bool)
    await lab.store.cancel([Cancel(uuid) for uuid in uuids])
    await ear.until(lambda heard: Gap() in heard)


async def test_lost_hint_is_made_up_for_by_a_look_at_the_database(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(prefix="htq") as elsewhere:
        monkeypatch.setenv("XDG_RUNTIME_DIR", elsewhere)
        deaf = await another(lab)
    ear = Ear(deaf)
    await deaf.promote(1)
    lab.clock.advance(1.0)
    await deaf.stats()
    await lab.enqueue()
    lab.clock.advance(1.0)
    await ear.until(lambda heard: Gap() in heard)
    assert ear.heard == [Gap()]


async def test_socket_that_nobody_listens_on_is_removed(lab: Lab, runtime: Path) -> None:
    (folder,) = runtime.glob("htq/*")
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stale.bind(str(folder / "stale"))
    stale.close()
    await lab.enqueue()
    assert not (folder / "stale").exists()


async def test_socket_that_can_not_be_removed_stops_nobody(
    lab: Lab, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(path)

    (folder,) = runtime.glob("htq/*")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(str(folder / "stale"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", forbidden)
        for _ in range(2):
            assert await lab.state(await lab.enqueue()) == "queued"
    assert (folder / "stale").exists()


_STAYS = """
import asyncio, sys
from pathlib import Path
from htq.stores.sqlite import SqliteStore
from htq.words.clock import Chance, SystemClock

async def main():
    clock = SystemClock()
    await SqliteStore(Path(sys.argv[1]), clock=clock, chance=Chance(clock)).open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_last_one_to_close_clears_up_after_those_that_were_killed(
    lab: Lab, runtime: Path, tmp_path: Path
) -> None:
    """What is left in the end is looked at by `lab`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STAYS, str(tmp_path / "htq.db"), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(20):
        await child.stdout.readline()
        child.kill()
        await child.wait()
    assert len(list(runtime.glob("htq/*/*"))) == 2


async def test_folder_that_others_can_write_to_is_not_used(tmp_path: Path, runtime: Path) -> None:
    (runtime / "htq").mkdir()
    (runtime / "htq").chmod(0o777)
    store = a_store(tmp_path)
    await store.open()
    try:
        assert not list((runtime / "htq").iterdir())
    finally:
        await store.close()


async def test_folder_is_closed_to_others_whatever_new_files_are(tmp_path: Path, runtime: Path) -> None:
    store = a_store(tmp_path)
    before = os.umask(0o002)
    try:
        await store.open()
        assert len([path for path in runtime.rglob("*") if path.is_socket()]) == 1
    finally:
        os.umask(before)
        await store.close()


async def test_listener_that_fails_does_not_end_the_look_at_the_database(lab: Lab) -> None:
    def fails(signal: Signal) -> None:
        raise ZeroDivisionError

    other = await another(lab)
    lab.store.subscribe(fails)
    for _ in range(2):
        ear = Ear(lab.store)
        await other.put_queue("q", QueueSettings())
        lab.clock.advance(1.0)
        await ear.until(lambda heard: Gap() in heard)


async def test_datagram_of_another_version_is_a_gap(lab: Lab, runtime: Path) -> None:
    assert isinstance(lab.store, SqliteStore)
    ear = Ear(lab.store)
    (ours,) = runtime.glob("htq/*/*")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\xc1 what", str(ours))
    await ear.until(lambda heard: heard == [Gap()])
