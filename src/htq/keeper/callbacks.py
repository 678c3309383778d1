"""Callbacks that are owed become tasks."""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from htq.keeper.batches import batches
from htq.policy.callbacks import MAX_BODY, group_callback, is_told, task_callback
from htq.stores.base import BodyRef, OwedCallback, Store
from htq.words.errors import InvalidField, StoreUnavailable
from htq.words.task import NewTask, Response, Task

__all__ = ["Callbacks"]

log = logging.getLogger("htq.keeper")

_AT_ONCE: Final = 100
"""Callbacks in one look, at most."""

_CHUNKS: Final = 16
"""Chunks of a body in one step, at most."""


class _Found(NamedTuple):
    """What is owed, with what is known of it."""

    owed: OwedCallback
    task: Task | None
    """None: it is about a group, or there is nothing to tell (any more)."""
    response: Response | None
    """Where the callback includes it, and it is there; its body may lie beside."""


class Callbacks:
    """Enqueues the task of each callback that is owed, then settles it.

    The task's uuid follows from what it tells, so it is the same task whoever makes it and however often: what was enqueued and
    not settled, because a reply was lost or a process ended, is known again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def look(self) -> bool:
        """Queue what is owed; whether there may be more."""
        owed = await self._store.owed_callbacks(_AT_ONCE)
        if not owed:
            return False
        for batch in batches(await self._find(owed), _weight):
            made = [await self._make(found) for found in batch]
            tasks = [task for task in made if task is not None]
            if tasks:
                await self._store.enqueue(tasks)
            await self._store.settle_callbacks([found.owed for found in batch])
        return len(owed) == _AT_ONCE

    async def _find(self, owed: Sequence[OwedCallback]) -> list[_Found]:
        uuids = [each.subject for each in owed if each.kind == "task"]
        known = await self._store.get(uuids) if uuids else []
        tasks = {task.uuid: task for task in known if task is not None and is_told(task)}
        including = [uuid for uuid, task in tasks.items() if _includes_body(task)]
        responses = dict(zip(including, await self._store.responses(including), strict=True)) if including else {}
        return [
            _Found(each, tasks.get(each.subject), responses.get(each.subject))
            if each.kind == "task"
            else _Found(each, None, None)
            for each in owed
        ]

    async def _make(self, found: _Found) -> NewTask | None:
        """The callback's task. None: there is nothing to tell any more, or nobody to tell it to."""
        owed, task, response = found
        try:
            if owed.kind == "group":
                group = await self._store.group(owed.tenant, owed.subject)
                return None if group is None else group_callback(group, owed.at)
            if task is None:
                return None
            body = None if response is None else await self._body(task, response)
            return task_callback(task, owed.number, owed.at, response, body)
        except InvalidField as error:
            log.warning("[%s] its callback can't be sent: %s", owed.subject, error)
            return None
        except StoreUnavailable:
            raise
        except Exception:
            # It would come first in every look of every keeper, and hold up all that is owed after it.
            log.exception("[%s] a defect of htq's own: its callback is not sent", owed.subject)
            return None

    async def _body(self, task: Task, response: Response) -> bytes | None:
        """The response's body; None where it is too large for a callback, or gone meanwhile."""
        if response.body_size > MAX_BODY:
            return None
        if response.body is not None:
            return response.body
        ref = BodyRef(task.uuid, task.attempt, "response")
        chunks: list[bytes] = []
        while found := await self._store.read_body(ref, len(chunks), _CHUNKS):
            chunks += found
        body = b"".join(chunks)
        return body if len(body) == response.body_size else None


def _includes_body(task: Task) -> bool:
    callback = task.request.callback
    return callback is not None and callback.include == "body"


def _weight(found: _Found) -> int:
    """Bytes of a callback, more or less."""
    size = 0 if found.response is None else found.response.body_size
    return size if size <= MAX_BODY else 0
