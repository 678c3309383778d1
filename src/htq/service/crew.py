"""Threads for callbacks: those of an author may block, and neither an event loop nor a waiting stop may be held up.

Daemon threads that end when there is nothing to do, so an idle service has none, and a callback that hangs does not keep
its process alive (the threads of concurrent.futures would).
"""

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Crew", "crew"]


class Crew:
    """Runs jobs on at most `size` threads of its own. A job must not raise."""

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._threads >= self._size:
                self._waiting.append(job)
                return
            self._threads += 1
        threading.Thread(target=self._work, args=(job,), name="htq-cancel", daemon=True).start()

    def _work(self, job: Callable[[], None] | None) -> None:
        while job is not None:
            job()
            with self._lock:
                job = self._waiting.popleft() if self._waiting else None
                if job is None:
                    self._threads -= 1


crew = Crew()
