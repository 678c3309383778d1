"""Writers of several processes take turns.

SQLite's own waiting is a game of luck (the worst wait of two busy processes was 230 ms), and it can't tell a busy
neighbor from a frozen one. So a `flock` on a file beside the database is held around each write transaction, and it is
*tried*, with a deadline: a process that was frozen inside its write stops the store, but hangs nobody.

Trying is unfair to those who wait, for a busy process takes the lock again within microseconds of letting it go. Hence the
turnstile: who waits holds a second lock meanwhile, which everybody has to pass first. It is a courtesy. One that
isn't to be had soon (its holder was frozen while it waited) is passed by.
"""

import fcntl
import os
from pathlib import Path
from threading import Event

from htq.words.errors import StoreUnavailable

__all__ = ["WriteLock"]

_COURTESY = 0.25
_SHORTEST = 0.0001
_LONGEST = 0.001


class WriteLock:
    """Held by one write transaction at a time, over all processes. Used by one thread.

    The files are opened here, so make it after any fork: a descriptor that two processes inherit is one lock.
    """

    def __init__(self, path: Path, deadline: float) -> None:
        """`path` is the database's; `deadline` is in seconds of waiting."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turnstile = os.open(f"{path}.turn", flags, 0o600)
        try:
            self._lock = os.open(f"{path}.lock", flags, 0o600)
        except OSError:
            os.close(self._turnstile)
            raise
        self._deadline = deadline
        self._pause = Event()

    def acquire(self) -> None:
        """Raises `StoreUnavailable` when the deadline is over."""
        passed = self._try(self._turnstile, _COURTESY)
        try:
            if not self._try(self._lock, self._deadline):
                raise StoreUnavailable("Another process holds the store's write lock and does not move.")
        finally:
            if passed:
                fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    def release(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._lock)
        os.close(self._turnstile)

    def _try(self, descriptor: int, seconds: float) -> bool:
        waited, pause = 0.0, _SHORTEST
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waited >= seconds:
                    return False
            else:
                return True
            # Counted, not measured: this must end even where the injected clock stands still.
            self._pause.wait(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST)
