"""Cutting work into steps of the store that are not too large."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

__all__ = ["batches"]

Item = TypeVar("Item")

_AT_ONCE: Final = 100
_HEAVY: Final = 8 * 1024 * 1024
"""Bytes in one step, more or less: a larger one would hold up the heartbeat behind it."""


def batches(items: Iterable[Item], weigh: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in their order, as many in each list as one step takes; `weigh` gives an item's bytes."""
    batch: list[Item] = []
    weight = 0
    for item in items:
        size = weigh(item)
        if batch and (len(batch) == _AT_ONCE or weight + size > _HEAVY):
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += size
    if batch:
        yield batch
