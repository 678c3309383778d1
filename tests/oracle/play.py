"""Plays the cells: brings each request to its moment, cancels it, and writes down what was seen."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from htq.usecases import CancelWish, RetryWish, Submission
from htq.usecases.results import Result
from htq.words.states import Status
from htq.words.task import CancelRecord
from oracle.cells import BETWEEN, OPEN, OVER, UNSENT, WAITING, Cell, StoreKind
from oracle.rig import Rig, running_rig
from oracle.services import WORK, CellService, running_service
from support.target import Received

__all__ = ["WHY", "Seen", "play"]

AT_ONCE: Final = 100
"""Cells that are played at the same time over one store."""
RIGS: Final = 6
"""Stores, each with its worker, at the same time: all of them share one event loop, and what it does late is judged."""
WITHIN: Final = 60.0
SOON: Final = 0.5
"""Seconds in which the lease of a dead worker runs out: it had a long one, that no slow machine loses before its time."""
_LOOK_EVERY: Final = 0.1
WHY: Final = ("the first reason", "the second reason")

UPLOADS_AT_ONCE: Final = 10

_SMALL: Final = msgspec.Raw(b'"' + b"x" * 100 + b'"')
_LARGE: Final = msgspec.Raw(b'"' + b"x" * 6 * 1024 * 1024 + b'"')
"""More than the kernel takes for a peer that doesn't read."""

FIELDS: Final = {
    "Authorization": "Bearer s3cret",
    "X-Tag": "seven",
    "Content-Type": "text/x-oracle",
    "Content-Language": "en",
    "Digest": "sha-256=0",
    "If-Match": '"1"',
    "Range": "bytes=0-1",
}


class Seen(NamedTuple):
    """What came of a cell. Times are on the loop's clock."""

    uuid: str
    record: CancelRecord
    status: Status
    result: Result | None
    requests: tuple[Received, ...]
    """Those of the canceled task that arrived."""
    deletes: tuple[Received, ...]
    """All that arrived at its service."""
    tried: int
    """How often htq set out to send one, whether or not it arrived."""
    elsewhere: int
    """How many requests came to where a redirect of the DELETE points."""
    asked_at: float
    """When the cancel was asked for. Its DELETE left after that, and perhaps before it was answered."""
    canceled_at: float
    """When it was answered."""
    over_at: float | None
    """When htq let go of the request; None if it never took it up."""
    reused: bool
    """Whether the request came over a connection that had been used before."""
    settled_at: float
    successor_at: float | None
    others: tuple[Status, ...]
    """How the other requests on the same URL ended."""
    sentinel: bool
    """Whether a request that was queued later has come through."""
    lag: float
    """By how many seconds the event loop was late at worst."""


class Lag:
    """How late the event loop is: looked at ten times a second."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: list[tuple[float, float]] = []
        self._look()

    def since(self, moment: float) -> float:
        """By how many seconds it was late at worst since then."""
        return max((late for at, late in reversed(self._late) if at >= moment), default=0.0)

    def close(self) -> None:
        self._next.cancel()

    def _look(self) -> None:
        self._next = self._loop.call_later(_LOOK_EVERY, self._note, self._loop.time() + _LOOK_EVERY)

    def _note(self, due: float) -> None:
        now = self._loop.time()
        self._late.append((now, now - due))
        self._look()


class _Play:
    def __init__(self, cell: Cell, rig: Rig, service: CellService, lag: Lag) -> None:
        self._cell = cell
        self._lag = lag
        self._begun_at = asyncio.get_running_loop().time()
        self._rig = rig
        self._service = service
        self._uuids: list[str] = []
        self._successor: str | None = None
        self._asked_at = 0.0
        self._canceled_at = 0.0
        self._warm: int | None = None

    @property
    def uuid(self) -> str:
        """The first of them, which gets the connection that was used before."""
        return self._uuids[0]

    async def begin(self) -> None:
        """Queue the request, behind one that opens the connection which it is to go over."""
        cell = self._cell
        if cell.connection == "keep-alive" and cell.moment not in UNSENT:
            await self._through("/plain")
            self._warm = self._service.received("/plain")[-1].connection_id
        host = {"claimed": "claimed.test", "resolving": "resolving.test"}.get(cell.moment, self._service.host)
        body = _LARGE if cell.moment == "sending" else _SMALL
        submission = Submission(
            url=f"http://{host}:{self._service.port}{WORK}",
            data=body,
            headers=FIELDS,
            delay=1.0 if cell.moment == "scheduled" else None,
            cancel=CancelWish(delete=cell.delete, between=True if cell.moment == "between_told" else None),
            retry=RetryWish(backoff=["1h"]) if cell.moment in BETWEEN else None,
        )
        count = 10 if cell.service == "ten_at_once" else 1
        for number in range(count):
            named = str(cell) if number == 0 else None
            submission = msgspec.structs.replace(submission, id=named)
            self._uuids.append((await self._rig.service.submit(submission, base="")).uuid)

    async def reach(self) -> None:
        """Wait until the request is where the cancel is to find it."""
        moment, service = self._cell.moment, self._service
        if moment in ("claimed", "resolving", "connecting"):
            await self._rig.sender.requests[self.uuid].begun.wait()
        elif moment == "finished":
            await self._rig.service.result(self.uuid, WITHIN)
        elif moment in BETWEEN:
            await (await service.arrived(WORK, "POST", within=WITHIN)).disconnected(WITHIN)
            # Its answer is here; when one that came after it has been through, what it came to is in the store.
            await self._through("/plain", self._rig.elsewhere.url())
            assert await self._rig.store.states([self.uuid]) == [("scheduled", False)]
        elif moment not in UNSENT:
            await service.arrived(WORK, "POST", count=len(self._uuids), within=WITHIN)
            if moment == "receiving":
                # What it drips lies in the kernel by now; one way through the system, and it has been read.
                await self._through("/plain", self._rig.elsewhere.url())

    async def cancel(self) -> None:
        cell, rig = self._cell, self._rig
        if cell.service == "unreachable":
            self._service.shut_door()
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        match cell.way:
            case "once":
                await rig.service.cancel(self.uuid, WHY[0])
            case "twice":
                await rig.service.cancel(self.uuid, WHY[0])
                await rig.service.cancel(self.uuid, WHY[1])
            case "together":
                await asyncio.gather(rig.service.cancel(self.uuid, WHY[0]), rig.other_client.cancel(self.uuid, WHY[1]))
            case "superseded":
                newer = Submission(url=rig.elsewhere.url(f"/{self.uuid}"), id=str(cell))
                self._successor = (await rig.service.submit(newer, base="")).uuid
        self._canceled_at = loop.time()
        assert await rig.service.status(self.uuid) == "canceled"

    async def settle(self) -> Seen:
        """Wait until nothing more will happen, and say what did."""
        cell, rig, service = self._cell, self._rig, self._service
        watch = rig.sender.requests[self.uuid]
        if cell.moment in OPEN:
            await watch.over.wait()
        if cell.service == "ten_at_once":
            others = [request for each in self._uuids if each != self.uuid for request in service.work_of(each)]
            assert len(others) == 9
            assert not any(request.gone.is_set() for request in others), "a request was stopped that nobody canceled"
        service.let_go()
        record = await rig.service.settled_cancel(self.uuid, WITHIN)
        assert record is not None, "the cancel was never settled"
        settled_at = asyncio.get_running_loop().time()
        if cell.way == "twice":
            await rig.service.cancel(self.uuid, WHY[1])
        successor_at = await self._successor_at()
        sentinel = cell.moment in UNSENT
        if sentinel:
            service.open_door()
            await self._through("/plain", delay=1.0 if cell.moment == "scheduled" else None)
        requests = tuple(service.work_of(self.uuid))
        if cell.moment in OPEN | OVER:
            for request in requests:
                await request.disconnected(WITHIN)
        others_ended = [await rig.service.result(each, WITHIN) for each in self._uuids if each != self.uuid]
        final = await rig.service.cancel_record(self.uuid)
        assert final == record, "the record changed after it was settled"
        return Seen(
            uuid=self.uuid,
            record=record,
            status=await rig.service.status(self.uuid),
            result=await rig.service.result(self.uuid, 0),
            requests=requests,
            deletes=tuple(service.deletes),
            tried=rig.sender.stops[self.uuid].count,
            elsewhere=len(service.received("/else")),
            asked_at=self._asked_at,
            canceled_at=self._canceled_at,
            over_at=watch.over_at,
            reused=bool(requests) and requests[0].connection_id == self._warm,
            settled_at=settled_at,
            successor_at=successor_at,
            others=tuple(each.status for each in others_ended if each is not None),
            sentinel=sentinel,
            lag=self._lag.since(self._begun_at),
        )

    async def _successor_at(self) -> float | None:
        if self._successor is None:
            return None
        result = await self._rig.service.result(self._successor, WITHIN)
        assert result is not None
        assert result.status == "success", "the newer request did not come through"
        (request,) = self._rig.elsewhere.received(f"/{self.uuid}")
        return request.arrived_at

    async def _through(self, path: str, url: str | None = None, delay: float | None = None) -> None:
        """One request all the way, queued now."""
        task = await self._rig.service.submit(Submission(url=url or self._service.url(path), delay=delay), base="")
        result = await self._rig.service.result(task.uuid, WITHIN)
        assert result is not None
        assert result.status == "success", f"a plain request came to {result}"


async def play(cells: Sequence[Cell], folder: Path, redis_url: str) -> dict[Cell, Seen | BaseException]:
    """Play all of them, on a few rigs side by side. What can't be played to its end gives its exception."""
    kinds: dict[StoreKind, list[Cell]] = {}
    for cell in cells:
        kinds.setdefault(cell.store, []).append(cell)
    seen: dict[Cell, Seen | BaseException] = {}
    lag = Lag()
    rigs = asyncio.Semaphore(RIGS)

    async def living(kind: StoreKind, mine: Sequence[Cell]) -> None:
        async with rigs, running_rig(kind, "living", folder, redis_url) as rig:
            seen.update(await _play_living(rig, mine, lag))

    async def over(kind: StoreKind, name: str, mine: Sequence[Cell]) -> None:
        async with rigs, running_rig(kind, name, folder, redis_url) as rig:
            seen.update(await _play_over(rig, mine, lag))

    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            for moment in ("orphaned", "loose"):
                mine = [cell for cell in kinds[kind] if cell.moment == moment]
                for first in range(0, len(mine), AT_ONCE):
                    group.create_task(over(kind, f"{moment}{first}", mine[first : first + AT_ONCE]))
            group.create_task(living(kind, [cell for cell in kinds[kind] if cell.moment not in ("orphaned", "loose")]))
    lag.close()
    return seen


async def _play_living(rig: Rig, cells: Sequence[Cell], lag: Lag) -> dict[Cell, Seen | BaseException]:
    """Cells with a living worker. It is started when those that it must not have taken up have been canceled."""
    slots, uploads = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def whole(cell: Cell) -> Seen:
        bound = uploads if cell.moment == "sending" else slots
        async with bound, asyncio.timeout(2 * WITHIN), running_service(cell) as service:
            playing = _Play(cell, rig, service, lag)
            await playing.begin()
            await playing.reach()
            await playing.cancel()
            return await playing.settle()

    async with AsyncExitStack() as stack:
        waiting = {}
        for cell in cells:
            if cell.moment in WAITING:
                waiting[cell] = _Play(cell, rig, await stack.enter_async_context(running_service(cell)), lag)
                await waiting[cell].begin()
                await waiting[cell].cancel()
        rig.start_worker()
        # Those that take long come first.
        order = sorted((cell for cell in cells if cell not in waiting), key=lambda cell: cell.service != "hangs")
        results = await asyncio.gather(
            *[playing.settle() for playing in waiting.values()],
            *[whole(cell) for cell in order],
            return_exceptions=True,
        )
    return dict(zip([*waiting, *order], results, strict=True))


async def _play_over(rig: Rig, cells: Sequence[Cell], lag: Lag) -> dict[Cell, Seen | BaseException]:
    """Cells whose worker dies: all of them at once, then another worker comes."""
    rig.start_worker()
    async with AsyncExitStack() as stack:
        plays = [_Play(cell, rig, await stack.enter_async_context(running_service(cell)), lag) for cell in cells]
        async with asyncio.timeout(2 * WITHIN):
            await asyncio.gather(*[playing.begin() for playing in plays])
            await asyncio.gather(*[playing.reach() for playing in plays])
            sessions = {(await rig.store.attempts(playing.uuid))[0].session for playing in plays}
            await rig.kill_worker()
            for session in sessions:
                if cells[0].moment == "loose":
                    await rig.store.close_session(session)
                else:
                    await rig.store.heartbeat(session, SOON)
            await asyncio.gather(*[playing.cancel() for playing in plays])
            rig.start_worker()
            results = await asyncio.gather(*[playing.settle() for playing in plays], return_exceptions=True)
    return dict(zip(cells, results, strict=True))
