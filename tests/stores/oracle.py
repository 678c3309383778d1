"""What a store ought to do, said once more as simply as possible: on a dict, with the guards of `htq.words.states`.

It knows nothing of atomic steps, indexes or lanes. Where the contract leaves a store the choice (which tasks a claim
takes), the oracle is shown what the store chose, and judges it.
"""

import copy
from collections.abc import Sequence

from htq.stores.base import (
    BLOCKED_FOR,
    MAX_CRASHES,
    REFUSED,
    STOP_LAPSES_AFTER,
    Claim,
    Done,
    Enqueued,
    Expired,
    Finished,
    Interrupted,
    Outcome,
    OwedCallback,
    Patch,
    Patched,
    Promoted,
    Retried,
    Retry,
    RunningCancel,
    Stop,
    StopSettled,
)
from htq.words.attempt import UNSENT_PHASES
from htq.words.states import FINAL, LIVE, TRANSITIONS, State
from htq.words.task import NewTask
from stores.oracle_rows import GroupRow, KeyRow, SessionRow, StopRow, TaskRow, View, is_row

__all__ = ["Oracle"]

_BLOCKED_MS = round(BLOCKED_FOR * 1000)


class Oracle:
    """The model. Each verb takes what the store's verb takes, and answers what the store must answer."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.tasks: dict[str, TaskRow] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.groups: dict[tuple[str, str], GroupRow] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self.owed: list[OwedCallback] = []
        self._given: set[tuple[str, int]] = set()
        self._rank = 0

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

    def group_counts(self, tenant: str, name: str) -> dict[State, int]:
        """What a group's counts must say, without what is not there."""
        counts: dict[State, int] = {}
        for task in self.tasks.values():
            if (task.new.tenant, task.new.group) == (tenant, name):
                counts[task.state] = counts.get(task.state, 0) + 1
        return counts

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

    def late(self, *states: State) -> list[str]:
        """Tasks in one of these states that are past a time of theirs."""
        return [
            uuid
            for uuid, task in self.tasks.items()
            if task.state in states and (at := self._ends_at(task)) is not None and at <= self.now
        ]

    def has_to_forget(self) -> bool:
        return any(task.state in FINAL and task.expires_at <= self.now for task in self.tasks.values())

    # --- verbs ---

    def enqueue(self, tasks: Sequence[NewTask], *, atomic: bool = False) -> list[Enqueued]:
        if atomic:
            tried = copy.deepcopy(self).enqueue(tasks)
            if any(item.outcome in REFUSED for item in tried):
                return [
                    Enqueued(item.uuid, (), "untaken")
                    if item.outcome == "created" and item.uuid not in self.tasks
                    else item
                    for item in tried
                ]
        return [self._enqueue(task) for task in tasks]

    def _enqueue(self, new: NewTask) -> Enqueued:
        known = self.tasks.get(new.uuid)
        if known is not None:
            return Enqueued(new.uuid, known.superseded)
        used = None if new.idempotency is None else self.keys.get((new.tenant, new.idempotency.key))
        if new.idempotency is not None and used is not None and used.until > self.now:
            same = used.fingerprint == new.idempotency.fingerprint
            return Enqueued(used.uuid, (), "replayed" if same else "mismatch")
        item = self._take(new)
        if new.idempotency is not None and item.outcome not in REFUSED:
            until = self.now + round(new.idempotency.keep_for * 1000)
            self.keys[new.tenant, new.idempotency.key] = KeyRow(new.idempotency.fingerprint, item.uuid, until)
        return item

    def _take(self, new: NewTask) -> Enqueued:
        if new.group is not None and self.groups.get((new.tenant, new.group), GroupRow()).is_closed:
            return Enqueued(new.uuid, (), "closed")
        run_at = self.now if new.run_at is None else new.run_at
        task = TaskRow(
            new=new,
            state="queued",
            run_at=run_at,
            due_at=run_at,
            rank=self._next_rank(),
            priority=new.priority,
            start_by=new.start_by,
            deadline=new.deadline,
        )
        named = self._named(new)
        live = [old for old in named if old.state in LIVE and not old.canceled]
        if live and new.on_conflict == "return_existing":
            return Enqueued(live[-1].new.uuid, (), "existing")
        if live and new.on_conflict == "reject":
            return Enqueued(live[-1].new.uuid, (), "rejected")
        if live and new.on_conflict == "queue_after":
            task.blocked_by, task.waits_for_end = live[-1].new.uuid, True
        elif named:
            for old in live:
                self._cancel(old, "superseded")
            task.superseded = tuple(old.new.uuid for old in live)
            latest = named[-1]
            task.blocked_by = latest.new.uuid if latest.state == "pending" or latest.owes else latest.blocked_by
        if task.blocked_by is not None:
            task.blocked_until = self.now + _BLOCKED_MS
            task.due_at = max(task.run_at, task.blocked_until)
        if task.due_at > self.now:
            task.state = "scheduled"
        assert is_row(["enqueue"], None, task.state)
        self.tasks[new.uuid] = task
        if new.group is not None:
            self.groups.setdefault((new.tenant, new.group), GroupRow())
        return Enqueued(new.uuid, task.superseded)

    def put_group(self, tenant: str, name: str, *, callback: bool, close: bool) -> None:
        group = self.groups.setdefault((tenant, name), GroupRow())
        group.has_callback = group.has_callback or callback
        group.is_closed = group.is_closed or close
        self._complete(tenant, name)

    def settle_callbacks(self, owed: Sequence[OwedCallback]) -> None:
        self.owed = [one for one in self.owed if one not in owed]

    def open_session(self, session: str, lease: float) -> None:
        assert session not in self.sessions
        self.sessions[session] = SessionRow(expires_at=self.now + round(lease * 1000))

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

    def judge_claims(self, session: str, seq: int, limit: int, claims: Sequence[Claim], too_late: set[str]) -> None:
        """What the store gave to a living session, and which tasks that were `too_late` it ended on the way."""
        held = self.sessions[session]
        if seq <= held.seq:
            expected = {
                (uuid, task.attempt)
                for uuid, task in self.tasks.items()
                if task.state == "pending" and task.session == session and task.seq == seq
            }
            assert {(claim.uuid, claim.attempt) for claim in claims} == expected
            return
        late = self.late("queued")
        queued = [task for uuid, task in self.tasks.items() if task.state == "queued" and uuid not in late]
        assert min(limit, len(queued)) <= len(claims) <= limit, "nothing idles that could run"
        assert not {claim.uuid for claim in claims} & set(late), "what is too late is never claimed"
        while too_late:  # one lets the next one go, and that may be too late as well
            found = too_late.intersection(self.late("queued"))
            assert found, "what is not queued is none of a claim's business"
            for uuid in found:
                self._end_late(self.tasks[uuid])
            too_late -= found
        lanes: dict[tuple[str, str], list[str]] = {}
        for task in sorted(queued, key=lambda task: task.order):
            lanes.setdefault((task.new.queue, task.new.key), []).append(task.new.uuid)
        for claim in claims:
            task = self.tasks[claim.uuid]
            if task in queued:  # else it was let go by one that was too late
                assert lanes[task.new.queue, task.new.key].pop(0) == claim.uuid, "the first of its lane goes first"
            self._move(task, "claim", "pending")
            task.attempt += 1
            task.session, task.seq = session, seq
            task.between, task.between_owes = False, None
            task.begun_at = self.now if task.begun_at is None else task.begun_at
            assert (claim.attempt, claim.failures, claim.begun_at) == (task.attempt, task.failures, task.begun_at)
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
        elif isinstance(result, Retry):
            self._retry(task, session, outcome, result)
        elif isinstance(result, Interrupted):
            self._owe(task, task.attempt, session, of_cancel=False)
            if task.new.delivery == "at_most_once":
                task.reason = "interrupted"
                self._leave(task, "finish_interrupted", "error")
            elif task.owes and task.attempt in task.stops:
                self._leave(task, "finish_interrupted", "scheduled")
                self._block_behind_itself(task)
            else:
                self._leave(task, "finish_interrupted", "queued")
        else:
            if outcome.phase not in UNSENT_PHASES:
                task.loose.add(task.attempt)
            self._leave(task, "finish_released", "queued")
        return answer

    def _retry(self, task: TaskRow, session: str, outcome: Outcome, result: Retry) -> None:
        sent = outcome.phase not in UNSENT_PHASES
        task.failures += 1
        task.between, task.between_owes = True, task.attempt if result.between and sent else None
        task.run_at = task.due_at = result.due_at
        if outcome.owes_stop and sent:
            self._owe(task, task.attempt, session, of_cancel=False)
        blocked = outcome.owes_stop and sent and task.attempt in task.stops
        self._leave(task, "finish_retry", "scheduled")
        if blocked:
            self._block_behind_itself(task)

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

    def retry(self, uuid: str) -> Retried | None:
        task = self.tasks.get(uuid)
        if task is None:
            return None
        if task.canceled:
            return "canceled"
        if task.state in LIVE:
            return "live"
        if any(other.state in LIVE for other in self._named(task.new)):
            return "named"
        task.reason, task.has_response, task.failures, task.begun_at = None, False, 0, None
        task.between, task.between_owes = False, None
        task.run_at = task.due_at = self.now
        task.rank, task.start_by = self._next_rank(), None
        task.blocked_by, task.waits_for_end = None, False
        self._move(task, "retry", "scheduled" if task.owes else "queued")
        if task.owes:
            self._block_behind_itself(task)
        return "queued"

    def run_now(self, uuid: str) -> State | None:
        task = self.tasks.get(uuid)
        if task is None:
            return None
        if task.state == "scheduled" and task.blocked_by is None:
            task.run_at = task.due_at = self.now
            self._move(task, "run_now", "queued")
        return task.state

    def patch(self, uuid: str, patch: Patch, *, is_current: bool) -> Patched | None:
        task = self.tasks.get(uuid)
        if task is None:
            return None
        if task.state not in ("scheduled", "queued"):
            return "started"
        if not is_current:
            return "stale"
        task.priority, task.start_by, task.deadline = patch.priority, patch.start_by, patch.deadline
        task.run_at = patch.run_at
        task.due_at = task.run_at if task.blocked_by is None else max(task.run_at, task.blocked_until)
        waits = task.blocked_by is not None or task.run_at > self.now
        self._move(task, "patch", "scheduled" if waits else "queued")
        return "patched"

    def expire(self) -> Expired:
        late = self.late(*LIVE)
        for uuid in late:
            self._end_late(self.tasks[uuid])
        times = [self._ends_at(task) for task in self.tasks.values()]
        return Expired(len(late), min((at for at in times if at is not None), default=None))

    def delete_response(self, uuid: str) -> bool:
        task = self.tasks.get(uuid)
        if task is None or not task.has_response:
            return False
        task.has_response = False
        return True

    def promote(self) -> Promoted:
        timed = [task for task in self.tasks.values() if task.state == "scheduled" and not task.waits_for_end]
        due = [task for task in timed if task.due_at <= self.now]
        for task in due:
            self._move(task, "promote", "queued")
            task.blocked_by = None
        return Promoted(len(due), min((task.due_at for task in timed if task.state == "scheduled"), default=None))

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
            if task.state in FINAL
            and task.expires_at <= self.now
            and not task.owes
            and not any(owed.subject == uuid for owed in self.owed)
        ]
        for uuid in past:
            assert is_row(["forget"], self.tasks.pop(uuid).state, None)
        for (tenant, name), group in list(self.groups.items()):
            owes = any((owed.tenant, owed.subject) == (tenant, name) for owed in self.owed)
            if group.is_closed and not self.group_counts(tenant, name) and not owes:
                del self.groups[tenant, name]
        return len(past)

    # --- what the verbs are made of ---

    def _move(self, task: TaskRow, verb: str, target: State) -> None:
        """Change a state by a row of the table, or not at all."""
        if task.canceled:
            target = next(
                (row.canceled_to for row in TRANSITIONS if row.verb == verb and row.canceled_to is not None), target
            )
        assert is_row([verb], task.state, target), f"{verb}: {task.state} -> {target} is not in the table"
        ends = task.state in LIVE and target in FINAL
        task.state = target
        if target in FINAL:
            task.expires_at = self.now + round(task.new.result_ttl * 1000)
        if target == "canceled":
            task.reason = task.cancel_reason if task.cancel_reason in ("superseded", "deadline") else "canceled"
            task.has_response = False
        if ends:
            callback = task.new.request.callback
            if callback is not None and target in callback.on:
                self.owed.append(OwedCallback("task", task.new.tenant, task.new.uuid, task.attempt, self.now))
            if task.new.group is not None:
                self._complete(task.new.tenant, task.new.group)

    def _complete(self, tenant: str, name: str) -> None:
        """Whatever ends a task may complete its group, once."""
        group = self.groups[tenant, name]
        if group.is_closed and group.completed_at is None and not LIVE & self.group_counts(tenant, name).keys():
            group.completed_at = self.now
            if group.has_callback:
                self.owed.append(OwedCallback("group", tenant, name, 0, self.now))

    def _next_rank(self) -> int:
        self._rank += 1
        return self._rank

    def _named(self, new: NewTask) -> list[TaskRow]:
        """The tenant's tasks of this name, the latest one last."""
        same = [
            task
            for task in self.tasks.values()
            if new.name is not None and (task.new.tenant, task.new.name) == (new.tenant, new.name)
        ]
        return sorted(same, key=lambda task: task.rank)

    def _ends_at(self, task: TaskRow) -> int | None:
        """When `expire` ends it."""
        if task.state in FINAL or task.canceled:
            return None
        times = [task.start_by if task.is_to_begin else None, task.deadline]
        return min((at for at in times if at is not None), default=None)

    def _end_late(self, task: TaskRow) -> None:
        assert task.new.uuid in self.late(*LIVE), f"{task.new.uuid} was not too late"
        if task.is_to_begin:
            task.reason = "expired"
            self._move(task, "expire", "timeout")
            self._release(task.new.uuid)
        else:
            self._cancel(task, "deadline", verb="expire")

    def _block_behind_itself(self, task: TaskRow) -> None:
        task.blocked_by, task.blocked_until = task.new.uuid, self.now + _BLOCKED_MS
        task.due_at = max(task.run_at, task.blocked_until)

    def _leave(self, task: TaskRow, verb: str, target: State) -> None:
        """The way out of `pending`."""
        self._move(task, verb, target)
        task.session = None
        self._release(task.new.uuid)

    def _cancel(self, task: TaskRow, reason: str | None, verb: str = "cancel") -> None:
        source = task.state
        for stop in task.stops.values():
            stop.of_cancel = stop.of_cancel or stop.state == "owed"
        if source not in FINAL:
            for attempt in task.loose:
                self._owe(task, attempt, None, of_cancel=True)
            task.loose.clear()
        if task.between_owes is not None and source not in FINAL:
            self._owe(task, task.between_owes, None, of_cancel=True)
        if source == "pending":
            self._owe(task, task.attempt, task.session, of_cancel=True)
        task.cancel_reason = reason
        if task.blocked_by == task.new.uuid:
            task.blocked_by = None
        waiting = "between_attempts" if task.between else "waiting"
        task.phase = "finished" if source in FINAL else None if source == "pending" else waiting
        self._move(task, verb, "pending" if source == "pending" else "canceled")
        task.canceled = True
        self._release(task.new.uuid)

    def _owe(self, task: TaskRow, attempt: int, holder: str | None, *, of_cancel: bool) -> None:
        request = task.new.request
        if request.stop.delete and attempt not in task.stops:
            lapses_at = self.now + round(max(request.timeouts.total, STOP_LAPSES_AFTER) * 1000)
            task.stops[attempt] = StopRow(lapses_at=lapses_at, of_cancel=of_cancel, holder=holder)

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
            if waiter.blocked_by != uuid or (waiter.waits_for_end and task.state not in FINAL):
                continue
            if waiter.waits_for_end and task.blocked_by is not None:
                waiter.blocked_by = task.blocked_by
                continue
            waiter.blocked_by, waiter.waits_for_end = None, False
            if waiter.state == "scheduled":
                waiter.due_at = waiter.run_at
                if waiter.run_at <= self.now:
                    self._move(waiter, "promote", "queued")
