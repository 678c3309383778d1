"""`Idempotency-Key`: the same request with the same key is queued once, however often it is asked for."""

import asyncio
import json
import pathlib

import pytest

from htq.stores.base import Filter
from htq.usecases import ServiceSettings
from htq.words.states import STATES
from support.api import JSON, Api, api_over_sqlite

TASK = {"url": "http://127.0.0.1:9/work"}


async def stored(api: Api) -> int:
    return len((await api.store.select(Filter(statuses=STATES), None, 1000)).uuids)


async def test_the_same_key_with_the_same_request_is_the_same_task(api: Api) -> None:
    first = await api.post(TASK, {"Idempotency-Key": '"k"'})
    again = await api.post(TASK, {"Idempotency-Key": '"k"'})
    assert (first.status, again.status) == (303, 303)
    assert first.headers["location"] == again.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == first.json
    assert await stored(api) == 1


async def test_twenty_at_once_are_one(api: Api) -> None:
    answers = await asyncio.gather(*(api.post(TASK, {"Idempotency-Key": "k"}) for _ in range(20)))
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert await stored(api) == 1


async def test_a_replay_shows_where_the_task_stands_by_now(api: Api) -> None:
    await api.post(TASK, {"Idempotency-Key": "k"})
    uuid = await api.complete(b"done")
    again = await api.post(TASK, {"Idempotency-Key": "k"})
    assert (again.json["uuid"], again.json["status"]) == (uuid, "success")
    waited = await api.post(TASK, {"Idempotency-Key": "k", "Prefer": "wait=1"})
    assert (waited.status, waited.json["data"]) == (200, "done")
    assert waited.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (json.dumps({**TASK, "priority": 1}), "application/json"),
        (json.dumps(TASK) + " ", "application/json"),
        (json.dumps(TASK), "application/vnd.a+json"),
    ],
)
async def test_the_same_key_with_another_request_is_a_422(api: Api, body: str, media: str) -> None:
    await api.post(TASK, {"Idempotency-Key": "k"})
    answer = await api.ask("POST", "/", body.encode(), {"Content-Type": media, "Idempotency-Key": "k"})
    assert (answer.status, answer.slug) == (422, "key-reused")
    assert await stored(api) == 1


async def test_a_request_that_was_refused_leaves_no_key_behind(api: Api) -> None:
    assert (await api.post({"url": "x"}, {"Idempotency-Key": "k"})).status == 422
    assert (await api.post(TASK, {"Idempotency-Key": "k"})).status == 303


async def test_a_key_is_forgotten_after_its_time(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, service_settings=ServiceSettings(idempotency_window=60)) as api:
        first = await api.post(TASK, {"Idempotency-Key": "k"})
        api.clock.advance(59)
        assert (await api.post(TASK, {"Idempotency-Key": "k"})).json["uuid"] == first.json["uuid"]
        api.clock.advance(2)
        assert (await api.post(TASK, {"Idempotency-Key": "k"})).json["uuid"] != first.json["uuid"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("k", '"k"'), (r'"a\"b\\c"', r'"a\"b\\c"'), (" k ", '"k" '), ("!#$%&'()*+-./:;<=>?@[]^_`{|}~", None)],
)
async def test_a_bare_key_is_that_of_the_string(api: Api, one: str, other: str | None) -> None:
    first = await api.post(TASK, {"Idempotency-Key": one})
    assert first.status == 303
    again = await api.post(TASK, {"Idempotency-Key": other or f'"{one}"'})
    assert again.headers["location"] == first.headers["location"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        '""',
        " ",
        '"',
        '"a',
        'a"',
        '"a"b',
        '"a" "b"',
        "a b",
        '"a b"',
        "a, b",
        "a,b",
        r'"\a"',
        '"\xe4"',
        "\xe4",
        "k" * 256,
    ],
)
async def test_a_broken_key_is_a_400(api: Api, key: str) -> None:
    answer = await api.post(TASK, {"Idempotency-Key": key})
    assert (answer.status, answer.slug) == (400, "malformed")
    assert "Idempotency-Key" in answer.json["detail"]
    assert await stored(api) == 0


async def test_a_key_has_255_characters_at_most(api: Api) -> None:
    assert (await api.post(TASK, {"Idempotency-Key": "k" * 255})).status == 303


async def test_two_keys_are_a_400(api: Api) -> None:
    answer = await api.ask(
        "POST", "/", json.dumps(TASK).encode(), {**JSON, "Idempotency-Key": "a", "idempotency-Key": "b"}
    )
    assert answer.status == 400
