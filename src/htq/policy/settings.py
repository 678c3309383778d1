"""Every setting, declared once: the tree of settings, and the table that flags, variables, file keys and docs come from.

A setting has one name in all its spellings: `drain_timeout` in `htq.toml`, `HTQ_DRAIN_TIMEOUT`, `--drain-timeout`. Its
type and default stand in the tree, the rest in its `About`. Nothing here imports more than `typing`, since `htq --help`
reads it.
"""

from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin

__all__ = [
    "ALIASES",
    "REDIS_DEFAULT",
    "RUNNING_COMMANDS",
    "SETTINGS",
    "About",
    "CancelDelete",
    "Command",
    "Kind",
    "LogFormat",
    "LogSettings",
    "Secret",
    "ServerSettings",
    "Setting",
    "Settings",
    "StoreSettings",
    "WorkerSettings",
]

Command = Literal["server", "worker", "up"]
RUNNING_COMMANDS: Final[tuple[Command, ...]] = get_args(Command)
CancelDelete = Literal["always", "post", "never"]
LogFormat = Literal["plain", "json"]
Kind = Literal["text", "integer", "duration", "switch", "choice", "list"]

REDIS_DEFAULT: Final = "localhost:6379"

_SERVER: Final[tuple[Command, ...]] = ("server", "up")
_WORKER: Final[tuple[Command, ...]] = ("worker", "up")
_ALL: Final[tuple[Command, ...]] = ("server", "worker", "up")


class About(NamedTuple):
    """What the type and the default of a setting don't say. `low` and `high` bound a number, both inclusive."""

    help: str
    commands: tuple[Command, ...]
    metavar: str = ""
    low: float | None = None
    high: float | None = None
    bare: str | None = None
    """What the flag means when it stands alone; None: it needs a value."""
    secret: bool = False
    """Whether its value is never shown, in no message either."""


class Secret(str):
    """Text that stands in no trace and no log of what holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[secret]"


class StoreSettings(NamedTuple):
    """Where tasks live."""

    store: Annotated[
        str,
        About(
            "Where tasks live: sqlite:///<path>, redis://<host>[:<port>][/<db>] or rediss://… for TLS. "
            "Empty: the embedded file htq/htq.db under $XDG_STATE_HOME (~/.local/state)",
            _ALL,
            "<url>",
        ),
    ] = ""
    signals: Annotated[
        bool,
        About("Hints between processes. Without them everything still works, at the pace of the polls", _ALL),
    ] = True
    poll_every: Annotated[
        float,
        About("How often the store is asked for news when no hint came", _ALL, "<duration>", 0.01, 600),
    ] = 1.0


class ServerSettings(NamedTuple):
    """The HTTP interface, and the defaults of the tasks that it takes."""

    host: Annotated[str, About("Host of the HTTP service", _SERVER, "<host>")] = "localhost"
    port: Annotated[int, About("Port of the HTTP service; 0 takes a free one", _SERVER, "<port>", 0, 65535)] = 5000
    public_url: Annotated[
        str,
        About("Base of every link that is handed out. Empty: taken from each request's Host", _SERVER, "<url>"),
    ] = ""
    insecure: Annotated[
        bool,
        About("Listen beyond loopback although anybody who reaches the port may send and cancel requests", _SERVER),
    ] = False
    allowed_hosts: Annotated[
        tuple[str, ...],
        About(
            "Names that a request's Host may carry, besides those of loopback, the host and the public URL",
            _SERVER,
            "<name>,…",
        ),
    ] = ()
    max_waiters: Annotated[
        int,
        About("Clients that may wait for a response at the same time", _SERVER, "<n>", 1, 1_000_000),
    ] = 10_000
    timeout: Annotated[
        float,
        About("Bounds the whole exchange of a request that names no timeout", _SERVER, "<duration>", 0.001, 604800),
    ] = 60.0
    retention: Annotated[
        float,
        About("For how long a finished request is kept", _SERVER, "<duration>", 1, 10 * 365 * 86400),
    ] = 7 * 86400.0
    idempotency_window: Annotated[
        float,
        About("For how long an Idempotency-Key is known", _SERVER, "<duration>", 1, 365 * 86400),
    ] = 86400.0
    cancel_delete: Annotated[
        CancelDelete,
        About("Which canceled requests are followed by a DELETE to their target: all, only POSTs, or none", _SERVER),
    ] = "always"


class WorkerSettings(NamedTuple):
    """The sending of requests."""

    threads: Annotated[
        int,
        About("Number of requests that a worker has in flight", _WORKER, "<n>", 1, 100_000),
    ] = 10
    lease: Annotated[
        float,
        About("A worker that was not heard of for so long is taken for dead", _WORKER, "<duration>", 1, 3600),
    ] = 15.0
    heartbeat: Annotated[
        float,
        About("How often a worker renews its lease; a fifth of the lease at most", _WORKER, "<duration>", 0.05, 600),
    ] = 1.0
    drain_timeout: Annotated[
        float,
        About("How long a stop waits for the requests in flight", _WORKER, "<duration>", 0, 86400),
    ] = 30.0
    webhook_secrets: Annotated[
        tuple[str, ...],
        About(
            "Secrets that callbacks are signed with: whsec_ and the base64 of 24 to 64 random bytes. Each gives a signature, so "
            "give the old one and the new one while you change them. A flag is seen by others on the machine: set the variable, or "
            "the key in the file",
            _WORKER,
            "<secret>,…",
            secret=True,
        ),
    ] = ()


class LogSettings(NamedTuple):
    """What is said, and how."""

    debug: Annotated[bool, About("Turn on debug logging", _ALL)] = False
    log_format: Annotated[LogFormat, About("Lines for people, or one JSON object a line", _ALL)] = "plain"


class Settings(NamedTuple):
    """All of it."""

    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    log: LogSettings = LogSettings()


class Setting(NamedTuple):
    """A row of the table."""

    name: str
    branch: str
    """Where it stands in the tree: `server` for `Settings.server`."""
    kind: Kind
    default: Any
    choices: tuple[str, ...]
    about: About

    @property
    def flag(self) -> str:
        """`--drain-timeout`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """`HTQ_DRAIN_TIMEOUT`."""
        return "HTQ_" + self.name.upper()


_KINDS: Final[dict[Any, Kind]] = {str: "text", int: "integer", float: "duration", bool: "switch"}


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    origin = get_origin(annotation)
    if origin is Literal:
        return "choice", get_args(annotation)
    if origin is tuple:
        return "list", ()
    return _KINDS[annotation], ()


def _rows() -> tuple[Setting, ...]:
    rows = []
    for branch, group in Settings.__annotations__.items():
        defaults = group._field_defaults
        for name, annotated in group.__annotations__.items():
            annotation, about = get_args(annotated)
            kind, choices = _kind(annotation)
            rows.append(Setting(name, branch, kind, defaults[name], choices, about))
    return tuple(rows)


ALIASES: Final[tuple[Setting, ...]] = (
    Setting(
        "redis",
        "store",
        "text",
        "",
        (),
        About(
            "Keep tasks in the Redis or Valkey server at <host>[:<port>][/<db>]: short for --store with a redis:// URL",
            _ALL,
            "<host>",
            bare=REDIS_DEFAULT,
        ),
    ),
)
"""Other ways to say a setting: `redis` is short for `store`."""

SETTINGS: Final[tuple[Setting, ...]] = _rows()
"""Every setting, in the order of the tree."""
