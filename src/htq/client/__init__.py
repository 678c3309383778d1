"""The Python client: the seed's verbs over HTTP, blocking (`Client`) and for asyncio (`AsyncClient`).

Stands outside of the rest: it imports nothing else of ours, and of the standard library only what a call needs.
"""

from htq.client.address import DEFAULT_URL
from htq.client.aio import AsyncClient
from htq.client.blocking import Client
from htq.client.errors import HtqClientError, NotFound, NotYet, Rejected, Unavailable
from htq.client.handles import AsyncSent, Sent
from htq.client.options import Options, ScheduleOptions

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "AsyncSent",
    "Client",
    "HtqClientError",
    "NotFound",
    "NotYet",
    "Options",
    "Rejected",
    "ScheduleOptions",
    "Sent",
    "Unavailable",
]
