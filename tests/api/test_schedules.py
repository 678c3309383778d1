"""`/schedules/`: what is said of a schedule, judged once, and what is shown of it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from htq.stores.base import Firing
from htq.words.schedule import Schedule
from support.api import JSON, Answer, Api, LoopTurns

TASK: dict[str, Any] = {"url": "http://127.0.0.1:9/work"}


async def put(api: Api, wish: object, name: str = "s") -> Answer:
    return await api.ask("PUT", f"/schedules/{name}/", json.dumps(wish).encode(), JSON)


async def made(api: Api, name: str = "s", **wish: object) -> dict[str, Any]:
    answer = await put(api, {"task": TASK, **wish}, name)
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return shown


async def kept(api: Api) -> Schedule:
    [schedule] = await api.store.schedules("")
    return schedule


async def test_an_interval_shows_its_next_five_times(api: Api) -> None:
    now = api.clock.now_ms()
    shown = await made(api, every="90s")
    assert shown["next"] == [now + number * 90_000 for number in range(1, 6)]
    assert (shown["every"], shown["overlap"], shown["catch_up"], shown["paused"]) == (90, "skip", "one", False)
    assert "cron" not in shown
    assert "zone" not in shown
    assert (await kept(api)).next_at == now + 90_000


async def test_a_cron_expression_is_read_in_its_zone(api: Api) -> None:
    shown = await made(api, cron="30 4 * * *", zone="Asia/Tokyo")
    assert (shown["cron"], shown["zone"]) == ("30 4 * * *", "Asia/Tokyo")
    assert all(slot % 86_400_000 == (19 * 60 + 30) * 60_000 for slot in shown["next"])
    assert len(shown["next"]) == 5


async def test_schedules_are_listed_by_name(api: Api) -> None:
    assert (await api.ask("GET", "/schedules/")).json == []
    second, first = await made(api, "b", every=60), await made(api, "a", every=60)
    assert (await api.ask("GET", "/schedules/")).json == [first, second]
    assert (await api.ask("GET", "/schedules/a/")).json == first


async def test_the_template_is_a_task_with_its_defaults_resolved(api: Api) -> None:
    await api.ask("PUT", "/queues/mail/", json.dumps({"defaults": {"cancel": {"delete": False}}}).encode(), JSON)
    template = {**TASK, "data": {"a": 1}, "queue": "mail", "url": "http://127.0.0.1:9/{uuid}/?n={n}"}
    await made(api, every=60, task=template)
    task = (await kept(api)).task
    assert task.request.url == template["url"]
    assert (task.request.method, task.body, task.queue) == ("post", b'{"a": 1}', "mail")
    assert not task.request.stop.delete
    assert (task.run_at, task.start_by, task.deadline) == (None, None, None)


async def test_what_nobody_can_guess_of_its_requests_stays_with_a_schedule(api: Api) -> None:
    await made(api, every=60)
    before = (await kept(api)).task.uuid
    assert before
    assert before not in json.dumps(await made(api, every=90))
    assert (await kept(api)).task.uuid == before


@pytest.mark.parametrize(
    ("overlap", "conflict"), [("skip", "reject"), ("queue", "queue_after"), ("cancel_previous", "cancel_previous")]
)
async def test_the_rule_of_overlap_is_a_rule_of_names(api: Api, overlap: str, conflict: str) -> None:
    shown = await made(api, every=60, overlap=overlap)
    task = (await kept(api)).task
    assert (task.name, task.on_conflict) == ("schedule:s", conflict)
    assert "id" not in shown["task"]


async def test_where_all_may_run_the_name_is_the_callers_own(api: Api) -> None:
    await made(api, every=60, overlap="allow")
    assert (await kept(api)).task.name is None
    shown = await made(api, every=60, overlap="allow", task={**TASK, "id": "x", "on_conflict": "return_existing"})
    task = (await kept(api)).task
    assert (task.name, task.on_conflict) == ("x", "return_existing")
    assert shown["task"]["id"] == "x"


async def test_what_is_shown_can_be_put_back(api: Api) -> None:
    template = {
        **TASK,
        "method": "put",
        "data": "text",
        "headers": {"X-A": "b"},
        "timeout": {"total": 5, "idle": 2},
        "labels": {"team": "a"},
        "priority": 9,
        "key": "k",
        "group": "g",
        "retry": 3,
        "cancel": {"grace": 1, "headers": {"X-B": "c"}},
        "callback": "http://127.0.0.1:9/done",
        "cost": {"tokens": 5},
    }
    shown = await made(api, cron="0 4 * * *", zone="Europe/Berlin", overlap="queue", catch_up="all", task=template)
    before = await kept(api)
    settable = ("cron", "zone", "overlap", "catch_up", "paused", "task")
    again = await put(api, {name: shown[name] for name in settable})
    assert (again.status, again.json) == (200, shown)
    after = await kept(api)
    assert (after.task, after.next_at) == (before.task, before.next_at)


async def test_a_schedule_that_is_put_anew_keeps_its_beginning(api: Api) -> None:
    first = await made(api, every=60)
    api.clock.advance(90)
    again = await made(api, every=60)
    assert again["created_at"] == first["created_at"]
    assert again["next"][0] == first["created_at"] + 120_000


async def test_the_last_run_is_shown_with_its_place(api: Api) -> None:
    await made(api, every=60)
    schedule = await kept(api)
    assert schedule.next_at is not None
    api.clock.advance(60)
    uuid = "01890000-0000-7000-8000-000000000000"
    firing = Firing(
        tenant="",
        name="s",
        revision=schedule.revision,
        slot=schedule.next_at,
        last_at=schedule.next_at,
        next_at=schedule.next_at + 60_000,
        task=_with_uuid(schedule, uuid),
    )
    assert [fired is not None for fired in await api.store.fire([firing])] == [True]
    shown = (await api.ask("GET", "/schedules/s/")).json
    assert shown["last"] == {"at": schedule.next_at, "uuid": uuid, "url": f"http://localhost:5000/{uuid}/"}
    assert (await api.ask("GET", f"/{uuid}/")).json["id"] == "schedule:s"


def _with_uuid(schedule: Schedule, uuid: str) -> Any:
    import msgspec

    return msgspec.structs.replace(schedule.task, uuid=uuid)


async def test_a_paused_schedule_makes_nothing_and_goes_on_from_now(api: Api) -> None:
    now = api.clock.now_ms()
    await made(api, every=60)
    paused = await api.ask("POST", "/schedules/s/pause/")
    assert (paused.status, paused.json["paused"], paused.json["next"]) == (200, True, [])
    api.clock.advance(200)
    assert (await api.store.due_schedules(10)).due == []
    resumed = await api.ask("POST", "/schedules/s/resume/")
    assert (resumed.json["paused"], resumed.json["next"][0]) == (False, now + 240_000)
    assert (await api.ask("POST", "/schedules/s/resume/")).json == resumed.json
    assert (await made(api, every=60, paused=True))["paused"] is True


async def test_others_have_their_turns_while_many_are_listed(api: Api) -> None:
    for number in range(20):
        await made(api, f"s{number}", every=60)
    with LoopTurns() as turns:
        assert len((await api.ask("GET", "/schedules/")).json) == 20
    assert turns.count >= 20


async def test_a_schedule_that_is_deleted_is_gone(api: Api) -> None:
    await made(api, every=60)
    assert (await api.ask("DELETE", "/schedules/s/")).status == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "pause/"), ("POST", "resume/")):
        answer = await api.ask(method, f"/schedules/s/{path}")
        assert (answer.status, answer.slug) == (404, "not-found"), path


@pytest.mark.parametrize("name", ["-a", "a b", "\xe4", "a" * 129])
async def test_what_can_not_be_a_name_is_a_404(api: Api, name: str) -> None:
    assert (await put(api, {"every": 60, "task": TASK}, name)).status == 404


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({}, "/cron"),
        ({"every": 60, "cron": "* * * * *"}, "/cron"),
        ({"cron": "* * * *"}, "/cron"),
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": 5}, "/cron"),
        ({"every": 0}, "/every"),
        ({"every": "soon"}, "/every"),
        ({"every": "11y"}, "/every"),
        ({"every": True}, "/every"),
        ({"cron": "* * * * *", "zone": "Mars/Phobos"}, "/zone"),
        ({"cron": "* * * * *", "zone": "../../etc/passwd"}, "/zone"),
        ({"every": 60, "zone": "UTC"}, "/zone"),
        ({"every": 60, "overlap": "never"}, "/overlap"),
        ({"every": 60, "catch_up": "some"}, "/catch_up"),
        ({"every": 60, "paused": 1}, "/paused"),
        ({"every": 60, "evry": 1}, "/evry"),
        ({"every": 60, "task": None}, "/task"),
        ({"every": 60, "task": {}}, "/task/url"),
        ({"every": 60, "task": {"url": "gopher://x"}}, "/task/url"),
        ({"every": 60, "task": {**TASK, "priority": 10}}, "/task/priority"),
        ({"every": 60, "task": {**TASK, "data": 5}}, "/task/data"),
        ({"every": 60, "task": {**TASK, "prio": 1}}, "/task/prio"),
        ({"every": 60, "task": {**TASK, "headers": {"A": "[redacted]"}}}, "/task/headers/A"),
        ({"every": 60, "task": {**TASK, "cancel": {"headers": {"a/b": "[redacted]"}}}}, "/task/cancel/headers/a~1b"),
        ({"every": 60, "task": {**TASK, "retry": {"max": -1}}}, "/task/retry"),
        ({"every": 60, "task": {**TASK, "id": "a"}}, "/task/id"),
        ({"every": 60, "task": {**TASK, "on_conflict": "reject"}}, "/task/on_conflict"),
        *(
            ({"every": 60, "overlap": "allow", "task": {**TASK, "id": "a", name: "10m"}}, f"/task/{name}")
            for name in ("delay", "run_at", "start_by", "deadline", "debounce")
        ),
    ],
)
async def test_bad_fields_are_a_422_with_their_place(api: Api, wish: Mapping[str, object], pointer: str) -> None:
    answer = await put(api, {"task": TASK, **wish})
    assert (answer.status, answer.slug) == (422, "invalid-field"), answer.body
    assert answer.json["pointer"].startswith(pointer)
    assert await api.store.schedules("") == []


async def test_a_name_that_stands_twice_is_a_422(api: Api) -> None:
    body = b'{"every": 60, "every": 5, "task": {"url": "http://127.0.0.1:9/"}}'
    assert (await api.ask("PUT", "/schedules/s/", body, JSON)).status == 422
