"""A schedule: a task that comes again and again."""

from typing import Literal

import msgspec

from htq.words.task import NewTask

__all__ = ["CatchUp", "Overlap", "Schedule"]

Overlap = Literal["skip", "queue", "cancel_previous", "allow"]
"""What happens in a slot while the task of an earlier one is alive: none is made; it waits behind; the earlier one is canceled;
both run."""

CatchUp = Literal["none", "one", "all"]
"""What becomes of slots that passed unseen: nothing, one task for all of them, one for each (100 at most)."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When to make which task. Exactly one of `cron` and `every` is given."""

    tenant: str = ""
    name: str
    cron: str | None = None
    """Five fields, in the time of `zone`. The rules of daylight saving time are in `htq.policy.schedules`."""
    zone: str = "UTC"
    every: float | None = None
    """Seconds between two slots, counted from `created_at`."""
    overlap: Overlap = "skip"
    catch_up: CatchUp = "one"
    paused: bool = False
    task: NewTask
    """What is made, all defaults resolved. Each slot has a uuid and times of its own; `{uuid}` in its URL is filled in then. The
    uuid here is what nobody can guess of those: it stays with the schedule, and is shown to nobody."""
    created_at: int
    revision: int = 0
    """Grows with each `put_schedule`: a firing that was reckoned before is not carried out after."""
    next_at: int | None
    """The next slot; None: there is none."""
    last_at: int | None = None
    """The last slot that was fired or skipped."""
    last_uuid: str | None = None
    """The last task that was made."""
