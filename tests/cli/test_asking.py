"""`htq send`, `get`, `wait` and their kin: what they ask, print and answer with their exit code."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from htq.cli import exits
from htq.cli.main import main
from support.target import FakeTarget, Script, answer, hold

UUID = "01890000-0000-7000-8000-000000000000"
TASK: dict[str, Any] = {
    "uuid": UUID,
    "url": "http://target/",
    "method": "get",
    "status": "queued",
    "headers": {},
    "data": None,
    "time": 5,
}


class Said(NamedTuple):
    code: int
    out: str
    err: str


Htq = Callable[..., Awaitable[Said]]


def reply(value: Any, code: int = 200) -> Script:
    return answer(code, json.dumps(value).encode(), [("Content-Type", "application/json")])


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeTarget]:
    async with asyncio.timeout(20), FakeTarget() as target:
        monkeypatch.setenv("HTQ_URL", target.origin)
        target.on("/", reply(TASK, 303), "POST")
        yield target


@pytest.fixture
def htq(server: FakeTarget, capsysbinary: pytest.CaptureFixture[bytes]) -> Htq:
    async def run(*arguments: str) -> Said:
        code = await asyncio.to_thread(main, arguments)
        said = capsysbinary.readouterr()
        return Said(code, said.out.decode("latin-1"), said.err.decode())

    return run


def posted(server: FakeTarget) -> Any:
    [request] = server.received("/", "POST")
    return json.loads(request.body)


async def test_send_prints_the_uuid_alone(server: FakeTarget, htq: Htq) -> None:
    assert await htq("send", "http://target/") == Said(0, f"{UUID}\n", "")
    assert posted(server) == {"url": "http://target/"}


async def test_send_takes_curls_letters_and_any_field(server: FakeTarget, htq: Htq) -> None:
    headers = ["-H", "X-A: 1", "-H", "X-B:2: 3", "-H", "X-A: 4"]
    options = ["-o", "queue=slow", "-o", 'labels={"team": "a"}', "-o", "priority=9"]
    said = await htq(
        "send", "-X", "PUT", *headers, "-d", "ä", "--id", "one", "--timeout", "5m", *options, "http://target/"
    )
    assert said.code == exits.OK
    assert posted(server) == {
        "url": "http://target/",
        "method": "PUT",
        "headers": {"X-A": "1, 4", "X-B": "2: 3"},
        "data": "ä",
        "id": "one",
        "timeout": 300,
        "queue": "slow",
        "labels": {"team": "a"},
        "priority": 9,
    }


async def test_send_reads_a_body_from_a_file_as_bytes(server: FakeTarget, htq: Htq, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\x00\xff")
    await htq("send", "http://target/", "-d", f"@{tmp_path / 'body'}")
    assert posted(server) == {"url": "http://target/", "data_base64": "AP8="}


async def test_send_reads_a_body_from_standard_input(
    server: FakeTarget, htq: Htq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from the pipe\n")))
    await htq("send", "http://target/", "-d", "@-")
    assert posted(server)["data"] == "from the pipe\n"


async def test_a_field_that_is_said_twice_is_a_usage_error(server: FakeTarget, htq: Htq) -> None:
    said = await htq("send", "http://target/", "--id", "a", "-o", "id=b")
    assert said.code == exits.USAGE
    assert "-o" in said.err
    assert not server.received()


async def test_send_and_wait_prints_the_body_as_it_came(server: FakeTarget, htq: Htq) -> None:
    envelope = {"uuid": UUID, "status": "success", "code": 200, "data": None, "data_base64": "AP8="}
    server.on(f"/{UUID}/response/?wait=30", reply(envelope))
    assert await htq("send", "http://target/", "--wait") == Said(0, "\x00\xff", f"{UUID}\n")


@pytest.mark.parametrize(
    ("envelope", "code", "err"),
    [
        ({"status": "success", "code": 500, "data": "broken"}, exits.OK, ""),
        ({"status": "error", "message": "refused"}, exits.FAILED, "error: refused\n"),
        ({"status": "timeout", "message": "too slow"}, exits.FAILED, "timeout: too slow\n"),
        (
            {"status": "error", "code": 503, "data": "busy", "error": "status", "message": "the target answered 503"},
            exits.FAILED,
            "error: the target answered 503\n",
        ),
        ({}, exits.CANCELED, "canceled\n"),
    ],
)
@pytest.mark.parametrize("command", ["wait", "response"])
async def test_the_exit_code_says_how_a_request_ended(
    server: FakeTarget, htq: Htq, command: str, envelope: dict[str, Any], code: int, err: str
) -> None:
    server.on(f"/{UUID}/response/?wait=30", reply(envelope))
    server.on(f"/{UUID}/response/?wait=0", reply(envelope))
    assert await htq(command, UUID) == Said(code, envelope.get("data", ""), err)
    as_json = await htq(command, UUID, "--json")
    assert as_json.code == code
    assert json.loads(as_json.out) == envelope


@pytest.mark.parametrize("command", [("response", UUID), ("wait", UUID, "--timeout", "0")])
async def test_what_has_not_ended_has_an_exit_code_of_its_own(
    server: FakeTarget, htq: Htq, command: tuple[str, ...]
) -> None:
    server.on(f"/{UUID}/response/?wait=0", reply({"status": "pending"}, 202))
    said = await htq(*command)
    assert (said.code, said.out) == (exits.NOT_YET, "")
    assert "has not ended" in said.err


async def test_what_is_not_found_has_an_exit_code_of_its_own(server: FakeTarget, htq: Htq) -> None:
    problem = {"title": "Nothing is there", "detail": "No such request."}
    server.on(f"/{UUID}/", answer(404, json.dumps(problem).encode(), [("Content-Type", "application/problem+json")]))
    assert await htq("get", UUID) == Said(exits.NOT_FOUND, "", "htq get: No such request.\n")
    assert (await htq("cancel", UUID)).code == exits.NOT_FOUND


async def test_a_refusal_is_told_in_the_servers_words(server: FakeTarget, htq: Htq) -> None:
    server.on("/", reply({"detail": "url has no scheme"}, 422), "POST")
    assert await htq("send", "x") == Said(exits.FAILED, "", "htq send: url has no scheme\n")


async def test_no_server_has_an_exit_code_of_its_own(htq: Htq) -> None:
    said = await htq("list", "--server", "http://127.0.0.1:1")
    assert said.code == exits.UNAVAILABLE
    assert "127.0.0.1:1" in said.err


async def test_a_bad_address_is_a_usage_error(htq: Htq) -> None:
    said = await htq("list", "--server", "localhost")
    assert said.code == exits.USAGE
    assert said.err.startswith("htq list: ")


async def test_get_shows_a_request_in_lines_or_as_json(server: FakeTarget, htq: Htq) -> None:
    server.on(f"/{UUID}/", reply(TASK))
    said = await htq("get", UUID)
    assert f"uuid:         {UUID}\n" in said.out
    assert "headers" not in said.out
    assert json.loads((await htq("get", UUID, "--json")).out) == TASK


async def test_status_prints_the_word(server: FakeTarget, htq: Htq) -> None:
    server.on(f"/{UUID}/status/", reply({"status": "pending"}))
    assert await htq("status", UUID) == Said(0, "pending\n", "")
    assert json.loads((await htq("status", UUID, "--json")).out) == {"status": "pending"}


async def test_cancel_takes_filters_in_place_of_a_uuid(server: FakeTarget, htq: Htq) -> None:
    server.on(
        "/?queue=slow&status=queued&status=pending&label.team=a%3Db&reason=late", reply({"canceled": 12}), "DELETE"
    )
    filters = ["--queue", "slow", "--status", "queued", "--status", "pending", "--label", "team=a=b"]
    assert await htq("cancel", *filters, "--reason", "late") == Said(0, "12 canceled\n", "")
    server.on("/?key=k&host=h&id=i&dry_run=1", reply({"matching": 3}), "DELETE")
    filters = ["--key", "k", "--host", "h", "--id", "i", "--dry-run"]
    assert await htq("cancel", *filters) == Said(0, "3 matching\n", "")
    assert json.loads((await htq("cancel", *filters, "--json")).out) == {"matching": 3}


@pytest.mark.parametrize(
    "arguments",
    [[], ["--dry-run"], ["--reason", "x"], [UUID, "--queue", "a"], [UUID, "--dry-run"], [UUID, "--label", "a=b"]],
)
async def test_cancel_takes_a_uuid_or_filters(server: FakeTarget, htq: Htq, arguments: list[str]) -> None:
    said = await htq("cancel", *arguments)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert server.received() == []


async def test_cancel_and_purge_say_nothing_when_done(server: FakeTarget, htq: Htq) -> None:
    server.on(f"/{UUID}/", raw_204(), "DELETE")
    server.on(f"/{UUID}/response/", raw_204(), "DELETE")
    assert await htq("cancel", UUID) == Said(0, "", "")
    assert await htq("purge", UUID) == Said(0, "", "")
    assert [request.method for request in server.received()] == ["DELETE", "DELETE"]


async def test_list_prints_a_line_for_each_request(server: FakeTarget, htq: Htq) -> None:
    server.on("/?limit=1000", reply([TASK, {**TASK, "method": "post"}]))
    assert (await htq("list")).out == f"{UUID}  GET     http://target/\n{UUID}  POST    http://target/\n"
    assert len(json.loads((await htq("list", "--json")).out)) == 2


async def test_what_comes_from_others_cannot_move_the_cursor(server: FakeTarget, htq: Htq) -> None:
    server.on("/?limit=1000", reply([{**TASK, "url": "http://a/\x1b[2J\r\n\u202e\ud800"}]))
    out = (await htq("list")).out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert r"\x1b[2J\r\n\u202e\ud800" in out


def raw_204() -> Script:
    async def script(request: Any) -> None:
        await request.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    return script


async def test_a_reader_that_has_gone_ends_it_without_a_word(server: FakeTarget) -> None:
    server.on("/?limit=1000", reply([TASK] * 5000))
    gone, pipe = os.pipe()
    os.close(gone)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "htq", "list"), stdout=pipe, stderr=asyncio.subprocess.PIPE
        )
    finally:
        os.close(pipe)
    _, err = await process.communicate()
    assert (process.returncode, err) == (exits.FAILED, b"")


async def test_control_c_ends_a_wait_without_a_traceback(server: FakeTarget) -> None:
    server.on(f"/{UUID}/response/?wait=30", hold())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "htq", "wait", UUID), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    await server.arrived(within=15)
    process.send_signal(signal.SIGINT)
    assert await process.communicate() == (b"", b"")
    assert process.returncode == exits.INTERRUPTED
    await server.all_disconnected()
