"""Batches: many tasks in one call, each with an outcome of its own, or all of them or none."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

from msgspec import Meta

from htq.stores.base import Enqueued, Store
from htq.usecases.drafting import Drafting
from htq.usecases.outcomes import Accepted, accepted
from htq.usecases.patience import Patience
from htq.usecases.submission import Submission
from htq.words.errors import BatchRefused, InvalidField, KeyReused, RequestError
from htq.words.task import Idempotency, NewTask

__all__ = ["BatchItem", "BatchService", "Item"]

_KEY_PATTERN: Final = r"^[!-~]*\Z"


class BatchItem(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request of a batch."""

    idempotency_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern=_KEY_PATTERN)] | None,
        Meta(
            description="1 to 255 visible characters: what the header Idempotency-Key is to a request that comes alone."
        ),
    ] = None


Item = tuple[Submission, Idempotency | None] | RequestError
"""What was asked for, with the key that makes it the same when it is asked for again; or why it can't be read."""


class BatchService:
    """Queues many tasks. `enqueue` gathers what many callers bring; what is whole or not at all goes to the store by itself."""

    def __init__(
        self,
        store: Store,
        *,
        patience: Patience,
        draft: Drafting,
        enqueue: Callable[[Sequence[NewTask]], Awaitable[Sequence[Enqueued]]],
        wake: Callable[[Sequence[str]], None],
    ) -> None:
        self._store = store
        self._patience = patience
        self._draft = draft
        self._enqueue = enqueue
        self._wake = wake

    async def take(self, items: Sequence[Item], base: str) -> list[Accepted | RequestError]:
        """Queue what can be queued, whatever becomes of the others; what became of each, in order.

        A store that is away is waited for; `StoreUnavailable` where that takes too long, and then it is unknown which were taken.
        """
        drafts = await self._patience(lambda: self._drafts(items, base))
        tasks = [draft for draft in drafts if isinstance(draft, NewTask)]
        if not tasks:
            return [draft for draft in drafts if isinstance(draft, RequestError)]
        # Asked again it is the same: the store knows the tasks by their uuids.
        outcomes = iter(self._judged(tasks, await self._patience(lambda: self._enqueue(tasks))))
        return [next(outcomes) if isinstance(draft, NewTask) else draft for draft in drafts]

    async def take_all(self, items: Sequence[Item], base: str) -> list[Accepted]:
        """Queue all or none. Raises `BatchRefused` with everything that is wrong.

        Keys of its items are the batch's own: `KeyReused` where that came with another batch.
        """
        drafts = await self._drafts(items, base)
        _refuse([(at, draft) for at, draft in enumerate(drafts) if isinstance(draft, RequestError)], len(items))
        tasks = [draft for draft in drafts if isinstance(draft, NewTask)]
        if not tasks:
            return []
        found = await self._store.enqueue(tasks, atomic=True)
        outcomes = self._judged(tasks, found)
        bad = [(at, outcome) for at, outcome in enumerate(outcomes) if isinstance(outcome, RequestError)]
        for _, outcome in bad:
            if isinstance(outcome, KeyReused):
                raise outcome
        _refuse([each for each in bad if found[each[0]].outcome != "untaken"], len(items))
        return [outcome for outcome in outcomes if isinstance(outcome, Accepted)]

    async def _drafts(self, items: Sequence[Item], base: str) -> list[NewTask | RequestError]:
        drafts: list[NewTask | RequestError] = []
        for item in items:
            if isinstance(item, RequestError):
                drafts.append(item)
                continue
            try:
                drafts.append(await self._draft(item[0], base, item[1]))
            except InvalidField as error:
                drafts.append(error)
        return drafts

    def _judged(self, tasks: Sequence[NewTask], found: Sequence[Enqueued]) -> list[Accepted | RequestError]:
        superseded = [uuid for each in found for uuid in each.superseded]
        if superseded:
            self._wake(superseded)
        return [accepted(new, each) for new, each in zip(tasks, found, strict=True)]


def _refuse(bad: Sequence[tuple[int, RequestError]], total: int) -> None:
    if bad:
        raise BatchRefused(f"{len(bad)} of {total} items can't be taken, so none was: errors says why.", bad)
