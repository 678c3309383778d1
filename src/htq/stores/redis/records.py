"""A task's records as they lie in the keys, and how they become the words of the rest of htq."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from htq.stores.base import QueueSettings
from htq.words.attempt import AttemptRecord, Phase
from htq.words.callback import Callback
from htq.words.group import Group
from htq.words.limits import LaneLimits
from htq.words.reasons import Reason
from htq.words.schedule import Schedule
from htq.words.states import STATES, State
from htq.words.task import CancelRecord, DeleteRecord, DeleteState, Delivery, Proof, Request, Response, Task

__all__ = [
    "Attempted",
    "Facts",
    "Spec",
    "group_of",
    "known_form",
    "pack_spec",
    "read_attempt",
    "read_attempted",
    "read_facts",
    "read_lane_limits",
    "read_queue",
    "read_response",
    "read_schedule",
    "read_spec",
    "stop_of",
    "task_of",
]

T = TypeVar("T")

log = logging.getLogger("htq.stores.redis")

_encode: Final = msgspec.msgpack.Encoder().encode


class Attempted(msgspec.Struct, frozen=True, array_like=True):
    """The head of a `Spec`: what an attempt or a stop needs of it."""

    request: Request
    body: bytes | None
    body_size: int
    delivery: Delivery


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """The tail of a `Spec`: what filters look at. New fields go to the end, with a default."""

    tenant: str
    owner: str
    name: str | None
    queue: str
    key: str
    host: str
    priority: int
    labels: dict[str, str]
    result_ttl: float
    cost: dict[str, float] = {}
    group: str | None = None


class Spec(Attempted, frozen=True, array_like=True):
    """What only a patch changes in a task: the key `spec:<uuid>`. Nothing comes after its facts, which are read by themselves."""

    facts: Facts


_SPEC_OPENS: Final = b"\x95"


class _Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What changes in a task, as far as it is shown: the key `task:<uuid>`, whose fields lua/task.lua explains."""

    state: State
    version: int
    created_at: int
    run_at: int
    reason: Reason | None = None
    finished_at: int | None = None
    start_by: int | None = None
    deadline: int | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    response: str | None = None
    owed: int = 0
    cancel_at: int | None = None
    cancel_reason: str | msgspec.UnsetType = msgspec.UNSET
    """Unset in place of None: not being strict, msgspec would take the text `null` for None."""
    cancel_phase: Phase | None = None
    interrupted_at: int | None = None
    stop_state: DeleteState = "none"
    stop_code: int | None = None
    stop_tries: int = 0
    stop_ms: float | None = None
    stop_proof: Proof = "none"


def known_form(uuid: str) -> str:
    """`uuid`, or the empty string, which names no task, where it can't be one: it may come out of a caller's URL."""
    return uuid if len(uuid) == 36 and uuid.isascii() else ""


def pack_spec(head: Attempted, facts: Facts) -> tuple[bytes, int]:
    """A `Spec` from its two parts, and at which byte of it the facts begin."""
    packed = _encode(head)
    # The first byte of a short array counts its elements; a spec has one more than its head.
    return b"".join((_SPEC_OPENS, packed[1:], _encode(facts))), len(packed)


def _reader(type_: type[T]) -> Callable[[str, bytes | None], T | None]:
    decode = msgspec.msgpack.Decoder(type_).decode

    def read(uuid: str, packed: bytes | None) -> T | None:
        try:
            return None if packed is None else decode(packed)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _unreadable(uuid, error)
            return None

    return read


read_attempted = _reader(Attempted)
"""Of a task's uuid and its spec. This and the following give None where there is nothing, or nothing that can be read: a newer
htq may have written it. One record that is broken must not take others with it."""

read_spec = _reader(Spec)
read_facts = _reader(Facts)
read_queue = _reader(QueueSettings)
read_lane_limits = _reader(LaneLimits)
read_schedule = _reader(Schedule)
read_response = _reader(Response)
_read_callback = _reader(Callback)
read_attempt = _reader(AttemptRecord)


def task_of(uuid: str, flat: Sequence[bytes], packed: bytes | None) -> Task | None:
    """A task from the fields of its hash (names and values in turn) and its spec.

    None where there is no such task, or none that can be read.
    """
    spec = read_spec(uuid, packed) if flat else None
    if spec is None:
        return None
    try:
        fields = {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2) if flat[i] != b"cost"}
        # Not strict: a number comes as its digits.
        return _task(uuid, msgspec.convert(fields, _Standing, strict=False), spec)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        _unreadable(uuid, error)
        return None


def _task(uuid: str, standing: _Standing, spec: Spec) -> Task:
    facts = spec.facts
    return Task(
        uuid=uuid,
        request=spec.request,
        body=spec.body,
        body_size=spec.body_size,
        tenant=facts.tenant,
        owner=facts.owner,
        name=facts.name,
        queue=facts.queue,
        key=facts.key,
        host=facts.host,
        priority=facts.priority,
        labels=facts.labels,
        delivery=spec.delivery,
        result_ttl=facts.result_ttl,
        start_by=standing.start_by,
        deadline=standing.deadline,
        cost=facts.cost,
        group=facts.group,
        state=standing.state,
        reason=standing.reason,
        version=standing.version,
        created_at=standing.created_at,
        run_at=standing.run_at,
        finished_at=standing.finished_at,
        attempt=standing.attempt,
        failures=standing.failures,
        crashes=standing.crashes,
        has_response=standing.response is not None,
        cancel=_cancel(standing, standing.cancel_at) if standing.cancel_at is not None else None,
    )


def group_of(flat: Sequence[bytes]) -> Group | None:
    """A group from the fields of its hash, or None where there is none."""
    fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
    if not fields:
        return None
    closed_at, completed_at = fields.get("closed_at"), fields.get("completed_at")
    name = fields["name"].decode()
    return Group(
        tenant=fields["tenant"].decode(),
        name=name,
        created_at=int(fields["created_at"]),
        closed_at=None if closed_at is None else int(closed_at),
        completed_at=None if completed_at is None else int(completed_at),
        callback=_read_callback(name, fields.get("callback")),
        counts={state: int(fields.get(state, 0)) for state in STATES},
    )


def stop_of(row: bytes) -> DeleteRecord:
    """What came of a stop, from its element of `stop:<uuid>`."""
    state, _, _, *answer = row.decode().split(" ")
    fields = dict(zip(("code", "tries", "elapsed_ms"), answer, strict=False))
    known = {field: value for field, value in fields.items() if value != "-"}
    return msgspec.convert({"state": state, **known}, DeleteRecord, strict=False)


def _cancel(standing: _Standing, requested_at: int) -> CancelRecord:
    # With several stops (loose attempts have their own) one that is still owed speaks for all.
    if standing.owed:
        delete = DeleteRecord("owed")
    else:
        delete = DeleteRecord(standing.stop_state, standing.stop_code, standing.stop_tries, standing.stop_ms)
    return CancelRecord(
        requested_at=requested_at,
        reason=None if standing.cancel_reason is msgspec.UNSET else standing.cancel_reason,
        phase=standing.cancel_phase,
        interrupted_at=standing.interrupted_at,
        delete=delete,
        proof="none" if standing.owed else standing.stop_proof,
    )


def _unreadable(uuid: str, error: Exception) -> None:
    log.error("[%s] the record of this task can't be read: %s", uuid, error)
