"""Queues as resources: what holds for them, pause and resume, how they stand, how they end."""

import json
from typing import Any

import pytest

from htq.stores.base import QueueSettings
from htq.words.limits import FOREVER, Breaker, LaneLimits, Rate
from support.api import JSON, Answer, Api


async def put(api: Api, name: str, wish: object) -> Answer:
    return await api.ask("PUT", f"/queues/{name}/", json.dumps(wish).encode(), JSON)


async def settings(api: Api, name: str) -> QueueSettings:
    return (await api.store.queues())[name]


async def post(api: Api, path: str, body: object = None) -> Answer:
    if body is None:
        return await api.ask("POST", path)
    return await api.ask("POST", path, json.dumps(body).encode(), JSON)


EVERYTHING = {
    "concurrency": 5,
    "rate": [
        {"limit": 3, "per": 1},
        {"limit": 100, "per": 60, "burst": 10},
        {"limit": 90000, "per": 60, "unit": "tokens"},
    ],
    "per_key": {"weight": 2, "concurrency": 1, "rate": [{"limit": 0.5, "per": 1}]},
    "breaker": {"failures": 3, "hold": 5, "max_hold": 60},
    "defaults": {"timeout": 300, "retry": {"max": 3, "on": [503]}, "headers": {"X-A": "1"}, "labels": {"a": "b"}},
}


# --- what holds -----------------------------------------------------------------------------------


async def test_limits_are_stored(api: Api) -> None:
    await put(api, "mail", EVERYTHING)
    stored = await settings(api, "mail")
    assert stored.concurrency == 5
    assert stored.rate == (
        Rate(limit=3, per=1, burst=1),
        Rate(limit=100, per=60, burst=10),
        Rate(limit=90000, per=60, burst=90000, unit="tokens"),
    )
    assert stored.per_key == LaneLimits(weight=2, concurrency=1, rate=(Rate(limit=0.5),))
    assert stored.breaker == Breaker(failures=3, hold=5, max_hold=60)


async def test_what_is_shown_is_what_was_said_and_can_be_put_back(api: Api) -> None:
    answer = await put(api, "mail", EVERYTHING)
    assert answer.status == 200, answer.body
    shown = answer.json
    assert {name: shown[name] for name in EVERYTHING} == EVERYTHING
    assert (await api.ask("GET", "/queues/mail/")).json == shown
    before = await settings(api, "mail")
    assert (await put(api, "mail", {name: shown[name] for name in EVERYTHING})).json == shown
    assert await settings(api, "mail") == before


async def test_durations_are_read_in_every_spelling(api: Api) -> None:
    await put(api, "a", {"rate": [{"limit": 1, "per": "1m"}], "breaker": {"hold": "PT5S"}})
    stored = await settings(api, "a")
    assert (stored.rate, stored.breaker) == ((Rate(limit=1, per=60),), Breaker(hold=5))


async def test_a_breaker_that_is_held_for_long_lets_its_longest_hold_follow(api: Api) -> None:
    await put(api, "a", {"breaker": {"hold": "1h"}})
    assert (await settings(api, "a")).breaker == Breaker(hold=3600, max_hold=3600)
    await put(api, "a", {"breaker": {}})
    assert (await settings(api, "a")).breaker == Breaker()


async def test_a_put_takes_the_place_of_all_that_was_said(api: Api) -> None:
    await put(api, "mail", {**EVERYTHING, "paused_until": "1h"})
    shown = (await put(api, "mail", {"concurrency": 1})).json
    assert (shown["concurrency"], shown["paused"], shown["defaults"]) == (1, False, {})
    assert "rate" not in shown
    assert (await put(api, "mail", {})).status == 200
    assert (await api.ask("GET", "/queues/mail/")).status == 404


async def test_secrets_in_defaults_are_kept_and_not_shown(api: Api) -> None:
    shown = (await put(api, "mail", {"defaults": {"headers": {"Authorization": "Bearer canary", "X-A": "1"}}})).json
    assert shown["defaults"] == {"headers": {"Authorization": "[redacted]", "X-A": "1"}}
    answer = await put(api, "mail", {"defaults": shown["defaults"]})
    assert (answer.status, answer.json["pointer"]) == (422, "/defaults/headers/Authorization")
    await api.queue(queue="mail")
    assert ("Authorization", "Bearer canary") in (await api.claim()).request.headers


BAD: list[tuple[Any, str]] = [
    (5, ""),
    ({"limit": 5}, "/limit"),
    ({"concurrency": 0}, "/concurrency"),
    ({"concurrency": -1}, "/concurrency"),
    ({"concurrency": 1.5}, "/concurrency"),
    ({"concurrency": True}, "/concurrency"),
    ({"concurrency": "5"}, "/concurrency"),
    ({"concurrency": 10**400}, "/concurrency"),
    ({"rate": {"limit": 1}}, "/rate"),
    ({"rate": 5}, "/rate"),
    ({"rate": [5]}, "/rate/0"),
    ({"rate": [None]}, "/rate/0"),
    ({"rate": [{"limit": 1}, {}]}, "/rate/1/limit"),
    ({"rate": [{"limit": 1}] * 9}, "/rate"),
    ({"rate": [{"limit": 0}]}, "/rate/0/limit"),
    ({"rate": [{"limit": -1}]}, "/rate/0/limit"),
    ({"rate": [{"limit": True}]}, "/rate/0/limit"),
    ({"rate": [{"limit": "5"}]}, "/rate/0/limit"),
    ({"rate": [{"limit": 1e308}]}, "/rate/0/limit"),
    ({"rate": [{"limit": 10**400}]}, "/rate/0/limit"),
    ({"rate": [{"limit": 1, "per": 0}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "per": -1}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "per": True}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "per": "minute"}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "per": 1e308}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "per": "32d"}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "burst": 0.5}]}, "/rate/0/burst"),
    ({"rate": [{"limit": 1, "burst": 0}]}, "/rate/0/burst"),
    ({"rate": [{"limit": 1, "burst": True}]}, "/rate/0/burst"),
    ({"rate": [{"limit": 1, "burst": 1e308}]}, "/rate/0/burst"),
    ({"rate": [{"limit": 0.001, "burst": 1e9}]}, "/rate/0/burst"),
    ({"rate": [{"limit": 1, "unit": ""}]}, "/rate/0/unit"),
    ({"rate": [{"limit": 1, "unit": "a b"}]}, "/rate/0/unit"),
    ({"rate": [{"limit": 1, "unit": 1}]}, "/rate/0/unit"),
    ({"rate": [{"limit": 1, "every": 1}]}, "/rate/0/every"),
    ({"per_key": 5}, "/per_key"),
    ({"per_key": {"weight": 0}}, "/per_key/weight"),
    ({"per_key": {"weight": 1001}}, "/per_key/weight"),
    ({"per_key": {"concurrency": 0}}, "/per_key/concurrency"),
    ({"per_key": {"rate": [{"limit": 1, "per": 0}]}}, "/per_key/rate/0/per"),
    ({"per_key": {"held_until": 1}}, "/per_key/held_until"),
    ({"breaker": True}, "/breaker"),
    ({"breaker": {"failures": 0}}, "/breaker/failures"),
    ({"breaker": {"failures": True}}, "/breaker/failures"),
    ({"breaker": {"hold": 0}}, "/breaker/hold"),
    ({"breaker": {"hold": "2d"}}, "/breaker/hold"),
    ({"breaker": {"hold": 10, "max_hold": 5}}, "/breaker/max_hold"),
    ({"breaker": {"max_hold": 1e308}}, "/breaker/max_hold"),
    ({"breaker": {"holds": 1}}, "/breaker/holds"),
    ({"paused_until": "soon"}, "/paused_until"),
    ({"paused_until": True}, "/paused_until"),
    ({"paused_until": -1}, "/paused_until"),
    ({"paused_until": 1.5}, "/paused_until"),
    ({"paused_until": 10**400}, "/paused_until"),
    ({"defaults": {"url": "http://a/"}}, "/defaults/url"),
    ({"defaults": {"timeout": 0}}, "/defaults/timeout"),
    ({"defaults": {"retry": {"on": [5]}}}, "/defaults/retry/on/0"),
    ({"defaults": {"retry": {"backoff": [1, -1]}}}, "/defaults/retry/backoff/1"),
    ({"defaults": {"priority": 10}}, "/defaults/priority"),
    ({"defaults": {"labels": {"a": 1}}}, "/defaults/labels/a"),
    ({"defaults": {"headers": {"HTQ-X": "1"}}}, "/defaults/headers/HTQ-X"),
    ({"defaults": {"callback": {"url": "x"}}}, "/defaults/callback/url"),
    ({"defaults": {"start_by": "2030-01-31T12:00:00Z"}}, "/defaults/start_by"),
    ({"defaults": {"cost": {"tokens": -1}}}, "/defaults/cost/tokens"),
]


@pytest.mark.parametrize(("wish", "pointer"), BAD, ids=lambda value: str(value)[:60])
async def test_a_bad_value_is_a_422_that_points_to_it(api: Api, wish: Any, pointer: str) -> None:
    answer = await put(api, "mail", wish)
    assert (answer.status, answer.slug, answer.json["pointer"]) == (422, "invalid-field", pointer), answer.body
    assert await api.store.queues() == {}


NONSENSE: list[Any] = [True, -1, 1.5, 1e308, 10**400, "", "5", [], [[]], [{}], {}, {"": None}, {"a": {"b": []}}]


@pytest.mark.parametrize("name", ["concurrency", "rate", "per_key", "breaker", "paused_until", "defaults"])
async def test_no_value_is_a_500(api: Api, name: str) -> None:
    for value in NONSENSE:
        answer = await put(api, "mail", {name: value})
        assert answer.status == 200 or answer.slug == "invalid-field", (value, answer.body)
        answer = await put(api, "mail", {"per_key": {name: value}, "defaults": {name: value}})
        assert answer.status == 200 or answer.slug == "invalid-field", (value, answer.body)


# --- pause ----------------------------------------------------------------------------------------


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(api: Api) -> None:
    answer = await post(api, "/queues/mail/pause/")
    assert (answer.status, answer.json["paused"], answer.json["paused_until"]) == (200, True, FOREVER)
    uuid = await api.queue(queue="mail")
    assert await api.claims() == []
    shown = (await api.ask("GET", "/queues/mail/")).json
    assert (shown["queued"], shown["paused"]) == (1, True)
    shown = (await post(api, "/queues/mail/resume/")).json
    assert (shown["paused"], "paused_until" in shown) == (False, False)
    assert (await api.claim()).uuid == uuid


@pytest.mark.parametrize(
    "body",
    [{"for": "1h"}, {"for": 3600}, {"for": "PT1H"}, {"until": 1_800_003_600_000}, {"until": "2027-01-15T09:00:00Z"}],
)
async def test_a_pause_may_end_by_itself(api: Api, body: dict[str, Any]) -> None:
    answer = await post(api, "/queues/mail/pause/", body)
    assert (answer.json["paused"], answer.json["paused_until"]) == (True, 1_800_003_600_000)
    assert (await settings(api, "mail")).paused_until == 1_800_003_600_000
    api.clock.advance(3600)
    assert (await api.ask("GET", "/queues/mail/")).status == 404
    await api.queue(queue="mail")
    shown = (await api.ask("GET", "/queues/mail/")).json
    assert (shown["paused"], "paused_until" in shown) == (False, False)


async def test_a_pause_leaves_the_other_settings(api: Api) -> None:
    before = (await put(api, "mail", EVERYTHING)).json
    await post(api, "/queues/mail/pause/", {})
    after = (await post(api, "/queues/mail/resume/")).json
    assert after == before


async def test_a_pause_that_was_put_is_shown_and_can_be_put_back(api: Api) -> None:
    shown = (await put(api, "mail", {"paused_until": FOREVER})).json
    assert (shown["paused"], shown["paused_until"]) == (True, FOREVER)
    assert (await put(api, "mail", {"paused_until": "1h"})).json["paused_until"] == api.clock.now_ms() + 3_600_000
    assert (await put(api, "mail", {"paused_until": 1})).json["paused"] is False
    assert (await put(api, "mail", {"paused_until": "2099-01-01T00:00:00Z"})).json["paused"] is True


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({"for": 1, "until": 2_000_000_000_000}, "/for"),
        ({"for": 0}, "/for"),
        ({"for": -1}, "/for"),
        ({"for": True}, "/for"),
        ({"for": "x"}, "/for"),
        ({"for": 1e308}, "/for"),
        ({"until": 1}, "/until"),
        ({"until": "x"}, "/until"),
        ({"until": {}}, "/until"),
        ({"forever": True}, "/forever"),
    ],
    ids=str,
)
async def test_a_bad_pause_is_a_422_that_points_to_it(api: Api, body: Any, pointer: str) -> None:
    answer = await post(api, "/queues/mail/pause/", body)
    assert (answer.status, answer.slug, answer.json["pointer"]) == (422, "invalid-field", pointer), answer.body
    assert await api.store.queues() == {}


async def test_a_pause_is_said_in_json_or_not_at_all(api: Api) -> None:
    assert (await api.ask("POST", "/queues/mail/pause/", b"for=1")).slug == "unsupported-media"
    assert (await api.ask("POST", "/queues/mail/pause/", b"{", JSON)).slug == "malformed"
    for verb in ("pause", "resume"):
        assert (await post(api, f"/queues/-x/{verb}/")).slug == "not-found"


# --- how it stands, and how it ends ---------------------------------------------------------------


async def test_counts_and_the_age_of_the_oldest_are_shown(api: Api) -> None:
    await api.queue(queue="mail")
    api.clock.advance(1.5)
    await api.queue(queue="mail")
    await api.queue(queue="mail", delay=60)
    shown = (await api.ask("GET", "/queues/mail/")).json
    assert (shown["scheduled"], shown["queued"], shown["pending"], shown["oldest_age"]) == (1, 2, 0, 1.5)
    await api.claim()
    shown = (await api.ask("GET", "/queues/mail/")).json
    assert (shown["queued"], shown["pending"]) == (1, 1)


async def test_a_queue_with_requests_is_not_deleted_unless_it_is_said_what_becomes_of_them(api: Api) -> None:
    await put(api, "mail", {"concurrency": 1})
    uuid = await api.queue(queue="mail")
    for query in ("", "?tasks=refuse"):
        answer = await api.ask("DELETE", f"/queues/mail/{query}")
        assert (answer.status, answer.slug) == (409, "conflict")
        assert "tasks=cancel" in answer.json["detail"]
    assert (await settings(api, "mail")).concurrency == 1
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "queued"}


async def test_a_queue_is_deleted_and_its_requests_stay(api: Api) -> None:
    await put(api, "mail", {"concurrency": 1})
    uuid = await api.queue(queue="mail")
    assert (await api.ask("DELETE", "/queues/mail/?tasks=keep")).status == 204
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "queued"}
    assert "concurrency" not in (await api.ask("GET", "/queues/mail/")).json


async def test_a_queue_is_deleted_with_its_requests(api: Api) -> None:
    await put(api, "mail", {"concurrency": 1})
    uuids = [await api.queue(queue="mail"), await api.queue(queue="mail", delay=60)]
    other = await api.queue()
    assert (await api.ask("DELETE", "/queues/mail/?tasks=cancel")).status == 204
    for uuid in uuids:
        assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "canceled"}
    assert (await api.ask("GET", f"/{other}/status/")).json == {"status": "queued"}
    assert (await api.ask("GET", "/queues/mail/")).status == 404


async def test_an_empty_queue_is_deleted_and_holds_at_once_for_new_requests(api: Api) -> None:
    await put(api, "mail", {"defaults": {"priority": 9}})
    assert (await api.post({"url": "http://127.0.0.1:9/", "queue": "mail"})).json["priority"] == 9
    await api.complete()
    assert (await api.ask("DELETE", "/queues/mail/")).status == 204
    assert "priority" not in (await api.post({"url": "http://127.0.0.1:9/", "queue": "mail"})).json


async def test_settings_of_lanes_go_with_their_queue(api: Api) -> None:
    await put(api, "mail", {"concurrency": 1})
    await api.ask("PUT", "/queues/mail/keys/acme/", b'{"weight": 2}', JSON)
    assert (await api.ask("DELETE", "/queues/mail/")).status == 204
    assert (await api.ask("GET", "/queues/mail/keys/")).json == []


async def test_what_is_no_queue_is_not_deleted(api: Api) -> None:
    for name in ("mail", "-x"):
        assert (await api.ask("DELETE", f"/queues/{name}/")).slug == "not-found"
    for query in ("tasks=drop", "tasks=", "tasks=keep&tasks=keep", "x=1"):
        assert (await api.ask("DELETE", f"/queues/mail/?{query}")).slug == "malformed"
