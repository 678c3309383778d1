"""The use cases over one store: the only thing that a door may call."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

import msgspec

from htq.stores.base import BodyRef, Cancel, Enqueued, EnqueueOutcome, Filter, Page, Store
from htq.usecases.batches import BatchService
from htq.usecases.changes import ChangeService
from htq.usecases.gather import Gatherer
from htq.usecases.groups import GroupService, GroupWaiting
from htq.usecases.known import KnownSettings
from htq.usecases.lists import fill_page, for_each_page
from htq.usecases.outage import Outage
from htq.usecases.outcomes import accepted
from htq.usecases.patience import Patience
from htq.usecases.queues import QueueService
from htq.usecases.results import Result, read_whole, without_response
from htq.usecases.schedules import ScheduleService
from htq.usecases.settings import ServiceSettings
from htq.usecases.submission import Submission
from htq.usecases.submit import new_task
from htq.usecases.waiting import Waiting
from htq.words.attempt import AttemptRecord
from htq.words.clock import Chance, Clock
from htq.words.errors import NotFound, Overloaded, RequestError, StoreUnavailable
from htq.words.states import FINAL, STATES, State, Status, status_of
from htq.words.task import CancelRecord, Idempotency, NewTask, Response, Task

__all__ = ["Submitted", "TaskService"]

Found = TypeVar("Found")

_NOT_FINAL: Final = tuple(state for state in STATES if state not in FINAL)
_UNKNOWN: Final = "No such request: it was never here, or has been forgotten."
_LOOKS: Final = 3
"""A response can be deleted between two of the reads that it takes; a look that met this is taken again."""


class Submitted(NamedTuple):
    """What became of a submission: `new` is there, or another task, `uuid`, in its place (`existing` or `replayed`)."""

    new: NewTask
    uuid: str
    outcome: EnqueueOutcome


class TaskService:
    """Queue, look, wait, cancel; its parts, such as `queues`, have more.

    Every method may raise `StoreUnavailable`; one that takes a uuid, `NotFound`. A `wait` is in seconds: 0 doesn't wait, None waits
    for as long as it takes.
    """

    def __init__(self, store: Store, *, clock: Clock, chance: Chance, settings: ServiceSettings) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self._chance = chance
        self._waiting = Waiting(
            store,
            clock=clock,
            chance=chance,
            poll_every=settings.poll_every,
            max_waiters=settings.max_waiters,
            batch=settings.batch,
        )
        limit = settings.batch
        outage = Outage()
        self._known = KnownSettings(store, clock)
        self._enqueue: Gatherer[NewTask, Enqueued] = Gatherer(store.enqueue, limit=limit, weigh=_weight, outage=outage)
        self._get: Gatherer[str, Task | None] = Gatherer(store.get, limit=limit, outage=outage)
        self._states: Gatherer[str, tuple[State, bool] | None] = Gatherer(store.states, limit=limit, outage=outage)
        self._responses: Gatherer[str, Response | None] = Gatherer(store.responses, limit=limit, outage=outage)
        self._cancel: Gatherer[Cancel, State | None] = Gatherer(store.cancel, limit=limit)
        self._delete_response: Gatherer[str, bool] = Gatherer(store.delete_response, limit=limit)
        self.queues = QueueService(store, clock=clock, known=self._known, cancel_all=self.cancel_all)
        patience = Patience(clock, chance)
        self._groups_awaited = GroupWaiting(
            store,
            clock=clock,
            chance=chance,
            poll_every=settings.poll_every,
            max_waiters=settings.max_waiters,
            batch=settings.batch,
        )
        self.groups = GroupService(store, waiting=self._groups_awaited, patience=patience)
        self.schedules = ScheduleService(store, clock=clock, draft=self.draft)
        self.batches = BatchService(
            store, patience=patience, draft=self.draft, enqueue=self._enqueue.all, wake=self._waiting.wake
        )
        self.changes = ChangeService(store, clock=clock, chance=chance, settings=settings, look=self._task)

    async def close(self) -> None:
        """Finish the store calls that are under way, and stop listening. The store is its owner's to close."""
        await self._waiting.close()
        await self._groups_awaited.close()
        for part in (
            self._enqueue,
            self._get,
            self._states,
            self._responses,
            self._cancel,
            self._delete_response,
            self._known,
            self.changes,
        ):
            await part.close()

    async def submit(self, submission: Submission, *, base: str, idempotency: Idempotency | None = None) -> Submitted:
        """Queue a request: when this returns it is as durable as the store makes it.

        `base` is this server's base URL. Raises `InvalidField`, and `Conflict` or `KeyReused` where it is not taken.
        """
        new = await self.draft(submission, base, idempotency)
        found = await self._enqueue(new)
        if found.superseded:
            self._waiting.wake(found.superseded)
        if found.outcome != "created":
            judged = accepted(new, found)
            if isinstance(judged, RequestError):
                raise judged
        return Submitted(new, found.uuid, found.outcome)

    async def draft(self, submission: Submission, base: str, idempotency: Idempotency | None = None) -> NewTask:
        """The task that `submission` asks for, all defaults resolved, and not queued. Raises `InvalidField`."""
        known = self._known.fresh()
        if known is None:
            known = await self._known.read()
        queue = known.get(submission.queue or "default") if known else None
        return new_task(
            submission,
            self.settings,
            self._chance.uuid(),
            self._clock.now_ms(),
            queue,
            base=base,
            idempotency=idempotency,
        )

    async def task(self, uuid: str) -> Task:
        """The task, its body with it however large it is."""
        task = await self._task(uuid)
        if task.body is not None:
            return task
        body = await read_whole(self._store, BodyRef(uuid, 0, "request"), task.body_size)
        if body is None:
            raise NotFound(_UNKNOWN)
        return msgspec.structs.replace(task, body=body)

    async def status(self, uuid: str) -> Status:
        """The seed's word for where the task stands."""
        return status_of(*_known(await self._states(uuid)))

    async def result(self, uuid: str, wait: float | None) -> Result | None:
        """What came of the task; None if it has not ended within `wait`. `NotFound` too where the response was deleted."""
        return await self._waiting.until(uuid, lambda: self._look_for_result(uuid), wait)

    async def cancel(self, uuid: str, reason: str | None = None) -> None:
        """Cancel a task: from now on it is canceled for ever, and no new attempt of it starts."""
        _known(await self._cancel(Cancel(uuid, reason)))
        self._waiting.wake((uuid,))

    async def cancel_record(self, uuid: str) -> CancelRecord:
        """What a cancel met and what came of it, so far. `NotFound` if nobody asked for one."""
        record = (await self._task(uuid)).cancel
        if record is None:
            raise NotFound("This request was not canceled: DELETE it to cancel it.")
        return record

    async def settled_cancel(self, uuid: str, wait: float | None) -> CancelRecord | None:
        """The record once nothing more will happen to the task; None if that is not so within `wait`."""

        async def look() -> CancelRecord | None:
            task = await self._task(uuid)
            return task.cancel if task.is_settled else None

        return await self._waiting.until(uuid, look, wait)

    async def attempts(self, uuid: str) -> list[AttemptRecord]:
        """Each exchange that was begun for the task, first to last."""
        records = await self._store.attempts(uuid)
        if not records:
            _known(await self._states(uuid))
        return records

    async def delete_response(self, uuid: str) -> None:
        """Free the space that a response takes. `NotFound` too where there is none (any more)."""
        if not await self._delete_response(uuid):
            _known(await self._states(uuid))
            raise NotFound("There is no response to delete: none has come yet, or it was deleted.")

    async def tasks(self, where: Filter, cursor: str | None, limit: int) -> Page:
        """A page of tasks, oldest first, with large bodies left out (`Task.body` is None)."""
        return await fill_page(self._store, where, cursor, limit)

    async def cancel_all(self, where: Filter, reason: str | None = None) -> int:
        """Cancel what `where` takes of the tasks that are there now; how many were. With no statuses: what is not final.

        It goes on in pages, and others are served between them. Ended in the middle, or called again, it does no harm.
        """

        async def cancel(uuids: list[str]) -> int:
            try:
                states = await self._cancel.all([Cancel(uuid, reason) for uuid in uuids])
            except Overloaded as error:
                # Nothing was done on this page, perhaps, but on those before it.
                raise StoreUnavailable(str(error), error.retry_after) from None
            self._waiting.wake(uuids)
            return sum(state is not None for state in states)

        return await self._for_all(where, cancel)

    async def count(self, where: Filter) -> int:
        """How many tasks `cancel_all` would take."""

        async def count(uuids: list[str]) -> int:
            return len(uuids)

        return await self._for_all(where, count)

    async def _task(self, uuid: str) -> Task:
        """The task, a large body left out."""
        return _known(await self._get(uuid))

    async def _for_all(self, where: Filter, do: Callable[[list[str]], Awaitable[int]]) -> int:
        # What is canceled already is not canceled again, and would only be counted.
        statuses = tuple(state for state in where.statuses or _NOT_FINAL if state != "canceled")
        if not statuses:
            return 0
        where = msgspec.structs.replace(where, statuses=statuses)
        return await for_each_page(self._store, where, self._chance.uuid(), self.settings.batch, do)

    async def _look_for_result(self, uuid: str) -> Result | None:
        for _ in range(_LOOKS):
            state, canceled = _known(await self._states(uuid))
            status = status_of(state, canceled)
            if status == "canceled":
                return Result(uuid, status, None, None, b"")
            if state not in FINAL:
                return None
            response = await self._responses(uuid)
            if status == "success" and response is not None and response.body is not None:
                return Result(uuid, status, None, response, response.body)
            # The word for a failure stands in the task, and so does the attempt that a body beside the record belongs to.
            task = await self._task(uuid)
            if task.status != status:
                continue
            if response is None and not task.has_response:
                response = without_response(task)
            if response is None:
                break
            body = response.body
            if body is None:
                body = await read_whole(self._store, BodyRef(uuid, task.attempt, "response"), response.body_size)
            if body is not None:
                return Result(uuid, status, task.reason, response, body)
        raise NotFound("The response was deleted.")


def _weight(new: NewTask) -> int:
    return len(new.body)


def _known(found: Found | None) -> Found:
    if found is None:
        raise NotFound(_UNKNOWN)
    return found
