"""How the file is made and opened, and which SQLite may touch it."""

import os
from pathlib import Path

import apsw

from htq.stores.sqlite.schema import judge, migrate
from htq.words.errors import StoreRefused, StoreUnavailable

__all__ = ["connect", "prepare", "refused", "require_library", "unavailable"]

_OLDEST = (3, 51, 3)
_BUSY_MS = 1000
"""Writers take turns by `WriteLock`: only a stranger (a backup, a shell) can make SQLite wait."""
_WAL_LIMIT = 64 * 1024 * 1024
"""Bytes that the write-ahead log keeps once a burst is over."""


def require_library() -> None:
    """Raises `StoreRefused` for a SQLite that can corrupt a WAL database written by several connections."""
    found = apsw.sqlite_lib_version()
    if tuple(map(int, found.split("."))) < _OLDEST:
        raise StoreRefused(
            f"SQLite {found} can corrupt a database that several processes write (the WAL-reset bug, mended in 3.51.3). "
            "Install a newer apsw: pip install --upgrade apsw"
        )


def prepare(path: Path) -> None:
    """Make the file and its missing folders, for nobody else to read: it holds other people's credentials."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise refused(path, error) from error


def connect(path: Path, *, writer: bool) -> apsw.Connection:
    """A connection; the writer's brings the schema up (its caller holds the write lock). Raises `StoreRefused`."""
    try:
        db = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READWRITE if writer else apsw.SQLITE_OPEN_READONLY, statementcachesize=200
        )
    except apsw.Error as error:
        raise StoreRefused(f"{path} can't be opened: {error}") from error
    try:
        db.set_busy_timeout(_BUSY_MS)
        db.pragma("cache_size", -32 * 1024)
        if writer:
            judge(db)
            db.pragma("auto_vacuum", "incremental")
            db.pragma("journal_mode", "wal")
            db.pragma("synchronous", "full")
            db.pragma("journal_size_limit", _WAL_LIMIT)
            migrate(db)
        else:
            db.pragma("query_only", True)
    except apsw.NotADBError as error:
        db.close()
        raise StoreRefused(f"{path} is no SQLite database. Name another file with --store sqlite:///<path>.") from error
    except apsw.Error as error:
        db.close()
        raise unavailable(error) from error
    except BaseException:
        db.close()
        raise
    return db


def refused(path: Path, error: OSError) -> StoreRefused:
    """What is said when the file, or one beside it, can't be made."""
    return StoreRefused(f"{path} can't be opened: {error.strerror}. Name another file with --store sqlite:///<path>.")


def unavailable(error: BaseException) -> StoreUnavailable:
    """What a caller is told when SQLite or the disk fails."""
    if isinstance(error, apsw.FullError):
        return StoreUnavailable("The store's disk is full. Free some space: it goes on by itself.", retry_after=5.0)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreUnavailable("Another program holds the store's database.")
    return StoreUnavailable(f"The store's database fails: {error}")
