"""The tables, and how an older file is brought up to them. `docs/design/store-sqlite.md` tells why they look like this.

A state is stored as its place in `htq.words.states.STATES`, so that "live" is `state < 3`. Points in time are epoch
milliseconds on the wall clock, but for `sessions.expires` (seconds of the steady clock of the boot named beside it) and
`next_at`, `opens_at`, `tick` and `door`, which are microseconds and run ahead of the clock when they must.
"""

import apsw

from htq.words.errors import StoreRefused

__all__ = ["APPLICATION_ID", "MIGRATIONS", "PARKED", "UNLIMITED", "judge", "migrate"]

APPLICATION_ID = 0x68747131
"""`htq1`, in the file's header: a file of somebody else's is never touched."""

UNLIMITED = 2**63 - 1
"""A cap that is none."""

PARKED = 2**62
"""A queue's `next_at` where it waits for something else than a time."""

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

_DISPATCH = f"""
DROP INDEX queues_ready;
ALTER TABLE queues ADD COLUMN cap INTEGER NOT NULL DEFAULT {UNLIMITED};
ALTER TABLE queues ADD COLUMN paused_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN rates BLOB;                               -- msgpack of its own `Rate`s; NULL: none
ALTER TABLE queues ADD COLUMN spent BLOB;                               -- msgpack: where these windows stand
ALTER TABLE queues ADD COLUMN opens_at INTEGER NOT NULL DEFAULT 0;      -- its pause and windows let nothing go before
ALTER TABLE queues ADD COLUMN stuck INTEGER NOT NULL DEFAULT 0;         -- it is the cost of what is next that it waits for
ALTER TABLE queues ADD COLUMN lane_weight INTEGER NOT NULL DEFAULT 1;   -- what holds for its lanes, from here on
ALTER TABLE queues ADD COLUMN lane_cap INTEGER NOT NULL DEFAULT {UNLIMITED};
ALTER TABLE queues ADD COLUMN lane_rates BLOB;
ALTER TABLE queues ADD COLUMN breaker BLOB;                             -- msgpack of `Breaker`
CREATE INDEX queues_ready ON queues (next_at) WHERE queued > 0 AND running < cap;
INSERT OR IGNORE INTO queues (name) SELECT name FROM queue_settings;

ALTER TABLE lanes ADD COLUMN own_weight INTEGER;                        -- NULL, here and below: as its queue says
ALTER TABLE lanes ADD COLUMN own_cap INTEGER;
ALTER TABLE lanes ADD COLUMN rates BLOB;
ALTER TABLE lanes ADD COLUMN spent BLOB;
ALTER TABLE lanes ADD COLUMN held_until INTEGER;
ALTER TABLE lanes ADD COLUMN hold_reason TEXT;
ALTER TABLE lanes ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;       -- in a row
ALTER TABLE lanes ADD COLUMN trips INTEGER NOT NULL DEFAULT 0;          -- holds of the breaker in a row; above 0, `cap` is 1
ALTER TABLE lanes ADD COLUMN stuck INTEGER NOT NULL DEFAULT 0;          -- it is the cost of its first task that it waits for
ALTER TABLE lanes ADD COLUMN keep_until INTEGER NOT NULL DEFAULT 0;     -- what it remembers is of use until then; 0: nothing
CREATE INDEX lanes_held ON lanes (queue, key) WHERE held_until IS NOT NULL;
CREATE INDEX lanes_kept ON lanes (keep_until) WHERE keep_until > 0;

DROP INDEX tasks_alive;
ALTER TABLE tasks ADD COLUMN start_by INTEGER;
ALTER TABLE tasks ADD COLUMN deadline INTEGER;
ALTER TABLE tasks ADD COLUMN ends_at INTEGER;      -- the first of the two that still counts; NULL: none does (any more)
ALTER TABLE tasks ADD COLUMN begun_at INTEGER;     -- its first attempt, or the first after a retry by hand
ALTER TABLE tasks ADD COLUMN retrying INTEGER;     -- its last attempt ended with `Retry`: 1, with a stop for a cancel: 2
ALTER TABLE tasks ADD COLUMN grp INTEGER;          -- in `groups`
ALTER TABLE tasks ADD COLUMN callback INTEGER;     -- a bit (1 << state) for each end that its callback tells
ALTER TABLE tasks ADD COLUMN blocked_until INTEGER; -- at the latest; NULL: until the other one has ended
ALTER TABLE tasks ADD COLUMN rank INTEGER;         -- the latest task of a name has the highest
UPDATE tasks SET rank = id WHERE name IS NOT NULL;
UPDATE tasks SET blocked_until = due_at WHERE blocked_by IS NOT NULL;
CREATE INDEX tasks_alive ON tasks (tenant, name, rank) WHERE name IS NOT NULL AND state < 3;
CREATE INDEX tasks_latest ON tasks (tenant, name, rank) WHERE name IS NOT NULL;
CREATE INDEX tasks_ending ON tasks (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX tasks_grouped ON tasks (grp, uuid) WHERE grp IS NOT NULL;
ALTER TABLE requests ADD COLUMN cost BLOB;         -- msgpack of its cost by unit; NULL: none

CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    closed_at INTEGER,
    completed_at INTEGER,
    callback BLOB,                      -- msgpack of `Callback`
    scheduled INTEGER NOT NULL DEFAULT 0,
    queued INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    success INTEGER NOT NULL DEFAULT 0,
    error INTEGER NOT NULL DEFAULT 0,
    timeout INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0,
    tasks INTEGER NOT NULL DEFAULT 0,   -- all of them
    UNIQUE (tenant, name)
);
CREATE INDEX groups_over ON groups (id) WHERE tasks = 0 AND closed_at IS NOT NULL;

CREATE TABLE keys (                     -- of idempotency
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    uuid BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX keys_expiring ON keys (expires_at);

CREATE TABLE callbacks (                -- owed
    id INTEGER PRIMARY KEY,
    task INTEGER,                       -- of one of these,
    grp INTEGER,                        -- or one of `groups`
    number INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE UNIQUE INDEX callbacks_of_tasks ON callbacks (task, number, at) WHERE task IS NOT NULL;
CREATE UNIQUE INDEX callbacks_of_groups ON callbacks (grp) WHERE grp IS NOT NULL;

CREATE TABLE schedules (
    revision INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, not even by one that is made after it was deleted
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    paused INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    next_at INTEGER,
    last_at INTEGER,
    last_uuid TEXT,
    schedule BLOB NOT NULL,             -- msgpack of `Schedule`; where it differs, the columns are right
    UNIQUE (tenant, name)
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE NOT paused AND next_at IS NOT NULL;
"""  # noqa: S608

MIGRATIONS: tuple[str, ...] = (_FIRST, _QUEUE_SETTINGS, _DISPATCH)
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
