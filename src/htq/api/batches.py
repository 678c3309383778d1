"""Handlers of batches: many requests in one body, taken in as it comes, or all of them or none."""

from collections.abc import Iterator
from typing import Final

import msgspec

from htq.api.answers import Answers
from htq.api.batch_items import batch_form, check_batch_type, close_group, read_piece, shown, splitter_of
from htq.api.batch_stream import BatchStream
from htq.api.bodies import read_whole
from htq.api.http import Call, Reply
from htq.api.idempotency import REPLAYED, idempotency
from htq.api.query import flag, once
from htq.api.splitting import Piece, Splitter
from htq.usecases.batches import Item
from htq.usecases.groups import check_group
from htq.words.errors import InvalidField, Malformed, RequestError, TooLarge
from htq.words.task import Idempotency

__all__ = ["MAX_ATOMIC", "MAX_ATOMIC_ITEMS", "post_batch"]

MAX_ATOMIC: Final = 8 * 1024 * 1024
"""Bytes of a batch that is taken whole or not at all: it is one step of the store."""
MAX_ATOMIC_ITEMS: Final = 1000


async def post_batch(call: Call) -> Reply:
    group = once(call.query, "group")
    if group is not None:
        check_group(group)
    elif "close" in call.query:
        raise Malformed("close says what becomes of the group of a batch: give group as well.")
    close = flag(call.query, "close", usual=True) and group is not None
    atomic = flag(call.query, "atomic")
    media = check_batch_type(call, MAX_ATOMIC if atomic else call.settings.max_batch)
    if atomic:
        return await _take_whole(call, media, group, close)
    if any(name == b"idempotency-key" for name, _ in call.headers):
        raise Malformed(
            "Idempotency-Key is for a batch with atomic=1: else give each item an idempotency_key of its own."
        )
    return await BatchStream(call, media, group, close).run()


async def _take_whole(call: Call, media: bytes, group: str | None, close: bool) -> Reply:
    body = await read_whole(call, MAX_ATOMIC)
    whole = idempotency(call, b"POST /batch/?atomic=1&group=" + (group or "").encode(), body)
    items: list[Item] = []
    for piece in _pieces(splitter_of(media, MAX_ATOMIC), body):
        if len(items) >= MAX_ATOMIC_ITEMS:
            raise TooLarge(f"A batch with atomic=1 has at most {MAX_ATOMIC_ITEMS} items.")
        items.append(_item(piece, group, whole, len(items)))
    taken = await call.service.batches.take_all(items, call.base)
    answers = Answers(batch_form(media))
    for place, each in enumerate(taken):
        answers.add(shown(each, call.base, place))
    if group is not None and close:
        await close_group(call, group, answers)
    return answers.reply([REPLAYED] if taken and all(each.outcome == "replayed" for each in taken) else [])


def _pieces(splitter: Splitter, body: bytes) -> Iterator[Piece]:
    yield from splitter.feed(body)
    yield from splitter.end()


def _item(piece: Piece, group: str | None, whole: Idempotency | None, place: int) -> Item:
    """Each item has the batch's key with its place; nobody else can give such a key, since there is a space in it."""
    read = read_piece(piece, MAX_ATOMIC, group)
    if isinstance(read, RequestError):
        return read
    item, _ = read
    if item.idempotency_key is not None:
        return InvalidField(
            "With atomic=1 the batch is asked for again as a whole: give it the header Idempotency-Key instead.",
            "/idempotency_key",
        )
    return item, None if whole is None else msgspec.structs.replace(whole, key=f"{whole.key} {place}")
