"""The states of a task and the table of its transitions: the guards, the docs and the test oracle are made from it."""

from typing import Final, Literal, NamedTuple, get_args

__all__ = ["FINAL", "LIVE", "STATES", "STATUSES", "TRANSITIONS", "State", "Status", "Transition", "status_of"]

State = Literal["scheduled", "queued", "pending", "success", "error", "timeout", "canceled"]
"""What is stored."""

Status = Literal["queued", "pending", "success", "timeout", "error", "canceled"]
"""What is shown: the seed's six words."""

STATES: Final[tuple[State, ...]] = get_args(State)
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
FINAL: Final[frozenset[State]] = frozenset({"success", "error", "timeout", "canceled"})
LIVE: Final[frozenset[State]] = frozenset({"scheduled", "queued", "pending"})


class Transition(NamedTuple):
    """One row of the table: `verb` takes a task from any of `sources` to one of `targets`.

    An empty `sources` means that the task did not exist, an empty `targets` that it is gone. `canceled_to` is where the
    verb leads when a cancel was requested while the task was pending: every way out of `pending` ends in `canceled`.
    """

    verb: str
    sources: frozenset[State]
    targets: frozenset[State]
    note: str
    canceled_to: State | None = None


def _row(verb: str, sources: str, targets: str, note: str, canceled_to: State | None = None) -> Transition:
    def states(words: str) -> frozenset[State]:
        return frozenset(state for state in STATES if state in words.split())

    return Transition(verb, states(sources), states(targets), note, canceled_to)


TRANSITIONS: Final[tuple[Transition, ...]] = (
    _row(
        "enqueue",
        "",
        "queued scheduled",
        "durable on return; the defaults are resolved and stored with the task",
    ),
    _row("promote", "scheduled", "queued", "its time has come, or what it waited behind has ended"),
    _row("claim", "queued", "pending", "attempt + 1 and the session written in the same step"),
    _row("finish_done", "pending", "success error timeout", "state and response in one step", "canceled"),
    _row(
        "finish_retry",
        "pending",
        "scheduled",
        "the attempt failed, and its policy allows another: failures + 1",
        "canceled",
    ),
    _row("finish_released", "pending", "queued", "nothing was sent: not counted as a failure", "canceled"),
    _row(
        "finish_interrupted",
        "pending",
        "queued scheduled error",
        "sent: a stop is owed, and the next attempt waits behind it; at most once: error",
        "canceled",
    ),
    _row(
        "reap",
        "pending",
        "queued error",
        "the session's lease is over; crashes + 1, and error past max_crashes or at most once",
        "canceled",
    ),
    _row("expire", "scheduled queued", "timeout", "past start_by: never called"),
    _row("expire", "scheduled queued", "canceled", "past deadline: as a cancel"),
    _row("expire", "pending", "pending", "past deadline: as a cancel"),
    _row(
        "retry",
        "success error timeout",
        "queued scheduled",
        "by hand: the response goes and failures are 0; attempt goes on; it waits behind a stop of its own",
    ),
    _row("run_now", "scheduled queued", "queued", "its time is now"),
    _row(
        "patch",
        "scheduled queued",
        "scheduled queued",
        "what was asked for is changed, if nobody has changed it meanwhile",
    ),
    _row("cancel", "scheduled queued", "canceled", "at once, and never sent"),
    _row("cancel", "pending", "pending", "shown canceled from now on; the way out of pending leads to canceled"),
    _row("cancel", "success error timeout", "canceled", "the response is deleted"),
    _row("cancel", "canceled", "canceled", "nothing changes"),
    _row("delete_response", "success error timeout canceled", "success error timeout canceled", "the bodies go"),
    _row(
        "forget",
        "success error timeout canceled",
        "",
        "after the retention; bodies, stops and attempts go with it",
    ),
)


def status_of(state: State, cancel_requested: bool) -> Status:
    """The seed's word for a stored state: a scheduled task is shown as queued, a canceled one as canceled at once."""
    if cancel_requested:
        return "canceled"
    return "queued" if state == "scheduled" else state
