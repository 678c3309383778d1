"""The tables, and how an older file is brought up to them. `docs/design/store-sqlite.md` tells why they look like this.

A state is stored as its place in `htq.words.states.STATES`, so that "live" is `state < 3`. Points in time are epoch
milliseconds on the wall clock, but for `sessions.expires` (seconds of the steady clock of the boot named beside it) and
`next_at`, `tick` and `door`, which are microseconds and run ahead of the clock when they must.
"""

import apsw

from htq.words.errors import StoreRefused

__all__ = ["APPLICATION_ID", "MIGRATIONS", "judge", "migrate"]

APPLICATION_ID = 0x68747131
"""`htq1`, in the file's header: a file of somebody else's is never touched."""

_FIRST = """
CREATE TABLE turns (               -- one row: the turns of the queues among each other
    tick INTEGER NOT NULL,
    door INTEGER NOT NULL
);
INSERT INTO turns VALUES (0, 0);

CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    scheduled INTEGER NOT NULL DEFAULT 0,
    queued INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0,
    tick INTEGER NOT NULL DEFAULT 0,    -- the turns of its lanes: never stands still
    door INTEGER NOT NULL DEFAULT 0,    -- the tick before the last claim: where a lane that fills comes in
    next_at INTEGER NOT NULL DEFAULT 0  -- its own turn
);
CREATE INDEX queues_ready ON queues (next_at) WHERE queued > 0;

CREATE TABLE lanes (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    weight INTEGER NOT NULL DEFAULT 1,
    turns_left INTEGER NOT NULL DEFAULT 1,
    cap INTEGER NOT NULL DEFAULT 9223372036854775807,
    queued INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0,
    tasks INTEGER NOT NULL DEFAULT 0,   -- rows that name this lane, final ones too: at 0 it is removed
    next_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (queue, key)
);
CREATE INDEX lanes_ready ON lanes (queue, next_at) WHERE queued > 0 AND running < cap;

CREATE TABLE tasks (                    -- what changes in a task's life, and what the verbs decide by
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL,
    state INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    ord INTEGER NOT NULL,               -- the order inside the lane: run_at + (9 - priority) minutes
    run_at INTEGER NOT NULL,
    ttl_ms INTEGER NOT NULL,
    stop_ms INTEGER,                    -- how long a stop of it is worth sending; NULL: its policy says none
    once INTEGER NOT NULL,              -- at_most_once
    version INTEGER NOT NULL DEFAULT 1,
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    loose INTEGER NOT NULL DEFAULT 0,   -- whether one of its attempts is loose: `attempts` says which
    spooled INTEGER NOT NULL DEFAULT 0, -- the attempt for which `append_body` laid chunks
    has_response INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,                     -- scheduled: when `promote` may queue it
    blocked_by INTEGER,                 -- the task whose exchange it waits behind, or waited until it was canceled
    session BLOB,                       -- pending: who has it
    seq INTEGER,                        -- pending: the claim that gave it
    claimed_at INTEGER,
    cancel_at INTEGER,                  -- the rest of the cancel's record is in `cancels`
    finished_at INTEGER,
    expires_at INTEGER,
    reason TEXT,
    tenant TEXT NOT NULL,
    name TEXT
);
CREATE UNIQUE INDEX tasks_uuid ON tasks (uuid);
CREATE INDEX tasks_live ON tasks (uuid) WHERE state < 3;
CREATE INDEX tasks_odd ON tasks (uuid) WHERE state > 3 OR cancel_at IS NOT NULL;
CREATE INDEX tasks_ready ON tasks (lane, ord, uuid) WHERE state = 1;
CREATE INDEX tasks_due ON tasks (due_at) WHERE state = 0;
CREATE INDEX tasks_blocked ON tasks (blocked_by) WHERE blocked_by IS NOT NULL;
CREATE INDEX tasks_held ON tasks (session) WHERE state = 2;
CREATE INDEX tasks_canceling ON tasks (session) WHERE state = 2 AND cancel_at IS NOT NULL;
CREATE INDEX tasks_expiring ON tasks (expires_at) WHERE expires_at IS NOT NULL;
CREATE UNIQUE INDEX tasks_alive ON tasks (tenant, name) WHERE name IS NOT NULL AND state < 3 AND cancel_at IS NULL;
CREATE INDEX tasks_named ON tasks (tenant, name, uuid) WHERE name IS NOT NULL;

CREATE TABLE requests (                 -- what never changes in a task; same id
    id INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    owner TEXT NOT NULL,
    host TEXT NOT NULL,
    priority INTEGER NOT NULL,
    labels TEXT,                        -- JSON; NULL: none
    superseded BLOB,                    -- the uuids that it took the place of, 16 bytes each; NULL: none
    body_size INTEGER NOT NULL,
    request BLOB NOT NULL,              -- msgpack of `Request`
    body BLOB                           -- NULL: in `chunks`
);

CREATE TABLE results (                  -- how the last attempt of a final task ended; same id
    id INTEGER PRIMARY KEY,
    session BLOB NOT NULL,
    answer INTEGER NOT NULL,            -- what its finish was told, for when it is repeated
    record BLOB NOT NULL,               -- msgpack of `AttemptRecord`
    response BLOB                       -- msgpack of `Response`; NULL: there is none, or not any more
);

CREATE TABLE attempts (                 -- those that ended otherwise; the one under way is in its task
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    session BLOB NOT NULL,
    answer INTEGER,                     -- NULL: its session never finished it
    loose INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID;

CREATE TABLE cancels (                  -- same id as the task
    id INTEGER PRIMARY KEY,
    requested_at INTEGER NOT NULL,
    reason TEXT,
    phase TEXT,
    interrupted_at INTEGER
);

CREATE TABLE stops (
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'owed',
    holder BLOB,                        -- the session that sends it, or that settled it
    seq INTEGER,                        -- the claim_stops that gave it
    canceled INTEGER NOT NULL,          -- whether it is part of its task's cancel
    lapses_at INTEGER NOT NULL,
    code INTEGER,
    tries INTEGER NOT NULL DEFAULT 0,
    elapsed_ms REAL,
    proof TEXT NOT NULL DEFAULT 'none',
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID;
CREATE INDEX stops_owed ON stops (lapses_at) WHERE state = 'owed';
CREATE INDEX stops_free ON stops (lapses_at) WHERE state = 'owed' AND holder IS NULL;
CREATE INDEX stops_held ON stops (holder) WHERE state = 'owed';

CREATE TABLE chunks (                   -- bodies that lie beside; attempt 0 is the request's
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (task, attempt, number)
) WITHOUT ROWID;

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    boot TEXT NOT NULL,
    expires REAL NOT NULL,
    opened_at INTEGER NOT NULL,
    claim_seq INTEGER NOT NULL DEFAULT 0,
    stops_seq INTEGER NOT NULL DEFAULT 0,
    info BLOB NOT NULL                  -- msgpack of `SessionInfo`
) WITHOUT ROWID;
"""

_QUEUE_SETTINGS = """
CREATE TABLE queue_settings (           -- what an operator says of a queue; a row of `queues` goes with its last task
    name TEXT PRIMARY KEY,
    settings BLOB NOT NULL              -- msgpack of `QueueSettings`
) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _QUEUE_SETTINGS)
"""Script n takes a file from version n to n + 1. Only ever append."""


def judge(db: apsw.Connection) -> None:
    """Raises `StoreRefused` for a file that is not ours to touch. Changes nothing."""
    version = int(db.pragma("user_version"))
    application = int(db.pragma("application_id"))
    is_empty = not db.pragma("schema_version")
    if application != APPLICATION_ID and not (application == 0 and is_empty):
        raise StoreRefused(
            f"{db.db_filename('main')} is a database of another program. Name another file with --store sqlite:///<path>."
        )
    if version > len(MIGRATIONS):
        raise StoreRefused(
            f"{db.db_filename('main')} was written by a newer htq (schema {version}; this one knows up to {len(MIGRATIONS)}). "
            "Install that version again, or name another file."
        )


def migrate(db: apsw.Connection) -> None:
    """Bring a file up that `judge` has let pass, in one transaction. The caller holds the write lock."""
    version = int(db.pragma("user_version"))
    if version == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[version:]:
            db.execute(script)
        db.pragma("user_version", len(MIGRATIONS))
        db.pragma("application_id", APPLICATION_ID)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
