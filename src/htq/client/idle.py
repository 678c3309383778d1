"""Connections that were kept after a complete exchange, for a moment."""

import select
from collections import deque
from collections.abc import Callable
from time import monotonic  # noqa: TID251 - how long a connection lies here concerns nobody else's clock
from typing import Final, Generic, TypeVar

__all__ = ["Idle", "has_ended"]

_IDLE: Final = 1.0
"""Seconds after which an idle connection is not used again: what goes out while the server closes it is lost."""

Connection = TypeVar("Connection")


class Idle(Generic[Connection]):
    """Idle connections, the youngest used first. Each step on the deque is a single one, so threads need no lock."""

    def __init__(self, has_ended: Callable[[Connection], bool], close: Callable[[Connection], None]) -> None:
        self._has_ended = has_ended
        self._close = close
        self._kept: deque[tuple[float, Connection]] = deque()

    def take(self) -> Connection | None:
        """One that may be used again, which is the taker's from now on."""
        oldest = monotonic() - _IDLE
        while True:
            try:
                since, connection = self._kept.pop()
            except IndexError:
                return None
            if since > oldest and not self._has_ended(connection):
                return connection
            self._close(connection)

    def put(self, connection: Connection) -> None:
        """Keep a connection, and close those that have become too old beneath the ones in use."""
        now = monotonic()
        self._kept.append((now, connection))
        try:
            while self._kept[0][0] <= now - _IDLE:
                # Where another thread took that one in between, the next is closed for it: it is only an idle one.
                self._close(self._kept.popleft()[1])
        except IndexError:
            pass  # other threads took them all

    def close(self) -> None:
        """Close all that are here."""
        try:
            while True:
                self._close(self._kept.pop()[1])
        except IndexError:
            pass

    def forget(self) -> None:
        """Let go of all without a word to the server, to which they are another process's."""
        self._kept.clear()


def has_ended(descriptor: int) -> bool:
    """Whether anything came over an idle connection: it can only be its end."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
