"""For services that htq calls: one line, and a cancel stops the work.

    from htq.service import AsgiMiddleware          # FastAPI, Starlette, Litestar, Quart, Django
    app.add_middleware(AsgiMiddleware)

    from htq.service import WsgiMiddleware          # Flask, Django
    app.wsgi_app = WsgiMiddleware(app.wsgi_app)

In an async handler there is nothing more to do: it is canceled like any asyncio task. Elsewhere `on_cancel(callback)` says
how to stop the work, and `canceled()` tells whether to. A service of several processes gives its middleware a registry:
`PostgresRegistry` or `RedisRegistry`.

This package needs the standard library alone (and the driver of the registry that is used), and nothing else of htq. The
contract is docs/service-contract.md, how to use this is docs/how-to/honor-a-cancel.md.
"""

from htq.service.asgi import AsgiMiddleware
from htq.service.current import canceled, on_cancel
from htq.service.postgres import PostgresRegistry
from htq.service.redis import RedisRegistry
from htq.service.registry import Away, Registry
from htq.service.run import OnCancel
from htq.service.wsgi import Canceled, WsgiMiddleware

__all__ = [
    "AsgiMiddleware",
    "Away",
    "Canceled",
    "OnCancel",
    "PostgresRegistry",
    "RedisRegistry",
    "Registry",
    "WsgiMiddleware",
    "canceled",
    "on_cancel",
]
