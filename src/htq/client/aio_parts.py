"""The parts of the asyncio client: as those of the blocking one, awaitable."""

import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol, Unpack

from htq.client import resources, verbs
from htq.client.exchange import Result, Verb, path_of
from htq.client.options import ScheduleOptions

__all__ = ["AsyncDo", "AsyncGroups", "AsyncQueues", "AsyncSchedules"]


class AsyncDo(Protocol):
    """Carries out a verb."""

    async def __call__(self, verb: Verb[Result], /) -> Result: ...


class AsyncGroups:
    """`Groups` for asyncio."""

    def __init__(self, do: AsyncDo) -> None:
        self._do = do

    async def get(self, name: str) -> dict[str, Any]:
        """As `Groups.get`."""
        return await self._do(resources.look("groups", name))

    async def put(
        self, name: str, *, callback: str | Mapping[str, Any] | None = None, closed: bool | None = None
    ) -> dict[str, Any]:
        """As `Groups.put`."""
        return await self._do(resources.put("groups", name, {"callback": callback, "closed": closed}))

    async def close(self, name: str) -> dict[str, Any]:
        """As `Groups.close`."""
        return await self._do(resources.put("groups", name, {"closed": True}))

    async def wait(self, name: str, timeout: float | None = None) -> dict[str, Any]:
        """As `Groups.wait`."""
        now = time.monotonic  # noqa: TID251 - the caller's clock
        return await self._do(verbs.wait(path_of("groups", name), f"the group {name}", timeout, now))

    async def cancel(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> int:
        """As `Groups.cancel`."""
        return await self._do(resources.cancel_group(name, reason, dry_run))


class AsyncQueues:
    """`Queues` for asyncio."""

    def __init__(self, do: AsyncDo) -> None:
        self._do = do

    async def all(self) -> list[dict[str, Any]]:
        """As `Queues.all`."""
        return await self._do(resources.look_all("queues"))

    async def get(self, name: str) -> dict[str, Any]:
        """As `Queues.get`."""
        return await self._do(resources.look("queues", name))

    async def put(self, name: str, /, **settings: Any) -> dict[str, Any]:
        """As `Queues.put`."""
        return await self._do(resources.put("queues", name, settings))

    async def pause(
        self, name: str, *, until: int | str | None = None, seconds: float | str | None = None
    ) -> dict[str, Any]:
        """As `Queues.pause`."""
        return await self._do(resources.order("queues", name, "pause", {"until": until, "for": seconds}))

    async def resume(self, name: str) -> dict[str, Any]:
        """As `Queues.resume`."""
        return await self._do(resources.order("queues", name, "resume"))

    async def delete(self, name: str, tasks: Literal["cancel", "keep"] | None = None) -> None:
        """As `Queues.delete`."""
        await self._do(resources.delete_queue(name, tasks))


class AsyncSchedules:
    """`Schedules` for asyncio."""

    def __init__(self, do: AsyncDo) -> None:
        self._do = do

    async def all(self) -> list[dict[str, Any]]:
        """As `Schedules.all`."""
        return await self._do(resources.look_all("schedules"))

    async def get(self, name: str) -> dict[str, Any]:
        """As `Schedules.get`."""
        return await self._do(resources.look("schedules", name))

    async def put(self, name: str, task: Mapping[str, Any], **when: Unpack[ScheduleOptions]) -> dict[str, Any]:
        """As `Schedules.put`."""
        return await self._do(resources.put_schedule(name, task, when))

    async def pause(self, name: str) -> dict[str, Any]:
        """As `Schedules.pause`."""
        return await self._do(resources.order("schedules", name, "pause"))

    async def resume(self, name: str) -> dict[str, Any]:
        """As `Schedules.resume`."""
        return await self._do(resources.order("schedules", name, "resume"))

    async def delete(self, name: str) -> None:
        """As `Schedules.delete`."""
        await self._do(resources.delete("schedules", name))
