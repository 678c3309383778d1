"""A stream of JSON values, cut into the bytes of each as they come: lines (NDJSON), or the members of one array.

Nothing is decoded here. A splitter keeps no more than one value that is not complete, and of one that is larger than its
limit nothing at all; no byte is looked at twice.
"""

import re
from collections.abc import Iterator
from typing import Final, Protocol

from htq.words.errors import Malformed

__all__ = ["ArraySplitter", "LineSplitter", "Piece", "Splitter"]

Piece = bytes | None
"""One value; None: it is larger than the limit."""

_SPACE: Final = b" \t\r\n"


class Splitter(Protocol):
    """Cuts what it is fed."""

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The values that are complete with `data`. Raises `Malformed`, after which nothing more can be had."""
        ...

    def end(self) -> Iterator[Piece]:
        """What is complete now that nothing more comes. Raises `Malformed` where it breaks off."""
        ...


class LineSplitter:
    """One value a line. Blank lines are passed over, and the last one needs no end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Piece]:
        first, *lines = data.split(b"\n")
        self._keep(first)
        if not lines:
            return
        yield from self._cut()
        last = lines.pop()
        # Most lines are whole here, and of those that are empty there can be very many.
        for line in filter(None, lines):
            if len(line) > self._limit:
                yield None
            elif text := line.strip(_SPACE):
                yield text
        self._keep(last)

    def end(self) -> Iterator[Piece]:
        yield from self._cut()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            self._kept.append(part)
        else:
            self._kept.clear()

    def _cut(self) -> Iterator[Piece]:
        if self._size > self._limit:
            yield None
        elif text := b"".join(self._kept).strip(_SPACE):
            yield text
        self._kept.clear()
        self._size = 0


# Up to the next bracket or comma, over whole strings; and up to the end of a string. Possessive: nothing is tried again.
_PLAIN: Final = re.compile(rb'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_NESTED: Final = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_STRING: Final = re.compile(rb"[^\"\\]*+(?:\\.[^\"\\]*+)*+", re.DOTALL)
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")

_OPEN: Final = b"[{"
_QUOTE: Final = b'"'[0]
_COMMA: Final = b","[0]
_DEEPEST: Final = 1000
"""Brackets inside of each other: more than any reader of JSON takes."""


class ArraySplitter:
    """The members of one array. It counts brackets and minds strings; whether a member is JSON, its reader sees."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0
        self._depth = 0
        """0: before the array; 1: in it; more: in a member."""
        self._in_string = False
        self._over = False
        self._members = 0
        self._seen = 0
        """Bytes of what was fed before."""
        self._begins = 0
        """Where the member that is open begins."""
        self._rest = b""
        """Half an escape, fed again with what follows."""

    def feed(self, data: bytes) -> Iterator[Piece]:
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = start = self._enter(data) if self._depth == 0 else 0
        while at < len(data) and not self._over:
            if self._in_string:
                at = _STRING.match(data, at).end()  # type: ignore[union-attr]
                if at < len(data):
                    if data[at] != _QUOTE:  # a backslash with nothing behind it yet
                        self._rest = data[at:]
                        data = data[:at]
                        break
                    self._in_string = False
                    at += 1
                continue
            at = (_PLAIN if self._depth == 1 else _NESTED).match(data, at).end()  # type: ignore[union-attr]
            if at == len(data):
                break
            char = data[at]
            if char == _QUOTE:  # of a string that is not complete
                self._in_string = True
            elif char in _OPEN:
                self._depth += 1
                if self._depth > _DEEPEST:
                    raise Malformed(f"Item {self._members}, which begins at byte {self._begins}, is nested too deeply.")
            elif char == _COMMA or self._depth == 1:
                yield from self._member(data, start, at, last=char != _COMMA)
                start = at + 1
                self._begins = self._seen + start
            else:
                self._depth -= 1
            at += 1
        if self._over:
            self._check_after(data, at)
        elif self._depth:
            self._keep(data[start:] if start else data)
        self._seen += len(data)

    def end(self) -> Iterator[Piece]:
        if self._depth == 0:
            raise Malformed("The body is empty: send an array of requests, or one request a line.")
        if not self._over:
            raise Malformed(f"The array ends within item {self._members}, which begins at byte {self._begins}.")
        yield from ()

    def _enter(self, data: bytes) -> int:
        """Behind the bracket that begins the array; the end where there is nothing yet."""
        at = _BLANK.match(data).end()  # type: ignore[union-attr]
        if at == len(data):
            return at
        if data[at : at + 1] != b"[":
            raise Malformed(
                "The body is not a JSON array: send one, or one request a line with Content-Type: application/x-ndjson."
            )
        self._depth = 1
        self._begins = self._seen + at + 1
        return at + 1

    def _member(self, data: bytes, start: int, end: int, *, last: bool) -> Iterator[Piece]:
        self._keep(data[start:end])
        large = self._size > self._limit
        text = b"".join(self._kept).strip(_SPACE)
        if large:
            yield None
        elif text or not last or self._members:
            yield text
        self._members += 1
        self._kept.clear()
        self._size = 0
        self._over = last

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            self._kept.append(part)
        else:
            self._kept.clear()

    def _check_after(self, data: bytes, at: int) -> None:
        found = _BLANK.match(data, at)
        if found is not None and found.end() < len(data):
            raise Malformed(f"The array ends before byte {self._seen + found.end()}, and something follows it.")
