"""What a store ought to do, said once more as simply as possible: on a dict, with the guards of `htq.words.states`.

It knows nothing of atomic steps, indexes or lanes. Where the contract leaves a store the choice (which tasks a claim
takes), the oracle is shown what the store chose, and judges it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from htq.stores.base import (
    BLOCKED_FOR,
    MAX_CRASHES,
    STOP_LAPSES_AFTER,
    Claim,
    Done,
    Enqueued,
    Finished,
    Interrupted,
    Outcome,
    Promoted,
    RunningCancel,
    Stop,
    StopSettled,
)
from htq.words.attempt import UNSENT_PHASES
from htq.words.states import FINAL, LIVE, TRANSITIONS, State
from htq.words.task import DeleteState, NewTask, Task

__all__ = ["Oracle", "View", "is_row", "view_of"]

_AGEING_MS = 60_000
_BLOCKED_MS = round(BLOCKED_FOR * 1000)


class View(NamedTuple):
    """What of a task is compared. `delete` None: several stops with different ends, any of which may speak."""

    state: State
    reason: str | None
    attempt: int
    crashes: int
    has_response: bool
    cancel_reason: str | None
    phase: str | None
    delete: DeleteState | None
    is_settled: bool


def view_of(task: Task) -> View:
    """The compared part of a task as the store shows it."""
    cancel = task.cancel
    return View(
        task.state,
        task.reason,
        task.attempt,
        task.crashes,
        task.has_response,
        cancel.reason if cancel else None,
        cancel.phase if cancel else None,
        cancel.delete.state if cancel else None,
        task.is_settled,
    )


def is_row(verbs: Iterable[str], source: State | None, target: State | None) -> bool:
    """Whether one of `verbs` may take a task from `source` to `target` (None: it is not there), by the table."""
    return any(
        row.verb in verbs
        and (source in row.sources if source is not None else not row.sources)
        and (target in row.targets or target == row.canceled_to if target is not None else not row.targets)
        for row in TRANSITIONS
    )


class _Stop(msgspec.Struct):
    lapses_at: int
    of_cancel: bool
    holder: str | None = None
    seq: int = 0
    state: DeleteState = "owed"
    settled: StopSettled | None = None


class _Session(msgspec.Struct):
    expires_at: int
    seq: int = 0
    stops_seq: int = 0


class _Task(msgspec.Struct):
    new: NewTask
    state: State
    run_at: int
    due_at: int = 0
    blocked_by: str | None = None
    superseded: tuple[str, ...] = ()
    attempt: int = 0
    crashes: int = 0
    session: str | None = None
    seq: int = 0
    loose: set[int] = set()
    stops: dict[int, _Stop] = {}
    answers: dict[tuple[int, str], Finished] = {}
    reason: str | None = None
    canceled: bool = False
    cancel_reason: str | None = None
    phase: str | None = None
    has_response: bool = False
    expires_at: int = 0

    @property
    def owes(self) -> bool:
        return any(stop.state == "owed" for stop in self.stops.values())

    @property
    def order(self) -> tuple[int, str]:
        return self.run_at + (9 - self.new.priority) * _AGEING_MS, self.new.uuid

    @property
    def view(self) -> View:
        ends = {stop.state for stop in self.stops.values() if stop.of_cancel}
        delete: DeleteState | None = None
        if self.canceled:
            delete = "owed" if "owed" in ends else "none" if not ends else ends.pop() if len(ends) == 1 else None
        return View(
            self.state,
            self.reason,
            self.attempt,
            self.crashes,
            self.has_response,
            self.cancel_reason,
            self.phase,
            delete,
            self.state in FINAL and delete != "owed",
        )


class Oracle:
    """The model. Each verb takes what the store's verb takes, and answers what the store must answer."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.tasks: dict[str, _Task] = {}
        self.sessions: dict[str, _Session] = {}
        self._given: set[tuple[str, int]] = set()

    # --- what can be seen ---

    def view(self, uuid: str) -> View | None:
        task = self.tasks.get(uuid)
        return None if task is None else task.view

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """What `stats` must say."""
        counts: dict[str, list[int]] = {}
        for task in self.tasks.values():
            if task.state in LIVE:
                count = counts.setdefault(task.new.queue, [0, 0, 0])
                count[("scheduled", "queued", "pending").index(task.state)] += 1
        return {queue: (count[0], count[1], count[2]) for queue, count in counts.items()}

    def is_alive(self, session: str) -> bool:
        found = self.sessions.get(session)
        return found is not None and found.expires_at > self.now

    def has_scheduled(self) -> bool:
        return any(task.state == "scheduled" for task in self.tasks.values())

    def has_to_reap(self) -> bool:
        return any(session.expires_at <= self.now for session in self.sessions.values()) or any(
            stop.state == "owed" and stop.lapses_at <= self.now
            for task in self.tasks.values()
            for stop in task.stops.values()
        )

    def has_expired(self) -> bool:
        return any(task.state in FINAL and task.expires_at <= self.now for task in self.tasks.values())

    # --- verbs ---

    def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        return [self._enqueue(task) for task in tasks]

    def _enqueue(self, new: NewTask) -> Enqueued:
        known = self.tasks.get(new.uuid)
        if known is not None:
            return Enqueued(new.uuid, known.superseded)
        task = _Task(new=new, state="queued", run_at=self.now if new.run_at is None else new.run_at)
        task.due_at = task.run_at
        for old in [] if new.name is None else list(self.tasks.values()):
            if (old.new.tenant, old.new.name) == (new.tenant, new.name):
                if old.state in LIVE and not old.canceled:
                    task.superseded = (old.new.uuid,)
                    self._cancel(old, "superseded")
                task.blocked_by = old.new.uuid if old.state == "pending" or old.owes else old.blocked_by
        if task.blocked_by is not None:
            task.due_at = max(task.run_at, self.now + _BLOCKED_MS)
        if task.due_at > self.now:
            task.state = "scheduled"
        assert is_row(["enqueue"], None, task.state)
        self.tasks[new.uuid] = task
        return Enqueued(new.uuid, task.superseded)

    def open_session(self, session: str, lease: float) -> None:
        assert session not in self.sessions
        self.sessions[session] = _Session(expires_at=self.now + round(lease * 1000))

    def heartbeat(self, session: str, lease: float) -> list[RunningCancel]:
        """For a session that is alive only."""
        self.sessions[session].expires_at = self.now + round(lease * 1000)
        return [
            RunningCancel(uuid, task.attempt, task.cancel_reason, task.attempt in task.stops)
            for uuid, task in self.tasks.items()
            if task.state == "pending" and task.session == session and task.canceled
        ]

    def close_session(self, session: str) -> None:
        if session in self.sessions:
            self._end(session, crash=False)

    def judge_claims(self, session: str, seq: int, limit: int, claims: Sequence[Claim]) -> None:
        """What the store gave to a living session."""
        held = self.sessions[session]
        if seq <= held.seq:
            expected = {
                (uuid, task.attempt)
                for uuid, task in self.tasks.items()
                if task.state == "pending" and task.session == session and task.seq == seq
            }
            assert {(claim.uuid, claim.attempt) for claim in claims} == expected
            return
        queued = [task for task in self.tasks.values() if task.state == "queued"]
        assert len(claims) == min(limit, len(queued)), "nothing idles that could run, and no claim passes its limit"
        lanes: dict[tuple[str, str], list[str]] = {}
        for task in sorted(queued, key=lambda task: task.order):
            lanes.setdefault((task.new.queue, task.new.key), []).append(task.new.uuid)
        for claim in claims:
            task = self.tasks[claim.uuid]
            assert lanes[task.new.queue, task.new.key].pop(0) == claim.uuid, "the first of its lane goes first"
            self._move(task, "claim", "pending")
            task.attempt += 1
            task.session, task.seq = session, seq
            assert claim.attempt == task.attempt
            assert (claim.uuid, claim.attempt) not in self._given, "no attempt is given twice"
            self._given.add((claim.uuid, claim.attempt))
        if claims:
            held.seq = seq

    def finish(self, session: str, outcome: Outcome) -> Finished:
        task = self.tasks.get(outcome.uuid)
        if task is None:
            return "lost"
        repeated = task.answers.get((outcome.attempt, session))
        if repeated is not None:
            return repeated
        if task.state != "pending" or (task.attempt, task.session) != (outcome.attempt, session):
            return "lost"
        answer: Finished = "canceled" if task.canceled else "applied"
        task.answers[outcome.attempt, session] = answer
        result = outcome.result
        if task.canceled:
            task.phase = outcome.phase
            stop = task.stops.get(task.attempt)
            if stop is not None and stop.state == "owed" and outcome.phase in UNSENT_PHASES | {"finished"}:
                stop.state = "none"
            self._leave(task, "finish_released", "queued")
        elif isinstance(result, Done):
            task.loose.clear()
            task.has_response = True
            task.reason = result.reason
            if outcome.owes_stop and outcome.phase not in UNSENT_PHASES:
                self._owe(task, task.attempt, session, of_cancel=False)
            self._leave(task, "finish_done", result.state)
        elif isinstance(result, Interrupted):
            self._owe(task, task.attempt, session, of_cancel=False)
            if task.new.delivery == "at_most_once":
                task.reason = "interrupted"
                self._leave(task, "finish_interrupted", "error")
            elif task.owes and task.attempt in task.stops:
                self._leave(task, "finish_interrupted", "scheduled")
                task.blocked_by, task.due_at = task.new.uuid, self.now + _BLOCKED_MS
            else:
                self._leave(task, "finish_interrupted", "queued")
        else:
            if outcome.phase not in UNSENT_PHASES:
                task.loose.add(task.attempt)
            self._leave(task, "finish_released", "queued")
        return answer

    def append_body(self, uuid: str, attempt: int) -> bool:
        task = self.tasks.get(uuid)
        return task is not None and (task.state, task.attempt) == ("pending", attempt)

    def cancel(self, uuid: str, reason: str | None) -> State | None:
        task = self.tasks.get(uuid)
        if task is None:
            return None
        if not task.canceled:
            self._cancel(task, reason)
        return task.state

    def judge_stops(self, session: str, seq: int, limit: int, stops: Sequence[Stop]) -> None:
        """What the store gave to a living session. Stops that are about to lapse may be given or not."""
        held = self.sessions[session]
        again = seq <= held.stops_seq
        fitting = {
            (uuid, attempt): stop
            for uuid, task in self.tasks.items()
            for attempt, stop in task.stops.items()
            if stop.state == "owed" and ((stop.holder, stop.seq) == (session, seq) if again else stop.holder is None)
        }
        given = {(stop.uuid, stop.attempt) for stop in stops}
        fresh = {at for at, stop in fitting.items() if stop.lapses_at > self.now}
        assert len(given) == len(stops)
        assert given <= fitting.keys()
        assert fresh <= given if again else min(limit, len(fresh)) <= len(given) <= limit
        for at in given:
            assert fitting[at].lapses_at in {stop.lapses_at for stop in stops if (stop.uuid, stop.attempt) == at}
            fitting[at].holder, fitting[at].seq = session, seq
        if given and not again:
            held.stops_seq = seq

    def settle(self, session: str, settled: StopSettled) -> bool:
        task = self.tasks.get(settled.uuid)
        stop = None if task is None else task.stops.get(settled.attempt)
        if task is None or stop is None or stop.holder != session:
            return False
        if stop.state != "owed":
            return stop.settled == settled
        stop.state, stop.settled = settled.state, settled
        self._release(settled.uuid)
        return True

    def delete_response(self, uuid: str) -> bool:
        task = self.tasks.get(uuid)
        if task is None or not task.has_response:
            return False
        task.has_response = False
        return True

    def promote(self) -> Promoted:
        due = [task for task in self.tasks.values() if task.state == "scheduled" and task.due_at <= self.now]
        for task in due:
            self._move(task, "promote", "queued")
            task.blocked_by = None
        return Promoted(
            len(due), min((task.due_at for task in self.tasks.values() if task.state == "scheduled"), default=None)
        )

    def reap(self) -> int:
        over = [name for name, session in self.sessions.items() if session.expires_at <= self.now]
        count = sum(self._end(session, crash=True) for session in over)
        for uuid, task in self.tasks.items():
            for stop in task.stops.values():
                if stop.state == "owed" and stop.lapses_at <= self.now:
                    stop.state = "lapsed"
            self._release(uuid)
        return count

    def forget(self) -> int:
        past = [
            uuid
            for uuid, task in self.tasks.items()
            if task.state in FINAL and task.expires_at <= self.now and not task.owes
        ]
        for uuid in past:
            assert is_row(["forget"], self.tasks.pop(uuid).state, None)
        return len(past)

    # --- what the verbs are made of ---

    def _move(self, task: _Task, verb: str, target: State) -> None:
        """Change a state by a row of the table, or not at all."""
        if task.canceled:
            target = next(
                (row.canceled_to for row in TRANSITIONS if row.verb == verb and row.canceled_to is not None), target
            )
        assert is_row([verb], task.state, target), f"{verb}: {task.state} -> {target} is not in the table"
        task.state = target
        if target in FINAL:
            task.expires_at = self.now + round(task.new.result_ttl * 1000)
        if target == "canceled":
            task.reason = "superseded" if task.cancel_reason == "superseded" else "canceled"
            task.has_response = False

    def _leave(self, task: _Task, verb: str, target: State) -> None:
        """The way out of `pending`."""
        self._move(task, verb, target)
        task.session = None
        self._release(task.new.uuid)

    def _cancel(self, task: _Task, reason: str | None) -> None:
        source = task.state
        for stop in task.stops.values():
            stop.of_cancel = stop.of_cancel or stop.state == "owed"
        if source not in FINAL:
            for attempt in task.loose:
                self._owe(task, attempt, None, of_cancel=True)
            task.loose.clear()
        if source == "pending":
            self._owe(task, task.attempt, task.session, of_cancel=True)
        task.cancel_reason = reason
        if task.blocked_by == task.new.uuid:
            task.blocked_by = None
        task.phase = "finished" if source in FINAL else None if source == "pending" else "waiting"
        self._move(task, "cancel", "pending" if source == "pending" else "canceled")
        task.canceled = True

    def _owe(self, task: _Task, attempt: int, holder: str | None, *, of_cancel: bool) -> None:
        request = task.new.request
        if request.stop.delete and attempt not in task.stops:
            lapses_at = self.now + round(max(request.timeouts.total, STOP_LAPSES_AFTER) * 1000)
            task.stops[attempt] = _Stop(lapses_at=lapses_at, of_cancel=of_cancel, holder=holder)

    def _end(self, session: str, *, crash: bool) -> int:
        held = [task for task in self.tasks.values() if task.state == "pending" and task.session == session]
        for task in self.tasks.values():
            for stop in task.stops.values():
                if stop.state == "owed" and stop.holder == session:
                    stop.holder = None
        for task in held:
            task.crashes += crash
            if task.canceled:
                task.phase = "unknown"
            task.loose.add(task.attempt)
            if not task.canceled and (task.new.delivery == "at_most_once" or task.crashes > MAX_CRASHES):
                task.reason = "interrupted"
                self._leave(task, "reap", "error")
            else:
                self._leave(task, "reap", "queued")
        del self.sessions[session]
        return len(held)

    def _release(self, uuid: str) -> None:
        """Queue what waits behind a task whose exchange has ended and whose last stop is settled."""
        task = self.tasks[uuid]
        if task.state == "pending" or task.owes:
            return
        for waiter in self.tasks.values():
            if waiter.blocked_by == uuid:
                waiter.blocked_by = None
                if waiter.state != "scheduled":
                    continue
                waiter.due_at = waiter.run_at
                if waiter.run_at <= self.now:
                    self._move(waiter, "promote", "queued")
