"""The seed's contract on this side of the queue, and each of its defects that lie here."""

import asyncio
import base64
import json

import pytest

from support.api import Api


async def test_post_answers_303_with_an_absolute_location(api: Api) -> None:
    answer = await api.post({"url": "http://127.0.0.1:9/ip"})
    assert answer.status == 303
    assert answer.headers["location"] == f"http://localhost:5000/{answer.json['uuid']}/"


async def test_a_request_has_the_seeds_fields_in_their_order(api: Api) -> None:
    uuid = await api.queue()
    answer = await api.ask("GET", f"/{uuid}/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["timeout", "status", "data", "headers", "url", "method", "uuid", "time"]
    assert answer.json == {
        "timeout": 60,
        "status": "queued",
        "data": None,
        "headers": {},
        "url": "http://127.0.0.1:9/work",
        "method": "get",
        "uuid": uuid,
        "time": api.clock.now_ms(),
    }
    assert b'"timeout":60,' in answer.body


async def test_a_request_links_to_response_self_and_status(api: Api) -> None:
    uuid = await api.queue()
    base = f"http://localhost:5000/{uuid}/"
    links = (await api.ask("GET", f"/{uuid}/")).headers["link"].split(", ")
    assert links[:3] == [
        f'<{base}response/>; rel="response"',
        f'<{base}>; rel="self"',
        f'<{base}status/>; rel="status"',
    ]
    assert f'<{base}response/>; rel="urn:htq:rel:response"' in links


async def test_the_body_of_a_post_is_what_a_get_shows(api: Api) -> None:
    posted = await api.post(
        {"url": "http://127.0.0.1:9/", "data": {"n": 1}, "labels": {"a": "b"}, "delay": 60, "id": "x"}
    )
    shown = await api.ask("GET", f"/{posted.json['uuid']}/")
    assert shown.json == posted.json


async def test_a_method_defaults_to_post_where_data_is_given(api: Api) -> None:
    given: tuple[object, ...] = ("", "x", {}, [])
    for data in given:
        uuid = await api.queue(data=data)
        assert (await api.ask("GET", f"/{uuid}/")).json["method"] == "post"


async def test_status_is_light(api: Api) -> None:
    uuid = await api.queue()
    assert (await api.ask("GET", f"/{uuid}/status/")).body == b'{"status":"queued"}'


async def test_a_response_has_the_seeds_envelope(api: Api) -> None:
    uuid = await api.queue()
    await api.complete(b'{\n "origin": "127.0.0.1"\n}', headers=(("Content-Type", "application/json"), ("Age", "0")))
    answer = await api.ask("GET", f"/{uuid}/response/")
    assert answer.status == 200
    assert answer.json == {
        "status": "success",
        "time": api.clock.now_ms(),
        "code": 200,
        "reason": "OK",
        "elapsed": 79.81,
        "uuid": uuid,
        "headers": {"Content-Type": "application/json", "Age": "0"},
        "data": '{\n "origin": "127.0.0.1"\n}',
        "header_list": [["Content-Type", "application/json"], ["Age", "0"]],
    }
    base = f"http://localhost:5000/{uuid}/"
    links = answer.headers["link"].split(", ")
    assert links[:2] == [f'<{base}>; rel="request"', f'<{base}response/>; rel="self"']
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "success"}


async def test_success_is_a_response_whatever_its_code(api: Api) -> None:
    uuid = await api.queue()
    await api.complete(code=500)
    envelope = (await api.ask("GET", f"/{uuid}/response/")).json
    assert (envelope["status"], envelope["code"]) == ("success", 500)


@pytest.mark.parametrize(("reason", "status"), [("total", "timeout"), ("connect", "error")])
async def test_a_failure_has_a_message_and_no_code(api: Api, reason: str, status: str) -> None:
    uuid = await api.queue()
    await api.complete(code=None, reason=reason)
    failure = (await api.ask("GET", f"/{uuid}/response/")).json
    assert failure["status"] == status
    assert failure["message"] == "It went wrong."
    assert failure["error"] == reason
    assert failure["time"] == api.clock.now_ms()
    assert "code" not in failure


async def test_a_failure_that_has_an_answer_says_both(api: Api) -> None:
    """Its retries are used up: the last answer is kept, its phrase in `reason` as ever."""
    uuid = await api.queue(retry=0)
    await api.complete(b"sorry", code=503, reason="status")
    envelope = (await api.ask("GET", f"/{uuid}/response/")).json
    assert (envelope["status"], envelope["code"], envelope["reason"]) == ("error", 503, "OK")
    assert (envelope["error"], envelope["message"]) == ("status", "It went wrong.")
    assert (envelope["data"], envelope["headers"]) == ("sorry", {"Content-Type": "text/plain"})
    assert (await api.ask("GET", f"/{uuid}/")).json["reason"] == envelope["error"]


async def test_the_response_blocks_until_it_is_there(api: Api) -> None:
    uuid = await api.queue()
    waiting = asyncio.create_task(api.ask("GET", f"/{uuid}/response/"))
    await api.clock.pass_when_slept_on(0)  # its safety net is up, so it waits
    assert not waiting.done()
    await api.complete(b"at last")
    assert (await waiting).json["data"] == "at last"


async def test_delete_cancels_with_204_and_the_response_is_the_empty_object(api: Api) -> None:
    uuid = await api.queue()
    answer = await api.ask("DELETE", f"/{uuid}/")
    assert (answer.status, answer.body) == (204, b"")
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "canceled"}
    response = await api.ask("GET", f"/{uuid}/response/")
    assert (response.status, response.body) == (200, b"{}")
    assert (await api.ask("DELETE", f"/{uuid}/")).status == 204


async def test_a_cancel_of_a_finished_request_deletes_its_response(api: Api) -> None:
    uuid = await api.queue()
    await api.complete()
    await api.ask("DELETE", f"/{uuid}/")
    assert (await api.ask("GET", f"/{uuid}/response/")).json == {}


async def test_a_cancel_while_pending_shows_at_once(api: Api) -> None:
    uuid = await api.queue()
    claim = await api.claim()
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "pending"}
    await api.ask("DELETE", f"/{uuid}/")
    assert (await api.ask("GET", f"/{uuid}/response/")).json == {}
    await api.finish(claim, b"too late")
    assert (await api.ask("GET", f"/{uuid}/response/")).json == {}


async def test_a_cancel_wakes_who_waits_for_the_response(api: Api) -> None:
    uuid = await api.queue()
    await api.claim()
    waiting = asyncio.create_task(api.ask("GET", f"/{uuid}/response/"))
    await api.clock.pass_when_slept_on(0)
    await api.ask("DELETE", f"/{uuid}/")
    assert (await waiting).json == {}


async def test_a_deleted_response_is_gone_and_the_request_is_not(api: Api) -> None:
    uuid = await api.queue()
    await api.complete()
    assert (await api.ask("DELETE", f"/{uuid}/response/")).status == 204
    assert (await api.ask("DELETE", f"/{uuid}/response/")).slug == "not-found"
    assert (await api.ask("GET", f"/{uuid}/response/")).slug == "not-found"
    assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "success"}


async def test_a_missing_url_is_422_and_names_the_field(api: Api) -> None:
    answer = await api.post({})
    assert (answer.status, answer.slug) == (422, "invalid-field")
    assert answer.json["pointer"] == "/url"


async def test_a_json_body_that_is_no_object_is_no_500(api: Api) -> None:
    for body in (b"null", b"[]", b'"x"', b"3", b"true"):
        answer = await api.post(body)
        assert (answer.status, answer.slug) == (422, "invalid-field"), body


async def test_a_new_request_with_the_same_id_cancels_the_earlier_one_over_http(api: Api) -> None:
    first = await api.queue(id="report")
    second = await api.queue(id="report")
    assert (await api.ask("GET", f"/{first}/status/")).json == {"status": "canceled"}
    assert (await api.ask("GET", f"/{first}/cancel/")).json["reason"] == "superseded"
    assert (await api.ask("GET", f"/{second}/")).json["id"] == "report"


async def test_two_posts_at_once_with_one_id_leave_one_alive(api: Api) -> None:
    uuids = await asyncio.gather(*(api.queue(id="only") for _ in range(20)))
    statuses = [(await api.ask("GET", f"/{uuid}/status/")).json["status"] for uuid in uuids]
    assert sorted(statuses) == ["canceled"] * 19 + ["queued"]


async def test_binary_bodies_survive_both_ways(api: Api) -> None:
    blob = bytes(range(256)) * 40
    encoded = base64.b64encode(blob).decode()
    uuid = await api.queue(data_base64=encoded)
    shown = (await api.ask("GET", f"/{uuid}/")).json
    assert shown["data"] is None
    assert shown["data_base64"] == encoded
    claim = await api.claim()
    await api.finish(claim, blob, headers=(("Content-Type", "image/png"),))
    envelope = (await api.ask("GET", f"/{uuid}/response/")).json
    assert envelope["data"] is None
    assert base64.b64decode(envelope["data_base64"]) == blob


async def test_data_goes_out_byte_for_byte(api: Api) -> None:
    raw = b'{"big": 12345678901234567890123, "exact": 1.10, "e": 1e400, "nul": "\\u0000"}'
    answer = await api.post(b'{"url": "http://127.0.0.1:9/", "data": ' + raw + b"}")
    assert answer.status == 303
    assert raw in (await api.ask("GET", f"/{answer.json['uuid']}/")).body
    assert (await api.claim()).body == raw


async def test_a_string_goes_out_as_utf8(api: Api) -> None:
    await api.queue(data="Grüße, 世界")
    assert (await api.claim()).body == "Grüße, 世界".encode()


async def test_the_list_comes_in_pages_oldest_first(api: Api) -> None:
    uuids = [await api.queue() for _ in range(103)]
    found: list[str] = []
    target, sizes = "/", []
    while target:
        page = await api.ask("GET", target)
        assert page.status == 200
        sizes.append(len(page.json))
        found += [task["uuid"] for task in page.json]
        links = {rel: url for url, rel in (link.split("; rel=") for link in page.headers["link"].split(", "))}
        assert links['"self"'] == f"<http://localhost:5000{target}>"
        target = links.get('"next"', "").strip("<>").removeprefix("http://localhost:5000")
    assert found == uuids
    assert sizes == [100, 3]


async def test_the_list_has_each_request_with_its_links(api: Api) -> None:
    uuid = await api.queue()
    (task,) = (await api.ask("GET", "/")).json
    base = f"http://localhost:5000/{uuid}/"
    assert task["links"] == {"self": base, "status": f"{base}status/", "response": f"{base}response/"}
    assert (task["uuid"], task["status"], task["timeout"]) == (uuid, "queued", 60)


async def test_head_is_get_without_its_body(api: Api) -> None:
    uuid = await api.queue()
    await api.complete()
    for path in ("/", f"/{uuid}/", f"/{uuid}/status/", f"/{uuid}/response/", "/queues/", "/openapi.json"):
        get, head = await api.ask("GET", path), await api.ask("HEAD", path)
        assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


async def test_with_and_without_the_last_slash_is_the_same(api: Api) -> None:
    uuid = await api.queue()
    for path in (f"/{uuid}", f"/{uuid}/status", f"/{uuid}/attempts", "/queues", "/queues/default"):
        with_slash = await api.ask("GET", f"{path}/")
        assert with_slash.status == 200
        assert await api.ask("GET", path) == with_slash


async def test_an_unknown_request_is_404_everywhere(api: Api) -> None:
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    for path in ("", "status/", "response/", "cancel/", "attempts/"):
        assert (await api.ask("GET", f"/{unknown}/{path}")).slug == "not-found"
    assert (await api.ask("DELETE", f"/{unknown}/")).slug == "not-found"
    assert (await api.ask("DELETE", f"/{unknown}/response/")).slug == "not-found"
    for name in ("00000000-0000-0000-0000-000000000000", "x", "٠١٨٩٠a5d-ac96-774b-bcce-b302099a8057", "a/b/c/d", "/"):
        assert (await api.ask("GET", f"/{name}/")).slug == "not-found"


async def test_a_uuid_in_upper_case_is_the_same_request(api: Api) -> None:
    uuid = await api.queue()
    assert (await api.ask("GET", f"/{uuid.upper()}/")).json["uuid"] == uuid


async def test_ours_stand_only_where_they_say_something(api: Api) -> None:
    uuid = await api.queue(
        queue="mail", key="tenant", priority=9, labels={"a": "b"}, delivery="at_most_once", redirects=2, delay=90
    )
    shown = (await api.ask("GET", f"/{uuid}/")).json
    assert json.loads(json.dumps({name: shown[name] for name in list(shown)[8:]})) == {
        "queue": "mail",
        "key": "tenant",
        "priority": 9,
        "labels": {"a": "b"},
        "run_at": api.clock.now_ms() + 90_000,
        "delivery": "at_most_once",
        "redirects": 2,
    }
    assert shown["status"] == "queued"
