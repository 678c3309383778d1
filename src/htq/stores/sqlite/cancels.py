"""`cancel`: the intent becomes durable, with the stops that it owes."""

from collections.abc import Sequence

from htq.stores.base import Cancel, RunningCancel
from htq.stores.sqlite.codec import CANCELED, FINAL_FROM, PENDING, key_of, uuid_of
from htq.stores.sqlite.leave import adopt_stops, owe_stop, owe_stops_of_loose, to_canceled
from htq.stores.sqlite.rows import BETWEEN_OWES, Row, find
from htq.stores.sqlite.step import Step
from htq.words.states import STATES, State

__all__ = ["cancel", "cancel_one"]


def cancel(step: Step, cancels: Sequence[Cancel]) -> list[State | None]:
    answers: list[State | None] = []
    for wish in cancels:
        row = find(step, key_of(wish.uuid))
        answers.append(None if row is None else STATES[cancel_one(step, row, wish.reason)])
    return answers


def cancel_one(step: Step, row: Row, reason: str | None) -> int:
    """Cancel the task of `row`, which this step has just read; the state after it."""
    if row.cancel_at is not None:
        return row.state
    waits = "between_attempts" if row.retrying else "waiting"
    phase = "finished" if row.state >= FINAL_FROM else None if row.state == PENDING else waits
    step.db.execute(
        "INSERT INTO cancels (id, requested_at, reason, phase) VALUES (?, ?, ?, ?)", (row.id, step.now, reason, phase)
    )
    adopt_stops(step, row)
    if row.state >= FINAL_FROM:
        to_canceled(step, row)
        return CANCELED
    owe_stops_of_loose(step, row)
    if row.state != PENDING:
        if row.retrying == BETWEEN_OWES and owe_stop(step, row, row.attempt, holder=None, canceled=True):
            step.news.available = True
        to_canceled(step, row)
        return CANCELED
    assert row.session is not None
    step.db.execute(
        "UPDATE tasks SET cancel_at = ?, ends_at = NULL, version = version + 1 WHERE id = ?", (step.now, row.id)
    )
    stop = owe_stop(step, row, row.attempt, holder=row.session, canceled=True)
    heard = RunningCancel(uuid_of(row.key), row.attempt, reason, stop)
    step.news.cancels.setdefault(uuid_of(row.session), []).append(heard)
    # It is shown canceled from now on: whoever waits for it has waited long enough.
    step.news.finished.append(heard.uuid)
    return PENDING
