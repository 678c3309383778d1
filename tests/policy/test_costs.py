"""What a task has really cost, as its answer says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htq.policy.costs import MAX_BODY, actual_costs, looks_into_body

BODY = json.dumps(
    {
        "usage": {"total_tokens": 1200, "a/b": 1, "m~n": 2, "": 3, "cost": 0.25, "text": "7", "flag": True, "no": -1},
        "choices": [{"tokens": 5}, {"tokens": 6}],
        "0": 8,
    }
).encode()


@pytest.mark.parametrize(
    ("pointer", "cost"),
    [
        ("/usage/total_tokens", 1200),
        ("/usage/cost", 0.25),
        ("/usage/a~1b", 1),
        ("/usage/m~0n", 2),
        ("/usage/", 3),
        ("/choices/1/tokens", 6),
        ("/0", 8),
        ("/choices/01/tokens", None),
        ("/choices/-/tokens", None),
        ("/choices/2/tokens", None),
        ("/choices/x/tokens", None),
        ("/choices/²/tokens", None),
        ("/usage", None),
        ("/usage/text", None),
        ("/usage/flag", None),
        ("/usage/no", None),
        ("/missing/deep", None),
        ("/usage/total_tokens/x", None),
        ("/" + "/".join("a" * 100), None),
    ],
)
def test_a_pointer_leads_to_a_number_or_to_nothing(pointer: str, cost: float | None) -> None:
    assert actual_costs({"tokens": pointer}, (), BODY) == (None if cost is None else {"tokens": cost})


@pytest.mark.parametrize(
    ("value", "cost"),
    [("1200", 1200), (" 0.5 ", 0.5), ("0", 0), ("-1", None), ("many", None), ("NaN", None), ("1e99", None), ("", None)],
)
def test_a_header_holds_a_number_or_nothing(value: str, cost: float | None) -> None:
    costs = actual_costs({"tokens": "X-Tokens-Used"}, (("x-tokens-used", value),), None)
    assert costs == (None if cost is None else {"tokens": cost})


def test_each_unit_has_its_own_source_and_what_is_missing_is_left_out() -> None:
    sources = {"tokens": "/usage/total_tokens", "credits": "X-Credits", "other": "X-Other"}
    assert actual_costs(sources, (("X-Credits", "3"),), BODY) == {"tokens": 1200, "credits": 3}


@pytest.mark.parametrize(
    "body", [None, b"", b"no json", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"a": 1', b'{"a": 1} x', b"7"]
)
def test_a_body_that_is_none_says_nothing(body: bytes | None) -> None:
    assert actual_costs({"tokens": "/a"}, (), body) is None


def test_a_body_is_looked_into_up_to_its_bound() -> None:
    fits = b'{"a": 1, "b": "' + b"x" * (MAX_BODY - 17) + b'"}'
    assert len(fits) == MAX_BODY
    assert actual_costs({"tokens": "/a"}, (), fits) == {"tokens": 1}
    assert actual_costs({"tokens": "/a"}, (), fits + b" ") is None


def test_only_a_pointer_needs_the_body() -> None:
    assert looks_into_body({"a": "X-A", "b": "/b"})
    assert not looks_into_body({"a": "X-A"})


@given(pointer=st.text("/~01ab", max_size=12), body=st.binary(max_size=30))
def test_whatever_comes_is_a_number_or_nothing(pointer: str, body: bytes) -> None:
    costs = actual_costs({"tokens": "/" + pointer}, (), body)
    assert costs is None or costs["tokens"] >= 0
