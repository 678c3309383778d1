"""Nothing that is sent gives a 5xx, and nothing is stored unless the answer is 303."""

import asyncio
import json
import pathlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htq.stores.base import Filter
from htq.usecases import (
    CallbackWish,
    CancelWish,
    LaneWish,
    PauseWish,
    QueueDefaults,
    QueueWish,
    Submission,
    TimeoutWish,
)
from htq.usecases.change import ChangeWish
from htq.usecases.queue_wishes import BreakerWish, LimitsWish, RateWish
from htq.usecases.wishes import BackoffWish, RetryWish
from htq.words.states import STATES
from support.api import JSON, Api, api_over_sqlite

URL = '"url": "http://127.0.0.1:9/"'


async def stored(api: Api) -> int:
    page = await api.store.list_tasks(Filter(statuses=STATES), None, 1000)
    return len(page.tasks)


def fields(text: str) -> bytes:
    return ("{" + URL + ", " + text + "}").encode()


NOT_JSON = {
    "empty": b"",
    "blank": b" \n",
    "two documents": b"{" + URL.encode() + b"} {}",
    "byte order mark": b"\xef\xbb\xbf{" + URL.encode() + b"}",
    "UTF-16": ("{" + URL + "}").encode("utf-16"),
    "invalid UTF-8 in a field": fields('"id": "')[:-1] + b'\xff"}',
    "invalid UTF-8 in data": fields('"data": {"a": "')[:-1] + b'\xff"}}',
    "invalid UTF-8 in a name": b"{" + URL.encode() + b', "\xff": 1}',
    "a lone surrogate": fields(r'"id": "\ud800"'),
    "a lone surrogate in data": fields(r'"data": {"a": "\udfff"}'),
    "a raw NUL": fields('"id": "\0"'),
    "NaN": fields('"timeout": NaN'),
    "NaN in data": fields('"data": [NaN]'),
    "Infinity": fields('"timeout": -Infinity'),
    "nested brackets": b"[" * 100_000,
    "nested data": fields('"data": ' + "[" * 100_000 + "]" * 100_000),
    "nested objects": fields('"data": ' + '{"a":' * 50_000 + "1" + "}" * 50_000),
    "cut short": b'{"url": "http://127.0.0.1:9/"',
    "form": b"url=http://127.0.0.1:9/",
    "a comment": fields("// x\n"),
}


@pytest.mark.parametrize("name", NOT_JSON)
async def test_what_is_not_json_is_a_400(api: Api, name: str) -> None:
    answer = await api.post(NOT_JSON[name])
    # JSON without a url at its outermost level is JSON all the same.
    assert (answer.status, answer.slug) in ((400, "malformed"), (422, "invalid-field")), answer.body
    assert answer.status == 400 or name == "nested brackets"
    assert await stored(api) == 0


BAD_FIELDS = {
    "url number": (b'{"url": 3}', "/url"),
    "url null": (b'{"url": null}', "/url"),
    "url empty": (b'{"url": ""}', "/url"),
    "url without scheme": (b'{"url": "127.0.0.1/x"}', "/url"),
    "url ftp": (b'{"url": "ftp://127.0.0.1/x"}', "/url"),
    "url userinfo": (b'{"url": "http://a:b@127.0.0.1/x"}', "/url"),
    "url with a line break": (b'{"url": "http://127.0.0.1/\\r\\nx"}', "/url"),
    "url of 9,000 characters": (b'{"url": "http://127.0.0.1/' + b"a" * 9000 + b'"}', "/url"),
    "unknown field": (fields('"retries": 3'), "/retries"),
    "unknown field with odd name": (fields('"a/b~`": 3'), "/a~1b~0`"),
    "repeated name": (fields('"id": "a", "id": "b"'), ""),
    "repeated name, escaped": (fields(r'"id": "a", "\u0069d": "b"'), ""),
    "repeated name, null": (fields('"id": "a", "id": null'), ""),
    "repeated header": (fields('"headers": {"a": "1", "a": "2"}'), ""),
    "method with a space": (fields('"method": "GET /"'), "/method"),
    "method with a line break": (fields('"method": "GET\\r\\nX: y"'), "/method"),
    "method empty": (fields('"method": ""'), "/method"),
    "method CONNECT": (fields('"method": "CONNECT"'), "/method"),
    "method trace": (fields('"method": "trace"'), "/method"),
    "data a number": (fields('"data": 3'), "/data"),
    "data a boolean": (fields('"data": true'), "/data"),
    "data twice": (fields('"data": "a", "data_base64": "YQ=="'), "/data_base64"),
    "base64 broken": (fields('"data_base64": "a*=="'), "/data_base64"),
    "base64 not ascii": (fields('"data_base64": "ä"'), "/data_base64"),
    "headers a list": (fields('"headers": ["a"]'), "/headers"),
    "header a number": (fields('"headers": {"a": "b", "x/y": 3}'), "/headers/x~1y"),
    "header a list": (fields('"headers": {"a": ["b"]}'), "/headers/a"),
    "header nested": (fields('"headers": {"a": {"b": "c"}}'), "/headers/a"),
    "header null": (fields('"headers": {"a": null}'), "/headers/a"),
    "header with a line break": (fields('"headers": {"a": "b\\r\\nc: d"}'), "/headers/a"),
    "header with NUL": (fields('"headers": {"a": "\\u0000"}'), "/headers/a"),
    "header name with a space": (fields('"headers": {"a b": "c"}'), "/headers/a b"),
    "header Host": (fields('"headers": {"HOST": "x"}'), "/headers/HOST"),
    "header Transfer-Encoding": (fields('"headers": {"transfer-encoding": "chunked"}'), "/headers/transfer-encoding"),
    "header HTQ": (fields('"headers": {"Htq-Task-Id": "x"}'), "/headers/Htq-Task-Id"),
    "too many headers": (fields('"headers": {' + ",".join(f'"h{n}": ""' for n in range(100_000)) + "}"), "/headers"),
    "timeout 0": (fields('"timeout": 0'), "/timeout"),
    "timeout -1": (fields('"timeout": -1'), "/timeout"),
    "timeout text": (fields('"timeout": "5"'), "/timeout"),
    "timeout true": (fields('"timeout": true'), "/timeout"),
    "timeout 1e308": (fields('"timeout": 1e308'), "/timeout"),
    "timeout 1e400": (fields('"timeout": 1e400'), "/timeout"),
    "timeout of 5,000 digits": (fields('"timeout": ' + "9" * 5000), "/timeout"),
    "timeout part": (fields('"timeout": {"idle": 0}'), "/timeout/idle"),
    "timeout unknown part": (fields('"timeout": {"totals": 1}'), "/timeout/totals"),
    "id empty": (fields('"id": ""'), "/id"),
    "id long": (fields('"id": "' + "x" * 256 + '"'), "/id"),
    "id with NUL": (fields('"id": "a\\u0000"'), "/id"),
    "id number": (fields('"id": 7'), "/id"),
    "queue with a slash": (fields('"queue": "a/b"'), "/queue"),
    "queue with a line break": (fields('"queue": "a\\n"'), "/queue"),
    "queue beyond ASCII": (fields('"queue": "ä"'), "/queue"),
    "key empty": (fields('"key": ""'), "/key"),
    "priority 10": (fields('"priority": 10'), "/priority"),
    "priority -1": (fields('"priority": -1'), "/priority"),
    "priority 1.5": (fields('"priority": 1.5'), "/priority"),
    "priority true": (fields('"priority": true'), "/priority"),
    "priority of 5,000 digits": (fields('"priority": ' + "1" * 5000), "/priority"),
    "label a number": (fields('"labels": {"a": 1}'), "/labels/a"),
    "label name": (fields('"labels": {"a b": "c"}'), "/labels/a b"),
    "labels many": (fields('"labels": {' + ",".join(f'"l{n}": ""' for n in range(33)) + "}"), "/labels"),
    "delay negative": (fields('"delay": -1'), "/delay"),
    "delay long": (fields('"delay": 1e12'), "/delay"),
    "delay words": (fields('"delay": "soon"'), "/delay"),
    "delay unit": (fields('"delay": "PT"'), "/delay"),
    "run_at in year 10000": (fields('"run_at": "10000-01-01T00:00:00Z"'), "/run_at"),
    "run_at in year 9999": (fields('"run_at": "9999-12-31T23:59:59-23:59"'), "/run_at"),
    "run_at tomorrow": (fields('"run_at": "tomorrow"'), "/run_at"),
    "run_at :60": (fields('"run_at": "2027-12-31T23:59:60Z"'), "/run_at"),
    "run_at without zone": (fields('"run_at": "2027-12-31T23:59:59"'), "/run_at"),
    "run_at in unicode digits": (fields('"run_at": "２０２７-12-31T23:59:59Z"'), "/run_at"),
    "run_at huge": (fields('"run_at": ' + "9" * 5000), "/run_at"),
    "run_at negative": (fields('"run_at": -1'), "/run_at"),
    "run_at and delay": (fields('"run_at": 1, "delay": 1'), "/run_at"),
    "result_ttl 0": (fields('"result_ttl": 0'), "/result_ttl"),
    "delivery": (fields('"delivery": "exactly_once"'), "/delivery"),
    "max_response 0": (fields('"max_response": 0'), "/max_response"),
    "redirects 6": (fields('"redirects": 6'), "/redirects"),
    "cancel a boolean": (fields('"cancel": false'), "/cancel"),
    "cancel.delete text": (fields('"cancel": {"delete": "no"}'), "/cancel/delete"),
    "cancel unknown": (fields('"cancel": {"remove": true}'), "/cancel/remove"),
    "cancel repeated": (fields('"cancel": {"delete": true, "delete": false}'), ""),
    "cancel.method empty": (fields('"cancel": {"method": ""}'), "/cancel/method"),
    "cancel.method CONNECT": (fields('"cancel": {"method": "connect"}'), "/cancel/method"),
    "cancel.method number": (fields('"cancel": {"method": 1}'), "/cancel/method"),
    "cancel.url empty": (fields('"cancel": {"url": ""}'), "/cancel/url"),
    "cancel.url without scheme": (fields('"cancel": {"url": "/cancel"}'), "/cancel/url"),
    "cancel.url number": (fields('"cancel": {"url": 1}'), "/cancel/url"),
    "cancel.url placeholder unknown": (fields('"cancel": {"url": "{url}/{id}"}'), "/cancel/url"),
    "cancel.url placeholder in host": (fields('"cancel": {"url": "http://{uuid}.example/"}'), "/cancel/url"),
    "cancel.url url in the middle": (fields('"cancel": {"url": "http://a/{url}"}'), "/cancel/url"),
    "cancel.url host after url": (fields('"cancel": {"url": "{url}\\\\x"}'), "/cancel/url"),
    "cancel.headers a list": (fields('"cancel": {"headers": []}'), "/cancel/headers"),
    "cancel.headers number": (fields('"cancel": {"headers": {"a": "b", "x/y": 1}}'), "/cancel/headers/x~1y"),
    "cancel.headers HTQ": (fields('"cancel": {"headers": {"HTQ-Cancel": "x"}}'), "/cancel/headers/HTQ-Cancel"),
    "cancel.headers line break": (fields('"cancel": {"headers": {"a": "b\\r\\nc"}}'), "/cancel/headers/a"),
    "cancel.grace -1": (fields('"cancel": {"grace": -1}'), "/cancel/grace"),
    "cancel.grace 6": (fields('"cancel": {"grace": 6}'), "/cancel/grace"),
    "cancel.grace text": (fields('"cancel": {"grace": "1s"}'), "/cancel/grace"),
    "cancel.on_timeout number": (fields('"cancel": {"on_timeout": 1}'), "/cancel/on_timeout"),
    "timeout repeated": (fields('"timeout": {"idle": 1, "idle": 2}'), ""),
    "label repeated": (fields('"labels": {"a": "1", "a": "2"}'), ""),
    "data repeated": (fields('"data": {"a": "b:c"}, "data": "x"'), ""),
    "repeated name with a blank": (fields('"id": "a", "id" : "b"'), ""),
    "repeated name, colons in values": (fields('"id": "a:b", "id": ":"'), ""),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
async def test_a_bad_field_is_a_422_that_points_to_it(api: Api, name: str) -> None:
    body, pointer = BAD_FIELDS[name]
    answer = await api.post(body)
    assert (answer.status, answer.slug) == (422, "invalid-field"), answer.body
    assert answer.json["pointer"] == pointer
    assert len(answer.body) < 2000
    assert await stored(api) == 0


async def test_a_million_names_are_refused(api: Api) -> None:
    body = b"{" + b",".join(b'"n%d":0' % n for n in range(800_000)) + b"}"
    answer = await api.post(body)
    assert (answer.status, answer.slug) == (422, "invalid-field")


async def test_a_misspelled_field_is_guessed(api: Api) -> None:
    answer = await api.post(fields('"heders": {}'))
    assert "did you mean headers?" in answer.json["detail"]


@pytest.mark.parametrize(
    "more",
    [
        '"id": "url: \\"id\\": a::b"',
        '"data": {"url": "a", "id": {"id": ":"}}, "id": "data"',
        '"data": {"a": 1, "a": 2}',
        '"data": {"a": 1, "a": "\\u003a"}, "id": null, "cancel": {"url": "{url}/x", "method": "post"}',
        '"headers": {"url": "id:", "id": "url"}, "labels": {"id": ":"}',
    ],
)
async def test_names_that_stand_twice_in_different_places_are_no_repetition(api: Api, more: str) -> None:
    answer = await api.post(fields(more))
    assert answer.status == 303, answer.body


async def test_null_says_nothing(api: Api) -> None:
    optional = [name for name in Submission.__struct_fields__ if name != "url"]
    answer = await api.post({"url": "http://127.0.0.1:9/", **dict.fromkeys(optional)})
    assert answer.status == 303
    assert list(answer.json) == ["timeout", "status", "data", "headers", "url", "method", "uuid", "time"]


@pytest.mark.parametrize(
    "media",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=utf-16",
    ],
)
async def test_a_body_of_another_type_is_a_415_that_says_what_to_add(api: Api, media: str | None) -> None:
    headers = {} if media is None else {"Content-Type": media}
    answer = await api.ask("POST", "/", b'{"url": "http://127.0.0.1:9/"}', headers)
    assert (answer.status, answer.slug) == (415, "unsupported-media")
    assert "-H 'Content-Type: application/json'" in answer.json["detail"]
    assert await stored(api) == 0


@pytest.mark.parametrize(
    "media", ["application/json", "Application/JSON; charset=UTF-8", 'application/vnd.x+json;charset="utf-8"']
)
async def test_json_under_its_other_names_is_taken(api: Api, media: str) -> None:
    assert (await api.ask("POST", "/", b'{"url": "http://127.0.0.1:9/"}', {"Content-Type": media})).status == 303


async def test_a_compressed_body_is_a_415(api: Api) -> None:
    assert (await api.post(b"\x1f\x8b", {"Content-Encoding": "gzip"})).slug == "unsupported-media"
    assert (await api.post({"url": "http://127.0.0.1:9/"}, {"Content-Encoding": "identity"})).status == 303


async def test_a_body_above_the_limit_is_a_413(api: Api) -> None:
    assert (await api.post(b" " * (10 * 1024 * 1024 + 1))).slug == "too-large"
    assert (await api.post(b"{}", {"Content-Length": "10485761"})).slug == "too-large"
    assert (await api.post(b"{}", {"Content-Length": "9" * 5000})).slug == "too-large"


async def test_a_body_at_the_limit_is_taken(api: Api) -> None:
    body = fields('"data": "')[:-1]
    body += b"x" * (10 * 1024 * 1024 - len(body) - 2) + b'"}'
    answer = await api.post(body)
    assert answer.status == 303


BAD_QUERIES = (
    "limit=0",
    "limit=1001",
    "limit=-1",
    "limit=x",
    "limit=" + "9" * 5000,
    "limit=%D9%A1",
    "limit=1&limit=2",
    "since=yesterday",
    "until=-1",
    "cursor=x",
    "cursor=%00",
    "cursor=" + "x" * 5000,
    "status=finished",
    "status=",
    "filter=x",
    "queue=%ff",
    "queue=%00",
    "&".join(f"label.{n}=x" for n in range(100)),
)


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_a_bad_query_is_a_400(api: Api, query: str) -> None:
    answer = await api.ask("GET", f"/?{query}")
    assert (answer.status, answer.slug) == (400, "malformed")


async def test_an_unknown_parameter_is_a_400_everywhere(api: Api) -> None:
    uuid = await api.queue()
    for path in (f"/{uuid}/", f"/{uuid}/status/", "/queues/", "/openapi.json"):
        assert (await api.ask("GET", f"{path}?x=1")).slug == "malformed"
    assert (await api.ask("DELETE", f"/{uuid}/?status=queued")).slug == "malformed"
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "queued"}


@pytest.mark.parametrize("wait", ["-1", "x", "1.5", "", "1&wait=2", "%D9%A1"])
async def test_a_bad_wait_is_a_400(api: Api, wait: str) -> None:
    uuid = await api.queue()
    assert (await api.ask("GET", f"/{uuid}/response/?wait={wait}")).slug == "malformed"


@pytest.mark.parametrize(
    "prefer", ["", ",", "wait", "wait=", "wait=x", "wait=-1", 'wait="', "=", ";;", "wait=0x5", "\xff\xfe", "a" * 5000]
)
async def test_a_preference_that_makes_no_sense_is_passed_over(api: Api, prefer: str) -> None:
    answer = await api.post({"url": "http://127.0.0.1:9/"}, {"Prefer": prefer})
    assert answer.status == 303
    assert "preference-applied" not in answer.headers


async def test_verbs_that_are_not_done_are_405_with_allow(api: Api) -> None:
    uuid = await api.queue()
    for path, allow in {
        "/": "DELETE, GET, HEAD, OPTIONS, POST",
        f"/{uuid}/": "DELETE, GET, HEAD, OPTIONS, PATCH",
        f"/{uuid}/status/": "GET, HEAD, OPTIONS",
        f"/{uuid}/response/": "DELETE, GET, HEAD, OPTIONS",
        "/openapi.json": "GET, HEAD, OPTIONS",
    }.items():
        for verb in ("PUT", "TRACE", "BREW"):
            answer = await api.ask(verb, path)
            assert (answer.slug, answer.headers["allow"]) == ("method-not-allowed", allow)
        options = await api.ask("OPTIONS", path)
        assert (options.status, options.headers["allow"], options.body) == (204, allow, b"")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = st.sampled_from([*Submission.__struct_fields__, "nonsense"])
TASKS = st.fixed_dictionaries({"url": st.just("http://127.0.0.1:9/") | st.text() | JSON_VALUES}, optional={}).flatmap(
    lambda task: st.dictionaries(NAMES, JSON_VALUES, max_size=4).map(lambda more: {**more, **task})
)


POSTED = (
    st.binary(max_size=200)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | TASKS.map(lambda task: json.dumps(task).encode())
    | TASKS.map(lambda task: json.dumps(task, ensure_ascii=False).encode("utf-8", "surrogatepass"))
)


def test_whatever_is_posted_is_a_303_or_a_4xx(tmp_path: pathlib.Path) -> None:
    with asyncio.Runner() as runner:
        made = api_over_sqlite(tmp_path)
        api = runner.run(made.__aenter__())

        @given(body=POSTED)
        @settings(max_examples=400, deadline=None)
        def post(body: bytes) -> None:
            answer = runner.run(api.post(body))
            assert answer.status == 303 or answer.slug in ("malformed", "invalid-field"), (body, answer.body)

        try:
            post()
        finally:
            runner.run(made.__aexit__(None, None, None))


CANCELS = st.dictionaries(st.sampled_from([*CancelWish.__struct_fields__, "remove"]), JSON_VALUES, max_size=4)


def some_of(*shapes: type[msgspec.Struct], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with fields of these shapes and any values, or values that are meant for them."""
    names = [name for shape in shapes for name in shape.__struct_encode_fields__]
    plain = st.dictionaries(st.sampled_from([*names, "nonsense"]), JSON_VALUES, max_size=4)
    aimed = st.fixed_dictionaries({}, optional=more)
    return JSON_VALUES | st.tuples(plain, aimed).map(lambda pair: {**pair[0], **pair[1]})


RATES = st.lists(some_of(RateWish, limit=st.floats() | st.integers(), per=st.floats() | st.text()), max_size=3)
RETRIES = some_of(RetryWish, backoff=some_of(BackoffWish) | st.lists(JSON_VALUES), on=st.lists(JSON_VALUES))
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "retry": RETRIES,
    "callback": some_of(CallbackWish, url=st.just("http://127.0.0.1:9/")),
    "cancel": CANCELS,
    "timeout": some_of(TimeoutWish),
    "start_by": st.integers() | st.text(),
    "cost": st.dictionaries(st.text(), st.floats() | st.integers()),
}
WISHES = some_of(
    QueueWish,
    rate=RATES,
    per_key=some_of(LimitsWish, rate=RATES),
    breaker=some_of(BreakerWish),
    defaults=some_of(QueueDefaults, **PARTS),
)
CHANGES = some_of(ChangeWish, **PARTS)
LANES = some_of(LaneWish, rate=RATES, held_until=st.integers() | st.text())


def test_whatever_is_put_or_patched_is_a_200_or_a_4xx(tmp_path: pathlib.Path) -> None:
    with asyncio.Runner() as runner:
        made = api_over_sqlite(tmp_path)
        api = runner.run(made.__aenter__())
        uuid = runner.run(api.queue(delay=60, queue="b"))
        refused = ("malformed", "invalid-field")

        def say(verb: str, path: str, wish: object) -> None:
            body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
            answer = runner.run(api.ask(verb, path, body, JSON))
            assert answer.status == 200 or answer.slug in refused, (path, body, answer.body)

        @given(
            body=st.binary(max_size=100),
            wish=WISHES,
            change=CHANGES,
            lane=LANES,
            pause=some_of(PauseWish),
            cancel=CANCELS,
        )
        @settings(max_examples=100, deadline=None)
        def put(body: bytes, wish: object, change: object, lane: object, pause: object, cancel: object) -> None:
            say("PUT", "/queues/a/", body)
            say("PUT", "/queues/a/", wish)
            say("POST", "/queues/c/pause/", pause)
            say("PUT", "/queues/a/keys/b/", lane)
            say("PATCH", f"/{uuid}/", change)
            for path in ("/queues/", "/queues/a/keys/", f"/{uuid}/"):
                assert runner.run(api.ask("GET", path)).status == 200
            answer = runner.run(api.post({"url": "http://127.0.0.1:9/{uuid}", "queue": "a", "cancel": cancel}))
            assert answer.status == 303 or answer.slug in refused, (cancel, answer.body)

        try:
            put()
        finally:
            runner.run(made.__aexit__(None, None, None))


FILTERS = st.dictionaries(
    st.sampled_from(["status", "queue", "label.a", "since", "dry_run", "reason", "limit", "cursor", "tasks", "held"]),
    st.sampled_from(["queued", "1", "true", "a%ff", ""]) | st.text(st.characters(max_codepoint=127)),
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs.items()))


def test_whatever_path_and_query_are_asked_for_it_is_no_5xx(tmp_path: pathlib.Path) -> None:
    with asyncio.Runner() as runner:
        made = api_over_sqlite(tmp_path)
        api = runner.run(made.__aenter__())

        @given(
            method=st.sampled_from(["GET", "DELETE", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"]),
            path=st.text()
            | st.sampled_from(["", "queues/", "queues/a/", "queues/a/keys/", "retry/", "problems/", "openapi.json"])
            | st.text().map("queues/a/keys/{}".format),
            query=st.text(st.characters(max_codepoint=127)) | FILTERS,
        )
        @settings(max_examples=300, deadline=None)
        def ask(method: str, path: str, query: str) -> None:
            answer = runner.run(api.ask(method, f"/{path.replace('?', '')}?{query}"))
            assert answer.status < 500

        try:
            ask()
        finally:
            runner.run(made.__aexit__(None, None, None))
