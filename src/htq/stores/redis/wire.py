"""What goes over the wire to the functions: maps for what Lua looks into, blobs for what it only keeps."""

import hashlib
from functools import lru_cache
from typing import Final

import msgspec

from htq.stores.base import (
    BODY_INLINE,
    CHUNK,
    STOP_LAPSES_AFTER,
    Done,
    Interrupted,
    Outcome,
    Patch,
    QueueSettings,
    Retry,
    StopSettled,
)
from htq.stores.redis.records import Attempted, Facts, Spec, pack_spec
from htq.words.callback import Callback
from htq.words.limits import Breaker, LaneLimits, Rate
from htq.words.task import NewTask, Request

__all__ = [
    "Amendment",
    "Arrival",
    "Ending",
    "Limits",
    "Settling",
    "amendment",
    "arrival",
    "ending",
    "lane_id",
    "limits_of",
    "queue_id",
    "settling",
    "tenant_id",
    "tenants_id",
]

_AGEING_MS: Final = 60_000
"""A step of priority is worth a minute of waiting."""

_encode = msgspec.msgpack.Encoder().encode


class Arrival(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A new task, as the function `enqueue` takes it. Absent fields are nil there."""

    uuid: str
    lane: str
    later: int
    """What its priority adds to `run_at`, in ms: its order in the lane."""
    ttl: int
    facts: int
    """At which byte of the spec they begin."""
    run_at: int | None = None
    lapse: int | None = None
    """Milliseconds for which a stop is worth sending; absent where the policy says that none is."""
    once: str | None = None
    chunks: int | None = None
    more: bool | None = None
    """Whether there is any of what follows."""
    name: str | None = None
    on_conflict: str = "cancel_previous"
    group: str | None = None
    group_name: str | None = None
    tenant: str | None = None
    key: str | None = None
    """Of its idempotency, as are the next two."""
    keep_for: int | None = None
    fingerprint: str | None = None
    callback: str | None = None
    cost: dict[str, float] = {}
    start_by: int | None = None
    deadline: int | None = None


class Amendment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What takes the place of parts of a task, as the function `patch` takes it. The fields are those of `Arrival`."""

    later: int
    ttl: int
    facts: int
    run_at: int
    lapse: int | None = None
    callback: str | None = None
    start_by: int | None = None
    deadline: int | None = None


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
    due_at: int | None = None
    between: bool | None = None
    hold: tuple[int, str] | None = None
    health: str | None = None
    costs: dict[str, float] | None = None


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What claims look at of a `QueueSettings`, the pause excepted."""

    concurrency: int | None = None
    rate: tuple[Rate, ...] = ()
    per_key: LaneLimits = LaneLimits()
    breaker: Breaker | None = None


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
def lane_id(queue: str, key: str) -> str:
    """32 hex digits; the first 16 are the queue's."""
    return queue_id(queue) + _digest(key, 8)


def queue_id(queue: str) -> str:
    """16 hex digits."""
    return _digest(queue, 8)


def tenants_id(tenant: str, name: str) -> str:
    """40 hex digits, for a name of a tenant's: of a task, a group, a key or a schedule."""
    # The length in front keeps ("a", "bc") and ("ab", "c") apart.
    return _digest(f"{len(tenant)}:{tenant}{name}", 20)


def tenant_id(tenant: str) -> str:
    """16 hex digits."""
    return _digest(tenant, 8)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def _lapse(request: Request) -> int | None:
    return round(max(request.timeouts.total, STOP_LAPSES_AFTER) * 1000) if request.stop.delete else None


def _told(callback: Callback | None) -> str | None:
    """The ends of which a callback tells, each between spaces."""
    return f" {' '.join(callback.on)} " if callback is not None and callback.on else None


def _later(priority: int) -> int:
    return (9 - priority) * _AGEING_MS


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
        task.cost,
        task.group,
    )
    packed, facts_at = pack_spec(head, facts)
    taken = Arrival(
        uuid=task.uuid,
        lane=lane_id(task.queue, task.key),
        later=_later(task.priority),
        ttl=round(task.result_ttl * 1000),
        facts=facts_at,
        run_at=task.run_at,
        lapse=_lapse(request),
        once="1" if task.delivery == "at_most_once" else None,
        chunks=len(chunks) or None,
    )
    if _is_plain(task):
        return taken, [packed, *chunks]
    return _with_more(taken, task), [packed, *chunks]


def _is_plain(task: NewTask) -> bool:
    """Whether nothing but its lane and its time has to do with a task."""
    return (
        task.name is None
        and task.group is None
        and task.request.callback is None
        and task.idempotency is None
        and task.start_by is None
        and task.deadline is None
        and not task.cost
    )


def _with_more(taken: Arrival, task: NewTask) -> Arrival:
    group, idempotency = task.group, task.idempotency
    return msgspec.structs.replace(
        taken,
        more=True,
        name=None if task.name is None else tenants_id(task.tenant, task.name),
        on_conflict=task.on_conflict,
        group=None if group is None else tenants_id(task.tenant, group),
        group_name=group,
        tenant=None if group is None else task.tenant,
        key=None if idempotency is None else tenants_id(task.tenant, idempotency.key),
        keep_for=None if idempotency is None else round(idempotency.keep_for * 1000),
        fingerprint=None if idempotency is None else idempotency.fingerprint.hex(),
        callback=_told(task.request.callback),
        cost=task.cost,
        start_by=task.start_by,
        deadline=task.deadline,
    )


def amendment(spec: Spec, patch: Patch) -> tuple[Amendment, bytes]:
    """A patch as the function takes it, and the task's new spec."""
    request = patch.request
    head = Attempted(request, spec.body, spec.body_size, spec.delivery)
    facts = msgspec.structs.replace(
        spec.facts, priority=patch.priority, labels=patch.labels, result_ttl=patch.result_ttl
    )
    packed, facts_at = pack_spec(head, facts)
    taken = Amendment(
        later=_later(patch.priority),
        ttl=round(patch.result_ttl * 1000),
        facts=facts_at,
        run_at=patch.run_at,
        lapse=_lapse(request),
        callback=_told(request.callback),
        start_by=patch.start_by,
        deadline=patch.deadline,
    )
    return taken, packed


def ending(outcome: Outcome) -> tuple[Ending, list[bytes]]:
    """An outcome as the function takes it, and the blobs beside: its record, then the response and chunks of its body."""
    blobs = [_encode(outcome.record)]
    result = outcome.result
    hold = outcome.hold
    held = None if hold is None else (hold.until, hold.reason)
    if not isinstance(result, Done):
        retry = result if isinstance(result, Retry) else None
        kind = "retry" if retry is not None else "interrupted" if isinstance(result, Interrupted) else "released"
        return Ending(
            uuid=outcome.uuid,
            attempt=outcome.attempt,
            kind=kind,
            phase=outcome.phase,
            interrupted_at=outcome.interrupted_at,
            owes=outcome.owes_stop or None,
            due_at=None if retry is None else retry.due_at,
            between=True if retry is not None and retry.between else None,
            hold=held,
            health=outcome.health,
            costs=outcome.costs,
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
        hold=held,
        health=outcome.health,
        costs=outcome.costs,
    )
    return taken, [*blobs, _encode(response), *chunks]


def limits_of(settings: QueueSettings) -> Limits | None:
    """What of a queue's settings holds anything back, or None."""
    limits = Limits(settings.concurrency, settings.rate, settings.per_key, settings.breaker)
    return None if limits == Limits() else limits


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
