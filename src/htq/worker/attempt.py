"""An attempt: from a claim to the outcome that the store is told."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from htq.policy.fields import attempt_headers
from htq.sender.base import Message, Reply, Sender
from htq.stores.base import CHUNK, Canceled, Claim, Done, Interrupted, Outcome, Released, Store
from htq.words.attempt import AttemptRecord, Phase
from htq.words.clock import Clock
from htq.words.errors import SendError
from htq.words.reasons import Reason
from htq.words.task import Response
from htq.worker.bodies import AttemptLost, Spill, request_body
from htq.worker.persist import Persistence
from htq.worker.run import Run

__all__ = ["Attempts"]

log = logging.getLogger("htq.worker")

_TIMEOUTS: Final[frozenset[Reason]] = frozenset({"first_byte", "idle", "total"})

_IDEMPOTENT: Final[frozenset[str]] = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""RFC 9110, 9.2.2: what may be sent again when a kept connection turned out dead."""

Result = Done | Released | Interrupted | Canceled


class Attempts:
    """Makes attempts. Each claim ends in one outcome, unless its lease is lost: then in none."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        session: str,
        *,
        clock: Clock,
        persist: Persistence,
        ended: Callable[[Run, Outcome], None],
    ) -> None:
        self._store = store
        self._sender = sender
        self._session = session
        self._clock = clock
        self._persist = persist
        self._ended = ended
        self._debug = log.isEnabledFor(logging.DEBUG)

    async def make(self, run: Run) -> None:
        """Send the request, and tell `ended` what came of it."""
        if not run.begin():
            self._ended(run, self._outcome(run, self._aborted(run), None, None))
            return
        claim = run.claim
        if self._debug:
            log.debug("[%s] sending request...", claim.uuid, extra={"uuid": claim.uuid})
        started = self._clock.steady()
        error: SendError | None = None
        reply: Reply | None = None
        result: Result
        try:
            message = self._message(claim)
            reply = await self._sender.send(message, run.exchange, Spill(self._store, claim, self._persist), CHUNK)
            result = self._received(run, reply, started)
        except SendError as failure:
            error = failure
            result = self._failed(run, failure, started)
        except asyncio.CancelledError:
            if run.ending is None:
                raise
            result = self._aborted(run)
        except AttemptLost:
            return
        except Exception as defect:
            # A defect must not take the worker and every other request with it, nor come back with each new attempt.
            log.exception("[%s] a defect of htq's own ended this attempt", claim.uuid)
            error = SendError("internal", f"{type(defect).__name__}: {defect}", sent=not run.is_unsent)
            result = self._failed(run, error, started)
        self._ended(run, self._outcome(run, result, reply, error))

    def _message(self, claim: Claim) -> Message:
        request = claim.request
        return Message(
            method=request.method.upper(),
            url=request.url,
            headers=attempt_headers(request, claim.uuid, claim.attempt),
            body=request_body(self._store, claim, self._persist),
            timeouts=request.timeouts,
            max_response=request.max_response,
            redirects=request.redirects,
            fresh=claim.attempt > 1,
        )

    def _received(self, run: Run, reply: Reply, started: float) -> Done:
        run.completed = True
        if run.delete is not None and not run.stop_begun:
            # Nothing is running any more: in this very moment, since its first byte may be about to leave.
            run.delete.cancel()
        if self._debug:
            log.debug("[%s] response received", run.claim.uuid, extra={"uuid": run.claim.uuid})
        return Done(
            "success",
            Response(
                time=self._clock.now_ms(),
                elapsed_ms=self._elapsed_ms(started),
                code=reply.code,
                phrase=reply.phrase,
                headers=reply.headers,
                body=reply.body,
                body_size=reply.body_size,
            ),
        )

    def _failed(self, run: Run, error: SendError, started: float) -> Result:
        claim = run.claim
        if run.ending is not None:
            return self._aborted(run)
        if (
            error.reason == "connection_reused"
            and claim.request.method.upper() in _IDEMPOTENT
            and claim.delivery == "at_least_once"
        ):
            return Released()
        status = "timeout" if error.reason in _TIMEOUTS else "error"
        if self._debug:
            log.debug("[%s] request %s", claim.uuid, status, extra={"uuid": claim.uuid})
        response = Response(time=self._clock.now_ms(), elapsed_ms=self._elapsed_ms(started), message=str(error))
        return Done("timeout" if status == "timeout" else "error", response, error.reason)

    def _aborted(self, run: Run) -> Result:
        if run.ending == "canceled":
            return Canceled()
        return Released() if run.is_unsent else Interrupted()

    def _outcome(self, run: Run, result: Result, reply: Reply | None, error: SendError | None) -> Outcome:
        claim, exchange = run.claim, run.exchange
        now = self._clock.now_ms()
        phase: Phase = exchange.phase
        if run.completed:
            phase = "finished"
        record = AttemptRecord(
            attempt=claim.attempt,
            session=self._session,
            claimed_at=claim.claimed_at,
            ended_at=now,
            phase=phase,
            reason=error.reason if error is not None else self._reason(run),
            message=str(error) if error is not None else None,
            code=reply.code if reply is not None else None,
            remote=exchange.remote,
            reused=exchange.reused,
            bytes_sent=exchange.bytes_sent,
            bytes_received=exchange.bytes_received,
            timings_ms=exchange.timings_ms,
            closed_by=exchange.closed_by,
        )
        if run.stop_begun and run.cancel_phase is not None:
            # The DELETE is on its way, so the request was still open when it left: `finished` would settle it as not sent.
            phase = run.cancel_phase
        return Outcome(
            uuid=claim.uuid,
            attempt=claim.attempt,
            result=result,
            record=record,
            phase=phase,
            interrupted_at=now if run.ending is not None else None,
            owes_stop=isinstance(result, Done) and result.state == "timeout" and claim.request.stop.on_timeout,
        )

    def _reason(self, run: Run) -> Reason | None:
        if run.ending is None:
            return None
        return "canceled" if run.ending == "canceled" else "interrupted"

    def _elapsed_ms(self, started: float) -> float:
        return round((self._clock.steady() - started) * 1000, 2)
