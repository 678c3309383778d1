"""What goes over the wire to the functions: maps for what Lua looks into, blobs for what it only keeps."""

import hashlib
from functools import lru_cache
from typing import Final

import msgspec

from htq.stores.base import BODY_INLINE, CHUNK, STOP_LAPSES_AFTER, Done, Interrupted, Outcome, StopSettled
from htq.stores.redis.records import Attempted, Facts, pack_spec
from htq.words.task import NewTask

__all__ = ["Arrival", "Ending", "Settling", "arrival", "ending", "settling"]

_AGEING_MS: Final = 60_000
"""A step of priority is worth a minute of waiting."""

_encode = msgspec.msgpack.Encoder().encode


class Arrival(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A new task, as the function `enqueue` takes it. Absent fields are nil there."""

    uuid: str
    lane: str
    queue: str
    later: int
    """What its priority adds to `run_at`, in ms: its order in the lane."""
    ttl: int
    facts: int
    """At which byte of the spec they begin."""
    run_at: int | None = None
    lapse: int | None = None
    """Milliseconds for which a stop is worth sending; absent where the policy says that none is."""
    once: str | None = None
    name: str | None = None
    chunks: int | None = None


class Ending(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An outcome, as the function `finish` takes it."""

    uuid: str
    attempt: int
    kind: str
    phase: str
    state: str | None = None
    reason: str | None = None
    interrupted_at: int | None = None
    chunks: int | None = None
    """Chunks of the response's body that travel along."""
    beside: bool | None = None
    """Whether the body was appended before."""
    owes: bool | None = None
    """Whether the target is owed a stop all the same."""


class Settling(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What came of a stop, as the function `settle_stops` takes it."""

    uuid: str
    attempt: int
    state: str
    code: int | None = None
    tries: int
    elapsed_ms: float | None = None
    proof: str


def _chunks_of(body: bytes) -> list[bytes]:
    """The parts in which a body lies beside its record."""
    return [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]


@lru_cache(maxsize=4096)
def _lane_id(queue: str, key: str) -> str:
    """32 hex digits; the first 16 are the queue's."""
    return _digest(queue, 8) + _digest(key, 8)


def _name_id(tenant: str, name: str) -> str:
    # The length in front keeps ("a", "bc") and ("ab", "c") apart.
    return _digest(f"{len(tenant)}:{tenant}{name}", 20)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def arrival(task: NewTask) -> tuple[Arrival, list[bytes]]:
    """A new task as the function takes it, and the blobs that go beside: its spec, and the chunks of a large body."""
    body = task.body
    chunks = _chunks_of(body) if len(body) > BODY_INLINE else []
    request = task.request
    head = Attempted(request, None if chunks else body, len(body), task.delivery)
    facts = Facts(
        task.tenant,
        task.owner,
        task.name,
        task.queue,
        task.key,
        task.host,
        task.priority,
        task.labels,
        task.result_ttl,
    )
    packed, facts_at = pack_spec(head, facts)
    taken = Arrival(
        uuid=task.uuid,
        lane=_lane_id(task.queue, task.key),
        queue=task.queue,
        later=(9 - task.priority) * _AGEING_MS,
        ttl=round(task.result_ttl * 1000),
        facts=facts_at,
        run_at=task.run_at,
        lapse=round(max(request.timeouts.total, STOP_LAPSES_AFTER) * 1000) if request.stop.delete else None,
        once="1" if task.delivery == "at_most_once" else None,
        name=None if task.name is None else _name_id(task.tenant, task.name),
        chunks=len(chunks) or None,
    )
    return taken, [packed, *chunks]


def ending(outcome: Outcome) -> tuple[Ending, list[bytes]]:
    """An outcome as the function takes it, and the blobs beside: its record, then the response and chunks of its body."""
    blobs = [_encode(outcome.record)]
    result = outcome.result
    if not isinstance(result, Done):
        kind = "interrupted" if isinstance(result, Interrupted) else "released"
        return Ending(
            uuid=outcome.uuid,
            attempt=outcome.attempt,
            kind=kind,
            phase=outcome.phase,
            interrupted_at=outcome.interrupted_at,
        ), blobs
    response = result.response
    body = response.body
    chunks: list[bytes] = []
    if body is not None and len(body) > BODY_INLINE:
        chunks = _chunks_of(body)
        response = msgspec.structs.replace(response, body=None)
    taken = Ending(
        uuid=outcome.uuid,
        attempt=outcome.attempt,
        kind="done",
        phase=outcome.phase,
        state=result.state,
        reason=result.reason,
        interrupted_at=outcome.interrupted_at,
        chunks=len(chunks) or None,
        beside=True if body is None else None,
        owes=outcome.owes_stop or None,
    )
    return taken, [*blobs, _encode(response), *chunks]


def settling(settled: StopSettled) -> Settling:
    """What came of a stop as the function takes it."""
    return Settling(
        uuid=settled.uuid,
        attempt=settled.attempt,
        state=settled.state,
        code=settled.code,
        tries=settled.tries,
        elapsed_ms=settled.elapsed_ms,
        proof=settled.proof,
    )
