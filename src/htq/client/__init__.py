"""The Python client: the seed's verbs over HTTP, blocking (`Client`) and for asyncio (`AsyncClient`).

Stands outside of the rest: it imports nothing else of ours, and of the standard library only what a call needs.
"""

from htq.client.address import DEFAULT_URL
from htq.client.aio import AsyncClient
from htq.client.blocking import Client
from htq.client.errors import HtqClientError, NotFound, NotYet, Rejected, Unavailable

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "Client",
    "HtqClientError",
    "NotFound",
    "NotYet",
    "Rejected",
    "Unavailable",
]
