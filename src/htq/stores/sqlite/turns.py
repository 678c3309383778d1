"""Whose turn it is: weighted round robin as arithmetic, with no store in it. `docs/design/lanes.md` has the model."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LaneTurn", "Share", "deal", "split"]


class LaneTurn(NamedTuple):
    """A ready lane as a claim finds it. `room`: how many of its tasks may run now, at least 1."""

    lane: int
    weight: int
    turns_left: int
    room: int


class Share(NamedTuple):
    """What a lane gets. `place` is its place among the lanes whose turn is over; None: it goes on in the next claim."""

    lane: int
    take: int
    turns_left: int
    place: int | None


def deal(lanes: Sequence[LaneTurn], slots: int, *, everything: bool) -> list[Share]:
    """Deal `slots` to `lanes`, which are in the order of their turns.

    `everything` tells that no other lane is ready: only then does a second turn begin while slots are left.
    """
    if everything and len(lanes) == 1:
        (only,) = lanes
        return [Share(only.lane, min(only.room, slots), only.weight, 0)]
    takes = [0] * len(lanes)
    left = [lane.turns_left for lane in lanes]
    places: list[int | None] = [None] * len(lanes)
    served = 0
    order = list(range(len(lanes)))
    while order and slots:
        again: list[int] = []
        for at in order:
            if not slots:
                break
            lane = lanes[at]
            take = min(left[at], lane.room - takes[at], slots)
            takes[at] += take
            left[at] -= take
            slots -= take
            if not left[at]:
                left[at] = lane.weight
                places[at] = served
                served += 1
            if takes[at] < lane.room:
                again.append(at)
        order = again if everything else []
    return [Share(lane.lane, takes[at], left[at], places[at]) for at, lane in enumerate(lanes) if takes[at]]


def split(waiting: Sequence[int], slots: int) -> tuple[list[int], list[int]]:
    """Deal `slots` one by one to queues of which each has that many `waiting`.

    Returns how many each gets, and the queues' places (indexes into `waiting`) in the order in which they were last served.
    """
    takes = [0] * len(waiting)
    last: dict[int, None] = {}
    order = [at for at, count in enumerate(waiting) if count]
    while order and slots:
        rounds = max(1, min(slots // len(order), min(waiting[at] - takes[at] for at in order)))
        for at in order:
            take = min(rounds, slots)
            if not take:
                break
            takes[at] += take
            slots -= take
            last.pop(at, None)
            last[at] = None
        order = [at for at in order if takes[at] < waiting[at]]
    return takes, list(last)
