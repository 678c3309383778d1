"""The main paths of the API over each store: what a door says is what the store has made of it."""

import itertools
import json
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from htq.stores.base import Store
from htq.stores.redis import RedisStore
from htq.stores.sqlite import SqliteStore
from htq.words.clock import Chance, SystemClock
from support.api import JSON, Answer, Api, HeardClock, api_over
from support.clock import ManualClock
from support.redis_server import RedisServer

LINES = {"Content-Type": "application/x-ndjson"}
TASK: dict[str, Any] = {"url": "http://127.0.0.1:9/work"}

_namespaces = itertools.count(1)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer(fsync="no") as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
async def api(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Api]:
    # Redis has a clock of its own, which is the system's: nothing here depends on how far it goes.
    clock = ManualClock(SystemClock().now_ms())
    chance = Chance(clock, seed=2)
    store: Store
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "htq.db", clock=clock, chance=chance)
    else:
        url = request.getfixturevalue("redis").url
        store = RedisStore(url, chance=chance, namespace=f"api{next(_namespaces)}")
    async with api_over(store, HeardClock(clock)) as made:
        yield made


async def say(api: Api, method: str, path: str, what: object = None) -> Answer:
    if what is None:
        return await api.ask(method, path)
    return await api.ask(method, path, json.dumps(what).encode(), JSON)


async def test_a_queues_limits_hold(api: Api) -> None:
    assert (await say(api, "PUT", "/queues/mail/", {"concurrency": 1, "defaults": {"priority": 9}})).status == 200
    first, second = [await api.queue(queue="mail", key="a") for _ in range(2)]
    claim = await api.claim()
    assert (claim.uuid, await api.claims()) == (first, [])
    shown = (await say(api, "GET", "/queues/mail/")).json
    assert (shown["queued"], shown["pending"], shown["concurrency"]) == (1, 1, 1)
    assert shown["defaults"] == {"priority": 9}
    (lane,) = (await say(api, "GET", "/queues/mail/keys/")).json
    assert (lane["key"], lane["queued"], lane["pending"]) == ("a", 1, 1)
    await api.finish(claim)
    assert (await say(api, "POST", "/queues/mail/pause/")).json["paused"] is True
    assert await api.claims() == []
    assert (await say(api, "POST", "/queues/mail/resume/")).json["paused"] is False
    assert (await say(api, "DELETE", "/queues/mail/")).slug == "conflict"
    assert await api.complete() == second
    assert (await say(api, "DELETE", "/queues/mail/")).status == 204
    assert (await say(api, "GET", "/queues/mail/")).status == 404


async def test_a_lane_is_held_and_let_go(api: Api) -> None:
    await api.queue(key="a")
    held = (await say(api, "PUT", "/queues/default/keys/a/", {"held_until": "1h", "weight": 3})).json
    assert (held["hold_reason"], held["weight"], held["queued"]) == ("operator", 3, 1)
    assert [each["key"] for each in (await say(api, "GET", "/queues/default/keys/?held=1")).json] == ["a"]
    assert await api.claims() == []
    assert (await say(api, "DELETE", "/queues/default/keys/a/")).status == 204
    assert len(await api.claims()) == 1


async def test_what_failed_runs_again(api: Api) -> None:
    uuid = await api.queue(retry=0, labels={"a": "b"})
    await api.complete(b"sorry", code=503, reason="status")
    envelope = (await say(api, "GET", f"/{uuid}/response/")).json
    assert [envelope[name] for name in ("status", "code", "error", "data")] == ["error", 503, "status", "sorry"]
    assert (await say(api, "POST", "/retry/?label.a=b&dry_run=1")).json == {"matching": 1}
    assert (await say(api, "POST", "/retry/?label.a=b")).json == {"retried": 1}
    assert (await say(api, "POST", f"/{uuid}/retry/")).slug == "conflict"
    assert await api.complete() == uuid
    assert (await say(api, "GET", f"/{uuid}/response/")).json["data"] == "done"
    assert (await say(api, "POST", f"/{uuid}/retry/")).status == 303


async def test_a_change_holds_and_run_now_lets_go(api: Api) -> None:
    uuid = await api.queue(delay="1h", start_by="2h")
    tag = (await say(api, "GET", f"/{uuid}/")).headers["etag"]
    change = json.dumps({"priority": 9, "labels": {"a": "b"}, "result_ttl": 60, "max_response": 7}).encode()
    changed = await api.ask("PATCH", f"/{uuid}/", change, {**JSON, "If-Match": tag})
    assert [changed.json[name] for name in ("priority", "result_ttl", "max_response")] == [9, 60, 7]
    assert (await api.ask("PATCH", f"/{uuid}/", change, {**JSON, "If-Match": tag})).slug == "changed"
    assert (await say(api, "POST", f"/{uuid}/run/")).status == 303
    assert (await api.claim()).uuid == uuid
    assert (await api.ask("PATCH", f"/{uuid}/", change, JSON)).slug == "conflict"


async def test_the_same_is_known_again(api: Api) -> None:
    key = {"Idempotency-Key": '"k"'}
    first = await api.post({**TASK, "id": "a"}, key)
    again = await api.post({**TASK, "id": "a"}, key)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert (await api.post(TASK, key)).slug == "key-reused"
    existing = await api.post({**TASK, "id": "a", "on_conflict": "return_existing"})
    assert existing.headers["location"] == first.headers["location"]
    refused = await api.post({**TASK, "id": "a", "on_conflict": "reject"})
    assert (refused.slug, refused.json["task"]) == ("conflict", f"/{first.json['uuid']}/")
    newer = await api.post({**TASK, "id": "a"})
    assert (await say(api, "GET", f"/{first.json['uuid']}/status/")).json == {"status": "canceled"}
    assert (await api.claim()).uuid == newer.json["uuid"]


async def test_a_batch_is_taken_one_by_one_or_whole(api: Api) -> None:
    items = b"".join(json.dumps({**TASK, "data": str(number)}).encode() + b"\n" for number in range(700)) + b"{}\n"
    taken = await api.ask("POST", "/batch/?group=g", items, LINES)
    results = [json.loads(line) for line in taken.body.splitlines()]
    assert [result.get("outcome") for result in results] == ["created"] * 700 + [None]
    assert results[-1]["error"]["pointer"] == "/700/url"
    assert (await say(api, "GET", "/groups/g/")).json["counts"]["queued"] == 700
    whole = json.dumps([TASK, {**TASK, "id": "a"}]).encode()
    key = {**JSON, "Idempotency-Key": '"k"'}
    first, again = [await api.ask("POST", "/batch/?atomic=1", whole, key) for _ in range(2)]
    assert [each["uuid"] for each in again.json] == [each["uuid"] for each in first.json]
    clash = json.dumps([TASK, {**TASK, "id": "a", "on_conflict": "reject"}, {**TASK, "group": "g"}]).encode()
    refused = await api.ask("POST", "/batch/?atomic=1", clash, JSON)
    assert (refused.slug, [each["pointer"] for each in refused.json["errors"]]) == ("batch-refused", ["/1", "/2"])
    assert sum(each["queued"] for each in (await say(api, "GET", "/queues/")).json) == 702


async def test_a_group_is_complete_once_it_is_closed_and_all_has_ended(api: Api) -> None:
    for _ in range(3):
        await api.queue(group="g")
    await api.complete()
    assert (await say(api, "PUT", "/groups/g/", {"closed": True})).json["complete"] is False
    assert (await say(api, "GET", "/groups/g/?wait=0")).status == 202
    assert (await api.post({**TASK, "group": "g"})).slug == "conflict"
    assert (await say(api, "DELETE", "/groups/g/?dry_run=1")).json == {"matching": 2}
    assert (await say(api, "DELETE", "/groups/g/")).json == {"canceled": 2}
    done = await say(api, "GET", "/groups/g/?wait=0")
    assert (done.status, done.json["complete"]) == (200, True)
    assert (done.json["counts"]["success"], done.json["counts"]["canceled"]) == (1, 2)


async def test_a_schedule_is_put_paused_resumed_and_deleted(api: Api) -> None:
    task = {**TASK, "id": "a", "on_conflict": "queue_after", "result_ttl": 9}
    wish = {"every": 60, "overlap": "allow", "task": task}
    shown = (await say(api, "PUT", "/schedules/s/", wish)).json
    assert {name: shown["task"][name] for name in task} == task
    assert (await say(api, "GET", "/schedules/")).json == [shown]
    assert (await say(api, "POST", "/schedules/s/pause/")).json["next"] == []
    assert len((await say(api, "POST", "/schedules/s/resume/")).json["next"]) == 5
    assert (await say(api, "DELETE", "/schedules/s/")).status == 204
    assert (await say(api, "DELETE", "/schedules/s/")).status == 404


@pytest.mark.parametrize("path", ["/", "/queues/default/keys/"])
async def test_a_cursor_that_no_page_has_given_is_a_400_or_passed_over(api: Api, path: str) -> None:
    await api.queue()
    for cursor in ("x", "0", "9" * 24, "18446744073709551616:", "%F0%9F%98%80", "a%2Fb", "", "x" * 5000):
        assert (await say(api, "GET", f"{path}?cursor={cursor}")).status in (200, 400), cursor
