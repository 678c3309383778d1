"""A real store on a file, with as many store objects on it as there are keepers, and a clock that the test moves."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

from htq.keeper.alarm import Alarm
from htq.keeper.callbacks import Callbacks
from htq.keeper.slots import Slots
from htq.policy.store_time import StoreTime
from htq.stores.base import Claim, Done, Filter, Outcome, SessionInfo, Store
from htq.stores.sqlite import SqliteStore
from htq.words.attempt import AttemptRecord
from htq.words.callback import Callback
from htq.words.clock import Chance
from htq.words.errors import StoreUnavailable
from htq.words.states import STATES
from htq.words.task import NewTask, Request, Response, Task
from support.clock import ManualClock

INFO = SessionInfo(host="loopback", pid=1, threads=10, version="0")


class Lossy:
    """A store object that loses the reply to the next call of one verb: what it asked for was done."""

    def __init__(self, store: Store, verb: str) -> None:
        self._store = store
        self._verb: str | None = verb

    def __getattr__(self, name: str) -> Any:
        verb: Callable[..., Awaitable[object]] = getattr(self._store, name)
        if name != self._verb:
            return verb

        async def lost(*args: object, **kwargs: object) -> object:
            self._verb = None
            await verb(*args, **kwargs)
            raise StoreUnavailable("the reply was lost")

        return lost


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.chance = Chance(self.clock, seed=7)
        self.time = StoreTime(self.clock)
        self._path = folder / "htq.db"
        self._opened: list[Store] = []
        self._session = ""
        self._seq = 0

    @property
    def store(self) -> Store:
        return self._opened[0]

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    async def open(self, *, signals: bool = False) -> Store:
        """One more store object on the same file: another process, as far as the store can tell."""
        store = SqliteStore(self._path, clock=self.clock, chance=self.chance, signals=signals)
        await store.open()
        self._opened.append(store)
        return store

    async def close(self) -> None:
        for store in self._opened:
            await store.close()

    def slots(self, store: Store | None = None) -> Slots:
        return Slots(store or self.store, self.alarm(), self.time)

    def alarm(self) -> Alarm:
        return Alarm(1.0, clock=self.clock, time=self.time, chance=self.chance)

    def callbacks(self, store: Store | None = None) -> Callbacks:
        return Callbacks(store or self.store)

    def losing(self, verb: str) -> Store:
        return cast("Store", Lossy(self.store, verb))

    def task(self, *, callback: Callback | None = None, **fields: Any) -> NewTask:
        request = Request(url="http://127.0.0.1:9/work", method="post", callback=callback)
        usual: dict[str, Any] = {
            "uuid": self.chance.uuid(),
            "request": request,
            "key": "http://127.0.0.1:9",
            "host": "127.0.0.1",
        }
        return NewTask(**(usual | fields))

    async def tasks(self) -> list[Task]:
        """All tasks, oldest first."""
        page = await self.store.list_tasks(Filter(statuses=STATES), None, 1000)
        assert page.cursor is None
        return page.tasks

    async def find(self, uuid: str) -> Task:
        (task,) = await self.store.get([uuid])
        assert task is not None
        return task

    # --- a worker's part --------------------------------------------------------------------------

    async def claim(self, limit: int = 1000) -> Sequence[Claim]:
        if not self._session:
            self._session = await self.store.open_session(INFO, 3600)
        self._seq += 1
        return (await self.store.claim(self._session, self._seq, limit)).claims

    async def end(self, body: bytes = b"done") -> None:
        """Claim all that is queued, and end it with a success."""
        for claim in await self.claim():
            await self.finish(claim, body=body, body_size=len(body))

    async def finish(self, claim: Claim, *, body: bytes | None, body_size: int) -> None:
        response = Response(time=self.now, elapsed_ms=1.5, code=200, phrase="OK", body=body, body_size=body_size)
        outcome = Outcome(
            uuid=claim.uuid,
            attempt=claim.attempt,
            result=Done("success", response),
            record=AttemptRecord(
                attempt=claim.attempt,
                session=self._session,
                claimed_at=claim.claimed_at,
                ended_at=self.now,
                phase="finished",
                bytes_sent=7,
            ),
            phase="finished",
        )
        assert await self.store.finish(self._session, [outcome]) == ["applied"]
