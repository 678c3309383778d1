"""`finish`: an attempt ends, behind the fence of (task, attempt, session)."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import BODY_INLINE, Done, Finished, Interrupted, Outcome, Retry
from htq.stores.sqlite.bodies import drop_bodies, drop_body, write_body
from htq.stores.sqlite.codec import CODES, PENDING, encode, key_of, uuid_of
from htq.stores.sqlite.holds import learn, teaches
from htq.stores.sqlite.leave import (
    forget_loose,
    owe_callback,
    owe_stop,
    release_waiters,
    to_canceled,
    to_error,
    to_retry,
    to_waiting,
)
from htq.stores.sqlite.rows import BETWEEN, BETWEEN_OWES, Row, find
from htq.stores.sqlite.step import Step
from htq.stores.sqlite.stops import settle_none
from htq.words.attempt import UNSENT_PHASES
from htq.words.reasons import Reason
from htq.words.task import Response

__all__ = ["delete_response", "finish"]

_ANSWERS: tuple[Finished, ...] = ("applied", "canceled")
"""`answer` in `results` and `attempts` is a place in it."""

# The last column is NULL for a task at whose end nothing hangs: no callback, no group, no name that another one waits for.
_FENCE = """
SELECT uuid, id, state, attempt, session, queue, lane, cancel_at, loose, spooled, coalesce(callback, grp, name)
FROM tasks WHERE uuid = ?
"""
_DONE = """
UPDATE tasks SET state = ?1, reason = ?2, finished_at = ?3, expires_at = ?3 + ttl_ms, session = NULL, seq = NULL,
    has_response = 1, ends_at = NULL, version = version + 1
WHERE id IN
"""
_RESULTS = "results (id, session, answer, record, response)"
_RECORD = "INSERT INTO attempts (task, attempt, session, answer, loose, record) VALUES (?, ?, ?, ?, ?, ?)"


def finish(step: Step, session: bytes, outcomes: Sequence[Outcome]) -> list[Finished]:
    keys = [key_of(outcome.uuid) for outcome in outcomes]
    fences = {row[0]: row for row in step.db.executemany(_FENCE, [(key,) for key in keys])}
    done: dict[tuple[int, Reason | None], list[int]] = {}
    results: list[tuple[object, ...]] = []
    answers: list[Finished] = []
    for key, outcome in zip(keys, outcomes, strict=True):
        # Most are this: done, held, and nothing else to see to. They are written together; a key is taken out of `fences`,
        # so that a second outcome for it is judged by what the first has left behind.
        fence = fences.pop(key, None)
        result = outcome.result
        if fence is not None and isinstance(result, Done) and _is_inline(result.response):
            _, task, state, attempt, holder, queue, lane, cancel_at, loose, spooled, tied = fence
            held = state == PENDING and attempt == outcome.attempt and holder == session
            if held and cancel_at is None and tied is None and not (loose or spooled or outcome.owes_stop):
                if teaches(step, queue, outcome):
                    learn(step, queue, lane, task, outcome)
                final = CODES[result.state]
                done.setdefault((final, result.reason), []).append(task)
                results.append((task, session, 0, encode(outcome.record), encode(result.response)))
                step.move(queue, lane, PENDING, final)
                step.news.finished.append(outcome.uuid)
                answers.append("applied")
                continue
        _write(step, done, results)
        answers.append(_finish(step, session, key, outcome))
    _write(step, done, results)
    return answers


def _write(step: Step, done: dict[tuple[int, Reason | None], list[int]], results: list[tuple[object, ...]]) -> None:
    for (state, reason), tasks in done.items():
        step.update(_DONE, (state, reason, step.now), tasks)
    step.insert(_RESULTS, results)
    done.clear()
    results.clear()


def _is_inline(response: Response) -> bool:
    return response.body is None or len(response.body) <= BODY_INLINE


def _finish(step: Step, session: bytes, key: bytes, outcome: Outcome) -> Finished:
    """One outcome with all its ifs."""
    row = find(step, key)
    if row is None:
        return "lost"
    if row.state != PENDING or row.attempt != outcome.attempt or row.session != session:
        return _repeated(step, session, row, outcome)
    learn(step, row.queue, row.lane, row.id, outcome)
    result = outcome.result
    record = encode(outcome.record)
    if row.cancel_at is not None:
        step.insert(_RESULTS, [(row.id, session, 1, record, None)])
        _canceled(step, row, outcome)
        return "canceled"
    sent = outcome.phase not in UNSENT_PHASES
    if isinstance(result, Done):
        owed = outcome.owes_stop and sent and owe_stop(step, row, row.attempt, holder=session, canceled=False)
        _done(step, row, session, record, result, owes=owed)
    elif isinstance(result, Retry):
        step.db.execute(_RECORD, (row.id, row.attempt, session, 0, False, record))
        owed = outcome.owes_stop and sent and owe_stop(step, row, row.attempt, holder=session, canceled=False)
        between = BETWEEN_OWES if result.between and sent else BETWEEN
        to_retry(step, row, result.due_at, blocked=owed, between=between)
    elif isinstance(result, Interrupted) and row.once:
        step.insert(_RESULTS, [(row.id, session, 0, record, None)])
        owe_stop(step, row, row.attempt, holder=session, canceled=False)
        to_error(step, row)
    elif isinstance(result, Interrupted):
        step.db.execute(_RECORD, (row.id, row.attempt, session, 0, False, record))
        owed = owe_stop(step, row, row.attempt, holder=session, canceled=False)
        to_waiting(step, row, blocked=owed)
    else:
        step.db.execute(_RECORD, (row.id, row.attempt, session, 0, sent, record))
        if sent:
            step.db.execute("UPDATE tasks SET loose = 1 WHERE id = ?", (row.id,))
        to_waiting(step, row)
    return "applied"


def _repeated(step: Step, session: bytes, row: Row, outcome: Outcome) -> Finished:
    """A finish whose reply was lost is answered as it was then; any other has lost the task."""
    sql = "SELECT answer FROM attempts WHERE task = ? AND attempt = ? AND session = ?"
    answer: int | None = step.db.execute(sql, (row.id, outcome.attempt, session)).get
    if answer is None and outcome.attempt == row.attempt:
        answer = step.db.execute("SELECT answer FROM results WHERE id = ? AND session = ?", (row.id, session)).get
    return "lost" if answer is None else _ANSWERS[answer]


def _done(step: Step, row: Row, session: bytes, record: bytes, result: Done, *, owes: bool) -> None:
    response = result.response
    if row.spooled and response.body is not None:
        drop_body(step, row.id, row.attempt)
    if response.body is not None and not _is_inline(response):
        write_body(step, row.id, row.attempt, response.body)
        response = msgspec.structs.replace(response, body=None)
    if row.loose:
        forget_loose(step, row)
    state = CODES[result.state]
    _write(step, {(state, result.reason): [row.id]}, [(row.id, session, 0, record, encode(response))])
    step.move(row.queue, row.lane, PENDING, state)
    step.move_in_group(row.group, PENDING, state)
    step.news.finished.append(uuid_of(row.key))
    owe_callback(step, row.id, row.callback, row.attempt, state)
    if row.name is not None and not owes:
        release_waiters(step, row.id)


def _canceled(step: Step, row: Row, outcome: Outcome) -> None:
    """The cancel wins, whatever came of the exchange. It is told where it met the exchange, and whether a DELETE is owed."""
    step.db.execute(
        "UPDATE cancels SET phase = ?, interrupted_at = ? WHERE id = ?", (outcome.phase, outcome.interrupted_at, row.id)
    )
    if outcome.phase in UNSENT_PHASES or outcome.phase == "finished":
        settle_none(step, row.id, row.attempt)
    to_canceled(step, row)


def delete_response(step: Step, uuids: Sequence[str]) -> list[bool]:
    """Responses go with their bodies; the tasks stay as they are."""
    sql = "UPDATE tasks SET has_response = 0, version = version + 1 WHERE uuid = ? AND has_response AND state > 2 RETURNING id"
    deleted = []
    for uuid in uuids:
        task = step.db.execute(sql, (key_of(uuid),)).get
        if task is not None:
            step.db.execute("UPDATE results SET response = NULL WHERE id = ?", (task,))
            drop_bodies(step, task)
        deleted.append(task is not None)
    return deleted
