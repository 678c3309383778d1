"""`POST /batch/`: a result for each item, whatever becomes of the others, or all of them or none."""

import asyncio
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from htq.api.batches import MAX_ATOMIC, MAX_ATOMIC_ITEMS
from htq.api.settings import ApiSettings
from htq.stores.base import Filter
from htq.usecases.outcomes import Accepted
from htq.words.errors import RequestError, StoreUnavailable
from htq.words.states import STATES
from support.api import JSON, Answer, Api, LoopTurns, api_over_sqlite

TASK: dict[str, Any] = {"url": "http://127.0.0.1:9/work"}
LINES = {"Content-Type": "application/x-ndjson"}


async def batch(
    api: Api, items: object, query: str = "", headers: Mapping[str, str] = JSON, *, pieces: int | None = None
) -> Answer:
    """Post a batch; bytes go as they are, in pieces of so many bytes if that is said."""
    body = items if isinstance(items, bytes) else json.dumps(items).encode()
    sent: bytes | Sequence[bytes] = body
    if pieces is not None:
        sent = [body[start : start + pieces] for start in range(0, len(body), pieces)]
    return await api.ask("POST", f"/batch/{query}", sent, headers)


def lines(*items: object) -> bytes:
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items)


async def stored(api: Api) -> list[str]:
    return (await api.store.select(Filter(statuses=STATES), None, 10_000)).uuids


def errors(answer: Answer) -> list[tuple[str, str]]:
    """The kind and the place of what is wrong."""
    return [(each["type"].removeprefix("/problems/"), each["pointer"]) for each in answer.json["errors"]]


@pytest.mark.parametrize(("body", "headers"), [(b"1\n" * 5000, LINES), (b"[" + b"1," * 4999 + b"1]", JSON)])
async def test_others_have_their_turns_while_rubbish_is_read(api: Api, body: bytes, headers: Mapping[str, str]) -> None:
    with LoopTurns() as turns:
        await batch(api, body, headers=headers)
    assert turns.count >= 10


# --- one by one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [None, 1, 50])
async def test_each_item_of_an_array_is_a_request_in_its_order(api: Api, pieces: int | None) -> None:
    items = [{**TASK, "data": {"n": number}, "labels": {"n": str(number)}} for number in range(7)]
    answer = await batch(api, items, pieces=pieces)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert int(answer.headers["content-length"]) == len(answer.body)
    results = answer.json
    assert [result["uuid"] for result in results] == await stored(api)
    for number, result in enumerate(results):
        assert result["outcome"] == "created"
        assert result["location"] == f"http://localhost:5000/{result['uuid']}/"
        task = (await api.ask("GET", f"/{result['uuid']}/")).json
        assert task["labels"] == {"n": str(number)}
        assert task["data"] == {"n": number}


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/jsonl", "Application/X-NDJSON; charset=utf-8"])
async def test_lines_are_answered_in_lines(api: Api, media: str) -> None:
    answer = await batch(api, lines(TASK, b"", TASK)[:-1], headers={"Content-Type": media})
    assert answer.headers["content-type"] == media.partition(";")[0].lower()
    results = [json.loads(line) for line in answer.body.splitlines()]
    assert [result["uuid"] for result in results] == await stored(api)
    assert len(results) == 2


async def test_more_items_than_one_call_of_the_store_takes_are_all_taken(api: Api) -> None:
    answer = await batch(api, lines(*[TASK] * 1234), headers=LINES, pieces=10_000)
    assert len(answer.body.splitlines()) == len(set(await stored(api))) == 1234


@pytest.mark.parametrize("headers", [JSON, LINES])
async def test_no_items_are_no_results(api: Api, headers: Mapping[str, str]) -> None:
    answer = await batch(api, b"[ ]" if headers is JSON else b"\n \n", headers=headers)
    assert (answer.status, answer.body.strip()) == (200, b"[]" if headers is JSON else b"")


async def test_a_bad_item_is_told_with_its_place_and_the_others_are_taken(api: Api) -> None:
    bad = [
        b"{",
        b"5",
        b'{"url": "gopher://x"}',
        b'{"url": "http://a/", "prio": 1}',
        b'{"url": "http://a/", "url": "http://b/"}',
    ]
    answer = await batch(api, lines(TASK, *bad, TASK), headers=LINES)
    results = [json.loads(line) for line in answer.body.splitlines()]
    assert ["uuid" in result for result in results] == [True, False, False, False, False, False, True]
    said = [(result["error"]["status"], result["error"]["pointer"]) for result in results[1:-1]]
    assert said == [(400, "/1"), (422, "/2"), (422, "/3/url"), (422, "/4/prio"), (422, "/5")]
    assert len(await stored(api)) == 2


async def test_an_item_that_is_too_large_is_passed_over(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, ApiSettings(max_json=100)) as api:
        answer = await batch(api, [TASK, {**TASK, "data": "x" * 500}, TASK], pieces=64)
        assert [result.get("error", {}).get("status") for result in answer.json] == [None, 413, None]
        assert answer.json[1]["error"]["pointer"] == "/1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"[", "within item 0"),
        (json.dumps(TASK).encode(), "not a JSON array"),
    ],
)
async def test_what_is_no_array_from_the_beginning_is_a_400(api: Api, body: bytes, said: str) -> None:
    answer = await batch(api, body)
    assert (answer.status, answer.slug) == (400, "malformed")
    assert said in answer.json["detail"]
    assert await stored(api) == []


@pytest.mark.parametrize("end", [b', {"url": ', b"] x"])
async def test_a_batch_that_breaks_off_keeps_what_was_before_and_says_where(api: Api, end: bytes) -> None:
    body = json.dumps([TASK] * 3).encode()[:-1] + end
    answer = await batch(api, body, "?group=g")
    *results, last = answer.json
    assert [result["uuid"] for result in results] == await stored(api)
    assert len(results) == 3
    assert last["error"]["type"] == "/problems/malformed"
    assert "byte" in last["error"]["detail"]
    assert (await api.ask("GET", "/groups/g/")).json["closed"] is False


async def test_a_batch_has_at_most_so_many_items_and_bytes(tmp_path: pathlib.Path) -> None:
    item = json.dumps(TASK).encode() + b"\n"
    async with api_over_sqlite(tmp_path, ApiSettings(max_batch_items=3, max_batch=6 * len(item))) as api:
        answer = await batch(api, item * 5, headers=LINES, pieces=20)
        *results, last = [json.loads(line) for line in answer.body.splitlines()]
        assert [result["uuid"] for result in results] == await stored(api)
        assert len(results) == 3
        assert (last["error"]["status"], "at most 3 items" in last["error"]["detail"]) == (413, True)
        assert (await batch(api, item * 7, headers=LINES, pieces=len(item) * 7)).status == 413
        told = {**LINES, "Content-Length": str(7 * len(item))}
        assert (await batch(api, item * 7, headers=told)).status == 413
        assert len(await stored(api)) == 3


@pytest.mark.parametrize("media", ["text/csv", "application/xml", ""])
async def test_other_types_are_refused_with_those_that_are_taken(api: Api, media: str) -> None:
    answer = await batch(api, [TASK], headers={"Content-Type": media} if media else {})
    assert answer.status == 415
    assert "application/x-ndjson" in answer.json["detail"]


@pytest.mark.parametrize(
    "query", ["?atomic=2", "?close=0", "?group=", "?group=a/b", "?group=a&group=b", "?group=a&close=x", "?grp=a"]
)
async def test_bad_parameters_are_a_400(api: Api, query: str) -> None:
    assert (await batch(api, [TASK], query)).status == 400
    assert await stored(api) == []


async def test_who_hangs_up_in_the_middle_leaves_what_was_taken(api: Api) -> None:
    gone = asyncio.Event()
    gone.set()
    sent = iter(
        [{"type": "http.request", "body": lines(*[TASK] * 500), "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Any:
        return next(sent)

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there")

    headers = [(b"host", b"localhost:5000"), (b"content-type", b"application/x-ndjson")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/batch/",
        "raw_path": b"/batch/",
        "query_string": b"",
        "scheme": "http",
    }
    async with asyncio.timeout(20):
        await api.app({**scope, "headers": headers}, receive, send)
    assert len(await stored(api)) == 500


class AwayAfter:
    """A store that takes one call and is away then."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    async def take(self, items: Sequence[object], base: str) -> list[Accepted | RequestError]:
        self.calls -= 1
        if self.calls < 0:
            raise StoreUnavailable("The store is away.")
        return [Accepted("01890000-0000-7000-8000-000000000000", "created") for _ in items]


async def test_a_store_that_goes_away_is_told_in_place_of_the_items_that_it_may_have(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.service, "batches", AwayAfter(1))
    answer = await batch(api, lines(*[TASK] * 502), headers=LINES)
    *results, last = [json.loads(line) for line in answer.body.splitlines()]
    assert ["uuid" in result for result in results] == [True] * 500 + [False] * 2
    assert {result["error"]["type"] for result in (*results[500:], last)} == {"/problems/store-unavailable"}
    assert "read from there" in last["error"]["detail"]


async def test_a_store_that_was_away_from_the_beginning_is_a_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.service, "batches", AwayAfter(0))
    answer = await batch(api, [TASK])
    assert (answer.status, answer.slug) == (503, "store-unavailable")


# --- keys and names -------------------------------------------------------------------------------


async def test_an_item_with_a_key_that_came_before_is_the_request_of_then(api: Api) -> None:
    item = {**TASK, "idempotency_key": "a"}
    first = (await batch(api, [item, TASK])).json
    again = (await batch(api, [item, TASK])).json
    assert [result["outcome"] for result in again] == ["replayed", "created"]
    assert again[0]["uuid"] == first[0]["uuid"]
    other = (await batch(api, [{**item, "priority": 1}])).json[0]["error"]
    assert (other["status"], other["pointer"]) == (422, "/0/idempotency_key")


async def test_a_key_for_the_whole_needs_a_batch_that_is_taken_whole(api: Api) -> None:
    answer = await batch(api, [TASK], headers={**JSON, "Idempotency-Key": '"a"'})
    assert answer.status == 400
    assert "idempotency_key" in answer.json["detail"]


async def test_a_live_request_with_the_same_id_is_told_as_it_asked_for(api: Api) -> None:
    old = await api.queue(id="one")
    items = [{**TASK, "id": "one", "on_conflict": word} for word in ("return_existing", "reject", "cancel_previous")]
    existing, rejected, created = (await batch(api, items)).json
    assert (existing["outcome"], existing["uuid"]) == ("existing", old)
    assert rejected["error"]["status"] == 409
    assert created["outcome"] == "created"
    assert (await api.ask("GET", f"/{old}/status/")).json == {"status": "canceled"}


# --- groups ---------------------------------------------------------------------------------------


async def test_a_batch_fills_its_group_and_closes_it(api: Api) -> None:
    await batch(api, [TASK, {**TASK, "group": "g"}, {"url": "x"}], "?group=g")
    group = (await api.ask("GET", "/groups/g/")).json
    assert (group["total"], group["closed"], group["complete"]) == (2, True, False)
    late = (await batch(api, [TASK], "?group=g")).json
    assert late[0]["error"]["status"] == 409


async def test_a_group_stays_open_for_several_batches(api: Api) -> None:
    for close in ("&close=0", "&close=0", ""):
        assert "uuid" in (await batch(api, [TASK], f"?group=g{close}")).json[0]
    group = (await api.ask("GET", "/groups/g/")).json
    assert (group["total"], group["closed"]) == (3, True)


async def test_an_item_of_another_group_is_refused(api: Api) -> None:
    error = (await batch(api, [{**TASK, "group": "x"}], "?group=g")).json[0]["error"]
    assert (error["status"], error["pointer"]) == (422, "/0/group")


# --- all or none ----------------------------------------------------------------------------------


async def test_an_atomic_batch_is_taken_whole(api: Api) -> None:
    answer = await batch(api, lines(*[TASK] * 3), "?atomic=1&group=g", LINES)
    assert answer.status == 200
    assert [json.loads(line)["uuid"] for line in answer.body.splitlines()] == await stored(api)
    assert (await api.ask("GET", "/groups/g/")).json["closed"] is True


async def test_an_atomic_batch_with_bad_items_is_refused_with_all_of_them(api: Api) -> None:
    await api.queue(id="taken")
    before = await stored(api)
    bad = [{"url": "x"}, {**TASK, "priority": 10}, {**TASK, "idempotency_key": "a"}]
    answer = await batch(api, [TASK, *bad, TASK], "?atomic=1")
    assert (answer.status, answer.slug) == (422, "batch-refused")
    assert errors(answer) == [
        ("invalid-field", "/1/url"),
        ("invalid-field", "/2/priority"),
        ("invalid-field", "/3/idempotency_key"),
    ]
    answer = await batch(api, [TASK, {**TASK, "id": "taken", "on_conflict": "reject"}], "?atomic=1")
    assert (answer.status, errors(answer)) == (422, [("conflict", "/1")])
    assert await stored(api) == before


async def test_an_atomic_batch_is_bounded(api: Api) -> None:
    assert (await batch(api, [TASK] * (MAX_ATOMIC_ITEMS + 1), "?atomic=1")).status == 413
    large = [{**TASK, "data": "x" * (MAX_ATOMIC // 2)}] * 2
    assert (await batch(api, large, "?atomic=1", pieces=1_000_000)).status == 413
    assert await stored(api) == []
    assert (await batch(api, [TASK] * MAX_ATOMIC_ITEMS, "?atomic=1")).status == 200


async def test_an_atomic_batch_that_is_no_array_is_a_400(api: Api) -> None:
    assert (await batch(api, b"[1, ", "?atomic=1")).status == 400


async def test_an_atomic_batch_with_a_key_is_the_same_when_it_is_asked_for_again(api: Api) -> None:
    headers = {**JSON, "Idempotency-Key": '"a"'}
    first = await batch(api, [TASK, TASK], "?atomic=1", headers)
    again = await batch(api, [TASK, TASK], "?atomic=1", headers)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert [result["uuid"] for result in again.json] == [result["uuid"] for result in first.json] == await stored(api)
    for items in ([TASK], [TASK] * 3, [TASK, {**TASK, "priority": 1}]):
        other = await batch(api, items, "?atomic=1", headers)
        assert (other.status, other.slug) == (422, "key-reused")
    assert (await batch(api, [TASK, TASK], "?atomic=1&group=g", headers)).slug == "key-reused"
    assert len(await stored(api)) == 2
