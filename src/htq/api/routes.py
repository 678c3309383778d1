"""The table of routes: everything that can be asked over HTTP."""

from typing import Annotated, Final

from msgspec import Meta

from htq.api.about import ProblemView, get_problem, list_problems
from htq.api.changes import patch_task, retry_task, retry_tasks, run_task
from htq.api.dispatch_routes import DISPATCH_ROUTES
from htq.api.envelope import Envelope, Failure, NoResponse
from htq.api.queue_routes import QUEUE_ROUTES
from htq.api.responses import delete_response, get_response
from htq.api.table import Answer, Operation, Parameter, Route
from htq.api.tasks import (
    cancel_task,
    cancel_tasks,
    get_attempts,
    get_cancel,
    get_status,
    get_task,
    list_tasks,
    post_task,
)
from htq.api.views import CanceledView, ForgottenTask, ListedTask, MatchingView, RetriedView, StatusView, TaskView
from htq.usecases import ChangeWish, Submission
from htq.words.attempt import AttemptRecord
from htq.words.errors import (
    Conflict,
    InvalidField,
    KeyReused,
    NotFound,
    Overloaded,
    PreconditionFailed,
    StoreUnavailable,
    TooLarge,
    UnsupportedMedia,
)
from htq.words.states import State
from htq.words.task import CancelRecord

__all__ = ["ROUTES"]

_Seconds = Annotated[int, Meta(ge=0)]
_Time = Annotated[int, Meta(ge=0)]
_AnyEnvelope = Envelope | Failure | NoResponse

_WAIT: Final = "wait=N: up to N seconds, 60 at most"
_PREFER_WAIT: Final = Parameter("Prefer", str, f"{_WAIT}.")
_LATER: Final = ("Retry-After", "Preference-Applied")

_TASK: Final = (NotFound, StoreUnavailable)
_WAITS: Final = (NotFound, StoreUnavailable, Overloaded)
_BY_HAND: Final = (NotFound, Conflict, StoreUnavailable, Overloaded)

_REASON: Final = Parameter("reason", Annotated[str, Meta(max_length=500)], "Why, in a line of your own.")
_STATUS: Final = "Status words, joined by commas or given several times."
_FILTERS: Final = (
    Parameter("queue", str, "The queue."),
    Parameter("key", str, "The lane."),
    Parameter("host", str, "The target's host."),
    Parameter("id", str, "The caller's own name."),
    Parameter("group", str, "The group."),
    Parameter("label.", str, "label.<name>: the value of a label."),
    Parameter("since", _Time, "Queued at or after this time, in epoch milliseconds."),
    Parameter("until", _Time, "Queued before this time, in epoch milliseconds."),
)
_DRY_RUN: Final = Parameter("dry_run", bool, "1: only count, and change nothing.")

ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "/",
        "The queue",
        {
            "GET": Operation(
                list_tasks,
                "List requests, oldest first: with no status named, those that are queued and due",
                (Answer(200, list[ListedTask], "A page of requests; Link has the next.", ("Link",)),),
                (StoreUnavailable,),
                query=(
                    Parameter("status", list[State], _STATUS),
                    *_FILTERS,
                    Parameter("limit", Annotated[int, Meta(ge=1, le=1000)], "Requests on a page; 100 if left out."),
                    Parameter("cursor", str, "Where the page before ended: follow its Link."),
                ),
            ),
            "POST": Operation(
                post_task,
                "Queue a request",
                (
                    Answer(
                        303,
                        TaskView | ForgottenTask,
                        "Queued, durably, or there already. Location has it.",
                        ("Location", "Idempotent-Replayed", "Preference-Applied"),
                    ),
                    Answer(
                        200,
                        _AnyEnvelope,
                        "Done within the time that Prefer gave: its response.",
                        ("Location", "Content-Location", "Link", "Preference-Applied"),
                    ),
                    Answer(202, TaskView, "In place of 303 if preferred.", ("Location", "Preference-Applied")),
                ),
                (UnsupportedMedia, TooLarge, InvalidField, KeyReused, Conflict, StoreUnavailable, Overloaded),
                takes=Submission,
                headers=(
                    Parameter("Idempotency-Key", str, "The same key with the same request: the request that is there."),
                    Parameter("Prefer", str, f"{_WAIT}, for the response itself; respond-async: 202 in place of 303."),
                ),
            ),
            "DELETE": Operation(
                cancel_tasks,
                "Cancel what a filter takes of the requests that are there now; at least one filter must be given",
                (Answer(200, CanceledView | MatchingView, "How many are canceled; with dry_run, how many match."),),
                (StoreUnavailable, Overloaded),
                query=(
                    Parameter("status", list[State], f"{_STATUS} Left out: what has not ended."),
                    *_FILTERS,
                    _DRY_RUN,
                    _REASON,
                ),
            ),
        },
    ),
    Route(
        "/retry/",
        "Retries by hand",
        {
            "POST": Operation(
                retry_tasks,
                "Run again what a filter takes of the requests that have ended; at least one filter must be given",
                (Answer(200, RetriedView | MatchingView, "How many run again; with dry_run, how many match."),),
                (StoreUnavailable, Overloaded),
                query=(
                    Parameter("status", list[State], f"{_STATUS} Left out: error and timeout."),
                    *_FILTERS,
                    _DRY_RUN,
                ),
            )
        },
    ),
    Route(
        "/{uuid}/",
        "A request",
        {
            "GET": Operation(
                get_task,
                "Look at a request",
                (Answer(200, TaskView, "The request.", ("Link", "ETag")),),
                _TASK,
            ),
            "DELETE": Operation(
                cancel_task,
                "Cancel a request for good, and delete its response",
                (
                    Answer(204, None, "It is canceled, for ever."),
                    Answer(200, CancelRecord, "It is canceled, and this came of it.", ("Preference-Applied",)),
                    Answer(202, CancelRecord, "It is canceled, and the target not told yet.", _LATER),
                ),
                _WAITS,
                query=(_REASON,),
                headers=(Parameter("Prefer", str, f"{_WAIT}, until it is known what came of it."),),
            ),
            "PATCH": Operation(
                patch_task,
                "Change a request that has not started: a JSON merge patch (RFC 7396)",
                (Answer(200, TaskView, "The request as it is now.", ("Link", "ETag")),),
                (UnsupportedMedia, TooLarge, InvalidField, PreconditionFailed, *_BY_HAND),
                takes=ChangeWish,
                media=("application/merge-patch+json", "application/json"),
                headers=(
                    Parameter("If-Match", str, "The ETag of what is to be changed; left out, whatever it is now."),
                ),
            ),
        },
    ),
    Route(
        "/{uuid}/retry/",
        "Another run of a request",
        {
            "POST": Operation(
                retry_task,
                "Run a request again that has ended and was not canceled",
                (Answer(303, TaskView, "It will run again; its response is gone.", ("Location", "ETag")),),
                _BY_HAND,
            )
        },
    ),
    Route(
        "/{uuid}/run/",
        "The start of a request",
        {
            "POST": Operation(
                run_task,
                "Let a request that waits for its time go out now",
                (Answer(303, TaskView, "Its time is now.", ("Location", "ETag")),),
                _BY_HAND,
            )
        },
    ),
    Route(
        "/{uuid}/status/",
        "The status of a request",
        {"GET": Operation(get_status, "Look at the status alone", (Answer(200, StatusView, "The status."),), _TASK)},
    ),
    Route(
        "/{uuid}/response/",
        "The response to a request",
        {
            "GET": Operation(
                get_response,
                "Wait for the response and get it",
                (
                    Answer(200, _AnyEnvelope, "The response; of a canceled request the empty object.", ("Link",)),
                    Answer(202, StatusView, "It is not there yet, and the time to wait is over.", _LATER),
                ),
                _WAITS,
                query=(
                    Parameter("wait", _Seconds, "Seconds, 60 at most; 0 does not wait. Left out: until it is there."),
                ),
                headers=(_PREFER_WAIT,),
            ),
            "DELETE": Operation(
                delete_response, "Delete the response to free its space", (Answer(204, None, "It is gone."),), _TASK
            ),
        },
    ),
    Route(
        "/{uuid}/cancel/",
        "The cancel of a request",
        {
            "GET": Operation(
                get_cancel,
                "See what a cancel met and what came of it",
                (Answer(200, CancelRecord, "The record of the cancel."),),
                _TASK,
            )
        },
    ),
    Route(
        "/{uuid}/attempts/",
        "The exchanges of a request",
        {
            "GET": Operation(
                get_attempts,
                "See each exchange that was begun",
                (Answer(200, list[AttemptRecord], "First to last."),),
                _TASK,
            )
        },
    ),
    *QUEUE_ROUTES,
    *DISPATCH_ROUTES,
    Route(
        "/problems/",
        "The kinds of errors",
        {
            "GET": Operation(
                list_problems, "List the kinds of errors", (Answer(200, list[ProblemView], "All there are."),)
            )
        },
    ),
    Route(
        "/problems/{problem}/",
        "A kind of error",
        {
            "GET": Operation(
                get_problem, "What a problem's type means", (Answer(200, ProblemView, "The kind."),), (NotFound,)
            )
        },
    ),
)
