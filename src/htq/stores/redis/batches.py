"""How a verb over many items becomes calls of a function: in parts, since a call holds up everybody else while it runs."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["BATCH", "CLAIM", "parts", "weighed_parts"]

T = TypeVar("T")

BATCH: Final = 200
"""Items of a call, at most."""

CLAIM: Final = 10_000
"""Tasks or stops that one claim gives, at most: it can't go in parts, since it has one number."""

_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a call's blobs, about: a single item may have more."""


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items` in parts of at most `BATCH`."""
    for at in range(0, len(items), BATCH):
        yield items[at : at + BATCH]


def weighed_parts(items: Sequence[tuple[T, list[bytes]]]) -> Iterator[tuple[list[T], list[bytes]]]:
    """(item, its blobs) in parts: the items of each, and all their blobs, in order."""
    taken: list[T] = []
    blobs: list[bytes] = []
    weight = 0
    for item, beside in items:
        if len(taken) == BATCH or weight > _BYTES:
            yield taken, blobs
            taken, blobs, weight = [], [], 0
        taken.append(item)
        blobs += beside
        weight += sum(map(len, beside))
    if taken:
        yield taken, blobs
