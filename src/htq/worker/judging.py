"""What an exchange that came to its own end means: for the task, for its lane, for what it is charged."""

from typing import Final

import msgspec
from msgspec.structs import replace

from htq.policy.costs import actual_costs
from htq.policy.learning import health, hold, retry_after
from htq.policy.retrying import TIMEOUTS, Over, is_failure, next_attempt
from htq.policy.store_time import StoreTime
from htq.sender.base import Reply
from htq.stores.base import Canceled, Claim, Done, Interrupted, Released, Retry
from htq.words.clock import Chance
from htq.words.errors import SendError
from htq.words.limits import Health, Hold
from htq.words.reasons import Reason
from htq.words.task import Headers, Response

__all__ = ["Judge", "Verdict"]

_IDEMPOTENT: Final[frozenset[str]] = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""RFC 9110, 9.2.2: what may be sent again when a kept connection turned out dead."""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of the attempt, why (for its record), and what the store is to learn from it."""

    result: Done | Retry | Released | Interrupted | Canceled
    reason: Reason | None = None
    message: str | None = None
    owes_stop: bool = False
    hold: Hold | None = None
    health: Health | None = None
    costs: dict[str, float] | None = None


class Judge:
    """Judges by the task's own policy; without one any answer is a success, and any failure the end (the seed).

    All times are by the store's clock, to which they go.
    """

    def __init__(self, time: StoreTime, chance: Chance) -> None:
        self._time = time
        self._chance = chance

    def replied(self, claim: Claim, reply: Reply, elapsed_ms: float, spilled: bytes | None) -> Verdict:
        """An answer came. `spilled` is its body as far as that was laid beside the task, and is looked into."""
        request = claim.request
        now = self._time.now_ms()
        response = Response(
            time=now,
            elapsed_ms=elapsed_ms,
            code=reply.code,
            phrase=reply.phrase,
            headers=reply.headers,
            body=reply.body,
            body_size=reply.body_size,
        )
        verdict = Verdict(
            Done("success", response),
            hold=hold(reply.code, reply.headers, now),
            health=health(reply.code, None),
            costs=_costs(request.cost_from, reply, spilled) if request.cost_from else None,
        )
        if request.retry is None or not is_failure(request.retry, reply.code, None):
            return verdict
        message = f"the target answered {reply.code}"
        after = self._after(claim, now, sent=True, headers=reply.headers)
        if isinstance(after, Retry):
            return replace(verdict, result=after, reason="status", message=message)
        message = f"{message}, and {after.because}"
        failed = Done("error", replace(response, message=message), "status")
        return replace(verdict, result=failed, reason="status", message=message)

    def failed(self, claim: Claim, error: SendError, elapsed_ms: float, *, sent: bool) -> Verdict:
        """No answer came. `sent`: whether a byte of the request may have left."""
        request, reason, message = claim.request, error.reason, str(error)
        is_over_time = reason in TIMEOUTS
        verdict = Verdict(
            Released(),
            reason,
            message,
            owes_stop=is_over_time and request.stop.on_timeout,
            health=health(None, reason),
        )
        if (
            reason == "connection_reused"
            and request.method.upper() in _IDEMPOTENT
            and claim.delivery == "at_least_once"
        ):
            return verdict
        now = self._time.now_ms()
        if request.retry is not None and is_failure(request.retry, None, reason):
            after = self._after(claim, now, sent=sent)
            if isinstance(after, Retry):
                return replace(verdict, result=after)
            message = f"{message}, and {after.because}"
        response = Response(time=now, elapsed_ms=elapsed_ms, message=message)
        return replace(verdict, result=Done("timeout" if is_over_time else "error", response, reason), message=message)

    def _after(self, claim: Claim, now: int, *, sent: bool, headers: Headers = ()) -> Retry | Over:
        policy = claim.request.retry
        assert policy is not None
        after = next_attempt(
            policy,
            failures=claim.failures,
            delivery=claim.delivery,
            sent=sent,
            headers=headers,
            retry_after=retry_after(headers, now),
            begun_at=claim.begun_at,
            now=now,
            fraction=self._chance.below(1.0),
        )
        if isinstance(after, Over):
            return after
        return Retry(after.due_at, between=sent and claim.request.stop.between)


def _costs(cost_from: dict[str, str], reply: Reply, spilled: bytes | None) -> dict[str, float] | None:
    return actual_costs(cost_from, reply.headers, spilled if reply.body is None else reply.body)
