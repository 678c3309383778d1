"""`list_tasks` and `select`: pages by uuid. The function chooses by status, the rest of a filter is applied here."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from htq.stores.base import Filter, Page, Selection
from htq.stores.redis.functions import Functions
from htq.stores.redis.records import Facts, known_form, read_facts, task_of
from htq.words.errors import Malformed
from htq.words.task import Task

__all__ = ["list_tasks", "select"]

T = TypeVar("T")

_LOOK_AT: Final = 1000
"""Records that a call looks at, or its limit if that is more: a page that takes few of them comes short."""

_STEP: Final = 250
"""Records that one function looks at."""


async def list_tasks(functions: Functions, where: Filter, cursor: str | None, limit: int) -> Page:
    def take(uuid: str, row: Any) -> Task | None:
        flat, spec = row
        task = task_of(uuid, flat, spec)
        return task if task is not None and _matches(task, task.created_at, where) else None

    return Page(*await _look(functions, "list_tasks", where, cursor, limit, take))


async def select(functions: Functions, where: Filter, cursor: str | None, limit: int) -> Selection:
    def take(uuid: str, row: Any) -> str | None:
        created_at, packed = row
        facts = read_facts(uuid, packed)
        return uuid if facts is not None and _matches(facts, int(created_at), where) else None

    return Selection(*await _look(functions, "select", where, cursor, limit, take))


async def _look(
    functions: Functions,
    verb: str,
    where: Filter,
    cursor: str | None,
    limit: int,
    take: Callable[[str, Any], T | None],
) -> tuple[list[T], str | None]:
    """What `take` makes of the records that match, and the cursor."""
    if cursor is not None and not known_form(cursor):
        raise Malformed("The cursor is none that a page has given.")
    after = cursor or ""
    taken: list[T] = []
    look_at = max(_LOOK_AT, limit)
    while look_at > 0:
        wanted = min(_STEP, look_at)
        uuids, rows = await functions.read(verb, (where.statuses, after, wanted))
        for name, row in zip(uuids, rows, strict=True):
            if len(taken) == limit:
                return taken, after
            after = name.decode()
            found = take(after, row)
            if found is not None:
                taken.append(found)
        if len(uuids) < wanted:
            return taken, None
        look_at -= wanted
    return taken, after


def _matches(task: Task | Facts, created_at: int, where: Filter) -> bool:
    """All but the status."""
    return (
        task.tenant == where.tenant
        and (where.queue is None or task.queue == where.queue)
        and (where.key is None or task.key == where.key)
        and (where.host is None or task.host == where.host)
        and (where.name is None or task.name == where.name)
        and (where.group is None or task.group == where.group)
        and (where.since is None or created_at >= where.since)
        and (where.until is None or created_at < where.until)
        and all(task.labels.get(label) == value for label, value in where.labels.items())
    )
