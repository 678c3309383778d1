"""How many requests are with the target at once."""

from support.target import Received, Script, answer, late

__all__ = ["Gauge"]


class Gauge:
    """Counts the requests of the scripts that it gives out: those that were neither answered nor cut off.

    A request is no longer counted before its answer is written, so that the next one is not mistaken for one beside it.
    """

    def __init__(self) -> None:
        self.most = 0
        """The most that there were at once."""
        self._open: set[Received] = set()

    def slow(self, seconds: float, then: Script | None = None) -> Script:
        """Answer by `then` (a plain 200) after that time, or at once when the test releases the request."""
        after = then or answer()

        async def leave(request: Received) -> None:
            self._open.discard(request)
            await after(request)

        waiting = late(seconds, leave)

        async def script(request: Received) -> None:
            self._open.add(request)
            self.most = max(self.most, len(self._open))
            try:
                await waiting(request)
            finally:
                self._open.discard(request)

        return script
