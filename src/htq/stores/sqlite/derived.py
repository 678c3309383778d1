"""What is reckoned from a task's fields once, where they are written, so that no verb has to read them again."""

from htq.stores.base import STOP_LAPSES_AFTER
from htq.stores.sqlite.codec import CODES
from htq.words.task import Request

__all__ = ["callback_bits", "first_end", "order_of", "stop_ms_of"]

_AGEING_MS = 60_000
"""A step of priority is worth a minute of waiting."""


def order_of(run_at: int, priority: int) -> int:
    """The place in the lane's line: fixed, so that nothing has to be rewritten as it ages."""
    return run_at + (9 - priority) * _AGEING_MS


def stop_ms_of(request: Request) -> int | None:
    """How long a stop is worth sending; None: none is sent."""
    return round(max(request.timeouts.total, STOP_LAPSES_AFTER) * 1000) if request.stop.delete else None


def callback_bits(request: Request) -> int | None:
    """A bit for each end that its callback tells."""
    return None if request.callback is None else sum(1 << CODES[state] for state in request.callback.on)


def first_end(start_by: int | None, deadline: int | None) -> int | None:
    """When a task that was never begun is over if nothing happens."""
    if start_by is None or deadline is None:
        return deadline if start_by is None else start_by
    return min(start_by, deadline)
