"""What a batch is made of: its form on the wire, the reading of an item, and what is said of it."""

import re
from typing import Final

import msgspec

from htq.api.answers import Answers, BatchForm, ItemResult
from htq.api.bodies import check_type
from htq.api.decoding import read_item
from htq.api.http import Call
from htq.api.problems import problem_of
from htq.api.splitting import ArraySplitter, LineSplitter, Piece, Splitter
from htq.usecases.batches import BatchItem
from htq.usecases.outcomes import Accepted
from htq.words.errors import InvalidField, KeyReused, RequestError, StoreUnavailable, TooLarge

__all__ = ["LINES", "MEDIA", "batch_form", "check_batch_type", "close_group", "read_piece", "shown", "splitter_of"]

MEDIA: Final = ("application/json", "application/x-ndjson", "application/jsonl")

_TYPES: Final = re.compile(
    rb'application/(?:json|[a-z0-9.+_-]+\+json|x-ndjson|jsonl)\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?', re.IGNORECASE
)
LINES: Final = re.compile(rb"application/(?:x-ndjson|jsonl)\b", re.IGNORECASE)
_WANTED: Final = (
    "A batch is a JSON array (add -H 'Content-Type: application/json') or one request a line "
    "(-H 'Content-Type: application/x-ndjson')."
)


def check_batch_type(call: Call, limit: int) -> bytes:
    """The batch's type. Raises `UnsupportedMedia`, or `TooLarge` above `limit` bytes."""
    return check_type(call, _TYPES, _WANTED, limit).strip()


def batch_form(media: bytes) -> BatchForm:
    """The form of an answer, which is that of its batch."""
    if LINES.match(media):
        return BatchForm(media.partition(b";")[0].strip().lower(), b"", b"\n", b"\n")
    return BatchForm(b"application/json", b"[", b",\n", b"]\n")


def splitter_of(media: bytes, limit: int) -> Splitter:
    return LineSplitter(limit) if LINES.match(media) else ArraySplitter(limit)


def read_piece(piece: Piece, limit: int, group: str | None) -> tuple[BatchItem, bytes] | RequestError:
    """An item with its bytes, or why it can't be taken. `group` is the batch's."""
    if piece is None:
        return TooLarge(f"The item is larger than {limit} bytes.")
    try:
        item = read_item(piece)
    except RequestError as error:
        return error
    if group is not None and item.group != group:
        if item.group is not None:
            return InvalidField(f"The batch is for the group {group}: leave out the item's own.", "/group")
        item = msgspec.structs.replace(item, group=group)
    return item, piece


async def close_group(call: Call, group: str, answers: Answers) -> None:
    """Close the group of a batch that was taken in. Where that fails, it is told by a last item."""
    try:
        await call.service.groups.close(group)
    except StoreUnavailable as error:
        problem = problem_of(error)
        detail = f"{problem.detail} The group {group} may not be closed: say so with PUT /groups/{group}/."
        answers.add(ItemResult(error=msgspec.structs.replace(problem, detail=detail)))


def shown(outcome: Accepted | RequestError | StoreUnavailable, base: str, place: int) -> ItemResult:
    """What is said of the item at `place`."""
    if isinstance(outcome, Accepted):
        return ItemResult(uuid=outcome.uuid, outcome=outcome.outcome, location=f"{base}/{outcome.uuid}/")
    if isinstance(outcome, KeyReused):
        outcome = InvalidField(str(outcome), "/idempotency_key")
    return ItemResult(error=problem_of(outcome, item=place))
