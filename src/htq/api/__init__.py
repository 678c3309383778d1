"""The HTTP API: one table of routes over the use cases, as a plain ASGI application."""
