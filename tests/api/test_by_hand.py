"""What is done to a request by hand: again, now, otherwise."""

import json
from typing import Any

import pytest

from htq.stores.base import Patch, Patched
from htq.words.retry import RetryPolicy
from htq.words.task import StopPolicy, Task, Timeouts
from support.api import JSON, Answer, Api

MERGE = {"Content-Type": "application/merge-patch+json"}
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


async def patch(api: Api, uuid: str, change: object, headers: dict[str, str] | None = None) -> Answer:
    body = change if isinstance(change, bytes) else json.dumps(change).encode()
    return await api.ask("PATCH", f"/{uuid}/", body, {**JSON, **(headers or {})})


async def task(api: Api, uuid: str) -> Task:
    (found,) = await api.store.get([uuid])
    assert found is not None
    return found


# --- again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, None])
async def test_what_has_ended_runs_again(api: Api, code: int | None) -> None:
    await api.queue()
    uuid = await api.complete(code=code, reason=None if code else "reset")
    answer = await api.ask("POST", f"/{uuid}/retry/")
    assert (answer.status, answer.headers["location"]) == (303, f"http://localhost:5000/{uuid}/")
    assert (answer.json["uuid"], answer.json["status"]) == (uuid, "queued")
    assert (await api.ask("GET", f"/{uuid}/response/?wait=0")).status == 202
    assert (await api.claim()).attempt == 2


async def test_a_canceled_request_stays_so(api: Api) -> None:
    uuid = await api.queue()
    await api.ask("DELETE", f"/{uuid}/?reason=not+needed")
    answer = await api.ask("POST", f"/{uuid}/retry/")
    assert (answer.status, answer.slug) == (409, "conflict")
    assert "canceled (not needed)" in answer.json["detail"]
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "canceled"}


async def test_what_has_not_ended_is_not_run_again(api: Api) -> None:
    uuid = await api.queue()
    assert (await api.ask("POST", f"/{uuid}/retry/")).slug == "conflict"
    await api.claim()
    assert (await api.ask("POST", f"/{uuid}/retry/")).slug == "conflict"


async def test_what_has_a_live_namesake_is_not_run_again_and_leads_to_it(api: Api) -> None:
    await api.queue(id="a")
    uuid = await api.complete()
    rival = await api.queue(id="a")
    answer = await api.ask("POST", f"/{uuid}/retry/")
    assert (answer.status, answer.json["task"]) == (409, f"/{rival}/")


async def test_what_is_unknown_is_not_found(api: Api) -> None:
    for verb, path in (("POST", "retry/"), ("POST", "run/"), ("PATCH", "")):
        assert (await api.ask(verb, f"/{UNKNOWN}/{path}", b"{}", JSON)).slug == "not-found"


async def test_what_a_filter_takes_of_the_failed_runs_again(api: Api) -> None:
    for queue in ("a", "a", "b"):
        await api.queue(queue=queue)
        await api.complete(code=None, reason="reset")
    await api.queue(queue="a")
    good = await api.complete()
    live = await api.queue(queue="a", delay=60)
    assert (await api.ask("POST", "/retry/?queue=a&dry_run=1")).json == {"matching": 2}
    assert (await api.ask("POST", "/retry/?queue=a")).json == {"retried": 2}
    assert (await api.ask("POST", "/retry/?queue=a")).json == {"retried": 0}
    assert (await task(api, good)).state == "success"
    assert (await task(api, live)).state == "scheduled"
    assert (await api.ask("POST", "/retry/?status=success,queued,canceled&queue=a")).json == {"retried": 1}
    assert (await api.ask("POST", "/retry/?status=error")).json == {"retried": 1}
    assert (await api.ask("POST", "/retry/?status=queued&dry_run=1")).json == {"matching": 0}


@pytest.mark.parametrize(
    "query", ["", "?dry_run=1", "?queue=a&limit=1", "?queue=a&queue=b", "?status=x", "?dry_run=2&queue=a"]
)
async def test_a_retry_of_everything_or_by_a_filter_that_is_none_is_a_400(api: Api, query: str) -> None:
    assert (await api.ask("POST", f"/retry/{query}")).slug == "malformed"


# --- now ------------------------------------------------------------------------------------------


async def test_what_waits_for_its_time_goes_out_now(api: Api) -> None:
    uuid = await api.queue(delay="1h")
    answer = await api.ask("POST", f"/{uuid}/run/")
    assert (answer.status, answer.headers["location"]) == (303, f"http://localhost:5000/{uuid}/")
    assert (await api.claim()).uuid == uuid
    assert (await api.ask("POST", f"/{uuid}/run/")).status == 303


async def test_what_has_ended_is_not_run_now(api: Api) -> None:
    await api.queue()
    uuid = await api.complete()
    assert (await api.ask("POST", f"/{uuid}/run/")).slug == "conflict"
    uuid = await api.queue()
    await api.ask("DELETE", f"/{uuid}/")
    assert (await api.ask("POST", f"/{uuid}/run/")).slug == "conflict"


async def test_what_waits_for_its_namesake_is_not_run_now(api: Api) -> None:
    await api.queue(id="a")
    await api.claim()
    uuid = await api.queue(id="a", on_conflict="queue_after")
    answer = await api.ask("POST", f"/{uuid}/run/")
    assert (answer.status, answer.slug) == (409, "conflict")


# --- otherwise ------------------------------------------------------------------------------------


async def test_everything_that_may_be_changed_is(api: Api) -> None:
    uuid = await api.queue(delay="1h")
    now = api.clock.now_ms()
    change = {
        "headers": {"X-A": "1"},
        "timeout": {"idle": 1},
        "priority": 9,
        "labels": {"team": "a"},
        "delay": "2h",
        "start_by": "3h",
        "deadline": "4h",
        "retry": 2,
        "result_ttl": 60,
        "max_response": 7,
        "redirects": 1,
        "cancel": {"delete": False, "between": True},
        "callback": "http://127.0.0.1:9/hook",
    }
    answer = await patch(api, uuid, change, MERGE)
    assert answer.status == 200, answer.body
    shown = answer.json
    assert shown == (await api.ask("GET", f"/{uuid}/")).json
    changed = await task(api, uuid)
    assert answer.headers["etag"] == f'"{changed.version}"'
    assert changed.request.headers == (("X-A", "1"),)
    assert changed.request.timeouts == Timeouts(total=60.0, idle=1.0)
    assert (changed.priority, changed.labels, changed.result_ttl) == (9, {"team": "a"}, 60)
    assert (changed.run_at, changed.start_by, changed.deadline) == (now + 7_200_000, now + 10_800_000, now + 14_400_000)
    assert (changed.request.retry, changed.request.max_response, changed.request.redirects) == (
        RetryPolicy(max=2),
        7,
        1,
    )
    assert changed.request.stop == StopPolicy(delete=False, between=True)
    assert changed.request.callback is not None
    assert changed.request.callback.source == "http://localhost:5000"
    assert (shown["timeout"], shown["retry"]) == ({"idle": 1, "total": 60}, {"max": 2})


async def test_null_brings_back_what_is_usual(api: Api) -> None:
    uuid = await api.queue(
        headers={"X-A": "1"},
        timeout=5,
        priority=9,
        labels={"a": "b"},
        delay=60,
        start_by="10m",
        deadline="1h",
        retry=2,
        result_ttl=60,
        max_response=7,
        redirects=1,
        cancel={"delete": False},
        callback="http://127.0.0.1:9/hook",
    )
    plain = await task(api, await api.queue())
    fields = ["headers", "timeout", "priority", "labels", "run_at", "start_by", "deadline", "retry", "result_ttl"]
    fields += ["max_response", "redirects", "cancel", "callback"]
    assert (await patch(api, uuid, dict.fromkeys(fields))).status == 200
    changed = await task(api, uuid)
    assert changed.request == plain.request
    assert (changed.priority, changed.labels, changed.result_ttl) == (5, {}, plain.result_ttl)
    assert (changed.run_at, changed.start_by, changed.deadline, changed.state) == (
        api.clock.now_ms(),
        None,
        None,
        "queued",
    )


async def test_objects_are_put_together_name_by_name(api: Api) -> None:
    uuid = await api.queue(
        delay=60,
        headers={"X-A": "1", "X-B": "2"},
        labels={"a": "1", "b": "2"},
        timeout={"connect": 1, "idle": 2},
        retry={"max": 4, "backoff": {"base": 2, "factor": 3}, "max_elapsed": 60},
        cancel={"grace": 1, "headers": {"X-C": "1", "X-D": "2"}},
        callback={"url": "http://127.0.0.1:9/hook", "on": ["error"], "include": "body"},
    )
    change = {
        "headers": {"x-a": None, "X-C": "3"},
        "labels": {"a": None, "c": "3"},
        "timeout": {"connect": None, "total": 9},
        "retry": {"backoff": {"factor": None, "max": 9}, "max_elapsed": None},
        "cancel": {"headers": {"x-c": None}, "on_timeout": True},
        "callback": {"on": None},
    }
    shown = (await patch(api, uuid, change)).json
    assert shown["headers"] == {"X-B": "2", "X-C": "3"}
    assert shown["labels"] == {"b": "2", "c": "3"}
    assert shown["timeout"] == {"idle": 2, "total": 9}
    assert shown["retry"] == {"max": 4, "backoff": {"base": 2, "max": 9}}
    assert shown["cancel_policy"] == {"grace": 1, "headers": {"X-D": "2"}, "on_timeout": True}
    assert shown["callback"] == {"url": "http://127.0.0.1:9/hook", "include": "body"}


async def test_secrets_outlive_a_change_of_something_else(api: Api) -> None:
    uuid = await api.queue(delay=60, headers={"Authorization": "Bearer x"}, cancel={"headers": {"X-Key": "y"}})
    assert (await patch(api, uuid, {"headers": {"X-A": "1"}, "cancel": {"grace": 1}})).status == 200
    changed = (await task(api, uuid)).request
    assert changed.headers == (("Authorization", "Bearer x"), ("X-A", "1"))
    assert changed.stop.headers == (("X-Key", "y"),)


async def test_a_time_that_is_given_alone_leaves_the_others(api: Api) -> None:
    uuid = await api.queue(delay=60, start_by="10m")
    start_by = (await task(api, uuid)).start_by
    assert (await patch(api, uuid, {"delay": 120})).json["start_by"] == start_by
    for change, pointer in (({"delay": "1h"}, "/delay"), ({"run_at": "2030-01-31T12:00:00Z"}, "/run_at")):
        answer = await patch(api, uuid, change)
        assert (answer.status, answer.json["pointer"]) == (422, pointer)
    assert (await patch(api, uuid, {"delay": "1h", "start_by": None})).status == 200


@pytest.mark.parametrize(
    "name", ["url", "method", "data", "data_base64", "id", "queue", "key", "group", "cost", "on_conflict"]
)
async def test_what_cannot_be_changed_is_said_to_be_so(api: Api, name: str) -> None:
    uuid = await api.queue(delay=60)
    answer = await patch(api, uuid, {name: "x"})
    assert (answer.status, answer.json["pointer"]) == (422, f"/{name}")
    assert answer.json["detail"] == f"{name} can't be changed: cancel the request and post it anew."


BAD: list[tuple[Any, str]] = [
    ([], ""),
    (5, ""),
    ({"prioritie": 1}, "/prioritie"),
    ({"priority": 10}, "/priority"),
    ({"priority": "9"}, "/priority"),
    ({"labels": {"a": 1}}, "/labels/a"),
    ({"labels": {"a b": "c"}}, "/labels/a b"),
    ({"labels": {f"l{n}": "" for n in range(33)}}, "/labels"),
    ({"headers": {"Host": "x"}}, "/headers/Host"),
    ({"headers": {"X": 1}}, "/headers/X"),
    ({"headers": {"X-Key": "[redacted]"}}, "/headers/X-Key"),
    ({"headers": []}, "/headers"),
    ({"timeout": {"totals": 1}}, "/timeout/totals"),
    ({"timeout": 0}, "/timeout"),
    ({"delay": -1}, "/delay"),
    ({"delay": 1, "run_at": 1}, "/run_at"),
    ({"start_by": "soon"}, "/start_by"),
    ({"start_by": 1}, "/start_by"),
    ({"deadline": "1s"}, "/deadline"),
    ({"retry": -1}, "/retry"),
    ({"retry": {"on": ["x"]}}, "/retry/on/0"),
    ({"retry": {"backoff": {"base": -1}}}, "/retry/backoff/base"),
    ({"result_ttl": 0}, "/result_ttl"),
    ({"max_response": 0}, "/max_response"),
    ({"redirects": 6}, "/redirects"),
    ({"cancel": True}, "/cancel"),
    ({"cancel": {"url": "{nobody}"}}, "/cancel/url"),
    ({"cancel": {"headers": {"X-Key": "[redacted]"}}}, "/cancel/headers/X-Key"),
    ({"callback": {"on": ["error"]}}, "/callback/url"),
    ({"callback": "x"}, "/callback"),
    (b'{"priority": 1, "priority": 2}', ""),
]


@pytest.mark.parametrize(("change", "pointer"), BAD, ids=lambda value: str(value)[:60])
async def test_a_bad_change_is_a_422_that_points_to_it_and_changes_nothing(api: Api, change: Any, pointer: str) -> None:
    uuid = await api.queue(delay=60)
    before = await task(api, uuid)
    answer = await patch(api, uuid, change)
    assert (answer.status, answer.slug, answer.json["pointer"]) == (422, "invalid-field", pointer), answer.body
    assert await task(api, uuid) == before


NONSENSE: list[Any] = [True, -1, 1e308, 10**400, "", "5", [], {}, {"": None}, {"a": {"b": []}}, {"url": None}]


@pytest.mark.parametrize(
    "name", ["headers", "timeout", "labels", "delay", "run_at", "start_by", "deadline", "retry", "cancel", "callback"]
)
async def test_no_change_is_a_500(api: Api, name: str) -> None:
    uuid = await api.queue(delay=60)
    for value in NONSENSE:
        answer = await patch(api, uuid, {name: value})
        assert answer.status == 200 or answer.slug == "invalid-field", (value, answer.body)


async def test_a_change_is_json(api: Api) -> None:
    uuid = await api.queue(delay=60)
    assert (await patch(api, uuid, b"")).slug == "malformed"
    assert (await patch(api, uuid, b"{", MERGE)).slug == "malformed"
    assert (await api.ask("PATCH", f"/{uuid}/", b"{}")).slug == "unsupported-media"


async def test_what_has_started_or_ended_is_not_changed(api: Api) -> None:
    uuid = await api.queue()
    claim = await api.claim()
    assert (await patch(api, uuid, {"priority": 1})).slug == "conflict"
    await api.finish(claim)
    answer = await patch(api, uuid, {"priority": 1})
    assert (answer.status, "success" in answer.json["detail"]) == (409, True)
    uuid = await api.queue()
    await api.ask("DELETE", f"/{uuid}/")
    assert "canceled" in (await patch(api, uuid, {"priority": 1})).json["detail"]


# --- if it is still the same ----------------------------------------------------------------------


async def test_a_change_of_an_earlier_version_is_a_412(api: Api) -> None:
    uuid = await api.queue(delay=60)
    tag = (await api.ask("GET", f"/{uuid}/")).headers["etag"]
    answer = await patch(api, uuid, {"priority": 1}, {"If-Match": tag})
    assert (answer.status, answer.headers["etag"] == tag) == (200, False)
    assert (await patch(api, uuid, {"priority": 2}, {"If-Match": tag})).slug == "changed"
    for stale in (f"W/{answer.headers['etag']}", '"0", "nobody\'s"', '""', f'"{"9" * 40}"'):
        assert (await patch(api, uuid, {"priority": 2}, {"If-Match": stale})).status == 412
    assert (await task(api, uuid)).priority == 1
    for good in (f'"0", {answer.headers["etag"]}', "*"):
        assert (await patch(api, uuid, {"priority": 3}, {"If-Match": good})).status == 200


@pytest.mark.parametrize("tag", ["1", "", '"1', "*, *", '"1" "2"', 'w/"1"'])
async def test_an_if_match_that_is_none_is_a_400(api: Api, tag: str) -> None:
    uuid = await api.queue(delay=60)
    assert (await patch(api, uuid, {"priority": 1}, {"If-Match": tag})).slug == "malformed"


async def test_a_change_is_made_anew_on_what_somebody_else_has_changed_meanwhile(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = await api.queue(delay=60, labels={"a": "1"})
    plain = api.store.patch
    overtaken = 0

    async def late(uuid: str, change: Patch, version: int) -> Patched | None:
        nonlocal overtaken
        if overtaken < 2:
            overtaken += 1
            monkeypatch.setattr(api.store, "patch", plain)
            assert (await patch(api, uuid, {"labels": {f"other{overtaken}": "x"}})).status == 200
            monkeypatch.setattr(api.store, "patch", late)
        return await plain(uuid, change, version)

    monkeypatch.setattr(api.store, "patch", late)
    answer = await patch(api, uuid, {"labels": {"b": "2"}})
    assert answer.status == 200
    assert answer.json["labels"] == {"a": "1", "other1": "x", "other2": "x", "b": "2"}


async def test_a_change_that_is_overtaken_all_the_time_is_a_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stale(uuid: str, change: Patch, version: int) -> Patched:
        return "stale"

    uuid = await api.queue(delay=60)
    monkeypatch.setattr(api.store, "patch", stale)
    assert (await patch(api, uuid, {"priority": 1})).slug == "conflict"
    tag = (await api.ask("GET", f"/{uuid}/")).headers["etag"]
    assert (await patch(api, uuid, {"priority": 1}, {"If-Match": tag})).slug == "conflict"
