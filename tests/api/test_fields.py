"""What a caller may say of a new task: every good value is kept and shown, every bad one is pointed to."""

import json
from typing import Any

import pytest

from htq.stores.base import Filter
from htq.usecases import Submission
from htq.words.callback import Callback
from htq.words.retry import RetryPolicy
from htq.words.states import STATES
from htq.words.task import Task
from support.api import JSON, Answer, Api

URL = "http://127.0.0.1:9/"
HOOK = "http://127.0.0.1:9/hook"


async def stored(api: Api, **fields: Any) -> Task:
    uuid = await api.queue(**fields)
    (task,) = await api.store.get([uuid])
    assert task is not None
    return task


async def shown(api: Api, **fields: Any) -> dict[str, Any]:
    """What the 303 shows of a task, which is what every other view of it does."""
    posted = (await api.post({"url": URL, **fields})).json
    got = (await api.ask("GET", f"/{posted['uuid']}/")).json
    page = (await api.ask("GET", "/?status=queued,scheduled")).json
    (listed,) = (task for task in page if task["uuid"] == posted["uuid"])
    del listed["links"]
    assert posted == got == listed
    return dict(posted)


async def count(api: Api) -> int:
    return len((await api.store.list_tasks(Filter(statuses=STATES), None, 1000)).tasks)


# --- what is kept and shown -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        (5, RetryPolicy(max=5)),
        (0, RetryPolicy(max=0)),
        ({"max": 5}, RetryPolicy(max=5)),
        ({}, RetryPolicy(max=3)),
        ({"backoff": [0.1, "1s", 1]}, RetryPolicy(max=3, delays=(0.1, 1.0, 1.0))),
        ({"backoff": {"base": "2s", "jitter": False}}, RetryPolicy(max=3, base=2.0, jitter=False)),
        (
            {"on": [503, "5xx", "timeout"], "max_elapsed": 60},
            RetryPolicy(max=3, on=("503", "5xx", "timeout"), max_elapsed=60),
        ),
    ],
)
async def test_a_retry_policy_is_stored(api: Api, said: object, policy: RetryPolicy) -> None:
    assert (await stored(api, retry=said)).request.retry == policy


async def test_a_retry_policy_is_shown_without_what_is_usual(api: Api) -> None:
    said = {"max": 2, "backoff": {"base": 2, "max": 60}, "on": [503, "5xx", "dns"], "max_elapsed": 60}
    assert (await shown(api, retry=said))["retry"] == said
    assert (await shown(api, retry=2))["retry"] == {"max": 2}
    assert (await shown(api, retry={"backoff": ["1s", 5]}))["retry"] == {"max": 2, "backoff": [1, 5]}


async def test_what_limits_its_time_is_stored_and_shown(api: Api) -> None:
    now = api.clock.now_ms()
    view = await shown(api, start_by="10m", deadline="PT1H", delay="1m")
    assert (view["run_at"], view["start_by"], view["deadline"]) == (now + 60_000, now + 600_000, now + 3_600_000)
    view = await shown(api, start_by=now + 1, deadline="2030-01-31T12:00:00Z")
    assert (view["start_by"], view["deadline"]) == (now + 1, 1_896_091_200_000)


async def test_costs_group_and_callback_are_stored_and_shown(api: Api) -> None:
    fields = {
        "cost": {"tokens": 1200, "usd": 0.5},
        "cost_from": {"tokens": "/usage/total_tokens", "usd": "X-Cost"},
        "group": "nightly:2027-01-15",
        "callback": {"url": HOOK, "on": ["error", "timeout"], "include": "body", "queue": "hooks"},
    }
    view = await shown(api, **fields)
    assert {name: view[name] for name in fields} == fields
    task = await stored(api, **fields)
    assert (task.cost, task.group) == (fields["cost"], fields["group"])
    assert task.request.cost_from == fields["cost_from"]
    assert task.request.callback == Callback(
        url=HOOK, on=("error", "timeout"), include="body", queue="hooks", source="http://localhost:5000"
    )


async def test_a_callback_may_be_an_address_alone(api: Api) -> None:
    assert (await stored(api, callback=HOOK)).request.callback == Callback(url=HOOK, source="http://localhost:5000")
    assert (await shown(api, callback=HOOK))["callback"] == {"url": HOOK}


async def test_debounce_is_a_wait_that_begins_anew_with_each_newer_request(api: Api) -> None:
    first = await stored(api, id="a", debounce="5s")
    assert first.run_at == api.clock.now_ms() + 5000
    api.clock.advance(3)
    second = await stored(api, id="a", debounce=5)
    assert second.run_at == api.clock.now_ms() + 5000
    assert (await api.ask("GET", f"/{first.uuid}/status/")).json == {"status": "canceled"}
    assert (await stored(api, id="a", debounce=0, on_conflict="cancel_previous")).state in ("queued", "scheduled")


async def test_what_was_not_said_is_not_shown(api: Api) -> None:
    new = {"retry", "start_by", "deadline", "cost", "cost_from", "group", "callback", "failures", "run_at"}
    assert not new & (await shown(api)).keys()


async def test_a_queues_word_holds_where_the_task_has_none(api: Api) -> None:
    defaults = {
        "retry": 2,
        "timeout": 5,
        "callback": HOOK,
        "start_by": "10m",
        "headers": {"X-A": "1"},
        "labels": {"a": "b"},
    }
    answer = await put(api, "mail", {"defaults": defaults})
    assert answer.status == 200, answer.body
    view = await shown(api, queue="mail", labels={"c": "d"})
    assert (view["retry"], view["timeout"], view["headers"]) == ({"max": 2}, 5, {"X-A": "1"})
    assert view["callback"] == {"url": HOOK}
    assert view["start_by"] == api.clock.now_ms() + 600_000
    assert view["labels"] == {"a": "b", "c": "d"}
    view = await shown(api, queue="mail", retry=0, timeout=6)
    assert (view["retry"], view["timeout"]) == ({"max": 0}, 6)
    assert "retry" not in await shown(api)


async def put(api: Api, name: str, wish: object) -> Answer:
    return await api.ask("PUT", f"/queues/{name}/", json.dumps(wish).encode(), JSON)


# --- what is refused ------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"retry": -1}, "/retry"),
    ({"retry": 1001}, "/retry"),
    ({"retry": 1.5}, "/retry"),
    ({"retry": True}, "/retry"),
    ({"retry": "5"}, "/retry"),
    ({"retry": [1]}, "/retry"),
    ({"retry": 10**30}, "/retry"),
    ({"retry": {"max": -1}}, "/retry/max"),
    ({"retry": {"max": True}}, "/retry/max"),
    ({"retry": {"max": "5"}}, "/retry/max"),
    ({"retry": {"max": 1e308}}, "/retry/max"),
    ({"retry": {"max": 10**400}}, "/retry/max"),
    ({"retry": {"maximum": 1}}, "/retry/maximum"),
    ({"retry": {"backoff": 1}}, "/retry/backoff"),
    ({"retry": {"backoff": "1s"}}, "/retry/backoff"),
    ({"retry": {"backoff": []}}, "/retry/backoff"),
    ({"retry": {"backoff": [1] * 101}}, "/retry/backoff"),
    ({"retry": {"backoff": [1, True]}}, "/retry/backoff/1"),
    ({"retry": {"backoff": [1, None]}}, "/retry/backoff/1"),
    ({"retry": {"backoff": [[1]]}}, "/retry/backoff/0"),
    ({"retry": {"backoff": [1, -1]}}, "/retry/backoff/1"),
    ({"retry": {"backoff": [1, 1e308]}}, "/retry/backoff/1"),
    ({"retry": {"backoff": ["soon"]}}, "/retry/backoff/0"),
    ({"retry": {"backoff": {"base": -1}}}, "/retry/backoff/base"),
    ({"retry": {"backoff": {"base": True}}}, "/retry/backoff/base"),
    ({"retry": {"backoff": {"base": 10**400}}}, "/retry/backoff/base"),
    ({"retry": {"backoff": {"factor": 0.5}}}, "/retry/backoff/factor"),
    ({"retry": {"backoff": {"factor": 1e308}}}, "/retry/backoff/factor"),
    ({"retry": {"backoff": {"factor": "2"}}}, "/retry/backoff/factor"),
    ({"retry": {"backoff": {"max": "x"}}}, "/retry/backoff/max"),
    ({"retry": {"backoff": {"jitter": 1}}}, "/retry/backoff/jitter"),
    ({"retry": {"backoff": {"jitters": True}}}, "/retry/backoff/jitters"),
    ({"retry": {"on": 503}}, "/retry/on"),
    ({"retry": {"on": "5xx"}}, "/retry/on"),
    ({"retry": {"on": [503] * 101}}, "/retry/on"),
    ({"retry": {"on": [503, "6xx"]}}, "/retry/on/1"),
    ({"retry": {"on": [True]}}, "/retry/on/0"),
    ({"retry": {"on": [503.5]}}, "/retry/on/0"),
    ({"retry": {"on": [{}]}}, "/retry/on/0"),
    ({"retry": {"on": [10**400]}}, "/retry/on/0"),
    ({"retry": {"on": ["nonsense"]}}, "/retry/on/0"),
    ({"retry": {"max_elapsed": 0}}, "/retry/max_elapsed"),
    ({"retry": {"max_elapsed": []}}, "/retry/max_elapsed"),
    ({"start_by": 1.5}, "/start_by"),
    ({"start_by": True}, "/start_by"),
    ({"start_by": 5}, "/start_by"),
    ({"start_by": -1}, "/start_by"),
    ({"start_by": 10**400}, "/start_by"),
    ({"start_by": "soon"}, "/start_by"),
    ({"start_by": "0s"}, "/start_by"),
    ({"start_by": {}}, "/start_by"),
    ({"start_by": "2020-01-01T00:00:00Z"}, "/start_by"),
    ({"start_by": "1m", "delay": "1h"}, "/start_by"),
    ({"start_by": "11y"}, "/start_by"),
    ({"start_by": "9999d"}, "/start_by"),
    ({"deadline": "2020-01-01T00:00:00Z"}, "/deadline"),
    ({"deadline": "1h", "run_at": "2030-01-31T12:00:00Z"}, "/deadline"),
    ({"deadline": 60}, "/deadline"),
    ({"deadline": True}, "/deadline"),
    ({"deadline": []}, "/deadline"),
    ({"debounce": 5}, "/debounce"),
    ({"id": "a", "debounce": -1}, "/debounce"),
    ({"id": "a", "debounce": True}, "/debounce"),
    ({"id": "a", "debounce": "x"}, "/debounce"),
    ({"id": "a", "debounce": 1e308}, "/debounce"),
    ({"id": "a", "debounce": 5, "delay": 1}, "/debounce"),
    ({"id": "a", "debounce": 5, "run_at": 1}, "/debounce"),
    ({"id": "a", "debounce": 5, "on_conflict": "reject"}, "/debounce"),
    ({"on_conflict": "reject"}, "/on_conflict"),
    ({"id": "a", "on_conflict": "replace"}, "/on_conflict"),
    ({"id": "a", "on_conflict": 1}, "/on_conflict"),
    ({"cost": 5}, "/cost"),
    ({"cost": []}, "/cost"),
    ({"cost": {"tokens": 0}}, "/cost/tokens"),
    ({"cost": {"tokens": -1}}, "/cost/tokens"),
    ({"cost": {"a": 1, "tokens": True}}, "/cost/tokens"),
    ({"cost": {"tokens": "5"}}, "/cost/tokens"),
    ({"cost": {"tokens": 1e13}}, "/cost/tokens"),
    ({"cost": {"tokens": 10**400}}, "/cost/tokens"),
    ({"cost": {"tokens": None}}, "/cost/tokens"),
    ({"cost": {"": 1}}, "/cost"),
    ({"cost": {"a b": 1}}, "/cost/a b"),
    ({"cost": {f"u{n}": 1 for n in range(17)}}, "/cost"),
    ({"cost_from": "x"}, "/cost_from"),
    ({"cost_from": {"tokens": 1}}, "/cost_from/tokens"),
    ({"cost_from": {"tokens": ""}}, "/cost_from/tokens"),
    ({"cost_from": {"tokens": "a b"}}, "/cost_from/tokens"),
    ({"cost_from": {"a/b": "/~2"}}, "/cost_from/a~1b"),
    ({"cost_from": {"tokens": "/a" * 33}}, "/cost_from/tokens"),
    ({"group": ""}, "/group"),
    ({"group": "a/b"}, "/group"),
    ({"group": "a b"}, "/group"),
    ({"group": "x" * 129}, "/group"),
    ({"group": 1}, "/group"),
    ({"group": "a\n"}, "/group"),
    ({"callback": ""}, "/callback"),
    ({"callback": "ftp://a/"}, "/callback"),
    ({"callback": "http://127.1/"}, "/callback"),
    ({"callback": 1}, "/callback"),
    ({"callback": True}, "/callback"),
    ({"callback": []}, "/callback"),
    ({"callback": {}}, "/callback/url"),
    ({"callback": {"url": None}}, "/callback/url"),
    ({"callback": {"url": "/x"}}, "/callback/url"),
    ({"callback": {"url": "http://a:b@c/"}}, "/callback/url"),
    ({"callback": {"url": HOOK, "on": []}}, "/callback/on"),
    ({"callback": {"url": HOOK, "on": "error"}}, "/callback/on"),
    ({"callback": {"url": HOOK, "on": ["error", "failed"]}}, "/callback/on/1"),
    ({"callback": {"url": HOOK, "on": [1]}}, "/callback/on/0"),
    ({"callback": {"url": HOOK, "include": "all"}}, "/callback/include"),
    ({"callback": {"url": HOOK, "include": True}}, "/callback/include"),
    ({"callback": {"url": HOOK, "queue": "a/b"}}, "/callback/queue"),
    ({"callback": {"url": HOOK, "secret": "x"}}, "/callback/secret"),
    ({"cancel": {"between": 1}}, "/cancel/between"),
    ({"cancel": {"between": "yes"}}, "/cancel/between"),
]


@pytest.mark.parametrize(("fields", "pointer"), BAD, ids=lambda value: str(value)[:60])
async def test_a_bad_value_is_a_422_that_points_to_it(api: Api, fields: dict[str, Any], pointer: str) -> None:
    answer = await api.post({"url": URL, **fields})
    assert (answer.status, answer.slug, answer.json["pointer"]) == (422, "invalid-field", pointer), answer.body
    assert len(answer.body) < 1000
    assert answer.json["detail"].endswith((".", "?"))
    assert await count(api) == 0


@pytest.mark.parametrize("text", ['"retry": NaN', '"cost": {"a": Infinity}', '"deadline": -Infinity'])
async def test_what_is_no_json_number_is_a_400(api: Api, text: str) -> None:
    assert (await api.post(f'{{"url": "{URL}", {text}}}'.encode())).slug == "malformed"


NONSENSE: list[Any] = [
    True,
    -1,
    1.5,
    1e308,
    10**30,
    10**400,
    "",
    "5",
    "\u0000",
    [],
    [[]],
    [{}],
    {},
    {"": None},
    {"a": {"b": []}},
]


@pytest.mark.parametrize("name", [name for name in Submission.__struct_fields__ if name not in ("url", "data")])
async def test_no_value_of_a_field_is_a_500(api: Api, name: str) -> None:
    for value in NONSENSE:
        answer = await api.post({"url": URL, name: value})
        assert answer.status == 303 or answer.slug == "invalid-field", (value, answer.body)
        if answer.status == 422:
            assert answer.json["pointer"].startswith(f"/{name}"), (value, answer.body)


async def test_a_repeated_name_inside_of_a_field_is_refused(api: Api) -> None:
    body = f'{{"url": "{URL}", "retry": {{"max": 1, "max": 2}}}}'.encode()
    assert (await api.post(body)).json["pointer"] == ""
