"""Canceling by filter: what it takes, what it leaves, and that it holds nobody up."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from htq.stores.base import Cancel, Filter, Selection
from htq.words.errors import StoreUnavailable
from htq.words.states import State
from htq.words.task import NewTask, Request
from support.api import Answer, Api


async def cancel(api: Api, query: str) -> int:
    answer = await api.ask("DELETE", f"/?{query}")
    assert answer.status == 200, answer.body
    assert list(answer.json) == ["canceled"]
    return int(answer.json["canceled"])


async def statuses(api: Api, *uuids: str) -> list[str]:
    return [(await api.ask("GET", f"/{uuid}/status/")).json["status"] for uuid in uuids]


async def fill(api: Api, count: int) -> None:
    """Queue many at once."""
    for _ in range(0, count, 1000):
        await api.store.enqueue(
            [
                NewTask(
                    uuid=api.service._chance.uuid(), request=Request(url="http://a/", method="get"), key="a", host="a"
                )
                for _ in range(1000)
            ]
        )


async def test_a_filter_takes_what_has_not_ended_and_leaves_the_rest(api: Api) -> None:
    ended = await api.queue(queue="mail")
    await api.complete()
    running = await api.queue(queue="mail")
    await api.claim()
    later = await api.queue(queue="mail", delay=60)
    queued = await api.queue(queue="mail")
    other = await api.queue()
    assert await cancel(api, "queue=mail&reason=too%20late") == 3
    assert await statuses(api, ended, running, later, queued, other) == [
        "success",
        "canceled",
        "canceled",
        "canceled",
        "queued",
    ]
    assert (await api.ask("GET", f"/{later}/cancel/")).json["reason"] == "too late"
    assert await cancel(api, "queue=mail") == 0


@pytest.mark.parametrize(
    "query",
    [
        "key=lane",
        "host=LOCALHOST",
        "id=mine",
        "label.team=a",
        "status=queued&queue=mail",
        "status=pending,queued&key=lane",
    ],
)
async def test_it_takes_the_filters_of_the_list(api: Api, query: str) -> None:
    mine = await api.queue(queue="mail", key="lane", labels={"team": "a"}, id="mine", url="http://localhost:9/x")
    other = await api.queue()
    assert await cancel(api, query) == 1
    assert await statuses(api, mine, other) == ["canceled", "queued"]


async def test_it_takes_points_in_time(api: Api) -> None:
    old = await api.queue()
    api.clock.advance(10)
    new = await api.queue()
    assert await cancel(api, f"until={api.clock.now_ms()}") == 1
    assert await statuses(api, old, new) == ["canceled", "queued"]
    assert await cancel(api, "since=0") == 1


async def test_ended_requests_are_taken_where_their_status_is_named(api: Api) -> None:
    ended = await api.queue()
    await api.complete()
    queued = await api.queue()
    assert await cancel(api, "status=success") == 1
    assert await statuses(api, ended, queued) == ["canceled", "queued"]
    assert (await api.ask("GET", f"/{ended}/response/")).json == {}
    assert await cancel(api, "status=canceled") == 0
    assert await cancel(api, "status=canceled,queued") == 1


async def test_a_dry_run_counts_and_changes_nothing(api: Api) -> None:
    uuids = [await api.queue() for _ in range(3)]
    for yes in ("1", "true"):
        assert (await api.ask("DELETE", f"/?status=queued&dry_run={yes}")).json == {"matching": 3}
    assert await statuses(api, *uuids) == ["queued"] * 3
    assert (await api.ask("DELETE", "/?status=canceled&dry_run=1")).json == {"matching": 0}
    assert (await api.ask("DELETE", "/?status=queued&dry_run=0")).json == {"canceled": 3}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "dry_run=1",
        "reason=x",
        "stauts=queued",
        "status=finished",
        "status=",
        "limit=10",
        "cursor=x",
        "queue=a&queue=b",
        "queue=mail&dry_run=",
        "queue=mail&dry_run=yes",
        "queue=mail&dry_run=1&dry_run=0",
        "queue=mail&reason=a%0Ab",
        "queue=mail&reason=" + "x" * 501,
        "queue=mail&reason=a&reason=b",
        "since=yesterday",
        "queue=%ff",
    ],
)
async def test_no_filter_or_a_bad_one_is_a_400_and_cancels_nothing(api: Api, query: str) -> None:
    uuid = await api.queue(queue="mail")
    answer = await api.ask("DELETE", f"/?{query}")
    assert (answer.status, answer.slug) == (400, "malformed")
    assert await statuses(api, uuid) == ["queued"]


async def test_it_ends_with_what_was_there_when_it_began(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await api.queue()
    late: list[str] = []
    plain = api.store.select

    async def busy(where: Filter, cursor: str | None, limit: int) -> Selection:
        late.append(await api.queue())
        return await plain(where, cursor, limit)

    monkeypatch.setattr(api.store, "select", busy)
    assert await cancel(api, "status=queued") == 1
    assert await statuses(api, first, *late) == ["canceled", "queued"]


async def test_who_waits_for_one_of_them_is_told(api: Api) -> None:
    uuid = await api.queue()
    asked = asyncio.create_task(api.ask("GET", f"/{uuid}/response/"))
    await api.clock.pass_when_slept_on(0)
    assert await cancel(api, "status=queued") == 1
    assert (await asked).json == {}


async def test_ten_thousand_are_canceled_in_pages_and_others_are_served_between_them(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(api, 10_000)
    batches: list[int] = []
    between: list[Answer] = []
    asking: asyncio.Task[Answer] | None = None
    verb = api.store.cancel

    async def noted(cancels: Sequence[Cancel]) -> list[State | None]:
        nonlocal asking
        batches.append(len(cancels))
        if asking is None or asking.done():
            if asking is not None:
                between.append(asking.result())
            asking = asyncio.create_task(api.post({"url": "http://127.0.0.1:9/"}))
        return await verb(cancels)

    monkeypatch.setattr(api.service._cancel, "_verb", noted)
    assert await cancel(api, "status=queued") == 10_000
    assert asking is not None
    await asking
    assert max(batches) <= api.service.settings.batch
    assert len(between) >= 5
    assert {answer.status for answer in between} == {303}
    assert (await api.ask("DELETE", "/?status=queued&dry_run=1")).json == {"matching": len(between) + 1}


async def test_a_caller_who_hangs_up_ends_it_after_a_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(api, 2000)
    gone = asyncio.Event()
    verb = api.store.cancel
    pages = 0

    async def noted(cancels: Sequence[Cancel]) -> list[State | None]:
        nonlocal pages
        pages += 1
        gone.set()
        return await verb(cancels)

    monkeypatch.setattr(api.service._cancel, "_verb", noted)
    assert (await api.ask("DELETE", "/?status=queued", gone=gone)).status == 0
    await api.service._cancel.close()
    left = (await api.ask("DELETE", "/?status=queued&dry_run=1")).json["matching"]
    assert 2000 - left == pages * api.service.settings.batch
    assert left >= 1000
    assert await cancel(api, "status=queued") == left


async def test_a_store_that_goes_away_in_the_middle_is_a_503_and_it_can_be_asked_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(api, 1000)
    verb = api.store.cancel
    calls = 0

    async def failing(cancels: Sequence[Cancel]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("The store is away.")
        return await verb(cancels)

    monkeypatch.setattr(api.service._cancel, "_verb", failing)
    assert (await api.ask("DELETE", "/?status=queued")).slug == "store-unavailable"
    assert await cancel(api, "status=queued") == 500


async def test_a_backlog_that_is_full_in_the_middle_does_not_claim_that_nothing_was_done(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.queue()
    monkeypatch.setattr(api.service._cancel, "_backlog", 0)
    answer = await api.ask("DELETE", "/?status=queued")
    assert (answer.slug, answer.headers["retry-after"]) == ("store-unavailable", "2")
