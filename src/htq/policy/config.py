"""Settings out of what was given: flag before `HTQ_*` variable before `htq.toml` before default.

Pure: the command line reads files and the environment, and hands them in. Whatever is unknown or can't be taken is a
`ConfigError` that says where it came from.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from htq.policy.durations import format_duration, parse_duration
from htq.policy.settings import (
    ALIASES,
    REDIS_DEFAULT,
    SETTINGS,
    Command,
    LogSettings,
    Secret,
    ServerSettings,
    Setting,
    Settings,
    StoreSettings,
    WorkerSettings,
)
from htq.words.errors import ConfigError

__all__ = ["NOT_SETTINGS", "default_store", "is_loopback", "redis_url", "resolve"]

NOT_SETTINGS = frozenset({"HTQ_URL", "HTQ_CONFIG"})
"""Variables of ours that are no settings: where the client finds its server, and where the file lies."""

_BY_NAME = {setting.name: setting for setting in (*SETTINGS, *ALIASES)}
_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})
_STORE_SCHEMES = ("sqlite:///", "redis://", "rediss://")


class _Layer(NamedTuple):
    """One source: what it gives by the setting's name, and how it calls a setting to its reader."""

    values: Mapping[str, Any]
    spell: Callable[[Setting], str]


def resolve(
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
    file_name: str = "htq.toml",
    home: str = "/",
    command: Command = "up",
) -> Settings:
    """The settings that hold for `command`.

    `flags` is by setting name, of those that were typed; `environ` the whole environment; `file` the parsed TOML; `home`
    the user's home folder, empty where there is none. A file may hold settings of other commands. Raises `ConfigError`.
    """
    environ = environ or {}
    layers = (
        _Layer(_of_file(file or {}, file_name), lambda setting: f"{file_name}: {setting.name}"),
        _Layer(_of_environ(environ), lambda setting: setting.variable),
        _Layer(flags or {}, lambda setting: setting.flag),
    )
    values: dict[str, Any] = {}
    for layer in layers:
        values.update(_read_layer(layer))
    values["store"] = values.get("store") or default_store(environ, home)
    settings = Settings(
        _branch(StoreSettings, values),
        _branch(ServerSettings, values),
        _branch(WorkerSettings, values),
        _branch(LogSettings, values),
    )
    _check_together(settings, command)
    return settings


def default_store(environ: Mapping[str, str], home: str) -> str:
    """The embedded file: the same for all commands in any folder. XDG Base Directory: a relative path is ignored.

    Raises `ConfigError` where there is neither a state folder nor a `home`.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        if not home:
            raise ConfigError("there is no home folder to keep tasks in: name a store with --store")
        state = f"{home.rstrip('/')}/.local/state"
    return f"sqlite:///{state.strip('/')}/htq/htq.db"


def redis_url(short: str) -> str:
    """`host[:port][/db]` as a URL. An empty one is the seed's `localhost:6379`."""
    return f"redis://{short or REDIS_DEFAULT}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`. A name other than `localhost` is taken as reachable."""
    import ipaddress

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_Group = TypeVar("_Group", StoreSettings, ServerSettings, WorkerSettings, LogSettings)


def _branch(group: type[_Group], values: Mapping[str, Any]) -> _Group:
    return group(**{name: values[name] for name in group._fields if name in values})


# --- sources --------------------------------------------------------------------------------------


def _of_file(file: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for key, value in file.items():
        if key in _BY_NAME:
            continue
        if isinstance(value, dict):
            raise ConfigError(f"{name}: unknown section [{key}]: settings stand at the top of the file, in no section")
        raise ConfigError(f"{name}: unknown key {key!r}{_nearest(key)}")
    return file


def _of_environ(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for variable, value in environ.items():
        if not variable.startswith("HTQ_") or variable in NOT_SETTINGS:
            continue
        name = variable.removeprefix("HTQ_").lower()
        if name not in _BY_NAME or not variable.isupper():
            raise ConfigError(f"unknown variable {variable}{_nearest(name, lambda near: _BY_NAME[near].variable)}")
        found[name] = value
    return found


def _nearest(name: str, spell: Callable[[str], str] = repr) -> str:
    import difflib

    near = difflib.get_close_matches(name.lower().replace("-", "_"), _BY_NAME, 1, 0.5)
    return f"; did you mean {spell(near[0])}?" if near else ""


def _read_layer(layer: _Layer) -> dict[str, Any]:
    values = {}
    for name, raw in layer.values.items():
        setting = _BY_NAME[name]
        try:
            values[name] = _read(setting, raw)
        except ValueError as error:
            shown = "its value can't be read" if setting.about.secret else error
            raise ConfigError(f"{layer.spell(setting)}: {shown}") from None
    if "redis" in values:
        if "store" in values:
            raise ConfigError(
                f"{layer.spell(_BY_NAME['redis'])} and {layer.spell(_BY_NAME['store'])} both say where tasks live: give one"
            )
        values["store"] = redis_url(values.pop("redis"))
    return values


# --- values ---------------------------------------------------------------------------------------


def _read(setting: Setting, raw: Any) -> Any:
    """A setting's value out of a string (flag, variable) or a TOML value. Raises `ValueError` with a sentence."""
    value = _READERS[setting.kind](raw)
    if setting.kind == "choice" and value not in setting.choices:
        raise ValueError(f"{raw!r} is none of {', '.join(setting.choices)}")
    low, high = setting.about.low, setting.about.high
    show = format_duration if setting.kind == "duration" else str
    if low is not None and value < low:
        raise ValueError(f"{raw} is too small: at least {show(low)}")
    if high is not None and value > high:
        raise ValueError(f"{raw} is too large: at most {show(high)}")
    if setting.about.secret:
        return tuple(map(Secret, value))
    if setting.name == "store" and value and not value.startswith(_STORE_SCHEMES):
        raise ValueError(f"{value!r} is no store: write sqlite:///<path>, redis://<host>:<port>/<db> or rediss://…")
    if setting.name == "redis" and "://" in value:
        raise ValueError(f"{value!r} is a URL: give it as {_BY_NAME['store'].flag}, or write <host>:<port>/<db>")
    if setting.name == "public_url" and value and not value.startswith(("http://", "https://")):
        raise ValueError(f"{value!r} is no http:// or https:// URL")
    return value


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is not a string")
    if not raw.isprintable():
        raise ValueError(f"{raw!r} has characters that can't be printed")
    return raw.strip()


def _integer(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().isdecimal() and len(raw) < 20:
        return int(raw)
    raise ValueError(f"{raw!r} is not a whole number")


def _duration(raw: Any) -> float:
    if isinstance(raw, str):
        return parse_duration(raw)
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw < 1e12:
        return float(raw)
    raise ValueError(f"{raw!r} is not a duration: write 90, 90s, 5m, 1h30m or 7d")


def _switch(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word not in _ON | _OFF:
        raise ValueError(f"{raw!r} is neither on nor off")
    return word in _ON


def _list(raw: Any) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise ValueError(f"{raw!r} is not a list")
    return tuple(item for item in map(_text, items) if item)


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "duration": _duration,
    "switch": _switch,
    "choice": _text,
    "list": _list,
}


# --- what must hold together ----------------------------------------------------------------------


def _check_together(settings: Settings, command: Command) -> None:
    server, worker = settings.server, settings.worker
    if command in _BY_NAME["host"].about.commands and not server.insecure and not is_loopback(server.host):
        raise ConfigError(
            f"host {server.host!r} can be reached from other machines, and whoever reaches the port may send and cancel "
            "requests: add --insecure if that is meant"
        )
    if worker.webhook_secrets:
        from htq.policy.signing import signing_key

        for secret in worker.webhook_secrets:
            try:
                signing_key(secret)
            except ConfigError as error:
                raise ConfigError(f"webhook_secrets: {error}") from None
    if worker.heartbeat * 5 > worker.lease:
        raise ConfigError(
            f"heartbeat {format_duration(worker.heartbeat)} is too slow for lease {format_duration(worker.lease)}: "
            "a lease must outlast five heartbeats"
        )
