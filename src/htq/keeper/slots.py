"""Firing schedules: a task for each slot that has come."""

import logging
from collections.abc import Sequence
from typing import Final

from htq.keeper.alarm import Alarm
from htq.keeper.batches import batches
from htq.policy.schedules import slot_task, steps
from htq.policy.store_time import StoreTime
from htq.stores.base import Enqueued, Firing, Store
from htq.words.errors import InvalidField
from htq.words.schedule import Schedule

__all__ = ["Slots"]

log = logging.getLogger("htq.keeper")

_AT_ONCE: Final = 100
"""Schedules in one look, at most."""


class Slots:
    """Reckons what is to be done about the slots that have come, and lets the store do each once.

    A firing is a compare-and-set on the schedule's `next_at`, in the step that takes its task. So it makes no difference how many
    keepers do this, nor whether a reply was lost: the next look shows what is still to be done.
    """

    def __init__(self, store: Store, alarm: Alarm, time: StoreTime) -> None:
        self._store = store
        self._alarm = alarm
        self._time = time
        self._said: set[tuple[str, str, int]] = set()
        """Schedules that make nothing, by revision: each is told of once."""

    async def look(self) -> bool:
        """Fire what has come; whether there may be more."""
        # Those that nothing can be done about stay due, and must not hide the others.
        limit = _AT_ONCE + len(self._said)
        asked = self._time.asks()
        due, next_at, now = await self._store.due_schedules(limit)
        self._time.heard(now, asked)
        self._alarm.note(next_at)
        any_fired = False
        # Reckoned as they are fired, so that a crowd of missed slots does not hold up everything else of this process.
        firings = (firing for schedule in due for firing in self._firings(schedule, now))
        for batch in batches(firings, lambda firing: len(firing.task.body) if firing.task is not None else 0):
            for firing, enqueued in zip(batch, await self._store.fire(batch), strict=True):
                self._alarm.note(firing.next_at)
                if enqueued is not None:
                    self._fired(firing, enqueued)
            any_fired = True
        return any_fired and len(due) == limit

    def _firings(self, schedule: Schedule, now: int) -> Sequence[Firing]:
        tenant, name, revision = schedule.tenant, schedule.name, schedule.revision
        try:
            return [
                Firing(tenant, name, revision, step.slot, step.last_at, step.next_at, slot_task(schedule, step))
                for step in steps(schedule, now)
            ]
        except InvalidField as error:
            # It was taken by a server that knows this zone. So may another keeper, and the slot waits for it.
            self._complain(tenant, name, revision, f"can't be reckoned here: {error}")
        except Exception:
            # One schedule must not take this keeper, its worker and all other schedules with it.
            self._complain(tenant, name, revision, "can't be reckoned: a defect of htq's own", trace=True)
        return []

    def _fired(self, firing: Firing, enqueued: Enqueued) -> None:
        if enqueued.outcome == "closed" and firing.task is not None:
            self._complain(
                firing.tenant, firing.name, firing.revision, f"makes nothing: its group {firing.task.group} is closed"
            )
        else:
            log.debug("slot %d of the schedule %s: %s %s", firing.slot, firing.name, enqueued.uuid, enqueued.outcome)

    def _complain(self, tenant: str, name: str, revision: int, trouble: str, *, trace: bool = False) -> None:
        if (tenant, name, revision) not in self._said:
            self._said.add((tenant, name, revision))
            log.error("the schedule %s %s", name, trouble, exc_info=trace)
