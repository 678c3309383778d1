"""The composition root: what each part gets of the settings, and what the operator hears of a failure."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from htq import compose
from htq.cli import exits
from htq.cli.main import main
from htq.policy.config import resolve
from htq.words.clock import Chance
from htq.words.errors import HtqError, StoreRefused
from support.clock import ManualClock


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("htq")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.raiseExceptions = before[3]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///var/x.db", "SqliteStore"),
        ("redis://localhost/1", "RedisStore"),
        ("rediss://localhost", "RedisStore"),
    ],
)
def test_the_url_says_which_store(url: str, kind: str) -> None:
    clock = ManualClock()
    assert type(compose.make_store(url, clock=clock, chance=Chance(clock))).__name__ == kind


@pytest.mark.parametrize("slashes", ["///", "////"])
async def test_both_ways_to_write_a_path_lead_to_one_file(tmp_path: Path, slashes: str) -> None:
    clock = ManualClock()
    url = f"sqlite:{slashes}{str(tmp_path / 'x.db').lstrip('/')}"
    store = compose.make_store(url, clock=clock, chance=Chance(clock))
    try:
        assert (await store.open()).location == str(tmp_path / "x.db")
    finally:
        await store.close()


def test_the_use_cases_get_the_servers_defaults() -> None:
    given = resolve(
        flags={"retention": "1h", "cancel_delete": "never", "timeout": 5, "max_waiters": 7, "poll_every": 2}
    )
    settings = compose.service_settings(given)
    assert settings.retention == 3600
    assert settings.cancel_delete == "never"
    assert settings.timeout == 5
    assert settings.max_waiters == 7
    assert settings.poll_every == 2


def test_on_loopback_only_its_own_names_are_answered_to() -> None:
    settings = compose.api_settings(resolve(flags={"host": "127.0.0.5", "allowed_hosts": "queue"}).server)
    assert settings.allowed_hosts is not None
    assert set(settings.allowed_hosts) == {"localhost", "127.0.0.1", "::1", "127.0.0.5", "queue"}
    assert settings.public_url is None


def test_beyond_loopback_any_name_is_answered_to_unless_names_are_given() -> None:
    flags = {"host": "0.0.0.0", "insecure": True, "public_url": "https://queue.example"}
    settings = compose.api_settings(resolve(flags=flags).server)
    assert settings.allowed_hosts is None
    assert settings.public_url == "https://queue.example"
    named = compose.api_settings(resolve(flags={**flags, "allowed_hosts": "queue.example"}).server)
    assert named.allowed_hosts is not None
    assert "queue.example" in named.allowed_hosts


def test_the_worker_gets_its_settings_and_no_more_threads_than_descriptors() -> None:
    given = resolve(flags={"threads": 5000, "lease": 30, "heartbeat": 2, "drain_timeout": "1m"})
    settings = compose.worker_settings(given, 1024)
    assert settings.threads == 768
    assert (settings.lease, settings.heartbeat_every, settings.drain_timeout) == (30, 2, 60)
    assert 0 < settings.lease_margin < settings.lease - 2 * settings.heartbeat_every


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreRefused("name another file"), "error: name another file"),
        (ExceptionGroup("g", [ExceptionGroup("h", [HtqError("deep inside")])]), "error: deep inside"),
        (ExceptionGroup("g", [RuntimeError("a defect"), HtqError("what came of it")]), "error: what came of it"),
    ],
)
def test_an_error_of_ours_is_one_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _fail_with(error, monkeypatch)
    assert main(["worker"]) == exits.FAILED
    assert capfd.readouterr().err == f"{said}\n"


def test_a_defect_is_loud(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    _fail_with(RuntimeError("a defect"), monkeypatch)
    assert main(["worker"]) == exits.FAILED
    said = capfd.readouterr().err
    assert said.startswith("critical: htq made a mistake, and stops\n")
    assert "RuntimeError: a defect" in said


def _fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(main: object) -> bool:
        raise error

    monkeypatch.setattr(compose, "run_until_stopped", fail)
    monkeypatch.setattr(compose, "raise_descriptor_limit", lambda: 1024)
