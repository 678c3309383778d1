"""What the conformance tests work with: a fresh store, a clock that stands still, and workers to claim with."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from htq.stores.base import (
    Canceled,
    Claim,
    Claims,
    Done,
    Filter,
    Finished,
    Heartbeat,
    Interrupted,
    Outcome,
    QueueStats,
    Released,
    Retry,
    SessionInfo,
    Stop,
    StopSettled,
    Store,
)
from htq.words.attempt import AttemptRecord, Phase
from htq.words.clock import Chance, Clock
from htq.words.group import Group
from htq.words.states import STATES, State
from htq.words.task import DeleteState, NewTask, Proof, Request, Response, StopPolicy, Task, Timeouts
from support.clock import ManualClock

__all__ = [
    "INFO",
    "LEASE",
    "NO_DELETE",
    "Lab",
    "Opener",
    "Result",
    "Worker",
    "answer",
    "counts_of",
    "outcome",
    "recount",
    "recount_groups",
    "request",
]

Opener = Callable[[Clock, Chance], Store]
"""Makes one more store object, not opened yet, on the same store."""

Result = Done | Retry | Released | Interrupted | Canceled

LEASE = 15.0
INFO = SessionInfo(host="loopback", pid=1, threads=10, version="0")
NO_DELETE = StopPolicy(delete=False)


def request(*, total: float = 60.0, stop: StopPolicy | None = None) -> Request:
    """A request to nowhere: a store never calls anybody."""
    return Request(
        url="http://127.0.0.1:9/work", method="post", timeouts=Timeouts(total=total), stop=stop or StopPolicy()
    )


def answer(now: int, body: bytes = b"done", *, code: int | None = 200) -> Response:
    """What a target said, its body travelling along."""
    return Response(time=now, elapsed_ms=1.5, code=code, phrase="OK", body=body, body_size=len(body))


def outcome(
    claim: Claim,
    session: str,
    result: Result,
    now: int,
    *,
    phase: Phase = "finished",
    interrupted_at: int | None = None,
    owes_stop: bool = False,
) -> Outcome:
    """How the attempt of `claim` ended."""
    record = AttemptRecord(
        attempt=claim.attempt, session=session, claimed_at=claim.claimed_at, ended_at=now, phase=phase, bytes_sent=7
    )
    return Outcome(
        uuid=claim.uuid,
        attempt=claim.attempt,
        result=result,
        record=record,
        phase=phase,
        interrupted_at=interrupted_at,
        owes_stop=owes_stop,
    )


class Worker:
    """A session with its two counters, as a worker keeps them."""

    def __init__(self, store: Store, session: str, clock: Clock) -> None:
        self.store = store
        self.session = session
        self._clock = clock
        self.seq = 0
        self.stops_seq = 0

    async def claim(self, limit: int = 100) -> list[Claim]:
        return (await self.look(limit)).claims

    async def look(self, limit: int = 100) -> Claims:
        """As `claim`, with the time at which to look again."""
        self.seq += 1
        return await self.store.claim(self.session, self.seq, limit)

    async def claim_one(self) -> Claim:
        (claim,) = await self.claim(1)
        return claim

    async def finish(
        self, claim: Claim, result: Result, *, phase: Phase = "finished", owes_stop: bool = False
    ) -> Finished:
        (finished,) = await self.finish_all([claim], result, phase=phase, owes_stop=owes_stop)
        return finished

    async def finish_all(
        self, claims: Sequence[Claim], result: Result, *, phase: Phase = "finished", owes_stop: bool = False
    ) -> list[Finished]:
        now = self._clock.now_ms()
        outcomes = [outcome(claim, self.session, result, now, phase=phase, owes_stop=owes_stop) for claim in claims]
        return await self.store.finish(self.session, outcomes)

    async def succeed(self, claim: Claim, body: bytes = b"done") -> Finished:
        return await self.finish(claim, Done("success", answer(self._clock.now_ms(), body)))

    async def beat(self, lease: float = LEASE) -> Heartbeat:
        return await self.store.heartbeat(self.session, lease)

    async def claim_stops(self, limit: int = 100) -> list[Stop]:
        self.stops_seq += 1
        return await self.store.claim_stops(self.session, self.stops_seq, limit)

    async def settle(
        self,
        uuid: str,
        attempt: int,
        state: DeleteState = "confirmed",
        *,
        code: int | None = 204,
        proof: Proof = "none",
    ) -> bool:
        settled = StopSettled(uuid, attempt, state, code=code, tries=1, elapsed_ms=2.5, proof=proof)
        (applied,) = await self.store.settle_stops(self.session, [settled])
        return applied


class Lab:
    """A fresh store behind one store object or several, and short forms of what tests do with it."""

    def __init__(self, opener: Opener, clock: ManualClock, chance: Chance, *, signals: bool) -> None:
        self.clock = clock
        self.chance = chance
        self.signals = signals
        self.tenants = {""}
        self.opened: list[Store] = []
        self._opener = opener

    @property
    def store(self) -> Store:
        return self.opened[0]

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    async def open(self) -> Store:
        """One more store object on the same store: another process, as far as the store can tell."""
        store = self.reopen()
        await store.open()
        self.opened.append(store)
        return store

    def reopen(self) -> Store:
        """A store object on the same store that the test itself opens and closes."""
        return self._opener(self.clock, self.chance)

    async def close(self) -> None:
        for store in self.opened:
            await store.close()

    def task(self, **fields: object) -> NewTask:
        """A new task; `fields` are those of `NewTask` that matter to the test."""
        given: dict[str, object] = {
            "uuid": self.chance.uuid(),
            "request": request(),
            "key": "http://127.0.0.1:9",
            "host": "127.0.0.1",
        }
        task = NewTask(**(given | fields))  # type: ignore[arg-type]
        self.tenants.add(task.tenant)
        return task

    async def enqueue(self, **fields: object) -> str:
        task = self.task(**fields)
        await self.store.enqueue([task])
        return task.uuid

    async def enqueue_many(self, count: int, **fields: object) -> list[str]:
        tasks = [self.task(**fields) for _ in range(count)]
        await self.store.enqueue(tasks)
        return [task.uuid for task in tasks]

    async def worker(self, store: Store | None = None, lease: float = LEASE) -> Worker:
        store = store or self.store
        return Worker(store, await store.open_session(INFO, lease), self.clock)

    async def pending(self, worker: Worker | None = None, **fields: object) -> tuple[Worker, Claim]:
        """A task that a worker has just claimed."""
        worker = worker or await self.worker()
        uuid = await self.enqueue(**fields)
        claims = await worker.claim()
        (claim,) = (claim for claim in claims if claim.uuid == uuid)
        return worker, claim

    async def final(self, state: Literal["success", "error", "timeout"] = "success", **fields: object) -> str:
        """A task that is over."""
        worker, claim = await self.pending(None, **fields)
        assert await worker.finish(claim, Done(state, answer(self.now))) == "applied"
        return claim.uuid

    async def die(self, *others: Worker) -> None:
        """Let every lease run out but those of `others`, and reap."""
        self.clock.advance(LEASE * 2 / 3)
        for worker in others:
            await worker.beat()
        self.clock.advance(LEASE * 2 / 3)
        for worker in others:
            await worker.beat()
        await self.store.reap(1000)

    async def get(self, uuid: str) -> Task:
        (task,) = await self.store.get([uuid])
        assert task is not None
        return task

    async def state(self, uuid: str) -> str:
        """The stored state, with `+canceled` while a cancel waits for the end of the attempt."""
        (found,) = await self.store.states([uuid])
        if found is None:
            return "unknown"
        state, cancel_requested = found
        return f"{state}+canceled" if cancel_requested and state != "canceled" else state

    async def list_all(self, where: Filter, limit: int = 1000, store: Store | None = None) -> list[Task]:
        """Every page of a list."""
        tasks: list[Task] = []
        cursor: str | None = None
        while True:
            page = await (store or self.store).list_tasks(where, cursor, limit)
            assert len(page.tasks) <= limit
            tasks += page.tasks
            cursor = page.cursor
            if cursor is None:
                return tasks

    async def everything(self) -> list[Task]:
        """Every task of every tenant that the test has used."""
        found: list[Task] = []
        for tenant in sorted(self.tenants):
            found += await self.list_all(Filter(tenant=tenant, statuses=STATES))
        return found

    async def snapshot(self) -> object:
        """All that can be seen of the store: what a repeated call must not change."""
        tasks = await self.everything()
        uuids = [task.uuid for task in tasks]
        return msgspec.to_builtins(
            (
                tasks,
                await self.store.responses(uuids),
                [await self.store.attempts(uuid) for uuid in uuids],
                await self.store.stats(),
                await self.store.owed_callbacks(1000),
                [await self.store.schedules(tenant) for tenant in sorted(self.tenants)],
                await self.groups(tasks),
            )
        )

    async def groups(self, tasks: Sequence[Task]) -> list[Group | None]:
        """The groups of these tasks."""
        names = sorted({(task.tenant, task.group) for task in tasks if task.group is not None})
        return [await self.store.group(tenant, name) for tenant, name in names]


def recount(tasks: Sequence[Task]) -> dict[str, tuple[int, int, int]]:
    """What `stats` should say, counted one by one: queue -> scheduled, queued, pending."""
    counts: dict[str, tuple[int, int, int]] = {}
    for task in tasks:
        scheduled, queued, pending = counts.get(task.queue, (0, 0, 0))
        counts[task.queue] = (
            scheduled + (task.state == "scheduled"),
            queued + (task.state == "queued"),
            pending + (task.state == "pending"),
        )
    return {queue: count for queue, count in counts.items() if any(count)}


def recount_groups(tasks: Sequence[Task]) -> list[dict[State, int]]:
    """What the counts of `Lab.groups` should say, counted one by one."""
    counts: dict[tuple[str, str], dict[State, int]] = {}
    for task in tasks:
        if task.group is not None:
            group = counts.setdefault((task.tenant, task.group), {})
            group[task.state] = group.get(task.state, 0) + 1
    return [counts[at] for at in sorted(counts)]


def counts_of(stats: Sequence[QueueStats]) -> dict[str, tuple[int, int, int]]:
    """`stats` in the form of `recount`."""
    return {queue.name: (queue.scheduled, queue.queued, queue.pending) for queue in stats}
