"""The request at hand: what an author's code calls, wherever in the request it is.

A context variable carries it, and frameworks copy the context into their thread pools, so it is there in a `def` endpoint
as well. Outside of a request of htq's everything here is harmless: nothing is ever canceled.
"""

from contextvars import ContextVar

from htq.service.run import Callback, OnCancel, Run

__all__ = ["CURRENT", "canceled", "on_cancel"]

CURRENT: ContextVar[Run | None] = ContextVar("htq_request", default=None)


def on_cancel(callback: Callback) -> OnCancel:
    """Have `callback` called when this request is canceled, and at once if it has been.

    It is called at most once: a function in a thread of its own, a coroutine function (ASGI) on the event loop. It returns
    True if the work has stopped for sure, which is what the one who cancels is then told; None if it can't say, and then
    the end of the request is waited for. Use it as a context manager around the work that it stops:

        with on_cancel(process.kill):
            process.wait()
    """
    run = CURRENT.get()
    return OnCancel(callback, None) if run is None else run.on_cancel(callback)


def canceled() -> bool:
    """Whether this request has been canceled, for code that looks from time to time. Cheap."""
    run = CURRENT.get()
    return run is not None and run.is_canceled()
