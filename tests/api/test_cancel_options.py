"""How a target is told of a cancel: a task's word over its queue's, and that over the server's."""

import json
import pathlib
from typing import Any

import pytest

from htq.stores.base import QueueSettings
from htq.usecases import ServiceSettings
from htq.words.task import StopPolicy
from support.api import JSON, Answer, Api, api_over_sqlite

URL = "http://127.0.0.1:9/work"
EVERYTHING = {
    "delete": True,
    "method": "post",
    "url": "{url}/cancel?task={uuid}&attempt={attempt}",
    "headers": {"X-Why": "canceled", "Authorization": "Bearer canary"},
    "grace": 0.5,
    "on_timeout": True,
    "between": True,
}


async def put(api: Api, name: str, wish: object) -> Answer:
    body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    return await api.ask("PUT", f"/queues/{name}/", body, JSON)


async def policy(api: Api, **fields: Any) -> StopPolicy:
    """What is stored with a new task."""
    uuid = await api.queue(**fields)
    (task,) = await api.store.get([uuid])
    assert task is not None
    return task.request.stop


# --- of a task ------------------------------------------------------------------------------------


async def test_every_option_is_stored_with_the_task(api: Api) -> None:
    assert await policy(api, cancel=EVERYTHING) == StopPolicy(
        delete=True,
        method="POST",
        url="{url}/cancel?task={uuid}&attempt={attempt}",
        headers=(("X-Why", "canceled"), ("Authorization", "Bearer canary")),
        grace=0.5,
        on_timeout=True,
        between=True,
    )


async def test_the_policy_is_shown_without_its_credentials_and_without_what_is_usual(api: Api) -> None:
    posted = await api.post({"url": URL, "cancel": EVERYTHING})
    shown = {**EVERYTHING, "headers": {"X-Why": "canceled", "Authorization": "[redacted]"}}
    del shown["delete"]
    uuid = posted.json["uuid"]
    for view in (posted.json, (await api.ask("GET", f"/{uuid}/")).json, (await api.ask("GET", "/")).json[0]):
        assert view["cancel_policy"] == shown
    for cancel in (None, {}, {"delete": True, "method": "DELETE", "grace": 2}):
        assert "cancel_policy" not in (await api.post({"url": URL, "cancel": cancel})).json
    assert (await api.post({"url": URL, "cancel": {"delete": False}})).json["cancel_policy"] == {"delete": False}


async def test_grace_may_be_none_at_all_or_five_seconds(api: Api) -> None:
    assert (await policy(api, cancel={"grace": 0})).grace == 0
    assert (await policy(api, cancel={"grace": 5})).grace == 5


async def test_a_url_may_hold_the_uuid_in_path_and_query(api: Api) -> None:
    posted = (await api.post({"url": "http://127.0.0.1:9/a/{uuid}/{other}?id={uuid}&x={attempt}"})).json
    uuid = posted["uuid"]
    assert posted["url"] == f"http://127.0.0.1:9/a/{uuid}/{{other}}?id={uuid}&x={{attempt}}"
    assert (await api.claim()).request.url == posted["url"]
    posted = (await api.post({"url": "http://127.0.0.1:9?{uuid}"})).json
    assert posted["url"] == f"http://127.0.0.1:9?{posted['uuid']}"


@pytest.mark.parametrize(
    "url",
    ["http://{uuid}.example/", "http://{uuid}/", "http://a:{uuid}/", "{uuid}://a/", "http://a.example{uuid}", "{uuid}"],
)
async def test_a_uuid_elsewhere_in_the_url_is_refused(api: Api, url: str) -> None:
    answer = await api.post({"url": url})
    assert (answer.status, answer.json["pointer"]) == (422, "/url")


async def test_a_url_that_becomes_too_long_is_refused(api: Api) -> None:
    url = "http://127.0.0.1:9/" + "{uuid}" * 1000
    assert len(url) < 8190
    answer = await api.post({"url": url})
    assert (answer.status, answer.json["pointer"]) == (422, "/url")


# --- of a queue -----------------------------------------------------------------------------------


async def test_a_put_answers_with_the_queue_and_a_get_shows_the_same(api: Api) -> None:
    answer = await put(api, "mail", {"defaults": {"cancel": {**EVERYTHING, "headers": {"X-Api-Key": "canary"}}}})
    assert answer.status == 200
    assert answer.json == {
        "name": "mail",
        "scheduled": 0,
        "queued": 0,
        "pending": 0,
        "oldest_queued_at": None,
        "oldest_age": None,
        "paused": False,
        "defaults": {"cancel": {**EVERYTHING, "headers": {"X-Api-Key": "[redacted]"}}},
        "links": {
            "self": "http://localhost:5000/queues/mail/",
            "keys": "http://localhost:5000/queues/mail/keys/",
        },
    }
    assert (await api.ask("GET", "/queues/mail")).json == answer.json
    assert (await api.ask("GET", "/queues/")).json == [answer.json]
    await api.queue(queue="mail")
    again = await put(api, "mail", {"defaults": {"cancel": {"delete": False}}})
    assert (again.json["queued"], again.json["defaults"]) == (1, {"cancel": {"delete": False}})


async def test_a_queue_with_settings_and_no_requests_is_there_until_they_are_taken_back(api: Api) -> None:
    assert (await api.ask("GET", "/queues/mail/")).status == 404
    assert (await put(api, "mail", {"defaults": {"cancel": {}}})).json["defaults"] == {"cancel": {}}
    assert (await api.ask("GET", "/queues/mail/")).status == 200
    nothings: tuple[object, ...] = ({}, {"defaults": None}, {"defaults": {}}, {"defaults": {"cancel": None}})
    for nothing in nothings:
        answer = await put(api, "mail", nothing)
        assert (answer.status, answer.json["defaults"]) == (200, {})
        assert (await api.ask("GET", "/queues/mail/")).status == 404
        assert (await api.ask("GET", "/queues/")).json == []


async def test_a_queues_defaults_hold_for_tasks_that_say_nothing_else(api: Api) -> None:
    await put(api, "mail", {"defaults": {"cancel": {"delete": False, "url": "{url}/stop", "grace": 1}}})
    of_queue = StopPolicy(delete=False, url="{url}/stop", grace=1)
    assert await policy(api, queue="mail") == of_queue
    assert await policy(api, queue="mail", cancel={"delete": True, "grace": 3}) == StopPolicy(url="{url}/stop", grace=3)
    assert await policy(api, queue="other") == StopPolicy()
    assert await policy(api) == StopPolicy()


async def test_the_default_queue_has_defaults_too(api: Api) -> None:
    await put(api, "default", {"defaults": {"cancel": {"on_timeout": True}}})
    assert await policy(api) == StopPolicy(on_timeout=True)
    assert await policy(api, queue="default") == StopPolicy(on_timeout=True)


async def test_a_task_keeps_what_held_when_it_was_accepted(api: Api) -> None:
    await put(api, "mail", {"defaults": {"cancel": {"delete": False}}})
    uuid = await api.queue(queue="mail")
    await put(api, "mail", {})
    assert (await api.ask("GET", f"/{uuid}/")).json["cancel_policy"] == {"delete": False}
    assert await policy(api, queue="mail") == StopPolicy()


async def test_a_queue_that_leaves_delete_open_leaves_it_to_the_server(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, service_settings=ServiceSettings(cancel_delete="post")) as api:
        await put(api, "mail", {"defaults": {"cancel": {"grace": 1}}})
        assert (await api.ask("GET", "/queues/mail/")).json["defaults"] == {"cancel": {"grace": 1}}
        assert await policy(api, queue="mail", method="post") == StopPolicy(delete=True, grace=1)
        assert await policy(api, queue="mail", method="get") == StopPolicy(delete=False, grace=1)
        assert await policy(api, queue="mail", cancel={"delete": True}) == StopPolicy(delete=True, grace=1)
        assert await policy(api, method="get", cancel={"grace": 1}) == StopPolicy(delete=False, grace=1)
        await put(api, "mail", {"defaults": {"cancel": {"delete": True}}})
        assert await policy(api, queue="mail", method="get") == StopPolicy()


async def test_a_queues_template_that_does_not_fit_a_task_is_said_of_its_url(api: Api) -> None:
    await put(api, "mail", {"defaults": {"cancel": {"url": "{url}/cancel"}}})
    long = "http://127.0.0.1:9/" + "x" * 8165
    assert (await api.post({"url": long})).status == 303
    answer = await api.post({"url": long, "queue": "mail"})
    assert (answer.status, answer.json["pointer"]) == (422, "/url")
    assert (await api.post({"url": long, "queue": "mail", "cancel": {"url": URL}})).status == 303


BAD_QUEUES = {
    "a list": (b"[]", ""),
    "unknown field": ({"default": {}}, "/default"),
    "unknown default": ({"defaults": {"cancle": {}}}, "/defaults/cancle"),
    "unknown option": ({"defaults": {"cancel": {"remove": True}}}, "/defaults/cancel/remove"),
    "defaults a list": ({"defaults": []}, "/defaults"),
    "cancel a boolean": ({"defaults": {"cancel": False}}, "/defaults/cancel"),
    "delete text": ({"defaults": {"cancel": {"delete": "no"}}}, "/defaults/cancel/delete"),
    "method": ({"defaults": {"cancel": {"method": "GET /"}}}, "/defaults/cancel/method"),
    "url": ({"defaults": {"cancel": {"url": "/cancel"}}}, "/defaults/cancel/url"),
    "placeholder": ({"defaults": {"cancel": {"url": "{url}/{id}"}}}, "/defaults/cancel/url"),
    "header": ({"defaults": {"cancel": {"headers": {"HTQ-Cancel": "x"}}}}, "/defaults/cancel/headers/HTQ-Cancel"),
    "header a number": ({"defaults": {"cancel": {"headers": {"a/b": 1}}}}, "/defaults/cancel/headers/a~1b"),
    "header redacted": (
        {"defaults": {"cancel": {"headers": {"X-Key": "[redacted]"}}}},
        "/defaults/cancel/headers/X-Key",
    ),
    "grace": ({"defaults": {"cancel": {"grace": 5.1}}}, "/defaults/cancel/grace"),
    "on_timeout": ({"defaults": {"cancel": {"on_timeout": 1}}}, "/defaults/cancel/on_timeout"),
    "repeated name": (b'{"defaults": {"cancel": {"delete": true, "delete": false}}}', ""),
    "repeated name, escaped": (b'{"defaults": {}, "d\\u0065faults": {}}', ""),
}


@pytest.mark.parametrize("name", BAD_QUEUES)
async def test_what_cannot_be_said_of_a_queue_is_a_422_that_points_to_it(api: Api, name: str) -> None:
    wish, pointer = BAD_QUEUES[name]
    answer = await put(api, "mail", wish)
    assert (answer.status, answer.slug, answer.json["pointer"]) == (422, "invalid-field", pointer)
    assert "url is missing" not in answer.json["detail"]
    assert await api.store.queues() == {}


async def test_a_queue_is_put_as_json(api: Api) -> None:
    assert (await put(api, "mail", b"")).slug == "malformed"
    assert (await put(api, "mail", b"\xff")).slug == "malformed"
    assert (await put(api, "mail", b'{"defaults": ' * 100_000)).slug in ("malformed", "invalid-field")
    assert (await api.ask("PUT", "/queues/mail/", b"{}")).slug == "unsupported-media"
    assert (await put(api, "mail", b" " * (10 * 1024 * 1024 + 1))).slug == "too-large"
    assert (await api.ask("PUT", "/queues/mail/?x=1", b"{}", JSON)).slug == "malformed"


@pytest.mark.parametrize("name", ["-x", "a b", "ä", "a\n", "x" * 65])
async def test_what_is_no_name_of_a_queue_is_a_404(api: Api, name: str) -> None:
    assert (await put(api, name, {})).slug == "not-found"
    assert await api.store.queues() == {}


# --- how much it costs ----------------------------------------------------------------------------


async def test_posts_share_one_read_a_second(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    plain = api.store.queues

    async def counted() -> dict[str, QueueSettings]:
        nonlocal reads
        reads += 1
        return await plain()

    monkeypatch.setattr(api.store, "queues", counted)
    for _ in range(20):
        await api.queue()
    assert reads == 1
    api.clock.advance(0.9)
    await api.queue()
    assert reads == 1
    api.clock.advance(0.2)
    await api.queue()
    assert reads == 2


async def test_what_another_server_put_holds_within_a_second(api: Api) -> None:
    assert await policy(api) == StopPolicy()
    await api.store.put_queue("default", QueueSettings(stop=StopPolicy(grace=1)))
    api.clock.advance(1)
    assert await policy(api) == StopPolicy(grace=1)


async def test_a_put_holds_at_once_even_if_a_read_was_under_way(api: Api) -> None:
    known = api.service._known
    before = await api.store.queues()

    class Late:
        """A store whose read was overtaken by a write."""

        async def queues(self) -> dict[str, QueueSettings]:
            await put(api, "default", {"defaults": {"cancel": {"grace": 1}}})
            return before

        put_queue = api.store.put_queue

    known._store = Late()  # type: ignore[assignment]
    assert await known.read() == {}
    known._store = api.store
    assert await policy(api) == StopPolicy(grace=1)


async def test_the_delete_of_each_attempt_is_shown(api: Api) -> None:
    uuid = await api.queue()
    claim = await api.claim()
    await api.ask("DELETE", f"/{uuid}/")
    (attempt,) = (await api.ask("GET", f"/{uuid}/attempts/")).json
    assert attempt["attempt"] == claim.attempt
    assert attempt["delete"] == {"state": "owed", "code": None, "tries": 0, "elapsed_ms": None}
