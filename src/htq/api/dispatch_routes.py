"""Rows of the table of routes: batches, groups, schedules."""

from typing import Annotated, Final

from msgspec import Meta

from htq.api.answers import ItemResult
from htq.api.batch_items import MEDIA
from htq.api.batches import post_batch
from htq.api.groups import GroupView, cancel_group, get_group, put_group
from htq.api.schedules import (
    ScheduleView,
    delete_schedule,
    get_schedule,
    list_schedules,
    pause_schedule,
    put_schedule,
    resume_schedule,
)
from htq.api.table import Answer, Operation, Parameter, Route
from htq.api.views import CanceledView, MatchingView
from htq.usecases.batches import BatchItem
from htq.usecases.groups import GroupWish
from htq.usecases.schedules import ScheduleWish
from htq.words.errors import (
    BatchRefused,
    Conflict,
    InvalidField,
    KeyReused,
    NotFound,
    Overloaded,
    StoreUnavailable,
    TooLarge,
    UnsupportedMedia,
)

__all__ = ["DISPATCH_ROUTES"]

_Seconds = Annotated[int, Meta(ge=0)]

_LATER: Final = ("Retry-After", "Preference-Applied")
_SAID: Final = (UnsupportedMedia, TooLarge, InvalidField, NotFound, StoreUnavailable)
_KNOWN: Final = (NotFound, StoreUnavailable)
_SCHEDULE: Final = (Answer(200, ScheduleView, "The schedule as it is now."),)

DISPATCH_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "/batch/",
        "Many requests",
        {
            "POST": Operation(
                post_batch,
                "Queue many requests: an array, or one a line; each has a result of its own, in their order and form",
                (
                    Answer(
                        200,
                        list[ItemResult],
                        "A result for each; a last one more where the batch could not be read to its end.",
                        ("Idempotent-Replayed",),
                    ),
                ),
                (UnsupportedMedia, TooLarge, BatchRefused, KeyReused, StoreUnavailable, Overloaded),
                takes=list[BatchItem],
                media=MEDIA,
                query=(
                    Parameter("atomic", bool, "1: all of them or none; at most 1000, in at most 8 MiB."),
                    Parameter("group", str, "The group that they are put into; it is closed at the end."),
                    Parameter("close", bool, "0: leave the group open."),
                ),
                headers=(
                    Parameter("Idempotency-Key", str, "With atomic=1: asked for again with it, the batch is the same."),
                ),
            )
        },
    ),
    Route(
        "/groups/{group}/",
        "A group",
        {
            "GET": Operation(
                get_group,
                "Count its requests, or wait until it is complete",
                (
                    Answer(
                        200, GroupView, "The group; where a time to wait was given, complete.", ("Preference-Applied",)
                    ),
                    Answer(
                        202,
                        GroupView,
                        "It is not complete, and the time to wait is over.",
                        _LATER,
                    ),
                ),
                (*_KNOWN, Overloaded),
                query=(Parameter("wait", _Seconds, "Seconds, 60 at most. Left out: doesn't wait."),),
                headers=(Parameter("Prefer", str, "wait=N: up to N seconds, 60 at most."),),
            ),
            "PUT": Operation(
                put_group,
                "Make it, close it, or say where it is told that it is complete",
                (Answer(200, GroupView, "The group as it is now."),),
                (*_SAID, Conflict),
                takes=GroupWish,
            ),
            "DELETE": Operation(
                cancel_group,
                "Cancel all of its requests that have not ended",
                (Answer(200, CanceledView | MatchingView, "How many are canceled; with dry_run, how many match."),),
                (*_KNOWN, Overloaded),
                query=(
                    Parameter("dry_run", bool, "1: only count, and change nothing."),
                    Parameter("reason", Annotated[str, Meta(max_length=500)], "Why, in a line of your own."),
                ),
            ),
        },
    ),
    Route(
        "/schedules/",
        "The schedules",
        {
            "GET": Operation(
                list_schedules, "List them", (Answer(200, list[ScheduleView], "All, by name."),), (StoreUnavailable,)
            )
        },
    ),
    Route(
        "/schedules/{schedule}/",
        "A schedule",
        {
            "GET": Operation(get_schedule, "Look at it, its next times and its last", _SCHEDULE, _KNOWN),
            "PUT": Operation(
                put_schedule,
                "Make it, or put it in the place of the one of its name",
                _SCHEDULE,
                _SAID,
                takes=ScheduleWish,
            ),
            "DELETE": Operation(
                delete_schedule,
                "Forget it; the requests that it made stay",
                (Answer(204, None, "It is gone."),),
                _KNOWN,
            ),
        },
    ),
    Route(
        "/schedules/{schedule}/pause/",
        "A schedule's pause",
        {"POST": Operation(pause_schedule, "Make nothing until it is resumed", _SCHEDULE, _KNOWN)},
    ),
    Route(
        "/schedules/{schedule}/resume/",
        "A schedule's end of pause",
        {"POST": Operation(resume_schedule, "Go on with the next time from now", _SCHEDULE, _KNOWN)},
    ),
)
