"""Handlers of groups: requests that are counted, awaited and canceled together."""

from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.api.decoding import read_wish
from htq.api.filters import read_reason
from htq.api.http import RETRY_SOON, Call, Reply, json_reply
from htq.api.links import group_tasks_url, group_url
from htq.api.patience import unless_gone, wait_on
from htq.api.prefer import asked_wait
from htq.api.query import flag, once
from htq.api.views import CanceledView, MatchingView
from htq.stores.base import Filter
from htq.usecases.groups import GroupWish
from htq.words.group import Group
from htq.words.states import STATES

__all__ = ["CountsView", "GroupView", "cancel_group", "get_group", "put_group"]

_wish: Final = msgspec.json.Decoder(GroupWish)


class CountsView(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests stand where; those that were forgotten are not counted."""

    scheduled: int = 0
    queued: int = 0
    pending: int = 0
    success: int = 0
    error: int = 0
    timeout: int = 0
    canceled: int = 0


class GroupCallbackView(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is said that the group is complete."""

    url: str
    queue: str | UnsetType = UNSET


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group. It is complete once it is closed and none of its requests is alive."""

    name: str
    counts: CountsView
    live: Annotated[int, Meta(description="Requests that have not ended.")]
    total: int
    closed: Annotated[bool, Meta(description="Whether it takes no more requests.")]
    complete: bool
    created_at: int
    closed_at: int | UnsetType = UNSET
    completed_at: int | UnsetType = UNSET
    callback: GroupCallbackView | UnsetType = UNSET
    links: dict[str, str]


async def get_group(call: Call) -> Reply:
    """Waits only if asked to: what a group counts is worth a look at any time."""
    wait, applied = asked_wait(call.headers, call.query.get("wait"), call.settings.max_wait)
    if wait is None:
        return json_reply(200, _view(await call.service.groups.get(call.name), call.base))
    group = await wait_on(call, partial(call.service.groups.completed, call.name), wait)
    if group is not None:
        return json_reply(200, _view(group, call.base), applied)
    return json_reply(202, _view(await call.service.groups.get(call.name), call.base), [RETRY_SOON, *applied])


async def put_group(call: Call) -> Reply:
    wish = await read_wish(call, _wish)
    return json_reply(200, _view(await call.service.groups.put(call.name, wish, call.base), call.base))


async def cancel_group(call: Call) -> Reply:
    """Cancels what is alive. The group stays, and is complete soon if it is closed."""
    reason = read_reason(once(call.query, "reason"))
    dry_run = flag(call.query, "dry_run")
    await call.service.groups.get(call.name)
    where = Filter(group=call.name)
    if dry_run:
        return json_reply(200, MatchingView(await unless_gone(call, call.service.count(where))))
    return json_reply(200, CanceledView(await unless_gone(call, call.service.cancel_all(where, reason))))


def _view(group: Group, base: str) -> GroupView:
    url = group_url(base, group.name)
    callback = group.callback
    return GroupView(
        name=group.name,
        counts=CountsView(**{state: group.counts.get(state, 0) for state in STATES}),
        live=group.live,
        total=sum(group.counts.values()),
        closed=group.closed_at is not None,
        complete=group.completed_at is not None,
        created_at=group.created_at,
        closed_at=UNSET if group.closed_at is None else group.closed_at,
        completed_at=UNSET if group.completed_at is None else group.completed_at,
        callback=UNSET
        if callback is None
        else GroupCallbackView(url=callback.url, queue=UNSET if callback.queue == "default" else callback.queue),
        links={"self": url, "tasks": group_tasks_url(base, group.name)},
    )
