"""Pages of tasks."""

from typing import Final

from htq.stores.base import Filter, Page, Store
from htq.words.task import Task

__all__ = ["fill_page"]

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
