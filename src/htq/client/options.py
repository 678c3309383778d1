"""What may be said of a request besides its method, its body and its headers."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

__all__ = ["Options", "ScheduleOptions"]


class Options(TypedDict, total=False):
    """Fields of a request, as the server's reference describes them. Durations are seconds, or text such as "90s"."""

    queue: str | None
    key: str | None
    """The lane inside the queue."""
    priority: int | None
    labels: Mapping[str, str] | None
    group: str | None
    on_conflict: Literal["cancel_previous", "return_existing", "reject", "queue_after"] | None
    debounce: float | str | None
    delay: float | str | None
    run_at: int | str | None
    start_by: int | str | None
    deadline: int | str | None
    retry: int | Mapping[str, Any] | None
    cost: Mapping[str, float] | None
    cost_from: Mapping[str, str] | None
    callback: str | Mapping[str, Any] | None
    cancel: Mapping[str, Any] | None
    delivery: Literal["at_least_once", "at_most_once"] | None
    result_ttl: float | None
    max_response: int | None
    redirects: int | None


class ScheduleOptions(TypedDict, total=False):
    """When a schedule makes its request: one of `cron` and `every`."""

    cron: str | None
    zone: str | None
    every: float | str | None
    overlap: Literal["skip", "queue", "cancel_previous", "allow"] | None
    catch_up: Literal["none", "one", "all"] | None
    paused: bool | None
