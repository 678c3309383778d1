"""The one writer: group commit, in a thread of its own.

Everything that waits goes into one transaction. A call that fails takes nobody with it: the others are done again without
it. The results go back to the loop when the commit is on the disk, never before.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from htq.stores.sqlite.connection import connect, prepare, refused, unavailable
from htq.stores.sqlite.lock import WriteLock
from htq.stores.sqlite.news import News
from htq.stores.sqlite.runner import Call, Runner
from htq.stores.sqlite.step import Step
from htq.words.clock import Clock
from htq.words.errors import SessionLost

__all__ = ["Writer"]

log = logging.getLogger("htq.stores.sqlite")

_MOST = 256
"""Calls in one commit. Each may be a batch itself; beyond this a commit only gets longer, not cheaper."""


class Writer:
    """Owns the writing connection and the write lock.

    `told` is called on the loop after the results are handed back, with what the commit has to tell; `sent` in the
    writer's thread, right after the commit.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        boot: str,
        lock_for: float,
        told: Callable[[News], None],
        sent: Callable[[News], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._boot = boot
        self._lock_for = lock_for
        self._told = told
        self._sent = sent
        self._db: apsw.Connection | None = None
        self._lock: WriteLock | None = None
        self._runner = Runner("htq-sqlite-writer", begin=self._open, handle=self._handle, end=self._close, most=_MOST)
        self.start = self._runner.start
        self.stop = self._runner.stop
        self.put = self._runner.put

    def _open(self) -> None:
        prepare(self._path)
        try:
            self._lock = WriteLock(self._path, self._lock_for)
        except OSError as error:
            raise refused(self._path, error) from error
        try:
            self._lock.acquire()
            try:
                self._db = connect(self._path, writer=True)
            finally:
                self._lock.release()
        except BaseException:
            self._lock.close()
            raise

    def _close(self) -> None:
        assert self._db is not None
        assert self._lock is not None
        self._db.close()
        self._lock.close()

    def _handle(self, calls: Sequence[Call]) -> Callable[[], None] | None:
        calls = [call for call in calls if not call.is_abandoned]
        if not calls:
            return None
        try:
            news = self._commit(calls)
        except Exception as error:
            told = _explained(error)
            for call in calls:
                call.error = call.error or told
            return None
        if not news:
            return None
        try:
            self._sent(news)
        except Exception:
            # It is on the disk, and its callers are told so. The others find out by their poll.
            log.exception("a commit could not be told to the other processes")
        return lambda: self._told(news)

    def _commit(self, calls: Sequence[Call]) -> News:
        """One transaction for all calls. What is raised here concerns them all: nothing of it was written."""
        assert self._db is not None
        assert self._lock is not None
        db = self._db
        self._lock.acquire()
        try:
            while True:
                db.execute("BEGIN IMMEDIATE")
                news = News()
                for call in calls:
                    if call.error is None and not self._perform(call, news):
                        break
                else:
                    db.execute("COMMIT")
                    return news
                # One of them failed halfway. That is rare, and a savepoint for each call would cost all of them a fifth
                # more: so everything is undone, and the others begin again.
                if db.in_transaction:
                    db.execute("ROLLBACK")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        finally:
            self._lock.release()

    def _perform(self, call: Call, news: News) -> bool:
        """Do one call. False: it failed, and may have written something."""
        assert self._db is not None
        step = Step(self._db, self._clock.now_ms(), self._clock.steady(), self._boot)
        try:
            call.result = call.work(step)
            step.flush()
        except SessionLost as error:
            # Told before the verb has written anything.
            call.error = error
        except Exception as error:
            call.error = _explained(error)
            return False
        news.add(step.news)
        return True


def _explained(error: Exception) -> Exception:
    """An error of SQLite's or the system's is the store's; any other is a fault in htq, and is shown as it is."""
    return unavailable(error) if isinstance(error, apsw.Error | OSError) else error
