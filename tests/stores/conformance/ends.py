"""Ends of attempts with what they say besides: of the target's health, of a hold, of the cost. And windows, for short."""

import msgspec

from htq.stores.base import Claim, Done, Finished, Outcome
from htq.words.attempt import Phase
from htq.words.limits import Health, Hold, Rate
from stores.conformance.lab import Lab, Result, Worker, answer, outcome

__all__ = ["LONG", "bad", "end", "ended", "good", "per_minute", "per_second", "times", "units", "wait"]

LONG = 1e7
"""Seconds of a lease that outlives a test, however far its clock goes."""


def per_second(limit: float, *, burst: float = 1.0) -> Rate:
    """So many tasks a second."""
    return Rate(limit=limit, per=1.0, burst=burst)


def per_minute(limit: float, *, burst: float = 1.0) -> Rate:
    """So many tasks a minute."""
    return Rate(limit=limit, per=60.0, burst=burst)


def units(limit: float, *, per: float = 60.0, unit: str = "tokens", burst: float | None = None) -> Rate:
    """So many units of cost, by default a minute, with the usual burst."""
    return Rate(limit=limit, per=per, burst=limit if burst is None else burst, unit=unit)


def ended(
    claim: Claim,
    session: str,
    now: int,
    result: Result | None = None,
    *,
    phase: Phase = "finished",
    hold: Hold | None = None,
    health: Health | None = None,
    costs: dict[str, float] | None = None,
) -> Outcome:
    """How the attempt of `claim` ended: well, unless `result` says otherwise."""
    given = Done("success", answer(now)) if result is None else result
    plain = outcome(claim, session, given, now, phase=phase)
    return msgspec.structs.replace(plain, hold=hold, health=health, costs=costs)


async def end(
    lab: Lab,
    worker: Worker,
    claim: Claim,
    result: Result | None = None,
    *,
    phase: Phase = "finished",
    hold: Hold | None = None,
    health: Health | None = None,
    costs: dict[str, float] | None = None,
) -> Finished:
    """Finish one attempt so."""
    one = ended(claim, worker.session, lab.now, result, phase=phase, hold=hold, health=health, costs=costs)
    (finished,) = await worker.store.finish(worker.session, [one])
    return finished


async def bad(lab: Lab, worker: Worker, claim: Claim) -> None:
    """End an attempt that says that its target is unwell."""
    assert await end(lab, worker, claim, health="bad") == "applied"


async def good(lab: Lab, worker: Worker, claim: Claim) -> None:
    """End an attempt that says that its target is well."""
    assert await end(lab, worker, claim, health="good") == "applied"


async def times(lab: Lab, worker: Worker, looks: int, limit: int = 100) -> list[tuple[int, int]]:
    """Look so often, each time when the last look said, and end at once what is given.

    Returns (milliseconds since the first look, tasks given), without the looks that gave nothing.
    """
    began = lab.now
    seen: list[tuple[int, int]] = []
    for _ in range(looks):
        claims, again_at = await worker.look(limit)
        if claims:
            seen.append((lab.now - began, len(claims)))
            await worker.finish_all(claims, Done("success", answer(lab.now)))
        if again_at is None:
            break
        wait(lab, again_at)
    return seen


def wait(lab: Lab, again_at: int | None) -> None:
    """Let the time pass until the last claim said to look again: it lies in the future."""
    assert again_at is not None
    assert again_at > lab.now
    lab.clock.advance((again_at - lab.now) / 1000)
