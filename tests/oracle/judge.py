"""Compares what was seen with what the contract says."""

from collections.abc import Iterator

from htq.stores.base import BLOCKED_FOR
from oracle.cells import OPEN, Cell
from oracle.expected import GRACE, Expectation
from oracle.play import WHY, Seen
from oracle.rig import HEARTBEAT
from support.target import Received

__all__ = ["differences"]

SLACK = 1.0
"""Seconds that a machine with nothing else to do may be late."""

_KEPT = {"authorization": "Bearer s3cret", "x-tag": "seven"}
_DROPPED = ("content-", "if-", "digest", "range", "expect", "accept-encoding", "transfer-encoding", "connection")


def differences(cell: Cell, expected: Expectation, seen: Seen) -> list[str]:
    """Each thing that is not as it has to be, in a sentence."""
    return [
        *_requests(cell, expected, seen),
        *_deletes(expected, seen),
        *_record(cell, expected, seen),
        *_closing(cell, expected, seen),
        *_successor(seen),
    ]


def _requests(cell: Cell, expected: Expectation, seen: Seen) -> Iterator[str]:
    if len(seen.requests) != expected.is_sent:
        yield f"the request was sent {len(seen.requests)} times"
    for request in seen.requests:
        if (request.header("HTQ-Task-Id"), request.header("HTQ-Attempt")) != (seen.uuid, "1"):
            yield "the request does not say which attempt it is"
    if seen.reused != (expected.is_sent and cell.connection == "keep-alive"):
        yield "the request went over the wrong connection: the cell proves nothing"
    if not expected.is_sent and not seen.sentinel:
        yield "nothing shows that the request would have been sent by now"
    if any(status != "success" for status in seen.others):
        yield f"the others on this URL ended as {seen.others}"
    if cell.service == "ten_at_once" and len(seen.others) != 9:
        yield f"{len(seen.others)} of 9 others ended"


def _deletes(expected: Expectation, seen: Seen) -> Iterator[str]:
    if len(seen.deletes) != expected.deletes:
        yield f"{len(seen.deletes)} DELETEs arrived"
    if seen.tried != expected.tries:
        yield f"htq set out {seen.tried} times to send a DELETE"
    if seen.elsewhere:
        yield "the DELETE followed a redirect"
    for delete in seen.deletes:
        yield from _delete(delete, seen)


def _delete(delete: Received, seen: Seen) -> Iterator[str]:
    fields = {name.lower(): value for name, value in delete.headers}
    wanted = {
        **_KEPT,
        "htq-task-id": seen.uuid,
        "htq-attempt": "1",
        "htq-cancel": "requested",
        "idempotency-key": f'"{seen.uuid}:cancel"',
    }
    for name, value in wanted.items():
        if fields.get(name) != value:
            yield f"the DELETE says {name}: {fields.get(name)}"
    wrong = [name for name in fields if name.startswith(_DROPPED)]
    if wrong or delete.body:
        yield f"the DELETE describes a body: {wrong}, {delete.body!r}"
    if any(delete.connection_id == request.connection_id for request in seen.requests):
        yield "the DELETE came over the request's own connection"


def _record(cell: Cell, expected: Expectation, seen: Seen) -> Iterator[str]:
    record = seen.record
    delete = record.delete
    is_so = (record.phase, delete.state, delete.code, delete.tries, record.proof)
    should = (expected.phase, expected.state, expected.code, expected.tries, expected.proof)
    if is_so != should:
        yield f"the record says {is_so}, not {should}"
    reasons = {"superseded": ("superseded",), "together": WHY}.get(cell.way, WHY[:1])
    if record.reason not in reasons:
        yield f"the record's reason is {record.reason!r}"
    if seen.status != "canceled":
        yield f"it ended as {seen.status}"
    if seen.result is None or seen.result.status != "canceled" or seen.result.response is not None or seen.result.body:
        yield f"a response appeared: {seen.result}"
    if (record.interrupted_at is not None) != expected.interrupted:
        yield f"interrupted_at is {record.interrupted_at}"


def _closing(cell: Cell, expected: Expectation, seen: Seen) -> Iterator[str]:
    if cell.moment not in OPEN:
        return
    if seen.over_at is None or not all(request.gone.is_set() for request in seen.requests):
        yield "the request is still open"
        return
    slack = SLACK + 3 * seen.lag
    kept = seen.over_at - seen.canceled_at
    first = seen.deletes[0].arrived_at if seen.deletes else None
    last = seen.deletes[-1].arrived_at if seen.deletes else None
    serves_it_late = cell.service == "one_at_a_time"
    if first is not None and seen.over_at < first and not serves_it_late:
        yield "the request was closed before the DELETE came"
    match expected.closing:
        case "at once" if kept > HEARTBEAT + slack:
            yield f"nobody had to be told, and the request was kept for {kept:.2f} s"
        case "by itself" | "on the answer" if last is not None and seen.over_at - last > slack:
            yield f"the request was kept for {seen.over_at - last:.2f} s after the DELETE"
        case "on the answer" if last is None and kept > HEARTBEAT + 3 * slack:
            yield f"the service can't be told, and the request was kept for {kept:.2f} s"
        case "after the grace":
            # Where the DELETE is not seen when it comes, it left after the cancel was asked for.
            left_at, at_latest = (
                (seen.asked_at, seen.canceled_at) if first is None or serves_it_late else (first, first)
            )
            least, most = seen.over_at - left_at, seen.over_at - at_latest
            if least < GRACE - 0.5 - seen.lag or most > GRACE + HEARTBEAT + slack:
                yield f"the request was closed {least:.2f} s after the DELETE"
    if expected.closing != "by itself" and any(request.closed_by != "client" for request in seen.requests):
        yield "it was not htq that closed the request's connection"


def _successor(seen: Seen) -> Iterator[str]:
    if seen.successor_at is None:
        return
    if seen.over_at is not None and seen.successor_at < seen.over_at:
        yield "the newer request started while the older one was open"
    asked = [delete.closed_at or delete.arrived_at for delete in seen.deletes]
    if asked and seen.successor_at < min(max(each.arrived_at for each in seen.deletes), seen.canceled_at + BLOCKED_FOR):
        when = [round(each - seen.canceled_at, 2) for each in (*asked, seen.successor_at)]
        yield f"the newer request started before the DELETE: {when} s after the cancel"
