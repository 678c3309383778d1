"""The readers: connections of their own, so that a long list waits for no commit and no commit for it.

A snapshot lasts for one batch of calls inside one thread, never across an await: a pinned one would make the WAL grow.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import apsw

from htq.stores.sqlite.connection import connect, unavailable
from htq.stores.sqlite.runner import Call, Runner
from htq.words.errors import HtqError

__all__ = ["Reader"]

log = logging.getLogger("htq.stores.sqlite")

_MOST = 64


class Reader:
    """One thread with one reading connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: apsw.Connection | None = None
        self._runner = Runner("htq-sqlite-reader", begin=self._open, handle=self._handle, end=self._close, most=_MOST)
        self.start = self._runner.start
        self.stop = self._runner.stop
        self.put = self._runner.put

    def _open(self) -> None:
        self._db = connect(self._path, writer=False)

    def _close(self) -> None:
        assert self._db is not None
        self._db.close()

    def _handle(self, calls: Sequence[Call]) -> None:
        assert self._db is not None
        db = self._db
        try:
            db.execute("BEGIN")
            for call in calls:
                if call.is_abandoned:
                    continue
                try:
                    call.result = call.work(db)
                except HtqError as error:
                    call.error = error
                except apsw.Error as error:
                    call.error = unavailable(error)
                except Exception as error:
                    call.error = error
        except apsw.Error as error:
            for call in calls:
                call.error = call.error or unavailable(error)
        finally:
            try:
                if db.in_transaction:
                    db.execute("COMMIT")
            except apsw.Error:
                # What was read is right all the same. The next batch can't begin, says so, and tries this again.
                log.exception("a snapshot could not be let go of")
