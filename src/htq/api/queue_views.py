"""What a queue and a lane look like from outside: what was said of them, as it is said, and how they stand."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.api.views import CancelPolicy, shown_headers, view_policy
from htq.stores.base import Lane, QueueSettings
from htq.usecases import Queue
from htq.usecases.defaults import QueueDefaults, defaults_of
from htq.usecases.queue_limits import breaker_wish, limits_wish, rate_wishes
from htq.usecases.queue_wishes import BreakerWish, LimitsWish, RateWish
from htq.words.limits import HoldReason, LaneLimits

__all__ = ["DefaultsView", "LaneView", "QueueView", "view_lane", "view_queue"]

_NO_LIMITS = LaneLimits()


class DefaultsView(QueueDefaults, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for a queue's requests that say nothing else. Headers that prove who is calling are not shown."""

    cancel: CancelPolicy | UnsetType = UNSET  # type: ignore[assignment]


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: counts of its requests that have not ended, and its settings. What is left out was not said."""

    name: str
    scheduled: int
    queued: int
    pending: int
    oldest_queued_at: int | None
    oldest_age: Annotated[float | None, Meta(description="Seconds for which the one at the front has been there.")]
    paused: bool
    paused_until: Annotated[int | UnsetType, Meta(description="253402300799999: until somebody resumes it.")] = UNSET
    concurrency: int | UnsetType = UNSET
    rate: list[RateWish] | UnsetType = UNSET
    per_key: LimitsWish | UnsetType = UNSET
    breaker: BreakerWish | UnsetType = UNSET
    defaults: DefaultsView
    links: dict[str, str]


class LaneView(msgspec.Struct, frozen=True, kw_only=True):
    """A lane: counts of its requests that have not ended, its own limits, and whether it is held."""

    queue: str
    key: str
    weight: int | UnsetType = UNSET
    concurrency: int | UnsetType = UNSET
    rate: list[RateWish] | UnsetType = UNSET
    queued: int
    pending: int
    held_until: Annotated[int | None, Meta(description="Nothing of it starts before.")]
    hold_reason: HoldReason | None
    failures: Annotated[int, Meta(description="In a row, as the breaker counts them.")]
    links: dict[str, str]


def view_queue(queue: Queue, url: str) -> QueueView:
    stats, settings, _ = queue
    settings = settings or QueueSettings()
    return QueueView(
        name=stats.name,
        scheduled=stats.scheduled,
        queued=stats.queued,
        pending=stats.pending,
        oldest_queued_at=stats.oldest_queued_at,
        oldest_age=queue.oldest_age,
        paused=queue.is_paused,
        paused_until=settings.paused_until if queue.is_paused and settings.paused_until is not None else UNSET,
        concurrency=UNSET if settings.concurrency is None else settings.concurrency,
        rate=rate_wishes(settings.rate) if settings.rate else UNSET,
        per_key=UNSET if settings.per_key == _NO_LIMITS else limits_wish(settings.per_key),
        breaker=UNSET if settings.breaker is None else breaker_wish(settings.breaker),
        defaults=_defaults(settings),
        links={"self": url, "keys": f"{url}keys/"},
    )


def view_lane(lane: Lane, url: str) -> LaneView:
    limits = lane.limits
    return LaneView(
        queue=lane.queue,
        key=lane.key,
        weight=UNSET if limits.weight is None else limits.weight,
        concurrency=UNSET if limits.concurrency is None else limits.concurrency,
        rate=UNSET if limits.rate is None else rate_wishes(limits.rate),
        queued=lane.queued,
        pending=lane.running,
        held_until=lane.held_until,
        hold_reason=lane.hold_reason,
        failures=lane.failures,
        links={"self": url},
    )


def _defaults(settings: QueueSettings) -> DefaultsView:
    said = msgspec.structs.asdict(defaults_of(settings))
    said["cancel"] = UNSET
    if said["headers"] is not None:
        said["headers"] = shown_headers(tuple(said["headers"].items()))
    if settings.stop is not None:
        cancel = view_policy(settings.stop)
        if settings.stop_delete_given:
            cancel = msgspec.structs.replace(cancel, delete=settings.stop.delete)
        said["cancel"] = cancel
    return DefaultsView(**said)
