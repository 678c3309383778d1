"""`client.groups`, `client.queues`, `client.schedules`: what the blocking client can do about each."""

import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol, Unpack

from htq.client import resources, verbs
from htq.client.exchange import Result, Verb, path_of
from htq.client.options import ScheduleOptions

__all__ = ["Do", "Groups", "Queues", "Schedules"]


class Do(Protocol):
    """Carries out a verb."""

    def __call__(self, verb: Verb[Result], /) -> Result: ...


class Groups:
    """Requests that are counted, awaited and canceled together."""

    def __init__(self, do: Do) -> None:
        self._do = do

    def get(self, name: str) -> dict[str, Any]:
        """The group with its counts. Raises `NotFound`."""
        return self._do(resources.look("groups", name))

    def put(
        self, name: str, *, callback: str | Mapping[str, Any] | None = None, closed: bool | None = None
    ) -> dict[str, Any]:
        """Make a group, say where it is told that it is complete, or close it: then it takes no more, and can be complete."""
        return self._do(resources.put("groups", name, {"callback": callback, "closed": closed}))

    def close(self, name: str) -> dict[str, Any]:
        """Take no more requests into a group."""
        return self._do(resources.put("groups", name, {"closed": True}))

    def wait(self, name: str, timeout: float | None = None) -> dict[str, Any]:
        """The group as soon as it is complete: closed, and all in it ended. Raises as `Client.wait`."""
        now = time.monotonic  # noqa: TID251 - the caller's clock
        return self._do(verbs.wait(path_of("groups", name), f"the group {name}", timeout, now))

    def cancel(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> int:
        """Cancel what has not ended in it; how many are canceled by it."""
        return self._do(resources.cancel_group(name, reason, dry_run))


class Queues:
    """Queues: their counts, and what holds for their requests."""

    def __init__(self, do: Do) -> None:
        self._do = do

    def all(self) -> list[dict[str, Any]]:
        """Every queue that has live requests or settings."""
        return self._do(resources.look_all("queues"))

    def get(self, name: str) -> dict[str, Any]:
        """One queue. Raises `NotFound`."""
        return self._do(resources.look("queues", name))

    def put(self, name: str, /, **settings: Any) -> dict[str, Any]:
        """Say what holds for a queue (`concurrency`, `rate`, `per_key`, `defaults`, …), in place of all that was said before."""
        return self._do(resources.put("queues", name, settings))

    def pause(self, name: str, *, until: int | str | None = None, seconds: float | str | None = None) -> dict[str, Any]:
        """Start none of its requests until a time, for some seconds, or until it is resumed."""
        return self._do(resources.order("queues", name, "pause", {"until": until, "for": seconds}))

    def resume(self, name: str) -> dict[str, Any]:
        """Go on."""
        return self._do(resources.order("queues", name, "resume"))

    def delete(self, name: str, tasks: Literal["cancel", "keep"] | None = None) -> None:
        """Forget its settings. `tasks` says what becomes of its live requests; with nothing said and any there, `Rejected`."""
        self._do(resources.delete_queue(name, tasks))


class Schedules:
    """Requests that come again and again."""

    def __init__(self, do: Do) -> None:
        self._do = do

    def all(self) -> list[dict[str, Any]]:
        """All of them, by name."""
        return self._do(resources.look_all("schedules"))

    def get(self, name: str) -> dict[str, Any]:
        """One schedule, its next times and its last. Raises `NotFound`."""
        return self._do(resources.look("schedules", name))

    def put(self, name: str, task: Mapping[str, Any], **when: Unpack[ScheduleOptions]) -> dict[str, Any]:
        """Make a schedule, or put it in the place of the one of its name: `cron` or `every`, and the request that it makes."""
        return self._do(resources.put_schedule(name, task, when))

    def pause(self, name: str) -> dict[str, Any]:
        """Make nothing until it is resumed."""
        return self._do(resources.order("schedules", name, "pause"))

    def resume(self, name: str) -> dict[str, Any]:
        """Go on with the next time from now."""
        return self._do(resources.order("schedules", name, "resume"))

    def delete(self, name: str) -> None:
        """Forget it. The requests that it made stay."""
        self._do(resources.delete("schedules", name))
