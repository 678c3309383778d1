"""The answer to a batch: an item for each of its items, kept outside of the memory until all of it can be sent.

A caller doesn't read while he sends, and an answer to as much as a batch may hold is too large to be held in memory.
"""

import tempfile
from typing import Annotated, BinaryIO, Final, Literal, NamedTuple, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.api.http import Header, Reply, encode
from htq.api.problems import Problem

__all__ = ["Answers", "BatchForm", "ItemResult"]

_IN_MEMORY: Final = 1024 * 1024
"""Bytes of an answer; a larger one lies in a file without a name."""


class ItemResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an item of a batch: a request, or an error."""

    uuid: str | UnsetType = UNSET
    outcome: Annotated[
        Literal["created", "existing", "replayed"] | UnsetType,
        Meta(description="existing: the live request with its id; replayed: the one that its key stands for already."),
    ] = UNSET
    location: str | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class BatchForm(NamedTuple):
    """How items stand in a body."""

    media: bytes
    begin: bytes
    between: bytes
    end: bytes


class Answers:
    """Items in the form in which those of the batch came. Whoever makes it closes it, or gives it away as a reply."""

    def __init__(self, form: BatchForm) -> None:
        self._form = form
        self._file = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - it outlives this call
        self._before = form.begin
        self._size = 0
        self.count = 0

    def add(self, item: ItemResult) -> None:
        """Raises `OSError` where there is no room."""
        self._write(self._before + encode(item))
        self._before = self._form.between
        self.count += 1

    def reply(self, headers: list[Header]) -> Reply:
        """All of it. Raises `OSError` where there is no room."""
        self._write((b"" if self.count else self._form.begin) + self._form.end)
        self._file.seek(0)
        length = (b"content-length", b"%d" % self._size)
        common = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        return Reply(200, b"", [(b"content-type", self._form.media), length, *common, *headers], self._file)

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)
