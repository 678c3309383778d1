"""Lists, queues, envelopes, guards, and what the API says about itself."""

import base64
import gzip
import pathlib
import zlib
from typing import Any

import pytest

from htq.api.problems import INTERNAL, PROBLEMS, problem_type
from htq.api.routes import ROUTES
from htq.api.settings import ApiSettings
from htq.words import errors
from support.api import Api, api_over_sqlite


async def uuids(api: Api, query: str) -> list[str]:
    answer = await api.ask("GET", f"/?{query}")
    assert answer.status == 200, answer.body
    return [task["uuid"] for task in answer.json]


async def test_lists_filter_by_what_a_task_says(api: Api) -> None:
    mail = await api.queue(queue="mail", key="tenant", labels={"team": "a"}, id="mine", url="http://localhost:9/x")
    other = await api.queue()
    for query in ("queue=mail", "key=tenant", "label.team=a", "id=mine", "host=LOCALHOST"):
        assert await uuids(api, query) == [mail]
    assert await uuids(api, "queue=mail&key=other") == []
    assert await uuids(api, f"since={api.clock.now_ms() + 1}") == []
    assert await uuids(api, f"until={api.clock.now_ms() + 1}&limit=1") == [mail]
    assert await uuids(api, "") == [mail, other]


async def test_the_bare_list_has_only_what_is_queued_and_due(api: Api) -> None:
    done = await api.queue()
    await api.complete()
    later = await api.queue(delay=60)
    queued = await api.queue()
    assert await uuids(api, "") == [queued]
    assert await uuids(api, "status=scheduled") == [later]
    assert await uuids(api, "status=success,scheduled&status=queued") == [done, later, queued]


async def test_a_large_body_is_left_out_of_lists_and_says_so(api: Api) -> None:
    data = "x" * 10_000
    uuid = await api.queue(data=data)
    (listed,) = (await api.ask("GET", "/")).json
    assert (listed["data"], listed["data_omitted"]) == (None, 10_000)
    assert (await api.ask("GET", f"/{uuid}/")).json["data"] == data


async def test_queues_are_counted(api: Api) -> None:
    assert (await api.ask("GET", "/queues/default/")).json["queued"] == 0
    assert (await api.ask("GET", "/queues/mail/")).slug == "not-found"
    await api.queue(queue="mail")
    await api.queue(queue="mail", delay=60)
    queue = (await api.ask("GET", "/queues/mail/")).json
    assert (queue["name"], queue["scheduled"], queue["queued"], queue["pending"]) == ("mail", 1, 1, 0)
    assert (await api.ask("GET", "/queues/")).json == [queue]


async def envelope(api: Api, body: bytes, *headers: tuple[str, str]) -> dict[str, Any]:
    await api.queue()
    uuid = await api.complete(body, headers=headers)
    answer = await api.ask("GET", f"/{uuid}/response/")
    assert answer.status == 200
    result: dict[str, Any] = answer.json
    return result


@pytest.mark.parametrize(
    ("body", "media", "text"),
    [
        ("é".encode(), "text/plain", "é"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("é".encode("utf-16"), 'text/plain; charset="UTF-16"', "é"),
        (b"\x00a", "application/octet-stream", "\x00a"),
        (b"", "image/png", ""),
        ("é".encode("latin-1"), "text/plain", None),
        (b"\xff", "text/plain; charset=us-ascii", None),
        (b"abc", "text/plain; charset=punycode", "abc"),
        (b"\xd8\x00", "text/plain; charset=utf-16be", None),
    ],
)
async def test_text_is_text_in_its_charset_and_all_else_base64(
    api: Api, body: bytes, media: str, text: str | None
) -> None:
    result = await envelope(api, body, ("Content-Type", media))
    assert result["data"] == text
    assert result.get("data_base64") == (None if text is not None else base64.b64encode(body).decode())


async def test_compressed_text_is_decoded_for_the_envelope(api: Api) -> None:
    for coding, packed in (("gzip", gzip.compress(b"hello")), ("deflate", zlib.compress(b"hello"))):
        assert (await envelope(api, packed, ("Content-Encoding", coding)))["data"] == "hello"
    bare = zlib.compressobj(wbits=-15)
    assert (await envelope(api, bare.compress(b"hello") + bare.flush(), ("content-encoding", "deflate")))[
        "data"
    ] == "hello"


async def test_what_cannot_be_decoded_comes_as_it_came(api: Api) -> None:
    bomb = gzip.compress(bytes(8_000_000))
    for body, coding in (
        (bomb, "gzip"),
        (b"not gzip", "gzip"),
        (b"x", "br"),
        (gzip.compress(b"a")[:-3], "gzip"),
        (b"x", "gzip, gzip"),
    ):
        result = await envelope(api, body, ("Content-Encoding", coding))
        assert result["data"] is None
        assert base64.b64decode(result["data_base64"]) == body


async def test_a_response_beside_the_record_comes_whole(api: Api) -> None:
    body = bytes(range(256)) * 800
    assert base64.b64decode((await envelope(api, body))["data_base64"]) == body


async def test_duplicate_headers_are_joined_and_kept(api: Api) -> None:
    result = await envelope(api, b"", ("Via", "a"), ("VIA", "b"), ("Set-Cookie", "c"))
    assert result["headers"] == {"Via": "a, b", "Set-Cookie": "c"}
    assert result["header_list"] == [["Via", "a"], ["VIA", "b"], ["Set-Cookie", "c"]]


async def test_credentials_are_not_shown(api: Api) -> None:
    uuid = await api.queue(headers={"Authorization": "canary", "X-Api-Key": "canary", "Accept": "text/plain"})
    for path in ("/", f"/{uuid}/"):
        answer = await api.ask("GET", path)
        assert b"canary" not in answer.body
        assert b'"Accept":"text/plain"' in answer.body


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2", "[::2]"])
async def test_a_foreign_host_is_a_421(api: Api, host: str) -> None:
    answer = await api.ask("GET", "/", headers={"Host": host})
    assert (answer.status, answer.slug) == (421, "foreign-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:5000", "[::1]:5000", "localhost.:5000"])
async def test_loopback_names_are_answered_to(api: Api, host: str) -> None:
    assert (await api.ask("GET", "/", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://localhost:5000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
async def test_a_page_of_another_origin_cannot_queue(api: Api, headers: dict[str, str]) -> None:
    answer = await api.post({"url": "http://127.0.0.1:9/"}, headers)
    assert (answer.status, answer.slug) == (403, "foreign-origin")
    assert await uuids(api, "") == []


async def test_pages_of_our_own_and_links_from_elsewhere_are_served(api: Api) -> None:
    own = {"Origin": "http://localhost:5000", "Sec-Fetch-Site": "same-origin"}
    assert (await api.post({"url": "http://127.0.0.1:9/"}, own)).status == 303
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await api.ask("GET", "/", headers=link)).status == 200


async def test_links_begin_with_the_public_url(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, ApiSettings(public_url="https://queue.example/htq/")) as api:
        answer = await api.post({"url": "http://127.0.0.1:9/"}, {"Host": "queue.example"})
        assert answer.headers["location"].startswith("https://queue.example/htq/0")
        origin = {"Host": "queue.example", "Origin": "https://queue.example"}
        assert (await api.post({"url": "http://127.0.0.1:9/"}, origin)).status == 303


async def test_any_host_is_taken_where_none_is_named(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, ApiSettings(allowed_hosts=None)) as api:
        assert (await api.ask("GET", "/", headers={"Host": "any.example"})).status == 200
        assert (await api.ask("GET", "/", headers={"Host": 'a"><script>'})).slug == "malformed"


async def test_nothing_is_to_be_kept_by_a_cache(api: Api) -> None:
    uuid = await api.queue()
    for method, path in (("GET", "/"), ("GET", f"/{uuid}/"), ("GET", f"/{uuid}/cancel/"), ("DELETE", f"/{uuid}/")):
        assert (await api.ask(method, path)).headers["cache-control"] == "no-store"


async def test_the_etag_is_the_version(api: Api) -> None:
    uuid = await api.queue()
    before = (await api.ask("GET", f"/{uuid}/")).headers["etag"]
    await api.claim()
    assert (await api.ask("GET", f"/{uuid}/")).headers["etag"] != before


async def test_a_store_that_is_away_is_a_503_with_retry_after(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(items: object) -> Any:
        raise errors.StoreUnavailable("The store is away.", 2.5)

    uuid = await api.queue()
    for gatherer in ("_enqueue", "_get", "_states", "_cancel"):
        monkeypatch.setattr(getattr(api.service, gatherer), "_verb", away)
    for answer in (
        await api.post({"url": "http://127.0.0.1:9/"}),
        await api.ask("GET", f"/{uuid}/"),
        await api.ask("GET", f"/{uuid}/response/"),
        await api.ask("DELETE", f"/{uuid}/"),
    ):
        assert (answer.status, answer.slug, answer.headers["retry-after"]) == (503, "store-unavailable", "3")


async def test_what_nobody_foresaw_is_told_to_the_log_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Any:
        raise KeyError("a secret")

    monkeypatch.setattr(api.store, "stats", broken)
    answer = await api.ask("GET", "/queues/")
    assert (answer.status, answer.slug) == (500, "internal")
    assert b"secret" not in answer.body
    assert "a secret" in caplog.text


def test_every_error_of_the_tree_has_its_code() -> None:
    tree = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.RequestError)]
    assert len(tree) > 8
    for cls in (*tree, errors.StoreUnavailable):
        if cls is not errors.RequestError:
            assert cls in PROBLEMS
    assert problem_type(errors.SessionLost("x")) is INTERNAL
    assert len({kind.slug for kind in PROBLEMS.values()}) == len(PROBLEMS)


async def test_each_type_of_problem_leads_to_its_meaning(api: Api) -> None:
    listed = (await api.ask("GET", "/problems/")).json
    assert len(listed) == len(PROBLEMS) + 1
    for kind in listed:
        assert (await api.ask("GET", kind["type"])).json == kind
    assert (await api.ask("GET", "/problems/unheard-of")).slug == "not-found"


async def test_the_openapi_document_has_every_route_and_every_error(api: Api) -> None:
    document = (await api.ask("GET", "/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {*(route.path for route in ROUTES), "/openapi.json"}
    for route in ROUTES:
        item = document["paths"][route.path]
        assert {verb.upper() for verb in item} - {"SUMMARY", "PARAMETERS"} == set(route.allow)
        for verb, operation in route.verbs.items():
            statuses = {str(answer.status) for answer in operation.answers}
            statuses |= {str(PROBLEMS[error].status) for error in operation.errors}
            assert statuses <= set(item[verb.lower()]["responses"])
    text = str(document)
    assert all(f"type {kind.uri}" in text for kind in (*PROBLEMS.values(), INTERNAL))


async def test_the_openapi_document_holds_together(api: Api) -> None:
    document = (await api.ask("GET", "/openapi.json")).json
    seen: set[str] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                found: Any = document
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
            if "operationId" in node:
                assert node["operationId"] not in seen
                seen.add(node["operationId"])
                assert node["responses"]
                assert all(response.get("description") or "$ref" in response for response in node["responses"].values())
            if node.get("in") == "path":
                assert node["required"] is True
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert len(seen) > 20
    assert document["components"]["schemas"]["Submission"]["required"] == ["url"]
