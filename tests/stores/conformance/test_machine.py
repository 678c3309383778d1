"""Random verbs from two clients, each step compared with the oracle and with the table of transitions.

A failing run prints its steps and the blob that reproduces them. For a long run set the number of examples:
`HTQ_MACHINE_EXAMPLES=5000 pytest tests/stores/conformance/test_machine.py`.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from htq.stores.base import (
    BodyRef,
    Cancel,
    Canceled,
    Claim,
    Done,
    Enqueued,
    Interrupted,
    Outcome,
    OwedCallback,
    Patch,
    Released,
    Retry,
    StopSettled,
    Store,
)
from htq.words.attempt import Phase
from htq.words.callback import Callback
from htq.words.clock import Chance
from htq.words.errors import SessionLost
from htq.words.limits import FOREVER
from htq.words.states import FINAL, LIVE, STATES, State
from htq.words.task import DeleteState, Idempotency, NewTask, OnConflict
from stores.conformance.lab import INFO, NO_DELETE, Opener, Result, answer, counts_of, outcome, request
from stores.oracle import Oracle
from stores.oracle_rows import View, is_row, leads, view_of
from support.clock import ManualClock

EXAMPLES = int(os.environ.get("HTQ_MACHINE_EXAMPLES", "60"))
STEPS = 60
STAGES = [Stage.generate, *([Stage.shrink] if "HTQ_MACHINE_EXAMPLES" in os.environ else [])]
"""To shrink a failure takes minutes: a long run does, and a short one prints the steps as they were."""
ALL = 10_000
ANSWERS_WITHIN = 30.0

T = TypeVar("T")
Kind = Literal["success", "error", "timeout", "released", "interrupted", "canceled", "retry", "retry_between"]
CALLBACK = Callback(url="http://127.0.0.1:9/done", on=("success", "timeout", "canceled"), source="http://127.0.0.1:9")
GROUPS = ("g", "h")

clients = st.integers(0, 1)
picks = st.integers(0, 1 << 16)
twice = st.booleans()


class StoreMachine(RuleBasedStateMachine):
    """Two store objects on one store, a clock that the rules move, and the oracle beside them."""

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.chance = Chance(self.clock, seed=3)
        self.oracle = Oracle(self.clock.now_ms())
        self.runner = asyncio.Runner()
        self.stores: list[Store] = [opener(self.clock, self.chance) for _ in range(2)]
        for store in self.stores:
            self.run(store.open())
        self.uuids: list[str] = []
        self.tasks: list[NewTask] = []
        self.enqueued: list[Enqueued] = []
        self.sessions: list[str] = []
        self.seqs: dict[str, list[int]] = {}
        self.claims: list[tuple[str, Claim]] = []
        self.outcomes: dict[tuple[str, str, int], Outcome] = {}
        self.seen: dict[str, tuple[View, int] | None] = {}

    def teardown(self) -> None:
        try:
            for store in self.stores:
                self.run(store.close())
        finally:
            self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(ANSWERS_WITHIN):
                return await call

        return self.runner.run(bounded())

    def repeat(self, again: bool, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make a call, and once more where its reply is said to be lost: the answer must be the same."""
        first = self.run(call())
        if again:
            assert self.run(call()) == first
        return first

    # --- what must hold after every step ---

    def compare(self, client: int, *verbs: str) -> None:
        """The other client sees what the oracle sees, and what changed did so by a row of one of `verbs`."""
        store = self.stores[1 - client]
        for uuid, task in zip(self.uuids, self.run(store.get(self.uuids)), strict=True):
            before = self.seen.get(uuid)
            if task is None:
                assert self.oracle.view(uuid) is None, f"{uuid} is gone"
                if before is not None:
                    assert is_row(verbs, before[0].state, None), f"{uuid} went from {before[0].state} by {verbs}"
                self.seen[uuid] = None
                continue
            view = view_of(task)
            expected = self.oracle.view(uuid)
            assert expected is not None, f"{uuid} should not be there"
            if expected.delete is None:
                expected = expected._replace(delete=view.delete)
            assert view == expected, f"{uuid} by {verbs}"
            if before is None:
                assert uuid not in self.seen, f"{uuid} came back"
                assert any(
                    is_row(["enqueue"], None, first) and (first == view.state or leads(verbs, first, view.state))
                    for first in STATES
                ), f"{uuid} came in as {view.state}"
            else:
                self._judge_change(uuid, *before, view, task.version, verbs)
            self.seen[uuid] = (view, task.version)
        self._judge_whole(store)

    def _judge_change(
        self, uuid: str, old: View, old_version: int, new: View, version: int, verbs: Iterable[str]
    ) -> None:
        if old == new:
            return
        assert version > old_version, f"{uuid} changed and its version did not"
        assert new.attempt in (old.attempt, old.attempt + 1), "attempt only grows, one at a time"
        if old.state != new.state:
            assert leads(verbs, old.state, new.state), f"{uuid} went from {old.state} to {new.state} by {verbs}"
        if old.state in FINAL and new.state != old.state and "retry" not in verbs:
            assert new.state == "canceled", "a final state never changes but by cancel and retry"
        if old.delete is not None:
            assert new.delete is not None, "a cancel is for ever"
            assert new.state in ("pending", "canceled")
            assert new.cancel_reason == old.cancel_reason, "the first cancel counts"
            assert new.attempt == old.attempt, "after a cancel no attempt starts"

    def _judge_whole(self, store: Store) -> None:
        assert counts_of(self.run(store.stats())) == self.oracle.counts()
        assert sorted(self.run(store.owed_callbacks(ALL))) == sorted(self.oracle.owed)
        for name in GROUPS:
            group, told = self.run(store.group("", name)), self.oracle.groups.get(("", name))
            assert (group is None) == (told is None), f"group {name}"
            if group is not None and told is not None:
                counts = {state: count for state, count in group.counts.items() if count}
                assert counts == self.oracle.group_counts("", name)
                assert (group.closed_at is not None, group.completed_at) == (told.is_closed, told.completed_at)
        names = [
            task.new.name
            for task in self.oracle.tasks.values()
            if task.state in LIVE and not task.canceled and not task.waits_for_end and task.new.name is not None
        ]
        assert len(names) == len(set(names)), "one live task a name, at most, and those that wait for its end"

    # --- what the rules pick from: mostly what can change, at times what can't any more ---

    def _pick(self, pick: int, fresh: list[T], stale: list[T]) -> T:
        items = fresh if fresh and (pick % 8 or not stale) else stale
        return items[pick // 8 % len(items)]

    def _alive(self) -> list[str]:
        return [session for session in self.sessions if self.oracle.is_alive(session)]

    def _session(self, pick: int) -> str:
        return self._pick(pick, self._alive(), self.sessions)

    def _held(self) -> list[tuple[str, Claim]]:
        """Claims whose attempts are under way."""
        return [
            (session, claim)
            for session, claim in self.claims
            if (task := self.oracle.tasks.get(claim.uuid)) is not None
            and (task.state, task.attempt, task.session) == ("pending", claim.attempt, session)
        ]

    def _owed(self) -> list[tuple[str, str, int]]:
        """Stops that a living session holds."""
        return [
            (stop.holder, uuid, attempt)
            for uuid, task in self.oracle.tasks.items()
            for attempt, stop in task.stops.items()
            if stop.state == "owed" and stop.holder is not None and self.oracle.is_alive(stop.holder)
        ]

    # --- enqueue and cancel ---

    @precondition(lambda self: sum(task.state in LIVE for task in self.oracle.tasks.values()) < 8)
    @rule(
        client=clients,
        count=st.integers(1, 4),
        name=st.sampled_from([None, "a", "a", "b"]),
        on_conflict=st.sampled_from(
            ["cancel_previous", "cancel_previous", "queue_after", "queue_after", "return_existing", "reject"]
        ),
        group=st.sampled_from([None, None, *GROUPS]),
        key=st.sampled_from([None] * 8 + [Idempotency("i", b"1", 10.0), Idempotency("i", b"2", 10.0)]),
        atomic=st.sampled_from([False, False, False, True]),
        told=st.booleans(),
        ends_in=st.sampled_from([(None, None)] * 5 + [(1950, None), (None, 1950), (None, 20_050)]),
        place=st.tuples(st.sampled_from(["p", "q"]), st.sampled_from(["k", "l"])),
        priority=st.sampled_from([0, 5, 9]),
        delay=st.sampled_from([None, None, None, 0, 3000, 20_000]),
        once=st.sampled_from([False, False, False, True]),
        delete=st.sampled_from([True, True, True, False]),
        ttl=st.sampled_from([1.0, 1000.0]),
        again=twice,
    )
    def enqueue(
        self,
        client: int,
        count: int,
        name: str | None,
        on_conflict: OnConflict,
        group: str | None,
        key: Idempotency | None,
        atomic: bool,
        told: bool,
        ends_in: tuple[int | None, int | None],
        place: tuple[str, str],
        priority: int,
        delay: int | None,
        once: bool,
        delete: bool,
        ttl: float,
        again: bool,
    ) -> None:
        now = self.clock.now_ms()
        start_by, deadline = (None if seconds is None else now + seconds for seconds in ends_in)
        asked = request() if delete else request(stop=NO_DELETE)
        tasks = [
            NewTask(
                uuid=self.chance.uuid(),
                request=msgspec.structs.replace(asked, callback=CALLBACK) if told else asked,
                queue=place[0],
                key=place[1],
                host="h",
                name=name,
                priority=priority,
                on_conflict=on_conflict,
                group=group,
                idempotency=key,
                start_by=start_by,
                deadline=deadline,
                run_at=None if delay is None else now + delay,
                delivery="at_most_once" if once else "at_least_once",
                result_ttl=ttl,
            )
            for _ in range(count)
        ]
        got = self.repeat(
            again and not _changes_its_repeat(tasks), lambda: self.stores[client].enqueue(tasks, atomic=atomic)
        )
        expected = self.oracle.enqueue(tasks, atomic=atomic)
        assert [_sorted(item) for item in got] == [_sorted(item) for item in expected]
        self.uuids += (task.uuid for task in tasks)
        self.tasks += tasks
        self.enqueued += got
        self.compare(client, "cancel", "promote")

    @precondition(lambda self: self._held() or len(self.uuids) > 5)
    @rule(client=clients, pick=picks, reason=st.sampled_from([None, "why"]), again=twice)
    def cancel(self, client: int, pick: int, reason: str | None, again: bool) -> None:
        """Mostly of what is on the wire; at times of anything, and twice in one batch."""
        uuid = self._pick(pick, [claim.uuid for _, claim in self._held()], self.uuids)
        cancels = [Cancel(uuid, reason)] * (1 + pick % 2)
        got = self.repeat(again, lambda: self.stores[client].cancel(cancels))
        assert got == [self.oracle.cancel(*wish) for wish in cancels]
        self.compare(client, "cancel", "promote")

    # --- by hand, groups and callbacks ---

    @precondition(lambda self: any(task.state in FINAL for task in self.oracle.tasks.values()))
    @rule(client=clients, picked=st.lists(picks, min_size=1, max_size=2))
    def retry(self, client: int, picked: list[int]) -> None:
        ended = [uuid for uuid, task in self.oracle.tasks.items() if task.state in FINAL - {"canceled"}]
        uuids = [self._pick(pick, ended, self.uuids) for pick in picked]
        assert self.run(self.stores[client].retry(uuids)) == [self.oracle.retry(uuid) for uuid in uuids]
        self.compare(client, "retry")

    @precondition(lambda self: self.oracle.has_scheduled())
    @rule(client=clients, pick=picks, again=twice)
    def run_now(self, client: int, pick: int, again: bool) -> None:
        scheduled = [uuid for uuid, task in self.oracle.tasks.items() if task.state == "scheduled"]
        uuid = self._pick(pick, scheduled, self.uuids)
        got = self.repeat(again, lambda: self.stores[client].run_now([uuid]))
        assert got == [self.oracle.run_now(uuid)]
        self.compare(client, "run_now")

    @precondition(lambda self: any(task.state in ("scheduled", "queued") for task in self.oracle.tasks.values()))
    @rule(
        client=clients,
        pick=picks,
        priority=st.sampled_from([0, 9]),
        delay=st.sampled_from([-1000, 0, 3000, 20_000]),
        ends_in=st.sampled_from([(None, None), (None, None), (1950, None), (None, 1950)]),
        stale=st.sampled_from([False, False, False, True]),
    )
    def patch(
        self, client: int, pick: int, priority: int, delay: int, ends_in: tuple[int | None, int | None], stale: bool
    ) -> None:
        waiting = [uuid for uuid, task in self.oracle.tasks.items() if task.state in ("scheduled", "queued")]
        uuid = self._pick(pick, waiting, self.uuids)
        seen = self.seen[uuid]
        now = self.clock.now_ms()
        start_by, deadline = (None if seconds is None else now + seconds for seconds in ends_in)
        patch = Patch(
            request=self.oracle.tasks[uuid].new.request if seen is not None else request(),
            priority=priority,
            labels={},
            run_at=now + delay,
            start_by=start_by,
            deadline=deadline,
            result_ttl=1000.0 if seen is None else self.oracle.tasks[uuid].new.result_ttl,
        )
        version = 0 if seen is None else seen[1] - stale
        got = self.run(self.stores[client].patch(uuid, patch, version))
        assert got == self.oracle.patch(uuid, patch, is_current=not stale)
        self.compare(client, "patch")

    @precondition(lambda self: self._open_groups())
    @rule(client=clients, pick=picks, callback=st.booleans(), close=st.booleans(), again=twice)
    def put_group(self, client: int, pick: int, callback: bool, close: bool, again: bool) -> None:
        """Of groups that have tasks: an empty one that is closed is soon gone."""
        name = self._pick(pick, self._open_groups(), [])
        store = self.stores[client]
        self.repeat(again, lambda: store.put_group("", name, CALLBACK if callback else None, close=close))
        self.oracle.put_group("", name, callback=callback, close=close)
        self.compare(client)

    def _open_groups(self) -> list[str]:
        groups = self.oracle.groups.items()
        return [name for (_, name), group in groups if not group.is_closed and self.oracle.group_counts("", name)]

    @precondition(lambda self: self.oracle.owed)
    @rule(client=clients, picked=st.lists(picks, min_size=1, max_size=3), again=twice)
    def settle_callbacks(self, client: int, picked: list[int], again: bool) -> None:
        """A closed group without tasks is kept for its callback alone, so it goes at once here."""
        store = self.stores[client]
        owed: list[OwedCallback] = [self.oracle.owed[pick % len(self.oracle.owed)] for pick in picked]
        self.repeat(again, lambda: store.settle_callbacks(owed))
        self.oracle.settle_callbacks(owed)
        assert self.run(store.forget(ALL)) == self.oracle.forget()
        self.compare(client, "forget")

    # --- sessions, claims, outcomes ---

    @initialize()
    def first_sessions(self) -> None:
        for client in range(2):
            self._open(client, 1000.0)

    @precondition(lambda self: len(self._alive()) < 3)
    @rule(client=clients, lease=st.sampled_from([15.0, 1000.0]))
    def open_session(self, client: int, lease: float) -> None:
        self._open(client, lease)
        self.compare(client)

    def _open(self, client: int, lease: float) -> None:
        session = self.run(self.stores[client].open_session(INFO, lease))
        self.oracle.open_session(session, lease)
        self.sessions.append(session)
        self.seqs[session] = [0, 0]

    @precondition(lambda self: len(self._alive()) > 2)
    @rule(client=clients, pick=picks, again=twice)
    def close_session(self, client: int, pick: int, again: bool) -> None:
        session = self._session(pick)
        self.repeat(again, lambda: self.stores[client].close_session(session))
        self.oracle.close_session(session)
        self.compare(client, "reap", "promote")

    @rule(client=clients, pick=picks, lease=st.sampled_from([15.0, 1000.0]), again=twice)
    def heartbeat(self, client: int, pick: int, lease: float, again: bool) -> None:
        session = self._session(pick)
        if not self.oracle.is_alive(session):
            with pytest.raises(SessionLost):
                self.run(self.stores[client].heartbeat(session, lease))
        else:
            got = self.repeat(again, lambda: self.stores[client].heartbeat(session, lease))
            assert sorted(got.cancels) == sorted(self.oracle.heartbeat(session, lease))
        self.compare(client)

    @precondition(lambda self: any(task.state == "queued" for task in self.oracle.tasks.values()))
    @rule(client=clients, pick=picks, limit=st.integers(1, 6), again=twice)
    def claim(self, client: int, pick: int, limit: int, again: bool) -> None:
        session = self._session(pick)
        seqs = self.seqs[session]
        if not self.oracle.is_alive(session):
            with pytest.raises(SessionLost):
                self.run(self.stores[client].claim(session, seqs[0] + 1, limit))
        else:
            seqs[0] += 1
            self._claim(self.stores[client], session, limit)
            if again:
                self._claim(self.stores[1 - client], session, limit)
        self.compare(client, "claim", "expire", "promote")

    def _claim(self, store: Store, session: str, limit: int) -> None:
        seq = self.seqs[session][0]
        late = self.oracle.late("scheduled", "queued")
        claims = self.run(store.claim(session, seq, limit)).claims
        found = zip(late, self.run(store.states(late)), strict=True)
        ended = {uuid for uuid, state in found if state is not None and state[0] in FINAL}
        self.oracle.judge_claims(session, seq, limit, claims, ended)
        self.claims += ((session, claim) for claim in claims if (session, claim) not in self.claims)

    @precondition(lambda self: self._held() or len(self.claims) > 10)
    @rule(
        client=clients,
        at=st.lists(picks, min_size=1, max_size=3),
        kind=st.sampled_from(
            [
                *("success", "error", "timeout", "released", "interrupted", "interrupted", "canceled"),
                *("retry", "retry", "retry_between", "retry_between"),
            ]
        ),
        phase=st.sampled_from(["claimed", "sent", "sent", "finished"]),
        size=st.sampled_from([0, 5, 5000]),
        again=twice,
    )
    def finish(self, client: int, at: list[int], kind: Kind, phase: Phase, size: int, again: bool) -> None:
        """By the session that claimed it, dead or alive; an attempt's outcome is the same, however often it is told."""
        session, first = self._pick(at[0], self._held(), self.claims)
        held = [claim for holder, claim in self._held() if holder == session]
        own = [claim for holder, claim in self.claims if holder == session]
        claims = [first, *(self._pick(pick, held, own) for pick in at[1:])]
        outcomes = [self._outcome(session, claim, kind, phase, size) for claim in claims]
        got = self.repeat(again, lambda: self.stores[client].finish(session, outcomes))
        assert got == [self.oracle.finish(session, one) for one in outcomes]
        self.compare(client, "finish_done", "finish_retry", "finish_released", "finish_interrupted", "promote")

    def _outcome(self, session: str, claim: Claim, kind: Kind, phase: Phase, size: int) -> Outcome:
        at = (session, claim.uuid, claim.attempt)
        if at not in self.outcomes:
            now = self.clock.now_ms()
            result: Result = Released()
            if kind == "success" or kind == "error" or kind == "timeout":
                result, phase = Done(kind, answer(now, b"x" * size)), "finished" if phase == "claimed" else phase
            elif kind == "retry" or kind == "retry_between":
                result = Retry(now + {0: 0, 5: 3000, 5000: 20_000}[size], between=kind == "retry_between")
            elif kind == "interrupted":
                result, phase = Interrupted(), "sent"
            elif kind == "canceled" and (task := self.oracle.tasks.get(claim.uuid)) is not None and task.canceled:
                result = Canceled()
            else:
                phase = "sent" if phase == "finished" else phase
            owes_stop = kind == "timeout" or (isinstance(result, Retry) and size == 5)
            self.outcomes[at] = outcome(claim, session, result, now, phase=phase, owes_stop=owes_stop)
        return self.outcomes[at]

    # --- stops ---

    @precondition(lambda self: any(task.owes for task in self.oracle.tasks.values()))
    @rule(client=clients, pick=picks, limit=st.integers(1, 3), again=twice)
    def claim_stops(self, client: int, pick: int, limit: int, again: bool) -> None:
        session = self._session(pick)
        seqs = self.seqs[session]
        if not self.oracle.is_alive(session):
            with pytest.raises(SessionLost):
                self.run(self.stores[client].claim_stops(session, seqs[1] + 1, limit))
        else:
            seqs[1] += 1
            stops = self.run(self.stores[client].claim_stops(session, seqs[1], limit))
            self.oracle.judge_stops(session, seqs[1], limit, stops)
            if again:
                repeated = self.run(self.stores[1 - client].claim_stops(session, seqs[1], limit))
                self.oracle.judge_stops(session, seqs[1], limit, repeated)
        self.compare(client)

    @precondition(lambda self: self._owed())
    @rule(client=clients, pick=picks, thief=picks, state=st.sampled_from(["confirmed", "gone", "failed"]), again=twice)
    def settle_stops(self, client: int, pick: int, thief: int, state: DeleteState, again: bool) -> None:
        holder, uuid, attempt = self._pick(pick, self._owed(), [])
        session = self._pick(thief, [holder], self._alive())
        settled = StopSettled(uuid, attempt, state, 204, 1, 2.5, "none")
        got = self.repeat(again, lambda: self.stores[client].settle_stops(session, [settled]))
        assert got == [self.oracle.settle(session, settled)]
        self.compare(client, "promote")

    # --- what time brings ---

    @rule(
        client=clients,
        seconds=st.sampled_from([0.1, 2.0, 2.0, 5.0, 16.0, 310.0]),
        beaten=st.sampled_from([True, True, True, False]),
    )
    def advance(self, client: int, seconds: float, beaten: bool) -> None:
        """Time passes, for the most part with the sessions alive."""
        for session in self._alive() if beaten else []:
            heard = self.run(self.stores[client].heartbeat(session, 1000.0))
            assert sorted(heard.cancels) == sorted(self.oracle.heartbeat(session, 1000.0))
        self.clock.advance(seconds)
        self.oracle.now = self.clock.now_ms()

    @precondition(lambda self: self.oracle.has_scheduled())
    @rule(client=clients)
    def promote(self, client: int) -> None:
        promoted, next_due_at = self.run(self.stores[client].promote(ALL))
        assert (promoted, None if next_due_at == FOREVER else next_due_at) == self.oracle.promote()
        self.compare(client, "promote")

    @precondition(lambda self: self.oracle.late(*LIVE))
    @rule(client=clients)
    def expire(self, client: int) -> None:
        assert self.run(self.stores[client].expire(ALL)) == self.oracle.expire()
        self.compare(client, "expire", "promote")

    @precondition(lambda self: self.oracle.has_to_reap())
    @rule(client=clients)
    def reap(self, client: int) -> None:
        assert self.run(self.stores[client].reap(ALL)) == self.oracle.reap()
        self.compare(client, "reap", "promote")

    @precondition(lambda self: self.oracle.has_to_forget())
    @rule(client=clients)
    def forget(self, client: int) -> None:
        assert self.run(self.stores[client].forget(ALL)) == self.oracle.forget()
        self.compare(client, "forget")

    # --- late and foreign calls, and those that change no state ---

    @precondition(lambda self: len(self.claims) > 2)
    @rule(client=clients, pick=picks, job=st.sampled_from(["enqueue", "claim", "steal", "append", "delete"]))
    def odd_job(self, client: int, pick: int, job: str) -> None:
        getattr(self, f"_{job}_late")(self.stores[client], pick)
        self.compare(client, "delete_response")

    def _enqueue_late(self, store: Store, pick: int) -> None:
        """A very late repeat, of anything that is not forgotten."""
        at = pick % len(self.tasks)
        if self.oracle.view(self.tasks[at].uuid) is not None:
            assert self.run(store.enqueue([self.tasks[at]])) == [self.enqueued[at]]

    def _claim_late(self, store: Store, pick: int) -> None:
        """A repeat with the last `seq`, some time later."""
        session, _ = self._pick(pick, self._held(), self.claims)
        if self.oracle.is_alive(session) and self.oracle.sessions[session].seq == self.seqs[session][0]:
            self._claim(store, session, 6)

    def _steal_late(self, store: Store, pick: int) -> None:
        """A finish by a session that never had the attempt."""
        holder, claim = self._pick(pick, self._held(), self.claims)
        for session in self.sessions:
            if session != holder:
                stolen = outcome(claim, session, Done("success", answer(self.clock.now_ms())), self.clock.now_ms())
                assert self.run(store.finish(session, [stolen])) == ["lost"]

    def _append_late(self, store: Store, pick: int) -> None:
        _, claim = self._pick(pick, self._held(), self.claims)
        for _ in range(2):
            appended = self.run(store.append_body(BodyRef(claim.uuid, claim.attempt, "response"), 0, [b"chunk"]))
            assert appended == self.oracle.append_body(claim.uuid, claim.attempt)

    def _delete_late(self, store: Store, pick: int) -> None:
        full = [uuid for uuid, task in self.oracle.tasks.items() if task.has_response]
        uuid = self._pick(pick, full, self.uuids)
        assert self.run(store.delete_response([uuid])) == [self.oracle.delete_response(uuid)]


def _changes_its_repeat(tasks: list[NewTask]) -> bool:
    """What is `existing` leaves its key, and is `replayed` then."""
    return any(task.idempotency is not None and task.on_conflict == "return_existing" for task in tasks)


def _sorted(item: Enqueued) -> Enqueued:
    """In which order several were superseded, nobody says."""
    return item._replace(superseded=tuple(sorted(item.superseded)))


@pytest.mark.timeout(5 * max(EXAMPLES, 60))
def test_random_verbs_agree_with_the_oracle(kind: str, fresh: Callable[[bool], Opener]) -> None:
    """The table of `htq.words.states` and the contract's sentences, in any order, from two clients, without signals."""

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(fresh(False))

    bounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        phases=STAGES,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=bounds)


@pytest.mark.parametrize(
    ("verbs", "source", "target", "allowed"),
    [
        (["claim"], "queued", "pending", True),
        (["claim"], "scheduled", "pending", False),
        (["reap"], "pending", "canceled", True),
        (["reap"], "success", "error", False),
        (["cancel"], "success", "canceled", True),
        (["finish_done"], "canceled", "success", False),
        (["finish_retry"], "pending", "scheduled", True),
        (["finish_retry"], "pending", "canceled", True),
        (["expire"], "queued", "timeout", True),
        (["expire"], "pending", "timeout", False),
        (["retry"], "error", "queued", True),
        (["retry"], "canceled", "queued", False),
        (["run_now"], "scheduled", "queued", True),
        (["enqueue"], None, "queued", True),
        (["enqueue"], None, "pending", False),
        (["forget"], "queued", None, False),
        (["forget"], "error", None, True),
    ],
)
def test_judge_knows_the_table(verbs: list[str], source: State | None, target: State | None, allowed: bool) -> None:
    """What the machine judges by can tell a row of the table from what is none."""
    assert is_row(verbs, source, target) is allowed
    assert source is None or source in STATES
