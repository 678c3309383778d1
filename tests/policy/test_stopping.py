"""The request that tells a target to stop."""

import pytest

from htq.policy.stopping import cancel_link, check_template, stop_request
from htq.words.errors import InvalidField
from htq.words.task import Headers, Request, StopPolicy

UUID = "01a20a08-766b-7000-bc7b-c5d8b1b884e2"
HEADERS: Headers = (
    ("Authorization", "Bearer x"),
    ("Content-Type", "application/json"),
    ("If-Match", '"1"'),
    ("X-Api-Key", "k"),
    ("X-Tag", "7"),
)


def request(stop: StopPolicy | None = None) -> Request:
    return Request(url="http://a.test:81/job?x=1", method="post", headers=HEADERS, stop=stop or StopPolicy())


def names(headers: Headers) -> set[str]:
    return {name for name, _ in headers}


def test_by_default_it_is_a_delete_of_the_same_url() -> None:
    stop = stop_request(request(), UUID, 3)
    assert (stop.method, stop.url) == ("DELETE", "http://a.test:81/job?x=1")
    assert names(stop.headers) == {
        "Authorization",
        "X-Api-Key",
        "X-Tag",
        "User-Agent",
        "Idempotency-Key",
        "HTQ-Task-Id",
        "HTQ-Attempt",
        "HTQ-Cancel",
    }
    assert ("HTQ-Attempt", "3") in stop.headers


def test_a_template_names_the_task_and_the_attempt() -> None:
    stop = stop_request(request(StopPolicy(url="{url}/cancel/{uuid}?n={attempt}", method="POST")), UUID, 2)
    assert (stop.method, stop.url) == ("POST", f"http://a.test:81/job/cancel/{UUID}?n=2")
    assert "Authorization" in names(stop.headers)


def test_credentials_do_not_go_to_another_origin() -> None:
    stop = stop_request(request(StopPolicy(url="http://b.test/{uuid}")), UUID, 1)
    assert not names(stop.headers) & {"Authorization", "X-Api-Key"}
    assert "X-Tag" in names(stop.headers)


def test_its_own_headers_go_before_those_of_the_task() -> None:
    policy = StopPolicy(url="http://b.test/", headers=(("authorization", "Bearer b"), ("X-Tag", "8")))
    headers = stop_request(request(policy), UUID, 1).headers
    assert ("authorization", "Bearer b") in headers
    assert [value for name, value in headers if name == "X-Tag"] == ["8"]


def test_what_the_target_named_is_used_unless_the_caller_said_otherwise() -> None:
    link = "http://a.test:81/jobs/9"
    assert stop_request(request(), UUID, 1, link).url == link
    assert stop_request(request(StopPolicy(url="{url}")), UUID, 1, link).url == "http://a.test:81/job"


@pytest.mark.parametrize(
    "template",
    [
        "http://{uuid}.test/",
        "{uuid}",
        "http://a.test/{url}",
        "http://a.test/{id}",
        "ftp://a.test/",
        "http://a.test/#x",
        "http://user@a.test/{uuid}",
        "",
    ],
)
def test_a_template_that_can_be_no_url_is_refused_with_its_pointer(template: str) -> None:
    with pytest.raises(InvalidField) as raised:
        check_template(template, "http://a.test/job", "/cancel/url")
    assert raised.value.pointer == "/cancel/url"


@pytest.mark.parametrize("template", ["{url}", "{url}/cancel", "https://b.test/x/{uuid}/{attempt}?a={uuid}"])
def test_a_template_that_becomes_a_url_is_taken(template: str) -> None:
    check_template(template, "http://a.test/job?q", "/cancel/url")


@pytest.mark.parametrize(
    ("value", "link"),
    [
        ('</jobs/9>; rel="cancel"', "http://a.test:81/jobs/9"),
        ("<jobs/9>; rel=cancel", "http://a.test:81/jobs/9"),
        ('</a>; rel="next", </b>; title="x; rel=cancel"; rel="edit cancel"', "http://a.test:81/b"),
        ('<http://a.test:81/c>; REL="Cancel"', "http://a.test:81/c"),
        ('<http://evil.test/c>; rel="cancel"', None),
        ('<https://a.test:81/c>; rel="cancel"', None),
        ('<//b.test/c>; rel="cancel"', None),
        ("</c>; rel=canceled", None),
        ('</c>; title="x; rel=cancel"; rel=next', None),
        ("</c>; rel=next; rel=cancel", None),
        ("</c>", None),
        ('<http://[>; rel="cancel"', None),
        ('<http://[::1>; rel="cancel", </d>; rel="cancel"', "http://a.test:81/d"),
        ("rel=cancel", None),
        ("<" * 9000, None),
        ('<javascript:alert(1)>; rel="cancel"', None),
    ],
)
def test_a_cancel_link_is_taken_on_the_targets_own_origin_only(value: str, link: str | None) -> None:
    assert cancel_link((("Link", value),), "http://a.test:81/job?x=1") == link
