"""The embedded store: one SQLite file for all processes of a machine. See `docs/design/store-sqlite.md`."""

from htq.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
