"""Settings: which source wins, and what is refused in which words."""

import base64
from typing import Any

import pytest

from htq.policy.config import is_loopback, resolve
from htq.policy.durations import format_duration, parse_duration
from htq.policy.settings import ALIASES, SETTINGS, Setting
from htq.words.errors import ConfigError

SECRET = "whsec_" + base64.b64encode(b"canary, canary, canary, canary").decode()


def refusal(**sources: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(**sources)
    return str(caught.value)


def test_without_any_source_the_seeds_defaults_hold() -> None:
    settings = resolve(home="/home/ada")
    assert (settings.server.host, settings.server.port) == ("localhost", 5000)
    assert settings.worker.threads == 10
    assert settings.server.retention == 7 * 86400
    assert settings.server.cancel_delete == "always"
    assert settings.store.store == "sqlite:///home/ada/.local/state/htq/htq.db"
    assert not settings.log.debug


def test_a_flag_goes_before_a_variable_before_the_file_before_the_default() -> None:
    file = {"port": 1, "threads": 1, "host": "127.0.0.3"}
    environ = {"HTQ_PORT": "2", "HTQ_THREADS": "2"}
    settings = resolve(flags={"port": "3"}, environ=environ, file=file)
    assert settings.server.port == 3
    assert settings.worker.threads == 2
    assert settings.server.host == "127.0.0.3"


def test_the_state_folder_is_where_the_environment_says() -> None:
    settings = resolve(environ={"XDG_STATE_HOME": "/var/lib/state"}, home="/home/ada")
    assert settings.store.store == "sqlite:///var/lib/state/htq/htq.db"


def test_a_relative_state_folder_is_ignored() -> None:
    settings = resolve(environ={"XDG_STATE_HOME": "state"}, home="/home/ada")
    assert settings.store.store == "sqlite:///home/ada/.local/state/htq/htq.db"


def test_without_a_home_folder_a_store_has_to_be_named() -> None:
    assert "--store" in refusal(home="")
    assert resolve(home="", flags={"store": "sqlite:///x"}).store.store == "sqlite:///x"
    assert resolve(home="", environ={"XDG_STATE_HOME": "/s"}).store.store == "sqlite:///s/htq/htq.db"


@pytest.mark.parametrize(
    ("short", "url"),
    [
        ("localhost:6379", "redis://localhost:6379"),
        ("cache", "redis://cache"),
        ("cache:7000/2", "redis://cache:7000/2"),
        ("", "redis://localhost:6379"),
    ],
)
def test_redis_is_short_for_a_store(short: str, url: str) -> None:
    assert resolve(flags={"redis": short}).store.store == url


def test_a_higher_sources_redis_goes_before_a_lower_ones_store() -> None:
    assert resolve(flags={"redis": "a"}, environ={"HTQ_STORE": "sqlite:///b"}).store.store == "redis://a"
    assert resolve(flags={"store": "sqlite:///b"}, environ={"HTQ_REDIS": "a"}).store.store == "sqlite:///b"


def test_two_stores_from_one_source_are_refused() -> None:
    said = refusal(flags={"redis": "a", "store": "sqlite:///b"})
    assert "--redis" in said
    assert "--store" in said


@pytest.mark.parametrize(
    ("sources", "parts"),
    [
        ({"file": {"treads": 3}, "file_name": "/etc/htq.toml"}, ["/etc/htq.toml", "'treads'", "'threads'"]),
        ({"file": {"server": {"port": 1}}}, ["htq.toml", "[server]"]),
        ({"environ": {"HTQ_TREADS": "3"}}, ["HTQ_TREADS", "HTQ_THREADS"]),
        ({"environ": {"HTQ_threads": "3"}}, ["HTQ_threads", "HTQ_THREADS"]),
        ({"environ": {"HTQ_": "3"}}, ["HTQ_"]),
    ],
)
def test_an_unknown_key_is_named_with_its_source_and_the_nearest(sources: dict[str, Any], parts: list[str]) -> None:
    said = refusal(**sources)
    assert all(part in said for part in parts), said


def test_variables_of_the_client_are_no_settings() -> None:
    resolve(environ={"HTQ_URL": "http://queue:5000", "HTQ_CONFIG": "/etc/htq.toml", "HOME": "/root"})


@pytest.mark.parametrize(
    ("sources", "parts"),
    [
        ({"flags": {"port": "70000"}}, ["--port", "65535"]),
        ({"flags": {"port": "-1"}}, ["--port", "whole number"]),
        ({"flags": {"port": "5_000"}}, ["--port", "whole number"]),
        ({"environ": {"HTQ_THREADS": "0"}}, ["HTQ_THREADS", "at least 1"]),
        ({"file": {"threads": True}}, ["threads", "whole number"]),
        ({"file": {"threads": "10"}, "flags": {"threads": "x"}}, ["--threads", "'x'"]),
        ({"file": {"host": 5}}, ["host", "not a string"]),
        ({"environ": {"HTQ_HOST": "a\nb"}}, ["HTQ_HOST"]),
        ({"environ": {"HTQ_DEBUG": "maybe"}}, ["HTQ_DEBUG", "neither on nor off"]),
        ({"environ": {"HTQ_LEASE": "5 fortnights"}}, ["HTQ_LEASE", "1h30m"]),
        ({"file": {"lease": float("nan")}}, ["lease"]),
        ({"file": {"retention": -1}}, ["retention"]),
        ({"flags": {"cancel_delete": "sometimes"}}, ["--cancel-delete", "always, post, never"]),
        ({"flags": {"store": "postgresql://db"}}, ["--store", "sqlite:///", "redis://"]),
        ({"flags": {"redis": "redis://a"}}, ["--redis", "--store"]),
        ({"flags": {"public_url": "queue.example"}}, ["--public-url", "https://"]),
        ({"file": {"allowed_hosts": 3}}, ["allowed_hosts", "not a list"]),
        ({"flags": {"heartbeat": "10s"}}, ["heartbeat 10s", "lease 15s"]),
    ],
)
def test_a_bad_value_is_refused_by_its_name_and_source(sources: dict[str, Any], parts: list[str]) -> None:
    said = refusal(**sources)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "queue.example", ""])
def test_listening_beyond_loopback_needs_insecure(host: str) -> None:
    assert "--insecure" in refusal(flags={"host": host})
    assert resolve(flags={"host": host, "insecure": True}).server.host == host


def test_a_worker_listens_to_nobody_and_is_not_asked() -> None:
    resolve(environ={"HTQ_HOST": "0.0.0.0"}, command="worker")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback_is_recognized(host: str) -> None:
    assert is_loopback(host)


def _written(setting: Setting) -> tuple[str, Any, Any]:
    """A value other than the default: as text, as TOML, and as it is read."""
    match setting.kind:
        case "switch":
            return ("off" if setting.default else "on", not setting.default, not setting.default)
        case "integer":
            return ("7", 7, 7)
        case "duration":
            return ("20s", 20, 20.0)
        case "choice":
            return (setting.choices[-1], setting.choices[-1], setting.choices[-1])
        case "list" if setting.about.secret:
            return (f"{SECRET}, {SECRET},", [SECRET, SECRET], (SECRET, SECRET))
        case "list":
            return ("a, b,", ["a", "b"], ("a", "b"))
        case "text":
            value = {"store": "redis://a", "public_url": "https://a", "host": "127.0.0.2"}[setting.name]
            return (value, value, value)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_read_from_flag_variable_and_file(setting: Setting) -> None:
    text, toml, value = _written(setting)
    more = {"lease": 200} if setting.name == "heartbeat" else {}
    for sources in (
        {"flags": {setting.name: text}, "file": more},
        {"environ": {setting.variable: text}, "file": more},
        {"file": {setting.name: toml, **more}},
    ):
        settings = resolve(**sources)
        assert getattr(getattr(settings, setting.branch), setting.name) == value


@pytest.mark.parametrize(
    "value", ["whsec_canary", "canary", SECRET[:-12], SECRET + "\x00", 7, [SECRET, 7], ["canary" * 9], {"canary": 1}]
)
def test_a_secret_is_shown_by_no_message(value: Any) -> None:
    said = refusal(file={"webhook_secrets": value})
    assert "webhook_secrets" in said
    assert "canary" not in said
    assert "Y2Fu" not in said


def test_a_secret_is_shown_by_nothing_that_holds_it() -> None:
    settings = resolve(environ={"HTQ_WEBHOOK_SECRETS": SECRET})
    assert settings.worker.webhook_secrets == (SECRET,)
    assert SECRET not in repr(settings)


def test_every_setting_has_one_name() -> None:
    names = [setting.name for setting in (*SETTINGS, *ALIASES)]
    assert len(names) == len(set(names))


def test_every_setting_says_what_it_is_and_who_takes_it() -> None:
    for setting in (*SETTINGS, *ALIASES):
        assert setting.about.help
        assert not setting.about.help.endswith(".")
        assert setting.about.commands
        assert setting.kind in ("switch", "choice") or setting.about.metavar


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("5m", 300),
        ("7d", 604800),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("2w", 1209600),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 m", "-1", "1e3", "5y", "٣s", "0x10", "nan", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(604800, "7d"), (60, "1m"), (90, "90s"), (0.25, "0.25s"), (0, "0s")])
def test_durations_are_shown_in_the_largest_unit_that_is_whole(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == pytest.approx(seconds)
