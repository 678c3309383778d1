"""The running requests of one process, by task and attempt, and the tombstones of those that were canceled."""

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from htq.service.contract import TOMBSTONE_SECONDS, Answer, Ticket
from htq.service.run import Run
from htq.service.tempo import steady

__all__ = ["Runs"]


class _Tombstone(NamedTuple):
    expires_at: float
    """Seconds on the steady clock."""
    stops: list[Future[Answer]]
    """Of the runs that were canceled by it, so that a stop that is repeated gets its true answer when they are gone."""


class Runs:
    """Safe for threads. Its memory is bounded by what the server runs at once, and by `most_tombstones`."""

    def __init__(self, *, now: Callable[[], float] = steady, most_tombstones: int = 10_000) -> None:
        self._now = now
        self._most_tombstones = most_tombstones
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], list[Run]] = {}
        self._tombstones: OrderedDict[Ticket, _Tombstone] = OrderedDict()

    def begin(self, run: Run) -> bool:
        """Note that it runs. False: it was canceled before it came, and must not run."""
        task_id, attempt, _ = run.ticket
        with self._lock:
            self._bury_old()
            if run.ticket in self._tombstones:
                return False
            # A list, since a proxy may repeat a request that is still running, and nobody may displace another's.
            self._running.setdefault((task_id, attempt), []).append(run)
            return True

    def end(self, run: Run) -> None:
        """The work of `run` is over. Harmless for one that never began."""
        task_id, attempt, _ = run.ticket
        with self._lock:
            same = self._running.get((task_id, attempt), [])
            if run in same:
                same.remove(run)
                if not same:
                    del self._running[task_id, attempt]
        run.end()

    def cancel(self, ticket: Ticket) -> list[Future[Answer]]:
        """Stop what runs by this ticket, and see to it that nothing by it runs later.

        A future for each run, resolved once that one has stopped for sure; none if nothing of the kind ran here. What
        runs under the same id with other credentials is not touched.
        """
        with self._lock:
            self._bury_old()
            found = [
                run
                for run in self._running.get((ticket.task_id, ticket.attempt), ())
                if hmac.compare_digest(run.ticket.digest, ticket.digest)
            ]
            # In one step with the tombstone, or a request could begin in between. It takes the lock of each run, and
            # runs no code of the author's: that goes to the crew or to a loop.
            stops = [run.cancel() for run in found]
            buried = self._tombstones.pop(ticket, None)
            if buried is not None:
                stops += [stop for stop in buried.stops if stop not in stops]
            self._tombstones[ticket] = _Tombstone(self._now() + TOMBSTONE_SECONDS, stops)
            if len(self._tombstones) > self._most_tombstones:
                self._tombstones.popitem(last=False)
        return list(stops)

    def _bury_old(self) -> None:
        now = self._now()
        while self._tombstones and next(iter(self._tombstones.values())).expires_at <= now:
            self._tombstones.popitem(last=False)
