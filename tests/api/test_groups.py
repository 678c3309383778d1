"""`/groups/<name>/`: requests that are counted, awaited and canceled together."""

import asyncio
import json
import pathlib
from typing import Any

import pytest

from htq.usecases import ServiceSettings
from support.api import JSON, Answer, Api, api_over_sqlite

CALLBACK = "http://127.0.0.1:9/done"


async def put(api: Api, wish: object, name: str = "g") -> Answer:
    return await api.ask("PUT", f"/groups/{name}/", json.dumps(wish).encode(), JSON)


async def group(api: Api, query: str = "", headers: dict[str, str] | None = None) -> Answer:
    return await api.ask("GET", f"/groups/g/{query}", headers=headers)


async def close(api: Api) -> None:
    assert (await put(api, {"closed": True})).json["closed"] is True


async def test_a_group_counts_its_requests_by_where_they_stand(api: Api) -> None:
    await api.queue(group="g")
    await api.queue(group="g", delay=60)
    await api.queue(group="other")
    answer = await group(api)
    assert answer.status == 200
    shown = answer.json
    assert {word: count for word, count in shown["counts"].items() if count} == {"scheduled": 1, "queued": 1}
    assert (shown["live"], shown["total"], shown["closed"], shown["complete"]) == (2, 2, False, False)
    listed = await api.ask("GET", shown["links"]["tasks"].removeprefix("http://localhost:5000"))
    assert len(listed.json) == 2


async def test_a_group_is_complete_once_it_is_closed_and_all_has_ended(api: Api) -> None:
    await api.queue(group="g")
    await api.complete()
    assert (await group(api)).json["complete"] is False
    await close(api)
    shown = (await group(api)).json
    assert (shown["complete"], shown["counts"]["success"], shown["live"]) == (True, 1, 0)
    assert shown["completed_at"] == shown["closed_at"] == api.clock.now_ms()


async def test_a_closed_group_takes_no_more(api: Api) -> None:
    await close(api)
    answer = await api.post({"url": "http://127.0.0.1:9/", "group": "g"})
    assert (answer.status, answer.slug) == (409, "conflict")
    assert "group g" in answer.json["detail"]


async def test_a_group_that_is_not_there_is_a_404(api: Api) -> None:
    for method, query in (("GET", ""), ("GET", "?wait=5"), ("DELETE", "")):
        assert (await api.ask(method, f"/groups/g/{query}")).status == 404


# --- what is said of it ---------------------------------------------------------------------------


async def test_a_callback_is_kept_when_the_group_is_closed(api: Api) -> None:
    shown = (await put(api, {"callback": {"url": CALLBACK, "queue": "calls"}})).json
    assert (shown["callback"], shown["closed"]) == ({"url": CALLBACK, "queue": "calls"}, False)
    assert (await put(api, {"closed": True})).json["callback"] == shown["callback"]
    stored = await api.store.group("", "g")
    assert stored is not None
    assert stored.callback is not None
    assert stored.callback.source == "http://localhost:5000"


async def test_a_callback_can_be_a_bare_address(api: Api) -> None:
    assert (await put(api, {"callback": CALLBACK})).json["callback"] == {"url": CALLBACK}


async def test_a_closed_group_is_not_opened_again(api: Api) -> None:
    assert (await put(api, {"closed": False})).status == 200
    await close(api)
    answer = await put(api, {"closed": False, "callback": CALLBACK})
    assert (answer.status, answer.slug) == (409, "conflict")
    assert "callback" not in (await group(api)).json
    assert (await put(api, {"closed": True})).status == 200


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"closed": "yes"}, "/closed"),
        ({"close": True}, "/close"),
        ({"callback": 5}, "/callback"),
        ({"callback": ""}, "/callback"),
        ({"callback": "x"}, "/callback"),
        ({"callback": {}}, "/callback/url"),
        ({"callback": {"url": "x"}}, "/callback/url"),
        ({"callback": {"url": CALLBACK, "on": ["error"]}}, "/callback/on"),
        ({"callback": {"url": CALLBACK, "queue": "/"}}, "/callback/queue"),
        ([], ""),
    ],
)
async def test_bad_fields_are_a_422_with_their_place(api: Api, wish: object, pointer: str) -> None:
    answer = await put(api, wish)
    assert (answer.status, answer.json["pointer"]) == (422, pointer)
    assert (await group(api)).status == 404


@pytest.mark.parametrize("name", ["-a", "a b", "\xe4", "a" * 129])
async def test_what_can_not_be_a_name_is_a_404(api: Api, name: str) -> None:
    assert (await put(api, {}, name)).status == 404


async def test_a_callback_that_would_come_too_late_is_a_409(api: Api) -> None:
    assert (await put(api, {"closed": True, "callback": CALLBACK})).json["complete"] is True
    assert (await put(api, {"closed": True, "callback": CALLBACK})).status == 200, "the same may be said twice"
    answer = await put(api, {"callback": f"{CALLBACK}/other"})
    assert (answer.status, answer.json["type"]) == (409, "/problems/conflict")


# --- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("signals", [True, False])
@pytest.mark.parametrize("asked", ["?wait=30", "prefer"])
async def test_who_waits_hears_of_the_end(tmp_path: pathlib.Path, signals: bool, asked: str) -> None:
    async with api_over_sqlite(tmp_path, signals=signals) as api:
        await api.queue(group="g")
        await close(api)
        headers = {"Prefer": "wait=30"} if asked == "prefer" else None
        waiting = asyncio.ensure_future(group(api, "" if headers else asked, headers))
        await api.clock.pass_when_slept_on(0)
        await api.complete()
        async with asyncio.timeout(10):
            while not signals and not waiting.done():
                api.clock.sleeper.clear()
                api.clock.advance(2)  # a round of the poll, if it sleeps already
                asleep = asyncio.ensure_future(api.clock.sleeper.wait())
                await asyncio.wait((waiting, asleep), return_when=asyncio.FIRST_COMPLETED)
                asleep.cancel()
            answer = await waiting
        assert (answer.status, answer.json["complete"]) == (200, True)
        assert answer.headers.get("preference-applied") == ("wait=30" if headers else None)


async def test_closing_wakes_who_waits_for_an_empty_group(api: Api) -> None:
    await put(api, {})
    waiting = asyncio.ensure_future(group(api, "?wait=30"))
    await api.clock.pass_when_slept_on(0)
    await close(api)
    async with asyncio.timeout(10):
        assert (await waiting).json["complete"] is True


async def test_a_wait_that_is_over_is_a_202_with_the_counts(api: Api) -> None:
    await api.queue(group="g")
    answer = await group(api, "?wait=0")
    assert (answer.status, answer.headers["retry-after"], answer.json["live"]) == (202, "1", 1)
    waiting = asyncio.ensure_future(group(api, "?wait=5"))
    await api.clock.pass_when_slept_on(6)
    async with asyncio.timeout(10):
        assert (await waiting).status == 202


async def test_a_complete_group_is_not_waited_for(api: Api) -> None:
    await close(api)
    assert (await group(api, "?wait=60")).status == 200


async def test_waiters_are_bounded(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, service_settings=ServiceSettings(max_waiters=1)) as api:
        await put(api, {})
        gone = asyncio.Event()
        first = asyncio.ensure_future(api.ask("GET", "/groups/g/?wait=30", gone=gone))
        await api.clock.pass_when_slept_on(0)
        assert (await group(api, "?wait=30")).status == 503
        gone.set()
        async with asyncio.timeout(10):
            await first


# --- canceling ------------------------------------------------------------------------------------


async def test_a_group_is_canceled_as_far_as_it_is_alive(api: Api) -> None:
    for _ in range(3):
        await api.queue(group="g")
    other = await api.queue(group="other")
    await api.complete()
    matching = await api.ask("DELETE", "/groups/g/?dry_run=1")
    assert (matching.status, matching.json) == (200, {"matching": 2})
    answer = await api.ask("DELETE", "/groups/g/?reason=enough")
    assert (answer.status, answer.json) == (200, {"canceled": 2})
    counts: dict[str, Any] = (await group(api)).json["counts"]
    assert (counts["canceled"], counts["success"]) == (2, 1)
    assert (await api.ask("GET", f"/{other}/status/")).json == {"status": "queued"}
    await close(api)
    assert (await group(api)).json["complete"] is True
