"""Large bodies: read from the store while they are sent, and laid beside the task while they are received."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from htq.sender.base import BodyStream
from htq.stores.base import BodyRef, Claim, Store
from htq.worker.persist import Persistence

__all__ = ["AttemptLost", "Spill", "request_body"]

_CHUNKS_AT_ONCE = 4
"""Chunks in one read: a megabyte in memory for each large upload."""


class AttemptLost(Exception):
    """Somebody else has the task, or it is gone: what this attempt brings is wanted no more."""


def request_body(store: Store, claim: Claim, persist: Persistence) -> bytes | BodyStream:
    """The body of a claimed task, as the sender takes it."""
    if claim.body is not None:
        return claim.body
    ref = BodyRef(claim.uuid, 0, "request")

    async def chunks() -> AsyncIterator[bytes]:
        index = 0
        while some := await persist(partial(store.read_body, ref, index, _CHUNKS_AT_ONCE)):
            for chunk in some:
                yield chunk
            index += len(some)

    return BodyStream(claim.body_size, chunks)


class Spill:
    """A sink that lays the chunks of one response beside its task, and keeps a copy if they are `keeps` bytes at most."""

    def __init__(self, store: Store, claim: Claim, persist: Persistence, keeps: int = 0) -> None:
        self._store = store
        self._ref = BodyRef(claim.uuid, claim.attempt, "response")
        self._persist = persist
        self._index = 0
        self._keeps = keeps
        self._kept: list[bytes] = []

    @property
    def kept(self) -> bytes | None:
        """The whole body, or None where it was not kept."""
        return b"".join(self._kept) if self._kept else None

    async def __call__(self, chunks: Sequence[bytes]) -> None:
        index = self._index
        if not await self._persist(lambda: self._store.append_body(self._ref, index, chunks)):
            raise AttemptLost(self._ref.uuid)
        self._index += len(chunks)
        self._keeps -= sum(map(len, chunks))
        if self._keeps >= 0:
            self._kept += chunks
        else:
            self._kept.clear()
