"""A stream is cut into the values that it holds, wherever its pieces begin and end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htq.api.splitting import ArraySplitter, LineSplitter, Piece, Splitter
from htq.words.errors import Malformed

_text = st.text(st.sampled_from('ab"\\[]{},:\n\u00e9 '), max_size=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)


def cut(splitter: Splitter, data: bytes, size: int) -> list[Piece]:
    def pieces() -> Iterator[Piece]:
        for start in range(0, len(data), size):
            yield from splitter.feed(data[start : start + size])
        yield from splitter.end()

    return list(pieces())


@given(st.lists(_json, max_size=5), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1]))
def test_the_members_of_an_array_come_whole(values: list[Any], size: int, ascii_only: bool, indent: int | None) -> None:
    data = b" \n" + json.dumps(values, ensure_ascii=ascii_only, indent=indent).encode() + b"\n"
    found = cut(ArraySplitter(10_000), data, size)
    assert [json.loads(piece or b"") for piece in found] == values


@given(
    st.lists(_json, max_size=5), st.integers(1, 9), st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"]), st.booleans()
)
def test_the_values_on_lines_come_whole(values: list[Any], size: int, end: bytes, last_ends: bool) -> None:
    data = end.join(json.dumps(value).encode() for value in values) + (end if last_ends else b"")
    found = cut(LineSplitter(10_000), data, size)
    assert [json.loads(piece or b"") for piece in found] == values


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_blank_lines_are_none(size: int) -> None:
    assert cut(LineSplitter(10), b"\n \r\n1\n\n2\r\n\t 3", size) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_value_above_the_limit_is_passed_over_and_the_next_one_is_not(size: int) -> None:
    large = b'{"a": "' + b"x" * 100 + b'"}'
    assert cut(ArraySplitter(20), b"[1," + large + b",2]", size) == [b"1", None, b"2"]
    assert cut(LineSplitter(20), b"1\n" + large + b"\n2", size) == [b"1", None, b"2"]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("data", "found"), [(b"[]", []), (b"[ \n]", []), (b"[1,]", [b"1", b""]), (b"[,1]", [b"", b"1"])]
)
def test_an_empty_place_is_a_member_only_beside_a_comma(data: bytes, found: list[bytes], size: int) -> None:
    assert cut(ArraySplitter(10), data, size) == found


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"url": "x"}', "not a JSON array"),
        (b"[1, {", "within item 1, which begins at byte 3"),
        (b'["a', "within item 0, which begins at byte 1"),
        (b'["\\', "within item 0"),
        (b"[1] 2", "before byte 4"),
        (b"[1]]", "before byte 3"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_array_is_told_with_its_place(data: bytes, said: str, size: int) -> None:
    with pytest.raises(Malformed, match=said):
        cut(ArraySplitter(10_000), data, size)
