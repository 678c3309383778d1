"""An attempt: from a claim to the outcome that the store is told."""

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from htq.policy.costs import MAX_BODY, looks_into_body
from htq.policy.fields import attempt_headers
from htq.policy.signing import Signature
from htq.sender.base import Message, Reply
from htq.stores.base import CHUNK, Canceled, Claim, Done, Interrupted, Outcome, Released, Retry
from htq.words.attempt import AttemptRecord, Phase
from htq.words.errors import SendError
from htq.worker.bodies import AttemptLost, Spill, request_body
from htq.worker.context import Context
from htq.worker.judging import Judge, Verdict
from htq.worker.run import Run

__all__ = ["Attempts"]

log = logging.getLogger("htq.worker")


class Attempts:
    """Makes attempts. Each claim ends in one outcome, unless its lease is lost: then in none."""

    def __init__(self, context: Context, *, ended: Callable[[Run, Outcome], None]) -> None:
        self._context = context
        self._clock = context.clock
        self._time = context.time
        self._judge = Judge(context.time, context.chance)
        self._ended = ended
        self._debug = log.isEnabledFor(logging.DEBUG)

    async def make(self, run: Run) -> None:
        """Send the request, and tell `ended` what came of it."""
        if not run.begin():
            self._end(run, _aborted(run), None)
            return
        claim = run.claim
        if self._debug:
            log.debug("[%s] sending request...", claim.uuid, extra={"uuid": claim.uuid})
        started = self._clock.steady()
        code: int | None = None
        try:
            message = self._message(claim)
            if claim.request.signed:
                message = await self._signed(claim, message)
            keeps = MAX_BODY if claim.request.cost_from and looks_into_body(claim.request.cost_from) else 0
            spill = Spill(self._context.store, claim, self._context.persist, keeps)
            reply = await self._context.sender.send(message, run.exchange, spill, CHUNK)
            code = reply.code
            verdict = self._received(run, reply, spill.kept, started)
        except SendError as error:
            verdict = self._failed(run, error, started)
        except asyncio.CancelledError:
            if run.ending is None:
                raise
            verdict = _aborted(run)
        except AttemptLost:
            return
        except Exception as defect:
            # A defect must not take the worker and every other request with it, nor come back with each new attempt.
            log.exception("[%s] a defect of htq's own ended this attempt", claim.uuid)
            internal = SendError("internal", f"{type(defect).__name__}: {defect}", sent=not run.is_unsent)
            verdict = self._failed(run, internal, started)
        self._end(run, verdict, code)

    def _message(self, claim: Claim) -> Message:
        request = claim.request
        return Message(
            method=request.method.upper(),
            url=request.url,
            headers=attempt_headers(request, claim.uuid, claim.attempt),
            body=request_body(self._context.store, claim, self._context.persist),
            timeouts=request.timeouts,
            max_response=request.max_response,
            redirects=request.redirects,
            # An attempt that was no failure, and still led to this one: a kept connection was dead, or its worker died.
            fresh=claim.attempt - 1 > claim.failures,
        )

    async def _signed(self, claim: Claim, message: Message) -> Message:
        """The message with its signature, which is of this moment: a receiver refuses one that is minutes old."""
        signature = Signature(self._context.signing_keys, claim.uuid, self._clock.now_ms() // 1000)
        if isinstance(message.body, bytes):
            signature.update(message.body)
        elif self._context.signing_keys:
            async for piece in message.body.open():
                signature.update(piece)
        return replace(message, headers=(*message.headers, *signature.headers()))

    def _received(self, run: Run, reply: Reply, spilled: bytes | None, started: float) -> Verdict:
        run.completed = True
        if run.delete is not None and not run.stop_begun:
            # Nothing is running any more: in this very moment, since its first byte may be about to leave.
            run.delete.cancel()
            run.stopping = False
        if self._debug:
            log.debug("[%s] response received", run.claim.uuid, extra={"uuid": run.claim.uuid})
        verdict = self._judge.replied(run.claim, reply, self._elapsed_ms(started), spilled)
        if self._debug and isinstance(verdict.result, Retry):
            self._say_again(run.claim, verdict.result)
        return verdict

    def _failed(self, run: Run, error: SendError, started: float) -> Verdict:
        if run.ending is not None:
            # This worker ended the exchange: how that looked says nothing of the target.
            return replace(_aborted(run), reason=error.reason, message=str(error))
        claim = run.claim
        verdict = self._judge.failed(claim, error, self._elapsed_ms(started), sent=error.sent or not run.is_unsent)
        if self._debug and isinstance(verdict.result, Done):
            log.debug("[%s] request %s", claim.uuid, verdict.result.state, extra={"uuid": claim.uuid})
        elif self._debug and isinstance(verdict.result, Retry):
            self._say_again(claim, verdict.result)
        return verdict

    def _say_again(self, claim: Claim, retry: Retry) -> None:
        seconds = max((retry.due_at - self._time.now_ms()) / 1000, 0.0)
        log.debug("[%s] request failed, again in %.1f s", claim.uuid, seconds, extra={"uuid": claim.uuid})

    def _end(self, run: Run, verdict: Verdict, code: int | None) -> None:
        claim, exchange = run.claim, run.exchange
        now = self._time.now_ms()
        phase: Phase = "finished" if run.completed else exchange.phase
        record = AttemptRecord(
            attempt=claim.attempt,
            session=self._context.session,
            claimed_at=claim.claimed_at,
            ended_at=now,
            phase=phase,
            reason=verdict.reason,
            message=verdict.message,
            code=code,
            remote=exchange.remote,
            reused=exchange.reused,
            bytes_sent=exchange.bytes_sent,
            bytes_received=exchange.bytes_received,
            timings_ms=exchange.timings_ms,
            closed_by=exchange.closed_by,
        )
        result, health = verdict.result, verdict.health
        if run.completed and isinstance(result, Retry) and result.between:
            # Should a cancel be on record by now, it comes between this attempt and the next: the DELETE for this one is owed.
            phase = "between_attempts"
        if run.stop_begun and run.cancel_phase is not None:
            # The DELETE is on its way, so the request was still open when it left: `finished` would settle it as not sent.
            phase = run.cancel_phase
        if run.cancel is not None and health == "bad":
            health = None  # What a target does when it is told to stop is no sign that it is unwell.
        outcome = Outcome(
            uuid=claim.uuid,
            attempt=claim.attempt,
            result=result,
            record=record,
            phase=phase,
            interrupted_at=now if run.ending is not None else None,
            owes_stop=verdict.owes_stop,
            hold=verdict.hold,
            health=health,
            costs=verdict.costs,
        )
        self._ended(run, outcome)

    def _elapsed_ms(self, started: float) -> float:
        return round((self._clock.steady() - started) * 1000, 2)


def _aborted(run: Run) -> Verdict:
    """The verdict on an exchange that this worker ended itself."""
    if run.ending == "canceled":
        return Verdict(Canceled(), "canceled")
    return Verdict(Released() if run.is_unsent else Interrupted(), "interrupted")
