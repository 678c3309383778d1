"""Header fields and methods: what a caller may set, and what goes out."""

import msgspec
import pytest

from htq import __version__
from htq.policy.fields import (
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    attempt_headers,
    check_headers,
    check_method,
    is_credential,
    joined,
    request_headers,
    stop_headers,
)
from htq.words.errors import InvalidField
from htq.words.task import Request

UUID = "01890000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("given", "sent"),
    [("get", "GET"), ("Post", "POST"), ("M-SEARCH", "M-SEARCH"), ("x!#$%&'*+.^_`|~", "X!#$%&'*+.^_`|~")],
)
def test_a_method_goes_out_in_upper_case(given: str, sent: str) -> None:
    assert check_method(given) == sent


@pytest.mark.parametrize(
    "method", ["", " ", "GET ", "GE T", "GET\r\n", "G\0", "CONNECT", "trace", "caf\xe9", "(x)", "a" * 33]
)
def test_a_method_that_is_no_token_is_refused(method: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_method(method)
    assert caught.value.pointer == "/method"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "CONTENT-LENGTH",
        "transfer-encoding",
        "Transfer_Encoding",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Expect",
        "Proxy-Authorization",
        "proxy_connection",
        "HTQ-Cancel",
        "htq_task_id",
        "webhook-id",
        "Webhook_Signature",
    ],
)
def test_the_senders_own_headers_are_refused(name: str) -> None:
    with pytest.raises(InvalidField) as caught:
        request_headers({name: "x"})
    assert caught.value.pointer == f"/headers/{name}"


@pytest.mark.parametrize("name", ["", " X", "X ", "X:", "X Y", "X\r\nY", "X\0", "caf\xe9", "\u212aey", "(x)", "X\t"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        request_headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nb", "a\nb", "a\rb", "a\r\n b", "\0", "\x01", "\x1b", "\x7f", "\u20ac", "\ud800"]
)
def test_a_value_that_would_break_out_is_refused(value: str) -> None:
    with pytest.raises(InvalidField) as caught:
        request_headers({"X-Foo": value})
    assert caught.value.pointer == "/headers/X-Foo"


def test_values_may_hold_tabs_quotes_and_latin_1() -> None:
    given = {"X": '\ta "quoted" caf\xe9 \xff', "Y": ""}
    assert request_headers(given) == tuple(given.items())


def test_the_pointer_is_escaped() -> None:
    with pytest.raises(InvalidField) as caught:
        request_headers({"a/b~c d": "x"})
    assert caught.value.pointer == "/headers/a~1b~0c d"


def test_names_that_differ_in_case_are_joined_under_the_first() -> None:
    given = {"X-A": "1", "Cookie": "a=1", "x-a": "2", "X-B": "3", "cookie": "b=2"}
    assert request_headers(given) == (("X-A", "1, 2"), ("Cookie", "a=1; b=2"), ("X-B", "3"))


def test_joined_fields_of_a_response_keep_the_first_spelling() -> None:
    assert joined((("Via", "a"), ("via", "b"), ("X", "1"))) == {"Via": "a, b", "X": "1"}


def test_a_list_keeps_order_case_and_duplicates() -> None:
    given = (("X-A", "1"), ("x-a", "2"))
    assert check_headers(given) == given


def test_number_and_size_are_bounded() -> None:
    assert len(request_headers({f"X-{n}": "y" for n in range(MAX_FIELDS)})) == MAX_FIELDS
    with pytest.raises(InvalidField) as caught:
        request_headers({f"X-{n}": "y" for n in range(100_000)})
    assert caught.value.pointer == "/headers"
    with pytest.raises(InvalidField):
        request_headers({"X": "y" * MAX_FIELD_BYTES})


def request(**changes: object) -> Request:
    return msgspec.structs.replace(Request(url="http://a/", method="POST"), **changes)


def test_an_attempt_says_which_it_is_and_fills_in_what_is_open() -> None:
    headers = attempt_headers(request(headers=(("X-A", "1"), ("x-a", "2")), body_kind="json"), UUID, 3)
    assert headers == (
        ("X-A", "1"),
        ("x-a", "2"),
        ("Content-Type", "application/json"),
        ("User-Agent", f"htq/{__version__}"),
        ("Accept-Encoding", "identity"),
        ("Idempotency-Key", f'"{UUID}"'),
        ("HTQ-Task-Id", UUID),
        ("HTQ-Attempt", "3"),
    )


def test_what_the_caller_set_stands() -> None:
    mine = (("content-type", "a/b"), ("USER-AGENT", "me"), ("accept-encoding", "gzip"), ("idempotency-key", "k"))
    headers = attempt_headers(request(headers=mine, body_kind="json"), UUID, 1)
    assert headers == (*mine, ("HTQ-Task-Id", UUID), ("HTQ-Attempt", "1"))


@pytest.mark.parametrize("kind", ["none", "text", "bytes"])
def test_only_a_json_body_gets_a_content_type(kind: str) -> None:
    names = [name for name, _ in attempt_headers(request(body_kind=kind), UUID, 1)]
    assert "Content-Type" not in names


def test_the_delete_carries_nothing_of_a_body_and_a_key_of_its_own() -> None:
    dropped = (
        "Content-Type",
        "content-digest",
        "Digest",
        "Repr-Digest",
        "RANGE",
        "If-Match",
        "if-none-match",
        "Accept-Encoding",
        "Idempotency-Key",
    )
    kept = (("Authorization", "Bearer x"), ("Cookie", "a"), ("X-Tenant", "t"), ("Accept", "*/*"))
    headers = stop_headers(request(headers=(*((name, "v") for name in dropped), *kept), body_kind="json"), UUID, 2)
    assert headers == (
        *kept,
        ("User-Agent", f"htq/{__version__}"),
        ("Idempotency-Key", f'"{UUID}:cancel"'),
        ("HTQ-Task-Id", UUID),
        ("HTQ-Attempt", "2"),
        ("HTQ-Cancel", "requested"),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("authorization", True),
        ("Cookie", True),
        ("X-Api-Key", True),
        ("X-Auth-Token", True),
        ("client-SECRET", True),
        ("Proxy-Authorization", True),
        ("webhook-signature", True),
        ("Idempotency-Key", False),
        ("Accept", False),
        ("Keyboard", False),
    ],
)
def test_what_counts_as_a_credential(name: str, expected: bool) -> None:
    assert is_credential(name) is expected
