"""What operators say of queues and lanes, and how these stand."""

from typing import Any, Final

import msgspec

from htq.stores.base import Lane, LanePage, QueueSettings
from htq.stores.redis.functions import Functions
from htq.stores.redis.records import read_lane_limits, read_queue
from htq.stores.redis.wire import lane_id, limits_of, queue_id
from htq.words.errors import Malformed
from htq.words.limits import HOLD_REASONS, Hold, HoldReason, LaneLimits

__all__ = ["delete_queue", "lane", "lanes", "pause_queue", "put_lane", "put_queue", "queues"]

_encode: Final = msgspec.msgpack.Encoder().encode

_LOOK_AT: Final = 1000
"""Lanes that a call looks at, about: a page that takes few of them comes short."""

_STEP: Final = 250


async def put_queue(functions: Functions, name: str, settings: QueueSettings) -> None:
    limits = limits_of(settings)
    header = (queue_id(name), name, settings.paused_until or 0, limits is not None)
    kept = msgspec.structs.replace(settings, paused_until=None)
    await functions.step("put_queue", header, (_encode(kept), b"" if limits is None else _encode(limits)))


async def pause_queue(functions: Functions, name: str, until: int | None) -> None:
    await functions.step("pause_queue", (queue_id(name), name, until or 0))


async def delete_queue(functions: Functions, name: str) -> bool:
    there: bool
    there, _ = await functions.step("delete_queue", (queue_id(name), name))
    return there


async def queues(functions: Functions) -> dict[str, QueueSettings]:
    settings, paused = await functions.read("queues", ())
    found: dict[str, QueueSettings] = {}
    for name, packed in _pairs(settings):
        read = read_queue(name, packed)
        if read is not None:
            found[name] = read
    for name, until in _pairs(paused):
        found[name] = msgspec.structs.replace(found.get(name, QueueSettings()), paused_until=int(until))
    return found


async def put_lane(functions: Functions, queue: str, key: str, limits: LaneLimits, hold: Hold | None) -> None:
    has_limits = limits != LaneLimits()
    held = False if hold is None else (hold.until, hold.reason)
    header = (queue_id(queue), queue, lane_id(queue, key), key, has_limits, held)
    await functions.step("put_lane", header, (_encode(limits),))


async def lane(functions: Functions, queue: str, key: str) -> Lane:
    now, row = await functions.read("lane", (lane_id(queue, key),))
    return _lane(queue, key, row, int(now))


async def lanes(functions: Functions, queue: str, held: bool, cursor: str | None, limit: int) -> LanePage:
    """The cursor says from where on Redis goes through the lanes, and after which lane of what it gave last: it gives about as many
    as it is asked for, so that those of a step stand in the order of their ids."""
    at, _, after = (cursor or "0:").partition(":")
    if not at.isascii() or not at.isdigit() or len(at) > 20 or int(at) >= 2**64:
        raise Malformed("The cursor is none that a page has given.")
    taken: list[Lane] = []
    looked = 0
    while looked < max(_LOOK_AT, limit):
        now, going_on, rows = await functions.read("lanes", (queue_id(queue), at, min(_STEP, max(limit, 1))))
        for row in sorted(rows, key=lambda row: row[0]):
            found = row[0].decode()
            if found <= after:
                continue
            if len(taken) == limit:
                return LanePage(taken, f"{at}:{after}")
            after = found
            shown = _lane(queue, row[3].decode(), row, int(now))
            if (not held or shown.held_until is not None) and _is_shown(shown):
                taken.append(shown)
        at, after = going_on.decode(), ""
        looked += max(len(rows), 1)
        if at == "0":
            return LanePage(taken, None)
    return LanePage(taken, f"{at}:")


def _pairs(flat: list[bytes]) -> list[tuple[str, bytes]]:
    return [(flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2)]


def _is_shown(lane: Lane) -> bool:
    return lane.queued > 0 or lane.running > 0 or lane.held_until is not None or lane.limits != LaneLimits()


def _lane(queue: str, key: str, row: Any, now: int) -> Lane:
    _, _, running, _, queued, own, until, reason, failures = row
    held = until is not None and int(until) > now
    return Lane(
        queue=queue,
        key=key,
        queued=int(queued),
        running=int(running),
        limits=read_lane_limits(key, own) or LaneLimits(),
        held_until=int(until) if held else None,
        hold_reason=_hold_reason(reason) if held else None,
        failures=int(failures or 0),
    )


def _hold_reason(word: bytes) -> HoldReason | None:
    found = word.decode()
    return next((reason for reason in HOLD_REASONS if reason == found), None)
