"""Lanes as resources: how each stands, what holds for it alone, and addresses that hold a whole URL."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from htq.words.limits import FOREVER, Hold, LaneLimits, Rate
from support.api import JSON, Answer, Api

ORIGIN = "http://127.0.0.1:9"
KEYS = "/queues/default/keys"


def at(key: str) -> str:
    return f"{KEYS}/{quote(key, safe='')}/"


async def put(api: Api, key: str, wish: object) -> Answer:
    return await api.ask("PUT", at(key), json.dumps(wish).encode(), JSON)


async def test_a_lane_has_its_counts_and_its_own_limits(api: Api) -> None:
    await api.queue()
    await api.queue()
    await api.claim()
    wish = {"weight": 3, "concurrency": 2, "rate": [{"limit": 5, "per": 60}]}
    shown = (await put(api, ORIGIN, wish)).json
    assert shown == {
        "queue": "default",
        "key": ORIGIN,
        **wish,
        "queued": 1,
        "pending": 1,
        "held_until": None,
        "hold_reason": None,
        "failures": 0,
        "links": {"self": f"http://localhost:5000{KEYS}/http%3A%2F%2F127.0.0.1%3A9/"},
    }
    assert (await api.ask("GET", at(ORIGIN))).json == shown
    lane = await api.store.lane("default", ORIGIN)
    assert lane.limits == LaneLimits(weight=3, concurrency=2, rate=(Rate(limit=5, per=60),))


@pytest.mark.parametrize(
    "path",
    [
        "http%3A%2F%2F127.0.0.1%3A9/",
        "http%3A%2F%2F127.0.0.1%3A9",
        "http%3a%2f%2f127.0.0.1:9/",
        "http://127.0.0.1:9/",
        "http://127.0.0.1:9",
        "http:/%2F127.0.0.1:9",
    ],
)
async def test_slashes_of_a_key_may_be_encoded_or_not(api: Api, path: str) -> None:
    assert (await api.ask("GET", f"{KEYS}/{path}")).json["key"] == ORIGIN


@pytest.mark.parametrize(
    "key", ["acme", "a/b", "a/", "/", "//", "a b", "ü", "%2F", "100%", "a?b#c", "pause", "keys", "x" * 255, "."]
)
async def test_every_key_has_an_address(api: Api, key: str) -> None:
    assert (await put(api, key, {"weight": 2})).json["key"] == key
    (listed,) = (await api.ask("GET", f"{KEYS}/")).json
    assert listed["key"] == key
    assert (await api.ask("GET", listed["links"]["self"].removeprefix("http://localhost:5000"))).json == listed


@pytest.mark.parametrize("path", ["%00", "a%0Ab", "%ff", "x" * 256, "%C3"])
async def test_what_is_no_key_is_a_404(api: Api, path: str) -> None:
    for verb, body in (("GET", b""), ("PUT", b"{}"), ("DELETE", b"")):
        assert (await api.ask(verb, f"{KEYS}/{path}/", body, JSON)).slug == "not-found"
    assert (await api.ask("GET", "/queues/-x/keys/a/")).slug == "not-found"
    assert (await api.ask("GET", "/queues/-x/keys/")).slug == "not-found"
    assert (await api.ask("GET", "/queues/a%2Fb/keys/c/")).slug == "not-found"


async def test_a_lane_of_which_there_is_nothing_stands_empty(api: Api) -> None:
    shown = (await api.ask("GET", at("acme"))).json
    assert (shown["queued"], shown["pending"], shown["held_until"]) == (0, 0, None)
    assert (await api.ask("GET", f"{KEYS}/")).json == []


async def test_a_held_lane_starts_nothing_until_it_is_let_go(api: Api) -> None:
    uuid = await api.queue()
    other = await api.queue(key="other")
    shown = (await put(api, ORIGIN, {"held_until": "1h"})).json
    assert (shown["held_until"], shown["hold_reason"]) == (api.clock.now_ms() + 3_600_000, "operator")
    assert [lane["key"] for lane in (await api.ask("GET", f"{KEYS}/?held=1")).json] == [ORIGIN]
    assert [claim.uuid for claim in await api.claims()] == [other]
    assert (await put(api, ORIGIN, {})).json["held_until"] is None
    assert (await api.claim()).uuid == uuid


async def test_a_lane_may_be_held_until_somebody_lets_it_go(api: Api) -> None:
    for until in (FOREVER, "2099-01-01T00:00:00Z"):
        assert (await put(api, "acme", {"held_until": until})).json["hold_reason"] == "operator"
    assert (await put(api, "acme", {"held_until": 1})).json["held_until"] is None


async def test_a_lane_that_was_set_back_has_no_limits_of_its_own(api: Api) -> None:
    await put(api, "acme", {"weight": 2, "held_until": "1h"})
    assert (await api.ask("DELETE", at("acme"))).status == 204
    shown = (await api.ask("GET", at("acme"))).json
    assert ("weight" in shown, shown["held_until"]) == (False, None)
    assert (await api.ask("GET", f"{KEYS}/")).json == []


async def test_lanes_come_in_pages(api: Api) -> None:
    for number in range(5):
        await api.store.put_lane("default", f"k{number}", LaneLimits(weight=2), None)
    await api.store.put_lane("other", "k", LaneLimits(weight=2), None)
    seen: list[str] = []
    path: str | None = f"{KEYS}/?limit=2"
    while path is not None:
        answer = await api.ask("GET", path)
        assert len(answer.json) <= 2
        seen += [lane["key"] for lane in answer.json]
        found = re.search(r'<http://localhost:5000([^>]*)>; rel="next"', answer.headers["link"])
        path = found[1] if found is not None else None
    assert sorted(seen) == [f"k{number}" for number in range(5)]


async def test_why_a_lane_is_held_is_shown(api: Api) -> None:
    until = api.clock.now_ms() + 5000
    await api.store.put_lane("default", "acme", LaneLimits(), Hold(until, "rate_limited"))
    shown = (await api.ask("GET", at("acme"))).json
    assert (shown["held_until"], shown["hold_reason"]) == (until, "rate_limited")


BAD: list[tuple[Any, str]] = [
    ([], ""),
    ({"limit": 1}, "/limit"),
    ({"weight": 0}, "/weight"),
    ({"weight": True}, "/weight"),
    ({"weight": "2"}, "/weight"),
    ({"weight": 10**400}, "/weight"),
    ({"concurrency": 0}, "/concurrency"),
    ({"concurrency": 1e308}, "/concurrency"),
    ({"rate": [{"limit": -1}]}, "/rate/0/limit"),
    ({"rate": [{"limit": 1, "per": "x"}]}, "/rate/0/per"),
    ({"rate": [{"limit": 1, "burst": 0.1}]}, "/rate/0/burst"),
    ({"held_until": "soon"}, "/held_until"),
    ({"held_until": -1}, "/held_until"),
    ({"held_until": True}, "/held_until"),
    ({"held_until": []}, "/held_until"),
    ({"defaults": {}}, "/defaults"),
]


@pytest.mark.parametrize(("wish", "pointer"), BAD, ids=lambda value: str(value)[:60])
async def test_a_bad_value_is_a_422_that_points_to_it(api: Api, wish: Any, pointer: str) -> None:
    answer = await put(api, "acme", wish)
    assert (answer.status, answer.slug, answer.json["pointer"]) == (422, "invalid-field", pointer), answer.body
    assert (await api.ask("GET", f"{KEYS}/")).json == []


@pytest.mark.parametrize("query", ["held=2", "limit=0", "limit=1001", "cursor=%00", "status=queued", "held=1&held=1"])
async def test_a_bad_query_is_a_400(api: Api, query: str) -> None:
    assert (await api.ask("GET", f"{KEYS}/?{query}")).slug == "malformed"
