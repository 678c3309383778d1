"""Pages of tasks."""

from collections.abc import Awaitable, Callable
from typing import Final

from htq.stores.base import Filter, Page, Store
from htq.words.task import Task

__all__ = ["fill_page", "for_each_page"]

_CALLS: Final = 8


async def fill_page(store: Store, where: Filter, cursor: str | None, limit: int) -> Page:
    """A page that is short only at the end, or where matches are so rare that looking on would take too long.

    A store looks at a bounded number of records a call. A caller who gets few tasks and a cursor simply goes on.
    """
    tasks: list[Task] = []
    for _ in range(_CALLS):
        page = await store.list_tasks(where, cursor, limit - len(tasks))
        tasks.extend(page.tasks)
        cursor = page.cursor
        if cursor is None or len(tasks) >= limit:
            break
    return Page(tasks, cursor)


async def for_each_page(
    store: Store, where: Filter, last: str, limit: int, do: Callable[[list[str]], Awaitable[int]]
) -> int:
    """Call `do` with all uuids that `where` takes, a page of at most `limit` at a time; the sum of what it returns.

    It ends at the uuid `last`, however fast new tasks come: uuids are made in the order of time.
    """
    total = 0
    cursor: str | None = None
    while True:
        uuids, cursor = await store.select(where, cursor, limit)
        beyond = bool(uuids) and uuids[-1] > last
        if beyond:
            uuids = [uuid for uuid in uuids if uuid <= last]
        if uuids:
            total += await do(uuids)
        if beyond or cursor is None:
            return total
