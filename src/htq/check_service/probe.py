"""What is tried, in which order. Each trial gives what was seen; what it means is for `findings`."""

from collections.abc import Callable
from typing import NamedTuple

from htq.check_service.wire import Exchange, Result
from htq.policy.fields import attempt_headers, stop_headers
from htq.policy.target import parse_target
from htq.words.clock import Chance, Clock
from htq.words.task import Request

__all__ = ["GRACE", "Plan", "Seen", "probe"]

GRACE = 2.0
"""Seconds that htq gives the request to end by itself, from the first byte of the DELETE."""

_STOP_TOTAL = 10.0
"""htq's own bound for the DELETE."""
_QUIET = 0.5
"""Seconds after which a request that was not to be touched is taken to be untouched."""


class Plan(NamedTuple):
    """What to send, and how slow it is."""

    request: Request
    body: bytes
    credentials: frozenset[str]
    """Lower-case names of the caller's headers that say who calls."""
    running_after: float
    """Seconds after which the request must still be running."""


class Seen(NamedTuple):
    """What was seen. None where it was not tried, or went on."""

    early: Result | None = None
    """The request, where it had ended before it could be canceled; all else is None then."""
    answer: Result | None = None
    """The answer to the DELETE; None if there was none within 10 s."""
    ended: Result | None = None
    """The request that was canceled, if it ended by itself within the grace."""
    bystander: Result | None = None
    """Another request to the same URL, if it ended as well: it should not have."""
    repeated: Result | None = None
    """The answer to the same DELETE once more."""
    other_attempt: Result | None = None
    """A request after a stop for another attempt of its task, if that ended it."""
    stranger: Result | None = None
    """A request after a stop without its credentials, if that ended it."""
    tried_stranger: bool = False
    tried_finer_points: bool = False
    late: Result | None = None
    """The answer to a request that came after its own DELETE; None if it was running after a second."""


class _Prober:
    def __init__(self, plan: Plan, clock: Clock, chance: Chance) -> None:
        self._plan = plan
        self._target = parse_target(plan.request.url)
        self._clock = clock
        self._chance = chance
        self._open: list[Exchange] = []

    def task(self) -> str:
        return self._chance.uuid()

    def run(self, task: str) -> Exchange:
        request = self._plan.request
        headers = attempt_headers(request, task, 1)
        return self._exchange(request.method.upper(), headers, self._plan.body, self._plan.running_after + 60)

    def stop(self, task: str, attempt: int = 1, *, anonymous: bool = False) -> Exchange:
        headers = stop_headers(self._plan.request, task, attempt)
        if anonymous:
            headers = tuple((name, value) for name, value in headers if name.lower() not in self._plan.credentials)
        return self._exchange("DELETE", headers, b"", _STOP_TOTAL)

    def close(self) -> None:
        for exchange in self._open:
            exchange.close()

    def _exchange(self, method: str, headers: tuple[tuple[str, str], ...], body: bytes, timeout: float) -> Exchange:
        exchange = Exchange(self._target, method, headers, body, timeout=timeout, clock=self._clock)
        self._open.append(exchange)
        return exchange


def probe(plan: Plan, clock: Clock, chance: Chance, say: Callable[[str], None]) -> Seen:
    """Try it all; `say` is told what is under way. Leaves nothing running here; in the service, what it doesn't stop."""
    prober = _Prober(plan, clock, chance)
    try:
        seen = _main(prober, plan, say)
        if seen.early is None and (_is_yes(seen.answer) or seen.ended is not None):
            seen = _finer_points(prober, plan, say, seen)
        return seen
    finally:
        prober.close()


def _main(prober: _Prober, plan: Plan, say: Callable[[str], None]) -> Seen:
    say("starting two slow requests")
    task, other = prober.task(), prober.task()
    run, bystander = prober.run(task), prober.run(other)
    early = run.wait(plan.running_after)
    if early is None:
        early = bystander.wait(0)
    if early is not None:
        _clear(prober, task, other)
        return Seen(early=early)
    say("canceling one of them")
    stop = prober.stop(task)
    ended = run.wait(GRACE)
    answer = stop.wait(_STOP_TOTAL)
    untouched = bystander.wait(_QUIET)
    run.close()
    repeated = prober.stop(task).wait(_STOP_TOTAL) if _is_yes(answer) else None
    _clear(prober, other)
    bystander.close()
    return Seen(answer=answer, ended=ended, bystander=untouched, repeated=repeated)


def _finer_points(prober: _Prober, plan: Plan, say: Callable[[str], None], seen: Seen) -> Seen:
    say("sending stops that should stop nothing")
    task = prober.task()
    run = prober.run(task)
    if (early := run.wait(plan.running_after)) is not None:
        return seen._replace(early=early)
    prober.stop(task, 2).wait(_STOP_TOTAL)
    by_other_attempt = run.wait(_QUIET)
    tries_stranger = bool(plan.credentials) and by_other_attempt is None
    if tries_stranger:
        prober.stop(task, anonymous=True).wait(_STOP_TOTAL)
    by_stranger = run.wait(_QUIET) if tries_stranger else None
    _clear(prober, task)
    run.close()

    say("sending a request that was canceled before it came")
    late_task = prober.task()
    prober.stop(late_task).wait(_STOP_TOTAL)
    late_run = prober.run(late_task)
    late = late_run.wait(1.0)
    if late is None:
        _clear(prober, late_task)
    late_run.close()
    return seen._replace(
        other_attempt=by_other_attempt,
        stranger=by_stranger,
        tried_stranger=tries_stranger,
        tried_finer_points=True,
        late=late,
    )


def _clear(prober: _Prober, *tasks: str) -> None:
    """Don't leave work behind in the service, as far as it lets itself be told."""
    for stop in [prober.stop(task) for task in tasks]:
        stop.wait(_STOP_TOTAL)


def _is_yes(answer: Result | None) -> bool:
    return answer is not None and answer.status in (200, 202, 204)
