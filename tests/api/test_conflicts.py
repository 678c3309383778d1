"""What becomes of a request whose id another one has that has not ended; and of one that is not taken."""

from typing import Any

import pytest

from htq.stores.base import Filter
from htq.words.states import STATES
from support.api import Api

URL = "http://127.0.0.1:9/"
KEY = {"Idempotency-Key": '"once"'}


async def count(api: Api) -> int:
    return len((await api.store.list_tasks(Filter(statuses=STATES), None, 1000)).tasks)


async def test_the_one_that_is_there_is_taken_in_its_place(api: Api) -> None:
    first = (await api.post({"url": URL, "id": "a", "priority": 9})).json
    answer = await api.post({"url": f"{URL}other", "id": "a", "on_conflict": "return_existing"})
    assert (answer.status, answer.headers["location"]) == (303, f"http://localhost:5000/{first['uuid']}/")
    assert answer.json == first
    assert "idempotent-replayed" not in answer.headers
    assert await count(api) == 1


async def test_the_one_that_is_there_may_be_on_its_way(api: Api) -> None:
    uuid = await api.queue(id="a")
    await api.claim()
    answer = await api.post({"url": URL, "id": "a", "on_conflict": "return_existing"}, {"Prefer": "respond-async"})
    assert (answer.status, answer.json["uuid"], answer.json["status"]) == (202, uuid, "pending")


async def test_a_newer_one_may_be_refused_and_is_led_to_the_other(api: Api) -> None:
    uuid = await api.queue(id="a")
    answer = await api.post({"url": URL, "id": "a", "on_conflict": "reject"})
    assert (answer.status, answer.slug, answer.json["task"]) == (409, "conflict", f"/{uuid}/")
    assert uuid in answer.json["detail"]
    assert await count(api) == 1
    assert (await api.ask("GET", answer.json["task"])).json["uuid"] == uuid
    await api.complete()
    assert (await api.post({"url": URL, "id": "a", "on_conflict": "reject"})).status == 303


async def test_a_newer_one_may_wait(api: Api) -> None:
    await api.queue(id="a")
    second = await api.queue(id="a", on_conflict="queue_after")
    claim = await api.claim()
    assert await api.claims() == []
    await api.finish(claim)
    assert (await api.claim()).uuid == second


async def test_a_closed_group_takes_nothing_more(api: Api) -> None:
    await api.queue(group="g")
    await api.store.put_group("", "g", None, close=True)
    answer = await api.post({"url": URL, "group": "g"})
    assert (answer.status, answer.slug) == (409, "conflict")
    assert "closed" in answer.json["detail"]
    assert "task" not in answer.json
    assert await count(api) == 1


async def test_a_list_and_a_cancel_may_be_of_a_group(api: Api) -> None:
    mine = await api.queue(group="g")
    other = await api.queue()
    assert [task["uuid"] for task in (await api.ask("GET", "/?group=g")).json] == [mine]
    assert (await api.ask("DELETE", "/?group=g&dry_run=1")).json == {"matching": 1}
    assert (await api.ask("DELETE", "/?group=g")).json == {"canceled": 1}
    assert (await api.ask("GET", f"/{other}/status/")).json == {"status": "queued"}


async def test_a_key_that_came_with_another_request_is_pointed_to(api: Api) -> None:
    assert (await api.post({"url": URL}, KEY)).status == 303
    answer = await api.post({"url": f"{URL}other"}, KEY)
    assert (answer.status, answer.slug, answer.json["header"]) == (422, "key-reused", "Idempotency-Key")
    assert await count(api) == 1


async def test_a_key_that_is_known_for_longer_than_its_request_still_leads_there(api: Api) -> None:
    task: dict[str, Any] = {"url": URL, "result_ttl": 1}
    uuid = (await api.post(task, KEY)).json["uuid"]
    await api.complete()
    api.clock.advance(10)
    assert await api.store.forget(10) == 1
    answer = await api.post(task, KEY)
    assert (answer.status, answer.json) == (303, {"uuid": uuid})
    assert answer.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("word", ["return_existing", "reject", "queue_after", "cancel_previous"])
async def test_without_a_live_namesake_it_is_as_any_other(api: Api, word: str) -> None:
    answer = await api.post({"url": URL, "id": "a", "on_conflict": word})
    assert answer.status == 303
    assert (await api.claim()).uuid == answer.json["uuid"]
