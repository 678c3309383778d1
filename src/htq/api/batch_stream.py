"""A batch of any length: taken in as it comes, a few hundred items at a time, whatever becomes of each."""

import asyncio
import contextlib
from typing import Final

import msgspec

from htq.api.answers import Answers, ItemResult
from htq.api.batch_items import batch_form, close_group, read_piece, shown, splitter_of
from htq.api.bodies import chunks
from htq.api.http import Call, Reply
from htq.api.idempotency import fingerprint
from htq.api.problems import problem_of
from htq.api.splitting import Piece
from htq.usecases.batches import Item
from htq.usecases.outcomes import Accepted
from htq.words.errors import Malformed, RequestError, StoreUnavailable, TooLarge
from htq.words.task import Idempotency

__all__ = ["BatchStream"]

_STEP_ITEMS: Final = 500
_STEP_BYTES: Final = 4 * 1024 * 1024
"""What is gathered for a call of the store, at most: so much of a batch is in memory, and one item."""
_DRAINED: Final = 64 * 1024 * 1024
"""Bytes that are passed over after an error, so that their sender is still there to hear of it."""


class BatchStream:
    """One batch, from its first byte to its answer."""

    def __init__(self, call: Call, media: bytes, group: str | None, close: bool) -> None:
        self._call = call
        self._group = group
        self._close = close
        self._max_items = call.settings.max_batch_items
        self._body = chunks(call, call.settings.max_batch)
        self._splitter = splitter_of(media, call.settings.max_json)
        self._answers = Answers(batch_form(media))
        self._items: list[Item] = []
        self._weight = 0

    async def run(self) -> Reply:
        """Take it in, and close its group if that is wanted and the batch was read to its end.

        What ends it before an item was taken is raised. After that it is told by a last item, which is none of the batch's.
        """
        try:
            try:
                complete = await self._take_all()
                if complete and self._close and self._group is not None:
                    await close_group(self._call, self._group, self._answers)
                return self._answers.reply([])
            except OSError as error:
                raise StoreUnavailable(
                    f"There is no room for the answer to so large a batch ({error.strerror or error})."
                ) from None
        except BaseException:
            self._answers.close()
            raise

    async def _take_all(self) -> bool:
        try:
            async for data in self._body:
                for piece in self._splitter.feed(data):
                    if self._answers.count + len(self._items) >= self._max_items:
                        raise TooLarge(f"A batch has at most {self._max_items} items.")
                    await self._add(piece)
            for piece in self._splitter.end():
                await self._add(piece)
            await self._flush()
        except (Malformed, TooLarge, StoreUnavailable) as error:
            await self._break_off(error)
            return False
        return True

    async def _add(self, piece: Piece) -> None:
        self._items.append(self._item(piece))
        self._weight += len(piece or b"")
        if len(self._items) >= _STEP_ITEMS or self._weight >= _STEP_BYTES:
            await self._flush()

    def _item(self, piece: Piece) -> Item:
        call = self._call
        read = read_piece(piece, call.settings.max_json, self._group)
        if isinstance(read, RequestError):
            return read
        item, text = read
        if item.idempotency_key is None:
            return item, None
        mark = fingerprint(b"batch item", (self._group or "").encode(), text)
        return item, Idempotency(item.idempotency_key, mark, call.service.settings.idempotency_window)

    async def _flush(self) -> None:
        """Take in what was gathered. Where the store doesn't answer, its items are told so before that is raised."""
        items, self._items, self._weight = self._items, [], 0
        if not items:
            return
        try:
            outcomes = await self._call.service.batches.take(items, self._call.base)
        except StoreUnavailable as error:
            if self._answers.count:
                for item in items:
                    self._tell(item if isinstance(item, RequestError) else error)
            raise
        for outcome in outcomes:
            self._tell(outcome)
        # A turn for everybody else: where nothing of it could be read, nothing was waited for either.
        await asyncio.sleep(0)  # noqa: TID251

    def _tell(self, outcome: Accepted | RequestError | StoreUnavailable) -> None:
        self._answers.add(shown(outcome, self._call.base, self._answers.count))

    async def _break_off(self, error: Malformed | TooLarge | StoreUnavailable) -> None:
        """Take in what was complete before, and say that it ends here. Raises `error` where there is nothing else to tell."""
        if isinstance(error, StoreUnavailable):
            self._items.clear()
        with contextlib.suppress(StoreUnavailable):
            await self._flush()
        if not self._answers.count:
            raise error
        problem = problem_of(error)
        detail = f"{problem.detail} Nothing of the batch was read from there on."
        self._answers.add(ItemResult(error=msgspec.structs.replace(problem, detail=detail)))
        passed = 0
        with contextlib.suppress(TooLarge):
            async for data in self._body:
                passed += len(data)
                if passed > _DRAINED:
                    break
