"""What an operator may say of queues and lanes: the shapes that validate it, and that the reference is made from."""

from typing import Annotated

import msgspec
from msgspec import Meta

from htq.usecases.defaults import QueueDefaults
from htq.usecases.wishes import Duration, Unit

__all__ = ["BreakerWish", "LaneWish", "LimitsWish", "PauseWish", "QueueWish", "RateWish"]

_ConcurrencyField = Annotated[
    Annotated[int, Meta(ge=1, le=1_000_000)] | None,
    Meta(description="How many may be with their targets at once: an integer from 1 to 1000000; left out any number."),
]
_WeightField = Annotated[
    Annotated[int, Meta(ge=1, le=1000)] | None,
    Meta(description="How many of a lane go in its turn: an integer from 1 (usual) to 1000."),
]
_PauseField = Annotated[
    int | str | None,
    Meta(
        description='Nothing of it starts before: epoch milliseconds, an RFC 3339 time, or text such as "10m" for so long from '
        "now; left out it goes on."
    ),
]


class RateWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many may start in a time, or units of what they cost."""

    limit: Annotated[
        Annotated[float, Meta(ge=0.001, le=1e9)],
        Meta(description="How many a per, a number from 0.001 to 1000000000."),
    ]
    per: Annotated[
        Duration | None,
        Meta(description='The time that limit is for: seconds up to 31 days, or text such as "1m"; 1 is usual.'),
    ] = None
    burst: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Meta(
            description="How many may go at once after a silence; left out it is 1, which spreads them evenly, and with a unit "
            "the whole limit."
        ),
    ] = None
    unit: Annotated[
        Unit | None,
        Meta(description="Which of a request's costs is counted, such as tokens; left out requests are."),
    ] = None


_RateField = Annotated[
    Annotated[list[RateWish], Meta(max_length=8)] | None,
    Meta(description='How many may start in a time: an array of at most 8 objects such as {"limit": 100, "per": 60}.'),
]


class LimitsWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What holds for each lane of a queue that says nothing else."""

    weight: _WeightField = None
    concurrency: _ConcurrencyField = None
    rate: _RateField = None


class BreakerWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a lane is held whose target fails, and for how long."""

    failures: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="After how many failures in a row: an integer from 1 to 1000; 5 is usual."),
    ] = None
    hold: Annotated[
        Duration | None,
        Meta(description='How long the first time: seconds up to a day, or text such as "30s"; 10 is usual.'),
    ] = None
    max_hold: Annotated[
        Duration | None,
        Meta(
            description="How long at most, since each time without a success between is twice as long: seconds up to a day; 600 "
            "is usual."
        ),
    ] = None


class QueueWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of a queue. It takes the place of all that was said before."""

    concurrency: _ConcurrencyField = None
    rate: _RateField = None
    per_key: Annotated[
        LimitsWish | None,
        Meta(description="What holds for each of its lanes: an object with concurrency, rate and weight."),
    ] = None
    breaker: Annotated[
        BreakerWish | None,
        Meta(description="When a lane whose target fails is held: an object with failures, hold and max_hold."),
    ] = None
    paused_until: _PauseField = None
    defaults: Annotated[
        QueueDefaults | None,
        Meta(
            description='An object such as {"timeout": 300, "retry": 3}: what holds for requests that say nothing else.'
        ),
    ] = None


class LaneWish(LimitsWish, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of one lane, in place of what its queue says of each. It takes the place of all that was said before."""

    held_until: _PauseField = None


class PauseWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """For how long a queue is paused; with nothing said, until somebody resumes it."""

    until: Annotated[
        int | str | None,
        Meta(description="Until when: epoch milliseconds, or an RFC 3339 time."),
    ] = None
    for_: Annotated[
        Duration | None,
        Meta(description='For how long: seconds, or text such as "1h".'),
    ] = msgspec.field(default=None, name="for")
