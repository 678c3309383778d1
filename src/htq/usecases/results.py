"""What a caller gets to see of a task that has ended."""

from typing import Final, NamedTuple

from htq.stores.base import BodyRef, Store
from htq.words.reasons import Reason
from htq.words.states import Status
from htq.words.task import Response, Task

__all__ = ["Result", "read_whole", "without_response"]

_CHUNKS: Final = 16
"""Chunks of one `read_body`: 4 MiB at most."""


class Result(NamedTuple):
    """The end of a task. `response` is None for a canceled one, which has none."""

    uuid: str
    status: Status
    reason: Reason | None
    """Why it is no success, where it is none."""
    response: Response | None
    body: bytes
    """The response's body, whole, as it came over the wire."""


_ENDED_WITHOUT: Final[dict[Reason, str]] = {
    "interrupted": "The worker that made the request stopped or died before it had an answer.",
    "expired": "Its time to start had passed before it could be sent.",
}


def without_response(task: Task) -> Response | None:
    """Stands in for the response of a task that was ended by the queue itself, and so has none on record.

    None for any other: that one had a response, which was deleted.
    """
    message = _ENDED_WITHOUT.get(task.reason) if task.reason is not None else None
    return None if message is None else Response(time=task.finished_at or task.created_at, message=message)


async def read_whole(store: Store, ref: BodyRef, size: int) -> bytes | None:
    """The `size` bytes of a body that lies beside its record; None if it is gone (deleted in the meantime)."""
    parts: list[bytes] = []
    missing = size
    while missing > 0:
        chunks = await store.read_body(ref, len(parts), _CHUNKS)
        if not chunks:
            return None
        parts.extend(chunks)
        missing -= sum(map(len, chunks))
    return b"".join(parts)
