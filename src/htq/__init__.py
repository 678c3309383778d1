"""htq, an HTTP task queue.

The seed's verbs work on the server at `HTQ_URL`, or else at http://localhost:5000:

    task = htq.send("http://localhost:8000/report", data={"year": 2014})
    htq.wait(task["uuid"], timeout=60)

`Client` and `AsyncClient` do the same for a server of your choice. Everything here is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from htq.client import AsyncClient, Client, HtqClientError, NotFound, NotYet, Rejected, Unavailable

    _default = Client()
    send = _default.send
    request = _default.request
    status = _default.status
    response = _default.response
    wait = _default.wait
    cancel = _default.cancel
    purge = _default.purge
    queued = _default.queued
    size = _default.size

__all__ = [
    "AsyncClient",
    "Client",
    "HtqClientError",
    "NotFound",
    "NotYet",
    "Rejected",
    "Unavailable",
    "__version__",
    "cancel",
    "purge",
    "queued",
    "request",
    "response",
    "send",
    "size",
    "status",
    "wait",
]

__version__ = "1.0.0"

_FROM_CLIENT = frozenset({"AsyncClient", "Client", "HtqClientError", "NotFound", "NotYet", "Rejected", "Unavailable"})


if not TYPE_CHECKING:  # else every name would be known to a type checker

    def __getattr__(name: str) -> Any:
        """Load a public name on its first use. All verbs share one client, whose address is read then."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from htq import client

        if name in _FROM_CLIENT:
            found = getattr(client, name)
        else:
            default = globals().get("_client") or globals().setdefault("_client", client.Client())
            found = getattr(default, name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
