"""What several processes of one service need in common: who runs a ticket, and a word to that process."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from htq.service.contract import Answer, Ticket

__all__ = ["Away", "Registry", "Stop"]

Stop = Callable[[Ticket], list[Future[Answer]]]
"""Stops what this process runs by a ticket; `Runs.cancel`."""


class Away(Exception):
    """The registry can't be reached now."""


class Registry(Protocol):
    """A registry is given to the middleware of every process of a service.

    Its methods may be called from any thread, never block, and give futures of `concurrent.futures`, so that WSGI and
    ASGI use the same one. A future fails with `Away` where the registry can't be reached: then requests run all the same,
    and can be canceled in their own process.
    """

    def attach(self, stop: Stop) -> None:
        """Called by the middleware once, before anything else: how to stop what runs in this process."""
        ...

    def begin(self, ticket: Ticket) -> Future[bool]:
        """Say that this process runs it. False: it was canceled somewhere before it came, and must not run."""
        ...

    def end(self, ticket: Ticket, *, canceled: bool) -> None:
        """Say that it has ended; each `begin` is followed by one. It is noted later, and forgotten in time if that fails."""
        ...

    def cancel(self, ticket: Ticket) -> Future[Answer]:
        """Have every other process that runs it stop it, and none run it later. Resolves within `WAIT_SECONDS`, or soon after."""
        ...

    def close(self) -> None:
        """Leave. Blocks for a second at most."""
        ...
