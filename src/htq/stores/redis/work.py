"""What workers do: sessions, claims, outcomes, stops, and the reaping of workers that are gone."""

from collections.abc import Sequence

import msgspec

from htq.stores.base import (
    BodyRef,
    Claim,
    Claims,
    Finished,
    Heartbeat,
    Outcome,
    RunningCancel,
    SessionInfo,
    Stop,
    StopSettled,
)
from htq.stores.redis.batches import BATCH, CLAIM, parts, weighed_parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.records import read_attempted
from htq.stores.redis.wire import ending, settling

__all__ = [
    "append_body",
    "claim",
    "claim_stops",
    "close_session",
    "finish",
    "heartbeat",
    "open_session",
    "reap",
    "settle_stops",
]


async def open_session(functions: Functions, session: str, info: SessionInfo, lease_for: float) -> None:
    await functions.step("open_session", (session, round(lease_for * 1000)), (msgspec.msgpack.encode(info),))


async def close_session(functions: Functions, session: str) -> None:
    ended = False
    while not ended:
        ended, _ = await functions.step("close_session", (session, BATCH))


async def heartbeat(functions: Functions, session: str, lease_for: float) -> Heartbeat:
    cancels, _ = await functions.step("heartbeat", (session, round(lease_for * 1000)))
    return Heartbeat(
        [
            RunningCancel(uuid, attempt, reason if isinstance(reason, str) else None, stop)
            for uuid, attempt, reason, stop in cancels
        ]
    )


async def claim(functions: Functions, session: str, seq: int, limit: int) -> Claims:
    (again_at, taken), specs = await functions.step("claim", (session, seq, min(limit, CLAIM)))
    claims = []
    for (uuid, attempt, claimed_at, *before), packed in zip(taken, specs, strict=True):
        spec = read_attempted(uuid, packed)
        failures, begun_at = before or (0, claimed_at)
        # One that can't be read stays pending until the session ends, and is counted as a crash then: it harms no other.
        if spec is not None:
            claims.append(
                Claim(
                    uuid=uuid,
                    attempt=attempt,
                    claimed_at=claimed_at,
                    request=spec.request,
                    body=spec.body,
                    body_size=spec.body_size,
                    delivery=spec.delivery,
                    failures=failures,
                    begun_at=begun_at,
                )
            )
    return Claims(claims, again_at or None)


async def finish(functions: Functions, session: str, outcomes: Sequence[Outcome]) -> list[Finished]:
    answers: list[Finished] = []
    for items, blobs in weighed_parts([ending(outcome) for outcome in outcomes]):
        told, _ = await functions.step("finish", (session, items), blobs)
        answers += told
    return answers


async def append_body(functions: Functions, ref: BodyRef, index: int, chunks: Sequence[bytes]) -> bool:
    taken: bool
    taken, _ = await functions.step("append_body", (ref.uuid, ref.attempt, index, len(chunks)), chunks)
    return taken


async def claim_stops(functions: Functions, session: str, seq: int, limit: int) -> list[Stop]:
    taken, specs = await functions.step("claim_stops", (session, seq, min(limit, CLAIM)))
    stops = []
    for (uuid, attempt, lapses_at), packed in zip(taken, specs, strict=True):
        spec = read_attempted(uuid, packed)
        if spec is not None:
            stops.append(Stop(uuid=uuid, attempt=attempt, request=spec.request, tries=0, lapses_at=lapses_at))
    return stops


async def settle_stops(functions: Functions, session: str, settled: Sequence[StopSettled]) -> list[bool]:
    answers: list[bool] = []
    for part in parts(settled):
        told, _ = await functions.step("settle_stops", (session, [settling(outcome) for outcome in part]))
        answers += told
    return answers


async def reap(functions: Functions, limit: int) -> int:
    reaped = 0
    left = limit
    while left > 0:
        wanted = min(left, BATCH)
        (tasks, stops), _ = await functions.step("reap", (wanted,))
        reaped += tasks
        left -= wanted
        if max(tasks, stops) < wanted:
            break
    return reaped
