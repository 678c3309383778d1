"""`htq retry`, `list`, `queues`, `schedules`, and what `htq send` says of when a request goes out."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from htq.cli import exits
from htq.cli.asking import CLIENT_COMMANDS
from htq.cli.main import main
from support.target import FakeTarget, Script, answer

UUID = "01890000-0000-7000-8000-000000000000"
TASK: dict[str, Any] = {"uuid": UUID, "url": "http://target/", "method": "get", "status": "queued"}
QUEUE: dict[str, Any] = {"name": "mail", "scheduled": 1, "queued": 20, "pending": 3, "paused": False}
SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "cron": "30 4 * * *",
    "paused": False,
    "next": [1800000000000],
    "task": {"url": "http://target/", "method": "post"},
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
        yield target


@pytest.fixture
def htq(server: FakeTarget, capsys: pytest.CaptureFixture[str]) -> Htq:
    async def run(*arguments: str) -> Said:
        code = await asyncio.to_thread(main, arguments)
        return Said(code, *capsys.readouterr())

    return run


def body(server: FakeTarget) -> Any:
    return json.loads(server.received()[-1].body)


# --- send -----------------------------------------------------------------------------------------


async def test_send_says_when_and_how_a_request_goes_out(server: FakeTarget, htq: Htq) -> None:
    server.on("/", reply(TASK, 303), "POST")
    flags = {
        "queue": "mail",
        "key": "tenant",
        "group": "g",
        "id": "one",
        "on-conflict": "reject",
        "callback": "http://me/",
        "delay": "90",
        "start-by": "10m",
        "deadline": "1h",
        "priority": "9",
        "retry": "3",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    said = await htq(
        "send", "http://target/", *words, "--label", "team=a", "--label", "n=1=2", "--idempotency-key", "k"
    )
    assert said == Said(0, f"{UUID}\n", "")
    assert body(server) == {
        "url": "http://target/",
        "queue": "mail",
        "key": "tenant",
        "group": "g",
        "id": "one",
        "on_conflict": "reject",
        "callback": "http://me/",
        "delay": 90,
        "start_by": "10m",
        "deadline": "1h",
        "priority": 9,
        "retry": 3,
        "labels": {"team": "a", "n": "1=2"},
    }
    assert server.received()[-1].header("idempotency-key") == '"k"'


async def test_send_knows_a_time_from_a_name(server: FakeTarget, htq: Htq) -> None:
    server.on("/", reply(TASK, 303), "POST")
    await htq("send", "http://target/", "--run-at", "1800000000000", "--queue", "5")
    assert body(server) == {"url": "http://target/", "run_at": 1800000000000, "queue": "5"}
    await htq("send", "http://target/", "--run-at", "2030-01-31T12:00:00Z")
    assert body(server)["run_at"] == "2030-01-31T12:00:00Z"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--priority", "high"],
        ["--retry", "x"],
        ["--label", "a"],
        ["--queue", "a", "-o", "queue=b"],
        ["-o", "idempotency_key=k"],
    ],
)
async def test_send_refuses_what_it_cannot_read(server: FakeTarget, htq: Htq, arguments: list[str]) -> None:
    try:
        code = (await htq("send", "http://target/", *arguments)).code
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == exits.USAGE
    assert server.received() == []


# --- retry ----------------------------------------------------------------------------------------


async def test_retry_runs_one_again(server: FakeTarget, htq: Htq) -> None:
    server.on(f"/{UUID}/retry/", reply(TASK, 303), "POST")
    assert await htq("retry", UUID) == Said(0, "", "")
    assert json.loads((await htq("retry", UUID, "--json")).out) == TASK


async def test_retry_takes_filters_in_place_of_a_uuid(server: FakeTarget, htq: Htq) -> None:
    server.on("/retry/?queue=mail&status=error&group=g", reply({"retried": 7}), "POST")
    assert await htq("retry", "--queue", "mail", "--status", "error", "--group", "g") == Said(0, "7 retried\n", "")
    server.on("/retry/?key=a&since=5&until=9", reply({"retried": 1}), "POST")
    assert (await htq("retry", "--key", "a", "--since", "5", "--until", "9")).out == "1 retried\n"
    server.on("/retry/?queue=mail&dry_run=1", reply({"matching": 8}), "POST")
    assert (await htq("retry", "--queue", "mail", "--dry-run")).out == "8 matching\n"
    assert json.loads((await htq("retry", "--queue", "mail", "--dry-run", "--json")).out) == {"matching": 8}


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], [UUID, "--queue", "a"], [UUID, "--dry-run"]])
async def test_retry_takes_a_uuid_or_filters(server: FakeTarget, htq: Htq, arguments: list[str]) -> None:
    said = await htq("retry", *arguments)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert server.received() == []


async def test_retry_says_why_it_cannot(server: FakeTarget, htq: Htq) -> None:
    server.on(f"/{UUID}/retry/", reply({"detail": "It was canceled."}, 409), "POST")
    assert await htq("retry", UUID) == Said(exits.FAILED, "", "htq retry: It was canceled.\n")


# --- list -----------------------------------------------------------------------------------------


async def test_list_takes_filters(server: FakeTarget, htq: Htq) -> None:
    server.on("/?queue=mail&status=success&status=error&label.team=a&limit=5", reply([TASK]))
    said = await htq(
        "list", "--queue", "mail", "--status", "success", "--status", "error", "--label", "team=a", "--limit", "5"
    )
    assert said == Said(0, f"{UUID}  GET     http://target/\n", "")


async def test_a_list_of_nothing_says_so_beside_its_output(server: FakeTarget, htq: Htq) -> None:
    server.on("/?limit=1000", reply([]))
    server.on("/?queue=mail&limit=1000", reply([]))
    assert await htq("list") == Said(0, "", "nothing is queued\n")
    assert await htq("list", "--queue", "mail") == Said(0, "", "nothing matches\n")
    assert await htq("list", "--json") == Said(0, "[]\n", "")


async def test_a_list_is_a_table_on_a_terminal(server: FakeTarget, htq: Htq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    server.on("/?limit=1000", reply([TASK, {**TASK, "queue": "a-long-name", "method": "post", "status": "pending"}]))
    names, first, second = (await htq("list")).out.splitlines()
    assert names.split() == ["UUID", "STATUS", "QUEUE", "METHOD", "URL"]
    assert first.split() == [UUID, "queued", "default", "GET", "http://target/"]
    assert {line.index(word) for line, word in ((names, "URL"), (first, "http"), (second, "http"))} == {
        names.index("URL")
    }


# --- queues ---------------------------------------------------------------------------------------


async def test_queues_are_listed_with_their_counts(server: FakeTarget, htq: Htq) -> None:
    server.on("/queues/", reply([QUEUE, {**QUEUE, "name": "b", "paused": True}]))
    lines = (await htq("queues")).out.splitlines()
    assert [line.split() for line in lines] == [["mail", "1", "20", "3"], ["b", "1", "20", "3", "paused"]]
    assert json.loads((await htq("queues", "--json")).out)[0] == QUEUE
    server.on("/queues/", reply([]))
    assert await htq("queues") == Said(0, "", "there are no queues\n")


@pytest.mark.parametrize(
    ("arguments", "method", "path", "sent"),
    [
        (["show", "mail"], "GET", "/queues/mail/", None),
        (["pause", "mail"], "POST", "/queues/mail/pause/", {}),
        (["pause", "mail", "--for", "1h"], "POST", "/queues/mail/pause/", {"for": "1h"}),
        (["pause", "--until", "5", "a b"], "POST", "/queues/a%20b/pause/", {"until": 5}),
        (["resume", "mail"], "POST", "/queues/mail/resume/", None),
        (["put", "mail", '{"concurrency": 5}'], "PUT", "/queues/mail/", {"concurrency": 5}),
    ],
)
async def test_a_queue_is_asked_for_by_its_name(
    server: FakeTarget, htq: Htq, arguments: list[str], method: str, path: str, sent: object
) -> None:
    server.on(path, reply(QUEUE), method)
    said = await htq("queues", *arguments)
    assert said.code == exits.OK, said.err
    assert "name:         mail\n" in said.out
    [request] = server.received(path, method)
    assert (json.loads(request.body) if request.body else None) == (sent or None)


async def test_what_is_no_setting_of_a_queue_is_for_the_server_to_refuse(server: FakeTarget, htq: Htq) -> None:
    server.on("/queues/mail/", reply({"detail": "The field name is not known."}, 422), "PUT")
    said = await htq("queues", "put", "mail", '{"name": "mail", "self": 1}')
    assert said == Said(exits.FAILED, "", "htq queues put: The field name is not known.\n")
    assert body(server) == {"name": "mail", "self": 1}


async def test_a_queue_is_deleted_with_a_word_for_what_is_in_it(server: FakeTarget, htq: Htq) -> None:
    server.on("/queues/mail/?tasks=cancel", answer(204, b""), "DELETE")
    assert await htq("queues", "delete", "mail", "--tasks", "cancel") == Said(0, "", "")
    server.on("/queues/mail/", reply({"detail": "It has requests."}, 409), "DELETE")
    assert await htq("queues", "delete", "mail") == Said(exits.FAILED, "", "htq queues delete: It has requests.\n")


@pytest.mark.parametrize(
    "arguments", [["pause"], ["put", "mail"], ["put", "mail", "{"], ["put", "mail", "[]"], ["stop", "mail"]]
)
async def test_queues_refuses_what_it_cannot_read(htq: Htq, server: FakeTarget, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["queues", *arguments])
    assert caught.value.code == exits.USAGE
    assert server.received() == []


# --- groups ---------------------------------------------------------------------------------------

GROUP: dict[str, Any] = {"name": "g", "counts": {"success": 3}, "live": 0, "total": 3, "closed": True, "complete": True}


@pytest.mark.parametrize(
    ("arguments", "method", "path", "sent"),
    [
        (["show", "a b"], "GET", "/groups/a%20b/", None),
        (["wait", "g"], "GET", "/groups/g/?wait=30", None),
        (["wait", "g", "--timeout", "5s"], "GET", "/groups/g/?wait=5", None),
        (["close", "g"], "PUT", "/groups/g/", {"closed": True}),
    ],
)
async def test_a_group_is_asked_for_by_its_name(
    server: FakeTarget, htq: Htq, arguments: list[str], method: str, path: str, sent: object
) -> None:
    server.on(path, reply(GROUP), method)
    said = await htq("groups", *arguments)
    assert said.code == exits.OK, said.err
    assert 'counts:       {"success": 3}\n' in said.out
    [request] = server.received(path, method)
    assert (json.loads(request.body) if request.body else None) == sent
    assert json.loads((await htq("groups", *arguments, "--json")).out) == GROUP


async def test_a_group_that_is_not_complete_in_time_has_the_exit_code_for_that(server: FakeTarget, htq: Htq) -> None:
    server.on("/groups/g/?wait=0", reply({**GROUP, "complete": False}, 202))
    said = await htq("groups", "wait", "g", "--timeout", "0")
    assert said == Said(exits.NOT_YET, "", "htq groups wait: the group g has not ended within 0 s\n")


async def test_a_group_is_canceled_or_only_counted(server: FakeTarget, htq: Htq) -> None:
    server.on("/groups/g/?reason=too+late", reply({"canceled": 3}), "DELETE")
    assert await htq("groups", "cancel", "g", "--reason", "too late") == Said(0, "3 canceled\n", "")
    server.on("/groups/g/?dry_run=1", reply({"matching": 4}), "DELETE")
    assert json.loads((await htq("groups", "cancel", "g", "--dry-run", "--json")).out) == {"matching": 4}


async def test_groups_alone_says_what_there_is(server: FakeTarget, htq: Htq) -> None:
    said = await htq("groups")
    assert (said.code, said.out) == (exits.USAGE, "")
    assert "show, wait, close or cancel" in said.err
    assert server.received() == []


# --- schedules ------------------------------------------------------------------------------------


async def test_schedules_are_listed_with_their_next_time(server: FakeTarget, htq: Htq) -> None:
    paused = {**SCHEDULE, "name": "b", "cron": None, "every": 90, "paused": True, "next": []}
    server.on("/schedules/", reply([SCHEDULE, paused, {**SCHEDULE, "next": []}]))
    first, second, third = (await htq("schedules")).out.splitlines()
    assert first.split("  ") == ["nightly", "30 4 * * *", "2027-01-15T08:00:00Z", "POST", "http://target/"]
    assert "every 90 s" in second
    assert "paused" in second
    assert "never" in third
    server.on("/schedules/", reply([]))
    assert await htq("schedules") == Said(0, "", "there are no schedules\n")


@pytest.mark.parametrize("url_last", [True, False])
async def test_a_schedule_is_put_with_its_request(server: FakeTarget, htq: Htq, url_last: bool) -> None:
    server.on("/schedules/nightly/", reply(SCHEDULE), "PUT")
    when = ["--cron", "30 4 * * *", "--zone", "Europe/Berlin", "--overlap", "queue", "--catch-up", "none"]
    url = ["http://target/"]
    said = await htq(
        *("schedules", "put", "nightly"), *(when + url if url_last else url + when), "-X", "POST", "--queue", "mail"
    )
    assert said.code == exits.OK, said.err
    assert body(server) == {
        "task": {"url": "http://target/", "method": "POST", "queue": "mail"},
        "cron": "30 4 * * *",
        "zone": "Europe/Berlin",
        "overlap": "queue",
        "catch_up": "none",
    }


@pytest.mark.parametrize(("verb", "method"), [("show", "GET"), ("pause", "POST"), ("resume", "POST")])
async def test_a_schedule_is_asked_for_by_its_name(server: FakeTarget, htq: Htq, verb: str, method: str) -> None:
    path = "/schedules/nightly/" if verb == "show" else f"/schedules/nightly/{verb}/"
    server.on(path, reply(SCHEDULE), method)
    assert json.loads((await htq("schedules", verb, "nightly", "--json")).out) == SCHEDULE


async def test_a_schedule_that_is_not_there_has_the_exit_code_for_that(server: FakeTarget, htq: Htq) -> None:
    server.on("/schedules/x/", reply({"detail": "No such schedule."}, 404), "DELETE")
    assert await htq("schedules", "delete", "x") == Said(
        exits.NOT_FOUND, "", "htq schedules delete: No such schedule.\n"
    )


def test_every_first_word_of_a_command_is_known() -> None:
    from htq.cli.main import _CLIENT

    assert {command.split()[0] for command in CLIENT_COMMANDS} == set(_CLIENT)
