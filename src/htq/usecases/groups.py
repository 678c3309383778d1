"""Groups: tasks that are counted, awaited and canceled together."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from htq.stores.base import GroupsCompleted, Signal, Store
from htq.usecases.callbacks import callback_of
from htq.usecases.patience import Patience
from htq.usecases.waiting import Waiting
from htq.usecases.wishes import GROUP_PATTERN, CallbackWish, QueueName
from htq.words.errors import Conflict, Malformed, NotFound
from htq.words.group import Group

__all__ = ["GroupCallbackWish", "GroupService", "GroupWaiting", "GroupWish", "check_group"]

_TENANT: Final = ""
_NAME: Final = re.compile(GROUP_PATTERN)
_LONGEST: Final = 128
_SHAPE: Final = "1 to 128 of A-Z a-z 0-9 . _ : -, beginning with a letter or digit"


class GroupCallbackWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where htq says that the group is complete."""

    url: Annotated[
        str, Meta(description="An absolute http or https URL: a POST goes there once the group is complete.")
    ]
    queue: Annotated[QueueName | None, Meta(description="The queue that it is sent from; left out it is default.")] = (
        None
    )


class GroupWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a group. What is left out stays as it is."""

    callback: Annotated[
        Annotated[str, Meta(min_length=1)] | GroupCallbackWish | None,
        Meta(description="Where to say that the group is complete: a URL, or an object with url and queue."),
    ] = None
    closed: Annotated[
        bool | None,
        Meta(description="true: no request is taken into it any more, so that it can be complete."),
    ] = None


class GroupWaiting(Waiting):
    """Who waits for which group.

    A round asks for the groups one after the other: a store has no verb for many, and what a crowd of waiters costs it is one read
    at a time. With thousands of groups waited for a round takes longer than its second; signals wake their waiters all the same.
    """

    def _named_in(self, signal: Signal) -> Sequence[str]:
        return signal.names if isinstance(signal, GroupsCompleted) else ()

    async def _ended(self, names: Sequence[str]) -> list[str]:
        found = [(name, await self._store.group(_TENANT, name)) for name in names]
        return [name for name, group in found if group is None or group.completed_at is not None]


class GroupService:
    """Look at groups, wait for them, close them. Every method may raise `StoreUnavailable`."""

    def __init__(self, store: Store, *, waiting: GroupWaiting, patience: Patience) -> None:
        self._store = store
        self._waiting = waiting
        self._patience = patience

    async def get(self, name: str) -> Group:
        """The group as it stands. Raises `NotFound`."""
        group = await self._store.group(_TENANT, name)
        if group is None:
            raise NotFound("No such group: it was never here, or all that was in it has been forgotten.")
        return group

    async def put(self, name: str, wish: GroupWish, base: str) -> Group:
        """Make a group or change it. Raises `InvalidField`, `Conflict`, and `NotFound` for what can't be a name."""
        if not is_group_name(name):
            raise NotFound(f"There can't be a group of this name: it is {_SHAPE}.")
        callback = None
        if wish.callback is not None:
            said = wish.callback
            if isinstance(said, GroupCallbackWish):
                callback = callback_of(CallbackWish(url=said.url, queue=said.queue), base)
            else:
                callback = callback_of(said, base)
        if callback is not None or wish.closed is False:
            found = await self._store.group(_TENANT, name)
            if found is not None and found.closed_at is not None and wish.closed is False:
                raise Conflict(f"The group {name} is closed, and stays so: take another name for what comes now.")
            if found is not None and found.completed_at is not None and callback not in (None, found.callback):
                raise Conflict(f"The group {name} is complete: nothing will happen any more that could be told.")
        group = await self._store.put_group(_TENANT, name, callback, close=wish.closed is True)
        if group.completed_at is not None:
            self._waiting.wake((name,))
        return group

    async def close(self, name: str) -> None:
        """Take nothing more into a group. A store that is away is waited for."""
        group = await self._patience(lambda: self._store.put_group(_TENANT, name, None, close=True))
        if group.completed_at is not None:
            self._waiting.wake((name,))

    async def completed(self, name: str, wait: float | None) -> Group | None:
        """The group once it is complete; None if that is not so within `wait` seconds. Raises `NotFound`."""

        async def look() -> Group | None:
            group = await self.get(name)
            return group if group.completed_at is not None else None

        return await self._waiting.until(name, look, wait)


def is_group_name(name: str) -> bool:
    return 1 <= len(name) <= _LONGEST and _NAME.match(name) is not None


def check_group(name: str) -> None:
    """Raise `Malformed` for what can't be the name of a group."""
    if not is_group_name(name):
        raise Malformed(f"group is a name: {_SHAPE}.")
