"""What limits promise, said plainly: every start is kept, every lane is looked at, everything is counted again each time.

It decides nothing. It judges what a store gave: whether a limit was passed, whether the order in a lane was kept, and whether
something was left out that may run. Of a window it keeps two ledgers. What it has *surely* spent is what it has seen spent
since this window was set: nobody may pass that. What it has *perhaps* spent begins with all that a window may owe, since a
store may keep what was spent under other settings, or forget it: who fits even then must run.
"""

from collections.abc import Sequence

import msgspec

from htq.stores.base import Claim, QueueSettings
from htq.words.limits import FOREVER, MAX_HOLD, Breaker, Hold, LaneLimits, Rate

__all__ = ["Item", "Plain", "PlainLane", "PlainQueue", "PlainWindow"]

CLOSE = 1e-9
"""What sums of fractions may lack here."""


class Item(msgspec.Struct, kw_only=True):
    """A task, as far as limits look at it."""

    uuid: str
    lane: "PlainLane"
    priority: int
    run_at: int
    cost: dict[str, float]
    state: str = "queued"
    session: str | None = None
    attempt: int = 0
    claimed_at: int = 0
    crashes: int = 0
    is_canceled: bool = False

    @property
    def order(self) -> tuple[int, str]:
        return self.run_at + (9 - self.priority) * 60_000, self.uuid


class PlainWindow:
    """A window with all that was ever spent in it: (when, how much), in milliseconds and tasks or units."""

    def __init__(self, rate: Rate, now: int, *, fresh: bool) -> None:
        self.rate = rate
        self.back = rate.limit / rate.per / 1000
        """What comes back in a millisecond."""
        self.most = rate.burst if rate.unit is None else max(rate.burst, self.back * MAX_HOLD * 1000)
        """What may be owed."""
        self.memory = max(rate.burst, rate.limit) / self.back
        """Milliseconds after which a start is forgotten."""
        self._sure: list[tuple[int, float]] = []
        self._perhaps: list[tuple[int, float]] = [] if fresh else [(now, self.most)]

    def size(self, cost: dict[str, float]) -> float:
        return 1.0 if self.rate.unit is None else min(cost.get(self.rate.unit, 0.0), self.rate.burst)

    def passes(self, now: int) -> bool:
        """Whether more was spent than may be, by more than comes back in the millisecond that is now."""
        return self._left(self._sure, now) < -self.back - CLOSE

    def surely_opens(self, size: float, now: int) -> int:
        """When a task of this size may start at the latest, if nothing else does."""
        lacks = size - self._left(self._perhaps, now)
        return now if not size or lacks <= CLOSE else now + int(lacks / self.back) + 1

    def spend(self, size: float, now: int) -> None:
        if size:
            self._sure.append((now, size))
            self._perhaps.append((now, size))

    def correct(self, charged: dict[str, float], actual: dict[str, float], claimed_at: int, now: int) -> None:
        if self.rate.unit is None or self.rate.unit not in actual:
            return
        more = actual[self.rate.unit] - self.size(charged)
        for ledger in (self._sure, self._perhaps):
            if more > 0:
                owed = self.rate.burst - self._left(ledger, now)
                ledger.append((now, max(min(more, self.most - owed), 0.0)))
            elif now - claimed_at < self.memory:
                ledger.append((now, more))

    def _left(self, ledger: list[tuple[int, float]], now: int) -> float:
        """Since every moment at which something was spent: the burst and what came back, less what was spent."""
        left = self.rate.burst
        spent = 0.0
        for at, size in reversed(ledger):
            spent += size
            left = min(left, self.rate.burst + (now - at) * self.back - spent)
        return left


def _carry(windows: list[PlainWindow], rates: tuple[Rate, ...], now: int) -> list[PlainWindow]:
    """The windows under other settings: one that is the same at its place goes on, any other begins anew."""
    return [
        windows[at] if at < len(windows) and windows[at].rate == rate else PlainWindow(rate, now, fresh=False)
        for at, rate in enumerate(rates)
    ]


class PlainQueue:
    """A queue with its settings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = QueueSettings()
        self.windows: list[PlainWindow] = []
        self.lanes: dict[str, PlainLane] = {}

    def put(self, settings: QueueSettings, now: int) -> None:
        self.settings = settings
        self.windows = _carry(self.windows, settings.rate, now)
        for lane in self.lanes.values():
            lane.settle(now)

    def __str__(self) -> str:
        return f"queue {self.name}"

    def is_paused(self, now: int) -> bool:
        return self.settings.paused_until is not None and self.settings.paused_until > now


class PlainLane:
    """A lane with its own limits, and what was learned of it."""

    def __init__(self, queue: PlainQueue, key: str) -> None:
        self.queue = queue
        self.key = key
        self.own = LaneLimits()
        self.windows = [PlainWindow(rate, 0, fresh=True) for rate in self.rates]
        self.hold: Hold | None = None
        self.failures = 0
        self.trips = 0
        """How often the breaker has held it since the last good attempt."""

    def __str__(self) -> str:
        return f"lane {self.queue.name}/{self.key}"

    @property
    def cap(self) -> int | None:
        each = self.queue.settings.per_key.concurrency
        cap = each if self.own.concurrency is None else self.own.concurrency
        return cap if not self.trips else 1 if cap is None else min(cap, 1)

    @property
    def rates(self) -> tuple[Rate, ...]:
        each = self.queue.settings.per_key.rate
        return (each if self.own.rate is None else self.own.rate) or ()

    def settle(self, now: int) -> None:
        """Take the windows that hold now."""
        self.windows = _carry(self.windows, self.rates, now)

    def held_until(self, now: int) -> int | None:
        return None if self.hold is None or self.hold.until <= now else self.hold.until

    def take(self, hold: Hold, now: int) -> None:
        """A hold that something taught: it never makes one that is there end sooner."""
        if hold.until > max(now, self.held_until(now) or 0):
            self.hold = hold

    def judge(self, breaker: Breaker, health: str, now: int) -> None:
        if health == "good":
            self.failures = self.trips = 0
        elif not self.trips or self.held_until(now) is None:
            self.failures += 1
            if self.trips or self.failures >= breaker.failures:
                seconds = min(breaker.hold * 2**self.trips, breaker.max_hold)
                self.trips += 1
                self.take(Hold(now + round(seconds * 1000), "breaker"), now)


class Plain:
    """All of it: what a store was told and what it answered."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.queues: dict[str, PlainQueue] = {}

    def queue(self, name: str) -> PlainQueue:
        return self.queues.setdefault(name, PlainQueue(name))

    def lane(self, queue: str, key: str) -> PlainLane:
        found = self.queue(queue)
        if key not in found.lanes:
            found.lanes[key] = PlainLane(found, key)
        return found.lanes[key]

    def of(self, state: str, lane: PlainLane | None = None, queue: PlainQueue | None = None) -> list[Item]:
        """Tasks in a state, in their order."""
        found = [
            item
            for item in self.items.values()
            if item.state == state and lane in (None, item.lane) and queue in (None, item.lane.queue)
        ]
        return sorted(found, key=lambda item: item.order)

    # --- what a claim gave ---

    def judge(self, session: str, claims: Sequence[Claim], now: int) -> None:
        """Each of these may run, is next in its lane, and passes no limit."""
        given: dict[PlainLane, list[str]] = {}
        for claim in claims:
            assert self.items[claim.uuid].state == "queued", f"{claim.uuid} was not queued"
            given.setdefault(self.items[claim.uuid].lane, []).append(claim.uuid)
        for lane, uuids in given.items():
            assert not lane.queue.is_paused(now), f"{lane} is paused"
            assert lane.held_until(now) is None, f"{lane} is held"
            assert uuids == [item.uuid for item in self.of("queued", lane)][: len(uuids)], f"{lane} is out of order"
        for claim in claims:
            self._start(self.items[claim.uuid], session, claim, now)
        for lane in given:
            assert lane.cap is None or len(self.of("pending", lane)) <= lane.cap, f"{lane} runs too many"
        for queue in {lane.queue for lane in given}:
            cap = queue.settings.concurrency
            assert cap is None or len(self.of("pending", queue=queue)) <= cap, f"{queue} runs too many"

    def _start(self, item: Item, session: str, claim: Claim, now: int) -> None:
        item.state, item.session = "pending", session
        item.attempt, item.claimed_at = item.attempt + 1, now
        assert (claim.attempt, claim.claimed_at) == (item.attempt, now)
        for window in item.lane.queue.windows + item.lane.windows:
            window.spend(window.size(item.cost), now)
            assert not window.size(item.cost) or not window.passes(now), f"{item.lane} passes {window.rate}"

    def judge_rest(self, again_at: int | None, now: int) -> None:
        """A claim that could have given more left nothing out, and says when something will be ready."""
        bounds: list[int] = []
        for queue in self.queues.values():
            cap = queue.settings.concurrency
            if cap is not None and len(self.of("pending", queue=queue)) >= cap:
                continue
            waits: list[int] = []
            for lane in queue.lanes.values():
                first = next(iter(self.of("queued", lane)), None)
                if first is not None and (lane.cap is None or len(self.of("pending", lane)) < lane.cap):
                    waits.append(self._opens(lane, first, now))
            by_cost = any(window.rate.unit is not None for window in queue.windows)
            if waits:
                # Where the queue's budget is waited for, whoever is next has the word.
                bounds.append(max(waits) if by_cost else min(waits))
        ready = min(bounds, default=FOREVER)
        assert ready > now, "something was left out"
        assert again_at is None or again_at > now
        assert ready >= FOREVER or (again_at is not None and again_at <= ready), f"{again_at} is after {ready}"

    def _opens(self, lane: PlainLane, first: Item, now: int) -> int:
        """When this task, which is next in its lane, may run at the latest, if nothing else happens."""
        queue = lane.queue
        return max(
            now,
            lane.held_until(now) or 0,
            queue.settings.paused_until or 0,
            *(window.surely_opens(window.size(first.cost), now) for window in queue.windows + lane.windows),
        )
