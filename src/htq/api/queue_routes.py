"""Rows of the table of routes: queues and their lanes."""

from typing import Annotated, Final

from msgspec import Meta

from htq.api.lanes import delete_lane, get_lane, list_lanes, put_lane
from htq.api.queue_views import LaneView, QueueView
from htq.api.queues import delete_queue, get_queue, list_queues, pause_queue, put_queue, resume_queue
from htq.api.table import Answer, Operation, Parameter, Route
from htq.usecases import LaneWish, PauseWish, QueueWish
from htq.usecases.queues import TasksOfQueue
from htq.words.errors import (
    Conflict,
    InvalidField,
    NotFound,
    Overloaded,
    StoreUnavailable,
    TooLarge,
    UnsupportedMedia,
)

__all__ = ["QUEUE_ROUTES"]

_SAID: Final = (UnsupportedMedia, TooLarge, InvalidField, NotFound, StoreUnavailable)
_KNOWN: Final = (NotFound, StoreUnavailable)

QUEUE_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "/queues/",
        "The queues",
        {
            "GET": Operation(
                list_queues,
                "Count the requests that have not ended, by queue",
                (Answer(200, list[QueueView], "The queues that have any, or settings, by name."),),
                (StoreUnavailable,),
            )
        },
    ),
    Route(
        "/queues/{queue}/",
        "A queue",
        {
            "GET": Operation(
                get_queue, "Count its requests, and see its settings", (Answer(200, QueueView, "The queue."),), _KNOWN
            ),
            "PUT": Operation(
                put_queue,
                "Set what holds for its requests from now on, in place of all that was said before",
                (Answer(200, QueueView, "The queue as it is now."),),
                _SAID,
                takes=QueueWish,
            ),
            "DELETE": Operation(
                delete_queue,
                "Forget its settings and those of its lanes",
                (Answer(204, None, "They are forgotten."),),
                (NotFound, Conflict, StoreUnavailable, Overloaded),
                query=(
                    Parameter(
                        "tasks",
                        TasksOfQueue,
                        "What becomes of its requests that have not ended: refuse (usual: 409 if there are any), cancel or keep. "
                        "One that comes in the very moment after that was looked at is kept.",
                    ),
                ),
            ),
        },
    ),
    Route(
        "/queues/{queue}/pause/",
        "The pause of a queue",
        {
            "POST": Operation(
                pause_queue,
                "Start none of its requests until a time, for a time, or until it is resumed",
                (Answer(200, QueueView, "The queue as it is now."),),
                _SAID,
                takes=PauseWish,
            )
        },
    ),
    Route(
        "/queues/{queue}/resume/",
        "The end of a queue's pause",
        {
            "POST": Operation(
                resume_queue,
                "Go on",
                (Answer(200, QueueView, "The queue as it is now."),),
                (NotFound, StoreUnavailable),
            )
        },
    ),
    Route(
        "/queues/{queue}/keys/",
        "The lanes of a queue",
        {
            "GET": Operation(
                list_lanes,
                "List the lanes that have requests, limits of their own, or a hold",
                (Answer(200, list[LaneView], "A page of lanes; Link has the next.", ("Link",)),),
                _KNOWN,
                query=(
                    Parameter("held", bool, "1: only those that are held."),
                    Parameter("limit", Annotated[int, Meta(ge=1, le=1000)], "Lanes on a page; 100 if left out."),
                    Parameter("cursor", str, "Where the page before ended: follow its Link."),
                ),
            )
        },
    ),
    Route(
        "/queues/{queue}/keys/{key}/",
        "A lane of a queue",
        {
            "GET": Operation(
                get_lane, "See how it stands, and what holds for it", (Answer(200, LaneView, "The lane."),), _KNOWN
            ),
            "PUT": Operation(
                put_lane,
                "Set what holds for it, in place of all that was said before; with no held_until nothing holds it",
                (Answer(200, LaneView, "The lane as it is now."),),
                _SAID,
                takes=LaneWish,
            ),
            "DELETE": Operation(
                delete_lane,
                "Let what its queue says hold for it again, and nothing hold it",
                (Answer(204, None, "It has no limits of its own."),),
                _KNOWN,
            ),
        },
    ),
)
