"""The store's clock, seen from a machine that has another one."""

import pytest

from htq.policy.store_time import StoreTime
from support.clock import ManualClock

HOUR = 3_600_000


class Remote:
    """A store whose clock is `ahead` milliseconds of this machine's, and which takes its time."""

    def __init__(self, ahead: int) -> None:
        self.clock = ManualClock()
        self.ahead = ahead
        self.time = StoreTime(self.clock)

    @property
    def now(self) -> int:
        return self.clock.now_ms() + self.ahead

    @property
    def error(self) -> int:
        """Milliseconds."""
        return abs(self.time.now_ms() - self.now)

    def answers(self, there: float = 0.0, back: float = 0.0) -> None:
        """An exchange; `there` and `back` are what its ways take, in seconds."""
        asked = self.time.asks()
        self.clock.advance(there)
        at = self.now
        self.clock.advance(back)
        self.time.heard(at, asked)


def test_until_something_was_heard_this_machines_clock_is_believed() -> None:
    remote = Remote(HOUR)
    assert remote.time.now_ms() == remote.clock.now_ms()


@pytest.mark.parametrize("ahead", [0, 1, -1, HOUR, -HOUR])
def test_an_answer_tells_how_far_the_clocks_are_apart(ahead: int) -> None:
    remote = Remote(ahead)
    remote.answers()
    assert remote.error == 0
    remote.clock.advance(100)
    assert remote.error == 0


@pytest.mark.parametrize(("there", "back"), [(0.2, 0.0), (0.0, 0.2), (0.1, 0.1)])
def test_it_is_off_by_half_of_what_the_answer_took_at_most(there: float, back: float) -> None:
    remote = Remote(HOUR)
    remote.answers(there, back)
    assert remote.error <= 101


def test_the_quickest_answers_count() -> None:
    remote = Remote(-HOUR)
    for there, back in ((0.5, 0.001), (0.001, 0.5), (2.0, 2.0)):
        remote.answers(there, back)
    assert remote.error <= 2


@pytest.mark.parametrize("by", [-HOUR, -50, 50, HOUR])
def test_a_clock_that_was_set_is_noticed_with_the_next_answer(by: int) -> None:
    remote = Remote(0)
    remote.answers()
    remote.ahead += by
    remote.answers()
    assert remote.error == 0
