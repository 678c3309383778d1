"""The use cases of tasks that are changed by hand: run again, run now, put off, rewritten."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

import msgspec

from htq.stores.base import Filter, Patched, Retried, Store
from htq.usecases.change import Change, patch_of
from htq.usecases.gather import Gatherer
from htq.usecases.lists import for_each_page
from htq.usecases.settings import ServiceSettings
from htq.words.clock import Chance, Clock
from htq.words.errors import Conflict, PreconditionFailed
from htq.words.states import LIVE, STATES, State
from htq.words.task import Task

__all__ = ["ChangeService"]

_FAILED: Final[tuple[State, ...]] = ("error", "timeout")
_LIVE: Final = tuple(state for state in STATES if state in LIVE)
_TRIES: Final = 64
"""Times that a change is made anew on what somebody else has changed meanwhile."""


class ChangeService:
    """Every method may raise `StoreUnavailable`; one that takes a uuid, `NotFound`, and `Conflict` where its state forbids it."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        chance: Chance,
        settings: ServiceSettings,
        look: Callable[[str], Awaitable[Task]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._settings = settings
        self._look = look
        self._retry: Gatherer[str, Retried | None] = Gatherer(store.retry, limit=settings.batch)
        self._run_now: Gatherer[str, State | None] = Gatherer(store.run_now, limit=settings.batch)

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        await self._retry.close()
        await self._run_now.close()

    async def retry(self, uuid: str) -> None:
        """Run a task again that has ended."""
        retried = await self._retry(uuid)
        if retried == "queued":
            return
        task = await self._look(uuid)  # `NotFound` where it is unknown
        if retried == "canceled":
            why = f" ({task.cancel.reason})" if task.cancel is not None and task.cancel.reason else ""
            raise Conflict(f"It was canceled{why}, and stays so: post a new request.")
        if retried == "named":
            rival = await self._live_with_name(task)
            raise Conflict(
                "Another request that has not ended has its id: wait for that one, or cancel it first.", rival
            )
        raise Conflict("It has not ended, and can't be run again before: wait for it, or cancel it and post a new one.")

    async def retry_all(self, where: Filter) -> int:
        """Run again what `where` takes of the tasks that are there now; how many. With no statuses: what failed."""

        async def retry(uuids: list[str]) -> int:
            return sum(retried == "queued" for retried in await self._store.retry(uuids))

        return await self._for_all(where, retry)

    async def count_retries(self, where: Filter) -> int:
        """How many tasks `retry_all` would take."""

        async def count(uuids: list[str]) -> int:
            return len(uuids)

        return await self._for_all(where, count)

    async def run_now(self, uuid: str) -> None:
        """Let a task that waits for its time go out now; one that is on its way already, is."""
        state = await self._run_now(uuid)
        if state is None:
            await self._look(uuid)  # `NotFound`
        if state == "scheduled":
            raise Conflict("It waits for another request with its id to end, and goes out then.")
        if state not in LIVE:
            raise Conflict("It has ended: retry it, or post a new request.")

    async def change(self, uuid: str, change: Change, versions: Collection[int] | None, base: str) -> None:
        """Change a task that has not started.

        With `versions` only one that has one of them: `PreconditionFailed` else. Without, whatever it is by then is changed.
        Raises `InvalidField`.
        """
        for _ in range(_TRIES):
            task = await self._look(uuid)
            if versions is not None and task.version not in versions:
                raise PreconditionFailed(
                    "Somebody has changed the request since: look at it again, and send its ETag as If-Match."
                )
            if task.state not in ("scheduled", "queued"):
                raise _started(task)
            patch = patch_of(task, change, self._settings, self._clock.now_ms(), base)
            patched: Patched | None = await self._store.patch(uuid, patch, task.version)
            if patched == "patched":
                return
        raise Conflict("It is being changed by others all the time: try again in a moment.")

    async def _live_with_name(self, task: Task) -> str | None:
        where = Filter(tenant=task.tenant, name=task.name, statuses=_LIVE)
        uuids, _ = await self._store.select(where, None, 1)
        return uuids[0] if uuids else None

    async def _for_all(self, where: Filter, do: Callable[[list[str]], Awaitable[int]]) -> int:
        # What is alive needs no retry, and what was canceled can't have one: neither would be counted.
        statuses = tuple(state for state in where.statuses or _FAILED if state not in LIVE and state != "canceled")
        if not statuses:
            return 0
        where = msgspec.structs.replace(where, statuses=statuses)
        return await for_each_page(self._store, where, self._chance.uuid(), self._settings.batch, do)


def _started(task: Task) -> Conflict:
    if task.state == "pending" and task.cancel is None:
        return Conflict("It has started, and can't be changed any more: cancel it and post a new request.")
    return Conflict(f"It has ended ({task.status}), and can't be changed any more: post a new request.")
