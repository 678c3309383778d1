"""Random limits, holds, ends and times from two clients, and after every claim the plain statement of what was promised.

A failing run prints its steps. For a long run set the number of examples:
`HTQ_MACHINE_EXAMPLES=5000 pytest tests/stores/conformance/test_limits_machine.py`.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from htq.stores.base import (
    MAX_CRASHES,
    Cancel,
    Canceled,
    Claim,
    Claims,
    Done,
    Outcome,
    QueueSettings,
    Released,
    Retry,
    Store,
)
from htq.words.clock import Chance
from htq.words.limits import Breaker, Health, Hold, LaneLimits, Rate
from htq.words.task import NewTask
from stores.conformance.ends import LONG, ended
from stores.conformance.lab import INFO, NO_DELETE, Opener, Result, answer, request
from stores.conformance.plain import Item, Plain, PlainLane, PlainWindow
from support.clock import ManualClock

LONG_RUN = "HTQ_MACHINE_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("HTQ_MACHINE_EXAMPLES", "40"))
STEPS = 40
STAGES = [Stage.generate, *([Stage.shrink] if LONG_RUN else [])]
ANSWERS_WITHIN = 30.0

QUEUES = ("p", "q")
KEYS = ("k", "l", "m")
BREAKERS: dict[str, Breaker | None] = {"p": Breaker(failures=2, hold=3.0, max_hold=1600.0), "q": None}
"""Whether a queue has one does not change: what a lane without a breaker remembers is a store's own business."""

T = TypeVar("T")
End = Literal["success", "error", "released", "retry", "canceled"]

clients = st.integers(0, 1)
picks = st.integers(0, 1 << 16)
queues = st.sampled_from(QUEUES)
lanes = st.tuples(queues, st.sampled_from(KEYS))
caps = st.sampled_from([*[None] * 8, 1, 2, 2, 5, 5, 0])
counting = st.sampled_from(
    [
        Rate(limit=1, per=1.0),
        Rate(limit=3, per=1.0),
        Rate(limit=7, per=1.0, burst=3.0),
        Rate(limit=1500, per=1.0),
        Rate(limit=0.5, per=1.0, burst=2.0),
    ]
)
slower = st.sampled_from(
    [Rate(limit=10, per=60.0), Rate(limit=10, per=60.0, burst=10.0), Rate(limit=7, per=60.0, burst=2.0)]
)
tokens = st.sampled_from(
    [Rate(limit=100, per=10.0, burst=100.0, unit="tokens"), Rate(limit=30, per=10.0, burst=5.0, unit="tokens")]
)
images = st.just(Rate(limit=4, per=10.0, burst=4.0, unit="images"))
windows = st.one_of(
    st.just(()),
    st.just(()),
    st.tuples(counting),
    st.tuples(counting, slower),
    st.tuples(tokens),
    st.tuples(slower, tokens),
    st.tuples(tokens, images, counting),
)
costs = st.sampled_from([{}, {}, {"tokens": 3.0}, {"tokens": 40.0, "images": 1.0}, {"tokens": 1000.0}, {"images": 2.0}])
holds = st.sampled_from([None, None, None, 0.0, 1.5, 20.0])
weights = st.sampled_from([None, 1, 3])


class LimitsMachine(RuleBasedStateMachine):
    """Two store objects on one store, a session on each, a clock that the rules move, and the plain statement beside them."""

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.chance = Chance(self.clock, seed=5)
        self.plain = Plain()
        self.runner = asyncio.Runner()
        self.stores: list[Store] = [opener(self.clock, self.chance) for _ in range(2)]
        for store in self.stores:
            self.run(store.open())
        self.sessions = [self.run(store.open_session(INFO, LONG)) for store in self.stores]
        self.seqs = [0, 0]
        self.claims: dict[str, Claim] = {}
        for queue in QUEUES:
            self._put_queue(0, queue, QueueSettings(breaker=BREAKERS[queue]))

    def teardown(self) -> None:
        try:
            for store in self.stores:
                self.run(store.close())
        finally:
            self.runner.close()

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(ANSWERS_WITHIN):
                return await call

        return self.runner.run(bounded())

    # --- settings ---

    @rule(
        client=clients,
        queue=queues,
        cap=caps,
        rates=windows,
        each_cap=caps,
        each_rates=windows,
        weight=weights,
        pause=st.sampled_from([None, None, None, 2.0]),
    )
    def put_queue(
        self,
        client: int,
        queue: str,
        cap: int | None,
        rates: tuple[Rate, ...],
        each_cap: int | None,
        each_rates: tuple[Rate, ...],
        weight: int | None,
        pause: float | None,
    ) -> None:
        self._put_queue(
            client,
            queue,
            QueueSettings(
                concurrency=cap,
                rate=rates,
                per_key=LaneLimits(concurrency=each_cap, rate=each_rates or None, weight=weight),
                breaker=BREAKERS[queue],
                paused_until=None if pause is None else self.now + round(pause * 1000),
            ),
        )

    def _put_queue(self, client: int, queue: str, given: QueueSettings) -> None:
        self.run(self.stores[client].put_queue(queue, given))
        self.plain.queue(queue).put(given, self.now)

    @rule(client=clients, queue=queues, job=st.sampled_from(["again", "again", "pause", "go on", "go on", "delete"]))
    def change_queue(self, client: int, queue: str, job: str) -> None:
        found = self.plain.queue(queue)
        if job == "again":
            self._put_queue(client, queue, found.settings)
        elif job == "delete":
            self._delete_queue(client, "q")
        else:
            until = self.now + 1500 if job == "pause" else None
            self.run(self.stores[client].pause_queue(queue, until))
            found.settings = msgspec.structs.replace(found.settings, paused_until=until)

    def _delete_queue(self, client: int, queue: str) -> None:
        """The one without a breaker: no limit is left, nor a hold."""
        found = self.plain.queue(queue)
        self.run(self.stores[client].delete_queue(queue))
        for lane in found.lanes.values():
            lane.own, lane.hold = LaneLimits(), None
        found.put(QueueSettings(), self.now)

    @rule(client=clients, at=lanes, cap=caps, rates=st.one_of(st.none(), windows), weight=weights, hold=holds)
    def put_lane(
        self,
        client: int,
        at: tuple[str, str],
        cap: int | None,
        rates: tuple[Rate, ...] | None,
        weight: int | None,
        hold: float | None,
    ) -> None:
        """A hold leaves the breaker alone, so none is given where that one has tripped; its absence lets go of both."""
        lane = self.plain.lane(*at)
        lane.own = LaneLimits(concurrency=cap, rate=rates, weight=weight)
        lane.settle(self.now)
        lane.hold = None if hold is None or lane.failures else Hold(self.now + round(hold * 1000), "operator")
        if lane.hold is None:
            lane.failures = lane.trips = 0
        self.run(self.stores[client].put_lane(*at, lane.own, lane.hold))

    # --- tasks ---

    @precondition(lambda self: len(self.plain.of("queued")) < 40)
    @rule(client=clients, at=lanes, count=st.integers(1, 12), cost=costs, priority=st.sampled_from([0, 5, 9]))
    def enqueue(self, client: int, at: tuple[str, str], count: int, cost: dict[str, float], priority: int) -> None:
        queue, key = at
        tasks = [
            NewTask(
                uuid=self.chance.uuid(),
                request=request(stop=NO_DELETE),
                queue=queue,
                key=key,
                host="127.0.0.1",
                priority=priority,
                cost=cost,
            )
            for _ in range(count)
        ]
        self.run(self.stores[client].enqueue(tasks))
        for task in tasks:
            self.plain.items[task.uuid] = Item(
                uuid=task.uuid, lane=self.plain.lane(*at), priority=priority, run_at=self.now, cost=cost
            )

    @precondition(lambda self: self.plain.of("queued"))
    @rule(
        client=clients,
        turns=st.lists(st.tuples(st.sampled_from([1, 2, 6, 100, 100]), st.integers(0, 3)), min_size=1, max_size=8),
        early=st.sampled_from([0, 0, 0, 1, 400]),
        again=st.sampled_from([False, False, True]),
    )
    def work(self, client: int, turns: list[tuple[int, int]], early: int, again: bool) -> None:
        """Claim, end what has run longest, wait for as long as was said or a little less, claim again, …: both in turns."""
        for turn, (limit, ends) in enumerate(turns):
            again_at = self._claim((client + turn) % 2, limit, again)
            for item in sorted(self.plain.of("pending"), key=lambda item: item.claimed_at)[:ends]:
                self._finish(client, [item], "success", again=again)
            if again_at is not None and again_at < self.now + 60_000:
                self.clock.advance(max(again_at - early - self.now, 0) / 1000)
        self._compare(self.stores[1 - client])

    def _claim(self, client: int, limit: int, again: bool) -> int | None:
        self.seqs[client] += 1
        store, session, seq = self.stores[client], self.sessions[client], self.seqs[client]
        claims, again_at = self.run(store.claim(session, seq, limit))
        assert len(claims) <= limit
        self.plain.judge(session, claims, self.now)
        self.claims |= {claim.uuid: claim for claim in claims}
        if len(claims) < limit:
            self.plain.judge_rest(again_at, self.now)
        if again:
            repeated: Claims = self.run(self.stores[1 - client].claim(session, seq, limit))
            assert sorted(one.uuid for one in repeated.claims) == sorted(one.uuid for one in claims)
        return again_at

    def _compare(self, store: Store) -> None:
        """Every lane is shown as it is."""
        for queue in self.plain.queues.values():
            for lane in queue.lanes.values():
                shown = self.run(store.lane(queue.name, lane.key))
                counts = len(self.plain.of("queued", lane)), len(self.plain.of("pending", lane))
                assert (shown.queued, shown.running) == counts, str(lane)
                assert shown.held_until == lane.held_until(self.now), str(lane)
                assert shown.limits == lane.own, str(lane)
                assert shown.failures == lane.failures, str(lane)

    @precondition(lambda self: self.plain.of("pending"))
    @rule(
        client=clients,
        at=st.lists(picks, min_size=1, max_size=8),
        end=st.sampled_from(["success", "success", "success", "error", "released", "retry", "canceled"]),
        hold=holds,
        health=st.sampled_from([None, "good", "bad", "bad"]),
        actual=st.sampled_from(
            [None, None, {"tokens": 1.0}, {"tokens": 90.0, "images": 0.0}, {"tokens": 1e9}, {"images": 3.0}]
        ),
        again=st.sampled_from([False, False, True]),
    )
    def finish(
        self,
        client: int,
        at: list[int],
        end: End,
        hold: float | None,
        health: Health | None,
        actual: dict[str, float] | None,
        again: bool,
    ) -> None:
        """By the session that has them, through either store object."""
        pending = self.plain.of("pending")
        first = pending[at[0] % len(pending)]
        own = [item for item in pending if item.session == first.session]
        items = {item.uuid: item for item in [first, *(own[pick % len(own)] for pick in at[1:])]}
        self._finish(client, list(items.values()), end, hold, health, actual, again=again)
        self._compare(self.stores[1 - client])

    def _finish(
        self,
        client: int,
        items: list[Item],
        end: End,
        hold: float | None = None,
        health: Health | None = None,
        actual: dict[str, float] | None = None,
        *,
        again: bool,
    ) -> None:
        """End attempts of one session."""
        session = items[0].session
        assert session is not None
        outcomes = [self._outcome(item, end, hold, health, actual) for item in items]
        for _ in range(2 if again else 1):
            answers = self.run(self.stores[client].finish(session, outcomes))
            assert answers == ["canceled" if item.is_canceled else "applied" for item in items]
        for item, outcome in zip(items, outcomes, strict=True):
            self._finished(item, outcome)

    def _outcome(
        self, item: Item, end: End, hold: float | None, health: Health | None, actual: dict[str, float] | None
    ) -> Outcome:
        result: Result
        if end == "success" or end == "error":
            result = Done(end, answer(self.now))
        elif end == "retry":
            result = Retry(self.now + 4000)
        else:
            result = Canceled() if end == "canceled" and item.is_canceled else Released()
        assert item.session is not None
        return ended(
            self.claims[item.uuid],
            item.session,
            self.now,
            result,
            phase="finished" if isinstance(result, Done) else "sent",
            hold=None if hold is None else Hold(self.now + round(hold * 1000), "rate_limited"),
            health=health,
            costs=actual,
        )

    def _finished(self, item: Item, outcome: Outcome) -> None:
        lane = item.lane
        breaker = lane.queue.settings.breaker
        if outcome.health is not None and breaker is not None:
            lane.judge(breaker, outcome.health, self.now)
        if outcome.hold is not None:
            lane.take(outcome.hold, self.now)
        for window in lane.queue.windows + lane.windows:
            window.correct(item.cost, outcome.costs or {}, item.claimed_at, self.now)
        item.session = None
        if item.is_canceled:
            item.state = "canceled"
        elif isinstance(outcome.result, Retry):
            item.state, item.run_at = "scheduled", outcome.result.due_at
        else:
            item.state = outcome.result.state if isinstance(outcome.result, Done) else "queued"

    @precondition(lambda self: self.plain.of("pending"))
    @rule(client=clients, pick=picks, job=st.sampled_from(["cancel", "cancel", "cancel", "close", "die"]))
    def odd_job(self, client: int, pick: int, job: str) -> None:
        if job == "cancel":
            self._cancel(client, pick)
        else:
            self._end_session(client, dies=job == "die")

    def _cancel(self, client: int, pick: int) -> None:
        live = self.plain.of("queued") + self.plain.of("pending")
        item = live[pick % len(live)]
        self.run(self.stores[client].cancel([Cancel(item.uuid)]))
        item.is_canceled = True
        if item.state == "queued":
            item.state = "canceled"

    def _promote(self, client: int) -> None:
        self.run(self.stores[client].promote(1000))
        for item in self.plain.of("scheduled"):
            if item.run_at <= self.now:
                item.state = "queued"

    # --- sessions and time ---

    def _end_session(self, client: int, *, dies: bool) -> None:
        """It says goodbye, or dies and is reaped; and another one takes its place."""
        gone = self.sessions[client]
        if dies:
            self.run(self.stores[client].heartbeat(gone, 0.01))
            self.clock.advance(0.02)
            self.run(self.stores[1 - client].reap(1000))
        else:
            self.run(self.stores[client].close_session(gone))
        self.sessions[client] = self.run(self.stores[client].open_session(INFO, LONG))
        self.seqs[client] = 0
        for item in self.plain.of("pending"):
            if item.session == gone:
                item.session = None
                item.crashes += dies
                item.state = "canceled" if item.is_canceled else "error" if item.crashes > MAX_CRASHES else "queued"

    @rule(client=clients, seconds=st.sampled_from([0.001, 0.1, 0.333, 1.0, 1.0, 5.0, 20.0]))
    def advance(self, client: int, seconds: float) -> None:
        self.clock.advance(seconds)
        self._promote(client)


def test_random_limits_are_never_passed_and_leave_nothing_out(kind: str, fresh: Callable[[bool], Opener]) -> None:
    """`claim`: Nothing passes a limit, whoever claims. Nothing that may run is left out. Inside a lane there is an order."""

    class Machine(LimitsMachine):
        def __init__(self) -> None:
            super().__init__(fresh(False))

    bounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=not LONG_RUN,
        print_blob=True,
        phases=STAGES,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=bounds)


def test_judge_knows_a_window() -> None:
    """What the machine judges by can tell what passes a window from what does not, and what must run from what need not."""
    window = PlainWindow(Rate(limit=4, per=1.0, burst=2.0), 0, fresh=True)
    window.spend(2, 1000)
    assert not window.passes(1000)
    assert [window.surely_opens(1, at) for at in (1000, 1200, 1250)] == [1251, 1251, 1250]
    window.spend(1, 1250)
    assert not window.passes(1250)
    window.spend(1, 1251)
    assert window.passes(1251)


def test_judge_knows_a_breaker() -> None:
    """… and a tripped lane takes one at a time."""
    lane = PlainLane(Plain().queue("q"), "k")
    for _ in range(2):
        lane.judge(Breaker(failures=2, hold=1.0), "bad", 1000)
    assert (lane.cap, lane.held_until(1999), lane.held_until(2000)) == (1, 2000, None)
    lane.judge(Breaker(failures=2, hold=1.0), "good", 2000)
    assert lane.cap is None
