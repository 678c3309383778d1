"""`htq --help`, `htq --version`, usage errors: what is said, where, and what it costs."""

import subprocess
import sys

import pytest

from htq import __version__
from htq.cli import exits
from htq.cli.flags import FLAG_SETTINGS
from htq.cli.main import main

COMMANDS = (
    *("server", "worker", "up", "demo", "bench", "check-service"),
    *("send", "get", "status", "response", "wait", "cancel", "retry", "purge", "list"),
    *("queues", "groups", "schedules"),
)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_the_seeds_commands_and_options_with_their_defaults(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([flag]) == exits.OK
    said = capsys.readouterr().out
    for line in (
        "htq server [--host <host>] [--port <port>] [--redis <host>] [--debug]",
        "htq worker [--threads <n>] [--redis <host>] [--debug]",
        "-h --help",
        "-v --version",
        "--debug",
        "--host <host>",
        "--port <port>",
        "--redis <host>",
        "--threads <n>",
        "[default: localhost]",
        "[default: 5000]",
        "[default: localhost:6379]",
        "[default: 10]",
    ):
        assert line in said
    assert max(map(len, said.splitlines())) <= 110


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command}" in said


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version_is_said(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == exits.OK
    assert capsys.readouterr().out == f"htq {__version__}\n"


def test_without_a_command_the_help_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == exits.USAGE
    said = capsys.readouterr()
    assert not said.out
    assert "htq server" in said.err


def test_an_unknown_command_is_told_from_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sevrer"]) == exits.USAGE
    assert capsys.readouterr().err == "htq: unknown command 'sevrer' (did you mean server?); see htq --help\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"htq {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["server", "worker", "up"])
def test_a_commands_help_has_each_of_its_settings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    for setting in FLAG_SETTINGS:
        flag = f"--no-{setting.flag[2:]}" if setting.default is True else setting.flag
        assert (f"{flag} " in said or f"{flag}\n" in said) == (command in setting.about.commands), setting.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["server", "--prot", "1"], "htq server: unknown argument '--prot' (did you mean --port?)"),
        (["server", "--threads", "1"], "htq server: unknown argument '--threads'"),
        (["worker", "--deb"], "htq worker: unknown argument '--deb' (did you mean --debug?)"),
        (["worker", "now"], "htq worker: unknown argument 'now'"),
        (["server", "--port"], "htq server: argument --port: expected one argument"),
        (["get"], "htq get: the following arguments are required: <uuid>"),
        (["send", "http://a", "-H", "nonsense"], "'nonsense' is no header: write 'Name: value'"),
        (["send", "http://a", "--timeout", "soon"], "'soon' is not a duration"),
        (["send", "http://a", "-o", "queue"], "write <name>=<value>"),
        (["send", "http://a", "-d", "@/nowhere/at/all"], "/nowhere/at/all: can't be read"),
    ],
)
def test_a_usage_error_is_one_line_and_says_where_to_look(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == exits.USAGE
    line = capsys.readouterr().err
    assert said in line
    assert line.endswith(f"see htq {arguments[0]} --help\n")
    assert line.count("\n") == 1


def test_help_loads_nothing_that_is_slow_to_load() -> None:
    program = "import sys; from htq.cli.main import main; main(['--help']); print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "htq.cli.screen" in loaded
    slow = {
        "asyncio",
        "http.client",
        "json",
        "logging",
        "msgspec",
        "apsw",
        "redis",
        "uvicorn",
        "uvloop",
        "ssl",
        "tomllib",
        "inspect",
    }
    assert not loaded & slow


@pytest.mark.parametrize(
    ("command", "others"),
    [
        ("server --help", {"apsw", "redis", "uvicorn", "asyncio"}),
        ("get", {"apsw", "redis", "uvicorn", "uvloop", "msgspec"}),
    ],
)
def test_a_command_loads_only_what_it_needs(command: str, others: set[str]) -> None:
    program = f"""
import sys
from htq.cli.main import main
try:
    main({[*command.split(), "x"][:2]!r})
except SystemExit:
    pass
print(*sorted(sys.modules))
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"HTQ_URL": "http://127.0.0.1:1"},
    )
    assert not set(run.stdout.splitlines()[-1].split()) & others
