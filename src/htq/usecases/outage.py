"""One line when the store goes away, and one when it is back, however many calls meet it."""

import logging

from htq.words.errors import StoreUnavailable

__all__ = ["Outage"]

log = logging.getLogger("htq.server")


class Outage:
    """Shared by everything of a server that calls the store, on one event loop."""

    def __init__(self) -> None:
        self._away = False

    def missed(self, error: StoreUnavailable) -> None:
        """A call was not answered."""
        if not self._away:
            self._away = True
            log.warning("the store is away, requests are answered with 503: %s", error)

    def answered(self) -> None:
        """A call was answered."""
        if self._away:
            self._away = False
            log.warning("the store is back")
