"""A registry over PostgreSQL: an unlogged table, and LISTEN on a channel of each process's own.

One connection a process. It must be a session of its own, so a pooler in transaction mode (PgBouncer) has to be passed by.
The driver is asyncpg, imported when the first connection is made; an application may use any other for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from htq.service.board import LEASE_SECONDS, Board, Found
from htq.service.contract import TOMBSTONE_SECONDS, Ticket
from htq.service.shared import SharedRegistry

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["SCHEMA", "PostgresRegistry"]

SCHEMA = """\
CREATE UNLOGGED TABLE IF NOT EXISTS htq_service_requests (
    task_id    text        NOT NULL,
    attempt    integer     NOT NULL,
    digest     bytea       NOT NULL,  -- of Authorization and Cookie: who may stop it
    process    text        NOT NULL,  -- who runs it; '' for the mark that it was canceled
    stopped    boolean     NOT NULL DEFAULT false,  -- in a mark: its work has ended since
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, attempt, digest, process)
);
CREATE INDEX IF NOT EXISTS htq_service_requests_expires_at ON htq_service_requests (expires_at);
"""
"""The registry makes this itself where it may. UNLOGGED: after a crash of the server the processes write it anew."""

# Any number that nobody else is likely to lock; two processes that start at once would fail on CREATE ... IF NOT EXISTS.
_SCHEMA_LOCK = 0x687471_736572

_PUT = """
INSERT INTO htq_service_requests AS r (task_id, attempt, digest, process, expires_at)
SELECT k.*, $4, now() + make_interval(secs => $5)
FROM unnest($1::text[], $2::integer[], $3::bytea[]) AS k (task_id, attempt, digest)
ON CONFLICT (task_id, attempt, digest, process) DO UPDATE SET expires_at = excluded.expires_at
"""
_MARKED = """
SELECT task_id, attempt, digest FROM htq_service_requests
JOIN unnest($1::text[], $2::integer[], $3::bytea[]) AS k (task_id, attempt, digest)
USING (task_id, attempt, digest)
WHERE process = '' AND expires_at > now()
"""
_DROP = """
DELETE FROM htq_service_requests AS r USING unnest($1::text[], $2::integer[], $3::bytea[]) AS k (task_id, attempt, digest)
WHERE (r.task_id, r.attempt, r.digest) = (k.task_id, k.attempt, k.digest) AND r.process = $4
"""
_NOTE_STOPPED = """
UPDATE htq_service_requests AS r SET stopped = true
FROM unnest($1::text[], $2::integer[], $3::bytea[]) AS k (task_id, attempt, digest)
WHERE (r.task_id, r.attempt, r.digest) = (k.task_id, k.attempt, k.digest) AND r.process = ''
"""
_RUNNING = """
SELECT task_id, attempt, digest, process, stopped FROM htq_service_requests
JOIN unnest($1::text[], $2::integer[], $3::bytea[]) AS k (task_id, attempt, digest)
USING (task_id, attempt, digest)
WHERE expires_at > now()
"""
_SWEEP = """
DELETE FROM htq_service_requests WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM htq_service_requests WHERE expires_at < now() LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""


def _channel(process: str) -> str:
    return f"htq_service_{process}"


def _columns(tickets: Collection[Ticket]) -> tuple[list[str], list[int], list[bytes]]:
    # Sorted, so that two processes that write the same marks lock them in one order.
    rows = sorted(tickets)
    return [row.task_id for row in rows], [row.attempt for row in rows], [row.digest for row in rows]


class PostgresRegistry(SharedRegistry):
    """The processes of one service find each other in the database `dsn` (`postgresql://user:password@host/name`)."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        super().__init__()

    async def _open(self, process: str, hear: Callable[[str], None], lost: Callable[[], None]) -> Board:
        import asyncpg

        connection = await asyncpg.connect(self._dsn)
        try:
            connection.add_termination_listener(lambda _: lost())
            await connection.add_listener(_channel(process), lambda _connection, _pid, _channel, text: hear(text))
            if await connection.fetchval("SELECT to_regclass('htq_service_requests')") is None:
                async with connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
                    await connection.execute(SCHEMA)
        except BaseException:
            connection.terminate()
            raise
        return _PostgresBoard(connection, process)


class _PostgresBoard:
    def __init__(self, connection: Connection, process: str) -> None:
        self._connection = connection
        self._process = process

    async def put(self, tickets: Collection[Ticket]) -> set[Ticket]:
        columns = _columns(tickets)
        # Two transactions: the look for marks must come after the entries can be seen by others.
        await self._connection.execute(_PUT, *columns, self._process, LEASE_SECONDS)
        return {Ticket(*row) for row in await self._connection.fetch(_MARKED, *columns)}

    async def drop(self, tickets: Mapping[Ticket, bool]) -> None:
        canceled = [ticket for ticket, was_canceled in tickets.items() if was_canceled]
        if canceled:
            # Before the entry goes: one who asks in between must find either.
            await self._connection.execute(_NOTE_STOPPED, *_columns(canceled))
        await self._connection.execute(_DROP, *_columns(tickets), self._process)

    async def mark(self, tickets: Collection[Ticket]) -> dict[Ticket, Found]:
        columns = _columns(tickets)
        await self._connection.execute(_PUT, *columns, "", TOMBSTONE_SECONDS)
        processes: dict[Ticket, list[str]] = {ticket: [] for ticket in tickets}
        stopped: set[Ticket] = set()
        for task_id, attempt, digest, process, has_stopped in await self._connection.fetch(_RUNNING, *columns):
            ticket = Ticket(task_id, attempt, digest)
            if process:
                processes[ticket].append(process)
            elif has_stopped:
                stopped.add(ticket)
        return {ticket: Found(tuple(names), ticket in stopped) for ticket, names in processes.items()}

    async def tell(self, messages: Sequence[tuple[str, str]]) -> None:
        channels = [_channel(process) for process, _ in messages]
        texts = [text for _, text in messages]
        await self._connection.execute(
            "SELECT pg_notify(c, t) FROM unnest($1::text[], $2::text[]) AS m (c, t)", channels, texts
        )

    async def sweep(self) -> None:
        await self._connection.execute(_SWEEP)

    async def close(self) -> None:
        self._connection.terminate()
